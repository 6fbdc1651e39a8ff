--- Servers' threads: a bounded number of handlers at once, and longer and
--- longer waits while memory or descriptors are short.
---
--- What green.serve and green.udp_server have in common. Where a number limits
--- the handlers, they belong to a crew, which counts those that have not ended,
--- in whatever way they end: a thread that is killed before it runs tells
--- nobody. A handler that ends by green.StopServe stops its server, unless that
--- has returned.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local green = require "green"
local report = require "green.runtime.report"
local math, rawequal, setmetatable, type = math, rawequal, setmetatable, type

--- Seconds after which a server that waits for room looks at the crew again.
local LOOK_PAUSE <const> = 1

--- Seconds between two tries while memory or descriptors are short.
local FIRST_PAUSE <const>, LAST_PAUSE <const> = 0.01, 1

--- An error that passes by itself when connections end.
local UNWATCHED <const> = "too many watched descriptors"

---@class Handlers
---@field what string      the function that serves
---@field verb string      what it does to get work
---@field halt fun(self: Handlers)  ends the wait of the server for work
---@field handler function
---@field crew? userdata   of the handlers
---@field limit? number    of them
---@field stopped boolean  a handler raised StopServe
---@field over boolean     the server has returned
---@field room? userdata   event: the server waits for a handler to end
---@field short? number    since when something is, or was lately
---@field pause? number
local Handlers = {}
Handlers.__index = Handlers

local handlers = {
  UNWATCHED = UNWATCHED,
  --- Errors that pass by themselves.
  scarce = {
    [UNWATCHED] = true,
    ["too many open files"] = true,
    ["too many open files in system"] = true,
    ["No buffer space available"] = true,
    ["Cannot allocate memory"] = true,
  },
}

--- A class of servers.
function handlers.class(what, verb)
  local class = setmetatable({what = what, verb = verb}, Handlers)
  class.__index = class
  return class
end

--- A server of the class, with these fields; `limit` is the most handlers at
--- once, a pool, or nil.
function handlers.new(class, server, limit)
  if type(limit) == "number" then
    server.crew, server.limit = green.pool(math.huge), limit
  else
    server.pool = limit
  end
  server.stopped, server.over = false, false
  return setmetatable(server, class)
end

function Handlers:wake()
  if self.room and not self.room:ready() then self.room:send() end
end

function Handlers:stop()
  self.stopped = true
  self:wake()
  if not self.over then self:halt() end
end

--- A handler has ended, by that error or without.
function Handlers:ended(err)
  if rawequal(err, green.StopServe) then
    self:stop()
  else
    self:wake()
  end
end

function Handlers:wait_room()
  while self.crew and self.crew:running() >= self.limit
    and not self.stopped do
    self.room = green.event()
    self.room:wait(LOOK_PAUSE)
    self.room = nil
  end
end

--- Something is short, or the network is down: says so once for each burst,
--- then waits longer and longer; what comes waits in the kernel. A single
--- success does not end a burst: one descriptor may come free and be taken
--- again at once.
function Handlers:back_off(err)
  if not self.short then
    report.line("%s: cannot %s: %s; trying again", self.what, self.verb, err)
  end
  self.short = green.now()
  self.pause = math.min((self.pause or FIRST_PAUSE / 2) * 2, LAST_PAUSE)
  green.sleep(self.pause)
end

--- After a success: has the burst passed?
function Handlers:recover()
  if self.short and green.now() - self.short > 2 * LAST_PAUSE then
    self.short, self.pause = nil, nil
  end
end

handlers.ended = Handlers.ended

return handlers
