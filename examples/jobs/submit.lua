-- submit.lua - puts jobs into a queue, and tells their results.
--
--   luagreen examples/jobs/submit.lua [option=value ...] data ...
--   luagreen examples/jobs/submit.lua [option=value ...] --stop | --dead
--
-- Each further word is the data of a job; "-" reads them from standard input,
-- one a line. Options: queue=jobs, redis=127.0.0.1:6379, and wait=60, the
-- seconds for all results; 0 waits for none. --stop tells all workers to end
-- in order, --dead lists the jobs that failed too often.
--
-- SPDX-License-Identifier: MIT

package.path = (arg[0]:match "^.*/" or "./") .. "?.lua;" .. package.path
local green = require "green"
local jobs = require "jobs"

local options, words = {queue = "jobs", redis = "127.0.0.1:6379", wait = 60}, {}
for _, word in ipairs(arg) do
  local name, value = word:match "^(%l+)=(.+)$"
  if #words == 0 and options[name] then
    options[name] = tonumber(value) or value
  elseif word == "-" then
    for line in io.lines() do words[#words + 1] = line end
  else
    words[#words + 1] = word
  end
end
if not words[1] then
  io.stderr:write "usage: submit.lua [option=value ...] data ... | - "
  io.stderr:write "| --stop | --dead\n"
  os.exit(2, true)
end

--- Puts the jobs, then tells their results in the same order. Returns whether
--- all are good.
local function submit(queue)
  local ids, good = {}, true
  for i, data in ipairs(words) do ids[i] = queue:put(data) end
  local stop = green.now() + options.wait
  for i, id in ipairs(ids) do
    local result, err = id, nil
    if options.wait > 0 then
      result, err = queue:result(id, stop - green.now())
    end
    print(("%s: %s"):format(words[i], result or "failed: " .. err))
    good = good and result
  end
  return good
end

local function list_dead(queue)
  for _, job in ipairs(queue:dead()) do
    print(("%s after %s deliveries: %s\n  %s"):format(job.id, job.deliveries,
      job.error, job.data))
  end
  return true
end

local function stop_workers(queue)
  print(("%d workers told to stop"):format(queue:stop()))
  return true
end

local commands <const> = {["--stop"] = stop_workers, ["--dead"] = list_dead}

local ok, good = pcall(commands[words[1]] or submit,
  jobs.queue(options.queue, options.redis))
if not ok then io.stderr:write("submit.lua: ", tostring(good), "\n") end
os.exit(ok and good and true or false, true)
