--- Admission to the backdoor: which peers may enter.
---
--- A peer that enters can do whatever the program can. Other machines therefore
--- need a token. Without a token, the first line of a session must be Lua: a
--- page in a browser of this machine can connect, too, and its request, whose
--- body it may choose, begins with a line of HTTP.
---
--- The limits on sessions that wait to be admitted, and on wrong tokens, hold
--- for all backdoors of the program together. Refusals are reported on stderr,
--- or to the program's handler for errors.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local green = require "green"
local errors = require "green.runtime.errors"
local cycles = require "green.runtime.cycles"
local ipairs, load, math, pcall, table = ipairs, load, math, pcall, table

--- Sessions that must send a token: how many at once, and seconds for each.
local MOST_WAITING <const>, ADMISSION_TIME <const> = 8, 60
--- Sessions without a token that have sent nothing yet: a person may take any
--- time, but a page could make very many.
local MOST_SILENT <const> = 64
--- Guesses at a token: ten at once, then one each second.
local GUESSES <const>, GUESS_PAUSE <const> = 10, 1
--- Reports show at most this many bytes of a peer's line.
local MOST_TOLD <const> = 60
--- Seconds between two messages of the same kind.
local TOLD_PAUSE <const> = 1

local gate = {ADMISSION_TIME = ADMISSION_TIME}

------------------------------------------------------------------- telling --

--- By kind: the time of the last message, and how many were dropped since.
local told = {}

--- Never switches.
local function tell(kind, format, ...)
  local now, last = core.now(), told[kind]
  if last and now - last.at < TOLD_PAUSE then
    last.more = last.more + 1
    return
  end
  local more = last and last.more > 0 and (" (and %d more)"):format(last.more)
  told[kind] = {at = now, more = 0}
  errors.notice(("backdoor: " .. format):format(...) .. (more or ""))
end

--- "127.0.0.1:40312", or "a local peer".
local function name_of(conn)
  local ok, host, port = pcall(conn.getpeername, conn)
  if not ok or not host or host == "" then return "a local peer" end
  if not port then return cycles.one_line(host) end
  return (host:find(":", 1, true) and "[%s]:%s" or "%s:%s"):format(host, port)
end

--------------------------------------------------------------------- peers --

--- Is it an address of the loopback interface?
---@param host string
---@return boolean
function gate.is_loopback(host)
  host = host:gsub("^::ffff:", "")
  return host == "::1" or host:find "^127%.%d+%.%d+%.%d+$" ~= nil
end

--- Is the peer of a TCP connection on another machine? The program has to guard
--- connections of other kinds itself.
local function is_foreign(conn)
  if green.type(conn) ~= "tcp{client}" then return false end
  local host = conn:getpeername()
  return not (host and gate.is_loopback(host))
end

--- May it have a session? Peers of other machines only with a token.
---@return boolean
function gate.may_enter(conn, token)
  if token or not is_foreign(conn) then return true end
  tell("foreign", "refused %s: other machines need a token", name_of(conn))
  return false
end

--- Is a TCP connection enough to get here? Then we check the first line.
---@return boolean
function gate.is_open(conn, token)
  return not token and green.type(conn) == "tcp{client}"
end

---------------------------------------------------------------- first lines --

--- First words of other protocols that would be Lua.
local GREETINGS <const> = {}
for word in ("HELO EHLO LHLO NOOP RSET QUIT HELP DATA USER PASS NICK CAPA STLS "
  .. "STARTTLS OPTIONS PING STATS"):gmatch "%S+" do
  GREETINGS[word] = true
end

local METHODS <const> = {}
for word in ("GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT"):gmatch
    "%S+" do
  METHODS[word] = true
end

--- Does it end with the version of a protocol, or look like HTTP/0.9?
local function is_request(line)
  local method = line:match "^(%u+)%s+/%S*%s*$"
  if METHODS[method] then return true end
  local protocol = line:match "%s(%a[%w-]*)/%d+%.%d+%s*$"
  return protocol ~= nil and (protocol:upper() == "HTTP"
    or not protocol:find "%l") or line:lower():find "^http/%d" ~= nil
