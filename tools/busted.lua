-- busted.lua OPTIONS FILE... - busted under the very lua that runs this file:
-- /usr/bin/busted takes whichever `lua` is the system's default. With
-- LUAGREEN_EAGER_GC=n in the environment, garbage is collected at every n-th
-- allocation of the specs (`make c-tests` makes what that needs). With
-- LUAGREEN_PREEMPT=s, threads that compute for s seconds are preempted.
--
-- SPDX-License-Identifier: MIT
if os.getenv "LUAGREEN_EAGER_GC" then require "spec.eager_gc" end
local slice = tonumber(os.getenv "LUAGREEN_PREEMPT" or "")
if slice then require "green".config{preempt = slice} end
require "busted.runner"{standalone = false}
