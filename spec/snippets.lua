--- Finds and runs the programs in Markdown pages, and compares their output
--- with their comments.
---
--- Each block of Lua is a program, or goes on with the one before it, when the
--- line above it is `<!-- continues -->`. `require "green"` may be left out.
--- Its output, on either stream, must be the comments `--> text`, in order:
--- `...` in one stands for anything, alone for any number of lines. A program
--- may fail only if a line says so: `--> lua5.4: ...`, which stands for
--- whatever the interpreter is called.
---
--- In a table whose second heading is "luagreen" all code in the second cell
--- of a row is run, each piece as a program, with the names of spec/rows.lua.
---
--- SPDX-License-Identifier: MIT

local shell = require "spec.shell"

local snippets = {}

local CONTINUES <const> = "<!-- continues -->"

--- The programs of a page: {line, code, ...}, the lines of the code as they
--- are in the page.
function snippets.programs(path)
  local list, lines, n, before = {}, nil, 0, ""
  for line in io.lines(path) do
    n = n + 1
    if lines and line == "```" then
      lines = nil
    elseif lines then
      lines[#lines + 1] = line
    elseif line == "```lua" then
      if before ~= CONTINUES then list[#list + 1] = {line = n, path = path} end
      lines = list[#list]
    end
    if line ~= "" then before = line end
  end
  return list
end

--- The code in the second cells of the tables: {line, code}.
function snippets.rows(path)
  local list, n, ours = {}, 0, false
  for line in io.lines(path) do
    n = n + 1
    local cell = line:match "^|.-[^\\]|(.*)|$"
    if not cell then
      ours = false
    elseif cell:find "^%s*luagreen" then
      ours = true
    elseif ours then
      for code in cell:gmatch "`([^`]+)`" do
        list[#list + 1] = {line = n, code = code:gsub("\\|", "|"), path = path}
      end
    end
  end
  return list
end

--- The targets that links into a page may name: its headings, as web sites
--- spell them, and ids.
local function anchors(path)
  local set, code = {}, false
  for line in io.lines(path) do
    if line:find "^```" then code = not code end
    local heading = not code and line:match "^#+ (.*)$"
    if heading then
      set[heading:lower():gsub("[^%w%s_-]", ""):gsub(" ", "-")] = true
    end
    local id = line:match '^<a id="(.-)">'
    if id then set[id] = true end
  end
  return set
end

--- The links of a page that lead nowhere, of those within the project.
function snippets.broken_links(path)
  local text = table.concat(snippets.text(path), "\n")
  local broken, folder = {}, path:match "^(.*/)" or ""
  for link in text:gsub("\n", " "):gmatch "%]%(([^)]+)%)" do
    local file, anchor = link:match "^([^#]*)#?(.*)$"
    local target = file == "" and path or folder .. file
    local exists = link:find "^%a+:" or os.execute("test -e " .. target)
    if not exists or anchor ~= "" and not anchors(target)[anchor] then
      broken[#broken + 1] = link
    end
  end
  return broken
end

--- The lines of a page outside of its programs.
function snippets.text(path)
  local lines, code = {}, false
  for line in io.lines(path) do
    if line:find "^```" then
      code = not code
    elseif not code then
      lines[#lines + 1] = line:gsub("`[^`]*`", "")
    end
  end
  return lines
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

--- The first line of an error begins with the interpreter's name.
local function called_lua(line)
  if line:sub(1, #shell.lua + 2) ~= shell.lua .. ": " then return line end
  return "lua5.4" .. line:sub(#shell.lua + 1)
end

--- Runs a program in that folder: its output as lines, and its exit status.
local function run(dir, code)
  write(dir .. "/app.lua", code)
  local pipe = io.popen(("cd %s && timeout -k 1 20 %s app.lua 2>&1 </dev/null")
    :format(dir, shell.lua))
  local lines = {}
  for line in pipe:lines() do lines[#lines + 1] = line end
  if lines[1] then lines[1] = called_lua(lines[1]) end
  return lines, select(3, pipe:close())
end

--- The pattern of the text, in which "..." stands for anything.
function snippets.pattern(text)
  return "^" .. text:gsub("%p", "%%%0"):gsub("%%%.%%%.%%%.", ".*") .. "$"
end

--- Do the lines from i on match the wanted ones from j on?
local function matches(lines, i, wanted, j)
  if not wanted[j] then return lines[i] == nil end
  if wanted[j] == "..." then
    for k = i, #lines + 1 do
      if matches(lines, k, wanted, j + 1) then return true end
    end
    return false
  end
  return lines[i] and lines[i]:find(snippets.pattern(wanted[j])) ~= nil
    and matches(lines, i + 1, wanted, j + 1)
end

local function wanted_lines(program)
  local list, fails = {}, false
  for _, line in ipairs(program) do
    local text = line:match "%-%-> ?(.*)$"
    list[#list + 1] = text
    fails = fails or (text and text:find "^lua5.4: ") ~= nil
  end
  return list, fails
end

local function indented(lines)
  return "\n  " .. table.concat(lines, "\n  ")
end

--- Raises unless the program prints the text of its comments.
function snippets.check(dir, program)
  local code = table.concat(program, "\n") .. "\n"
  if not code:find "require \"green\"" then
    code = "local green = require \"green\" " .. code
  end
  local lines, status = run(dir, "io.stdout:setvbuf 'line' " .. code)
  local wanted, fails = wanted_lines(program)
  if not matches(lines, 1, wanted, 1) or (status ~= 0) ~= fails then
    error(("%s:%d: exit status %s; it printed%s\nit says%s"):format(
      program.path, program.line, status, indented(lines), indented(wanted)),
      0)
  end
end

--- Raises unless a row's code runs.
function snippets.check_row(dir, row)
  local here = io.popen("pwd"):read "l"
  local lines, status = run(dir, ("package.path = %q .. package.path\n"
    .. "require 'spec.rows' %q\n"):format(here .. "/?.lua;", row.code))
  if status ~= 0 then
    error(("%s:%d: %s%s"):format(row.path, row.line, row.code,
      indented(lines)), 0)
  end
end

return snippets
