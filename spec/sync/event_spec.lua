-- Events: one value, once.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("an event", function()
  help.both(it, "gives its values to all who wait, in order, and to latecomers",
    function()
      local e, order, ts = green.event(), {}, {}
      for i = 1, 10 do
        ts[i] = green.spawn(function()
          local v = table.pack(e:wait())
          order[#order + 1] = i
          return v
        end)
      end
      help.blocked(table.unpack(ts))
      assert.is_false(e:ready())
      e:send(1, nil, "x", nil)
      assert.is_true(e:ready())
      assert.same({}, order)
      for i = 1, 10 do
        assert.same({n = 4, 1, nil, "x", nil}, (ts[i]:wait()))
        assert.equal(i, order[i])
      end
      assert.same({n = 4, 1, nil, "x", nil}, table.pack(e:wait()))
      assert.same({n = 4, 1, nil, "x", nil}, table.pack(e:wait(0)))
    end)

  it("sends true when it is given nothing", function()
    local e = green.event()
    e:send()
    assert.same({n = 1, true}, table.pack(e:wait()))
  end)

  it("sends nil and false as they are", function()
    local e = green.event()
    e:send(nil)
    assert.same({n = 1}, table.pack(e:wait()))
    e = green.event()
    e:send(false)
    assert.is_false(e:wait())
  end)

  it("sends a table as one value", function()
    local e, v = green.event(), {1, 2}
    e:send(v)
    assert.equal(v, (e:wait()))
  end)

  it("sends many values", function()
    local e, list = green.event(), {}
    for i = 1, 240 do list[i] = i end
    local t = green.spawn(e.wait, e)
    help.blocked(t)
    e:send(table.unpack(list))
    assert.same(list, {t:wait()})
  end)

  help.both(it, "raises the sent error in all who wait, the very value",
    function()
      local e, err = green.event(), {}
      local ts = {}
      for i = 1, 3 do ts[i] = green.spawn(pcall, e.wait, e) end
      help.blocked(table.unpack(ts))
      e:send_error(err)
      for i = 1, 3 do
        local ok, got = ts[i]:wait()
        assert.is_false(ok)
        assert.is_true(rawequal(err, got))
      end
      assert.is_true(e:ready())
      assert.equal(err, select(2, pcall(e.wait, e, 0)))
    end)

  it("may be sent once only", function()
    local e = green.event()
    e:send(1)
    local ok, err = pcall(e.send, e, 2)
    assert.is_false(ok)
    assert.matches("sent already", err)
    assert.is_false(pcall(e.send_error, e, 2))
    assert.equal(1, e:wait())
    local e2 = green.event()
    e2:send_error(1)
    assert.is_false(pcall(e2.send, e2))
  end)

  it("refuses send_error without a value", function()
    local e = green.event()
    assert.is_false(pcall(e.send_error, e))
    assert.is_false(e:ready())
  end)

  it("sending never switches", function()
    local e, ran = green.event(), false
    local t = green.spawn(function() e:wait() ran = true end)
    help.blocked(t)
    e:send()
    assert.is_false(ran)
    t:wait()
  end)

  help.both(it, "has a limit to its wait", function()
    local e = green.event()
    assert.same({nil, "timeout"}, {e:wait(0)})
    assert.same({nil, "timeout"}, {e:wait(-5)})
    local began = green.now()
    assert.same({nil, "timeout"}, {e:wait(0.002)})
    assert.is_true(green.now() - began >= 0.002)
    assert.is_false(pcall(e.wait, e, 0 / 0))
  end)

  it("forgets waiters that were killed or timed out", function()
    local e = green.event()
    local a = green.spawn(e.wait, e)
    local b = green.spawn(e.wait, e, 0.001)
    local c = green.spawn(e.wait, e)
    help.blocked(a, b, c)
    a:kill()
    a:join()
    b:join()
    e:send("x")
    assert.equal("x", c:wait())
    assert.same({nil, "timeout"}, {b:wait()})
    assert.equal("killed", a:status())
  end)

  it("is collected with its values when nobody holds it", function()
    local weak = setmetatable({}, {__mode = "v"})
    do
      local e = green.event()
      weak[1] = {}
      e:send(weak[1], 2)
      green.spawn(e.wait, e):wait()
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)

  it("stays alive while a thread waits for it that has a limit", function()
    local t = green.spawn(function()
      return green.event():wait(0.002)
    end)
    help.blocked(t)
    collectgarbage()
    collectgarbage()
    assert.same({nil, "timeout"}, {t:wait()})
  end)

  it("knows its own kind", function()
    local e = green.event()
    assert.equal("event", green.type(e))
    for _, name in ipairs {"wait", "send", "send_error", "ready"} do
      local ok, err = pcall(e[name], io.stdout)
      assert.is_false(ok)
      assert.matches("green.event expected", err)
      assert.is_false(pcall(e[name], {}))
      assert.is_false(pcall(e[name]))
      assert.is_false(pcall(e[name], green.queue()))
    end
  end)

  it("wakes ten thousand waiters", function()
    local e, n = green.event(), 0
    for _ = 1, 10000 do
      green.spawn_n(function()
        local one = e:wait()
        n = n + one
      end)
    end
    green.sleep(0)
    e:send(1)
    help.wait_until(function() return n == 10000 end)
  end)
end)
