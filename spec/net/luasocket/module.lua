-- What LuaSocket does: small functions of the module, and exceptions.
-- SPDX-License-Identifier: MIT

local rows, row = require "spec.net.luasocket.rows" ()

---------------------------------------------------------------- module --

row("field _SETSIZE", function(s) return math.type(s._SETSIZE) end,
  '"integer"')
for _, name in ipairs {"BLOCKSIZE", "_SOCKETINVALID", "_VERSION"} do
  local expected = {BLOCKSIZE = "2048", _SOCKETINVALID = "-1",
                    _VERSION = '"LuaSocket 3.0.0"'}
  row("field " .. name, function(s) return s[name] end, expected[name])
end
row("__unload", function(s) return type(s.__unload) end, '"function"')
row("sleep returns nothing", function(s) return s.sleep(0.001) end, "")
row("sleep below 0", function(s) return s.sleep(-1) end, "")
row("sleep takes a number", function(s) return s.sleep {} end,
  [[raises "bad argument #1 to 'sleep' (number expected, got table)"]])
row("gettime is a clock", function(s)
  return math.abs(s.gettime() - os.time()) < 5
end, "true")
row("skip", function(s) return s.skip(1, "a", "b", "c") end, '"b", "c"')
row("skip of too many", function(s) return s.skip(9, "a") end, "")
row("skip of a fraction", function(s) s.skip(1.5, "a") end,
  [[raises "bad argument #1 to 'skip' (number has no integer representation)"]])
row("skip of no number", function(s) s.skip {} end,
  [[raises "bad argument #1 to 'skip' (number expected, got table)"]])
row("choose without a default", function(s)
  s.choose {}()
end, 'raises "unknown key (default)"')
row("choose", function(s)
  local f = s.choose {default = function(...) return "default", ... end,
                      x = function(...) return ... end}
  return f("x", 1, 2), f(1, 2), f(nil, 5)
end, '1, "default", "default", nil, 5')
row("choose of an unknown name", function(s)
  return s.choose {} "zz"
end, 'raises "unknown key (zz)"')
row("sink of an unknown name", function(s) return s.sink("zz", 1) end,
  'raises "unknown key (zz)"')
row("the sinks", function(s)
  return s.sinkt.default == s.sinkt["keep-open"],
    type(s.sinkt["close-when-done"])
end, 'true, "function"')
row("the sources", function(s)
  return s.sourcet.default == s.sourcet["until-closed"],
    type(s.sourcet["by-length"])
end, 'true, "function"')
row("a sink keeps open", function(s, t)
  local c, p = t.pair(s)
  local sink = s.sink("keep-open", c)
  return sink "abc", sink(nil), p:recv(9), c:getfd() > 0
end, '3, 1, "abc", true')
row("a sink closes", function(s, t)
  local c, p = t.pair(s)
  local sink = s.sink("close-when-done", c)
  return sink "abc", sink(nil), p:recv(9), c:getfd()
end, '3, 1, "abc", -1')
row("a source by length", function(s, t)
  local c, p = t.pair(s)
  p:send "abcdef"
  local source = s.source("by-length", c, 4)
  return source(), source(), source()
end, '"abcd", nil, nil')
row("a source until closed", function(s, t)
  local c, p = t.pair(s)
  p:send "abc"
  p:close()
  local source = s.source("until-closed", c)
  return source(), source(), c:getfd()
end, '"abc", nil, -1')
row("a source is something to select", function(s, t)
  local c, p = t.pair(s)
  p:send "abc"
  local source = s.source("until-closed", c)
  return #s.select({source}, nil, 5), source:dirty()
end, "1, false")
row("by-length reads BLOCKSIZE at once", function(s, t)
  local c, p = t.pair(s)
  p:send(("x"):rep(3000))
  return #s.source("by-length", c, 3000)()
end, "2048")

---------------------------------------------------------- exceptions --

row("try returns its arguments", function(s) return s.try(1, nil, 3) end,
  "1, nil, 3")
row("protect returns what the function does", function(s)
  return s.protect(function(...) return ... end)(1, nil, 3)
end, "1, nil, 3")
row("protect catches what try raises", function(s)
  return s.protect(function() s.try(nil, "why", 3) end)()
end, 'nil, "why"')
row("protect catches false, too", function(s)
  return s.protect(function() s.try(false, {1}) end)()
end, "nil, {1}")
row("protect passes other errors", function(s)
  return s.protect(function() error("mine", 0) end)()
end, 'raises "mine"')
row("protect passes the same value", function(s)
  local value = {}
  local ok, err = pcall(s.protect(function() error(value) end))
  return ok, err == value
end, "false, true")
row("what try raises hides its metatable", function(s)
  local ok, err = pcall(s.try, nil, "why")
  return ok, type(err), getmetatable(err), err[1]
end, 'false, "table", false, "why"')
row("what try raised counts when it is raised again", function(s)
  return s.protect(function()
    local _, err = pcall(s.try, nil, "why")
    error(err)
  end)()
end, 'nil, "why"')
row("newtry calls the function without arguments", function(s)
  local n
  local try = s.newtry(function(...) n = select("#", ...) end)
  pcall(try, nil, "why")
  return n
end, "0")
row("newtry calls it only when it fails", function(s)
  local called = false
  s.newtry(function() called = true end)(1)
  return called
end, "false")
row("an error of the function replaces the other", function(s)
  return s.protect(function()
    s.newtry(function() error("other", 0) end)(nil, "why")
  end)()
end, 'raises "other"')
row("newtry of no function raises when it fails", function(s)
  local try = s.newtry("x")
  return try(1), pcall(try, nil, "why") == false
end, "1, true")
row("nested calls end one after the other", function(s)
  local inner = s.protect(function() s.try(nil, "inner") end)
  return s.protect(function()
    local _, err = inner()
    s.try(nil, "outer, " .. err)
  end)()
end, 'nil, "outer, inner"')
row("yields across it work", function(s)
  local co = coroutine.wrap(s.protect(function()
    coroutine.yield "between"
    s.try(nil, "why")
  end))
  return co(), co()
end, '"between", nil, "why"')

return rows
