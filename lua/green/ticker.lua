--- A ticker: ticks at a steady rate, in the thread of whoever waits for it.
---
--- The phase is kept: tick n is due at start + n * period. Missed ticks are
--- skipped, and the number counts them.
---
--- SPDX-License-Identifier: MIT

return function(green, core)
  local mt = core.metatable("green.ticker")
  local Ticker = {}
  mt.__index = Ticker

  --- Waits for the next tick. May switch.
  ---@param s? number  time limit in seconds
  ---@return integer? n, "timeout"|"closed"|nil
  function Ticker:wait(s)
    local now = core.now()
    local n = math.max(self.n + 1, (now - self.start) // self.period)
    local due = self.start + n * self.period - now
    local limit = s and not (s >= due) and s or due
    -- A tick that is due costs a turn; a limit of 0 never switches.
    if self.stopped:wait(s and s <= 0 and 0 or math.max(limit, 1e-9)) then
      return nil, "closed"
    end
    if limit < due then return nil, "timeout" end
    self.n = math.tointeger(n)
    return self.n
  end

  --- Ends the loop of whoever waits for it. Never switches.
  function Ticker:cancel()
    if not self.stopped:ready() then self.stopped:send() end
  end

  function mt.__call(self)
    return (self:wait())
  end
  mt.__close = Ticker.cancel

  --- `for n in green.ticker(s) do ... end`: a tick each s seconds.
  ---@param s number  seconds between two ticks
  ---@return green.ticker
  function green.ticker(s)
    if type(s) ~= "number" or not (s > 0) or s == math.huge then
      error("bad argument #1 to 'ticker' (positive seconds expected)", 2)
    end
    return setmetatable({period = s, start = core.now(), n = 0,
      stopped = core.event()}, mt)
  end
end
