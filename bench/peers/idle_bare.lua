-- idle_bare.lua THREADS spawn_n|handler - resident bytes per coroutine that has
-- yielded; kept in one array.
-- SPDX-License-Identifier: MIT
local resident = dofile((arg[0]:gsub("peers/[^/]*$", "resident.lua")))

local threads, kind = tonumber(arg[1]), arg[2]
if kind == "spawn" then return print("-") end

local function wait() coroutine.yield() end
local function read(conn, size)
  local buffer, from, to = conn, size, size
  coroutine.yield()
  return buffer, from, to
end
local function request(conn)
  local method, path, version, headers = conn, conn, conn, conn
  local body = read(conn, 1)
  return method, path, version, headers, body
end
local function handler(conn)
  local peer, port, started, count = conn, conn, conn, conn
  request(conn)
  return peer, port, started, count
end

collectgarbage()
local before = resident()
local list = {}
for i = 1, threads do
  list[i] = coroutine.create(kind == "handler" and handler or wait)
  coroutine.resume(list[i], i)
end
collectgarbage()
print((resident() - before) / #list)
os.exit(0, false)
