--- A signal that ended `luagreen top` left the shell on its screen, without a
--- cursor, and typed keys were not shown.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"
local terminal = require "spec.terminal"

--- Shows the terminal's modes before and after, and the status. The file that
--- `script` writes begins with the command, which must not look like this.
local SCRIPT <const> = [[ulimit -c 0; echo "=""before $(stty -g) ."; ]]
  .. [[sh -c "echo =\"\"pid \$\$ .; exec env LUA=%s bin/luagreen top %s"; ]]
  .. [[echo "=""status $? ."; echo "=""after $(stty -g) ."]]

describe("luagreen top", function()
  for name, number in pairs {TERM = 15, HUP = 1, QUIT = 3} do
    it("gives the terminal back when SIG" .. name .. " ends it", function()
      if terminal.missing "script" or terminal.missing "stty" then
        return pending "needs script and stty"
      end
      local door <close> = terminal.backdoor()
      local term <close> = terminal.run(SCRIPT:format(shell.lua, door.path))
      local function word(before)
        term:expect(before)
        return term:expect " .":sub(1, -3)
      end
      local modes, pid = word "=before ", word "=pid "
      term:expect "sort c cpu"
      assert(os.execute(("kill -%s %s"):format(name, pid)))
      term:expect "\27[?25h\27[?1049l"
      term:expect(("=status %d ."):format(128 + number))
      assert.equal(modes, word "=after ")
    end)
  end
end)
