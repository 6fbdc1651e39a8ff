-- The backdoor, as a person who connects to it sees it.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local terminal = require "spec.terminal"

local IAC, IP = "\255", "\244"

local function sessions_live()
  for _, t in ipairs(green.threads()) do
    if t.name:find "^backdoor" then return true end
  end
end

--- A backdoor on a free port of the loopback interface. Its sessions have
--- ended when it is closed.
local function open(opts)
  local listener = assert(green.listen("127.0.0.1", 0))
  local _, port = listener:getsockname()
  local server = green.spawn(green.backdoor.server, listener, opts)
  return setmetatable({port = port, server = server, listener = listener}, {
    __close = function()
      listener:close()
      server:kill()
      server:join()
      help.wait_until(function() return not sessions_live() end)
    end,
  })
end

--- A client that reads until it has seen what it expects.
local Client = {}
Client.__index = Client

local function client(door)
  local conn = assert(green.connect("127.0.0.1", door.port))
  conn:settimeout(10)
  return setmetatable({conn = conn, seen = ""}, Client)
end

function Client:__close() self.conn:close() end

function Client:send(text) assert(self.conn:send(text)) end

--- Everything up to and including the plain text, which is removed.
function Client:expect(text)
  while true do
    local _, stop = self.seen:find(text, 1, true)
    if stop then
      local found = self.seen:sub(1, stop)
      self.seen = self.seen:sub(stop + 1)
      return found
    end
    local data, err = self.conn:recv(4096)
    if not data then
      error(("expected %q, but %s after %q"):format(text, err, self.seen), 2)
    end
    self.seen = self.seen .. data
  end
end

--- Sends a line at the prompt and returns what came before the next one.
function Client:command(line)
  self:send(line .. "\n")
  return (self:expect("> "):sub(1, -3))
end

--- The rest of the text until the server closes.
function Client:rest()
  local data, _, partial = self.conn:receive("*a")
  return self.seen .. (data or partial)
end

local function greeted(door)
  local c = client(door)
  c:expect("> ")
  return c
end

--- One session, for the tests that need no more.
local function session(f, opts)
  return function()
    local door <close> = open(opts)
    local c <close> = greeted(door)
    f(c, door)
  end
end

--- Live threads, without those that belong to the test.
local function threads()
  return #green.threads()
end

--- A thread that swallows a kill is forced after the grace, 5 s by default.
local function short_grace()
  local former = green.config().grace
  green.config {grace = 0.3}
  return setmetatable({}, {__close = function()
    green.config {grace = former}
  end})
end

describe("a backdoor session", function()
  help.both(it, "prints the values of expressions and runs statements",
    session(function(c)
      assert.equal("2\n", c:command "1 + 1")
      assert.equal("nil\tx\tfalse\n", c:command "nil, 'x', false")
      assert.equal("5\n", c:command "=5")
      assert.equal("", c:command "local x = 1")
      assert.equal("", c:command "-- nothing")
      assert.equal("", c:command "")
      assert.equal("hello\n", c:command "print 'hello'")
      assert.equal("15\n", c:command "return 15")
    end))

  it("greets with a banner and a prompt", function()
    do
      local door <close> = open()
      local c <close> = client(door)
      assert.matches("^luagreen .*help%(%).*\n> $", c:expect("> "))
    end
    local named <close> = open {banner = "Welcome.\n"}
    local d <close> = client(named)
    assert.equal("Welcome.\n> ", d:expect("> "))
  end)

  it("takes a chunk that spans lines, with a prompt of its own",
    session(function(c)
      c:send "for i = 1, 2 do\n"
      assert.equal(">> ", c:expect(">> "))
      c:send "print(i)\n"
      assert.equal(">> ", c:expect(">> "))
      assert.equal("1\n2\n", c:command "end")
      c:send "1 +\n"
      c:expect(">> ")
      assert.equal("3\n", c:command "2")
    end))

  it("runs every line of a packet", session(function(c)
    c:send "x = 1\nx = x + 1\nprint(x)\nx * 10\n"
    assert.equal("> > 2\n> 20\n> ", c:expect "2\n" .. c:expect "20\n> ")
  end))

  it("keeps the last value in _", session(function(c)
    c:command "'a', 'b'"
    assert.equal("a\n", c:command "_")
    c:command "print 'no value'"
    assert.equal("aa\n", c:command "_ .. _")
  end))

  help.both(it, "returns errors with a traceback, and goes on",
    session(function(c)
      local text = c:command "local function f() error 'boom' end f() "
      assert.matches("^backdoor:1: boom\nstack traceback:\n", text)
      assert.matches("in local 'f'", text, 1, true)
      assert.is_nil(text:find("repl.lua", 1, true))
      assert.matches("^table: 0x", c:command "error {}")
      assert.matches("^nil\n", c:command "error()")
      assert.matches("near '='", c:command "x = = 1", 1, true)
      assert.matches("^backdoor:1: no text\n", c:command
        "setmetatable({}, {__tostring = function() error 'no text' end})")
      assert.equal("1\n", c:command "1")
    end))

  it("runs commands that block, and others meanwhile", session(function(c)
    local ticks = 0
    local ticker <close> = green.spawn(function()
      while true do
        green.sleep(0.001)
        ticks = ticks + 1
      end
    end)
    assert.equal("done\n", c:command "green.sleep(0.05) return 'done'")
    assert.is_true(ticks > 3)
    assert.matches("^[rb]e?[al]", ticker:status()) -- ready or blocked
  end))
end)

