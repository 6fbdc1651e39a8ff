-- Waiting for many threads and events: wait_all, as_completed.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local test = require "green.test"

local long = test.it(it, {limit = 60, seeds = 5})
local it, fifo = test.it(it), test.it(it, {order = "fifo"})
local after, fails = help.after, help.fails

local function sent(...)
  local e = green.event()
  e:send(...)
  return e
end

--- A class of the user's that stands for an event.
local function stand_in(e)
  return setmetatable({e = e}, {__waitable = function(self) return self.e end})
end

describe("green.wait_all", function()
  it("returns the first values in the order of the list, and their number",
    function()
      local e = green.event()
      green.spawn(function() green.sleep(1) e:send("event", "second") end)
      local r = green.wait_all {
        green.spawn(after, 2, "a", "b"), e, green.spawn(after, 0.5),
        sent("ready"), stand_in(sent("user's")), stand_in(e),
        green.spawn(after, 0.1, false),
      }
      assert.same({"a", "event", nil, "ready", "user's", "event", false, n = 7},
        r)
    end)

  it("returns an empty list for one", function()
    assert.same({n = 0}, green.wait_all {})
    assert.same({n = 0}, green.wait_all({}, 0))
  end)

  it("takes duplicates", function()
    local t, e = green.spawn(after, 1, "t"), green.event()
    green.spawn(function() green.sleep(2) e:send("e") end)
    assert.same({"t", "e", "t", "e", n = 4}, green.wait_all {t, e, t, e})
    assert.same({"t", "t", n = 2}, green.wait_all {t, t})
  end)

  it("raises the first failure as it happens; the others go on", function()
    local value, began = {}, green.now()
    local slow = green.spawn(after, 10, "slow")
    local text
    local ok, err = xpcall(green.wait_all, function(e)
      text = green.traceback(e)
      return e
    end, {slow, green.spawn(fails, 1, value), green.event()})
    assert.is_false(ok)
    assert.equal(value, err)
    assert.matches("caused by #%d+", text)
    assert.is_true(green.now() - began < 2)
    assert.equal("blocked", slow:status())
    assert.equal("slow", slow:wait())
  end)

  it("raises what was sent to an event as an error", function()
    local e = green.event()
    green.spawn(function() green.sleep(1) e:send_error("sent") end)
    assert.same({false, "sent"}, {pcall(green.wait_all, {green.event(), e})})
    assert.same({false, "sent"}, {pcall(green.wait_all, {e})})
  end)

  it("raises the killed object of a thread", function()
    local t = green.spawn(green.sleep, 100)
    t:kill("why")
    local ok, err = pcall(green.wait_all, {t})
    assert.is_false(ok)
    assert.equal("why", err.reason)
  end)

  it("returns nil, timeout at its limit", function()
    local t, began = green.spawn(after, 10, "t"), green.now()
    assert.same({nil, "timeout"}, {green.wait_all({t, sent(1)}, 2)})
    assert.is_true(green.now() - began >= 2)
    for _, s in ipairs {0, -1, -math.huge} do
      assert.same({nil, "timeout"}, {green.wait_all({t}, s)})
      assert.same({1, n = 1}, green.wait_all({sent(1)}, s))
    end
    assert.same({"t", n = 1}, green.wait_all({t}, math.huge))
    local a, b = green.spawn(after, 1, "a"), green.spawn(after, 3, "b")
    began = green.now()
    assert.same({nil, "timeout"}, {green.wait_all({a, b}, 2)})
    assert.is_true(green.now() - began < 2.5)
    b:wait()
  end)

  it("is interrupted, and leaves the threads alone", function()
    local t = green.spawn(after, 10, "t")
    local w = test.blocked(green.spawn(green.wait_all, {t, t}))
    w:kill()
    assert.equal("killed", green.type(select(2, w:join())))
    assert.same({nil, "timeout"}, {green.with_timeout(1, green.wait_all, {t})})
    assert.equal("t", t:wait())
  end)

  it("leaves errors that come after its limit to on_error", function()
    local list = help.collecting(function(errors)
      local t = green.spawn(fails, 2, "late")
      assert.same({nil, "timeout"}, {green.wait_all({t}, 1)})
      test.wait_until(function() return #errors == 1 end)
    end)
    assert.equal("late", list[1].err)
  end)

  fifo("hands a second failure of the same turn to on_error, and no other "
    .. "twice", function()
      local list = help.collecting(function(errors)
        local known = green.spawn(fails, 0, "known")
        known:join()
        local gate = green.event()
        local function work(text) gate:wait() error(text, 0) end
        local a, b = green.spawn(work, "a"), green.spawn(work, "b")
        green.spawn(function() green.sleep(1) gate:send() end)
        local ok, err = pcall(green.wait_all, {a, b, a, b})
        assert.same({false, "a"}, {ok, err})
        test.wait_until(function() return #errors == 1 end)
        assert.same({false, "known"}, {pcall(green.wait_all, {known, known})})
        green.sleep(1)
      end)
      assert.equal(1, #list)
      assert.equal("b", list[1].err)
    end)

  it("cannot wait for its own thread", function()
    local ok, err = pcall(green.wait_all, {green.current()})
    assert.is_false(ok)
    assert.matches("bad argument #1 to 'wait_all'", err)
    assert.matches("cannot wait for itself", err)
  end)

  it("refuses misuse at the caller's line, and watches nothing then",
    function()
      local t = green.spawn(fails, 1, "x")
      for _, item in ipairs {7, "x", green.queue(), green.lock(), {}} do
        local ok, err = pcall(function() green.wait_all {t, item} end)
        assert.is_false(ok)
        assert.matches("_spec.lua:%d+: bad argument #1 to 'wait_all'"
          .. " %(item 2: ", err)
      end
      for _, list in ipairs {7, "x", t} do
        local _, err = pcall(function() green.wait_all(list) end)
        assert.matches("_spec.lua:%d+: bad argument #1 to 'wait_all'",
          err)
      end
      for _, s in ipairs {"soon", {}, 0 / 0, true} do
        local _, err = pcall(function() green.wait_all({t}, s) end)
        assert.matches("_spec.lua:%d+: bad argument #2 to 'wait_all'",
          err)
      end
      local list = help.collecting(function(errors)
        test.wait_until(function() return #errors == 1 end)
      end)
      assert.equal("x", list[1].err)
    end)

  it("returns its results when an interruption comes in the turn of the last",
    function()
      local a, b = green.event(), green.event()
      local t = green.spawn(function()
        local r = green.wait_all {a, b}
        return r[1] .. r[2], pcall(green.sleep, 0)
      end)
      test.blocked(t)
      a:send("a")
      b:send("b")
      t:kill()
      local _, text, ok, err = t:join()
      assert.same({"ab", false}, {text, ok})
      assert.equal("killed", green.type(err))
    end)

  long("waits for 10,000 threads", function()
    local list = {}
    for i = 1, 10000 do list[i] = green.spawn(after, math.random(), i) end
    local r = green.wait_all(list)
    for i = 1, 10000 do assert(r[i] == i) end
  end)
end)

describe("green.as_completed", function()
  it("yields place and outcome in the order of the ends", function()
    local e, seen = green.event(), {}
    green.spawn(function() green.sleep(2) e:send("event", 2) end)
    local over = green.spawn(after, 0, "over")
    over:join()
    for i, ok, a, b in green.as_completed {
      green.spawn(after, 3, "slow", 3), e, green.spawn(fails, 1, "error"),
      over, green.spawn(after, 4), stand_in(sent("mine")),
    } do
      seen[#seen + 1] = {i, ok, a, b}
    end
    assert.same({{4, true, "over"}, {6, true, "mine"}, {3, false, "error"},
      {2, true, "event", 2}, {1, true, "slow", 3}, {5, true}}, seen)
  end)

  it("ends at once for an empty list", function()
    for _ in green.as_completed {} do error("what?") end
  end)

  it("takes duplicates", function()
    local t, n = green.spawn(after, 1, "t"), 0
    for _, ok, v in green.as_completed {t, t, t} do
      assert.same({true, "t"}, {ok, v})
      n = n + 1
    end
    assert.equal(3, n)
  end)

  it("left early leaves the threads alone; their errors are theirs", function()
    local list = help.collecting(function(errors)
      local slow = green.spawn(after, 10, "slow")
      for i in green.as_completed { -- luacheck: ignore
        slow, green.spawn(fails, 5, "late"), green.spawn(after, 1),
        green.spawn(fails, 1.5, "unread"),
      } do
        assert.equal(3, i)
        green.sleep(1)
        break
      end
      assert.equal("slow", slow:wait())
      test.wait_until(function() return #errors == 2 end)
    end)
    assert.same({"unread", "late"}, {list[1].err, list[2].err})
  end)

  it("is interrupted by a limit around it", function()
    local n = 0
    assert.same({nil, "timeout"}, {green.with_timeout(2, function()
      for _ in green.as_completed {green.spawn(after, 1), green.event()} do
        n = n + 1
      end
    end)})
    assert.equal(1, n)
  end)

  it("abandoned without a loop lets go of its threads", function()
    local list = help.collecting(function(errors)
      local e = green.event()
      local weak = setmetatable({}, {__mode = "v"})
      do
        local t = green.spawn(fails, 10, "x")
        local f, s = green.as_completed {t, e, green.spawn(after, 0)}
        weak[1] = s
        assert.equal(3, (f(s)))
      end
      collectgarbage()
      collectgarbage()
      assert.is_nil(weak[1])
      e:send()
      test.wait_until(function() return #errors == 1 end)
    end)
    assert.equal("x", list[1].err)
  end)

  it("shared by two readers gives each outcome to one of them", function()
    local seen, ts = {}, {}
    for i = 1, 9 do ts[i] = green.spawn(after, math.random() / 10, i) end
    local f, s = green.as_completed(ts)
    local function read()
      for i, ok, v in f, s do
        assert(ok and i == v)
        seen[#seen + 1] = i
      end
    end
    green.wait_all {green.spawn(read), green.spawn(read)}
    table.sort(seen)
    assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9}, seen)
  end)

  it("gives the outcome of a reader closed by foreign code to the next",
    function()
      help.with_config({keep_stacks = 0}, function()
        local e, co = green.event(), nil
        local f, s = green.as_completed {e}
        local a = test.blocked(green.spawn(function()
          co = coroutine.running()
          f(s)
        end))
        local b = test.blocked(green.spawn(function() return f(s) end))
        local both = green.spawn(function() e:send("x") end)
        both:wait()
        if a:status() == "ready" then
          coroutine.close(co)
          assert.same({1, true, "x"}, {b:wait()})
        else
          a:join()
          b:join()
        end
      end)
    end)

  it("raises what is pending, of an empty list, too", function()
    local t = green.spawn(function()
      green.current():throw("thrown")
      return pcall(green.wait_all, {})
    end)
    assert.same({false, "thrown"}, {t:wait()})
    assert.same({n = 0}, green.wait_all {})
  end)

  it("refuses misuse at the caller's line", function()
    local _, err = pcall(function() green.as_completed(7) end)
    assert.matches("_spec.lua:%d+: bad argument #1 to 'as_completed'",
      err)
    _, err = pcall(function() green.as_completed {green.queue()} end)
    assert.matches("_spec.lua:%d+: bad argument #1 to 'as_completed'"
      .. " %(item 1: thread or event expected", err)
  end)
end)
