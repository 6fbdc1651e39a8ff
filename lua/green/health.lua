--- green.health: is the program fit to be asked?
---
--- Checks run side by side, each in a green thread of its own under a limit.
--- Runs are shared, and their result holds for a second, so that nobody who may
--- ask can load what is checked.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local as_text = require "green.runtime.text".patient
local ipairs, math, pairs, table = ipairs, math, pairs, table

local health = {}

--- Seconds for which a result holds.
local HOLDS <const> = 1

--- From a name to {f, s}.
local checks = {}
local stopping = false
--- The last result: {ok, results}, and when it came.
local last, last_at = nil, -math.huge

--- f() tells whether something works: true, or nil and the reason. A check of
--- that name is replaced; nil in the place of f removes it. Never switches.
---@param name string
---@param f? function
---@param s? number  time limit in seconds; 1
function health.check(name, f, s)
  check.value(name, "string", 1, "check")
  if f ~= nil then check.callable(f, 2, "check") end
  s = check.limit(s, 3, "check") or 1
  checks[name] = f and {f = f, s = s}
  last_at = -math.huge
end

--- From now on run() says no: a load balancer sends no more requests, while
--- those under way end. Never switches.
function health.stop() stopping = true end

local function examine(one)
  local from, result = green.now(), {}
  local t <close> = green.spawn(function()
    local ok, why = one.f()
    return ok, why
  end)
  core.rare(t)[core.keys.owned] = true -- a failure of its own is told by run()
  local joined, ok, why = t:join(one.s)
  if joined == nil then
    ok, why = false, "timeout"
  elseif joined then
    why = not ok and (why ~= nil and as_text(why) or "failed") or nil
  else
    ok, why = false, as_text(ok)
  end
  result.ok, result.why = ok and true or false, why
  result.seconds = green.now() - from
  return result
end

local function run_all()
  local names, threads, results, all = {}, {}, {}, true
  for name, one in pairs(checks) do
    names[#names + 1] = name
    threads[name] = green.spawn(examine, one)
  end
  for _, name in ipairs(names) do
    local t <close> = threads[name]
    results[name] = t:wait()
    all = all and results[name].ok
  end
  last, last_at = {ok = all, results = results}, core.now()
  return last
end

local run_once = green.single_flight(run_all)

--- Runs all checks, unless they have just run. May switch.
---@return boolean ok
---@return table<string, {ok: boolean, why: string, seconds: number}> results
function health.run()
  local run = last
  if core.now() - last_at >= HOLDS then run = run_once() end
  local results = {}
  for name, result in pairs(run.results) do results[name] = result end
  if stopping then
    results.stopping = {ok = false, why = "the program ends", seconds = 0}
  end
  return run.ok and not stopping, results
end

--- What an answer says: a line for each check. The second result is "ok" or
--- "failed". May switch.
---@return boolean ok
---@return string text
function health.text()
  local ok, results = health.run()
  local lines = {}
  for name, result in pairs(results) do
    local line = ("%s: %s (%.3f s)"):format(name,
      result.ok and "ok" or result.why, result.seconds)
    lines[#lines + 1] = line:gsub("[\r\n]+", " ") .. "\n"
  end
  table.sort(lines)
  lines[#lines + 1] = ok and "ok\n" or "failed\n"
  return ok, core.printable(table.concat(lines))
end

return health
