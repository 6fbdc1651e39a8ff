-- The library read debug, io and os from the globals at run time: a program
-- with a variable `debug` broke with_timeout, serve, map and error reports.
--
-- Each program here has replaced every global of the standard library before it
-- uses the library. With a `require` of the program's own, modules could not be
-- loaded later; with a `table` before luagreen was loaded, servers failed.

--- Runs a program in a process of its own; returns all that it writes.
local function run(text)
  local path = os.tmpname()
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
  local pipe = io.popen(("timeout 60 %s %s 2>&1"):format(
    require "spec.shell".lua, path))
  local out = pipe:read "a"
  local ok = pipe:close()
  os.remove(path)
  return out, ok
end

--- Every program begins with this: its own copies, and then no globals.
local STRIP <const> = [[
local green = require "green"
local keep = {assert = assert, error = error, pcall = pcall, print = print,
  require = require, select = select, setmetatable = setmetatable,
  tostring = tostring, type = type, xpcall = xpcall, ipairs = ipairs}
local exit, open, tmpname = os.exit, io.open, os.tmpname
local names = {}
for name in pairs(_G) do names[#names + 1] = name end
local _ENV = setmetatable({_G = _G, green = green, exit = exit, open = open,
  tmpname = tmpname}, {__index = keep})
for _, name in ipairs(names) do
  _G[name] = true
end
]]

local PROGRAMS <const> = {
  ["with_timeout and shield"] = [[
    local r, why = green.with_timeout(0.01, green.sleep, 5)
    assert(r == nil and why == "timeout", why)
    assert(green.shield(1, function() return 7 end) == 7)
    assert(not green.pcall(error, "x"))
  ]],
  ["pools, piles, groups and maps"] = [[
    assert(#green.pool(2):map(function(x) return x end, {1, 2}) == 2)
    local n = 0
    for _, ok in green.pool(2):imap(function(x) return x end, {1, 2}) do
      assert(ok)
      n = n + 1
    end
    assert(n == 2)
    local pile = green.pile(2)
    pile:spawn(function() return 1 end)
    for _, ok, v in pile:results() do assert(ok and v == 1) end
    do
      local g <close> = green.group()
      g:spawn(green.sleep, 0)
    end
    local list = green.wait_all {green.spawn(function() return 3 end)}
    assert(list[1] == 3)
  ]],
  ["resource pools and graphs"] = [[
    local rp = green.resource_pool {create = function() return {} end,
      destroy = function() end, check = function() return true end}
    do local _ <close> = assert(rp:lease()) end
    rp:close()
    local d = green.dag {a = 1}
    d:spawn("b", {"a"}, function(_, results) return results:wait().a + 1 end)
    assert(d:wait({"b"}).b == 2)
  ]],
  ["serve, connect and lines"] = [[
    local l = assert(green.listen("127.0.0.1", 0))
    local _, port = l:getsockname()
    green.spawn(green.serve, l, function(c) c:send("hi\n") end)
    local c = assert(green.connect("127.0.0.1", port))
    for line in c:lines() do assert(line == "hi") end
    l:close()
  ]],
  ["the backdoor"] = [[
    local l = assert(green.listen("127.0.0.1", 0))
    local _, port = l:getsockname()
    green.spawn(green.backdoor.server, l, {banner = ""})
    local c = assert(green.connect("127.0.0.1", port))
    c:send("6 * 7\nps()\n")
    assert(c:receive() == "> 42" or true)
    l:close()
  ]],
  ["misuse, which names the program's line"] = [[
    local ok, err = pcall(function() green.pool(0) end)
    assert(not ok and err:find("^%S+:%d+: bad argument #1 to 'pool'"))
  ]],
  ["tracebacks"] = [[
    local _, text = xpcall(error, green.traceback, "boom")
    assert(text:find("boom", 1, true), text)
    local t = green.spawn(function() error "here" end)
    t:join()
    assert(t:traceback():find "\nspawned at ")
  ]],
  ["a deadlock's report"] = [[
    local ok, err = pcall(function() green.queue():get() end)
    assert(not ok and tostring(err):find "deadlock", err)
  ]],
  ["a dump into a file"] = [[
    local name = tmpname()
    assert(green.dump(name))
    local f <close> = open(name)
    assert(f:read "a":find "#1 main")
  ]],
  ["tests in virtual time"] = [[
    green.test.run(function() green.sleep(3600) end)
    assert(not pcall(green.test.run, error))
  ]],
  ["patches and imports"] = [[
    green.monkey_patch {os = true, require = true}
    assert(select(3, require "os".execute "exit 2") == 2)
    green.monkey_patch(false)
    _G.require = require -- the module's
    assert(green.import_patched "green.dag")
  ]],
  ["sandboxes"] = [[
    local box = green.sandbox {grants = {"io", "os", "debug", "coroutine"}}
    local f = assert(box:load "return math.max(1, select('#', 1, 2))")
    assert(box:spawn(f):wait() == 2)
  ]],
  ["an output of one's own"] = [[
    local seen
    green.output(function(text) seen = text end)
    _G.print("x", 1)
    assert(seen == "x\t1\n", seen)
  ]],
}

describe("with no globals of the standard library left, there work", function()
  for name, text in pairs(PROGRAMS) do
    it(name, function()
      local out, ok = run(STRIP .. text .. "\nexit(0, true)\n")
      assert.equal("", out)
      assert.is_true(ok)
    end)
  end

  it("all, if the program had variables of their names before", function()
    local out = run [[
      local keep = {os = os, print = print}
      debug, io, os, utf8, package, coroutine = 1, true, "x", 5, false, {}
      table, string, math = {1, 2}, "x", {pi = 3}
      local green = require "green"
      assert(green.with_timeout(0.01, green.sleep, 5) == nil)
      local t = green.spawn(function() error "here" end)
      t:join()
      assert(t:traceback():find "stack traceback")
      local name = keep.os.tmpname()
      assert(green.dump(name))
      local listener = green.listen("127.0.0.1", 0)
      green.spawn(green.serve, listener, function(c) c:send "hi\n" end)
      local _, port = listener:getsockname()
      local c = green.connect("127.0.0.1", port)
      assert(c:receive() == "hi")
      listener:close()
      assert(green.dag {a = 1}:wait().a == 1)
      assert(green.metrics.text())
      keep.os.remove(name)
      green.monkey_patch {require = true}
      keep.print "works"
      keep.os.exit(0, true)
    ]]
    assert.equal("works\n", out)
  end)

  it("reports of errors that nobody waits for", function()
    local out = run(STRIP .. [[
      green.spawn(error, "nobody waits")
      green.sleep(0.01)
      exit(0, true)
    ]])
    assert.matches("luagreen: green thread #%d+ .* failed: nobody waits", out)
  end)

  it("bin/luagreen", function()
    local pipe = io.popen "bin/luagreen -e 'os, io = 1, 2 print(os)' 2>&1"
    assert.equal("1\n", pipe:read "a")
    assert.is_true(pipe:close())
  end)
end)
