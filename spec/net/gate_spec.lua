-- Admission to a backdoor, and how many guesses it allows.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

--- A backdoor with a token, and what the program was told of it.
local function with_door(opts, f)
  local told = {}
  local former = green.on_error(function(err) told[#told + 1] = err end)
  local listener <close> = assert(green.listen("127.0.0.1", 0))
  local _, port = listener:getsockname()
  local _ <close> = green.spawn(green.backdoor.server, listener, opts)
  local ok, err = pcall(f, port, told)
  green.on_error(former)
  assert(ok, err)
end

local function connect(port)
  local c = assert(green.connect("127.0.0.1", port))
  c:settimeout(20)
  return c
end

--- Reads until the text has come; nil when the server closes before.
local function expect(c, text)
  local seen = ""
  while not seen:find(text, 1, true) do
    local data = c:recv(4096)
    if not data then return nil, seen end
    seen = seen .. data
  end
  return seen
end

local function count(told, pattern)
  local n = 0
  for _, text in ipairs(told) do
    if text:find(pattern) then n = n + 1 end
  end
  return n
end

describe("a token", function()
  it("that is wrong is told, with whom it came from", function()
    with_door({token = "s3cret"}, function(port, told)
      local c <close> = connect(port)
      c:send "guess\n"
      assert.is_truthy(expect(c, "wrong; token: "))
      help.wait_until(function() return #told > 0 end)
      assert.matches("^backdoor: a wrong token from 127.0.0.1:%d+, the ",
        told[1])
      assert.is_nil(told[1]:find "guess")
    end)
  end)

  it("may be guessed ten times at once, and then once a second, over all "
    .. "connections", function()
    with_door({token = "s3cret"}, function(port)
      local began, wrong, alive = green.now(), 0, 0
      for _ = 1, 8 do
        alive = alive + 1
        green.spawn(function()
          local c <close> = connect(port)
          for _ = 1, 3 do
            c:send "guess\n"
            if not expect(c, "wrong") then break end
            wrong = wrong + 1
          end
          alive = alive - 1
        end)
      end
      help.wait_until(function() return wrong >= 15 or alive == 0 end)
      assert.is_true(green.now() - began > 2, green.now() - began)
      -- A right one gets its turn, too.
      local c <close> = connect(port)
      c:send "s3cret\n1 + 1\n"
      assert.is_truthy(expect(c, "2\n"))
      help.wait_until(function() return alive == 0 end)
    end)
  end)

  it("is said within a minute, however slowly it comes", function()
    local test = green.test
    test.run(function()
      with_door({token = "s3cret"}, function(port)
        local c <close> = connect(port)
        local began = green.now()
        local slow <close> = green.spawn(function()
          while c:send "x" do green.sleep(5) end
        end)
        c:settimeout(nil)
        assert.is_nil(expect(c, "> "))
        local took = green.now() - began
        assert.is_true(took > 55 and took < 66, took)
        slow:kill()
      end)
    end, {quiet = 0.02})
  end)

  it("has no more than a line of 1,024 bytes", function()
    with_door({token = "s3cret"}, function(port)
      local c <close> = connect(port)
      c:send(("x"):rep(2000))
      local entered, seen = expect(c, "> ")
      assert.is_nil(entered)
      assert.matches("without an end of line", seen)
    end)
  end)

  it("is waited for by few sessions; the oldest goes when more come", function()
    with_door({token = "s3cret"}, function(port, told)
      green.sleep(1.1)
      local idle <const> = {}
      for i = 1, 50 do
        idle[i] = connect(port)
        assert.is_truthy(expect(idle[i], "token: "))
      end
      local open = 0
      for i = 1, 50 do
        idle[i]:settimeout(0.01)
        local _, err = idle[i]:recv(100)
        while not err do _, err = idle[i]:recv(100) end
        if err == "timeout" then open = open + 1 end
      end
      assert.equal(8, open)
      -- and somebody with the token gets in nevertheless
      local c <close> = connect(port)
      c:send "s3cret\n1 + 1\n"
      assert.is_truthy(expect(c, "2\n"))
      for i = 1, 50 do idle[i]:close() end
      assert.is_true(count(told, "too many wait to be admitted") >= 1)
    end)
  end)
end)

describe("sessions without a token", function()
  it("that say nothing are few, too; one that has spoken stays", function()
    with_door({banner = ""}, function(port)
      local c <close> = connect(port)
      c:send "1 + 1\n"
      assert.is_truthy(expect(c, "2\n"))
      local idle <const> = {}
      for i = 1, 100 do
        idle[i] = connect(port)
        assert.is_truthy(expect(idle[i], "> "))
      end
      local n = 0
      for _, t in ipairs(green.threads()) do
        if t.name == "backdoor reader" then n = n + 1 end
      end
      assert.is_true(n <= 66, n)
      c:send "2 + 2\n"
      assert.is_truthy(expect(c, "4\n"))
      for i = 1, 100 do idle[i]:close() end
    end)
  end)

  it("are for this machine only, though the listener is open to others",
    function()
      -- another address of this machine stands for another machine
      local pipe = io.popen "hostname -I 2>/dev/null"
      local address = pipe:read "a":match "%d+%.%d+%.%d+%.%d+"
      pipe:close()
      if not address then
        pending "no other address"
        return
      end
      local told = {}
      local former = green.on_error(function(err) told[#told + 1] = err end)
      local listener <close> = assert(green.listen("0.0.0.0", 0))
      local _, port = listener:getsockname()
      local server <close> = green.spawn(green.backdoor.server, listener,
        {anywhere = true, banner = ""})
      local c <close> = assert(green.connect(address, port))
      c:settimeout(10)
      c:send "1 + 1\n"
      assert.is_nil(expect(c, "2\n"))
      help.wait_until(function() return #told > 0 end)
      green.on_error(former)
      assert.matches("^backdoor: refused " .. address:gsub("%.", "%%.")
        .. ":%d+: other machines need a token", told[1])
      local d <close> = connect(port)
      d:send "1 + 1\n"
      assert.is_truthy(expect(d, "2\n"))
      help.blocked(server)
    end)

  it("of backdoor.session are refused in the same way", function()
    local pipe = io.popen "hostname -I 2>/dev/null"
    local address = pipe:read "a":match "%d+%.%d+%.%d+%.%d+"
    pipe:close()
    if not address then
      pending "no other address"
      return
    end
    local former = green.on_error(function() end)
    local listener <close> = assert(green.listen("0.0.0.0", 0))
    local _, port = listener:getsockname()
    local c <close> = assert(green.connect(address, port))
    local conn = listener:accept()
    local ok, err = green.backdoor.session(conn)
    assert.is_nil(ok)
    assert.equal("refused", err)
    assert.is_nil((conn:recv(1)))
    c:close()
    green.sleep(0)
    green.on_error(former)
  end)
end)
