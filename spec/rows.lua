--- The environment of the code in the tables of docs/coming-from.md: the names
--- that the page promises, each made when it is first used.
---
--- `require "spec.rows" (code)` runs a piece of it, as an expression if it is
--- one; spec/snippets.lua starts a program for each piece. Threads that it
--- leaves running must not fail either, except with the error that the page
--- calls `err`.
---
--- SPDX-License-Identifier: MIT

local green = require "green"

--- Sends two lines to each client, and closes.
local function greet(conn)
  conn:send "hello\nworld\n"
  green.sleep(0.01)
end

local make = {
  green = function() return green end,
  s = function() return 0.001 end,
  f = function() return function(...) return ... end end,
  items = function() return {1, 2, 3} end,
  err = function() return "an error" end,
  n = function() return 2 end,
  t = function() return green.spawn(green.sleep, 0.001) end,
  threads = function()
    return {green.spawn(tostring, 1), green.spawn(tostring, 2)}
  end,
  to = function() return green.timeout(60) end,
  e = function() return green.event() end,
  sent = function() local e = green.event() e:send(1) return e end,
  flag = function() return green.flag() end,
  q = function() local q = green.queue(10) q:put "first" return q end,
  c = function()
    local c = green.channel()
    green.spawn(c.put, c, "value")
    return c
  end,
  lock = function() return green.lock() end,
  sem = function() return green.semaphore(1) end,
  cond = function() return green.condition() end,
  wg = function() return green.waitgroup() end,
  pool = function() return green.pool(2) end,
  pile = function() return green.pile(2) end,
  g = function() return green.group() end,
  rp = function()
    return green.resource_pool {create = function() return {} end}
  end,
  dag = function()
    local dag = green.dag {a = 1}
    dag:spawn("b", {"a"}, function() return 2 end)
    return dag
  end,
  create = function() return function() return {} end end,
  host = function() return "127.0.0.1" end,
  port = function()
    local listener = assert(green.listen("127.0.0.1", 0))
    green.spawn(green.serve, listener, greet)
    return (select(2, listener:getsockname()))
  end,
  handler = function() return function() error(green.StopServe) end end,
}

--- A listener to which somebody will connect.
function make.listener()
  local listener = assert(green.listen("127.0.0.1", 0))
  local host, port = listener:getsockname()
  green.spawn_after(0.001, green.connect, host, port)
  return listener
end

function make.conn()
  return assert(green.connect("127.0.0.1", _G.port))
end

return function(code)
  setmetatable(_G, {__index = function(_, name)
    local value = make[name] and make[name]()
    rawset(_G, name, value)
    return value
  end})
  green.on_error(function(err, t)
    if err == make.err() then return end
    io.stderr:write(green.traceback(err), "\n", t:traceback(), "\n")
    os.exit(1)
  end)
  local run = load("return " .. code, "=row") or assert(load(code, "=row"))
  run()
  pcall(green.sleep, 0.003) -- a timeout may be due
end
