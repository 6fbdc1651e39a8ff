-- With two descriptors left, `require "green"` ended the process: libuv aborts
-- if it cannot make a pipe. And if garbage held descriptors, it was not
-- collected there first, as it is elsewhere.
--
-- SPDX-License-Identifier: MIT

local preload = require "spec.preload"

describe("a program with few descriptors left", function()
  teardown(preload.clean)

  it("is told so by require, or can use the library", function()
    local out = preload.run [[
      local function try()
        local ok, green = pcall(require, "green")
        if not ok then
          print((green:gsub("\n.*", "")))
          os.exit(0)
        end
        local t = green.spawn(function() green.sleep(0.001) return 1 end)
        assert(t:wait() == 1)
        green.config {dump_signal = "USR1"}
        local ok, err = pcall(green.connect, "localhost", 1)
        assert(ok or err == "luagreen: no memory", err)
        print "works"
        os.exit(true, true)
      end
      local next = failing.dup(0)
      failing.close(next)
      for left = 1, 24 do
        -- The modules are read while there are descriptors.
        local how, code, out = failing.child(10, function()
          package.preload["green.core"] = package.loadlib(
            package.searchpath("green.core", package.cpath),
            "luaopen_green_core")
          failing.limit(next + left)
          try()
        end)
        print(left, how, code, out)
      end]]
    local works, refused = 0, 0
    for line in out:gmatch "[^\n]+" do
      if line:find "exit" then
        assert.matches("^%d+%s+exit%s+[01]%s", line)
      end
      if line:find "works" then works = works + 1 end
      -- The hub may have taken the last one: a module's file is not opened.
      if line:find "no hub: too many open files"
        or line:find "module 'green[%w.]*' not found" then
        refused = refused + 1
      end
    end
    assert.falsy(out:find "signal")
    assert.equal(24, works + refused, out)
    assert(works > 0 and refused > 0)
  end)

  it("finds those that garbage holds", function()
    preload.run [[
      local next = failing.dup(0)
      failing.close(next)
      collectgarbage "stop"
      failing.limit(next + 30)
      local n = 0
      -- Bounded: an eager collector (spec/c/eager_gc.c) does not stop.
      while n < 1000 and io.open("/dev/null") do n = n + 1 end
      collectgarbage "restart"
      collectgarbage "stop"
      assert(n > 20)
      failing.limit(next + 31) -- one for reading the modules
      local green = require "green"
      local l = assert(green.listen("127.0.0.1", 0))
      assert(l:getfd() < next + 30)]]
  end)
end)
