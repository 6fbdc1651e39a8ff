-- worker.lua - does the jobs of a queue, until it is told to stop.
--
--   luagreen examples/jobs/worker.lua handler.lua [option=value ...]
--
-- handler.lua returns a function that gets a job's data and returns its result;
-- fetch.lua is one. Options, all of jobs.lua's among them:
--
--   queue=jobs  redis=127.0.0.1:6379  threads=10  idle=30  deliveries=5
--   most=N      stop after N jobs
--   grace=60    seconds for the jobs that run when Ctrl-C stops the worker
--
-- SPDX-License-Identifier: MIT

package.path = (arg[0]:match "^.*/" or "./") .. "?.lua;" .. package.path
local jobs = require "jobs"

local function usage()
  io.stderr:write "usage: worker.lua handler.lua [option=value ...]\n"
  os.exit(2, true)
end

local known <const> = {queue = true, redis = true, threads = true, idle = true,
  deliveries = true, most = true, grace = true}

local options = {queue = "jobs", redis = "127.0.0.1:6379", grace = 60}
for i = 2, #arg do
  local name, value = arg[i]:match "^(%l+)=(.+)$"
  if not known[name] then usage() end
  options[name] = tonumber(value) or value
end
if not arg[1] then usage() end

local function main()
  local queue = jobs.queue(options.queue, options.redis)
  local worker = queue:work(dofile(arg[1]), options)
  io.stderr:write(worker.name, " works\n")
  local ok, err = pcall(worker.wait, worker)
  if not ok then
    if err ~= "interrupted!" then error(err, 0) end
    worker:stop()
    worker:wait(options.grace)
  end
  io.stderr:write(("%s ends, %d jobs done\n"):format(worker.name, worker.done))
end

local ok, err = pcall(main)
if not ok then
  io.stderr:write("worker.lua: ", tostring(err), "\n")
  os.exit(1, true)
end
