--- green.profile of waits: where threads wait, and for how long.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local plain_it = it
local it = require "green.test".it(it, {order = "fifo"})

local profile = green.profile

local function inner(s) green.sleep(s) end
local function outer(s)
  inner(s)
  inner(s)
end

local function profiled(opts, f, ...)
  profile.start(opts)
  local ok, err = pcall(f, ...)
  local text = profile.stop()
  if not ok then error(err, 0) end
  return text
end

--- Microseconds of the stacks that match.
local function weight(text, pattern)
  local sum = 0
  for line in text:gmatch "[^\n]+" do
    local stack, n = line:match "^(.*) (%d+)$"
    if stack:find(pattern) then sum = sum + math.tointeger(n) end
  end
  return sum
end

describe("green.profile", function()
  plain_it("is of CPU time unless told otherwise", function()
    local text = profiled({hz = 1000}, function()
      local stop = os.clock() + 0.5
      while os.clock() < stop do end
    end)
    assert.is_true(weight(text, "profile_spec.lua") > 20000, text)
  end)
end)

describe("green.profile of allocations", function()
  local function strings(n)
    local list = {}
    for i = 1, n do list[i] = ("x"):rep(1000) .. i end
    return #list
  end
  -- no tail calls, which leave no trace
  local function much()
    local n = strings(300)
    return n
  end
  local function little()
    local n = strings(100)
    return n
  end
  local function both()
    for _ = 1, 60 do
      much()
      little()
    end
  end

  plain_it("tells which stacks allocate how many bytes", function()
    local text = profiled({what = "alloc", bytes = 16384}, function()
      local t = green.spawn(both)
      t.name = "worker"
      t:join()
    end)
    local a, b = weight(text, "^worker;.* much;.* strings$"),
      weight(text, "^worker;.* little;.* strings$")
    -- each string is made twice: by rep and by ..
    assert.is_true(a + b > 60 * 400 * 2000 * 0.9, text)
    assert.is_true(a / b > 2.4 and a / b < 3.8, text)
  end)

  plain_it("does so in coroutines, in main, and for C functions", function()
    local text = profiled({what = "alloc", bytes = 1024, by = "thread"},
      function()
        coroutine.wrap(function() much() end)()
        table.sort({2, 1}, function(a, b)
          little()
          return a < b
        end)
        local list = {}
        for i = 1, 2000 do table.insert(list, i) end
      end)
    assert.is_true(weight(text, "^#1 main;.* much;") > 300000, text)
    assert.is_true(weight(text, "^#1 main;.*%[C%] sort;.* little;") > 100000)
    assert.is_true(weight(text, "^#1 main;.*profile_spec.lua:%d+$") > 16000)
  end)

  plain_it("says what it could not see, and leaves a debugger's hook alone",
    function()
      local calls = 0
      local co = coroutine.wrap(function()
        debug.sethook(function() calls = calls + 1 end, "c")
        much()
        debug.sethook()
      end)
      local text = profiled({what = "alloc", bytes = 1024}, co)
      assert.is_true(calls > 100)
      assert.is_true(weight(text, "^%(elsewhere%)$") > 300000, text)
    end)

  plain_it("may run beside others, again and again", function()
    for _ = 1, 3 do
      local text = profiled({what = "alloc", bytes = 1024}, function()
        help.with_config({preempt = 0.01}, much)
        local t = green.spawn(little)
        t:join()
      end)
      assert.is_true(weight(text, "strings$") > 500000, text)
      much()
    end
  end)
end)

