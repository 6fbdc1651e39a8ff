-- green.monkey_patch for modules, and green.import_patched. Each test is a
-- program of its own, because busted itself holds LuaSocket.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

--- The program prints "passed" at its end.
local function passes(text, arguments)
  local out, how, code = help.child(text .. '\nprint "passed"', arguments)
  assert.equal("passed\n", out)
  assert.same({"exit", 0}, {how, code})
end

local HEAD <const> = [[
local green = require "green"
local function module(name, text)
  package.preload[name] = assert(load(text, "=" .. name))
end
]]

describe("green.monkey_patch", function()
  it("gives green sockets to who requires them later, and takes them back",
    function()
      passes(HEAD .. [[
        local socket, http = require "socket", require "socket.http"
        local plain = require
        green.monkey_patch()
        assert(require "socket" == green.socket)
        assert(require "socket.core" == green.socket)
        assert(package.loaded.socket == green.socket)
        assert(require "socket.unix" == green.socket.unix)
        assert(require "socket.http" ~= http)
        assert(require "socket.http" == green.socket.http)
        assert(green.is_patched "socket" and green.is_patched "socket.http")
        assert(green.is_patched "ssl.https" and not green.is_patched "ltn12")
        assert(not pcall(green.is_patched, 1))
        green.monkey_patch(false)
        green.monkey_patch(false)
        assert(require "socket" == socket and require "socket.http" == http)
        assert(require == plain and not green.is_patched "socket")
        assert(require "socket.unix" ~= green.socket.unix)
        green.monkey_patch {socket = true}
        assert(require "socket" == green.socket and require == plain)
        assert(green.is_patched "socket" and not green.is_patched "ssl")
      ]])
    end)

  it("may be asked in any order, and twice", function()
    if not package.searchpath("ssl.https", package.path) then
      pending "LuaSec (lua-sec) is not installed"
    end
    passes(HEAD .. [[
      local names = {"socket", "ssl", "require", "io", "os"}
      local function in_order(list)
        local before = {}
        for name, module in pairs(package.loaded) do before[name] = module end
        for _, name in ipairs(list) do
          green.monkey_patch {[name] = true}
          green.monkey_patch {[name] = true}
          if name == "socket" or name == "ssl" then require "ssl.https" end
        end
        assert(require "socket" == green.socket)
        assert(require "ssl" == green.ssl)
        assert(require "ssl.https")
        for _, name in ipairs(list) do assert(green.is_patched(name)) end
        green.monkey_patch(false)
        for name, module in pairs(before) do
          if not name:find "^green" then
            assert(package.loaded[name] == module, name)
          end
        end
        for _, name in ipairs(list) do assert(not green.is_patched(name)) end
      end
      in_order(names)
      in_order {"ssl", "os", "socket", "io", "require"}
      require "ssl.https"
      in_order {"os", "ssl", "io", "require", "socket"}
      in_order {"socket", "require", "io", "ssl", "os"}
    ]])
  end)

  it("tells who holds originals, and where", function()
    passes(HEAD .. [[
      module("by_variable", "local s = require 'socket'\n" ..
        "local M = {}\n\n\nfunction M.go() return s.tcp() end return M")
      module("by_field", "return {deep = {sock = require 'socket'.tcp}}")
      module("by_metatable", "return {}")
      module("innocent", "return {require 'ltn12', table.unpack}")
      require "by_variable" require "by_field" require "innocent"
      SOME_GLOBAL = {require "socket.http".request}
      local mine = require "socket"
      local list = green.monkey_patch {socket = true}
      local told = {}
      for _, entry in ipairs(list) do
        told[entry.module .. " " .. entry.what] = entry
      end
      local e = told["by_variable socket"]
      assert(e and e.place == "by_variable:5" and e.variable == "s")
      assert(tostring(e) ==
        "by_variable:5: by_variable has the original socket in 's'")
      assert(told["by_field socket.tcp"].place == "by_field.deep.sock")
      assert(told["the program socket.http.request"].place
        == "global SOME_GLOBAL")
      assert(told["the program socket"].variable == "mine")
      for name in pairs(told) do assert(not name:find "innocent", name) end
      -- Nothing is done the second time, and nothing told.
      assert(#green.monkey_patch {socket = true} == 0)
      assert(mine == green.monkey_patch().socket)
    ]])
  end)

  it("finds what is held by metatables, userdata and coroutines", function()
    passes(HEAD .. [[
      module("by_metatable",
        "return setmetatable({}, {__index = require 'socket'})")
      module("by_suspended", "local co = coroutine.create(function()\n" ..
        "local held = require 'socket'\n" ..
        "coroutine.yield()\nreturn held end)\n" ..
        "coroutine.resume(co)\nreturn {co = co}")
      require "by_metatable"
      require "by_suspended"
      getmetatable("").sleep = require "socket".sleep
      local box = io.tmpfile()
      debug.setmetatable(box, {tcp = require "socket".tcp})
      BOX = box
      local told = {}
      for _, entry in ipairs(green.monkey_patch {socket = true}) do
        told[entry.module .. " " .. entry.what] = entry
      end
      assert(told["by_metatable socket"])
      local e = told["by_suspended socket"]
      assert(e and e.place == "by_suspended:3" and e.variable == "held")
      assert(told["the program socket.sleep"])
      assert(told["the program socket.tcp"])
    ]])
  end)

  it("finds what lies behind a long list, in cycles, and only once", function()
    passes(HEAD .. [[
      -- An eager collector would take minutes.
      local n = os.getenv "LUAGREEN_EAGER_GC" and 2000 or 200000
      module("long", "local t = {} local head = t for i = 1, " .. n .. " do " ..
        "t.next = {back = t} t = t.next end t.s = require 'socket' return head")
      require "long"
      local list = green.monkey_patch {socket = true}
      local n = 0
      for _, e in ipairs(list) do
        if e.module == "long" then n = n + 1 end
      end
      assert(n == 1)
    ]])
  end)

  it("runs no code of the program while it looks", function()
    passes(HEAD .. [[
      local trap = setmetatable({}, {__index = error, __pairs = error,
        __eq = error, __len = error, __call = error, __tostring = error})
      package.loaded.trap, TRAP = trap, trap
      green.monkey_patch()
    ]])
  end)
end)

describe("green.import_patched", function()
  it("leaves the program's own modules as they were", function()
    passes(HEAD .. [[
      module("mine", "local socket = require 'socket'\n" ..
        "return {socket = socket, late = function(n) return require(n) end}")
      local socket = require "socket"
      local own = require "mine"
      local before = {}
      for name, value in pairs(package.loaded) do before[name] = value end
      local green_one = green.import_patched "mine"
      assert(green_one ~= own and green_one.socket == green.socket)
      assert(own.socket == socket and require "socket" == socket)
      -- A function that calls require later also gets green modules.
      local http = green_one.late "socket.http"
      assert(http == green.socket.http and http.request)
      assert(green_one.late "mine" == green_one)
      assert(package.loaded["socket.http"] == nil)
      assert(own.late "socket.http" ~= http)
      package.loaded["socket.http"] = nil
      for _, name in ipairs {"socket.url", "socket.headers", "mime",
        "mime.core", "ltn12", "socket.core"} do
        before[name] = before[name] or package.loaded[name]
      end
      for name, value in pairs(package.loaded) do
        assert(before[name] == value or name:find "^green", name)
      end
      assert(green.import_patched "mine" == green_one)
    ]])
  end)

  it("gives what it loads the room's package.loaded, load and require",
    function()
      passes(HEAD .. [[
        local file <close> = setmetatable({os.tmpname()}, {
          __close = function(f) os.remove(f[1]) end})
        local f = io.open(file[1], "w")
        f:write "return require 'socket'"
        f:close()
        module("uses", "local path = '" .. file[1] .. "' return {" ..
          "by_load = load(\"return require 'socket'\")()," ..
          "by_file = loadfile(path)(), by_do = dofile(path)," ..
          "by_env = load('return 1', 'x', 't', {})()," ..
          "by_g = _G.require 'socket', by_loaded = package.loaded.socket," ..
          "path = package.path, string = require 'string'}")
        local uses = green.import_patched "uses"
        for _, how in ipairs {"load", "file", "do", "g", "loaded"} do
          assert(uses["by_" .. how] == green.socket, how)
        end
        assert(uses.by_env == 1 and uses.path == package.path)
        assert(uses.string == string)
        assert(package.loaded.socket == nil and package.loaded.uses == nil)
      ]])
    end)

  it("lets what it loads set globals of the program", function()
    passes(HEAD .. [[
      module("sets", "A_GLOBAL = 1 _G.ANOTHER = 2 rawset(_G, 'THIRD', 3) " ..
        "local n = 0 for k in pairs(_G) do n = n + 1 end " ..
        "setmetatable(_G, {__index = function() return 'missing' end}) " ..
        "return {n = n, got = NO_SUCH}")
      local n = 0
      for _ in pairs(_G) do n = n + 1 end
      local sets = green.import_patched "sets"
      assert(A_GLOBAL == 1 and ANOTHER == 2 and THIRD == 3)
      assert(sets.n == n + 3, sets.n .. " " .. n)
      assert(sets.got == "missing" and NO_SUCH == "missing")
    ]])
  end)

  it("runs a copy of what the program itself may call", function()
    passes(HEAD .. [[
      local count, kept = 0, nil
      package.preload.shared = function(name)
        count = count + 1
        kept = require "socket"
        return {name = name}
      end
      assert(green.import_patched "shared".name == "shared")
      assert(count == 1 and kept == green.socket)
      require "shared"
      assert(count == 2 and kept ~= green.socket)
    ]])
  end)

  it("takes several names, and replacements of the caller's", function()
    passes(HEAD .. [[
      module("a", "return {dep = require 'dep'}")
      module("b", "return {dep = require 'dep', s = require 'socket'}")
      module("dep", "return 'own'")
      local a, b = green.import_patched("a", "b")
      assert(a.dep == "own" and b.s == green.socket)
      local c, d = green.import_patched("a", "b", {dep = "other"})
      assert(c ~= a and c.dep == "other" and d.dep == "other")
      assert(green.import_patched "a" == a)
      for _, bad in ipairs {{}, {1}, {"a", 1}, {"a", {[1] = 2}}} do
        local ok, err = pcall(green.import_patched, table.unpack(bad))
        assert(not ok and err:find "import_patched", err)
      end
      local ok, err = pcall(green.import_patched, "no.such.module")
      assert(not ok and err:find "module 'no.such.module' not found:\n\t", err)
    ]])
  end)

  it("loads a module once whose body blocks, and names a cycle", function()
    passes(HEAD .. [[
      module("slow", "require 'green'.sleep(0.01) N = (N or 0) + 1 return {}")
      local a = green.spawn(green.import_patched, "slow")
      local b = green.spawn(green.import_patched, "slow")
      assert(a:wait() == b:wait() and N == 1)
      module("x", "return {require 'y'}")
      module("y", "return {require 'x'}")
      local ok, err = pcall(green.import_patched, "x")
      assert(not ok and err:find "modules that require each other: 'x'", err)
    ]])
  end)

  it("shares modules in C with the program", function()
    passes(HEAD .. [[
      local core = require "mime.core"
      module("c", "return require 'mime.core'")
      assert(green.import_patched "c" == core)
      assert(green.import_patched "green" == green)
    ]])
  end)
end)

describe("a program is patched from its first line", function()
  local SCRIPT <const> = [[
    local socket = require "socket"
    local green = require "green"
    assert(socket == green.socket and green.is_patched "io")
    assert(select("#", ...) == 1 and ... == "an argument")
    print "passed"
  ]]

  local function runs(command)
    local script <close> = help.file(SCRIPT)
    local p <close> = io.popen(("%s %s 'an argument' 2>&1"):format(command,
      script.path))
    assert.equal("passed\n", p:read "a")
  end

  it("by luagreen --patch", function() runs "bin/luagreen --patch" end)

  it("by -l green.patch_all under a stock interpreter", function()
    runs(help.lua .. " -l green.patch_all")
  end)
end)
