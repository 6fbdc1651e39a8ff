-- The promise of select: whatever threads do with the sockets that
-- it waits for, it ends when one is ready, and only then.
-- SPDX-License-Identifier: MIT
local green = require "green"
local help = require "spec.help"
local socket = green.socket

local _, real = pcall(require, "socket")
real = type(real) == "table" and real.gettime and real or nil

local SEED <const> = tonumber(os.getenv "FUZZ_SEED") or os.time()

--- A world of connections; near[i] is read by the selecting threads, bytes come
--- from far[i].
local function world(n)
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  local w = {near = {}, far = {}, n = n, sent = 0, got = 0}
  function w.connect(i)
    local library = real and math.random(3) == 1 and real or socket
    w.near[i] = assert(library.connect("127.0.0.1", port))
    w.near[i]:settimeout(0)
    w.far[i] = assert(server:accept())
  end
  for i = 1, n do w.connect(i) end
  function w.close()
    for i = 1, n do
      w.near[i]:close()
      w.far[i]:close()
    end
    server:close()
  end
  return w
end

--- Some of the sockets, in any order, perhaps one twice.
local function some(w)
  local list = {}
  for i = 1, math.random(w.n) do list[i] = w.near[math.random(w.n)] end
  return list
end

--- Takes what is there; another thread may have been first.
local function take(w, sock)
  local data, err, partial = sock:receive(1000)
  data = data or partial
  w.got = w.got + #data
  assert(err == "timeout" or err == "closed" or not err, err)
end

local function selecting(w)
  while not w.over do
    local limit = ({0, 0.0005, 0.002})[math.random(3)]
    local write = math.random(4) == 1 and some(w) or nil
    local readable, writable, err = socket.select(some(w), write, limit)
    assert((err == nil) == (#readable + #writable > 0))
    for i, sock in ipairs(readable) do
      assert(readable[sock] == i)
      take(w, sock)
    end
    if math.random(4) == 1 or limit == 0 then green.sleep(0) end
  end
end

local moves = {
  function(w, i) -- a byte, or some
    local n = math.random(30)
    if w.far[i]:send(("x"):rep(n)) then w.sent = w.sent + n end
  end,
  function(w, i) -- another thread waits for it, too
    green.spawn_n(pcall, green.wait_fd, w.near[i]:getfd(), "w", 0.001)
  end,
  function(w, i) -- it is closed, and another one is made, perhaps of its number
    take(w, w.near[i])
    w.near[i]:close()
    w.far[i]:close()
    w.connect(i)
  end,
  function(_, _, threads) -- a thread is struck
    local t = threads[math.random(#threads)]
    if math.random(2) == 1 then t:kill() else t:throw "struck" end
  end,
}

describe("select among threads that do what they like", function()
  it(("ends as it should (FUZZ_SEED=%d)"):format(SEED), function()
    math.randomseed(SEED)
    local w = world(12)
    local threads, failed = {}, nil
    local former = green.on_error(function(err)
      if err ~= "struck" then failed = failed or err end
    end)
    local function fill()
      for i = 1, 6 do
        local status = threads[i] and threads[i]:status()
        if status == "failed" then
          local _, err = threads[i]:join()
          if err ~= "struck" then failed = failed or err end
        end
        if not status or status == "failed" or status == "killed" then
          threads[i] = green.spawn(selecting, w)
        end
      end
    end
    for _ = 1, 300 do
      fill()
      local i, n = math.random(w.n), math.random(20)
      moves[n <= 14 and 1 or n <= 16 and 2 or n <= 18 and 3 or 4](w, i, threads)
      if math.random(3) == 1 then green.sleep(math.random() * 0.001) end
      if failed then break end
    end
    fill()
    -- The bytes sent last are taken, however many threads look.
    for i = 1, w.n do moves[1](w, i) end
    help.wait_until(function()
      fill()
      return #socket.select(w.near, nil, 0) == 0
    end, "that all is taken")
    w.over = true
    for _, t in ipairs(threads) do t:join() end
    green.on_error(former)
    assert.is_nil(failed)
    w.close()
  end)
end)
