-- docs/green.lua and the library name the same things.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local PATH <const> = "docs/green.lua"

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

--- What is documented: names[class] is a set, true or "optional"; a local
--- table that carries functions stands for the class above it.
local function documented(text)
  local names, class, of = {}, nil, {}
  for line in text:gmatch("[^\n]+") do
    local found = line:match("^%-%-%-@class ([%w_.]+)")
    local field, mark = line:match("^%-%-%-@field ([%w_]+)(%??) ")
    local owner = line:match("^local (%w+) = {}$")
    local on, name = line:match("^function (%w+)[.:]([%w_]+)%(")
    if found then
      class = found
      names[class] = {}
    elseif field then
      names[class][field] = mark == "?" and "optional" or true
    elseif owner then
      of[owner] = class
    elseif on then
      assert(of[on], line)
      assert.is_nil(names[of[on]][name], line .. " is there twice")
      names[of[on]][name] = true
    end
  end
  return names
end

local names = documented(read(PATH))

local function keys(t)
  local set = {}
  for name in pairs(t) do set[name] = true end
  return set
end

local function missing(a, b)
  local list = {}
  for name in pairs(a) do
    if b[name] == nil then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

--- Both ways: the set of names that exist, and what the docs say.
local function same_names(exist, docs)
  assert.same({}, missing(exist, docs), "not documented")
  assert.same({}, missing(docs, exist), "documented, but not there")
end

--- The upvalue of that name of a function, or of one that it calls.
local function upvalue(f, name, depth)
  for i = 1, 255 do
    local found, value = debug.getupvalue(f, i)
    if not found then break end
    if found == name then return value end
    if type(value) == "function" and depth > 0 then
      value = upvalue(value, name, depth - 1)
      if value then return value end
    end
  end
end

--- The table of methods of an object's class.
local function methods_of(object)
  local mt = debug.getmetatable(object)
  if type(mt.__methods) == "table" then return mt.__methods end
  if type(mt.__index) == "table" then return mt.__index end
  for i = 1, 255 do
    local name, value = debug.getupvalue(mt.__index, i)
    assert(name, "no table of methods")
    if type(value) == "table" and value ~= mt then return value end
  end
end

--- Methods, and the fields that an object has besides.
local function check_class(class, object, fields)
  local exist = keys(methods_of(object))
  for _, name in ipairs(fields or {}) do
    assert.is_not_nil(object[name], name)
    exist[name] = true
  end
  same_names(exist, names[class])
end

--- A table whose keys are the documented fields, but for optional ones.
local function check_record(class, record)
  assert.same({}, missing(record, names[class]), "not documented")
  for name, how in pairs(names[class]) do
    if how ~= "optional" then assert.is_not_nil(record[name], name) end
  end
end

describe("the reference", function()
  it("is a Lua file that runs", function()
    assert.equal("table", type(dofile(PATH)))
  end)

  it("has the public names of the library, and no others", function()
    local exist = keys(green)
    local modules = upvalue(getmetatable(green).__index, "modules", 0)
    for name in pairs(modules) do exist[name] = true end
    same_names(exist, names["green"])
  end)

  it("has the functions of the modules that are loaded later", function()
    local modules = upvalue(getmetatable(green).__index, "modules", 0)
    assert.is_truthy(next(modules))
    for name in pairs(modules) do
      assert.is_table(names["green." .. name], name)
      same_names(keys(green[name]), names["green." .. name])
    end
  end)

  it("has the methods and fields of a thread", function()
    check_class("green.thread", green.current(), {"id", "name"})
  end)

  it("has the methods and fields of a timeout", function()
    local t <close> = green.timeout(60)
    check_class("green.timeout", t, {"seconds", "where", "thread"})
  end)

  it("has the methods of events, queues and tickers", function()
    check_class("green.event", green.event())
    check_class("green.queue", green.queue())
    check_class("green.queue", green.channel())
    check_class("green.ticker", green.ticker(1))
  end)

  it("has the methods of sockets", function()
    local docs = {}
    for _, class in ipairs {"socket", "connection", "listener"} do
      for name in pairs(names["green." .. class]) do docs[name] = true end
    end
    local listener <close> = assert(green.listen("127.0.0.1", 0))
    local _, port = listener:getsockname()
    local near <close> = assert(green.connect("127.0.0.1", port))
    local far <close> = assert(listener:accept())
    for _, sock in ipairs {listener, near, far} do
      same_names(keys(methods_of(sock)), docs)
    end
  end)

  it("says which kind of socket has which methods", function()
    local listener <close> = assert(green.listen("127.0.0.1", 0))
    local _, port = listener:getsockname()
    local conn <close> = assert(green.connect("127.0.0.1", port))
    listener:settimeout(0)
    conn:settimeout(0)
    for name in pairs(names["green.connection"]) do
      local ok, err = pcall(function()
        local iterator = listener[name](listener, name == "recv" and 1 or nil)
        if name == "lines" or name == "chunks" then iterator() end
      end)
      assert.is_false(ok, name)
      assert.matches("tcp{client} expected", err)
    end
    for name in pairs(names["green.listener"]) do
      local ok, err = pcall(conn[name], conn)
      assert.is_false(ok, name)
      assert.matches("tcp{server} expected", err)
    end
  end)

  it("has the options that config() knows, and the figures of stats()",
    function()
      same_names(keys(green.config()), names["green.options"])
      same_names(keys(green.stats()), names["green.stats"])
    end)

  it("has the options of connect, listen and the backdoor", function()
    same_names(upvalue(green.connect, "connect_options", 0),
      names["green.connect_options"])
    same_names(upvalue(green.listen, "listen_options", 0),
      names["green.listen_options"])
    same_names(upvalue(green.backdoor.server, "known", 1),
      names["green.backdoor_options"])
  end)

  it("has the fields of what waiting() returns", function()
    local t <close> = green.spawn(function() green.queue():get(60) end)
    green.sleep(0)
    check_record("green.waiting", assert(t:waiting()))
    same_names(keys(t:waiting()), names["green.waiting"])
  end)

  it("has the fields of the error objects", function()
    local t = green.spawn(green.sleep, 60)
    green.sleep(0)
    t:kill("enough")
    check_record("green.killed", select(2, t:join()))
    local ok, err = pcall(function() green.event():wait() end)
    assert.is_false(ok)
    assert.equal("deadlock", green.type(err))
    check_record("green.deadlock", err)
    for _, stuck in ipairs(err.threads) do
      check_record("green.stuck", stuck)
    end
  end)

  it("names the kinds that green.type tells", function()
    local text = read(PATH):match("@alias green%.kind(.-)\n\n")
    local t <close> = green.timeout(60)
    local listener <close> = assert(green.listen("127.0.0.1", 0))
    for _, object in ipairs {green.current(), t, green.event(), green.queue(),
      green.ticker(1), green.StopServe, listener} do
      local kind = green.type(object)
      assert.is_truthy(text:find('"' .. kind .. '"', 1, true), kind)
    end
  end)

  it("says of each function whether it may switch", function()
    local above = {}
    for line in read(PATH):gmatch("[^\n]*") do
      if line:find("^%-%-%-") then
        above[#above + 1] = line:match("^%-%-%- (.*)")
      elseif line:find("^function ") then
        local said = table.concat(above, " ")
        assert.matches("[Ss]witch", said, line)
        above = {}
      else
        above = {}
      end
    end
  end)
end)
