--- Cycles: threads that wait for each other, so that none of them will ever go
--- on. For the deadlock report and for dumps.
---
--- An edge leads from a thread to each thread that it waits for.
--- `cycles.awaited[kind]` finds the threads behind an object of that kind.
---
--- SPDX-License-Identifier: MIT

local _ENV <const> = require "green.runtime.std"
local core = require "green.core"
local ipairs, pcall, table = ipairs, pcall, table

local cycles = {}

--- The text as one line that is safe to show.
---@param text string
---@return string
function cycles.one_line(text)
  return core.printable((text:gsub("%c", function(c)
    return c == "\n" and "\\n" or ("\\%d"):format(c:byte())
  end)))
end

--- A thread, as "#2 fetch". Never raises.
---@param t green.thread
---@return string
function cycles.name(t)
  return ("#%d %s"):format(t.id, cycles.one_line(t.name))
end

local JOINS <const> = {
  ["thread:join"] = "join of",
  ["thread:wait"] = "wait for",
  ["close of a green thread"] = "close of",
}

--- The meaning of a thread's wait. For each kind of object there is a function
--- of the object, the fields of blocked() and the waiting thread. It returns a
--- list of the threads that the thread waits for, or nil, and a phrase that
--- names the wait before their names.
---@type table<string, fun(on, w, t): green.thread[]?, string?>
cycles.awaited = {
  thread = function(on, w)
    return {on}, JOINS[w.what]
  end,
  lock = function(lock)
    local owner = lock:owner()
    return owner and {owner}, "lock of"
  end,
}

local CREWS <const> = {pool = true, group = true, crew = true}

--- Does it wait for a thread, without a limit? Does not ask whether a crew that
--- it waits for can go on, as that would never end.
local function is_held(t)
  local w = t:blocked()
  if not w or w.deadline or w.on == nil then return false end
  return CREWS[core.type(w.on)] or #cycles.edges(t, w) > 0
end

--- Does it wait for all of them?
local function is_for_all(w)
  return w.what:find ":wait$" ~= nil
end

--- The other members of a pool, a group or an iterator's crew. A wait for all
--- of them is a wait for each; a wait for any one counts only if no other can
--- come first.
local function members(crew, w, t)
  local list, any = {}, not is_for_all(w)
  for _, member in ipairs(core.crew_methods.members(crew)) do
    if member ~= t then
      if any and not is_held(member) then return nil end
      list[#list + 1] = member
    end
  end
  return list
end

function cycles.awaited.pool(pool, w, t)
  return members(pool, w, t), is_for_all(w) and "wait for the pool of"
    or "slot of"
end

function cycles.awaited.group(group, w, t)
  return members(group, w, t), is_for_all(w) and "wait for the group of"
    or "slot of"
end

function cycles.awaited.crew(crew, w, t)
  return members(crew, w, t), is_for_all(w) and "wait for" or "result of"
end

--- The threads that a thread waits for. Never raises.
---@param t green.thread
---@param w? green.blocked  t:blocked() by default
---@return green.thread[]  list
---@return string? how
function cycles.edges(t, w)
  w = w or t:blocked()
  local kind = w and w.on ~= nil and core.type(w.on)
  local awaited = kind and cycles.awaited[kind]
  if not awaited then return {} end
  local ok, list, how = pcall(awaited, w.on, w, t)
  return ok and list or {}, how or kind .. " of"
end

--- The path from index i on, which is a cycle, as text. It begins with the
--- thread of the lowest id, so that each cycle has one form.
local function ring_text(path, i)
  local n, first = #path - i + 1, i
  for k = i, #path do
    if path[k].thread.id < path[first].thread.id then first = k end
  end
  local parts = {cycles.name(path[first].thread)}
  for k = 0, n - 1 do
    local at, after = path[i + (first - i + k) % n],
      path[i + (first - i + k + 1) % n]
    parts[#parts + 1] = ("%s %s"):format(at.how, cycles.name(after.thread))
  end
  return table.concat(parts, " -> ")
end

--- Walks from one thread, depth first, without recursion: chains are long.
--- `seen`: index in the path while the thread is there, 0 once it was left.
local function walk(start, waits, seen, found)
  local path = {}
  local function enter(t)
    local list, how = cycles.edges(t, waits[t])
    path[#path + 1] = {thread = t, list = list, how = how, next = 1}
    seen[t] = #path
  end
  enter(start)
  while #path > 0 do
    local top = path[#path]
    local t = top.list[top.next]
    top.next = top.next + 1
    if t == nil then
      seen[top.thread] = 0
      path[#path] = nil
    elseif not seen[t] then
      enter(t)
    elseif seen[t] > 0 then
      found[#found + 1] = ring_text(path, seen[t])
    end
  end
end

--- The cycles among these threads and those that they wait for, each once:
--- "#2 fetch -> lock of #3 store -> join of #2 fetch".
---@param threads green.thread[]
---@param waits? table<green.thread, green.blocked>  instead of t:blocked()
---@return string[]
function cycles.find(threads, waits)
  local seen, found = {}, {}
  for _, t in ipairs(threads) do
    if not seen[t] then walk(t, waits or {}, seen, found) end
  end
  return found
end

return cycles
