/* lua_permit_test.c - a resource pool loses no permit where memory is short for
 * a moment while an item is destroyed: neither the thread that destroys it nor
 * its link may get to run then.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

#include "../../bindings/runtime/compat.h"
#include "../../bindings/green_lua.h"
#include "test.h"

static long left = -1; /* allocations that succeed; -1: all */

static void *allocate(void *ud, void *p, size_t old, size_t size) {
  (void)ud;
  if (size == 0) {
    free(p);
    return NULL;
  }
  if (left >= 0 && size > (p ? old : 0) && left-- == 0) {
    left = 0;
    return NULL;
  }
  return realloc(p, size);
}

/* short_after(n): n more allocations succeed; -1: all */
static int short_after(lua_State *L) {
  left = (long)lua_tointeger(L, 1);
  return 0;
}

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
  lua_State *L = lg_newstate(allocate, NULL, 0);
  int ok;
  luaL_openlibs(L);
  lua_register(L, "short_after", short_after);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_green_core);
  lua_setfield(L, -2, "green.core");
  lua_pop(L, 1);
  ok = luaL_dostring(L, script) == LUA_OK;
  if (!ok) printf("# %s\n", lua_tostring(L, -1));
  CHECK(ok, "each pool goes on when memory is there again");
  lua_close(L);
  return test_end();
}
