/* either.c - functions that stand in front of the standard library's.
 *
 * either(original, decide, ours) is a function that calls ours when decide,
 * which gets the same arguments, says so. Else the original runs in this very
 * frame, as if it had been called itself: its errors name the program's line
 * and the name by which the program called it.
 *
 * opens(original, decide, ours) does so for a function that may open a file:
 * what the original opens counts as a descriptor of the state until it is
 * closed, and of the sandbox whose thread opened it. Its `closef`, which the io
 * library calls then, is remembered by file.
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
lua_CFunction lg_plain_function(lua_State *L, int index) {
  lua_CFunction f = lua_tocfunction(L, index);
  if (!f || !lua_getupvalue(L, index, 1)) return f;
  lua_pop(L, 1);
  return NULL;
}

static int call(lua_State *L, int n, int which) {
  lua_pushvalue(L, lua_upvalueindex(which));
  lua_insert(L, 1);
  lua_call(L, n, LUA_MULTRET);
  return lua_gettop(L);
}

int lg_either(lua_State *L) {
  int n = lua_gettop(L), ours = is_ours(L, n);
  lua_CFunction f =
      ours ? NULL : lg_plain_function(L, lua_upvalueindex(ORIGINAL));
  return f ? f(L) : call(L, n, ours ? OURS : ORIGINAL);
}

/* --- files that are opened --- */

/* Key in the registry: the functions that close them, weak keys. Of a file that
 * a sandbox has, the function's upvalue is the sandbox's account. */
static const char CLOSERS[] = "closers of files";

static int close_counted(lua_State *L) {
  lua_CFunction f;
  struct lg_account *box = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, CLOSERS);
  lua_pushvalue(L, 1);
  lua_rawget(L, -2);
  f = lua_tocfunction(L, -1);
  if (lua_getupvalue(L, -1, 1)) box = lua_touserdata(L, -1);
  lua_settop(L, 1);
  assert(f);
  lg_count(lg_find(L), box, LG_DESCRIPTORS, -1);
  lg_account_leave(box);
  return f(L);
}

/* The file at that index is open. */
static void count_file(lua_State *L, struct lg *G, int index) {
  luaL_Stream *p = luaL_testudata(L, index, LUA_FILEHANDLE);
  struct lg_account *box;
  if (!p || !p->closef || p->closef == close_counted) return;
  luaL_checkstack(L, 4, "luagreen");
  lua_pushvalue(L, index);
  lua_rawgetp(L, LUA_REGISTRYINDEX, CLOSERS);
  lua_insert(L, -2);
  box = lg_account_of_box(G);
  lg_account_leave(box); /* the thread's sandbox has it, too */
  if (box) lua_pushlightuserdata(L, box);
  lua_pushcclosure(L, p->closef, box != NULL);
  lua_rawset(L, -3); /* may raise: the file is garbage, and closed, then */
  lua_pop(L, 1);
  p->closef = close_counted;
  if (box) box->users++;
  lg_count(G, box, LG_DESCRIPTORS, 1);
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
  n = (f = lg_plain_function(L, lua_upvalueindex(ORIGINAL)))
          ? f(L)
          : call(L, n, ORIGINAL);
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
