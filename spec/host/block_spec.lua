-- Blocking functions that a program writes in C, spec/c/blocking.c. Promises
-- of all that blocks are checked in waits_spec.lua.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local blocking = help.c_module "blocking"

local function pair()
  local near, far = green.socketpair()
  return near, far, far:getfd()
end

describe("a blocking function in C", function()
  if not blocking then
    it("is tried where a C compiler is", function()
      pending "no C compiler, or no headers"
    end)
    return
  end

  help.both(it, "may call the core and raises what struck", function()
    local strikes = {
      kill = function(t) t:kill() return "killed" end,
      throw = function(t) t:throw("thrown") return "thrown" end,
    }
    for _, strike in pairs(strikes) do
      local said
      local t = green.spawn(function()
        local ok, err = pcall(blocking.nap, 60)
        said = not ok and tostring(err)
      end)
      help.blocked(t)
      local expected = strike(t)
      t:join()
      assert.matches(expected, said)
    end
    assert.is_false(pcall(function()
      local _ <close> = green.timeout(0.001)
      blocking.nap(60)
    end))
    assert.equal(0, blocking.nap(0))
  end)

  help.both(it, "that leaves finds its values where they were", function()
    local near, far, fd = pair()
    local t = green.spawn(blocking.parked, fd, "r", nil, 4)
    help.blocked(t)
    near:send("x")
    assert.same({fd, "r", nil, 4}, {t:wait()})
    near:close()
    far:close()
  end)

  help.both(it, "keeps no C stack where it can leave", function()
    local near, far, fd = pair()
    local kept = green.stats().kept
    local ts = {}
    for i = 1, 100 do ts[i] = green.spawn(blocking.park_fd, fd, "r") end
    help.blocked(table.unpack(ts))
    help.wait_until(function() return green.stats().kept <= kept end)
    near:send("x")
    for _, t in ipairs(ts) do assert.is_true(t:wait()) end
    near:close()
    far:close()
  end)

  it("waits for either direction", function()
    local near, far, fd = pair()
    assert.is_true(blocking.park_fd(fd, "rw", 5))
    assert.same({nil, "timeout"}, {blocking.park_fd(fd, "r", 0.001)})
    assert.same({nil, "closed"}, {blocking.park_fd(-1, "rw", 5)})
    near:close()
    assert.is_true(blocking.park_fd(fd, "r", 5))
    far:close()
  end)

  it("knows where it may block", function()
    assert.is_true(blocking.may_block())
    assert.is_true(green.spawn(blocking.may_block):wait())
    local inside
    local function garbage()
      setmetatable({}, {__gc = function() inside = blocking.may_block() end})
    end
    garbage()
    collectgarbage()
    assert.is_false(inside)
  end)
end)
