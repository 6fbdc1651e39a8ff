/* either.c - functions that stand in front of the standard library's.
 *
 * either(original, decide, ours) is a function that calls ours when decide,
 * which gets the same arguments, says so. Else the original runs in this very
 * frame, as if it had been called itself: its errors name the program's line
 * and the name by which the program called it.
 *
 * opens(original, decide, ours) does so for a function that may open a file:
 * what the original opens counts as a descriptor of the state until it is
 * closed. Its `closef`, which the io library calls then, is remembered by file.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "os/os.h"
#include "runtime/counts.h"

enum { ORIGINAL = 2, DECIDE, OURS, ALWAYS, RAISES };

static int is_ours(lua_State *L, int n) {
  int yes;
  luaL_checkstack(L, n + 2, "too many arguments");
  lua_pushvalue(L, lua_upvalueindex(DECIDE));
  for (int i = 1; i <= n; i++) lua_pushvalue(L, i);
  lua_call(L, n, 1);
  yes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes;
}

/* A C function that has upvalues, or one in Lua, needs a frame of its own. */
static lua_CFunction plain_function(lua_State *L) {
  if (lua_getupvalue(L, lua_upvalueindex(ORIGINAL), 1)) {
    lua_pop(L, 1);
    return NULL;
  }
  return lua_tocfunction(L, lua_upvalueindex(ORIGINAL));
}

static int call(lua_State *L, int n, int which) {
  lua_pushvalue(L, lua_upvalueindex(which));
  lua_insert(L, 1);
  lua_call(L, n, LUA_MULTRET);
  return lua_gettop(L);
}

int lg_either(lua_State *L) {
  int n = lua_gettop(L), ours = is_ours(L, n);
  lua_CFunction f = ours ? NULL : plain_function(L);
  return f ? f(L) : call(L, n, ours ? OURS : ORIGINAL);
}

/* --- files that are opened --- */

/* Key in the registry: the functions that close them, weak keys. */
static const char CLOSERS[] = "closers of files";

static int close_counted(lua_State *L) {
  lua_CFunction f;
  lua_rawgetp(L, LUA_REGISTRYINDEX, CLOSERS);
  lua_pushvalue(L, 1);
  lua_rawget(L, -2);
  f = lua_tocfunction(L, -1);
  lua_settop(L, 1);
  assert(f);
  lg_count(lg_find(L), NULL, LG_DESCRIPTORS, -1);
  return f(L);
}

/* The file at that index is open. */
static void count_file(lua_State *L, struct lg *G, int index) {
  luaL_Stream *p = luaL_testudata(L, index, LUA_FILEHANDLE);
  if (!p || !p->closef || p->closef == close_counted) return;
  luaL_checkstack(L, 4, "luagreen");
  lua_pushvalue(L, index);
  lua_rawgetp(L, LUA_REGISTRYINDEX, CLOSERS);
  lua_insert(L, -2);
  lua_pushcfunction(L, p->closef);
  lua_rawset(L, -3); /* may raise: the file is garbage, and closed, then */
  lua_pop(L, 1);
  p->closef = close_counted;
  lg_count(G, NULL, LG_DESCRIPTORS, 1);
}

/* A default input that is a file already, or lines() of it, open nothing. */
static int opens_one(lua_State *L, int n) {
  return n == 0 ? lua_toboolean(L, lua_upvalueindex(ALWAYS))
                : lua_isstring(L, 1);
}

/* There are too many, in the words of the io library: 3 results, or raises. */
static int refuse_file(lua_State *L, int error) {
  const char *name = lua_tostring(L, 1);
  errno = error;
  if (!lua_toboolean(L, lua_upvalueindex(RAISES)))
    return luaL_fileresult(L, 0, name);
  return luaL_error(L, "cannot open file '%s' (%s)", name, strerror(error));
}

int lg_opens(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  int n = lua_gettop(L), opens = opens_one(L, n), error, i, first;
  lua_CFunction f;
  if (is_ours(L, n)) return call(L, n, OURS);
  error = opens && G->hub ? lg_may_open(L, G, 1) : 0;
  if (error) return refuse_file(L, error);
  n = (f = plain_function(L)) ? f(L) : call(L, n, ORIGINAL);
  first = lua_gettop(L) - n + 1;
  for (i = 0; opens && i < n; i++) count_file(L, G, first + i);
  return n;
}

/* --- making them --- */

static int make(lua_State *L, lua_CFunction f) {
  for (int i = 1; i <= 3; i++) luaL_checktype(L, i, LUA_TFUNCTION);
  lua_settop(L, 5);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_pushcclosure(L, f, 6);
  return 1;
}

static int l_either(lua_State *L) {
  return make(L, lg_either);
}

/* opens(original, decide, ours [, always [, raises]]): does it open one without
 * arguments, too; does it raise for what cannot be opened? */
static int l_opens(lua_State *L) {
  return make(L, lg_opens);
}

void lg_open_either(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"either", l_either}, {"opens", l_opens}, {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
  lg_ephemerons(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, CLOSERS);
}
