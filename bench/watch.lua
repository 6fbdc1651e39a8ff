-- watch.lua MODE - what watching costs: ns of CPU time for one round trip of
-- 64 bytes over a socket, both ends in this process, while nothing is on
-- ("off"), with accounting, a trace, or a profile of waits or of allocations
-- ("alloc"). "file": ns to write a trace of 64 Ki events; "scrape": of 1,000
-- series.
-- SPDX-License-Identifier: MIT
local green = require "green"

local CONNECTIONS <const>, TRIPS <const> = 20, 3000

local function echo(conn)
  local data = conn:recv(65536)
  while data and conn:send(data) do data = conn:recv(65536) end
end

local function ask(conn, n)
  local message = ("x"):rep(64)
  for _ = 1, n do
    conn:send(message)
    conn:recv(64)
  end
end

local function round(n)
  local askers = {}
  for i = 1, CONNECTIONS do
    local a, b = green.socketpair()
    green.spawn_n(echo, a)
    askers[i] = green.spawn(function()
      ask(b, n)
      b:close()
    end)
  end
  for _, t in ipairs(askers) do t:join() end
end

-- The same work first and later: the best of three rounds.
local function trips()
  local best = math.huge
  round(TRIPS // 10)
  for _ = 1, 3 do
    local start = os.clock()
    round(TRIPS)
    best = math.min(best, os.clock() - start)
  end
  return best / (CONNECTIONS * TRIPS) * 1e9
end

local modes = {}

function modes.off() return trips() end

function modes.accounting()
  green.config {accounting = true}
  return trips()
end

function modes.trace()
  green.trace.start()
  return trips()
end

function modes.waits()
  green.profile.start {what = "blocked"}
  return trips()
end

function modes.alloc()
  green.profile.start {what = "alloc"}
  return trips()
end

function modes.file()
  green.trace.start()
  round(3000)
  local path = os.tmpname()
  local start = os.clock()
  assert(green.trace.stop(path))
  local took = os.clock() - start
  os.remove(path)
  return took * 1e9
end

function modes.scrape()
  local c = green.metrics.counter("bench_total", "Series.", {"x"})
  for i = 1, 1000 do c:inc(1, {x = i}) end
  green.metrics.text()
  local start = os.clock()
  for _ = 1, 50 do green.metrics.text() end
  return (os.clock() - start) / 50 * 1e9
end

print(modes[arg[1]]())
