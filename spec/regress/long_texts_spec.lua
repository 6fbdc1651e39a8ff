-- In a sandbox upper, lower, reverse and utf8.len of a long text gave no turn
-- to others, and no kill struck in them: 300 to 450 ms for each 100 MB.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

--- The function of that name in a sandbox.
local function bounded(text)
  return select(2, green.sandbox():spawn("return " .. text):join())
end

local CALLS <const> = {"s:upper()", "s:lower()", "s:reverse()", "utf8.len(s)"}

describe("a call with a long text in a sandbox", function()
  for _, call in ipairs(CALLS) do
    it("gives the others turns: " .. call, function()
      local box = green.sandbox {limits = {slice = 0.005}}
      local t = box:spawn("local s = ('x'):rep(1 << 26) began = true return "
        .. call)
      while not box.env.began do green.sleep(0) end
      local rounds = 0
      while t:status() ~= "done" and rounds < 3 do
        green.sleep(0)
        rounds = rounds + 1
      end
      assert.equal(3, rounds)
      t:kill()
      t:join()
    end)
  end
end)

describe("these functions do what Lua's do", function()
  local own <const> = {upper = bounded "string.upper",
    lower = bounded "string.lower", reverse = bounded "string.reverse",
    len = bounded "utf8.len"}

  local function same(name, theirs, ...)
    assert.same(table.pack(pcall(theirs, ...)),
      table.pack(pcall(own[name], ...)), name)
  end

  local function random_text(n)
    local t = {}
    for i = 1, n do
      local kind = math.random(4)
      t[i] = kind == 1 and utf8.char(math.random(0, 0x7FFFFFFF))
        or kind == 2 and utf8.char(math.random(0, 0xFFFF))
        or string.char(math.random(0, kind == 3 and 255 or 127))
    end
    return table.concat(t)
  end

  it("with texts of all lengths", function()
    for _, n in ipairs {0, 1, 4095, 4096, 4097, 10000} do
      local s = random_text(n)
      for _, name in ipairs {"upper", "lower", "reverse"} do
        same(name, string[name], s)
      end
    end
    for name, f in pairs {upper = string.upper, reverse = string.reverse} do
      same(name, f, 12.5)
      assert.is_false((pcall(own[name])))
      assert.is_false((pcall(own[name], {})))
    end
  end)

  it("with code points of all kinds, and none", function()
    for _ = 1, 3000 do
      local s = random_text(math.random(0, 6))
      local i, j = math.random(-9, 9), math.random(-9, 9)
      for _, lax in ipairs {false, true} do
        local theirs = table.pack(pcall(utf8.len, s, i, j, lax))
        local ours = table.pack(pcall(own.len, s, i, j, lax))
        -- Errors name the function as the program calls it.
        assert.equal(theirs[1], ours[1])
        if theirs[1] then assert.same(theirs, ours) end
      end
      same("len", utf8.len, s)
    end
    for _, s in ipairs {"\x80", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
        "\xFD\xBF\xBF\xBF\xBF\xBF", "\xFE", "\xFF", "a\xC3", "\xE2\x82"} do
      for _, lax in ipairs {false, true} do
        same("len", utf8.len, s, 1, -1, lax)
        same("len", utf8.len, "x" .. s .. "x", 2, 2, lax)
      end
    end
  end)
end)
