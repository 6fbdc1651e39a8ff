--- Reports: what the library has to say when nobody asked, on stderr.
---
--- A program that puts an object with `write` in the place of io.stderr gets
--- them there.
---
--- SPDX-License-Identifier: MIT

local io, pcall, type = io, pcall, type
local stderr <const> = io and io.stderr

local report = {}

--- Writes whole lines. Never raises.
---@param text string
function report.write(text)
  local file = io and io.stderr or stderr
  if file then pcall(file.write, file, text) end
end

--- Is there a method `write`?
function report.has_write(file)
  local kind = type(file)
  if kind ~= "table" and kind ~= "userdata" then return false end
  local ok, write = pcall(function() return file.write end)
  return ok and write ~= nil
end

return report
