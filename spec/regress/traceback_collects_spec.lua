-- Each traceback of a thread that ended by an error, or of one that was killed
-- in Lua code, had the collector run at once: with 4,000 such threads alive
-- that was 4,000 collections of all their stacks.
--
-- SPDX-License-Identifier: MIT

local dag = require "green.dag"
local green = require "green"
local help = require "spec.help"

-- 5.5 has no way to tell the collector how much later it shall run.
local suits = not os.getenv "LUAGREEN_EAGER_GC" and _VERSION == "Lua 5.4"
local it = suits and it or pending

--- Counts collections while f runs.
local function collections(f)
  local n, counting = 0, true
  local function garbage()
    setmetatable({}, {__gc = function()
      n = n + 1
      if counting then garbage() end
    end})
  end
  garbage()
  f()
  counting = false
  return n
end

describe("the end of many threads collects no garbage for each", function()
  local MANY <const> = 2000

  it("when they are killed while they wait for a graph's key", function()
    local d, threads = dag(), {}
    for i = 1, MANY do threads[i] = green.spawn(d.wait, d, {"key"}) end
    help.blocked(threads[MANY])
    assert.is_true(collections(function()
      for i = 1, MANY do threads[i]:kill(0) end
      for i = 1, MANY do threads[i]:join() end
    end) < MANY / 10)
  end)

  it("when they fail", function()
    local threads = {}
    help.collecting(function()
      assert.is_true(collections(function()
        for i = 1, MANY do threads[i] = green.spawn(error, {}) end
        for i = 1, MANY do threads[i]:join() end
      end) < MANY / 10)
    end)
  end)
end)
