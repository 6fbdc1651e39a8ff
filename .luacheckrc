-- SPDX-License-Identifier: MIT
std = "lua54"
cache = false
codes = true
max_line_length = 80
ignore = {"581", "211/_ENV"} -- not (x > y) is meant: it is true of NaN, too
exclude_files = {"build"}

-- What the library replaces in the standard one: see lua/green/runtime/standard.lua.
files["lua/green/runtime/standard.lua"].globals = {"coroutine", "os", "warn"}
files["lua/green/backdoor.lua"].globals = {"print", "io"}
files["bin/luagreen"].globals = {"_"} -- of the lines that sh reads
-- Declarations: what is said of the names is all there is of them.
files["docs/meta"].ignore = {"211", "212", "241"}
files["spec"].std = "lua54+busted"
files["*.rockspec"].std = "lua54+rockspec"
