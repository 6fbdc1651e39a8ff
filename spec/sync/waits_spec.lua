-- The promises of every wait, for objects that synchronize.
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local promises = require "spec.promises"

local open_gate, itself = promises.open_gate, promises.itself

local function full(n)
  local q = green.queue(n)
  for i = 1, n do q:put(i) end
  return q
end

-- A lock that another thread owns, until its gate is opened.
local function owned()
  local o = {l = green.lock(), e = green.event()}
  o.t = green.spawn(function()
    local _ <close> = o.l:acquire()
    o.e:wait()
  end)
  help.blocked(o.t)
  return o
end

local function use(o, guard, err)
  if not guard then return nil, err end
  assert(o.l:owner() == green.current())
  o.l:release()
  return true
end

local function second(_, _, v) return v end

promises.check(describe, it, {
  {
    name = "event:wait", all = true, value = "sent", make = green.event,
    wait = function(o, s) return o:wait(s) end,
    satisfy = function(o) o:send("sent") end, case = itself, picked = second,
  }, {
    name = "queue:get", value = "item", make = green.queue,
    wait = function(o, s) return o:get(s) end,
    satisfy = function(o) o:put("item") end, case = itself,
    rest = function(o) return #o end, close = function(o) o:close() end,
  }, {
    name = "lifo_queue:get", value = "item", make = green.lifo_queue,
    wait = function(o, s) return o:get(s) end,
    satisfy = function(o) o:put("item") end, case = itself,
    rest = function(o) return #o end, close = function(o) o:close() end,
  }, {
    name = "priority_queue:get", value = "item", make = green.priority_queue,
    wait = function(o, s) return o:get(s) end,
    satisfy = function(o) o:put("item") end, case = itself,
    rest = function(o) return #o end, close = function(o) o:close() end,
  }, {
    name = "priority_queue:put", value = true,
    make = function()
      local q = green.priority_queue(1)
      q:put("a")
      return q
    end,
    wait = function(o, s) return o:put("x", s) end,
    satisfy = function(o) assert(o:get(0)) end, done = true,
    rest = function(o) return 1 - #o end, close = function(o) o:close() end,
    case = function(o) return {o, "put", "x"} end,
  }, {
    name = "queue:put", value = true, make = function() return full(1) end,
    wait = function(o, s) return o:put("x", s) end,
    satisfy = function(o) assert(o:get(0)) end, done = true,
    rest = function(o) return 1 - #o end, close = function(o) o:close() end,
    case = function(o) return {o, "put", "x"} end,
  }, {
    name = "queue:join", all = true, value = true,
    make = function() return full(1) end,
    wait = function(o, s) return o:join(s) end,
    satisfy = function(o) o:task_done() end,
  }, {
    name = "channel get", value = "item", make = green.channel,
    wait = function(o, s) return o:get(s) end,
    satisfy = function(o) assert(o:put("item", 0) or o:waiting() == 0) end,
    case = itself, close = function(o) o:close() end,
  }, {
    name = "channel put", value = true, make = green.channel,
    wait = function(o, s) return o:put("item", s) end, done = true,
    satisfy = function(o) assert(o:get(0) or select(2, o:waiting()) == 0) end,
    case = function(o) return {o, "put", "item"} end,
    close = function(o) o:close() end,
  }, {
    name = "flag:wait", all = true, value = true, make = green.flag,
    wait = function(o, s) return o:wait(s) end,
    satisfy = function(o) o:set() end, case = itself,
  }, {
    name = "condition:wait", value = true, make = green.condition,
    wait = function(o, s) return o:wait(s) end,
    satisfy = function(o) o:signal() end, case = itself,
  }, {
    name = "condition:wait for a broadcast", all = true, value = true,
    make = green.condition,
    wait = function(o, s) return o:wait(s) end,
    satisfy = function(o) o:broadcast() end, case = itself,
  }, {
    name = "semaphore:acquire", value = "userdata",
    make = function() return green.semaphore(0) end,
    wait = function(o, s)
      local guard, err = o:acquire(s)
      return guard and type(guard), err
    end,
    satisfy = function(o) o:release() end,
    rest = function(o) return o:count() end,
    case = itself, picked = function(_, guard) return type(guard) end,
  }, {
    name = "lock:acquire", all = true, value = true, make = owned, late = true,
    wait = function(o, s) return use(o, o.l:acquire(s)) end,
    satisfy = open_gate, clean = open_gate,
    case = function(o) return o.l end, picked = use,
  }, {
    name = "waitgroup:wait", all = true, value = true,
    make = function() return green.waitgroup(1) end,
    wait = function(o, s) return o:wait(s) end,
    satisfy = function(o) o:done() end, case = itself,
  },
})
