--- Functions for all specs, which wait for conditions and never sleep and hope.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local shell = require "spec.shell"

local help = {}

--- Lets the others run until the condition holds. A spec that hangs here is
--- ended by the thousandth of a second sleeps, 20 s worth of them.
function help.wait_until(condition, what)
  for turn = 1, 40000 do
    if condition() then return end
    green.sleep(turn > 20000 and 0.001 or 0)
  end
  error("never came true: " .. (what or "a condition"), 2)
end

--- Lets the others run until t was woken, and has not run yet: the caller never
--- leaves the ready queue and stands before it there. A sleep might end later.
function help.woken(t)
  local until_ = green.now() + 20
  while t:status() == "blocked" do
    if green.now() > until_ then error("never woken: " .. tostring(t), 2) end
    green.sleep(0)
  end
  assert(t:status() == "ready", t:status())
end

--- Lets the others run until each thread is blocked; returns the threads. A
--- thread that has ended instead is an error, which tells its results.
function help.blocked(...)
  for _, t in ipairs {...} do
    help.wait_until(function()
      return t:status() == "blocked" or t:has_ended()
    end, tostring(t) .. " blocked")
    if t:has_ended() then
      local results = table.pack(pcall(t.wait, t))
      for i = 1, results.n do results[i] = tostring(results[i]) end
      error(("%s has ended: %s"):format(t, table.concat(results, ", ")), 2)
    end
  end
  return ...
end

--- Lets the others run until each thread has ended.
function help.ended(...)
  for _, t in ipairs {...} do t:join() end
end

--- Lets the others run until none of them can.
function help.quiet()
  local me = green.current()
  help.wait_until(function()
    for _, t in ipairs(green.threads()) do
      if t ~= me and t:status() ~= "blocked" then return false end
    end
    return true
  end, "a rest")
end

--- A port of 127.0.0.1 where nobody listens, and a socket that keeps it until
--- it is closed: no listener that looks for a free port gets this one. A server
--- may listen there, as all reuse addresses.
function help.port()
  local holder = green.socket.tcp4()
  assert(holder:setoption("reuseaddr", true))
  assert(holder:bind("127.0.0.1", 0))
  return select(2, holder:getsockname()), holder
end

--- The module spec/c/NAME.c, compiled here against the library that runs; nil
--- where there is no C compiler, or no headers.
function help.c_module(name)
  local so, core = os.tmpname(), package.searchpath("green.core", package.cpath)
  local ok = core and os.execute(("cc -shared -fPIC -Icore -Ibindings "
    .. "$(pkg-config --cflags libuv) $(tools/lua cflags %s) -o %s spec/c/%s.c "
    .. "'%s' 2>/dev/null"):format(help.lua, so, name, core))
  local open = ok and package.loadlib(so, "luaopen_" .. name)
  os.remove(so)
  return open and open() or nil
end

--- Has collections come often: the collector is generational, and a hundredth
--- of new memory is enough. Lua 5.5 calls this a parameter.
function help.collect_often()
  collectgarbage "incremental"
  pcall(collectgarbage, "param", "minormul", 1)
  collectgarbage("generational", 1)
end

--- Has the finalizer f run where the next thing is made. Leaves the collector
--- generational.
function help.at_next(f)
  collectgarbage "incremental"
  collectgarbage "generational"
  collectgarbage "stop"
  setmetatable({}, {__gc = f})
  collectgarbage "restart"
end

--- Sleeps, and returns the rest.
function help.after(s, ...)
  green.sleep(s)
  return ...
end

--- Sleeps, and raises.
function help.fails(s, err)
  green.sleep(s)
  error(err, 0)
end

--- A body for `it` that runs in a green thread of its own: unlike main, it may
--- leave its stack when it blocks.
function help.threaded(f)
  return function() green.spawn(f):wait() end
end

--- Runs f(...) under both policies: keep the stack while there are few, and
--- leave it wherever that is legal. `it` is called twice.
function help.both(it, name, f)
  for _, policy in ipairs {{256, "keeping stacks"}, {0, "leaving stacks"}} do
    it(name .. ", " .. policy[2], function()
      local former = green.config().keep_stacks
      green.config {keep_stacks = math.min(policy[1], former)}
      local ok, err = pcall(help.threaded(f))
      green.config {keep_stacks = former}
      if not ok then error(err, 0) end
    end)
  end
end

