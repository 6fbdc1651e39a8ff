-- The promises of every wait, for listeners and servers.
-- SPDX-License-Identifier: MIT

local ends = require "spec.ends"
local core = require "green.core"
local green = require "green"
local help = require "spec.help"
local promises = require "spec.promises"

local open_gate = promises.open_gate
local listener, shut = ends.listener, ends.shut
local knock, taken = ends.knock, ends.taken
local limited, datagrams = ends.limited, ends.datagrams
local drop = ends.drop

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

local function stop_serving() error(green.StopServe) end

--- A server that has been started, and one whose handler waits for a gate.
local function serving(handler)
  local o = {server = green.server {listen = "127.0.0.1:0",
    idle = math.huge,
    handler = type(handler) == "function" and handler
      or function() end}}
  assert(o.server:start())
  return o
end

local function stop_it(o)
  green.spawn_n(o.server.stop, o.server, {grace = 0})
end

local function serving_somebody()
  local e = green.event()
  local o = serving(function() e:wait() end)
  o.e = e
  local conn = assert(green.connect("127.0.0.1", o.server:addresses()[1].port))
  help.wait_until(function() return o.server:stats().connections == 1 end)
  conn:close()
  return o
end

--- A Unix listener whose queue is full.
local function crowded_listener()
  local o = {path = os.tmpname(), out = {}, tries = core.unix()}
  os.remove(o.path)
  o.tries:settimeout(0)
  o.l = assert(green.listen("unix:" .. o.path, nil, {backlog = 10}))
  o.l:settimeout(0)
  repeat
    local sock = green.connect("unix:" .. o.path, nil, {timeout = 0})
    o.out[#o.out + 1] = sock
  until not sock
  return o
end

promises.check(describe, it, {
  {
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
    name = "select of a listener", single = true, late = true, value = true,
    make = listener, clean = shut, satisfy = knock,
    wait = function(o, s)
      local at, conn, err = green.select({o.l}, s)
      if not at then return nil, conn end
      return taken(conn, err)
    end,
    close = function(o) o.l:close() end,
  }, {
    name = "connect to a Unix listener that has no room", all = true,
    late = true, value = true, unordered = true, keeps = true, steps = true,
    make = crowded_listener, clean = function(o)
      for _, sock in ipairs(o.out) do sock:close() end
      o.l:close()
    end,
    satisfy = function(o)
      while taken(o.l:accept()) do end
    end,
    wait = function(o, s)
      if s and s <= 0 then -- quick, or a slice may end in many tries
        return o.tries:connect(o.path)
      end
      return taken(green.connect("unix:" .. o.path, nil, {timeout = s}))
    end,
  }, {
    name = "serve", single = true, late = true, value = true,
    limitless = true, steps = true, make = listener, clean = shut,
    satisfy = knock,
    wait = function(o) return green.serve(o.l, stop_serving) end,
  }, {
    name = "udp_server", single = true, late = true, value = true,
    limitless = true, steps = true, make = datagrams, clean = drop,
    wait = function(o) return green.udp_server(o.far, stop_serving) end,
    satisfy = function(o) assert(o.near:send("x")) end,
  }, {
    name = "server:wait", all = true, late = true, value = true,
    make = serving, clean = stop_it, satisfy = stop_it,
    wait = function(o, s) return o.server:wait(s) end,
  }, {
    name = "server:stop", all = true, late = true, value = "table",
    limitless = true, make = serving_somebody, clean = open_gate,
    satisfy = open_gate,
    wait = function(o)
      return type(o.server:stop {grace = math.huge})
    end,
  },
})
