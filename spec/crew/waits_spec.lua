-- The promises of every wait, for threads that belong together, for resources
-- and for graphs of tasks.
-- SPDX-License-Identifier: MIT

local dag = require "green.dag"
local green = require "green"
local help = require "spec.help"
local promises = require "spec.promises"

local gate, open_gate = promises.gate, promises.open_gate

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

promises.check(describe, it, {
  {
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
  },
})
