-- Piles: results in the order of the spawns.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local test = require "green.test"

local busted_it = it
local it, fifo = test.it(it), test.it(it, {order = "fifo"})
local after, fails = help.after, help.fails

describe("a pile", function()
  it("yields what was spawned in the order of the spawns", function()
    local pile <close> = green.pile(10)
    for i = 1, 10 do
      local t = pile:spawn(after, (10 - i) / 10, i, nil, "more")
      assert.equal("thread", green.type(t))
    end
    local n = 0
    for i, ok, a, b, c in pile:results() do
      n = n + 1
      assert.same({n, true, n, nil, "more"}, {i, ok, a, b, c})
    end
    assert.equal(10, n)
  end)

  it("keeps errors and nils in their places", function()
    local pile <close> = green.pile(2)
    pile:spawn(after, 0, 1)
    pile:spawn(fails, 0, "two")
    pile:spawn(after, 0)
    pile:spawn(green.sleep, 100):kill("four")
    pile:spawn(after, 0, 5)
    local list = {}
    for i, ok, v in pile:results() do list[i] = {ok, v} end
    assert.same({true, 1}, list[1])
    assert.same({false, "two"}, list[2])
    assert.same({true}, list[3])
    assert.is_false(list[4][1])
    assert.equal("four", list[4][2].reason)
    assert.same({true, 5}, list[5])
  end)

  it("ends at once when nothing was spawned, and goes on with what comes later",
    function()
      local pile <close> = green.pile(2)
      assert.is_nil((pile:results())(pile))
      pile:spawn(after, 0, "a")
      for i, _, v in pile:results() do assert.same({1, "a"}, {i, v}) end
      pile:spawn(after, 0, "b")
      for i, _, v in pile:results() do assert.same({2, "b"}, {i, v}) end
    end)

  it("gives an interrupted result again", function()
    local pile <close> = green.pile(2)
    pile:spawn(after, 1, "one")
    pile:spawn(after, 0, "two")
    assert.same({nil, "timeout"}, {green.with_timeout(0.1, function()
      for _ in pile:results() do error("too early") end
    end)})
    local seen = {}
    for i, _, v in pile:results() do seen[i] = v end
    assert.same({"one", "two"}, seen)
  end)

  it("is not put out of order by a spawn that was interrupted", function()
    local pile <close> = green.pile(1)
    pile:spawn(after, 1, "one")
    assert.same({nil, "timeout"}, {green.with_timeout(0.1, pile.spawn, pile,
      after, 0, "never")})
    pile:spawn(after, 0, "two")
    local seen = {}
    for i, _, v in pile:results() do seen[i] = v end
    assert.same({"one", "two"}, seen)
  end)

  it("stands apart from others over the same pool", function()
    local pool = green.pool(2)
    local a <close> = green.pile(pool)
    local b <close> = green.pile(pool)
    local work = green.spawn(function()
      for i = 1, 5 do
        a:spawn(after, math.random() / 10, "a" .. i)
        b:spawn(after, math.random() / 10, "b" .. i)
      end
    end)
    work:wait()
    for i, _, v in a:results() do assert.equal("a" .. i, v) end
    for i, _, v in b:results() do assert.equal("b" .. i, v) end
    assert.equal(0, pool:running())
  end)

  it("kills and joins what is left when it is closed, and nobody else in the "
    .. "pool", function()
      local pool, ended = green.pool(3), 0
      local other = pool:spawn(green.sleep, 10)
      do
        local pile <close> = green.pile(pool)
        for _ = 1, 2 do
          pile:spawn(function()
            local _ <close> = setmetatable({}, {__close = function()
              green.shield(1, green.sleep, 0.1)
              ended = ended + 1
            end})
            green.sleep(1e6)
          end)
        end
        green.sleep(0.01)
      end
      assert.equal(2, ended)
      assert.equal("blocked", other:status())
      assert.equal(1, pool:running())
      other:kill()
      pool:wait()
    end)

  it("hands failures that nobody read to on_error when it is closed",
    function()
      local list = help.collecting(function(errors)
        do
          local pile <close> = green.pile(3)
          pile:spawn(fails, 0, "read")
          pile:spawn(fails, 0, "unread")
          pile:spawn(after, 0, "fine")
          for _, ok in pile:results() do -- luacheck: ignore
            assert.is_false(ok)
            break
          end
          green.sleep(0.1)
          assert.same({}, errors)
        end
        test.wait_until(function() return #errors == 1 end)
        green.sleep(0.1)
      end)
      assert.equal(1, #list)
      assert.equal("unread", list[1].err)
    end)

  it("that is dropped hands failures to on_error, also later ones", function()
    local list = help.collecting(function(errors)
      do
        local pile = green.pile(3)
        pile:spawn(fails, 0, "early")
        pile:spawn(fails, 10, "late")
        green.sleep(0.1)
      end
      collectgarbage()
      collectgarbage()
      test.wait_until(function() return #errors == 1 end)
      green.sleep(20)
    end)
    assert.equal("early", list[1].err)
    assert.equal("late", list[2].err)
  end)

  it("owns its children's errors from birth, also of those that fail before "
    .. "their spawn returns", function()
      local pool = green.pool(1)
      local list = help.collecting(function()
        local pile <close> = green.pile(pool)
        local t = pool:spawn(function()
          pile:spawn(fails, 0, "mine")
          for i, ok, err in pile:results() do
            assert.same({1, false, "mine"}, {i, ok, err})
          end
        end)
        t:wait()
        green.sleep(0.1)
      end)
      assert.same({}, list)
    end)

  it("shared by two readers gives each result to one of them", function()
    local pile <close> = green.pile(3)
    for i = 1, 9 do pile:spawn(after, math.random() / 100, i) end
    local seen = {}
    local function read()
      for i, ok, v in pile:results() do
        assert(ok and i == v)
        seen[#seen + 1] = i
      end
    end
    local a, b = green.spawn(read), green.spawn(read)
    a:wait()
    b:wait()
    table.sort(seen)
    assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9}, seen)
  end)

  fifo("keeps no thread whose result was read", function()
    local pile <close> = green.pile(1)
    local weak = setmetatable({}, {__mode = "k"})
    for _ = 1, 50 do
      weak[pile:spawn(after, 0, {})] = true
      for _ in pile:results() do end -- luacheck: ignore
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)

  it("refuses misuse at the caller's line", function()
    for _, n in ipairs {0, -1, 0.5, 1.5, 0 / 0, "3", {}, true} do
      local _, err = pcall(function() green.pile(n) end)
      assert.matches("^%S*pile_spec.lua:%d+: bad argument #1 to 'pile'", err)
    end
    local pile <close> = green.pile(math.huge)
    local _, err = pcall(function() pile:spawn(nil) end)
    assert.matches("^%S*pile_spec.lua:%d+: bad argument #1 to 'spawn'", err)
    assert.equal("pile", green.type(pile))
  end)

  busted_it("tells at the end of the program what nobody has read", function()
    local out, _, code = help.child [[
      local green = require "green"
      local pile = green.pile(2)
      pile:spawn(function() error("unread", 0) end)
      green.sleep()
    ]]
    assert.matches("#2 .* failed: unread", out)
    assert.matches("spawned at .*:3 by #1 main", out)
    assert.equal(0, code)
  end)

  it("raises what is pending at its end, too", function()
    local pile <close> = green.pile(1)
    local t = green.spawn(function()
      green.current():throw("thrown")
      return pcall(pile:results(), pile)
    end)
    assert.same({false, "thrown"}, {t:wait()})
  end)

  it("that a finalizer revives has nothing to read any more", function()
    local revived
    local function drop()
      local pile = green.pile(2)
      pile:spawn(green.sleep, 1)
      setmetatable({pile = pile}, {__gc = function(o) revived = o.pile end})
    end
    drop()
    collectgarbage()
    collectgarbage()
    local read = 0
    for _ in revived:results() do read = read + 1 end
    assert.equal(0, read)
    green.sleep(2)
  end)
end)
