--- The output of print and io.write, thread by thread.
---
--- A green thread may have an output of its own; threads that it spawns from
--- then on inherit it (bindings/thread/spawn.c). When the first sink is set,
--- print and io.write are replaced, once. The replacements look for a sink at
--- each call; in a thread without one they do what print and io.write did.
--- io.stdout:write and earlier copies of print are not redirected.
---
--- While a sink runs, print and io.write of its thread go to the process's
--- stdout, so a sink may print. If a sink raises, its thread loses it, and the
--- text goes to stdout. But an interruption that strikes the thread while the
--- sink blocks comes out of print, as of any call that may switch.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local report = require "green.runtime.report"
local text_of = require "green.runtime.text".plain
local written = require "green.runtime.written"
local _G, error, pcall, rawequal, select, setmetatable, table, tostring, type =
  _G, error, pcall, rawequal, select, setmetatable, table, tostring, type

--- A host may not have opened io; then there is only print.
local io = io or {}
local stock_write <const> = _ENV.stock_write
local plain_print, plain_write = print, io.write

--- Is this error an interruption of the thread, and not the sink's own? A throw
--- is not pending any more: see bindings/runtime/strike.c.
local function struck(err, rare)
  return rawequal(err, rare.thrown) or rawequal(err, core.interrupted())
    or core.type(err) == "deadlock"
end

local function write_to(sink, text)
  if type(sink) == "function" then
    sink(text)
  else
    sink:write(text)
  end
end

local function complain(err)
  report.line("the output of green thread #%d failed, and is stdout again: %s",
    core.current().id, text_of(err))
end

local Busy = {__close = function(rare) rare.rare.in_sink = nil end}

local function call_sink(sink, text, rare)
  rare.in_sink, rare.thrown = true, nil
  local _ <close> = setmetatable({rare = rare}, Busy)
  return pcall(write_to, sink, text)
end

--- Writes to stdout; without io, print can do it, line by line.
local function write_plainly(text)
  if plain_write then return plain_write(text) end
  plain_print((text:gsub("\n$", "")))
end

local function deliver(sink, text)
  local rare = core.rare()
  if rare.in_sink then return write_plainly(text) end
  local ok, err = call_sink(sink, text, rare)
  if ok then return end
  if err ~= nil and struck(err, rare) then
    rare.thrown = nil
    error(err, 0)
  end
  if core.output() == sink then core.set_output(false) end
  write_plainly(text)
  complain(err)
end

--- The texts that io.write makes from its arguments.
local function texts_of(...)
  local parts = {...}
  for i = 1, select("#", ...) do parts[i] = written(parts[i], i) end
  return parts
end

local function replacing_print(...)
  local sink = core.output()
  if not sink then return plain_print(...) end
  local parts = {...}
  for i = 1, select("#", ...) do parts[i] = tostring(parts[i]) end
  deliver(sink, table.concat(parts, "\t") .. "\n")
end

local function replacing_write(...)
  local sink = core.output()
  if not sink or io.output() ~= io.stdout then
    if plain_write == stock_write then texts_of(...) end -- it would name us
    return plain_write(...)
  end
  deliver(sink, table.concat(texts_of(...)))
  return io.stdout
end

local replaced = false

local function replace()
  if replaced then return end
  replaced = true
  if type(_G.print) == "function" then plain_print = _G.print end
  plain_write = io.write
  _G.print = replacing_print
  if plain_write then io.write = replacing_write end
end

--- Sets the sink of print and io.write for the calling thread and for those
--- that it spawns from now on. Returns the former sink. Never switches.
---@param sink? function|table|userdata|false
---@return function|table|userdata|false former
function green.output(sink)
  local former = core.output() or false
  if sink == nil then return former end
  if sink and type(sink) ~= "function" and not report.has_write(sink) then
    check.wrong(1, "output", "function, object with write or false", sink)
  end
  core.set_output(sink)
  if sink then replace() end
  return former
end
