--- What luagreen replaces in the standard library, and why.
---
---   coroutine.running   marks the coroutine of a green thread as known to
---                       others, so that it is not used again for another one
---   coroutine.close     tells the thread that was closed by hand, at once
---   os.exit(c, true)    from a green thread: main closes the state, on the OS
---                       stack, after all others were killed and cleaned up
---   warn                blocking is refused while the warn function runs
---
--- SPDX-License-Identifier: MIT

return function(green, core)
  if core.replaced then return end
  core.replaced = true

  local running, close = coroutine.running, coroutine.close
  local exit, warn_function = os.exit, warn

  -- Coroutines of green threads that were given away, with the thread's id.
  local exposed = setmetatable({}, {__mode = "k"})

  local function note(co, main)
    if not main and not exposed[co] and core.expose(co) then
      exposed[co] = green.current().id
    end
    return co, main
  end

  function coroutine.running()
    return note(running())
  end

  local function closed(co, ...)
    local t = exposed[co] and green.thread(exposed[co])
    if t then core.closed_by_others(t) end
    return ...
  end

  function coroutine.close(co)
    return closed(co, close(co))
  end

  local exit_code

  function os.exit(code, closing)
    if not closing then exit(code) end
    exit_code = code
    if core.exit_main() then green.sleep(math.huge) end
    core.drain()
    exit(code, true)
  end

  --- Main, woken because another thread called os.exit.
  function core.policy.exit()
    core.drain()
    exit(exit_code, true)
  end

  function warn(...) -- luacheck: ignore
    core.in_warn(true)
    local ok, err = pcall(warn_function, ...)
    core.in_warn(false)
    if not ok then error(err, 0) end
  end
end
