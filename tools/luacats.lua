--- luacats.lua - reads the declarations in docs/meta, for the generator of the
--- reference and for the spec that checks them.
---
--- A file is read line by line into items, in order of the text: classes,
--- aliases and functions. A mistake raises "path:line: ...", so the result is
--- well formed. This knows the annotations that the files use; two spaces tell
--- `---@return type  text` from `---@return type name`.
---
--- SPDX-License-Identifier: MIT

local luacats = {}

local BASIC <const> = {}
for name in ("any nil boolean true false number integer string table function "
  .. "thread userdata lightuserdata unknown self file*"):gmatch "%S+" do
  BASIC[name] = true
end

-- A reader of types: `at` is where it is in `text`. Each function consumes the
-- text that it reads; `used` collects the names of types.
local Reader = {}
Reader.__index = Reader

function Reader:fail(wanted)
  error(("%s expected at '%s'"):format(wanted, self.text:sub(self.at)), 0)
end

--- The text that matches the pattern here, without spaces before it, or nil.
function Reader:take(pattern)
  local _, last, found = self.text:find("^%s*(" .. pattern .. ")", self.at)
  if not last then return end
  self.at = last + 1
  return found
end

function Reader:need(pattern, wanted)
  return self:take(pattern) or self:fail(wanted or pattern)
end

