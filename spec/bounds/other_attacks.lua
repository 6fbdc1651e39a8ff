--- Hostile scripts again, for attacks.lua, which tells what they are: attack,
--- memory, connects and ends are its functions.

return function(attack, memory, connects, ends)

-- ------------------------------------------------- threads that begin in C

attack("threads whose function is one of C's", [[
  local function loop() while true do end end
  local bad = setmetatable({}, {__call = loop, __lt = loop, __index = loop,
    __tostring = loop, __pairs = loop, __len = loop, __close = loop})
  local calls = {{pcall, loop}, {pcall, pcall, pcall, loop},
    {xpcall, error, loop}, {string.gsub, "x", "x", loop},
    {table.sort, {bad, bad, bad}}, {table.concat, bad},
    {coroutine.wrap(loop)}, {coroutine.resume, coroutine.create(loop)},
    {load, loop}, {tostring, bad}, {pairs, bad}, {bad},
    {green.spawn, green.spawn, loop}, {green.with_timeout, 1e9, loop},
    {green.pcall, loop}}
  -- Few at once, as each computes.
  while true do
    for _, call in ipairs(calls) do
      local t = green.spawn(table.unpack(call))
      green.sleep(0)
      t:kill()
      green.sleep(1e-3)
    end
  end]])
attack("coroutines whose function is one of C's", [[
  local function loop() while true do end end
  for _, f in ipairs {xpcall, green.with_timeout, string.gsub, table.sort} do
    green.spawn(function()
      local co = coroutine.create(f)
      while true do
        if f == xpcall then coroutine.resume(co, error, loop)
        elseif f == string.gsub then coroutine.resume(co, "x", "x", loop)
        elseif f == table.sort then coroutine.resume(co, {1, 2, 3}, loop)
        elseif f == green.with_timeout then coroutine.resume(co, 1e9, loop)
        else coroutine.resume(co, loop) end
        green.sleep(0)
      end
    end)
  end]])
attack("a coroutine that closes itself, and those around it", [[
  local outer
  outer = coroutine.create(function()
    local x <close> = setmetatable({}, {__close = function()
      while true do pcall(coroutine.close, outer) end end})
    coroutine.wrap(function()
      pcall(coroutine.close, outer)
      pcall(coroutine.close, coroutine.running())
      error "x"
    end)()
  end)
  coroutine.resume(outer)
  coroutine.close(outer)]])
attack("the coroutine of a thread, in the hands of others", [[
  local co = {}
  for i = 1, 5 do
    green.spawn(function()
      co[i] = coroutine.running()
      while true do pcall(green.sleep, 0) pcall(coroutine.yield) end
    end)
  end
  while true do
    green.sleep(0)
    for i = 1, 5 do
      pcall(coroutine.resume, co[i]) pcall(coroutine.close, co[i])
      pcall(coroutine.wrap(function() coroutine.resume(co[i]) end))
    end
    green.spawn(function() co[1] = coroutine.running() green.sleep(0) end)
  end]])
attack("a wrap that resumes itself", [[
  local f
  f = coroutine.wrap(function() while true do pcall(f) end end)
  f()]])
attack("a thousand coroutines that sleep in one thread after the other", [[
  local all = {}
  for i = 1, 500 do
    all[i] = coroutine.wrap(function()
      while true do
        local to = green.timeout(i * 1e-4)
        pcall(green.sleep, 1e9)
        to:cancel()
        coroutine.yield()
      end
    end)
  end
  for i = 1, 10 do green.spawn(function()
    while true do for j = i, 500, 10 do pcall(all[j]) end end end) end]])

-- -------------------------------------------------------- loops, elsewhere

attack("for loops that have no end", [[
  green.spawn(function() for i = 1, math.huge do end end)
  green.spawn(function() for i = 1, 2, 1e-300 do end end)
  green.spawn(function() for i = math.mininteger, math.maxinteger do end end)
  repeat until false]])
