--- Runs Lua programs with spec/c/failing.c preloaded: system calls fail as the
--- programs plan, which also have dup, close, pipes and forked children.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

local preload = {}

local library

--- The shared object, as the build made it, or made now: another build of the
--- module under test changes nothing about it.
function preload.library()
  if library then return library end
  library = package.searchpath("spec.failing", package.cpath)
  if library then return library end
  local dir = shell.scratch()
  library = dir .. "/spec/failing.so"
  shell.run("mkdir %s/spec && cc -std=c11 -D_GNU_SOURCE -O1 -fPIC -shared "
            .. "$(tools/lua cflags %s) spec/c/failing.c -o %s -ldl", dir,
            shell.lua, library)
  preload.made = dir
  return library
end

--- Removes what was made.
function preload.clean()
  if preload.made then shell.run("rm -rf %s", preload.made) end
  library, preload.made = nil, nil
end

--- Runs the program (Lua text) with these arguments; returns what it wrote, and
--- raises with all of it unless it ended well within `seconds` (20).
function preload.run(text, arguments, seconds)
  local name = os.tmpname()
  local file <close> = assert(io.open(name, "w"))
  local so = preload.library()
  file:write(("package.cpath = %q .. ';' .. package.cpath\n"):format(
    so:gsub("spec/failing%.so$", "?.so")))
  file:write("local failing = require 'spec.failing'\n",
    "if os.getenv 'LUAGREEN_EAGER_GC' then require 'spec.eager_gc' end\n", text)
  file:close()
  local pipe = assert(io.popen(
    ("LD_PRELOAD=\"$LD_PRELOAD %s\" timeout -s KILL %d %s %s %s 2>&1"):format(
      so, seconds or 20, shell.lua, name, arguments or "")))
  local out = pipe:read "a"
  local ok, how, code = pipe:close()
  os.remove(name)
  if not ok then error(("%s %d:\n%s"):format(how, code, out), 2) end
  return out
end

return preload
