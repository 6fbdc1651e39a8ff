-- A host name with a zero byte connected to what stood before it, an empty port
-- listened on a random one, and "-1" or " 80" went to the resolver, which takes
-- them modulo 65536. The methods of LuaSocket's objects still take an empty
-- port for 0, as LuaSocket's own do.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local UNKNOWN <const> = "host or service not provided, or not known"
local NO_SERVICE <const> = "service not supported for socket type"

local function listening()
  local listener = assert(green.listen("127.0.0.1", 0))
  return listener, (select(2, listener:getsockname()))
end

--- An unconnected socket.
local function master()
  return green.socket.tcp()
end

describe("a host that is none", function()
  local hosts = {"127.0.0.1\0.example", "\0", "", ("x"):rep(256),
    "127.0.0.1\0", ("a."):rep(200)}

  it("is no server's", function()
    local _, port = listening()
    for _, host in ipairs(hosts) do
      assert.same({nil, UNKNOWN}, {green.connect(host, port)})
      assert.same({nil, UNKNOWN}, {master():connect(host, port)})
      assert.same({nil, UNKNOWN},
        {green.connect("127.0.0.1", port, {bind = host})})
    end
  end)

  it("is no address to listen on", function()
    for _, host in ipairs(hosts) do
      assert.same({nil, UNKNOWN}, {green.listen(host, 0)})
      assert.same({nil, UNKNOWN}, {master():bind(host, 0)})
    end
  end)
end)

describe("a port that is none", function()
  local numbers = {65536, -1, 99999, 1.5, 0 / 0, 1 / 0, math.mininteger,
    math.maxinteger}
  local texts = {"", "\0", "0\0x", " 80", "80 ", "+80", "-1", "65536", "99999",
    "-65456", "65616", "18446744073709551616", "\t80", "1.5"}

  it("is refused by name: connect, listen", function()
    for _, f in ipairs {"connect", "listen"} do
      local expected = "bad argument #2 to '" .. f .. "' %(port "
      for _, list in ipairs {numbers, texts} do
        for _, port in ipairs(list) do
          assert.error_matches(function() green[f]("127.0.0.1", port) end,
            expected)
        end
      end
      for _, port in ipairs {{}, true, print} do
        assert.error_matches(function() green[f]("127.0.0.1", port) end,
          expected .. "expected, got " .. type(port))
      end
    end
    assert.error_matches(function() green.listen("127.0.0.1") end,
      "port expected, got nil")
  end)

  it("is an error of a socket's own methods", function()
    for _, port in ipairs(texts) do
      if port ~= "" then -- port 0, to LuaSocket's objects: luasocket_spec.lua
        assert.same({nil, NO_SERVICE}, {master():connect("127.0.0.1", port)})
        assert.same({nil, NO_SERVICE}, {master():bind("127.0.0.1", port)})
      end
    end
    for _, port in ipairs {65536, -1, 1.5, 1e300} do
      assert.same({nil, NO_SERVICE}, {master():connect("127.0.0.1", port)})
    end
  end)

  it("may be the name of a service that is not known", function()
    for _, port in ipairs {"80x", "0x50", "no-such-service"} do
      local sock, err = green.connect("127.0.0.1", port, {timeout = 10})
      assert.is_nil(sock)
      assert.is_true(err == NO_SERVICE or err == UNKNOWN)
    end
  end)

  it("may be digits, an integral float, or the name of one that is", function()
    local listener <close>, port = listening()
    assert(green.connect("127.0.0.1", tostring(port))):close()
    assert(green.connect("127.0.0.1", port + 0.0)):close()
    assert(green.connect("127.0.0.1", "000" .. port)):close()
    assert(listener)
    local sock, err = green.connect("127.0.0.1", "discard", {timeout = 10})
    assert.is_true(sock ~= nil or err == "connection refused"
      or err == NO_SERVICE) -- where /etc/services is missing
  end)
end)

describe("a path that is none", function()
  local base = os.tmpname()
  os.remove(base)

  it("is no server's", function()
    local listener <close> = assert(green.listen("unix:" .. base))
    for _, path in ipairs {base .. "\0.sock", ""} do
      assert.same({nil, "invalid path"}, {green.connect("unix:" .. path)})
      assert.same({nil, "invalid path"}, {green.listen("unix:" .. path)})
      local sock = green.socket.unix()
      assert.same({nil, "invalid path"}, {sock:connect(path)})
      assert.same({nil, "invalid path"}, {green.socket.unix():bind(path)})
    end
    local long = "/" .. ("x"):rep(107)
    assert.same({nil, "path too long"}, {green.connect("unix:" .. long)})
    assert.same({nil, "path too long"}, {green.listen("unix:" .. long)})
    assert(listener)
  end)

  it("is not an abstract name, which begins with a zero byte", function()
    local name = "\0" .. base .. "\0more"
    local listener <close> = assert(green.listen("unix:" .. name))
    assert(green.connect("unix:" .. name)):close()
    assert.equal(name, listener:getsockname())
    assert.same({nil, "connection refused"},
      {green.connect("unix:\0" .. base)})
  end)
end)

describe("the rights of a Unix socket's file", function()
  local base = os.tmpname()
  os.remove(base)

  local function rights(mode)
    local listener <close> = assert(
      green.listen("unix:" .. base, nil, {mode = mode}))
    assert(listener)
    local ls <close> = io.popen("ls -l " .. base)
    return ls:read(10)
  end

  it("are octal digits, or the number that they stand for", function()
    assert.equal("srw-------", rights "0600")
    assert.equal("srw-rw----", rights "660")
    assert.equal("srw-------", rights(384))
  end)

  it("are not a number that lacks its quotes", function()
    for _, mode in ipairs {600, 660, 666, 777, 755, 700, 1.5, -1, "0800",
      "rw", "", "01777", "60 0"} do
      assert.error_matches(function() rights(mode) end,
        "bad option 'mode' in 'listen' %(mode expected, got")
    end
  end)
end)

describe("what does not fit where a number of C's stands", function()
  it("is not cut to one that does", function()
    local a, b = listening()
    local _ <close> = a
    local fd = a:getfd()
    assert.same({nil, "closed"}, {green.wait_fd(fd + (1 << 32), "r", 0)})
    assert.same({nil, "closed"}, {green.wait_fd(1e300, "r", 0)})
    local conn <close> = assert(green.connect("127.0.0.1", b))
    assert.error_matches(function()
      conn:setoption("tcp-keepidle", 2 ^ 32 + 5)
    end, "out of range")
    assert.same({nil, "No such device"},
      {conn:setoption("bindtodevice", "lo\0junk")})
    assert.same({nil, "No such device"},
      {conn:setoption("bindtodevice", ("x"):rep(16))})
    assert.error_matches(function()
      green.connect("127.0.0.1", b, {family = "inet5"})
    end, "bad option 'family' in 'connect'")
    assert.error_matches(function()
      green.connect("127.0.0.1", b, {timeout = 0 / 0})
    end, "bad option 'timeout' in 'connect'")
  end)
end)
