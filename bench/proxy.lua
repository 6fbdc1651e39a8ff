-- proxy.lua PORT - passes connections on to that port by copy; prints its own
-- port and serves until it is killed.
-- SPDX-License-Identifier: MIT
local green = require "green"

collectgarbage "incremental"

local target = assert(tonumber(arg[1]))
local listener = assert(green.listen("127.0.0.1", 0, {backlog = 1024}))
print((select(2, listener:getsockname())))
io.stdout:flush()

local function pass(from, to)
  from:copy(to)
  to:shutdown "send"
end

green.serve(listener, function(client)
  local server <close> = assert(green.connect("127.0.0.1", target))
  client:setoption("tcp-nodelay", true)
  local back = green.spawn(pass, server, client)
  pass(client, server)
  back:join()
end)