attack("every metamethod that is left", [[
  local function loop() while true do end end
  local mt = {}
  for _, e in ipairs {"unm", "bnot", "idiv", "shl", "shr", "band", "bor",
      "bxor", "mod", "pow", "div", "mul", "sub", "le", "lt", "eq", "call",
      "newindex", "pairs"} do mt["__" .. e] = loop end
  local a, b = setmetatable({}, mt), setmetatable({}, mt)
  while true do
    for _, text in ipairs {"-a", "~a", "a//b", "a<<b", "a>>b", "a&b", "a|b",
        "a~b", "a%b", "a^b", "a/b", "a*b", "a-b", "a<=b", "a<b", "a==b",
        "a()", "pairs(a)"} do
      local t = green.spawn(load("local a, b = ... return " .. text), a, b)
      green.sleep(0)
      t:kill()
      green.sleep(1e-3)
    end
  end]])
attack("a comparator of a priority queue", [[
  local q
  q = green.priority_queue(function(a, b)
    pcall(q.put, q, 1) pcall(q.get, q, 0) pcall(q.clear, q)
    green.current():kill()
    while true do pcall(green.sleep, 0) end
  end)
  for i = 1, 20 do green.spawn(function()
    while true do pcall(q.put, q, i) pcall(q.get, q) end end) end]])
attack("a comparator that never says the same", [[
  local n = 0
  local q = green.priority_queue(function()
    n = n + 1
    if n % 7 == 0 then error "x" end
    return n % 3 == 0
  end)
  while true do
    for i = 1, 500 do pcall(q.put, q, i) end
    for i = 1, 500 do pcall(q.get, q, 0) end
  end]])
attack("a generator without end for everything that takes one", [[
  local function forever() return 1 end
  local list = setmetatable({}, {__index = function() return 1 end,
    __len = function() return 1 << 62 end,
    __pairs = function() return forever end})
  for _, name in ipairs {"imap", "map", "imap_unordered", "starmap", "wait"} do
    local p = green.pool(2)
    local f = p[name]
    if f then
      green.spawn(f, p, print, list)
      green.spawn(f, p, print, forever)
      green.spawn(f, p, forever, {list, list})
    end
  end
  for _, f in ipairs {green.wait_all, green.as_completed, green.select,
      green.selector} do green.spawn(f, list) end
  while true do pcall(green.sleep, 0) end]])
attack("lists that are in themselves", [[
  local t = {}
  t[1], t[2] = t, {t, t}
  while true do
    for _, f in ipairs {green.wait_all, green.as_completed, green.select,
        green.selector, green.pool, green.resource_pool, green.with_timeout,
        green.single_flight, green.group} do pcall(f, t, t) end
    green.sleep(0)
  end]])
attack("a timeout in a timeout in a timeout", [[
  local function f(n)
    return green.with_timeout(1e-5, n > 0 and f or green.sleep, n - 1)
  end
  while true do pcall(f, 150) pcall(green.with_timeout, 0, f, 100) end]])
attack("deadlines that strike in clean-up, again and again", [[
  local function f()
    local x <close> = setmetatable({}, {__close = function()
      local y <close> = green.timeout(1e-6)
      while true do pcall(green.sleep, 1) end end})
    local t <close> = green.timeout(1e-6)
    while true do pcall(green.sleep, 1) end
  end
  for i = 1, 2 do green.spawn(f) end
  while true do pcall(f) end]])
attack("a condition that all wait for and all wake", [[
  local c = green.condition()
  for i = 1, 150 do pcall(green.spawn, function()
    while true do pcall(c.wait, c, 1e-6) pcall(c.notify_all, c)
      pcall(c.notify, c) end end) end
  while true do green.sleep(0) end]])
attack("counts beyond all numbers", [[
  while true do
    for _, n in ipairs {1 << 62, math.maxinteger, math.mininteger, 1e300, -1,
        0/0} do
      pcall(function() local s = green.semaphore(n) s:release(n) s:release(n)
        s:acquire(n, 0) end)
      pcall(function() local w = green.waitgroup() w:add(n) w:add(n) w:wait(0)
        end)
      for _, make in ipairs {"queue", "channel", "lifo_queue", "pool", "pile",
          "priority_queue"} do
        pcall(function() local o = green[make](n) pcall(o.resize, o, n)
          pcall(o.put, o, 1, 0) pcall(o.spawn, o, print) end)
      end
    end
    green.sleep(0)
  end]])
attack("a lock that is taken and left by the dead", [[
  local lock, again = green.lock(), green.lock(true)
  while true do
    for i = 1, 50 do
      pcall(green.spawn, function()
        lock:acquire() again:acquire() again:acquire()
        if i % 2 == 0 then error "x" end
        green.current():kill()
        green.sleep(1)
      end)
    end
    green.sleep(0)
    pcall(lock.acquire, lock, 0) pcall(lock.release, lock)
  end]])
