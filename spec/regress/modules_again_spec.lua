-- A program that had cleared package.loaded, as some do to load its own files
-- again, got second copies of the library's modules with the next deadlock or
-- report: they forgot its on_error, and os.exit called a nil value.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

describe("a program that clears package.loaded", function()
  it("keeps its handlers, and can exit", function()
    local out, how, code = help.child [[
      local green = require "green"
      green.on_error(function(err) print("handled: " .. err) end)
      for name in pairs(package.loaded) do
        if name:find "^green" then package.loaded[name] = nil end
      end
      local event = green.event()
      local ok, err = pcall(event.wait, event)
      assert(not ok and tostring(err):find "deadlock")
      assert(require "green" == green)
      green.spawn(error, "on purpose")
      green.sleep(0)
      os.exit(3, true)]]
    assert.equal("handled: on purpose\n", out)
    assert.equal("exit 3", how .. " " .. code)
  end)
end)
