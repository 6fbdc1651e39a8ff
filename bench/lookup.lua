-- lookup.lua WHAT - ns for one look-up: of a "number", of a name whose answer
-- is "kept", of one that a resolver of "ours" keeps, and of one that the system
-- has to "ask" for each time (localhost, by 8 OS threads).
-- SPDX-License-Identifier: MIT
local green = require "green"
local dns = require "green.dns"

local what = arg[1] or "number"
local count = what == "ask" and 20000 or 300000
local name = what == "number" and "192.0.2.17" or "localhost"

if what == "ask" then green.config {dns_cache = 0} end
if what == "ours" then
  dns.use(function() return {"192.0.2.17"}, 60 end)
else
  green.config {dns_ttl = 60}
end

--- Asks n times, for one address.
local function run(n)
  for _ = 1, n do assert(dns.resolve(name, {family = "inet"})) end
end

run(1000)
local began = os.clock()
if what == "ask" then
  -- Equal ones would share a run: names that differ in case are not equal.
  local threads = {}
  for i = 1, 8 do
    local own = name:gsub("()(%a)", function(at, letter)
      return (i >> (at - 1)) & 1 == 1 and letter:upper() or letter
    end)
    threads[i] = green.spawn(function()
      for _ = 1, count // 8 do assert(dns.resolve(own, {family = "inet"})) end
    end)
  end
  for _, t in ipairs(threads) do t:wait() end
else
  run(count)
end
print(("%.0f"):format((os.clock() - began) / count * 1e9))