describe("output", function()
  help.both(it, "of print and io.write goes to the client, and no other",
    session(function(c, door)
      local other <close> = greeted(door)
      assert.equal("a\tnil\t1\n", c:command "print('a', nil, 1)")
      assert.equal("x1\n", c:command "_ = io.write('x', 1, '\\n')")
      assert.equal("true\n", c:command "io.write() == io.stdout")
      assert.matches("bad argument #2 to 'write' (string expected, got table)",
        c:command "io.write('x', {})", 1, true)
      assert.equal("other\n", other:command "print 'other'")
    end))

  help.both(it, "of threads that a command spawns goes there, too",
    session(function(c)
      c:send "green.spawn(function() green.sleep(0.02) print 'late' "
      c:send "green.spawn(print, 'later') end)\n"
      c:expect "late\n"
      c:expect "later\n"
    end))

  it("of a thread that outlives the session is dropped", function()
    local door <close> = open {locals = {ended = green.event()}}
    do
      local c <close> = greeted(door)
      c:command [[green.spawn(function()
        green.sleep(0.1) print(("x"):rep(1e6)) print "y" ended:send()
      end)]]
      c:send "exit()\n"
      c:rest()
    end
    local c <close> = greeted(door)
    assert.equal("true\n", c:command "ended:wait(5)")
  end)

  it("much of it arrives whole", session(function(c)
    c:send "for i = 1, 100000 do print(i) end\n"
    local text = c:expect "100000\n> "
    local n = 0
    for line in text:gmatch "(%d+)\n" do
      n = n + 1
      assert.equal(n, tonumber(line))
    end
    assert.equal(100000, n)
  end))

  it("that nobody reads holds up the command, and nobody else", function()
    local progress = {n = 0}
    local door <close> = open {locals = {progress = progress}}
    local before = threads()
    do
      local c <close> = greeted(door)
      c:send "while true do print(('x'):rep(10000)) "
      c:send "progress.n = progress.n + 1 end\n"
      local last
      help.wait_until(function()
        local same = progress.n == last and progress.n > 0
        last = progress.n
        green.sleep(0.05)
        return same
      end, "the command held up")
      local d <close> = greeted(door)
      assert.equal("4\n", d:command "2 + 2")
    end
    help.wait_until(function() return threads() <= before end, "all ended")
  end)
end)

describe("names", function()
  it("of locals are seen, and what they hold can be changed", function()
    local jobs = {"a"}
    local locals = {jobs = jobs, level = 1}
    local door <close> = open {locals = locals}
    local c <close> = greeted(door)
    assert.equal("a\n", c:command "jobs[1]")
    c:command "jobs.more = 7"
    assert.equal(7, jobs.more)
    c:command "level = 2"
    assert.equal(2, locals.level)
    locals.later = "seen"
    assert.equal("seen\n", c:command "later")
  end)

  it("that are new stay in the session, unless made in _G", function()
    local door <close> = open()
    local c <close> = greeted(door)
    local d <close> = greeted(door)
    c:command "backdoor_x = 1"
    assert.equal("1\n", c:command "backdoor_x")
    assert.equal("nil\n", d:command "backdoor_x")
    assert.is_nil(rawget(_G, "backdoor_x"))
    c:command "_G.backdoor_y = 2"
    assert.equal("2\n", d:command "backdoor_y")
    d:command "backdoor_y = 3"
    assert.equal(3, rawget(_G, "backdoor_y"))
    rawset(_G, "backdoor_y", nil)
  end)

  help.both(it, "and output of ten sessions at once stay apart", function()
    local door <close> = open()
    local list = {}
    for i = 1, 10 do
      list[i] = green.spawn(function()
        local c <close> = greeted(door)
        c:command("x = " .. i)
        for round = 1, 20 do
          assert.equal(("%d %d\n"):format(i, round),
            c:command(("green.sleep(0.001) print(x .. ' %d')"):format(round)))
        end
      end)
    end
    for _, t in ipairs(list) do t:wait() end
  end)
end)

