-- Any page in a browser of the same machine could run Lua in the program: the
-- body of a POST to the backdoor's port was read as lines of Lua.

local green = require "green"
local help = require "spec.help"

_G.touched = false

local BODY <const> = "_G.touched = true\r\n"

local REQUEST <const> = "%s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
  .. "Content-Length: 19\r\n\r\n" .. BODY

local function request(line)
  return REQUEST:format(line)
end

--- First lines of clients other than a person at a prompt.
local BEGINNINGS <const> = {
  ["a browser's POST"] = request "POST /",
  ["a GET with a body"] = request "GET /",
  ["a path"] = request "PUT /a/b?c=1&d=%20",
  ["an absolute URL"] = request "GET http://127.0.0.1:4000/",
  ["CONNECT"] = request "CONNECT 127.0.0.1:4000",
  ["OPTIONS *"] = request "OPTIONS *",
  ["a method of lower case"] = request "post /",
  ["a method that nobody knows"] = request "x-my!method /",
  ["HTTP/1.0"] = "POST / HTTP/1.0\r\n\r\n" .. BODY,
  ["http in lower case"] = "post / http/1.1\r\n\r\n" .. BODY,
  ["HTTP/2 by prior knowledge"] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" .. BODY,
  ["HTTP/0.9"] = "GET /\r\n" .. BODY,
  ["an answer"] = "HTTP/1.1 200 OK\r\n\r\n" .. BODY,
  ["bare line feeds"] = request("POST /"):gsub("\r", ""),
  ["bare carriage returns"] = request("POST /"):gsub("\n", ""),
  ["a CR LF first"] = "\r\n" .. request "POST /",
  ["many line ends first"] = ("\r\n"):rep(100) .. " \n" .. request "POST /",
  ["a space after it"] = "POST / HTTP/1.1 \r\n\r\n" .. BODY,
  ["a Ctrl-C in the body"] = request("POST /"):gsub("_G", "\3\n_G"),
  ["telnet's interrupt in the body"] =
    request("POST /"):gsub("_G", "\255\244\n_G"),
  ["a Ctrl-C before it"] = "\3" .. request "POST /",
  ["telnet's negotiation before it"] = "\255\251\31" .. request "POST /",
  ["a request that is Lua"] = "POST / HTTP/1.1\n" .. BODY,
  ["a WebSocket"] = "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: "
    .. "Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n" .. BODY,
  ["RTSP"] = "OPTIONS / RTSP/1.0\r\n\r\n" .. BODY,
  ["SIP"] = "INVITE sip:a@b SIP/2.0\r\n\r\n" .. BODY,
  ["SMTP"] = "EHLO example\r\nMAIL FROM:<a@b>\r\nDATA\r\n" .. BODY,
  ["SMTP with one word"] = "HELO\r\nMAIL FROM:<a@b>\r\nDATA\r\n" .. BODY,
  ["FTP"] = "USER anonymous\r\nPASS x\r\n" .. BODY,
  ["IRC"] = "NICK x\r\n" .. BODY,
  ["dict, as curl speaks it"] = "CLIENT libcurl 7.88\r\n" .. BODY,
  ["Redis"] = "*1\r\n$4\r\nPING\r\n" .. BODY,
  ["a header"] = "Host: 127.0.0.1\r\n\r\n" .. BODY,
  ["TLS"] = "\22\3\1\2\0\1\0\1\252\3\3abc\n" .. BODY,
  ["SOCKS"] = "\5\1\0\n" .. BODY,
}

