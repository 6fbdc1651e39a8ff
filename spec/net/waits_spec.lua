-- The promises of every wait, for streams and for descriptors of others.
-- SPDX-License-Identifier: MIT

local ends = require "spec.ends"
local green = require "green"
local promises = require "spec.promises"
local streams = require "spec.streams"

local connected, disconnect = ends.connected, ends.disconnect
local stuffed, drain = ends.stuffed, ends.drain
local limited, iterated = ends.limited, ends.iterated
local drop = ends.drop

--- A pipe with a name, open in both directions.
local function serial_line()
  local path = os.tmpname()
  assert(os.execute(("rm '%s' && mkfifo '%s'"):format(path, path)))
  local line = assert(green.socket.serial(path))
  os.remove(path)
  return line
end

promises.check(describe, it, streams("", connected, stuffed))
promises.check(describe, it, {
  {
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
    name = "socket:sendfd", all = true, late = true, value = 1,
    make = stuffed, clean = disconnect, satisfy = drain,
    wait = function(o, s)
      local ok, err = limited(o.near, s):sendfd(0, "y")
      return ok, err
    end,
    close = function(o) o.near:close() end,
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
    name = "wait_fd", single = true, late = true, value = true,
    nameless = true, keeps = true,
    make = connected, clean = disconnect,
    wait = function(o, s)
      local ok, err = green.wait_fd(math.max(o.far:getfd(), 0), "r", s)
      if ok then limited(o.far, 0):recv(1) end
      return ok, err
    end,
    satisfy = function(o) assert(o.near:send("x")) end,
  }, {
    name = "socket:lines", single = true, late = true, value = "line",
    make = connected, clean = disconnect,
    wait = function(o, s) return iterated(limited(o.far, s):lines()) end,
    satisfy = function(o) assert(o.near:send("line\n")) end,
  }, {
    name = "socket:chunks", single = true, late = true, value = "x",
    make = connected, clean = disconnect,
    wait = function(o, s) return iterated(limited(o.far, s):chunks()) end,
    satisfy = function(o) assert(o.near:send("x")) end,
  },
})
