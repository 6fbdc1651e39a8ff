--- Hostile scripts in a sandbox of a Lua program: the program, another script
--- and the kill survive each. Those that need a limit of memory are run by a
--- host, spec/c/lua_attacks_test.c. LUAGREEN_ATTACKS=all runs all of them,
--- LUAGREEN_SEED=n one fifth.

local green = require "green"
local help = require "spec.help"
local attacks = dofile "spec/bounds/attacks.lua"

local GRACE <const> = 0.02
--- With what the sources of the library begin.
local HOME <const> =
  debug.getinfo(green.with_timeout, "S").source:gsub("green/thread/.*", "")
local witness = [[
  while true do
    green.sleep(0)
    rounds = (rounds or 0) + 1
  end]]

--- The globals that no script may reach, as they were.
local before = {}
for k, v in pairs(_G) do before[k] = v end

local function wait_until(what, condition)
  local limit = os.time() + 20
  while not condition() do
    assert(os.time() < limit, what)
    green.sleep(0.0005)
  end
end

local function run(a)
  local former = green.config()
  green.config {preempt = 0.002, grace = GRACE}
  local others = green.sandbox {}
  local box = green.sandbox {
    grants = {"output", "coroutine", a.connect and "connect"},
    limits = {threads = 200, timers = 200, descriptors = 20, items = 1000},
    print = function() end, globals = {home = HOME, port = green.port(3)},
  }
  others:spawn(witness)
  local started = {box:spawn(a.text)}
  local errors = 0
  green.on_error(function() errors = errors + 1 end)
  if a.ends then
    local ok, result = started[1]:join(30)
    assert.is_true(ok, tostring(result))
    assert.is_true(result)
  else
    local from = others.env.rounds or 0
    wait_until("others have no turn", function()
      return (others.env.rounds or 0) > from + 10
    end)
  end
  local counts = box:stats()
  assert(counts.timers <= 200 and counts.descriptors <= 20
    and counts.items <= 1000)
  box:kill "enough"
  wait_until("it outlives its kill", function()
    if box:stats().threads > 0 then box:kill() end
    return box:stats().threads == 0
  end)
  box.env, started[1] = nil, nil
  wait_until("what it had", function()
    collectgarbage()
    counts = box:stats()
    return counts.timers + counts.descriptors + counts.items == 0
  end)
  others:kill()
  wait_until("the others' end", function()
    return others:stats().threads == 0
  end)
  wait_until("threads that are not in the sandbox", function()
    return #green.threads() == 1
  end)
  green.on_error(nil)
  green.config {preempt = former.preempt, grace = former.grace}
  for k, v in pairs(before) do assert(rawequal(_G[k], v), k) end
end

describe("a script with connections", function()
  it("gets no descriptor of the program by its number", function()
    local box = green.sandbox {grants = {"connect"}}
    local ok, result = box:spawn([[
      local a, b = green.socketpair()
      local function refused(f, ...)
        local ok, err = pcall(f, ...)
        return not ok and err:find "not possible in a sandbox" ~= nil
      end
      return refused(a.sendfd, a, 0) and refused(a.setfd, a, 0)
    ]]):join(30)
    assert.is_true(ok, tostring(result))
    assert.is_true(result)
  end)
end)

describe("a program that has replaced Lua's functions", function()
  it("has its scripts in bounds all the same", function()
    local out, _, code = help.child [[
      local resume, create = coroutine.resume, coroutine.create
      local pack, unpack = table.pack, table.unpack
      function coroutine.resume(...) return resume(...) end
      function coroutine.wrap(f)
        local co = create(f)
        return function(...)
          local r = pack(resume(co, ...))
          return unpack(r, 2, r.n)
        end
      end
      function pcall(f, ...) return resume(create(f), ...) end
      xpcall = pcall
      local green = require "green"
      green.config {preempt = 0.002, grace = 0.02}
      local box = green.sandbox {grants = {"coroutine"}}
      for _, text in ipairs {
        "coroutine.wrap(function() while true do end end)()",
        "coroutine.resume(coroutine.create(function() while true do end end))",
        "pcall(function() while true do end end)",
        "xpcall(function() while true do end end, tostring)",
      } do
        box:spawn(text)
        green.sleep(0.001)
        box:kill()
        while box:stats().threads > 0 do green.sleep(0.001) end
      end
      print "all ended"
    ]]
    assert.same({"all ended\n", 0}, {out, code})
  end)
end)

--- Each run takes a part of them; those that end by themselves are quick. With
--- an eager collector these are all, as one by many objects takes minutes for a
--- step of its own.
local PARTS <const> = 5
local part = not os.getenv "LUAGREEN_EAGER_GC"
  and (tonumber(os.getenv "LUAGREEN_SEED") or os.time()) % PARTS
local all = os.getenv "LUAGREEN_ATTACKS" == "all"

describe("a program survives", function()
  for i, a in ipairs(attacks) do
    if not a.memory and (all or a.ends or i % PARTS == part) then
      it(a.name, function() run(a) end)
    end
  end
end)
