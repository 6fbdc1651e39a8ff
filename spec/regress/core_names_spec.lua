-- pcall(green.timeout, "x") named the function 'green.core.timeout': if the
-- call tells no name, Lua searches the tables of package.loaded, and took the
-- first one that has the function.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local core = require "green.core"

describe("the error of a function that is called through pcall", function()
  it("names it as the program does", function()
    local calls = {timeout = {"x"}, sleep = {"x"}, spawn = {}, spawn_n = {1},
      spawn_after = {}, queue = {"x"}, channel = {}, find_thread = {},
      config = {1}, wait_others = {"x"}, locals = {1}, type = {}}
    for name, arguments in pairs(calls) do
      local ok, err = pcall(green[name], table.unpack(arguments))
      if not ok then
        assert.matches("bad argument #1 to 'green." .. name .. "' (", err, 1,
          true)
      else
        assert.equal("channel", name)
      end
    end
  end)

  it("is the same in tracebacks", function()
    local text
    local t = green.spawn(xpcall, green.sleep, function()
      text = debug.traceback()
    end, "x")
    t:join()
    assert.matches("function 'green.sleep'", text, 1, true)
  end)
end)

describe("green.core", function()
  it("has fields that can be read and set all the same", function()
    assert.is_nil(next(core))
    assert.equal(core.sleep, green.sleep)
    core.some_name = 1
    assert.equal(1, core.some_name)
    core.some_name = nil
    assert.is_nil(core.some_name)
  end)
end)
