--- `bench/run`: what a bar compares runs by turns, and what the bar makes of
--- that. Its programs here are scripts that print figures from a list. And
--- `bench/instructions`, whose figures nobody expects.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

--- Takes the first word from the file of the figures, and notes who did.
local program = [[
cd "${0%/*}" && echo "$1" >>log
read -r figure rest <"$1" && echo "$rest" >"$1" && echo "$figure"
]]

--- A subject whose first bar compares two of three programs.
local subjects = [[
local here = ...
local subject = {
  name = "switch", title = "a switch", pinned = true, more = %s, runs = 2,
  seconds = 60, turns = {least = 3, most = 3, seconds = 0},
  columns = {{label = "10", args = ""}}, rows = {},
}
for name, file in pairs{luagreen = "ours", ["bare Lua"] = "theirs",
                        others = "others"} do
  table.insert(subject.rows, {name = name, needs = "lua",
                              command = "sh %s/program " .. file .. " %%s"})
end
table.sort(subject.rows, function(a, b) return a.name > b.name end)
return {
  programs = {}, thousands = function(digits) return digits end,
  subjects = function() return {subject} end,
}
]]

describe("bench/run", function()
  local dir

  before_each(function()
    dir = shell.scratch()
    shell.run("cp bench/run bench/bars.lua bench/turns.lua %s", dir)
    write(dir .. "/program", program)
  end)
  after_each(function() shell.run("rm -rf %s", dir) end)

  --- Returns what it prints, and the order of the runs.
  local function run(figures, more)
    write(dir .. "/subjects.lua", subjects:format(more or false, dir))
    for name, list in pairs(figures) do
      write(dir .. "/" .. name, list .. "\n")
    end
    local text = shell.run("BUILD=%s/build %s %s/run", dir, shell.lua, dir)
    return text, (shell.run("cat %s/log", dir):gsub("\n", " "))
  end

  --- The words of the line that begins so.
  local function line(text, start)
    return (("\n" .. text):match("\n  " .. start .. " *([^\n]*)")
      :gsub(" +", " "))
  end
  local bar = "sleep%(0%) / bare Lua, 10 threads"

  it("runs by turns what a bar compares, then the others", function()
    local _, order = run {ours = "3 3 3", theirs = "9 9 9", others = "1 1 1"}
    assert.equal("ours theirs ours theirs ours theirs others others ", order)
  end)

  it("measures a bar by the least of each side, and shows the median too",
     function()
       local text = run {ours = "8 3 4", theirs = "10 30 10", others = "7 6"}
       assert.equal("<= 0.35 3.0 10.0 0.30 0.40 met", line(text, bar))
       assert.equal("3.0", line(text, "luagreen"))
       assert.equal("6.0", line(text, "others"))
     end)

  it("takes the greatest where more is better", function()
    local text = run({ours = "8 3 4", theirs = "10 30 10", others = "6 7"},
                     true)
    assert.equal("<= 0.35 8.0 30.0 0.27 0.40 met", line(text, bar))
    assert.equal("7.0", line(text, "others"))
  end)

  it("says by how much a bar is missed", function()
    local text = run {ours = "7 7 7", theirs = "10 10 10", others = "1 1"}
    assert.equal("<= 0.35 7.0 10.0 0.70 0.70 missed by 100 %", line(text, bar))
  end)

  it("runs what failed no more, and does not measure its bar", function()
    local text, order = run {ours = "3 3 3", theirs = "9 bad", others = "- 1"}
    assert.equal("ours theirs ours theirs ours others ", order)
    assert.equal("<= 0.35 3.0 not measured", line(text, bar))
    assert.equal("failed", line(text, "bare Lua"))
    assert.equal("-", line(text, "others"))
    assert.truthy(text:find("(bare Lua, 10: no output)", 1, true))
  end)
end)

describe("the turns", function()
  local turns = dofile "bench/turns.lua"

  --- How many turns a plan takes.
  local function taken(plan)
    local function run() return {value = 1} end
    return #turns.take({{runs = {}}}, plan, run)[1]
  end

  it("are as many as the time allows", function()
    assert.equal(12, taken {least = 3, most = 12, seconds = math.huge})
    assert.equal(3, taken {least = 3, most = 12, seconds = -1})
  end)
end)

describe("bench/instructions", function()
  --- With the library, which shell.run hides.
  local environment = ("LUA_PATH='%s' LUA_CPATH='%s' "):format(package.path,
                                                               package.cpath)

  it("counts steps that work", function()
    local names = shell.run("%s bench/steps.lua", shell.lua)
    assert.truthy(names:find "%f[%w]sleep%f[%W]")
    for name in names:gmatch "%S+" do
      assert.equal("", shell.run("%s %s bench/steps.lua %s 200", environment,
                                 shell.lua, name))
    end
  end)

  it("prints a line for each step", function()
    if not pcall(shell.run, "valgrind --tool=callgrind "
                 .. "--callgrind-out-file=/dev/null true") then
      return pending "there is no valgrind"
    end
    local text = shell.run("%s bench/instructions resume sleep", environment)
    assert.truthy(text:find "^instructions a step\n  resume +%d+\n"
                  and text:find "\n  sleep +%d+\n$", text)
  end)

  it("says that valgrind is missing, or a step", function()
    assert.error_matches(function()
      shell.run "PATH=/nowhere /bin/sh bench/instructions"
    end, "there is no valgrind in the path")
    assert.error_matches(function()
      shell.run("%s bench/steps.lua jump 1", shell.lua)
    end, "no step 'jump'")
  end)
end)
