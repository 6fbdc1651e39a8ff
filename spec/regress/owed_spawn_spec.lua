-- A thread spawned during the report of an error counted as the report. If a
-- finalizer spawned there, the end of the program did not kill that thread but
-- waited for it, for the whole grace.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

local script = [[
local green = require "green"
local core = require "green.core"
green.on_error(function() end)
local me, err = green.current(), {}
collectgarbage "incremental"
collectgarbage "generational"
collectgarbage "stop"
setmetatable({}, {__gc = function() green.spawn_n(green.sleep, 1000) end})
collectgarbage "restart"
core.report_later(err, me)
collectgarbage "incremental"
local began = green.now()
os.exit(green.stats().threads > 1 and core.drain() == 0
  and green.now() - began < 2)
]]

describe("a thread that a finalizer spawns during a report", function()
  it("is killed at the end like any other", function()
    local name = os.tmpname()
    local f <close> = assert(io.open(name, "w"))
    f:write(script)
    f:close()
    local ok = os.execute(("timeout 60 %s %s"):format(help.lua, name))
    os.remove(name)
    assert.is_true(ok)
  end)
end)
