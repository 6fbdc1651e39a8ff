-- A script with the grant "connect" or "listen" read files of the program's by
-- TLS parameters (cafile, key ...), and made and removed files as Unix sockets.
-- SPDX-License-Identifier: MIT

local green = require "green"
local tls = require "spec.tls"

--- Runs a script with these grants and globals; returns its result.
local function run(grants, globals, text)
  local box = green.sandbox {grants = grants, globals = globals}
  local ok, result = box:spawn([[
    local function refused(f, ...)
      local ok, err = pcall(f, ...)
      return not ok and err:find("names a file", 1, true) ~= nil
    end
    local function all(...)
      for i = 1, select("#", ...) do
        if select(i, ...) ~= true then return i end
      end
      return true
    end
  ]] .. text):join(30)
  assert.is_true(ok, tostring(result))
  return result
end

describe("a script without the grant io", function()
  local name
  before_each(function() name = os.tmpname() os.remove(name) end)
  after_each(function() os.remove(name) end)

  it("names no Unix socket by its path", function()
    assert.is_true(run({"connect", "listen"}, {name = name}, [[
      local path = "unix:" .. name
      local sock = green.udp "unix:"
      local plain = green.socketpair "datagram"
      return all(refused(green.connect, path), refused(green.listen, path),
        refused(green.udp, path), refused(sock.sendto, sock, "x", name),
        refused(sock.setsockname, sock, name),
        refused(sock.setpeername, sock, name),
        refused(plain.setpeername, plain, name))]]))
    assert.is_nil(io.open(name))
  end)

  it("has Unix sockets with abstract names", function()
    assert.equal("hello", run({"connect", "listen"},
      {name = "unix:@" .. name}, [[
      local l = assert(green.listen(name))
      local c = assert(green.connect(name))
      c:send "hello\n"
      local s = assert(l:accept())
      return s:receive()]]))
  end)

  it("gives TLS no file", function()
    if not tls then return pending "no TLS" end
    local certs = tls.certificates
    local l <close> = assert(green.listen("127.0.0.1", 0))
    local _, port = l:getsockname()
    local server <close> = green.spawn(function()
      while true do l:accept() end
    end)
    assert(server)
    assert.is_true(run({"connect", "listen"}, {certs = certs, port = port}, [[
      local function with(params)
        local ok = refused(green.connect, "127.0.0.1", port, {tls = params})
        local mine = {mode = "server"}
        for k, v in pairs(params) do mine[k] = v end
        return ok and refused(green.listen, "127.0.0.1", 0, {tls = mine})
      end
      local reads = 0
      local changing = setmetatable({depth = 1}, {
        __index = function(_, key)
          if key ~= "cafile" then return nil end
          reads = reads + 1
          return certs.ca
        end})
      return all(with {cafile = certs.ca}, with {capath = certs.folder},
        with {certificate = certs.path "server", key = certs.path "server-key"},
        with {certificates = {{certificate = certs.path "server"}}},
        with {dhparam = "/etc/passwd"},
        refused(green.connect, "127.0.0.1", port, {tls = changing}), reads > 0,
        refused(green.listen, "127.0.0.1", 0, {tls = {
          sni = {a = {certificate = certs.path "server"}}}}))]]))
  end)

  it("gives TLS texts of certificates, and contexts of the program", function()
    if not tls then return pending "no TLS" end
    local function text(path)
      local f <close> = assert(io.open(path))
      return f:read "a"
    end
    local certs = tls.certificates
    local context = require "green.tls".context {cafile = certs.ca}
    assert.equal("hello", run({"connect", "listen"}, {context = context,
      certificate = text(certs.path "server"), key =
      text(certs.path "server-key"), ca = text(certs.ca)}, [[
      local l = assert(green.listen("127.0.0.1", 0, {tls = {
        certificate = certificate, key = key}}))
      local _, port = l:getsockname()
      green.spawn_n(green.serve, l, function(c) c:send(c:receive() .. "\n") end)
      local said
      for _, params in ipairs {{cafile = ca}, {context = context}} do
        local c = assert(green.connect("127.0.0.1", port, {tls = params}))
        c:send "hello\n"
        said = c:receive()
      end
      return said]]))
  end)
end)

describe("a script with the grant io", function()
  it("names files for sockets and TLS, too", function()
    local name = os.tmpname()
    os.remove(name)
    assert.equal("hello", run({"connect", "listen", "io"},
      {name = "unix:" .. name}, [[
      local l = assert(green.listen(name))
      local c = assert(green.connect(name))
      c:send "hello\n"
      local s = assert(l:accept())
      local text = s:receive()
      l:close()
      return text]]))
    assert.is_nil(io.open(name))
    if not tls then return end
    local err = run({"connect", "listen", "io"}, {}, [[
      return select(2, green.listen("127.0.0.1", 0, {tls = {
        mode = "server", certificate = "/nonexistent"}}))]])
    assert.matches("error loading certificate '/nonexistent'", err, 1, true)
  end)
end)
