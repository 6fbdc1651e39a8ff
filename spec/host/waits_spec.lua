-- The promises of every wait, for ports and for C functions of the program's.
-- SPDX-License-Identifier: MIT

local ends = require "spec.ends"
local green = require "green"
local help = require "spec.help"
local promises = require "spec.promises"

local itself = promises.itself
local connected, disconnect = ends.connected, ends.disconnect
local limited = ends.limited

--- What a program's own C functions do: nil where nothing compiles them.
local blocking = help.c_module "blocking"

local things = {
  {
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
  if things[i].foreign and not blocking then table.remove(things, i) end
end

promises.check(describe, it, things)
