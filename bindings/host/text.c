/* text.c - what a script came to, as a text for the host's log.
 *
 * luaL_tolstring() calls the script's __tostring, on the host's stack, where no
 * limit and no kill would ever end it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "host/host.h"
#include "runtime/object.h"

/* Pushes it, by a function of the library's that knows its own objects. That
 * of a kill has no __tostring before the Lua part was loaded. */
static void push_object(lua_State *L) {
  if (!green_lua_is_killed(L, 1) && !luaL_getmetafield(L, 1, "__tostring")) {
    luaL_tolstring(L, 1, NULL);
    return;
  }
  if (!lg_find(L)) {
    lua_pushfstring(L, "(a %s value)", luaL_typename(L, 1));
    return;
  }
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "plain");
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
}

/* (value) Even a string may have a __tostring in its metatable. */
static int push_text(lua_State *L) {
  switch (lua_type(L, 1)) {
    case LUA_TNUMBER:
      lua_tostring(L, 1); /* turns this copy into a string */
      break;
    case LUA_TSTRING: break;
    case LUA_TNONE: lua_pushliteral(L, "nothing"); break;
    case LUA_TNIL: lua_pushliteral(L, "nil"); break;
    case LUA_TBOOLEAN:
      lua_pushstring(L, lua_toboolean(L, 1) ? "true" : "false");
      break;
    default: push_object(L);
  }
  return 1;
}

const char *green_lua_text(lua_State *L, int index) {
  static const char FAILED[] = "(there was no memory for its text)";
  const char *text;
  int n = index && !lua_isnone(L, index); /* a script may return nothing */
  index = lua_absindex(L, index);
  if (!lua_checkstack(L, 3)) {
    lua_pushnil(L);
    return FAILED;
  }
  lua_pushcfunction(L, push_text);
  if (n) lua_pushvalue(L, index);
  text = lua_pcall(L, n, 1, 0) == LUA_OK ? lua_tostring(L, -1) : NULL;
  if (text) return text;
  lua_pop(L, 1);
  lua_pushnil(L);
  return FAILED;
}
