/* case.c - checks a case of a select and finds its operation.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sync/case.h"

#include <string.h>

#include "runtime/list.h"

int lg_case_error(lua_State *L, int arg, int i, const char *what) {
  const char *text = lua_pushfstring(L, "case %d: %s", i + 1, what);
  return luaL_argerror(L, arg, text);
}

void lg_case_last(lua_State *L, int arg, int n) {
  if (unlikely(!lg_list_ends_at(L, arg, n)))
    lg_case_error(L, arg, n, "cannot wait for a nil");
}

/* {queue, "put", value} or {object, "get"} is on top. */
static void expand_pair(lua_State *L, int arg, int i) {
  int table = lua_gettop(L);
  const char *name;
  lua_rawgeti(L, table, 2);
  name = lua_tostring(L, -1);
  if (!name || (strcmp(name, "put") && strcmp(name, "get")))
    lg_case_error(L, arg, i, "an object, or {queue, \"put\", value} expected");
  if (*name == 'g') {
    lua_pushnil(L);
  } else if (lua_rawgeti(L, table, 3) == LUA_TNIL) {
    lg_case_error(L, arg, i, "value to put expected, got nil");
  }
  lua_replace(L, table + 1);
  lua_rawgeti(L, table, 1);
  lua_replace(L, table);
}

void lg_case_expand(lua_State *L, struct lg *G, int arg, int i) {
  int at = lua_gettop(L);
  if (likely(lua_type(L, at) == LUA_TUSERDATA)) {
    struct lg_object *p = lua_touserdata(L, at);
    lua_pushnil(L);
    if (likely(lua_rawlen(L, at) >= sizeof *p && p->G == G)) return;
  } else if (luaL_getmetafield(L, at, "__waitable") != LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushnil(L);
  } else if (lua_istable(L, at)) {
    expand_pair(L, arg, i);
  } else {
    lua_pushnil(L);
  }
  if (lg_stand_in(L, at) < 0)
    lg_case_error(L, arg, i, "__waitable leads nowhere");
}

const struct lg_waitable *lg_case_operation(lua_State *L, struct lg *G,
                                            int arg, int i, int at,
                                            void **object) {
  int put = !lua_isnil(L, at + 1);
  const struct lg_waitable *w = lg_operation(L, G, at, put, object);
  if (unlikely(!w)) {
    const char *verb = put ? "put into" : "wait for";
    const char *name = luaL_typename(L, at);
    if (luaL_getmetafield(L, at, "__name") == LUA_TSTRING)
      name = lua_tostring(L, -1);
    lg_case_error(L, arg, i, lua_pushfstring(L, "cannot %s a %s", verb, name));
  }
  return w;
}

/* A refusal by the kernel is an outcome; everything else is an error. */
int lg_case_unlinked(lua_State *L, int code) {
  if (code != UV_ENOSPC)
    return luaL_error(L, "'select': %s", green_strerror(code));
  lua_pushnil(L);
  lua_pushstring(L, green_strerror(code));
  return 2;
}

int lg_case_chosen(lua_State *L, int i, int results) {
  lua_pushinteger(L, i + 1);
  lua_insert(L, -results - 1);
  return results + 1;
}
