-- Preemption: a thread that computes for long gives the others a turn.
--
-- Time is CPU time, which a loaded machine hands out as it likes; so these
-- tests count turns, and compute until something has happened.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local PREEMPT <const> = {preempt = 0.001}

--- Computes until condition() holds, without a call that may switch.
local function compute_until(condition, what)
  local stop = os.clock() + 20
  while not condition() do
    if os.clock() > stop then error("never came true: " .. what, 2) end
  end
end

--- Computes for s seconds of CPU time.
local function compute(s)
  local stop = os.clock() + s
  while os.clock() < stop do end -- luacheck: ignore 542
end

local function preempted() return green.current():stats().preempted end

describe("green.config.preempt", function()
  it("is off by default", function()
    if os.getenv "LUAGREEN_PREEMPT" then return end
    assert.is_false(green.config().preempt)
    local ran = false
    local t = green.spawn(function() ran = true end)
    compute(0.05)
    assert.is_false(ran)
    t:join()
  end)

  it("gives the others turns while a thread computes", function()
    help.with_config(PREEMPT, function()
      local turns = 0
      local other = green.spawn(function()
        while true do
          turns = turns + 1
          green.sleep(0)
        end
      end)
      local hog = green.spawn(function()
        compute_until(function() return turns >= 5 end, "5 turns")
        return preempted()
      end)
      assert.is_true(hog:wait() >= 4)
      assert.is_true(hog:stats().preempted >= 4)
      assert.equal(0, other:stats().preempted)
      assert.is_true(green.stats().preempted >= 4)
      other:kill()
    end)
  end)

  it("preempts main, too", function()
    help.with_config(PREEMPT, function()
      local turns = 0
      local t = green.spawn(function()
        for _ = 1, 3 do
          turns = turns + 1
          green.sleep(0)
        end
      end)
      compute_until(function() return turns == 3 end, "3 turns")
      t:join()
    end)
  end)

  it("wakes sleepers and readers while a thread computes", function()
    help.with_config(PREEMPT, function()
      local listener = green.listen("127.0.0.1", 0)
      local _, port = listener:getsockname()
      local slept, got = false, nil
      green.spawn(function()
        green.sleep(0.002)
        slept = true
      end)
      local reader = green.spawn(function()
        local c = listener:accept()
        got = c:receive "*l"
        c:close()
      end)
      local c = green.connect("127.0.0.1", port)
      help.blocked(reader)
      c:send "hello\n"
      compute_until(function() return slept and got end, "wake-ups")
      assert.equal("hello", got)
      c:close()
      listener:close()
      reader:join()
    end)
  end)

  it("reaches a coroutine that the thread resumes", function()
    help.with_config(PREEMPT, function()
      for _, run in ipairs {
        function(f) coroutine.wrap(f)() end,
        function(f) assert(coroutine.resume(coroutine.create(f))) end,
        function(f)
          coroutine.wrap(function() coroutine.wrap(f)() end)()
        end,
        function(f) -- by a coroutine that was made and resumed elsewhere
          local co = coroutine.wrap(function()
            coroutine.yield()
            f()
          end)
          co()
          local done = green.spawn(co)
          done:wait()
        end,
        function(f) -- in a handler of a coroutine that is closed
          local co = coroutine.create(function()
            local _ <close> = setmetatable({}, {__close = f})
            coroutine.yield()
          end)
          coroutine.resume(co)
          assert(coroutine.close(co))
        end,
        function(f) -- in a handler of one that failed
          local co = coroutine.wrap(function()
            local _ <close> = setmetatable({}, {__close = f})
            error "on purpose"
          end)
          assert.is_false(pcall(co))
        end,
      } do
        local turned = false
        green.spawn(function() turned = true end)
        run(function()
          compute_until(function() return turned end, "a turn")
        end)
      end
    end)
  end)

  it("keeps C frames: in sort, gsub, a metamethod, require", function()
    help.with_config(PREEMPT, function()
      local turns, most = 0, 0
      local other = green.spawn(function()
        while true do
          turns = turns + 1
          green.sleep(0)
        end
      end)
      local function one_more()
        most = most + 1
        compute_until(function() return turns >= most end, "a turn")
      end
      local list = {3, 1, 2}
      table.sort(list, function(a, b)
        one_more()
        return a < b
      end)
      assert.same({1, 2, 3}, list)
      assert.equal("bb", (("aa"):gsub("a", function()
        one_more()
        return "b"
      end)))
      local object = setmetatable({}, {__index = function(_, key)
        one_more()
        return key
      end})
      assert.equal("x", object.x)
      other:kill()
    end)
  end)

  it("leaves what the thread computes as it would be", function()
    help.with_config({preempt = 0.0005}, function()
      local function fibonacci(n)
        if n < 2 then return n end
        return fibonacci(n - 1) + fibonacci(n - 2)
      end
      local threads = {}
      for i = 1, 4 do
        threads[i] = green.spawn(function()
          local words = {}
          for k = 1, 300 do words[k] = ("%d"):format(k):rep(10) end
          table.sort(words, function(a, b) return #a == #b and a < b
            or #a < #b end)
          return fibonacci(21), #table.concat(words)
        end)
      end
      for i = 1, 4 do
        local fib, length = threads[i]:wait()
        assert.same({10946, 7920}, {fib, length})
      end
    end)
  end)

  it("does not preempt where blocking is refused: __gc, hooks, comparisons",
    function()
      help.with_config(PREEMPT, function()
        --- Runs start(f), which calls f once: f computes, undivided.
        local function check(start)
          local turned, undivided = false, nil
          start(function()
            if undivided ~= nil then return end
            green.spawn(function() turned = true end)
            compute(0.02)
            undivided = not turned
          end)
          assert.is_true(undivided)
          compute_until(function() return turned end, "a turn")
        end
        check(function(f)
          setmetatable({}, {__gc = f})
          collectgarbage()
        end)
        check(function(f)
          debug.sethook(function()
            debug.sethook()
            f()
          end, "l")
          local _ = 1
        end)
        check(function(f)
          local q = green.priority_queue(nil, function(a, b)
            f()
            return a < b
          end)
          q:put(2)
          q:put(1)
        end)
      end)
    end)

  it("never replaces a hook of the program's, and counts that", function()
    help.with_config(PREEMPT, function()
      local lines, turned = 0, false
      green.spawn(function() turned = true end)
      local skipped = green.stats().hooks_in_the_way
      local function hook() lines = lines + 1 end
      debug.sethook(hook, "l")
      compute_until(function()
        return green.stats().hooks_in_the_way > skipped + 2
      end, "ticks")
      assert.equal(hook, (debug.gethook()))
      debug.sethook()
      assert.is_true(lines > 0)
      assert.is_false(turned)
      compute_until(function() return turned end, "a turn")
    end)
  end)

  it("lets a thread that is killed while it is preempted end", function()
    help.with_config({preempt = 0.001, grace = 0.05}, function()
      local closed = false
      local t = green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          closed = true
        end})
        while true do end -- luacheck: ignore
      end)
      help.wait_until(function() return t:stats().preempted > 0 end, "a turn")
      t:kill()
      t:join()
      assert.equal("killed", t:status())
      assert.is_true(closed)
    end)
  end)

  it("preempts handlers of <close>, also those of a killed thread", function()
    help.with_config(PREEMPT, function()
      local turned, in_close = false, nil
      do
        green.spawn(function() turned = true end)
        local _ <close> = setmetatable({}, {__close = function()
          compute_until(function() return turned end, "a turn")
        end})
      end
      turned = false
      local t = green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          green.spawn(function() turned = true end)
          compute_until(function() return turned end, "a turn")
          in_close = true
        end})
        green.sleep(60)
      end)
      help.blocked(t)
      t:kill()
      t:join()
      assert.is_true(in_close)
    end)
  end)

  it("refuses what is no time", function()
    for _, bad in ipairs {0, -1, 0 / 0, "soon", {}} do
      local ok, err = pcall(green.config, {preempt = bad})
      assert.is_false(ok)
      assert.matches("bad value for 'preempt'", err)
    end
  end)

  it("counts for each thread, also when it has ended", function()
    help.with_config(PREEMPT, function()
      local t = green.spawn(function()
        compute_until(function() return preempted() >= 2 end, "two turns")
      end)
      t:join()
      assert.is_true(t:stats().preempted >= 2)
    end)
  end)

  it("lets os.exit of a thread end a main that computes", function()
    local out, _, code = help.child [[
      local green = require "green"
      green.config{preempt = 0.001}
      green.spawn(function() green.sleep(0.01) os.exit(7, true) end)
      while true do end
    ]]
    assert.equal("", out)
    assert.equal(7, code)
  end)

  it("ends with the state, while a thread computes", function()
    local out, _, code = help.child [[
      local green = require "green"
      green.config{preempt = 0.0001, grace = 0.1}
      for _ = 1, 3 do
        green.spawn(function() while true do end end)
      end
      local n = 0
      local stop = os.clock() + 0.05
      while os.clock() < stop do n = n + 1 end
      print "end"
    ]]
    assert.equal("end\n", out)
    assert.equal(0, code)
  end)

  it("is nothing to a forked child", function()
    local out = help.child [[
      local green = require "green"
      green.config{preempt = 0.001}
      local f = io.popen("echo child; sleep 0.01; echo done")
      local stop = os.clock() + 0.02
      while os.clock() < stop do end
      io.write(f:read "a")
      f:close()
    ]]
    assert.equal("child\ndone\n", out)
  end)
