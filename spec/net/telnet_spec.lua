-- The telnet layer finds the same in whatever pieces the bytes come, and each
-- byte costs the same.
--
-- Random bytes are taken apart by the filter and by a decoder that reads them
-- one by one, written from RFC 854. LUAGREEN_SEED=n repeats a run.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local telnet = require "green.net.telnet"

local IAC <const>, SB <const>, SE <const> = 255, 250, 240
local WILL <const>, WONT <const>, DO <const>, DONT <const> = 251, 252, 253, 254

--- The events in order: one string for all text between two signals, and the
--- answers apart from it.
local function recorder()
  local log, answers, run = {}, {}, {}
  local function flush()
    if #run > 0 then log[#log + 1] = table.concat(run) end
    run = {}
  end
  return {
    on_text = function(text) if text ~= "" then run[#run + 1] = text end end,
    on_signal = function(name)
      flush()
      log[#log + 1] = "<" .. name .. ">"
    end,
    send = function(bytes) answers[#answers + 1] = bytes end,
    result = function()
      flush()
      return table.concat(log, "|"), table.concat(answers)
    end,
  }
end

local signals <const> = {[236] = "eof", [238] = "interrupt",
  [243] = "interrupt", [244] = "interrupt", [3] = "interrupt", [4] = "eof"}

--- The decoder to compare with: a byte at a time, and no cleverness.
local function decode(bytes)
  local r = recorder()
  local state, verb = "text", nil
  for i = 1, #bytes do
    local b = bytes:byte(i)
    if state == "cr" then
      state = "text"
      if b == 10 or b == 0 then goto next end
    end
    if state == "text" then
      if b == IAC then
        state = "iac"
      elseif signals[b] and b < 32 then
        r.on_signal(signals[b])
      elseif b == 13 then
        r.on_text "\n"
        state = "cr"
      else
        r.on_text(string.char(b))
      end
    elseif state == "iac" then
      state = "text"
      if b == IAC then
        r.on_text "\255"
      elseif b == SB then
        state = "sub"
      elseif b >= WILL then
        state, verb = "option", b
      elseif b == 246 then
        r.send "[yes]\r\n"
      elseif signals[b] and b >= 236 then
        r.on_signal(signals[b])
      end
    elseif state == "option" then
      state = "text"
      if verb == DO then
        r.send(string.char(IAC, b == 6 and WILL or WONT, b))
      elseif verb == WILL then
        r.send(string.char(IAC, DONT, b))
      end
    elseif state == "sub" then
      if b == IAC then state = "sub iac" end
    elseif state == "sub iac" then
      state = b == SE and "text" or "sub"
    end
    ::next::
  end
  return r.result()
end

local ODD <const> = {0, 3, 4, 6, 10, 13, 13, 1, 31, 236, 238, 240, 243, 244,
  246, 250, 251, 252, 253, 254, 255, 255, 255}

local function random_bytes(n, odd)
  local bytes = {}
  for i = 1, n do
    bytes[i] = string.char(math.random() < odd and ODD[math.random(#ODD)]
      or math.random(0, 255))
  end
  return table.concat(bytes)
end

local function in_pieces(bytes, most)
  local r = recorder()
  local filter = telnet.filter(r)
  local i = 1
  while i <= #bytes do
    local n = math.random(most)
    filter:feed(bytes:sub(i, i + n - 1))
    i = i + n
  end
  return r.result()
end

describe("the telnet filter", function()
  it("finds what a decoder of single bytes finds, in any pieces", function()
    local seed = math.tointeger(tonumber(os.getenv "LUAGREEN_SEED" or ""))
      or os.time()
    math.randomseed(seed)
    for round = 1, 3000 do
      local bytes = random_bytes(math.random(0, 200), math.random())
      local log, answers = decode(bytes)
      for _, most in ipairs {1, 3, 50, 1000} do
        local l, a = in_pieces(bytes, most)
        local why = ("seed %d, round %d: %q"):format(seed, round, bytes)
        assert(l == log, why)
        assert(a == answers, why)
      end
    end
  end)

  it("takes a time that follows from the number of bytes", function()
    local function time(text)
      local n = 0
      local filter = telnet.filter {on_text = function() n = n + 1 end,
        on_signal = function() end, send = function() end}
      local began = os.clock()
      for i = 1, #text, 4096 do filter:feed(text:sub(i, i + 4095)) end
      return os.clock() - began
    end
    for _, unit in ipairs {"a", "\255\255", "\r", "\r\n", "\n", "\3",
      "\255\250", "\255\250\255", "\255\251\1", "\255\246",
      "\255\250a\255\240"} do
      local small, large = (unit):rep(20000), (unit):rep(200000)
      local least = math.huge
      for _ = 1, 3 do
        least = math.min(least, time(large) / math.max(time(small), 1e-4))
      end
      assert.is_true(least < 30, ("%q: %g"):format(unit, least))
    end
  end)
end)

describe("a backdoor", function()
  --- The longest pause of others while a client sends that.
  local function pause_while(opts, pieces)
    local listener <close> = assert(green.listen("127.0.0.1", 0))
    local _, port = listener:getsockname()
    local server <close> = green.spawn(green.backdoor.server, listener, opts)
    local former = green.on_error(function() end)
    local c <close> = assert(green.connect("127.0.0.1", port))
    local reader <close> = green.spawn(function()
      while c:recv(65536) do end
    end)
    local worst, last = 0, os.clock()
    local other <close> = green.spawn(function()
      while true do
        green.sleep(0)
        local now = os.clock()
        worst, last = math.max(worst, now - last), now
      end
    end)
    for _, piece in ipairs(pieces) do
      if not c:send(piece) then break end
      green.sleep(0.02)
    end
    green.sleep(0.3)
    for _, t in ipairs {server, reader, other} do t:kill() end
    green.on_error(former)
    return worst
  end

  for name, pieces in pairs {
    ["doubled IACs after a long line"] = {("a"):rep(60000),
      ("\255\255"):rep(400000)},
    ["nothing but line ends"] = {"\n", ("\n"):rep(1000000)},
    ["nothing but interrupts"] = {"1\n", ("\3"):rep(1000000)},
    ["nothing but ends of file"] = {"1\n", ("\4"):rep(1000000)},
    ["negotiation"] = {("\255\253\3"):rep(300000)},
    ["are you there"] = {("\255\246"):rep(300000)},
    ["an endless subnegotiation"] = {"\255\250", ("x"):rep(2000000)},
    ["a chunk that never ends"] = {"f = {\n", ("1,\n"):rep(200000)},
    ["an expression that never ends"] = {"f = 1 +\n", ("1 +\n"):rep(100000)},
    ["a function of 20,000 lines"] = {"function f()\n",
      ("  local x = 1\n"):rep(20000), "end\n"},
    ["a string that never ends"] = {"s = [[\n", ("x\n"):rep(300000)},
  } do
    for _, opts in ipairs {{banner = ""}, {token = "s3cret"}} do
      it((opts.token and "with a token " or "") .. "goes on with " .. name,
        function()
          local least = math.huge
          for _ = 1, 5 do -- a machine that stands still is no fault of ours
            least = math.min(least, pause_while(opts, pieces))
            if least < 0.25 then break end
          end
          assert.is_true(least < 0.25, least)
        end)
    end
  end
end)
