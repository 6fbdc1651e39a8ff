--- An outlet: the output of a green thread that goes to a client.
---
--- Written text waits in the outlet; a sender, in a thread of its own, takes it
--- from there. So printing does not switch, and a client that takes nothing
--- blocks other threads only for a while.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local green = require "green"
local setmetatable, table = setmetatable, table

--- When more bytes than this wait for a slow client, printing waits, too.
local MOST_WAITING <const> = 256 * 1024
--- A client that does not take a piece of this size within STALL seconds is
--- given up.
local PIECE <const>, STALL <const> = 16 * 1024, 10

--- Text that waits to be sent to a client. Writing does not switch until very
--- much waits, so code that only prints runs undivided. After the client has
--- gone, writing does nothing.
---@class green.Outlet
---@field conn userdata
---@field lost function     called once when the client does not take more
---@field waiting integer   bytes that are not sent yet
---@field closed boolean
---@field closing boolean   ends when all is sent
---@field filled? userdata  event: the sender waits for text
---@field room? userdata    event: writers wait for room
local Outlet = {}
Outlet.__index = Outlet

local function new(conn, lost)
  return setmetatable({conn = conn, lost = lost, waiting = 0, closed = false,
    closing = false}, Outlet)
end

--- Makes it the calling thread's output.
function Outlet:adopt()
  green.output(self)
end

local function send_event(self, name)
  local event = self[name]
  self[name] = nil
  if event then event:send() end
end

--- May switch when very much waits already.
---@param text string
function Outlet:write(text)
  while self.waiting > MOST_WAITING and not self.closed do
    self.room = self.room or green.event()
    self.room:wait()
  end
  if self.closed then return end
  self.waiting = self.waiting + #text
  self[#self + 1] = text
  send_event(self, "filled")
end

--- Text that a finalizer writes meanwhile stays for the next time.
local function take_all(self)
  local n = #self
  local text = table.concat(self, "", 1, n)
  for i = 1, #self do self[i] = self[n + i] end
  return text
end

local function send_all(self, text)
  for i = 1, #text, PIECE do
    local piece = text:sub(i, i + PIECE - 1)
    if not green.with_timeout(STALL, self.conn.send, self.conn, piece) then
      return false
    end
    self.waiting = self.waiting - #piece
    send_event(self, "room")
  end
  return true
end

function Outlet:close()
  self.closed = true
  send_event(self, "room")
  send_event(self, "filled")
end

--- The sender: runs in a thread of its own until the outlet is closed, or
--- finished and empty. Interruptible. May switch.
function Outlet:run()
  local _ <close> = setmetatable({}, {__close = function() self:close() end})
  while not self.closed do
    if #self > 0 then
      if not send_all(self, take_all(self)) then
        self.lost()
        return
      end
    elseif self.closing then
      return
    else
      self.filled = green.event()
      self.filled:wait()
    end
  end
end

--- No more will be written; waiting text is still sent.
function Outlet:finish()
  self.closing = true
  send_event(self, "filled")
end

return new
