--- Files that have to wait: pipes, FIFOs, terminals and sockets. Reading and
--- writing them blocks the calling green thread alone.
---
--- The functions here are the io library's, with its arguments, results and
--- errors, and leave to it what never waits: files on disk. A file is read by
--- one thread at a time, and written by one: others wait for their turn. An
--- interrupted read gives the bytes that it had taken back to the file.
---
--- Where blocking is refused, as in a finalizer, the io library does it all.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local written = require "green.runtime.written"
local ipairs, math, pairs, print, select, setmetatable, table, tonumber, type =
  ipairs, math, pairs, print, select, setmetatable, table, tonumber, type
local may_block <const>, wait_fd <const> = core.may_block, core.wait_fd
local enter <const>, waits <const> = core.file_enter, core.file_waits
local fill_now <const>, take <const> = core.file_fill, core.file_take
local io <const> = io or {}
local plain_execute <const> = os and os.execute

local files = {}

--- The functions and methods of the io library at the time when this was
--- loaded.
local plain <const> = {}
for name, f in pairs(io) do plain[name] = f end
local plain_methods <const> = {}
local methods_of_files = io.stdout and core.metafield(io.stdout, "__index")
for name, f in pairs(methods_of_files or {}) do plain_methods[name] = f end
files.class = methods_of_files

--------------------------------------------------------------- waiting --

--- By file: its locks, from the first wait on.
local reading = setmetatable({}, {__mode = "k"})
local writing = setmetatable({}, {__mode = "k"})

local function is_open(file) return plain.type(file) == "file" end

local function check_open(file)
  if plain.type(file) == "closed file" then
    check.misuse("attempt to use a closed file")
  end
end

--- The turn to read or to write it: released at the end of the block.
local function turn(locks, file)
  local lock = locks[file]
  if not lock then
    lock = green.lock(true)
    locks[file] = lock
  end
  return lock:acquire()
end

--- true, or nil and why the kernel refuses. The next use of a file finds out if
--- it was closed meanwhile.
local function wait(file, event)
  local ready, err = wait_fd(core.file_number(file), event)
  if ready or err == "closed" then return true end
  return nil, err
end

--- Sees to it that bytes are buffered: true; false at the end; or nil and the
--- error.
local function fill(file)
  while true do
    local more, err, code = fill_now(file)
    if more ~= nil or err then return more, err, code end
    more, err = wait(file, "r")
    if not more then return nil, err end
  end
end

--------------------------------------------------------------- reading --

--- The read under way: its bytes so far go back if it is cut off.
local Taken = {}
Taken.__index = Taken

function Taken.__close(taken)
  if taken.over or #taken == 0 or not is_open(taken.file) then return end
  core.file_give(taken.file, table.concat(taken))
end

local function taken_from(file)
  return setmetatable({file = file, over = false}, Taken)
end

--- Returns all that was taken; nil for nothing, unless `some`.
local function finish(taken, some)
  taken.over = true
  local text = table.concat(taken)
  return (some or text ~= "") and text or nil
end

local read = {}

