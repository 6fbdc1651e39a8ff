-- The promises of every blocking thing, checked for each of them. A new one
-- gets a row in `things`:
--
--   make()       a fresh object, on which a wait would block
--   wait(o, s)   the call under test
--   satisfy(o)   makes one waiting call return; never switches
--   value        what it returns then
--   all          satisfy() wakes every waiter, not the first one only
--   late         satisfy() wakes the waiter some turns later
--   done         a wait that was satisfied has had its effect: the next waiter
--                needs a satisfaction of its own
--   rest(o)      optional: how many satisfactions nobody has taken
--   what         optional: how t:blocked() calls it
--   limitless    it takes no limit, and blocks all where blocking is refused:
--                what is about these is left out
--   unordered    its waiters are woken at once, but by other processes
--   single       only one thread may wait: what is about two is left out
--   nameless     its refusal of a second one does not name the first
--   keeps        the call keeps its C stack: nobody can close its coroutine
--   steps        it waits more than once: its end comes some waits later
--   close(o)     optional: closes it; then each wait returns nil, "closed"
--   clean(o)     optional: ends what make() began
--   case(o)      optional: what select waits for to do the same; then all of
--                this is checked for select and for a selector, too
--   picked(o, ...)  optional: value, from what select returns after the number
--
-- SPDX-License-Identifier: MIT

local core = require "green.core"
local dag = require "green.dag"
local green = require "green"
local help = require "spec.help"

green.monkey_patch {io = true, os = true}

local function gate(fail)
  local e = green.event()
  local t = green.spawn(function()
    e:wait()
    if fail then error("failed", 0) end
    return "result"
  end)
  help.blocked(t)
  return {e = e, t = t}
end

local function open_gate(o)
  if not o.e:ready() then o.e:send() end
end

local function full(n)
  local q = green.queue(n)
  for i = 1, n do q:put(i) end
  return q
end

-- A lock that another thread owns, until its gate is opened.
local function owned()
  local o = {l = green.lock(), e = green.event()}
  o.t = green.spawn(function()
    local _ <close> = o.l:acquire()
    o.e:wait()
  end)
  help.blocked(o.t)
  return o
end

local function use(o, guard, err)
  if not guard then return nil, err end
  assert(o.l:owner() == green.current())
  o.l:release()
  return true
end

--- A pool of which all is leased.
local function exhausted()
  local o = {out = {}, kept = {}}
  o.rp = green.resource_pool {max = 8, create = function() return "item" end}
  for i = 1, 8 do o.out[i] = o.rp:lease() end
  return o
end

--- A pool or group with a child that waits for its gate.
local function occupied(new)
  return function()
    local o = {crew = new(10), e = green.event()}
    o.t = help.blocked(o.crew:spawn(o.e.wait, o.e))
    return o
  end
end

local function nothing() end

--- Both ends of a connection, and the listener that it came through.
local function connected()
  local o = {l = assert(green.listen("127.0.0.1", 0))}
  local _, port = o.l:getsockname()
  o.near = assert(green.connect("127.0.0.1", port))
  o.far = assert(o.l:accept())
  o.near:settimeout(0)
  return o
end

local function disconnect(o)
  o.near:close()
  o.far:close()
  o.l:close()
end

--- Both ends of a connection, with so much sent that there is no room for more.
--- By TCP the kernel would make some more, when it got round to delivering.
local function stuffed()
  local near, far = green.socketpair()
  local o = {near = near, far = far, l = {close = nothing}}
  local chunk = ("x"):rep(65536)
  near:settimeout(0)
  while near:send(chunk) do end
  return o
end

--- Makes room again.
local function drain(o)
  o.far:settimeout(0)
  while o.far:recv(65536) do end
end

--- The same with TLS, where it is built.
local certs = pcall(require, "green.openssl") and require "spec.certificates"
local tls_server = certs and assert(green.tls.context(certs.of("server",
  {mode = "server"})))
local tls_client = certs and assert(green.tls.context {cafile = certs.ca,
  verify = "none"})

--- The server's side is still to make its handshake.
local function accepted_with_tls()
  local o = {l = assert(green.listen("127.0.0.1", 0, {tls = tls_server}))}
  local _, port = o.l:getsockname()
  o.near = assert(green.connect("127.0.0.1", port))
  o.far = assert(o.l:accept())
  return o
end

--- After the handshake.
local function with_tls(o)
  local t = green.spawn(green.wrap_ssl, o.near, tls_client)
  assert(o.far:handshake())
  assert(t:wait())
  o.near:settimeout(0)
  return o
end

local function connected_with_tls() return with_tls(accepted_with_tls()) end

local function stuffed_with_tls()
  local near, far = green.socketpair()
  local t = green.spawn(green.wrap_ssl, near, tls_client)
  assert(green.wrap_ssl(far, tls_server))
  assert(t:wait())
  local o = {near = near, far = far, l = {close = nothing}}
  local chunk = ("x"):rep(65536)
  near:settimeout(0)
  while near:send(chunk) do end
  return o
end

--- Two sockets of datagrams, of which one is the other's peer.
local function datagrams()
  local o = {far = assert(green.udp("127.0.0.1", 0)), near = green.udp()}
  o.port = select(2, o.far:getsockname())
  assert(o.near:setpeername("127.0.0.1", o.port))
  o.near:settimeout(0)
  return o
