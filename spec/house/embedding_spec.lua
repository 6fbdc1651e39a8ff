--- The programs of docs/embedding.md: each is compiled with the flags of an
--- installed library, as a user's is, and prints what its last comment says
--- ("prints:"; "..." stands for anything). "needs: PACKAGE" in its first
--- comment names what else it needs, by the name that pkg-config knows;
--- "server: postgres" has one started.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"
local snippets = require "spec.snippets"

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  return text
end

local function list(command)
  local names = {}
  for name in shell.run(command):gmatch "[^\n]+" do names[#names + 1] = name end
  return names
end

describe("docs/embedding.md", function()
  it("shows parts of programs that are compiled", function()
    local shown = 0
    for name, code in read "docs/embedding.md"
      :gmatch "<!%-%- from (%S+) %-%->\n```c\n(.-)```" do
      local source = read("examples/embed/" .. name)
      local is_there = source:find(code, 1, true)
      assert(is_there, name .. " has no such lines:\n" .. code)
      shown = shown + 1
    end
    assert.is_true(shown > 0)
  end)

  it("has each function of the headers, by the stack that may call it",
    function() shell.run("%s tools/calls", shell.lua) end)
end)

describe("examples/embed", function()
  local dir, flags
  setup(function()
    dir = shell.scratch()
    shell.run("make -s install PREFIX=%s/prefix", dir)
    flags = ("PKG_CONFIG_PATH=%s/prefix/lib/pkgconfig pkg-config --cflags "
             .. "--libs luagreen-lua"):format(dir)
  end)
  teardown(function() shell.run("rm -rf %s", dir) end)

  for _, path in ipairs(list "ls examples/embed/*.c") do
    local source = read(path)
    local needs = source:match "needs: (%S+)" or ""
    local name = path:match "([^/]+)%.c$"

    it(name .. ".c prints what it says", function()
      local server, stop = "", nil
      local promised = source:match "/%* prints:\n(.-)%*/%s*$"
      assert(promised, path .. " does not end with what it prints")
      if needs ~= "" and not os.execute("pkg-config --exists " .. needs) then
        return pending(needs .. " is not installed")
      end
      shell.run("cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror %s -o %s/%s "
                .. "$(%s %s)", path, dir, name, flags, needs)
      if source:find "server: postgres" then
        server, stop = require "spec.postgres".start()
        if not server then return pending(stop) end
      end
      local ok, text = pcall(shell.run, "cd %s && LD_LIBRARY_PATH=%s/prefix/"
        .. "lib LUA_PATH='%s/prefix/share/lua/%s/?.lua;%s/prefix/share/lua/%s/"
        .. "?/init.lua' %s timeout 60 ./%s", dir, dir, dir, shell.version, dir,
        shell.version, server, name)
      if stop then stop() end
      assert(ok, text)
      assert.matches(snippets.pattern((promised:gsub("\n %* ?", "\n")
        :gsub("^ %* ?", ""):gsub("%s+$", ""))), (text:gsub("%s+$", "")))
    end)

    it(name .. ".c has 60 lines of C at most, but for modules", function()
      if source:find "luaopen_" then return end
      local code = source:gsub("/%*.-%*/", "")
        :gsub("#include[^\n]*\n", "")
        :gsub("static const char [A-Z]+%[%] =.-;\n", "") -- a script
        :gsub("\n%s*\n+", "\n")
      local _, lines = code:gsub("\n", "")
      assert.is_true(lines <= 60, ("it has %d"):format(lines))
    end)
  end
end)
