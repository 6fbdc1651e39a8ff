--- Programs on a terminal of their own (script's), into which we type. We read
--- their output from a file, as it grows.
---
--- SPDX-License-Identifier: MIT

local green = require "green"
local help = require "spec.help"

local terminal = {}
local Terminal = {}
Terminal.__index = Terminal

function terminal.run(command)
  local base = os.tmpname()
  os.remove(base)
  local typing, shown = base .. ".in", base .. ".out"
  assert(os.execute("mkfifo " .. typing))
  assert(os.execute(("TERM=vt100 timeout 60 script -qfc '%s' %s <%s "
    .. ">/dev/null 2>&1 &"):format(command, shown, typing)))
  local self = setmetatable({shown = shown, from = 1, typing = typing,
    keys = assert(io.open(typing, "w"))}, Terminal)
  self.keys:setvbuf "no"
  return self
end

function Terminal:__close()
  self.keys:close()
  os.remove(self.typing)
  os.remove(self.shown)
end

function Terminal:type(text) self.keys:write(text) end

function Terminal:expect(text)
  local found, all
  local ok = pcall(help.wait_until, function()
    local f = io.open(self.shown)
    all = f and f:read "a" or ""
    if f then f:close() end
    local _, stop = all:find(text, self.from, true)
    if stop then
      found = all:sub(self.from, stop)
      self.from = stop + 1
    end
    green.sleep(0.001)
    return stop
  end)
  if not ok then error(("%q never came: %q"):format(text, all:sub(-500)), 2) end
  return found
end

--- A backdoor on a Unix socket (path), for `luagreen top` to look at.
function terminal.backdoor()
  local path = help.name()
  local listener = assert(green.listen("unix:" .. path, nil, {mode = "0600"}))
  local server = green.spawn(green.backdoor.server, listener)
  return setmetatable({path = path}, {__close = function()
    listener:close()
    server:kill()
    server:join()
    help.wait_until(function()
      for _, t in ipairs(green.threads()) do
        if t.name:find "^backdoor" then return false end
      end
      return true
    end, "no sessions")
  end})
end

function terminal.missing(program)
  return not os.execute("command -v " .. program .. " >/dev/null 2>&1")
end

return terminal
