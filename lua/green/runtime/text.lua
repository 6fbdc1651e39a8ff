--- Values as text, for reports.
---
--- The program's own __tostring may raise, block or compute for ever. A report
--- calls it in a green thread that gives the others turns and is killed when it
--- takes too long, or does not call it at all.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local pcall, setmetatable, tostring, type = pcall, setmetatable, tostring,
  type
local metafield <const> = core.metafield
local OWNED <const> = core.keys.owned

--- Seconds that a __tostring may take.
local PATIENCE <const> = 1

local text = {}

--- tostring that never raises.
---@return string
function text.of(value)
  local ok, result = pcall(tostring, value)
  return ok and result or "(error object is a " .. type(value) .. " value)"
end

--- For each __tostring of the library's own: a function that returns the inner
--- value that it also shows, if the object has one.
local ours = {}

--- Declares a __tostring that runs no code of the program, except that of the
--- value that inner(object) returns.
function text.declare(to_string, inner)
  ours[to_string] = inner or function() return nil end
end

--- Does tostring run no code of the program?
---@return boolean
local function is_safe(value)
  local to_string = metafield(value, "__tostring")
  if to_string == nil then return true end
  local inner = ours[to_string]
  return inner ~= nil and is_safe(inner(value))
end

text.is_safe = is_safe

--- Runs no code of the program.
---@return string
function text.plain(value)
  if is_safe(value) then return text.of(value) end
  return ("(a %s value)"):format(type(value))
end

--- Threads that were made to report an error, and do nothing else.
local own = setmetatable({}, {__mode = "k"})

--- The calling thread is one of them.
function text.own_thread()
  own[core.current()] = true
end

local function in_turns(value)
  core.take_turns()
  return tostring(value)
end

--- While the state closes, every new thread is killed at once; in the end all
--- are killed, including those that report an error.
local function while_closing(value)
  local t = core.current()
  if not t or not own[t] then return text.plain(value) end
  local ok, result = pcall(in_turns, value)
  return ok and result or text.plain(value)
end

--- The sandbox whose script has made the value, or an inner value that its text
--- shows; or nil. It is the script's __tostring that must not leave its bounds.
local function box_of(value)
  local inner = ours[metafield(value, "__tostring")]
  if inner then return box_of(inner(value)) end
  return core.box_of_value(value)
end

local function spawn_in_turns(value)
  local box, spawners = box_of(value), {}
  if not box then return core.spawn(in_turns, value) end
  core.spawners(spawners, box)
  return spawners.spawn(in_turns, value)
end

--- The program's __tostring, for a limited time. May switch.
---@return string
function text.patient(value)
  if is_safe(value) then return text.of(value) end
  if core.closing() then return while_closing(value) end
  local spawned, t = pcall(spawn_in_turns, value)
  if not spawned then return text.plain(value) end
  t.name = "__tostring of an error"
  core.rare(t)[OWNED] = true -- its own failure is not reported
  local joined, ok, result = pcall(t.join, t, PATIENCE)
  if joined and ok and type(result) == "string" then return result end
  t:kill("it takes too long")
  return text.plain(value)
end

return text
