-- The promises of every wait, for calls that look a name up.
-- SPDX-License-Identifier: MIT

local ends = require "spec.ends"
local green = require "green"
local promises = require "spec.promises"

local limited, taken = ends.limited, ends.taken

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

--- A socket that did what it was told, closed.
local function kept_open(sock, ok, err)
  sock:close()
  return ok and true, err
end

promises.check(describe, it, {
  {
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
    name = "dns.getaddrinfo", all = true, late = true, value = "127.0.0.1",
    make = asked, clean = unasked, satisfy = answer, what = "thread:join",
    keeps = true,
    wait = function(_, s)
      local list, err = green.dns.getaddrinfo("generic.test", 1, s)
      return list and list[1].addr, err
    end,
  }, {
    name = "socket:connect by name", all = true, late = true, value = true,
    make = asked, clean = unasked, satisfy = answer, what = "thread:join",
    keeps = true, steps = true,
    wait = function(o, s)
      if s and s <= 0 then return nil, "timeout" end -- look-ups know no 0
      local sock = limited(green.socket.tcp(), s)
      return kept_open(sock, sock:connect("generic.test", o.port))
    end,
  }, {
    name = "socket:bind by name", all = true, late = true, value = true,
    make = asked, clean = unasked, satisfy = answer, what = "thread:join",
    keeps = true,
    wait = function(_, s)
      if s and s <= 0 then return nil, "timeout" end
      local sock = limited(green.socket.tcp(), s)
      return kept_open(sock, sock:bind("generic.test", 0))
    end,
  }, {
    name = "listen by name", all = true, late = true, value = true,
    limitless = true, make = asked, clean = unasked, satisfy = answer,
    what = "thread:join", keeps = true,
    wait = function() return taken(green.listen("generic.test", 0)) end,
  }, {
    name = "udp by name", all = true, late = true, value = true,
    limitless = true, make = asked, clean = unasked, satisfy = answer,
    what = "thread:join", keeps = true,
    wait = function() return taken(green.udp("generic.test", 0)) end,
  }, {
    name = "datagram:setpeername by name", all = true, late = true,
    value = true, make = asked, clean = unasked, satisfy = answer,
    what = "thread:join", keeps = true,
    wait = function(_, s)
      if s and s <= 0 then return nil, "timeout" end
      local sock = limited(green.udp(), s)
      return kept_open(sock, sock:setpeername("generic.test", 9))
    end,
  }, {
    name = "datagram:sendto by name", all = true, late = true, value = true,
    make = asked, clean = unasked, satisfy = answer, what = "thread:join",
    keeps = true,
    wait = function(_, s)
      if s and s <= 0 then return nil, "timeout" end
      local sock = limited(green.udp(), s)
      return kept_open(sock, sock:sendto("x", "generic.test", 9))
    end,
  }, {
    name = "LuaSocket's connect by name", all = true, late = true,
    value = true, limitless = true, make = asked, clean = unasked,
    satisfy = answer, what = "thread:join", keeps = true, steps = true,
    wait = function(o)
      return taken(green.socket.connect("generic.test", o.port))
    end,
  }, {
    name = "LuaSocket's dns.toip", all = true, late = true, limitless = true,
    value = "127.0.0.1", make = asked, clean = unasked, satisfy = answer,
    what = "thread:join", keeps = true,
    wait = function() return (green.socket.dns.toip "generic.test") end,
  },
})
