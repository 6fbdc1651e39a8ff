-- Bad arguments of map and its kin were reported at a line of the library.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

describe("a bad argument of map, imap and imap_unordered", function()
  local pool = green.pool(1)

  for _, name in ipairs {"map", "imap", "imap_unordered"} do
    it("is reported where " .. name .. " is called", function()
      local here = "map_position_spec.lua:%d+: bad argument #"
      local function error_of(...)
        local args = table.pack(...)
        return select(2, pcall(function()
          local result = pool[name](pool, table.unpack(args))
          return result
        end))
      end
      assert.matches(here .. "1", error_of(1, {}))
      assert.matches(here .. "2", error_of(print, 1))
    end)
  end
end)
