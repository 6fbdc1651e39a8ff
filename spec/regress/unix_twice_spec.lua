-- Between bind and listen a Unix socket looks like one that was left behind, so
-- two processes that started at once could both "listen" on one path. Of two
-- that find a file left behind, the later one could remove the earlier one's,
-- whatever they bind.
--
-- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

--- Listens, says so or why not, and stays until its input ends; or dies.
local PROGRAM <const> = [=[
local green = require "green"
local l, err = green[arg[2]]("unix:" .. arg[1])
print(l and "listens" or err)
io.stdout:flush()
if arg[3] == "dies" then os.exit(0, false) end
io.read()
if l then l:close() end
]=]

--- Four at once, each with its own output; they stay until all have said what
--- they found.
local FOUR <const> = [[
cd %s && export LUA_PATH='%s' LUA_CPATH='%s'
mkfifo hold
for i in 1 2 3 4; do %s program.lua %s %s <hold >out$i & done
exec 9>hold
for i in 1 2 3 4; do while ! [ -s out$i ]; do sleep 0.01; done; done
exec 9>&-
wait
cat out?
rm out? hold]]

describe("processes that take one Unix path at once", function()
  local dir
  setup(function()
    dir = shell.scratch()
    local file <close> = assert(io.open(dir .. "/program.lua", "w"))
    file:write(PROGRAM)
  end)
  teardown(function() shell.run("rm -rf %s", dir) end)

  local path, cpath
  local function absolute(list)
    return (list:gsub("[^;]+", function(place)
      return place:sub(1, 1) == "/" and place
        or shell.run("pwd"):match "[^\n]+" .. "/" .. place
    end))
  end

  local function one_of_four(call)
    path, cpath = absolute(package.path), absolute(package.cpath)
    for round = 1, 16 do
      local name = ("%d.sock"):format(round)
      if round % 2 == 0 then -- a file is left behind
        shell.run("cd %s && LUA_PATH='%s' LUA_CPATH='%s' %s program.lua %s "
                  .. "%s dies", dir, path, cpath, shell.lua, name, call)
      end
      local said = shell.run(FOUR, dir, path, cpath, shell.lua, name,
        call)
      local _, listen = said:gsub("listens", "")
      local _, used = said:gsub("address already in use", "")
      assert.same({1, 3}, {listen, used}, said)
    end
    assert.equal("program.lua\n", shell.run("ls %s", dir))
  end

  it("are told that it is in use, but one of them", function()
    one_of_four "listen"
  end)

  it("are told so about datagrams, too", function() one_of_four "udp" end)
end)
