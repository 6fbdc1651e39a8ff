--- profile.stop() said that it had written a file for which there was no room.
--- A name with a zero byte was cut in a trace. In a closing state the graph of
--- the memory lost that of Lua.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("a profile", function()
  it("tells that its file could not be written", function()
    green.profile.start {what = "blocked"}
    green.spawn(green.sleep, 0.002):wait()
    local ok, err = green.profile.stop "/dev/full"
    assert.is_nil(ok)
    assert.matches("/dev/full: No space", err)
    assert.is_false(green.profile.running())
  end)

  it("names the function whose argument is bad", function()
    assert.has_error(function() green.profile.stop(nil, "svg") end,
      "bad value for 'format' in 'stop' (folded, speedscope expected, got "
      .. '"svg")')
  end)
end)

describe("a trace", function()
  it("has names with zero bytes as a whole", function()
    green.trace.start()
    green.trace.mark("a\0b")
    green.trace.span("c\0d"):close()
    green.trace.counter("e\0f", 1)
    local text = green.trace.stop()
    for _, name in ipairs {"a\\ufffdb", "c\\ufffdd", "e\\ufffdf"} do
      assert.truthy(text:find('"name":"' .. name .. '"', 1, true), name)
    end
  end)

  it("has the memory of Lua also while the state closes", function()
    local lines = help.child [[
      local green = require "green"
      HELD = {} -- Lua 5.5 does not count long strings of string.rep
      for i = 1, 1000000 do HELD[i] = i end
      green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          green.shield(5, function()
            for _ = 1, 3 do green.sleep(0.001) end
          end)
          local text = green.trace.stop()
          for bytes in text:gmatch '"name":"memory"[^\n]*"bytes":(%d+)' do
            print(tonumber(bytes) > 10000000)
          end
        end})
        green.trace.start()
        green.sleep(60)
      end)
      green.sleep(0.001)]]
    assert.truthy(lines:find "true\n.*true\n")
    assert.is_nil(lines:find "false")
  end)
end)
