-- A forced kill could hang the process, because a hook raised it. Lua runs
-- message handlers below the hook, and leaves hooks off if there is no pcall,
-- so nothing could stop a handler that computed for ever.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

--- Each runs in a thread that is killed 10 ms later. `inf` computes for ever,
--- `stay` swallows what strikes it, `closing(f)` has a __close.
local cases = {
  handler = [[xpcall(green.sleep, inf, 100)]],
  handler_and_close = [[local _ <close> = closing(inf)
    xpcall(green.sleep, inf, 100)]],
  handler_blocks = [[xpcall(green.sleep, stay, 100)]],
  handler_spawns = [[xpcall(green.sleep, function()
    while true do green.spawn(inf_not) pcall(green.sleep, 0) end
  end, 100)]],
  handlers_nest = [[xpcall(function() xpcall(green.sleep, inf, 100) end, inf)]],
  handler_in_wrap = [[coroutine.wrap(function()
    xpcall(green.sleep, inf, 100) end)()]],
  handler_is_wrap = [[xpcall(green.sleep, coroutine.wrap(inf), 100)]],
  handler_of_handlers = [[local function r() xpcall(green.sleep, r, 100) end
    while true do xpcall(r, r) end]],
  close = [[local a <close>, _ = closing(inf)
    local b <close>, _ = closing(inf) green.sleep(100)]],
  close_blocks = [[local a <close>, _ = closing(stay)
    local b <close>, _ = closing(stay) green.sleep(100)]],
  close_handler = [[local _ <close> = closing(function()
    xpcall(green.sleep, inf, 100) end) green.sleep(100)]],
  close_sort = [[local _ <close> = closing(function()
    table.sort({1, 2}, inf) end) green.sleep(100)]],
  close_wrap = [[local _ <close> = closing(function()
    coroutine.wrap(inf)() end) green.sleep(100)]],
  sort_blocks = [[local _ <close> = closing(inf) table.sort({1, 2}, stay)]],
  sort = [[local _ <close> = closing(inf) first() table.sort({1, 2}, inf)]],
  sort_pcall = [[first() table.sort({1, 2}, function()
    while true do pcall(inf) end end)]],
  sort_recurs = [[first() local function f() while true do pcall(f) end end
    table.sort({1, 2}, f)]],
  gsub = [[first() ("a"):gsub("a", inf)]],
  gsub_handler = [[first() ("a"):gsub("a", function() xpcall(inf, inf) end)]],
  nested_pcalls = [[first() while true do pcall(pcall, pcall, inf) end]],
  metamethod = [[first() return setmetatable({}, {__index = inf}).x]],
  metamethod_in_sort = [[first() local mt = {__lt = inf}
    table.sort {setmetatable({}, mt), setmetatable({}, mt)}]],
  tostring = [[first() tostring(setmetatable({}, {__tostring = inf}))]],
  finalizer = [[first()
    while true do setmetatable({}, {__gc = stay_once}) end]],
  load_reader = [[load(stay)]],
  load_computes = [[first() load(inf)]],
  load_env = [[load("first() while true do pcall(inf) end", "c", "t",
    {first = first, pcall = pcall, inf = inf})()]],
  old_wrap = [[local w = coroutine.wrap(inf) first() w()]],
  old_create = [[local co = coroutine.create(function()
    coroutine.yield() inf() end)
    coroutine.resume(co) first() coroutine.resume(co)]],
  old_iterator = [[for _ in coroutine.wrap(function()
    coroutine.yield(1) inf() end) do first() end]],
  old_close = [[local co = coroutine.create(function()
    local _ <close> = closing(inf) coroutine.yield() end)
    coroutine.resume(co) first() coroutine.close(co)]],
  middle = [[coroutine.wrap(function()
    coroutine.wrap(first)() inf() end)()]],
  fifty_deep = [[local function deep(n)
    if n == 0 then first() inf() end coroutine.wrap(deep)(n - 1) end
    deep(50)]],
  resume_loop = [[while true do
    coroutine.resume(coroutine.create(green.sleep), 1) end]],
  sethook = [[first() debug.sethook() inf()]],
  sethook_loop = [[first() while true do debug.sethook() end]],
  hook_blocks = [[debug.sethook(function() pcall(green.sleep, 0) end, "", 10)
    inf()]],
  hook_raises = [[local _ <close> = closing(inf)
    debug.sethook(function() green.sleep(0) end, "", 10) inf()]],
  hook_stays = [[debug.sethook(stay, "", 10) inf()]],
  limit_in_sort = [[local _ <close> = green.timeout(0.01)
    while true do
      pcall(table.sort, {1, 2}, function() green.sleep(1) end)
    end]],
  limit_in_handler = [[xpcall(green.sleep, function()
    green.with_timeout(1, inf) end, 100)]],
  limits = [[while true do green.with_timeout(0.001, stay) end]],
  group = [[local g <close> = green.group() g:spawn(stay) stay()]],
  child = [[local _ <close> = green.spawn(stay) green.sleep(100)]],
  queue_less = [[first() local q = green.priority_queue(nil, inf)
    q:put(1) q:put(2)]],
  traceback = [[first() while true do xpcall(inf, debug.traceback) end]],
  recursion = [[first() local function r() return 1 + r() end
    while true do pcall(r) end]],
  c_recursion = [[first() local function r() ("a"):gsub("a", r) end
    while true do pcall(r) end]],
}

local prelude = [[
local green = require "green"
green.config {grace = 0.1, keep_stacks = tonumber(arg[1])}
green.on_error(function() end)
io.stderr:setvbuf "no"
function inf() while true do end end
function inf_not() end
function first() pcall(green.sleep, 100) end
function stay() while true do pcall(green.sleep, 1) end end
function stay_once() pcall(green.sleep, 1) end
function closing(f) return setmetatable({}, {__close = f}) end

local function try(name, text)
  local turns, over = 0, false
  local bystander = green.spawn(function()
    while not over do turns = turns + 1 green.sleep(0.001) end
  end)
  local t = green.spawn(assert(load("local green = ... " .. text, name)), green)
  green.sleep(0.01)
  t:kill()
  local ok, err = t:join(20)
  over = true
  bystander:join()
  if ok == nil or turns < 1 then
    io.write(name, " ", tostring(err), " ", turns, "\n")
  end
end
]]

describe("a forced kill", function()
  for _, keep in ipairs {1024, 0} do
    it("stops nobody else, whatever the thread does, keep_stacks " .. keep,
      function()
        local text = {prelude}
        for name, body in pairs(cases) do
          text[#text + 1] = ("try(%q, %q)\n"):format(name, body)
        end
        text[#text + 1] = 'io.write "over"'
        local out = help.child(table.concat(text), keep)
        assert.equal("over", (out:gsub("luagreen: [^\n]*\n", "")))
      end)
  end
end)
