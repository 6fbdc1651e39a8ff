---@meta
-- Ports: messages between states, OS threads and C.
--
-- SPDX-License-Identifier: MIT

---@class green
local green = {}

--- A way into this hub for messages from other Lua states, from other OS
--- threads and from C; #p is how many are in it. Any holder sends, and threads
--- of the hub where the port was made receive. Values are copied: nil,
--- booleans, numbers, strings, light userdata, ports, and tables of these
--- without metatables, up to 100 deep; a table that is reached twice arrives as
--- two. All objects of a state for one port are equal.
---
--- The memory of messages is the process's: the limit of a state does not
--- count it. A script in bounds gets ports from its host, with a bound.
---
--- A port is no hope against a deadlock while one state alone holds it.
---@class green.port
---@operator len: integer
---@operator close
local Port = {}

--- Never switches. Raises when n is not positive.
---@param n? integer  most messages in it; nil: no bound
---@return green.port
---@overload fun(n?: integer): nil, string
function green.port(n) end

--- Sends its arguments as one message; blocks while the port is full. The
--- values are copied when the call begins. Senders of one hub are served first
--- come, first served, and hubs take turns. A send that is interrupted has sent
--- nothing. Raises, naming the place, for what cannot be sent, and for more
--- than 256 MB, than a state with a limit of memory may have, than 100,000
--- values, and in a sandbox than 1 MB. May switch even without a bound.
--- Interruptible.
---@param ... any
---@return true
---@overload fun(self: green.port, ...: any): nil, "closed"
function Port:send(...) end

--- The same for one value, with a limit. Raises for nil. Interruptible. May
--- switch.
---@param v any
---@param s? number  time limit in seconds
---@return true
---@overload fun(self: green.port, v: any, s?: number): nil, "timeout"
---@overload fun(self: green.port, v: any, s?: number): nil, "closed"
function Port:put(v, s) end

--- Waits for the next message and returns its values, or the bytes of a message
--- of C's as a string; "closed" when the port is closed and drained. Raises
--- where the port was made on another hub. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return any ...
---@overload fun(self: green.port, s?: number): nil, "timeout"
---@overload fun(self: green.port, s?: number): nil, "closed"
function Port:receive(s) end

--- Another name of receive. Interruptible. May switch.
---@param s? number  time limit in seconds
---@return any ...
---@overload fun(self: green.port, s?: number): nil, "timeout"
---@overload fun(self: green.port, s?: number): nil, "closed"
function Port:get(s) end

--- Iterates over the messages until closed and drained, or until one begins
--- with nil. The iterator is interruptible and may switch.
---@return fun(p: green.port): any
---@return green.port
function Port:items() end

--- Refuses further messages, on all sides; waiting senders get nil, "closed".
--- Messages inside can still be received. Never switches.
function Port:close() end

--- How many threads of this hub wait. Never switches.
---@return integer receivers
---@return integer senders
function Port:waiting() end
