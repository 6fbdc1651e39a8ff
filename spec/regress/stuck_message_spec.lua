--- A message of so many values that no receiver's stack had room for them was
--- put back each time, and nobody got those behind it. A message that was too
--- large was refused with the word "(null)", and one of shared tables kept all
--- others from their turns for 4 s, in a sandbox, too.

local green = require "green"

--- The message of the error.
local function refusal(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return err
end

describe("a message", function()
  it("has as many values as fit on a stack that is in use", function()
    local p = green.port()
    local err = refusal(p.send, p, table.unpack({}, 1, 100001))
    assert.matches("a message has at most 100000 values", err)
    p:send(table.unpack({}, 1, 100000))
    p:send("after")
    local function deep(n)
      if n == 0 then return select("#", p:receive(0)) end
      return (deep(n - 1))
    end
    assert.equal(100000, deep(1000))
    assert.equal("after", p:receive(0))
  end)

  it("of long texts alone is refused with the reason", function()
    local p, texts = green.port(), {}
    local text = ("x"):rep(1 << 20)
    for i = 1, 257 do texts[i] = text end
    assert.matches("a message has at most 256 MB",
      refusal(p.send, p, table.unpack(texts)))
  end)

  it("of a sandbox is small, so that packing it is quick", function()
    local p = green.port()
    local box = green.sandbox {globals = {p = p}}
    local ok, why = box:spawn([[
      local t = {}
      for i = 1, 60 do t = {t, t} end
      local ok, err = pcall(p.put, p, t)
      assert(p:put(("x"):rep(1 << 19)))
      return not ok and err]]):join()
    assert.is_true(ok, why)
    assert.matches("a message of a sandbox has at most 1 MB", why)
    assert.equal(1 << 19, #p:receive(0))
  end)
end)
