-- green.listen, and wait_fd on a regular file, did not raise a pending
-- interruption on entry, as they never had to wait.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe("an expired timeout strikes on entry of", function()
  help.both(it, "listen", function()
    local to <close> = green.timeout(0)
    assert.is_false(pcall(green.sleep, 60))
    local ok, err = pcall(green.listen, "127.0.0.1", 0)
    assert.is_false(ok)
    assert.equal(to, err)
  end)

  it("wait_fd on a regular file", function()
    local file <close> = help.file("text", ".txt")
    local out = help.child([[
      local green = require "green"
      print(green.wait_fd(0, "r", 1))
      local to <close> = green.timeout(0)
      print(pcall(green.sleep, 60) or select(2, pcall(green.wait_fd, 0, "r")))
    ]], "<" .. file.path)
    assert.matches("^true\ntimeout: 0 s", out)
  end)
end)
