--- Calls each method and each metamethod of all our classes on whatever is not
--- an object of its class, and on objects that are over.
---
---   lua5.4 spec/selves.lua [thread]     from main, or from a green thread
---   SELVES=all                          each pair of classes, not a sample
---   SELVES=trace                        prints each call of these before it
---
--- LUAGREEN_SEED=n repeats a sample.
---
--- The classes are the metatables that the library has left in the registry,
--- and those of the objects that `make` makes. A class without a row in `make`
--- is an error, so that none is forgotten. A call must return, or raise an
--- error that names the function; other threads and objects must not notice.
---
--- SPDX-License-Identifier: MIT

if os.getenv "LUAGREEN_EAGER_GC" then require "spec.eager_gc" end

local before = {}
for key in pairs(debug.getregistry()) do before[key] = true end

local green = require "green"
local core = require "green.core"
for _, name in ipairs {"backdoor", "dag", "dns", "socket", "health",
  "metrics", "profile", "test", "trace"} do
  local _ = green[name]
end

local TRACE <const> = os.getenv "SELVES" == "trace"
local ALL <const> = os.getenv "SELVES"
local seed = tonumber(os.getenv "LUAGREEN_SEED") or os.time() % 1000000
math.randomseed(seed)

--- One pair of classes in so many is tried.
local SAMPLE <const> = 8
local calls, faults = 0, 0

local function fault(text, ...)
  faults = faults + 1
  if faults <= 60 then print("FAULT: " .. text:format(...)) end
end

---------------------------------------------------------------- the objects --

local function failed(...)
  return select(2, pcall(...))
end

local deadlock = failed(green.queue().get, green.queue()) -- nothing else waits

local function graph()
  local d = green.dag {a = 1}
  d:spawn("b", nil, error, "failed")
  return d
end

local function resources()
  return green.resource_pool {create = function() return {} end}
end

local function last(...) return (select(select("#", ...), ...)) end

--- A stream of that family and role.
local function client()
  local l = assert(green.listen("127.0.0.1", 0))
  local c = assert(green.connect("127.0.0.1", (select(2, l:getsockname()))))
  l:close()
  return c
end

local function unix(role)
  local path = os.tmpname()
  os.remove(path)
  local l = assert(green.listen("unix:" .. path))
  if role == "server" then return l end
  local c = assert(green.connect("unix:" .. path))
  l:close()
  return c
end

--- By the name of the class.
local make = {
  ["green.child_failed"] = function()
    local err
    pcall(function()
      local g <close> = green.group()
      g:spawn(error, "failed")
      err = failed(green.sleep, 10)
    end)
    return err
  end,
  ["green.condition"] = green.condition,
  ["green.crew"] = function()
    return core.crew("green.crew", nil, "results")
  end,
  ["green.dag"] = graph,
  ["green.dag_error"] = function()
    local d = graph()
    return failed(d.wait, d, {"b"})
  end,
  ["green.dag_results"] = function() return (graph():wait_each {"a"}) end,
  ["green.deadlock"] = function() return deadlock end,
  ["green.event"] = green.event,
  ["green.flag"] = green.flag,
  ["green.group"] = green.group,
  ["green.guard"] = function() return (green.lock():acquire()) end,
  ["green.killed"] = function()
    local t = green.spawn(green.sleep, 10)
    t:kill()
    return select(2, t:join())
  end,
  ["green.lease"] = function() return (resources():lease()) end,
  ["green.locals"] = green.locals,
  ["green.lock"] = green.lock,
  ["green.pile"] = function() return green.pile(2) end,
  ["green.pool"] = function() return green.pool(2) end,
  ["green.port"] = green.port,
  ["green.queue"] = green.queue,
  ["green.resource_pool"] = resources,
  ["green.scope"] = core.scope_begin,
  ["green.selector"] = function() return green.selector {green.queue()} end,
  ["green.semaphore"] = function() return green.semaphore(1) end,
  ["green.shield"] = function() return core.shield_begin(1) end,
  ["green.thread"] = function() return green.spawn(green.sleep, 10) end,
  ["green.span"] = function() return green.trace.span "a name" end,
  ["green.ticker"] = function() return green.ticker(1) end,
  ["green.timeout"] = function() return green.timeout(1e6) end,
  ["green.waitgroup"] = green.waitgroup,
  ["tcp{client}"] = client,
  ["tcp{master}"] = function() return green.socket.tcp() end,
  ["tcp{server}"] = function() return assert(green.listen("127.0.0.1", 0)) end,
  ["udp{connected}"] = function()
    local u = green.socket.udp4()
    u:setpeername("127.0.0.1", 9)
    return u
  end,
  ["udp{unconnected}"] = function() return green.socket.udp() end,
  ["unixstream{client}"] = unix,
  ["unixstream{server}"] = function() return unix "server" end,
  ["unixstream{master}"] = function() return green.socket.unix.stream() end,
  ["unixdgram{unconnected}"] = function()
    return green.socket.unix.dgram()
  end,
  -- Objects without a class in the registry.
  work = function()
    local pool = green.pool(2)
    return last(pool:imap(function() end, {1, 2}))
  end,
  watch = function() return last(green.as_completed {green.event()}) end,
}

--- Where the library was built with OpenSSL.
if pcall(require, "green.net.tls") then
  make["green.tls_context"] = function()
    return require "green.openssl".context "client"
  end
  make["tls context"] = function()
    return green.tls.context {mode = "client", verify = "none"}
  end
