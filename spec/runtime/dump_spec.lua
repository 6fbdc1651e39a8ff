-- Watching: green.dump, the signal that asks for it, stats, max_threads.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function dump()
  local parts = {}
  assert.is_true(green.dump {write = function(_, text)
    parts[#parts + 1] = text
  end})
  assert.equal(1, #parts)
  return parts[1]
end

--- The lines of a dump that are about one thread.
local function part(text, t)
  local from = assert(text:find("\n#" .. t.id .. " ", 1, true), text) + 1
  local to = text:find("\n[^ ]", from) or #text
  return text:sub(from, to)
end

describe("green.dump", function()
  it("begins with version, uptime and figures", function()
    local line = dump():match "^[^\n]*"
    assert.matches("^luagreen %d.* up %d+%.%d+ s, idle .*; threads %d+, ready",
      line)
  end)

  help.both(it, "says of a thread what it waits for, since when, and where",
    function()
      local t = green.spawn(function()
        green.queue():get(50)
      end)
      t.name = "worker"
      help.blocked(t)
      local text = part(dump(), t)
      assert.matches("^#%d+ worker: blocked in queue:get on queue: 0x%x+ "
        .. "for 0%.%d+ s, %d+%.%d+ s left, at %S*dump_spec.lua:%d+\n", text)
      assert.matches("\n  stack traceback:\n", text)
      assert.matches("\n  spawned at %S*dump_spec.lua:%d+ by #%d+ ", text)
      assert.matches("^#1 main: ", part(dump(), green.find_thread(1)))
      t:kill()
      t:join()
    end)

  it("tells the nearest timeout in force, and the one who is joined", function()
    local slow = green.spawn(green.sleep, 60)
    slow.name = "slow"
    local t = green.spawn(green.with_timeout, 50, slow.join, slow)
    help.blocked(slow, t)
    local text = part(dump(), t)
    assert.matches("in thread:join %(join of #%d+ slow%) for", text)
    assert.matches(", timeout in %d+%.%d+ s\n", text)
    slow:kill()
    t:join()
  end)

  it("shows threads that have not started, run or are ready", function()
    local new = green.spawn_after(60, print)
    local text = dump()
    assert.matches(": new\n", part(text, new))
    assert.matches(": running", part(text, green.current()))
    new:cancel()
  end)

  it("shows the cycles", function()
    local b
    local a = green.spawn(function() b:join() end)
    b = green.spawn(function() a:join() end)
    a.name, b.name = "a", "b"
    help.blocked(a, b)
    assert.matches(("\ncycles:\n  #%d a -> join of #%d b -> join of #%d a\n$")
      :format(a.id, b.id, a.id):gsub("%-", "%%%0"), dump())
    a:kill()
    help.ended(a, b)
    assert.is_nil(dump():find "cycles:")
  end)

  it("takes a time that grows with the threads, not with their square",
    function()
      local many = os.getenv "LUAGREEN_EAGER_GC" and 300 or 3000
      local list = {}
      for i = 1, many do list[i] = green.spawn(green.sleep, 60) end
      help.blocked(table.unpack(list))
      local start = os.clock()
      local _, n = dump():gsub("\n#%d+ ", "")
      assert.is_true(n > many)
      assert.is_true(os.clock() - start < 5)
      for _, t in ipairs(list) do t:kill() end
      help.ended(table.unpack(list))
    end)

  it("is not spoilt by odd names and objects", function()
    local odd = setmetatable({}, {
      __tostring = function() error "odd" end, __name = {},
    })
    local list = {
      green.spawn(function() green.wait_fd(odd, "r") end),
      green.spawn(green.sleep, 60),
    }
    odd.getfd = function() return 0 end
    list[2].name = "two\nlines\0and\27[2J"
    green.sleep(0)
    local text = part(dump(), list[2])
    assert.matches("two\\nlines", text, 1, true)
    assert.is_nil(text:find "[%z\27]")
    for _, t in ipairs(list) do
      if t:blocked() then t:kill() end
      t:join()
    end
  end)

  it("writes to stderr, to the end of a named file, or to an open one",
    function()
      local file <close> = help.file("before\n")
      assert.is_true(green.dump(file.path))
      assert.is_true(green.dump(file.path))
      local f <close> = assert(io.open(file.path, "a+"))
      assert.is_true(green.dump(f))
      f:seek("set")
      local text = f:read "a"
      assert.matches("^before\nluagreen ", text)
      local _, n = text:gsub("dump of", "")
      assert.equal(3, n)
      assert.matches("dump of", (help.child [[require "green".dump()]]))
    end)

  it("returns why a file cannot be written, and raises for other things",
    function()
      local ok, err = green.dump("/nonexistent/file")
      assert.is_nil(ok)
      assert.matches("No such file", err)
      assert.error_matches(function() green.dump(1) end,
        "bad argument #1 to 'dump' %(file name or file expected, got number%)")
    assert.error_matches(function() green.dump {} end,
        "bad argument #1 to 'dump' %(file name or file expected, got table%)")
    end)
end)

describe("config.dump_signal", function()
  --- Runs a program that prints its number, and sends it signals. Each step is
  --- a pattern, for whose line it waits, and the signal that follows then.
  local function signalled(text, steps)
    local pid, at = nil, 1
    return help.child(text, nil, function(line)
      pid = pid or line
      local pattern, signal = table.unpack(steps[at] or {})
      if pattern and line:find(pattern) then
        os.execute(("kill -%s %s"):format(signal, pid))
        at = at + 1
      end
    end)
  end

  it("makes a signal write a dump while the program is idle", function()
    local out, how, code = signalled([[
      local green = require "green"
      green.config {dump_signal = "USR1"}
      local t = green.spawn(green.sleep, 60)
      t.name = "sleeper"
      print(PID())
      io.stdout:flush()
      pcall(green.sleep, 30)
      os.exit(3)
    ]], {{"^%d+$", "USR1"}, {"sleeper: blocked", "USR1"},
      {"sleeper: blocked", "INT"}})
    assert.same({"exit", 3}, {how, code}, out)
    local _, n = out:gsub("dump of", "")
    assert.equal(2, n, out)
    assert.matches("sleeper: blocked in sleep for 0", out)
    assert.is_nil(out:find("dump: running", 1, true))
  end)

  it("is heard while some thread is always ready", function()
    local out, how, code = signalled([[
      local green = require "green"
      green.config {sigint = false, dump_signal = "SIGUSR2"}
      print(PID())
      io.stdout:flush()
      local start = green.now()
      while green.now() - start < 30 do green.sleep(0) end
    ]], {{"^%d+$", "USR2"}, {"dump of", "TERM"}})
    assert.same({"signal", 15}, {how, code}, out)
  end)

  it("is no reason to wait: a deadlock is still one", function()
    local out, how, code = help.child [[
      local green = require "green"
      green.config {dump_signal = "HUP"}
      local ok, err = pcall(function() green.event():wait() end)
      os.exit(green.type(err) == "deadlock" and 7 or 1)
    ]]
    assert.same({"exit", 7}, {how, code}, out)
  end)

  it("makes no wake-ups while nothing happens", function()
    local sleeps = help.with_config({dump_signal = "USR1"}, function()
      green.sleep(0.01)
      local before = green.stats().sleeps
      green.sleep(0.03)
      return green.stats().sleeps - before
    end)
    assert.is_true(sleeps <= 2, sleeps)
  end)

  it("is off again by false", function()
    local out, how, code = help.child [[
      local green = require "green"
      assert(green.config().dump_signal == false)
      assert(green.config {dump_signal = "SIGUSR1"}.dump_signal == "USR1")
      assert(green.config {dump_signal = "USR1"}.dump_signal == "USR1")
      assert(green.config {dump_signal = "USR2"}.dump_signal == "USR2")
      assert(green.config {dump_signal = false}.dump_signal == false)
      os.execute("kill -USR1 " .. PID())
      green.sleep(1)
    ]]
    assert.same({"signal", 10}, {how, code}, out)
  end)

  it("puts a disposition back that the program has inherited", function()
    local script <close> = help.file [[
      local green = require "green"
      green.config {dump_signal = "USR1"}
      green.config {dump_signal = false}
      os.execute("kill -USR1 $PPID")
      print "alive"
    ]]
    local p <close> = io.popen(("trap '' USR1; %s %s"):format(help.lua,
      script.path))
    assert.equal("alive\n", p:read "a")
  end)

  it("raises for a bad name, and stays as it was", function()
    help.with_config({dump_signal = "USR2"}, function()
      for _, bad in ipairs {"NONE", "INT", "KILL", "", 10, true, {}} do
        local ok, err = pcall(function() green.config {dump_signal = bad} end)
        assert.is_false(ok)
        assert.matches("bad value for 'dump_signal' in 'config'", err)
        assert.equal("USR2", green.config().dump_signal)
      end
    end)
  end)

  it("is heard when the limit of threads is reached", function()
    local out = help.child [[
      local green = require "green"
      green.config {dump_signal = "USR1", max_threads = 1}
      os.execute("kill -USR1 " .. PID())
      green.sleep(0.1)
    ]]
    assert.matches("#1 main: blocked in sleep", out)
  end)
end)

describe("green.stats", function()
  it("tells uptime, and how much of it was slept", function()
    local before = green.stats()
    green.sleep(0.02)
    local after = green.stats()
    assert.is_true(after.uptime - before.uptime >= 0.02)
    local idle = after.idle - before.idle
    assert.is_true(idle > 0 and idle <= after.uptime - before.uptime)
  end)
end)

describe("config.max_threads", function()
  it("makes spawning beyond it an error that names it", function()
    local live = green.stats().threads
    help.with_config({max_threads = live + 2}, function()
      local list = {green.spawn(green.sleep, 60)}
      list[2] = green.spawn_after(60, print)
      for _, name in ipairs {"spawn", "spawn_n", "spawn_after"} do
        local ok, err = pcall(function()
          if name == "spawn_after" then green[name](1, print)
          else green[name](print) end
        end)
        assert.is_false(ok)
        assert.matches(("dump_spec.lua:%%d+: too many green threads %%("
          .. "max_threads is %d%%)"):format(live + 2), err)
      end
      assert.is_false(pcall(green.spawn_after_local, 1, print))
      list[2]:cancel()
      list[2] = green.spawn(print)
      list[2]:kill()
      list[1]:kill()
      help.ended(table.unpack(list))
    end)
    assert.equal(live, green.stats().threads)
  end)

  it("does not keep reports and links from running", function()
    local seen = {}
    local former = green.on_error(function(err) seen.report = err end)
    help.with_config({max_threads = green.stats().threads + 2}, function()
      local a = green.spawn(function() error("bug", 0) end)
      local b = green.spawn(green.sleep, 0)
      b:link(function() seen.link = true end)
      help.wait_until(function() return seen.report and seen.link end)
      assert.equal("failed", a:status())
    end)
    green.on_error(former)
    assert.equal("bug", seen.report)
  end)

  it("makes serve() hold a connection until there is room", function()
    local out = help.child [[
      local green = require "green"
      local listener = assert(green.listen("127.0.0.1", 0))
      local _, port = listener:getsockname()
      local server = green.spawn(green.serve, listener, function(conn)
        conn:send "hello\n"
      end)
      local sleeper = green.spawn(green.sleep, 60)
      green.config {max_threads = green.stats().threads}
      local conn = assert(green.connect("127.0.0.1", port))
      conn:settimeout(0.05)
      print(conn:receive())
      sleeper:kill()
      conn:settimeout(5)
      print((conn:receive()))
      print(server:status())
    ]]
    assert.matches("nil\ttimeout", out)
    assert.matches("cannot accept: too many green threads; trying again", out)
    assert.matches("\nhello\nblocked\n", out)
  end)

  it("is 0 for none, and math.huge sets that", function()
    assert.equal(0, green.config().max_threads)
    assert.equal(7000, green.config {max_threads = 7000}.max_threads)
    assert.equal(0, green.config {max_threads = math.huge}.max_threads)
    assert.equal(0, green.config {max_threads = 0}.max_threads)
    for _, bad in ipairs {-1, 0 / 0, "many", true} do
      assert.error_matches(function() green.config {max_threads = bad} end,
        "bad value for 'max_threads' in 'config'")
    end
  end)
end)
