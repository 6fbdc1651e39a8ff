--- `luagreen top ADDR`: watches another program through its backdoor.
---
--- One thread measures again and again, another reads keys. They share the
--- session, which takes one command at a time.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local page = require "green.watch.page"
local rows = require "green.watch.rows"
local error, io, ipairs, math, os, pcall, setmetatable, tonumber, tostring =
  error, io, ipairs, math, os, pcall, setmetatable, tonumber, tostring

local monitor = {}

--- Seconds that a command may take beyond its measuring.
local PATIENCE <const> = 10
--- Between two measurements, so that the keys' commands get their turn.
local PAUSE <const> = 0.05
--- Bytes of an answer, and of the longest text that ends one.
local MOST <const>, LONGEST <const> = 1 << 24, 20

---------------------------------------------------------------- the session --

---@class green.watch.Session
local Session = {}
Session.__index = Session

--- "unix:/run/app.sock", "/run/app.sock", "host:port" or a port of this
--- machine.
local function dial(address)
  if address:find "^/" then address = "unix:" .. address end
  if address:find "^unix:" then return green.connect(address) end
  local host, port = address:match "^(.-):?(%d+)$"
  if not port then return nil, "an address is host:port or unix:/path" end
  host = host:match "^%[(.*)%]$" or host
  return green.connect(host == "" and "127.0.0.1" or host, tonumber(port))
end

--- The next bytes; raises what is wrong.
function Session:more(s)
  local data, err = nil, "timeout"
  if s > 0 then data, err = self.conn:recv(1 << 20, s) end
  if not data then
    local last = self.seen:match "([^\n]+)\n*$"
    error(last and err == "closed" and last or err, 0)
  end
  if #self.seen + #data > MOST then error("its answer is too long", 0) end
  return data
end

