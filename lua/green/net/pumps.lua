--- LuaSocket's sources and sinks of LTN12: a connection as something to be read
--- from, or written to, in pieces.
---
--- They are tables that can be called, with getfd and dirty of the connection,
--- so that select takes them. The two tables are public: socket.http adds kinds
--- of its own, which are looked up when they are asked for.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local error, setmetatable, type = error, setmetatable, type

--- A pump of the connection, which is called as f(pump, chunk, err).
local function pump(sock, f)
  return setmetatable({
    getfd = function() return sock:getfd() end,
    dirty = function() return sock:dirty() end,
  }, {__call = f})
end

------------------------------------------------------------------ sinks --

local sinks = {}

sinks["keep-open"] = function(sock)
  return pump(sock, function(_, chunk)
    if not chunk then return 1 end
    return sock:send(chunk)
  end)
end

sinks["close-when-done"] = function(sock)
  return pump(sock, function(_, chunk)
    if chunk then return sock:send(chunk) end
    sock:close()
    return 1
  end)
end

sinks.default = sinks["keep-open"]

---------------------------------------------------------------- sources --

--- A source reads at most BLOCKSIZE bytes at once, by the value of the field at
--- that moment.
local function sources_of(socket)
  local sources = {}

  sources["by-length"] = function(sock, left)
    return pump(sock, function()
      if left <= 0 then return nil end
      local size = left < socket.BLOCKSIZE and left or socket.BLOCKSIZE
      local chunk, err = sock:receive(size)
      if err then return nil, err end
      left = left - #chunk
      return chunk
    end)
  end

  sources["until-closed"] = function(sock)
    local over = false
    return pump(sock, function()
      if over then return nil end
      local chunk, err, partial = sock:receive(socket.BLOCKSIZE)
      if not err then return chunk end
      if err ~= "closed" then return nil, err end
      over = true
      sock:close()
      return partial
    end)
  end

  sources.default = sources["until-closed"]
  return sources
end

----------------------------------------------------------------- choose --

--- A function that makes what its first argument, a name, stands for in the
--- table; without a name, what "default" does.
local function choose(kinds)
  return function(name, ...)
    local named = type(name) == "string"
    local make = kinds[named and name or "default"]
    if not make then
      error(("unknown key (%s)"):format(named and name or "default"), 2)
    end
    if named then return make(...) end
    return make(name, (...))
  end
end

--- Adds it all to LuaSocket's table.
return function(socket)
  socket.choose = choose
  socket.sinkt, socket.sourcet = sinks, sources_of(socket)
  socket.sink, socket.source = choose(sinks), choose(socket.sourcet)
end