describe("Ctrl-C", function()
  for _, way in ipairs {{"byte 3", "\3"}, {"telnet's IP", IAC .. IP}} do
    help.both(it, "as " .. way[1] .. " interrupts a command that sleeps",
      session(function(c)
        c:send "print 'begun' green.sleep(60)\n"
        c:expect "begun\n"
        c:send(way[2])
        assert.matches("^interrupted!\nstack traceback:", c:expect "> ")
        assert.equal("1\n", c:command "1")
      end))

    help.both(it, "as " .. way[1] .. " interrupts a command that computes",
      session(function(c, door)
        c:send "print 'begun' while true do end\n"
        c:expect "begun\n"
        local d <close> = greeted(door)
        assert.equal("4\n", d:command "2 + 2")
        c:send(way[2])
        assert.matches("^interrupted!\nstack traceback:", c:expect "> ")
        c:send "print 'begun' "
        c:send "coroutine.wrap(function() while true do end end)()\n"
        c:expect "begun\n"
        c:send(way[2])
        assert.matches("interrupted!\nstack traceback:", c:expect "> ")
        assert.equal("1\n", c:command "1")
      end))
  end

  it("twice in a row kills a command that swallows it", session(function(c)
    local _ <close> = short_grace()
    for _, body in ipairs {"green.sleep(0.01)", "while true do end"} do
      c:send("n = 0 print 'begun' while true do n = n + 1 pcall(function() "
        .. body .. " end) end\n")
      c:expect "begun\n"
      c:send "\3"
      green.sleep(0.1)
      c:send "\3"
      c:expect "> "
    end
    assert.equal("true\n", c:command "n > 1")
  end))

  it("may be caught, once, by a command that goes on", session(function(c)
    c:send "print 'begun' print(pcall(green.sleep, 60)) print 'after'\n"
    c:expect "begun\n"
    c:send "\3"
    assert.equal("false\tinterrupted!\nafter\n> ", c:expect "> ")
  end))

  it("drops a chunk that is not complete, and what was typed ahead",
    session(function(c)
      c:send "for i = 1, 2 do\n"
      c:expect ">> "
      c:send "\3"
      c:expect "> "
      assert.equal("1\n", c:command "1")
      c:send "print 'begun' green.sleep(60)\nprint 'typed ahead'\n"
      c:expect "begun\n"
      c:send "\3"
      assert.is_nil(c:expect("> "):find "typed ahead")
      assert.equal("2\n", c:command "2")
    end))
end)

describe("a session ends", function()
  for _, way in ipairs {"exit()\n", "quit()\n", "\4", IAC .. "\236",
                        "pcall(exit)\n",
                        "green.spawn(exit)\n", "while true do exit() end\n"} do
    it(("by %q, and nothing else does"):format(way), function()
      local door <close> = open()
      local c <close> = greeted(door)
      local d <close> = greeted(door)
      c:send(way)
      assert.is_nil(c:rest():find "traceback")
      assert.equal("1\n", d:command "1")
      assert.equal("blocked", door.server:status())
    end)
  end

  it("when the client leaves in the middle of a command, which is killed",
    function()
      local _ <close> = short_grace()
      for _, body in ipairs {"green.sleep(60)", "while true do end",
                             "while true do pcall(green.sleep, 1) end"} do
        local locals = {}
        local door <close> = open {locals = locals}
        locals.started = green.event()
        local before = threads()
        do
          local c <close> = greeted(door)
          c:send("started:send() " .. body .. "\n")
          assert.is_true(locals.started:wait(5))
        end
        help.wait_until(function() return threads() <= before end, body)
        local d <close> = greeted(door)
        assert.equal("1\n", d:command "1")
      end
    end)

  it("after what was sent, when the client closes its sending side only",
    function()
      local door <close> = open {banner = ""}
      local c <close> = client(door)
      c:send "print(1)\ngreen.sleep(0.05)\nprint(2)\n"
      c.conn:shutdown "send"
      assert.equal("> 1\n> > 2\n> ", c:rest())
    end)

  it("when more is typed ahead than can be kept", function()
    local door <close> = open()
    local c <close> = greeted(door)
    c:send "print 'begun' green.sleep(60)\n"
    c:expect "begun\n"
    local flood <close> = green.spawn(function()
      while c.conn:send(("x"):rep(65536)) do end
    end)
    assert.matches("too much is typed ahead", c:rest())
    assert.is_true((flood:join(10)))
  end)

  it("without leaving a thread, a timer or a kept stack", function()
    local door <close> = open()
    help.leaves_nothing(function()
      for _ = 1, 20 do
        local c <close> = greeted(door)
        c:command "1"
        c:send "exit()\n"
        c:rest()
      end
    end)
  end)
end)

