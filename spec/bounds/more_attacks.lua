--- More hostile scripts, for attacks.lua, which tells what they are: attack,
--- memory, connects and ends are its functions.

return function(attack, memory, connects, ends)

-- ----------------------------------------------- C functions that go on in C

-- rawlen takes whatever it is given and says 0: a metamethod without an
-- instruction.
attack("a move whose metamethods are in C", [[
  local t = setmetatable({}, {__index = rawlen, __newindex = rawlen})
  table.move(t, 1, 1 << 62, 2)]])
attack("a move to another, whose metamethods are in C", [[
  local mt = {__index = rawlen, __newindex = rawequal}
  local a, b = setmetatable({}, mt), setmetatable({}, mt)
  while true do pcall(table.move, a, 1, 1 << 62, 1, b) end]])
attack("a sort whose comparator is in C", [[
  local t = setmetatable({}, {__index = rawlen, __newindex = rawlen,
    __len = function() return 1 << 30 end})
  while true do pcall(table.sort, t, rawequal) end]])
attack("a concat whose elements come from C", [[
  local t = setmetatable({}, {__index = rawlen})
  while true do pcall(table.concat, t, "", 1, 1 << 62) end]])
attack("a concat of nothing, for ever", [[
  local t = setmetatable({}, {__index = function() return "" end})
  table.concat(t, "", 1, 1 << 62)]])
attack("an insert and a remove whose metamethods are in C", [[
  local t = setmetatable({}, {__index = rawlen, __newindex = rawlen,
    __len = function() return 1 << 62 end})
  green.spawn(function() table.insert(t, 1, 1) end)
  table.remove(t, 1)]])
attack("an unpack whose elements come from C", [[
  local t = setmetatable({}, {__index = rawlen})
  while true do pcall(table.unpack, t, 1, 9e5) end]])
attack("an index that goes through 1,900 tables", [[
  local t = {}
  for i = 1, 1900 do t = setmetatable({}, {__index = t, __newindex = t}) end
  table.move(t, 1, 1 << 62, 2)]])
attack("pairs whose __pairs is pairs", [[
  local t = setmetatable({}, {__pairs = next})
  while true do for _ in pairs(t) do end pcall(ipairs, t) end]])
attack("ipairs of what has no end",
  "for _ in ipairs(setmetatable({}, {__index = rawlen})) do end")
attack("a walk through a table that was emptied", [[
  local t = {}
  for i = 1, 1 << 14 do t[i .. ""] = 1 end
  for k in next, t do t[k] = nil end
  while true do next(t) end]])
attack("a table that is built anew with each key", [[
  local t, n = {}, 1 << 12
  for i = 1, n do t[i + 0.5] = true end
  local i = n
  while true do
    i = i + 1
    t[i - n + 0.5], t[i + 0.5] = nil, true
  end]])
attack("keys that collide", [[
  local size <const> = (1 << 12) - 1
  while true do
    local t = {}
    for i = 1, 1 << 12 do t[i * size] = true end
    for i = 1, 1 << 12 do t[i * size] = nil end
  end]])
attack("select from the end of everything", [[
  local function f(...) while true do select(-1, select(2, ...)) end end
  f(table.unpack({}, 1, 1e5))]])
attack("arguments that are counted", [[
  local t = {}
  while true do pcall(select, "#", table.unpack(t, 1, 9e5)) end]])
attack("math.max of everything", [[
  local t = {}
  for i = 1, 2e5 do t[i] = i end
  while true do math.max(table.unpack(t)) end]])
attack("code points of everything", [[
  local s = ("\u{7FF}"):rep(1e5)
  while true do
    utf8.len(s) utf8.offset(s, 9e4)
    for _ in utf8.codes(s) do end
  end]])
attack("a text of code points", [[
  local t = {}
  for i = 1, 1e5 do t[i] = i end
  while true do utf8.char(table.unpack(t)) end]])
attack("utf8.len of a long text, in a loop that calls nothing else", [[
  local s, len = ("x"):rep(1 << 22), utf8.len
  while true do len(s) end]])
attack("case, reverse and byte of a long text", [[
  local s = ("x"):rep(1 << 22)
  while true do s:upper():lower():reverse():byte(-1) end]])
