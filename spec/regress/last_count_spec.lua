--- A picture has counters at most each 0.1 ms, and the last of many changes was
--- lost: while the hub slept, threads were said to be ready, and fewer to live.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local picture = require "spec.watch.picture"

--- A trace of threads that all wait while the hub sleeps.
local function traced()
  local event, threads = green.event(), {}
  green.trace.start()
  for i = 1, 20 do threads[i] = green.spawn(event.wait, event) end
  green.sleep(0.02)
  event:send()
  for _, t in ipairs(threads) do t:join() end
  return picture.entries(green.trace.stop())
end

--- Where it sleeps for a millisecond; nil: the machine was slower than it.
local function sleep_in(entries)
  for _, e in ipairs(entries) do
    if e.ph == "X" and e.cat == "hub" and e.name == "sleep" and e.dur > 1e6 then
      return e.ts + e.dur // 2
    end
  end
end

local function count_at(entries, name, ts)
  local count
  for _, e in ipairs(entries) do
    if e.ph == "C" and e.name == name and e.ts <= ts then
      count = tonumber(e.line:match '"args":{"%l+":(%d+)}')
    end
  end
  return count
end

describe("a counter in a picture", function()
  it("shows the last change before a pause", function()
    local entries, ts
    repeat
      entries = traced()
      ts = sleep_in(entries)
    until ts
    local finally = count_at(entries, "threads", math.maxinteger)
    assert.equal(finally + 20, count_at(entries, "threads", ts))
    assert.equal(0, count_at(entries, "ready", ts))
  end)

  it("ends with the picture", function()
    local entries = traced()
    assert.equal(#green.threads(),
      count_at(entries, "threads", math.maxinteger))
    assert.equal(0, count_at(entries, "ready", math.maxinteger))
  end)
end)
