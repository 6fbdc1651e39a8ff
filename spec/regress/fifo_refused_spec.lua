-- At the kernel's limit of epoll watches the whole process waited for the other
-- end of a FIFO, and for a command's end: other threads stood still, and if one
-- of them was the other end, for ever.
--
-- SPDX-License-Identifier: MIT

local preload = require "spec.preload"

local START <const> = [[
local green = require "green"
green.monkey_patch {io = true, os = true}
local path = os.tmpname()
os.remove(path)
assert(os.execute("mkfifo " .. path))
local guard <close> = setmetatable({}, {__close = function()
  failing.off()
  os.remove(path)
end})
failing.plan("epoll_ctl", 1, REFUSAL, 1000000000)
local function reads()
  local f <close> = assert(io.open(path))
  failing.off()
  return f:read "a"
end
]]

local function run(refusal, text)
  return preload.run((START .. text):gsub("REFUSAL", ("%q"):format(refusal)))
end

describe("a call on an OS thread that the kernel does not watch", function()
  teardown(preload.clean)

  for _, refusal in ipairs {"ENOSPC", "ENOMEM"} do
    it("holds nobody else up: " .. refusal, function()
      run(refusal, [[
        local t = green.spawn(reads)
        local f = assert(io.open(path, "w"))
        assert(f:write "text")
        f:close()
        assert(t:wait() == "text")]])
    end)

    it("can be killed: " .. refusal, function()
      run(refusal, [[
        local t = green.spawn(reads)
        green.sleep(0.02)
        t:kill()
        assert(not t:join())
        failing.off()
        io.open(path, "r+"):close() -- ends the OS thread's wait]])
    end)

    it("waits for commands beside others: " .. refusal, function()
      run(refusal, [[
        local t = green.spawn(function() return os.execute("cat " .. path) end)
        local f = assert(io.open(path, "w"))
        f:close()
        assert(t:wait() == true)]])
    end)
  end
end)
