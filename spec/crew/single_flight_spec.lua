-- Equal calls that come while one is under way share its run.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local it = require "green.test".it(it)
local quiet = help.quiet

--- A function that waits for its gate, counts its runs, and returns the number
--- of the run and its arguments.
local function gated()
  local o = {runs = 0, gate = green.event(), ended = 0}
  function o.f(...)
    o.runs = o.runs + 1
    local run = o.runs
    local _ <close> = setmetatable({}, {
      __close = function() o.ended = o.ended + 1 end,
    })
    o.gate:wait()
    return run, ...
  end
  o.g = green.single_flight(o.f)
  return o
end

local function callers(o, n, ...)
  local ts = {}
  for i = 1, n do ts[i] = green.spawn(o.g, ...) end
  quiet()
  return ts
end

describe("a function that runs once", function()
  help.both(it, "gives all equal calls the results of one run", function()
    local o = gated()
    local ts = callers(o, 5, "a", nil, false)
    assert.equal(1, o.runs)
    o.gate:send()
    for _, t in ipairs(ts) do
      assert.same({n = 4, 1, "a", nil, false}, table.pack(t:wait()))
    end
  end)

  help.both(it, "runs anew when it is over", function()
    local o = gated()
    o.gate:send()
    assert.equal(1, o.g())
    assert.equal(2, o.g())
    assert.equal(3, green.spawn(o.g):wait())
  end)

  help.both(it, "runs anew for a call that comes before the callers of the run "
    .. "that is over have woken", function()
      local o = gated()
      local t = callers(o, 1)[1]
      o.gate:send()
      help.wait_until(function() return o.ended == 1 end)
      assert.equal(2, o.g())
      assert.equal(1, t:wait())
    end)

  help.both(it, "compares arguments by rawequal; nil and NaN are equal to "
    .. "themselves, and their number counts", function()
      local o = gated()
      local equal = setmetatable({}, {__eq = function() return true end})
      local also = setmetatable({}, getmetatable(equal))
      local ts = {}
      local function call(...)
        local t = green.spawn(o.g, ...)
        quiet()
        ts[#ts + 1] = t
        return o.runs
      end
      assert.equal(1, call())
      assert.equal(2, call(nil))
      assert.equal(3, call(nil, nil))
      assert.equal(3, call(nil, nil))
      assert.equal(4, call(0 / 0))
      assert.equal(4, call(-(0 / 0)))
      assert.equal(5, call(1))
      assert.equal(5, call(1.0))
      assert.equal(6, call("1"))
      assert.equal(7, call(equal))
      assert.equal(8, call(also))
      assert.equal(9, call(false))
      assert.equal(9, call(nil))
      assert.equal(9, call())
      o.gate:send()
      help.ended(table.unpack(ts))
    end)

  help.both(it, "raises its very error in all callers", function()
    local mine = {}
    local errors = help.collecting(function()
      local g = green.single_flight(function()
        green.sleep(0)
        error(mine)
      end)
      local a, b = green.spawn(pcall, g), green.spawn(pcall, g)
      local _, first = a:wait()
      local _, second = b:wait()
      assert.equal(mine, first)
      assert.equal(mine, second)
    end)
    assert.equal(0, #errors)
  end)

  for _, how in ipairs {"kill", "throw", "timeout"} do
    help.both(it, "goes on for the others when one caller ends by a " .. how,
      function()
        local o = gated()
        local a = green.spawn(pcall, function()
          local _ <close> = green.timeout(how == "timeout" and 0.001 or nil)
          return o.g()
        end)
        local b = green.spawn(o.g)
        quiet()
        if how ~= "timeout" then a[how](a, "x") end
        assert.is_false((a:wait()))
        assert.equal(0, o.ended)
        o.gate:send()
        assert.equal(1, b:wait())
      end)
  end

  help.both(it, "goes on while callers come and go, and ends with the last",
    function()
      local o = gated()
      local a, b = table.unpack(callers(o, 2))
      a:kill()
      help.ended(a)
      local c = callers(o, 1)[1]
      b:throw("x")
      help.ended(b)
      quiet()
      assert.equal(1, o.runs)
      assert.equal(0, o.ended)
      c:kill()
      help.wait_until(function() return o.ended == 1 end)
    end)

  help.both(it, "ends with a caller that is ended by force", function()
    help.with_config({grace = 0.001}, function()
      local o = gated()
      local t = green.spawn(function()
        while true do pcall(o.g) end
      end)
      quiet()
      t:kill()
      help.ended(t)
      help.wait_until(function() return o.ended == o.runs end)
    end)
  end)

  help.both(it, "is killed when every caller has gone; a call that comes then "
    .. "runs anew", function()
      local o = gated()
      local ts = callers(o, 3)
      for _, t in ipairs(ts) do t:kill() end
      help.ended(table.unpack(ts))
      local t = green.spawn(o.g)
      help.wait_until(function() return o.runs == 2 end)
      help.wait_until(function() return o.ended == 1 end)
      o.gate:send()
      assert.equal(2, t:wait())
    end)

  help.both(it, "does not run for a caller that is killed already", function()
    local o = gated()
    local t = green.spawn(function()
      green.current():kill()
      o.g()
    end)
    t:join()
    green.sleep(0)
    assert.equal(0, o.runs)
  end)

  help.both(it, "raises the killed object when its run is killed by others",
    function()
      local o = gated()
      local t = callers(o, 1)[1]
      for _, other in ipairs(green.threads()) do
        local w = other:blocked()
        if w and w.on == o.gate then other:kill() end
      end
      local ok, err = t:join()
      assert.is_false(ok)
      assert.equal("killed", green.type(err))
      o.gate:send()
      assert.equal(2, o.g())
    end)

  it("leaves the run of a caller whose coroutine is closed by foreign code",
    function()
      help.with_config({keep_stacks = 0}, function()
        local o = gated()
        local co
        green.spawn(function()
          co = coroutine.running()
          o.g()
        end)
        quiet()
        coroutine.close(co)
        help.wait_until(function() return o.ended == 1 end)
      end)
    end)

  help.both(it, "that calls itself with the same arguments raises", function()
    local g
    g = green.single_flight(function(n) return n == 0 and g(0) or g(n - 1) end)
    local ok, err = pcall(g, 2)
    assert.is_false(ok)
    assert.matches("cannot wait for itself", err)
  end)

  help.both(it, "leaves nothing behind", function()
    help.leaves_nothing(function()
      do
        local o = gated()
        local ts = callers(o, 4, 1, {}, nil)
        ts[1]:kill()
        o.gate:send()
        help.ended(table.unpack(ts))
        local _, tree = debug.getupvalue(o.g, 2)
        for i = 1, 5 do
          local name, value = debug.getupvalue(o.g, i)
          if name == "tree" then tree = value end
        end
        assert.same({}, tree)
      end
    end)
  end)

  help.both(it, "survives random kills of callers and runs", function()
    local running = {}
    local g = green.single_flight(function(key)
      running[#running + 1] = true
      local _ <close> = setmetatable({}, {
        __close = function() running[#running] = nil end,
      })
      for _ = 1, math.random(0, 5) do green.sleep(0) end
      return key
    end)
    local ts = {}
    for i = 1, 300 do
      local key = math.random(3)
      ts[i] = green.spawn(function()
        assert(g(key) == key)
      end)
      if math.random(2) == 1 then ts[math.random(i)]:kill() end
      if math.random(2) == 1 then green.sleep(0) end
    end
    for _, t in ipairs(ts) do
      local ok, err = t:join()
      assert(ok or green.type(err) == "killed", err)
    end
    help.wait_until(function() return #running == 0 end)
  end)

  it("must be callable", function()
    assert.matches("bad argument #1 to 'single_flight'",
      select(2, pcall(green.single_flight, 1)))
    local callable = setmetatable({}, {__call = function(_, x) return x end})
    assert.equal(7, green.single_flight(callable)(7))
  end)
end)
