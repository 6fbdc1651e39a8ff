--- What luagreen replaces in the standard library, and why.
---
---   coroutine.running   marks the coroutine of a green thread as known to
---                       others, so that it is not used again for another one
---   coroutine.close     of such a coroutine ends the wait of the thread before
---                       its handlers run, which may collect what it waits for
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
  local known = setmetatable({}, {__mode = "k"})

  local function note(co, main)
    if not main and core.expose(co) then known[co] = true end
    return co, main
  end

  function coroutine.running()
    return note(running())
  end

  function coroutine.close(co)
    if known[co] then core.cut(co) end
    return close(co)
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
    local mine = core.in_warn(true)
    local ok, err = pcall(warn_function, ...)
    if mine then core.in_warn(false) end
    if not ok then error(err, 0) end
  end
end
