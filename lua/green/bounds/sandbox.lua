--- Sandboxes: scripts that nobody trusts, their globals and their threads.
---
--- A sandbox's globals hold what its grants name and nothing else. Libraries
--- are read-only: a script sees an empty table that shows another.
--- bindings/bounds has the parts that must not be written in Lua.
---
--- Nothing in this file may hand a script a table, a metatable or a function
--- that others rely on to stay as it is.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local load_module <const> = require "green.runtime.late"
local coroutine, debug, error, io, ipairs, math, next, os, pairs, pcall,
  require, select, setmetatable, table, tostring, type, utf8 =
  coroutine, debug, error, io, ipairs, math, next, os, pairs, pcall,
  require, select, setmetatable, table, tostring, type, utf8

local sandbox = {}

--- In the order of the bits of enum green_lua_grant.
local GRANTS <const> = {"output", "coroutine", "io", "os", "connect", "listen",
                        "require", "debug", "threads"}

--- Functions of the language that can do no harm.
local PLAIN <const> = {"_VERSION", "assert", "error", "ipairs", "next",
                       "pairs", "pcall", "rawequal", "rawget", "rawlen",
                       "rawset", "select", "tonumber", "tostring", "type",
                       "xpcall"}

--- Of green: what concerns the caller and its own objects. Not shield, which
--- hides a kill, nor atomic, which keeps the others from their turns.
local OWN <const> = {"_VERSION", "sleep", "current", "now", "timeout",
                     "with_timeout", "is_timeout", "interrupted", "deadline",
                     "time_left", "event", "queue", "channel", "lifo_queue",
                     "priority_queue", "select", "selector", "flag",
                     "condition", "semaphore", "lock", "waitgroup", "ticker",
                     "type", "locals", "pool", "group", "pile", "wait_all",
                     "as_completed", "single_flight", "resource_pool",
                     "pcall"}
local CONNECT <const> = {"connect", "udp", "socketpair"}
local LISTEN <const> = {"listen", "serve", "udp_server"}

local TIME <const> = {"time", "clock", "date", "difftime"}

--- Bytes of a format of os.date.
local MOST_FORMAT <const> = 1000

--- Bytes of print: in one burst, and in each second after it.
local BURST <const>, RATE <const> = 65536, 16384

-- ---------------------------------------------------------------- libraries

local function refuse()
  error("attempt to modify a read-only table", 2)
end

--- The metatables of read-only tables, by what these show.
local shows = setmetatable({}, {__mode = "k"})

local function metatable_for(real)
  local function step(_, key) return next(real, key) end
  local mt = {
    __index = real, __newindex = refuse, __metatable = false,
    __pairs = function(shown) return step, shown, nil end,
  }
  shows[real] = mt
  return mt
end

--- A table that shows `real`. Each sandbox has its own, as rawset works on it.
local function shown(real)
  return setmetatable({}, shows[real] or metatable_for(real))
end

local function chosen(from, names, into)
  into = into or {}
  for _, name in ipairs(names) do into[name] = from[name] end
  return into
end

--- os.date, without formats that take seconds.
local function date(format, ...)
  if type(format) == "string" and #format > MOST_FORMAT then
    error("bad argument #1 to 'date' (the format is too long)", 2)
  end
  return os.date(format, ...)
end

--- The libraries that all sandboxes share, made once. Coroutines, pcall and
--- xpcall are Lua's and luagreen's own: those of the program, which may have
--- replaced them, could run a script where no bound sees it.
local shared

local function share()
  if shared then return shared end
  local strings, tables, utf8_len = core.bounded()
  local own, own_pcall, own_xpcall = core.unspoilt()
  local co = coroutine and chosen(own or coroutine, {"create", "wrap",
    "resume", "yield", "status", "isyieldable", "running", "close"})
  if co then
    co.create, co.wrap = core.counted(co.create), core.counted(co.wrap)
  end
  shared = {
    string = strings, table = tables, coroutine = co,
    utf8 = utf8 and chosen(utf8, {"char", "charpattern", "codepoint", "codes",
      "len", "offset"}),
    time = os and chosen(os, TIME), pcall = own_pcall, xpcall = own_xpcall,
  }
  if utf8 then
    shared.utf8.codepoint = core.roomy(utf8.codepoint)
    shared.utf8.len = utf8_len
  end
  if os then shared.time.date = date end
  return shared
