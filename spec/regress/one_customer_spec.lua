-- Addresses of one /64 counted as several peers, or those of several as one, by
-- where "::" stands in their texts; a PROXY header's address was taken as it
-- was spelled, "::::" too.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local it = require "green.test".it(it)

local V2 <const> = "\r\n\r\n\0\r\nQUIT\n"
local GROUPS <const> = ">" .. ("I2"):rep(8)

--- A header of version 2 that tells the address of these eight groups.
local function binary(...)
  local body = string.pack(GROUPS, ...) .. string.pack(GROUPS, 0, 0, 0, 0, 0, 0,
    0, 1) .. "\0\1\0\2"
  return V2 .. string.pack(">BBI2", 0x21, 0x21, #body) .. body
end

local function text(host)
  return ("PROXY TCP6 %s ::1 1 2\r\n"):format(host)
end

--- What the handler is told for each of these headers, whose connections stay.
local function hosts_of(opts, ...)
  local told = green.queue()
  opts.listen, opts.proxy = "127.0.0.1:0", opts.proxy or true
  function opts.handler(conn, peer)
    told:put(peer.host)
    conn:receive "a"
  end
  local server <close> = green.server(opts)
  assert(server:start())
  local port = server:addresses()[1].port
  local list, conns = {}, {}
  for i, header in ipairs {...} do
    local conn = assert(green.connect("127.0.0.1", port))
    conns[i] = conn
    assert(conn:send(header))
    local i_told, host = green.select {told, conn}
    list[i] = i_told == 1 and host or "refused"
  end
  for _, conn in ipairs(conns) do conn:close() end
  server:stop {grace = 0}
  return list
end

describe("a server's peers", function()
  it("are one if their addresses are of one /64, however these read",
    function()
      assert.same({"2001:db8:0:0:1::", "refused", "refused"},
        hosts_of({per_peer = 1},
          binary(0x2001, 0xdb8, 0, 0, 1, 0, 0, 0),
          binary(0x2001, 0xdb8, 0, 0, 1, 0, 0, 1),
          binary(0x2001, 0xdb8, 0, 0, 1, 2, 3, 4)))
      assert.same({"2001:db8::1", "refused", "refused"},
        hosts_of({per_peer = 1}, text "2001:db8::1", text "2001:DB8::0001",
          text "2001:0db8:0:0::2"))
    end)

  it("are several if these are of several", function()
    assert.same({"2001::5:1:2:3:4", "2001::6:1:2:3:4", "1:2:3::1", "1:2::4:1"},
      hosts_of({per_peer = 1},
        binary(0x2001, 0, 0, 5, 1, 2, 3, 4),
        binary(0x2001, 0, 0, 6, 1, 2, 3, 4),
        text "1:2:3::1", text "1:2::4:1"))
  end)

  it("of IPv4 are the same behind a mapped address", function()
    assert.same({"1.2.3.4", "refused", "refused"}, hosts_of({per_peer = 1},
      "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", text "::ffff:1.2.3.4",
      binary(0, 0, 0, 0, 0, 0xffff, 0x0102, 0x0304)))
  end)

  it("have no address that is none", function()
    for _, host in ipairs {"::::", "1:2", "1::2::3", "12345::", "::1%lo",
      "1:2:3:4:5:6:7:8:9", "localhost", "1.2.3.4"} do
      assert.same({"refused"}, hosts_of({}, text(host)), host)
    end
    for _, host in ipairs {"010.2.3.4", "1.2.3", "1.2.3.4.5", "1.2.3.256"} do
      assert.same({"refused"},
        hosts_of({}, ("PROXY TCP4 %s 5.6.7.8 1 2\r\n"):format(host)), host)
    end
  end)

  it("are trusted by address, however it is spelled", function()
    assert.same({"1.2.3.4"}, hosts_of({proxy = {"::FFFF:7f00:1"}},
      "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"))
    assert.error_matches(function()
      local server = green.server {listen = 1, handler = print,
        proxy = {"localhost"}}
      return server
    end, "bad option 'proxy' in 'server' %(\"localhost\" is no address%)")
  end)
end)
