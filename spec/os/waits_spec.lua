-- The promises of every wait, for files and commands.
-- SPDX-License-Identifier: MIT

local core = require "green.core"
local help = require "spec.help"
local promises = require "spec.promises"

--- A FIFO, open at both ends, which nobody waits to open.
local function opened_fifo()
  local path = help.name()
  assert(os.execute("mkfifo '" .. path .. "'"))
  local o = {path = path, w = assert(io.open(path, "r+"))}
  o.r = assert(io.open(path))
  return o
end

local function close_fifo(o)
  if io.type(o.r) == "file" then o.r:close() end
  if io.type(o.w) == "file" then o.w:close() end
end

--- The same, with so much written that there is no room for more.
local function stuffed_fifo()
  local o = opened_fifo()
  o.w:close()
  o.w = assert(io.open(o.path, "a"))
  o.w:setvbuf "no"
  while core.file_put(o.w, ("x"):rep(4096), 1) do end
  return o
end

promises.check(describe, it, {
  {
    name = "file:read", late = true, limitless = true, keeps = true,
    value = "line", make = opened_fifo, clean = close_fifo,
    wait = function(o) return o.r:read() end,
    satisfy = function(o) assert(o.w:write("line\n"):flush()) end,
  }, {
    name = "file:write", all = true, late = true, limitless = true,
    keeps = true, value = "file", steps = true,
    make = stuffed_fifo, clean = close_fifo,
    wait = function(o) return io.type(o.w:write "y") end,
    satisfy = function(o)
      while core.file_fill(o.r) do core.file_take(o.r, 65536) end
    end,
  }, {
    name = "handle:close", late = true, limitless = true, keeps = true,
    all = true, unordered = true, value = true, steps = true,
    make = opened_fifo, clean = close_fifo,
    wait = function(o)
      local ok = io.popen(("read x <'%s'"):format(o.path)):close()
      return ok
    end,
    satisfy = function(o) assert(o.w:write(("\n"):rep(64)):flush()) end,
  }, {
    name = "os.execute", late = true, limitless = true, keeps = true,
    all = true, unordered = true, value = true, steps = true,
    make = opened_fifo, clean = close_fifo,
    wait = function(o)
      local ok = os.execute(("read x <'%s'"):format(o.path))
      return ok
    end,
    satisfy = function(o) assert(o.w:write(("\n"):rep(64)):flush()) end,
  },
})
