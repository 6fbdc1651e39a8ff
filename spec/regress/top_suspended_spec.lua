--- Ctrl-Z in `luagreen top` left the shell on top's screen without a cursor,
--- and after `fg` keys were echoed and did nothing. An answer to `k` hid the
--- list of keys until a sort.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local shell = require "spec.shell"
local terminal = require "spec.terminal"

describe("luagreen top", function()
  it("gives the terminal back while it is suspended, and its line of keys",
    function()
      if terminal.missing "script" or terminal.missing "stty" then
        return pending "needs script and stty"
      end
      local door <close> = terminal.backdoor()
      local sleeper <close> = green.spawn(green.sleep, 60)
      sleeper.name = "sleeper"
      local term <close> = terminal.run("env LUA=" .. shell.lua
        .. " bin/luagreen top " .. door.path)
      term:expect "sleeper"
      term:type "\26" -- a shell without jobs: nothing stops
      term:expect "\27[?25h\27[?1049l"
      term:expect "\27[?1049h\27[?25l"
      term:expect "sleeper"
      term:type "k0\r"
      term:expect "no green thread"
      term:expect "sleeper"
      term:type "\27[B"
      term:expect "sort c cpu"
      term:type "q"
      term:expect "\27[?1049l"
      local _ = sleeper
    end)
end)
