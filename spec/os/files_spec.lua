-- io and os on green threads: they return the results of the stock functions,
-- and only the calling thread waits.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local terminal = require "spec.terminal"

before_each(function() green.monkey_patch {io = true, os = true} end)
after_each(function() green.monkey_patch(false) end)

--- Runs f while another thread counts its turns; returns f's results. Time
--- passes only for a command that waits for us, so the number is no matter of
--- luck: f must have let the other run at least once.
local function beside(f, ...)
  local n = 0
  local t <close> = green.spawn(function()
    while true do
      n = n + 1
      green.sleep(0.001)
    end
  end)
  local results = table.pack(f(...))
  assert(t:status() ~= "failed")
  assert.is_true(n > 0, "nobody else ran")
  return table.unpack(results, 1, results.n)
end

--- A FIFO, both ends of which can be opened by name.
local function fifo()
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute("mkfifo '" .. path .. "'"))
  return setmetatable({path = path},
    {__close = function(self) os.remove(self.path) end})
end

--- A handle whose command goes on when `go` is called: it waits for a FIFO.
local function waiting(command, mode)
  local gate = fifo()
  local o = {p = assert(io.popen(("read x <'%s'; %s"):format(gate.path,
    command), mode))}
  function o.go()
    local f = assert(io.open(gate.path, "w"))
    f:write "go\n"
    f:close()
  end
  return setmetatable(o, {__close = function()
    if io.type(o.p) == "file" then o.p:close() end
    os.remove(gate.path)
  end})
end

local function contents(path)
  local f <close> = io.open(path)
  return f and f:read "a"
end

--- Children of this process that have ended and were not waited for.
local function zombies()
  local n = 0
  local self = contents "/proc/self/stat":match "^%d+"
  local list = contents(("/proc/self/task/%s/children"):format(self)) or ""
  for pid in list:gmatch "%d+" do
    local stat = contents("/proc/" .. pid .. "/stat") or ""
    if stat:find "%) Z " then n = n + 1 end
  end
  return n
end

---------------------------------------------------------- as in the book --

