--- Patches all that green.monkey_patch can, when it is required:
--- `lua5.4 -l green.patch_all script.lua`.
---
--- SPDX-License-Identifier: MIT

local green = require "green"

green.monkey_patch()

return green
