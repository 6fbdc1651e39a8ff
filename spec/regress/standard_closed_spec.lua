-- A program without stdin, stdout or stderr was aborted by libuv when the hub
-- closed: a descriptor of the loop's had a number below 3. Without the first
-- two it wrote into one of ours, and hung.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"

describe("a program without a standard descriptor", function()
  local function exits(code, closed)
    local _, how, number = os.execute(("timeout 20 %s -e '%s' >/dev/null %s")
      :format(help.lua, code, closed))
    return how .. " " .. number
  end

  for _, closed in ipairs {"<&-", ">&-", "2>&-", "<&- >&-",
                           "<&- >&- 2>&-"} do
    it("ends as others do: " .. closed, function()
      assert.equal("exit 5", exits([[
        local green = require "green"
        green.sleep(0.001)
        os.exit(5, true)]], closed))
      assert.equal("exit 5", exits([[
        require "green".monkey_patch()
        io.write(1)
        print(2)
        require "green".sleep(0.001)
        os.exit(5)]], closed))
    end)
  end

  it("has none of ours in its place", function()
    local said = io.popen(help.lua .. [[ -e '
      require "green".sleep(0.001)
      io.stderr:write(tostring(io.open "/proc/self/fd/0"))' 2>&1 <&-]])
    assert.equal("nil", said:read "a")
    said:close()
  end)
end)
