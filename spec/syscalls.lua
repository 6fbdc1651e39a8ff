--- System calls that fail, one after the other, in programs that use all of the
--- library.
---
---   lua5.4 spec/syscalls.lua [SECONDS [SEED]]   so many random cases
---   lua5.4 spec/syscalls.lua all [SCENARIO [CALL]]   every case
---   lua5.4 spec/syscalls.lua SCENARIO CALL N ERROR TIMES      that one
---
--- A case is a scenario, a system call, the number of the call that fails, its
--- error, and how many calls in a row fail. The scenario runs in a forked
--- child, once while calls fail, when its calls may return errors and its
--- threads raise them, and once more after that, when all must be well. Nothing
--- may be lost or come twice, nothing be left (threads, descriptors), no call
--- may wait for ever, and the child must end by itself.
---
--- SPDX-License-Identifier: MIT

local fuzzing = require "spec.fuzzing"
local preload = require "spec.preload"

local syscalls = {}

--- Runs in a Lua of its own, with spec/c/failing.c preloaded.
local PROGRAM <const> = [==[
local random = math.random
local LACKS <const> = {"EMFILE", "ENFILE", "ENOMEM"}
local ERRORS <const> = {
  accept4 = {"EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EPERM", "EPROTO",
    "ECONNABORTED", "ENETDOWN", "EINTR", "EAGAIN", "ETIMEDOUT"},
  bind = {"EADDRINUSE", "EACCES", "ENOMEM", "ENOBUFS"},
  chmod = {"EPERM", "EIO"},
  close = {"EINTR", "EIO"},
  connect = {"EINTR", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH",
    "EADDRNOTAVAIL", "EAGAIN", "ENOBUFS", "EPERM"},
  dup3 = {"EBUSY", "EINTR"},
  epoll_create1 = LACKS,
  epoll_ctl = {"ENOSPC", "ENOMEM"},
  epoll_wait = {"EINTR"},
  eventfd = LACKS,
  fchmod = {"EPERM"},
  fcntl = {"EINTR", "ENOMEM"},
  flock = {"EINTR", "EAGAIN", "ENOLCK"},
  fstat = {"ENOMEM"},
  getaddrinfo = {"EAI_AGAIN", "EAI_MEMORY", "EAI_FAIL", "EMFILE", "ENOMEM"},
  getnameinfo = {"EAI_MEMORY", "ENOMEM"},
  getpeername = {"ENOBUFS", "ENOTCONN"},
  getsockname = {"ENOBUFS"},
  getsockopt = {"ENOBUFS", "ENOMEM"},
  listen = {"EADDRINUSE", "ENOBUFS"},
  lstat = {"ENOMEM", "EACCES"},
  madvise = {"ENOMEM", "EAGAIN", "EINVAL"},
  mmap = {"ENOMEM"},
  mprotect = {"ENOMEM"},
  open = {"EMFILE", "ENFILE", "EACCES", "ENOMEM"},
  poll = {"EINTR", "ENOMEM"},
  pthread_create = {"EAGAIN"},
  recv = {"EINTR", "EAGAIN", "ENOMEM", "ENOBUFS", "ECONNRESET", "ETIMEDOUT"},
  pread64 = {"EIO", "EINTR"},
  recvfrom = {"EINTR", "EAGAIN", "ENOMEM", "ECONNREFUSED"},
  recvmsg = {"EINTR", "EAGAIN", "ENOMEM", "ECONNRESET"},
  send = {"EINTR", "EAGAIN", "ENOMEM", "ENOBUFS", "EPIPE", "ECONNRESET",
    "none"},
  sendfile64 = {"EINTR", "EAGAIN", "EINVAL", "ENOMEM", "EIO", "EPIPE", "none"},
  sendmsg = {"EINTR", "EAGAIN", "ENOMEM", "ENOBUFS", "EPIPE"},
  sendto = {"EINTR", "EAGAIN", "ENOMEM", "ENOBUFS", "EPERM", "ECONNREFUSED"},
  setsockopt = {"ENOBUFS", "ENOMEM"},
  shutdown = {"ENOTCONN", "ENOBUFS"},
  sigaltstack = {"ENOMEM", "EPERM"},
  socket = {"EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EACCES"},
  socketpair = {"EMFILE", "ENFILE", "ENOMEM"},
  unlink = {"EBUSY", "EACCES"},
}

-- ASan's runtime calls it itself, and ends the process if it fails.
if (os.getenv "LD_PRELOAD" or ""):find "asan" then ERRORS.sigaltstack = nil end

local green
local strict -- all must be well
local may_time_out -- a call is planned to say so
local may_leave -- a file, which cannot be removed

--- Passes the results of a call of the library on. An error must be one of the
--- system's, in words; while nothing fails there must be none.
local function well(first, err, ...)
  if first then return first, err, ... end
  if type(err) ~= "string" or err == "" then
    error("no words for the error: " .. tostring(err), 2)
  end
  if err == "timeout" and not may_time_out then
    error("a call has waited for ever", 2)
  end
  if strict then error("not well: " .. err, 2) end
  error(setmetatable({}, {__tostring = function() return err end}), 0)
end

--- An error that came out of a thread: of the world, or of ours.
local unexpected
local function look_at(err)
  local text = tostring(err)
  if type(err) == "table" or green.type(err) == "killed" then return end
  for _, word in ipairs {"attempt to", "for ever", "no words", "wrong",
    "not well", "bad argument", "stack traceback"} do
    if text:find(word, 1, true) then unexpected = unexpected or text end
  end
  if strict then unexpected = unexpected or text end
end

local function try(f, ...)
  local ok, err = pcall(f, ...)
  if not ok then look_at(err) end
  return ok
end

--- Threads that all come to their end.
local function all(list)
  for _, t in ipairs(list) do
    local ok, err = t:join(20)
    if not ok then
      if err == "timeout" then error("a thread waits for ever", 0) end
      look_at(err)
    end
  end
end

--- A thread, or none if the system has nothing to make it of. Returns whether.
local threads
local function spawn(f, ...)
  local ok, t = pcall(green.spawn, f, ...)
  if ok then threads[#threads + 1] = t else look_at(t) end
  return ok
end

--- Runs body(spawn); then its threads end.
local function together(body)
  local outer = threads
  threads = {}
  local ok, err = pcall(body)
  all(threads)
  threads = outer
  if not ok then error(err, 0) end
end

local function patient(sock)
  sock:settimeout(15)
  return sock
end

--- Echoes; any error closes the connection.
local function echo(conn)
  for line in patient(conn):lines() do well(conn:send(line .. "\n")) end
end

--- Bytes that cannot be sent bring no answer.
local function send(conn, data)
  local ok, err = conn:send(data)
  if not ok then conn:close() end
  well(ok, err)
end

--- Sends lines and checks what comes back: the same, or nothing more.
local function talk(host, port, n, tls)
  local c <close> = well(green.connect(host, port, {timeout = 15, tls = tls}))
  patient(c)
  for i = 1, n do
    local line = ("%d:%s"):format(i, ("x"):rep(i == n and 300000 or 10 * i))
    local sent = green.spawn(send, c, line .. "\n")
    local got, err = c:receive()
    if got and got ~= line then error("wrong line", 0) end
    all {sent}
    well(got, err)
  end
  if not tls then return end
  well(c:shutdown "send")
  local rest, err = c:receive "a"
  if rest then error("wrong: more than was sent", 0) end
  if err ~= "closed" then well(rest, err) end
end

local function serve(listener, clients)
  local server = green.spawn(green.serve, listener, echo)
  together(clients)
  local _, outcome = server:join(0)
  if outcome ~= "timeout" then
    error("wrong: serve has ended: " .. tostring(outcome), 0)
  end
  listener:close()
  all {server}
end

local scenario = {}

function scenario.tcp()
  local listener = well(green.listen("127.0.0.1", 0))
  local _ <close> = listener
  local _, port = well(listener:getsockname())
  serve(listener, function()
    for _ = 1, 3 do spawn(talk, "127.0.0.1", port, 4) end
  end)
end

--- Handshakes in threads of their own, records, and an end in order. Its
--- certificates are made before anything fails.
local certs = package.searchpath("green.openssl", package.cpath)
  and require "spec.certificates"

if certs then
  function scenario.tls()
    local listener = well(green.listen("127.0.0.1", 0,
      {tls = certs.of "server"}))
    local _ <close> = listener
    local _, port = well(listener:getsockname())
    serve(listener, function()
      for _ = 1, 2 do
        spawn(talk, "127.0.0.1", port, 3, {cafile = certs.ca})
      end
    end)
  end
end

--- A server of TLS with two listeners, whose clients end the connection in
--- both directions at once.
if certs then
  function scenario.tls_server()
    local server = green.server {listen = {"127.0.0.1:0", "127.0.0.1:0"},
      handler = echo, idle = 15, tls = certs.of "server"}
    well(server:start())
    local _ <close> = setmetatable({}, {__close = function()
      server:stop {grace = 0}
    end})
    local function both(port)
      local c <close> = well(green.connect("127.0.0.1", port, {timeout = 15,
        tls = {cafile = certs.ca}}))
      patient(c)
      send(c, "hello\n")
      local got, err = c:receive()
      if got and got ~= "hello" then error("wrong line", 0) end
      well(got, err)
      well(c:shutdown "both")
      if c:receive() then error("wrong: read after the end", 0) end
    end
    together(function()
      for _, address in ipairs(server:addresses()) do
        if address.port then
          spawn(talk, "127.0.0.1", address.port, 2, {cafile = certs.ca})
          spawn(both, address.port)
        end
      end
    end)
    local report = server:stop {grace = 1}
    if #report.left > 0 then error("wrong: left behind", 0) end
  end
end

function scenario.name()
  local listener = well(green.listen("localhost", 0))
  local _ <close> = listener
  local _, port = well(listener:getsockname())
  serve(listener, function()
    for _ = 1, 2 do spawn(talk, "localhost", port, 2) end
  end)
end

function scenario.names()
  green.config {resolver = function()
    return {"127.0.0.2", {addr = "127.0.0.1"}}, 60
  end}
  local names <close> = setmetatable({}, {__close = function()
    green.config {resolver = false}
  end})
  assert(names)
  local listener = well(green.listen("two", 0))
  local _ <close> = listener
  if #well(listener:getsocknames()) ~= 2 then error("wrong: one address", 0) end
  local _, port = well(listener:getsockname())
  serve(listener, function()
    for _ = 1, 3 do spawn(talk, "two", port, 2) end
  end)
end

function scenario.unix()
  local path = os.tmpname()
  os.remove(path)
  local listener = well(green.listen("unix:" .. path, nil, {mode = "0600"}))
  do
    local _ <close> = listener
    serve(listener, function()
      for _ = 1, 2 do spawn(talk, "unix:" .. path, nil, 3) end
    end)
  end
  for _, name in ipairs {path, path .. ".lock"} do
    if os.remove(name) and not may_leave then
      error("wrong: left is " .. name, 0)
    end
  end
end

--- Both ends of a Unix connection, with limits; closed with the third value.
local function pair()
  local a, b = well(green.socketpair())
  patient(a)
  patient(b)
  return a, b, setmetatable({}, {__close = function()
    a:close()
    b:close()
  end})
end

--- All that comes, however often it fails meanwhile; then closes.
local function gather(sock)
  local parts = {}
  repeat
    local data, err, partial = sock:receive "a"
    parts[#parts + 1] = data or partial
  until data or err == "closed" or #parts > 10
  sock:close()
  return table.concat(parts)
end

--- A copy goes on where one has failed, as long as both sides are there.
function scenario.copy()
  local data = ("0123456789"):rep(100000)
  local near, from, _ <close> = pair()
  local to, far, _ <close> = pair()
  together(function()
    local sends = spawn(function()
      local ok, err = near:send(data)
      near:close() -- a shutdown may fail, and nobody would be told
      well(ok, err)
    end)
    if not sends then near:close() end
    local copies = spawn(function()
      local moved, err
      local sum = 0
      for _ = 1, 10 do
        local n, why, part = from:copy(to)
        moved, err = n, why
        sum = sum + (n or part)
        if n or why == "timeout" then break end
      end
      if sum ~= select(2, to:getstats()) then error("wrong sum", 0) end
      to:close()
      from:close()
      well(moved, err)
    end)
    if not copies then to:close() end
    local got = gather(far)
    if got ~= data:sub(1, #got) then error("wrong bytes", 0) end
    if strict and got ~= data then error("wrong: bytes are missing", 0) end
  end)
end

function scenario.file()
  local text = ("line\n"):rep(20000)
  local path = os.tmpname()
  local f <close> = io.open(path, "w+")
  os.remove(path)
  if not f then return end -- by the plan
  f:write(text)
  f:flush()
  f:seek "set"
  local near, far, _ <close> = pair()
  together(function()
    local copies = spawn(function()
      local n, err
      for _ = 1, 10 do
        n, err = green.copy(f, near)
        if n or err == "timeout" then break end
      end
      near:close()
      well(n, err)
    end)
    if not copies then near:close() end
    local got = gather(far)
    if got ~= text:sub(1, #got) then error("wrong bytes", 0) end
    if strict and got ~= text then error("wrong: bytes are missing", 0) end
  end)
end

--- A datagram may be lost, as far as anybody can tell; none may come changed.
function scenario.udp()
  local sock <close> = well(green.udp("127.0.0.1", 0))
  local _, port = well(sock:getsockname())
  local c <close> = well(green.udp())
  together(function()
    spawn(function()
      well(green.udp_server(sock, function(s, data, host, from)
        well(s:sendto(data, host, from))
      end))
    end)
    local closed <close> = setmetatable({}, {__close = function()
      sock:close()
    end})
    assert(closed)
    local sent = {}
    for i = 1, 5 do
      local data = ("%d:%s"):format(i, ("x"):rep(100 * i))
      sent[data] = true -- the answer may come late
      well(c:sendto(data, "127.0.0.1", port))
      c:settimeout(strict and 15 or 0.01)
      local got, err = c:receivefrom()
      if got and not sent[got] then error("wrong datagram", 0) end
      if not got and err ~= "timeout" then well(got, err) end
    end
  end)
end

function scenario.passing()
  local a, b, _ <close> = pair()
  local near, far, _ <close> = pair()
  together(function()
    local sends = spawn(function()
      local ok, err = a:sendfd(far, "take")
      if not ok then a:close() end
      well(ok, err)
    end)
    if not sends then a:close() end
    local fd, data = b:recvfd()
    well(fd, data)
    if data ~= "take" then error("wrong bytes", 0) end
    local conn, err = green.adopt(fd)
    if not conn then failing.close(fd) end
    local _ <close> = well(conn, err)
    if not conn.class:find "client" then error("said to be alone", 0) end
    send(near, "through\n")
    if well(patient(conn):receive()) ~= "through" then
      error("wrong line", 0)
    end
  end)
end

function scenario.server()
  local server = green.server {listen = {"127.0.0.1:0", "127.0.0.1:0"},
    handler = echo, per_peer = 10, idle = 15}
  well(server:start())
  local _ <close> = setmetatable({}, {__close = function()
    server:stop {grace = 0}
  end})
  together(function()
    for _, address in ipairs(server:addresses()) do
      if address.port then spawn(talk, "127.0.0.1", address.port, 3) end
    end
  end)
  local report = server:stop {grace = 1}
  if #report.left > 0 then error("wrong: left behind", 0) end
end

function scenario.wait_fd()
  local a, b = failing.pair()
  local closed <close> = setmetatable({}, {__close = function()
    failing.close(a)
    failing.close(b)
  end})
  assert(closed)
  together(function()
    spawn(function()
      for _ = 1, 3 do
        well(green.wait_fd(a, "r", 15))
        if failing.read(a) ~= "x" then error("wrong byte", 0) end
        failing.write(a, "y")
      end
    end)
    spawn(function()
      for _ = 1, 3 do
        well(green.wait_fd(b, "w", 15))
        failing.write(b, "x")
        well(green.wait_fd(b, "r", 15))
        if failing.read(b) ~= "y" then error("wrong byte", 0) end
      end
    end)
    green.sleep(0.002)
    -- Nobody waits any longer than this, even after failures.
    if not strict then
      green.sleep(0.02)
      failing.write(a, "y") failing.write(b, "x")
      green.sleep(0.01)
      for _, t in ipairs(threads) do t:kill() end
    end
  end)
  well(green.wait_fd(0 + failing.file_fd, "r"))
end

function scenario.select()
  local listener = well(green.listen("127.0.0.1", 0))
  local _ <close> = listener
  local _, port = well(listener:getsockname())
  local queue = green.queue(5)
  local c <close> = well(green.connect("127.0.0.1", port))
  local i, conn = well(green.select({queue, listener}, 15))
  if i ~= 2 then error("wrong case", 0) end
  local guard <close> = conn
  assert(guard)
  together(function()
    local sends = spawn(function()
      green.sleep(0.001)
      send(c, "hello\n")
    end)
    if not sends then c:close() end
    i = well(green.select({conn, queue}, 15))
    if i ~= 1 then error("wrong case", 0) end
    local line = well(patient(conn):receive())
    if line ~= "hello" then error("wrong line", 0) end
    local selector = green.selector {queue, conn, listener}
    c:close()
    if well(selector:select(15)) ~= 2 then error("wrong case", 0) end
    selector:close()
  end)
end

--- Each of them keeps its C stack while it waits.
function scenario.stacks()
  together(function()
    for _ = 1, 100 do
      spawn(function()
        local n = 0
        table.sort({3, 1, 2, 5, 4}, function(x, y)
          if n == 0 then green.sleep(0.001) end
          n = n + 1
          return x < y
        end)
        if n == 0 then error("wrong count", 0) end
      end)
    end
  end)
end

function scenario.timers()
  local began = green.now()
  together(function()
    for i = 1, 20 do
      spawn(function()
        local got, err = green.with_timeout(0.003, green.sleep,
          i % 2 == 0 and 15 or 0)
        if i % 2 == 0 and not (got == nil and err == "timeout") then
          error("wrong outcome of a limit", 0)
        end
      end)
    end
    local t = green.ticker(0.001)
    for _ = 1, 3 do well(t:wait(15)) end
    t:close()
  end)
  if green.now() - began > 10 then error("wrong: late", 0) end
end

function scenario.signal()
  if not try(green.config, {dump_signal = "USR2"}) and strict then
    error("wrong: no signal", 0)
  end
  green.sleep(0.001)
  green.config {dump_signal = false}
end

function scenario.pool()
  local pool = green.pool(5)
  for i = 1, 30 do
    pool:spawn_n(function()
      green.sleep(0.0001 * i)
      local s <close> = well(green.listen("127.0.0.1", 0))
      well(s:getsockname())
    end)
  end
  if not pool:wait(15) then error("a pool waits for ever", 0) end
end

local function descriptors()
  collectgarbage()
  collectgarbage()
  local list, n = require "green.core".open_descriptors(), 0
  for _ in pairs(list) do n = n + 1 end
  return n, list
end

local function act(name)
  local ok, err = pcall(scenario[name])
  if not ok then look_at(err) end
  for _, t in ipairs(green.threads()) do
    if t ~= green.current() then
      t:kill()
      if not t:join(15) and t:status() == "blocked" then
        error("a thread does not end: " .. t:traceback(), 0)
      end
    end
  end
  if not green.wait_others(15) then error("threads do not end", 0) end
  if unexpected then error(unexpected, 0) end
end

--- In a forked child. With `plan` calls fail.
local function child(name, plan, opening)
  failing.file_fd = failing.file()
  -- The parent removes them.
  if certs then getmetatable(certs.guard).__gc = nil end
  -- It says so itself, or takes a connection along that is waited for.
  may_time_out = plan and (plan[3] == "ETIMEDOUT" or plan[1] == "accept4")
  may_leave = plan and (plan[1] == "unlink" or plan[1]:find "stat")
  if plan and opening then failing.plan(table.unpack(plan)) end
  local ok
  ok, green = pcall(require, "green")
  if not ok then
    look_at = nil
    local counts = failing.off()
    local err = green
    package.loaded.green = nil
    green = require "green"
    if not err:find "luagreen: " then error(err, 0) end
    assert(counts)
  end
  green.on_error(function(err) look_at(err) end)
  act "signal" -- libuv makes its pipe at the first
  local before = descriptors()
  if plan and not opening then failing.plan(table.unpack(plan)) end
  if not plan then failing.watch() end
  act(name)
  local counts = failing.off()
  strict, may_time_out, may_leave = true, false, false
  act(name)
  local after, list = descriptors()
  if after ~= before then
    for fd, what in pairs(list) do print(fd, what) end
    error(("%d descriptors are left"):format(after - before), 0)
  end
  if not plan then
    for call, n in pairs(counts) do print("count", call, n) end
  end
  os.exit(true, true)
end

local function names()
  local list = {}
  for name in pairs(scenario) do list[#list + 1] = name end
  table.sort(list)
  return list
end

--- The counts of the calls of a scenario in which nothing fails.
local function count(name)
  local how, code, out = failing.child(60, function() child(name) end)
  if how ~= "exit" or code ~= 0 then
    print(("not ok: %s, undisturbed: %s %d\n%s"):format(name, how, code, out))
    os.exit(1)
  end
  local counts = {}
  for call, n in out:gmatch "count\t(%S+)\t(%d+)" do
    counts[call] = math.tointeger(tonumber(n))
  end
  return counts
end

local bad = 0
local function run(name, call, n, err, times)
  local opening = name == "opening"
  local how, code, out = failing.child(60, function()
    child(opening and "tcp" or name, {call, n, err, times}, opening)
  end)
  if how == "exit" and code == 0 then return end
  bad = bad + 1
  print(("not ok: %s %s %d %s %d: %s %d\n%s"):format(name, call, n, err, times,
    how, code, out))
end

local function sorted(set)
  local list = {}
  for key in pairs(set) do list[#list + 1] = key end
  table.sort(list)
  return list
end

local mode, second = arg[1], arg[2]
if arg[5] then
  run(arg[1], arg[2], math.tointeger(tonumber(arg[3])), arg[4],
    math.tointeger(tonumber(arg[5])))
  os.exit(bad == 0)
end
local list, counts, done = names(), {}, 0
list[#list + 1] = "opening"
for _, name in ipairs(list) do
  counts[name] = name == "opening" and {epoll_create1 = 1, eventfd = 9,
    epoll_ctl = 4, mmap = 8, mprotect = 6, madvise = 4, open = 2, fcntl = 2,
    sigaltstack = 2}
    or count(name)
end
if mode == "all" then
  for _, name in ipairs(second and {second} or list) do
    for _, call in ipairs(arg[3] and {arg[3]} or sorted(counts[name])) do
      local most = counts[name][call]
      for n = 1, most, most > 60 and most // 40 or 1 do
        for _, err in ipairs(ERRORS[call] or {}) do
          for _, times in ipairs {1, 4} do
            run(name, call, n, err, times)
            done = done + 1
          end
        end
      end
    end
  end
else
  math.randomseed(math.tointeger(tonumber(second)))
  local over = os.time() + tonumber(mode)
  while os.time() < over do
    local name = list[random(#list)]
    local calls = sorted(counts[name])
    local call = calls[random(#calls)]
    local most = counts[name][call]
    local errors = ERRORS[call]
    if most > 0 and errors then
      run(name, call, random(most), errors[random(#errors)],
        random(2) == 1 and 1 or random(2, 8))
      done = done + 1
    end
  end
end
print(("%d cases, %d failed"):format(done, bad))
os.exit(bad == 0)
]==]

--- Runs random cases for `seconds`; raises with those that failed, else returns
--- the last line.
function syscalls.run_for(seconds, seed)
  return preload.run(PROGRAM, ("%d %d"):format(seconds, seed), seconds + 100)
end

if fuzzing.started "syscalls.lua" then
  local arguments = table.move(arg, 1, #arg, 1, {})
  if #arguments == 0 then arguments[1] = "10" end
  if #arguments == 1 and tonumber(arguments[1]) then arguments[2] = "1" end
  fuzzing.run_preloaded(preload.run, PROGRAM, table.concat(arguments, " "),
    100000)
end

return syscalls
