/* tools.c - C functions for the Lua half of the library: its policy, places in
 * the program, metatables behind __metatable.
 *
 * They do not need the libraries debug, io or os: a host may have opened none
 * of them, and a program may have globals of these names. Everything here runs
 * where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <unistd.h>

#include "os/os.h"
#include "open/open.h"
#include "open/part.h"
#include "runtime/list.h"
#include "runtime/object.h"
#include "runtime/rare.h"
#include "runtime/site.h"
#include "thread/thread.h"

/* set_policy(table): functions that C calls by name. */
static int l_set_policy(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  return 0;
}

/* set_home(file): the sources of the library's own modules begin with the
 * caller's source without that name at its end. Returns whether that is the
 * source that is linked in; if not, modules without a file are found in it. */
static int l_set_home(lua_State *L) {
  size_t tail, length;
  const char *file = luaL_checklstring(L, 1, &tail);
  lua_Debug ar;
  if (!lua_getstack(L, 1, &ar) || !lua_getinfo(L, "S", &ar)) return 0;
  length = strlen(ar.source);
  if (length > tail && strcmp(ar.source + length - tail, file) == 0)
    lua_pushlstring(L, ar.source, length - tail);
  else
    lua_pushliteral(L, "="); /* a host has it as a string */
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.home");
  lua_pushboolean(L, !strcmp(ar.source, LG_INIT));
  if (!lua_toboolean(L, -1)) lg_search_part(L);
  return 1;
}

/* metatable(name): one of the library's. */
static int l_metatable(lua_State *L) {
  luaL_newmetatable(L, luaL_checkstring(L, 1));
  return 1;
}

/* metafield(value, name): a field of its metatable, also behind a __metatable;
 * or nil. */
static int l_metafield(lua_State *L) {
  luaL_checkany(L, 1);
  return luaL_getmetafield(L, 1, luaL_checkstring(L, 2)) != LUA_TNIL;
}

/* loaded(): the table behind package.loaded. */
static int l_loaded(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  return 1;
}

/* --- places --- */

static int stands_in_front(lua_CFunction f) {
  return f == lg_either || f == lg_opens || f == lg_file_call ||
         f == lg_file_print || f == lg_file_next;
}

/* Is the function at that level one of the library's own, or a C function that
 * one of them has called? */
static int is_inside(lua_State *L, int level, lua_Debug *ar) {
  lua_CFunction f;
  if (!lua_getstack(L, level, ar)) return 0;
  lua_getinfo(L, "fSl", ar);
  f = lua_tocfunction(L, -1);
  lua_pop(L, 1);
  if (stands_in_front(f)) return 1;
  if (*ar->what != 'C') return lg_is_ours(L, ar->source);
  return is_inside(L, level + 1, ar);
}

/* outside(): "file:line: " of the program's code that called the library, as
 * errors begin; "" if C has called it. */
static int l_outside(lua_State *L) {
  lua_Debug ar;
  int level = 1;
  while (is_inside(L, level, &ar)) level++;
  if (lua_getstack(L, level, &ar) && lua_getinfo(L, "Sl", &ar) &&
      ar.currentline > 0)
    lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
  else
    lua_pushliteral(L, "");
  return 1;
}

/* place(): "file:line" of the program's code that runs at this moment. */
static int l_place(lua_State *L) {
  lg_push_where(L, L, 0);
  return 1;
}

/* definition(f): "file:line" of a function; nil for one in C. */
static int l_definition(lua_State *L) {
  lua_Debug ar;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_getinfo(L, ">S", &ar);
  if (ar.linedefined < 0) return 0;
  lg_push_place(L, ar.short_src, ar.linedefined); /* 0: a chunk */
  return 1;
}

/* traceback([message [, level]]): of the running coroutine, as by
 * debug.traceback. */
