--- Interruptions: the forms in which Lua code meets timeouts and kills.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local check = require "green.runtime.check"
local error, rawequal, xpcall = error, rawequal, xpcall

local TRACEBACK <const> = core.keys.traceback
--- Called often: a field of `core` itself would cost another look-up.
local interrupted <const>, nested <const> = core.interrupted, core.nested
local rare_of <const>, shield_begin <const> = core.rare, core.shield_begin
local timeout <const>, traceback <const> = core.timeout, core.traceback

--- Message handler: an error that is raised again further out keeps the
--- traceback of its first place.
local function note_traceback(err)
  local rare = rare_of()
  if rare then
    rare[TRACEBACK] = traceback(nil, 2)
    rare.traced = err
  end
  return err
end
core.note_traceback = note_traceback

local function expired(to, ok, ...)
  to:cancel()
  if ok then return ... end
  local err = ...
  if rawequal(err, to) then return nil, "timeout" end
  error(err, 0)
end

--- Runs f(...) for at most s seconds. May switch. Its own expiry, and no other,
--- becomes a value: nil, "timeout". If f returns after the time is over, its
--- results are returned.
---@param s? number  seconds; nil: no limit
---@param f function
---@return any ...
function green.with_timeout(s, f, ...)
  check.limit(s, 1, "with_timeout")
  check.callable(f, 2, "with_timeout")
  local to = timeout(s, nil, 2)
  return expired(to, xpcall(f, note_traceback, ...))
end

--- Runs f(...) and holds kills and outer timeouts back, for at most s seconds
--- (nil: config.grace); after that they show again. Timeouts made inside work.
--- A strike that was held back comes at the next blocking call after f.
---@param s? number
---@param f function
---@return any ...
function green.shield(s, f, ...)
  check.limit(s, 1, "shield")
  check.callable(f, 2, "shield")
  local _ <close> = shield_begin(s)
  if nested() then return core.call(f, ...) end
  return f(...)
end

local function pass(ok, ...)
  if ok then return true, ... end
  local err = ...
  local pending = interrupted()
  if pending ~= nil and rawequal(err, pending) then error(err, 0) end
  return false, err
end

--- pcall that lets a pending interruption through.
---@param f function
---@return boolean ok
---@return any ...
function green.pcall(f, ...)
  return pass(xpcall(f, note_traceback, ...))
end
