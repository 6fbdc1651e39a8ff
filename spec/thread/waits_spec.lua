-- The promises of every wait, for a thread's.
-- SPDX-License-Identifier: MIT

local promises = require "spec.promises"

local gate, open_gate = promises.gate, promises.open_gate

promises.check(describe, it, {
  {
    name = "thread:wait", all = true, value = "result", make = gate,
    wait = function(o, s) return o.t:wait(s) end,
    satisfy = function(o) open_gate(o) end, clean = open_gate, late = true,
  }, {
    name = "thread:join", all = true, value = true, make = gate,
    wait = function(o, s) return o.t:join(s) end,
    satisfy = open_gate, clean = open_gate, late = true,
    case = function(o) return o.t end,
  },
})
