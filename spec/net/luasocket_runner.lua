-- Runs a program that was written for LuaSocket:
--   lua5.4 luasocket_runner.lua real|main|thread|preempted PORT FILE
-- on LuaSocket itself, or on green.socket: in the main thread, or in a green
-- thread while another one ticks; or so that it is preempted each 2 ms while
-- the other one computes all the time. The tests of LuaSocket want a library
-- that was built to say how long its calls took.
-- SPDX-License-Identifier: MIT

local mode, number, file = ...
io.stdout:setvbuf "line" -- the caller reads the words of a server
local green = mode ~= "real" and require "green"

-- Its tests are older than Lua 5.4.
unpack = unpack or table.unpack -- luacheck: globals unpack
-- luacheck: globals host port
if not file:find "utest" then host, port = "127.0.0.1", number end

if green then
  local socket = green.socket
  package.loaded.socket = socket
  package.loaded["socket.core"] = socket
  package.loaded["socket.unix"] = socket.unix
end

local socket = require "socket"
socket._DEBUG = true

--- The call, and how long it took.
local function timed(f)
  local function add(began, value, err, partial)
    return value, err, partial, socket.gettime() - began
  end
  return function(...) return add(socket.gettime(), f(...)) end
end

local server = assert(socket.bind("127.0.0.1", 0))
local client = assert(socket.connect("127.0.0.1",
  (select(2, server:getsockname()))))
local methods = getmetatable(client).__index
methods.receive, methods.send = timed(methods.receive), timed(methods.send)
client:close()
server:close()

--- The program without the calls that need a network around it: one connects to
--- an address that nobody has.
local function program()
  local f <close> = assert(io.open(file))
  local text = f:read "a":gsub("\nconnect_timeout%(%)", "\n"):gsub("^#", "--")
  return assert(load(text, "@" .. file))
end

if mode ~= "thread" and mode ~= "preempted" then return program()() end

local ticks = 0
green.spawn_n(function()
  while true do
    if mode == "thread" then green.sleep(0.01) end
    ticks = ticks + 1
  end
end)
if mode == "preempted" then green.config {preempt = 0.002} end
local exit = os.exit
os.exit = function(...) -- luacheck: ignore
  io.stderr:write("TICKS: ", ticks, "\n")
  return exit(...)
end
local t = green.spawn(program())
t:wait()
io.stderr:write("TICKS: ", ticks, "\n")
