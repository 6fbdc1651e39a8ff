--- With 100,000 threads `luagreen top` had no answer within its patience: the
--- program at the other end computed for seconds, in which no other thread had
--- a turn, and sent a line for each thread.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local page = require "green.watch.page"
local rows = require "green.watch.rows"

local MANY <const> = 5000

--- Runs f(list) while so many threads wait, and returns how many turns another
--- thread had meanwhile.
local function among_many(f)
  local event, turns = green.event(), 0
  for _ = 1, MANY do green.spawn_n(function() event:wait() end) end
  green.sleep(0)
  local other <close> = green.spawn(function()
    while true do
      turns = turns + 1
      green.sleep(0)
    end
  end)
  local _ = other
  f(rows.measure(0))
  event:send()
  return turns
end

local function sums(list)
  local threads, switches, names = 0, 0, {}
  for _, row in ipairs(list) do
    threads = threads + (row.count or row.ended and 0 or 1)
    switches = switches + row.switches
    names[row.name] = true
  end
  local n = 0
  for _ in pairs(names) do n = n + 1 end
  return {threads, switches, n}
end

describe("top of many threads", function()
  it("gives the others turns", function()
    assert.is_true(among_many(function() end) >= 15)
    assert.is_true(among_many(page.raw) >= 12)
    assert.is_true(among_many(rows.group) >= 10)
  end)

  it("sends no line for each, and the same sums", function()
    among_many(function(list)
      local text = page.raw(list)
      local _, lines = text:gsub("\n", "")
      assert.is_true(lines < MANY / 2)
      local _, short = page.parse(text)
      assert.same(sums(list), sums(short))
      assert.same(sums(list), sums(rows.group(short)))
      local groups = rows.group(short)
      rows.sort(groups, "wait")
      assert.is_true(groups[1].since >= 0)
    end)
  end)

  it("has the first of an order, and only these", function()
    local list = {seconds = 1}
    for i = 1, 3000 do
      list[i] = {id = i, name = "t" .. i % 7, cpu = i * 7919 % 1000,
        switches = i % 3}
    end
    for _, by in ipairs {"cpu", "switches", "wait"} do
      for _, n in ipairs {0, 1, 20, 2999, 3000, 5000} do
        local first = rows.first(list, by, n)
        local all = table.move(list, 1, #list, 1, {})
        rows.sort(all, by)
        assert.equal(math.min(n, 3000), #first)
        for i = 1, #first do assert.equal(all[i].id, first[i].id) end
      end
    end
  end)
end)