function read.line(file, keep_end)
  local taken <close> = taken_from(file)
  while true do
    local more, err, code = fill(file)
    if not more then
      if err then return nil, err, code end
      return finish(taken)
    end
    local piece, whole = core.file_line(file)
    taken[#taken + 1] = piece
    if whole then
      local line = finish(taken, true)
      return keep_end and line or line:sub(1, -2)
    end
  end
end

function read.all(file)
  local taken <close> = taken_from(file)
  while true do
    local more, err, code = fill(file)
    if err then return nil, err, code end
    if not more then return finish(taken, true) end
    taken[#taken + 1] = take(file, math.huge)
  end
end

function read.bytes(file, n)
  local taken <close> = taken_from(file)
  if n <= 0 then
    local more, err, code = fill(file)
    if err then return nil, err, code end
    return more and "" or nil
  end
  while n > 0 do
    local more, err, code = fill(file)
    if err then return nil, err, code end
    if not more then break end
    local piece = take(file, n)
    taken[#taken + 1] = piece
    n = n - #piece
  end
  return finish(taken)
end

--- A number is read byte by byte, as the io library does it: at most 200 bytes,
--- and what cannot belong to it stays in the file.
local Digits = {}
Digits.__index = Digits
local LONGEST <const> = 200

--- The next byte, without taking it; "" at the end.
function Digits:peek()
  if not self.next then
    local more, err, code = fill(self.file)
    if err then self.err, self.code = err, code end
    self.next = more and take(self.file, 1) or ""
    if self.next ~= "" then core.file_give(self.file, self.next) end
  end
  return self.next
end

--- Takes the next byte if it is one of the set; more than LONGEST are no
--- number.
function Digits:accept(set)
  local byte = self:peek()
  if byte == "" or not byte:find(set) then return false end
  if self.n >= LONGEST then
    self.too_long = true
    return false
  end
  self.taken[#self.taken + 1] = take(self.file, 1)
  self.n = self.n + 1
  self.next = nil
  return true
end

function Digits:accept_all(set)
  local n = 0
  while self:accept(set) do n = n + 1 end
  return n
end

local function skip_spaces(digits)
  local file = digits.file
  while digits:peek():find "^%s$" do
    take(file, 1)
    digits.next = nil
  end
end

function read.number(file)
  local taken <close> = taken_from(file)
  local d = setmetatable({file = file, taken = taken, n = 0}, Digits)
  skip_spaces(d)
  d:accept "[-+]"
  local set, exponent, count = "%d", "[eE]", 0
  if d:accept "0" then
    if d:accept "[xX]" then
      set, exponent = "%x", "[pP]"
    else
      count = 1
    end
  end
  count = count + d:accept_all(set)
  if d:accept "%." then count = count + d:accept_all(set) end
  if count > 0 and d:accept(exponent) then
    d:accept "[-+]"
    d:accept_all "%d"
  end
  local text = finish(taken, true)
  if d.err then return nil, d.err, d.code end
  if d.too_long then return nil end
  return tonumber(text)
end

local formats = {
  l = function(file) return read.line(file, false) end,
  L = function(file) return read.line(file, true) end,
  a = read.all,
  n = read.number,
}

local function reader_of(format, i)
  if type(format) == "number" then
    local n = math.tointeger(format)
    if not n then
      check.bad(i, "read", "number has no integer representation")
    end
    -- Lua would ask for as many bytes as there are numbers.
    if n < 0 then check.bad(i, "read", "at least 0 expected, got %d", n) end
    return read.bytes, n
  end
  if type(format) ~= "string" then
    check.bad(i, "read", "string expected, got %s", type(format))
  end
  return formats[format:match "^%*?(.)"] or
    check.bad(i, "read", "invalid format")
end

--- The work of read: a value for each format, up to the first that failed.
local function read_formats(file, ...)
  local _ <close> = enter(file)
  local _ <close> = turn(reading, file)
  local n = select("#", ...)
  if n == 0 then return read.line(file, false) end
  local values = {}
  for i = 1, n do
    local f, argument = reader_of((select(i, ...)), i)
    local value, err, code = f(file, argument)
    if err then return nil, err, code end
    values[i] = value
    if value == nil then return table.unpack(values, 1, i) end
  end
  return table.unpack(values, 1, n)
end

--- Where blocking is refused meanwhile, the io library reads.
local function read_next(file, ...)
  if not waits(file) then return plain_methods.read(file, ...) end
  return read_formats(file, ...)
end

--- More formats than the io library takes are no iterator.
local MOST_FORMATS <const> = 250

local function iterator(file, closes, ...)
  if select("#", ...) > MOST_FORMATS then
    check.bad(MOST_FORMATS + 1, "lines", "too many arguments")
  end
  return core.file_lines(file, read_next, closes, plain_methods.read, ...)
end

--------------------------------------------------------------- writing --

--- Writes a text: true; or nil, message, errno.
local function put(file, text)
  local i = 1
  while i <= #text do
    local next_i, err, code = core.file_put(file, text, i)
    if err then return nil, err, code, i - 1 end
    if next_i then
      i = next_i
    else
      next_i, err = wait(file, "w")
      if not next_i then return nil, err, nil, i - 1 end
    end
  end
  return true
end

local function flush(file)
  local _ <close> = enter(file)
  local _ <close> = turn(writing, file)
  while true do
    local done, err, code = core.file_flush(file)
    if done or err then return done, err, code end
    done, err = wait(file, "w")
    if not done then return nil, err end
  end
end

--- A write that fails says since Lua 5.5 how many bytes went.
local TELLS_WRITTEN <const> = _VERSION ~= "Lua 5.4"

local function write(file, ...)
  local _ <close> = enter(file)
  local _ <close> = turn(writing, file)
  local total = 0
  for i = 1, select("#", ...) do
    local text = written((select(i, ...)), i)
    local ok, err, code, went = put(file, text)
    if not ok and TELLS_WRITTEN then return nil, err, code, total + went end
    if not ok then return nil, err, code end
    total = total + #text
  end
  return file
end

------------------------------------------------------------ replacing --

--- A replacement is made of the original, a function that decides by the
--- arguments whether ours has to run, and ours.
local either <const> = core.either

--- The users of the methods in the class of files: all, or some, namely
--- imported modules, for the handles that they make.
local uses <const> = {}

--- For the class of all files.
local methods = {}

function methods.read(file, ...)
  return read_formats(file, ...)
end

function methods.lines(file, ...)
  return iterator(file, false, ...)
end

function methods.write(file, ...)
  return write(file, ...)
end

--- The result is the library's: it differs from one Lua to another.
function methods.flush(file)
  local ok, err, code = flush(file)
  if not ok then return nil, err, code end
  return plain_methods.flush(file)
end

--- Threads that wait for the file are told.
function methods.close(file)
  flush(file)
  check_open(file)
  core.forget_fd(core.file_number(file))
  return plain_methods.close(file)
end

--- What a call needs to be done at once, by the io library; none of the others
--- is.
local needs <const> = {read = "read", write = "write", flush = "flush"}

local replacements = {}
for name, f in pairs(methods) do
  local original, need = plain_methods[name], needs[name] or "wait"
  if original then
    replacements[name] = core.file_call(original, f, need)
  end
end

--- Puts methods into the class of all files.
---@param use "all"|"some"
function files.enter(use)
  uses[use] = true
  core.file_mark_all(uses.all)
  for name, f in pairs(replacements) do files.class[name] = f end
end

--- Takes them away, unless imported modules need them.
function files.leave()
  uses.all = nil
  core.file_mark_all(false)
  if uses.some then return end
  for name, f in pairs(replacements) do
    if files.class[name] == f then files.class[name] = plain_methods[name] end
  end
end

--- The original methods, by what to call them.
function files.originals()
  local list = {}
  for name in pairs(replacements) do
    list[plain_methods[name]] = "file:" .. name
  end
  return list
end

------------------------------------------------------------- functions --

--- For the table io.
files.io = {}

local function add(name, decide, f)
  if plain[name] then files.io[name] = either(plain[name], decide, f) end
end

--- Of functions that open files: what these take counts as a descriptor.
local function add_opening(name, decide, f, always, raises)
  if not plain[name] then return end
  files.io[name] = core.opens(plain[name], decide, f, always, raises)
end

--- For the default input or output.
local function add_default(name, kind)
  if not plain[name] then return end
  files.io[name] = core.file_call(plain[name], methods[name], needs[name],
    plain[kind])
end

add_default("read", "input")
add_default("write", "output")
add_default("flush", "output")

add("close", function(...)
  if select("#", ...) > 0 then return waits((...)) end
  return waits(plain.output())
end, function(...)
  return methods.close(select("#", ...) > 0 and ... or plain.output())
end)

--- Does opening it wait until its other end is opened, too?
local function fifo_mode(path, mode)
  if type(path) ~= "string" or not core.is_fifo(path) then return nil end
  if mode == nil then mode = "r" end
  mode = type(mode) == "string" and mode:match "^([rwa])b?$"
  return mode and may_block() and mode
end

local function open(path, mode)
  core.checkpoint()
  return core.open_fifo(path, fifo_mode(path, mode))
end

add_opening("open", fifo_mode, open)

local function never() return false end
add_opening("tmpfile", never, never, true)

local function opened(path, mode)
  local file, err = open(path, mode)
  if not file then check.misuse("%s", err) end
  return file
end

add_opening("lines", function(path)
  if path == nil then return waits(plain.input()) end
  return fifo_mode(path, "r")
end, function(path, ...)
  if path == nil then return iterator(plain.input(), false, ...) end
  local file = opened(path, "r")
  return iterator(file, true, ...), nil, nil, file
end, false, true)

for kind, mode in pairs {input = "r", output = "w"} do
  local set = plain[kind]
  add_opening(kind, function(path) return fifo_mode(path, mode) end,
    function(path) return set(opened(path, mode)) end, false, true)
end

local function flush_outputs()
  for _, file in ipairs {plain.stdout, plain.output()} do
    if waits(file) then flush(file) end
  end
end

--- A text, also as a number.
local function is_text(value)
  return type(value) == "string" or type(value) == "number"
end

add_opening("popen", function(command, mode)
  return is_text(command) and (mode == nil or mode == "r" or mode == "w")
    and may_block()
end, function(command, mode)
  core.checkpoint()
  flush_outputs()
  local file, err, code = core.start_pipe(command, mode)
  if not file then return nil, err, code end
  core.file_mark(file)
  return file
end)

--- For the table os. An execute that is interrupted leaves the command to run.
files.os = {execute = plain_execute and either(plain_execute, function(command)
  return is_text(command) and may_block()
end, function(command)
  core.checkpoint()
  return core.execute(command)
end)}

local print_now <const> = plain.stdout and type(print) == "function" and
  core.file_print(print, function(...)
    write(plain.stdout, table.concat({...}, "\t"), "\n")
    flush(plain.stdout)
  end, plain.stdout)

--- A print for stdout where that may have to wait. Threads with an output of
--- their own go on with the former, if that knows outputs.
function files.printer(former)
  if former == print or not print_now then return print_now or former end
  return either(former, function()
    return not core.output() and waits(plain.stdout)
  end, print_now)
end

--- The same for io.write.
function files.writer(former)
  if former == plain.write then return files.io.write end
  return either(former, function()
    return not core.output() and waits(plain.output())
  end, files.io.write)
end

return files
