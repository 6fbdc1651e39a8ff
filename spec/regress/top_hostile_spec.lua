--- `luagreen top` showed what the other end sent, which could control the
--- terminal. An answer without an end took all time and memory.

local green = require "green"
local help = require "spec.help"
local shell = require "spec.shell"

--- What `luagreen top` prints about a service that answers so.
local function top_of(answer)
  local out <close> = help.file ""
  local listener = assert(green.listen("127.0.0.1", 0))
  local _, port = listener:getsockname()
  local server <close> = green.spawn(green.serve, listener, function(conn)
    conn:send "hello\n> "
    conn:receive "*l"
    answer(conn)
  end)
  os.execute(("(LUA=%s bin/luagreen top %d; echo over) >%s 2>&1 &"):format(
    shell.lua, port, out.path))
  local text = ""
  help.wait_until(function()
    green.sleep(0.001)
    local f <close> = assert(io.open(out.path))
    text = f:read "a"
    return text:find "over\n$"
  end, "its end")
  listener:close()
  local _ = server
  return text
end

local STATUS <const> = "\t1\t0.5\t1\t1\t1\t0.1\t0.1\t0.1\n"
local ROW <const> = "1\t\t0.5\t0.1\t1\t0.1\t0.1\t0.1\tready\t%s\tname\n"

describe("luagreen top, of a service that is hostile,", function()
  it("shows nothing that controls the terminal", function()
    local text = top_of(function(conn)
      conn:send("\27[31mluagreen" .. STATUS .. ROW:format "\27]0;x\7" .. "\n> ")
    end)
    assert.is_nil(text:find "[\27\7]")
    assert.matches("x1b%[31mluagreen", text)
    assert.matches("x1b%]0;x\\x07", text)
  end)

  it("takes numbers alone for numbers", function()
    for _, status in ipairs {"nan", "inf", "x", "1.5", ""} do
      local text = top_of(function(conn)
        conn:send("luagreen\t1\t0.5\t" .. status .. "\t1\t1\t0\t0\t0\n\n> ")
      end)
      assert.matches("no answer of a luagreen backdoor", text)
    end
  end)

  it("ends if the answer does not", function()
    local bytes = ("x"):rep(65536)
    local text = top_of(function(conn)
      while conn:send(bytes) do end
    end)
    assert.matches("its answer is too long", text)
  end)
end)
