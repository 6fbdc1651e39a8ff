--- Functions for specs that run other programs, compilers among them.
---
--- SPDX-License-Identifier: MIT

local shell = {}

--- The Lua that runs this: 5.4 or 5.5, and the interpreter for programs of
--- their own.
shell.version = _VERSION:match "%d+%.%d+"
shell.lua = os.getenv "LUA" or "lua" .. shell.version

--- Runs a command line (formatted); returns its output on stdout and stderr,
--- and raises with all of it unless it ended with 0. The module under test is
--- not in the command's way: LUA_PATH and LUA_CPATH are unset.
function shell.run(format, ...)
  local command = select("#", ...) > 0 and format:format(...) or format
  local pipe = assert(io.popen("unset LUA_PATH LUA_CPATH MAKEFLAGS; "
                               .. "export LUA=" .. shell.lua .. "; { "
                               .. command .. "\n} 2>&1 </dev/null"))
  local text = pipe:read("a")
  local ok, how, code = pipe:close()
  if not ok then
    error(("%s %d: %s\n%s"):format(how, code, command, text), 2)
  end
  return text
end

--- A new directory that the caller removes.
function shell.scratch()
  return (shell.run("mktemp -d"):match "[^\n]+")
end

return shell
