-- The promise that LuaSocket's own tests pass on green.socket, in the main
-- thread, in a green thread, and in one that is preempted, as far as they pass
-- on LuaSocket. They run from a checkout that LUASOCKET_TESTS names,
-- .../luasocket/test, and take some minutes (LIMIT=400 tools/specs ...);
-- without it they are skipped.
-- SPDX-License-Identifier: MIT

local green = require "green"

local DIR <const> = os.getenv "LUASOCKET_TESTS"
local MODES <const> = {"real", "main", "thread", "preempted"}

local function output(command)
  local p <close> = assert(io.popen(command))
  return p:read "a"
end

local HERE <const> = output "pwd":gsub("\n", "")

local function free_port()
  local sock = assert(green.socket.bind("127.0.0.1", 0))
  local _, port = sock:getsockname()
  sock:close()
  return port
end

--- The programs of a test run at the same time in all modes, each in a process
--- of its own; `server`, if there is one, before `client`, and is ended after
--- it. What the client of each mode has written, and its exit code.
local function run(client, server)
  local script = {("cd '%s' || exit 1"):format(DIR)}
  for _, mode in ipairs(MODES) do
    local program = ("${LUA:-lua5.4} '%s/spec/net/luasocket_runner.lua' %s %d")
      :format(HERE, mode, free_port())
    script[#script + 1] = ([[
      (
        mkdir "$tmp/%s" && cp -r . "$tmp/%s" && cd "$tmp/%s" || exit 1
        server='%s'
        if [ "$server" ]; then
          %s $server >server.out 2>&1 & pid=$!
          while ! grep -q waiting server.out && kill -0 $pid; do sleep 0.1; done
        fi
        timeout 110 %s %s >../%s.out 2>&1
        echo "exit $?" >>../%s.out
        [ -z "$server" ] || kill $pid
      ) 2>/dev/null &]]):format(mode, mode, mode, server or "", program,
      program, client, mode, mode)
  end
  local dir = os.tmpname()
  os.remove(dir)
  os.execute(("mkdir '%s'; tmp='%s'; %s\nwait"):format(dir, dir,
    table.concat(script, "\n")))
  local results = {}
  for _, mode in ipairs(MODES) do
    local f <close> = assert(io.open(("%s/%s.out"):format(dir, mode)))
    results[mode] = f:read "a"
  end
  os.execute(("rm -r '%s'"):format(dir))
  return results
end

local function passes(text)
  return text:find "exit 0\n$" and not text:find "ERROR"
end

describe("the tests of LuaSocket pass on green.socket:", function()
  for _, test in ipairs {
    {"testclnt.lua", "testsrvr.lua"}, {"utestclnt.lua", "utestsrvr.lua"},
    {"excepttest.lua"}, {"test_bind.lua"}, {"test_getaddrinfo.lua"},
    {"test_socket_error.lua"}, {"ltn12test.lua"}, {"mimetest.lua"},
    {"urltest.lua"}, {"stufftest.lua"}, {"hello.lua"},
    {"tcp-getoptions"}, {"udp-zero-length-send"},
    {"udp-zero-length-send-recv"},
  } do
    it(test[1], function()
      if not DIR then return pending "LUASOCKET_TESTS names no checkout" end
      local found = run(test[1], test[2])
      if not passes(found.real) then
        return pending("fails on LuaSocket, too: " .. found.real:sub(-300))
      end
      for _, mode in ipairs {"main", "thread", "preempted"} do
        assert.equal("", passes(found[mode]) and "" or found[mode])
      end
    end)
  end
end)


