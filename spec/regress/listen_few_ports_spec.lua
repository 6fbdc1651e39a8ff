-- A name with two addresses, of which one has a single port free: "address
-- already in use", 32 times over, as the address with many free ones chose.
--
-- SPDX-License-Identifier: MIT

local help = require "spec.help"
local shell = require "spec.shell"

--- Of the ports 40000 to 40063 only the last is free at 127.0.0.1. No interface
--- is up there, so any address counts as this machine's.
local PROGRAM <const> = [[
local green = require "green"
local held = {}
for port = 40000, 40062 do
  held[#held + 1] = assert(green.listen("127.0.0.1", port))
end
green.config {resolver = function() return {"127.0.0.2", "127.0.0.1"}, 60 end}
local listener <close> = assert(green.listen("two", 0))
for _, at in ipairs(listener:getsocknames()) do print(at.addr, at.port) end
]]

--- In a network of its own, which root can have.
local NETWORK <const> = "LUA_PATH='%s' LUA_CPATH='%s' unshare -n sh -c '"
  .. "echo 40000 40063 >/proc/sys/net/ipv4/ip_local_port_range && "
  .. "echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind && echo ready && %s %s' 2>&1"

describe("a free port at two addresses", function()
  it("is one that the address with few of them has", function()
    local program <close> = help.file(PROGRAM)
    local _, said = pcall(shell.run, NETWORK, package.path, package.cpath,
      shell.lua, program.path)
    if not said:find "ready\n" then
      return pending "no network of its own can be made here"
    end
    assert.equal("ready\n127.0.0.2\t40063\n127.0.0.1\t40063\n", said)
  end)
end)
