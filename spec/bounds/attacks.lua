--- What a hostile script does: a list of {name, text}, for attacks_spec.lua and
--- spec/c/lua_attacks_test.c. None of them may stop its host, keep the others
--- from their turns, or outlive its kill. `memory`: needs a limit of memory.
--- `ends`: it must end by itself, well; a script that finds a way out fails.
---
--- Grants: output, coroutine; `connect`: that, too. Global beside the
--- sandbox's: `home`, and `port`, which nobody else receives from. Limits:
--- timers, descriptors and items.

local attacks = {}

local function attack(name, text)
  attacks[#attacks + 1] = {name = name, text = text}
end
local function memory(name, text)
  attacks[#attacks + 1] = {name = name, text = text, memory = true}
end
local function connects(name, text)
  attacks[#attacks + 1] = {name = name, text = text, connect = true}
end
local function ends(name, text)
  attacks[#attacks + 1] = {name = name, text = text, ends = true}
end

-- ---------------------------------------------------------------- for ever

attack("a loop in the main chunk", "while true do end")
attack("a loop below pcall",
  "while true do pcall(function() while true do end end) end")
attack("a loop of pcalls that catch each kill",
  "while true do pcall(green.sleep, 1e9) end")
attack("a loop in a coroutine",
  "coroutine.wrap(function() while true do end end)()")
attack("a loop ten coroutines deep", [[
  local function dig(n)
    if n == 0 then while true do pcall(function() while true do end end) end end
    coroutine.wrap(dig)(n - 1)
  end
  dig(10)]])
attack("coroutines that are made anew for ever",
  "while true do coroutine.wrap(function() coroutine.yield() end)() end")
attack("a loop in __index",
  "return setmetatable({}, {__index = function() while true do end end}).x")
attack("a loop in __close", [[
  local x <close> = setmetatable({}, {__close = function()
    while true do pcall(function() while true do end end) end end})]])
attack("a loop in __close, and a sleep before it", [[
  local x <close> = setmetatable({}, {__close = function()
    while true do end end})
  green.sleep(1e9)]])
attack("a loop in the __close of a coroutine that is closed", [[
  local co = coroutine.create(function()
    local x <close> = setmetatable({}, {__close = function()
      while true do end end})
    coroutine.yield()
  end)
  coroutine.resume(co)
  coroutine.close(co)]])
attack("a loop in __tostring of an error",
  "error(setmetatable({}, {__tostring = function() while true do end end}))")
attack("a loop in __tostring below print", [[
  print(setmetatable({}, {__tostring = function() while true do end end}))]])
attack("a loop in a message handler", [[
  xpcall(error, function() while true do end end)]])
attack("a handler that fails in itself, for ever", [[
  local function h() return error(h) end
  while true do xpcall(error, h) end]])
attack("a loop in a comparator", [[
  table.sort({1, 2, 3, 4}, function() while true do end end)]])
attack("a comparator that sorts", [[
  local function f() local t = {} for i = 1, 50 do t[i] = -i end
    table.sort(t, f) return true end
  while true do pcall(f) end]])
attack("a loop in a callback of gsub",
  "('x'):gsub('x', function() while true do end end)")
attack("gsub in gsub, for ever", [[
  local function f() return (('x'):gsub('x', f)) end
  while true do pcall(f) end]])
attack("a loop in an iterator", [[
  for _ in function() while true do end end do end]])
attack("a loop in a reader of load",
  "load(function() while true do end end)")
attack("a reader that never ends",
  "while true do pcall(load, function() return ' ' end) end")
attack("a loop in metamethods of arithmetic", [[
  local t = setmetatable({}, {__add = function(a) return a + a end,
    __concat = function(a) while true do end end})
  pcall(function() return t + t end)
  return t .. t]])
attack("a loop in __gc's place: __mode, __name, __len, __eq", [[
  local mt = {__mode = "kv", __name = ("x"):rep(1e4)}
  mt.__len = function() while true do end end
  return #setmetatable({}, mt)]])
attack("goto", "::again:: goto again")
attack("recursion without end, again and again", [[
  local function f() return 1 + f() end
  while true do pcall(f) end]])
attack("recursion in C without end, again and again", [[
  local function f() return (string.gsub('x', '.', f)) end
  while true do pcall(f) end]])
attack("coroutines in coroutines without end", [[
  local function f() return coroutine.wrap(f)() end
  while true do pcall(f) end]])
attack("tail calls", "local function f() return f() end return f()")
attack("threads that do the same", [[
  for i = 1, 5 do green.spawn(function() while true do end end) end
  while true do end]])
attack("a thread that spawns itself", [[
  local function f() green.spawn(f) green.spawn(f) end
  f()]])
attack("killing itself and going on", [[
  green.current():kill()
  while true do pcall(green.sleep, 0) end]])
attack("a link that goes on", [[
  green.current():link(function() while true do end end)]])
attack("a link that links", [[
  local function f() green.spawn(f):link(f) end
  f()]])
attack("links beyond the limit of threads", [[
  local t = green.spawn(green.sleep, 0)
  local function f() while true do green.sleep(1) end end
  local function link() for i = 1, 1000 do t:link(f) end end
  while true do pcall(link) green.sleep(0) end]])
attack("a lock that is never released", [[
  local lock = green.lock()
  lock:acquire()
  for i = 1, 20 do green.spawn(function() lock:acquire() end) end
  green.sleep(1e9)]])
attack("a group that never ends", [[
  local g <close> = green.group()
  g:spawn(function() while true do pcall(green.sleep, 0) end end)]])
attack("timeouts in timeouts", [[
  local function f(n)
    local t <close> = green.timeout(1e9)
    if n > 0 then return f(n - 1) + 0 end
    while true do pcall(green.sleep, 0) end
  end
  f(100)]])
attack("a busy ping-pong", [[
  local a, b = green.queue(), green.queue()
  green.spawn(function() while true do b:put(a:get()) end end)
  a:put(1)
  while true do a:put(b:get()) end]])

-- ----------------------------------------------------------- one long call

attack("backtracking", "('a'):rep(2000):find('.-.-.-b')")
attack("backtracking below pcall",
  "while true do pcall(string.find, ('a'):rep(3000), '.-.-.-b') end")
attack("backtracking in match, gmatch and gsub", [[
  local s = ("a"):rep(1500)
  green.spawn(function() s:match(".*.*.*.*b") end)
  green.spawn(function() for x in s:gmatch(".-.-.-.-b") do end end)
  s:gsub(".-.-.-.-b", "")]])
attack("backtracking of optional items", [[
  return (("a"):rep(28)):find(("a?"):rep(28) .. ("a"):rep(29))]])
attack("a plain search", [[
  return ("a"):rep(1e6):find(("a"):rep(5e5) .. "b", 1, true)]])
attack("a balance", "return (('('):rep(1e6)):find('%b()')")
attack("a border", "return (('a'):rep(1e6)):find('%f[^%z-\\255]')")
attack("a huge set", [[
  return (("a"):rep(1e5)):find(("[" .. ("b"):rep(1e5) .. "]"))]])
attack("a replacement for every place", [[
  while true do (("a"):rep(1e4)):gsub("", ("b"):rep(100)) end]])
attack("a move of nothing", "table.move({}, 1, 1 << 62, 2)")
attack("a move of nothing, backwards", "table.move({}, 1, 1 << 62, 2, {})")
attack("an insert into a long nothing", [[
  local t = setmetatable({}, {__len = function() return 1 << 62 end})
  table.insert(t, 1, 1)]])
attack("a remove from a long nothing", [[
  local t = setmetatable({}, {__len = function() return 1 << 62 end})
  table.remove(t, 1)]])
attack("a sort of long texts", [[
  local a, t = ("a"):rep(1 << 18), {}
  local b = a .. "b"
  for i = 1, 1e5 do t[i] = i % 2 == 0 and a or b end
  table.sort(t)]])
attack("texts that are compared", [[
  local a, b = ("a"):rep(1 << 26), ("a"):rep(1 << 26)
  while true do local x = a == b end]])
attack("long texts that are made again and again, below pcall",
  "while true do pcall(string.rep, 'x', 1 << 26) end")
attack("padding", "while true do pcall(string.pack, 'c2147483000', '') end")
attack("a long format of a date", [[
  while true do pcall(os.date, ("%c"):rep(1e6)) end]])
attack("names in functions in functions", [[
  local text = {}
  for i = 1, 180 do
    local names = {}
    for j = 1, 190 do names[j] = ("v%d_%d"):format(i, j) end
    text[i] = "local function f() local " .. table.concat(names, ",") .. " "
  end
  text[181] = ("a=b "):rep(1e5) .. ("end "):rep(180)
  text = table.concat(text)
  while true do load(text) end]])
attack("arguments for single_flight, deep", [[
  local f = green.single_flight(function() end)
  while true do pcall(f, table.unpack({}, 1, 2e5)) end]])
ends("rep of nothing", "return ('').rep('', 1 << 62) == ''")
attack("a text of a megabyte, compiled for ever", [[
  local s = ("x = {} "):rep(1 << 16)
  while true do load(s) end]])
attack("a concat of everything, for ever", [[
  local t = {}
  for i = 1, 1e5 do t[i] = "x" end
  while true do table.concat(t, ",") end]])

-- ------------------------------------------------------------------ memory

memory("memory by rep", [[
  local t = {}
  local function f() t[#t + 1] = ("x"):rep(1 << 20) .. #t end
  while true do pcall(f) end]])
memory("memory by one rep", "while true do pcall(string.rep, 'x', 1 << 30) end")
memory("memory by concatenation", [[
  local s = "x"
  while true do pcall(function() while true do s = s .. s end end) end]])
memory("memory by tables", [[
  local function f() local t = {} while true do t[#t + 1] = {} end end
  while true do pcall(f) end]])
memory("memory that is kept", [[
  local t = {}
  local function f() while true do t = {t} end end
  while true do pcall(f) end]])
memory("memory by closures", [[
  local function f() local t = {}
    while true do t[#t + 1] = function() return t end end end
  while true do pcall(f) end]])
memory("memory by coroutines", [[
  local function f() local t = {}
    while true do t[#t + 1] = coroutine.create(f) end end
  while true do pcall(f) end]])
memory("memory by threads", [[
  local function f() while true do green.spawn(green.sleep, 1e9) end end
  while true do pcall(f) end]])
memory("memory by threads that never start", [[
  local function f() while true do green.spawn_after(1e9, print) end end
  while true do pcall(f) end]])
memory("memory by a queue", [[
  local q = green.queue()
  local function f() while true do q:put {} end end
  while true do pcall(f) end]])
memory("memory by objects", [[
  local function f() local t = {}
    while true do t[#t + 1] = {green.event(), green.lock(), green.queue(1),
      green.pool(1)} end end
  while true do pcall(f) end]])
memory("memory by recursion", [[
  local function f(...) return f(1, ...) end
  while true do pcall(f) end]])
memory("memory by unpack", [[
  local t = {}
  for i = 1, 1000 do t[i] = i end
  local function f() return {table.unpack({table.unpack(t)}, 1, 1 << 19)} end
  while true do pcall(f) end]])
memory("memory by unpack of bytes and of code points", [[
  local s = ("a"):rep(5e5)
  local b = ("b"):rep(5e5)
  while true do
    pcall(utf8.codepoint, s, 1, -1)
    pcall(string.unpack, b, s)
    pcall(string.byte, s, 1, -1)
  end]])
memory("memory by an error's traceback", [[
  local function f(n) if n > 0 then return 1 + f(n - 1) end
    error(("x"):rep(1 << 20)) end
  for i = 1, 100 do green.spawn(f, 100) end]])
memory("memory by gsub", [[
  while true do pcall(string.gsub, ("x"):rep(1e5), "x", ("y"):rep(1e5)) end]])
memory("memory by format", [[
  while true do pcall(string.format, ("%99.99f"):rep(1e4), 1) end]])
memory("memory by load", [[
  while true do pcall(load, "return " .. ("{"):rep(1e6))
    pcall(load, "return '" .. ("x"):rep(1e6) .. "'") end]])
memory("memory by names of threads", [[
  while true do pcall(function()
    green.current().name = ("x"):rep(1 << 20) end) end]])
memory("memory by clean-up", [[
  local keep = {}
  for i = 1, 3 do green.spawn(function()
    local x <close> = setmetatable({}, {__close = function()
      while true do pcall(function() keep[#keep + 1] = ("x"):rep(1e5) end) end
    end})
    green.sleep(1e9)
  end) end]])
memory("weak tables that refer to each other", [=[
  local all, n = {}, 2000
  for i = 1, n do all[i] = setmetatable({}, {__mode = "k"}) end
  local keys = {}
  for i = 1, n do keys[i] = {} end
  for i = 1, n - 1 do all[i * 997 % n + 1][keys[i]] = keys[i + 1] end
  local first = keys[1]
  keys = nil
  while true do local t = {} end]=])

-- ------------------------------------------------------------------ floods

attack("a flood of output", "while true do print(('x'):rep(1000)) end")
attack("a flood of small output", "while true do print() end")
attack("a flood of timeouts", [[
  local list = {}
  while true do
    pcall(function()
      while true do list[#list + 1] = green.timeout(1e6) end
    end)
    if #list > 1e5 then list = {} end
  end]])
attack("a flood of timeouts that are restarted", [[
  local list = {}
  pcall(function()
    while true do list[#list + 1] = green.timeout(1e6) end
  end)
  while true do
    for _, to in ipairs(list) do
      to:cancel()
      pcall(to.restart, to, 1e6)
    end
  end]])
attack("threads that each set timeouts", [[
  local function more()
    pcall(green.spawn, more)
    pcall(function() while true do green.timeout(1e6) end end)
    green.sleep(0)
    pcall(green.spawn, more)
  end
  while true do pcall(green.spawn, more) green.sleep(0) end]])
attack("coroutines that keep timeouts", [[
  local kept = {}
  while true do
    pcall(function()
      local co = coroutine.wrap(function()
        green.timeout(1e6)
        coroutine.yield()
      end)
      kept[#kept + 1] = co
      co()
    end)
    if #kept > 1e5 then kept = {} end
  end]])
attack("a flood of threads for later", [[
  while true do pcall(green.spawn_after, 1e6, print) end]])
attack("coroutines that are kept", [[
  local kept = {}
  while true do
    pcall(function()
      kept[#kept + 1] = coroutine.create(print)
    end)
    if #kept > 1e5 then kept = {} end
  end]])
attack("queues in queues", [[
  local function fill(q)
    while true do
      local inner = green.queue()
      inner:put(q)
      q:put(inner)
      q = inner
    end
  end
  while true do pcall(fill, green.queue()) end]])
attack("a flood of values in every kind of queue", [[
  local kept = {}
  while true do
    for _, make in ipairs {"queue", "lifo_queue", "priority_queue"} do
      local q = green[make]()
      kept[#kept + 1] = q
      pcall(function() while true do q:put(#kept) end end)
      pcall(green.select, {{q, "put", 1}}, 0)
      pcall(q.resize, q, 1e9)
    end
    if #kept > 1e4 then kept = {} end
  end]])
attack("a queue that others fill and empty", [[
  local q = green.queue()
  for _ = 1, 20 do
    green.spawn(function() while true do pcall(q.put, q, 1) end end)
    green.spawn(function() while true do q:get() end end)
  end
  while true do q:clear() green.sleep(0) end]])
memory("messages that nobody receives", [[
  while true do pcall(port.send, port, ('x'):rep(1e5)) end]])
memory("senders of messages that wait", [[
  local text = ('x'):rep(1e5)
  for _ = 1, 500 do green.spawn(pcall, port.send, port, text) end
  green.sleep(1e6)]])
connects("a flood of sockets that are kept", [[
  local kept = {}
  while true do
    kept[#kept + 1] = {green.socketpair()}
    kept[#kept + 1] = green.udp("127.0.0.1", 0)
    if #kept > 1e4 then kept = {} end
  end]])
connects("a flood of sockets that are dropped", [[
  while true do
    pcall(green.socketpair)
    pcall(green.udp, "127.0.0.1", 0)
    pcall(green.connect, "127.0.0.1", 1)
  end]])
connects("threads that each open sockets", [[
  while true do
    pcall(green.spawn, function()
      local a, b = green.socketpair()
      if a then a:recv(1) end
      return b
    end)
    green.sleep(0)
  end]])
attack("a flood of errors", [[
  while true do green.spawn(error, "x") green.sleep(0) end]])
attack("a flood of control characters",
  "while true do print('\\27[2J\\27]0;x\\7') end")
attack("a flood of deadlocks and look-ups of threads", [[
  while true do for _, t in ipairs(green.threads()) do tostring(t) end end]])

-- ----------------------------------------------------------------- escapes

ends("bytecode", [[
  assert(not load("\27Lua\x54\0\x19\x93"))
  assert(not string.dump)
  assert(not load(function() return "\27Lua" end))
  assert(not load("\27Lua", "x", "b"))
  return true]])
ends("what was not granted", [[
  for _, name in ipairs {"io", "debug", "require", "package", "dofile",
      "loadfile", "loadstring", "warn", "module", "newproxy", "setfenv",
      "getfenv"} do
    assert(_G[name] == nil, name)
    assert(load("return " .. name)() == nil, name)
  end
  for _, name in ipairs {"execute", "exit", "getenv", "remove", "rename",
      "tmpname", "setlocale"} do assert(os[name] == nil, name) end
  for _, name in ipairs {"shutdown", "config", "on_error", "stats", "dump",
      "output", "backdoor", "monkey_patch", "atomic", "adopt", "wait_fd",
      "connect", "listen", "serve", "shield", "sandbox", "test", "trace",
      "socket",
      "dns", "wait_others"} do assert(green[name] == nil, name) end
  return true]])
ends("the collector", [[
  for _, what in ipairs {"stop", "collect", "step", "incremental", "restart",
      "generational", "setpause"} do
    assert(not pcall(collectgarbage, what), what)
  end
  assert(not pcall(collectgarbage))
  return collectgarbage "count" > 0]])
ends("finalizers", [[
  assert(not pcall(setmetatable, {}, {__gc = function() end}))
  assert(not pcall(setmetatable, {}, {__gc = false}))
  local mt = {}
  local t = setmetatable({}, mt)
  mt.__gc = function() escaped = true end
  assert(not pcall(setmetatable, t, mt))
  t = nil
  for i = 1, 1e4 do local x = {} end
  return not escaped]])
ends("the metatable of strings", [[
  assert(getmetatable("") == nil)
  assert(not pcall(function() ("").find = 1 end))
  assert(("").dump == nil)
  return ("").rep == string.rep]])
ends("libraries that are changed", [[
  for _, library in ipairs {string, table, math, coroutine, utf8, green, os} do
    assert(not pcall(function() library.x = 1 end))
    assert(not pcall(setmetatable, library, {}))
    assert(getmetatable(library) == nil)
    assert(next(library) == nil)
    for k, v in pairs(library) do assert(type(v) ~= "table" and k ~= "x") end
    rawset(library, "mine", 1)
    rawset(library, "rep", print)
  end
  assert(("x"):rep(2) == "xx")
  return true]])
ends("metatables of the library's objects", [[
  local objects = {green.queue(), green.event(), green.lock(), green.flag(),
    green.semaphore(1), green.condition(), green.pool(1), green.group(),
    green.pile(1), green.waitgroup(), green.channel(), green.locals(),
    green.ticker(1), green.timeout(1e9), green.current(), green.selector {},
    green.lifo_queue(),
    green.priority_queue()}
  for i, object in ipairs(objects) do
    assert(getmetatable(object) == nil, i)
    if type(object) == "table" then
      assert(not pcall(setmetatable, object, {}), i)
    end
  end
  local _, killed = green.spawn(green.sleep, 1e9), nil
  _:kill()
  _, killed = _:join()
  assert(getmetatable(killed) == nil)
  return true]])
ends("threads of others", [[
  assert(#green.threads() == 1 and green.threads()[1] == green.current())
  for i = 0, 1000 do
    local t = green.find_thread(i)
    assert(t == nil or t == green.current())
  end
  return true]])
ends("finalizers, by an object of the library's", [[
  local function drop()
    for _, w in ipairs {green.as_completed {green.spawn(green.sleep, 0)}} do
      if type(w) == "table" then
        for _, key in ipairs {"things", "known"} do
          rawset(w, key, setmetatable({}, {
            __pairs = function() while true do end end,
            __index = function() while true do end end,
            __newindex = function() while true do end end}))
        end
      end
    end
    for _, w in ipairs {green.pool(1):imap(print, {1}), green.pile(1)} do
      for key in next, type(w) == "table" and w or {} do
        rawset(w, key, setmetatable({}, {
          __pairs = function() while true do end end,
          __index = function() while true do end end}))
      end
    end
  end
  for _ = 1, 20 do drop() end
  for i = 1, 1e5 do local x = {} end
  return true]])
ends("what a function of the program's waits for", [[
  local q = green.queue()
  local t = green.spawn(q.get, q)
  green.sleep(0)
  return t:blocked().what == "queue:get" and t:blocked().on == nil]])
ends("a chunk that passes for the library's", [[
  -- Their code is never interrupted; see the next one.
  local _, err = pcall(load("error('x')", "@x.lua"))
  return err == "x.lua:1: x"]])
attack("a loop that passes for the library's", [[
  for _, name in ipairs {"=", "@", "@./lua/green/x.lua", "=luagreen",
      "@luagreen/green/x.lua", home and home .. "green/x.lua"} do
    green.spawn(assert(load("while true do end", name)))
  end]])
ends("an environment of one's own", [[
  local env = {}
  local f = load("x = 1 return _ENV", "x", "t", env)
  assert(f() == env and env.x == 1 and x == nil)
  local g = load("return _ENV", "x", "t", nil)
  assert(g() == nil)
  return load("return _G")() == _G]])
ends("a limit that is reached, and left again", [[
  local list, q = {}, green.queue()
  local ok, err = pcall(function()
    while true do list[#list + 1] = green.timeout(1e6) end
  end)
  assert(not ok and err:find "too many timeouts")
  for _, to in ipairs(list) do to:cancel() end
  local to <close> = green.timeout(1e6)
  local n = 0
  ok, err = pcall(function() while true do q:put(n) n = n + 1 end end)
  assert(not ok and err:find "too many values in queues" and #q == n)
  for i = 0, n - 1 do assert(q:get() == i) end
  return q:put(1)]])
ends("random numbers of others", [[
  math.randomseed(1)
  local a = math.random(1 << 40)
  math.randomseed(1)
  return math.random(1 << 40) == a]])
ends("wrong arguments for everything", [[
  local values = {nil, true, 1, -1, 0/0, 1e308, math.mininteger, "", "%", {},
    print, green.queue(), coroutine.create(print), green.current()}
  local libraries = {string, table, math, coroutine, utf8, green, os, _G}
  local skip = {sleep = true, yield = true, wait_all = true, select = true,
    print = true, spawn = true, spawn_n = true, spawn_after = true,
    as_completed = true, shield = true, with_timeout = true, timeout = true,
    pile = true}
  for _, library in ipairs(libraries) do
    for name, f in pairs(library) do
      if type(f) == "function" and not skip[name] then
        for i = 1, 14 do
          pcall(f, values[i])
          for j = 1, 14 do pcall(f, values[i], values[j]) end
        end
      end
    end
  end
  return true]])

dofile "spec/bounds/more_attacks.lua" (attack, memory, connects, ends)
dofile "spec/bounds/other_attacks.lua" (attack, memory, connects, ends)

return attacks