end

--- Is it an expression, a statement, or the beginning of one?
local function is_lua(line)
  local function loads(text)
    local chunk, err = load(text, "=first", "t")
    return chunk ~= nil or err:sub(-5) == "<eof>"
  end
  line = line:gsub("^=", "")
  return loads("return " .. line) or loads(line)
end

--- A reason to hang up because of a piece of the first line, as soon as it has
--- arrived; or nil. A person does not type such characters, but the first bytes
--- of TLS hold some.
---@param piece string
---@param open boolean
---@return string?
function gate.objection_to_piece(piece, open)
  if open and piece:find "[%z\1-\8\11-\31\127]" then
    return "control characters"
  end
end

--- A reason to hang up because of the first line, or nil. `open`: we know
--- nothing else about the peer.
---@param line string
---@param open boolean
---@return string?
function gate.objection(line, open)
  if is_request(line) then return "a request of another protocol" end
  if not open then return nil end
  if GREETINGS[line:match "^%s*(%u+)%s*$"] then
    return "a greeting of another protocol"
  end
  if not is_lua(line) then return "a first line that is not Lua" end
end

--- Tells that a session ended because of its first line.
function gate.hung_up(conn, why, line)
  local shown = cycles.one_line(line:sub(1, MOST_TOLD))
  tell("first line", "hung up on %s: %s: %s", name_of(conn), why, shown)
end

------------------------------------------------------------------ admission --

--- Sessions that have not been admitted, the oldest first: those that have to
--- send a token, and those without one that have sent nothing.
local waiting, silent = {}, {}

local function remove(list, session)
  for i, other in ipairs(list) do
    if other == session then return table.remove(list, i) end
  end
end

--- Adds a session. If there are too many, hangs up on the oldest: a peer with a
--- token sends it soon.
function gate.arrive(session, token)
  local list = token and waiting or silent
  list[#list + 1] = session
  if #list <= (token and MOST_WAITING or MOST_SILENT) then return end
  local oldest = table.remove(list, 1)
  tell("crowd", "hung up on %s: too many wait to be admitted",
    name_of(oldest.conn))
  oldest:stop("too many sessions wait to be admitted")
end

--- Removes a session that was admitted, or has ended.
function gate.leave(session)
  remove(waiting, session)
  remove(silent, session)
end

-------------------------------------------------------------------- guesses --

--- How many guesses may be made at once at the time guesses_at; below 0 while
--- some wait for their turn.
local guesses, guesses_at = GUESSES, core.now()
local wrong = 0

--- Waits until the session may guess; returns false at once if that would take
--- more than s seconds. May switch.
---@param s number  seconds
---@return boolean
function gate.may_guess(s)
  local now = core.now()
  guesses = math.min(GUESSES, guesses + (now - guesses_at) / GUESS_PAUSE) - 1
  guesses_at = now
  local pause = -guesses * GUESS_PAUSE
  if pause <= 0 then return true end
  if pause > s then
    guesses = guesses + 1
    return false
  end
  core.sleep(pause)
  return true
end

--- Compares in a time that does not depend on where they differ.
local function same(given, secret)
  local differ = #given ~ #secret
  for i = 1, #secret do
    differ = differ | (given:byte(i) or 0) ~ secret:byte(i)
  end
  return differ == 0
end

--- Is it the token? A right guess does not count.
---@param conn userdata
---@param given string
---@param token string
---@return boolean
function gate.admits(conn, given, token)
  if same(given, token) then
    guesses = guesses + 1
    return true
  end
  wrong = wrong + 1
  tell("token", "a wrong token from %s, the %s so far", name_of(conn),
    wrong == 1 and "first" or wrong .. "th")
  return false
end

return gate