end)

describe("green.atomic", function()
  --- Computes for some ticks, and tells whether another thread ran meanwhile.
  local function is_divided()
    local turned = false
    green.spawn(function() turned = true end)
    compute(0.03)
    return turned
  end

  it("runs f unpreempted, and returns what it returns", function()
    help.with_config(PREEMPT, function()
      assert.same({1, nil, 3, false}, {green.atomic(function(...)
        local divided = is_divided()
        local a, b, c = ...
        return a, b, c, divided
      end, 1, nil, 3)})
      local turned = false
      green.spawn(function() turned = true end)
      compute_until(function() return turned end, "a turn")
    end)
  end)

  it("protects coroutines that f resumes", function()
    help.with_config(PREEMPT, function()
      assert.is_false(green.atomic(function()
        return coroutine.wrap(is_divided)()
      end))
      assert.is_false(coroutine.wrap(function()
        return green.atomic(is_divided)
      end)())
    end)
  end)

  it("ends with an error of f", function()
    help.with_config(PREEMPT, function()
      local ok, err = pcall(green.atomic, error, "on purpose", 0)
      assert.same({false, "on purpose"}, {ok, err})
      local turned = false
      green.spawn(function() turned = true end)
      compute_until(function() return turned end, "a turn")
    end)
  end)

  it("may block and yield inside", function()
    help.with_config(PREEMPT, function()
      local t = green.spawn(green.atomic, function()
        green.sleep(0.001)
        return is_divided()
      end)
      assert.is_false(t:wait())
      local co = coroutine.wrap(function()
        return green.atomic(function(...)
          return coroutine.yield(...)
        end, 1, 2)
      end)
      assert.same({1, 2}, {co()})
      assert.same({3, 4}, {co(3, 4)})
    end)
  end)

  it("protects in any depth of calls", function()
    help.with_config(PREEMPT, function()
      local divided
      local function deep(n)
        if n > 0 then return 1 + deep(n - 1) end
        divided = is_divided()
        return 0
      end
      assert.equal(3000, green.atomic(deep, 3000))
      assert.is_false(divided)
    end)
  end)

  it("takes what can be called, and nothing else", function()
    assert.equal(5, green.atomic(setmetatable({}, {__call = function(_, x)
      return x
    end}), 5))
    local ok, err = pcall(green.atomic, 1)
    assert.is_false(ok)
    assert.matches("bad argument #1 to '.*atomic'", err)
  end)
end)
