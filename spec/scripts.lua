--- Random scripts that compute, block, raise, spawn, link and talk, for
--- spec/fuzz_bounds.lua and spec/c/lua_tenants_test.c.
---
--- They need the globals ports (3), queues (2), kept (a table of what they
--- share), is(value, type), send(port), take(port) and choose(port, port).
---
--- SPDX-License-Identifier: MIT

local random = math.random

local scripts = {}

local function one_in(n) return random(n) == 1 end
local function pick(list) return list[random(#list)] end

--- N is a small number, T a moment, P a port, Q a queue, X another step, in a
--- function.
local STEPS <const> = {
  "for i = 1, N * 3000 do local x = i * i end",
  "for i = 1, N * 50 do local t = {i} end",
  "green.sleep(T)", "green.sleep(0)",
  "send(P)", "send(P)", "send(P)", "take(P)", "take(P)", "take(P)",
  "choose(P, P)",
  "Q:put(N, T)", "Q:get(T)", "local q = green.queue(N) for i = 1, N do "
    .. "q:put(i, 0) end",
  "pcall(function() X end)",
  "pcall(error, {})", "error('mine')",
  "error(setmetatable({}, {__tostring = function() X return 'mine' end}))",
  "green.spawn(function() X end)", "green.spawn(function() X end)",
  "green.spawn_after(T, function() X end)",
  "local t = green.spawn(function() X end) t:join(T)",
  "local t = green.spawn(function() X end) t:link(function() X end) t:kill()",
  "green.current():link(function() X end)",
  "local t = green.spawn(green.sleep, 1) local f = function() end t:link(f) "
    .. "t:unlink(f) t:cancel()",
  "for _, t in ipairs(green.threads()) do if N > 6 then t:kill() end end",
  "green.with_timeout(T, function() X end)",
  "local to <close> = green.timeout(T) X",
  "local c <close> = setmetatable({}, {__close = function() X end}) X",
  "coroutine.wrap(function() X coroutine.yield() X end)()",
  "local co = coroutine.create(function() local c <close> = setmetatable({}, "
    .. "{__close = function() X end}) coroutine.yield() end) "
    .. "coroutine.resume(co) coroutine.close(co)",
  "table.sort({N, N, N, N}, function(a, b) X return a < b end)",
  "string.gsub('ab', '.', function() X end)",
  "pcall(load, function() X end)", "load(('x = 1 '):rep(N * 500))",
  "('a'):rep(N * 20):find('.-.-b')", "('x'):rep(N * 30000)",
  "local g <close> = green.group() g:spawn(function() X end)",
  "local p <close> = green.pool(2) p:map(function() X end, {1, 2, 3})",
  "for _ in green.as_completed {green.spawn(function() X end)} do break end",
  "local l = green.lock() l:acquire() green.spawn(l.acquire, l) X l:release()",
  "print(N)", "local a, b = green.socketpair() if a then a:send('x') end",
  "pcall(string.rep, 'x', -1)", "local s = green.current():traceback()",
  "return green.current():throw('mine')",
  -- What all scripts have in common, across sandboxes.
  "kept[N] = coroutine.create(function() X coroutine.yield() X end)",
  "kept[N] = coroutine.create(function() local to = green.timeout(T) "
    .. "pcall(coroutine.yield) X end)",
  "local co = kept[N] if is(co, 'coroutine') then coroutine.resume(co) end",
  "local co = kept[N] if is(co, 'coroutine') then "
    .. "pcall(coroutine.close, co) end",
  "kept[N] = green.timeout(T)", "kept[N] = green.queue(N)",
  "kept[N] = green.spawn(function() X end)",
  "kept[N] = green.socketpair()",
  "local to = kept[N] if is(to, 'timeout') then to:cancel() end",
  "local to = kept[N] if is(to, 'timeout') then pcall(to.restart, to) end",
  "local q = kept[N] if is(q, 'queue') then q:put(N, T) end",
  "local q = kept[N] if is(q, 'queue') then q:get(T) end",
  "local t = kept[N] if is(t, 'thread') then pcall(t.join, t, T) end",
  "local t = kept[N] if is(t, 'thread') then pcall(t.kill, t) end",
  "local s = kept[N] if is(s, 'unixstream') then s:send('x', T) end",
  "local s = kept[N] if is(s, 'unixstream') then s:close() end",
}

local function step(depth)
  local text = pick(STEPS)
  return "do " .. text:gsub("%f[%w][NTPQX]%f[%W]", function(what)
    if what == "N" then return tostring(random(9)) end
    if what == "T" then return ("%.5f"):format(random() / 200) end
    if what == "P" then return "ports[" .. random(3) .. "]" end
    if what == "Q" then return "queues[" .. random(2) .. "]" end
    return depth > 0 and step(depth - 1) or "green.sleep(0)"
  end) .. " end"
end

--- The text of a script.
function scripts.make()
  local lines = {}
  for i = 1, random(8) do
    local text = step(3)
    if not one_in(3) then text = ("pcall(function() %s end)"):format(text) end
    lines[i] = text
  end
  lines[#lines + 1] = pick {"", "", "green.sleep(1e9)", "while true do end",
    "while true do pcall(green.sleep, 0) end"}
  return table.concat(lines, "\n")
end

return scripts
