--- A chunk's name may have a newline, and so may a function's. In a report, a
--- dump and a traceback what followed it looked like another frame, or like
--- another line of the log.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local NAME <const> = "=one\nluagreen: two\n\tthree"
local SHOWN <const> = "one\\x0aluagreen: two\\x0a\\x09three"

--- Loads a chunk that has that name.
local function hostile(code, ...)
  return assert(load(code, NAME))(...)
end

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  return lines
end

describe("a name with a newline", function()
  it("is on one line of a traceback", function()
    local t = green.spawn(hostile [[
      local t = {["four\nluagreen: five"] = function()
        local ok <const> = 1
        error("six")
        return ok
      end}
      return function()
        local _ = t["four\nluagreen: five"]()
      end]])
    t:join()
    local lines = lines_of(t:traceback())
    assert.equal("stack traceback:", lines[1])
    assert.matches("^\t%[C%]: in [^\n]*'error'$", lines[2])
    assert.equal("\t" .. SHOWN .. ":3: in ", (lines[3]:match "^.-: in "))
    assert.matches("four\\x0aluagreen: five", lines[3], 1, true)
    assert.equal("\t" .. SHOWN .. ":7: in function <" .. SHOWN .. ":6>",
      lines[4])
    assert.matches("^spawned at ", lines[5])
    assert.is_nil(lines[6])
  end)

  it("is on one line of a traceback of the running thread", function()
    local text = hostile("return (...)('why') .. ''", green.traceback)
    assert.equal("why", lines_of(text)[1])
    assert.equal("\t" .. SHOWN .. ":1: in main chunk", lines_of(text)[3])
  end)

  it("is on one line where it is a place", function()
    local f <const> = "return function() green.sleep(60) end"
    local t = help.blocked(green.spawn(hostile("local green = ... " .. f,
      green)))
    assert.equal(SHOWN .. ":1", t.name)
    assert.equal(SHOWN .. ":1", t:blocked().where)
    t:kill()
    t:join()
    assert.equal(SHOWN .. ":1", t.name)
    t = hostile("return (...)(function() end)", green.spawn)
    assert.matches("spawned at " .. SHOWN .. ":1 by", t:traceback(), 1, true)
    t:join()
    local ok, err = pcall(hostile, "local green = ...; "
      .. "local _ <close> = green.timeout(0); green.sleep(60)", green)
    assert.equal(SHOWN .. ":1", not ok and err.where)
  end)

  it("is on one line of a report", function()
    local out = help.child([[
      local green = require "green"
      local name = "=one\nluagreen: two"
      local t = green.spawn(load("(...).sleep(60)", name), green)
      green.spawn(load("error 'why'", name))
      while not t:blocked() do green.sleep(0) end
      green.dump()
      t:kill()
    ]])
    local _, n = ("\n" .. out):gsub("\nluagreen: [^%d]", "")
    assert.equal(1, n, out)
  end)

  it("leaves other tracebacks as Lua makes them", function()
    local function deep(n)
      if n == 0 then
        return {green.traceback "x", debug.traceback "x"}
      end
      if n % 7 == 0 then return deep(n - 1) end
      local list = deep(n - 1)
      return list
    end
    for _, n in ipairs {0, 1, 7, 8, 9, 10, 11, 12, 13, 14, 20, 22, 24, 26,
                        100} do
      local list = deep(n)
      assert.equal(list[2], list[1])
    end
  end)
end)
