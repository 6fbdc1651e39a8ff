/* lua_crew_memory_test.c - the block of a pool, group or pile that is left
 * where memory is short, however little there is, leaves no thread alive;
 * kill() of threads needs none.
 *
 * SPDX-License-Identifier: MIT
 */
#include "lua_test.h"

static const char script[] =
    "local green = require 'green'\n"
    "green.on_error(function() end)\n"
    "local make = {\n"
    "  pool = function() return green.pool(9) end,\n"
    "  group = green.group, pile = function() return green.pile(9) end}\n"
    "local children\n"
    "local function leave(kind, how, n)\n"
    "  local crew <close> = make[kind]()\n"
    "  local gate = green.event()\n"
    "  for i = 1, 3 do children[i] = crew:spawn(green.sleep, 1e6) end\n"
    "  local f = crew:spawn(function() gate:wait() error 'failed' end)\n"
    "  children[4] = f\n"
    "  green.sleep(0)\n"
    "  if how == 'fail' then gate:send() end\n"
    "  short_after(n)\n"
    "  if how == 'fail' then green.sleep(0) end\n"
    "  if how == 'kill' then for i = 1, 4 do children[i]:kill() end end\n"
    "  error 'left'\n"
    "end\n"
    "local function alive()\n"
    "  for _, t in ipairs(children) do\n"
    "    if not t:has_ended() then return t end\n"
    "  end\n"
    "end\n"
    "for kind in pairs(make) do\n"
    "  for _, how in ipairs {'error', 'fail', 'kill'} do\n"
    "    for n = 0, 120 do\n"
    "      children = {}\n"
    "      local ok = pcall(leave, kind, how, n)\n"
    "      short_after(-1)\n"
    "      if ok then error 'no error' end\n"
    "      for _ = 1, 200 do if alive() then green.sleep(0) end end\n"
    "      local t = alive()\n"
    "      if t then\n"
    "        error(kind .. ', ' .. how .. ', ' .. n .. ': alive: ' .. "
    "t.name)\n"
    "      end\n"
    "    end\n"
    "  end\n"
    "end\n";

int main(void) {
  struct memory memory = {0, 0, 0, 0, 0};
  lua_State *L = new_short_state(&memory);
  CHECK(run(L, script), "whatever the block has left, its threads have ended");
  lua_close(L);
  return test_end();
}
