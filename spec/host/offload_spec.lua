-- Jobs on OS threads for C functions of the program's, spec/c/blocking.c; those
-- of C alone are in spec/c/offload_test.c.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local blocking = help.c_module "blocking"

local function disposed_of(count)
  help.wait_until(function()
    collectgarbage()
    return blocking.disposed() == count
  end, count .. " jobs disposed of")
end

describe("a job of a C function", function()
  if not blocking then
    it("is tried where a C compiler is", function()
      pending "no C compiler, or no headers"
    end)
    return
  end

  help.both(it, "runs while other threads go on, and gives its result",
    function()
      local before, ticks, ts = blocking.disposed(), 0, {}
      local ticker = green.spawn(function()
        while true do
          green.sleep(0.001)
          ticks = ticks + 1
        end
      end)
      for i = 1, 50 do ts[i] = green.spawn(blocking.offload, 0.005) end
      for _, t in ipairs(ts) do assert.equal("42 of 0.005", t:wait()) end
      assert.is_true(ticks > 0)
      assert.equal(before + 50, blocking.disposed())
      ticker:kill()
    end)

  help.both(it, "whose caller is killed is disposed of when it is over",
    function()
      local before, ts = blocking.disposed(), {}
      for i = 1, 50 do ts[i] = green.spawn(blocking.offload, 60) end
      help.blocked(table.unpack(ts))
      for _, t in ipairs(ts) do t:kill() end
      for _, t in ipairs(ts) do assert.is_false((t:join())) end
      disposed_of(before + 50)
    end)

  help.both(it, "ends by a timeout and by a throw", function()
    local before = blocking.disposed()
    local caller = green.spawn(function()
      local _ <close> = green.timeout(0.002)
      return blocking.offload(60)
    end)
    assert.is_false((caller:join()))
    local t = help.blocked(green.spawn(blocking.offload, 60))
    t:throw("thrown")
    assert.same({false, "thrown"}, {t:join()})
    disposed_of(before + 2)
  end)

  help.both(it, "works below C frames, in coroutines and in main", function()
    local before = blocking.disposed()
    local t = green.spawn(function()
      return (("x"):gsub("x", function() return blocking.offload(0) end))
    end)
    assert.equal("42 of 0", t:wait())
    assert.equal("42 of 0", coroutine.wrap(blocking.offload)(0))
    assert.equal("42 of 0", blocking.offload(0))
    assert.equal(before + 3, blocking.disposed())
  end)

  it("waits for its turn where max_jobs is less", function()
    help.with_config({max_jobs = 1}, function()
      local ts, start = {}, green.now()
      for i = 1, 5 do ts[i] = green.spawn(blocking.offload, 0.01) end
      for _, t in ipairs(ts) do t:wait() end
      assert.is_true(green.now() - start >= 0.05)
    end)
  end)

  it("is disposed of when its end raises", function()
    local before = blocking.disposed()
    assert.has_error(function() blocking.offload(0, true) end, "finish fails")
    disposed_of(before + 1)
  end)

  it("is disposed of when the coroutine is closed, before it is over or after",
    function()
      help.with_config({keep_stacks = 0}, function()
        local before = blocking.disposed()
        for _, s in ipairs {60, 0} do
          local co
          local t = green.spawn(function()
            co = coroutine.running()
            blocking.offload(s)
          end)
          help.wait_until(function() return co end)
          if s == 0 then help.woken(t) end
          coroutine.close(co)
          assert.equal("killed", t:status())
        end
        disposed_of(before + 2)
      end)
    end)

  it("is refused where nothing may block, and disposed of", function()
    local before, said = blocking.disposed(), nil
    local function garbage()
      setmetatable({}, {__gc = function()
        said = select(2, pcall(blocking.offload, 0))
      end})
    end
    garbage()
    collectgarbage()
    assert.matches("cannot block in a finalizer", said)
    disposed_of(before + 1)
  end)
end)
