-- The promise of green.socket: it does the same as LuaSocket, to the
-- word. Each behaviour is compared with what is written here, and with what the
-- installed LuaSocket does, if there is one.
-- SPDX-License-Identifier: MIT
local green = require "green"

local _, real = pcall(require, "socket")
real = type(real) == "table" and real.gettime and real or nil
local real_unix = real and require "socket.unix"

--------------------------------------------------------------- values --

local show

local function show_table(value)
  local keys, parts = {}, {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, key in ipairs(keys) do
    local text = show(value[key])
    parts[i] = type(key) == "number" and text or key .. " = " .. text
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

function show(value)
  if type(value) == "string" then return ("%q"):format(value) end
  if math.type(value) == "float" then return ("%.14g"):format(value) end
  if type(value) == "table" then return show_table(value) end
  if type(value) == "userdata" then return value.class end
  return tostring(value)
end

local function show_all(ok, ...)
  if not ok then
    local message = tostring((...)):gsub("^[^\n:]+:%d+: ", "")
    return ("raises %q"):format(message)
  end
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = show(parts[i]) end
  return table.concat(parts, ", ")
end

-------------------------------------------------------------- helpers --

local SKIPPED <const> = {}

--- What the functions of the rows use besides the library.
local function tools(is_real)
  local t = {open = {}, is_real = is_real}
  local function keep(sock)
    t.open[#t.open + 1] = sock
    return sock
  end
  local listener, port

  function t.port()
    if not listener then
      listener = keep(assert(green.listen("127.0.0.1", 0)))
      port = select(2, listener:getsockname())
    end
    return port
  end

  --- A port where nobody listens: it is bound, no more.
  function t.no_port()
    local sock = keep(green.socket.tcp4())
    assert(sock:bind("127.0.0.1", 0))
    return (select(2, sock:getsockname()))
  end

  --- A connection of the library's, and its other end, which is ours.
  function t.pair(socket)
    local near = keep(assert(socket.connect("127.0.0.1", t.port())))
    return near, keep(assert(listener:accept()))
  end

  --- Something has arrived at the socket.
  function t.arrived(sock)
    assert(green.wait_fd(sock:getfd(), "r", 10))
  end

  --- A thread sends the text n times, once each s seconds. While the other
  --- library waits, none of ours runs.
  function t.drip(sock, text, s, n)
    green.spawn_n(function()
      for _ = 1, n do
        green.sleep(s)
        sock:send(text)
      end
    end)
  end

  --- A name for a file that the end removes.
  function t.path()
    local path = os.tmpname()
    os.remove(path)
    t.open[#t.open + 1] = {close = function() os.remove(path) end}
    return path
  end

  t.unix = is_real and real_unix or green.socket.unix

  function t.skip() return SKIPPED end

  function t.close()
    for _, sock in ipairs(t.open) do pcall(sock.close, sock) end
  end
  return t
end

local function run(row, socket)
  local t = tools(socket == real)
  local results = table.pack(pcall(row.f, socket, t))
  t.close()
  if results[2] == SKIPPED then return nil end
  return show_all(table.unpack(results, 1, results.n))
end

describe("LuaSocket's table", function()
  for _, topic in ipairs {"streams", "connecting", "datagrams", "module"} do
    for _, row in ipairs(require("spec.net.luasocket." .. topic)) do
      it(row.name, function()
        local got = run(row, green.socket)
        if got then assert.equal(row.expected, got) end
        if real then
          local theirs = run(row, real)
          if theirs then assert.equal(row.expected, theirs) end
        end
      end)
    end
  end
end)
