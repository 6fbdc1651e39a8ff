-- A connection waits in the listener while its object is made, which may run
-- finalizers. If one of them accepted, it took the connection, and the first
-- accept returned a socket without a descriptor; the same happened if one
-- closed the listener.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local at_next = help.at_next

local function listener_with_one()
  local listener = green.listen("127.0.0.1", 0)
  local _, port = listener:getsockname()
  local client = green.connect("127.0.0.1", port)
  green.wait_fd(listener, "r", 1)
  listener:settimeout(0)
  return listener, client
end

describe("a listener that a finalizer uses while it accepts", function()
  it("gives a connection to one", function()
    local listener, client = listener_with_one()
    local inner
    at_next(function() inner = listener:accept() end)
    local outer, err = listener:accept()
    collectgarbage "incremental"
    assert.same({nil, "timeout"}, {outer, err})
    assert(inner:getfd() >= 0)
    inner:close()
    client:close()
    listener:close()
  end)

  it("is closed if it was closed there", function()
    local listener, client = listener_with_one()
    at_next(function() listener:close() end)
    local conn, err = listener:accept()
    collectgarbage "incremental"
    assert.same({nil, "closed"}, {conn, err})
    client:close()
  end)

  it("gives a connection to one, in a select", function()
    local listener, client = listener_with_one()
    local other = green.queue()
    other:put(1)
    local inner
    local cases = {listener, other}
    at_next(function() inner = listener:accept() end)
    local i = green.select(cases, 0)
    collectgarbage "incremental"
    assert.same({2, true}, {i, inner ~= nil})
    inner:close()
    client:close()
    listener:close()
  end)
end)
