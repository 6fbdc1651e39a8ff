--- The server's side of telnet (RFC 854) for a line-by-line service.
---
--- A filter splits the client's bytes into text, with all line ends as "\n";
--- the signals "interrupt" and "eof"; and negotiation, which the filter answers
--- itself. Every option is refused, except the timing mark (RFC 860), for which
--- a client waits after it has sent an interrupt. A filter only ever answers,
--- so the client may also be nc.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local setmetatable, string = setmetatable, string

local telnet = {}

local IAC <const>, WILL <const>, WONT <const> = 255, 251, 252
local DO <const>, DONT <const>, SB <const>, SE <const> = 253, 254, 250, 240
local ECHO <const>, TIMING_MARK <const> = 1, 6

--- The commands without an option that have a meaning here.
local signals = {
  [236] = "eof",        -- EOF, of line mode
  [238] = "interrupt",  -- ABORT
  [243] = "interrupt",  -- BRK
  [244] = "interrupt",  -- IP
}
local ARE_YOU_THERE <const> = 246

--- Control characters of a terminal that sends them raw.
local controls = {[3] = "interrupt", [4] = "eof"}

---@class green.telnet.Filter
---@field on_text fun(text: string)
---@field on_signal fun(name: "interrupt"|"eof")
---@field send fun(bytes: string)  answers the client
local Filter = {}
Filter.__index = Filter

--- Makes a filter, which calls these functions in the order of the bytes.
---@param sinks {on_text: function, on_signal: function, send: function}
---@return green.telnet.Filter
function telnet.filter(sinks)
  return setmetatable({on_text = sinks.on_text, on_signal = sinks.on_signal,
    send = sinks.send, state = Filter.text}, Filter)
end

-- A state is a method: it takes the data and an index, and returns the index
-- for the next state. It sets self.state to change the state.

function Filter:text(data, i)
  local special = data:find("[\3\4\r\255]", i)
  if special ~= i then
    self.on_text(data:sub(i, (special or 0) - 1))
    return special or #data + 1
  end
  local byte = data:byte(i)
  if byte == IAC then
    self.state = Filter.command
  elseif controls[byte] then
    self.on_signal(controls[byte])
  else
    self.on_text("\n")
    self.state = Filter.after_return
  end
  return i + 1
end

--- CR LF is one line end, CR NUL another.
function Filter:after_return(data, i)
  self.state = Filter.text
  local byte = data:byte(i)
  return (byte == 10 or byte == 0) and i + 1 or i
end

function Filter:command(data, i)
  local byte = data:byte(i)
  self.state = Filter.text
  if byte == IAC then
    self.on_text("\255")
  elseif byte == SB then
    self.state = Filter.subnegotiation
  elseif byte >= WILL then
    self.verb = byte
    self.state = Filter.option
  elseif byte == ARE_YOU_THERE then
    self.send("[yes]\r\n")
  elseif signals[byte] then
    self.on_signal(signals[byte])
  end
  return i + 1
end

--- WONT and DONT need no answer, because nothing was ever agreed to. DO ECHO is
--- the answer to our own offer.
function Filter:option(data, i)
  local option, verb = data:byte(i), self.verb
  self.state = Filter.text
  if verb == DO and option == TIMING_MARK then
    self.send(string.char(IAC, WILL, option))
  elseif verb == DO and not (option == ECHO and self.hiding) then
    self.send(string.char(IAC, WONT, option))
  elseif verb == WILL then
    self.send(string.char(IAC, DONT, option))
  end
  return i + 1
end

function Filter:subnegotiation(data, i)
  local iac = data:find("\255", i, true)
  if not iac then return #data + 1 end
  self.state = Filter.end_of_subnegotiation
  return iac + 1
end

function Filter:end_of_subnegotiation(data, i)
  self.state = data:byte(i) == SE and Filter.text or Filter.subnegotiation
  return i + 1
end

--- Takes the next bytes from the client.
---@param data string
function Filter:feed(data)
  local i = 1
  while i <= #data do i = self.state(self, data, i) end
end

--- Asks the client to hide typed text (true), or to show it again, by an offer
--- to echo it ourselves, which we do not do.
---@param on boolean
function Filter:hide(on)
  self.hiding = on
  self.send(string.char(IAC, on and WILL or WONT, ECHO))
end

return telnet
