--- The common part of the prompts: the backdoor's and that of bin/luagreen.
---
--- They treat chunks, values and errors as the stock interpreter does, but an
--- expression may also span lines, and its values are printed too.
---
--- Only the compiler knows whether a chunk is complete, and it starts at the
--- beginning each time: for one function of 10,000 lines it would read 50
--- million lines. So a scanner, which reads each line of a long chunk once,
--- looks for blocks, brackets and strings that are still open. While there are
--- any, the chunk is compiled only when its size has doubled. The same holds
--- while further lines have come already and it was compiled often enough.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local green = require "green"
local _G, load, setmetatable, table, xpcall = _G, load, setmetatable, table,
  xpcall

local repl = {}

--- Bytes of a chunk that is compiled with each line.
local SHORT <const> = 4096
--- The limit for a longer chunk: how many times its size may be compiled in
--- all.
local MOST_WORK <const> = 20

------------------------------------------------------------------- scanning --

--- Words and brackets that open something (1), and those that close it (-1).
local DEPTH <const> = {["function"] = 1, ["do"] = 1, ["if"] = 1, ["repeat"] = 1,
  ["end"] = -1, ["until"] = -1, ["("] = 1, ["["] = 1, ["{"] = 1, [")"] = -1,
  ["]"] = -1, ["}"] = -1}

--- Reads Lua line by line, at a cost of its length.
---@class green.repl.Scanner
---@field depth integer  blocks and brackets that are open
---@field long? string   the end of the long string or comment it is in
---@field quote? string  the end of the string that goes on in the next line
local Scanner = {}
Scanner.__index = Scanner

--- In a string: returns the index after its end.
function Scanner:string(line, i)
  local ending = self.quote
  while true do
    local at = line:find("[\\" .. ending .. "]", i)
    if not at then -- it is not finished, and so no Lua
      self.quote = nil
      return #line + 1
    elseif line:byte(at) ~= 92 then
      self.quote = nil
      return at + 1
    elseif at == #line or line:find("^z%s*$", at + 1) then
      return #line + 1 -- it goes on in the next line
    end
    i = at + 2
  end
end

--- Perhaps at the first bracket of a long string: returns the index to go on
--- from.
function Scanner:bracket(line, i)
  local level = line:match("^%[(=*)%[", i)
  if not level then
    self.depth = self.depth + 1
    return i + 1
  end
  self.long = "]" .. level .. "]"
  return i + #level + 2
end

function Scanner:dash(line, i)
  if line:byte(i + 1) ~= 45 then return i + 1 end
  local level = line:match("^%[(=*)%[", i + 2)
  if not level then return #line + 1 end
  self.long = "]" .. level .. "]"
  return i + #level + 4
end

--- Outside of strings and comments: returns the index to go on from.
function Scanner:code(line, i)
  local at = line:find("[%a_\"'%-%[%](){}]", i)
  if not at then return #line + 1 end
  local c = line:sub(at, at)
  if c == "\"" or c == "'" then
    self.quote = c
    return at + 1
  elseif c == "-" then
    return self:dash(line, at)
  elseif c == "[" then
    return self:bracket(line, at)
  end
  local word = line:match("^[%w_]+", at) or c
  self.depth = self.depth + (DEPTH[word] or 0)
  return at + #word
end

function Scanner:line(line)
  local i = 1
  while i <= #line do
    if self.long then
      local _, last = line:find(self.long, i, true)
      if not last then return end
      self.long = nil
      i = last + 1
    elseif self.quote then
      i = self:string(line, i)
    else
      i = self:code(line, i)
    end
  end
end

--- Is something still open that only a further line can close?
function Scanner:is_open()
  return self.long ~= nil or self.quote ~= nil or self.depth > 0
end

--------------------------------------------------------------------- chunks --

--- The lines of a chunk that were typed so far.
---@class green.repl.Chunk
---@field name string    chunk name
---@field env table      its _ENV
---@field lines string[]
---@field size integer
---@field tried integer  its size when it was compiled last
---@field work integer   bytes compiled since it is a long one
---@field scanner green.repl.Scanner
local Chunk = {}
Chunk.__index = Chunk

--- A chunk without any text yet.
---@param name string
---@param env? table   _G by default
---@return green.repl.Chunk
function repl.chunk(name, env)
  return setmetatable({name = name, env = env or _G, lines = {}, size = 0,
    tried = 0, work = 0, scanner = setmetatable({depth = 0}, Scanner)}, Chunk)
end

local function incomplete(err)
  return err:sub(-5) == "<eof>"
end

--- As an expression first.
local function compile(self)
  local text = table.concat(self.lines, "\n")
  self.tried = self.size
  if self.size > SHORT then self.work = self.work + self.size end
  local chunk, no_expression = load("return " .. text, self.name, "t", self.env)
  if chunk then return chunk end
  local err
  chunk, err = load(text, self.name, "t", self.env)
  if chunk then return chunk end
  if incomplete(err) or incomplete(no_expression) then return nil end
  return nil, err
end

--- Is it worth asking the compiler whether the chunk is complete?
local function may_be_complete(self, more)
  if self.size <= SHORT or self.size >= 2 * self.tried then return true end
  if self.scanner:is_open() then return false end
  return not more or self.work < MOST_WORK * self.size
end

--- Takes one more line; the first may say "= exp", as of old.
---@param line string
---@param more? boolean  another line is there already
---@return function? chunk
---@return string? err   nil while the text is only the beginning of a chunk
function Chunk:add(line, more)
  if #self.lines == 0 then line = line:gsub("^=", "return ") end
  self.lines[#self.lines + 1] = line
  self.size = self.size + #line + 1
  self.scanner:line(line)
  if may_be_complete(self, more) then return compile(self) end
end

-------------------------------------------------------------------- running --

--- A traceback up to the function that was called from here.
local function trim(text)
  local cut = text:find("\n\t%[C%]: in %a+ 'xpcall'\n\t[^\n]*repl%.lua:")
  if not cut then return text end
  return text:sub(1, cut - 1) .. (text:match("\ncaused by #.*$") or "")
end

local function handler(err)
  return green.traceback(err == nil and "nil" or err)
end

local function called(ok, ...)
  if ok then return true, ... end
  return false, trim((...))
end

--- Calls f(...) in protected mode. An error comes as text with its traceback.
---@param f function
---@return boolean ok
---@return any ...
function repl.call(f, ...)
  return called(xpcall(f, handler, ...))
end

--- Runs a chunk and prints its values. Errors of the printing are its own.
---@param chunk function
---@param keep? fun(value: any)  gets the first value, when there is one
---@return boolean ok
---@return string? err
function repl.evaluate(chunk, keep)
  local values = table.pack(repl.call(chunk))
  if not values[1] then return false, values[2] end
  if values.n == 1 then return true end
  if keep then keep(values[2]) end
  return repl.call(_G.print, table.unpack(values, 2, values.n))
end

return repl