end

--- math, without the state of the program's random numbers.
local function new_math()
  local own = {}
  for name, value in pairs(math) do own[name] = value end
  own.random, own.randomseed = core.new_random()
  return own
end

-- -------------------------------------------------------------------- output

--- May the script write this many bytes now? A bucket of tokens.
local function admit(box, bytes)
  local now = green.now()
  box.tokens = math.min(box.burst,
    box.tokens + (now - box.filled) * box.rate)
  box.filled = now
  if bytes > box.tokens then
    box.dropped = box.dropped + bytes
    return false
  end
  box.tokens = box.tokens - bytes
  return true
end

local function write(box, text)
  if not admit(box, #text) then return end
  local told = box.told
  if box.dropped > told then
    box.told = box.dropped
    box.sink(("(%d bytes of output were dropped)\n"):format(box.dropped - told))
  end
  box.sink(text)
end

local function printer(box)
  return function(...)
    local parts = {...}
    for i = 1, select("#", ...) do parts[i] = tostring(parts[i]) end
    write(box, table.concat(parts, "\t") .. "\n")
  end
end

--- Reports never block, and their bytes cannot control a terminal.
local function to_stderr(text)
  core.report_put(text)
end

-- --------------------------------------------------------------- environment

--- The names in green that a script sees, and what is its own by that name.
local function names_of(box, has)
  local names, own = {}, {}
  local function add(list)
    for _, name in ipairs(list) do names[name] = true end
  end
  add(OWN)
  if has.connect then add(CONNECT) end
  if has.listen then add(LISTEN) end
  core.spawners(own, box.core)
  if has.threads then
    add {"threads", "find_thread"}
  else
    function own.threads() return box:threads() end
    function own.find_thread(id)
      local t = green.find_thread(id)
      return t and core.box_of(t) == box.core and t or nil
    end
  end
  for name in pairs(own) do names[name] = true end
  return names, own
end

--- Modules of green are loaded when a script first needs them; where it has
--- fuel, at once, since that would burn some in the state's first run.
local function add_green(env, box, has)
  local names, own = names_of(box, has)
  local function field(name)
    if own[name] == nil and names[name] then own[name] = green[name] end
    return own[name]
  end
  if box.fuel then
    for name in pairs(names) do field(name) end
    load_module "green.runtime.errors"
  end
  local function step(_, name)
    name = next(names, name)
    return name, name and field(name)
  end
  env.green = setmetatable({}, {
    __index = function(_, name) return field(name) end,
    __newindex = refuse, __metatable = false,
    __pairs = function(shown_green) return step, shown_green, nil end,
  })
end

local function add_granted(env, box, has)
  if has.output then env.print = printer(box) end
  if has.io then
    env.io = shown(io)
    core.box_files(box.core)
  end
  if has.require then env.require = require end
  if has.debug then env.debug = shown(debug) end
  if has.coroutine then env.coroutine = shown(share().coroutine) end
  if has.os then
    env.os = shown(os)
  elseif share().time then
    env.os = shown(share().time)
  end
end

local function fill(env, box, has)
  local libraries = share()
  chosen(_ENV, PLAIN, env)
  if libraries.pcall then
    env.pcall, env.xpcall = libraries.pcall, libraries.xpcall
  end
  env._G = env
  core.confine(env, box.core)
  box.loader, box.spawners = env.load, {}
  core.spawners(box.spawners, box.core)
  env.string, env.table = shown(libraries.string), shown(libraries.table)
  env.math = shown(new_math())
  if libraries.utf8 then env.utf8 = shown(libraries.utf8) end
  add_granted(env, box, has)
  add_green(env, box, has)
end

--- @param grants integer|string[]
local function set_of(grants, level)
  local has, known = {}, {}
  for i, name in ipairs(GRANTS) do
    known[name] = true
    if type(grants) == "number" then has[name] = grants & 1 << (i - 1) ~= 0 end
  end
  if type(grants) == "number" then return has end
  for _, name in ipairs(grants) do
    if not known[name] then
      error(("unknown grant '%s' in 'sandbox'"):format(tostring(name)), level)
    end
    has[name] = true
  end
  return has
end

-- -------------------------------------------------------------------- object

local mt = core.metatable("green.sandbox")
local Sandbox = {}
mt.__index = Sandbox
mt.__name = "green.sandbox"

local function number_of(limits, name, default)
  local n = limits[name]
  if n == nil then return default end
  if not (n > 0) then
    check.bad(1, "sandbox", "'%s' must be above 0", name)
  end
  return n
end

--- Of what is counted; 0 is no limit.
local function count_of(limits, name, most)
  return math.ceil(math.min(number_of(limits, name, 0), most or 1 << 32))
end

--- The object before its globals are filled.
local function new(limits, sink)
  local rate = number_of(limits, "output", RATE)
  local env = {}
  return setmetatable({
    env = env,
    core = core.new_box(env, count_of(limits, "threads"),
      count_of(limits, "timers"), count_of(limits, "descriptors"),
      count_of(limits, "items"), count_of(limits, "coroutines"),
      number_of(limits, "slice"), number_of(limits, "stretch"),
      number_of(limits, "life")),
    fuel = limits.fuel and count_of(limits, "fuel", math.maxinteger),
    sink = sink or to_stderr, rate = rate, burst = math.max(BURST, rate),
    tokens = math.max(BURST, rate), filled = green.now(),
    dropped = 0, told = 0,
  }, mt)
end

--- For green_lua_sandbox(): the globals alone.
function sandbox.environment(grants)
  local box = new({}, nil)
  fill(box.env, box, set_of(grants, 2))
  return box.env
end

local OPTIONS <const> = {grants = "table", limits = "table", globals = "table",
                         print = "function"}
local LIMITS <const> = {threads = "number", timers = "number",
                        descriptors = "number", items = "number",
                        coroutines = "number",
                        output = "number", slice = "number",
                        stretch = "number", life = "number",
                        fuel = "number"}

--- Makes a sandbox. See docs/meta/sandbox.lua.
function green.sandbox(options)
  options = check.options(options, OPTIONS, 1, "sandbox")
  local limits = check.options(options.limits, LIMITS, 1, "sandbox")
  local box = new(limits, options.print)
  fill(box.env, box, set_of(options.grants or {}, 3))
  for name, value in pairs(options.globals or {}) do box.env[name] = value end
  return box
end

--- The function of a text, or nil and a message.
function Sandbox:load(text, name)
  check.self(self, mt, "load")
  if type(text) ~= "string" then
    check.wrong(1, "load", "string", text)
  end
  if name ~= nil then check.value(name, "string", 2, "load") end
  return self.loader(text, name or "=script")
end

--- Runs a text, or a function, as a thread of the sandbox.
function Sandbox:spawn(f, ...)
  check.self(self, mt, "spawn")
  if type(f) == "string" then
    local loaded, err = self:load(f)
    if not loaded then error(err, 2) end
    f = loaded
  end
  check.callable(f, 1, "spawn")
  local t = self.spawners.spawn(f, ...)
  local ok, err = true, nil
  if self.fuel then ok, err = pcall(core.fuel, t, self.fuel) end
  if not ok then
    t:kill()
    error(err, 0)
  end
  return t
end

--- Its live threads.
function Sandbox:threads()
  check.self(self, mt, "threads")
  local list = {}
  for _, t in ipairs(green.threads()) do
    if core.box_of(t) == self.core then list[#list + 1] = t end
  end
  return list
end

--- Kills them. Returns how many.
function Sandbox:kill(reason)
  check.self(self, mt, "kill")
  local n = 0
  for _, t in ipairs(self:threads()) do
    if t:kill(reason) then n = n + 1 end
  end
  return n
end

--- Figures.
function Sandbox:stats()
  check.self(self, mt, "stats")
  local threads, timers, descriptors, items, coroutines =
    core.box_counts(self.core)
  return {threads = threads, timers = timers, descriptors = descriptors,
    items = items, coroutines = coroutines, dropped = self.dropped}
end

return sandbox
