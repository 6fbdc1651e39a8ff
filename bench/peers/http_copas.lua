-- http_copas.lua N PORT - as ../http.lua, by copas: socket.http on its sockets.
-- Debian has copas for Lua 5.2, whose sources Lua 5.4 takes. It is too old for
-- LuaSocket 3.1's socket.http, and says so.
-- SPDX-License-Identifier: MIT
package.path = package.path .. ";/usr/share/lua/5.2/?.lua"
local copas = require "copas"
local socket = require "socket"
local http = require "socket.http"

local N <const>, PORT <const> = tonumber(arg[1]), arg[2]

local function create() return copas.wrap(socket.tcp()) end

local function run()
  local done = 0
  for _ = 1, N do
    copas.addthread(function()
      copas.setErrorHandler(function(err)
        io.stderr:write("copas is too old for this socket.http: ",
          tostring(err), "\n")
        os.exit(1)
      end)
      local parts = {}
      local _, code = http.request {
        url = "http://127.0.0.1:" .. PORT .. "/", create = create,
        sink = require "ltn12".sink.table(parts),
      }
      assert(code == 200 and table.concat(parts) == "hello", code)
      done = done + 1
    end)
  end
  copas.loop()
  assert(done == N)
end

run()
local cpu, began = os.clock(), socket.gettime()
run()
print(("%.1f %.0f"):format((os.clock() - cpu) * 1e6 / N,
  (socket.gettime() - began) * 1e3))