--- A list up to the closing bracket, which it consumes.
function Reader:list(closing, element)
  local list = {}
  if self:take(closing) then return list end
  repeat
    list[#list + 1] = element(self)
  until not self:take ","
  self:need(closing)
  return list
end

function Reader:parameter()
  local name = self:need("[%a_][%w_]*", "a name or ...")
  local optional = self:take "%?"
  if self:take ":" then self:type() end
  return {name = name, optional = optional ~= nil}
end

function Reader:parameter_or_dots()
  if not self:take "%.%.%." then return self:parameter() end
  if self:take ":" then self:type() end
  return {name = "..."}
end

--- `fun(a: type, b?: type): type, type`, after its "fun".
function Reader:signature()
  self:need("%(")
  local params = self:list("%)", self.parameter_or_dots)
  local returns = {}
  if self:take ":" then
    repeat
      local at = self.at
      if not self:take "%.%.%." then
        -- a result may have a name
        if not self:take "[%a_][%w_]*%s*:" then self.at = at end
        self:type()
      end
      returns[#returns + 1] = self.text:sub(at, self.at - 1):match "^%s*(.*)"
    until not self:take ","
  end
  return params, returns
end

function Reader:field()
  if self:take "%[" then
    self:type()
    self:need "%]"
  else
    self:need("[%a_][%w_]*", "a field")
    self:take "%?"
  end
  self:need ":"
  self:type()
end

function Reader:primary()
  if self:take "'[^']*'" or self:take "\"[^\"]*\"" or self:take "%-?%d+" then
    return
  elseif self:take "%(" then
    self:type()
    self:need "%)"
  elseif self:take "{" then
    self:list("}", self.field)
  elseif self:take "fun%f[^%w_.]" then
    self:signature()
  else
    local name = self:need("[%a_][%w_.]*%*?", "a type")
    self.used[#self.used + 1] = name
    if self:take "<" then self:list(">", self.type) end
  end
end

function Reader:type()
  repeat
    self:primary()
    while self.text:find("^%?", self.at) or self.text:find("^%[%]", self.at) do
      self.at = self.at + (self.text:byte(self.at) == 63 and 1 or 2)
    end
  until not self:take "|"
end

local function reader(text, used)
  return setmetatable({text = text, at = 1, used = used}, Reader)
end

--- Splits "type rest"; the rest keeps the spaces before it.
local function split_type(text, used)
  local r = reader(text, used)
  r:type()
  return text:sub(1, r.at - 1), text:sub(r.at)
end

local function trimmed(text) return (text:match "^%s*(.-)%s*$") end

-- The subject of a block of comments: @class, @alias or the function below
-- makes it. Each tag adds to it and returns the item that a following line of
-- text continues.
local tags = {}

local function current(block, kind)
  local item = block.item
  if not item or item.kind ~= kind then
    error("no @" .. kind .. " above it", 0)
  end
  return item
end

function tags.class(block, rest)
  local name, parents = rest:match "^([%w_.]+)%s*:?%s*(.*)$"
  if not name then error("a name expected", 0) end
  local item = {kind = "class", name = name, parents = {}, fields = {},
    operators = {}, text = block.text, line = block.line}
  for parent in parents:gmatch "[%w_.]+" do
    item.parents[#item.parents + 1] = parent
    block.used[#block.used + 1] = parent
  end
  block.item, block.text = item, ""
  block.items[#block.items + 1] = item
  return {}
end

function tags.field(block, rest)
  local item = current(block, "class")
  local name, mark, after = rest:match "^([%a_][%w_]*)(%??)%s+(.*)$"
  if not name then name, mark, after = rest:match "^(%[.-%])(%??)%s+(.*)$" end
  if not name then error("a name and a type expected", 0) end
  local field = {name = name, optional = mark == "?"}
  field.type, after = split_type(after, block.used)
  field.text = trimmed(after)
  item.fields[#item.fields + 1] = field
  return field
end

function tags.operator(block, rest)
  local item = current(block, "class")
  local name, after = rest:match "^(%a+)(.*)$"
  if not name then error("an operator expected", 0) end
  local r = reader(after, block.used)
  if r:take "%(" then r:list("%)", r.type) end
  if r:take ":" then r:type() end
  item.operators[#item.operators + 1] = {name = name, text = rest}
  return {}
end

function tags.alias(block, rest)
  local name, after = rest:match "^([%w_.]+)%s*(.*)$"
  if not name then error("a name expected", 0) end
  local item = {kind = "alias", name = name, values = {}, text = block.text,
    line = block.line}
  if after ~= "" then item.type = split_type(after, block.used) end
  block.item, block.text = item, ""
  block.items[#block.items + 1] = item
  return {}
end

--- `---| "value"  text`
local function alias_value(block, rest)
  local item = current(block, "alias")
  local value = {}
  value.type, value.text = split_type(rest, block.used)
  value.text = trimmed(value.text)
  item.values[#item.values + 1] = value
  return value
end

function tags.param(block, rest)
  local name, mark, after = rest:match "^([%a_][%w_]*)(%??)%s+(.*)$"
  if not name then name, mark, after = rest:match "^(%.%.%.)()%s*(.*)$" end
  if not name then error("a name and a type expected", 0) end
  local param = {name = name, optional = mark == "?"}
  param.type, after = split_type(after, block.used)
  param.text = trimmed(after)
  block.params[#block.params + 1] = param
  return param
end

tags["return"] = function(block, rest)
  local result = {}
  local after
  result.type, after = split_type(rest, block.used)
  local name, text = after:match "^ ([%a_][%w_]*%??)(.*)$"
  if not name then name, text = after:match "^ (%.%.%.)(.*)$" end
  result.name, result.text = name, trimmed(text or after)
  block.returns[#block.returns + 1] = result
  return result
end

function tags.overload(block, rest)
  local r = reader(rest, block.used)
  r:need("fun%f[^%w_.]", "fun")
  local overload = {text = rest}
  overload.params, overload.returns = r:signature()
  if r.text:find("%S", r.at) then r:fail "nothing more" end
  local list = block.item and block.item.kind == "class"
    and block.item.operators or block.overloads
  list[#list + 1] = overload
  return overload
end

function tags.generic(block, rest)
  for name in rest:gmatch "[%a_][%w_]*" do block.generic[name] = true end
  return {}
end

function tags.nodiscard() return {} end
tags.async, tags.deprecated, tags.see = tags.nodiscard, tags.nodiscard,
  tags.nodiscard

local File = {}
File.__index = File

function File:fail(message)
  error(("%s:%d: %s"):format(self.path, self.line, message), 0)
end

function File:block_so_far()
  if not self.block then
    self.block = {text = "", params = {}, returns = {}, overloads = {},
      generic = {}, used = {}, items = self.items, line = self.line}
  end
  return self.block
end

local function joined(a, b)
  return (a == "" or b == "") and a .. b or a .. " " .. b
end

--- A line of a comment with three dashes, which this cuts off.
function File:comment(text)
  local block = self:block_so_far()
  local tag, rest = text:match "^@(%a+)%s*(.*)$"
  local ok, result = true, nil
  if tag and not tags[tag] then self:fail("unknown annotation @" .. tag) end
  if tag then
    ok, result = pcall(tags[tag], block, rest)
    block.last = result
  elseif text:find "^|" then
    ok, result = pcall(alias_value, block, text:match "^|%s*(.*)$")
    block.last = result
  elseif block.last then
    block.last.text = joined(block.last.text or "", trimmed(text))
  else
    block.text = block.text .. text .. "\n"
  end
  if not ok then self:fail(result) end
end

--- The parameters of a function and those that are described are the same.
function File:check_parameters(item)
  local described = {}
  for i, param in ipairs(item.params) do
    described[i] = param.name
  end
  local there = table.concat(item.arguments, ", ")
  local said = table.concat(described, ", ")
  if there ~= said then
    self:fail(("parameters are (%s), described are (%s)"):format(there, said))
  end
end

--- The parameters of an overload are those of the function, or "...".
function File:check_overload(item, overload)
  local known = {["..."] = true, self = item.method}
  for _, name in ipairs(item.arguments) do known[name] = true end
  for _, param in ipairs(overload.params) do
    if not known[param.name] then
      self:fail("the overload's parameter " .. param.name .. " is not there")
    end
  end
end

function File:func(owner, dot, name, arguments)
  local block = self:block_so_far()
  local item = {kind = "function", owner = self.owners[owner], name = name,
    method = dot == ":", text = block.text, params = block.params,
    returns = block.returns, overloads = block.overloads, arguments = {},
    line = self.line}
  if not item.owner then self:fail("no class stands for " .. owner) end
  for argument in arguments:gmatch "[%w_.]+" do
    item.arguments[#item.arguments + 1] = argument
  end
  self:check_parameters(item)
  for _, overload in ipairs(item.overloads) do
    self:check_overload(item, overload)
  end
  self.items[#self.items + 1] = item
end

--- Notes which types were named, to look them up when all are known.
function File:end_block()
  local block = self.block
  if not block then return end
  for _, name in ipairs(block.used) do
    if not BASIC[name] and not block.generic[name] then
      self.used[#self.used + 1] = {name = name, line = block.line}
    end
  end
  self.block = nil
end

--- A line of code, which is the subject of the block above it.
function File:code(line)
  local owner, dot, name, arguments =
    line:match "^function ([%w_]+)([.:])([%w_]+)%((.-)%) end$"
  local variable = line:match "^local ([%w_]+) = {}$"
  if owner then
    self:func(owner, dot, name, arguments)
  elseif variable then
    local item = self.block and self.block.item
    if not item or item.kind ~= "class" then
      self:fail("no @class above " .. variable)
    end
    self.owners[variable] = item.name
  elseif line:find "%S" and not line:find "^return " then
    self:fail "neither a function, a class nor a comment"
  end
  self:end_block()
end

--- The comment that opens the file.
function File:opening(text)
  if text:find "^%s*SPDX" or text:find "^%s*luacheck" then return end
  self.intro = self.intro .. text .. "\n"
end

--- Its first sentence is the title.
local function split_title(text)
  local title, rest = text:match "^(.-)%.%s(.*)$"
  return trimmed((title or text):gsub("%s+", " ")), rest or ""
end

function File:read(line)
  if self.line == 1 then
    self.module = line:match "^%-%-%-@meta%s*(%S*)$" or self:fail "no @meta"
  elseif line:find "^%-%-%-%-" then
    self:end_block()
  elseif line:find "^%-%-%-" then
    self:comment((line:sub(4):gsub("^ ", "")))
  elseif line:find "^%-%-" and not self.started then
    self:opening((line:sub(3):gsub("^ ", "")))
    return
  else
    self:code(line)
  end
  self.started = self.line > 1
end

--- Reads one file.
---@param path string
---@return table file  path, name, module, title, intro, items, used
function luacats.file(path)
  local file = setmetatable({path = path, name = path:match "([^/]+)%.lua$",
    items = {}, owners = {}, used = {}, intro = "", line = 0}, File)
  for line in io.lines(path) do
    file.line = file.line + 1
    file:read(line)
  end
  file:end_block()
  file.title, file.intro = split_title(file.intro)
  return file
end

--- The files of a folder, by name.
local function listed(folder)
  local list = {}
  local pipe <close> = assert(io.popen("ls " .. folder .. "/*.lua"))
  for path in pipe:lines() do list[#list + 1] = path end
  return list
end

--- Checks that one of the files declares every type that is named.
local function check_types(files)
  local known = {}
  for _, file in ipairs(files) do
    for _, item in ipairs(file.items) do
      if item.kind ~= "function" then known[item.name] = true end
    end
  end
  for _, file in ipairs(files) do
    for _, use in ipairs(file.used) do
      if not known[use.name] then
        error(("%s:%d: type %s is not declared"):format(file.path, use.line,
          use.name), 0)
      end
    end
  end
end

--- Reads all files of a folder and checks them against each other.
---@param folder string
---@return table[] files  by name
function luacats.folder(folder)
  local files = {}
  for _, path in ipairs(listed(folder)) do
    files[#files + 1] = luacats.file(path)
  end
  check_types(files)
  return files
end

return luacats
