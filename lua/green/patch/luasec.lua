--- LuaSec's module `ssl.core` on green threads: connections that wait for their
--- descriptor where LuaSec's own would hold up the whole program.
---
--- A connection is a table around one of LuaSec's, which never waits by itself
--- (its limit is 0) but says "wantread" or "wantwrite". One thread reads at a
--- time and one writes; writers take turns. The words are LuaSec's: a limit
--- that is over gives "wantread", not "timeout".
---
--- The received bytes stay if the call is struck: `kept` holds them, in front
--- of those that LuaSec has. A send that is struck midway leaves a record of
--- TLS that only the same bytes could complete: the connection sends no more.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local original = require "green.patch.modules".original
local std = _ENV
local getmetatable, math, pairs, setmetatable, table, tonumber, tostring,
  type = getmetatable, math, pairs, setmetatable, table, tonumber, tostring,
  type

local found <const>, luasec <const> = std.pcall(original, "ssl.core")
if not found then
  check.misuse("TLS for LuaSec's module 'ssl' needs LuaSec itself: Debian's "
    .. "package lua-sec, or the rock luasec\n%s", tostring(luasec))
end

core.ignore_sigpipe() -- as LuaSocket does

local methods = {}

--- One of LuaSec's. Its field kept_alive is a name for the collector: LuaSec
--- wants a context to outlive its connections.
local Connection = {__index = methods, __name = "SSL:Connection"}

function Connection.__tostring(c)
  return (tostring(c.raw):gsub(" %(closed%)$", "")) ..
    (c.closed and " (closed)" or "")
end

local WANTS <const> = {wantread = "r", wantwrite = "w"}

------------------------------------------------------------------ waits --

--- When the call must end, and how long one wait may take. A limit alone is
--- for the whole call, whichever it is.
local function limits(c)
  local block, total = c.block, c.total
  if block and total then return green.now() + total, block end
  local only = block or total
  return only and green.now() + only, nil
end

--- Two threads may want the same of one descriptor, a writer to read: the
--- second waits until the first has been woken, and looks again.
local function wait_in_turn(c, event, s)
  local other = c.waits[event]
  if other then
    other:wait(s)
    return true
  end
  local over = green.event()
  c.waits[event] = over
  local _ <close> = setmetatable({}, {__close = function()
    c.waits[event] = nil
    over:send()
  end})
  return green.wait_fd(c.raw:getfd(), event, s)
end

--- Waits for what LuaSec wants; false: the limit is over.
local function wait(c, want, deadline, block)
  local s = block
  if deadline then
    local left = deadline - green.now()
    s = s and math.min(s, left) or left
    if s <= 0 then return false end
  end
  local ready, err = wait_in_turn(c, WANTS[want], s)
  return ready or err == "closed"
end

-------------------------------------------------------------- handshake --

--- Does the handshake: true, or false and an error, among them "wantread" and
--- "wantwrite" when the limit is over: then it may be called again.
function methods.dohandshake(c)
  local deadline, block = limits(c)
  while not c.closed do
    local done, err = c.raw:dohandshake()
    if done then return true end
    if not WANTS[err] then return done, err end
    if not wait(c, err, deadline, block) then return false, err end
  end
  return false, "closed"
end

---------------------------------------------------------------- receive --

