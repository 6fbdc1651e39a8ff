-- For lua_permit_test: memory is short from some allocation on, for two
-- requests (Lua collects garbage in between) or until the end, while a resource
-- pool is used; then there is memory again, and all permits are there.
--
-- SPDX-License-Identifier: MIT

local short_after, refused, stride = ...
local green = require "green"
green.on_error(function() end)

local MAX <const> = 2

local function nothing() end
local function raise() error "an error" end
local function no() return false end

local function use(pool, s)
  local lease <close>, err = pool:lease(s or 1)
  return assert(lease, err)
end

local function use_both(pool)
  local _ <close> = pool:lease()
  local _ <close> = pool:lease()
end

--- What uses a pool with some options, by name. It calls begin() where memory
--- begins to be short.
local cases = {}

local function case(name, options, body) cases[name] = {options, body} end

case("create raises", {create = raise}, function(pool, begin)
  begin()
  use(pool)
end)
case("create has no item", {create = nothing}, function(pool, begin)
  begin()
  use(pool)
end)
for name, check in pairs {raises = raise, ["says no"] = no} do
  case("check " .. name, {check = check, destroy = nothing},
    function(pool, begin)
      use(pool)
      begin()
      use(pool)
    end)
end
for name, f in pairs {raises = raise, ["says no"] = no} do
  case("reset " .. name, {reset = f, destroy = raise}, function(pool, begin)
    begin()
    use(pool)
  end)
end
case("destroy raises", {destroy = raise}, function(pool, begin)
  begin()
  local lease <close> = pool:lease()
  lease:discard()
end)
case("idle items are too old", {max_idle = 1e-6, destroy = nothing},
  function(pool, begin)
    use_both(pool)
    green.sleep(1e-5)
    begin()
    use(pool)
  end)
case("resize", {destroy = nothing}, function(pool, begin)
  use_both(pool)
  begin()
  pool:resize(1)
  pool:resize(MAX)
  pool:resize(MAX + 40)
end)
case("a thread waits", {}, function(pool, begin)
  local t
  do
    local _ <close> = pool:lease()
    local _ <close> = pool:lease()
    t = green.spawn(use, pool)
    green.sleep(0)
    begin()
  end
  t:join(0.01)
end)
case("close", {destroy = nothing}, function(pool, begin)
  use_both(pool)
  begin()
  pool:close(0.01)
end)

--- The thread ends in one of the callbacks.
local strikes <const> = {
  kill = function(t) t:kill() end,
  throw = function(t) t:throw "thrown" end,
  nothing = function() green.sleep(0.0002) end, -- the limit ends it
}
for _, callback in ipairs {"create", "check", "reset"} do
  for strike, f in pairs(strikes) do
    local gate
    local function wait()
      gate:wait()
      return {}
    end
    case(callback .. ", " .. strike, {[callback] = wait, destroy = nothing},
      function(pool, begin)
        gate = green.event()
        if callback == "check" then use(pool) end
        local t = green.spawn(use, pool, strike == "nothing" and 0.0001 or 1)
        green.sleep(0)
        f(t)
        begin()
        gate:send()
        t:join(0.01)
      end)
  end
end

---------------------------------------------------------------- the tests --

--- The options, and what makes their callbacks harmless.
local function tame(options)
  local calm, own = false, {max = MAX}
  for name, f in pairs(options) do
    own[name] = type(f) ~= "function" and f or function(...)
      if calm then return {} end
      return f(...)
    end
  end
  own.create = own.create or function() return {} end
  return own, function() calm = true end
end

--- Waits without a limit: what never comes is a deadlock, and an error.
local function check_close(pool, what)
  local ok, err = pcall(pool.close, pool)
  if not ok then error(("%s: close: %s"):format(what, err), 0) end
end

local function check_whole(pool, what)
  local leases = {}
  for i = 1, pool.max do
    local ok, lease, err = pcall(pool.lease, pool)
    if not ok or not lease then
      error(("%s: %d of %d permits: %s"):format(what, i - 1, pool.max,
        lease or err), 0)
    end
    leases[i] = lease
  end
  for _, lease in ipairs(leases) do getmetatable(lease).__close(lease) end
  check_close(pool, what)
  assert(pool.live == 0 and pool.out == 0 and pool.total == pool.max
    and pool.owed == 0 and pool.moving.next == pool.moving, what .. ": counts")
end

--- Returns how many requests were refused.
local function try(name, in_thread, n, times)
  local options, calm = tame(cases[name][1])
  local pool = green.resource_pool(options)
  local before
  local function begin()
    before = refused()
    short_after(n, times)
  end
  local function run() cases[name][2](pool, begin) end
  pcall(function()
    if not in_thread then return run() end
    local t = green.spawn(run)
    repeat local over = t:join(0.02) until before or over ~= nil
  end)
  pcall(green.sleep, 0)
  short_after(-1)
  local count = refused() - before
  calm()
  assert(green.shutdown(60))
  collectgarbage() -- where memory is short, Lua frees no lease: it has a __gc
  if pool.closed then
    check_close(pool, name)
  else
    check_whole(pool, ("%s, %d, %d times"):format(name, n, times))
  end
  return count
end

for name in pairs(cases) do
  for _, times in ipairs {2, 1000000} do
    local n = 0
    while try(name, false, n, times) + try(name, true, n, times) > 0 do
      n = n + stride
    end
  end
end