--- Sets options; returns what they were.
local function configure(options)
  local former, before = green.config(), {}
  for name in pairs(options) do before[name] = former[name] end
  green.config(options)
  return before
end

--- Has a block's `setup` set options, and its `teardown` put them back.
function help.configured(setup, teardown, options)
  local before
  setup(function() before = configure(options) end)
  teardown(function() green.config(before) end)
end

--- Runs f with options set for its time.
function help.with_config(options, f, ...)
  local before = configure(options)
  local results = table.pack(pcall(f, ...))
  green.config(before)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- Runs f while on_error collects: returns the list of {err, thread}.
function help.collecting(f, ...)
  local list = {}
  local former = green.on_error(function(err, t)
    list[#list + 1] = {err = err, thread = t}
  end)
  local ok, err = pcall(f, list, ...)
  green.on_error(former)
  if not ok then error(err, 0) end
  return list
end

--- Runs f, and waits until no more is there than was before it: of timers,
--- threads and kept stacks. Threads of an earlier test may still be on their
--- way out when f starts, so there may be less.
function help.leaves_nothing(f)
  local function count()
    collectgarbage()
    collectgarbage()
    local s = green.stats()
    return {timers = s.timers, threads = s.threads, kept = s.kept}
  end
  local before, after = count()
  f()
  for turn = 1, 500 do
    after = count()
    if after.timers <= before.timers and after.threads <= before.threads
      and after.kept <= before.kept then
      return
    end
    green.sleep(turn > 10 and 0.01 or 0)
  end
  require "luassert".same(before, after)
end

--- Random numbers whose seed can be given: LUAGREEN_SEED=n busted ...
help.seed = math.tointeger(tonumber(os.getenv "LUAGREEN_SEED"))
  or os.time() % 1000000
math.randomseed(help.seed)

function help.shuffled(list)
  for i = #list, 2, -1 do
    local j = math.random(i)
    list[i], list[j] = list[j], list[i]
  end
  return list
end

--- A name in /tmp for anything; what has it goes when the process ends.
local names = setmetatable({}, {__gc = function(list)
  for _, path in ipairs(list) do os.remove(path) end
end})
function help.name()
  local path = os.tmpname()
  os.remove(path)
  names[#names + 1] = path
  return path
end

--- A file that is removed when the variable goes out of scope.
function help.file(text, suffix)
  local path = os.tmpname()
  os.remove(path)
  path = path .. (suffix or ".lua")
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
  return setmetatable({path = path}, {
    __close = function(self) os.remove(self.path) end,
  })
end

local function quoted(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

help.lua = shell.lua

--- The id of this process.
function help.self_pid()
  local f <close> = assert(io.open "/proc/self/stat")
  return f:read "n"
end

--- The error value after raising nil: Lua 5.5 puts a text in its place.
help.raised_nil = select(2, pcall(error))

--- A thread that waits in a select over these cases.
function help.selecting(cases, s)
  return help.blocked(green.spawn(green.select, cases, s))
end

--- The queue, with these values in it.
function help.filled(q, ...)
  for _, v in ipairs {...} do assert(q:put(v)) end
  return q
end

--- Runs a program in a stock interpreter of its own. Returns its output, both
--- streams together, then "exit" or "signal" and the number. `$PID` in the
--- program stands for a function that returns its process id. each(line): is
--- called at once with each line that it writes.
function help.child(text, arguments, each)
  local prelude = [[
local function PID()
  local f = io.open("/proc/self/stat")
  local n = f:read("n")
  f:close()
  return n
end
local _ = PID
]]
  local script <close> = help.file((prelude:gsub("\n", " ")) .. text)
  local p = io.popen(("%s %s %s 2>&1"):format(help.lua, quoted(script.path),
    arguments or ""))
  local lines = {}
  for line in p:lines "L" do
    lines[#lines + 1] = line
    if each then each((line:gsub("\n$", ""))) end
  end
  local _, how, code = p:close()
  -- sh reports a signal as 128 + its number
  if how == "exit" and code > 128 then how, code = "signal", code - 128 end
  return table.concat(lines), how, code
end

--- The rows of the table in a page whose first column has that heading.
function help.table(page, heading)
  local rows, inside = {}, false
  for line in io.lines(page) do
    inside = inside and line:find "^|" or line:find("| " .. heading .. " |", 1,
      true) == 1
    if inside then rows[#rows + 1] = line end
  end
  return table.move(rows, 3, #rows, 1, {})
end

return help
