--- Random programs against a model of the library's promises.
---
---   lua5.4 spec/fuzz.lua [SECONDS [FIRST]]     programs FIRST, FIRST + 1, ...
---   LUAGREEN_SEED=n lua5.4 spec/fuzz.lua       that one
---   FUZZ_TRACE=1                               prints each act
---   LUAGREEN_PREEMPT=s                         with preemption
---
--- A program is a set of objects and some green threads, `actors`, that do a
--- few random acts on them and on each other. An act may contain others, in C
--- frames, coroutines, shields, time limits, blocks that own threads. Each
--- object has a model: the effects of the calls that returned. A call is in one
--- of three states for the model: under way, returned, or cut off, if its
--- thread was closed from outside; the effect of a cut one is unknown.
---
--- The models are compared with the objects after each call, as far as a call
--- shows them, and whenever the program is quiet: when no thread can run, none
--- may wait for a thing that it could have. A program ends by killing all
--- threads that are left; then the sums must fit.
---
--- SPDX-License-Identifier: MIT

local fuzzing = require "spec.fuzzing"
local dag = require "green.dag"
local green = require "green"
local test = require "green.test"

local random = math.random
local TRACE <const> = os.getenv "FUZZ_TRACE"

--- How deep acts stand within each other.
local DEPTH <const> = 3
--- Most actors of a program; beyond it nothing is spawned.
local CROWD <const> = 120

