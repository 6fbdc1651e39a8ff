--- A state and a sandbox have their things counted and limited: timers,
--- descriptors, values in queues.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function counts()
  return green.stats().counts
end

--- Runs f with these options of green.config, and without them afterwards.
local function with(options, f)
  green.config(options)
  local ok, err = pcall(f)
  local none = {}
  for name in pairs(options) do none[name] = 0 end
  green.config(none)
  collectgarbage()
  if not ok then error(err, 0) end
end

--- The outcome of f as a thread of a sandbox with these limits.
local function inside(limits, text, globals)
  local box = green.sandbox {grants = {"connect", "listen"}, limits = limits,
    globals = globals}
  local t = box:spawn(text)
  return box, t:join()
end

describe("timers", function()
  it("are the timeouts in force", function()
    local before = counts().timers
    local a, b = green.timeout(1e6), green.timeout(1e6)
    assert.equal(before + 2, counts().timers)
    a:cancel()
    a:cancel()
    assert.equal(before + 1, counts().timers)
    a:restart(1e6)
    b:restart(1e5)
    assert.equal(before + 2, counts().timers)
    a:cancel()
    b:cancel()
    assert.equal(before, counts().timers)
  end)

  it("end with their thread, however that ends", function()
    local before = counts().timers
    local function hold() green.timeout(1e6) green.timeout(1e6) end
    green.spawn(hold):join()
    assert.equal(before, counts().timers)
    local t = green.spawn(function() hold() green.sleep(1e6) end)
    green.sleep(0)
    assert.equal(before + 2, counts().timers)
    t:kill()
    t:join()
    assert.equal(before, counts().timers)
    green.spawn(function() hold() error "x" end):join()
    assert.equal(before, counts().timers)
    assert.is_nil(green.with_timeout(0.001, green.sleep, 1e6))
    assert.equal(before, counts().timers)
  end)

  it("of a coroutine end with it", function()
    local before = counts().timers
    do
      local co = coroutine.create(function()
        green.timeout(1e6)
        coroutine.yield()
      end)
      coroutine.resume(co)
    end
    assert.equal(before + 1, counts().timers)
    collectgarbage()
    collectgarbage()
    assert.equal(before, counts().timers)
  end)

  it("are limited, and one more raises", function()
    local before = counts().timers
    with({max_timers = before + 10}, function()
      local list = {}
      local ok, err = pcall(function()
        for i = 1, 11 do list[i] = green.timeout(1e6) end
      end)
      assert.is_false(ok)
      assert.matches("too many timeouts %(the limit is %d+%)", err)
      assert.equal(10, #list)
      assert.equal(before + 10, counts().timers)
      list[1]:cancel()
      list[1] = green.timeout(1e6)
      for _, to in ipairs(list) do to:cancel() end
    end)
    assert.equal(before, counts().timers)
  end)

  it("of coroutines that are garbage make room", function()
    with({max_timers = counts().timers + 5}, function()
      for _ = 1, 50 do
        local co = coroutine.create(function()
          green.timeout(1e6)
          coroutine.yield()
        end)
        local ok, err = coroutine.resume(co)
        -- Garbage is collected for a tenth of the time.
        while not ok do
          assert.matches("too many", err)
          co = coroutine.create(function()
            green.timeout(1e6)
            coroutine.yield()
          end)
          ok, err = coroutine.resume(co)
        end
      end
    end)
  end)

  it("are limited in a sandbox, beside those of others", function()
    local mine = green.timeout(1e6)
    local box, ok, n, err = inside({timers = 3}, [[
      local list = {}
      local ok, err = pcall(function()
        for i = 1, 9 do list[i] = green.timeout(1e6) end
      end)
      return #list, err]])
    assert.is_true(ok, n)
    assert.equal(3, n)
    assert.matches("too many timeouts in the sandbox %(the limit is 3%)", err)
    assert.equal(0, box:stats().timers)
    mine:cancel()
  end)
end)

describe("values in queues", function()
  it("are limited, all queues' together", function()
    with({max_items = counts().items + 10}, function()
      local a, b = green.queue(), green.lifo_queue()
      local c, d = green.priority_queue(), green.queue(100)
      local before = counts().items
      for i = 1, 4 do a:put(i) b:put(i) end
      c:put(1)
      d:put(1)
      assert.equal(before + 10, counts().items)
      for _, q in ipairs {a, b, c, d} do
        local ok, err = pcall(q.put, q, 7)
        assert.is_false(ok)
        assert.matches("too many values in queues %(the limit is %d+%)", err)
        ok = pcall(green.select, {{q, "put", 7}}, 0)
        assert.is_false(ok)
      end
      assert.equal(4, #a)
      assert.equal(1, a:get())
      c:put(2)
      assert.equal(4, b:get())
      assert.equal(1, c:get())
      a:put(9)
      assert.equal(4, a:clear())
      assert.equal(before + 5, counts().items)
      b:clear() c:clear() d:clear()
      assert.equal(before, counts().items)
    end)
  end)

  it("go with their queue", function()
    with({max_items = 1000}, function()
      local before = counts().items
      do
        local q = green.queue()
        for i = 1, 900 do q:put(i) end
      end
      local last <const>, n = {green.queue()}, 0
      -- Garbage is collected for a tenth of the time.
      while n < 900 do
        local ok, err = pcall(last[1].put, last[1], n)
        if ok then n = n + 1 else assert.matches("too many", err) end
      end
      last[1] = nil
      collectgarbage()
      assert.equal(before, counts().items)
    end)
  end)

  it("pass at the limit from a put to a get that waits", function()
    with({max_items = 2}, function()
      local full, q = green.queue(), green.channel()
      full:put(1)
      local got
      local t = green.spawn(function() got = q:get() end)
      green.sleep(0)
      q:put "x"
      t:join()
      assert.equal("x", got)
      assert.equal(1, counts().items)
      -- And to one that comes later, beyond the limit.
      full:put(2)
      t = green.spawn(q.put, q, "y")
      green.sleep(0)
      assert.equal("y", q:get())
      assert.is_true((t:join()))
    end)
  end)

  it("wait when a queue that grows finds no room", function()
    with({max_items = 3}, function()
      local q, done = green.queue(0), 0
      for i = 1, 5 do
        green.spawn(function() q:put(i) done = done + 1 end)
      end
      green.sleep(0)
      q:resize(10)
      green.sleep(0)
      assert.equal(3, done)
      local sum = 0
      for _ = 1, 5 do sum = sum + q:get() end
      assert.equal(15, sum)
      green.sleep(0)
      assert.equal(5, done)
      assert.equal(0, counts().items)
    end)
  end)

  it("of a getter that is killed are counted once", function()
    with({max_items = 5}, function()
      local q = green.queue()
      local t = green.spawn(q.get, q)
      green.sleep(0)
      q:put(1)
      t:kill()
      t:join()
      assert.equal(#q, counts().items)
      q:clear()
      assert.equal(0, counts().items)
    end)
  end)

  it("are limited in a sandbox, nested queues too", function()
    local box, ok, n, err = inside({items = 20}, [[
      local n, q = 0, green.queue()
      local ok, err = pcall(function()
        while true do
          local inner = green.queue()
          inner:put(q)
          n = n + 1
          q:put(inner)
          n = n + 1
        end
      end)
      return n, err]])
    assert.is_true(ok, n)
    assert.equal(20, n)
    assert.matches("in the sandbox %(the limit is 20%)", err)
    local q = green.queue()
    for i = 1, 100 do q:put(i) end -- the program's own are not
    collectgarbage()
    collectgarbage()
    assert.equal(0, box:stats().items)
  end)

  it("of a sandbox outlive it", function()
    local q
    do
      local _, ok, got = inside({items = 20},
        "local q = green.queue() q:put(1) q:put(2) return q")
      assert.is_true(ok)
      q = got
    end
    collectgarbage()
    collectgarbage()
    assert.equal(1, q:get())
    q:put(3)
    assert.equal(2, #q)
  end)
end)

describe("descriptors", function()
  it("of sockets are counted while they are open", function()
    collectgarbage()
    local before = counts().descriptors
    local l = assert(green.listen("127.0.0.1", 0))
    assert.equal(before + 1, counts().descriptors)
    local c = assert(green.connect("127.0.0.1", l.port
      or select(2, l:getsockname())))
    local s = assert(l:accept())
    assert.equal(before + 3, counts().descriptors)
    s:close()
    s:close()
    c:close()
    assert.equal(before + 1, counts().descriptors)
    l:close()
    local a, b = green.socketpair()
    local u = assert(green.udp("127.0.0.1", 0))
    assert.equal(before + 3, counts().descriptors)
    a:close() b:close() u:close()
    assert.equal(before, counts().descriptors)
  end)

  it("of garbage are not", function()
    collectgarbage()
    local before = counts().descriptors
    do
      local list = {}
      for i = 1, 10 do list[i] = {green.socketpair()} end
      assert.equal(before + 20, counts().descriptors)
      assert.equal(10, #list)
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, counts().descriptors)
  end)

  it("are limited as the system limits them", function()
    collectgarbage()
    local l = assert(green.listen("127.0.0.1", 0))
    local port = select(2, l:getsockname())
    with({max_descriptors = counts().descriptors + 3}, function()
      local a = assert(green.connect("127.0.0.1", port))
      local s = assert(l:accept())
      l:settimeout(0)
      assert.same({nil, "timeout"}, {l:accept()})
      l:settimeout()
      local b = assert(green.connect("127.0.0.1", port))
      local c, err = green.connect("127.0.0.1", port)
      assert.is_nil(c)
      assert.equal("too many open files", err)
      c, err = l:accept()
      assert.is_nil(c)
      assert.equal("too many open files", err)
      for _, open in ipairs {function() return green.socketpair() end,
                             green.udp, green.listen} do
        c, err = open("127.0.0.1", 0)
        assert.is_nil(c)
        assert.equal("too many open files", err)
      end
      s:close()
      assert(l:accept()):close()
      a:close()
      b:close()
    end)
    l:close()
  end)

  it("of garbage make room", function()
    local l = assert(green.listen("127.0.0.1", 0))
    local port = select(2, l:getsockname())
    collectgarbage()
    with({max_descriptors = counts().descriptors + 4}, function()
      local n = 0
      while n < 20 do
        local c, err = green.connect("127.0.0.1", port)
        if c then
          n = n + 1
        else -- garbage is collected for a tenth of the time
          assert.equal("too many open files", err)
        end
        if n % 4 == 0 then
          l:settimeout(0)
          local s = l:accept()
          if s then s:close() end
        end
      end
    end)
    l:close()
  end)

  it("of io.popen are counted where io is patched", function()
    local plain = io.popen
    local import = green.import_patched
    assert(import)
    green.monkey_patch {io = true}
    if io.popen == plain then return end
    collectgarbage()
    local before = counts().descriptors
    local p = assert(io.popen "true")
    assert.equal(before + 1, counts().descriptors)
    p:close()
    assert.equal(before, counts().descriptors)
    with({max_descriptors = before + 1}, function()
      local q = assert(io.popen "true")
      local r, err = io.popen "true"
      assert.is_nil(r)
      assert.matches("[Tt]oo many open files", err)
      q:close()
    end)
    assert.equal(before, counts().descriptors)
  end)

  it("of files are counted where io is patched", function()
    local path = help.name()
    local f <close> = assert(io.open(path, "w"))
    f:write "one\ntwo\n"
    f:flush()
    green.monkey_patch {io = true}
    collectgarbage()
    local before = counts().descriptors
    local a = assert(io.open(path))
    assert.equal(before + 1, counts().descriptors)
    assert.equal("one", a:read())
    local again = io.lines(path)
    assert.equal("one", again())
    local t = assert(io.tmpfile())
    assert.equal(before + 3, counts().descriptors)
    assert.is_nil((io.open "/nonexistent/file"))
    assert.equal(before + 3, counts().descriptors)
    assert.is_true(a:close())
    assert.is_false(pcall(a.close, a))
    assert.is_true(t:close())
    assert.equal("two", again())
    assert.is_nil(again()) -- closes it
    assert.equal(before, counts().descriptors)
    local kept = {}
    for i = 1, 3 do kept[i] = assert(io.open(path)) end
    assert.equal(before + 3, counts().descriptors)
    for i = 1, #kept do kept[i] = nil end
    collectgarbage()
    collectgarbage()
    assert.equal(before, counts().descriptors)
    local former = io.input()
    io.input(path)
    assert.equal(before + 1, counts().descriptors)
    io.input(io.input())
    assert.equal(before + 1, counts().descriptors)
    io.close(io.input())
    io.input(former)
    assert.equal(before, counts().descriptors)
    with({max_descriptors = before + 1}, function()
      local b = assert(io.open(path))
      local r, err, code = io.open(path)
      assert.is_nil(r)
      assert.equal(path .. ": Too many open files", err)
      assert.equal(24, code)
      for _, open in ipairs {io.lines, io.input, io.output} do
        local ok
        ok, err = pcall(open, path)
        assert.is_false(ok)
        assert.matches("cannot open file '.*' %(Too many open files%)", err)
      end
      assert.is_nil((io.tmpfile()))
      assert.is_true(io.close(b))
      local n = 0
      for _ in io.lines(path) do n = n + 1 end
      assert.equal(2, n)
    end)
  end)

  it("of io are limited in a sandbox, beside those of others", function()
    local plain, path = io.popen, help.name()
    green.monkey_patch {io = true}
    if io.popen == plain then return end
    local mine <close> = assert(io.open(path, "w"))
    assert.equal("file", io.type(mine))
    local box = green.sandbox {grants = {"io"}, limits = {descriptors = 3}}
    local before = counts().descriptors
    local ok, n = box:spawn([[
      local path = ...
      local a, b = assert(io.open(path)), assert(io.popen "exec cat")
      local c, err = assert(io.open(path))
      local d
      d, err = io.open(path)
      assert(not d and err:find "[Tt]oo many open files", err)
      d, err = io.popen "true"
      assert(not d and err:find "[Tt]oo many open files", err)
      assert(not pcall(io.lines, path))
      a:close()
      kept = assert(io.open(path))
      c:close()
      b:close()
      return green.current() and 1]], path):join()
    assert.is_true(ok, tostring(n))
    assert.equal(1, box:stats().descriptors)
    assert.equal(before + 1, counts().descriptors)
    box.env.kept = nil
    collectgarbage()
    collectgarbage()
    assert.equal(0, box:stats().descriptors)
    assert.equal(before, counts().descriptors)
  end)

  it("are limited in a sandbox, beside those of others", function()
    local l = assert(green.listen("127.0.0.1", 0))
    local port = select(2, l:getsockname())
    local box, ok, n, err = inside({descriptors = 5}, [[
      local list = {}
      while true do
        local c, err = green.connect("127.0.0.1", port)
        if not c then return #list, err end
        list[#list + 1] = c
      end]], {port = port})
    assert.is_true(ok, n)
    assert.equal(5, n)
    assert.equal("too many open files", err)
    collectgarbage()
    collectgarbage()
    assert.equal(0, box:stats().descriptors)
    l:close()
  end)
end)

describe("coroutines", function()
  local function box_of(limits)
    return green.sandbox {grants = {"coroutine"}, limits = limits}
  end

  it("are limited in a sandbox, beside those of others", function()
    local mine = coroutine.create(print)
    local box = box_of {coroutines = 3}
    local ok, err = box:spawn([[
      kept = {}
      for i = 1, 2 do kept[i] = coroutine.create(function() end) end
      kept[3] = coroutine.wrap(function() end)
      for _, f in ipairs {coroutine.create, coroutine.wrap} do
        local ok, err = pcall(f, function() end)
        assert(not ok)
        assert(err == "too many coroutines in the sandbox (the limit is 3)",
          err)
      end]]):join()
    assert.is_true(ok, tostring(err))
    assert.equal(3, box:stats().coroutines)
    assert.equal("suspended", coroutine.status(mine))
    assert.equal(0, box_of({}):stats().coroutines)
    box.env.kept = nil
    collectgarbage()
    assert.equal(0, box:stats().coroutines)
  end)

  it("of garbage make room", function()
    local box = box_of {coroutines = 10}
    local ok, err = box:spawn([[
      local n, failed = 0, 0
      while n < 100 do
        if pcall(coroutine.wrap, function() end) then
          n = n + 1
        else
          failed = failed + 1
          green.sleep(0.001)
        end
      end]]):join(30)
    assert.is_true(ok, tostring(err))
  end)

  it("count while they are known, wrapped or not", function()
    local box = box_of {coroutines = 10}
    local ok, err = box:spawn([[
      coroutine.wrap(function() kept = coroutine.running() end)()]]):join()
    assert.is_true(ok, tostring(err))
    collectgarbage()
    assert.equal(1, box:stats().coroutines)
  end)

  it("outlive their sandbox", function()
    local function made()
      return select(2, box_of {coroutines = 10}
        :spawn("return coroutine.create(function() end)"):join())
    end
    local list = {made()}
    collectgarbage()
    collectgarbage()
    assert.is_true(coroutine.resume(list[1]))
    list[1] = nil
    collectgarbage()
    assert.same({}, list)
  end)
end)
