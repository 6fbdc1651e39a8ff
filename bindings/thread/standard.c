/* standard.c - versions of Lua's library functions that know of green threads.
 *
 * Each continues in the stock function, in the same call, so that errors name
 * the program's line and keep their words. The stock function is upvalue 2, a
 * plain C function. If a program has put another in its place before, that
 * stays.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "runtime/force.h"
#include "runtime/object.h"
#include "thread/coroutine.h"
#include "thread/name.h"
#include "thread/thread.h"

static struct lg *state(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

static int stock(lua_State *L) {
  return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

/* --- coroutines --- */

/* coroutine.running: others know the coroutine from now on, so no other thread
 * may reuse it. */
static int l_running(lua_State *L) {
  struct lg *G = state(L);
  struct green_thread *t = G->hub ? lg_current(G) : NULL;
  if (t && t->user == L) t->user_flags |= LG_EXPOSED;
  return stock(L);
}

/* coroutine.isyieldable: at a green thread's base there is nobody to yield
 * to. */
static int l_isyieldable(lua_State *L) {
  struct lg *G = state(L);
  lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
  int n = stock(L);
  if (G->hub && lua_toboolean(L, -1) && lg_thread_in(G, co))
    lua_pushboolean(L, 0);
  return n;
}

/* In Lua 5.5, coroutine.close may close its caller. Then the call does not
 * return, and the thread's worker handles the rest (thread.c). So this copies
 * the thread's name first, as the thread's function will be gone, and raises in
 * a finalizer, where Lua's collector would stay stopped for ever. */
static void close_running(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  if (lua_gc(L, LUA_GCCOUNT) < 0 && !green_hot(G->hub)->draining)
    luaL_error(L, "cannot close a running coroutine in a finalizer (__gc)");
  if (t && t->user == L) lg_keep_name(G, t);
}

static int l_close(lua_State *L) {
  struct lg *G = state(L);
  if (G->hub && (lua_isnone(L, 1) || lua_tothread(L, 1) == L))
    close_running(L, G);
  return stock(L);
}

/* --- the process --- */

/* debug.sethook: does not replace the watch of a killed thread, which could
 * then compute for ever. */
static int l_sethook(lua_State *L) {
  lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
  return lg_is_watched(co) ? 0 : stock(L);
}

/* os.exit: the policy decides how to exit. */
static int l_exit(lua_State *L) {
  struct lg *G = state(L);
  if (!G->hub) return stock(L);
  if (!lua_isboolean(L, 1)) luaL_optinteger(L, 1, 0);
  lua_settop(L, 2);
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "leave");
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_call(L, 2, 0);
  return 0;
}

/* warn: refuses blocking while the warn function runs, which may be a C
 * function that knows nothing of threads. */
static int l_warn(lua_State *L) {
  struct lg *G = state(L);
  int i, n = lua_gettop(L), status, mine = !G->refuse;
  luaL_checkstring(L, 1);
  for (i = 2; i <= n; i++) luaL_checkstring(L, i);
  if (mine) G->refuse = "in a warn function";
  lua_pushcfunction(L, lua_tocfunction(L, lua_upvalueindex(2)));
  lua_insert(L, 1);
  status = lua_pcall(L, n, 0, 0);
  if (mine) G->refuse = NULL;
  return status == LUA_OK ? 0 : lua_error(L);
}

/* --- which of them --- */

static const luaL_Reg replacements[] = {{"running", l_running},
                                        {"isyieldable", l_isyieldable},
                                        {"close", l_close},
                                        {"sethook", l_sethook},
                                        {"exit", l_exit},
                                        {"warn", l_warn},
                                        {NULL, NULL}};

/* replace(library, name): replaces the function in that table from now on. */
static int l_replace(lua_State *L) {
  const char *name = luaL_checkstring(L, 2);
  const luaL_Reg *r = replacements;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  if (lua_getfield(L, 1, name) != LUA_TFUNCTION || !lua_iscfunction(L, 3) ||
      lua_getupvalue(L, 3, 1))
    return 0;
  while (strcmp(r->name, name) != 0) r++;
  if (r->func == l_close) lg_get(L)->known.stands_for_close = l_close;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 3);
  lua_pushcclosure(L, r->func, 2);
  lua_setfield(L, 1, name);
  return 0;
}

void lg_open_standard(lua_State *L) {
  static const luaL_Reg functions[] = {{"replace", l_replace}, {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
