-- A socket made the string that receive returns, which may run finalizers. One
-- that closed the socket freed the bytes in use, or left a negative count of
-- bytes; bytes that one received came twice.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local at_next = help.at_next

--- A socket that has received a first line, and has the text behind it in its
--- buffer.
local function socket_with(text)
  local listener <close> = green.listen("127.0.0.1", 0)
  local _, port = listener:getsockname()
  local client = green.connect("127.0.0.1", port)
  client:send("first\n" .. text)
  local sock = listener:accept()
  client:shutdown("send")
  green.sleep(0.01)
  assert.equal("first", sock:receive())
  assert.is_true(sock:dirty())
  return sock, client
end

--- Main would first allocate for its wait.
local function in_thread(what, f)
  it(what, function() green.spawn(f):wait() end)
end

describe("a socket that a finalizer uses while it delivers", function()
  local long, text = ("x"):rep(3000), ("y"):rep(60)
  local cases = {
    {"a line", text .. "\n", "receive", "*l"},
    {"a long line with a return", long .. "\r\n", "receive", "*l"},
    {"a long line of many returns", (long .. "\r"):rep(2) .. "z\n", "receive",
      "*l"},
    {"a number of bytes", text, "receive", 60},
    {"a partial line", text, "receive", "*l"},
    {"all", text, "receive", "*a"},
    {"bytes as they came", text, "recv", 60},
  }
  for _, case in ipairs(cases) do
    local what, sent, method, how = table.unpack(case)

    in_thread("may be closed by it: " .. what, function()
      local sock, client = socket_with(sent .. "rest")
      at_next(function() sock:close() end)
      sock[method](sock, how, "") -- a prefix is not made then
      collectgarbage "incremental"
      assert.is_false(sock:dirty())
      local data, err = sock[method](sock, how, "")
      assert.same({nil, "closed"}, {data, err})
      client:close()
    end)

    in_thread("gives each byte to one: " .. what, function()
      local sock, client = socket_with(sent)
      local inner
      at_next(function() inner = {sock[method](sock, how, "")} end)
      local got = {sock[method](sock, how, "")}
      collectgarbage "incremental"
      local all = table.concat{got[1] or got[3] or "",
        inner and (inner[1] or inner[3]) or ""}
      assert.equal((sent:gsub("[\r\n]", "")), all)
      assert.is_false(sock:dirty())
      sock:close()
      client:close()
    end)
  end
end)