end

local function drop(o)
  o.near:close()
  o.far:close()
end

--- The same of the Unix family, whose receiver has room for no more.
local function stuffed_datagrams()
  local path = os.tmpname()
  os.remove(path)
  local o = {far = assert(green.udp("unix:" .. path)), near = green.udp "unix:"}
  assert(o.near:setpeername(path))
  os.remove(path)
  o.near:settimeout(0)
  while o.near:send("x") do end
  o.far:settimeout(0)
  return o
end

--- A pipe with a name, open in both directions.
local function serial_line()
  local path = os.tmpname()
  assert(os.execute(("rm '%s' && mkfifo '%s'"):format(path, path)))
  local line = assert(green.socket.serial(path))
  os.remove(path)
  return line
end

--- A limit as settimeout takes it, for which less than 0 is none.
local function limited(sock, s)
  sock:settimeout(s and math.max(s, 0))
  return sock
end

--- A listener, and how to connect to it without switching.
local function listener()
  local o = {l = assert(green.listen("127.0.0.1", 0)), out = {}}
  o.port = select(2, o.l:getsockname())
  return o
end

local function knock(o)
  local sock = require "socket".tcp()
  sock:settimeout(0)
  sock:connect("127.0.0.1", o.port)
  o.out[#o.out + 1] = sock
end

local function shut(o)
  for _, sock in ipairs(o.out) do sock:close() end
  o.l:close()
end

local function taken(conn, err)
  if not conn then return nil, err end
  conn:close()
  return true
end

--- A resolver that answers when its gate is opened, and a listener there.
local function asked()
  local o = {e = green.event(), l = assert(green.listen("127.0.0.1", 0))}
  o.port = select(2, o.l:getsockname())
  o.former = green.dns.use(function()
    o.e:wait()
    return {"127.0.0.1"}, 0
  end)
  return o
end

local function answer(o)
  if not o.e:ready() then o.e:send() end
end

local function unasked(o)
  answer(o)
  green.dns.use(o.former)
  o.l:close()
end

--- A listener at two addresses of one name.
local function listener_twice()
  local former = green.dns.use(function()
    return {"127.0.0.1", "127.0.0.2"}
  end)
  local o = {l = assert(green.listen("two.test", 0)), out = {}}
  green.dns.use(former)
  o.port = select(2, o.l:getsockname())
  return o
end

--- A FIFO, open at both ends, which nobody waits to open.
local function opened_fifo()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkfifo '" .. path .. "'"))
  local o = {path = path, w = assert(io.open(path, "r+"))}
  o.r = assert(io.open(path))
  return o
end

local function close_fifo(o)
  os.remove(o.path)
  if io.type(o.r) == "file" then o.r:close() end
  if io.type(o.w) == "file" then o.w:close() end
end

--- The same, with so much written that there is no room for more.
local function stuffed_fifo()
  local o = opened_fifo()
  o.w:close()
  o.w = assert(io.open(o.path, "a"))
  o.w:setvbuf "no"
  while core.file_put(o.w, ("x"):rep(4096), 1) do end
  return o
end

--- What a program's own C functions do: nil where nothing compiles them.
local blocking = help.c_module "blocking"

local function itself(o) return o end

local function second(_, _, v) return v end

local things = {
  {
    name = "thread:wait", all = true, value = "result", make = gate,
    wait = function(o, s) return o.t:wait(s) end,
    satisfy = function(o) open_gate(o) end, clean = open_gate, late = true,
  }, {
    name = "thread:join", all = true, value = true, make = gate,
    wait = function(o, s) return o.t:join(s) end,
    satisfy = open_gate, clean = open_gate, late = true,
    case = function(o) return o.t end,
  }, {
    name = "event:wait", all = true, value = "sent", make = green.event,
    wait = function(o, s) return o:wait(s) end,
    satisfy = function(o) o:send("sent") end, case = itself, picked = second,
  }, {
    name = "queue:get", value = "item", make = green.queue,
    wait = function(o, s) return o:get(s) end,
    satisfy = function(o) o:put("item") end, case = itself,
    rest = function(o) return #o end, close = function(o) o:close() end,
  }, {
    name = "lifo_queue:get", value = "item", make = green.lifo_queue,
    wait = function(o, s) return o:get(s) end,
    satisfy = function(o) o:put("item") end, case = itself,
    rest = function(o) return #o end, close = function(o) o:close() end,
  }, {
    name = "priority_queue:get", value = "item", make = green.priority_queue,
    wait = function(o, s) return o:get(s) end,
    satisfy = function(o) o:put("item") end, case = itself,
    rest = function(o) return #o end, close = function(o) o:close() end,
  }, {
    name = "priority_queue:put", value = true,
    make = function()
      local q = green.priority_queue(1)
      q:put("a")
      return q
    end,
    wait = function(o, s) return o:put("x", s) end,
    satisfy = function(o) assert(o:get(0)) end, done = true,
    rest = function(o) return 1 - #o end, close = function(o) o:close() end,
    case = function(o) return {o, "put", "x"} end,
  }, {
    name = "socket:recv", single = true, late = true, value = "x",
    make = connected, clean = disconnect,
    wait = function(o, s)
      local data, err = limited(o.far, s):recv(1)
      return data, err
    end,
    satisfy = function(o) assert(o.near:send("x")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "socket:receive", single = true, late = true, value = "line",
    make = connected, clean = disconnect,
    wait = function(o, s)
      local line, err = limited(o.far, s):receive()
      return line, err
    end,
    satisfy = function(o) assert(o.near:send("line\n")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "socket:send", all = true, late = true, value = 1,
    make = stuffed, clean = disconnect, satisfy = drain,
    wait = function(o, s)
      local last, err = limited(o.near, s):send("y")
      return last, err
    end,
    close = function(o) o.near:close() end,
  }, {
    name = "socket:peek", single = true, late = true, value = "x",
    make = connected, clean = disconnect,
    wait = function(o, s)
      local data, err = limited(o.far, s):peek(1)
      if data then limited(o.far, 0):recv(1) end
      return data, err
    end,
    satisfy = function(o) assert(o.near:send("x")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "socket:recvfd", single = true, late = true, value = "x",
    make = function()
      local o = {}
      o.near, o.far = green.socketpair()
      o.near:settimeout(0)
      return o
    end,
    clean = drop,
    wait = function(o, s)
      local fd, data = limited(o.far, s):recvfd()
      if not fd then return nil, data end
      green.adopt(fd):close()
      return data
    end,
    satisfy = function(o) assert(o.near:sendfd(o.near, "x")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "socket:copy", single = true, late = true, value = 1,
    make = function()
      local o = connected()
      o.sink = connected()
      return o
    end,
    clean = function(o)
      disconnect(o.sink)
      disconnect(o)
    end,
    wait = function(o, s)
      local moved, err = limited(o.far, s):copy(o.sink.near, 1)
      return moved, err
    end,
    satisfy = function(o) assert(o.near:send("x")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "socket:copy to one that is full", all = true, late = true,
    value = 1, satisfy = drain,
    make = function()
      local o = stuffed()
      o.source = connected()
      o.source.near:send(("y"):rep(100))
      return o
    end,
    clean = function(o)
      disconnect(o.source)
      disconnect(o)
    end,
    wait = function(o, s)
      limited(o.near, s)
      limited(o.source.far, 0)
      local moved, err = o.source.far:copy(o.near, 1)
      return moved, err
    end,
    close = function(o) o.near:close() end,
  }, {
    name = "file:read", late = true, limitless = true, keeps = true,
    value = "line", make = opened_fifo, clean = close_fifo,
    wait = function(o) return o.r:read() end,
    satisfy = function(o) assert(o.w:write("line\n"):flush()) end,
  }, {
    name = "file:write", all = true, late = true, limitless = true,
    keeps = true, value = "file", steps = true,
    make = stuffed_fifo, clean = close_fifo,
    wait = function(o) return io.type(o.w:write "y") end,
    satisfy = function(o)
      while core.file_fill(o.r) do core.file_take(o.r, 65536) end
    end,
  }, {
    name = "handle:close", late = true, limitless = true, keeps = true,
    all = true, unordered = true, value = true, steps = true,
    make = opened_fifo, clean = close_fifo,
    wait = function(o)
      local ok = io.popen(("read x <'%s'"):format(o.path)):close()
      return ok
    end,
    satisfy = function(o) assert(o.w:write(("\n"):rep(64)):flush()) end,
  }, {
    name = "os.execute", late = true, limitless = true, keeps = true,
    all = true, unordered = true, value = true, steps = true,
    make = opened_fifo, clean = close_fifo,
    wait = function(o)
      local ok = os.execute(("read x <'%s'"):format(o.path))
      return ok
    end,
    satisfy = function(o) assert(o.w:write(("\n"):rep(64)):flush()) end,
  }, {
    name = "socket:recv with TLS", single = true, late = true, value = "x",
    make = connected_with_tls, clean = disconnect, tls = true,
    wait = function(o, s)
      local data, err = limited(o.far, s):recv(1)
      return data, err
    end,
    satisfy = function(o) assert(o.near:send("x")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "socket:receive with TLS", single = true, late = true,
    value = "line", make = connected_with_tls, clean = disconnect, tls = true,
    wait = function(o, s)
      local line, err = limited(o.far, s):receive()
      return line, err
    end,
    satisfy = function(o) assert(o.near:send("line\n")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "socket:send with TLS", all = true, late = true, value = 1,
    make = stuffed_with_tls, clean = disconnect, satisfy = drain, tls = true,
    wait = function(o, s)
      local last, err = limited(o.near, s):send("y")
      return last, err
    end,
    close = function(o) o.near:close() end,
  }, {
    name = "socket:shutdown with TLS", all = true, late = true, value = 1,
    make = stuffed_with_tls, clean = disconnect, satisfy = drain, tls = true,
    wait = function(o, s) return limited(o.near, s):shutdown("send") end,
    close = function(o) o.near:close() end,
  }, {
    name = "select of a connection with TLS", single = true, late = true,
    value = true, make = connected_with_tls, clean = disconnect, tls = true,
    wait = function(o, s)
      local at, v, err = green.select({o.far}, s)
      if not at then return nil, v end
      if v then limited(o.far, 0):recv(1) end
      return v, err
    end,
    satisfy = function(o) assert(o.near:send("x")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "socket:handshake", all = true, late = true, steps = true,
    value = true,
    make = accepted_with_tls, tls = true,
    wait = function(o, s) return limited(o.far, s):handshake() end,
    satisfy = function(o)
      o.peer = green.spawn(green.wrap_ssl, o.near, tls_client)
    end,
    clean = function(o)
      disconnect(o)
      if o.peer then o.peer:join() end
    end,
    close = function(o) o.far:close() end,
  }, {
    name = "copy of a file", all = true, late = true, value = 1,
    make = function()
      local o = stuffed()
      o.file = assert(io.open(arg[0]))
      return o
    end,
    clean = function(o)
      o.file:close()
      disconnect(o)
    end,
    satisfy = drain,
    wait = function(o, s)
      local moved, err = green.copy(o.file, limited(o.near, s), 1)
      return moved, err
    end,
    close = function(o) o.near:close() end,
  }, {
    name = "datagram:sendto", all = true, late = true, value = 1, keeps = true,
    make = function()
      local path = os.tmpname()
      os.remove(path)
      local o = {far = assert(green.udp("unix:" .. path)),
                 near = green.udp "unix:", path = path}
      o.near:settimeout(0)
      while o.near:sendto("x", path) do end
      o.far:settimeout(0)
      return o
    end,
    clean = function(o)
      drop(o)
      os.remove(o.path)
    end,
    wait = function(o, s)
      local size, err = limited(o.near, s):sendto("y", o.path)
      return size, err
    end,
    satisfy = function(o)
      while o.far:receive() do end
    end,
  }, {
    name = "datagram:receive", single = true, late = true, value = "x",
    make = datagrams, clean = drop,
    wait = function(o, s)
      local data, err = limited(o.far, s):receive()
      return data, err
    end,
    satisfy = function(o) assert(o.near:send("x")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "datagram:receivefrom", single = true, late = true, value = "x",
    make = datagrams, clean = drop,
    wait = function(o, s)
      local data, err = limited(o.far, s):receivefrom()
      return data, not data and err or nil
    end,
    satisfy = function(o) assert(o.near:send("x")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "datagram:send", all = true, late = true, value = 1,
    make = stuffed_datagrams, clean = drop,
    wait = function(o, s)
      local size, err = limited(o.near, s):send("y")
      return size, err
    end,
    satisfy = function(o)
      while o.far:receive() do end
    end,
    close = function(o) o.near:close() end,
  }, {
    name = "select of a datagram socket", single = true, late = true,
    value = true, make = datagrams, clean = drop,
    wait = function(o, s)
      local at, v, err = green.select({o.far}, s)
      if not at then return nil, v end
      if v then limited(o.far, 0):receive() end
      return v, err
    end,
    satisfy = function(o) assert(o.near:send("x")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "select of a connection", single = true, late = true, value = true,
    make = connected, clean = disconnect,
    wait = function(o, s)
      local at, v, err = green.select({o.far}, s)
      if not at then return nil, v end
      if v then limited(o.far, 0):recv(1) end
      return v, err
    end,
    satisfy = function(o) assert(o.near:send("x")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "LuaSocket's select", all = true, late = true, value = true,
    make = connected, clean = disconnect,
    wait = function(o, s)
      if s and s < 0 then s = 0 end
      local r, _, err = green.socket.select({o.far}, nil, s)
      return r[1] and true, err
    end,
    satisfy = function(o) assert(o.near:send("x")) end,
  }, {
    name = "serial:receive", single = true, late = true, value = "line",
    make = serial_line, clean = function(o) o:close() end,
    wait = function(o, s)
      local line, err = limited(o, s):receive()
      return line, err
    end,
    satisfy = function(o) assert(o:send("line\n")) end,
    close = function(o) o:close() end,
  }, {
    name = "listener:accept", single = true, late = true, value = true,
    make = listener, clean = shut, satisfy = knock,
    wait = function(o, s) return taken(limited(o.l, s):accept()) end,
    close = function(o) o.l:close() end,
  }, {
    name = "accept at several addresses", single = true, late = true,
    value = true, make = listener_twice, clean = shut, satisfy = knock,
    wait = function(o, s) return taken(limited(o.l, s):accept()) end,
    close = function(o) o.l:close() end,
  }, {
    name = "dns.resolve", all = true, late = true, value = "127.0.0.1",
    make = asked, clean = unasked, satisfy = answer, what = "thread:join",
    keeps = true,
    wait = function(_, s)
      local list, err = green.dns.resolve("generic.test", s)
      return list and list[1], err
    end,
  }, {
    name = "connect by name", all = true, late = true, value = true,
    make = asked, clean = unasked, satisfy = answer, what = "thread:join",
    keeps = true, steps = true,
    wait = function(o, s)
      return taken(green.connect("generic.test", o.port, {timeout = s}))
    end,
  }, {
    name = "select of a listener", single = true, late = true, value = true,
    make = listener, clean = shut, satisfy = knock,
    wait = function(o, s)
      local at, conn, err = green.select({o.l}, s)
      if not at then return nil, conn end
      return taken(conn, err)
    end,
    close = function(o) o.l:close() end,
  }, {
    name = "queue:put", value = true, make = function() return full(1) end,
    wait = function(o, s) return o:put("x", s) end,
    satisfy = function(o) assert(o:get(0)) end, done = true,
    rest = function(o) return 1 - #o end, close = function(o) o:close() end,
    case = function(o) return {o, "put", "x"} end,
  }, {
    name = "port:receive", value = "item", make = green.port,
    wait = function(o, s) return o:receive(s) end,
    satisfy = function(o) o:send("item") end, case = itself,
    rest = function(o) return #o end, close = function(o) o:close() end,
  }, {
    name = "port:put", value = true,
    make = function()
      local p = green.port(3) -- as a granted place is not filled at once
      for _ = 1, 3 do p:send("a") end
      return p
    end,
    wait = function(o, s) return o:put("x", s) end,
    satisfy = function(o) assert(o:receive(0)) end,
    rest = function(o) return 3 - #o end, close = function(o) o:close() end,
    case = function(o) return {o, "put", "x"} end,
  }, {
    name = "queue:join", all = true, value = true,
    make = function() return full(1) end,
    wait = function(o, s) return o:join(s) end,
    satisfy = function(o) o:task_done() end,
  }, {
    name = "channel get", value = "item", make = green.channel,
    wait = function(o, s) return o:get(s) end,
    satisfy = function(o) assert(o:put("item", 0) or o:waiting() == 0) end,
    case = itself, close = function(o) o:close() end,
  }, {
    name = "channel put", value = true, make = green.channel,
    wait = function(o, s) return o:put("item", s) end, done = true,
    satisfy = function(o) assert(o:get(0) or select(2, o:waiting()) == 0) end,
    case = function(o) return {o, "put", "item"} end,
    close = function(o) o:close() end,
  }, {
    name = "resource_pool:lease", value = "item", make = exhausted,
    what = "resource_pool:lease",
    wait = function(o, s)
      local lease, item = o.rp:lease(s)
      o.kept[#o.kept + 1] = lease
      return lease and item, not lease and item or nil
    end,
    satisfy = function(o)
      local _ <close> = table.remove(o.out)
    end,
    rest = function(o) return o.rp:free() end,
  }, {
    name = "dag:wait", all = true, value = "posted", make = dag,
    what = "dag:wait",
    wait = function(d, s)
      local values, err = d:wait({"key"}, s)
      return values and values.key, err
    end,
    satisfy = function(d) d:post("key", "posted", true) end,
  }, {
    name = "flag:wait", all = true, value = true, make = green.flag,
    wait = function(o, s) return o:wait(s) end,
    satisfy = function(o) o:set() end, case = itself,
  }, {
    name = "condition:wait", value = true, make = green.condition,
    wait = function(o, s) return o:wait(s) end,
    satisfy = function(o) o:signal() end, case = itself,
  }, {
    name = "condition:wait for a broadcast", all = true, value = true,
    make = green.condition,
    wait = function(o, s) return o:wait(s) end,
    satisfy = function(o) o:broadcast() end, case = itself,
  }, {
    name = "semaphore:acquire", value = "userdata",
    make = function() return green.semaphore(0) end,
    wait = function(o, s)
      local guard, err = o:acquire(s)
      return guard and type(guard), err
    end,
    satisfy = function(o) o:release() end,
    rest = function(o) return o:count() end,
    case = itself, picked = function(_, guard) return type(guard) end,
  }, {
    name = "lock:acquire", all = true, value = true, make = owned, late = true,
    wait = function(o, s) return use(o, o.l:acquire(s)) end,
    satisfy = open_gate, clean = open_gate,
    case = function(o) return o.l end, picked = use,
  }, {
    name = "waitgroup:wait", all = true, value = true,
    make = function() return green.waitgroup(1) end,
    wait = function(o, s) return o:wait(s) end,
    satisfy = function(o) o:done() end, case = itself,
  },
  {
    name = "pool:wait", all = true, value = true, make = occupied(green.pool),
    wait = function(o, s) return o.crew:wait(s) end,
    satisfy = open_gate, clean = open_gate, late = true,
    case = function(o) return o.crew end,
  }, {
    name = "group:wait", all = true, value = true, late = true,
    make = function()
      local o
      green.spawn(function() o = occupied(green.group)() end):wait()
      return o
    end,
    wait = function(o, s) return o.crew:wait(s) end,
    satisfy = open_gate, clean = open_gate,
  }, {
    name = "wait_all", all = true, value = "result", make = gate,
    wait = function(o, s)
      local r, err = green.wait_all({o.t, o.t}, s)
      return r and r[2], err
    end,
    satisfy = open_gate, clean = open_gate, late = true,
  }, {
    name = "a descriptor, in a C function", single = true, late = true,
    value = true, make = connected, clean = disconnect, what = "readable",
    foreign = true, keeps = true, nameless = true,
    wait = function(o, s)
      local ok, err = blocking.wait_fd(o.far:getfd() or -1, "r", s)
      if ok then limited(o.far, 0):recv(1) end
      return ok, err
    end,
    satisfy = function(o) assert(o.near:send("x")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "a descriptor, in a C function that leaves", all = true,
    late = true, value = true, make = connected, clean = disconnect,
    what = "C function", foreign = true,
    wait = function(o, s)
      return blocking.park_fd(o.far:getfd() or -1, "r", s)
    end,
    satisfy = function(o) assert(o.near:send("x")) end,
    close = function(o) o.far:close() end,
  }, {
    name = "a signal, in a C function", value = true, foreign = true,
    all = true, keeps = true, what = "signal",
    make = function() return blocking.condition() end,
    wait = function(o, s) return o:wait(s) end,
    satisfy = function(o) o:broadcast() end,
  }, {
    name = "a signal, in a C function that leaves", value = true, all = true,
    foreign = true, what = "C function",
    make = function() return blocking.condition() end,
    wait = function(o, s) return o:park(s) end,
    satisfy = function(o) o:broadcast() end,
  }, {
    name = "a job, in a C function", value = true, all = true, late = true,
    unordered = true, limitless = true, foreign = true, what = "job",
    make = function() return blocking.gate() end,
    wait = function(o) return o:job() end,
    satisfy = function(o) o:open() end,
  },
}

for i = #things, 1, -1 do
  local row = things[i]
  if row.tls and not certs or row.foreign and not blocking then
    table.remove(things, i)
  end
end

for i = 1, #things do
  local row, selected, kept = things[i], {}, {}
  local picked = row.picked or function(_, v, err) return v, err end
  local function pick(o, at, ...)
    if at == nil then return nil, ... end
    assert(at == 1)
    return picked(o, ...)
  end
  for key, value in pairs(row) do
    selected[key], kept[key] = value, value
  end
  selected.name = "select of " .. row.name
  function selected.wait(o, s)
    return pick(o, green.select({row.case(o)}, s))
  end
  -- A selector's cases stand in their lists before it waits, as after a call
  -- that found nothing.
  kept.name = "selector over " .. row.name
  function kept.wait(o, s)
    local selector = green.selector {row.case(o)}
    if s and s <= 0 or green.interrupted() then
      return pick(o, selector:select(s))
    end
    local value, err = pick(o, selector:select(0))
    if value or err ~= "timeout" then return value, err end
    return pick(o, selector:select(s))
  end
  if row.case then
    things[#things + 1] = selected
    if type(row.case(row.make())) ~= "table" then things[#things + 1] = kept end
  end
end

for _, row in ipairs(things) do
  local make, wait, satisfy = row.make, row.wait, row.satisfy
  local clean = row.clean or function() end

  local function waiter(o, s)
    return green.spawn(function() return (wait(o, s)) end)
  end

  --- Tests that need two waiters.
  local function both_if_many(name, f)
    if not row.single then help.both(it, name, f) end
  end

  local bounded = row.limitless and nothing or it

  describe(row.name, function()
    help.both(it, "blocks until it is satisfied, and returns its value",
      function()
        local o = make()
        local t = waiter(o)
        help.blocked(t)
        green.sleep(0)
        assert.equal("blocked", t:status())
        local what = t:blocked().what
        assert.equal(row.what or type(what), row.what and what or "string")
        satisfy(o)
        assert.equal(row.value, t:wait())
      end)

    it("works in the main thread", function()
      local o = make()
      green.spawn_n(satisfy, o)
      assert.equal(row.value, (wait(o)))
    end)

    help.both(bounded, "with a limit of 0 or less never switches", function()
      local o, ran = make(), false
      green.spawn(function() ran = true end)
      for _, s in ipairs {0, -1, -math.huge, 0.0} do
        for _ = 1, 100 do
          local v, err = wait(o, s)
          assert(v == nil and err == "timeout")
        end
      end
      assert.is_false(ran)
      satisfy(o)
      clean(o)
      green.sleep(0)
    end)

    local never = "with a limit of 0 never raises an interruption"
    help.both(bounded, never, function()
      local o = make()
      local t = green.spawn(function()
        green.current():kill()
        green.current():throw("x")
        local a, b = wait(o, 0)
        return a, b
      end)
      assert.same({nil, "timeout"}, {t:wait()})
      satisfy(o)
      clean(o)
    end)

    local over = "with a limit returns nil, timeout, never early"
    help.both(bounded, over, function()
      local o = make()
      local t = green.spawn(function()
        for _, s in ipairs {1e-9, 0.0001, 0.001, 0.0037} do
          local began = green.now()
          local v, err = wait(o, s)
          assert(v == nil and err == "timeout", tostring(v))
          assert(green.now() - began >= s)
        end
        return true
      end)
      t:wait()
      satisfy(o)
      clean(o)
    end)

    help.both(bounded, "with a limit that is not reached returns the value, "
      .. "and the limit is forgotten", function()
        local timers = green.stats().timers
        local o = make()
        local t = waiter(o, 60)
        help.blocked(t)
        assert.equal(timers + 1, green.stats().timers)
        satisfy(o)
        assert.equal(row.value, t:wait())
        assert.equal(timers, green.stats().timers)
      end)

    bounded("raises on a limit that is NaN or no number", function()
      local o = make()
      assert.is_false(pcall(wait, o, 0 / 0))
      assert.is_false(pcall(wait, o, "soon"))
      assert.is_false(pcall(wait, o, {}))
      satisfy(o)
      clean(o)
    end)

    help.both(it, "is interrupted by kill, throw and timeout", function()
      local o = make()
      local t = waiter(o)
      help.blocked(t)
      t:kill("k")
      local _, err = t:join()
      assert.equal("killed", green.type(err))
      t = waiter(o)
      help.blocked(t)
      t:throw("thrown")
      assert.same({false, "thrown"}, {t:join()})
      t = green.spawn(function()
        local to <close> = green.timeout(0.001)
        local ok, e = pcall(wait, o)
        return not ok and e == to
      end)
      assert.is_true(t:wait())
      t = waiter(o)
      help.blocked(t)
      satisfy(o)
      assert.equal(row.value, t:wait())
    end)

    help.both(it, "raises on entry what is pending, before any effect",
      function()
        local o = make()
        satisfy(o)
        if row.late and o.t then
          help.wait_until(function() return o.t:status() == "done" end)
        end
        local t = green.spawn(function()
          green.current():kill()
          local ok, err = pcall(wait, o)
          return ok, green.type(err)
        end)
        assert.same({false, "killed"}, {t:wait()})
        if row.rest then assert.equal(1, row.rest(o)) end
      end)

    help.both(row.steps and function() end or it,
      "returns its result when an interruption comes in the same "
      .. "turn, which strikes at the next call", function()
        local o = make()
        local value, next_call
        local t = green.spawn(function()
          value = wait(o)
          next_call = select(2, pcall(green.sleep, 0))
        end)
        help.blocked(t)
        satisfy(o)
        if row.late then
          help.woken(t)
        end
        t:kill()
        t:join()
        assert.equal(row.value, value)
        assert.equal("killed", green.type(next_call))
      end)

    local ordered = row.unordered and nothing or both_if_many
    ordered("wakes its waiters first come, first served", function()
      local o, order, ts = make(), {}, {}
      for i = 1, 8 do
        ts[i] = green.spawn(function()
          wait(o)
          order[#order + 1] = i
        end)
        help.blocked(ts[i])
      end
      for _ = 1, row.all and 1 or 8 do
        satisfy(o)
        if not row.all then green.sleep(0) end
      end
      for i = 1, 8 do ts[i]:join() end
      for i = 1, 8 do assert.equal(i, order[i]) end
    end)

    for _, how in ipairs {"kill", "throw", "limit", "timeout"} do
      local fits = how == "limit" and row.limitless and nothing or both_if_many
      fits("serves the second of two when the first ends by a "
        .. how, function()
          local o = make()
          local a = green.spawn(function()
            local _ <close> = green.timeout(how == "timeout" and 0.001 or nil)
            return wait(o, how == "limit" and 0.001 or nil)
          end)
          local b = waiter(o)
          help.blocked(b)
          if how == "kill" then a:kill() end
          if how == "throw" then a:throw("x") end
          a:join()
          satisfy(o)
          assert.equal(row.value, b:wait())
          if row.rest then assert.equal(0, row.rest(o)) end
        end)
    end

    local closable = row.keeps and function() end or it
    closable("whose coroutine is closed by foreign code ends the thread as "
      .. "killed", function()
        help.with_config({keep_stacks = 0}, function()
          local o = make()
          local co
          local t = green.spawn(function()
            co = coroutine.running()
            wait(o)
          end)
          local b = not row.single and waiter(o)
          help.blocked(t, b or nil)
          assert.is_true(coroutine.close(co))
          local ok, err = t:join()
          assert.is_false(ok)
          assert.equal("killed", green.type(err))
          b = b or waiter(o)
          help.blocked(b)
          satisfy(o)
          assert.equal(row.value, b:wait())
        end)
      end)

    if not row.single then
      closable("closed by foreign code after it was satisfied, gives that to "
        .. "the next", function()
        help.with_config({keep_stacks = 0}, function()
          local o = make()
          local co
          local t = green.spawn(function()
            co = coroutine.running()
            wait(o)
          end)
          help.blocked(t)
          local b = waiter(o)
          help.blocked(b)
          satisfy(o)
          if row.late then
            help.woken(t)
          end
          coroutine.close(co)
          assert.equal("killed", t:status())
          if row.done then satisfy(o) end
          assert.equal(row.value, b:wait())
        end)
      end)
    end

    help.both(it, "is untouched by a foreign resume", function()
      local o = make()
      local co
      local t = green.spawn(function()
        co = coroutine.running()
        return (wait(o))
      end)
      help.blocked(t)
      for _ = 1, 3 do coroutine.resume(co, "nonsense") end
      assert.equal("blocked", t:status())
      satisfy(o)
      if row.late then
        help.wait_until(function() return t:status() ~= "blocked" end)
      end
      for _ = 1, 3 do coroutine.resume(co, "nonsense") end
      assert.equal(row.value, t:wait())
    end)

    both_if_many("works in nested coroutines and inside table.sort",
      function()
        local o, ts = make(), {}
        ts[1] = green.spawn(function()
          return coroutine.wrap(function()
            return coroutine.wrap(function() return (wait(o)) end)()
          end)()
        end)
        ts[2] = green.spawn(function()
          local v
          table.sort({1, 2}, function(a, b)
            if not v then v = wait(o) end
            return a < b
          end)
          return v
        end)
        help.blocked(ts[1], ts[2])
        satisfy(o)
        if not row.all then satisfy(o) end
        assert.equal(row.value, ts[1]:wait())
        assert.equal(row.value, ts[2]:wait())
      end)

    if row.single then
      help.both(it, "works in a coroutine inside table.sort", function()
        local o = make()
        green.spawn(satisfy, o)
        coroutine.wrap(function()
          local v
          table.sort({1, 2}, function(a, b)
            if not v then v = wait(o) end
            return a < b
          end)
          assert.equal(row.value, v)
        end)()
        clean(o)
      end)

      help.both(it, "refuses a second waiter, and names the first", function()
        local o = make()
        local t = help.blocked(waiter(o))
        local ok, err = pcall(wait, o)
        assert.is_false(ok)
        if not row.nameless then
          assert.matches("already being read by green thread #" .. t.id, err)
        end
        satisfy(o)
        assert.equal(row.value, t:wait())
        clean(o)
      end)
    end

    if row.close then
      help.both(it, "after close returns nil, closed, and so does who waited",
        function()
          local o = make()
          local t = green.spawn(wait, o)
          help.blocked(t)
          row.close(o)
          assert.same({nil, "closed"}, {t:wait()})
          assert.same({nil, "closed"}, {wait(o)})
          assert.same({nil, "closed"}, {wait(o, 0)})
          assert.same({nil, "closed"}, {wait(o, 60)})
          clean(o)
        end)
    end

    bounded("is refused in a finalizer, and may be tried there", function()
      local o = make()
      local blocked, tried
      local function garbage()
        setmetatable({}, {__gc = function()
          blocked = table.pack(pcall(wait, o))
          tried = table.pack(wait(o, 0))
        end})
      end
      garbage()
      collectgarbage()
      assert.is_false(blocked[1])
      assert.matches("finalizer", blocked[2])
      assert.same({n = 2, nil, "timeout"}, tried)
      satisfy(o)
      clean(o)
    end)

    help.both(it, "leaves nothing behind", function()
      help.leaves_nothing(function()
        help.collecting(function(errors)
          local o = make()
          local ts = {}
          for i = 1, 5 do
            ts[i] = help.blocked(waiter(o, i % 2 == 0 and 60 or nil))
            if i == 1 then ts[i]:kill() end
            if i == 2 then ts[i]:throw("x") end
            help.wait_until(function()
              return i > 2 or ts[i]:status() == "killed"
                or ts[i]:status() == "failed"
            end)
            if row.single and i > 2 then
              satisfy(o)
              ts[i]:join()
            end
          end
          for _ = 1, row.single and 0 or row.all and 1 or 3 do satisfy(o) end
          for i = 3, 5 do ts[i]:join() end
          clean(o)
          help.wait_until(function() return #errors == 1 end)
        end)
      end)
    end)
  end)
end

describe("sleep, wait_others and ticker:wait", function()
  local calls = {
    sleep = function(s) return green.sleep(s) end,
    wait_others = function(s) return green.wait_others(s) end,
    ["ticker:wait"] = function(s) return green.ticker(60):wait(s) end,
  }
  for name, call in pairs(calls) do
    help.both(it, "are interrupted by kill, throw and timeout: " .. name,
      function()
        local t = green.spawn(call, 60)
        help.blocked(t)
        t:kill()
        assert.equal("killed", green.type(select(2, t:join())))
        t = green.spawn(call, 60)
        help.blocked(t)
        t:throw("x")
        assert.same({false, "x"}, {t:join()})
        local to <close> = green.timeout(0.001)
        assert.equal(to, select(2, pcall(call, 60)))
      end)

    help.both(it, "end no earlier than told: " .. name, function()
      for _, s in ipairs {1e-9, 0.0005, 0.003} do
        local began = green.now()
        call(s)
        assert.is_true(green.now() - began >= s)
      end
    end)

    if name ~= "sleep" then
      it("with a limit of 0 never switch: " .. name, function()
        local ran = false
        green.spawn(function() ran = true end)
        for _ = 1, 100 do
          local v, err = call(0)
          assert(v == nil and err == "timeout")
        end
        assert.is_false(ran)
        green.sleep(0)
      end)
    end

    it("are refused in a finalizer: " .. name, function()
      local result
      local function garbage()
        setmetatable({}, {__gc = function()
          result = table.pack(pcall(call, 60))
        end})
      end
      local other = green.spawn(green.sleep, 60)
      garbage()
      collectgarbage()
      other:kill()
      other:join()
      assert.is_false(result[1])
      assert.matches("finalizer", result[2])
    end)

    it("work inside table.sort and nested coroutines: " .. name, function()
      coroutine.wrap(function()
        table.sort({1, 2, 3}, function(a, b)
          call(0.0001)
          return a < b
        end)
      end)()
    end)
  end

  it("leave nothing behind", function()
    help.leaves_nothing(function()
      for _, call in pairs(calls) do call(0.0001) end
    end)
  end)
end)

describe("a thread whose calls never have to wait", function()
  help.both(it, "goes round after a number of them", function()
    local q, over, turns = green.queue(1), false, 0
    local busy = green.spawn(function()
      while not over do
        q:put(1)
        q:get()
      end
    end)
    local other = green.spawn(function()
      for _ = 1, 10 do
        turns = turns + 1
        green.sleep(0)
      end
      over = true
    end)
    help.ended(busy, other)
    assert.equal(10, turns)
  end)
end)
