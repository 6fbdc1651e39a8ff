--- Of a thread whose coroutine had resumed another one, which had resumed a
--- third, tracebacks and profiles showed the first and the third.
---
--- SPDX-License-Identifier: MIT

local green = require "green"

local function compute(s)
  local stop = os.clock() + s
  while os.clock() < stop do end -- luacheck: ignore 542
end

--- f(...) in so many coroutines inside of each other.
local function nest(n, f, ...)
  if n == 0 then return (f(...)) end
  return (coroutine.wrap(nest)(n - 1, f, ...))
end

--- How often a folded stack has the function above, behind its thread's name.
local function count(line)
  local info = debug.getinfo(nest, "S")
  local place = info.short_src .. ":" .. info.linedefined
  local stack = line:match ";.*"
  return select(2, stack:gsub(place:gsub("%p", "%%%0") .. "%f[%D]", ""))
end

describe("coroutines inside of each other", function()
  it("are all in the traceback of a thread", function()
    local t = green.spawn(nest, 4, green.sleep, 60)
    green.sleep(0)
    local _, blocks = t:traceback():gsub("stack traceback:", "")
    assert.equal(5, blocks)
    t:kill()
    local own
    green.spawn(nest, 4, function() own = green.current():traceback() end)
      :wait()
    _, blocks = own:gsub("stack traceback:", "")
    assert.equal(5, blocks)
  end)

  it("are all in a profile of waits", function()
    green.profile.start {what = "blocked"}
    green.spawn(nest, 4, green.sleep, 0.01):wait()
    local text = green.profile.stop()
    assert.equal(5, count(text:match "[^\n]*%[sleep%]"), text)
  end)

  it("are all in a profile of CPU time", function()
    green.profile.start {hz = 1000}
    green.spawn(nest, 4, compute, 0.45):wait()
    local text = green.profile.stop()
    assert.equal(5, count(text:match "[^\n]*\n"), text)
  end)

  it("may be any number: the innermost are shown", function()
    local t = green.spawn(nest, 40, green.sleep, 60)
    green.sleep(0)
    local text = t:traceback()
    -- Lua 5.5 names it as its caller does.
    local name = _VERSION == "Lua 5.4" and "'green.sleep'" or "local 'f'"
    assert.matches(name, text:match "^[^\n]*\n[^\n]*", 1, true)
    t:kill()
    green.profile.start {what = "blocked"}
    green.spawn(nest, 40, green.sleep, 0.01):wait()
    assert.matches(";%[C%] f;%[sleep%]", green.profile.stop())
  end)

  it("are all in a report of the watchdog", function()
    local text
    local former = green.on_blocked(function(info) text = info.traceback end)
    local before = green.config()
    green.config {watchdog = 0.02, preempt = false}
    green.spawn(nest, 4, function()
      local stop = os.clock() + 20
      while not text and os.clock() < stop do end -- luacheck: ignore 542
    end):wait()
    green.config {watchdog = before.watchdog, preempt = before.preempt}
    green.on_blocked(former)
    local _, blocks = text:gsub("stack traceback:", "")
    assert.equal(5, blocks, text)
  end)
end)
