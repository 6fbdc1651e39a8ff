-- A program that saved coroutine.running and coroutine.close before luagreen
-- was loaded could close a parked thread unnoticed: it stayed in the list of
-- what it waited for, and wrote there after that had been collected.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

local script = [[
local running, close = coroutine.running, coroutine.close
local green = require "green"
green.config{keep_stacks = 0}
local co
local t = green.spawn(function()
  co = running()
  green.event():wait()
end)
repeat green.sleep(0) until t:blocked()
assert(close(co))
assert(t:status() == "killed", t:status())
collectgarbage()
assert(t:kill() == false)
local ok, err = t:join()
assert(not ok and err.reason == "closed by foreign code")
-- a new thread that waits is not disturbed by the guard of its coroutine
assert(green.spawn(function() green.sleep(0) return 7 end):wait() == 7)
io.write("fine")
]]

describe("a parked thread", function()
  it("is ended at once by a coroutine.close that luagreen never saw", function()
    local name = os.tmpname()
    local f <close> = assert(io.open(name, "w"))
    f:write(script)
    f:close()
    local out <close> = assert(io.popen(help.lua .. " " .. name .. " 2>&1"))
    local text = out:read("a")
    os.remove(name)
    assert.equal("fine", text)
  end)
end)
