--- The rows for spec.promises that all streams have, whatever is below them.
---
--- SPDX-License-Identifier: MIT

local ends = require "spec.ends"
local green = require "green"

local disconnect, drain, limited = ends.disconnect, ends.drain, ends.limited

--- `kind` ends their names; connected() and stuffed() make both ends of one.
return function(kind, connected, stuffed)
  return {
    {
      name = "socket:recv" .. kind, single = true, late = true, value = "x",
      make = connected, clean = disconnect,
      wait = function(o, s)
        local data, err = limited(o.far, s):recv(1)
        return data, err
      end,
      satisfy = function(o) assert(o.near:send("x")) end,
      close = function(o) o.far:close() end,
    }, {
      name = "socket:receive" .. kind, single = true, late = true,
      value = "line", make = connected, clean = disconnect,
      wait = function(o, s)
        local line, err = limited(o.far, s):receive()
        return line, err
      end,
      satisfy = function(o) assert(o.near:send("line\n")) end,
      close = function(o) o.far:close() end,
    }, {
      name = "socket:send" .. kind, all = true, late = true, value = 1,
      make = stuffed, clean = disconnect, satisfy = drain,
      wait = function(o, s)
        local last, err = limited(o.near, s):send("y")
        return last, err
      end,
      close = function(o) o.near:close() end,
    }, {
      name = "select of a connection" .. kind, single = true, late = true,
      value = true, make = connected, clean = disconnect,
      wait = function(o, s)
        local at, v, err = green.select({o.far}, s)
        if not at then return nil, v end
        if v then limited(o.far, 0):recv(1) end
        return v, err
      end,
      satisfy = function(o) assert(o.near:send("x")) end,
      close = function(o) o.far:close() end,
    },
  }
end
