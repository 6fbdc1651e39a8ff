-- echo_cqueues.lua - an echo server; prints its port.
-- SPDX-License-Identifier: MIT
local cqueues = require "cqueues"
local socket = require "cqueues.socket"

local listener = socket.listen{host = "127.0.0.1", port = 0}
assert(listener:listen())
print((select(3, listener:localname())))
io.stdout:flush()

local function serve(conn)
  conn:setmode("bn", "bn")
  conn:setbufsiz(65536, 65536)
  conn:onerror(function(_, _, code) return code end)
  -- A negative size asks for what there is, at most so much.
  for data in function() return conn:read(-65536) end do
    if not conn:write(data) then break end
  end
  conn:close()
end

local loop = cqueues.new()
loop:wrap(function()
  for conn in listener:clients{nodelay = true} do loop:wrap(serve, conn) end
end)
assert(loop:loop())
