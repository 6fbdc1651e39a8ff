-- A parked thread whose coroutine was closed by foreign code was still in the
-- list of what it waited for while its <close> handlers ran; one that
-- collected garbage freed that, and the list was written to afterwards.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local waits = {
  event = function() green.event():wait() end,
  queue = function() green.queue():get() end,
  put = function() green.channel():put(1) end,
  select = function() green.select {green.event(), green.queue()} end,
}

describe("a parked thread that foreign code closes", function()
  for name, wait in pairs(waits) do
    it("waits no more when its <close> handlers run: " .. name, function()
      help.with_config({keep_stacks = 0}, function()
        local co, what, t
        t = green.spawn(function()
          local _ <close> = setmetatable({}, {__close = function()
            what = t:blocked().what
            collectgarbage()
            for _ = 1, 100 do green.event() end
          end})
          co = coroutine.running()
          wait()
        end)
        help.blocked(t)
        assert.is_true(coroutine.close(co))
        assert.equal("its end", what)
        assert.equal("killed", t:status())
      end)
    end)
  end

  it("leaves coroutine.close as it was for all others", function()
    local co = coroutine.create(function() coroutine.yield() end)
    coroutine.resume(co)
    assert.same({true}, {coroutine.close(co)})
    assert.is_false(pcall(coroutine.close, nil))
    assert.is_false(pcall(coroutine.close, 1))
    local t = green.current()
    assert.is_false(pcall(coroutine.close, coroutine.running()))
    assert.equal("running", t:status())
  end)
end)
