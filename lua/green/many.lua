--- Waiting for many threads and events: all of them, or one after the other as
--- they end.
---
--- SPDX-License-Identifier: MIT

return function(green, core)
  local methods <const> = core.crew_methods
  local next_of <const>, let_go <const> = methods.next, methods.let_go

  -- Watches a list of threads and events, which keep their errors when it ends.
  local Watch = {__close = function(self) let_go(self.bag) end}
  Watch.__gc = Watch.__close

  local function watch(where, list)
    if type(list) ~= "table" then
      error(("bad argument #1 to '%s' (list expected, got %s)"):format(where,
        type(list)), 3)
    end
    local bag = core.crew("green.crew", nil, "results")
    local w <close> = setmetatable({bag = bag}, Watch)
    for i = 1, #list do
      local ok, err = pcall(methods.add, bag, list[i])
      if not ok then
        error(("bad argument #1 to '%s' (item %d: %s)"):format(where, i,
          tostring(err)), 3)
      end
    end
    w.bag = core.crew("green.crew", nil, "results") -- not closed with w
    return setmetatable({bag = bag, things = methods.fields(bag)}, Watch)
  end

  --- Waits for each thread or event of the list: their first values, as a list
  --- with n. Raises the first failure as it happens; the others go on. May
  --- switch.
  ---@param list (green.thread|green.event)[]
  ---@param s? number  time limit in seconds
  ---@return table?, "timeout"?
  function green.wait_all(list, s)
    local w <close> = watch("wait_all", list)
    local deadline = s and core.now() + s
    local results = {n = #list}
    local read = 0
    while read < results.n do
      local left = deadline and (s <= 0 and s or math.max(0,
        deadline - core.now()))
      local i, err = next_of(w.bag, left)
      if not i then return nil, err end
      local ok, value = core.outcome(w.things[i])
      if not ok then
        if core.type(w.things[i]) == "thread" then w.things[i]:wait(0) end
        error(value, 0)
      end
      results[i] = value
      read = read + 1
    end
    return results
  end

  local function next_outcome(w)
    local i = next_of(w.bag)
    if not i then return nil end
    local thing = w.things[i]
    w.things[i] = nil
    return i, core.outcome(thing)
  end

  --- An iterator of i, ok, ... over threads and events, as they end. Its steps
  --- may switch.
  ---@param list (green.thread|green.event)[]
  function green.as_completed(list)
    local w = watch("as_completed", list)
    return next_outcome, w, nil, w
  end
end
