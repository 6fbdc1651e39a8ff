--- The end of a span in a picture had neither a name nor a time of its own:
--- speedscope found nothing to close and drew all spans until the end.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local picture = require "spec.watch.picture"

--- The calling thread's entries in a trace of f, with the times of the file.
local function traced(f)
  green.trace.start()
  f()
  local id, entries = green.current().id, {}
  for _, e in ipairs(picture.entries(green.trace.stop())) do
    local ts, dur = e.line:match '"ts":([%d.]+)', e.line:match '"dur":([%d.]+)'
    e.from = tonumber(ts)
    e.to = e.from and e.from + (tonumber(dur) or 0)
    if e.tid == id and e.from then entries[#entries + 1] = e end
  end
  return entries
end

--- Each end names the innermost span and repeats no argument; it comes after
--- all that is in it, and before whatever begins then.
local function check(entries)
  local open, ended, last = {}, 0, -1
  for _, e in ipairs(entries) do
    if e.ph == "B" then
      open[#open + 1] = e.name
    elseif e.ph == "E" then
      assert.equal(table.remove(open), e.name)
      assert.is_nil(e.line:find '"args"')
      ended = ended + 1
    end
    if ("BEX"):find(e.ph) then
      assert(e.ph == "E" and last == e.from or last < e.from, e.line)
      if e.ph ~= "B" then last = e.to end
    end
  end
  assert.equal(0, #open)
  return ended
end

describe("the end of a span", function()
  it("names it, and is no other event's time", function()
    local ended = check(traced(function()
      local _ <close> = green.trace.span("outer", {n = 1})
      for i = 1, 10 do
        local _ <close> = green.trace.span('in"ner\\', {i = i})
        green.sleep(0)
      end
    end))
    assert.equal(11, ended)
  end)

  it("comes before the other piece of a span that it cuts", function()
    check(traced(function()
      local first = green.trace.span("first", "a")
      green.sleep(0)
      local second = green.trace.span("second")
      green.sleep(0)
      first:close()
      green.sleep(0)
      second:close()
    end))
  end)
end)