--- Everything up to one of the texts, which are plain; and which one it was.
function Session:expect(s, ...)
  local stop <const>, looked = green.now() + s, 1
  while true do
    for _, text in ipairs {...} do
      local from, to = self.seen:find(text, looked, true)
      if from then
        local found = self.seen:sub(1, from - 1)
        self.seen = self.seen:sub(to + 1)
        return found, text
      end
    end
    local data = self:more(stop - green.now())
    looked = math.max(1, #self.seen - LONGEST)
    self.seen = self.seen .. data
  end
end

local PROMPT <const> = "\n> "

--- Runs a line at the other end; returns what it printed, without what could
--- control a terminal: the other end may be anybody.
function Session:command(line, s)
  local _ <close> = self.lock:acquire()
  self.conn:send(line .. "\n")
  local text = self:expect((s or 0) + PATIENCE, PROMPT)
  return core.printable((text:gsub("\r\n", "\n")))
end

function Session:measure(s)
  local text = self:command(("top(%g, 'raw')"):format(s), s)
  local status, list = page.parse(text)
  if not status then
    error("no answer of a luagreen backdoor: " .. text:sub(1, 200), 0)
  end
  return status, list
end

local function admit(session)
  local _, what = session:expect(PATIENCE, PROMPT, "token: ")
  if what == PROMPT then return end
  local token = os.getenv "LUAGREEN_TOKEN"
  if not token then error("it asks for a token: set LUAGREEN_TOKEN", 0) end
  session.conn:send(token .. "\n")
  _, what = session:expect(PATIENCE, PROMPT, "wrong")
  if what ~= PROMPT then error("LUAGREEN_TOKEN is wrong", 0) end
end

local function connect(address)
  local conn, err = dial(address)
  if not conn then error(("%s: %s"):format(address, err), 0) end
  local self = setmetatable({conn = conn, seen = "\n", lock = green.lock()},
    Session)
  admit(self)
  return self
end

--------------------------------------------------------------- the terminal --

--- Runs stty on the terminal; returns what it prints.
local function stty(arguments)
  local pipe <close> = io.popen("stty " .. arguments
    .. " </dev/tty 2>/dev/null")
  return pipe:read "a"
end

--- Keys come at once and are not shown; another screen than the shell's.
local function take_terminal()
  local former = stty "-g":match "%S+"
  stty "-icanon -echo min 1"
  io.stdin:setvbuf "no"
  io.stdout:write "\27[?1049h\27[?25l"
  return setmetatable({}, {__close = function()
    io.stdout:write "\27[?25h\27[?1049l"
    io.stdout:flush()
    if former then stty(former) end
  end})
end

local function size()
  local height, width = stty "size":match "(%d+) (%d+)"
  height, width = tonumber(height) or 24, tonumber(width) or 80
  return height > 0 and height or 24, width > 0 and width or 80
end

------------------------------------------------------------------ the screen --

---@class green.watch.Screen
local Screen = {}
Screen.__index = Screen

local HELP <const> = "sort by c cpu, s switches, b blocked, w wait; "
  .. "g groups, k kill, t traceback, q quit"

--- One line of the screen, without what was there before.
local function put(line, width)
  io.stdout:write(page.cut(line, width), "\27[K\r\n")
end

function Screen:table_lines()
  local list = self.list
  if self.groups then list = rows.group(list) end
  rows.sort(list, self.by)
  return list
end

function Screen:paint()
  local height, width = size()
  io.stdout:write "\27[H"
  put(page.headline(self.status), width)
  put(self.note or HELP, width)
  io.stdout:write "\27[7m"
  put(page.columns, width)
  io.stdout:write "\27[0m"
  local list = self:table_lines()
  for i = 1, math.min(#list, height - 4) do put(page.line(list[i]), width) end
  io.stdout:write "\27[J"
  io.stdout:flush()
end

--- A text that stays until the next key.
local function show(text)
  local _, width = size()
  io.stdout:write "\27[H\27[J"
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do put(line, width) end
  put("(a key goes on)", width)
  io.stdout:flush()
end

--- Measures until the session ends.
function Screen:watch()
  while true do
    self.status, self.list = self.session:measure(1)
    if not self.busy then self:paint() end
    green.sleep(PAUSE)
  end
end

--- The next key; nil at the end of the input.
local function key()
  green.wait_fd(0, "r")
  return io.stdin:read(1)
end

--- Reads a number that is typed behind a question; nil: none.
function Screen:ask(question)
  local typed = ""
  while true do
    self.note = question .. typed
    self:paint()
    local c = key()
    if c == nil or c == "\27" then return nil end
    if c == "\n" or c == "\r" then return math.tointeger(tonumber(typed)) end
    if c == "\127" or c == "\b" then typed = typed:sub(1, -2) end
    if c:find "%d" and #typed < 15 then typed = typed .. c end
  end
end

local keys = {}

local function sorts(by)
  return function(screen) screen.by, screen.note = by, nil end
end
keys.c, keys.s, keys.b, keys.w = sorts "cpu", sorts "switches",
  sorts "blocked", sorts "wait"

function keys.g(screen) screen.groups = not screen.groups end

--- Its answer, without the values that the prompt shows.
function keys.k(screen)
  local id = screen:ask "kill the thread with the number: "
  if not id then screen.note = nil return end
  local answer = screen.session:command(("kill(%d)"):format(id))
  screen.note = ("kill #%d: %s"):format(id, answer:match "[^\n]*")
end

function keys.t(screen)
  local id = screen:ask "traceback of the thread with the number: "
  screen.note = nil
  if not id then return end
  screen.busy = true
  show(screen.session:command(("bt(%d)"):format(id)))
  key()
  screen.busy = false
end

function Screen:read_keys()
  while true do
    local c = key()
    if c == nil or c == "q" or c == "\3" then return end
    if keys[c] and self.list then
      keys[c](self)
      self:paint()
    end
  end
end

----------------------------------------------------------------- the program --

local function live(session)
  local _ <close> = take_terminal()
  local screen = setmetatable({session = session, by = "cpu", groups = true},
    Screen)
  local watcher <close> = green.spawn(screen.watch, screen)
  watcher.name = "measuring"
  local main = green.current()
  watcher:link(function(t)
    local ok, err = t:join()
    if not ok and t:status() == "failed" then main:throw(err) end
  end)
  screen:read_keys()
end

--- Returns nothing, or an error message.
---@param address? string
---@return string? err
function monitor.run(address)
  if not address then return "top needs the address of a backdoor" end
  local ok, err = pcall(function()
    local session = connect(address)
    local _ <close> = session.conn
    if core.isatty(1) and core.isatty(0) then return live(session) end
    local status, list = session:measure(1)
    local groups = rows.group(list)
    rows.sort(groups, "cpu")
    io.stdout:write(page.headline(status), "\n", page.columns, "\n")
    for _, row in ipairs(groups) do io.stdout:write(page.line(row), "\n") end
    io.stdout:flush()
  end)
  if ok or err == "interrupted!" then return nil end
  return core.printable(tostring(err))
end

return monitor