--- Removes from what is kept what a pattern takes of it. Returns that, and
--- true if it is all that the pattern wants.
local function take_kept(c, pattern, n)
  local kept = c.kept
  if not kept or kept == "" then return "", n == 0 end
  local at, skip
  if n then
    at = math.min(n, #kept)
  elseif pattern == "l" then
    at = kept:find("\n", 1, true)
    at, skip = (at or #kept + 1) - 1, at and 1
  else
    at = #kept
  end
  c.kept = kept:sub(at + 1 + (skip or 0))
  kept = kept:sub(1, at)
  if pattern == "l" then kept = kept:gsub("\r", "") end
  return kept, skip == 1 or n == at
end

--- The kind of a pattern, and how many bytes it wants.
local function pattern_of(pattern)
  if pattern == nil then return "l" end
  local n = tonumber(pattern)
  if n and n >= 0 then return "n", math.floor(n) end
  if type(pattern) == "string" then
    if pattern:find "^%*l" then return "l" end
    if pattern:find "^%*a" then return "a" end
  elseif type(pattern) ~= "number" then
    check.bad(1, "receive", "string expected, got %s", type(pattern))
  end
  check.bad(1, "receive", "invalid receive pattern")
end

local function begin_reading(c)
  local me = green.current()
  if c.reader then
    check.misuse("connection is already being read by another green thread")
  end
  c.reader = me
  return setmetatable({}, {__close = function() c.reader = nil end})
end

--- Reads until the pattern has what it wants. `pieces` holds the text so far.
local function read(c, kind, n, pieces)
  local deadline, block = limits(c)
  local have = 0
  for i = 1, #pieces do have = have + #pieces[i] end
  while true do
    local want = kind == "l" and "*l" or kind == "a" and "*a" or n - have
    local data, err, partial = c.raw:receive(want)
    local piece = data or partial or ""
    if piece ~= "" then
      pieces[#pieces + 1] = piece
      have = have + #piece
    end
    if data or not WANTS[err] then return data ~= nil, err end
    if not wait(c, err, deadline, block) then return false, err end
    if c.closed then return false, "closed" end
  end
end

--- LuaSocket's receive: data, nil, nil; or nil, error, partial.
function methods.receive(c, pattern, prefix)
  local kind, n = pattern_of(pattern)
  if prefix == nil then prefix = "" end
  if type(prefix) ~= "string" and type(prefix) ~= "number" then
    check.bad(2, "receive", "string expected, got %s", type(prefix))
  end
  prefix = tostring(prefix)
  if n and prefix ~= "" and n <= #prefix then return prefix, nil, nil end
  local wanted = n and n - #prefix
  local _ <close> = begin_reading(c)
  local first, enough = take_kept(c, kind, wanted)
  if enough and not (wanted == 0 and first == "") then
    return prefix .. first, nil, nil
  end
  local pieces = {first}
  -- Struck midway: the bytes that came are kept for the next call.
  local _ <close> = setmetatable({}, {__close = function()
    if pieces then c.kept = table.concat(pieces) .. (c.kept or "") end
  end})
  local done, err = read(c, kind, wanted, pieces)
  local text = prefix .. table.concat(pieces)
  pieces = nil
  if done then return text, nil, nil end
  return nil, err, text
end

function methods.dirty(c)
  if c.closed then return false end
  return c.kept ~= nil and c.kept ~= "" or c.raw:dirty()
end

------------------------------------------------------------------- send --

--- LuaSec's own arguments and results: the index of the last byte that went.
local function write(c, data, i, j)
  local deadline, block = limits(c)
  while true do
    local last, err, sent = c.raw:send(data, i, j)
    if last then return last, nil, nil end
    if not WANTS[err] then return nil, err, sent end
    c.midway = true
    if not wait(c, err, deadline, block) then
      -- The same bytes may be sent again, as LuaSec's users do.
      c.midway = nil
      return nil, err, sent
    end
    c.midway = nil
    if c.closed then return nil, "closed", sent end
    i = sent + 1
  end
end

--- LuaSocket's send: the last byte's index, nil, nil; or nil, error, index.
function methods.send(c, data, i, j)
  if type(data) ~= "string" and type(data) ~= "number" then
    check.bad(1, "send", "string expected, got %s", type(data))
  end
  data = tostring(data)
  local _ <close> = c.turn:acquire()
  if c.midway then
    return nil, "send was cut", (tonumber(i) or 1) - 1
  end
  return write(c, data, i or 1, j or -1)
end

------------------------------------------------------------------ others --

--- LuaSocket's settimeout, with its modes.
function methods.settimeout(c, s, mode)
  if s ~= nil then
    s = tonumber(s) or check.bad(1, "settimeout", "number expected, got %s",
      type(s))
    if s < 0 then s = nil end
  end
  local first = (mode or "b"):sub(1, 1)
  if first == "b" then
    c.block = s
  elseif first == "t" or first == "r" then
    c.total = s
  else
    check.bad(2, "settimeout", "invalid timeout mode")
  end
  return 1
end

function methods.gettimeout(c) return c.block or -1, c.total or -1 end

function methods.getfd(c)
  return c.raw:getfd()
end

--- Closes it; waiting calls end with "closed". Returns nothing.
function methods.close(c)
  if c.closed then return end
  c.closed = true
  local fd = c.raw:getfd()
  if fd >= 0 then core.forget_fd(fd) end
  c.raw:close()
end
Connection.__close = methods.close
Connection.__gc = methods.close

--- Methods of LuaSec that never wait. After close some of them would end the
--- process: they give what they give before the handshake.
local CLOSED <const> = {getpeerverification = {false, "closed"},
  getalpn = {}, getsniname = {}, sni = {}, want = {"nothing"}}

local function forward(name, f)
  methods[name] = function(c, ...)
    if c.closed then
      local values = CLOSED[name] or {nil, "closed"}
      return table.unpack(values, 1, values[2] and 2 or #values)
    end
    return core.call(f, c.raw, ...)
  end
end

local function forward_all(raw)
  local index = getmetatable(raw).__index
  for name, f in pairs(index) do
    if type(f) == "function" and not methods[name] then forward(name, f) end
  end
end

----------------------------------------------------------------- module --

local module = setmetatable({}, {__index = luasec})

--- A connection of that context, without a descriptor yet.
function module.create(context)
  local raw, err = core.call(luasec.create, context)
  if not raw then return nil, err end
  raw:settimeout(0)
  forward_all(raw)
  return setmetatable({raw = raw, waits = {}, turn = green.lock()},
    Connection)
end

function module.setfd(c, fd) return luasec.setfd(c.raw, fd) end

function module.setmethod(name, f) methods[name] = f end

function module.compression(c)
  if c.closed then return nil, "closed" end
  return luasec.compression(c.raw)
end

function module.info(c)
  if c.closed then return nil, "closed" end
  return luasec.info(c.raw)
end

return module
