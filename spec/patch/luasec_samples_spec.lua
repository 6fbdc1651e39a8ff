-- What a user may rely on: LuaSec's own samples run patched as they run without
-- us, and say the same. They come from a checkout that LUASEC_SAMPLES names,
-- .../luasec/samples; without it they are skipped.
-- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local DIR <const> = os.getenv "LUASEC_SAMPLES"
--- Samples whose server and client both end. The others talk until they are
--- stopped, or need what a test has not: names in the DNS, a library.
local SAMPLES <const> = {"alpn", "chain", "curve-negotiation", "dhparam",
  "digest", "ecdh", "info", "oneshot", "sni", "verify"}

local function output(command)
  local p <close> = assert(io.popen(command))
  return p:read "a"
end

if not DIR then
  describe("LuaSec's samples", function()
    it("run patched", function() pending "LUASEC_SAMPLES is not set" end)
  end)
  return
end

local HERE <const> = output "pwd":gsub("\n", "")

--- Certificates by LuaSec's own scripts, in a copy.
local copy <const> = os.tmpname()
os.remove(copy)
assert(os.execute(("cp -r '%s' %s && cd %s/certs && unset LD_PRELOAD && "
  .. "sh ./all.sh >/dev/null 2>&1"):format(DIR, copy, copy)))
local guard <const> = setmetatable({}, {__gc = function()
  os.execute("rm -rf " .. copy)
end})

local function free_port()
  local listener <close> = assert(green.listen("127.0.0.1", 0))
  return (select(2, listener:getsockname()))
end

--- Server, then client, each in a process of its own, on a port of ours. Lines
--- in any order, as pairs() has none; without addresses and names of programs.
local SCRIPT <const> = [[
run='%s' port=%d
cp -r '%s/%s' "$tmp/s" && ln -s '%s/certs' "$tmp/certs" && cd "$tmp/s" || exit
sed -i "s/8888/$port/g" *.lua
timeout 20 $run server.lua >../server 2>&1 </dev/null & server=$!
hex=$(printf '%%04X' $port)
while ! grep -q ":$hex 0*:0000 0A" /proc/net/tcp && kill -0 $server; do
  sleep 0.02
done
timeout 20 $run client.lua >../client 2>&1 </dev/null
echo "client: $?" >>../client
wait $server
echo "server: $?" >>../server
cat ../client ../server | sed -E 's/0x[0-9a-f]+|^lua[a-z0-9.]*: //g
  /\[C\]: in \?/d' | sort]]

local function run(sample, command)
  local name = os.tmpname()
  local file <close> = assert(io.open(name, "w"))
  file:write("tmp=$(mktemp -d); (", SCRIPT:format(command, free_port(), copy,
    sample, copy), ") 2>/dev/null; rm -rf $tmp\n")
  file:close()
  local said = output("sh " .. name)
  os.remove(name)
  return said
end

describe("LuaSec's sample", function()
  for _, sample in ipairs(SAMPLES) do
    it(sample .. " says the same, patched", function()
      local plain = run(sample, help.lua)
      assert.matches("client: %d", plain)
      assert.equal(plain, run(sample, HERE .. "/bin/luagreen --patch"))
    end)
  end
  assert(guard)
end)