attack("errors that everybody throws at everybody", [[
  for i = 1, 50 do green.spawn(function()
    while true do
      for _, t in ipairs(green.threads()) do pcall(t.throw, t, t) end
      pcall(green.sleep, 0)
    end
  end) end]])
attack("names that are objects, and huge, and control a terminal", [[
  local t = setmetatable({}, {__tostring = function() while true do end end,
    __name = ("\27]0;x\7"):rep(1e4)})
  local me = green.current()
  while true do
    for _, name in ipairs {t, ("\27[2J"):rep(1e5), 1 << 62, me, print} do
      pcall(function() me.name = name end)
      pcall(green.spawn, error, name)
      pcall(error, name) pcall(tostring, me)
    end
    pcall(me.kill, green.spawn(green.sleep, 1), t)
    green.sleep(0)
  end]])
attack("errors that fail while they are reported", [[
  local mt = {}
  mt.__tostring = function() return setmetatable({}, mt) end
  mt.__name = setmetatable({}, mt)
  mt.__index = function() coroutine.yield() green.sleep(1e9) end
  mt.__eq = function() error(setmetatable({}, mt)) end
  for i = 1, 100 do pcall(green.spawn, function()
    local x <close> = setmetatable({}, {__close = function(_, e)
      error(setmetatable({e}, mt)) end})
    error(setmetatable({}, mt))
  end) end
  while true do pcall(green.spawn, error, setmetatable({}, mt))
    green.sleep(0) end]])
attack("killed objects that are thrown again", [[
  local t = green.spawn(green.sleep, 1e9)
  t:kill(t)
  local _, killed = t:join()
  while true do
    pcall(green.spawn, error, killed)
    pcall(error, killed) xpcall(error, error, killed)
    pcall(green.current().throw, green.current(), killed)
    pcall(green.sleep, 0)
  end]])

-- --------------------------------------------- objects that were tampered with

