--- Loads the modules of the library that are loaded later, when the program may
--- have a variable named `require`, or none: a module's first line calls it.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local _G, rawequal, rawget, rawset, require, setmetatable =
  _G, rawequal, rawget, rawset, require, setmetatable

--- What the program has in its place, which comes back whatever happens.
--- Modules are loaded without a switch.
local Theirs = {__close = function(self) rawset(_G, "require", self.value) end}

---@param name string
---@return any  the module
return function(name)
  local theirs = rawget(_G, "require")
  if rawequal(theirs, require) then return (require(name)) end
  local _ <close> = setmetatable({value = theirs}, Theirs)
  rawset(_G, "require", require)
  return (require(name))
end
