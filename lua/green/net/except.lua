--- LuaSocket's exceptions: try, newtry and protect.
---
--- The error of a try is known by its metatable: `protect` makes nil and the
--- message of it, and lets all else pass. A call of a protected function has a
--- frame: the functions that newtry was given meanwhile, in the same coroutine.
--- They close all that the call has opened. They run, the last one first, when
--- an interruption passes, or when the coroutine ends in its midst: with
--- LuaSocket a crawler whose threads are timed out runs out of descriptors. Any
--- other error passes as it would there.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local error, pcall, rawequal, select, setmetatable, type =
  error, pcall, rawequal, select, setmetatable, type
local coroutine_of <const> = core.this_coroutine
local interrupted <const>, type_of <const> = core.interrupted, core.type

--- Seconds that the functions of a call may take, whatever strikes meanwhile.
local CLEAN_UP <const> = 5

local except = {}

--- The metatable of a try's errors; getmetatable returns false for them.
local exception_mt = {__metatable = false}
local exceptions = setmetatable({}, {__mode = "k"})

--- By coroutine: the innermost call of a protected function.
local frames = setmetatable({}, {__mode = "k"})
local Frame = {}

-------------------------------------------------------------- finalizers --

local interruptions <const> = {timeout = true, killed = true,
                               child_failed = true, deadlock = true}

--- Was it raised to interrupt the thread? A timeout may have an error of the
--- program's; a throw is noted by the thread it strikes; Ctrl-C's is a text.
local function is_interruption(err)
  if interruptions[type_of(err)] then return true end
  if err == "interrupted!" then return true end
  local pending = interrupted()
  if pending ~= nil and rawequal(err, pending) then return true end
  local rare = core.rare()
  if not rare or rare.thrown == nil or not rawequal(rare.thrown, err) then
    return false
  end
  rare.thrown = nil
  return true
end

--- Shields f: the interruption that is just passing must strike nothing in it.
local function run(f, here)
  local _ <close> = here and core.shield_begin(CLEAN_UP) or nil
  local _ <close> = here and core.timeout(CLEAN_UP) or nil
  f()
end

--- Runs them all; their errors have no caller.
function Frame:__close()
  frames[self.coroutine] = self.outer
  if self.over then return end
  self.over = true
  local here = green.current()
  for i = #self, 1, -1 do
    local ok, err = pcall(run, self[i], here)
    if not ok and here then core.report_later(err, here) end
  end
end

----------------------------------------------------------------- protect --

--- Ends the call: the results of the protected function, or nil and the error
--- of a try.
local function finish(frame, ok, ...)
  if ok then
    frame.over = true
    return ...
  end
  local err = ...
  if type(err) == "table" and exceptions[err] then
    frame.over = true
    return nil, err[1]
  end
  frame.over = not is_interruption(err)
  error(err, 0)
end

--- A function that calls f, and returns nil and the message where a try raises
--- within. Other errors pass, and so do interruptions, after the functions that
--- newtry was given during the call have run.
---@param f function
---@return function
function except.protect(f)
  return function(...)
    local co = coroutine_of()
    local frame <close> =
      setmetatable({coroutine = co, outer = frames[co]}, Frame)
    frames[co] = frame
    return finish(frame, pcall(f, ...))
  end
end

--------------------------------------------------------------------- try --

local function fail(finalizer, message)
  if finalizer ~= nil then finalizer() end
  local exception = setmetatable({message}, exception_mt)
  exceptions[exception] = true
  error(exception, 0)
end

--- A function that returns its arguments, unless the first is false or nil:
--- then it calls the finalizer, and raises the second for protect to return.
---@param finalizer? function  closes what is open
---@return function try
function except.newtry(finalizer)
  local frame = type(finalizer) == "function" and frames[coroutine_of()]
  if frame then frame[#frame + 1] = finalizer end
  return function(...)
    if ... then return ... end
    fail(finalizer, (select(2, ...)))
  end
end

except.try = except.newtry()

return except
