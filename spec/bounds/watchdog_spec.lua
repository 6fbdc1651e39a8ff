-- The watchdog: it reports threads that hold up all others.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

--- Computes until condition() holds.
local function compute_until(condition, what)
  local stop = os.clock() + 20
  while not condition() do
    if os.clock() > stop then error("never came true: " .. what, 2) end
  end
end

--- Runs f(reports) while the watchdog looks each s seconds. Nothing is
--- preempted: each slice would be a run, and be reported as one.
local function watched(s, f)
  local reports = {}
  local former = green.on_blocked(function(info)
    reports[#reports + 1] = info
  end)
  local ok, err = pcall(help.with_config, {watchdog = s, preempt = false},
    f, reports)
  green.on_blocked(former)
  if not ok then error(err, 0) end
end

describe("the watchdog", function()
  it("is off by default", function()
    assert.is_false(green.config().watchdog)
  end)

  it("reports a thread that computes beyond the limit, with its place",
    function()
      watched(0.02, function(reports)
        local t = green.spawn(function()
          compute_until(function() return #reports > 0 end, "a report")
        end)
        t:wait()
        assert.equal(1, #reports)
        local info = reports[1]
        assert.equal(t, info.thread)
        assert.is_true(info.seconds >= 0.015)
        assert.is_string(info.what)
        assert.matches("%.lua:%d+$", info.where)
        assert.matches("watchdog_spec.lua:%d+: in", info.traceback)
      end)
    end)

  it("does not report one that stays below it", function()
    watched(5, function(reports)
      local t = green.spawn(function()
        local stop = os.clock() + 0.05
        while os.clock() < stop do end -- luacheck: ignore 542
      end)
      t:wait()
      green.sleep(0.02)
      assert.same({}, reports)
    end)
  end)

  it("reports each run once, and the next one again", function()
    watched(0.01, function(reports)
      local t = green.spawn(function()
        compute_until(function() return #reports > 0 end, "a report")
        local stop = os.clock() + 0.05
        while os.clock() < stop do end -- luacheck: ignore 542
        assert.equal(1, #reports)
        green.sleep(0)
        compute_until(function() return #reports > 1 end, "another one")
      end)
      t:wait()
    end)
  end)

  it("tells the coroutine that computes, inside the thread's own", function()
    watched(0.01, function(reports)
      local t = green.spawn(function()
        coroutine.wrap(function()
          compute_until(function() return #reports > 0 end, "a report")
        end)()
      end)
      t:wait()
      assert.matches("stack traceback:.*stack traceback:",
        reports[1].traceback)
    end)
  end)

  it("reports a call that waits in the system, while it does", function()
    local out = help.child [[
      local green = require "green"
      green.config{watchdog = 0.05}
      green.spawn(function() os.execute "sleep 1" end):wait()
    ]]
    assert.matches("green thread #2 has held up all others for 0%.%d+ s and "
      .. "still does, in a C call\n", out)
  end)

  it("tells the handler of such a call when it is over", function()
    watched(0.05, function(reports)
      local t = green.spawn(function() os.execute "sleep 0.5" end)
      t:wait()
      help.wait_until(function() return #reports > 0 end, "a report")
      assert.equal("in a C call", reports[1].what)
      assert.is_true(reports[1].seconds >= 0.3)
    end)
  end)

  it("writes a line for each place and minute by default", function()
    local out = help.child [[
      local green = require "green"
      green.config{watchdog = 0.02}
      local function compute()
        local stop = os.clock() + 0.2
        while os.clock() < stop do end
      end
      for _ = 1, 3 do green.spawn(compute):wait() end
    ]]
    local _, count = out:gsub("green thread #%d+ [^\n]* held up all others for "
      .. "%d+%.%d+ s, [^\n]*, at [^\n]*:%d+\n", "")
    assert.is_true(count >= 1 and count <= 2, out)
  end)

  it("survives a handler that raises, computes or wants to block", function()
    local out = help.child [[
      local green = require "green"
      local calls = 0
      green.on_blocked(function()
        calls = calls + 1
        if calls == 1 then error "on purpose" end
        if calls == 2 then green.sleep(1) end
        local stop = os.clock() + 0.05
        while os.clock() < stop do end
      end)
      green.config{watchdog = 0.01}
      for want = 1, 3 do
        while calls < want do end
        green.sleep(0)
      end
      print(calls)
    ]]
    assert.matches("on_blocked failed: .*on purpose", out)
    assert.matches("'sleep' cannot block in a report of the watchdog", out)
    assert.matches("3\n$", out)
  end)

  it("returns the former handler, and takes what can be called", function()
    local function f() end
    local first = green.on_blocked(f)
    assert.equal(f, green.on_blocked())
    assert.equal(f, green.on_blocked(first))
    assert.is_false(pcall(green.on_blocked, 1))
  end)

  it("makes no wake-ups while nothing runs", function()
    local count = os.tmpname()
    local out = help.child(([[
      local green = require "green"
      green.config{watchdog = 0.02, preempt = 0.001}
      green.sleep(0.3)
      local function switches()
        local n = 0
        for id in io.popen "ls /proc/$PPID/task":lines() do
          for line in io.lines("/proc/" .. PID() .. "/task/" .. id
                               .. "/status") do
            n = n + (tonumber(line:match "^voluntary_ctxt_switches:%%s*(%%d+)")
              or 0)
          end
        end
        return n
      end
      local before = switches()
      green.sleep(1)
      print(switches() - before)
      os.remove %q
    ]]):format(count))
    -- One sleep, and the pipes to ls; a watchdog that ticks makes 50 more.
    local n = tonumber(out:match "%-?%d+")
    assert.is_true(n and n < 25, out)
  end)
end)
