--- What the prompts share: the backdoor's, and that of bin/luagreen.
---
--- When a chunk is complete, how its values are shown and what an error looks
--- like is as in the stock interpreter, with two friendlier cases: an
--- expression may span lines, too, and its values are printed all the same.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local green = require "green"
local _G, load, table, xpcall = _G, load, table, xpcall

local repl = {}

local function incomplete(err)
  return err:sub(-5) == "<eof>"
end

--- Compiles what was typed so far, as an expression first.
---@param text string
---@param name string    chunk name
---@param env? table     its _ENV; _G by default
---@return function? chunk
---@return string? err   nil while the text is only the beginning of a chunk
function repl.compile(text, name, env)
  env = env or _G
  local chunk, no_expression = load("return " .. text, name, "t", env)
  if chunk then return chunk end
  local err
  chunk, err = load(text, name, "t", env)
  if chunk then return chunk end
  if incomplete(err) or incomplete(no_expression) then return nil end
  return nil, err
end

--- The first line of a chunk may say "= exp", as of old.
---@param line string
---@return string
function repl.first_line(line)
  return (line:gsub("^=", "return "))
end

--- A traceback up to the function that was called from here.
local function trim(text)
  local cut = text:find("\n\t%[C%]: in %a+ 'xpcall'\n\t[^\n]*repl%.lua:")
  if not cut then return text end
  return text:sub(1, cut - 1) .. (text:match("\ncaused by #.*$") or "")
end

local function handler(err)
  return green.traceback(err == nil and "nil" or err)
end

local function called(ok, ...)
  if ok then return true, ... end
  return false, trim((...))
end

--- Calls f(...) in protected mode. An error comes as text with its traceback.
---@param f function
---@return boolean ok
---@return any ...
function repl.call(f, ...)
  return called(xpcall(f, handler, ...))
end

--- Runs a chunk and prints its values. Errors of the printing are its own.
---@param chunk function
---@param keep? fun(value: any)  gets the first value, when there is one
---@return boolean ok
---@return string? err
function repl.evaluate(chunk, keep)
  local values = table.pack(repl.call(chunk))
  if not values[1] then return false, values[2] end
  if values.n == 1 then return true end
  if keep then keep(values[2]) end
  return repl.call(_G.print, table.unpack(values, 2, values.n))
end

return repl