describe("green.profile of waits", function()
  it("folds the stack of each wait, with its time", function()
    local text = profiled({what = "blocked"}, function()
      local t = green.spawn(function() outer(0.1) end)
      t.name = "waiter"
      t:join()
    end)
    assert.matches("waiter;[^;\n]+profile_spec.lua:%d+;"
      .. "[^;\n]+:%d+ [^;\n]*outer;[^;\n]+:%d+ [^;\n]*inner;"
      .. "[^\n]*;%[sleep%] %d+\n", text)
    local us = weight(text, "^waiter;.*%[sleep%]$")
    assert.is_true(us >= 200000 and us < 201000, us)
  end)

  it("does so where C frames are in the way, and in coroutines", function()
    local text = profiled({what = "blocked"}, function()
      local t = green.spawn(function()
        table.sort({2, 1}, function(a, b)
          inner(0.1)
          return a < b
        end)
        coroutine.wrap(function() inner(0.1) end)()
      end)
      t.name = "deep"
      t:join()
    end)
    assert.is_true(weight(text, "^deep;.*inner") >= 200000)
  end)

  it("counts waits that are still under way", function()
    local t
    local text = profiled({what = "blocked"}, function()
      t = green.spawn(function() green.event():wait() end)
      t.name = "stuck"
      green.sleep(0.5)
    end)
    t:kill()
    assert.is_true(weight(text, "^stuck;.*%[event:wait%]$") >= 499000)
  end)

  it("leaves out waits of less than a millisecond", function()
    local text = profiled({what = "blocked"}, function()
      local t = green.spawn(function()
        for _ = 1, 100 do green.sleep(0.0001) end
      end)
      t.name = "quick"
      t:join()
    end)
    assert.equal(0, weight(text, "^quick;"))
  end)

  it("of the wall has what ran, too, and tells threads apart if asked",
    function()
      local text = profiled({what = "wall", by = "thread"}, function()
        local t = green.spawn(function()
          local stop = os.clock() + 0.01
          while os.clock() < stop do end
          green.sleep(0.1)
        end)
        t.name = "both"
        t:join()
      end)
      assert.is_true(weight(text, "^#%d+ both;.*%[running%]$") >= 9000)
      assert.is_true(weight(text, "^#%d+ both;.*%[sleep%]$") >= 100000)
    end)

  it("keeps a stack on its line whatever the names", function()
    local text = profiled({what = "blocked"}, function()
      local t = green.spawn(green.sleep, 0.1)
      t.name = "a;b\nc\27[31m"
      t:join()
    end)
    assert.matches("a,b,c,[[]31m;", text)
    for line in text:gmatch "[^\n]*\n" do assert.matches(" %d+\n$", line) end
  end)

  it("writes files, also for speedscope", function()
    local file <close> = help.file ""
    profile.start {what = "blocked"}
    green.sleep(0.01)
    assert.is_true(profile.stop(file.path, "speedscope"))
    local f <close> = assert(io.open(file.path))
    local text = f:read "a"
    assert.equal('{"$schema":', text:sub(1, 11))
    assert.matches('"unit":"microseconds"', text, 1, true)
    profile.start {what = "blocked"}
    local ok, err = profile.stop "/nonexistent/file"
    assert.is_nil(ok)
    assert.matches("/nonexistent/file", err)
    assert.is_false(profile.running())
  end)

  it("does not disturb accounting, nor accounting it", function()
    help.with_config({accounting = true}, function()
      local t
      local text = profiled({what = "blocked"}, function()
        t = green.spawn(green.sleep, 0.1)
        t.name = "both"
        t:join()
      end)
      assert.is_true(t:stats().blocked >= 0.1)
      assert.is_true(weight(text, "^both;") >= 100000)
    end)
  end)

  it("refuses what makes no sense", function()
    assert.has_error(function() profile.start {what = "nothing"} end)
    assert.has_error(function() profile.start {what = "wall", by = "id"} end)
    assert.has_error(function() profile.start {what = "wall", hz = 0} end)
    assert.has_error(function() profile.start {bytes = 1} end)
    assert.has_error(function() profile.stop() end)
    profile.start {what = "wall"}
    assert.has_error(function() profile.start {what = "wall"} end)
    assert.has_error(function() profile.stop(nil, "xml") end)
    profile.stop()
  end)
end)
