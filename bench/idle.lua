-- idle.lua THREADS spawn_n|spawn|handler - resident bytes per green thread that
-- waits for an event. "handler" waits three calls deep with a dozen locals.
-- SPDX-License-Identifier: MIT
local green = require "green"
local resident = dofile((arg[0]:gsub("[^/]*$", "resident.lua")))

local threads, kind = tonumber(arg[1]), arg[2]
local event = green.event()
local handles = {}

local function wait() event:wait() end
local function read(conn, size)
  local buffer, from, to = conn, size, size
  event:wait()
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

local start = {
  spawn_n = function() green.spawn_n(wait) end,
  spawn = function(i) handles[i] = green.spawn(wait) end,
  handler = function(i) green.spawn_n(handler, i) end,
}
-- The program's own list of handles is not the library's cost.
if kind == "spawn" then for i = 1, threads do handles[i] = false end end
collectgarbage()
local before = resident()
for i = 1, threads do start[kind](i) end
green.sleep(0)
collectgarbage()
print((resident() - before) / threads)
event:send()
for _, thread in ipairs(handles) do thread:wait() end
