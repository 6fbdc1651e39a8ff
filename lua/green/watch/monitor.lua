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
local terminal = require "green.watch.terminal"
local error, io, ipairs, math, os, pcall, setmetatable, table, tonumber,
  tostring = error, io, ipairs, math, os, pcall, setmetatable, table, tonumber,
  tostring

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
  local host, text = address:match "^(.*):(%d+)$"
  local port = tonumber(text or address:match "^%d+$")
  if not port or port > 65535 then
    return nil, "an address is host:port or unix:/path"
  end
  host = host and host:match "^%[(.*)%]$" or host or ""
  return green.connect(host == "" and "127.0.0.1" or host, port)
end

--- A backdoor that refuses a session tells why in a last line.
function Session:fail(err)
  local last = not self.admitted and self.seen:match "([^\n]+)\n*$"
  if err == "closed" then err = last or "the program has closed the session" end
  if err == "timeout" then err = "no answer" end
  error(("%s: %s"):format(self.address, err), 0)
end

--- The next bytes; raises what is wrong. What came while this program was
--- suspended is here, however late it is.
function Session:more(s)
  local data, err = self.conn:recv(1 << 20, math.max(s, 0))
  if not data then self:fail(err) end
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
  local self = setmetatable({conn = conn, seen = "\n", lock = green.lock(),
    address = address}, Session)
  admit(self)
  self.admitted = true
  return self
end

------------------------------------------------------------------ the screen --

---@class green.watch.Screen
local Screen = {}
Screen.__index = Screen

local HELP <const> = "sort c cpu s switches b blocked w wait, "
  .. "g groups, k kill, t traceback, q quit"

--- Rows in their order; those of the screen begin with self.first.
function Screen:table_lines(lines, height, width)
  local list = self.list
  if self.groups then list = rows.group(list) end
  rows.sort(list, self.by)
  local title, line = page.table(width)
  lines[#lines + 1] = {title}
  local room = math.max(height - #lines, 0)
  self.page = room
  self.first = math.max(math.min(self.first, #list - room + 1), 1)
  for i = self.first, math.min(#list, self.first + room - 1) do
    lines[#lines + 1] = line(list[i])
  end
  return #list
end

function Screen:paint()
  local height, width = terminal.size()
  if self.text then return terminal.paint(self.text) end
  if not self.list then return terminal.paint {"measuring ..."} end
  local first, second = page.head(self.status)
  local lines = {first, second, self.note or HELP}
  local n = self:table_lines(lines, height, width)
  lines[2] = ("%s; by %s, rows %d to %d of %d"):format(second, self.by,
    math.min(self.first, n), math.min(self.first + self.page - 1, n), n)
  terminal.paint(lines)
end

--- Measures until the session ends.
function Screen:watch()
  while true do
    self.status, self.list = self.session:measure(1)
    self:paint()
    green.sleep(PAUSE)
  end
end

--- Paints anew for another size of the terminal.
function Screen:fit()
  local height, width = terminal.size()
  while true do
    green.sleep(0.1)
    local h, w = terminal.size()
    if h ~= height or w ~= width then
      height, width = h, w
      self:paint()
    end
  end
end

--- Reads a number that is typed behind a question; nil: none.
function Screen:ask(question)
  local typed = ""
  while true do
    self.note = question .. typed
    self:paint()
    local c = terminal.key()
    if c == nil or c == "escape" then return nil end
    if c == "\n" or c == "\r" then return math.tointeger(tonumber(typed)) end
    if c == "\127" or c == "\b" then typed = typed:sub(1, -2) end
    if c:find "^%d$" and #typed < 15 then typed = typed .. c end
  end
end

local keys = {}

local function sorts(by)
  return function(screen) screen.by, screen.first = by, 1 end
end
keys.c, keys.s, keys.b, keys.w = sorts "cpu", sorts "switches",
  sorts "blocked", sorts "wait"

function keys.g(screen) screen.groups = not screen.groups end

function keys.resumed() end -- painted anew

local function scrolls(by)
  return function(screen) screen.first = screen.first + by(screen) end
end
keys.up, keys.down = scrolls(function() return -1 end),
  scrolls(function() return 1 end)
keys["page up"] = scrolls(function(screen) return -screen.page end)
keys["page down"] = scrolls(function(screen) return screen.page end)
keys.home = scrolls(function() return -math.huge end)
keys["end"] = scrolls(function() return math.huge end)

--- The prompt shows values, "true" or "nil" and a reason.
function keys.k(screen)
  local id = screen:ask "kill the thread with the number: "
  screen.note = nil
  if not id then return end
  local answer = screen.session:command(("kill(%d)"):format(id))
  local line = answer:match "[^\r\n]*"
  screen.note = line == "true" and ("#%d was killed"):format(id)
    or ("#%d: %s"):format(id, (line:gsub("^nil%s+", "")))
end

function keys.t(screen)
  local id = screen:ask "traceback of the thread with the number: "
  screen.note = nil
  if not id then return end
  local lines = {}
  local answer = screen.session:command(("bt(%d)"):format(id))
  for line in (answer .. "\n"):gmatch "(.-)\r?\n" do
    lines[#lines + 1] = line:gsub("^nil%s+", ""):gsub("\t", "  ")
  end
  table.insert(lines, 1, {("#%d (a key goes on)"):format(id)})
  screen.text = lines
  screen:paint()
  terminal.key()
  screen.text = nil
end

function Screen:read_keys()
  self:paint()
  while true do
    local c = terminal.key()
    if c == nil or c == "q" or c == "\3" then return end
    if keys[c] and self.list then
      self.note = nil
      keys[c](self)
      self:paint()
    end
  end
end

----------------------------------------------------------------- the program --

local function live(session)
  local _ <close> = terminal.take()
  local screen = setmetatable({session = session, by = "cpu", groups = true,
    first = 1, page = 1}, Screen)
  local fitter <close> = green.spawn(screen.fit, screen)
  fitter.name = "fitting"
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
    io.stdout:write(page.text(list, "cpu", math.huge, math.huge, status))
    io.stdout:flush()
  end)
  if ok or err == "interrupted!" then return nil end
  return core.printable(tostring(err))
end

return monitor
