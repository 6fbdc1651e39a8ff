--- The kind "alloc" of green.profile: samples of what is allocated.
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"

local alloc = {}

--- Bytes between two samples, on average.
local EVERY <const> = 512 * 1024

function alloc.begin(opts)
  core.alloc_begin(opts.bytes or EVERY, opts.by == "thread")
end

function alloc.finish()
  return core.alloc_end(), "bytes", 1
end

return alloc
