--- green.top, top() at the backdoor's prompt, and `luagreen top`.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local shell = require "spec.shell"
local terminal = require "spec.terminal"

local function busy(s)
  local stop = green.now() + s
  while green.now() < stop do end
end

--- A thread that computes again and again, until the object is closed.
local function computing(name)
  local t = green.spawn(function()
    while true do
      busy(0.001)
      green.sleep(0)
    end
  end)
  t.name = name
  return t
end

local function named(list, name)
  for _, row in ipairs(list) do
    if row.name == name then return row end
  end
  return nil
end

describe("green.top", function()
  it("tells what each thread did meanwhile, the costliest first", function()
    local hog <close> = computing "hog"
    local waiter <close> = green.spawn(green.sleep, 60)
    waiter.name = "waiter"
    green.sleep(0.01)
    local list = green.top {seconds = 0.05}
    assert.equal("hog", list[1].name)
    assert.equal(hog.id, list[1].id)
    assert.is_true(list[1].cpu > 0 and list[1].cpu <= list.seconds * 1.01)
    assert.is_true(math.abs(list[1].share - list[1].cpu / list.seconds) < 1e-9)
    local row = named(list, "waiter")
    assert.equal("sleep", row.wait_for)
    assert.equal("blocked", row.status)
    assert.is_true(row.since >= 0.05)
    assert.equal(0, row.cpu)
  end)

  it("counts those that ended meanwhile, by name", function()
    local spawner <close> = green.spawn(function()
      while true do
        green.spawn(function()
          green.current().name = "short"
          green.sleep(0)
        end)
        green.sleep(0.001)
      end
    end)
    local row = named(green.top {seconds = 0.2, by = "switches", n = 100},
      "short")
    assert.is_true(row.ended > 1)
    assert.equal("ended", row.status)
    assert.is_true(row.switches >= row.ended and row.cpu > 0)
    local _ = spawner
  end)

  it("tells how long threads that are ready wait for their turn", function()
    local hogs = {}
    for i = 1, 5 do hogs[i] = computing "hog" end
    local row
    for _ = 1, 50 do -- where the machine is busy, one of them may run on
      row = named(green.top {seconds = 0.2}, "hog")
      if row.queue_delay > row.cpu then break end
    end
    for _, t in ipairs(hogs) do t:kill() end
    assert.is_true(row.queue_delay > row.cpu)
  end)

  it("sorts and cuts as asked", function()
    local old <close> = green.spawn(green.sleep, 60)
    green.sleep(0.01)
    local new <close> = green.spawn(green.sleep, 60)
    green.sleep(0)
    local list = green.top {seconds = 0, by = "wait", n = 2}
    assert.equal(2, #list)
    assert.equal(old.id, list[1].id)
    assert.equal(new.id, list[2].id)
  end)

  it("leaves accounting as it was, also where several measure at once",
    function()
      assert.is_false(green.config().accounting)
      local one = green.spawn(green.top, {seconds = 0.01})
      local two = green.spawn(green.top, {seconds = 0.03})
      green.sleep(0)
      assert.is_true(green.config().accounting)
      one:kill()
      assert.is_table(two:wait())
      assert.is_false(green.config().accounting)
      help.with_config({accounting = true}, function()
        green.top {seconds = 0}
        assert.is_true(green.config().accounting)
      end)
    end)

  it("keeps what the program sets meanwhile", function()
    help.with_config({accounting = false}, function()
      local t = green.spawn(green.top, {seconds = 0.01})
      green.sleep(0)
      green.config {accounting = true}
      t:wait()
      assert.is_true(green.config().accounting)
      t = green.spawn(green.top, {seconds = 0.01})
      green.sleep(0)
      green.config {accounting = false}
      assert.is_true(green.config().accounting)
      t:wait()
      assert.is_false(green.config().accounting)
    end)
  end)

  it("refuses what makes no sense", function()
    assert.has_error(function() green.top {by = "name"} end)
    assert.has_error(function() green.top {seconds = -1} end)
    assert.has_error(function() green.top {n = 1.5} end)
  end)
end)

describe("green.stats", function()
  it("has the lag, the queue's length, polls and collections", function()
    green.stats()
    local hog <close> = computing "hog"
    for _ = 1, 200 do green.spawn_n(green.sleep, 0) end
    green.sleep(0.005)
    collectgarbage()
    local s = green.stats()
    assert.is_true(s.run_queue_max >= 1)
    assert.is_true(s.lag.count > 0 and s.lag.p50 <= s.lag.p99
      and s.lag.p99 <= s.lag.max and s.lag.max > 0)
    assert.is_true(s.poll_time > 0)
    assert.is_true(s.gc.count >= 1)
    local again = green.stats() -- that somebody has looked changes nothing
    assert.is_true(again.lag.count > 0 and again.run_queue_max >= 1)
    local _ = hog
  end)
end)

describe("the backdoor's top()", function()
  it("prints a table", function()
    local door <close> = terminal.backdoor()
    local hog <close> = computing "a \"hog\"\tof\nlines\27[31m"
    local conn <close> = assert(green.connect("unix:" .. door.path))
    conn:send "top(0.02)\nexit()\n"
    local text = conn:receive "*a"
    assert.matches("threads +cpu %% +switches", text)
    assert.matches('#%d+ [^\n]+ a "hog" of lines\\x1b%[31m', text)
    local _ = hog
  end)
end)

describe("luagreen top", function()
  local function run(arguments)
    local pipe <close> = io.popen(("LUA=%s bin/luagreen top %s 2>&1"):format(
      shell.lua, arguments))
    return pipe:read "a"
  end

  it("prints one table where there is no terminal", function()
    local door <close> = terminal.backdoor()
    local hog <close> = computing "the hog"
    local out <close> = help.file ""
    os.execute(("LUA=%s bin/luagreen top %s >%s 2>&1 &"):format(shell.lua,
      door.path, out.path))
    local text = ""
    help.wait_until(function()
      green.sleep(0.001)
      local f <close> = assert(io.open(out.path))
      text = f:read "a"
      return text:find "the hog\n"
    end, "a table")
    assert.matches("load %d", text)
    assert.matches("#%d+ [^\n]+ the hog\n", text)
    local _ = hog
  end)

  it("says what is wrong with an address", function()
    assert.matches("needs the address", run "")
    assert.matches("/nonexistent/socket", run "/nonexistent/socket")
    assert.matches("host:port", run "nonsense")
  end)

  it("repaints, sorts, shows tracebacks, kills and quits in a terminal",
    function()
      if terminal.missing "script" or terminal.missing "stty" then
        return pending "needs script and stty"
      end
      local door <close> = terminal.backdoor()
      local victim = green.spawn(function() green.sleep(60) end)
      victim.name = "the victim"
      local term <close> = terminal.run("env LUA=" .. shell.lua
        .. " bin/luagreen top " .. door.path)
      term:expect "luagreen 0."
      term:expect "the victim"
      term:type "w"
      term:expect "the victim"
      term:type "t"
      term:expect "with the number: "
      term:type(victim.id .. "\r")
      term:expect "stack traceback"
      term:expect "a key goes on"
      term:type " "
      term:expect "the victim"
      term:type "k"
      term:expect "with the number: "
      term:type(victim.id .. "\r")
      term:expect(("#%d was killed"):format(victim.id))
      victim:join()
      assert.equal("killed", victim:status())
      term:type "q"
      term:expect "\27[?1049l"
    end)

  it("shows the name in a narrow terminal, scrolls, and tells who has gone",
    function()
      if terminal.missing "script" or terminal.missing "stty" then
        return pending "needs script and stty"
      end
      local door <close> = terminal.backdoor()
      local sleepers = {}
      for i = 1, 30 do
        sleepers[i] = green.spawn(green.sleep, 60)
        sleepers[i].name = ("sleeper %02d"):format(i)
      end
      local term <close> = terminal.run("stty rows 12 cols 44; LUA="
        .. shell.lua .. " bin/luagreen top " .. door.path)
      term:expect "measuring"
      term:expect "waits name"
      term:expect "sleeper 01"
      term:type "\27[F" -- end
      term:expect "sleeper 30"
      term:type "\27[H"
      term:expect "sleeper 01"
      for _, t in ipairs(sleepers) do t:kill() end
      for _, t in ipairs(green.threads()) do
        if t.name:find "^backdoor" then t:kill() end
      end
      term:expect "has closed the session"
    end)
end)
