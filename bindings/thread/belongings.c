/* belongings.c - a thread's table of rare things (rare.c) for the Lua side, and
 * the output of its print, which lies there.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "runtime/guest.h"
#include "runtime/rare.h"
#include "thread/handle.h"
#include "thread/thread.h"

/* rare([t]): the table of rare things of a thread; makes it if it is
 * missing. */
int lg_l_rare(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_current(G);
  if (!lua_isnoneornil(L, 1) && lg_to_handle(L, 1))
    lg_handle_rare(L, G, 1, 1);
  else if (lua_isnoneornil(L, 1) && t)
    lg_make_rare(L, G, t);
  else
    lua_pushnil(L);
  return 1;
}

/* output([t]): the sink of print in a thread; set_output(sink): sets it for
 * this one. print must also work while the state closes. */
int lg_l_output(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_thread *t;
  if (!G->hub) return 0;
  t = lua_isnoneornil(L, 1) ? lg_current(G) : lg_to_thread(L, 1);
  if (!t || !lg_rare(L, G, t)) return 0;
  lua_rawgeti(L, -1, RARE_OUTPUT);
  return 1;
}

int lg_l_set_output(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_current(G);
  lua_settop(L, 1);
  if (!t) return luaL_error(L, "'output' needs a green thread that calls it");
  lg_make_rare(L, G, t);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, RARE_OUTPUT);
  lg_set_flag(G, t, LG_PASSES_ON);
  return 0;
}
