--- `luagreen top` erased the rest of each line behind its text. Where a line
--- was full, the cursor is still on its last character, which went too.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"
local terminal = require "spec.terminal"

describe("luagreen top", function()
  it("erases nothing behind a line", function()
    if terminal.missing "script" or terminal.missing "stty" then
      return pending "needs script and stty"
    end
    local door <close> = terminal.backdoor()
    local term <close> = terminal.run("stty rows 12 cols 30; LUA="
      .. shell.lua .. " bin/luagreen top " .. door.path)
    local text = term:expect "sort c cpu s switches b blocke"
    assert.matches("\27%[Ksort c cpu", text)
    assert.equal("\r", term:expect "\r")
    term:type "q"
    term:expect "\27[?1049l"
  end)
end)
