--- A Lua prompt inside the running program, for telnet and nc.
---
--- A session has three green threads beside the one that called it: a reader
--- that parses the client's bytes and notices a Ctrl-C at any time, a sender,
--- and one for the running command. A command takes turns while it computes, so
--- that it cannot hold up the program and can be interrupted.
---
--- Names. A session sees, in this order: the globals it made itself, `locals`,
--- the helpers (ps, top, bt, kill, help, exit, quit, green), and the program's
--- globals. Assigning to a name that `locals` or the program has changes it
--- there; a new name stays in the session; `_G.name = value` makes one in the
--- program.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local gate = require "green.net.gate"
local outlet = require "green.runtime.outlet"
local repl = require "green.runtime.repl"
local cycles = require "green.runtime.cycles"
local telnet = require "green.net.telnet"
local _G, error, ipairs, math, pcall, rawget, rawset, require, setmetatable,
  table, tostring, type =
  _G, error, ipairs, math, pcall, rawget, rawset, require, setmetatable,
  table, tostring, type

--- A second Ctrl-C within this many seconds kills the command.
local IN_A_ROW <const> = 3
--- How long a command may go on after its client has left: a client that has
--- only closed its sending side, such as nc -N, still gets its answer.
local AFTER_LEAVING <const> = 0.5
--- The length of a line, before the token and after it; and how many bytes may
--- be typed ahead, where each line counts as PER_LINE more.
local MOST_TOKEN <const>, MOST_LINE <const> = 1024, 64 * 1024
local MOST_TYPED <const>, PER_LINE <const> = 1024 * 1024, 32
local TRIES <const>, WRONG_PAUSE <const> = 3, 0.5

local BANNER <const> = ([[
%s, %s. This is the program's own Lua.
help() says what else there is; Ctrl-C stops a command, exit() leaves.
]]):format(green._VERSION, _VERSION)

