-- bin/luagreen: the stock interpreter's options, and a prompt that lets green
-- threads run.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"
local terminal = require "spec.terminal"

local LUAGREEN = io.popen("pwd"):read "l" .. "/bin/luagreen"

--- What a command line prints, both streams together, and its exit status.
local function run(arguments, input)
  local p = io.popen(("cd /tmp && printf '%%s' '%s' | %s %s 2>&1"):format(
    (input or ""):gsub("'", "'\\''"), LUAGREEN, arguments))
  local out = p:read "a"
  local _, _, code = p:close()
  return out, code
end

describe("luagreen with a script", function()
  it("runs it with green as a global, and arg as lua has it", function()
    local script <close> = help.file [[
      print(green == require "green", ...)
      print(arg[0]:match "%.lua$", arg[1], arg[2], #arg, arg[-1], arg[-2])]]
    local out, code = run("-W " .. script.path .. " a b")
    assert.equal("true\ta\tb\n.lua\ta\tb\t2\t-W\t" .. LUAGREEN .. "\n", out)
    assert.equal(0, code)
  end)

  it("cleans up what still runs at its end", function()
    local script <close> = help.file [[
      green.spawn(function()
        local _ <close> = setmetatable({}, {__close = function()
          green.shield(1, green.sleep, 0.01)
          print "closed"
        end})
        green.sleep(60)
      end)
      green.sleep(0)]]
    assert.equal("closed\n", (run(script.path)))
  end)

  it("prints an error with its traceback and exits with 1", function()
    local script <close> = help.file [[
      local function f() error "boom" end
      f()]]
    local out, code = run(script.path)
    assert.equal(1, code)
    assert.matches("^luagreen: [^\n]*:1: boom\nstack traceback:\n", out)
    assert.matches("in local 'f'", out)
    assert.matches("in main chunk", out)
    assert.is_nil(out:find "repl.lua")
    out, code = run("no/such/file.lua")
    assert.equal(1, code)
    assert.matches("luagreen: cannot open no/such/file.lua", out, 1, true)
  end)

  it("passes on an exit code", function()
    assert.equal(3, select(2, run "-e 'os.exit(3)'"))
    assert.equal(4, select(2, run
      "-e 'green.spawn(os.exit, 4, true) green.sleep(10)'"))
  end)

  it("takes -e, -l, -v, -, --, and lines of standard input", function()
    assert.equal("1\n2\n", (run "-e 'print(1)' -e 'print(2)'"))
    assert.equal("1\n", (run "-e'print(1)'"))
    assert.equal("true\n", (run "-l m=math -e 'print(m == math)'"))
    assert.matches("^luagreen %d+%.%d+%.%d+ .*Lua 5", (run "-v"))
    assert.equal("in\ta\n", (run("- a", "print('in', ...)")))
    assert.equal("in\n", (run("", "print('in', ...)")))
    local script <close> = help.file "print(...)"
    assert.equal("-e\n", (run("-- " .. script.path .. " -e")))
    assert.equal("set\tx\n", (run("-e 'print \"set\"' - x", "print(...)"))
      :gsub("^set\nx", "set\tx"))
  end)

  it("shows its options and its version when asked for them", function()
    for _, option in ipairs {"-h", "--help"} do
      local out, code = run(option)
      assert.equal(0, code)
      assert.matches("^usage: luagreen", out)
    end
    assert.equal((run("-v")), (run("--version")))
  end)

  it("refuses what it does not know", function()
    for _, option in ipairs {"-x", "-e", "-l", "-ix"} do
      local out, code = run(option)
      assert.equal(1, code)
      assert.matches("usage: luagreen", out, 1, true)
    end
  end)
end)

describe("the prompt of luagreen", function()
  it("reads chunks from a pipe with -i, and ends with it", function()
    local out, code = run("-i", "x = 5\nx\nfor i = 1, 2 do\nprint(i) end\n"
      .. "error 'e'\n_PROMPT = '? '\n1 + 1\n")
    assert.equal(0, code)
    assert.matches("> > 5\n> >> 1\n2\n> ", out, 1, true)
    assert.matches("luagreen: stdin:1: e\nstack traceback:", out, 1, true)
    assert.matches("%? 2\n%? \n$", out)
  end)

  it("lets threads run while it waits, and Ctrl-C interrupt a command",
    function()
      if terminal.missing "script" then
        pending "script is not installed"
        return
      end
      local t <close> = terminal.run(LUAGREEN)
      t:expect "> "
      t:type "do local t = green.spawn(function() green.sleep(0.05) "
      t:type "print('tick' .. 1) end) end\r"
      t:expect "tick1"
      for _, body in ipairs {"while true do end", "green.sleep(60)"} do
        t:type("print('be' .. 'gun') " .. body .. "\r")
        t:expect "begun"
        t:type "\3"
        t:expect "luagreen: interrupted!"
        t:expect "\n> "
      end
      t:type "half a line\3"
      t:expect "\n> "
      t:type "6 * 7\r"
      t:expect "\n42\r\n> "
      t:type "for i = 1, 2 do\r"
      t:expect "\n>> "
      t:type "\3"
      t:expect "\n> "
      t:type "os.exit(0, true)\r"
    end)

  it("finds the library wherever it is called from", function()
    if (os.getenv "BUILD" or "build") ~= "build" then
      pending "in a checkout it looks into build/"
      return
    end
    for _, command in ipairs {"cd bin && ./luagreen", "bin/luagreen",
                              "cd bin && " .. help.lua .. " luagreen",
                              "cd spec && ../bin/luagreen"} do
      local p = io.popen("env -u LUA_PATH -u LUA_CPATH sh -c '" .. command
        .. " -e \"print(green.type(green.current()))\"' 2>&1")
      assert.equal("thread\n", p:read "a")
      p:close()
    end
  end)
end)
