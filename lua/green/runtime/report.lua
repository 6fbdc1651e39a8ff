--- Reports: messages of the library on stderr.
---
--- They never block and are limited in rate, and a peer's bytes in them cannot
--- control a terminal: see core/report.c. If a program replaces io.stderr by an
--- object with `write`, they go there.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local io, pcall, type = io, pcall, type
local stderr <const> = _ENV.stock_stderr
local printable <const>, put <const> = core.printable, core.report_put

local report = {}

--- Is there a method `write`?
function report.has_write(file)
  local kind = type(file)
  if kind ~= "table" and kind ~= "userdata" then return false end
  local ok, write = pcall(function() return file.write end)
  return ok and write ~= nil
end

--- Counts one more report. False: there are too many, and it is dropped.
report.begin = core.report_begin

--- Writes whole lines. Never raises, and never switches unless the program's
--- own `write` does.
---@param text string
---@param whole? boolean  however long it is
function report.write(text, whole)
  local file = io and io.stderr
  if file ~= stderr and report.has_write(file) then
    pcall(file.write, file, printable(text))
  else
    put(text, whole)
  end
end

--- One line, of a format and its values.
function report.line(format, ...)
  if report.begin() then
    report.write(("luagreen: " .. format .. "\n"):format(...))
  end
end

return report