describe("the helpers", function()
  it("list the threads: what each waits for, and since when",
    session(function(c)
      local t <close> = green.spawn(green.sleep, 60)
      t.name = "sleeper"
      local u <close> = green.spawn(t.join, t)
      green.sleep(0.1)
      local text = c:command "ps()"
      assert.matches("\n *" .. t.id .. "  blocked +0%.%d s  sleep +sleeper",
        text)
      assert.matches("\n *" .. u.id .. "  blocked +0%.%d s  thread:join #"
        .. t.id, text)
      assert.matches("running +- +- +backdoor command", text)
    end))

  it("show the traceback of a thread, and kill one", session(function(c)
    local function wait_here() green.sleep(60) end
    local t <close> = green.spawn(function() wait_here() end)
    green.sleep(0)
    assert.matches("in upvalue 'wait_here'", c:command("bt(" .. t.id .. ")"))
    assert.equal("true\n", c:command("kill(" .. t.id .. ")"))
    local ok, err = t:join()
    assert.is_false(ok)
    assert.equal("killed: by a backdoor session", tostring(err))
    assert.equal("nil\tno green thread #" .. t.id .. "\n",
      c:command("kill(" .. t.id .. ")"))
    assert.equal("nil\tno green thread #x\n", c:command "bt 'x'")
  end))

  it("are listed by help()", session(function(c)
    local text = c:command "help()"
    for _, name in ipairs {"ps()", "bt(id)", "kill(id)", "exit()"} do
      assert.matches(name, text, 1, true)
    end
  end))
end)

describe("a backdoor's server", function()
  it("refuses what is no listener", function()
    for _, bad in ipairs {"x", 1, {}} do
      local ok, err = pcall(green.backdoor.server, bad)
      assert.is_false(ok)
      assert.matches("#1 to 'server' (listener expected", err, 1, true)
    end
  end)
end)

describe("who may enter", function()
  it("only this machine, unless the program says otherwise", function()
    local l <close> = assert(green.listen("0.0.0.0", 0))
    local ok, err = pcall(green.backdoor.server, l)
    assert.is_false(ok)
    assert.matches("0.0.0.0 is open to other machines", err, 1, true)
    assert.matches("anywhere = true", err, 1, true)
    local t <close> = green.spawn(green.backdoor.server, l, {anywhere = true})
    help.blocked(t)
    local six = green.listen("::1", 0)
    if six then
      local u <close> = green.spawn(green.backdoor.server, six)
      help.blocked(u)
      six:close()
    end
  end)

  it("by a Unix socket, whose file is the owner's", function()
    local path = os.tmpname()
    os.remove(path)
    local l <close> = assert(green.listen("unix:" .. path, nil,
      {mode = tonumber("600", 8)}))
    local t <close> = green.spawn(green.backdoor.server, l)
    local p = io.popen("ls -l " .. path)
    assert.matches("^srw%-%-%-%-%-%-%-", p:read "a")
    p:close()
    local c <close> = setmetatable({seen = "",
      conn = assert(green.connect("unix:" .. path))}, Client)
    c:expect "> "
    assert.equal("2\n", c:command "1 + 1")
    help.blocked(t)
  end)

  it("with the token, when there is one; it is not to be shown", function()
    local door <close> = open {token = "s3cret"}
    local c <close> = client(door)
    assert.equal("\255\251\1token: ", c:expect "token: ")
    c:send "\255\253\1"
    c:send "guess\r\0"
    c:expect "wrong; token: "
    c:send "s3cret\r\n"
    assert.matches("^\255\252\1\r\n", c:expect "> ")
    assert.equal("1\n", c:command "1")
  end)

  it("not after three wrong tokens, whatever comes with them", function()
    local door <close> = open {token = "s3cret"}
    for _, text in ipairs {"a\nb\ns3cre\ns3cret\nprint 'in'\n", "\4", "\3"} do
      local c <close> = client(door)
      c:expect "token: "
      c:send(text)
      assert.is_nil(c:rest():find("> ", 1, true))
    end
  end)

  it("options are checked by name and type", function()
    local l <close> = assert(green.listen("127.0.0.1", 0))
    for _, case in ipairs {{{tokn = "x"}, "unknown option 'tokn'"},
                           {{token = 5}, "bad option 'token'"},
                           {{token = ""}, "empty token"}, {5, "#2"}} do
      local ok, err = pcall(green.backdoor.server, l, case[1])
      assert.is_false(ok)
      assert.matches(case[2], err, 1, true)
    end
  end)

  it("a session may run on any connection", function()
    local l <close> = assert(green.listen("127.0.0.1", 0))
    local _, port = l:getsockname()
    local c <close> = client {port = port}
    local t = green.spawn(green.backdoor.session, l:accept())
    c:expect "> "
    assert.equal("1\n", c:command "1")
    c:send "exit()\n"
    c:rest()
    assert.is_true((t:join()))
  end)
end)