attack("objects whose fields are something else", [[
  local evil = setmetatable({}, {__index = function() while true do end end,
    __newindex = function() while true do end end, __len = function()
    return 1 << 62 end, __call = function() while true do end end,
    __lt = function() while true do end end, __pairs = function()
    return function() return 1 end end, __close = function()
    while true do end end})
  local makers = {function() return green.pool(2) end, green.group,
    function() return green.pile(2) end,
    function() return green.resource_pool {create = print, max = 2} end,
    green.queue, green.event, function() return green.as_completed {} end,
    function() return green.pool(1):imap(print, {1, 2}) end,
    function() return green.timeout(1e9) end, green.locals}
  for _, make in ipairs(makers) do
    for _, value in ipairs {evil, 1 << 62, -1, 0/0, "x", print, {}, false} do
      pcall(green.spawn, function()
        local ok, o = pcall(make)
        if not ok or type(o) ~= "table" then return end
        local keys = {}
        for k in next, o do keys[#keys + 1] = k end
        for _, k in ipairs(keys) do rawset(o, k, value) end
        for _, name in ipairs {"spawn", "imap", "map", "wait", "kill", "get",
            "close", "join", "put", "release", "resize", "drain", "prune",
            "stats", "size", "cancel"} do
          pcall(function() return o[name](o, print, {1, 2}) end)
        end
        local x <close> = o
        for _ in o do break end
      end)
      green.sleep(0)
    end
  end
  while true do green.sleep(0) end]])
attack("methods that are called with the objects of others", [[
  local objects = {green.queue(), green.event(), green.lock(), green.flag(),
    green.semaphore(1), green.condition(), green.pool(1), green.group(),
    green.pile(1), green.waitgroup(), green.channel(), green.locals(),
    green.ticker(1), green.timeout(1e9), green.current(), green.selector {},
    green.priority_queue(), {}, print, "x"}
  local names = {"put", "get", "acquire", "release", "wait", "set", "clear",
    "send", "notify", "add", "done", "select", "remove", "resize", "close",
    "cancel", "restart", "spawn", "join", "status", "__gc", "__close"}
  while true do
    for _, a in ipairs(objects) do
      for _, name in ipairs(names) do
        local ok, f = pcall(function() return a[name] end)
        if ok and type(f) == "function" and name ~= "join" then
          for _, b in ipairs(objects) do
            if a ~= b then pcall(f, b, 0) pcall(f, b, a) end
          end
        end
      end
    end
    green.sleep(0)
  end]])
attack("a select of what changes while it is read", [[
  local q = green.queue()
  local cases
  cases = setmetatable({}, {__index = function(_, i)
    pcall(q.close, q) q = green.queue() green.sleep(0)
    return i < 5 and {q, "get"} or nil
  end, __len = function() green.sleep(0) return 4 end})
  for i = 1, 5 do green.spawn(function()
    while true do
      pcall(green.select, cases, 0)
      pcall(green.select, {{q, "put", setmetatable({}, {__close = error})}}, 0)
      pcall(green.selector, cases)
      green.sleep(0)
    end
  end) end]])

-- ------------------------------------------------------------ long calls, anew

attack("back-references that backtrack", [[
  local s = ("ab"):rep(500)
  green.spawn(function() return s:find("(.-)(.-)%1%2%1%2x") end)
  green.spawn(function() return s:find("((.-)(.-))%3%2%1x") end)
  green.spawn(function() return s:gsub("(.*)(.*)(.*)%3%2%1x", "%1") end)
  return s:match("()(.-)()(.-)()(.-)()x")]])
attack("sets and borders that are long", [[
  local set = "[^" .. ("%w-"):rep(5e4) .. "]"
  local s = ("\1"):rep(1e5)
  green.spawn(function() return s:find(set .. "-x") end)
  green.spawn(function() return s:find("%f" .. set .. "x") end)
  while true do pcall(string.gmatch(s, set .. "*" .. set .. "*x")) end]])
attack("a replacement by a table whose fields compute", [[
  local t = setmetatable({}, {__index = function(_, k)
    local x <close> = setmetatable({}, {__close = function()
      while true do end end})
    return k .. k end})
  while true do pcall(string.gsub, ("x"):rep(1000), ".", t) end]])
attack("one iterator of gmatch for all", [[
  local s = ("a"):rep(2000)
  local next = s:gmatch(".-.-.-b")
  for i = 1, 20 do green.spawn(function() while true do pcall(next) end end)
  end]])
attack("continuation bytes", [[
  local s = ("\x80"):rep(1 << 20)
  while true do
    pcall(utf8.offset, s, -1) pcall(utf8.offset, s, 1, 1 << 19)
    pcall(utf8.len, s, 1, -1, true) pcall(utf8.codepoint, s)
    for _ in pcall(utf8.codes, s) do break end
  end]])
attack("tables of times that are slow to read", [[
  local t = setmetatable({}, {__index = function(_, k)
    if k == "isdst" then return nil end
    for i = 1, 1e5 do end
    return 1 << 31 end})
  while true do
    pcall(os.time, t) pcall(os.date, "*t", 1 << 62) pcall(os.date, "%c", -1e15)
    pcall(os.date, ("%c"):rep(499)) pcall(os.time, {year = 1 << 62})
  end]])
attack("texts that are appended to, one byte at a time", [[
  local s = ""
  while true do
    s = s .. "x"
    if #s > 1e6 then s = "" end
  end]])
attack("long texts as keys", [[
  local t = {}
  while true do
    for i = 1, 100 do t[("x"):rep(1e5) .. i] = true end
    t = {}
  end]])
attack("varargs that are handed down", [[
  local function down(n, ...)
    if n == 0 then return select("#", ...) end
    return down(n - 1, ...)
  end
  while true do down(100, table.unpack({}, 1, 5000)) end]])
attack("upvalues and closures in closures", [[
  local function nest(n) local x = n
    return n == 0 and function() return x end
      or function() x = x + 1 return nest(n - 1)() end end
  while true do pcall(nest(150)) end]])
attack("chunks whose names are the source", [[
  local text = ("-- x\n"):rep(1e5) .. "error 'x'"
  while true do
    local f = load(text)
    for i = 1, 100 do pcall(f) end
    green.spawn(f)
    green.sleep(0)
  end]])
attack("a reader that gives one byte at a time", [[
  local text, i = ("x = 1 "):rep(1e5), 0
  while true do
    i = 0
    pcall(load, function() i = i + 1 return text:sub(i, i) end)
  end]])
attack("a reader that gives itself", [[
  local function read() return ("x=1 "):rep(1e4) end
  while true do pcall(load, read) end]])
attack("prints of what prints", [[
  local t
  t = setmetatable({}, {__tostring = function() print(t) return "x" end})
  while true do
    pcall(print, t) print(("x"):rep(1e6)) print(1, nil, t == t)
  end]])

-- ----------------------------------------------------------------- connections

connects("a peer that never reads, and one that never writes", [[
  local list = {}
  for i = 1, 8 do
    local a, b = green.socketpair()
    if not a then break end
    list[#list + 1] = b
    green.spawn(function() while true do pcall(a.send, a, ("x"):rep(1 << 20))
      end end)
    green.spawn(function() while true do pcall(b.recv, b, 1 << 30)
      pcall(b.receive, b, 1 << 40) end end)
  end
  while true do green.sleep(0) end]])
connects("buffers that are asked for by their size", [[
  local a, b = green.socketpair()
  a:send "x"
  while true do
    for _, n in ipairs {1 << 62, 1 << 31, 1 << 24, -1, 0, 0/0, 1e300} do
      pcall(b.settimeout, b, 0)
      for _, f in ipairs {"recv", "receive", "peek", "recv_exactly", "unread",
          "recvfrom"} do
        pcall(function() return b[f](b, n) end)
      end
    end
    pcall(a.send, a, "x")
  end]])
connects("bytes that are given back for ever", [[
  local a, b = green.socketpair()
  for _, name in ipairs {"unread", "unreceive", "push_back", "unget"} do
    if b[name] then green.spawn(function() while true do
      pcall(b[name], b, ("x"):rep(1e5)) green.sleep(0) end end) end
  end
  while true do green.sleep(0) end]])
connects("sockets in select, closed meanwhile", [[
  while true do
    local a, b = green.socketpair()
    if a then
      for i = 1, 5 do pcall(green.spawn, function()
        pcall(green.select, {{a, "readable"}, {b, "readable"}}, 1e-4)
        pcall(a.recv, a, 1) end) end
      green.sleep(0)
      a:close() b:close()
    end
    green.sleep(0)
  end]])
connects("datagrams to oneself", [[
  local u = green.udp("127.0.0.1", 0)
  local _, port = u:getsockname()
  for i = 1, 5 do green.spawn(function()
    while true do pcall(u.sendto, u, ("x"):rep(1000), "127.0.0.1", port) end
  end) end
  while true do pcall(u.receivefrom, u) end]])

-- ---------------------------------------------------------------------- memory

memory("memory in every kind of metatable", [[
  local kept = {}
  while true do pcall(function()
    local mt = {__mode = "k", __name = ("x"):rep(1000), __index = kept}
    kept[#kept + 1] = setmetatable({}, mt)
    getmetatable(kept[#kept])[kept] = mt
  end) end]])
memory("every function of the library while nothing is left", [[
  local keep = {}
  local function fill() while true do keep[#keep + 1] = {keep} end end
  local libraries = {string, table, math, coroutine, utf8, green, os}
  local skip = {sleep = 1, wait_all = 1, yield = 1}
  local args = {"x", 1, {}, print, "%s", 2}
  while true do
    pcall(fill)
    for _, library in ipairs(libraries) do
      for name, f in pairs(library) do
        if type(f) == "function" and not skip[name] then
          pcall(f)
          for i = 1, #args do pcall(f, args[i], args[i % #args + 1], 3) end
        end
      end
    end
    keep = {}
    green.sleep(0)
  end]])
memory("objects and their methods while nothing is left", [[
  local keep = {}
  local function fill() while true do keep[#keep + 1] = {keep} end end
  local q, e, c = green.queue(), green.event(), green.condition()
  local s = green.selector {{q, "get"}}
  for i = 1, 20 do green.spawn(function()
    while true do
      pcall(s.select, s, 0) pcall(q.get, q, 0) pcall(c.wait, c, 0)
      pcall(green.select, {{q, "get"}, {e, "wait"}}, 0)
      pcall(green.sleep, 0)
    end
  end) end
  while true do
    pcall(fill)
    pcall(q.put, q, keep) pcall(s.add, s, {q, "get"}) pcall(e.send, e, keep)
    pcall(green.timeout, 1) pcall(green.lock) pcall(c.notify_all, c)
    pcall(green.spawn, green.sleep, 1)
    green.sleep(0)
    if #keep > 5e4 then keep = {} end
  end]])
memory("cases of selectors", [[
  local q, all = green.queue(), {}
  while true do pcall(function()
    local s = green.selector {}
    all[#all + 1] = s
    while true do s:add {q, "get"} end
  end) end]])
memory("cases of selectors that are removed", [[
  local q, s = green.queue(), green.selector {}
  while true do pcall(function() s:remove(s:add {q, "get"}) end) end]])
memory("locks that are forgotten where nothing is left", [[
  local keep = {}
  while true do
    pcall(function() while true do
      local l = green.lock()
      l:acquire()
      keep[#keep + 1] = #keep % 2 == 0 and l or {}
    end end)
    keep = {}
    green.sleep(0)
  end]])
memory("results that nobody fetches", [[
  local kept = {}
  while true do
    pcall(function()
      local t = green.spawn(function() return ("x"):rep(1e4), {}, {} end)
      kept[#kept + 1] = t
      green.sleep(0)
    end)
  end]])
memory("threads with large stacks", [[
  local function deep(n) if n > 0 then return 1 + deep(n - 1) end
    green.sleep(1e9) return 0 end
  while true do pcall(green.spawn, deep, 10000) green.sleep(0) end]])
memory("a flood of chunk names, texts of errors and places", [[
  local i = 0
  while true do
    i = i + 1
    pcall(function()
      local f = load("green.spawn(error, 'x') error 'y'",
        "=" .. ("x"):rep(50) .. i)
      pcall(f)
      green.spawn(f)
    end)
    green.sleep(0)
  end]])

-- --------------------------------------------------------------------- escapes

ends("bytecode in pieces", [[
  local function pieces(...)
    local t, i = {...}, 0
    return function() i = i + 1 return t[i] end
  end
  local dump = "\27LuaT\0\x19\x93\r\n\x1a\n\4\8\8"
  for _, mode in ipairs {"b", "t", "bt", "tb", "", "btx"} do
    assert(not load(dump, "x", mode), mode)
    assert(not load(pieces("\27", "Lua", dump), "x", mode), mode)
    assert(not load(pieces("#!x\n\27Lua", dump), "x", mode), mode)
    assert(not load("#!x\n" .. dump, "x", mode), mode)
    assert(not load(" " .. dump, "x", mode), mode)
  end
  assert(not pcall(load, dump, "x", {}))
  return not pcall(load)]])
ends("globals that are the library's", [[
  for _, env in ipairs {string, table, math, green, coroutine, utf8, os} do
    local f = load("x = 1", "x", "t", env)
    assert(not pcall(f))
    assert(env.x == nil)
    f = load("return _ENV", "x", "t", env)
    assert(f() == env and getmetatable(f()) == nil)
  end
  local real = string
  string = {rep = function() return "mine" end}
  assert(("x"):rep(2) == "xx")
  string = real
  return true]])
ends("metatables of values that have none", [[
  local function it() end
  for _, v in ipairs {it, coroutine.create(it), ("x"):gmatch ".", 1, 1.5, true,
      coroutine.wrap(it), green.single_flight(it), green.queue().put,
      green.timeout(1e9).cancel, utf8.charpattern, math.pi} do
    assert(getmetatable(v) == nil)
    assert(not pcall(setmetatable, v, {}))
  end
  local t = setmetatable({}, {__metatable = "mine"})
  assert(getmetatable(t) == "mine" and not pcall(setmetatable, t, nil))
  return true]])
ends("what iterators carry with them", [[
  local function look(...)
    for _, v in ipairs {...} do
      assert(type(v) ~= "userdata" or getmetatable(v) == nil)
      if type(v) == "table" then
        assert(getmetatable(v) == nil or v == _G)
      end
    end
  end
  for _, library in ipairs {string, green, math, os, table} do
    local f, s, c = pairs(library)
    look(f, s, c)
    assert(s == library)
    -- The function goes through the library that it was made for.
    local k = f({}, nil)
    assert(k == nil or type(k) == "string")
    assert(not pcall(f, library, {}))
    assert(not pcall(f, library, "no such name"))
  end
  look(("x"):gmatch ".") look(ipairs {}) look(utf8.codes "x")
  look(green.pool(1):imap(print, {}))
  return true]])
ends("the errors of the library's calls", [[
  -- They are texts, or objects that lead nowhere.
  local function errors(f, ...)
    local ok, e = pcall(f, ...)
    if ok then return end
    assert(type(e) == "string" or getmetatable(e) == nil, type(e))
    if type(e) == "table" then
      for k, v in next, e do
        assert(type(v) ~= "function" and type(v) ~= "thread", k)
      end
    end
  end
  for name, f in pairs(green) do
    if type(f) == "function" and name ~= "sleep" and name ~= "spawn_n"
        and name ~= "select" and name ~= "wait_all" then
      errors(f, {}, {}, {}) errors(f, -1, "x") errors(f, print, 0/0)
    end
  end
  local t = green.spawn(green.sleep, 1e9)
  t:throw(setmetatable({}, {__tostring = function() return "x" end}))
  errors(t.wait, t)
  errors(green.with_timeout, 0, function() green.sleep(1) end)
  errors(function() local to <close> = green.timeout(0) green.sleep(1) end)
  return true]])
ends("functions of the library as one's metamethods", [[
  local t = {}
  for _, library in ipairs {string, table, math, coroutine, utf8, _G} do
    for name, f in pairs(library) do
      if type(f) == "function" and name ~= "yield" and name ~= "collectgarbage"
          and name ~= "print" and name ~= "error" then
        local mt = {__index = f, __newindex = f, __len = f, __eq = f, __lt = f,
          __le = f, __concat = f, __unm = f, __tostring = f, __name = "x",
          __pairs = f, __close = f, __call = f}
        local a, b = setmetatable({}, mt), setmetatable({}, mt)
        pcall(function() return a.x end) pcall(function() a.x = 1 end)
        pcall(function() return #a end) pcall(function() return a == b end)
        pcall(function() return a < b end) pcall(function() return a .. b end)
        pcall(function() return -a end) pcall(tostring, a) pcall(pairs, a)
        pcall(function() local x <close> = a end)
        pcall(a) pcall(a, 1, 2) pcall(table.concat, {a, b})
        pcall(table.sort, {a, b, a})
      end
    end
  end
  return getmetatable("") == nil]])
ends("the time and the environment alone", [[
  for name, f in pairs(os) do
    assert(({time = 1, clock = 1, date = 1, difftime = 1})[name], name)
  end
  for _, name in ipairs {"!%c", "*t", "!*t", "%Ec", "%Oy", "%E", "%", "%Q"} do
    pcall(os.date, name)
  end
  assert(not pcall(os.date, ("x"):rep(1e6)))
  return os.getenv == nil and os.exit == nil]])
ends("a kill that was asked for by a friend", [[
  local list = {}
  for i = 1, 10 do list[i] = green.spawn(green.sleep, 1e9) end
  green.spawn(function() for _, t in ipairs(list) do t:kill() end end):join()
  for _, t in ipairs(list) do assert(not t:join()) end
  -- Those that are dead answer all the same.
  for _, t in ipairs(list) do
    for _, name in ipairs {"kill", "status", "throw", "link", "unlink",
        "stats", "traceback", "blocked"} do
      pcall(function() return t[name](t, print) end)
    end
  end
  return #green.threads() >= 1]])
ends("values that pass between the threads' locals", [[
  local l = green.locals()
  l.secret = {}
  local seen
  green.spawn(function() seen = l.secret end):join()
  assert(seen == nil or seen == l.secret)
  for k, v in pairs(l) do assert(k == "secret") end
  assert(not pcall(function() return getmetatable(l).__index end))
  return true]])
ends("what a limit leaves behind", [[
  local made = {}
  for _, f in ipairs {function() return green.spawn(green.sleep, 1e9) end,
      function() return green.timeout(1e9) end,
      function() return coroutine.create(print) end} do
    local n = 0
    while n < 3000 and pcall(function() made[#made + 1] = f() end) do
      n = n + 1
    end
  end
  for _, x in ipairs(made) do
    if type(x) == "userdata" or type(x) == "table" then
      pcall(function() x:kill() end) pcall(function() x:cancel() end)
    end
  end
  made = nil
  green.sleep(0)
  local to = green.timeout(1e9)
  to:cancel()
  return green.spawn(function() return true end):wait()]])

end