local function with_door(opts, f)
  local reports = {}
  _G.touched = false
  local former = green.on_error(function(err)
    reports[#reports + 1] = tostring(err)
  end)
  local listener <close> = assert(green.listen("127.0.0.1", 0))
  local _, port = listener:getsockname()
  local server <close> = green.spawn(green.backdoor.server, listener, opts)
  local ok, err = pcall(f, port, reports, server)
  green.on_error(former)
  assert(ok, err)
end

local function connect(port)
  local c = assert(green.connect("127.0.0.1", port))
  c:settimeout(10)
  return c
end

--- The text until the server closes; nil: it does not.
local function until_closed(c)
  local data, err, partial = c:receive "*a"
  return (data or err == "closed" or err == "connection reset"
    or err == "connection reset by peer") and (data or partial)
end

local function sends(c, pieces)
  for piece in pieces do
    if not c:send(piece) then return end
  end
end

for _, opts in ipairs {{}, {token = "s3cret"}} do
  describe(opts.token and "a backdoor with a token" or "a backdoor", function()
    for name, text in pairs(BEGINNINGS) do
      it("hangs up on " .. name, function()
        with_door(opts, function(port)
          local c <close> = connect(port)
          c:send(text)
          -- A token is asked for three times; a line that is not HTTP may be a
          -- guess.
          if opts.token then c:shutdown "send" end
          assert.is_truthy(until_closed(c))
          assert.is_false(_G.touched)
        end)
      end)
    end

    it("hangs up on a request in single bytes", function()
      with_door(opts, function(port)
        local c <close> = connect(port)
        c:setoption("tcp-nodelay", true)
        sends(c, function(_, i) return i end and request("POST /"):gmatch ".")
        assert.is_truthy(until_closed(c))
        assert.is_false(_G.touched)
      end)
    end)

    it("hangs up on a request that never ends its first line", function()
      with_door(opts, function(port)
        local c <close> = connect(port)
        local flood <close> = green.spawn(function()
          c:send("POST /")
          while c:send(("a"):rep(4096)) do end
        end)
        assert.is_truthy(until_closed(c))
        assert.is_true((flood:join(10)))
      end)
    end)
  end)
end

describe("a backdoor", function()
  it("tells that it hung up, and on whom, without control characters",
    function()
      with_door({}, function(port, reports)
        green.sleep(1.1) -- the same is told once a second
        local c <close> = connect(port)
        c:send("POST /\200[2J HTTP/1.1\r\n")
        until_closed(c)
        help.wait_until(function() return #reports > 0 end)
        assert.matches("^backdoor: hung up on 127.0.0.1:%d+: a request of "
          .. "another protocol: POST /\\xc8%[2J HTTP/1.1", reports[1])
      end)
    end)

  it("tells about a flood of them once a second", function()
    with_door({}, function(port, reports)
      green.sleep(1.1)
      for _ = 1, 50 do
        local c <close> = connect(port)
        c:send(request "POST /")
        until_closed(c)
      end
      assert.is_true(#reports <= 10, #reports)
    end)
  end)

  it("goes on with a person whose first line is Lua, or the begin of it",
    function()
      for _, line in ipairs {"1 + 1", "=1+1", "x = 1", "for i = 1, 2 do",
        "print 'GET / HTTP/1.1'", "", "-- a comment", "help()", "a / b"} do
        with_door({}, function(port)
          local c <close> = connect(port)
          c:send("\r\n" .. line .. "\r\n\3print 'still' print 'here'\r\n")
          local seen = ""
          repeat
            local data = assert(c:recv(4096), line)
            seen = seen .. data
          until seen:find "still\nhere\n"
        end)
      end
    end)

  it("says so when the first line is not Lua", function()
    with_door({}, function(port)
      local c <close> = connect(port)
      c:send "what is this\r\n"
      assert.matches("a first line that is not Lua", until_closed(c))
    end)
  end)

  it("takes any mistake later, and in a Unix socket at once", function()
    with_door({}, function(port)
      local c <close> = connect(port)
      c:send "1\nwhat is this\nPOST / HTTP/1.1\nprint 'still here'\n"
      local seen = ""
      repeat seen = seen .. assert(c:recv(4096)) until seen:find "still here\n"
    end)
    local path = os.tmpname()
    os.remove(path)
    local l <close> = assert(green.listen("unix:" .. path))
    local t <close> = green.spawn(green.backdoor.server, l)
    local c <close> = assert(green.connect("unix:" .. path))
    c:send "what is this\nprint 'still here'\n"
    local seen = ""
    repeat seen = seen .. assert(c:recv(4096)) until seen:find "still here\n"
    assert.equal("blocked", t:status())
  end)
end)