describe("telnet's negotiation", function()
  it("is answered, and never reaches the chunk", session(function(c)
    -- WILL NAWS, DO SGA, WONT and DONT, a subnegotiation with IAC in it
    c:send "print(\255\251\31'a\255\253\3\255\252\24\255\254\5b'\255\250\31\0"
    c:send "\80\255\255\3\4\255"
    c:send "\240)\r\n"
    local text = c:expect "> "
    assert.matches("\255\254\31", text, 1, true)
    assert.matches("\255\252\3", text, 1, true)
    assert.matches("ab\n", text, 1, true)
    assert.equal("1\n", c:command "1")
  end))

  it("marks the time after an interrupt", session(function(c)
    c:send "print 'begun' green.sleep(60)\n"
    c:expect "begun\n"
    c:send "\255\244\255\253\6"
    c:expect "\255\251\6"
    c:expect "interrupted!"
  end))

  it("leaves doubled IACs and line ends right, packet by packet",
    session(function(c)
      for byte in ("#'\255\255'\r\0#'x'\r\n2 * 3\r4\n"):gmatch "." do
        c:send(byte)
        green.sleep(0.001)
      end
      assert.equal("1\n> 1\n> 6\n> 4\n> ", c:expect "4\n> ")
    end))

  it("answers a client that asks whether somebody is there",
    session(function(c)
      c:send "\255\246"
      c:expect "[yes]"
    end))
end)

describe("the real telnet", function()
  local function with_telnet(f, opts)
    return function()
      if terminal.missing "telnet" or terminal.missing "script" then
        pending "telnet and script are not installed"
        return
      end
      local door <close> = open(opts)
      local t <close> = terminal.run("telnet 127.0.0.1 " .. door.port)
      f(t)
      t:expect "Connection closed by foreign host"
    end
  end

  it("talks with a session, and its Ctrl-C reaches a command that computes",
    with_telnet(function(t)
      t:expect "exit() leaves."
      t:expect "> "
      t:type "6 * 7\r"
      t:expect "\n42\r\n> "
      t:type "for i = 1, 2 do\r"
      t:expect ">> "
      t:type "print('line', i) end\r"
      t:expect "\nline\t2\r\n> "
      t:type "print 'begun' while true do end\r"
      t:expect "\nbegun\r\n"
      t:type "\3"
      t:expect "interrupted!\r\nstack traceback:"
      t:expect "> "
      t:type "print 'after'\r"
      t:expect "\nafter\r\n> "
      t:type "exit()\r"
    end))

  it("does not show the token", with_telnet(function(t)
    t:expect "token: "
    t:type "s3cret\r"
    assert.is_nil(t:expect("> "):find "s3cret")
    t:type "'shown'\r"
    assert.matches("'shown'.*\nshown", t:expect "\nshown")
    t:expect "> "
    t:type "\4"
  end, {token = "s3cret"}))
end)

describe("nc", function()
  it("pipes lines in and takes all output", function()
    if terminal.missing "nc" then
      pending "nc is not installed"
      return
    end
    local door <close> = open {banner = ""}
    local out = os.tmpname()
    assert(os.execute(("printf '1 + 1\nprint(\"two\")\nexit()\n' | "
      .. "timeout 20 nc 127.0.0.1 %d >%s &"):format(door.port, out)))
    local text
    help.wait_until(function()
      local f = io.open(out)
      text = f:read "a"
      f:close()
      green.sleep(0.001)
      return #text >= 12
    end)
    os.remove(out)
    assert.equal("> 2\n> two\n> ", text)
  end)
end)