end

--- Nobody gets an object of these, or none as simply.
local hidden = {["green.sentinel"] = true, ["unixdgram{connected}"] = true,
  ["luagreen.addresses"] = true,
  ["what is asked"] = true, ["green.tls_text"] = true,
  ["green.file"] = function()
    return (core.file_enter(io.popen "true"))
  end,
  ["green.opening"] = true, ["green.command"] = true,
  ["green.parcel"] = true, ["a job"] = true, ["luagreen.sandbox"] = true,
  ["a descriptor that is waited for"] = true, ["luagreen.looker"] = true,
  ["luagreen.coroutine"] = true}

----------------------------------------------------------------- the classes --

--- Values of the registry under keys that tell nothing.
local function metatables()
  local list, seen = {}, {}
  local function add(name, mt)
    if type(mt) ~= "table" or seen[mt] then return end
    local is_class = false
    for key, value in next, mt do
      is_class = is_class or type(key) == "string" and key:find "^__"
        and key ~= "__mode" and key ~= "__name" and value ~= nil
    end
    if not is_class and not rawget(mt, "__name") then return end
    seen[mt] = true
    name = tostring(rawget(mt, "__name") or name)
    list[#list + 1] = {name = name, mt = mt}
  end
  for key, value in next, debug.getregistry() do
    local is_ours = not before[key] and key ~= "_UBOX*"
      and not tostring(key):find "^SSL:"
    if is_ours then add(key, value) end
    if is_ours and type(value) == "userdata" then
      add(key, debug.getmetatable(value))
    end
  end
  for _, class in ipairs(list) do
    if rawget(class.mt, "__name") and not make[class.name]
      and not hidden[class.name] then
      fault("the class %s has no row in spec/selves.lua", class.name)
    end
  end
  for name, f in pairs(make) do add(name, debug.getmetatable(f())) end
  return list
end

--- All functions of a class, by name.
local function functions_of(mt)
  local found = {}
  local function add(from)
    for name, f in next, from do
      if type(f) == "function" and type(name) == "string" then
        found[#found + 1] = {name = name, f = f}
      end
    end
  end
  add(mt)
  for _, key in ipairs {"__index", "__methods"} do
    if type(rawget(mt, key)) == "table" then add(rawget(mt, key)) end
  end
  local outer = debug.getmetatable(mt)
  if outer and type(outer.__index) == "table" then add(outer.__index) end
  return found
end

------------------------------------------------------------------- the calls --

--- A call under its name, which an error then tells.
local function caller(name)
  return load(("local o = ... return o.%s(select(2, ...))"):format(name),
    "=caller")
end

local function harmless(bystander, queue)
  return bystander:status() == "blocked" and queue:peek() == "value"
end

local bystander = green.spawn(green.sleep, 1e6)
local queue = green.queue()
queue:put "value"
green.on_error(function(err)
  if not tostring(err):find "failed" then
    fault("an error for nobody: %s", tostring(err))
  end
end)

local function try(class, method, what, ...)
  calls = calls + 1
  if TRACE then print(class.name, method.name, what) end
  local call = caller(method.name)
  local ok, err = pcall(green.with_timeout, 0.005, call,
    {[method.name] = method.f}, ...)
  if not harmless(bystander, queue) then
    fault("%s.%s(%s) harmed others", class.name, method.name, what)
    os.exit(1, false)
  end
  if ok then return end
  if green.type(err) == "timeout" then return end
  if what:find "^over" or type(err) ~= "string" then return end
  local name = method.name:gsub("^__", "")
  if not err:find(name, 1, true) and not err:find(class.name, 1, true) then
    fault("%s.%s(%s) does not name itself: %s", class.name, method.name, what,
      err)
  end
end

--- Objects that have ended, one for each way to end.
local ends = {"close", "__close", "__gc", "cancel", "kill", "discard"}

local function over(name)
  local list = {}
  for _, how in ipairs(ends) do
    local o = make[name]()
    local mt = debug.getmetatable(o)
    local index = rawget(mt, "__index")
    local f = rawget(mt, how) or type(index) == "table" and index[how]
    if f then
      pcall(green.with_timeout, 0.005, f, o)
      list["over by " .. how] = o
    end
  end
  return list
end

local function run()
  local classes, others = metatables(), {}
  for name, f in pairs(make) do others[name] = f() end
  local values = {[1] = 5, [2] = "text", [3] = true, [4] = {}, [5] = io.stdout,
    [6] = print, [7] = coroutine.create(print)}
  for _, class in ipairs(classes) do
    for _, method in ipairs(functions_of(class.mt)) do
      try(class, method, "no arguments")
      try(class, method, "nil", nil)
      for _, value in pairs(values) do
        try(class, method, type(value), value)
        try(class, method, type(value) .. ", an error", value, "an error")
      end
      for name, object in pairs(others) do
        if debug.getmetatable(object) ~= class.mt
          and (ALL or math.random(SAMPLE) == 1) then
          try(class, method, name, object)
          try(class, method, name .. ", more", object, "x", 1)
        end
      end
      if make[class.name] then
        for how, object in pairs(over(class.name)) do
          try(class, method, how, object)
        end
      end
    end
  end
  print(("seed %d: %d classes, %d calls, %d faults"):format(seed, #classes,
    calls, faults))
end

if arg[1] == "thread" then green.spawn(run):wait() else run() end
collectgarbage()
collectgarbage()
assert(harmless(bystander, queue))
