-- Reports of errors were written to stderr synchronously: a pipe that nobody
-- reads froze the program, and a peer's bytes controlled the terminal.

--- Runs a program in a process of its own. Its stderr goes into `reader`, a
--- command, in which %s is a file that goes when the program has ended. Returns
--- its stdout.
local function run(text, reader)
  local path = os.tmpname()
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
  local program = ("{ timeout 60 %s %s 2>&1 >&3 3>&-; rm %s; }"):format(
    require "spec.shell".lua, path, path)
  local pipe = io.popen("exec 3>&1; " .. program .. " | "
    .. reader:format(path))
  local out = pipe:read "a"
  pipe:close()
  return out
end

--- A reader that does not read.
local UNREAD <const> = "while [ -e %s ]; do sleep 0.1; done"

--- The text that a program writes to stderr.
local function stderr_of(text)
  return run(text, "cat >&3")
end

describe("a report", function()
  it("holds up nobody when nobody reads it, and the program ends", function()
    assert.equal("the others went on\n", run([[
      local green = require "green"
      for i = 1, 5000 do
        green.spawn(function() error(("x"):rep(1000)) end)
      end
      for _ = 1, 20 do green.dump() end
      green.sleep(0.05)
      print "the others went on"
      os.exit(0, true)
    ]], UNREAD))
  end)

  it("cannot steer the terminal, or pass for another one", function()
    local text = stderr_of [[
      local green = require "green"
      local peer = "\27]0;title\7\nluagreen: green thread #1 forged"
      local t = green.spawn(function() error(peer, 0) end)
      t.name = "\27[2J\nluagreen: name"
      green.sleep(0.01)
      green.spawn(function() green.sleep(9) end).name = "\155\27[31m"
      green.sleep(0)
      green.dump()
    ]]
    assert.is_nil(text:find "[^\n\t\32-\126]", text)
    assert.matches([[\x1b]0;title\x07]], text, 1, true)
    local n = 0
    for line in text:gmatch "[^\n]+" do
      if line:find "^luagreen: " then n = n + 1 end
    end
    assert.equal(1, n, text)
  end)

  it("is one of few in a flood, and the rest is counted", function()
    local text = stderr_of [[
      local green = require "green"
      for i = 1, 3000 do green.spawn_n(error, "number " .. i) end
      green.sleep(0.05)
    ]]
    local n = 0
    for _ in text:gmatch "failed: number" do n = n + 1 end
    assert.is_true(n >= 200 and n < 400, n)
    assert.equal(3000 - n,
      tonumber(text:match "luagreen: (%d+) more reports were dropped"))
  end)

  it("goes to the object that a program puts in the place of io.stderr",
    function()
      assert.equal("1\n", stderr_of [[
        local green = require "green"
        local lines, stderr = 0, io.stderr
        io.stderr = {write = function(_, text)
          if text:find "failed: on purpose" then lines = lines + 1 end
        end}
        green.spawn(error, "on purpose")
        green.sleep(0.01)
        stderr:write(lines, "\n")
      ]])
    end)

  it("leaves stderr's open file as it is", function()
    assert.equal("04000 is not set\n", run([[
      local green = require "green"
      for i = 1, 300 do
        green.spawn(function() error(("x"):rep(1000)) end)
      end
      green.sleep(0.05)
      for line in io.lines "/proc/self/fdinfo/2" do
        local flags = line:match "^flags:%s*(%d+)"
        if flags and tonumber(flags, 8) & 2048 == 0 then
          print "04000 is not set"
        end
      end
    ]], UNREAD))
  end)
end)