--- Each prints what it gets; stock and patched must print the same.
local SAME <const> = {
  {"read formats", [[
    local p = io.popen "printf ' 12 0x1F\n-3.5e1zz\nline\n\n  last'"
    print(p:read("n", "n", "n"))
    print(p:read("l", "L", "*l"))
    print(p:read(0), p:read(3), p:read("a"))
    print(p:read("a"), p:read("l"), p:read("n"), p:read(1), p:read(0))
    print(p:close())]]},
  {"numbers", [[
    for _, text in ipairs {"0x", "0x.8p1", "1e", "1e+5", ".5", ".", "-", "+7",
      "0x1p-2", "1..2", "12abc", "inf", "nan", ("9"):rep(199),
      ("9"):rep(201), ("0"):rep(300), "1e5000", "9223372036854775808"} do
      local p = io.popen("printf '" .. text .. " rest'")
      print(text, p:read("n"))
      print(p:read("a"))
    end]]},
  {"lines", [[
    for l in io.popen("printf 'a\nb\n\nc'"):lines() do print(l) end
    for l in io.popen("printf 'a\nb\n\nc'"):lines("L") do print(l) end
    for a, b in io.popen("printf abcde"):lines(2, 1) do print(a, b) end
    for l in io.popen("printf 'x\0y\nz'"):lines() do print(#l) end
    for n in io.popen("echo 1 2 3 x"):lines("n") do print(n) end
    local p = io.popen "echo a"
    local f = p:lines()
    p:close()
    print(pcall(f))]]},
  {"close and its results", [[
    print(io.popen("exit 0"):close())
    print(io.popen("exit 7"):close())
    print(io.popen("kill -9 $$"):close())
    print(io.close(io.popen "exit 3"))
    print(io.popen("no-such-command-anywhere 2>/dev/null"):close())
    local w = io.popen("cat >/dev/null; exit 5", "w")
    print(w:write("some") == w, w:close())]]},
  {"types and misuse", [[
    local p = io.popen "true"
    print(io.type(p), type(p), tostring(p):match "^file %(0x")
    print(p:seek())
    p:close()
    print(io.type(p), tostring(p))
    print(pcall(function() p:read() end))
    print(pcall(function() p:write "x" end))
    print(pcall(function() p:close() end))
    print(pcall(function() io.popen("x", "q") end))
    print(pcall(function() io.popen() end))
    print(pcall(function() io.popen({}) end))
    print(pcall(function() os.execute({}) end))
    local q = io.popen "cat"
    print(pcall(function() q:read("x") end))
    print(pcall(function() q:read({}) end))
    print(pcall(function() q:read(1.5) end))
    print(q:write "x")
    local w = io.popen("cat", "w")
    print(w:read())
    print(pcall(function() w:write({}) end))
    w:close()]]},
  {"writing", [[
    local w = io.popen("od -An -c | tr -s ' '", "w")
    w:write("a", 1, 2.5, 1e100, 2^53, -0.0, "\0", ""):write("b\n")
    print(w:flush() and true)
    w:setvbuf("no") w:write("c")
    w:setvbuf("line") w:write("d\ne")
    w:setvbuf("full", 10) w:write(("f"):rep(35))
    print(w:close())
    io.stdout:write("x"):write("y\n")
    io.write("z", 3, "\n")
    print(io.write() == io.stdout)]]},
  {"os.execute", [[
    print(os.execute "exit 0") print(os.execute "exit 9")
    print(os.execute "kill -15 $$") print(os.execute())
    print(os.execute "true" == true, os.execute(nil))]]},
  {"defaults", [[
    local p = io.popen "printf '1 2\nthree\nfour\n5'"
    print(io.input(p) == p)
    print(io.read("n", "n"), io.read(), io.read("L"))
    for l in io.lines() do print(l) end
    print(io.read("a"), io.read("a"), io.read())
    local w = io.popen("cat", "w")
    io.output(w) io.write("to cat\n") print(io.close())
    io.output(io.stdout)
    print(pcall(io.close))
    print(io.type(io.stdin))]]},
  {"to-be-closed handles", [[
    do local p <close> = io.popen "echo x" print(p:read()) end
    local p2 do local p <close> = io.popen "sleep 0" p2 = p end
    print(io.type(p2))]]},
  {"files on disk", [[
    local name = os.tmpname()
    local f = io.open(name, "w")
    print(f:write("a\nb\n", 3, "\n") == f, f:seek("cur"), f:close())
    for l in io.lines(name) do print(l) end
    print(pcall(io.lines, "/no/such/file"))
    print(io.open("/no/such/file"))
    print(pcall(io.open, name, "zz"))
    f = io.open(name, "r+") print(f:read("a")) f:seek("set", 0) f:write("A")
    f:close() print(io.open(name):read("a"))
    print(pcall(io.output, "/no/such/dir/file"))
    print(io.popen("cat " .. name):read("a"))
    os.remove(name)]]},
  {"what is buffered before a command", [[
    local name = os.tmpname()
    local f = io.open(name, "w") f:write("not flushed")
    print(io.popen("cat " .. name):read("a"))
    io.write("before ") io.popen("printf child", "w"):close() print(" after")
    os.remove(name)]]},
  {"one that writes a lot", [[
    local p = io.popen "head -c 300000 /dev/zero | tr '\\0' x"
    print(#p:read(1), #p:read(70000), #p:read("a"))
    local w = io.popen("wc -c", "w")
    for i = 1, 10 do w:write(("x"):rep(30000)) end
    print(w:close())]]},
}

--- Places and addresses differ, and may.
local function plain_text(out)
  return (out:gsub("0x%x+", "0x"):gsub("/tmp/lua_%w+%.?%w*:?%d*", "PLACE"))
end

describe("io and os, patched,", function()
  for _, case in ipairs(SAME) do
    it("return what the stock ones do: " .. case[1], function()
      local stock = help.child(case[2])
      local patched = help.child("require 'green'.monkey_patch() " .. case[2])
      assert.equal(plain_text(stock), plain_text(patched))
      -- In a green thread, too, that may leave its stack.
      local threaded = help.child([[
        local green = require 'green'
        green.monkey_patch()
        green.config {keep_stacks = 0}
        green.spawn(function() ]] .. case[2] .. [[ end):wait()]])
      assert.equal(plain_text(stock), plain_text(threaded))
    end)
  end

  it("leave the originals where they are when they are undone", function()
    local out = help.child [[
      local green = require "green"
      local before, methods = {}, {}
      for k, v in pairs(io) do before[k] = v end
      for k, v in pairs(getmetatable(io.stdout).__index) do methods[k] = v end
      local execute, print0 = os.execute, print
      green.monkey_patch()
      assert(io.popen ~= before.popen and os.execute ~= execute)
      assert(green.monkey_patch().io.popen == before.popen)
      assert(green.monkey_patch().os.execute == execute)
      local p = io.popen "echo one; echo two"
      p:read(1)
      local w = io.popen("cat", "w")
      green.monkey_patch(false)
      for k, v in pairs(io) do assert(before[k] == v, k) end
      for k, v in pairs(getmetatable(io.stdout).__index) do
        assert(methods[k] == v, k)
      end
      assert(os.execute == execute and print == print0)
      -- A handle loses no bytes.
      assert(p:read() == "ne" and p:read("a") == "two\n")
      assert(p:close())
      w:write "by the stock method\n"
      print(w:close())
    ]]
    assert.equal("by the stock method\ntrue\texit\t0\n", out)
  end)

  it("tell of functions that were captured", function()
    local out = help.child [[
      local green = require "green"
      local popen, method = io.popen, io.stdout.write
      for _, e in ipairs(green.monkey_patch {io = true}) do
        print(e.what, e.variable)
      end
    ]]
    assert.equal("io.popen\tpopen\nfile:write\tmethod\n", out)
  end)

  it("may be used where blocking is refused, as the stock ones", function()
    local out = help.child [[
      require "green".monkey_patch()
      setmetatable({}, {__gc = function()
        local p = io.popen "echo in a finalizer"
        print(p:read(), p:close())
        print(os.execute "exit 4")
      end})
      collectgarbage()
    ]]
    assert.equal("in a finalizer\ttrue\texit\t0\nnil\texit\t4\n", out)
  end)
end)

------------------------------------------------------ only one waits --

describe("a green thread waits alone", function()
  help.both(it, "in a read of a handle", function()
    local o <close> = waiting "echo text; exit 2"
    local t = green.spawn(function() return o.p:read() end)
    help.blocked(t)
    o.go()
    assert.equal("text", beside(t.wait, t))
    assert.same({nil, "exit", 2}, {o.p:close()})
  end)

  help.both(it, "in a write to a pipe that is full", function()
    local o <close> = waiting("cat >/dev/null", "w")
    local t = green.spawn(function()
      return o.p:write(("x"):rep(200000)) == o.p
    end)
    help.blocked(t)
    o.go()
    assert.is_true(beside(t.wait, t))
  end)

  help.both(it, "in close, until the command has ended", function()
    local o <close> = waiting "exit 3"
    local t = green.spawn(function() return o.p:close() end)
    help.blocked(t)
    assert.equal("closed file", io.type(o.p))
    assert.error_matches(function() o.p:close() end, "closed file")
    o.go()
    assert.same({nil, "exit", 3}, {t:wait()})
  end)

  help.both(it, "in os.execute", function()
    local gate <close> = fifo()
    local t = green.spawn(os.execute, ("read x <'%s'; exit 5"):format(
      gate.path))
    help.blocked(t)
    local f = assert(io.open(gate.path, "w"))
    f:close()
    assert.same({nil, "exit", 5}, {t:wait()})
  end)

  it("in opening a FIFO, at both ends", function()
    local f <close> = fifo()
    local reader = help.blocked(green.spawn(function()
      local file <close> = assert(io.open(f.path))
      return file:read "a"
    end))
    local w = assert(io.open(f.path, "w"))
    assert.equal("file", io.type(w))
    w:write("through", "\n")
    w:close()
    assert.equal("through\n", reader:wait())
    local lines = help.blocked(green.spawn(function()
      local list = {}
      for line in io.lines(f.path) do list[#list + 1] = line end
      return list
    end))
    w = assert(io.open(f.path, "a"))
    w:write "1\n2"
    w:close()
    assert.same({"1", "2"}, lines:wait())
    local missing = {io.open(f.path .. "/x")}
    assert.equal(20, missing[3])
  end)

  it("in io.read from a pipe", function()
    local out = help.child([[
      local green = require "green"
      green.monkey_patch()
      local p = io.popen("sleep 0.02; echo line; sleep 0.02; echo 42")
      io.input(p)
      local n = 0
      local t <close> = green.spawn(function()
        while true do green.sleep(0.001) n = n + 1 end
      end)
      print(io.read(), io.read("n"), n > 1)
    ]])
    assert.equal("line\t42\ttrue\n", out)
  end)

  it("in io.stdin:read, io.lines and a write to a full stdout", function()
    -- The feeder waits for one gate and the reader for the other: only another
    -- thread can open them.
    local feed <close> = fifo()
    local drain <close> = fifo()
    local script <close> = help.file [[
      local green = require "green"
      green.monkey_patch()
      local function open_later(path)
        return green.spawn(function()
          green.sleep(0.002)
          io.open(path, "w"):close()
        end)
      end
      local t <close> = open_later(arg[1])
      local first = io.stdin:read()
      for line in io.lines() do first = first .. line end
      local t2 <close> = open_later(arg[2])
      io.write(("x"):rep(100000))
      t2:wait()
      print(first)
    ]]
    local p = io.popen(([[
      (read x <'%s'; echo a; echo b; echo c) | %s %s '%s' '%s' |
      (read x <'%s'; cat)]]):format(feed.path, help.lua, script.path,
      feed.path, drain.path, drain.path))
    local out = p:read "a"
    p:close()
    assert.equal(("x"):rep(100000) .. "abc\n", out)
  end)
end)

describe("a terminal that is stopped", function()
  local STOP <const>, GO <const> = "\x13", "\x11"

  for _, call in ipairs {"print(text)", "io.write(text, '\\n')",
                         "io.stdout:write(text, '\\n')"} do
    it("holds up one thread alone, in " .. call, function()
      if terminal.missing "script" then pending "script" end
      local note <close> = help.file ""
      local script <close> = help.file(([[
        local green = require "green"
        green.monkey_patch()
        print "begin"
        local text = io.read() .. " is shown"
        local t = green.spawn(function() %s end)
        repeat green.sleep(0.001) until t:status() == "blocked"
        local f = io.open("%s", "w")
        f:write("others run in " .. t:blocked().what)
        f:close()
        t:join()
        print "end"
      ]]):format(call, note.path))
      local t <close> = terminal.run("stty ixon; " .. help.lua .. " "
        .. script.path)
      t:expect "begin"
      t:type(STOP .. "it\n")
      help.wait_until(function()
        green.sleep(0.001)
        return (contents(note.path) or ""):find "others run"
      end, "a note")
      t:type(GO)
      t:expect "it is shown"
      t:expect "end"
    end)
  end
end)

describe("what is there at once", function()
  local PIECES <const> = {" ", "\n", "\n", "12", "0x1F", "-3.5e2", "1e", "a",
    "some words", "\0", ("9"):rep(250), ("x"):rep(1500), "\n\n", "7 8 9\n"}
  local FORMATS <const> = {"l", "L", "n", "*l", 0, 1, 3, 700, 2.0, "l", "n",
    5000, 9000}

  local function some_of(list, n)
    local some = {}
    for i = 1, n do some[i] = list[math.random(#list)] end
    return some
  end

  --- Calls both; the second must return what the first did.
  local function same(disk, pipe, name, ...)
    local want, got = table.pack(disk[name](disk, ...)),
      table.pack(pipe[name](pipe, ...))
    if want[1] == disk then want[1], got[1] = 1, got[1] == pipe and 1 end
    assert.same(want, got)
  end

  it("is read from a pipe as from a disk", function()
    local file <close> = help.file(table.concat(some_of(PIECES, 300)))
    for _ = 1, 20 do
      local disk <close> = assert(io.open(file.path))
      local pipe <close> = io.popen("cat " .. file.path)
      repeat
        local formats = some_of(FORMATS, math.random(0, 3))
        same(disk, pipe, "read", table.unpack(formats))
      until not disk:read(0)
      assert.is_nil(pipe:read(0))
      disk:seek "set"
      local again <close> = io.popen("cat " .. file.path)
      local formats = some_of({"l", "L", 5, 2000}, math.random(0, 2))
      local next_one = again:lines(table.unpack(formats))
      for a, b in disk:lines(table.unpack(formats)) do
        assert.same({a, b}, {next_one()})
      end
      assert.is_nil(next_one())
    end
  end)

  for _, mode in ipairs {"full", "line", "no"} do
    it("is written to a pipe as to a disk, with the buffer " .. mode, function()
      local one <close> = help.file ""
      local other <close> = help.file ""
      local values = {1, -2.5, 1e100, math.maxinteger, "", "\n"}
      for _, piece in ipairs(PIECES) do values[#values + 1] = piece end
      local disk = assert(io.open(one.path, "w"))
      local pipe = io.popen("cat >" .. other.path, "w")
      same(disk, pipe, "setvbuf", mode)
      for _ = 1, 400 do
        same(disk, pipe, "write", table.unpack(some_of(values,
          math.random(0, 5))))
        if math.random(50) == 1 then same(disk, pipe, "flush") end
      end
      disk:close()
      pipe:close()
      assert.equal(contents(one.path), contents(other.path))
    end)
  end

  --- A pipe with lines in the buffer of the handle.
  local function lines_there()
    local p = io.popen "seq 1000"
    assert.equal("1", p:read())
    return p
  end

  help.both(it, "gives the others turns all the same", function()
    local done = false
    local turns = 0
    for name, f in pairs {
      read = function() local p <close> = lines_there()
        while p:read() do end end,
      lines = function() local p <close> = lines_there()
        for _ in p:lines() do end end,
      write = function()
        local p <close> = io.popen("cat >/dev/null", "w")
        for _ = 1, 1000 do p:write "x" end
      end,
    } do
      local t = green.spawn(f)
      local other <close> = green.spawn(function()
        while not done do
          turns = turns + 1
          green.sleep(0)
        end
      end)
      turns = 0
      t:wait()
      assert.is_true(turns >= 10, name)
      other:kill()
    end
  end)

  help.both(it, "is not taken by a thread that is killed", function()
    local p <close> = lines_there()
    local next_line = p:lines()
    for _, f in ipairs {
      function() p:read() end, function() next_line() end,
      function() io.input(p) io.read() end,
    } do
      local t = green.spawn(function()
        green.current():kill()
        f()
      end)
      t:join()
      assert.equal("killed", t:status())
    end
    io.input(io.stdin)
    assert.equal("2", p:read())
  end)
end)

describe("threads that share a file", function()
  it("read whole lines, each in its turn", function()
    local o <close> = waiting "printf 'one\\ntwo\\nthree\\n'"
    local got = {}
    local list = {}
    for i = 1, 3 do
      list[i] = green.spawn(function() got[i] = o.p:read() end)
    end
    help.blocked(table.unpack(list))
    o.go()
    for _, t in ipairs(list) do t:wait() end
    assert.same({"one", "two", "three"}, got)
  end)

  it("write whole texts, each in its turn", function()
    local o <close> = waiting("tr -s abc >/dev/null", "w")
    local list = {}
    for i, letter in ipairs {"a", "b", "c"} do
      list[i] = green.spawn(function() o.p:write(letter:rep(70000), "\n") end)
    end
    help.blocked(table.unpack(list))
    o.go()
    for _, t in ipairs(list) do t:wait() end
    assert.is_true((o.p:close()))
  end)

  it("write no short text into a long one", function()
    local file <close> = help.file ""
    local o <close> = waiting("cat >" .. file.path, "w")
    local long = help.blocked(green.spawn(function()
      o.p:write(("a"):rep(200000), "\n")
    end))
    local short = help.blocked(green.spawn(function() o.p:write "b\n" end))
    o.go()
    long:wait()
    short:wait()
    o.p:close()
    assert.equal(("a"):rep(200000) .. "\nb\n", contents(file.path))
  end)

  it("read in the order in which they came", function()
    local o <close> = waiting "seq 10"
    local got = {}
    local function reader(name)
      return help.blocked(green.spawn(function()
        for _ = 1, 2 do
          local line = o.p:read()
          got[#got + 1] = name .. line
        end
      end))
    end
    local a, b = reader "a", reader "b"
    o.go()
    a:wait()
    b:wait()
    assert.same({"a1", "b2", "a3", "b4"}, got)
  end)

  it("are told when another closes it", function()
    local o <close> = waiting "echo late"
    local t = help.blocked(green.spawn(function()
      return pcall(o.p.read, o.p)
    end))
    green.spawn(o.go)
    o.p:close()
    local ok, err = t:wait()
    assert.is_false(ok)
    assert.matches("attempt to use a closed file", err)
  end)
end)

------------------------------------------------------------ interrupted --

describe("an interruption", function()
  help.both(it, "of a read loses nothing", function()
    local gate <close> = fifo()
    local p <close> = io.popen(([[
      printf 'begin'; read x <'%s'; echo ' end'; echo 1 2]]):format(gate.path))
    assert.equal("b", p:read(1))
    for _, format in ipairs {"l", "L", "a", 100} do
      assert.same({nil, "timeout"},
        {green.with_timeout(0.01, p.read, p, format)})
      local t = help.blocked(green.spawn(p.read, p, format))
      t:kill()
      t:join()
    end
    io.open(gate.path, "w"):close()
    assert.equal("egin end", p:read())
    assert.same({1, 2}, {p:read("n", "n")})
    local q <close> = io.popen(
      ("printf ' 123'; read x <'%s'; echo 45"):format(gate.path))
    assert.same({nil, "timeout"}, {green.with_timeout(0.01, q.read, q, "n")})
    io.open(gate.path, "w"):close()
    assert.equal(12345, q:read "n")
  end)

  it("of a read of more than the buffer holds loses nothing", function()
    local gate <close> = fifo()
    local p <close> = io.popen(("seq 1500; read x <'%s'; seq 1501 3000"):format(
      gate.path))
    assert.equal("1", p:read())
    local t = help.blocked(green.spawn(p.read, p, 10000))
    assert.same({nil, "timeout"}, {green.with_timeout(0.01, p.read, p, 10000)})
    t:kill()
    t:join()
    io.open(gate.path, "w"):close()
    local text = p:read(6000) .. p:read "a"
    local n = 1
    for line in text:gmatch "%d+" do
      n = n + 1
      assert.equal(n, tonumber(line))
    end
    assert.equal(3000, n)
  end)

  it("of os.execute leaves the command to run, which is reaped", function()
    local gate <close> = fifo()
    local mark <close> = help.file ""
    local command = ("read x <'%s'; echo done >'%s'"):format(gate.path,
      mark.path)
    assert.same({nil, "timeout"},
      {green.with_timeout(0.01, os.execute, command)})
    io.open(gate.path, "w"):close()
    help.wait_until(function()
      local f <close> = assert(io.open(mark.path))
      return f:read() == "done"
    end)
    help.wait_until(function() return zombies() == 0 end, "no zombie")
  end)

  it("of close leaves the command to run, which is reaped", function()
    local o <close> = waiting "exit 0"
    assert.same({nil, "timeout"}, {green.with_timeout(0.01, o.p.close, o.p)})
    assert.equal("closed file", io.type(o.p))
    o.go()
    help.wait_until(function() return zombies() == 0 end, "no zombie")
  end)

  it("of close before all is written leaves the handle open", function()
    local o <close> = waiting("wc -c >/dev/null", "w")
    o.p:setvbuf("full", 1000)
    local t = help.blocked(green.spawn(function()
      o.p:write(("x"):rep(80000))
    end))
    t:kill()
    t:join()
    o.p:write "y"
    assert.same({nil, "timeout"}, {green.with_timeout(0.01, o.p.close, o.p)})
    assert.equal("file", io.type(o.p))
    o.go()
    assert.is_true((o.p:close()))
  end)

  it("is raised on entry by each of them", function()
    local o <close> = waiting "true"
    local tries = {
      function() o.p:read() end, function() o.p:lines()() end,
      function() io.popen "true" end, function() os.execute "true" end,
    }
    for _, f in ipairs(tries) do
      local went_on = false
      local t = green.spawn(function()
        green.current():kill "now"
        f()
        went_on = true
      end)
      t:join()
      assert.equal("killed", t:status())
      assert.is_false(went_on)
    end
    o.go()
  end)

  it("of an open FIFO closes what it would have got", function()
    local f <close> = fifo()
    assert.same({nil, "timeout"}, {green.with_timeout(0.01, io.open, f.path)})
    -- Its OS thread still opens: it is the other end of this, and hangs up.
    local w <close> = assert(io.open(f.path, "w"))
    assert.equal(w, w)
  end)
end)

describe("handles that nobody closes", function()
  it("let go of their command when they are collected, and block nobody",
    function()
      -- A FIFO each: a reader that is about to end lets a writer open one.
      local a <close> = fifo()
      local b <close> = fifo()
      local c <close> = fifo()
      for _, gate in ipairs {a, b, c} do
        io.popen(("read x <'%s'"):format(gate.path))
      end
      collectgarbage()
      collectgarbage()
      for _, gate in ipairs {a, b, c} do
        green.with_timeout(5, function()
          local f = io.open(gate.path, "w")
          f:write "x\n"
          f:close()
        end)
      end
      help.wait_until(function() return zombies() == 0 end, "no zombie")
    end)

  it("do not keep the program from ending", function()
    local out, how, code = help.child [[
      require "green".monkey_patch()
      P = io.popen "sleep 5 >/dev/null"
      print "at the end"
    ]]
    assert.same({"at the end\n", "exit", 0}, {out, how, code})
  end)

  it("do not leave descriptors", function()
    local function count()
      local n = 0
      for fd = 0, 200 do
        if contents("/proc/self/fdinfo/" .. fd) then n = n + 1 end
      end
      return n
    end
    count()
    collectgarbage()
    local before = count()
    for _ = 1, 20 do
      io.popen("true"):close()
      os.execute "true"
      io.popen("cat", "w")
    end
    collectgarbage()
    collectgarbage()
    help.wait_until(function() return count() <= before end, "no descriptor")
  end)
end)

describe("a command", function()
  it("has SIGPIPE, which libraries for sockets have ignored", function()
    local out = help.child [[
      require "socket" -- LuaSocket's
      require "green".monkey_patch()
      local ignored = io.popen "grep SigIgn /proc/self/status":read "a"
      print(tonumber(ignored:match "%x+$" or ignored:match "(%x+)%s*$", 16)
        & 0x1000)
    ]]
    assert.equal("0\n", out)
  end)
end)

describe("many commands", function()
  it("run at once", function()
    local gate <close> = fifo()
    local list = {}
    for i = 1, 20 do
      list[i] = green.spawn(function()
        local p <close> = io.popen(("echo %d; read x <'%s'; echo end"):format(
          i, gate.path))
        return p:read "n" == i and p:read "l" and p:read()
      end)
    end
    -- All 20 wait at the gate at the same time: nobody has opened it.
    help.blocked(table.unpack(list))
    local open = io.open(gate.path, "w")
    for _ = 1, 20 do open:write "\n" end
    open:flush()
    for _, t in ipairs(list) do assert.equal("end", t:wait()) end
    open:close()
  end)
end)

describe("import_patched", function()
  it("gives a module green handles while the program's io stays", function()
    local out = help.child [[
      local green = require "green"
      package.preload.mod = load([=[
        return {popen = io.popen, run = function(c)
          local p = io.popen(c)
          local text = p:read("a")
          return text, p:close()
        end, execute = function(c) return os.execute(c) end,
        same = io.stdout == require "io".stdout}]=])
      local popen, execute = io.popen, os.execute
      local mod = green.import_patched "mod"
      assert(io.popen == popen and os.execute == execute and mod.same)
      assert(mod.popen ~= popen)
      local n = 0
      local t <close> = green.spawn(function()
        while true do green.sleep(0.001) n = n + 1 end
      end)
      print(mod.run "sleep 0.03; echo text; exit 3")
      assert(n > 1) n = 0
      print(mod.execute "sleep 0.03; exit 4")
      assert(n > 1)
      local p = io.popen "echo stock"
      print(p:read(), p:close())
    ]]
    assert.equal("text\n\tnil\texit\t3\nnil\texit\t4\nstock\ttrue\texit\t0\n",
      out)
  end)
end)
