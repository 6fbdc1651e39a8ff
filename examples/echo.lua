-- echo.lua - sends every line back to whoever sent it.
--
--   luagreen examples/echo.lua [port]        then: telnet 127.0.0.1 7000
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local listener = assert(green.listen("127.0.0.1", arg[1] or 7000))
local _, port = listener:getsockname()
print("echo on port " .. port)
io.stdout:flush()

green.serve(listener, function(conn)
  for line in conn:lines() do
    assert(conn:send(line .. "\n"))
  end
end)
