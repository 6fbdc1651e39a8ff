-- Locals: fields that belong to a green thread.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local core = require "green.core"
local help = require "spec.help"

local function fields(object)
  local copy = {}
  for name, value in pairs(object) do copy[name] = value end
  return copy
end

describe("green.locals", function()
  help.both(it, "gives each thread fields of its own", function()
    local l = green.locals()
    l.name = "outer"
    local seen = {}
    local list = {}
    for i = 1, 3 do
      list[i] = green.spawn(function()
        seen[i] = {l.name}
        l.name = i
        green.sleep(0)
        seen[i][2] = l.name
      end)
    end
    help.ended(table.unpack(list))
    assert.same({{nil, 1}, {nil, 2}, {nil, 3}}, seen)
    assert.equal("outer", l.name)
  end)

  it("takes any key and value, and forgets what is set to nil", function()
    local l = green.locals()
    local key = {}
    l[key], l[1], l.no = "table", "one", false
    assert.same({[key] = "table", [1] = "one", no = false}, fields(l))
    l[key], l[1], l.no = nil, nil, nil
    assert.is_nil(l[key])
    assert.same({}, fields(l))
    l.never = nil
    assert.is_nil(l[nil])
    assert.is_false(pcall(function() l[nil] = 1 end))
    assert.is_false(pcall(function() l[0 / 0] = 1 end))
  end)

  it("may be read through pairs while fields change, as a table", function()
    local l = green.locals()
    for i = 1, 10 do l[i] = i end
    for i in pairs(l) do l[i] = nil end
    assert.same({}, fields(l))
    assert.same({}, fields(green.locals()))
  end)

  it("is one object of many: they do not mix", function()
    local a, b = green.locals(), green.locals(true)
    a.x, b.x = "a", "b"
    assert.same({"a", "b"}, {a.x, b.x})
    assert.equal("locals", green.type(a))
  end)

  help.both(it, "shares them with the coroutines of the thread", function()
    local l = green.locals()
    l.id = 1
    local co = coroutine.wrap(function()
      green.sleep(0)
      coroutine.yield(l.id)
      l.id = 2
    end)
    assert.equal(1, co())
    co()
    assert.equal(2, l.id)
  end)

  it("is there in main, and in the clean-up of a killed thread", function()
    local l = green.locals()
    local seen
    local t = green.spawn(function()
      l.id = "mine"
      local _ <close> = setmetatable({}, {__close = function()
        green.shield(nil, green.sleep, 0)
        seen = l.id
      end})
      green.sleep(60)
    end)
    help.blocked(t)
    t:kill()
    t:join()
    assert.equal("mine", seen)
  end)

  it("forgets the fields of a thread when it ends, though it is held",
    function()
      local weak = setmetatable({}, {__mode = "v"})
      local l, inherited = green.locals(), green.locals(true)
      local t = green.spawn(function()
        weak[1], weak[2] = {}, {}
        l.big, inherited.big = weak[1], weak[2]
      end)
      t:join()
      collectgarbage()
      collectgarbage()
      assert.same({}, weak)
      assert.equal("done", t:status())
    end)

  it("forgets the fields of an object that nobody uses", function()
    local weak = setmetatable({}, {__mode = "v"})
    do
      local l = green.locals()
      weak[1] = {}
      l.big, l.me = weak[1], l
    end
    collectgarbage()
    collectgarbage()
    assert.same({}, weak)
  end)

  it("is not seen by a link or by on_error of another thread", function()
    local l = green.locals(true)
    local in_link, in_handler = "unset", "unset"
    local t = green.spawn(function() l.id = 7 end)
    t:link(function() in_link = l.id end)
    t:join()
    local former = green.on_error(function() in_handler = l.id end)
    green.spawn(function() l.id = 8 error("x", 0) end)
    help.wait_until(function() return in_handler ~= "unset" end)
    green.on_error(former)
    assert.is_nil(in_link)
    assert.is_nil(in_handler)
  end)

  it("refuses other arguments than a boolean", function()
    local ok, err = pcall(function() green.locals("yes") end)
    assert.is_false(ok)
    assert.matches("bad argument #1 to 'locals' %(boolean expected", err)
  end)
end)

describe("inherited locals", function()
  local l

  before_each(function() l = green.locals(true) end)

  help.both(it, "are copied to children at each kind of spawn", function()
    l.id = "request 1"
    local seen = {}
    local function note(name) seen[name] = l.id end
    local a = green.spawn(note, "spawn")
    green.spawn_n(note, "spawn_n")
    local b = green.spawn_after(0.001, note, "spawn_after")
    l.id = "changed"
    help.ended(a, b)
    help.wait_until(function() return seen.spawn_n end)
    assert.same({spawn = "request 1", spawn_n = "request 1",
      spawn_after = "request 1"}, seen)
  end)

  it("go to grandchildren, and stay apart afterwards", function()
    l.id, l.shared = "old", {}
    local grandchild
    green.spawn(function()
      green.spawn(function() grandchild = fields(l) end):wait()
      l.id = "new"
    end):wait()
    assert.equal("old", l.id)
    assert.equal("old", grandchild.id)
    assert.equal(l.shared, grandchild.shared) -- the copy is shallow
  end)

  it("leave the others alone: no link, no object without inherit", function()
    local own = green.locals()
    own.id, l.id = 1, 2
    local seen = "unset"
    local t = green.spawn(function() return own.id, l.id end)
    t:link(function() seen = l.id end)
    assert.same({n = 2, nil, 2}, table.pack(t:wait()))
    help.wait_until(function() return seen ~= "unset" end)
    assert.is_nil(seen)
  end)

  it("cost a thread without them nothing: no table is made", function()
    local t = green.spawn(function()
      local child = green.spawn(green.sleep, 60)
      help.blocked(child)
      child:kill()
      child:join()
    end)
    t:wait()
    assert.is_nil(rawget(core.rare(t), 12))
  end)

  it("survive a collection while they are copied", function()
    for i = 1, 200 do
      green.locals(true).x = i -- dropped at once
      l[i] = i
    end
    collectgarbage "generational"
    local n = green.spawn(function()
      local n = 0
      for _ in pairs(l) do n = n + 1 end
      return n
    end):wait()
    collectgarbage "incremental"
    assert.equal(200, n)
  end)
end)
