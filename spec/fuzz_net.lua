--- Random programs that talk over streams, against a model of what arrives.
---
---   lua5.4 spec/fuzz_net.lua [SECONDS [FIRST]]   programs FIRST and on
---   LUAGREEN_SEED=n lua5.4 spec/fuzz_net.lua     that one
---   FUZZ_TRACE=1                                 prints each move
---
--- Green threads send, several at once on one stream, read by every call there
--- is, set limits, are killed and struck by timeouts, shut and close. A stream
--- always delivers the bytes that its sends report, in the order of the calls,
--- each once: nothing is lost, repeated or misplaced. A stream that was shut in
--- peace and read to its end delivers all of them.
---
--- A relay is such a stream over two connections, between which threads copy:
--- however a copy ends, each byte is either before or behind it.
--- Datagrams arrive whole, at most once, and of the Unix family all in order.
--- A select chooses only sockets that can be read.
---
--- SPDX-License-Identifier: MIT

local fuzzing = require "spec.fuzzing"
local green = require "green"
local test = require "green.test"

local certs = pcall(require, "green.openssl") and require "spec.certificates"

local KINDS <const> = {"inet", "unix", certs and "tls" or nil}

local random = math.random
local TRACE <const> = os.getenv "FUZZ_TRACE"

local function one_in(n) return random(n) == 1 end
local function pick(list) return list[random(#list)] end

---------------------------------------------------------------- content --

--- Bytes with short and long lines, and zeros. No "\r", which "l" drops. The
--- length is a prime, so repeated and missing bytes show.
local function make_content()
  local bytes = {}
  for i = 1, 65521 do
    local r = random(60)
    bytes[i] = r <= 2 and "\n" or r == 3 and "\0" or
      string.char(random(32, 255))
  end
  local few = random(20000)
  for i = few, few + 9000 do -- one line of some length
    if bytes[i] == "\n" then bytes[i] = "-" end
  end
  return table.concat(bytes)
end

local content

local function some_bytes()
  local n = pick {0, 1, random(50), random(5000), random(65521)}
  local i = random(#content - n + 1)
  return content:sub(i, i + n - 1)
end

---------------------------------------------------------------- streams --

--- One direction of a connection.
---   log     the sends, in the order of their calls: {data =, n =}; n is how
---           many bytes went, nil while that is not known
---   got     the pieces that were read, in order
---   reader  a call of a reader is under way
---   over    it was read to its end; broken: it may end anywhere
local Stream = {}
Stream.__index = Stream

local function new_stream(name, from, to)
  return setmetatable({name = name, from = from, to = to, log = {}, got = {}},
    Stream)
end

--- Does `rest` hold what the sends from number i on have sent? A send whose
--- count is not known has sent nothing, or all, its last bytes being on their
--- way already; or a part, which then is the end.
function Stream:fits(rest, i)
  local at = 1
  for k = i, #self.log do
    local s = self.log[k]
    if s.n then
      local have = rest:sub(at, at + s.n - 1)
      if have ~= s.data:sub(1, #have) then
        return false, ("send %d, of %d bytes"):format(k, s.n)
      end
      if #have < s.n then
        -- The rest did not arrive: right where the stream was broken.
        return self.broken or not self.over, ("send %d: %d of %d bytes")
          :format(k, #have, s.n)
      end
      at = at + s.n
    elseif self:fits(rest:sub(at), k + 1)
      or rest:sub(at, at + #s.data - 1) == s.data
      and self:fits(rest:sub(at + #s.data), k + 1) then
      return true
    else
      local have = rest:sub(at)
      return have == s.data:sub(1, #have), ("send %d, which was cut"):format(k)
    end
  end
  return at > #rest, ("%d bytes that nobody sent"):format(#rest - at + 1)
end

----------------------------------------------------------- datagrams --

--- One direction.
---   texts    the datagrams, by number
---   sent     true; or false, for it is not known if that one was sent
---   got      the last number that was received, of the Unix family
---   seen     those that were received
local Post = {}
Post.__index = Post

local function unix_post()
  local path = os.tmpname()
  os.remove(path)
  local to = assert(green.udp("unix:" .. path))
  local from = assert(green.udp "unix:")
  assert(from:setpeername(path))
  os.remove(path)
  return from, to
end

local function inet_post()
  local to = assert(green.udp("127.0.0.1", 0))
  local from = assert(green.udp())
  local host, port = to:getsockname()
  assert(from:setpeername(host, port))
  return from, to
end

local function new_post()
  local ordered = random(2) == 1
  local from, to = (ordered and unix_post or inet_post)()
  return setmetatable({from = from, to = to, ordered = ordered, sent = {},
    texts = {}, got = 0, seen = {}}, Post)
end

--- What is wrong with that datagram, or nil.
function Post:arrived(data)
  local i = math.tointeger(tonumber(data:match "^(%d+):"))
  if not i or self.sent[i] == nil then return "nobody sent it" end
  if self.seen[i] then return ("number %d came twice"):format(i) end
  if data ~= self.texts[i] then return ("number %d is changed"):format(i) end
  self.seen[i] = true
  if not self.ordered then return end
  for k = self.got + 1, i - 1 do
    if self.sent[k] then return ("number %d is lost"):format(k) end
  end
  if i < self.got then return ("number %d is late"):format(i) end
  self.got = i
end

------------------------------------------------------------------ world --

local World = {}
World.__index = World

local function trace(text, ...)
  if TRACE then
    print(("%.6f #%d "):format(green.now(), green.current().id) ..
      text:format(...))
  end
end

function World:fail(text, ...)
  local line = text:format(...)
  trace("FAILED: %s", line)
  self.failures[#self.failures + 1] = debug.traceback(line, 2)
end

function World:stream() return pick(self.streams) end

--- Under a limit of the socket, or a timeout, or neither; what pcall returns.
local function limited(sock, f)
  local how = random(6)
  if how == 1 then
    sock:settimeout(pick {0, 0.0005, 0.01}, pick {"b", "t"})
    local r = table.pack(pcall(f))
    sock:settimeout(nil, "b")
    sock:settimeout(nil, "t")
    return table.unpack(r, 1, r.n)
  elseif how == 2 then
    local _ <close> = green.timeout(pick {0, 0.0005, 0.01})
    return pcall(f)
  end
  return pcall(f)
end

--- Of a reader's results: pieces are noted.
function Stream:take(piece)
  if piece and piece ~= "" then self.got[#self.got + 1] = piece end
end

local ENDS <const> = {closed = true, ["connection reset by peer"] = true,
  ["Connection reset by peer"] = true, ["broken pipe"] = true,
  truncated = true}

function World:ended(s, err)
  if err == "closed" then
    s.over = true
  elseif err ~= "timeout" and err ~= "line too long" and
    not err:find "is already being read" then
    if not ENDS[err] then self:fail("%s: %s", s.name, err) end
    s.broken = true
  end
end

------------------------------------------------------------------ moves --

local moves = {}

local READS <const> = {}

function READS.recv(w, s)
  local n = pick {1, 100, 65536}
  local ok, data, err = limited(s.to, function() return s.to:recv(n) end)
  if not ok then return end
  s:take(data)
  if data and (#data > n or #data == 0) then
    w:fail("%s: recv(%d) gave %d bytes", s.name, n, #data)
  end
  if not data then w:ended(s, err) end
end

local function received(w, s, pattern, prefix)
  local ok, data, err, partial = limited(s.to, function()
    return s.to:receive(pattern, prefix)
  end)
  if not ok then return end -- what came stays
  local text = data or partial
  if not text then return w:fail("%s: no partial: %s", s.name, err) end
  local before = prefix or ""
  if text:sub(1, #before) ~= before then
    w:fail("%s: the prefix is missing", s.name)
  end
  text = text:sub(#before + 1)
  if err == "line too long" then text = "" end -- it stays
  s:take(text)
  if data and pattern == "l" then s:take("\n") end
  if data and pattern == "L" and text:sub(-1) ~= "\n" then
    w:fail("%s: a line without its end", s.name)
  end
  if math.type(pattern) and data and
    #data ~= math.max(pattern, #before) then
    w:fail("%s: %d bytes for %d", s.name, #data, pattern)
  end
  if data and pattern == "a" then s.over = true end
  if not data then w:ended(s, err) end
end

function READS.line(w, s)
  received(w, s, "l", one_in(3) and "prefix" or nil)
end
function READS.whole_line(w, s)
  received(w, s, "L", one_in(3) and "prefix" or nil)
end
function READS.count(w, s)
  received(w, s, pick {0, 1, random(200), random(70000)},
    one_in(3) and "prefix" or nil)
end
function READS.all(w, s)
  if one_in(3) then received(w, s, "a") end
end

function READS.chunks(w, s)
  local ok, err = limited(s.to, function()
    local n = random(3)
    for data in s.to:chunks(pick {7, 3000}) do
      s:take(data)
      n = n - 1
      if n == 0 then return end
    end
    s.over = true
  end)
  if not ok and type(err) == "string" then
    w:ended(s, err:gsub("^[^:]*:%d+: ", ""))
  end
end

local READ_NAMES <const> = {"recv", "line", "whole_line", "count", "all",
  "chunks"}

function moves.read(w)
  local s = w:stream()
  local name = pick(READ_NAMES)
  -- A second reader gets an error, unless the first has been struck just now.
  if s.reader and not one_in(4) then return end
  trace("%s: %s", s.name, name)
  s.reader = s.reader or green.current()
  local _ <close> = setmetatable({}, {__close = function()
    if s.reader == green.current() then s.reader = nil end
    trace("%s: %s: over", s.name, name)
  end})
  READS[name](w, s)
end

function moves.send(w)
  local s = w:stream()
  local data = some_bytes()
  local i, j = 1, #data
  if one_in(4) and #data > 10 then
    i, j = random(#data // 2), random(#data // 2, #data)
  end
  local note = {data = data:sub(i, j)}
  s.log[#s.log + 1] = note
  trace("%s: send %d: %d bytes", s.name, #s.log, #note.data)
  local ok, last, err, sent = limited(s.from, function()
    return s.from:send(data, i, j)
  end)
  if not ok then return end -- nothing was sent, or it was cut
  note.n = (last or sent) - i + 1
  if not last and err ~= "timeout" then
    -- It is not told how much of what was sent arrives once the peer resets.
    if not (err == "closed" or ENDS[err] or err:find "cut after") then
      w:fail("%s: send: %s", s.name, err)
    end
  elseif last and last ~= math.max(j, i - 1) then
    w:fail("%s: send: %d for %d", s.name, last, j)
  end
  if note.n < 0 or note.n > #note.data then
    w:fail("%s: send: %d of %d bytes", s.name, note.n, #note.data)
  end
  trace("%s: sent %d", s.name, note.n)
end
moves.send_again = moves.send

function moves.copy(w)
  local relay = #w.relays > 0 and pick(w.relays)
  if not relay or relay.over then return end
  local n = pick {1, random(5000), random(300000), false} or nil
  trace("%s: copy %s", relay.name, n)
  local ok, moved, err, part = limited(pick {relay.source, relay.sink},
    function() return relay.source:copy(relay.sink, n) end)
  trace("%s: copied %s %s %s", relay.name, moved, err, part)
  if not ok then return end
  relay:copied(w, n, moved, err, part)
end

function moves.post(w)
  local p = pick(w.posts)
  local i = #p.sent + 1
  local data = ("%d:"):format(i) .. some_bytes():sub(1, 3000)
  p.sent[i], p.texts[i] = false, data
  local ok, size, err = limited(p.from, function() return p.from:send(data) end)
  if not ok then return end
  if size == #data then
    p.sent[i] = true
  elseif size or err ~= "timeout" then
    w:fail("datagram %d: %s %s", i, size, err)
  end
end

function moves.fetch(w)
  local p = pick(w.posts)
  local call = pick {"receive", "receivefrom"}
  local ok, data, err = limited(p.to, function()
    return p.to[call](p.to)
  end)
  if not ok then return end -- none is lost
  local why
  if data then
    why = p:arrived(data)
  elseif err ~= "timeout" then
    why = err
  end
  if why then w:fail("a datagram: %s", why) end
end

function moves.select(w)
  local cases, of = {}, {}
  for _ = 1, random(4) do
    local thing = one_in(3) and pick(w.posts) or w:stream()
    if thing.to:getfd() >= 0 and not thing.reader then
      cases[#cases + 1], of[#of + 1] = thing.to, thing
    end
  end
  if #cases == 0 then return end
  local ok, i = pcall(green.select, cases, pick {0, 0.001, 0.01})
  local chosen = ok and i and of[i]
  if not chosen or chosen.reader or chosen.to:getfd() < 0 then return end
  if getmetatable(chosen) == Post then return end
  chosen.to:settimeout(0)
  local read, data, err = pcall(chosen.to.recv, chosen.to, pick {1, 65536})
  chosen.to:settimeout()
  if not read then return end -- it is struck
  chosen:take(data)
  if err == "timeout" then
    w:fail("%s: select chose it, and it is not readable", chosen.name)
  elseif not data then
    w:ended(chosen, err)
  end
end

function moves.pause() green.sleep(random() / 300) end

function moves.yield() green.sleep(0) end

function moves.kill(w)
  local t = pick(w.threads)
  if t ~= green.current() and one_in(3) then
    trace("kill #%d", t.id)
    t:kill(0)
  end
end

function moves.shut(w)
  if not one_in(15) then return end
  local s = w:stream()
  trace("%s: shut", s.name)
  s.from:shutdown("send")
end

--- Both directions end anywhere.
function moves.close(w)
  if not one_in(40) then return end
  local s = w:stream()
  trace("%s: close", s.name)
  s.broken, s.back.broken = true, true
  s.to:close()
end

function moves.listen(w)
  if not one_in(5) or #w.streams > 12 then return end
  w:connect(pick(KINDS))
end

function moves.spawn(w)
  if #w.threads < 40 and one_in(4) then w:spawn(random(8)) end
end

local NAMES <const> = {}
for name in pairs(moves) do NAMES[#NAMES + 1] = name end
table.sort(NAMES)
for _ = 1, 4 do NAMES[#NAMES + 1] = "read" end

----------------------------------------------------------------- actors --

function World:spawn(n)
  local t = green.spawn(function()
    for _ = 1, n do
      moves[pick(NAMES)](self)
      if self.ending then return end
    end
  end)
  self.threads[#self.threads + 1] = t
end

local function unix_pair()
  local path = os.tmpname()
  os.remove(path)
  local l <close> = assert(green.listen("unix:" .. path))
  local a = assert(green.connect("unix:" .. path))
  return a, assert(l:accept())
end

local function inet_pair()
  local l <close> = assert(green.listen("127.0.0.1", 0))
  local host, port = l:getsockname()
  local a = assert(green.connect(host, port))
  return a, assert(l:accept())
end

local function tls_pair()
  local l <close> = assert(green.listen("127.0.0.1", 0,
    {tls = certs.of "server"}))
  local host, port = l:getsockname()
  local server = green.spawn(function()
    local b = assert(l:accept())
    return b:handshake() and b -- unless the client's thread was killed
  end)
  local a = assert(green.connect(host, port, {tls = {cafile = certs.ca}}))
  return a, server:wait()
end

local pairs_of <const> = {unix = unix_pair, inet = inet_pair, tls = tls_pair}

--- A pair of connected streams.
function World:connect(kind)
  local a, b = pairs_of[kind]()
  if one_in(2) then -- the kernel keeps little: sends wait
    a:setoption("send-buffer-size", 4096)
    b:setoption("send-buffer-size", 4096)
    a:setoption("recv-buffer-size", 4096)
    b:setoption("recv-buffer-size", 4096)
  end
  self.n = self.n + 1
  local there = new_stream(("%s%d >"):format(kind, self.n), a, b)
  local back = new_stream(("%s%d <"):format(kind, self.n), b, a)
  there.back, back.back = back, there
  table.insert(self.streams, there)
  table.insert(self.streams, back)
  trace("%s, %s", there.name, back.name)
end

--- Between two connections.
---   source, sink  where a copy reads and writes
---   stream        what goes through it
local Relay = {}
Relay.__index = Relay

function Relay:copied(w, n, moved, err, part)
  local sum = moved or part
  if not math.type(sum) or n and sum > n then
    return w:fail("%s: copied %s %s %s of %s", self.name, moved, err, part, n)
  end
  self.moved = self.moved + sum
  if moved and not (n and moved == n) then self.over = true end
  if err and err ~= "timeout" then
    self.over, self.stream.broken, self.stream.back.broken = true, true, true
  end
end

--- Copies all that is left, and passes the end on.
function Relay:finish(w)
  while not self.over do
    self:copied(w, nil, self.source:copy(self.sink))
  end
  if self.stream.broken then
    self.source:close()
    self.sink:close()
  else
    self.sink:shutdown "send"
  end
end

function World:relay()
  local kinds = {pick(KINDS), pick(KINDS)}
  local a, b = pairs_of[kinds[1]]()
  local c, d = pairs_of[kinds[2]]()
  self.n = self.n + 1
  local name = ("%s-%s%d"):format(kinds[1], kinds[2], self.n)
  local there = new_stream(name .. " >", a, d)
  local back = new_stream(name .. " <", d, a)
  there.back, back.back = back, there
  for _, s in ipairs {there, back} do
    self.streams[#self.streams + 1] = s
    self.relays[#self.relays + 1] = setmetatable({stream = s, name = s.name,
      moved = 0, source = s == there and b or c,
      sink = s == there and c or b}, Relay)
  end
end

--- All datagrams that were sent have arrived, where the kernel drops none.
function World:finish_posts()
  for _, p in ipairs(self.posts) do
    p.to:settimeout(0)
    local data = p.to:receive()
    while data do
      local why = p:arrived(data)
      if why then self:fail("a datagram: %s", why) end
      data = p.to:receive()
    end
    for i = p.got + 1, p.ordered and #p.sent or 0 do
      if p.sent[i] then self:fail("datagram %d is lost", i) end
    end
    p.from:close()
    p.to:close()
  end
end

--- Reads what is left, in a thread of its own for each stream, and compares.
function World:finish()
  self.ending = true
  for _, t in ipairs(self.threads) do t:kill() end
  for _, t in ipairs(self.threads) do t:join() end
  self:finish_posts()
  local group <close> = green.group()
  for _, relay in ipairs(self.relays) do
    group:spawn(relay.finish, relay, self)
  end
  for _, s in ipairs(self.streams) do
    group:spawn(function()
      if s.to:getfd() < 0 then return end
      -- With TLS it may have to wait until the peer has read.
      group:spawn(s.from.shutdown, s.from, "send")
      while not s.over and not s.broken do
        local data, err = s.to:recv(65536)
        s:take(data)
        if not data then self:ended(s, err) end
      end
    end)
  end
  group:wait()
  for _, s in ipairs(self.streams) do
    local text = table.concat(s.got)
    local ok, why = s:fits(text, 1)
    if not ok then self:fail("%s: %d bytes read: %s", s.name, #text, why) end
    s.from:close()
    s.to:close()
  end
  for _, relay in ipairs(self.relays) do
    relay.source:close()
    relay.sink:close()
  end
end

local function program()
  content = make_content()
  local w = setmetatable({streams = {}, threads = {}, relays = {}, posts = {},
    failures = {}, n = 0}, World)
  green.on_error(function(err) w:fail("an actor failed: %s", err) end)
  for _ = 1, random(3) do w:connect(pick(KINDS)) end
  for _ = 1, random(0, 2) do w:relay() end
  for i = 1, random(2) do w.posts[i] = new_post() end
  for _ = 1, random(2, 10) do w:spawn(random(5, 40)) end
  for _ = 1, random(5) do
    green.sleep(random() / 100)
    if one_in(4) then collectgarbage() end
    for _ = 1, random(3) do w:spawn(random(20)) end
  end
  w:finish()
  if #w.failures > 0 then error(table.concat(w.failures, "\n\n"), 0) end
end

local fuzz = {}

--- Runs the program of that seed; raises what is wrong with it.
function fuzz.run(seed)
  test.run(program, {seed = seed, limit = 20})
end

--- run_for(seconds, first, report, most): see spec/fuzzing.lua.
fuzz.run_for = fuzzing.run_for(fuzz.run)

if fuzzing.started "fuzz_net.lua" then fuzzing.run(fuzz) end

return fuzz
