-- Tickers: ticks at a steady rate, in real time and in virtual time.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local test = require "green.test"
local real_it, it = it, test.it(it)

describe("a ticker", function()
  real_it("ticks in the thread of whoever waits, at a steady rate", function()
    local began, seen = green.now(), {}
    for n in green.ticker(0.002) do
      seen[#seen + 1] = n
      assert.is_true(green.now() - began >= n * 0.002)
      if #seen == 3 then break end
    end
    assert.is_true(seen[1] < seen[2] and seen[2] < seen[3])
  end)

  real_it("skips the ticks that were missed, and counts them", function()
    local k = green.ticker(0.001)
    k:wait()
    green.sleep(0.02)
    assert.is_true(k:wait() >= 20)
  end)

  real_it("ends for whoever waits when it is cancelled", function()
    local k = green.ticker(60)
    local t = green.spawn(function()
      for _ in k do error "no tick was due" end
      return k:wait()
    end)
    help.blocked(t)
    k:close()
    assert.same({nil, "closed"}, {t:wait()})
  end)

  real_it("has a limit to its wait", function()
    local k = green.ticker(60)
    assert.same({nil, "timeout"}, {k:wait(0.001)})
    assert.same({nil, "timeout"}, {k:wait(0)})
  end)

  real_it("refuses a period that is not positive", function()
    for _, s in ipairs {0, -1, 0 / 0, math.huge, "x"} do
      assert.is_false(pcall(green.ticker, s))
    end
  end)
end)

describe("a ticker", function()
  it("keeps its phase over hours", function()
    for _, period in ipairs {0.1, 1 / 3, 7, 0.001} do
      local k = green.ticker(period)
      local began = green.now()
      local total = 3 * 3600 // period
      local n, slept = 0, false
      for tick in k do
        local late = green.now() - began - tick * period
        assert(late >= -2e-9 and late < (slept and period or 1e-6), late)
        assert(tick == n + 1 or tick > n and slept)
        n, slept = tick, tick > 50 and not slept
        if tick > total then break end
        if slept then green.sleep(total // 20 * period + period / 2) end
      end
    end
  end)

  it("skips the ticks that were missed and counts them", function()
    local k = green.ticker(1)
    assert.equal(1, k:wait())
    green.sleep(3.5)
    assert.equal(4, k:wait()) -- it is over, and was not taken
    assert.equal(5, k:wait())
    green.sleep(0.2)
    assert.same({nil, "timeout"}, {k:wait(0)})
    assert.same({nil, "timeout"}, {k:wait(0.5)})
    assert.equal(6, k:wait(0.5))
  end)

  it("gives each tick to one of those that wait, and all go on waiting",
    function()
      local k, got, ts = green.ticker(1), {}, {}
      for i = 1, 3 do
        ts[i] = green.spawn(function()
          for _ = 1, 4 do
            local n = i == 3 and select(2, green.select {k}) or k:wait()
            assert(n)
            assert(not got[n], "twice")
            got[n] = true
          end
        end)
      end
      for i = 1, 3 do ts[i]:wait() end
      for n = 1, 12 do assert.is_true(got[n]) end
    end)

  it("that is cancelled ends the loops of all that wait", function()
    local k, n = green.ticker(1), 0
    local function loop() for _ in k do n = n + 1 end end
    local a, b = green.spawn(loop), green.spawn(loop)
    green.sleep(5.5)
    k:close()
    k:close()
    a:wait()
    b:wait()
    assert.equal(5, n)
    assert.same({nil, "closed"}, {k:wait()})
    assert.same({nil, "closed"}, {k:wait(0)})
    assert.same({1, nil, "closed"}, {green.select {k}})
  end)

  it("in select beside other things keeps ticking in its phase", function()
    local k, q = green.ticker(1), green.queue()
    local began, ticks, values = green.now(), {}, 0
    green.spawn_n(function()
      for i = 1, 20 do
        green.sleep(0.3)
        q:put(i)
      end
      q:close()
    end)
    while true do
      local i, v = green.select {k, q}
      if i == 1 then
        ticks[#ticks + 1] = v
        assert(math.abs(green.now() - began - v) < 1e-6)
      elseif v then
        values = values + 1
      else
        break
      end
    end
    assert.equal(20, values)
    for i, n in ipairs(ticks) do assert.equal(i, n) end
    assert(#ticks == 5 or #ticks == 6)
  end)

  it("of two in one select: each fires when it is due", function()
    local a, b = green.ticker(2), green.ticker(3)
    local began, log = green.now(), {}
    for i = 1, 6 do
      local which, n = green.select {a, b}
      log[i] = ("%d:%d@%.0f"):format(which, n, green.now() - began)
    end
    assert.equal("1:1@2 2:1@3 1:2@4 1:3@6 2:2@6 1:4@8",
      table.concat(log, " "))
  end)

  it("refuses a period that is none", function()
    for _, s in ipairs {0, -1, 0 / 0, math.huge, "x"} do
      assert.is_false(pcall(green.ticker, s))
    end
  end)
end)
