-- Asking what a parked thread waits for, or for its stack, runs finalizers. One
-- that closed the thread's coroutine there made the answer read what was freed.
--
-- SPDX-License-Identifier: MIT

local core = require "green.core"
local green = require "green"
local help = require "spec.help"

local function wait()
  local deep = setmetatable({}, {__index = function() green.event():wait() end})
  return coroutine.wrap(function() return deep.x end)()
end

--- Calls ask(t) again and again, each time with a finalizer that closes the
--- thread at another of its checks for garbage.
local function closed_meanwhile(keep, f, ask)
  help.with_config({keep_stacks = keep, recycle = false}, function()
    for n = 0, 60 do
      local co
      local t = green.spawn(function()
        co = coroutine.running()
        f()
      end)
      help.blocked(t)
      local left = n
      local function next_time()
        setmetatable({}, {__gc = function()
          left = left - 1
          if left == 0 and not pcall(coroutine.close, co) then left = -1 end
          if left == 0 then
            co = nil
          elseif left > 0 then
            next_time()
          end
        end})
      end
      collectgarbage "generational"
      next_time()
      ask(t)
      collectgarbage "incremental"
      collectgarbage()
      t:kill()
      t:join()
    end
  end)
end

local function event() green.event():wait() end

describe("a thread that a finalizer closes", function()
  it("may be asked meanwhile what it waits for", function()
    closed_meanwhile(0, event, function(t)
      for _ = 1, 50 do t:blocked() end
    end)
  end)

  it("may be asked meanwhile for its stack", function()
    closed_meanwhile(0, event, function(t)
      for _ = 1, 50 do
        local text = core.stack_text(t)
        assert.is_true(text == nil or type(text) == "string")
      end
    end)
  end)

  it("stays as it is where it keeps its stack", function()
    closed_meanwhile(1000, wait, function(t)
      for _ = 1, 50 do assert(core.stack_text(t) and t:blocked()) end
    end)
  end)
end)
