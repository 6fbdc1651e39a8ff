--- green.top: the threads that cost most just now.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local check = require "green.runtime.check"
local rows = require "green.watch.rows"

local known <const> = {seconds = "seconds", by = "string", n = "integer"}

--- Measures for some seconds, 1 by default. May switch.
---@param opts? {seconds: number, by: string, n: integer}
---@return table[]
return function(opts)
  opts = check.options(opts, known, 1, "top")
  local by, n = opts.by or "cpu", opts.n or 20
  if not rows.keys[by] then
    check.misuse("bad value for 'by' in 'top' (cpu, switches, blocked or wait "
      .. "expected, got %s)", check.shown(by))
  end
  local list = rows.measure(opts.seconds or 1)
  return rows.first(list, by, n)
end
