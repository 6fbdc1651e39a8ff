--- Random programs of scripts in sandboxes, and of a program that watches them.
---
---   lua5.4 spec/fuzz_bounds.lua [SECONDS [FIRST]]   programs FIRST and on
---   LUAGREEN_SEED=n lua5.4 spec/fuzz_bounds.lua     that one
---   FUZZ_TRACE=1                                    prints each script
---
--- Scripts with random limits compute, block, raise, spawn, link and talk over
--- ports and queues. The program meanwhile kills them, turns preemption,
--- traces, profiles and the watchdog on and off, and runs parts of its own in
--- green.atomic. The clock is the real one: a seed decides what the threads do,
--- not when.
---
--- A message that was sent arrives once, unless a receiver was ended between
--- its call and its note. No other thread runs in green.atomic. A sandbox keeps
--- its limits. All its threads end when they are killed, and then none of its
--- timers, descriptors and links is left.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local fuzzing = require "spec.fuzzing"
local scripts = require "spec.scripts"

local random = math.random
local TRACE <const> = os.getenv "FUZZ_TRACE"
local GRACE <const> = 0.02

local function one_in(n) return random(n) == 1 end
local function pick(list) return list[random(#list)] end

---------------------------------------------------------------- the script --

local HEAD <const> = [[
local function take(p)
  local n = begin(p)
  local m = p:receive(LIMIT())
  took(n, m)
end
local function send(p)
  local n = offer()
  sent(n, (p:put(n, LIMIT())))
end
local function choose(p, q)
  local n, k = offer(), begin(q)
  local i, a = green.select {{p, "put", n}, q, timeout = LIMIT()}
  sent(n, i == 1 and a)
  took(k, i == 2 and a or nil)
end
]]

-------------------------------------------------------------------- a world --

local World = {}
World.__index = World

function World:fail(...)
  self.failures[#self.failures + 1] = string.format(...)
end

--- What scripts may call: they note the messages.
function World:globals()
  local w = self
  return {
    ports = w.ports, queues = w.queues, kept = w.kept,
    is = function(v, what)
      if what == "coroutine" then return type(v) == "thread" end
      return (green.type(v) or ""):find(what, 1, true) == 1
    end,
    LIMIT = function() return random() / 300 end,
    offer = function()
      w.offered = w.offered + 1
      w.state[w.offered] = "offered"
      return w.offered
    end,
    sent = function(n, ok)
      if w.state[n] ~= "taken" then w.state[n] = ok and "sent" or "refused"
      elseif not ok then w:fail("%d was refused, and arrived", n) end
    end,
    begin = function()
      w.open = w.open + 1
    end,
    took = function(_, n)
      w.open = w.open - 1
      if n ~= nil then w:arrived(n) end
    end,
  }
end

function World:arrived(n)
  local state = self.state[n]
  if state == "taken" then self:fail("%s arrived twice", n) end
  if state == nil then self:fail("%s was never sent", n) end
  if state == "refused" then self:fail("%s was refused, and arrived", n) end
  self.state[n] = "taken"
end

local function some_limits()
  return {
    threads = one_in(2) and random(3, 30) or nil,
    timers = one_in(3) and random(20) or nil,
    descriptors = one_in(3) and random(6) or nil,
    items = one_in(3) and random(40) or nil,
    coroutines = one_in(3) and random(20) or nil,
    slice = one_in(4) and random() / 500 + 1e-4 or nil,
    stretch = one_in(4) and random() / 100 + 1e-4 or nil,
    life = one_in(4) and random() / 20 + 1e-4 or nil,
    fuel = one_in(4) and random(1e6) or nil,
  }
end

local function new_world()
  local w = setmetatable({failures = {}, boxes = {}, limits = {}, ports = {},
    queues = {}, kept = {}, state = {}, offered = 0, open = 0}, World)
  for i = 1, 3 do
    w.ports[i] = assert(green.port(one_in(3) and nil or random(4)))
  end
  for i = 1, 2 do w.queues[i] = green.queue(random(5)) end
  for i = 1, random(3) do
    w.limits[i] = some_limits()
    w.boxes[i] = green.sandbox {
      grants = {"output", "coroutine", one_in(2) and "connect" or nil},
      limits = w.limits[i], print = function() end, globals = w:globals(),
    }
  end
  return w
end

--------------------------------------------------------------- the program --

local moves = {}

function moves.spawn(w)
  local text = HEAD .. scripts.make()
  if TRACE then print(text, "\n") end
  local ok, err = pcall(pick(w.boxes).spawn, pick(w.boxes), text)
  if not ok and not tostring(err):find "too many" then w:fail("%s", err) end
end
moves.spawn2, moves.spawn3, moves.spawn4 = moves.spawn, moves.spawn, moves.spawn

function moves.kill(w) pick(w.boxes):kill "enough" end

function moves.kill_one(w)
  local threads = pick(w.boxes):threads()
  if #threads > 0 then pick(threads):kill() end
end

function moves.throw(w)
  local threads = pick(w.boxes):threads()
  if #threads > 0 then pick(threads):throw("thrown") end
end

function moves.preempt()
  green.config {preempt = pick {0.0005, 0.001, 0.002}}
end

function moves.watchdog()
  green.config {watchdog = pick {false, 0.001, 0.01}}
end

function moves.trace()
  if green.trace.running() then
    assert(#green.trace.stop() > 0)
  else
    green.trace.start {events = pick {64, 1024, 65536}, stacks = one_in(3)}
  end
end

function moves.profile()
  if green.profile.running() then
    green.profile.stop(nil, pick {"folded", "speedscope"})
  else
    green.profile.start {what = pick {"cpu", "blocked", "wall"},
      by = pick {"name", "thread"}}
  end
end

function moves.top()
  green.spawn(green.top, {seconds = random() / 200}).name = "top"
end

function moves.look()
  green.metrics.text()
  for _, t in ipairs(green.threads()) do
    assert(t:stats() and t:traceback() and tostring(t))
    t:blocked()
  end
end

function moves.collect() collectgarbage(pick {"collect", "step"}) end

function moves.atomic(w)
  local before, after
  green.atomic(function()
    before = green.stats().switches
    for _ = 1, random(30000) do local _ = {} end
    after = green.stats().switches
  end)
  if before ~= after then w:fail("%d switches in atomic", after - before) end
end

function moves.listen(w)
  local threads = pick(w.boxes):threads()
  if #threads > 0 then
    pick(threads):link(function() w.told = (w.told or 0) + 1 end)
  end
end

local NAMES <const> = {}
for name in pairs(moves) do NAMES[#NAMES + 1] = name end
table.sort(NAMES)

------------------------------------------------------------------- the end --

local function await(w, what, condition)
  local limit = os.time() + 20
  while not condition() do
    if os.time() > limit then
      w:fail("never: %s", what)
      return
    end
    green.sleep(0.0005)
  end
end

local function end_box(w, box)
  await(w, "the end of a sandbox", function()
    box:kill "the end"
    return box:stats().threads == 0
  end)
end

local function check_limits(w)
  for i, box in ipairs(w.boxes) do
    for what, n in pairs(box:stats()) do
      local most = w.limits[i][what]
      if most and n > most then w:fail("%d %s, of %d", n, what, most) end
    end
  end
end

local function check_counts(w, box)
  local s
  await(w, "nothing is left of a sandbox", function()
    collectgarbage()
    s = box:stats()
    return s.threads + s.timers + s.descriptors + s.items + s.coroutines == 0
  end)
  if s.threads + s.timers + s.descriptors + s.items + s.coroutines > 0 then
    w:fail("%d threads, %d timers, %d descriptors, %d items, %d coroutines "
      .. "are left", s.threads, s.timers, s.descriptors, s.items, s.coroutines)
  end
end

local function check_messages(w)
  for _, p in ipairs(w.ports) do
    p:close()
    for n in p:items() do w:arrived(n) end
  end
  local lost = 0
  for _, state in ipairs(w.state) do
    if state == "sent" then lost = lost + 1 end
  end
  if lost > w.open then
    w:fail("%d messages are lost, %d receivers were ended", lost, w.open)
  end
end

function World:finish()
  green.config {watchdog = false}
  if green.trace.running() then green.trace.stop() end
  if green.profile.running() then green.profile.stop() end
  green.config {preempt = 0.001}
  for _ = 1, 3 do for _, box in ipairs(self.boxes) do end_box(self, box) end end
  await(self, "all threads end", function() return #green.threads() == 1 end)
  green.config {preempt = false}
  for i in pairs(self.kept) do self.kept[i] = nil end
  for _, box in ipairs(self.boxes) do check_counts(self, box) end
  check_messages(self)
end

local function program()
  local w = new_world()
  green.on_error(function(err)
    if type(err) == "string" and err:find "lua/green/"
      and not err:find "too many" then
      w:fail("the library's own code raised: %s", err)
    end
  end)
  green.on_blocked(function() w.blocked = true end)
  for _ = 1, random(4, 30) do
    moves[pick(NAMES)](w)
    if one_in(3) then green.sleep(random() / 500) end
    check_limits(w)
  end
  w:finish()
  if #w.failures > 0 then error(table.concat(w.failures, "\n\n"), 0) end
end

local fuzz = {}

--- Runs the program of that seed; raises what is wrong with it.
function fuzz.run(seed)
  local former = green.config()
  local handler, blocked = green.on_error(function() end), green.on_blocked()
  local _ <close> = setmetatable({}, {__close = function()
    green.config {preempt = former.preempt, grace = former.grace,
      watchdog = former.watchdog}
    green.on_error(handler)
    green.on_blocked(blocked)
  end})
  math.randomseed(seed)
  green.config {grace = GRACE, preempt = 0.002}
  program()
end

--- run_for(seconds, first, report, most): see spec/fuzzing.lua.
fuzz.run_for = fuzzing.run_for(fuzz.run)

if fuzzing.started "fuzz_bounds.lua" then fuzzing.run(fuzz) end

return fuzz
