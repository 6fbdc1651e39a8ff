-- When a chunk that is typed line by line is complete.
--
-- SPDX-License-Identifier: MIT

local repl = require "green.runtime.repl"

--- The result of adding these lines: how many were taken before the chunk was
--- complete, or an error; and the chunk.
local function add(lines, more)
  local chunk = repl.chunk("=test", {})
  for i, line in ipairs(lines) do
    local f, err = chunk:add(line, more and i < #lines)
    if f or err then return i, f, err, chunk end
  end
  return nil, nil, nil, chunk
end

local function split(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

--- The same text, with so much in front that it is not compiled each time.
local function padded(text)
  return "do local x = 1\n" .. ("x = x + 1 -- and so on\n"):rep(500) .. text
    .. "\nend"
end

local COMPLETE <const> = {
  "x = 1", "1 + 1", "=1", "", "-- a comment", "f()", "local a <const> = 1",
  "for i = 1, 2 do\nend", "if a then\nelseif b then\nelse\nend",
  "while a do\nend", "repeat\nuntil a", "function f()\nend",
  "local f = function()\nreturn 1\nend", "t = {\n1,\n2}", "f(\n1\n)",
  "f [[\nlong\n]]", "f [==[\n]]\n]==]", "--[[ comment\nend\n]] x = 1",
  "--[==[\n]]\n]==] x = 1", "s = 'a\\\nb'", "s = 'a\\z\n   b'",
  "s = \"it's\"", "s = 'end'", "s = '\\'end'", "s = '--[['", "-- [[\nx = 1",
  "goto done ::done::", "x = a\n+ 1", "t['end'] = 1", "t.x['do'] = {}",
  "do local function g()\nif x then return end\nend\nend",
  "x = 0xend and 1", "x = 5 --[[\n]]", "x = ((((\n1))))",
  "do do do\nend end\nend", "--[[\n]]--[[\n]] x = 1",
}

describe("a chunk", function()
  it("is complete where the stock interpreter says so, however long it is",
    function()
      for _, text in ipairs(COMPLETE) do
        for _, whole in ipairs {text, padded(text)} do
          local n, f, err = add(split(whole))
          local expected = load("return " .. whole) or load(whole)
          if whole ~= text and expected then
            assert.equal(#split(whole), n, text)
          end
          if n then assert.is_truthy(f or err, text) end
          if expected and text ~= "x = a\n+ 1" then
            assert.is_truthy(f, text .. ": " .. tostring(err))
          end
        end
      end
    end)

  it("with a mistake is complete at once when it is short", function()
    local n, f, err = add {"x = = 1"}
    assert.equal(1, n)
    assert.is_nil(f)
    assert.matches("near '='", err)
    n = add {"for i = 1, 2 do", "x = = 1", "end"}
    assert.equal(2, n)
  end)

  it("of any random pieces of Lua is complete no later than its end",
    function()
      math.randomseed(tonumber(os.getenv "LUAGREEN_SEED") or os.time())
      local pieces = {"do", "end", "if x then", "function f()", "repeat",
        "until x", "(", ")", "{", "}", "[", "]", "'", "\"", "\\", "--", "[[",
        "]]", "[=[", "]=]", "--[[", "x", "= 1", ",", "\n", "\n", "\n", " ",
        "return", "\\z", "'s'", "x = 1"}
      for _ = 1, 3000 do
        local text = {}
        for i = 1, math.random(30) do text[i] = pieces[math.random(#pieces)] end
        local whole = padded(table.concat(text, " "))
        local expected = load("return " .. whole) or load(whole)
        if expected then
          local n, f = add(split(whole), true)
          assert(n and f, whole:sub(-300))
        end
      end
    end)

  it("of 20,000 lines costs a few times its size", function()
    local lines = {"function f()"}
    for i = 1, 20000 do lines[i + 1] = "  x = {y = " .. i .. "}" end
    lines[#lines + 1] = "end"
    local n, f, _, chunk = add(lines)
    assert.equal(#lines, n)
    assert.is_function(f)
    assert.is_true(chunk.work < 40 * chunk.size)
  end)

  it("that is an expression of 20,000 lines does, too, typed ahead", function()
    local lines = {"x ="}
    for i = 1, 20000 do lines[i + 1] = "  1 +" end
    local n, _, _, chunk = add(lines, true)
    assert.is_nil(n)
    assert.is_true(chunk.work < 40 * chunk.size)
    assert.is_function((chunk:add "1"))
  end)
end)
