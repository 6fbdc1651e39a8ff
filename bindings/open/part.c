/* part.c - loads the Lua part of the library, which is linked in.
 *
 * A host's green_lua_open() puts a loader into package.preload for each module,
 * so that the host needs no LUA_PATH, and the C part never meets a Lua part of
 * another version. A module is compiled when it is first required. A stock Lua
 * finds the file lua/green/init.lua first, and with it all others: a library in
 * development is what its files say.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "open/part.h"

#include <string.h>

#include "open/open.h"

static const struct lg_part *find(const char *module) {
  const struct lg_part *part = lg_parts;
  while (part->module && strcmp(part->module, module) != 0) part++;
  return part->module ? part : NULL;
}

/* require calls it with the module's name. */
static int load(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const struct lg_part *part = find(name);
  if (!part) return luaL_error(L, "luagreen has no module '%s'", name);
  if (luaL_loadbufferx(L, part->text, part->size, part->chunk, "t") != LUA_OK)
    return lua_error(L);
  lua_pushvalue(L, 1);
  lua_pushstring(L, part->chunk + 1);
  lua_call(L, 2, 1);
  return 1;
}

void lg_preload_part(lua_State *L) {
  const struct lg_part *part;
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (part = lg_parts; part->module; part++) {
    lua_pushcfunction(L, load);
    lua_setfield(L, -2, part->module);
  }
  lua_pop(L, 1);
}

/* __index of the policy that is there before the Lua part: the first call by
 * name loads that, which puts its own in its place. */
static int late_policy(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "green");
  lua_call(L, 1, 0);
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  if (!lua_rawequal(L, -1, 1)) lua_pushvalue(L, 2), lua_gettable(L, -2);
  return 1;
}

void lg_late_policy(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, late_policy);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
}
