-- watched.lua - a service that tells how it is: its metrics for Prometheus and
-- its health for a load balancer, over a plain server.
--
--   luagreen examples/watched.lua [port [socket of a backdoor]]
--   curl http://127.0.0.1:9100/metrics    /health/live    /health/ready
--   luagreen top SOCKET
--
-- SPDX-License-Identifier: MIT

local green = require "green"

---------------------------------------------------------------- the service --

--- It does some work all the time.
local jobs = green.metrics.counter("jobs_total", "Jobs done.", {"kind"})
local took = green.metrics.histogram("job_seconds", "Time that a job took.",
  {0.001, 0.01, 0.1, 1})
local waiting = green.metrics.gauge("jobs_waiting", "Jobs not yet begun.")
local queue = green.queue(100)

local function work()
  for kind in queue:items() do
    local _ <close> = green.trace.span("job", {kind = kind})
    waiting:set(#queue)
    took:time(green.sleep, math.random() / 100)
    jobs:inc(1, {kind = kind})
  end
end

local function order()
  while true do
    queue:put(math.random(3) == 1 and "large" or "small")
    green.sleep(0.005)
  end
end

green.health.check("queue", function()
  if #queue < 90 then return true end
  return nil, ("%d jobs wait"):format(#queue)
end)

---------------------------------------------------------------- the answers --

local pages = {}

pages["/metrics"] = function()
  return 200, green.metrics.text(), green.metrics.content_type
end

--- Whoever gets an answer knows that the loop turns.
pages["/health/live"] = function() return 200, "ok\n" end

pages["/health/ready"] = function()
  local ok, text = green.health.text()
  return ok and 200 or 503, text
end

local STATUS <const> = {[200] = "OK", [404] = "Not Found",
                        [405] = "Method Not Allowed",
                        [503] = "Service Unavailable"}

local function answer(method, path)
  if method ~= "GET" and method ~= "HEAD" then return 405, "only GET\n" end
  local page = pages[path:match "^[^?]*"]
  if not page then return 404, "not found\n" end
  return page()
end

--- As much of HTTP/1.1 as a scraper needs: one request for each connection.
local function serve(conn)
  local request = conn:receive "l"
  local method, path = (request or ""):match "^(%u+) (%S+) HTTP/1%.[01]\r?$"
  if not method then return end
  repeat local line = conn:receive "l" until not line or line == ""
  local status, body, kind = answer(method, path)
  conn:send(("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n"
    .. "Connection: close\r\n\r\n"):format(status, STATUS[status],
    kind or "text/plain; charset=utf-8", #body))
  if method == "GET" then conn:send(body) end
end

for i = 1, 3 do green.spawn(work).name = "worker " .. i end
green.spawn(order).name = "orders"

if arg[2] then
  os.remove(arg[2])
  local door = assert(green.listen("unix:" .. arg[2], nil, {mode = "0600"}))
  green.spawn(green.backdoor.server, door).name = "backdoor"
end

local listener = assert(green.listen("127.0.0.1", tonumber(arg[1]) or 9100))
local _, port = listener:getsockname()
print("metrics on port " .. port)
io.stdout:flush()
green.serve(listener, function(conn)
  green.with_timeout(10, serve, conn) -- a peer that says nothing must go
end)
