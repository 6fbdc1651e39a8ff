-- A peer that reset the connection in the middle looked like one that had sent
-- everything: receive, recv, lines and chunks ended with "closed".
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local RESET <const> = "connection reset by peer"

--- One end of a connection whose other end has sent `text` and was then reset.
local function reset_after(text)
  local listener <close> = assert(green.listen("127.0.0.1", 0))
  local _, port = listener:getsockname()
  local near = assert(green.connect("127.0.0.1", port))
  local far = assert(listener:accept())
  if text ~= "" then
    assert(near:send(text))
    assert(green.wait_fd(far, "r", 10))
  end
  near:setoption("linger", {on = true, timeout = 0})
  near:close()
  assert(green.wait_fd(far, "r", 10))
  return far
end

describe("a connection that was reset", function()
  it("does not end like one that was closed: receive", function()
    for _, pattern in ipairs {"*a", "a", "*l", "L", 100} do
      local far <close> = reset_after("half")
      assert.same({nil, RESET, "half"}, {far:receive(pattern)})
    end
  end)

  it("nor for recv, which first gives what had come", function()
    local far <close> = reset_after("half")
    assert.equal("half", far:recv(100))
    assert.same({nil, RESET}, {far:recv(100)})
  end)

  it("says so again: the kernel tells it once", function()
    local far <close> = reset_after("")
    for _ = 1, 3 do
      assert.same({nil, RESET}, {far:recv(100)})
      assert.same({nil, RESET, ""}, {far:receive("*a")})
    end
  end)

  it("says so to a reader after a send was told first", function()
    local far <close> = reset_after("")
    assert.same({nil, RESET, 0}, {far:send("x")})
    assert.same({nil, RESET, ""}, {far:receive()})
  end)

  it("says so after getoption was told first", function()
    local far <close> = reset_after("")
    assert.equal(RESET, far:getoption("error"))
    assert.same({nil, RESET}, {far:recv(1)})
  end)

  it("gives what had come before it, whoever was told first", function()
    local far <close> = reset_after("half")
    far:settimeout(10)
    repeat
      local err = far:getoption("error")
      if not err then green.sleep(0.001) end
    until err
    assert.equal("ha", far:recv(2))
    assert.same({nil, RESET, "lf"}, {far:receive("*a")})
    assert.same({nil, RESET, ""}, {far:receive("*a")})
  end)

  it("raises in lines and chunks", function()
    local far <close> = reset_after("one\ntwo")
    local lines = {}
    assert.error_matches(function()
      for line in far:lines() do lines[#lines + 1] = line end
    end, RESET)
    assert.same({"one"}, lines)
    local other <close> = reset_after("abc")
    local chunks = {}
    assert.error_matches(function()
      for data in other:chunks(2) do chunks[#chunks + 1] = data end
    end, RESET)
    assert.same({"ab", "c"}, chunks)
  end)

  it("is forgotten with its descriptor", function()
    local far <close> = reset_after("")
    assert.same({nil, RESET}, {far:recv(1)})
    far:close()
    local listener <close> = assert(green.listen("127.0.0.1", 0))
    assert(far:connect("127.0.0.1", (select(2, listener:getsockname()))))
    listener:accept():send("new")
    assert.equal("new", far:recv(3))
  end)
end)
