-- For lua_waits_test: memory is short from some allocation on, for one request
-- or two (Lua collects garbage in between) or until the end, while threads use
-- each other; then there is memory again, and every wait ends.
--
-- SPDX-License-Identifier: MIT

local short_after, refused, stride = ...
local green = require "green"
local dag = require "green.dag"
green.on_error(function() end)

--- The threads that wait in this run; once there is memory, the gate and
--- finish() end those for which nobody could do anything yet.
local waiters, gate, finish

--- A thread that waits, which is blocked when this returns.
local function wait(f, ...)
  local t = green.spawn(f, ...)
  waiters[#waiters + 1] = t
  green.sleep(0)
  return t
end

local function lap() pcall(green.sleep, 0) end

local function value() return 1, 2 end
local function late()
  green.sleep(0)
  return 1
end
local function raise() error({}) end
local function hang() gate:wait() end

--- What uses an object, by name. It calls begin() where memory begins to be
--- short. An item is destroyed in a thread of its own, and by a link if that
--- has no memory: they cannot both do without.
local cases, needs_thread = {}, {}

------------------------------------------------------------------ graphs --

--- A graph with waiters of all kinds for "key"; values for keys that nobody
--- could spawn come in the end.
local function graph()
  local d = dag {there = 1}
  wait(d.wait, d, {"key", "there"})
  wait(function() for _ in d:wait_each {"there", "key"} do lap() end end)
  d:spawn("above", {"key"}, function(_, results) return results:wait() end)
  wait(d.wait, d, {"above"})
  function finish()
    for _, key in ipairs {"key", "above"} do
      pcall(d.post, d, key, "posted") -- unless it has a task
      for _ = 1, 50 do lap() end
    end
  end
  return d
end

for name, f in pairs {value = value, late = late, raise = raise} do
  cases["dag: task, " .. name] = function(begin)
    local d = graph()
    begin()
    d:spawn("key", {"there"}, f)
  end
  cases["dag: task that was spawned, " .. name] = function(begin)
    local d = graph()
    d:spawn("key", {"there"}, f)
    begin()
  end
end
for name, strike in pairs {kill = "kill", throw = "throw"} do
  cases["dag: a new task, " .. name] = function(begin)
    local t = graph():spawn("key", nil, value)
    begin()
    t[strike](t, "struck")
  end
  cases["dag: a blocked task, " .. name] = function(begin)
    local t = graph():spawn("key", nil, hang)
    green.sleep(0)
    begin()
    t[strike](t, "struck")
  end
end
cases["dag: post"] = function(begin)
  local d = graph()
  begin()
  d:post("key", 1)
  d:post("key", 2, true)
end
cases["dag: a task posts, and goes on"] = function(begin)
  local d = graph()
  local t = d:spawn("key", nil, function()
    begin()
    d:post("key", 1)
    hang()
  end)
  green.sleep(0)
  t:kill()
end
for name, f in pairs {late = late, hang = hang} do
  cases["dag: kill and spawn again, " .. name] = function(begin)
    local d = graph()
    d:spawn("key", nil, f)
    green.sleep(0)
    begin()
    d:kill("key")
    d:spawn("key", nil, value)
  end
end
cases["dag: kill of a value"] = function(begin)
  local d = graph()
  d:post("key", 1)
  begin()
  d:kill("key")
  d:post("key", 2)
end
cases["dag: many"] = function(begin)
  local d = graph()
  begin()
  d:spawn_many({key = {"there"}, other = {"key", "above"}},
    function(_, results)
      for _ in results do lap() end
    end)
end

---------------------------------------------------------- resource pools --

local function use(pool)
  local _ <close> = pool:lease()
  green.sleep(0)
end

--- A block with the only lease, for which two threads wait, ends.
local blocks = {
  plain = function() end,
  discard = function(_, lease) lease:discard() end,
  raise = raise,
  resize = function(pool)
    pool:resize(2)
    pool:resize(1)
  end,
}
local function create() return {} end
local function nothing() end
local options = {
  plain = {create = create},
  destroy = {create = create, destroy = nothing},
  reset = {create = create, reset = function()
    green.sleep(0)
    return true
  end},
  ["reset and destroy"] = {create = create, destroy = nothing, reset = nothing},
  ["old items"] = {create = create, destroy = nothing, max_age = 1e-9},
}
for how, block in pairs(blocks) do
  for kind, opts in pairs(options) do
    for where, run in pairs {thread = green.spawn, ["a pcall"] = pcall} do
      local name = ("resource pool, %s, %s, in %s"):format(how, kind, where)
      needs_thread[name] = opts.destroy
      cases[name] = function(begin)
        local copy = {max = 1}
        for k, v in pairs(opts) do copy[k] = v end
        local pool = green.resource_pool(copy)
        run(function()
          local lease <close> = pool:lease()
          wait(use, pool)
          wait(use, pool)
          begin()
          block(pool, lease)
        end)
      end
    end
  end
end

------------------------------------------------------------------- tests --

local function alive()
  for _, t in ipairs(waiters) do
    if not t:has_ended() then return t end
  end
end

--- Returns how many requests were refused.
local function try(name, n, times)
  local before
  waiters, gate, finish = {}, green.event(), function() end
  pcall(cases[name], function()
    before = refused()
    short_after(n, times)
  end)
  for _ = 1, 10 do lap() end
  short_after(-1)
  local count = refused() - before
  for _ = 1, 50 do lap() end
  gate:send()
  finish()
  for _ = 1, 50 do lap() end
  local t = alive()
  if t then
    error(("%s, %d, %d times: a wait is left: %s"):format(name, n, times,
      t:traceback()), 0)
  end
  assert(green.shutdown(60))
  collectgarbage() -- where memory is short, Lua frees nothing that has a __gc
  return count
end

for name in pairs(cases) do
  for _, times in ipairs {1, 2, 3, 1000000} do
    if times <= 3 or not needs_thread[name] then
      local n = 0
      while try(name, n, times) > 0 do n = n + stride end
    end
  end
end
