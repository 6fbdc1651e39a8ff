-- Block anywhere: under pcall, in metamethods, below C functions that call
-- back, in generators in generators; many threads at once, in random order.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

--- How the places block: one turn, a short sleep, or a queue that is fed.
local fed = green.queue()

local function block()
  local r = math.random(3)
  if r == 1 then
    green.sleep(0)
  elseif r == 2 then
    green.sleep(math.random() / 1000)
  else
    green.spawn_n(fed.put, fed, 1)
    assert(fed:get() == 1)
  end
end

local function with(mt) return setmetatable({}, mt) end

--- Places to block in: each gets a number and must return it plus one.
local places = {}

places["pcall"] = function(x)
  local ok, v = pcall(function() block() return x + 1 end)
  return ok and v
end

places["an error through pcall"] = function(x)
  local ok, v = pcall(function() block() error({x + 1}) end)
  return not ok and v[1]
end

places["xpcall"] = function(x)
  return select(2, xpcall(function() block() return x + 1 end, tostring))
end

places["a message handler"] = function(x)
  return select(2, xpcall(error, function(v) block() return v + 1 end, x))
end

places["__index"] = function(x)
  return with({__index = function(_, k) block() return k + 1 end})[x]
end

places["__newindex"] = function(x)
  local got
  with({__newindex = function(_, k, v) block() got = k + v end})[x] = 1
  return got
end

places["__add"] = function(x)
  return with({__add = function(_, v) block() return v + 1 end}) + x
end

places["__unm"] = function(x)
  return -with({__unm = function() block() return x + 1 end})
end

places["__concat"] = function(x)
  return tonumber("" .. with({__concat = function() block() return x + 1 end}))
end

places["__len"] = function(x)
  return #with({__len = function() block() return x + 1 end})
end

places["__eq"] = function(x)
  local mt = {__eq = function() block() return true end}
  return with(mt) == with(mt) and x + 1
end

places["__lt"] = function(x)
  local mt = {__lt = function() block() return true end}
  return with(mt) < with(mt) and x + 1
end

places["__le"] = function(x)
  local mt = {__le = function() block() return true end}
  return with(mt) <= with(mt) and x + 1
end

places["__call"] = function(x)
  return with({__call = function(_, v) block() return v + 1 end})(x)
end

places["__close"] = function(x)
  local v
  do local _ <close> = with({__close = function() block() v = x + 1 end}) end
  return v
end

places["__close below an error"] = function(x)
  local v
  local ok = pcall(function()
    local _ <close> = with({__close = function() block() v = x + 1 end})
    error "out"
  end)
  return not ok and v
end

places["__close of a generic for"] = function(x)
  local v
  local closing = with({__close = function() block() v = x + 1 end})
  for _ in next, {1}, nil, closing do break end -- luacheck: ignore 512
  return v
end

places["__tostring"] = function(x)
  return tonumber(tostring(with({__tostring = function()
    block()
    return tostring(x + 1)
  end})))
end

places["__name and __pairs"] = function(x)
  for _, v in pairs(with({__pairs = function(t) -- luacheck: ignore 512
    block()
    return function(_, k) if not k then block() return 1, x + 1 end end, t
  end})) do return v end
end

places["table.sort's comparator"] = function(x)
  local t = {3, 1, 2}
  table.sort(t, function(a, b) block() return a < b end)
  return t[1] == 1 and t[2] == 2 and t[3] == 3 and x + 1
end

places["string.gsub's callback"] = function(x)
  local s = ("ab"):gsub(".", function(c) block() return c:upper() end)
  return s == "AB" and x + 1
end

places["string.gsub's table"] = function(x)
  local s = ("a"):gsub(".", with({__index = function() block() return "B" end}))
  return s == "B" and x + 1
end

places["string.format's %s"] = function(x)
  return tonumber(("%s"):format(with({__tostring = function()
    block()
    return tostring(x + 1)
  end})))
end

places["table.concat through __index"] = function(x)
  local t = with({
    __len = function() block() return 3 end,
    __index = function(_, i) block() return tostring(i) end,
  })
  return table.concat(t) == "123" and x + 1
end

places["table.insert through __newindex"] = function(x)
  local got
  table.insert(with({
    __len = function() block() return 0 end,
    __newindex = function(_, _, v) block() got = v + 1 end,
  }), x)
  return got
end

places["table.unpack through __index"] = function(x)
  local _, b = table.unpack(with({__index = function(_, i)
    block()
    return x + i - 1
  end}), 1, 2)
  return b
end

places["an iterator of generic for"] = function(x)
  local function once(_, c) block() return not c and x + 1 or nil end
  for v in once do -- luacheck: ignore 512
    return v
  end
end

places["ipairs through __index"] = function(x)
  local n = 0
  for _ in ipairs(with({__index = function(_, i)
    block()
    return i <= 2 and i or nil
  end})) do n = n + 1 end
  return n == 2 and x + 1
end

places["a generator"] = function(x)
  local gen = coroutine.wrap(function(a)
    block()
    a = coroutine.yield(a + 1)
    block()
    return a
  end)
  return gen(x) == x + 1 and gen(x + 1)
end

