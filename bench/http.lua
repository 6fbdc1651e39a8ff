-- http.lua N PORT - so many requests at once by LuaSocket's socket.http, as it
-- is, but patched. Prints the CPU time of one in us, and how long all took.
-- SPDX-License-Identifier: MIT
local green = require "green"
green.monkey_patch {socket = true}
local http = require "socket.http"

local N <const>, PORT <const> = tonumber(arg[1]), arg[2]

local function run()
  local group <close> = green.group()
  for _ = 1, N do
    group:spawn(function()
      local body, code = http.request("http://127.0.0.1:" .. PORT .. "/")
      assert(code == 200 and body == "hello", code)
    end)
  end
  group:wait()
end

run()
local cpu, began = os.clock(), green.now()
run()
print(("%.1f %.0f"):format((os.clock() - cpu) * 1e6 / N,
  (green.now() - began) * 1e3))
