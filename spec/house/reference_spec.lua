-- docs/meta and the library name the same things.
--
-- A class of objects costs a line in `objects`, a record one in `records`, a
-- module one in `modules`.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local shell = require "spec.shell"
local luacats = require "tools.luacats"

--- TLS is there where OpenSSL is.
local has_tls = pcall(require, "green.openssl")

--- How to make an object of a class; then the fields it has besides methods.
local objects = {
  ["green.thread"] = {function() return green.current() end, "id", "name"},
  ["green.timeout"] = {function() return green.timeout(60) end,
    "seconds", "where", "thread"},
  ["green.event"] = {function() return green.event() end},
  ["green.port"] = {function() return green.port() end},
  ["green.queue"] = {function() return green.queue() end},
  ["green.lifo_queue"] = {function() return green.lifo_queue() end},
  ["green.priority_queue"] = {function() return green.priority_queue() end},
  ["green.selector"] = {function() return green.selector {} end},
  ["green.ticker"] = {function() return green.ticker(1) end},
  ["green.pool"] = {function() return green.pool(1) end},
  ["green.pile"] = {function() return green.pile(1) end},
  ["green.sandbox"] = {function() return green.sandbox() end, "env"},
  ["green.group"] = {function() return green.group() end},
  ["green.flag"] = {function() return green.flag() end},
  ["green.condition"] = {function() return green.condition() end},
  ["green.semaphore"] = {function() return green.semaphore(1) end},
  ["green.lock"] = {function() return green.lock() end},
  ["green.waitgroup"] = {function() return green.waitgroup() end},
  ["green.resource_pool"] = {function()
    return green.resource_pool {create = function() return {} end}
  end},
  ["green.lease"] = {function()
    return (green.resource_pool {create = function() return {} end}:lease())
  end},
  ["green.server"] = {function()
    return green.server {listen = 0, handler = print}
  end},
  ["green.datagram"] = {function() return green.udp() end, "class"},
  ["green.tls_context"] = {function()
    return has_tls and require "green.tls".context {}
  end},
  ["green.counter"] = {function()
    return green.metrics.counter("reference_total", "")
  end},
  ["green.gauge"] = {function()
    return green.metrics.gauge("reference", "")
  end},
  ["green.histogram"] = {function()
    return green.metrics.histogram("reference_seconds", "")
  end},
  ["green.span"] = {function() return green.trace.span "a name" end},
  ["green.dag"] = {function() return require "green.dag" {} end},
  ["green.dag_results"] = {function()
    return (require "green.dag" {}:wait_each {})
  end},
}

--- The name of the library's constructor, where it is not that of the class.
local made_by = {
  ["green.datagram"] = "udp",
  ["green.tls_context"] = "wrap_ssl",
  ["green.thread"] = "current",
  ["green.lease"] = "resource_pool",
  ["green.span"] = "trace",
  ["green.counter"] = "metrics",
  ["green.gauge"] = "metrics",
  ["green.histogram"] = "metrics",
  ["green.dag_results"] = "dag",
}

--- Modules that are required by their names; their classes are called so.
local modules = {"green.backdoor", "green.dns", "green.health", "green.metrics",
  "green.profile", "green.test", "green.trace"}

--- The value of an upvalue of a function, or of one that it calls.
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

local function threads_wait()
  local t <close> = green.spawn(function() green.queue():get(60) end)
  green.sleep(0)
  return t:blocked()
end

local function killed()
  local t = green.spawn(green.sleep, 60)
  green.sleep(0)
  t:kill("enough")
  return select(2, t:join())
end

local function deadlock()
  return select(2, pcall(function() green.event():wait() end))
end

local function child_failed()
  local seen
  pcall(function()
    local g <close> = green.group()
    g:spawn(error, "on purpose")
    seen = select(2, pcall(green.sleep, 60))
  end)
  return seen
end

