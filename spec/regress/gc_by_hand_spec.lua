-- If a program called a finalizer of the library itself, it crashed on another
-- value; on a live object it assumed that the state is closing, and every
-- thread died.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local objects = {
  socket = function() return assert(green.listen("127.0.0.1", 0)) end,
  lock = green.lock,
  pool = function() return green.pool(2) end,
  group = function() return green.group() end,
  selector = function() return green.selector {green.queue()} end,
  thread = function() return green.spawn(function() end) end,
}

describe("a finalizer called by hand", function()
  for name, make in pairs(objects) do
    it("on a live " .. name .. " ends nobody", function()
      local bystander = green.spawn(green.sleep, 60)
      local o = make()
      local gc = getmetatable(o).__gc
      for _ = 1, 3 do pcall(gc, o) end
      collectgarbage()
      collectgarbage()
      green.sleep(0)
      assert.equal("blocked", bystander:status())
      assert.equal("alive", green.spawn(function()
        green.sleep(0)
        return "alive"
      end):wait())
      bystander:kill()
    end)

    it("of a " .. name .. " on another value raises", function()
      local gc = getmetatable(make()).__gc
      for _, value in ipairs {5, {}, io.stdout, green.queue(), false} do
        assert.is_false((pcall(gc, value)))
      end
      assert.is_false((pcall(gc)))
    end)
  end

  it("leaves a pool's members and a selector's waiter alone", function()
    local pool, s = green.pool(1), green.selector {green.event()}
    local t = pool:spawn(green.sleep, 60)
    local u = green.spawn(s.select, s)
    help.blocked(t, u)
    getmetatable(pool).__gc(pool)
    getmetatable(s).__gc(s)
    assert.equal(1, pool:running())
    assert.same({"blocked", "blocked"}, {t:status(), u:status()})
    t:kill()
    u:kill()
  end)
end)