local HELP <const> = [[
ps()      the green threads: what each waits for, and since when
bt(id)    the traceback of a thread
top(s)    the threads that cost most, measured for s seconds, or one
kill(id)  kills a thread
exit()    ends this session and nothing else; so do quit() and Ctrl-D
_         the value of the last expression
A new global stays in this session; _G.name = value makes it the program's.]]

local backdoor = {}

-- Items of a session's input besides lines.
local END <const>, INTERRUPT <const> = {}, {}

------------------------------------------------------------------ helpers --

local function find_thread(id)
  if green.type(id) == "thread" then return id end
  id = math.tointeger(id)
  return id and green.find_thread(id)
end

local function no_thread(id)
  return nil, "no green thread #" .. tostring(id)
end

--- "sleep", or "join #7".
local function awaited(w)
  if not w then return "-" end
  return green.type(w.on) == "thread" and ("%s #%d"):format(w.what, w.on.id)
    or w.what
end

local helpers = {green = green}

--- top([s]): a table of the threads that cost most, after s seconds. "raw" is
--- for `luagreen top`.
function helpers.top(s, how)
  local list = require "green.watch.rows".measure(s or 1)
  local page = require "green.watch.page"
  _G.print((how == "raw" and page.raw(list)
    or page.text(list, "cpu", 30, 160)):sub(1, -2))
end

function helpers.ps()
  local print = _G.print -- the thread knows where it goes
  print "   id  state         for  waits for         name, and where it waits"
  local now = green.now()
  for i, t in ipairs(green.threads()) do
    if i % 100 == 0 then core.turn() end
    local w = t:blocked()
    print(("%5d  %-8s  %7s  %-16s  %s%s"):format(t.id, t:status(),
      w and ("%.1f s"):format(now - w.since) or "-", awaited(w),
      cycles.one_line(t.name),
      w and w.where and ", at " .. w.where or ""))
  end
end

function helpers.bt(id)
  local t = id == nil and green.current() or find_thread(id)
  if not t then return no_thread(id) end
  _G.print(core.printable(t:traceback()))
end

function helpers.kill(id)
  local t = find_thread(id)
  if not t then return no_thread(id) end
  return t:kill("by a backdoor session")
end

function helpers.help()
  _G.print(HELP)
end

----------------------------------------------------------------- sessions --

---@class green.backdoor.Session
---@field conn userdata
---@field out green.Outlet
---@field input userdata      queue of lines, END and INTERRUPT
---@field typed integer       bytes in it
---@field partial string[]    the pieces of a line without its end so far
---@field pieces integer
---@field length integer      of all of them
---@field most_line integer
---@field open boolean        reaching the port was enough to get here
---@field fresh boolean       no line has come yet
---@field ended boolean       END is in the input
---@field over boolean
---@field command? green.thread
---@field struck? number      when it was interrupted last
---@field env table
local Session = {}
Session.__index = Session

--- The _ENV of a session's chunks.
local function environment(session, locals)
  local ours = setmetatable({}, {__index = helpers})
  function ours.exit() session:exit() end
  ours.quit = ours.exit

  return setmetatable({}, {
    __index = function(_, name)
      local value = locals[name]
      if value == nil then value = ours[name] end
      if value == nil then value = _G[name] end
      return value
    end,
    __newindex = function(env, name, value)
      if locals[name] ~= nil then
        locals[name] = value
      elseif rawget(_G, name) ~= nil then
        _G[name] = value
      else
        rawset(env, name, value)
      end
    end,
  })
end

local function new_session(conn, opts)
  local self = setmetatable({conn = conn, input = green.queue(), typed = 0,
    partial = {}, pieces = 0, length = 0, fresh = true, ended = false,
    over = false, open = gate.is_open(conn, opts.token),
    most_line = opts.token and MOST_TOKEN or MOST_LINE}, Session)
  self.out = outlet(conn, function() self:hang_up() end)
  self.filter = telnet.filter {
    on_text = function(text) self:on_text(text) end,
    on_signal = function(name) self[name](self) end,
    send = function(bytes) self:say(bytes) end,
  }
  self.env = environment(self, opts.locals or {})
  return self
end

function Session:say(text)
  self.out:write(text)
end

--- exit() in a command, or in a thread that one has spawned.
function Session:exit()
  self.over = true
  self.input:put(END)
  if green.current() == self.command then error("exit", 0) end
end

--- Ends it now, in the middle of a command, too. Never switches.
function Session:stop(reason)
  self.over = true
  self.input:clear()
  self.input:put(END, 0)
  if self.command then self.command:kill(reason) end
end

--- The client has left, or takes no more text. Never switches.
function Session:hang_up()
  self.out:close()
  self:stop("the client has left")
end

------------------------------------------------------------------- reader --

--- Looks at each byte once and copies it once, even if bytes come in tiny
--- pieces.
function Session:on_text(text)
  local from = 1
  while not self.over do
    local stop = text:find("\n", from, true)
    if not stop then break end
    self:add(text:sub(from, stop - 1))
    if not self.over then self:end_line() end
    from = stop + 1
  end
  if not self.over then self:add(text:sub(from)) end
end

--- One more piece of the line.
function Session:add(piece)
  if piece == "" then return end
  self.pieces = self.pieces + 1
  self.partial[self.pieces] = piece
  self.length = self.length + #piece
  local why = self.fresh and gate.objection_to_piece(piece, self.open)
  if why then
    self:refuse(why, piece)
  elseif self.length > self.most_line then
    self:give_up "too much is typed ahead without an end of line"
  end
end

--- Returns the line so far, and forgets it.
function Session:take_partial()
  local line = table.concat(self.partial, "", 1, self.pieces)
  self.partial, self.pieces, self.length = {}, 0, 0
  return line
end

--- Checks the first line here, before it is put into the input: a Ctrl-C in the
--- body of a request would drop it there, and the rest of the body would run.
function Session:end_line()
  local line = self:take_partial()
  if self.fresh and line:find "%S" then
    local why = gate.objection(line, self.open)
    if why then return self:refuse(why, line) end
    self.fresh = false
    if self.open then gate.leave(self) end
  end
  self.typed = self.typed + #line + PER_LINE
  self.input:put(line)
  if self.typed > MOST_TYPED then self:give_up "too much is typed ahead" end
end

function Session:refuse(why, line)
  gate.hung_up(self.conn, why, line)
  self:give_up(why)
end

--- Ends the session because of the client's input.
function Session:give_up(why)
  self:say(("\n%s\n"):format(why))
  self:stop(why)
end

--- Ctrl-D: lines that were typed before it still run.
function Session:eof()
  if self.ended then return end
  self.ended = true
  self.input:put(END)
end

--- Ctrl-C: lines that were typed before it are dropped, as by a terminal.
function Session:interrupt()
  local now, command = green.now(), self.command
  self:take_partial()
  self.typed, self.ended = 0, false
  self.input:clear()
  if not command then
    self.input:put(INTERRUPT)
  elseif self.struck and now - self.struck < IN_A_ROW
    or not command:throw("interrupted!") then
    command:kill("interrupted!")
  end
  self.struck = now
end

--- Takes a turn after each piece, so that a client that never stops sending
--- does not block other threads.
function Session:read()
  while not self.over do
    local data = self.conn:recv(4096)
    if not data then break end
    self.filter:feed(data)
    green.sleep(0)
  end
  self:eof()
  green.sleep(AFTER_LEAVING)
  self:hang_up()
end

----------------------------------------------------------------- commands --

--- The body of a command's thread.
local function run_command(self, chunk)
  self.out:adopt()
  core.take_turns()
  local ok, err = repl.evaluate(chunk, function(value)
    rawset(self.env, "_", value)
  end)
  if not ok and not self.over then self:say(core.printable(err) .. "\n") end
end

function Session:run(chunk)
  local command <close> = green.spawn(run_command, self, chunk)
  command.name = "backdoor command"
  self.command, self.struck = command, nil
  local ok, err = command:join()
  self.command = nil
  if not ok and not self.over then self:say(tostring(err) .. "\n") end
end

--- The next thing from the client; nil after s seconds.
function Session:next(s)
  local item = self.input:get(s)
  if type(item) == "string" then
    self.typed = math.max(self.typed - #item - PER_LINE, 0)
  end
  return item
end

--- Takes one more line; returns the chunk if it needs more.
function Session:take(line, chunk)
  chunk = chunk or repl.chunk("=backdoor", self.env)
  local f, err = chunk:add(line, #self.input > 0)
  green.sleep(0) -- that may have taken a while
  if f then
    self:run(f)
  elseif err then
    self:say(core.printable(err) .. "\n")
  else
    return chunk
  end
end

function Session:talk()
  local chunk
  while not self.over do
    self:say(chunk and ">> " or "> ")
    local item = self:next()
    if item == END then
      return
    elseif item == INTERRUPT then
      self:say("\n")
      chunk = nil
    else
      chunk = self:take(item, chunk)
    end
  end
end

-------------------------------------------------------------------- token --

--- The terminal does not end lines by itself while it shows nothing.
function Session:ask(token)
  local over = core.now() + gate.ADMISSION_TIME
  for try = 1, TRIES do
    self:say(try == 1 and "token: " or "\r\nwrong; token: ")
    local line = self:next(over - core.now())
    if type(line) ~= "string" or not gate.may_guess(over - core.now())
      or self.over then
      return false
    elseif gate.admits(self.conn, line, token) then
      return true
    end
    green.sleep(WRONG_PAUSE)
  end
  self:say("\r\nwrong")
  return false
end

function Session:admit(token)
  if not token then return true end
  self.filter:hide(true)
  local admitted = self:ask(token)
  self.filter:hide(false)
  self:say("\r\n")
  if admitted then
    gate.leave(self)
    self.most_line = MOST_LINE
  end
  return admitted
end

------------------------------------------------------------- the two faces --

local known = {locals = "table", token = "string", banner = "string",
               anywhere = "boolean"}

local function check_options(opts, what)
  opts = check.options(opts, known, 2, what)
  if opts.token == "" then check.misuse "an empty token protects nothing" end
  return opts
end

--- Runs a session on a connection, which is closed at the end. Interruptible.
--- May switch.
---@param conn userdata  a connected socket
---@param opts? {locals: table, token: string, banner: string}
---@return true? ok
---@return string? err  it comes from another machine, and there is no token
function backdoor.session(conn, opts)
  opts = check_options(opts, "session")
  if not check.has(conn, "receive") then
    check.wrong(1, "session", "connection", conn)
  end
  local _ <close> = conn
  if not gate.may_enter(conn, opts.token) then return nil, "refused" end
  local self <close> = new_session(conn, opts)
  conn:settimeout(nil)
  pcall(conn.setoption, conn, "oobinline", true)
  local sender <close> = green.spawn(self.out.run, self.out)
  local reader <close> = green.spawn(self.read, self)
  sender.name, reader.name = "backdoor sender", "backdoor reader"
  if opts.token or self.open then gate.arrive(self, opts.token) end
  if self:admit(opts.token) then
    self:say(opts.banner or BANNER)
    self:talk()
  end
  self.over = true
  self.out:finish()
  sender:join()
  conn:shutdown("send")
  return true
end

function Session:__close()
  gate.leave(self)
end

--- The addresses of a listener, which may be anybody's object.
local function addresses(listener)
  local all = listener.getsocknames
  if all then return all(listener) or {} end
  local host, _, family = listener:getsockname()
  return {{addr = host, family = family}}
end

--- Is it on the loopback interface, or a Unix socket? Else on which address.
local function is_local(listener)
  for _, at in ipairs(addresses(listener)) do
    local is_inet = at.addr and (at.family or ""):find "^inet"
    if is_inet and not gate.is_loopback(at.addr) then return false, at.addr end
  end
  return true
end

--- Serves sessions until the listener is closed. TCP only on the loopback
--- interface, unless opts.anywhere is true; peers of other machines need a
--- token even then. A Unix socket of mode "0600" is better: every user of this
--- machine, and every page in its browsers, can reach a port of the loopback
--- interface. Interruptible. May switch.
---@param listener userdata
---@param opts? {locals: table, token: string, banner: string,
--- anywhere: boolean}
---@return true? ok      as green.serve
---@return string? err
function backdoor.server(listener, opts)
  opts = check_options(opts, "server")
  if not check.has(listener, "getsockname") then
    check.wrong(1, "server", "listener", listener)
  end
  local safe, host = is_local(listener)
  if not safe and not opts.anywhere then
    check.misuse("a backdoor on %s is open to other machines; listen on "
      .. "127.0.0.1 or a Unix socket, or say anywhere = true", host)
  end
  return green.serve(listener, function(conn)
    green.current().name = "backdoor session"
    backdoor.session(conn, opts)
  end)
end

return backdoor