--- The peer of a connection whose header has it all, and what a server tells.
local function served()
  local seen
  local server = green.server {listen = "127.0.0.1:0", proxy = true,
    handler = function(conn, peer)
      seen = peer
      conn:recv(1)
    end}
  assert(server:start())
  local conn <close> = assert(green.connect("127.0.0.1",
    server:addresses()[1].port))
  conn:send "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f\1\2\3\4\5\6\7\8\1\2\0\2\4\0\0"
  repeat green.sleep(0) until seen
  green.sleep(0)
  local stats = server:stats()
  return seen, server:stop {grace = 0}, stats
end

--- How to get a table whose keys are the documented fields.
local records = {
  ["green.options"] = function() return green.config() end,
  ["green.stats"] = function() return green.stats() end,
  ["green.connect_options"] = function()
    return upvalue(green.connect, "connect_options", 0)
  end,
  ["green.listen_options"] = function()
    return upvalue(green.listen, "listen_options", 0)
  end,
  ["green.server_options"] = function()
    return upvalue(green.server, "known", 0)
  end,
  ["green.peer"] = function() return (served()) end,
  ["green.stop_options"] = function() return {grace = 0, force = 0} end,
  ["green.stop_report"] = function() return select(2, served()) end,
  ["green.stop_line"] = function() return select(2, served()).forced[1] end,
  ["green.server_stats"] = function() return select(3, served()) end,
  ["green.udp_options"] = function()
    return upvalue(green.udp, "options", 0)
  end,
  ["green.backdoor_options"] = function()
    return upvalue(green.backdoor.server, "known", 1)
  end,
  ["green.blocked"] = threads_wait,
  ["green.killed"] = killed,
  ["green.child_failed"] = child_failed,
  ["green.deadlock"] = deadlock,
  ["green.stuck"] = function() return deadlock().threads[1] end,
  ["green.thread.stats"] = function()
    local t = green.current()
    return t.stats and t:stats()
  end,
}

local files = luacats.folder "docs/meta"

--- What is documented: names[class] maps to true or "optional"; a class may be
--- declared in several files.
local names, parents, kinds, functions = {}, {}, {}, {}

local function document(class, name, how)
  assert(how == "optional" or not names[class][name],
    class .. "." .. name .. " is there twice")
  names[class][name] = how
end

