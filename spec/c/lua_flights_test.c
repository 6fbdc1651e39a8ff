/* lua_flights_test.c - where memory is short for a moment while callers of
 * green.single_flight, or of a program's resolver, come to share a run, the run
 * ends with its last caller all the same.
 *
 * SPDX-License-Identifier: MIT
 */
#include "lua_test.h"

static const char script[] =
    "local green = require 'green'\n"
    "local dns = require 'green.dns'\n"
    "green.on_error(function() end)\n"
    "local gate = green.event()\n"
    "local function waits() gate:wait() end\n"
    "local calls = {\n"
    "  ['no argument'] = function()\n"
    "    local g = green.single_flight(waits)\n"
    "    return g, g\n"
    "  end,\n"
    "  ['arguments'] = function()\n"
    "    local g, key = green.single_flight(waits), {}\n"
    "    return function() return g(1, 'a', key) end, g\n"
    "  end,\n"
    "  ['a resolver'] = function()\n"
    "    dns.use(waits)\n"
    "    return function() return dns.resolve 'a.name' end\n"
    "  end,\n"
    "}\n"
    "local function turns() for _ = 1, 5 do pcall(green.sleep, 0) end end\n"
    "local function is_empty(call)\n"
    "  for i = 1, 10 do\n"
    "    local name, tree = debug.getupvalue(call, i)\n"
    "    if name == 'tree' then return next(tree) == nil end\n"
    "  end\n"
    "  return true\n"
    "end\n"
    "local function try(name, make, callers, n, times)\n"
    "  local call, shared = make()\n"
    "  local ts = {}\n"
    "  for i = 1, callers do ts[i] = green.spawn(call) end\n"
    "  short_after(n, times)\n"
    "  turns()\n"
    "  short_after(-1)\n"
    "  for i = 1, callers do ts[i]:kill() end\n"
    "  for i = 1, callers do ts[i]:join() end\n"
    "  dns.use(nil)\n"
    "  turns()\n"
    "  if #green.threads() ~= 1 then\n"
    "    error(('%s: a run stays, %d calls fail after %d')\n"
    "      :format(name, times, n), 0)\n"
    "  end\n"
    "  if shared and times < 1000 and not is_empty(shared) then\n"
    "    error(('%s: a branch stays, %d calls fail after %d')\n"
    "      :format(name, times, n), 0)\n"
    "  end\n"
    "end\n"
    "for name, make in pairs(calls) do\n"
    "  for n = 0, 80, stride do\n"
    "    for _, times in ipairs {1, 2, 1000} do\n"
    "      try(name, make, 1, n, times)\n"
    "      try(name, make, 3, n, times)\n"
    "    end\n"
    "  end\n"
    "end\n";

int main(void) {
  struct memory memory = {0, 0, 0, 0, 0};
  lua_State *L = new_short_state(&memory);
  if (!freopen("/dev/null", "w", stderr)) return 1; /* failures on purpose */
  lua_pushinteger(L, RUNNING_ON_VALGRIND || WITH_TSAN ? 5 : 1);
  lua_setglobal(L, "stride");
  CHECK(run(L, script), "a shared run ends with its last caller");
  lua_close(L);
  CHECK(memory.in_use == 0, "and the state has given all memory back");
  return test_end();
}
