-- The steps of a kill: raised at once, then again after each lap of the others,
-- then forced past every handler.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function closing(f)
  return setmetatable({}, {__close = f})
end

--- Kills a thread that runs f, while a bystander counts its turns; returns
--- the thread, the bystander's turns meanwhile, and the seconds it took.
local function kill(f, ...)
  local turns, over = 0, false
  local bystander = green.spawn(function()
    while not over do
      turns = turns + 1
      green.sleep(0)
    end
  end)
  local t = green.spawn(f, ...)
  help.with_config({preempt = false}, function() -- it comes to where it waits
    help.wait_until(function() return t:status() ~= "new" end)
    help.wait_until(function() return turns > 2 end)
  end)
  turns = 0
  local began = green.now()
  t:kill("ladder")
  t:join()
  over = true
  local took = green.now() - began
  bystander:join()
  return t, turns, took
end

local function rung(name, f)
  for _, grace in ipairs {0.2} do
    help.both(it, name, function()
      help.with_config({grace = grace}, f)
    end)
  end
end

describe("a killed thread", function()
  rung("that swallows the kill twice lets the others run in between",
    function()
      local laps = {}
      local turns = 0
      local over = false
      green.spawn(function()
        while not over do
          turns = turns + 1
          green.sleep(0)
        end
      end)
      local t = green.spawn(function()
        pcall(green.sleep, 60)
        laps[1] = turns
        pcall(green.sleep, 60)
        laps[2] = turns
        pcall(green.sleep, 60)
        laps[3] = turns
        return "by itself"
      end)
      help.blocked(t)
      t:kill()
      assert.equal("by itself", t:wait())
      over = true
      assert.is_true(laps[2] > laps[1] and laps[3] > laps[2])
    end)

  rung("in a loop of pcalls starves nobody, and is forced", function()
    local closed, with
    local t, turns = kill(function()
      local _ <close> = closing(function(_, err)
        closed, with = true, err
      end)
      while true do pcall(green.sleep, 60) end
    end)
    assert.equal("killed", t:status())
    assert.equal("killed", green.type(select(2, t:join())))
    assert.is_true(closed)
    assert.is_nil(with)
    assert.is_true(turns > 100)
  end)

  rung("in a loop of pcalls of calls that need not wait is forced", function()
    local q = green.queue()
    q:put(1)
    local t = kill(function()
      green.sleep(0.001)
      while true do
        pcall(function() q:put(q:get()) end)
      end
    end)
    assert.equal("killed", t:status())
    assert.equal(1, #q)
  end)

  rung("in a loop of pcalls inside table.sort is forced", function()
    local closed
    local t, turns = kill(function()
      local _ <close> = closing(function() closed = true end)
      table.sort({1, 2, 3}, function()
        local _ <close> = closing(function() closed = true end)
        while true do pcall(green.sleep, 60) end
      end)
    end)
    assert.equal("killed", t:status())
    assert.is_true(closed)
    assert.is_true(turns > 100)
  end)

  rung("in a loop of pcalls around table.sort is forced", function()
    local t = kill(function()
      while true do
        pcall(table.sort, {1, 2, 3}, function(a, b)
          green.sleep(60)
          return a < b
        end)
      end
    end)
    assert.equal("killed", t:status())
  end)

  rung("in a loop of pcalls in a nested coroutine is forced", function()
    local t, turns = kill(function()
      coroutine.wrap(function()
        while true do pcall(green.sleep, 60) end
      end)()
    end)
    assert.equal("killed", t:status())
    assert.is_true(turns > 100)
  end)

  rung("in a loop of nested coroutines that die is forced", function()
    local t = kill(function()
      while true do
        pcall(coroutine.wrap(function() green.sleep(60) end))
      end
    end)
    assert.equal("killed", t:status())
  end)

  rung("in a loop of coroutine.resume is forced", function()
    local t = kill(function()
      while true do
        coroutine.resume(coroutine.create(green.sleep), 60)
      end
    end)
    assert.equal("killed", t:status())
  end)

  rung("that computes for ever after it saw the kill is forced", function()
    local closed
    local t, turns = kill(function()
      local _ <close> = closing(function() closed = true end)
      pcall(green.sleep, 60)
      while true do end -- luacheck: ignore
    end)
    assert.equal("killed", t:status())
    assert.is_true(closed)
    assert.is_true(turns > 0)
  end)

  rung("that computes for ever inside pcalls in a loop is forced", function()
    local closed
    local t = kill(function()
      local _ <close> = closing(function() closed = true end)
      pcall(green.sleep, 60)
      while true do
        pcall(function() while true do end end) -- luacheck: ignore
      end
    end)
    assert.equal("killed", t:status())
    assert.is_true(closed)
  end)

  rung("that computes for ever inside table.sort is forced", function()
    local t, turns = kill(function()
      table.sort({1, 2, 3}, function()
        pcall(green.sleep, 60)
        local function compute() while true do end end -- luacheck: ignore
        while true do pcall(compute) end
      end)
    end)
    assert.equal("killed", t:status())
    assert.is_true(turns > 0)
  end)

  rung("that computes for ever in a nested coroutine is forced", function()
    local t = kill(function()
      coroutine.wrap(function()
        pcall(green.sleep, 60)
        local function compute() while true do end end -- luacheck: ignore
        while true do pcall(compute) end
      end)()
    end)
    assert.equal("killed", t:status())
  end)

  rung("that blocks in <close> is struck there, too", function()
    local struck
    local t = kill(function()
      local _ <close> = closing(function()
        struck = select(2, pcall(green.sleep, 60))
      end)
      green.sleep(60)
    end)
    assert.equal("killed", t:status())
    assert.equal("killed", green.type(struck))
  end)

  rung("that swallows the kill in <close> for ever is forced", function()
    local t, turns = kill(function()
      local _ <close> = closing(function()
        while true do pcall(green.sleep, 60) end
      end)
      green.sleep(60)
    end)
    assert.equal("killed", t:status())
    assert.is_true(turns > 100)
  end)

  rung("that computes for ever in <close> is forced", function()
    local t = kill(function()
      local _ <close> = closing(function()
        local function compute() while true do end end -- luacheck: ignore
        while true do pcall(compute) end
      end)
      green.sleep(60)
    end)
    assert.equal("killed", t:status())
  end)

  rung("that is forced and swallows again in the handlers that run then ends",
    function()
      local t = kill(function()
        local _ <close> = closing(function()
          while true do pcall(green.sleep, 60) end
        end)
        local _ <close> = closing(function()
          while true do pcall(green.sleep, 60) end
        end)
        while true do pcall(green.sleep, 60) end
      end)
      assert.equal("killed", t:status())
    end)

  rung("under an endless shield is not struck before the shield ends",
    function()
      local done
      local t = kill(function()
        green.shield(math.huge, green.sleep, 0.3)
        done = true
        green.sleep(60)
      end)
      assert.is_true(done)
      assert.equal("killed", t:status())
    end)

  rung("that is forced and raises in its handlers fails with that", function()
    local t = kill(function()
      local _ <close> = closing(function() error("in the handler", 0) end)
      while true do pcall(green.sleep, 60) end
    end)
    assert.equal("failed", t:status())
    assert.equal("in the handler", (select(2, t:join())))
  end)

  rung("may clean up with a few hundred pcalls before it is forced", function()
    help.with_config({grace = 60}, function()
      local calls = 0
      local t = kill(function()
        pcall(green.sleep, 60)
        for _ = 1, 900 do
          pcall(green.sleep, 0)
          calls = calls + 1
        end
      end)
      assert.equal("done", t:status())
      assert.equal(900, calls)
    end)
  end)

  rung("is forced after a thousand deliveries even when grace is long",
    function()
      help.with_config({grace = 1000}, function()
        local n = 0
        local t = kill(function()
          while true do
            n = n + 1
            pcall(green.sleep, 60)
          end
        end)
        assert.equal("killed", t:status())
        assert.is_true(n >= 1000)
      end)
    end)

  rung("that was forced leaves nothing behind", function()
    help.leaves_nothing(function()
      for _ = 1, 5 do
        kill(function()
          local _ <close> = green.timeout(60)
          while true do pcall(green.sleep, 60) end
        end)
      end
    end)
  end)
end)

describe("an expired timeout that is swallowed", function()
  rung("again and again starves nobody", function()
    local turns, over = 0, false
    green.spawn(function()
      while not over do
        turns = turns + 1
        green.sleep(0)
      end
    end)
    local t = green.spawn(function()
      local to = green.timeout(0)
      for _ = 1, 2000 do
        local ok, err = pcall(green.sleep, 60)
        assert(not ok and err == to)
      end
      to:cancel()
      return turns
    end)
    assert.is_true(t:wait() >= 1000)
    over = true
  end)
end)

describe("a kill that the thread swallowed", function()
  rung("ends with the thread: the next one is unharmed", function()
    for _ = 1, 20 do
      local t = green.spawn(function() pcall(green.sleep, 60) end)
      help.blocked(t)
      t:kill()
      t:join()
    end
    for _ = 1, 20 do
      assert.equal(10000, green.spawn(function()
        local n = 0
        for _ = 1, 10000 do n = n + 1 end
        green.sleep(0)
        return n
      end):wait())
    end
  end)
end)