local function read_item(item)
  if item.kind == "class" then
    names[item.name] = names[item.name] or {}
    parents[item.name] = parents[item.name] or item.parents[1]
    for _, field in ipairs(item.fields) do
      document(item.name, field.name, field.optional and "optional" or true)
    end
  elseif item.kind == "function" then
    document(item.owner, item.name, true)
    functions[#functions + 1] = item
  elseif item.name == "green.kind" then
    for _, value in ipairs(item.values) do
      kinds[value.type:match '"(.*)"'] = true
    end
  end
end

for _, file in ipairs(files) do
  for _, item in ipairs(file.items) do read_item(item) end
end

--- The names of a class and of those it is derived from.
local function all_names(class)
  local set = {}
  while class do
    for name, how in pairs(names[class]) do set[name] = set[name] or how end
    class = parents[class]
  end
  return set
end

local function keys(t)
  local set = {}
  for name in pairs(t) do
    if name:sub(1, 1) ~= "_" or name == "_VERSION" then set[name] = true end
  end
  return set
end

local function sorted(set)
  local list = {}
  for name in pairs(set) do list[#list + 1] = name end
  table.sort(list)
  return list
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

--- Is there a class of that name in the library?
local function exists(class)
  local name = made_by[class] or class:match "[%w_]+$"
  return green[name] ~= nil
    or package.searchpath("green." .. name, package.path) ~= nil
end

--- Methods, and the fields that an object has besides.
local function check_class(class, docs)
  local make, fields = objects[class][1], {table.unpack(objects[class], 2)}
  local object = make()
  local exist = keys(methods_of(object))
  for _, name in ipairs(fields) do
    assert.is_not_nil(object[name], name)
    exist[name] = true
  end
  same_names(exist, docs)
end

--- A table whose keys are the documented fields, but for optional ones.
local function check_record(class)
  local record = assert(records[class]())
  assert.same({}, missing(record, names[class]), "not documented")
  for name, how in pairs(names[class]) do
    if how ~= "optional" then assert.is_not_nil(record[name], name) end
  end
end

--- Options are all optional: the table must have each of them.
local function check_options(class)
  same_names(keys(records[class]()), names[class])
end

describe("the reference", function()
  it("is made of Lua files that run", function()
    for _, file in ipairs(files) do
      local ok, err = pcall(dofile, file.path)
      assert.is_true(ok, err)
      assert.is_truthy(file.title, file.path)
    end
  end)

  it("is the module `green` for editors", function()
    for _, file in ipairs(files) do
      assert.equal(file.name == "green", file.module == "green", file.path)
    end
  end)

  it("has the public names of the library, and no others", function()
    local exist = keys(green)
    for _, kind in ipairs {"modules", "home"} do
      local later = upvalue(getmetatable(green).__index, kind, 0)
      for name in pairs(later) do exist[name] = true end
    end
    same_names(exist, names["green"])
  end)

  it("has the functions of the modules that are loaded later", function()
    local later = upvalue(getmetatable(green).__index, "modules", 0)
    local list = {table.unpack(modules)}
    for name in pairs(later) do list[#list + 1] = "green." .. name end
    for _, name in ipairs(list) do
      local there = package.searchpath(name, package.path)
        and (name ~= "green.tls" or has_tls)
        and (name ~= "green.ssl" or pcall(require, "ssl.core"))
      local module = there and require(name)
      if type(module) == "table" then
        local docs = assert.is_table(names[name], name) and names[name]
        assert.same({}, missing(keys(module), docs), "not documented")
        for field, how in pairs(docs) do
          assert.is_true(how == "optional" or module[field] ~= nil, field)
        end
      end
    end
  end)

  for _, class in ipairs(sorted(objects)) do
    it("has the methods and fields of " .. class, function()
      if not exists(class) then
        assert.is_nil(names[class], "documented, but not there")
        return
      end
      if class:find "tls" and not has_tls then
        pending "green.openssl is not built"
        return
      end
      local docs = names[class] and all_names(class)
      local base = class:match "_(queue)$"
      if not docs and base then docs = names["green." .. base] end
      assert.is_table(docs, "not documented")
      green.spawn(check_class, class, docs):wait()
    end)
  end

  for _, class in ipairs(sorted(records)) do
    it("has the fields of " .. class, function()
      if not names[class] and not records[class]() then return end
      if class:find "options$" then check_options(class) end
      check_record(class)
    end)
  end

  it("has the functions of the tables in green.socket", function()
    for _, name in ipairs {"unix", "dns"} do
      local docs = names["green.socket_" .. name]
      local there = keys(green.socket[name])
      assert.same({}, missing(there, docs), "not documented")
      for field in pairs(docs) do
        assert.is_function(green.socket[name][field], field)
      end
    end
  end)

  it("has no methods of classes that it does not check", function()
    local checked = {green = true, ["green.socket"] = true,
      ["green.socket_unix"] = true, ["green.socket_dns"] = true,
      ["green.ssl"] = true, ["green.tls"] = true,
      ["green.stream"] = true, ["green.connection"] = true,
      ["green.listener"] = true}
    for _, name in ipairs(modules) do checked[name] = true end
    for _, f in ipairs(functions) do
      assert.is_truthy(checked[f.owner] or objects[f.owner],
        f.owner .. " needs a line in this spec")
    end
  end)

  it("has the methods of sockets", function()
    local docs = {}
    for _, class in ipairs {"stream", "connection", "listener"} do
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

  it("names the kinds that green.type tells", function()
    local listener <close> = assert(green.listen("127.0.0.1", 0))
    local list = {green.StopServe, listener, killed(), deadlock(),
      child_failed()}
    for class, how in pairs(objects) do
      if exists(class) and not (class:find "tls") then
        list[#list + 1] = green.spawn(how[1]):wait()
      end
    end
    for _, object in ipairs(list) do
      local kind = green.type(object)
      assert.is_truthy(kinds[kind], tostring(kind) .. " is not in green.kind")
    end
  end)

  it("says of each function whether it may switch", function()
    for _, f in ipairs(functions) do
      assert.matches("[Ss]witch", f.text, f.owner .. "." .. f.name)
    end
  end)
end)

local function contents(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

describe("docs/reference.md", function()
  it("is what `make docs` makes of docs/meta", function()
    local pipe = io.popen(shell.lua .. " tools/reference")
    local text = pipe:read "a"
    assert.is_true(pipe:close())
    assert.is_true(text == contents "docs/reference.md",
      "out of date: make docs")
  end)

  it("has each function of the library, marked if it may switch", function()
    local text = contents "docs/reference.md"
    for _, f in ipairs(functions) do
      local class = f.owner:match "[^.]+$"
      local name = f.method and class .. ":" .. f.name
        or f.owner .. "." .. f.name
      assert.is_truthy(text:find("### `" .. name .. "(", 1, true), name)
    end
    assert.matches("### `green.sleep([s])` ●\n", text, 1, true)
    assert.matches("### `green.spawn(f, ...)`\n", text, 1, true)
    assert.matches('Returns `...` or `nil, "timeout"`.', text, 1, true)
  end)

  it("shows as left out only what may be left out", function()
    local text = contents "docs/reference.md"
    for _, f in ipairs(functions) do
      local class = f.owner:match "[^.]+$"
      local name = f.method and class .. ":" .. f.name
        or f.owner .. "." .. f.name
      local start = text:find("### `" .. name .. "(", 1, true)
      local shown = text:match("%b()", start):gsub("%b[]", "")
      for _, param in ipairs(f.params) do
        if not param.optional and param.name ~= "..." then
          assert.is_truthy(shown:find("%f[%w_]" .. param.name .. "%f[^%w_]"),
            name .. ": " .. param.name)
        end
      end
    end
    assert.matches("### `green.with_timeout(s?, f, ...)`", text, 1, true)
  end)
end)

describe("the reader of annotations", function()
  --- What it says of a file with these lines below a class.
  local function said(text)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write("---@meta\n-- Title.\n\n---@class T\nlocal T = {}\n\n", text)
    file:close()
    local ok, err = pcall(luacats.file, path)
    os.remove(path)
    assert.is_false(ok)
    return err
  end

  it("refuses a parameter that is not there, or not described", function()
    assert.matches(":8: parameters are %(a%), described are %(b%)$",
      said "---@param b any\nfunction T.f(a) end\n")
    assert.matches("parameters are %(a%), described are %(%)$",
      said "function T.f(a) end\n")
  end)

  it("refuses an overload that does not parse or has other parameters",
    function()
      assert.matches(":7: nothing more expected at ' nil'$",
        said "---@overload fun() nil\nfunction T.f() end\n")
      assert.matches("the overload's parameter b is not there$",
        said "---@overload fun(b: any): nil\nfunction T.f() end\n")
    end)

  it("refuses an annotation that it does not know", function()
    assert.matches(":7: unknown annotation @retrun$",
      said "---@retrun any\nfunction T.f() end\n")
  end)

  it("refuses a type that does not parse", function()
    assert.matches(":7: a type expected at '%|'$",
      said "---@param x string||\nfunction T.f(x) end\n")
  end)

  it("finds a type that is not declared", function()
    local folder = os.tmpname()
    os.remove(folder)
    assert(os.execute("mkdir " .. folder))
    local file = assert(io.open(folder .. "/a.lua", "w"))
    file:write "---@meta\n-- Title.\n\n---@class T\n---@field x Other[]\n"
    file:close()
    local ok, err = pcall(luacats.folder, folder)
    os.execute("rm -r " .. folder)
    assert.is_false(ok)
    assert.matches("a.lua:4: type Other is not declared$", err)
  end)
end)
