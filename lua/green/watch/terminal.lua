--- The terminal that top takes over: its size, its screen, its keys.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local page = require "green.watch.page"
local io, math, os, setmetatable, type = io, math, os, setmetatable, type

local terminal = {}

local function leave()
  io.stdout:flush()
  core.terminal_give()
end

--- The terminal is ours until the result is closed, or a signal ends the
--- program.
function terminal.take()
  io.stdin:setvbuf "no"
  core.terminal_take()
  return setmetatable({}, {__close = leave})
end

--- The shell gets its screen and its modes, and gives them back at `fg`.
local function suspend()
  leave()
  os.execute "kill -TSTP 0"
  core.terminal_take()
  return "resumed"
end

--- Lines and columns.
function terminal.size()
  local height, width = core.terminal_size()
  return height or 24, width or 80
end

--- Shows lines: texts, or {text} for those that stand out. Cuts off text that
--- has no room. Behind a full line the cursor is still on its last character,
--- so what was there before is erased first.
function terminal.paint(lines)
  local height, width = terminal.size()
  io.stdout:write "\27[H"
  for i = 1, math.min(#lines, height) do
    local line, loud = lines[i], type(lines[i]) == "table"
    if i > 1 then io.stdout:write "\r\n" end
    io.stdout:write "\27[K"
    if loud then io.stdout:write "\27[7m" end
    io.stdout:write(page.cut(loud and line[1] or line, width))
    if loud then io.stdout:write "\27[0m" end
  end
  if #lines < height then io.stdout:write "\r\n\27[J" end
  io.stdout:flush()
end

local NAMES <const> = {["[A"] = "up", ["[B"] = "down", ["[5~"] = "page up",
  ["[6~"] = "page down", ["[H"] = "home", ["[F"] = "end", ["[1~"] = "home",
  ["[4~"] = "end", OA = "up", OB = "down", OH = "home", OF = "end"}

--- Terminals send what follows an escape at once; a person does not.
local function read_soon()
  return green.wait_fd(0, "r", 0.05) and io.stdin:read(1)
end

local function sequence()
  local text = read_soon()
  if not text then return "escape" end
  repeat
    local c = read_soon()
    text = text .. (c or "")
  until not c or c:find "[%a~]"
  return NAMES[text] or "another"
end

--- The next key: a byte, or a name; nil at the end of the input. Switches.
function terminal.key()
  green.wait_fd(0, "r")
  local c = io.stdin:read(1)
  if c == "\26" then return suspend() end
  return c == "\27" and sequence() or c
end

return terminal
