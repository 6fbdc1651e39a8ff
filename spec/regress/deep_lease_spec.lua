-- Lua calls no handler of <close> where the stack of C is full: a resource
-- pool that was used there lost its permits for ever.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local function deep(n, f)
  if n == 0 then return f() end
  return pcall(deep, n - 1, f)
end

--- Uses a pool at depth n, and then, with callbacks that succeed, here.
local function try(n, options)
  local calm = false
  local pool = green.resource_pool {max = 1, destroy = options.destroy,
    reset = options.reset,
    check = options.check and function() return calm end,
    create = function() return (calm or not options.fails) and {} or nil end}
  local function use()
    local lease <close> = pool:lease()
    return lease
  end
  if options.check then use() end
  deep(n, use)
  calm = true
  local lease <close>, err = pool:lease(5)
  assert.truthy(lease, ("after depth %d: %s"):format(n, err))
end

describe("a resource pool that is used deep down", function()
  for what, options in pairs {
    ["as it is"] = {}, ["with destroy"] = {destroy = function() end},
    ["with reset"] = {reset = function() return true end},
    ["with a check that fails"] = {check = true},
    ["with a create that fails"] = {fails = true}} do
    help.both(it, what .. " keeps its permits", function()
      help.collecting(function()
        for n = 150, 199 do try(n, options) end
        for _ = 1, 3 do green.sleep(0) end -- for the last reports
      end)
    end)
  end
end)
