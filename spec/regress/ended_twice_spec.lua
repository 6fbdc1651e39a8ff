-- Ending a thread that had not started made its name first, and a finalizer
-- that ran there and also ended it made it end twice. Its links ran twice, and
-- the count of live threads dropped by two.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function nop() end

--- The number of live threads, after those that other specs have left have
--- ended.
local function count_threads()
  green.wait_others(0.05)
  return green.stats().threads
end

describe("a thread that a finalizer ends while it is ended", function()
  for _, how in ipairs{"kill", "throw"} do
    it("ends once, by " .. how .. " in the finalizer", function()
      local threads = count_threads()
      local t, links = green.spawn_after(10, nop), 0
      t:link(function() links = links + 1 end)
      local inner
      collectgarbage "incremental"
      collectgarbage "generational"
      collectgarbage "stop"
      setmetatable({}, {__gc = function() inner = t[how](t, "inner") end})
      collectgarbage "restart"
      local outer = t:throw("outer")
      collectgarbage "incremental"
      collectgarbage()
      green.sleep(0)
      assert.same({true, false}, {inner or outer, inner and outer})
      assert.equal(1, links)
      assert.equal(threads, green.stats().threads)
      local ok, err = t:join()
      assert.same({false, outer and "outer" or "inner"},
        {ok, inner and how == "kill" and err.reason or err})
    end)
  end

  it("ends once, by kill, wherever finalizers come", function()
    local threads = count_threads()
    local links = 0
    local function link() links = links + 1 end
    local list = {}
    for i = 1, 200 do
      list[i] = green.spawn_after(10, nop)
      list[i]:link(link)
    end
    local i = 0
    local function finalizer()
      i = i + 1
      setmetatable({}, {__gc = i < 40 and finalizer or nop})
      for _, t in ipairs(list) do t:cancel() end
    end
    help.collect_often()
    setmetatable({}, {__gc = finalizer})
    for _, t in ipairs(list) do t:kill() end
    collectgarbage "incremental"
    green.sleep(0)
    green.sleep(0)
    assert.equal(200, links)
    assert.equal(threads, green.stats().threads)
  end)
end)
