-- line_cqueues.lua - a server that echoes lines; prints its port.
-- SPDX-License-Identifier: MIT
local cqueues = require "cqueues"
local socket = require "cqueues.socket"

local listener = socket.listen{host = "127.0.0.1", port = 0}
assert(listener:listen())
print((select(3, listener:localname())))
io.stdout:flush()

local function serve(conn)
  -- Without output buffering: one write for each line.
  conn:setmode("bn", "bn")
  conn:onerror(function(_, _, code) return code end)
  for line in function() return conn:read("*l") end do
    if not conn:write(line .. "\n") then break end
  end
  conn:close()
end

local loop = cqueues.new()
loop:wrap(function()
  for conn in listener:clients{nodelay = true} do loop:wrap(serve, conn) end
end)
assert(loop:loop())
