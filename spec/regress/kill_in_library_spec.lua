-- A kill that had to be forced, and the end of fuel, struck between any two
-- instructions, also in the library's own Lua code: a resource pool lost
-- permits, or raised from then on. Then they waited until that code was left,
-- however long that was.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("a kill that is forced", function()
  help.both(it, "does not cut the library's own code in two", function()
    local config = {grace = 0.005, preempt = 0.002}
    help.with_config(config, function()
      local going = true
      for _ = 1, 40 do
        local fails = true
        local pool = green.resource_pool {max = 1, create = function()
          if not fails then return {} end
        end}
        local t = green.spawn(function()
          while going do pcall(pool.lease, pool, 0) end
        end)
        help.wait_until(function() return t:status() ~= "new" end)
        t:kill()
        t:join()
        fails = false
        local lease <close> = pool:lease(0)
        assert.truthy(lease)
      end
    end)
  end)

  it("nor does the end of fuel", function()
    for fuel = 100, 400, 3 do
      local fails = true
      local pool = green.resource_pool {max = 1, create = function()
        if not fails then return {} end
      end}
      local box = green.sandbox {limits = {fuel = fuel},
        globals = {lease = function() pool:lease(0) end}}
      local t = box:spawn "while true do lease() end"
      t:join()
      fails = false
      local lease <close> = pool:lease(0)
      assert.truthy(lease, "with fuel for " .. fuel)
    end
  end)

  -- By its name the chunk is the library's.
  local ENDLESS <const> = [[
    local green = require "green"
    green.config {grace = 0.005}
    green.on_error(function() end)
    local home = debug.getinfo(green.with_timeout, "S").source
      :gsub("green/thread/.*", "")
    local endless = load("while true do end", home .. "green/endless.lua")
    %s
    pcall(t.join, t)
    print "ended"]]

  it("waits for that code, but not for ever", function()
    local out = help.child(ENDLESS:format [[
      local t = green.spawn(function() pcall(green.sleep, 1e9) endless() end)
      green.sleep(0)
      t:kill()]])
    assert.equal("ended\n", out)
  end)

  it("nor does fuel last there", function()
    local out = help.child(ENDLESS:format [[
      local box = green.sandbox {limits = {fuel = 300},
        globals = {endless = endless}}
      local t = box:spawn "endless()"]])
    assert.equal("ended\n", out)
  end)
end)
