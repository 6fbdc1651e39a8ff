-- The first write to a pipe found no buffer, as the C library makes one at the
-- first byte, and so wrote to the descriptor; so did all that came after it.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local core = require "green.core"
local help = require "spec.help"
local terminal = require "spec.terminal"

describe("a patched write", function()
  setup(function() green.monkey_patch {io = true, os = true} end)
  teardown(function() green.monkey_patch(false) end)

  --- What the reader of a FIFO finds after each of these calls of a writer.
  local function seen(mode, ...)
    local path = os.tmpname()
    os.remove(path)
    assert(os.execute("mkfifo '" .. path .. "'"))
    local reader <close> = io.open(path, "r+")
    reader:setvbuf "no"
    local writer <close> = io.open(path, "w")
    os.remove(path)
    if mode then writer:setvbuf(mode) end
    local list = {}
    for i, text in ipairs {...} do
      assert(text == "FLUSH" and writer:flush() or writer:write(text))
      list[i] = ""
      while core.wait_fd(core.file_number(reader), "r", 0) do
        list[i] = list[i] .. reader:read(1)
      end
    end
    return list
  end

  it("fills the buffer of the file first, from the first byte on", function()
    assert.same({"", "", "ab"}, seen(nil, "a", "b", "FLUSH"))
  end)

  it("hands a line over at its end where the program says so", function()
    assert.same({"", "ab\n", ""}, seen("line", "a", "b\n", "c"))
  end)

  it("hands over each byte where the program says so", function()
    assert.same({"a", "b\n"}, seen("no", "a", "b\n"))
  end)

  it("shows a question before the answer is read", function()
    if terminal.missing "script" then pending "script" end
    local name = os.tmpname()
    local file <close> = io.open(name, "w")
    file:write [[require "green".monkey_patch()
      io.write "name? "
      print("it is " .. io.read())
      io.write "again? "
      print("it is " .. io.read())]]
    file:flush()
    local t <close> = terminal.run(help.lua .. " " .. name)
    t:expect "name? "
    t:type "first\n"
    t:expect "it is first"
    t:expect "again? "
    t:type "second\n"
    t:expect "it is second"
    os.remove(name)
  end)

  it("leaves stderr without a buffer", function()
    local out = io.popen(help.lua .. [[ -e '
      require "green".monkey_patch()
      io.stderr:write "one "
      os.execute "printf two >&2"' 2>&1]])
    assert.equal("one two", out:read "a")
    out:close()
  end)
end)

describe("patched functions of io and os", function()
  setup(function() green.monkey_patch {io = true, os = true} end)
  teardown(function() green.monkey_patch(false) end)

  it("have the library's names in errors", function()
    local ok, err = pcall(os.execute, {})
    assert.is_false(ok)
    assert.matches("to 'os.execute'", err, 1, true)
  end)

  it("take as many formats as the library", function()
    local p <close> = io.popen "true"
    local ok, err = pcall(p.lines, p, table.unpack({}, 1, 251))
    assert.is_false(ok)
    assert.matches("bad argument #251 to 'lines' (too many arguments)", err, 1,
      true)
    assert.is_function(p:lines(table.unpack({}, 1, 250)))
  end)
end)