attack("numbers of a long text", [[
  local s = ("0"):rep(1 << 22)
  while true do tonumber(s) tonumber(s, 2) pcall(math.tointeger, s) end]])
attack("quoting", [[
  local s = ("\0"):rep(1 << 18)
  while true do ("%q"):format(s) end]])
attack("a format of formats", [[
  local s = ("%5.1s"):rep(2000)
  local t = {}
  for i = 1, 2000 do t[i] = setmetatable({}, {__tostring = function()
    return ("x"):rep(1000) end}) end
  while true do s:format(table.unpack(t)) end]])
attack("a format whose __tostring formats", [[
  local t = {}
  setmetatable(t, {__tostring = function() return ("%s"):format(t) end})
  while true do pcall(string.format, "%s", t) pcall(tostring, t) end]])
attack("a __tostring that yields and sleeps", [[
  local t = setmetatable({}, {__tostring = function()
    coroutine.yield(1) green.sleep(1e9) return "x" end})
  while true do coroutine.wrap(tostring)(t) pcall(print, t) pcall(error, t)
    green.sleep(0) end]])
attack("a __name that is long", [[
  local t = setmetatable({}, {__name = ("x"):rep(1 << 20)})
  while true do pcall(tostring, t) pcall(string.rep, t)
    pcall(function() return t + 1 end) end]])
attack("packing of many", [[
  local f = ("z"):rep(1e4)
  local t = {}
  for i = 1, 1e4 do t[i] = "" end
  while true do
    pcall(string.packsize, ("i16"):rep(1e5))
    string.unpack(f, string.pack(f, table.unpack(t)))
  end]])
attack("an alignment that is far", [[
  while true do pcall(string.pack, ("!16 Xi16 b"):rep(1e4), 1)
    pcall(string.unpack, ("X"):rep(1e5), "") end]])

-- -------------------------------------------------------------- the compiler

attack("blocks in blocks", [[
  local text = ("do "):rep(1e5)
  while true do load(text) load(("("):rep(1e5)) load(("-"):rep(1e5))
    load("return " .. ("not "):rep(1e5) .. "1")
    load("return " .. ("{"):rep(1e5)) load(("f{"):rep(1e5))
    load(("if x then "):rep(1e5)) load(("x=function() "):rep(1e4)) end]])
attack("a chain of operators", [[
  local plus = "return 1" .. (" + x"):rep(5e4)
  local power = "return 1" .. (" ^ x"):rep(5e4)
  local concat = "return x" .. (" .. x"):rep(5e4)
  while true do load(plus) load(power) load(concat) end]])
attack("a constructor with a million fields", [[
  local text = "return {" .. ("1,"):rep(5e5) .. "}"
  local other = "return {" .. ("x=1,"):rep(2e5) .. "}"
  while true do load(text) load(other) end]])
attack("constants without end", [[
  local t = {}
  for i = 1, 5e4 do t[i] = ("x=%d.5 y='%d'"):format(i, i) end
  local text = table.concat(t, " ")
  while true do load(text) end]])
attack("constants that collide", [[
  local t, size = {}, (1 << 12) - 1
  for i = 1, 1 << 12 do t[i] = "x=" .. i * size end
  local text = table.concat(t, " ")
  while true do load(text) end]])
attack("a long text in brackets, and a long comment", [[
  local level = ("="):rep(1 << 18)
  local text = "return [" .. level .. "[" .. ("]"):rep(1 << 18)
  local comment = "--[[" .. ("]"):rep(1 << 20)
  local number = "return 0x" .. ("f"):rep(1 << 20)
  while true do load(text) load(comment) load(number) end]])
