--- A program that is stuck in Lua code still tells what it does: preemption
--- keeps the loop turning, so a dump comes; the watchdog names the place.
---
--- SPDX-License-Identifier: MIT

local help = require "spec.help"

--- Runs a program whose thread never waits, and which signals itself.
local function stuck(options, signal)
  return help.child(([[
    local green = require "green"
    green.config {dump_signal = "USR1", %s}
    local t = green.spawn(function()
      local function spin() while true do end end
      spin()
    end)
    t.name = "spinner"
    local pid = PID()
    os.execute("(sleep 0.3; %s kill -USR1 " .. pid .. "; sleep 5; kill -9 "
      .. pid .. ") >/dev/null 2>&1 &")
    green.spawn(green.sleep, 0.6):join()
    os.exit(0)
  ]]):format(options, signal))
end

describe("a program that is stuck in Lua code", function()
  it("dumps at the signal if preemption is on", function()
    local out, how, code = stuck("preempt = 0.02", "")
    assert.matches("dump of", out)
    assert.matches("#%d+ spinner: %w+\n", out)
    assert.matches("in [^\n]*'?spin'?", out)
    assert.same({"exit", 0}, {how, code})
  end)

  it("is named by the watchdog, with the place", function()
    local out = stuck("watchdog = 0.1", "kill -9 $PPID; ")
    assert.matches("spinner held up all others for [%d.]+ s, computing, at "
      .. "[^\n]+:%d+", out)
  end)
end)
