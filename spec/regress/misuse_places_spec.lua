-- Misuse of some functions that are written in Lua was reported as a line of
-- the library: a server's methods called by a dot, a sandbox's spawn(nil).
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("misuse is reported where the function is called:", function()
  local function complains(text, f, ...)
    local args = table.pack(...)
    local ok, err = pcall(function()
      local result = f(table.unpack(args, 1, args.n))
      return result
    end)
    assert.is_false(ok)
    assert.matches("^%S*misuse_places_spec.lua:%d+: bad argument #", err)
    assert.matches(text, err, 1, true)
  end

  local server = green.server {listen = "127.0.0.1:0", handler = print}
  for _, name in ipairs {"start", "stop", "wait", "addresses", "stats"} do
    it("a server's " .. name, function()
      for _, self in pairs {5, {}, print} do
        complains(("#1 to '%s' (green.server expected"):format(name),
          server[name], self)
      end
      complains("got nil", server[name])
    end)
  end

  it("a sandbox's spawn and load", function()
    local box = green.sandbox {}
    complains("#1 to 'spawn' (function expected, got nil)", box.spawn, box)
    complains("#1 to 'spawn' (function expected, got table)", box.spawn, box,
      {})
    complains("#2 to 'load' (string expected, got boolean)", box.load, box, "",
      true)
  end)

  it("the backdoor's session", function()
    complains("#1 to 'session' (connection expected, got nil)",
      green.backdoor.session)
    complains("#1 to 'session' (connection expected, got table)",
      green.backdoor.session, {})
  end)

  it("the serial line's path", function()
    complains("#1 to 'serial' (string expected, got nil)", green.socket.serial)
  end)

  it("the test's wait_until and blocked", function()
    complains("#1 to 'wait_until' (function expected, got nil)",
      green.test.wait_until)
    local sleeper <close> = green.spawn(green.sleep, 60)
    complains("#2 to 'blocked' (green thread expected, got number)",
      green.test.blocked, sleeper, 5)
  end)
end)
