--- Tests of programs with green threads: virtual time, an order that a seed
--- decides, a limit in real time, and a look at what was left behind.
---
--- A run changes the clock, the order of the ready queue, the configuration and
--- the error handler, and always restores all of them. The calling thread
--- drives it: the body runs in a thread of its own, so that it can be watched
--- and killed from outside.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local check = require "green.runtime.check"
local core = require "green.core"
local green = require "green"
local report = require "green.runtime.report"
local text_of = require "green.runtime.text".of
local collectgarbage, error, getmetatable, ipairs, math, pairs, pcall, select,
  setmetatable, table, tonumber, tostring, type =
  collectgarbage, error, getmetatable, ipairs, math, pairs, pcall, select,
  setmetatable, table, tonumber, tostring, type

local debug, os = debug, os
local sethook, gethook = debug and debug.sethook, debug and debug.gethook

local test = {seed = 0}

--- Seconds of real time that a body may take.
local LIMIT <const> = 10
--- Seconds of real time in which killed threads have to end.
local KILL_LIMIT <const> = 2
--- Seconds of real time for threads to run until none of them can.
local SETTLE_LIMIT <const> = 0.5
--- Instructions between two looks at the real clock: some 10 ms.
local STEPS <const> = 1000000
--- Descriptors that libuv opens when it needs them, and keeps.
local KEPT <const> = {
  ["anon_inode:[eventpoll]"] = true,
  ["anon_inode:[eventfd]"] = true,
  ["anon_inode:[io_uring]"] = true,
}

----------------------------------------------------------------- wording --

local function indented(lines)
  return "\n  " .. table.concat(lines, "\n  ")
end

--- Seconds, to the thousandth.
local function rounded(s)
  return ("%g"):format(math.floor(s * 1000 + 0.5) / 1000)
end

--- "#7 worker: queue:get for 3 s, at app.lua:12".
local function describe(t)
  local w, status = t:blocked(), t:status()
  local doing = status == "new" and "has not started" or status
  if w then
    doing = ("%s for %s s, at %s"):format(w.what,
      rounded(green.now() - w.since), w.where or "?")
  end
  return ("#%d %s: %s"):format(t.id, t.name, doing)
end

local function each(threads, f)
  local lines = {}
  for i, t in ipairs(threads) do lines[i] = f(t) end
  return lines
end

--------------------------------------------------------------- leftovers --

local function note_threads()
  local ids = {}
  for _, t in ipairs(green.threads()) do ids[t.id] = true end
  return ids
end