static int l_traceback(lua_State *L) {
  const char *message = luaL_optstring(L, 1, NULL);
  lg_traceback(L, L, (int)luaL_optinteger(L, 2, 1));
  if (message) {
    lua_pushfstring(L, "%s\n", message);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return 1;
}

/* --- the rest --- */

/* type(x): the kind of an object of the library, or nil. */
static int l_type(lua_State *L) {
  const char *name;
  luaL_checkany(L, 1);
  if (luaL_getmetafield(L, 1, "__name") == LUA_TSTRING) {
    name = lua_tostring(L, -1);
    if (!strncmp(name, "green.", 6)) {
      lua_pushstring(L, name + 6);
      return 1;
    }
    if (strchr(name, '{')) return 1; /* tcp{client} */
  }
  lua_pushnil(L);
  return 1;
}

/* call(f, ...): a plain call; Lua refuses a coroutine.yield below it. */
static int l_call(lua_State *L) {
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

/* printable(text): the text as a terminal may show it. */
static int l_printable(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  luaL_Buffer b;
  char *to;
  to = luaL_buffinitsize(L, &b, green_printable(NULL, text, length));
  luaL_pushresultsize(&b, green_printable(to, text, length));
  return 1;
}

/* closing(): is the state ending its threads, or has it? */
static int l_closing(lua_State *L) {
  lua_pushboolean(L, lg_get(L)->drained);
  return 1;
}

/* report_begin(): false if the report is dropped, because there are too many.
 */
static int l_report_begin(lua_State *L) {
  lua_pushboolean(L, green_report_begin());
  return 1;
}

/* report_put(text [, whole]) */
static int l_report_put(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  green_report_put(text, length, lua_toboolean(L, 2));
  return 0;
}

/* isatty(fd) */
static int l_isatty(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* in_warn(on): tells that a warn function of the program's begins or ends.
 * Returns whether the caller must end it: blocking may have been refused
 * before. */
static int l_in_warn(lua_State *L) {
  struct lg *G = lg_get(L);
  lua_pushboolean(L, !G->refuse);
  if (!lua_toboolean(L, 1))
    G->refuse = NULL;
  else if (!G->refuse)
    G->refuse = "in a warn function";
  return 1;
}

static int l_version(lua_State *L) {
  lua_pushliteral(L, GREEN_VERSION);
  return 1;
}

/* list_length(list): the number of items, and the place of a nil before
 * others. */
static int l_list_length(lua_State *L) {
  lua_Integer hole;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_pushinteger(L, lg_list_length(L, 1, &hole));
  if (!hole) return 1;
  lua_pushinteger(L, hole);
  return 2;
}

static const luaL_Reg functions[] = {{"set_policy", l_set_policy},
                                     {"set_home", l_set_home},
                                     {"metatable", l_metatable},
                                     {"metafield", l_metafield},
                                     {"loaded", l_loaded},
                                     {"outside", l_outside},
                                     {"place", l_place},
                                     {"definition", l_definition},
                                     {"traceback", l_traceback},
                                     {"in_warn", l_in_warn},
                                     {"version", l_version},
                                     {"type", l_type},
                                     {"call", l_call},
                                     {"isatty", l_isatty},
                                     {"printable", l_printable},
                                     {"closing", l_closing},
                                     {"report_begin", l_report_begin},
                                     {"report_put", l_report_put},
                                     {"list_length", l_list_length},
                                     {NULL, NULL}};

/* The keys of a thread's rare things that Lua code uses, by name. */
static void set_keys(lua_State *L) {
  static const struct {
    const char *name;
    int key;
  } keys[] = {{"traceback", RARE_TRACEBACK},
              {"tied", RARE_TIED},
              {"cause", RARE_CAUSE},
              {"owned", RARE_OWNED}};
  size_t i;
  lua_createtable(L, 0, 4);
  for (i = 0; i < sizeof keys / sizeof *keys; i++) {
    lua_pushinteger(L, keys[i].key);
    lua_setfield(L, -2, keys[i].name);
  }
  lua_setfield(L, -2, "keys");
}

void lg_open_tools(lua_State *L) {
  lg_setfuncs(L, functions, 0);
  set_keys(L);
}
