--- Random programs that do anything to descriptors, against a model of the
--- kernel.
---
---   lua5.4 spec/fuzz_fd.lua [SECONDS [FIRST]]    programs FIRST and on
---   LUAGREEN_SEED=n lua5.4 spec/fuzz_fd.lua      that one
---   FUZZ_TRACE=1                                 prints each move
---
--- Green threads open, duplicate, replace and close descriptors, by calls of
--- the system that the library does not see, and wait for them, with wait_fd
--- and as sockets; children are forked that keep them open. The model knows
--- which file each number leads to, and how often that has changed. A wait may
--- return true only for a ready file, "closed" only for a closed one, "timeout"
--- only in time and for a file that was not ready. Whenever the program is
--- quiet, no thread waits for a ready file, or for a number that leads
--- elsewhere by now, and the hub is idle.
---
--- SPDX-License-Identifier: MIT

local fuzzing = require "spec.fuzzing"
local preload = require "spec.preload"

local fuzz = {}

local PROGRAM <const> = [==[
local green = require "green"
local test = require "green.test"
local core = require "green.core"

local random = math.random
local TRACE <const> = os.getenv "FUZZ_TRACE"

local World = {}
World.__index = World

local function one_in(n) return random(n) == 1 end

function World:trace(text, ...)
  if TRACE then
    print(("%.6f #%d "):format(green.now(), green.current().id) ..
      text:format(...))
  end
end

function World:fail(text, ...)
  local line = text:format(...)
  self:trace("FAILED: %s", line)
  self.failures[#self.failures + 1] = debug.traceback(line, 2)
end

----------------------------------------------------------- the kernel's --

--- number -> what it leads to. A file has an end, and a count of what changed
--- its readiness; `turns[number]` counts how often the number was given.
function World:given(number, file)
  self:trace("%d is %s now", number, file.name)
  self.turns[number] = (self.turns[number] or 0) + 1
  self.map[number] = file
  file.numbers = file.numbers + 1
end

--- The number is closed, or led elsewhere by dup2.
function World:taken(number)
  local file = self.map[number]
  if not file then return end
  self.map[number] = nil
  self.turns[number] = (self.turns[number] or 0) + 1
  file.numbers = file.numbers - 1
  if file.numbers == 0 and file.peer then file.peer:change() end
  local owner = self.owners[number]
  if owner then
    self.owners[number] = nil
    owner.ghost = true
  end
end

local File = {}
File.__index = File

function File:change() self.version = self.version + 1 end

function World:file(kind)
  self.files = self.files + 1
  return setmetatable({name = kind .. self.files, kind = kind, version = 0,
    numbers = 0}, File)
end

function World:pair(kind)
  local a, b = self:file(kind), self:file(kind)
  a.peer, b.peer = b, a
  return a, b
end

--- A number that leads somewhere; of a stranger's, if `raw`.
function World:pick(raw)
  local list = {}
  for number in pairs(self.map) do
    if not raw or not self.owners[number] then list[#list + 1] = number end
  end
  table.sort(list)
  return list[random(math.max(#list, 1))]
end

------------------------------------------------------------------ moves --

local moves = {}

local function crowded(w)
  local n = 0
  for _ in pairs(w.map) do n = n + 1 end
  return n > 40
end

function moves.pair(w)
  if crowded(w) then return end
  local a, b = w:pair "socket"
  local x, y = failing.pair()
  w:given(x, a)
  w:given(y, b)
end

function moves.pipe(w)
  if crowded(w) then return end
  local a, b = w:pair "pipe"
  local x, y = failing.pipe()
  w:given(x, a)
  w:given(y, b)
end

function moves.event(w)
  if not crowded(w) then w:given(failing.eventfd(), w:file "event") end
end

function moves.null(w)
  if not crowded(w) then w:given(failing.file(), w:file "null") end
end

function moves.dup(w)
  local n = w:pick()
  if n and not crowded(w) then w:given(failing.dup(n), w.map[n]) end
end

function moves.dup2(w)
  local from, to = w:pick(), w:pick()
  if not from or from == to then return end
  local file = w.map[from]
  w:trace("dup2 %d to %d", from, to)
  failing.dup2(from, to)
  w:taken(to)
  w:given(to, file)
end

function moves.close(w)
  local n = w:pick()
  if not n then return end
  w:trace("close %d", n)
  failing.close(n)
  w:taken(n)
end

function moves.write(w)
  local n = w:pick(true)
  if not n then return end
  local file = w.map[n]
  local got = failing.write(n, file.kind == "event" and ("\1"):rep(8)
    or one_in(6) and ("x"):rep(300000) or "x")
  w:trace("write %d: %s", n, got)
  file:change()
  if file.peer then file.peer:change() end
end

function moves.read(w)
  local n = w:pick(true)
  if not n then return end
  local file = w.map[n]
  local got = failing.read(n)
  w:trace("read %d: %s", n, got and #got)
  file:change()
  if file.peer then file.peer:change() end
end

function moves.fork(w)
  if #w.children > 1 then return end
  w.children[#w.children + 1] = failing.sleeper()
  w.forked = true -- files outlive their numbers from now on
end

function moves.reap(w)
  if #w.children > 0 then failing.kill(table.remove(w.children)) end
end

function moves.pause() green.sleep(one_in(3) and random() / 100 or 0) end

function moves.collect() collectgarbage() end

--- Is it ready, as the kernel has it? nil: no number leads to it.
local function is_ready(w, file, event)
  for number, f in pairs(w.map) do
    if f == file then
      local r, wr = failing.events(number)
      return (event == "r" and r) or (event == "w" and wr)
    end
  end
end

--- Another thread that waits for it, in wait_fd or as a socket.
local function rival(w, n, event, but)
  for other in pairs(w.waits) do
    if other ~= but and other.number == n and other.event == event then
      return other
    end
  end
  for _, conn in ipairs(w.conns) do
    if conn.reader and conn.number == n and event == "r" then return conn end
  end
end

--- Checks the result of a wait_fd.
local function judge(w, wait, ok, got, err)
  local n, file = wait.number, wait.file
  local stayed = w.turns[n] == wait.turn
  local same = stayed and file.version == wait.version
  local ready = same and is_ready(w, file, wait.event)
  local said = ok and tostring(got or err) or tostring(got)
  w:trace("wait_fd %d %s: %s", n, wait.event, said)
  if not ok then
    if not said:find("another green thread waits", 1, true) then
      w:fail("wait_fd raised %s", said)
    elseif not (wait.rival or rival(w, n, wait.event, wait)) then
      w:fail("%d %s: nobody else waits", n, wait.event)
    end
  elseif got == true then
    if same and not ready and file.kind ~= "null" then
      w:fail("%s (%d) is not ready to %s", file.name, n, wait.event)
    end
  elseif err == "closed" then
    if stayed then w:fail("%s (%d) is not closed", file.name, n) end
  elseif err == "timeout" then
    if not wait.limit or green.now() < wait.began + wait.limit then
      w:fail("early timeout")
    elseif ready and wait.limit > 0.02 then
      w:fail("%s (%d) was ready to %s", file.name, n, wait.event)
    end
  else
    w:fail("wait_fd said %s", said)
  end
end

function moves.wait(w)
  local n = w:pick()
  if not n then return end
  local wait = {number = n, file = w.map[n], event = one_in(2) and "r" or "w",
    turn = w.turns[n], version = w.map[n].version, began = green.now(),
    limit = one_in(2) and random() / 10 or nil}
  wait.rival = rival(w, n, wait.event)
  w.waits[wait] = true
  w:trace("wait_fd %d %s", n, wait.event)
  local _ <close> = setmetatable({}, {__close = function()
    w.waits[wait] = nil
  end})
  local ok, got, err = pcall(green.wait_fd, n, wait.event, wait.limit)
  if not ok and type(got) ~= "string" then error(got, 0) end -- killed
  judge(w, wait, ok, got, err)
end

function moves.spawn(w) w:spawn(random(6)) end

function moves.kill(w)
  local t = w.threads[random(#w.threads)]
  if t ~= green.current() then t:kill() end
end

--- A connection of the library's, from both its ends.
function moves.connect(w)
  if crowded(w) then return end
  local _, port = w.listener:getsockname()
  local c, err = green.connect("127.0.0.1", port)
  if not c then return w:fail("connect: %s", err) end
  local s, err2 = w.listener:accept()
  if not s then return w:fail("accept: %s", err2) end
  local a, b = w:pair "conn"
  w:given(c:getfd(), a)
  w:given(s:getfd(), b)
  for sock, file in pairs {[c] = a, [s] = b} do
    local conn = {sock = sock, file = file}
    w.owners[sock:getfd()] = conn
    w.conns[#w.conns + 1] = conn
  end
end

local function pick_conn(w)
  local conn = w.conns[random(math.max(#w.conns, 1))]
  return conn and not conn.ghost and conn
end

function moves.send(w)
  local conn = pick_conn(w)
  if not conn then return end
  local file = conn.file
  conn.sock:settimeout(0)
  local ok, err = conn.sock:send "hello"
  conn.sock:settimeout(nil)
  w:trace("send %s: %s", file.name, ok or err)
  file:change()
  file.peer:change()
end

function moves.receive(w)
  local conn = pick_conn(w)
  if not conn or conn.reader then return end
  conn.reader = green.current()
  local _ <close> = setmetatable({}, {__close = function()
    conn.reader = nil
    conn.file:change()
    conn.file.peer:change()
  end})
  local number = conn.sock:getfd()
  conn.number = number
  conn.sock:settimeout(random() / 50)
  local ok, got, err = pcall(conn.sock.recv, conn.sock, 100)
  w:trace("recv %s: %s %s", conn.file.name, got, err)
  if ok and not got and err == "timeout" and not conn.ghost
    and w.map[number] == conn.file and failing.events(number) then
    w:fail("%s had bytes", conn.file.name)
  end
  if ok and err == "timeout" then conn.watched = number end
  if not ok then
    if type(got) ~= "string" then error(got, 0) end
    if not got:find("already being read", 1, true)
      and not got:find("another", 1, true) and not rival(w, number, "r") then
      w:fail("recv raised %s", got)
    end
  end
end

--- All other numbers stay as they are.
local function check_open(w)
  for number, file in pairs(w.map) do
    if not failing.is_open(number) then
      w:fail("%d (%s) is closed", number, file.name)
      w:taken(number)
    end
  end
end

--- One whose number a stranger closed, and the library has again.
local function close_ghost(w, conn)
  local other = conn.watched and w.owners[conn.watched]
  if not other or other == conn or conn.sock:getfd() ~= conn.watched then
    return
  end
  w:trace("close %s, whose number was closed", conn.file.name)
  conn.sock:close()
  check_open(w)
end

function moves.close_conn(w)
  local conn = w.conns[random(math.max(#w.conns, 1))]
  if not conn then return end
  if conn.ghost then return close_ghost(w, conn) end
  local number = conn.sock:getfd()
  w:trace("close %s", conn.file.name)
  if number >= 0 then w.owners[number] = nil end
  conn.sock:close()
  conn.ghost = true
  w:taken(number)
  check_open(w)
end

------------------------------------------------------------------ checks --

--- No thread can run. All remaining waits are for open files that are not
--- ready.
local function check_quiet(w)
  for wait in pairs(w.waits) do
    local n = wait.number
    if w.map[n] ~= wait.file then
      w:fail("%d was closed: its waiter was not told", n)
    elseif is_ready(w, wait.file, wait.event) then
      w:fail("%s (%d) is ready to %s: its waiter was not woken",
        wait.file.name, n, wait.event)
    end
  end
end

--- Waits with a limit end meanwhile, some polls each.
local function check_idle(w)
  failing.watch()
  green.sleep(0.2)
  local polls = failing.off().epoll_wait
  if polls > 300 then w:fail("%d polls of an idle hub", polls) end
end

------------------------------------------------------------------ program --

local function actor(w, n)
  local names = w.names
  for _ = 1, n do moves[names[random(#names)]](w) end
end

function World:spawn(n)
  if #self.threads > 30 then
    local alive = {}
    for _, t in ipairs(self.threads) do
      if not t:has_ended() then alive[#alive + 1] = t end
    end
    self.threads = alive
    if #alive > 25 then return end
  end
  local t = green.spawn(actor, self, n)
  self.threads[#self.threads + 1] = t
end

--- All moves, some of them many times.
local function all_moves()
  local list = {}
  for name in pairs(moves) do list[#list + 1] = name end
  table.sort(list)
  for _, name in ipairs {"wait", "wait", "wait", "wait", "pair", "write",
    "write", "read", "pause", "pause", "spawn", "receive", "send", "close",
    "dup2"} do
    list[#list + 1] = name
  end
  return list
end

local function settle(w)
  green.sleep(0.001)
  for _ = 1, 3 do
    check_idle(w)
    check_quiet(w)
  end
end

local function finish(w)
  for _, t in ipairs(w.threads) do t:kill() end
  for _, t in ipairs(w.threads) do t:join() end
  while #w.children > 0 do moves.reap(w) end
  for _, conn in ipairs(w.conns) do
    if conn.ghost then
      if conn.sock:getfd() >= 0 then conn.sock:setfd(-1) end
    else
      w.owners[conn.sock:getfd()] = nil
      w.map[conn.sock:getfd()] = nil
      conn.sock:close()
    end
  end
  check_open(w)
  for number in pairs(w.map) do failing.close(number) end
  w.listener:close()
  if green.stats().external ~= 0 then
    w:fail("%d waits are left", green.stats().external)
  end
end

local function program()
  local w = setmetatable({map = {}, turns = {}, owners = {}, waits = {},
    conns = {}, children = {}, threads = {}, failures = {}, files = 0,
    names = all_moves()}, World)
  w.listener = assert(green.listen("127.0.0.1", 0))
  green.on_error(function(err) w:fail("an actor failed: %s", err) end)
  for _ = 1, random(6) do w:spawn(random(10, 60)) end
  for _ = 1, random(6) do
    settle(w)
    for _ = 1, random(3) do w:spawn(random(20)) end
  end
  settle(w)
  finish(w)
  if #w.failures > 0 then error(table.concat(w.failures, "\n\n"), 0) end
end

local function run(seed)
  test.run(program, {seed = seed, limit = 20})
end

local seed = math.tointeger(tonumber(os.getenv "LUAGREEN_SEED" or ""))
if seed then
  run(seed)
  os.exit(0, true)
end
local over = core.real_now() + tonumber(arg[1])
local n, bad = math.tointeger(tonumber(arg[2])), 0
local first, most = n, tonumber(arg[3])
while core.real_now() < over and n - first < most do
  local ok, err = pcall(run, n)
  if not ok then
    bad = bad + 1
    print(("seed %d: %s\n"):format(n, err))
  end
  n = n + 1
end
print(("%d programs from seed %d, %d failed"):format(n - first, first, bad))
os.exit(bad == 0, true)
]==]

--- Runs programs for `seconds`, but at most `most`; raises with those that
--- failed, else returns the last line.
function fuzz.run_for(seconds, first, most)
  return preload.run(PROGRAM, ("%g %d %d"):format(seconds, first,
    most or 1 << 30), seconds + 100)
end

if fuzzing.started "fuzz_fd.lua" then
  fuzzing.run_preloaded(fuzz.run_for, fuzzing.arguments())
end

return fuzz
