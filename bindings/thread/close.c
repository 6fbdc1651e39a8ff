/* close.c - coroutine.close of Lua 5.5, which may close what calls it.
 *
 * The call does not return then; the thread's worker sees what is left
 * (thread.c). Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/state.h"
#include "thread/name.h"
#include "thread/thread.h"

/* The thread's function will be gone: its name is fixed. In a finalizer Lua's
 * collector would stay stopped for ever. */
static void close_running(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  if (lua_gc(L, LUA_GCCOUNT) < 0 && !green_hot(G->hub)->draining)
    luaL_error(L, "cannot close a running coroutine in a finalizer (__gc)");
  if (t && t->user == L) lg_keep_name(G, t);
}

/* The stock function, which is upvalue 2, goes on in this very call: what it
 * raises names the line of the program. */
static int l_close(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  if (G->hub && (lua_isnone(L, 1) || lua_tothread(L, 1) == L))
    close_running(L, G);
  return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

/* close_of(stock): a function to stand for it, unless it is one of Lua's. */
int lg_close_of(lua_State *L) {
  lua_settop(L, 1);
  if (!lua_iscfunction(L, 1) || lua_getupvalue(L, 1, 1)) return 1;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_pushcclosure(L, l_close, 2);
  return 1;
}
