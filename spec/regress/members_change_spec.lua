-- Listing the members of a crew, as its kill does, makes handles. A finalizer
-- that ran there and ended a member freed the member at which the walk stood.
--
-- SPDX-License-Identifier: MIT

--- In a program of its own, whose memory is small: collections come often.
local help = require "spec.help"

local script = [[
local green = require "green"
local pool, runs = green.pool(math.huge), 0
local function nop() end
for _ = 1, 600 do pool:spawn_n(nop) end
local function finalizer() -- of the second collection: in the walk
  runs = runs + 1
  if runs == 1 then
    setmetatable({}, {__gc = finalizer})
  else
    for _, t in ipairs(green.threads()) do t:cancel() end
  end
end
collectgarbage()
pcall(collectgarbage, "param", "minormul", 1) -- as Lua 5.5 says it
collectgarbage("generational", 1)
collectgarbage "stop"
setmetatable({}, {__gc = finalizer})
collectgarbage "restart"
pool:kill()
os.exit(runs > 1 and pool:wait(0))
]]

describe("a pool whose members end while they are listed", function()
  it("kills those that are left", function()
    local name = os.tmpname()
    local f <close> = assert(io.open(name, "w"))
    f:write(script)
    f:close()
    local ok = os.execute(("timeout 60 %s %s"):format(help.lua, name))
    os.remove(name)
    assert.is_true(ok)
  end)
end)
