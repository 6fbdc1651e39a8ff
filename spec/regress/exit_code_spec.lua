-- A later os.exit overwrote the code of the first one: clean-up turned a
-- failure into success.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

local function code_of(text)
  local _, how, code = help.child('local green = require "green"\n' .. text)
  return how .. " " .. code
end

describe("the first os.exit", function()
  it("decides on the code, whoever calls another one", function()
    assert.equal("exit 41", code_of [[
      green.spawn(function() os.exit(41, true) end)
      green.spawn(function() os.exit(0, true) end)
      green.sleep(5)]])
    assert.equal("exit 41", code_of [[
      green.spawn(function() os.exit(41, true) end)
      green.spawn(function() os.exit(true) end)
      green.sleep(5)]])
    assert.equal("exit 1", code_of [[
      green.spawn(function() os.exit(false, true) end)
      green.spawn(function() os.exit(true, true) end)
      green.sleep(5)]])
  end)

  it("decides against a handler of <close>, and against main", function()
    assert.equal("exit 41", code_of [[
      green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          os.exit(0, true)
        end})
        green.sleep(60)
      end)
      green.sleep(0)
      os.exit(41, true)]])
    assert.equal("exit 41", code_of [[
      local ready = green.event()
      green.spawn(function()
        ready:send()
        os.exit(41, true)
      end)
      ready:wait()
      os.exit(0, true)]])
  end)
end)

describe("standard functions that are replaced", function()
  local function message(text)
    local ok, err = pcall(assert(load(text, "=program")))
    assert.is_false(ok)
    return err
  end

  it("keep their messages, which name the program's line", function()
    assert.matches("^program:1: bad argument #1 to 'exit' %(number expected, "
      .. "got table%)", message "os.exit({})")
    assert.matches("^program:2: bad argument #1 to 'exit'",
      message "\nos.exit({}, true)")
    assert.matches("^program:1: bad argument #1 to 'warn' %(string expected, "
      .. "got table%)", message "warn({})")
    assert.matches("^program:1: bad argument #1 to 'warn' %(string expected, "
      .. "got no value%)", message "warn()")
    assert.matches("^program:1: bad argument #2 to 'warn'",
      message "warn('@off', {})")
    assert.matches("^program:1: bad argument #2 to 'sethook'",
      message "debug.sethook({})")
    if _VERSION == "Lua 5.4" then
      assert.matches("^program:1: bad argument #1 to 'close' %(thread "
        .. "expected, got no value%)", message "coroutine.close()")
    end
  end)
end)
