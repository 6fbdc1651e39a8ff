/* lua_permit_test.c - a resource pool loses no permit where memory is short for
 * a moment while an item is destroyed: neither the thread that destroys it nor
 * its link may get to run then.
 *
 * SPDX-License-Identifier: MIT
 */
#include "lua_test.h"

static const char script[] =
    "local green = require 'green'\n"
    "green.on_error(function() end)\n"
    "for n = 0, 40 do\n"
    "  local pool = green.resource_pool {max = 1,\n"
    "    create = function() return {} end, destroy = function() end}\n"
    "  local lease = pool:lease()\n"
    "  lease:discard()\n"
    "  short_after(n)\n"
    "  pcall(green.sleep, 0)\n"
    "  pcall(green.sleep, 0)\n"
    "  short_after(-1)\n"
    "  pcall(getmetatable(lease).__close, lease)\n"
    "  local again = pool:lease(5)\n"
    "  if not again then error('lost after ' .. n) end\n"
    "  getmetatable(again).__close(again)\n"
    "  assert(pool:close(5))\n"
    "end\n";

int main(void) {
  struct memory memory = {0, 0, 0, 0, 0};
  lua_State *L = lg_newstate(allocate, &memory, 0);
  luaL_openlibs(L);
  lua_register(L, "short_after", short_after);
  preload_core(L);
  CHECK(run(L, script), "each pool goes on when memory is there again");
  lua_close(L);
  return test_end();
}
