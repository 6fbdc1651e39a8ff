-- The report of an error ran the program's __tostring where neither a limit nor
-- a kill could stop it: one that never returned froze the whole process.

local green = require "green"

local function run(text)
  local path = os.tmpname()
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
  local pipe = io.popen(("timeout 60 %s %s 2>&1"):format(
    require "spec.shell".lua, path))
  local out = pipe:read "a"
  local ok = pipe:close()
  os.remove(path)
  return out, ok
end

local PROGRAM <const> = [[
  local green = require "green"
  green.config {grace = 0.2}
  local odd = setmetatable({}, {__tostring = function() %s end})
  green.spawn(%s)
  local n = 0
  for _ = 1, 100 do
    green.sleep(0.02)
    n = n + 1
  end
  print("others: " .. n)
  os.exit(0, true)
]]

local FOREVER <const> = {
  ["computes for ever"] = "while true do end",
  ["catches all that strikes it"] =
    "while true do pcall(function() while true do end end) end",
  ["sleeps for ever"] = "green.sleep(math.huge)",
  ["never comes out of a coroutine"] =
    "coroutine.wrap(function() while true do end end)()",
}

describe("an error object whose __tostring", function()
  for what, body in pairs(FOREVER) do
    it(what .. " is reported without it", function()
      local text, ok = run(PROGRAM:format(body, "error, odd"))
      assert.is_true(ok)
      assert.matches("failed: (a table value)", text, 1, true)
      assert.matches("others: 100", text, 1, true)
    end)
  end

  it("never returns may be inside one of the library's own", function()
    local text, ok = run(PROGRAM:format("while true do end", [[function()
      local g <close> = green.group()
      g:spawn(error, odd)
      local struck = select(2, pcall(green.sleep, 9))
      green.spawn(error, struck)
      green.sleep(0.5)
    end]]))
    assert.is_true(ok)
    assert.matches("others: 100", text, 1, true)
  end)

  it("raises is reported without it", function()
    local text = run(PROGRAM:format("error 'no text'", "error, odd"))
    assert.matches("failed: (a table value)", text, 1, true)
  end)

  it("returns a text is reported with it, also while the program ends",
    function()
      local text = run(PROGRAM:format("green.sleep(0.01) return 'odd'",
        "error, odd"))
      assert.matches("failed: odd\n", text, 1, true)
    end)

  it("runs, but not for ever, while the program ends", function()
    for body, shown in pairs {["return 'odd'"] = "odd",
                              ["green.sleep(0.01) return 'odd'"] = "odd",
                              ["while true do end"] = false} do
      local text, ok = run(([[
        local green = require "green"
        green.config {grace = 0.2}
        local odd = setmetatable({}, {__tostring = function() %s end})
        green.spawn(function()
          local _ <close> = setmetatable({}, {__close = function()
            error(odd)
          end})
          green.sleep(9)
        end)
        green.sleep(0)
      ]]):format(body))
      assert.is_true(ok)
      if shown then assert.matches("failed: " .. shown, text, 1, true) end
    end
  end)

  it("is not asked for strings and numbers", function()
    local shown = {["'text'"] = "text", ["17"] = "17",
      ["nil"] = tostring(select(2, pcall(error)))} -- 5.5: it is none
    for value, as in pairs(shown) do
      local text = run(("local green = require 'green' "
        .. "green.spawn(error, %s, 0) green.sleep(0.01)"):format(value))
      assert.matches("failed: " .. as .. "\n", text, 1, true)
    end
    assert.is_truthy(green)
  end)
end)
