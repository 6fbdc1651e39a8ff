-- Look-ups and what is made of them: for lua_oom_test.c.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
green.on_error(function() end)
green.config {grace = 0.02}

local dns = green.dns
assert(dns.resolve("127.0.0.1")[1] == "127.0.0.1")
assert(dns.getaddrinfo("::1", 80, {canonname = true})[1].port == 80)
assert(dns.getnameinfo("127.0.0.1", 80, {numeric = true}) == "127.0.0.1")
assert(dns.getnameinfo(nil, 80, {timeout = 5}) == nil)
dns.use(function(name)
  green.sleep(0)
  if name == "none" then return nil, "none" end
  return {"127.0.0.1", {addr = "127.0.0.2"}}, 60
end)
local first = green.spawn(dns.resolve, "two")
assert(#dns.resolve "two" == 2)
assert(#first:wait() == 2)
assert(select(2, dns.resolve "none") == "none")

local listener <close> = assert(green.listen("two", 0))
assert(listener:setoption("keepalive", true))
assert(#listener:getsocknames() == 2)
local _, port = listener:getsockname()
for _, options in ipairs {{}, {bind = "two"}, {family = "inet"}} do
  options.timeout = 5
  local near <close> = assert(green.connect("two", port, options))
  listener:settimeout(5)
  local far <close> = assert(listener:accept())
  assert(near and far:getfamily() == "inet4")
end
assert(green.connect("two", 1) == nil) -- nobody listens there
dns.flush()
dns.use(nil)
return "done"