attack("labels and jumps", [[
  local t = {}
  for i = 1, 3000 do t[i] = ("goto l%d ::m%d:: "):format(i, i) end
  for i = 1, 3000 do t[#t + 1] = ("::l%d:: "):format(i) end
  local text = table.concat(t)
  while true do load(text) end]])
attack("jumps that stay open through blocks", [[
  local t = {}
  for i = 1, 2000 do t[i] = ("goto l%d "):format(i) end
  local text = ("do "):rep(150) .. table.concat(t) .. ("end "):rep(150)
  while true do load(text) end]])
attack("escapes in a text", [[
  local text = "return '" .. ("\\z  \\u{7FFFFFFF}\\x00"):rep(5e4) .. "'"
  while true do load(text) end]])
attack("a name of a chunk that is long", [[
  local name = "=" .. ("x"):rep(1 << 20)
  while true do load("error(", name) pcall(load("error 'x'", name)) end]])
attack("a reader that kills, loads and yields", [[
  local me = green.current()
  local function read() load(read) me:kill() green.sleep(0)
    coroutine.yield() return " " end
  while true do pcall(load, read) pcall(coroutine.wrap(load), read) end]])

-- ------------------------------------------------------ coroutines and errors

attack("coroutines that resume each other", [[
  local a, b
  local function make(other) return coroutine.wrap(function()
    while true do pcall(other) coroutine.yield() end end) end
  a = make(function() b() end)
  b = make(function() a() end)
  while true do a() b() end]])
attack("coroutines that sleep inside each other", [[
  local function dig(n)
    if n == 0 then while true do pcall(green.sleep, 1e9) end end
    local co <close> = setmetatable({}, {__close = function()
      pcall(green.sleep, 1e9) end})
    coroutine.wrap(dig)(n - 1)
  end
  for i = 1, 10 do green.spawn(dig, 20) end
  green.sleep(0)
  for _, t in ipairs(green.threads()) do t:kill() end
  while true do end]])
attack("a coroutine that closes those that sleep in it", [[
  local co
  co = coroutine.create(function()
    local x <close> = setmetatable({}, {__close = function()
      coroutine.yield() green.sleep(1e9) end})
    green.sleep(1e9)
  end)
  green.spawn(coroutine.resume, co)
  while true do green.sleep(0) pcall(coroutine.close, co) end]])
attack("<close> in <close> in <close>", [[
  local function more()
    local x <close> = setmetatable({}, {__close = function() more() end})
    more()
  end
  while true do pcall(more) end]])
attack("thousands of <close> that fail and sleep", [[
  local function make() return setmetatable({}, {__close = function()
    pcall(green.sleep, 1e9) error("x") end}) end
  local function f(n)
    local x <close> = make()
    if n > 0 then f(n - 1) end
    green.sleep(1e9)
  end
  for i = 1, 20 do green.spawn(f, 150) end
  green.sleep(0)
  for _, t in ipairs(green.threads()) do t:kill() end]])
attack("<close> of a loop, again and again", [[
  local it = setmetatable({}, {__close = function() error(error) end})
  while true do pcall(function()
    for _ in next, {1}, nil, it do end end) end]])
attack("an error of an error of an error", [[
  local mt = {}
  mt.__tostring = function() error(setmetatable({}, mt)) end
  mt.__close = mt.__tostring
  mt.__index = mt.__tostring
  for i = 1, 100 do green.spawn(error, setmetatable({}, mt)) end
  while true do pcall(error, setmetatable({}, mt)) xpcall(error, tostring,
    setmetatable({}, mt)) green.sleep(0) end]])
attack("errors that are huge", [[
  local text = ("x"):rep(1 << 22)
  while true do green.spawn(error, text) green.sleep(0) end]])
attack("pcall of pcall of pcall", [[
  local args = {}
  for i = 1, 250 do args[i] = pcall end
  local function storm() return pcall(table.unpack(args)) end
  local function deep(n) return pcall(n > 0 and deep or error, n - 1) end
  while true do storm() deep(180) xpcall(xpcall, xpcall, xpcall, error) end]])
attack("a message handler that sleeps, yields and kills", [[
  local function h(e)
    green.current():kill() pcall(green.sleep, 1e9) pcall(coroutine.yield)
    return error(e) end
  while true do xpcall(error, h, "x") end]])
attack("metamethods of comparison that never agree", [[
  local mt = {}
  mt.__lt = function(a, b) return not (b < a) end
  mt.__le, mt.__eq = mt.__lt, mt.__lt
  local t = {}
  for i = 1, 100 do t[i] = setmetatable({}, mt) end
  while true do pcall(table.sort, t) pcall(function() return t[1] == t[2] end)
  end]])
attack("__index and __newindex that call themselves through C", [[
  local mt = {}
  local t = setmetatable({}, mt)
  mt.__index = function(_, k) return table.concat(t, "", 1, 2) end
  mt.__newindex = function(_, k, v) table.insert(t, v) end
  mt.__len = function() return #t end
  mt.__concat = function(a, b) return a .. b end
  mt.__call = t
  while true do pcall(table.insert, t, 1) pcall(function() return t.x end)
    pcall(function() return #t end) pcall(t) pcall(function() return t .. t end)
  end]])

-- ------------------------------------------------ threads, kills and deadlines

attack("a storm of kills", [[
  local function f()
    local x <close> = setmetatable({}, {__close = function()
      green.spawn(print) green.current():kill() pcall(green.sleep, 0) end})
    for _, t in ipairs(green.threads()) do pcall(t.kill, t, t) end
    while true do pcall(green.sleep, 0) end
  end
  for i = 1, 100 do pcall(green.spawn, f) end
  while true do pcall(green.spawn, f) pcall(green.sleep, 0) end]])
attack("threads that wait for each other", [[
  local all = {}
  for i = 1, 100 do
    all[i] = green.spawn(function() green.sleep(0)
      while true do pcall(green.wait_all, all) pcall(all[i % 100 + 1].join,
        all[i % 100 + 1]) end end)
  end
  while true do pcall(green.wait_all, all) pcall(green.sleep, 0) end]])
attack("a storm of deadlines that have passed", [[
  local function f()
    while true do
      pcall(green.with_timeout, 0, function()
        while true do pcall(green.sleep, 1e-9) pcall(green.sleep, -1) end
      end)
      pcall(function() local t <close> = green.timeout(1e-9)
        while true do pcall(green.sleep, 0) end end)
    end
  end
  for i = 1, 50 do green.spawn(f) end
  f()]])
attack("deadlines that are no time", [[
  local times = {0/0, 1/0, -1/0, 1e308, -1e308, 5e-324, math.maxinteger,
    math.mininteger}
  while true do for _, s in ipairs(times) do
    green.spawn(function() pcall(green.sleep, s) end)
    pcall(green.spawn_after, s, print)
    pcall(function() local t <close> = green.timeout(s) green.sleep(0) end)
    pcall(green.select, {{green.queue(), "get"}}, s)
    pcall(green.ticker, s)
    green.sleep(0)
  end end]])
attack("tickers that nobody reads, and that all read", [[
  local kept = {}
  while true do
    local ok, t = pcall(green.ticker, 1e-6)
    if ok then
      kept[#kept % 100 + 1] = t
      pcall(green.select, {{t, "get"}}, 0)
    end
    green.sleep(0)
  end]])
attack("a select with thousands of cases", [[
  local cases, q = {}, green.queue()
  for i = 1, 2000 do cases[i] = {i % 2 == 0 and q or green.queue(), "get"} end
  for i = 1, 10 do green.spawn(function() while true do
    pcall(green.select, cases, 0) pcall(green.select, cases, 1e-6) end end) end
  while true do pcall(q.put, q, 1) green.sleep(0) end]])
attack("selectors that are kept and changed while they wait", [[
  local q, kept = green.queue(), {}
  for i = 1, 50 do
    green.spawn(function()
      while true do
        local ok, s = pcall(green.selector, {{q, "get"}, {q, "put", i}})
        if ok then
          kept[i] = s
          pcall(function() s:wait(0) s:select(0) s:get(0) end)
        end
        green.sleep(0)
      end
    end)
  end
  while true do pcall(q.put, q, 1, 0) pcall(q.close, q) q = green.queue()
    green.sleep(0) end]])
attack("a pool whose workers never come back", [[
  local function stay() while true do pcall(green.sleep, 0) end end
  while true do
    local p = green.pool(20)
    for i = 1, 20 do pcall(p.spawn, p, stay) end
    pcall(p.imap, p, stay, {1, 2, 3})
    local ok, g = pcall(green.group)
    if ok then for i = 1, 5 do pcall(g.spawn, g, stay) end end
    green.sleep(0)
  end]])
attack("a resource that is never given back", [[
  while true do
    local ok, p = pcall(green.resource_pool, {create = function()
      while true do pcall(green.sleep, 0) end end, max = 5})
    for i = 1, 5 do pcall(green.spawn, function() p:get() end) end
    green.sleep(0)
  end]])
attack("interruptions that are caught", [[
  local me = green.current()
  green.spawn(function() while true do me:interrupt("x") green.sleep(0) end end)
  while true do pcall(green.sleep, 1e9) pcall(green.interrupted) end]])
attack("locals of threads without end", [[
  local kept = {}
  while true do
    local l = green.locals()
    l.x = ("x"):rep(1000)
    kept[#kept % 1000 + 1] = l
    pcall(green.spawn, function() l.y = l green.sleep(1e9) end)
    if #green.threads() > 150 then green.threads()[2]:kill() end
    green.sleep(0)
  end]])
connects("sockets that talk to themselves", [[
  local text = ("x"):rep(1 << 16)
  while true do
    local a, b = green.socketpair()
    if a then
      green.spawn(function() while true do if not a:send(text) then return end
        end end)
      green.spawn(function() while true do if not b:recv(1 << 16) then return
        end end end)
    end
    green.sleep(0)
  end]])
connects("lines without an end", [[
  local a, b = green.socketpair()
  green.spawn(function() while a:send(("x"):rep(1 << 16)) do end end)
  while true do pcall(b.receive, b, "*l") pcall(b.receive, b, "*a")
    pcall(b.recv_until, b, "\n") pcall(b.lines, b) green.sleep(0) end]])
connects("names that are looked up and dropped", [[
  for i = 1, 50 do pcall(green.spawn, function() while true do
    pcall(green.connect, "127.0.0.1", 1, {timeout = 1e-6})
    pcall(green.connect, ("x"):rep(1e5), 1, {timeout = 1e-6})
    pcall(green.connect, "localhost", "no such service", {timeout = 1e-6})
    green.sleep(0) end end) end
  while true do green.sleep(0) end]])

-- ------------------------------------------------------------ memory, anew

memory("memory by <close> that are never reached", [[
  local function f(n)
    local x <close> = setmetatable({}, {__close = function()
      local t = {} for i = 1, 1e5 do t[i] = {} end end})
    return f(n + 1) .. ""
  end
  while true do pcall(f, 1) end]])
memory("threads that fail while nothing is left", [[
  local keep = {}
  pcall(function() while true do keep[#keep + 1] = ("x"):rep(4096) .. #keep
    end end)
  while true do
    pcall(green.spawn, error, {})
    pcall(function() keep[#keep + 1] = {} end)
    pcall(green.sleep, 0)
  end]])
memory("ticks while nothing is left", [[
  local keep = {}
  pcall(function() while true do keep = {keep} end end)
  for i = 1, 20 do pcall(green.spawn, function()
    while true do pcall(function() while true do keep = {keep} end end) end
  end) end
  while true do pcall(coroutine.wrap, function() end) end]])
memory("coroutines in coroutines that each take memory", [[
  local function dig()
    local t = {}
    for i = 1, 1e4 do t[i] = {} end
    return coroutine.wrap(dig)(), t
  end
  while true do pcall(dig) end]])
memory("constants of texts that are kept", [[
  local kept = {}
  while true do
    pcall(function() kept[#kept + 1] = load(("x=%d.5 "):rep(100)
      :format(table.unpack(kept, 1, 0))) end)
    pcall(function()
      local t = {}
      for i = 1, 1000 do t[i] = "x='" .. #kept .. "_" .. i .. "'" end
      kept[#kept + 1] = load(table.concat(t, " "))
    end)
  end]])
memory("a table that is torn between its halves", [[
  while true do pcall(function()
    local t = {}
    for i = 1, 1 << 30 do t[i * 2] = i t[-i] = i t[i + 0.5] = i end
  end) end]])
memory("selectors that are kept", [[
  local kept, q = {}, green.queue()
  while true do
    pcall(function() kept[#kept + 1] = green.selector {{q, "get"}} end)
    pcall(function() kept[#kept + 1] = green.locals() kept[#kept].x = {} end)
  end]])
memory("errors without memory for their text", [[
  local keep = {}
  while true do
    pcall(function() while true do keep[#keep + 1] = {} end end)
    pcall(error, keep)
    pcall(green.spawn, function() error(("x"):rep(#keep)) end)
    xpcall(function() keep[#keep + 1] = ("y"):rep(1 << 16) .. #keep end,
      function(e) return e .. e .. #keep end)
  end]])

-- ------------------------------------------------------------- escapes, anew

ends("the tables below the library's", [[
  -- Whatever is read of the library's has no table of the program's in it.
  local seen, n = {}, 0
  local function walk(v)
    if type(v) ~= "table" or seen[v] or v == _G then return end
    seen[v], n = true, n + 1
    for k, x in pairs(v) do
      assert(type(x) ~= "table" or x == _G, k)
      assert(type(x) ~= "userdata", k)
    end
  end
  for _, v in pairs(_G) do walk(v) end
  return n > 5]])
ends("functions that run others' code", [[
  local co = coroutine.create(function() return load end)
  assert(select(2, coroutine.resume(co)) == load)
  assert(not pcall(setmetatable, "", {}))
  assert(not pcall(setmetatable, print, {}))
  assert(not pcall(setmetatable, coroutine.create(print), {}))
  for _, v in ipairs {1, true, print, "", coroutine.create(print)} do
    assert(getmetatable(v) == nil)
  end
  assert(getmetatable(nil) == nil)
  return true]])
ends("functions of strings by their methods", [[
  for _, name in ipairs {"find", "match", "gmatch", "gsub", "rep", "format",
      "byte", "len", "sub", "upper", "lower", "reverse", "pack", "unpack",
      "packsize", "char"} do
    local f = ("x")[name]
    assert(f == string[name], name)
    assert(coroutine.wrap(function() return ("x")[name] end)() == f, name)
    local t = green.spawn(function() return ("x")[name] end)
    assert(select(2, t:join()) == f, name)
  end
  return ("x").dump == nil]])
ends("finalizers that come later", [[
  local mt = {}
  local t = setmetatable({}, mt)
  mt.__gc = function() escaped = true end
  mt.__mode = "kv"
  local u = {}
  assert(not pcall(setmetatable, u, mt))
  -- By inheritance, by rawset and by a call of Lua's within another function.
  assert(not pcall(setmetatable, {}, setmetatable({__gc = 1}, {})))
  assert(pcall(setmetatable, {}, setmetatable({}, {__index = {__gc = 1}})))
  assert(not pcall(pcall(setmetatable, {}, {__gc = print}) or error))
  t = nil
  for i = 1, 2e4 do local x = {{}} end
  return not escaped]])
ends("kills of threads that are not its own", [[
  local me, n = green.current(), 0
  for id = -10, 2000 do
    local t = green.find_thread(id)
    if t and t ~= me then n = n + 1 end
  end
  assert(n == 0 and not pcall(green.find_thread, {}))
  local g = green.group()
  for _, name in ipairs {"threads", "parent", "children", "root"} do
    local ok, v = pcall(function() return me[name] end)
    assert(not ok or type(v) ~= "userdata", name)
    if type(v) == "function" then
      ok, v = pcall(v, me)
      for _, t in ipairs(ok and type(v) == "table" and v or {v}) do
        assert(t == me or type(t) ~= "userdata", name)
      end
    end
  end
  return true]])
ends("what a traceback shows", [[
  local t = green.spawn(green.sleep, 1e9)
  green.sleep(0)
  for _, name in ipairs {"traceback", "waiting", "blocked", "stats", "spawned",
      "spawned_at", "where"} do
    local f = t[name]
    local ok, v = pcall(f or error, t)
    for k, x in pairs(ok and type(v) == "table" and v or {}) do
      assert(type(x) ~= "table" and type(x) ~= "thread", k)
    end
  end
  t:kill()
  return true]])
ends("a closed door by its grants", [[
  for _, name in ipairs {"dns", "tls", "ssl", "socket", "files", "port",
      "blocking", "offload", "backdoor", "profile", "metrics", "health", "top",
      "trace", "preempt", "interrupt", "core", "sandbox", "hub", "close",
      "dag", "test", "patch", "import", "popen", "open", "exit"} do
    assert(rawget(green, name) == nil and green[name] == nil, name)
  end
  return true]])

end
