---@meta
-- Profiles: where the time goes, as folded stacks for a flame graph.
--
-- SPDX-License-Identifier: MIT

---@class green
---@field profile green.profile  loaded on first use
local green = {}

--- Stacks with their weights: `name;file:line f;file:line g;[what] 12`, the
--- outermost function first, each by the line where it begins, at most 32 of a
--- coroutine, and coroutines inside of each other one after the other.
--- flamegraph.pl, speedscope and inferno take that. A weight is microseconds,
--- or bytes. `blocked` and `wall` use no signal, and look at a stack only at
--- the end of waits of a millisecond or more.
---@class green.profile
---@field kinds table<string, table>  what there is to choose from
local profile = {}

---@class green.profile_options
---@field what? string  "cpu": samples of CPU time; "blocked": waits, for what
--- and where, those under way at the end included; "wall": these, and what ran,
--- at the place where it left; "alloc": bytes that were allocated, freed or
--- not; "cpu"
---@field by? "name"|"thread"  the first word of a stack: "fetch" or "#7 fetch";
--- "name"
---@field hz? number  samples for each second of CPU time, 1 to 1000; 99
---@field bytes? integer  allocated between two samples, on average, 1024 to
--- 2^40; 524288

--- Begins a profile. Never switches. Raises if one is on, and for bad options.
---@param opts? green.profile_options
function profile.start(opts) end

--- Ends it and writes the file of that name, or returns the text. Never
--- switches. Raises if none is on, and for bad arguments.
---@param file string
---@param format? "folded"|"speedscope"  "folded"
---@return true
---@overload fun(file: nil, format?: string): string
---@overload fun(file: any, format?: string): nil, string
function profile.stop(file, format) end

--- Is one on? Never switches.
---@return boolean
function profile.running() end

return green
