-- How the library's Lua modules are made: see CONTRIBUTING.md.
--
-- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

local files = {}
for path in io.popen "find lua -name '*.lua' | sort":lines() do
  files[#files + 1] = path
end

--- The compiler that lists its code; nil: there is none.
local luac
for _, name in ipairs {"luac5.4", "luac5.5", "luac"} do
  if not luac and os.execute(name .. " -p lua/green/init.lua 2>/dev/null") then
    luac = name
  end
end

--- The listing of these files, line by line; empty without a compiler.
local function listing(paths)
  if not luac then return function() end end
  return io.popen(luac .. " -l -p " .. paths):lines()
end

local function contents(path)
  local f <close> = assert(io.open(path))
  return f:read "a"
end

describe("a module of the library", function()
  it("looks for no global while it runs", function()
    assert.is_true(#files > 20)
    if not luac then
      pending "no luac"
      return
    end
    shell.run("cd %s && tools/globals $(find lua -name '*.lua') bin/luagreen",
      io.popen "pwd":read "l")
  end)

  it("has functions of at most 40 lines, and none around them all", function()
    if not luac then
      pending "no luac"
      return
    end
    local n = 0
    for _, path in ipairs(files) do
      for line in listing(path) do
        local from, to = line:match "^function <[^:]+:(%d+),(%d+)>"
        if from then
          n = n + 1
          assert(to - from < 40, ("%s:%d has %d lines"):format(path, from,
            to - from + 1))
        end
      end
    end
    assert.is_true(n > 300)
  end)

  it("sets no global when it is loaded", function()
    for _, path in ipairs(files) do
      for line in listing(path) do
        assert.is_nil(line:match "SETTABUP.*; _ENV \"(%w+)\"", path)
      end
    end
  end)

  it("has its standard library from when luagreen was loaded, if it is loaded "
    .. "later", function()
      local green = require "green"
      for _, name in ipairs {"backdoor", "dag", "dns", "health", "metrics",
        "profile", "test", "trace"} do
        assert.matches('local _ENV <const> = require "green.runtime.std"',
          contents("lua/green/" .. name .. ".lua"), 1, true)
        assert.equal(require("green." .. name), green[name])
      end
    end)
end)
