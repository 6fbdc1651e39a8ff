--- Links were not counted among the threads of a sandbox: one with a limit of
--- 10 had a thousand. The links of the program itself were in it, and killed
--- with it.

local green = require "green"

describe("a link", function()
  it("that a script makes is one of its threads from then on", function()
    local box = green.sandbox {limits = {threads = 10}}
    local t = box:spawn [[
      local t = green.spawn(green.sleep, 0)
      local function f() green.sleep(1e9) end
      for i = 1, 8 do t:link(f) end
      n = 8
      assert(not pcall(t.link, t, f))
      for i = 1, 4 do assert(t:unlink(f)) end
      for i = 1, 4 do t:link(f) end
      assert(not pcall(t.link, t, f))
      t:join()
      return #green.threads()]]
    local ok, n = t:join(10)
    assert.is_true(ok, tostring(n))
    assert.equal(9, n)
    assert.equal(8, box:stats().threads)
    assert.equal(8, box:kill())
    local limit = os.time() + 20
    while box:stats().threads > 0 do
      assert(os.time() < limit, "they do not end")
      green.sleep(0.001)
    end
  end)

  it("that the program makes is not in the sandbox", function()
    local box = green.sandbox {}
    local t = box:spawn("green.sleep(1e9)")
    local told = green.event()
    t:link(function()
      green.sleep(0.001)
      told:send(box:stats().threads)
    end)
    green.sleep(0)
    box:kill()
    t:join()
    box:kill()
    assert.equal(0, told:wait(10))
  end)
end)
