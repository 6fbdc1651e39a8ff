--- A program that is stuck still tells what it does: by the dump signal, with
--- preemption or without, and by the watchdog.
---
--- SPDX-License-Identifier: MIT

local help = require "spec.help"

--- Starts a program of bin/luagreen that gets the signal after 0.1 s, unless it
--- is to be without.
local function start(p)
  local script = help.file(([[
    green.spawn(green.sleep, 60).name = "sleeper"
    local f = io.open "/proc/self/stat"
    local pid = f:read "n"
    f:close()
    io.stdout:setvbuf "no"
    print(pid)
    local t = green.spawn(function()
      green.sleep(0) -- main waits before the signal comes
      os.execute(("(sleep 0.1; kill %s %%d) >/dev/null 2>&1 &"):format(pid))
      %s
    end)
    t.name = "stuck"
    t:join()
  ]]):format(p.unsignalled and "-CONT" or "-USR1", p.text))
  p.path = script.path
  p.pipe = io.popen(("exec timeout -s KILL 60 bin/luagreen %s %s 2>&1"):format(
    p.option or "", script.path))
end

--- Reads until the line that p.till matches has come, and ends the program.
local function finish(p)
  local pid, lines = p.pipe:read "l", {}
  for line in p.pipe:lines() do
    lines[#lines + 1] = line
    if line:find(p.till) then os.execute("kill -9 " .. pid) end
  end
  local _, _, code = p.pipe:close()
  os.remove(p.path)
  return table.concat(lines, "\n"), code
end

--- Runs them, all at once. Returns their outputs, and their codes.
local function run_all(programs)
  local outputs, codes = {}, {}
  for _, p in pairs(programs) do start(p) end
  for name, p in pairs(programs) do outputs[name], codes[name] = finish(p) end
  return outputs, codes
end

describe("a program that is stuck in Lua code", function()
  local outputs

  setup(function()
    outputs = run_all {
      preempted = {till = "in [^\n]*'?spin'?", text = [[
        green.config {preempt = 0.02}
        local function spin() while true do end end
        spin()
      ]]},
      watched = {till = "held up all others", unsignalled = true, text = [[
        green.config {watchdog = 0.1}
        while true do end
      ]]},
    }
  end)

  it("dumps at once at the signal if preemption is on", function()
    local out = outputs.preempted
    assert.matches("^luagreen [%d.]+: dump of", out)
    assert.matches("#%d+ stuck: %w+\n", out)
    assert.matches("in [^\n]*'?spin'?", out)
  end)

  it("is named by the watchdog, with the place", function()
    assert.matches("stuck held up all others for [%d.]+ s, computing, at "
      .. "[^\n]+:%d+", outputs.watched)
  end)
end)

describe("the dump signal of luagreen, without preemption and watchdog",
  function()
    local outputs, codes

    setup(function()
      outputs, codes = run_all {
        lua = {till = "stuck: running", text = [[
          local function spin() while true do end end
          coroutine.wrap(spin)()
        ]]},
        call = {till = "never", text = [[
          os.execute "sleep 3"
          local function after() return 1 end
          after()
          green.sleep(0.01)
          os.exit(3)
        ]]},
        search = {till = "no dump for", text = [[
          local _ = ("a"):rep(3000):find(".-.-.-.-b")
        ]]},
        finalizer = {till = "no dump for", text = [[
          setmetatable({}, {__gc = function() while true do end end})
          collectgarbage()
        ]]},
        hook = {till = "no dump for", text = [[
          local hooked = 0
          debug.sethook(function() hooked = hooked + 1 end, "", 1000)
          while true do end
        ]]},
        off = {till = "no dump for", option = "--no-dump-signal",
          text = "while true do end"},
      }
    end)

    it("is a dump of code that computes, with the place", function()
      local out = outputs.lua
      assert.matches("had no turn for [%d.]+ s since the signal: "
        .. "#%d+ stuck computes\n", out)
      assert.matches("#%d+ sleeper: blocked in sleep", out)
      assert.matches("#%d+ stuck: running.-in function 'spin'", (out:gsub(
        "in function <[^\n]*>", "in function 'spin'")))
    end)

    it("names the thread while it is in a call that waits", function()
      local out = outputs.call
      assert.matches("^luagreen: no dump for 2 s: green thread #%d+ stuck is "
        .. "in a call of C that waits\n", out)
    end)

    it("is one dump, when the call is over", function()
      local out = outputs.call
      assert.matches("was in a call of C until now\n", out)
      assert.equal(1, (select(2, out:gsub("dump of", ""))))
    end)

    it("names the thread in a call or a finalizer that computes", function()
      for _, out in ipairs {outputs.search, outputs.finalizer} do
        assert.matches("green thread #%d+ stuck is in a call of C, or a "
          .. "finalizer, that computes$", out)
      end
    end)

    it("leaves a hook of the program's alone, and says so", function()
      assert.matches("green thread #%d+ stuck computes, with a hook of its own",
        outputs.hook)
    end)

    it("ends the program if it is turned off", function()
      assert.equal("", outputs.off)
      assert.equal(10, codes.off & 127)
    end)
  end)
