-- group.lua CHILDREN time|memory - ns, or resident bytes at the peak, per child
-- of a group whose children all give way once and end.
-- SPDX-License-Identifier: MIT
local green = require "green"
local resident = dofile((arg[0]:gsub("[^/]*$", "resident.lua")))

local children = tonumber(arg[1])
local ran = 0
local function child()
  green.sleep(0)
  ran = ran + 1
end

local function spawn_all()
  local group <close> = green.group()
  for _ = 1, children do group:spawn(child) end
end

local function timed()
  local start = os.clock()
  spawn_all()
  return os.clock() - start
end
collectgarbage()
local before = resident()
local spent = green.spawn(timed):wait()
assert(ran == children)
if arg[2] == "time" then
  print(spent / children * 1e9)
else
  print((resident "VmHWM" - before) / children)
end
