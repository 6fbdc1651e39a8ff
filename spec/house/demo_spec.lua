--- examples/demo: what it shows, and that it leaves nothing behind, however and
--- whenever it ends. tools/chroots tests the installing of `make demo`.
---
--- SPDX-License-Identifier: MIT

local help = require "spec.help"
local shell = require "spec.shell"
local terminal = require "spec.terminal"

local TRIALS <const> = 8
local SIGNALS <const> = {"INT", "TERM", "HUP", "QUIT", "PIPE", "KILL"}

-- The demo is started in a session of its own with a directory for temporary
-- files and a mark in its environment, by which what it starts is found again.
-- After some seconds it is struck by a signal, or all its processes are. Prints
-- what is left of it.
local TRIAL <const> = [=[
  dir=%s seconds=%f signal=%s all=%s
  mkdir $dir/tmp
  left() {
    grep -lazF "DEMO_MARK=$dir" /proc/[0-9]*/environ 2>/dev/null
  }
  env --default-signal=HUP,INT,QUIT,TERM,PIPE TMPDIR=$dir/tmp DEMO_MARK=$dir \
    setsid examples/demo >$dir/out 2>&1 &
  sleep $seconds
  kill -s $signal -- $all$!
  wait $! 2>/dev/null
  for _ in $(seq 100); do
    [ -n "$(left)" ] || break
    sleep 0.1
  done
  for p in $(left); do tr '\0' ' ' <${p%%/*}/cmdline; done
  ls -A $dir/tmp
]=]

local function no_client()
  if not (terminal.missing "telnet" and terminal.missing "nc") then return end
  pending "neither telnet nor nc is installed"
  return true
end

describe("the demo", function()
  local dir
  before_each(function() dir = shell.scratch() end)
  after_each(function() shell.run("rm -rf %s", dir) end)

  it("shows the service at work and ends", function()
    if no_client() then return end
    local out = shell.run "timeout 60 examples/demo"
    for _, text in ipairs {"+PONG", "hello, world", "\n3000\n",
                           "changed by hand", "stack traceback:",
                           "socket:accept", "ended after"} do
      assert.matches(text, out, 1, true)
    end
  end)

  it("leaves no process and no file when a signal ends it", function()
    if no_client() then return end
    math.randomseed(help.seed)
    for trial = 1, TRIALS do
      local signal = SIGNALS[math.random(#SIGNALS)]
      local all = math.random(2) == 1 and "-" or ""
      local seconds = 4 * math.random() ^ 2
      shell.run("mkdir %s/%d", dir, trial)
      local left = shell.run(TRIAL, dir .. "/" .. trial, seconds, signal, all)
      assert.equal("", left, ("SIG%s after %.3f s, seed %d"):format(
        signal, seconds, help.seed))
    end
  end)

  it("shows twice at once what it shows alone", function()
    if no_client() then return end
    local out = shell.run "timeout 60 examples/demo & timeout 60 examples/demo"
    assert.equal(2, select(2, out:gsub("\n3000%f[\n]", "")))
  end)

  it("says in words that a port is taken", function()
    if no_client() then return end
    local out = shell.run "PORT=none examples/demo; test $? = 1"
    assert.matches("cannot listen on 127.0.0.1:none", out, 1, true)
  end)
end)
