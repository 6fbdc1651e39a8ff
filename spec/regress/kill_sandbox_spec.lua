--- Sandbox:kill() left threads of a sandbox that spawned others faster than
--- they were killed: those that were to die spawned until their next wait.

local green = require "green"

describe("Sandbox:kill", function()
  it("ends all threads at once, however fast they spawn", function()
    local box = green.sandbox {limits = {threads = 50}}
    box:spawn [[
      local function more()
        for _ = 1, 3 do pcall(green.spawn, more) end
        pcall(green.sleep, 0)
        for _ = 1, 3 do pcall(green.spawn_n, more) end
        pcall(green.spawn_after, 0, more)
      end
      while true do pcall(green.spawn, more) green.sleep(0) end]]
    while box:stats().threads < 40 do green.sleep(0) end
    assert.is_true(box:kill() >= 40)
    -- Each has a turn, and some a second one after their pcall.
    for _ = 1, 10 do green.sleep(0) end
    assert.equal(0, box:stats().threads)
    assert.equal(7, box:spawn("return 7"):wait())
  end)

  it("tells a killed thread that it cannot spawn", function()
    local told
    local box = green.sandbox {globals = {tell = function(x) told = x end}}
    local t = box:spawn [[
      local _ <close> = setmetatable({}, {__close = function()
        tell(select(2, pcall(green.spawn, function() end)))
      end})
      green.sleep(1e6)]]
    green.sleep(0)
    t:kill()
    t:join()
    assert.matches("a killed green thread of a sandbox cannot spawn", told)
  end)
end)
