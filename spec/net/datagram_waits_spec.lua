-- The promises of every wait, for sockets of datagrams.
-- SPDX-License-Identifier: MIT

local ends = require "spec.ends"
local green = require "green"
local help = require "spec.help"
local promises = require "spec.promises"

local datagrams, drop = ends.datagrams, ends.drop
local limited, iterated = ends.limited, ends.iterated

--- Two sockets of the Unix family, of which the receiver has no room left.
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

promises.check(describe, it, {
  {
    name = "datagram:sendto", all = true, late = true, value = 1, keeps = true,
    make = function()
      local path = help.name()
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
    name = "datagram:datagrams", single = true, late = true, value = "x",
    make = datagrams, clean = drop,
    wait = function(o, s) return iterated(limited(o.far, s):datagrams()) end,
    satisfy = function(o) assert(o.near:send("x")) end,
  },
})
