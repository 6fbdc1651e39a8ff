--- The bug: a thread whose record a pool or a host held, and that had rare
--- things (an output), gave their slot away at its end: an assertion failed.

local green = require "green"

describe("a thread that somebody holds", function()
  it("keeps the slot of its rare things until it is let go", function()
    local lines = 0
    local t = green.spawn(function()
      green.output(function() lines = lines + 1 end)
      local pool <close> = green.pool(3)
      for _ in pool:imap(function(x) if x > 5 then print(x) end end,
        {1, 2, 3, 4, 5, 6, 7}) do end
      pool:map(function() end, {1, 2, 3})
    end)
    assert.is_true(t:join())
    assert.equal(2, lines)
    for _ = 1, 10 do assert.is_true(green.spawn(tostring, 1):join()) end
  end)
end)