local function one_in(n) return random(n) == 1 end
local function pick(list) return list[random(#list)] end

--- none, nothing, a moment, some time, longer than anybody lives
local function limit()
  local kind = random(8)
  if kind <= 2 then return nil end
  if kind == 3 then return pick {0, -1, 0.0, -math.huge} end
  if kind == 4 then return random(9) * 1e-9 end
  if kind <= 7 then return random() / 50 end
  return pick {100, math.huge, 1}
end

------------------------------------------------------------------ errors --

--- Errors that acts raise on purpose.
local Mine = {__name = "mine"}
function Mine:__tostring() return "mine: " .. self.text end

local function mine(text)
  return setmetatable({text = text}, Mine)
end

--- Misuse that acts commit, as the library words it.
local MISUSE <const> = {
  "already owned by this", "cannot release", "ended while", "more often than",
  "all of its", "sent already", "is closed", "wait for itself",
  "a worker cannot wait", "cannot block", "is taken", "cycle of dependencies",
  "error in error handling", -- of a forced close, before Lua 5.4.8
  "negative", "another's", "has ended", "has values",
  "waits in this selector",
}

local INTERRUPTIONS <const> = {
  timeout = true, killed = true, child_failed = true, dag_error = true,
}

local function is_expected(err)
  if getmetatable(err) == Mine or INTERRUPTIONS[green.type(err)] then
    return true
  end
  if type(err) ~= "string" then return false end
  for _, text in ipairs(MISUSE) do
    if err:find(text, 1, true) then return true end
  end
  return false
end

----------------------------------------------------------------- program --

--- One program: its objects, its actors, its faults.
local World = {}
World.__index = World

function World:fail(text, ...)
  local line = text:format(...)
  if TRACE then print("FAILED: " .. line) end
  self.failures[#self.failures + 1] = debug.traceback(line, 2)
end

function World:check(truth, ...)
  if not truth then self:fail(...) end
  return truth
end

function World:check_error(err, where)
  if not is_expected(err) then
    self:fail("%s: unexpected error %s", where, tostring(err))
  end
end

local function trace(me, text, ...)
  if TRACE then
    print(("%.9f #%s %s"):format(green.now(), me and me.id, text:format(...)))
  end
end

--- The actor that runs, or nil in a thread of the library's.
function World:me()
  local t = green.current()
  return t and self.actors[t.id]
end

--- Says what the actor waits for while f runs. Also its results may be checked:
--- no call without a limit ends by one, and none ends early.
local Stay = {}
function Stay:__close() self.me.stay = self.outer end

local function stay(me, cases)
  local it = setmetatable({me = me, outer = me.stay, cases = cases}, Stay)
  me.stay = it
  return it
end

function World:limited(s, began, v, why, ...)
  if v == nil and why == "timeout" then
    if not s then
      self:fail("a timeout without a limit")
    elseif green.now() < began + s - 2e-9 then
      self:fail("a timeout %g s early", began + s - green.now())
    end
  end
  return v, why, ...
end

--- Calls f(object, ..., s) for a wait of that kind for the model's object.
function World:wait(kind, model, f, s, ...)
  local me = self:me()
  trace(me, "%s %s %s", kind, model, s)
  local n = select("#", ...)
  local args = table.pack(...)
  args[n + 1] = s
  local _ <close> = stay(me, {{kind = kind, model = model}})
  return self:limited(s, green.now(), f(model.o, table.unpack(args, 1, n + 1)))
end

------------------------------------------------------------------ models --

local function class(name)
  local mt = {__name = name}
  mt.__index = mt
  return mt
end

--- A value that is put at most once and got at most once.
local Item = class "item"

function Item:settle(is_put)
  if self.is_put ~= nil then return end
  self.is_put = is_put
  trace(nil, "put %s into %s: %s", self.v, self.queue, is_put)
  if is_put then
    self.queue.puts = self.queue.puts + 1
    self.queue.unfinished = self.queue.unfinished + 1
  elseif self.got then
    self.world:fail("a put of %d gave up, but it was got", self.v)
  end
end

--- A put that raised has not put; the effect of a cut one is unknown.
function Item:__close(err)
  if self.is_put ~= nil then return end
  if err ~= nil then
    self:settle(false)
  else
    self.unknown = true
    self.queue.unknown = self.queue.unknown + 1
    self.world.cut = true
  end
end

local Queue = class "queue"

function World:new_queue()
  local bound = pick {false, 0, 1, 2, 5} or nil
  local kind = pick {"queue", "queue", "lifo_queue", "priority_queue",
    "channel", "port", "port"}
  if kind == "channel" then bound = 0 end
  if kind == "port" and bound == 0 then bound = 3 end
  local q = {world = self, kind = kind, bound = bound, puts = 0, gots = 0,
    cleared = 0, unknown = 0, unfinished = 0, history = {}}
  q.o = kind == "channel" and green.channel() or green[kind](bound)
  return setmetatable(q, Queue)
end

--- Numbers, in no order, for priority queues.
function Queue:item()
  local w = self.world
  w.calls = w.calls + 1
  local v = w.calls * 7919 % 1000003
  local item = setmetatable({v = v, queue = self, call = w.calls, world = w,
    late = self.closed}, Item)
  w.items[v] = item
  return item
end

function Queue:put_result(item, ok, why)
  if not ok then
    local w = self.world
    w:check(why == "timeout" or why == "closed" and self.closed,
      "put: %s", why)
  elseif item.late then
    self.world:fail("a put into a closed queue")
  end
  item:settle(ok or false)
end

function Queue:take(v, call)
  local w, item = self.world, self.world.items[v]
  if not w:check(item and item.queue == self, "got %s from nowhere", v) then
    return
  end
  w:check(not item.got, "%d was got twice", v)
  w:check(item.is_put ~= false, "%d was got, but not put", v)
  item.got = true
  trace(nil, "got %s from %s", v, self)
  self.gots = self.gots + 1
  if call then
    self.history[#self.history + 1] = {get = call, put = item.call}
  end
end

function Queue:get_result(call, v, why)
  if v ~= nil then return self:take(v, call) end
  self.world:check(why == "timeout" or why == "closed" and self.closed,
    "get: %s", why)
end

--- A number for the order of calls.
function World:call()
  self.calls = self.calls + 1
  return self.calls
end

--- The first to ask gets the first value put, if woken threads run in turn.
function Queue:check_order()
  if self.kind ~= "queue" and self.kind ~= "channel" then return end
  table.sort(self.history, function(a, b) return a.get < b.get end)
  for i = 2, #self.history do
    local a, b = self.history[i - 1], self.history[i]
    self.world:check(a.put < b.put, "%s: call %d got what call %d put, "
      .. "call %d what %d did", self.kind, a.get, a.put, b.get, b.put)
  end
end

--- How many are in it; exact unless puts were cut off.
function Queue:check_sum()
  local n = self.puts - self.gots - self.cleared
  self.world:check(n <= #self.o and #self.o <= n + self.unknown,
    "%s: %d put, %d got, %d cleared, %d unknown, but #q is %d", self.kind,
    self.puts, self.gots, self.cleared, self.unknown, #self.o)
end

local function semaphore(w)
  local n = random(0, 3)
  local max = one_in(2) and n + random(2) or nil
  return {o = green.semaphore(n, max), permits = n, max = max, held = 0,
    world = w}
end

local function lock()
  local reentrant = one_in(2)
  return {o = green.lock(reentrant), reentrant = reentrant, depth = 0}
end

local function ticker()
  return {o = green.ticker(random() / 50 + 0.001), seen = {}}
end

local function pool()
  local n = random(3)
  return {o = green.pool(n), n = n, most = n}
end

local function flag()
  local set = one_in(3)
  return {o = green.flag(set), set = set}
end

local function waitgroup()
  local n = random(0, 2)
  return {o = green.waitgroup(n), n = n}
end

--- A pool of resources; its items know their holders.
local function resources(w)
  local rp = {alive = 0, max = random(3), made = 0}
  rp.most = rp.max
  local function create()
    if one_in(3) then green.sleep(random() / 100) end
    if one_in(6) then return nil, "none" end
    if one_in(6) then error(mine "create", 0) end
    rp.alive, rp.made = rp.alive + 1, rp.made + 1
    w:check(rp.alive <= rp.most, "%d resources of %d", rp.alive, rp.most)
    trace(nil, "made %d of %s", rp.made, rp)
    return {id = rp.made}
  end
  local function destroy(item)
    w:check(not item.leased, "a leased resource was destroyed")
    w:check(not item.destroyed, "a resource was destroyed twice")
    item.destroyed = true
    trace(nil, "destroyed %d of %s", item.id, rp)
    rp.alive = rp.alive - 1
    if one_in(4) then green.sleep(random() / 100) end
    if one_in(8) then error(mine "destroy", 0) end
  end
  local function fit(item)
    w:check(not item.leased and not item.destroyed, "an item that is in use")
    if one_in(4) then green.sleep(random() / 100) end
    if one_in(8) then error(mine "fit", 0) end
    return not one_in(5)
  end
  rp.o = green.resource_pool {create = create, destroy = destroy,
    check = one_in(2) and fit or nil, reset = one_in(2) and fit or nil,
    max = rp.max, max_idle = one_in(2) and 0.01 or nil}
  return rp
end

local function single(w)
  return {o = green.single_flight(function(key)
    if one_in(2) then green.sleep(random() / 50) end
    if one_in(5) then error(mine "once", 0) end
    w.calls = w.calls + 1
    return {key = key}
  end)}
end

local MAKERS <const> = {
  queue = function(w) return w:new_queue() end,
  semaphore = semaphore, lock = lock, ticker = ticker, pool = pool,
  flag = flag, waitgroup = waitgroup, resources = resources, once = single,
  event = function() return {o = green.event()} end,
  condition = function() return {o = green.condition()} end,
  dag = function() return {o = dag {x = "x"}} end,
}
--- In an order that a seed repeats.
local KINDS <const> = {"queue", "semaphore", "lock", "ticker", "pool", "flag",
  "waitgroup", "resources", "once", "event", "condition", "dag"}

local function new_world()
  local w = setmetatable({failures = {}, actors = {}, list = {}, items = {},
    calls = 0, links = 0, all = {}}, World)
  for _, kind in ipairs(KINDS) do
    w[kind], w.all[kind] = {}, {}
    for i = 1, random(kind == "queue" and 4 or 2) do
      local model = MAKERS[kind](w)
      w[kind][i] = model
      table.insert(w.all[kind], model)
    end
  end
  w.locals, w.inherited = green.locals(), green.locals(true)
  return w
end

------------------------------------------------------------------ actors --

local act -- act(w, depth): one random act

local function acts(w, depth)
  for _ = 1, random(3) do act(w, depth) end
end

--- The end of an actor's body: with an error, or cut off.
local Body = {}
function Body:__close(err)
  local me = self.me
  if me.returned then return end
  if err == nil then
    self.world.cut = true
    me.cut = true
  else
    me.failed = err
    self.world:check_error(err, "actor #" .. me.id)
  end
end

local function check_locals(w, me)
  local mark = w.locals.mark
  w:check(mark == nil or mark == me.id, "locals of another thread")
  w.locals.mark = me.id
end

local function body(w, me, depth)
  local t = green.current()
  me.id = t.id
  w.actors[t.id] = me
  if one_in(3) then me.co = coroutine.running() end
  if me.inherits then
    w:check(w.inherited.from == me.inherits, "locals were not inherited")
  end
  w.inherited.from = t.id
  local _ <close> = setmetatable({world = w, me = me}, Body)
  if me.pool and one_in(2) then me.pool = nil end
  for _ = 1, random(8) do act(w, depth) end
  me.returned = {}
  return me.returned
end

--- Makes an actor by spawn(f, ...), and notes it when that returns.
function World:enlist(depth, spawn, ...)
  if self.ending or #self.list > CROWD then return end
  local me = {shields = 0, deadlines = {}}
  self.list[#self.list + 1] = me
  local before = table.pack(...)
  before[before.n + 1] = function() return body(self, me, depth) end
  local t = spawn(table.unpack(before, 1, before.n + 1))
  if green.type(t) == "thread" then
    me.thread, me.id = t, t.id
    self.actors[t.id] = me
  end
  return me
end

function World:spawned(depth)
  local me = self:me()
  local inherits = me and self.inherited.from
  local kind = random(6)
  local child
  if kind <= 3 then
    child = self:enlist(depth, green.spawn)
  elseif kind == 4 then
    child = self:enlist(depth, green.spawn_n)
  elseif kind == 5 then
    child = self:enlist(depth, green.spawn_after, random() / 20)
  else
    child = self:enlist(depth, green.spawn_after_local, random() / 20)
  end
  if child then
    child.inherits, child.free = inherits, true
  end
  return child
end

--- An actor with a handle.
function World:other()
  for _ = 1, 5 do
    local a = pick(self.list)
    if a.thread then return a end
  end
end

--- All threads that ask must get the same.
function World:outcome(actor, ok, v)
  if ok == nil then return end
  if not actor.outcome then actor.outcome = {ok, v} end
  self:check(actor.outcome[1] == ok and rawequal(actor.outcome[2], v),
    "#%d ended as %s %s and as %s %s", actor.id, actor.outcome[1],
    actor.outcome[2], ok, v)
  local status = actor.thread:status()
  self:check(actor.thread:has_ended() and (status == "done") == ok,
    "#%d: joined as %s, but %s", actor.id, ok, status)
  if not ok then self:check_error(v, "join of #" .. actor.id) end
end

-------------------------------------------------------------- plain acts --

local plain = {}

function plain.put(w)
  local q = pick(w.queue)
  local item <close> = q:item()
  q:put_result(item, w:wait("put", q, q.o.put, limit(), item.v))
end

function plain.get(w)
  local q, call = pick(w.queue), w:call()
  q:get_result(call, w:wait("get", q, q.o.get, limit()))
end

function plain.items(w)
  local q, call = pick(w.queue), w:call()
  local _ <close> = stay(w:me(), {{kind = "get", model = q}})
  for v in q.o:items() do
    q:take(v, call)
    if one_in(3) then break end
    call = w:call()
  end
end

--- A queue with everything that queues have, or nil.
local function real_queue(w)
  for _ = 1, 4 do
    local q = pick(w.queue)
    if q.kind ~= "port" then return q end
  end
end

function plain.task_done(w)
  local q = real_queue(w)
  if not q then return end
  trace(w:me(), "task_done of %s", q)
  q.o:task_done()
  q.unfinished = q.unfinished - 1
end

function plain.join_queue(w)
  local q = real_queue(w)
  if q then w:wait("unfinished", q, q.o.join, limit()) end
end

function plain.peek(w)
  local q = real_queue(w)
  local v = q and q.o:peek()
  if v == nil then return end
  w:check(w.items[v] and not w.items[v].got, "peek shows what was got")
end

function plain.wait_event(w)
  local e = pick(w.event)
  local v = w:wait("event", e, e.o.wait, limit())
  w:check(v == nil or rawequal(v, e.sent), "an event's value")
end

function plain.send(w)
  local e, value = pick(w.event), {}
  e.o:send(value)
  e.sent = value
end

function plain.send_error(w)
  pick(w.event).o:send_error(mine "sent")
end

function plain.flag(w)
  local f = pick(w.flag)
  if one_in(2) then
    w:wait("flag", f, f.o.wait, limit())
  else
    f.set = one_in(2)
    f.o[f.set and "set" or "clear"](f.o)
  end
  w:check(f.o:is_set() == f.set, "a flag")
end

function plain.condition(w)
  local c = pick(w.condition)
  w:wait("condition", c, c.o.wait, limit())
end

function plain.signal(w)
  local c = pick(w.condition)
  c.o[pick {"signal", "broadcast"}](c.o)
end

function plain.wait_waitgroup(w)
  local g = pick(w.waitgroup)
  w:wait("waitgroup", g, g.o.wait, limit())
end

function plain.add(w)
  local g, n = pick(w.waitgroup), random(-2, 2)
  local ok, err = pcall(g.o.add, g.o, n)
  w:check(ok == (g.n + n >= 0), "add %d to %d: %s", n, g.n, err)
  if ok then g.n = g.n + n end
  w:check(g.o:count() == g.n, "a waitgroup's count")
end

function plain.tick(w)
  local k = pick(w.ticker)
  local n, why = w:wait("ticker", k, k.o.wait, limit())
  if n then
    w:check(not k.seen[n], "tick %d came twice", n)
    k.seen[n] = true
  else
    w:check(why == "timeout" or k.cancelled, "a ticker: %s", why)
  end
end

function plain.release(w)
  local s = pick(w.semaphore)
  local over = s.max and s.o:count() == s.max
  if s.max and s.permits == s.max and not over then return end
  s.o:release()
  w:check(not over, "a permit too many")
  s.permits = s.permits + 1
end

function plain.give(w)
  local s = pick(w.semaphore)
  if s.max then return end
  s.o:release()
  s.permits = s.permits + 1
end

function plain.sleep()
  green.sleep(pick {0, -1, random() / 100, random() / 10, 1e-9})
end

function plain.join(w)
  local other = w:other()
  if other then
    w:outcome(other, w:wait("thread", {o = other.thread}, other.thread.join,
      limit()))
  end
end

function plain.wait(w)
  local other = w:other()
  if not other then return end
  local v = w:wait("thread", {o = other.thread}, other.thread.wait, limit())
  if v ~= nil then w:outcome(other, true, v) end
end

function plain.kill(w)
  local other = w:other()
  if not other or one_in(2) then return end
  trace(w:me(), "kill of #%d", other.id)
  local ended = other.thread:has_ended() -- or in a finalizer, meanwhile
  local alive = other.thread:kill("a whim")
  if alive == ended or not alive and not other.thread:has_ended() then
    w:fail("kill of #%d returned %s", other.id, alive)
  end
  if alive then other.killed = other.killed or green.now() end
end

function plain.throw(w)
  local other = w:other()
  if other and one_in(2) then other.thread:throw(mine "thrown") end
end

function plain.cancel(w)
  local other = w:other()
  if other and one_in(3) and other.thread:cancel() then
    w:check(other.thread:status() == "killed", "cancelled, not killed")
  end
end

function plain.link(w)
  local other = w:other()
  if not other then return end
  w.links = w.links + 1
  local function linked(t)
    w.links = w.links - 1
    w:check(t == other.thread, "a link was told of another thread")
    w:outcome(other, t:join(0))
  end
  other.thread:link(linked)
  if one_in(3) and other.thread:unlink(linked) then w.links = w.links - 1 end
end

function plain.close_queue(w)
  if not one_in(4) then return end
  local q = pick(w.queue)
  q.o:close()
  q.closed = true
end

--- Only the sum may tell what a clear dropped.
function plain.clear(w)
  local q = one_in(3) and real_queue(w)
  if not q then return end
  local n = q.o:clear()
  trace(w:me(), "cleared %d of %s", n, q)
  q.cleared, q.unfinished = q.cleared + n, math.max(0, q.unfinished - n)
end

function plain.resize(w)
  local q = one_in(2) and real_queue(w)
  if q then
    q.bound = pick {false, 1, 2, 0} or nil
    q.o:resize(q.bound)
  else
    local p = pick(w.pool)
    p.n = random(3)
    p.most = math.max(p.most, p.n)
    p.o:resize(p.n)
  end
end

function plain.resize_resources(w)
  local rp = pick(w.resources)
  rp.max = random(3)
  rp.most = math.max(rp.most, rp.max)
  rp.o:resize(rp.max)
end

function plain.pool_wait(w)
  local p = pick(w.pool)
  w:wait("pool", p, p.o.wait, limit())
end

function plain.pool_kill(w)
  if one_in(4) then pick(w.pool).o:kill("the pool") end
end

function plain.collect()
  collectgarbage(pick {"collect", "step"})
end

--- Another of its kind takes its place: nobody new will come to this one.
function plain.forget(w)
  local kind = pick(KINDS)
  local model = MAKERS[kind](w)
  w[kind][random(#w[kind])] = model
  table.insert(w.all[kind], model)
end

function plain.raise()
  if one_in(3) then error(mine "raised", 0) end
end

function plain.once(w)
  local key = pick {"a", "b", 0 / 0}
  local once = pick(w.once)
  local r = once.o(key)
  w:check(rawequal(r.key, key) or key ~= key, "the result of another key")
end

function plain.foreign_resume(w)
  local other = pick(w.list)
  if other.co then coroutine.resume(other.co, "nonsense", {}) end
end

--- Killed by a thread that no block waits for: the handlers may wait for the
--- others.
function plain.foreign_close(w)
  local other = pick(w.list)
  if not other.co or not w:me().free or one_in(2) then return end
  trace(w:me(), "close of #%d", other.id)
  other.closed = true
  local ok, done, err = pcall(coroutine.close, other.co)
  if ok and not done then w:check_error(err, "coroutine.close") end
end

function plain.wait_all(w)
  local list = {}
  for i = 1, random(3) do
    local other = one_in(2) and w:other()
    list[i] = other and other.thread or pick(w.event).o
  end
  green.wait_all(list, limit())
end

function plain.as_completed(w)
  local list, whose = {}, {}
  for i = 1, random(3) do
    local other = w:other()
    if not other or other == w:me() then return end
    list[i], whose[i] = other.thread, other
  end
  for i, ok, v in green.as_completed(list) do
    w:outcome(whose[i], ok, v)
    if one_in(3) then break end
  end
end

------------------------------------------------------------------- select --

--- A case: what to give to select, what of the model it is, what to do with
--- what it returns.
local cases = {}

function cases.get(w, call)
  local q = pick(w.queue)
  return {model = q, case = one_in(2) and q.o or {q.o, "get"},
    commit = function(v, why) q:get_result(call, v, why) end}
end

function cases.put(w)
  local q = pick(w.queue)
  local item = q:item()
  return {model = q, case = {q.o, "put", item.v}, item = item,
    commit = function(ok, why) q:put_result(item, ok, why) end}
end

function cases.event(w)
  local e = pick(w.event)
  return {model = e, case = e.o, commit = function(ok, v)
    w:check(not ok or rawequal(v, e.sent), "an event's value in select")
  end}
end

function cases.flag(w)
  local f = pick(w.flag)
  return {model = f, case = f.o,
    commit = function(v) w:check(v == true, "a flag in select") end}
end

function cases.condition(w)
  local c = pick(w.condition)
  return {model = c, case = c.o, commit = function() end}
end

function cases.waitgroup(w)
  local g = pick(w.waitgroup)
  return {model = g, case = g.o, commit = function() end}
end

function cases.ticker(w)
  local k = pick(w.ticker)
  return {model = k, case = k.o, commit = function(n)
    w:check(n == nil or not k.seen[n], "tick %s came twice", n)
    if n then k.seen[n] = true end
  end}
end

function cases.pool(w)
  local p = pick(w.pool)
  return {model = p, case = p.o, commit = function() end}
end

function cases.semaphore(w)
  local s = pick(w.semaphore)
  return {model = s, case = s.o, commit = function()
    s.o:release()
  end}
end

function cases.lock(w)
  local l = pick(w.lock)
  return {model = l, case = l.o, commit = function(guard)
    w:check(guard and l.o:owner() == green.current(), "a lock in select")
    l.o:release()
  end}
end

function cases.thread(w)
  local other = w:other()
  if not other then
    local c = cases.flag(w)
    c.kind = "flag"
    return c
  end
  return {model = {o = other.thread}, case = other.thread,
    commit = function(ok, v) w:outcome(other, ok, v) end}
end

local CASES <const> = {"get", "put", "event", "flag", "condition",
  "waitgroup", "ticker", "pool", "semaphore", "lock", "thread", "get", "put"}

--- The items of the cases that were not chosen.
local Choice = {}
function Choice:__close(err)
  for _, c in ipairs(self) do
    if c.item then Item.__close(c.item, err) end
  end
end

local function chosen(w, choice, s, began, i, ...)
  for n, c in ipairs(choice) do
    if c.item and n ~= i then c.item:settle(false) end
  end
  if i then return choice[i].commit(...) end
  w:limited(s, began, i, ...)
end

function plain.select(w)
  local me, s, call = w:me(), limit(), w:call()
  local choice <close> = setmetatable({}, Choice)
  local list = {}
  for i = 1, random(pick {1, 4, 12}) do
    local kind = pick(CASES)
    choice[i] = cases[kind](w, call)
    choice[i].kind = choice[i].kind or kind
    list[i] = choice[i].case
  end
  trace(me, "select of %d, %s", #list, s)
  local _ <close> = stay(me, choice)
  chosen(w, choice, s, green.now(), green.select(list, s))
end

--------------------------------------------------------- acts that contain --

local nested = {}

--- Cases keep their places between the selects, so nobody can tell whose get
--- came first.
local SELECTABLE <const> = {"get", "get", "get", "event", "flag", "condition",
  "waitgroup", "ticker", "pool", "semaphore", "semaphore", "lock", "thread"}

local function new_selector(w)
  local s = {o = green.selector(), cases = {}}
  for i = 1, random(pick {1, 4, 12}) do
    local kind = pick(SELECTABLE)
    local c = cases[kind](w)
    c.kind = c.kind or kind
    s.cases[i] = c
    w:check(s.o:add(c.case) == i, "the number of a selector's case")
  end
  if one_in(2) then table.insert(w.selectors, s) end
  return s
end

local function picked(w, s, limit_, began, i, ...)
  if i then return s.cases[i].commit(...) end
  w:limited(limit_, began, i, ...)
end

local function select_from(w, s)
  local limit_ = limit()
  trace(w:me(), "selector of %d, %s", #s.o, limit_)
  local _ <close> = stay(w:me(), s.cases)
  picked(w, s, limit_, green.now(), s.o:select(limit_))
end

--- Other threads may use the same selector, or close it meanwhile.
function nested.selector(w, depth)
  local s = #w.selectors > 0 and one_in(2) and pick(w.selectors)
    or new_selector(w)
  for _ = 1, random(4) do
    select_from(w, s)
    if one_in(3) then acts(w, depth) end
    if one_in(6) then
      local i = random(#s.cases)
      s.o:remove(i)
      s.cases[i].removed = true
    end
  end
  if one_in(5) then s.o:close() end
end

--- A permit is back when the guard is closed, before this is.
local Held = {}
function Held:__close()
  if self.got then self.of.held = self.of.held - 1 end
end

function nested.semaphore(w, depth)
  local s = pick(w.semaphore)
  local held <close> = setmetatable({of = s}, Held)
  local guard <close> = w:wait("semaphore", s, s.o.acquire, limit())
  if guard == nil then return end
  held.got, s.held = true, s.held + 1
  acts(w, depth)
end

--- When others close the owner's coroutine, the guard releases; if it is one
--- of the owner's own coroutines it does not.
local Owned = {}
function Owned:__close()
  if not self.got then return end
  local l = self.of
  l.depth = green.current() == self.by and l.depth - 1 or 0
end

local function owns(w, l)
  local me = green.current()
  w:check(l.o:owner() == me, "acquired, but not owned")
  if l.depth > 0 and l.by ~= me then
    w:check(l.by:has_ended(), "a lock with two owners")
    l.depth = 0
  end
  w:check(l.reentrant or l.depth == 0, "a lock acquired twice")
  l.by, l.depth = me, l.depth + 1
end

function nested.lock(w, depth)
  local l = pick(w.lock)
  local owned <close> = setmetatable({of = l, by = green.current()}, Owned)
  local guard <close> = w:wait("lock", l, l.o.acquire, limit())
  if guard == nil then return end
  owns(w, l)
  owned.got = true
  acts(w, depth)
end

--- Never released: the next to ask after this thread has ended gets an error.
function nested.orphan(w)
  if not one_in(4) then return end
  local l = pick(w.lock)
  if w:wait("lock", l, l.o.acquire, limit()) then owns(w, l) end
end

local Leased = {}
function Leased:__close() self.item.leased = false end

function nested.lease(w, depth)
  local rp = pick(w.resources)
  local lease <close>, item = w:wait("resources", rp, rp.o.lease, limit())
  if lease == nil then return end
  w:check(not item.leased, "an item leased twice")
  w:check(not item.destroyed, "a destroyed item was leased")
  trace(w:me(), "leased %d of %s", item.id, rp)
  item.leased = true
  local _ <close> = setmetatable({item = item}, Leased)
  acts(w, depth)
  if one_in(4) then
    item.leased = false
    lease:discard()
  end
end

local Shield = {}
function Shield:__close() self.me.shields = self.me.shields - 1 end

function nested.shield(w, depth)
  local me = w:me()
  me.shields = me.shields + 1
  local _ <close> = setmetatable({me = me}, Shield)
  green.shield(pick {0.01, random() / 10, 1}, acts, w, depth)
end

local Limit = {}
function Limit:__close() table.remove(self.me.deadlines) end

local function note_deadline(me, s)
  table.insert(me.deadlines, green.now() + s)
  return setmetatable({me = me}, Limit)
end

function nested.with_timeout(w, depth)
  local s = random() / 50
  local _ <close> = note_deadline(w:me(), s)
  green.with_timeout(s, acts, w, depth)
end

function nested.timeout(w, depth)
  local s = random() / 50
  local _ <close> = note_deadline(w:me(), s)
  local err = one_in(2) and mine "late" or nil
  local limited <close> = green.timeout(s, err)
  acts(w, depth)
  if limited:expired() then
    w:check(limited:expired(), "a timeout that has not expired any more")
  elseif one_in(2) then
    limited:restart(1)
    limited:cancel()
  end
end

--- A timeout that nobody cancels.
function nested.left_timeout(w, depth)
  if one_in(3) then green.timeout(random() / 10) end
  acts(w, depth)
end

function nested.pcall(w, depth)
  local ok, err = pcall(acts, w, depth)
  if not ok then w:check_error(err, "pcall") end
end

function nested.green_pcall(w, depth)
  local ok, err = green.pcall(acts, w, depth)
  if not ok then w:check_error(err, "green.pcall") end
end

function nested.xpcall(w, depth)
  xpcall(acts, function(err)
    local me = w:me() -- the stack is still that of the call
    local _ <close> = stay(me, {})
    local _ <close> = setmetatable({me = me}, Shield)
    me.shields = me.shields + 1
    if one_in(3) then act(w, 0) end
    return err
  end, w, depth)
end

function nested.gsub(w, depth)
  local _ = ("x"):gsub("x", function() acts(w, depth) end)
end

function nested.sort(w, depth)
  table.sort({3, 1, 2}, function(a, b)
    if one_in(3) then act(w, depth) end
    return a < b
  end)
end

function nested.metamethod(w, depth)
  local mt = {__tostring = function()
    acts(w, depth)
    return "text"
  end}
  mt.__index, mt.__lt = mt.__tostring, mt.__tostring
  local o = setmetatable({}, mt)
  local kind = random(3)
  local _ = kind == 1 and o.field or kind == 2 and o < o or tostring(o)
end

function nested.load(w, depth)
  load(function() acts(w, depth) end)
end

--- Its time limit belongs to it: it counts on while the coroutine rests, and
--- strikes whichever actor resumes it, but never one that does not.
local function generator(w, depth)
  return coroutine.create(function()
    local limited <close> = one_in(2) and green.timeout(random() / 20) or nil
    pcall(acts, w, depth)
    for _ = 1, random(3) do
      local expired = limited and limited:expired()
      coroutine.yield()
      w:check(not expired or limited:expired(), "a limit that came back")
      if limited and one_in(4) then limited:restart(random() / 20) end
      if one_in(2) then pcall(act, w, depth) end
    end
    act(w, depth)
  end)
end

--- Runs it to its end, or leaves it, or closes it; or lets others go on.
function nested.coroutine(w, depth)
  local co = #w.coroutines > 0 and one_in(4) and pick(w.coroutines)
    or generator(w, depth)
  local ok, err = coroutine.resume(co)
  if not ok and type(err) == "string" and err:find "^cannot resume" then
    return
  end
  if not ok then w:check_error(err, "a coroutine") end
  if not ok or one_in(3) then -- an error leaves its blocks to the close
    pcall(coroutine.close, co)
  elseif one_in(2) then
    table.insert(w.coroutines, co)
  end
end

function nested.wrap(w, depth)
  coroutine.wrap(function() acts(w, depth) end)()
end

function nested.close_handler(w, depth)
  local _ <close> = setmetatable({}, {__close = function()
    act(w, depth)
    if one_in(6) then error(mine "handler", 0) end
  end})
  acts(w, depth)
end

--- The acts of a finalizer, in any thread, and in the middle of other acts.
local LIGHT <const> = {"send", "signal", "give", "close_queue",
  "peek", "kill", "throw", "collect", "cancel", "link"}

function nested.finalizer(w)
  setmetatable({}, {__gc = function()
    if w.over then return end
    local ok, err = pcall(plain[pick(LIGHT)], w)
    if not ok then w:check_error(err, "a finalizer") end
    if one_in(4) then pcall(green.spawn, act, w, 0) end
  end})
  if one_in(2) then collectgarbage() end
end

----------------------------------------------------------- owned threads --

--- Children that may not outlive the block that they were spawned in, unless
--- that was closed by another thread.
local Family = {}
function Family:__close()
  if green.current() ~= self.of then return end
  if not self.complete and not self.err then return end
  for _, child in ipairs(self) do
    self.world:check(not child.thread or child.thread:has_ended(),
      "#%s outlives its %s", child.id, self.kind)
  end
end

--- Stands inside the crew's block, to learn how that ends.
local Block = {}
function Block:__close(err) self.family.err = err end

local function family(w, kind)
  return setmetatable({world = w, kind = kind, of = green.current()}, Family)
end

local function fill(w, depth, family_, crew)
  local _ <close> = setmetatable({family = family_}, Block)
  for _ = 1, random(4) do
    family_[#family_ + 1] = w:enlist(depth, crew.spawn, crew)
  end
  acts(w, depth)
  if one_in(4) and crew.kill then crew:kill() end
  family_.complete = true
end

function nested.group(w, depth)
  local members <close> = family(w, "group")
  local g <close> = green.group(pick {false, 1, 2} or nil)
  fill(w, depth, members, g)
  if one_in(3) then g:wait(limit()) end
end

function nested.own_pool(w, depth)
  local members <close> = family(w, "pool")
  local p <close> = green.pool(random(3))
  fill(w, depth, members, p)
end

function nested.pile(w, depth)
  local members <close> = family(w, "pile")
  local pile <close> = green.pile(one_in(2) and pick(w.pool).o or random(3))
  fill(w, depth, members, pile)
  for _ in pile:results() do
    if one_in(3) then break end
  end
end

function nested.handle(w, depth)
  local members <close> = family(w, "handle")
  local child = w:enlist(depth, green.spawn)
  if not child then return end
  members[1] = child
  local _ <close> = child.thread
  local _ <close> = setmetatable({family = members}, Block)
  acts(w, depth)
  members.complete = true
end

function nested.pool_spawn(w, depth)
  local p = pick(w.pool)
  local me = w:me()
  local _ <close> = stay(me, {{kind = "room", model = p}})
  w:enlist(depth, p.o[pick {"spawn", "spawn_n"}], p.o)
end

local function square(w, depth)
  return function(n)
    if one_in(2) then green.sleep(random() / 100) end
    if one_in(8) then error(mine "map", 0) end
    if one_in(4) then green.spawn(acts, w, depth) end
    return n * n
  end
end

function nested.map(w, depth)
  local results = pick(w.pool).o:map(square(w, depth), {1, 2, 3, 4})
  for i = 1, 4 do w:check(results[i] == i * i, "map") end
end

function nested.imap(w, depth)
  local p = pick(w.pool).o
  local imap = one_in(2) and p.imap or p.imap_unordered
  for i, ok, v in imap(p, square(w, depth), {1, 2, 3, 4}) do
    if ok then
      w:check(v == i * i, "imap: %s", v)
    else
      w:check_error(v, "imap")
    end
    if one_in(6) then break end
  end
end

local KEYS <const> = {"a", "b", "c", "d"}

local function some_keys()
  local keys = {}
  for _, key in ipairs(KEYS) do
    if one_in(3) then keys[#keys + 1] = key end
  end
  return keys
end

local function task(w)
  return function(key, results)
    if one_in(2) then
      results:wait(limit())
    else
      for k, ok, v in results do
        w:check(not ok or v == k, "dag: %s has %s", k, v)
      end
    end
    if one_in(6) then error(mine "task", 0) end
    return key
  end
end

function nested.dag(w)
  local d, key = pick(w.dag).o, pick(KEYS)
  local kind = random(5)
  if kind <= 2 then
    d:spawn(key, some_keys(), task(w))
  elseif kind == 3 then
    d:post(key, key, one_in(2))
  elseif kind == 4 then
    d:kill(key)
  else
    for k, v in pairs(d:wait(some_keys(), limit()) or {}) do
      w:check(v == k, "dag: %s has %s", k, v)
    end
  end
end

function nested.dag_each(w)
  for k, ok, v in pick(w.dag).o:wait_each(some_keys()) do
    w:check(not ok or v == k, "dag: %s has %s", k, v)
    if one_in(3) then break end
  end
end

function nested.spawn(w, depth)
  w:spawned(depth)
end

--------------------------------------------------------------------- act --

local function names(of)
  local list = {}
  for name in pairs(of) do list[#list + 1] = name end
  table.sort(list)
  return list
end
local PLAIN <const>, NESTED <const> = names(plain), names(nested)

function act(w, depth)
  local me = w:me()
  if not me then return end
  check_locals(w, me)
  local deeper = depth > 0 and one_in(2)
  local name = pick(deeper and NESTED or PLAIN)
  trace(me, "%s", name)
  local f = deeper and nested[name] or plain[name]
  if one_in(2) then return f(w, depth - 1) end
  local ok, err = pcall(f, w, depth - 1)
  if ok then return end
  w:check_error(err, name)
  if getmetatable(err) ~= Mine and type(err) ~= "string" then error(err, 0) end
end

------------------------------------------------------------------- quiet --

--- Could a wait of that kind succeed now?
local could = {}

function could.get(q) return #q.o > 0 or q.closed end
function could.put(q)
  return q.closed or not q.bound or #q.o < q.bound
end
function could.unfinished(q, w)
  return not w.cut and q.unfinished == 0
end
function could.semaphore(s) return s.o:count() > 0 end
function could.lock(l) return l.o:owner() == nil end
function could.flag(f) return f.o:is_set() end
function could.waitgroup(g) return g.o:count() == 0 end
function could.event(e) return e.o:ready() end
function could.thread(t) return t.o:has_ended() end
function could.pool(p) return p.o:wait(0) end
function could.room(p) return p.o:free() > 0 end
function could.resources(rp, _, what)
  return what == "resource_pool:lease" and rp.o:free() > 0
end
function could.condition() return false end
function could.ticker(k) return k.cancelled end

local function check_waiter(w, actor, t)
  local waiting, now = t:blocked(), green.now()
  if waiting and waiting.deadline and waiting.deadline < now then
    w:fail("#%d sleeps past its limit in %s", actor.id, waiting.what)
  end
  local what = waiting and waiting.what
  if not actor.stay then return end
  for _, c in ipairs(actor.stay.cases) do
    w:check(c.removed or not could[c.kind](c.model, w, what),
      "#%d waits in %s for a %s that it could have", actor.id, what, c.kind)
  end
  if actor.shields > 0 then return end
  w:check(not actor.killed, "#%d was killed, and waits in %s", actor.id, what)
  for _, deadline in ipairs(actor.deadlines) do
    w:check(deadline >= now - 1e-6, "#%d overslept a timeout by %g s",
      actor.id, now - deadline)
  end
end

--- No getter waits while a putter waits.
local function check_meetings(w)
  local getter, putter = {}, {}
  for _, actor in ipairs(w.list) do
    local t = actor.id and green.find_thread(actor.id)
    for _, c in ipairs(t and t:status() == "blocked" and actor.stay
      and actor.stay.cases or {}) do
      local side, other = getter, putter
      if c.kind == "put" then side, other = putter, getter end
      if not c.removed and (c.kind == "put" or c.kind == "get") then
        side[c.model] = side[c.model] or actor
        local met = other[c.model]
        w:check(not met or met == actor, "#%d and #%s do not meet", actor.id,
          met and met.id)
      end
    end
  end
end

local function check_semaphore(w, s)
  local expected = s.permits - s.held
  w:check(s.o:count() == expected, "%d permits, %d held, %d free", s.permits,
    s.held, s.o:count())
end

--- The conditions that hold whenever no thread can run.
local function check_all(w)
  for _, actor in ipairs(w.list) do
    local t = actor.id and green.find_thread(actor.id)
    if t and t:status() == "blocked" then check_waiter(w, actor, t) end
  end
  check_meetings(w)
  for _, q in ipairs(w.all.queue) do q:check_sum() end
  for _, s in ipairs(w.all.semaphore) do check_semaphore(w, s) end
  for _, g in ipairs(w.all.waitgroup) do
    w:check(g.o:count() == g.n, "a waitgroup's count")
  end
  for _, f in ipairs(w.all.flag) do
    w:check(f.o:is_set() == f.set, "a flag")
  end
end

--- False if some thread can run; a fault counts only if all was quiet to the
--- end: a finalizer may have made somebody ready in between.
function World:check_quiet()
  if green.stats().ready > 0 then return false end
  local failures = #self.failures
  check_all(self)
  if green.stats().ready == 0 then return true end
  for i = #self.failures, failures + 1, -1 do self.failures[i] = nil end
  return false
end

--- Waits until no thread can run, or for 50 moments.
function World:settle()
  for _ = 1, 50 do
    green.sleep(2e-9)
    if self:check_quiet() then return end
  end
end

--------------------------------------------------------------------- end --

local function end_actors(w)
  local all = true
  for i = #w.list, 1, -1 do
    local a = w.list[i]
    local t = a.id and green.find_thread(a.id)
    if t and t ~= green.current() then
      all = false
      t:kill("the end")
      a.killed = a.killed or green.now()
    end
  end
  for _, a in ipairs(w.list) do
    local t = a.id and green.find_thread(a.id)
    if t and t ~= green.current() then
      t:kill("the end") -- it may have been born meanwhile
      local ok, why = t:join(1000)
      if ok == nil and why == "timeout" then
        w:fail("#%d does not end: %s", a.id, t:traceback())
      end
    end
  end
  return all
end

local function check_outcomes(w)
  for _, a in ipairs(w.list) do
    if a.thread then
      local ok, v = a.thread:join(0)
      w:check(ok ~= nil, "#%d has not ended", a.id)
      w:outcome(a, ok, v)
      w:check(not a.returned or ok and v == a.returned,
        "#%d: its body returned", a.id)
      w:check(not a.failed or not ok and rawequal(v, a.failed)
        or a.closed and green.type(v) == "killed",
        "#%d: its body failed with %s, but it ended as %s %s", a.id, a.failed,
        ok, v)
    end
  end
end

local function drain(w, q)
  local last
  repeat
    local v = q.o:get(0)
    if v then q:take(v) end
    if v and last and q.kind == "priority_queue" then
      w:check(last <= v, "a priority queue out of order")
    end
    last = v
  until not v
  if not w.cut and w.ordered then q:check_order() end
  q:check_sum()
end

local function check_pool(w, p)
  w:check(p.o:wait(1000) == true, "a pool does not end")
  w:check(p.o:running() == 0 and p.o:waiting() == 0 and p.o:free() == p.n,
    "a pool: %d run, %d wait, %s free", p.o:running(), p.o:waiting(),
    p.o:free())
end

local function close_resources(w, rp)
  w:check(rp.o:close(1000) == true, "a resource pool does not close")
  green.sleep(10)
  w:check(rp.alive == 0, "%d resources are left", rp.alive)
end

local function close_dag(w, d)
  for _, key in ipairs(KEYS) do d.o:kill(key) end
  green.sleep(1)
  w:check(d.o:running() == 0, "tasks of a graph are left")
end

--- Everything must end when asked to.
function World:finish()
  self.ending = true
  for _ = 1, 20 do -- a thread that was about to be spawned comes late
    if end_actors(self) then break end
    green.sleep(1)
  end
  self.over = true
  self.coroutines, self.selectors = {}, {}
  collectgarbage()
  collectgarbage()
  green.sleep(20) -- for links, reports and the threads of finalizers
  for _, k in ipairs(self.all.ticker) do k.o:close() end
  for _, p in ipairs(self.all.pool) do check_pool(self, p) end
  for _, rp in ipairs(self.all.resources) do close_resources(self, rp) end
  for _, d in ipairs(self.all.dag) do close_dag(self, d) end
  check_outcomes(self)
  self:check_quiet()
  for _, q in ipairs(self.all.queue) do drain(self, q) end
  self:check(self.links == 0, "%d links did not run", self.links)
end

--------------------------------------------------------------------- run --

local function configure(w)
  local budget = pick {1, 2, 64, 1000000}
  collectgarbage(one_in(4) and "restart" or "stop")
  green.config {budget = budget, recycle = not one_in(4)}
  if one_in(4) then green.config {keep_stacks = random(3)} end
  w.ordered = w.fifo and budget > 64
  green.on_error(function(err)
    w:check_error(err, "on_error")
    if one_in(4) then green.sleep(0.001) end
  end)
end

local function program(fifo)
  local w = new_world()
  w.fifo = fifo
  w.coroutines, w.selectors = {}, {}
  configure(w)
  w.actors[green.current().id] = {id = green.current().id, shields = 0,
    deadlines = {}}
  for _ = 1, random(3, 30) do w:spawned(DEPTH) end
  for _ = 1, random(8) do
    w:settle()
    green.sleep(random() / 20)
    if one_in(3) then collectgarbage() end
  end
  w:finish()
  if #w.failures > 0 then error(table.concat(w.failures, "\n\n"), 0) end
end

local fuzz = {}

--- Runs the program of that seed; raises what is wrong with it.
function fuzz.run(seed)
  local _ <close> = setmetatable({}, {__close = function()
    collectgarbage("restart")
  end})
  collectgarbage()
  collectgarbage()
  local fifo = seed % 3 == 0
  test.run(function() program(fifo) end,
    {seed = seed, limit = 20, order = fifo and "fifo" or "seed"})
end

--- run_for(seconds, first, report, most): see spec/fuzzing.lua.
fuzz.run_for = fuzzing.run_for(fuzz.run)

if fuzzing.started "fuzz.lua" then
  local slice = tonumber(os.getenv "LUAGREEN_PREEMPT" or "")
  if slice then green.config {preempt = slice} end
  fuzzing.run(fuzz)
end

return fuzz
