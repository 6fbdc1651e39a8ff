-- green.output: the output of print and io.write, thread by thread.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

--- A sink that keeps what it gets.
local function keeper()
  local list = {}
  return function(text) list[#list + 1] = text end, list
end

--- Runs f in a thread of its own, so that no output is left set.
local function apart(f, ...)
  return green.spawn(f, ...):wait()
end

describe("green.output", function()
  help.both(it, "redirects print and io.write of the calling thread", function()
    local sink, list = keeper()
    apart(function()
      assert.is_false(green.output(sink))
      print("a", nil, 1)
      assert.equal(io.stdout, io.write("b", 2, 3.5))
      print()
    end)
    assert.same({"a\tnil\t1\n", "b23.5", "\n"}, list)
    assert.is_false(green.output())
  end)

  it("returns the sink so far, which may be set again", function()
    apart(function()
      local first, list = keeper()
      local second = {write = function() end}
      assert.is_false(green.output(first))
      assert.equal(first, green.output(second))
      assert.equal(second, green.output())
      assert.equal(second, green.output(first))
      print "x"
      assert.equal(first, green.output(false))
      assert.is_false(green.output())
      assert.same({"x\n"}, list)
    end)
  end)

  it("takes an object with write, a file too", function()
    local file <close> = help.file("")
    local got = {}
    apart(function()
      green.output {write = function(self, text)
        assert.is_table(self)
        got[#got + 1] = text
      end}
      print "object"
      local f <close> = assert(io.open(file.path, "w"))
      green.output(f)
      print "file"
    end)
    local f <close> = assert(io.open(file.path))
    assert.equal("file\n", f:read "a")
    assert.same({"object\n"}, got)
  end)

  it("goes to threads that it spawns from then on, not to others", function()
    local sink, list = keeper()
    local out = help.child [[
      local green = require "green"
      local early
      local list = {}
      green.spawn(function()
        early = green.spawn(print, "early")
        green.output(function(text) list[#list + 1] = text end)
        green.spawn(function()
          green.spawn(print, "grandchild"):wait()
        end):wait()
        green.spawn_n(print, "spawn_n")
        green.spawn_after(0.001, print, "spawn_after"):wait()
        early:wait()
      end):wait()
      print "main"
      io.write(table.concat(list))
    ]]
    assert.equal("early\nmain\ngrandchild\nspawn_n\nspawn_after\n", out)
    assert.same({}, list)
    assert.is_function(sink)
  end)

  it("puts a request's id in front of each line of its threads", function()
    local out = help.child [[
      local green = require "green"
      local request = green.locals(true)
      green.output(function(text)
        io.write("[", request.id or "-", "] ", text)
      end)
      local function query(what)
        green.sleep(0.001)
        print("query " .. what)
      end
      local function handle(id)
        request.id = id
        print "begin"
        local a, b = green.spawn(query, "a"), green.spawn(query, "b")
        a:wait() b:wait()
        print "end"
      end
      local one, two = green.spawn(handle, 1), green.spawn(handle, 2)
      one:wait() two:wait()
      print "bye"
    ]]
    assert.equal([=[
[1] begin
[2] begin
[1] query a
[1] query b
[2] query a
[2] query b
[1] end
[2] end
[-] bye
]=], out)
  end)

  it("does not call a sink from within itself", function()
    local out = help.child [[
      local green = require "green"
      local depth = 0
      green.output(function(text)
        depth = depth + 1
        print("<" .. depth .. text:gsub("\n", "") .. ">")
        depth = depth - 1
      end)
      print "x"
      print "y"
    ]]
    assert.equal("<1x>\n<1y>\n", out)
  end)

  it("is taken off by a sink that raises: nothing is lost, print returns",
    function()
      local out, how, code = help.child [[
        local green = require "green"
        local t = green.spawn(function()
          green.output(function() error("disk full", 0) end)
          print("one")
          io.write("two\n")
          assert(green.output() == false)
          return "fine"
        end)
        print(t:wait())
        green.spawn(function()
          green.output(function()
            error(setmetatable({}, {__tostring = function() error "no" end}))
          end)
          print("three")
        end):wait()
      ]]
      assert.same({"exit", 0}, {how, code}, out)
      assert.matches("one\ntwo\nfine", out)
      assert.matches("three", out)
      assert.matches("output of green thread #%d+ failed, and is stdout again"
        .. ": disk full\n", out)
    end)

  help.both(it, "lets through what strikes the thread in its sink", function()
    local gate = green.event()
    local function stuck(f)
      local t = green.spawn(function()
        green.output(function() gate:wait() end)
        local ok, err = pcall(f or print, "x")
        green.sleep(0)
        return ok, err, green.output()
      end)
      help.blocked(t)
      return t
    end
    local killed = stuck()
    killed:kill("enough")
    assert.is_false((killed:join()))
    assert.equal("killed", killed:status())
    local thrown = stuck()
    local object = {}
    thrown:throw(object)
    local _, ok, err, sink = thrown:join()
    assert.is_false(ok)
    assert.equal(object, err)
    assert.is_function(sink)
    local limited = green.spawn(function()
      green.output(function() gate:wait() end)
      local result = table.pack(green.with_timeout(0.001, print, "x"))
      green.output(false)
      return table.unpack(result, 1, result.n)
    end)
    assert.same({true, nil, "timeout"}, {limited:join()})
  end)

  it("may block: other threads run meanwhile", function()
    local q = green.queue(1)
    local t = green.spawn(function()
      green.output(function(text) q:put(text) end)
      for i = 1, 3 do io.write(i) end
    end)
    assert.same({"1", "2", "3"}, {q:get(), q:get(), q:get()})
    t:wait()
  end)

  it("raises for anything else, and leaves io.write's own errors", function()
    apart(function()
      for _, bad in ipairs {1, "name", true, {}} do
        local ok, err = pcall(function() green.output(bad) end)
        assert.is_false(ok)
        assert.matches("bad argument #1 to 'output' %(function", err)
      end
      green.output((keeper()))
      local ok, err = pcall(function() io.write("a", {}) end)
      assert.is_false(ok)
      assert.matches("bad argument #2 to 'write' %(string expected", err)
    end)
  end)

  it("gets of io.write what a file gets", function()
    local values = {1, 1.0, -0.0, 2^53, 1e100, 0.1, math.huge, "1.0"}
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    assert(file:write(table.unpack(values)))
    file:close()
    local expected = assert(io.open(path)):read("a")
    os.remove(path)
    local sink, list = keeper()
    apart(function()
      green.output(sink)
      io.write(table.unpack(values))
    end)
    assert.equal(expected, table.concat(list))
  end)

  it("leaves io.write's errors in threads without one as they are", function()
    apart(function()
      green.output((keeper()))
      green.output(false)
      local ok, err = pcall(function() return (io.write({})) end)
      assert.is_false(ok)
      assert.matches("output_spec.lua:%d+: bad argument #1 to 'write' "
        .. "%(string expected, got table%)", err)
    end)
  end)
end)
