-- Pools, groups, piles, map, imap, wait_all and as_completed, nested in each
-- other at random, among kills, throws, timeouts, errors and foreign resumes:
-- nothing hangs, and nothing is left.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local test = require "green.test"

local it = test.it(it)

local function some(n) return math.random(n) end
local function one_in(n) return math.random(n) == 1 end

--- Reads an iterator to its end, or leaves it early.
local function read(n, ...)
  for _ in ... do
    if one_in(n) then break end
  end
end

describe("pools, groups and their kin", function()
  it("end, whatever is done to those in them", function()
    local pool, all, bodies = green.pool(5000), {}, {}
    local work

    local function note(t)
      all[#all + 1] = t
      return t
    end
    local function fresh(d)
      local list = {}
      for i = 1, some(4) do list[i] = note(green.spawn(work, d)) end
      return list
    end

    local acts = {
      function() green.sleep(math.random() / 100) end,
      function() error("on purpose", 0) end,
      function(d)
        local g <close> = green.group(one_in(2) and some(3) or nil)
        for _ = 1, some(4) do note(g:spawn(work, d)) end
        if one_in(3) then g:wait(0.001) end
        if one_in(4) then g:kill() end
      end,
      function(d) pool:map(work, {d, d, d}) end,
      function(d) read(3, pool:imap(work, {d, d, d})) end,
      function(d) read(3, pool:imap_unordered(work, {d, d, d})) end,
      function(d)
        local pile <close> = green.pile(one_in(2) and pool or 2)
        for _ = 1, some(3) do note(pile:spawn(work, d)) end
        read(3, pile:results())
      end,
      function(d) green.wait_all(fresh(d), one_in(2) and 0.005 or nil) end,
      function(d) read(2, green.as_completed(fresh(d))) end,
      function(d) green.with_timeout(math.random() / 100, work, d) end,
      function() all[some(#all)]:kill() end,
      function() all[some(#all)]:throw("thrown") end,
      function() collectgarbage() end,
      function()
        local t = all[some(#all)]
        if bodies[t] and t:status() == "ready" then
          coroutine.resume(bodies[t], "nonsense")
        end
      end,
      function(d) pool:spawn_n(work, d) end,
      function()
        local step, state = pool:imap(work, {1, 1, 1})
        green.with_timeout(0.001, step, state)
      end,
    }

    function work(d)
      bodies[green.current()] = coroutine.running()
      if d == 0 then
        green.sleep(math.random() / 200)
      else
        for _ = 1, some(3) do acts[some(#acts)](d - 1) end
      end
      return d
    end

    local former = green.on_error(function() end)
    local _ <close> = setmetatable({}, {__close = function()
      green.on_error(former)
    end})
    local first = {}
    for i = 1, 8 do first[i] = note(green.spawn(work, 3)) end
    for i = 1, 8 do first[i]:join() end
    for _, t in ipairs(all) do t:kill() end
    pool:kill()
    assert.is_true(pool:wait(100))
    assert.equal(0, pool:running())
    for _, t in ipairs(all) do t:join() end
    green.sleep(0.001) -- for the reports
  end)
end)
