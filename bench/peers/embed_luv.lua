-- embed_luv.lua job | jobs - ns for a job of luv's that does nothing, one at a
-- time and 16 at a time.
-- SPDX-License-Identifier: MIT
local uv = require "luv"

local JOBS <const> = 20000
local callers = ({job = 1, jobs = 16})[arg[1]]
if not callers then
  print "-"
  return
end

local left = JOBS
local job
job = uv.new_work(function() end, function()
  left = left - 1
  if left > 0 then job:queue() end
end)

local began = uv.hrtime()
for _ = 1, callers do job:queue() end
uv.run()
print(("%.1f"):format((uv.hrtime() - began) / JOBS))
