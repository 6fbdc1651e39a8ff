--- What the command lines of the fuzzers have in common:
---
---   lua5.4 spec/X.lua [SECONDS [FIRST]]      programs for so long, from a seed
---   LUAGREEN_SEED=n lua5.4 spec/X.lua        that one
---
--- SPDX-License-Identifier: MIT

local core = require "green.core"

local fuzzing = {}

--- Was the file called `name` started, and not required?
function fuzzing.started(name)
  return arg and arg[0] and arg[0]:match "[^/]*$" == name
end

--- The seconds and the first seed of the command line.
function fuzzing.arguments()
  return tonumber(arg[1] or 10), math.tointeger(tonumber(arg[2] or 1))
end

--- A function run_for(seconds, first, report, most): runs one program after the
--- other, for `seconds` of real time, but at most `most`; calls
--- report(seed, pcall's results). Returns how many.
--- @param run fun(seed)  raises what is wrong with the program of that seed
function fuzzing.run_for(run)
  return function(seconds, first, report, most)
    local over, n = core.real_now() + seconds, 0
    while n < (most or math.huge) and core.real_now() < over do
      report(first + n, pcall(run, first + n))
      n = n + 1
    end
    return n
  end
end

--- Runs programs of this process: all failures are printed, and the exit code
--- tells whether there were any.
--- @param fuzz {run: fun(seed), run_for: fun(seconds, first, report): integer}
function fuzzing.run(fuzz)
  local seed = math.tointeger(tonumber(os.getenv "LUAGREEN_SEED" or ""))
  if seed then return fuzz.run(seed) end
  local seconds, first = fuzzing.arguments()
  local bad = 0
  local n = fuzz.run_for(seconds, first, function(s, ok, err)
    if ok then return end
    bad = bad + 1
    print(("seed %d: %s\n"):format(s, tostring(err)))
  end)
  print(("%d programs from seed %d, %d failed"):format(n, first, bad))
  os.exit(bad == 0, true)
end

--- Runs f(...) of a fuzzer whose programs run in processes with calls that
--- fail: prints what it says.
function fuzzing.run_preloaded(f, ...)
  local ok, out = pcall(f, ...)
  require "spec.preload".clean()
  print(out)
  os.exit(ok)
end

return fuzzing
