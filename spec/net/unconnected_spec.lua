-- The promises of green.socket: sockets that are not connected yet, with
-- LuaSocket's names and words.
-- SPDX-License-Identifier: MIT
local green = require "green"
local help = require "spec.help"

local function free_path()
  local path = os.tmpname()
  os.remove(path)
  return path
end

describe("green.socket", function()
  it("is a module, loaded when it is first asked for", function()
    assert.equal(require "green.socket", green.socket)
  end)

  it("makes TCP sockets, for options before they connect", function()
    local server = assert(green.socket.tcp4())
    assert.equal(1, server:setoption("reuseaddr", true))
    assert.equal(1, server:bind("127.0.0.1", 0))
    assert.equal(1, server:listen(8))
    assert.equal("tcp{server}", server.class)
    local _, port = server:getsockname()
    local client = green.socket.tcp()
    assert.equal("tcp{master}", green.type(client))
    assert.equal(-1, client:getfd())
    assert.same({nil, "setsockopt failed"},
      {client:setoption("keepalive", true)})
    assert.equal(1, client:connect("127.0.0.1", port))
    assert.matches("^tcp{client}: 0x", tostring(client))
    local conn = assert(server:accept())
    conn:send("hello\n")
    assert.equal("hello", client:receive())
    for _, sock in ipairs {server, client, conn} do sock:close() end
  end)

  it("makes sockets of IPv6", function()
    local sock = green.socket.tcp6()
    if not sock then return pending("no IPv6 here") end
    assert.equal("inet6", sock:getfamily())
    sock:close()
  end)

  it("makes Unix sockets", function()
    local path = free_path()
    local server = green.socket.unix()
    assert.equal(1, server:bind(path))
    assert.equal(1, server:listen())
    local client = green.socket.unix()
    assert.equal(1, client:connect(path))
    assert(server:accept()):send("local")
    assert.equal("local", client:recv(5))
    client:close()
    server:close()
    assert(os.remove(path)) -- the library leaves it there
  end)

  it("keeps to LuaSocket's patterns", function()
    for _, pattern in ipairs {"l", "a", "L", "*L", "*n", "line", ""} do
      assert.error_matches(function() green.socket.tcp():receive(pattern) end,
        "tcp{client} expected")
      local client = green.socket.tcp()
      client:connect("127.0.0.1", 1)
      assert.error_matches(function() client:receive(pattern) end,
        "invalid receive pattern")
    end
  end)

  it("says LuaSocket's words: a reset is closed", function()
    local listener = assert(green.listen("127.0.0.1", 0))
    local client = green.socket.tcp()
    assert(client:connect("127.0.0.1", (select(2, listener:getsockname()))))
    local conn = assert(listener:accept())
    conn:send("half")
    assert(green.wait_fd(client, "r", 10))
    conn:setoption("linger", {on = true, timeout = 0})
    conn:close()
    help.wait_until(function() return client:getoption("error") end, "reset")
    assert.same({nil, "closed", "half"}, {client:receive("*a")})
    listener:close()
  end)

  it("has classes of its own", function()
    local theirs = green.socket.tcp()
    local ours = assert(green.listen("127.0.0.1", 0))
    theirs:bind("127.0.0.1", 0)
    theirs:listen()
    assert.equal(ours.class, theirs.class)
    assert.is_false(getmetatable(ours) == getmetatable(theirs))
    ours:close()
    theirs:close()
  end)
end)
