--- The name of a thread lay outside of Lua's memory, as long as it was: a
--- script that may have 8 MB took 300.

local green = require "green"

describe("a name", function()
  it("is kept up to its first 1,000 bytes", function()
    local name = ("n"):rep(1 << 20)
    local before = green.stats().memory
    local threads = {}
    for i = 1, 50 do
      threads[i] = green.spawn(green.sleep, 1e9)
      threads[i].name = name
    end
    assert.equal(("n"):rep(1000), threads[1].name)
    assert.is_true(green.stats().memory - before < 5 << 20)
    for _, t in ipairs(threads) do
      t:kill()
      t:join()
    end
    assert.equal(("n"):rep(1000), threads[1].name)
  end)
end)
