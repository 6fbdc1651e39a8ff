/* require.c - loads modules of the library from C, where a program may have a
 * variable named `require`, or none: a host takes it from its scripts.
 *
 * lua/green/runtime/late.lua does the same for Lua.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/require.h"

#include <lauxlib.h>

static const char REQUIRE[] = "luagreen.require";

void lg_keep_require(lua_State *L) {
  lua_getglobal(L, "require");
  lua_setfield(L, LUA_REGISTRYINDEX, REQUIRE);
}

/* The name and the globals are at `at` and above it. */
static void set_require(lua_State *L, int at, int value) {
  lua_pushvalue(L, at);
  lua_pushvalue(L, value);
  lua_rawset(L, at + 1);
}

/* The modules call it by its name, too. What the program has in its place comes
 * back whatever happens; the name exists then, so that takes no memory. */
void lg_require(lua_State *L, const char *module) {
  int at = lua_gettop(L) + 1, theirs = at + 2, ours = at + 3, status;
  luaL_checkstack(L, 8, "luagreen");
  lua_pushliteral(L, "require");
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
  lua_pushvalue(L, at);
  lua_rawget(L, at + 1);
  if (lua_getfield(L, LUA_REGISTRYINDEX, REQUIRE) == LUA_TNIL)
    lua_copy(L, theirs, ours);
  if (!lua_isfunction(L, ours))
    luaL_error(L, "luagreen needs the library 'package'");
  lua_pushvalue(L, ours);
  lua_pushstring(L, module);
  set_require(L, at, ours);
  status = lua_pcall(L, 1, 1, 0);
  set_require(L, at, theirs);
  if (status != LUA_OK) lua_error(L);
  lua_replace(L, at);
  lua_settop(L, at);
}
