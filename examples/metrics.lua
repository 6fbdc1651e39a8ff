-- metrics.lua - gathers metrics that programs send by UDP, as statsd does.
--
--   luagreen examples/metrics.lua [[HOST:]PORT [SECONDS]]     (8125, 10 s)
--   echo "requests:1|c" | nc -u -q 0 127.0.0.1 8125
--
-- A datagram holds lines "name:value|kind": c counts, g is set to the value
-- ("+1" and "-1" change it), ms are times. A count may be a sample, "|@0.1".
-- Each SECONDS a report goes to the standard output; a last one at Ctrl-C.
--
-- SPDX-License-Identifier: MIT

local green = require "green"

local counts, gauges, times, received, bad = {}, {}, {}, 0, 0

local kinds = {}

function kinds.c(name, value, rate)
  counts[name] = (counts[name] or 0) + value / rate
end

function kinds.g(name, value, _, sign)
  gauges[name] = (sign and gauges[name] or 0) + value
end

function kinds.ms(name, value)
  local list = times[name] or {}
  times[name] = list
  list[#list + 1] = value
end

local function take(line)
  local name, sign, value, kind, rest =
    line:match "^([%w_.%-]+):([+-]?)([%d.]+)|(%a+)(.*)$"
  local number = tonumber(value)
  local rate = rest == "" and 1 or rest and tonumber(rest:match "^|@([%d.]+)$")
  if not (number and rate and rate > 0 and kinds[kind]) then
    bad = bad + 1
    return
  end
  if sign == "-" then number = -number end
  kinds[kind](name, number, rate, sign ~= "")
end

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return ipairs(names)
end

local function at(list, share)
  return list[math.max(1, math.ceil(#list * share))]
end

--- Writes what came since the last report, and begins anew; gauges stay.
local function report()
  print(("-- %d datagrams, %d bad lines"):format(received, bad))
  for _, name in sorted(counts) do
    print(("%s: %g"):format(name, counts[name]))
  end
  for _, name in sorted(gauges) do
    print(("%s = %g"):format(name, gauges[name]))
  end
  for _, name in sorted(times) do
    local list = times[name]
    table.sort(list)
    print(("%s: %d times, median %g ms, 99 %% %g ms, most %g ms"):format(name,
      #list, at(list, 0.5), at(list, 0.99), list[#list]))
  end
  io.stdout:flush()
  counts, times, received, bad = {}, {}, 0, 0
end

local function main(where, seconds)
  local host, port = (where or "8125"):match "^(.-):?(%w+)$"
  local sock <close> = assert(green.udp(host ~= "" and host or "127.0.0.1",
    port))
  -- Samples that come while we write wait in the kernel.
  sock:setoption("recv-buffer-size", 4 << 20)
  print("metrics on UDP port " .. select(2, sock:getsockname()))
  io.stdout:flush()
  local _ <close> = setmetatable({}, {__close = report}) -- Ctrl-C, too
  local _ <close> = green.spawn(function()
    for _ in green.ticker(tonumber(seconds) or 10) do report() end
  end)
  for data in sock:datagrams() do
    received = received + 1
    for line in data:gmatch "[^\r\n]+" do take(line) end
  end
end

main(...)
