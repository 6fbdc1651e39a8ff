--- The kind "cpu" of green.profile: samples of CPU time.
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"

local cpu = {}

local HZ <const> = 99

function cpu.begin(opts)
  core.cpu_begin(opts.hz or HZ, opts.by == "thread")
end

function cpu.finish()
  return core.cpu_end(), "microseconds", 1000
end

return cpu