places["generators nested three deep"] = function(x)
  local function nest(depth)
    return coroutine.wrap(function()
      block()
      if depth == 0 then
        coroutine.yield(x + 1)
      else
        for v in nest(depth - 1) do
          block()
          coroutine.yield(v)
        end
      end
      block()
    end)
  end
  local got
  for v in nest(3) do got = v end
  return got
end

places["coroutine.resume below table.sort in a generator"] = function(x)
  return coroutine.wrap(function()
    local t = {2, 1}
    table.sort(t, function(a, b)
      local co = coroutine.create(function() block() return a < b end)
      return select(2, coroutine.resume(co))
    end)
    return t[1] == 1 and x + 1
  end)()
end

places["coroutine.close running a __close"] = function(x)
  local v
  local co = coroutine.create(function()
    local _ <close> = with({__close = function() block() v = x + 1 end})
    coroutine.yield()
  end)
  coroutine.resume(co)
  coroutine.close(co)
  return v
end

places["a chunk's reader"] = function(x)
  local parts = {"return ", "...", " + 1"}
  local i = 0
  local f, err = load(function()
    block()
    i = i + 1
    return parts[i]
  end)
  if not f then error(err, 0) end -- load catches what its reader raises
  return f(x)
end

places["a required chunk"] = function(x)
  local name = "anywhere." .. green.current().id
  package.preload[name] = function()
    block()
    return x + 1
  end
  local v = require(name)
  package.preload[name], package.loaded[name] = nil, nil
  return v
end

places["a searcher of require"] = function(x)
  local name = "anywhere.searched." .. green.current().id
  local function searcher(wanted)
    if wanted ~= name then return nil end
    block()
    return function() block() return x + 1 end
  end
  table.insert(package.searchers, 1, searcher)
  local v = require(name)
  for i, s in ipairs(package.searchers) do
    if s == searcher then table.remove(package.searchers, i) break end
  end
  package.loaded[name] = nil
  return v
end

places["dofile"] = function(x)
  local file <close> = help.file("package.loaded.anywhere_block() return 1")
  return x + dofile(file.path)
end

places["a debug hook"] = function(x)
  local v
  debug.sethook(function()
    debug.sethook()
    block()
    v = x + 1
  end, "l")
  local _ = x
  return v
end

places["a count hook"] = function(x)
  local n, co = 0, coroutine.create(function()
    for _ = 1, 300 do end -- luacheck: ignore
    return x + 1
  end)
  debug.sethook(co, function() n = n + 1 block() end, "", 100)
  local _, v = coroutine.resume(co)
  return n > 0 and v
end

places["string.rep of an xpcall of a sort of a gsub"] = function(x)
  return select(2, xpcall(function()
    local t = {2, 1}
    table.sort(t, function(a, b)
      return (("x"):gsub("x", function()
        local ok, less = pcall(function() block() return a < b end)
        return ok and tostring(less)
      end)) == "true"
    end)
    return t[1] == 1 and x + 1
  end, tostring))
end

local function cc_works()
  return os.execute "command -v cc >/dev/null 2>&1"
end

--- A C module that does nothing but call back through plain lua_call.
local function build_callback()
  local so = os.tmpname()
  local ok = os.execute(("cc -shared -fPIC $(tools/lua cflags %s) -o %s "
    .. "spec/c/callback.c 2>/dev/null"):format(help.lua, so))
  local open = ok and package.loadlib(so, "luaopen_callback")
  os.remove(so)
  return open and open()
end

local callback = cc_works() and build_callback()
if callback then
  places["a C function that calls back by lua_call"] = function(x)
    return callback.call(function(v) block() return v + 1 end, x)
  end
  places["a C function called back by lua_call in a generator"] = function(x)
    return coroutine.wrap(function()
      return callback.call(function(v) block() return v + 1 end, x)
    end)()
  end
end

local names = {}
for name in pairs(places) do names[#names + 1] = name end
table.sort(names)

package.loaded.anywhere_block = block -- for the chunk of dofile

describe("blocking works in (seed " .. help.seed .. ")", function()
  for _, name in ipairs(names) do
    help.both(it, name, function()
      local ts = {}
      for i = 1, 20 do ts[i] = green.spawn(places[name], i) end
      for i = 1, 20 do assert.equal(i + 1, ts[i]:wait()) end
    end)

    it(name .. ", in the main thread", function()
      assert.equal(8, places[name](7))
    end)

    help.both(it, name .. ", and a kill there ends the thread", function()
      local ts = {}
      for i = 1, 10 do
        ts[i] = green.spawn(function()
          while true do places[name](i) end
        end)
      end
      for _ = 1, math.random(3) do green.sleep(0) end
      for _, t in ipairs(ts) do t:kill() end
      for _, t in ipairs(ts) do assert.is_false((t:join())) end
    end)
  end

  help.both(it, "all of these at once", function()
    local ts = {}
    for round = 1, 10 do
      for _, name in ipairs(names) do
        ts[#ts + 1] = green.spawn(function()
          local got = places[name](round)
          if got ~= round + 1 then error(name .. ": " .. tostring(got)) end
        end)
      end
    end
    for _, t in ipairs(help.shuffled(ts)) do t:wait() end
  end)

  it("a C function that calls back by lua_call: cc is here", function()
    if not callback then pending "no C compiler, or no Lua headers" end
  end)
end)
