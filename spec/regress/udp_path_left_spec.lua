-- green.udp "unix:/path" refused a socket file whose owner had died, where
-- green.listen replaced one, and left its own file behind.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

describe('green.udp "unix:/path"', function()
  local path
  before_each(function() path = help.name() end)
  after_each(function() os.remove(path) end)

  local function exists()
    local sock <close> = green.udp "unix:"
    return (select(2, sock:sendto("x", path))) ~= "No such file or directory"
  end

  --- The file of a socket that has no owner any more.
  local function leave(sock)
    assert(sock:bind(path))
    sock:close()
    assert.is_true(exists())
  end

  it("replaces a file that nobody has open, and removes its own", function()
    leave(green.udp "unix:")
    local sock = assert(green.udp("unix:" .. path))
    local other <close> = green.udp "unix:"
    assert.equal(1, other:sendto("x", path))
    assert.equal("x", sock:receive())
    sock:close()
    assert.is_false(exists())
    assert.is_nil(io.open(path .. ".lock"))
  end)

  it("replaces one that a listener left", function()
    leave(green.socket.unix())
    assert(green.udp("unix:" .. path)):close()
    assert.is_false(exists())
  end)

  it("replaces no file that somebody has", function()
    local used <const> = {nil, "address already in use"}
    local sock <close> = assert(green.udp("unix:" .. path))
    assert.same(used, {green.udp("unix:" .. path)})
    assert.same(used, {green.listen("unix:" .. path)})
    local other <close> = green.udp "unix:"
    assert.equal(1, other:sendto("x", path))
    assert.equal("x", sock:receive())
    sock:close()
    local listener <close> = assert(green.listen("unix:" .. path))
    assert.same(used, {green.udp("unix:" .. path)})
    listener:settimeout(0)
    assert.same({nil, "timeout"}, {listener:accept()}) -- nobody knocked
  end)

  it("replaces no file of another kind", function()
    assert(io.open(path, "w")):close()
    assert.same({nil, "address already in use"}, {green.udp("unix:" .. path)})
    assert(io.open(path)):close()
  end)
end)