--- The live threads that were not there before, without the calling one.
local function new_threads(before)
  local list, me = {}, green.current()
  for _, t in ipairs(green.threads()) do
    if not before[t.id] and t ~= me then list[#list + 1] = t end
  end
  return list
end

local function new_descriptors(before)
  local list = {}
  for fd, target in pairs(core.open_descriptors() or {}) do
    if before[fd] ~= target and not KEPT[target] then
      list[#list + 1] = ("descriptor %d, %s"):format(fd, target)
    end
  end
  table.sort(list)
  return list
end

local function note()
  core.settle_descriptors()
  return {
    threads = note_threads(),
    timers = green.stats().timers,
    descriptors = core.open_descriptors() or {},
  }
end

--- Unreachable sockets count as closed: a collection closes them.
local function open_descriptors(before)
  local list = new_descriptors(before)
  if #list == 0 then return list end
  collectgarbage()
  collectgarbage()
  return new_descriptors(before)
end

--- Timers are listed only when no thread is left that may own them. Another
--- state on the hub has timers and descriptors of its own, which look the same.
local function add_others(lines, before)
  if green.stats().states > 1 then return lines end
  local timers = green.stats().timers - before.timers
  if timers > 0 and #lines == 0 then
    lines[#lines + 1] = timers == 1 and "a timer" or timers .. " timers"
  end
  local descriptors = open_descriptors(before.descriptors)
  return table.move(descriptors, 1, #descriptors, #lines + 1, lines)
end

--- Waits for the end of t, for s seconds of real time.
local function ends(t, s)
  local ok, ended = pcall(core.await_real, t, s)
  return ok and ended
end

--- Lets other threads run as long as that takes no time: while the clock stands
--- still, the shortest sleep ends when no other thread can go on.
local function settle(before)
  if core.clock_frozen() then
    local pause <close> = green.spawn(green.sleep, 2e-9)
    ends(pause, SETTLE_LIMIT)
    return
  end
  for _ = 1, 50 do
    if #new_threads(before) == 0 then return end
    green.sleep(0.001)
  end
end

--- Kills the threads that were left. Returns a line for each, which tells its
--- last activity and whether it is still there.
local function clear(before)
  local left = new_threads(before)
  local lines = each(left, describe)
  local until_ = core.real_now() + KILL_LIMIT
  for _, t in ipairs(left) do t:kill("left behind by a test") end
  for i, t in ipairs(left) do
    if not ends(t, math.max(0, until_ - core.real_now())) then
      lines[i] = lines[i] .. "; it would not end when it was killed"
    end
  end
  return lines
end

--- Notes threads, timers and descriptors. Returns a function that returns a
--- line for each that has been added since. That one may switch.
---@return fun(): string[]
function test.leftovers()
  local before = note()
  return function()
    settle(before.threads)
    return add_others(each(new_threads(before.threads), describe), before)
  end
end

----------------------------------------------------------------- options --

local function number_from_environment(name)
  local n = os and math.tointeger(tonumber(os.getenv(name) or ""))
  return n and n > 0 and n or nil
end

local function any_seed()
  return math.floor(core.real_now() * 1e6) % 999999 + 1
end

local fits = {}
function fits.seed(value)
  return math.type(value) and math.tointeger(value) and value > 0
end
function fits.seeds(value)
  return fits.seed(value)
end
function fits.order(value)
  return type(value) == "string"
end
function fits.clock(value)
  return type(value) == "boolean"
end
function fits.limit(value)
  return math.type(value) and value >= 0
end
function fits.quiet(value)
  return math.type(value) and value >= 0 and value <= 1e6
end

local function check_options(opts)
  for name, value in pairs(opts) do
    if not fits[name] or not fits[name](value) then
      check.misuse("bad value for '%s' in 'run'", tostring(name))
    end
  end
  local order = opts.order
  if order and order ~= "fifo" and order ~= "seed" then
    check.misuse("bad value for 'order' in 'run' (%s expected)",
      '"fifo" or "seed"')
  end
end

------------------------------------------------------------------- stage --

--- The state that a run changes and restores at its end.
local Stage = {}
Stage.__index = Stage

local function fix_clock(frozen, quiet)
  if frozen then core.clock_freeze(quiet) else core.clock_thaw() end
end

local function collect(errors)
  return function(err, t)
    errors[#errors + 1] = ("#%d %s failed: %s\n%s"):format(t.id, t.name,
      text_of(err), t:traceback())
  end
end

local shuffled = 0

local function shuffle(seed)
  core.shuffle(seed)
  shuffled = seed
end

local function set_stage(opts, seed)
  local errors, quiet = {}, core.clock_frozen()
  fix_clock(opts.clock ~= false, opts.quiet) -- first, as a host's hub refuses
  local stage = setmetatable({
    config = green.config(),
    seed = test.seed,
    shuffled = shuffled,
    quiet = quiet,
    errors = errors,
    handler = green.on_error(collect(errors)),
    random = {math.random(0), math.random(0)},
  }, Stage)
  shuffle(opts.order == "fifo" and 0 or seed)
  if seed % 2 == 0 then green.config {keep_stacks = 0} end
  math.randomseed(seed)
  test.seed = seed
  return stage
end

function Stage:__close()
  green.on_error(self.handler)
  green.config(self.config)
  fix_clock(self.quiet, self.quiet)
  shuffle(self.shuffled)
  math.randomseed(table.unpack(self.random))
  test.seed = self.seed
end

-------------------------------------------------------------------- runs --

--- Ends a body that computes: the hub's timer reaches only bodies that block.
local function watch(limit)
  if not sethook or gethook() then return end
  local over = core.real_now() + limit
  sethook(function()
    if core.real_now() > over then
      sethook()
      error(("the test computes for more than %g s"):format(limit), 2)
    end
  end, "", STEPS)
  return setmetatable({}, {__close = function() sethook() end})
end

local function start(f, limit)
  local t = green.spawn(function()
    local _ <close> = watch(limit)
    return f()
  end)
  local name = type(f) == "function" and core.definition(f)
  if name then t.name = name end
  return t
end

local function list(before)
  return indented(each(new_threads(before), describe))
end

--- Waits for the body. Returns the reason why it did not end, or nil, and the
--- error that interrupted the calling thread.
local function await(t, limit, before)
  local ok, ended = pcall(core.await_real, t, limit)
  if ok then
    if ended then return end
    return ("the test did not end within %g s; its green threads:"):format(
      limit) .. list(before)
  end
  if green.type(ended) ~= "deadlock" then return "interrupted", ended end
  return "deadlock: nothing can ever wake these green threads:" .. list(before)
    .. (ended.cycle and "\n  in a cycle: " .. ended.cycle or "")
end

--- Adds a traceback where busted itself shows none.
local function failure_of(t)
  local outcome = table.pack(t:join(0))
  if outcome[1] then return nil, outcome end
  local err = outcome[2]
  if type(err) == "string" then err = err .. "\n" .. t:traceback() end
  return err == nil and "nil" or err
end

--- Appends a note to the error, a string or one of busted's failures, whose
--- message gets it. A failure, and a pending(), stays an object of its class.
local function noted(err, text)
  local mt = getmetatable(err)
  local kind = type(mt) == "table" and mt.__type
  if kind == "pending" then return err end
  if kind == "failure" then
    err.message = text_of(err.message) .. text
    return err
  end
  if type(err) == "string" or mt and mt.__tostring then
    return text_of(err) .. text
  end
  report.write(text .. "\n")
  return err
end

local function remarks(errors, seed)
  local text = #errors == 0 and ""
    or "\nand nobody waited for:" .. indented(errors)
  return ("%s\n(seed %d; to repeat it: LUAGREEN_SEED=%d)"):format(text, seed,
    seed)
end

--- The complaint about a body that returned, or nil.
local function complaint(errors, left)
  if #left > 0 then return "left behind by the test:" .. indented(left) end
  if #errors > 0 then return "green threads of the test failed" end
end

--- Runs the body on a stage that is set. Returns its error and its outcome.
local function perform(f, opts, stage)
  local before, limit = note(), opts.limit or LIMIT
  local t = start(f, limit)
  local err, interruption = await(t, limit, before.threads)
  local _ <close> = core.shield_begin(math.huge)
  local outcome
  if err == nil then
    err, outcome = failure_of(t)
    settle(before.threads)
  end
  local left = clear(before.threads)
  if interruption ~= nil then error(interruption, 0) end
  return err or complaint(stage.errors, add_others(left, before)), outcome
end

--- Runs f() as a test.
---@param f function
---@param opts? table
---@return any ...
function test.run(f, opts)
  check.callable(f, 1, "run")
  opts = opts or {}
  check.value(opts, "table", 2, "run")
  check_options(opts)
  local seed = opts.seed and math.tointeger(opts.seed)
    or number_from_environment "LUAGREEN_SEED" or any_seed()
  local err, outcome, errors
  do
    local stage <close> = set_stage(opts, seed)
    errors = stage.errors
    err, outcome = perform(f, opts, stage)
  end
  if err ~= nil then error(noted(err, remarks(errors, seed)), 0) end
  return table.unpack(outcome, 2, outcome.n)
end

local function with_seed(opts, seed)
  local copy = {}
  for name, value in pairs(opts or {}) do copy[name] = value end
  copy.seed = copy.seed or seed
  return copy
end

--- Runs it under each of the wanted seeds, or under one.
local function run_all(f, opts)
  local n = not number_from_environment "LUAGREEN_SEED"
    and number_from_environment "LUAGREEN_SEEDS" or 1
  if n == 1 or opts and opts.seed then
    test.run(f, opts)
  else
    local most = opts and opts.seeds or n
    for seed = 1, math.min(n, most) do test.run(f, with_seed(opts, seed)) end
  end
end

--- A function like busted's `it` whose bodies run as tests.
---@param it function
---@param opts? table
---@return function
function test.it(it, opts)
  check.callable(it, 1, "it")
  local function body(f)
    return function() run_all(f, opts) end
  end
  return function(name, f)
    if f ~= nil then return it(name, body(f)) end
    local named = it(name) -- for it "name" (function() ... end)
    return function(g) return named(body(g)) end
  end
end

------------------------------------------------------------- small tools --

--- Lets the others run until the condition holds.
function test.wait_until(condition, what)
  check.callable(condition, 1, "wait_until")
  local over = green.now() + 20
  for turn = 1, math.huge do
    if condition() then return end
    if green.now() > over then break end
    green.sleep(turn > 100 and 0.001 or 0)
  end
  error("never came true: " .. (what or "a condition"), 2)
end

--- Lets the others run until each of the threads is blocked; returns them.
function test.blocked(...)
  for i = 1, select("#", ...) do
    local t = select(i, ...)
    if green.type(t) ~= "thread" then
      check.wrong(i, "blocked", "green thread", t)
    end
    test.wait_until(function() return t:status() == "blocked" end,
      tostring(t) .. " blocked")
  end
  return ...
end

function test.freeze(quiet)
  if quiet ~= nil and not fits.quiet(quiet) then
    check.bad(1, "freeze", "seconds expected, got %s", tostring(quiet))
  end
  core.clock_freeze(quiet)
end

function test.thaw()
  core.clock_thaw()
end

function test.shuffle(seed)
  if seed ~= nil and not (math.type(seed) and math.tointeger(seed)) then
    check.bad(1, "shuffle", "integer expected, got %s", tostring(seed))
  end
  shuffle(seed or 0)
end

return test
