-- A graph checked that a key is free, and then made the key's thread, which may
-- run finalizers. If one spawned or posted the key, it was overruled, and two
-- tasks ran for the key.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local dag = require "green.dag"

--- green.spawn, as the graph calls it, collects first what is made here.
local function during_spawn(finalizer, f)
  local spawn = green.spawn
  green.spawn = function(...)
    green.spawn = spawn
    collectgarbage "incremental"
    collectgarbage "generational"
    collectgarbage "stop"
    setmetatable({}, {__gc = finalizer})
    collectgarbage "restart"
    return spawn(...)
  end
  local results = table.pack(pcall(f))
  collectgarbage "incremental"
  return table.unpack(results, 1, results.n)
end

describe("a key that a finalizer takes while it is spawned", function()
  for _, how in ipairs{"spawn", "post"} do
    it("is taken, by " .. how, function()
      local d, runs = dag(), 0
      local ok, err = during_spawn(function()
        if how == "post" then return d:post("key", "inner") end
        d:spawn("key", nil, function() return "inner" end)
      end, function()
        return d:spawn("key", nil, function() runs = runs + 1 end)
      end)
      assert.is_false(ok)
      assert.matches("the key 'key' is taken", err)
      green.sleep(0)
      assert.equal("inner", (d:get("key")))
      assert.equal(0, runs)
      assert.equal(0, d:running())
    end)
  end
end)
