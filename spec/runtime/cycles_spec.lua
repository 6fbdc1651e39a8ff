-- Cycles of threads that wait for each other, for reports.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local cycles = require "green.runtime.cycles"
local help = require "spec.help"

--- n blocked threads, named "a", "b", ...; they end with the block.
local function threads(n)
  local list = {}
  for i = 1, n do
    list[i] = green.spawn(green.sleep, 60)
    list[i].name = string.char(96 + i)
  end
  help.blocked(table.unpack(list))
  return setmetatable(list, {__close = function()
    for _, t in ipairs(list) do t:kill() end
    help.ended(table.unpack(list))
  end})
end

--- "#2 a" ... without the numbers.
local function plain(list)
  local texts = {}
  for i, text in ipairs(list) do texts[i] = text:gsub("#%d+ ", "") end
  return texts
end

local function joins(t)
  return {what = "thread:join", on = t}
end

--- Something of the kind that green.type() tells.
local function object(kind, methods)
  return setmetatable(methods or {}, {__name = "green." .. kind})
end

describe("cycles", function()
  it("are found among joins, each once, from the lowest id on", function()
    local t <close> = threads(5)
    local found = cycles.find({t[5], t[3], t[2], t[1], t[4]}, {
      [t[1]] = joins(t[2]), [t[2]] = joins(t[3]), [t[3]] = joins(t[1]),
      [t[4]] = joins(t[1]), [t[5]] = joins(t[5]),
    })
    assert.same({"e -> join of e", "a -> join of b -> join of c -> join of a"},
      plain(found))
  end)

  it("go through the owner of a lock", function()
    local t <close> = threads(2)
    local held = object("lock", {owner = function() return t[2] end})
    local free = object("lock", {owner = function() end})
    local function waits(lock)
      return {[t[1]] = {what = "lock:acquire", on = lock}, [t[2]] = joins(t[1])}
    end
    assert.same({"a -> lock of b -> join of a"},
      plain(cycles.find(t, waits(held))))
    assert.same({}, cycles.find(t, waits(free)))
  end)

  it("go through what others add for their kind", function()
    local t <close> = threads(3)
    local thing = object("thing", {of = {t[2], t[3]}})
    cycles.awaited.thing = function(x) return x.of end
    local found = plain(cycles.find(t, {[t[3]] = {what = "use", on = thing},
      [t[1]] = joins(t[3])}))
    cycles.awaited.thing = nil
    assert.same({"c -> thing of c"}, found)
  end)

  --- The cycles of a program in which nothing can go on.
  local function deadlock(f)
    local ok, err = pcall(f)
    assert.is_false(ok)
    assert.equal("deadlock", green.type(err))
    local found = plain(err.cycles or {})
    green.shutdown()
    return found
  end

  it("name the threads that hold each other's locks", function()
    assert.same({"a -> lock of b -> lock of a"}, deadlock(function()
      local one, two = green.lock(), green.lock()
      local function take(first, second)
        local _ <close> = first:acquire()
        green.sleep(0)
        second:acquire()
      end
      local a, b = green.spawn(take, one, two), green.spawn(take, two, one)
      a.name, b.name = "a", "b"
      a:join()
    end))
  end)

  it("go through pools: their end, and a slot if none can come free", function()
    local main = green.current()
    assert.same({"main -> wait for the pool of a -> join of main"},
      deadlock(function()
        local p = green.pool(2)
        p:spawn(main.join, main).name = "a"
        p:wait()
      end))
    assert.same({"main -> slot of a -> join of main"}, deadlock(function()
      local p = green.pool(1)
      p:spawn(main.join, main).name = "a"
      p:spawn(print)
    end))
    assert.same({}, deadlock(function()
      local p = green.pool(2)
      p:spawn(main.join, main)
      p:spawn(function() green.event():wait() end)
      p:spawn(print)
    end))
  end)

  it("go through groups, and through results that are waited for", function()
    local main = green.current()
    assert.same({"main -> wait for the group of a -> join of main"},
      deadlock(function()
        local g <close> = green.group()
        g:spawn(main.join, main).name = "a"
        g:wait()
      end))
    assert.same({"main -> result of a -> join of main"}, deadlock(function()
      green.pool(3):map(function()
        green.current().name = "a"
        main:join()
      end, {1})
    end))
  end)

  it("ignore what cannot be asked, and what waits for no thread", function()
    local t <close> = threads(2)
    local broken = object("lock", {owner = function() error "odd" end})
    assert.same({}, cycles.find(t, {
      [t[1]] = {what = "lock:acquire", on = broken},
      [t[2]] = {what = "event:wait", on = green.event()},
    }))
    assert.same({}, cycles.find(t))
    assert.same({}, cycles.find {})
  end)

  it("are found at the end of long chains", function()
    local t <close> = threads(3)
    local waits, list = {}, {}
    -- 20,000 objects with the methods of threads
    for i = 1, 20000 do
      list[i] = {id = i, name = "x", waiting = function() end}
    end
    for i = 1, 20000 do
      waits[list[i]] = {on = t[1], next = list[i % 20000 + 1]}
    end
    local former = cycles.awaited.thread
    cycles.awaited.thread = function(_, w) return {w.next} end
    local ok, found = pcall(cycles.find, list, waits)
    cycles.awaited.thread = former
    assert.is_true(ok, found)
    assert.equal(1, #found)
  end)
end)
