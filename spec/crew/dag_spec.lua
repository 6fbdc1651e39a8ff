-- Tasks that depend on each other's results.
--
-- SPDX-License-Identifier: MIT

local core = require "green.core"
local green = require "green"
local dag = require "green.dag"
local help = require "spec.help"
local plainly = it
local test = require "green.test"
local long = test.it(it, {limit = 60, seeds = 3})
local it = test.it(it)

--- A task that waits for its gate and returns its key, in capitals.
local function gated(d, key, depends)
  local gate = green.event()
  d:spawn(key, depends, function(name, results)
    results:wait()
    gate:wait()
    return name:upper()
  end)
  return gate
end

local function fails(d, key, err)
  d:spawn(key, nil, function() error(err or "broken", 0) end)
end

local function needs(d, key, depends)
  return d:spawn(key, depends, function(_, results)
    return results:wait()
  end)
end

describe("a graph of tasks", function()
  help.both(it, "gives a task its key, its arguments and what it depends on",
    function()
      local d = dag {base = 1}
      d:spawn("sum", {"base", "late"}, function(key, results, ...)
        assert.equal("sum", key)
        local sum = select("#", ...)
        for name, ok, value in results do
          assert.is_true(ok)
          assert.is_truthy(name == "base" or name == "late")
          sum = sum + value
        end
        return sum, "more"
      end, nil, nil)
      d:spawn("late", nil, function() green.sleep(0) return 10 end)
      assert.same({sum = 13}, d:wait {"sum"})
      assert.same({13, "more"}, {d:get "sum"})
      assert.same({base = 1, late = 10, sum = 13}, d:wait())
    end)

  help.both(it, "tells results in the order in which they arrive, those first "
    .. "that are there", function()
      local d = dag()
      local gates = {}
      for key in ("abcd"):gmatch "." do gates[key] = gated(d, key) end
      gates.c:send()
      d:wait {"c"}
      local seen = {}
      local t = d:spawn("all", {"a", "b", "c", "d", "a"}, function(_, results)
        for key, ok, value in results do
          seen[#seen + 1] = key .. tostring(ok) .. value
        end
      end)
      for _, key in ipairs {"d", "a", "b"} do
        green.sleep(0)
        gates[key]:send()
        d:wait {key}
      end
      t:wait()
      assert.same({"ctrueC", "dtrueD", "atrueA", "btrueB"}, seen)
    end)

  help.both(it, "lets all tasks run at once", function()
    local d, most, now = dag(), 0, 0
    for i = 1, 20 do
      d:spawn(i, nil, function()
        now = now + 1
        most = math.max(most, now)
        green.sleep(0.001)
        now = now - 1
      end)
    end
    d:wait()
    assert.equal(20, most)
  end)

  help.both(it, "knows several values, nil and false among them", function()
    local d = dag()
    d:spawn(1, nil, function() return nil, false, 3 end)
    d:spawn(false, nil, function() end)
    d:wait {1, false}
    assert.same({n = 3, nil, false, 3}, table.pack(d:get(1)))
    assert.same({n = 0}, table.pack(d:get(false)))
    local seen = {}
    for key, ok, a, b, c in d:wait_each {1} do seen = {key, ok, a, b, c} end
    assert.same({1, true, nil, false, 3}, seen)
  end)

  help.both(it, "takes keys that nobody has spawned yet", function()
    local d = dag()
    local t = green.spawn(d.wait, d, {"x"})
    needs(d, "y", {"x"})
    help.blocked(t)
    assert.same({nil, "timeout"}, {d:get "x"})
    d:post("x", "posted")
    assert.same({x = "posted"}, t:wait())
    assert.same({y = {x = "posted"}}, d:wait {"y"})
  end)

  it("refuses a key that is taken, and a cycle", function()
    local d = dag {a = 1}
    local function refused(text, ...)
      local ok, err = pcall(d.spawn, d, ...)
      assert.is_false(ok)
      assert.matches(text, err, 1, true)
    end
    refused("'a' is taken", "a", nil, print)
    local gate = gated(d, "b", {"c"})
    refused("'b' is taken", "b", nil, print)
    refused("c <- b <- c", "c", {"a", "b"}, print)
    refused("z <- z", "z", {"z"}, print)
    d:spawn("c", nil, function() return 1 end)
    gate:send()
    d:wait()
  end)

  it("spawns many with one function, all or none", function()
    local d = dag {z = 0}
    local function sum(_, results)
      local n = 1
      for _, _, value in results do n = n + value end
      return n
    end
    d:spawn_many({a = {}, b = {"a"}, c = {"a", "b"}}, sum)
    assert.same({a = 1, b = 2, c = 4}, d:wait {"a", "b", "c"})
    for _, graph in ipairs {{q = {}, z = {}}, {q = {"r"}, r = {"q"}}} do
      assert.is_false(pcall(d.spawn_many, d, graph, sum))
      assert.equal(0, d:running())
    end
  end)

  it("checks its arguments", function()
    local d = dag()
    for text, call in pairs {
      ["#1 to 'dag' %(table"] = function() dag(1) end,
      ["#1 to 'spawn' %(key expected, got nil"] = function()
        d:spawn(nil, nil, print)
      end,
      ["#1 to 'spawn' %(key expected, got NaN"] = function()
        d:spawn(0 / 0, nil, print)
      end,
      ["#2 to 'spawn' %(table"] = function() d:spawn(1, "a", print) end,
      ["#3 to 'spawn' %(function"] = function() d:spawn(1, nil, 1) end,
      ["#1 to 'spawn_many' %(table"] = function() d:spawn_many(nil, print) end,
      ["#1 to 'wait' %(table"] = function() d:wait("a") end,
      ["#2 to 'wait' %(seconds"] = function() d:wait({}, 0 / 0) end,
      ["#1 to 'wait_each' %(table"] = function() d:wait_each(1) end,
      ["#1 to 'post' %(key"] = function() d:post() end,
      ["#1 to 'get' %(key"] = function() d:get() end,
      ["#1 to 'kill' %(key"] = function() d:kill() end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok)
      assert.matches(text, err)
      assert.matches("^spec/crew/dag_spec.lua:%d+: ", err)
    end
    assert.equal("dag", green.type(d))
  end)
end)

describe("a task that fails", function()
  help.both(it, "gives dependents an error that names the chain", function()
    local cause = {}
    local d = dag()
    fails(d, "a", cause)
    needs(d, "b", {"a"})
    needs(d, "c", {"b"})
    local errors = help.collecting(function()
      local ok, err = pcall(d.wait, d, {"c"})
      assert.is_false(ok)
      assert.equal("dag_error", green.type(err))
      assert.equal("c", err.key)
      assert.same({"c", "b", "a"}, err.chain)
      assert.equal(cause, err.cause)
      assert.equal(err, select(2, pcall(d.get, d, "c")))
      assert.equal(err, select(2, pcall(d.wait, d, {"c"})))
      assert.same({"b", "a"}, select(2, pcall(d.get, d, "b")).chain)
    end)
    assert.same({}, errors)
  end)

  help.both(it, "need not end those that depend on it", function()
    local d = dag()
    fails(d, "a")
    d:spawn("b", {"a"}, function(_, results)
      local key, ok, err = results()
      return key .. tostring(ok) .. ": " .. err
    end)
    assert.same({b = "afalse: dag: a failed: broken"}, d:wait {"b"})
  end)

  help.both(it, "is raised by wait when it happens; the others go on",
    function()
      local d = dag()
      local gate = gated(d, "slow")
      local first = green.spawn(pcall, d.wait, d, {"slow", "bad"})
      local other = green.spawn(d.wait, d, {"slow"})
      help.blocked(first, other)
      fails(d, "bad")
      local ok, err = first:wait()
      assert.is_false(ok)
      assert.equal("dag: bad failed: broken", tostring(err))
      gate:send()
      assert.same({slow = "SLOW"}, other:wait())
    end)

  it("has a traceback that leads to it", function()
    local d = dag()
    d:spawn("a", nil, function() error("broken", 0) end)
    needs(d, "b", {"a"})
    local _, text = xpcall(d.wait, green.traceback, d, {"b"})
    assert.matches("^dag: b <%- a failed: broken\n", text)
    assert.matches("caused by #%d+ dag b:.*caused by #%d+ dag a:", text)
    assert.matches("dag_spec.lua:%d+: in local 'f'", text)
  end)

  help.both(it, "by a kill or a throw before or after it began is decided",
    function()
      local d = dag()
      for _, how in ipairs {"kill", "throw"} do
        local key = how .. " new"
        local t = d:spawn(key, nil, print)
        t[how](t, "struck")
        local ok, err = pcall(d.wait, d, {key})
        assert.is_false(ok)
        assert.matches("struck", tostring(err))
        key = how .. " blocked"
        t = d:spawn(key, nil, function() green.sleep(60) end)
        help.blocked(t)
        t[how](t, "struck")
        ok, err = pcall(d.wait, d, {key})
        assert.is_false(ok)
        assert.matches("struck", tostring(err))
      end
      assert.equal(0, d:running())
    end)

  help.both(it, "because it is ended by force is decided, too", function()
    help.with_config({grace = 0.001}, function()
      local d = dag()
      local t = d:spawn("a", nil, function()
        while true do pcall(green.sleep, 60) end
      end)
      help.blocked(t)
      t:kill "enough"
      local ok, err = pcall(d.wait, d, {"a"})
      assert.is_false(ok)
      assert.equal("killed", green.type(err.cause))
    end)
  end)

  it("because its coroutine was closed by foreign code, too", function()
    help.with_config({keep_stacks = 0}, function()
      local d, co = dag(), nil
      local t = d:spawn("a", nil, function()
        co = coroutine.running()
        green.sleep(60)
      end)
      help.blocked(t)
      coroutine.close(co)
      assert.matches("foreign", select(2, pcall(d.wait, d)) .. "")
    end)
  end)
end)

describe("waiting for keys", function()
  help.both(it, "has a limit", function()
    local d = dag {there = 1}
    local gate = gated(d, "a")
    for _, s in ipairs {0, -1, 0.001} do
      assert.same({nil, "timeout"}, {d:wait({"a"}, s)})
    end
    assert.same({there = 1}, d:wait({"there"}, 0))
    assert.same({}, d:wait({}, 0))
    gate:send()
    assert.same({a = "A"}, d:wait({"a"}, 60))
  end)

  for _, how in ipairs {"kill", "throw", "timeout"} do
    help.both(it, "is interrupted by a " .. how .. "; others are served",
      function()
        local d = dag()
        local gate = gated(d, "a")
        local t = green.spawn(function()
          local _ <close> = green.timeout(how == "timeout" and 0.001 or nil)
          return d:wait()
        end)
        local other = green.spawn(d.wait, d)
        help.blocked(t, other)
        if how ~= "timeout" then t[how](t, "x") end
        assert.is_false((t:join()))
        gate:send()
        assert.same({a = "A"}, other:wait())
      end)
  end

  help.both(it, "goes on after an interruption with what had arrived",
    function()
      local d, seen, whole = dag(), {}, nil
      local gates = {a = gated(d, "a"), b = gated(d, "b"), c = gated(d, "c")}
      d:spawn("sum", {"a", "b", "c"}, function(_, results)
        local ok
        repeat ok = green.with_timeout(0.001, results, nil, nil) until ok
        seen[1] = ok
        repeat whole = results:wait(0.001) until whole
      end)
      green.sleep(0.003)
      gates.a:send()
      green.sleep(0.003)
      gates.b:send()
      green.sleep(0.003)
      gates.c:send()
      d:wait()
      assert.same({"a"}, seen)
      assert.same({b = "B", c = "C"}, whole)
    end)

  help.both(it, "raises on entry what is pending", function()
    local d = dag {a = 1}
    for _, keys in ipairs {{}, {"a"}} do
      local t = green.spawn(function()
        green.current():kill()
        local ok, err = pcall(d.wait, d, keys)
        assert.is_false(ok)
        assert.equal("killed", green.type(err))
        return d:wait(keys, 0)
      end)
      assert.is_truthy(t:wait())
    end
  end)

  help.both(it, "one by one may be left early", function()
    local d = dag()
    local gates = {a = gated(d, "a"), b = gated(d, "b")}
    gates.a:send()
    local results = d:wait_each {"a", "b"}
    for key, ok, value in results, nil, nil, results do
      assert.same({"a", true, "A"}, {key, ok, value})
      if ok then break end
    end
    assert.equal(0, (core.crew_methods.figures(results.crew)))
    gates.b:send()
    local n = 0
    for _ in d:wait_each() do n = n + 1 end
    assert.equal(2, n)
  end)
end)

describe("post", function()
  help.both(it, "gives a key a value, replaces one only if told to", function()
    local d = dag()
    d:post("a", 1)
    assert.is_false(pcall(d.post, d, "a", 2))
    d:post("a", 2, true)
    assert.equal(2, d:get "a")
    fails(d, "b")
    pcall(d.wait, d)
    assert.is_false(pcall(d.post, d, "b", 1))
    d:post("b", 1, true)
    assert.equal(1, d:get "b")
  end)

  help.both(it, "for a task is the task's own, and goes before its results",
    function()
      local d = dag()
      local gate = green.event()
      local t = d:spawn("a", nil, function()
        d:post("a", "early")
        gate:wait()
        return "late"
      end)
      assert.is_false(pcall(d.post, d, "a", 1, true))
      assert.same({a = "early"}, d:wait())
      gate:send()
      t:wait()
      assert.equal("early", d:get "a")
    end)

  help.both(it, "by a task that fails then: on_error hears of it", function()
    local d = dag()
    local errors = help.collecting(function(list)
      d:spawn("a", nil, function()
        d:post("a", 1)
        error("later", 0)
      end)
      help.wait_until(function() return #list == 1 end)
    end)
    assert.equal("later", errors[1].err)
    assert.equal(1, d:get "a")
  end)
end)

describe("kill", function()
  help.both(it, "ends a task and forgets the key; who waits goes on waiting",
    function()
      local d = dag()
      local ended
      local task = d:spawn("a", nil, function()
        local _ <close> = setmetatable({}, {
          __close = function() ended = true end,
        })
        green.sleep(60)
      end)
      local t = green.spawn(d.wait, d, {"a"})
      help.blocked(task, t)
      assert.is_true(d:kill "a")
      assert.is_false(d:kill "a")
      assert.is_false(d:kill "unknown")
      d:spawn("a", nil, function() green.sleep(0) return "second" end)
      assert.same({a = "second"}, t:wait())
      task:join()
      assert.is_true(ended)
      assert.is_true(d:kill "a")
      assert.same({nil, "timeout"}, {d:get "a"})
    end)

  help.both(it, "of a key whose value has come, but not been taken", function()
    local d = dag()
    local t = green.spawn(d.wait, d, {"a"})
    help.blocked(t)
    d:post("a", 1)
    d:kill "a"
    help.wait_until(function() return t:status() == "blocked" end)
    d:post("a", 2)
    assert.same({a = 2}, t:wait())
    t = green.spawn(d.wait, d, {"b"})
    help.blocked(t)
    d:post("b", 1)
    d:kill "b"
    d:post("b", 2)
    assert.same({b = 2}, t:wait())
  end)

  help.both(it, "leaves the errors of clean-up to on_error", function()
    local d = dag()
    local errors = help.collecting(function(list)
      local t = d:spawn("a", nil, function()
        local _ <close> = setmetatable({}, {
          __close = function() error("unclean", 0) end,
        })
        green.sleep(60)
      end)
      help.blocked(t)
      d:kill "a"
      help.wait_until(function() return #list == 1 end)
    end)
    assert.equal("unclean", errors[1].err)
  end)
end)

describe("looking at a graph", function()
  it("tells who runs, who waits and for what", function()
    local d = dag {base = 1}
    local gate = gated(d, "a")
    needs(d, "b", {"base", "a", "x"})
    needs(d, "c", {"b"})
    green.sleep(0)
    assert.equal(3, d:running())
    assert.equal(2, d:waiting())
    assert.same({"a", "x"}, d:waiting_for "b")
    assert.same({b = {"a", "x"}, c = {"b"}}, d:waiting_for())
    assert.same({}, d:waiting_for "a")
    assert.same({}, d:waiting_for "unknown")
    assert.same({"base"}, d:keys())
    gate:send()
    d:post("x", 0)
    d:wait()
    assert.equal(0, d:running())
    assert.equal(0, d:waiting())
    assert.same({"base", "x", "a", "b", "c"}, d:keys())
    local seen = {}
    for key, ok in d:items() do seen[#seen + 1] = key .. tostring(ok) end
    assert.same({"basetrue", "xtrue", "atrue", "btrue", "ctrue"}, seen)
  end)

  plainly("is told of a graph that hangs, in a deadlock", function()
    local d = dag()
    needs(d, "a", {"nobody"})
    local ok, err = pcall(d.wait, d, {"a"})
    assert.is_false(ok)
    assert.equal("deadlock", green.type(err))
    assert.same({a = {"nobody"}}, d:waiting_for())
    d:kill "a"
    green.sleep(0)
  end)
end)

describe("a big graph", function()
  help.both(it, "survives random kills: every key is decided",
    function()
      local d, ts = dag(), {}
      for i = 1, 200 do
        local depends = {}
        for _ = 1, math.min(i - 1, math.random(0, 4)) do
          depends[#depends + 1] = math.random(i - 1)
        end
        ts[i] = d:spawn(i, depends, function(_, results)
          for _ = 1, math.random(0, 3) do green.sleep(0) end
          if math.random(20) == 1 then error("bad luck", 0) end
          for _, ok, err in results do
            if not ok and math.random(2) == 1 then error(err, 0) end
          end
          return i
        end)
        if math.random(10) == 1 then ts[math.random(i)]:kill() end
        if math.random(3) == 1 then green.sleep(0) end
      end
      local n = 0
      for key, ok, value in d:wait_each() do
        n = n + 1
        if ok then
          assert(value == key)
        else
          assert(value.chain[1] == key)
          assert(value.cause == "bad luck"
            or green.type(value.cause) == "killed", value .. "")
        end
      end
      assert.equal(200, n)
      help.ended(table.unpack(ts))
      assert.equal(0, d:running())
    end)
end)

describe("a graph", function()
  it("says which argument holds a key that is none", function()
    local d = dag()
    local function complains(text, f)
      local ok, err = pcall(f)
      assert.is_false(ok)
      assert.matches("^%S*dag_spec.lua:%d+: bad argument " .. text, err)
    end
    local nan = {1, 0/0}
    complains("#1 to 'wait' %(keys expected, got NaN%)", function()
      local values = d:wait(nan)
      return values
    end)
    complains("#1 to 'wait_each' %(keys", function()
      local results = d:wait_each(nan)
      return results
    end)
    complains("#2 to 'wait' %(seconds expected, got NaN%)", function()
      local values = d:wait({"a"}, 0/0)
      return values
    end)
    assert.same({nil, "timeout"}, {d:wait({"a"}, "0.001")})
    complains("#2 to 'spawn' %(keys", function()
      local t = d:spawn("a", nan, print)
      return t
    end)
    complains("#1 to 'spawn_many' %(keys", function()
      d:spawn_many({a = {}, b = nan, c = {}}, print)
    end)
    complains("#1 to 'spawn_many' %(lists expected, got number", function()
      d:spawn_many({a = {}, b = 1, c = {}}, print)
    end)
    complains("#1 to 'spawn_many' %(table expected, got nil", function()
      d:spawn_many(nil, print)
    end)
    assert.equal(0, d:running())
  end)

  it("raises what is pending also at the end of a loop", function()
    local d = dag {a = 1}
    local seen = {}
    local t = green.spawn(function()
      for key in d:wait_each {"a"} do
        seen[#seen + 1] = key
        green.current():kill()
      end
      seen[#seen + 1] = "over"
    end)
    local ok, err = t:join()
    assert.is_false(ok)
    assert.equal("killed", green.type(err))
    assert.same({"a"}, seen)
  end)

  long("of a long chain takes no longer for each further link", function()
    local d, n = dag {[0] = 0}, 20000
    if os.getenv "LUAGREEN_EAGER_GC" then n = 1000 end -- each marks them all
    for i = 1, n do
      d:spawn(i, {i - 1}, function(_, results)
        return results:wait()[i - 1] + 1
      end)
    end
    assert.equal(n, d:wait({n})[n])
    assert.has_error(function() d:spawn(n + 1, {n + 1}, print) end)
  end)

  it("spawns all or none also when there are too many threads", function()
    local d = dag()
    local most = {max_threads = green.stats().threads + 1}
    help.with_config(most, function()
      local graph = {a = {"x"}, b = {"x"}, c = {"x"}}
      local ok, err = pcall(d.spawn_many, d, graph, print)
      assert.is_false(ok)
      assert.matches("too many green threads", err)
    end)
    assert.equal(0, d:running())
    assert.same({}, d:waiting_for())
  end)
end)
