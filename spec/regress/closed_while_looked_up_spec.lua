-- A call that looked a name up was not woken by the close() of its socket: it
-- ended when the look-up did, with the error of that.
--
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"
local it = require "green.test".it(it)

local function tcp() return green.socket.tcp() end

--- Calls that look "slow.test" up, each with what makes its socket.
local calls <const> = {
  {"connect", tcp, function(s) return s:connect("slow.test", 1) end},
  {"bind", tcp, function(s) return s:bind("slow.test", 0) end},
  {"setpeername", green.udp,
   function(s) return s:setpeername("slow.test", 1) end},
  {"setsockname", green.udp,
   function(s) return s:setsockname("slow.test", 0) end},
  {"sendto", green.udp, function(s) return s:sendto("x", "slow.test", 1) end},
}

local function never() green.event():wait() end

--- Runs body with a resolver that never answers, or raises when it is over.
local function unanswered(body)
  local former = green.dns.use(never)
  local _ <close> = setmetatable({}, {__close = function()
    green.dns.use(former)
  end})
  body()
end

local function waiting(call)
  local s = call[2]()
  return s, help.blocked(green.spawn(call[3], s))
end

describe("a call that looks a name up", function()
  it("ends when its socket is closed", function()
    unanswered(function()
      for _, call in ipairs(calls) do
        for _, how in ipairs {"close", "abort"} do
          local s, t = waiting(call)
          local close = s[how] or s.close -- LuaSocket's cannot abort
          close(s)
          assert.same({nil, "closed"}, {t:wait()}, call[1])
        end
      end
    end)
  end)

  it("ends with each other one of that socket, and others go on", function()
    unanswered(function()
      local s, list = green.udp(), {}
      for i = 1, 5 do list[i] = green.spawn(calls[5][3], s) end
      local other, t = waiting(calls[5])
      help.blocked(table.unpack(list))
      list[2]:kill()
      list[2]:join()
      s:close()
      for i = 1, 5 do
        if i ~= 2 then assert.same({nil, "closed"}, {list[i]:wait()}) end
      end
      assert.equal("blocked", t:status())
      other:close()
      assert.same({nil, "closed"}, {t:wait()})
    end)
  end)

  it("is closed also if the socket is used again at once", function()
    unanswered(function()
      local s, t = waiting(calls[1])
      s:close()
      assert.same({nil, "connection refused"}, {s:connect("127.0.0.1", 1)})
      assert.same({nil, "closed"}, {t:wait()})
    end)
  end)

  it("is killed if it is struck as well", function()
    unanswered(function()
      for _, call in ipairs(calls) do
        local s, t = waiting(call)
        t:kill()
        s:close()
        t:join()
        assert.equal("killed", t:status())
      end
    end)
  end)

  it("leaves the socket what it was when the resolver raises", function()
    local former = green.dns.use(function() error("broken", 0) end)
    local _ <close> = setmetatable({}, {__close = function()
      green.dns.use(former)
    end})
    for _, call in ipairs(calls) do
      local s = call[2]()
      assert.same({false, "broken"}, {pcall(call[3], s)})
      assert.equal(1, s:close())
    end
  end)
end)
