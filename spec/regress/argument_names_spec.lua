-- Bad arguments of functions that are written in Lua named functions inside the
-- library and lines of it; shutdown killed all threads before it complained.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("a bad argument is reported where the function is called, by name:",
  function()
    local function complains(name, text, ...)
      local args = table.pack(...)
      local ok, err = pcall(function()
        local result = green[name](table.unpack(args, 1, args.n))
        return result
      end)
      assert.is_false(ok)
      assert.matches("^%S*argument_names_spec.lua:%d+: bad argument #", err)
      assert.matches(text, err, 1, true)
    end

    for _, name in ipairs {"with_timeout", "shield", "spawn_after_local"} do
      it(name, function()
        local first, second = "#1 to '" .. name .. "'", "#2 to '" .. name .. "'"
        complains(name, first .. " (number expected, got string)", "x", print)
        complains(name, first .. " (number expected, got table)", {}, print)
        complains(name, first .. " (seconds expected, got NaN)", 0/0, print)
        complains(name, second .. " (function expected, got nil)", 1)
        complains(name, second .. " (function expected, got number)", 1, 2)
      end)
    end

    it("shutdown, which then kills nobody", function()
      local t <close> = green.spawn(green.sleep, 60)
      complains("shutdown", "#1 to 'shutdown' (number expected, got string)",
        "x")
      complains("shutdown", "#1 to 'shutdown' (seconds expected, got NaN)",
        0/0)
      assert.equal("new", t:status())
    end)

    it("on_error, also for a value that hides its metatable", function()
      complains("on_error", "#1 to 'on_error' (function expected, got table)",
        setmetatable({}, {__metatable = true}))
    end)
  end)

describe("green.on_error", function()
  it("takes what can be called, even if its metatable is hidden", function()
    local f = setmetatable({}, {__metatable = true, __call = print})
    local former = green.on_error(f)
    assert.equal(f, green.on_error(former))
  end)
end)
