/* links.c - functions that run when a thread ends.
 *
 * A link is a coroutine made beforehand, with its function and arguments on
 * it, and memory reserved for its thread: at the end nothing is allocated, so
 * a link never fails to run. The thread's rare things hold the list of their
 * anchor slots; a slot that is negative was unlinked.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "runtime/rare.h"
#include "thread/links.h"
#include "thread/thread.h"

/* Pushes the thread's list of links, made if need be. */
static void push_links(lua_State *L, struct lg *G, struct green_thread *t) {
  lg_make_rare(L, G, t);
  if (lua_rawgeti(L, -1, RARE_LINKS) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_newtable(L);
    if (lua_rawgeti(L, -2, RARE_LINKS) == LUA_TNIL) { /* by no finalizer */
      lua_pop(L, 1);
      lua_pushvalue(L, -1);
      lua_rawseti(L, -3, RARE_LINKS);
    } else {
      lua_remove(L, -2);
    }
  }
  lua_remove(L, -2);
}

/* Makes the coroutine that will run f(t, ...), has memory for its thread
 * reserved, and puts its slot, negative
 * while unlinked, at the end of the list. Stack: t, f, args. */
int lg_thread_link(lua_State *L) {
  struct lg *G = lg_may_spawn(L);
  struct green_thread *t = lg_self_thread(L);
  lua_State *co;
  lua_Integer place;
  int slot, n = lua_gettop(L) - 2;
  lg_check_callable(L, 2);
  lua_pushvalue(L, 1);
  lua_insert(L, 3); /* t, f, t, args */
  if (!t || t->state >= GREEN_DONE) {
    lg_start_owed(L, G, lg_make_thread(L, G, n + 1, 0));
    return 0;
  }
  push_links(L, G, t);
  lua_replace(L, 1); /* list, f, t, args */
  place = (lua_Integer)lua_rawlen(L, 1) + 1;
  lua_pushinteger(L, -1); /* as if unlinked, until it can run */
  lua_rawseti(L, 1, place);
  co = lg_get_coroutine(L, G, &slot);
  if (!lua_checkstack(co, n + LG_BASE + 4)) {
    lg_release(G, slot);
    luaL_error(L, "too many arguments for a link");
  }
  if (unlikely(t->state >= GREEN_DONE)) { /* a finalizer has ended it */
    lg_release(G, slot);
    lg_start_owed(L, G, lg_make_thread(L, G, n + 1, 0));
    return 0;
  }
  if (green_reserve(G->hub) < 0) {
    lg_release(G, slot);
    luaL_error(L, "not enough memory for a link");
  }
  lua_pushvalue(L, 2);
  lua_xmove(L, co, 1);
  lua_xmove(L, co, n + 2);
  lua_pushinteger(L, slot);
  lua_rawseti(L, 1, place);
  return 0;
}

/* unlink(f): takes back the first link with that f. */
int lg_thread_unlink(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_self_thread(L);
  lua_Integer i, n;
  lua_settop(L, 2);
  lua_pushboolean(L, 0);
  if (!t || t->state >= GREEN_DONE || !lg_rare(L, G, t)) return 1;
  n = lua_rawgeti(L, -1, RARE_LINKS) == LUA_TNIL
          ? 0
          : (lua_Integer)lua_rawlen(L, -1);
  for (i = 1; i <= n; i++) {
    int slot, same;
    lua_rawgeti(L, -1, i);
    slot = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (slot <= 0) continue;
    lg_push_anchored(L, G, slot);
    lua_pushvalue(lua_tothread(L, -1), LG_BASE);
    lua_xmove(lua_tothread(L, -1), L, 1);
    same = lua_rawequal(L, -1, 2);
    lua_pop(L, 2);
    if (!same) continue;
    lg_release(G, slot);
    green_unreserve(G->hub);
    lua_pushinteger(L, -1);
    lua_rawseti(L, -2, i);
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushboolean(L, 0);
  return 1;
}

/* --- the end --- */

/* Makes a thread of a link's coroutine, ready to run: see
 * lg_thread_link(). */
static void start_link(struct lg *G, int slot) {
  struct green_thread *t;
  green_unreserve(G->hub);
  t = green_thread_new(G->hub, G->thread_class);
  lua_rawgeti(G->tables, 1, slot);
  t->user = lua_tothread(G->tables, -1);
  lua_pop(G->tables, 1);
  t->user_anchor = slot;
  t->flags |= GREEN_OWED;
  green_start(G->hub, t, 0);
}

int lg_start_links(struct lg *G, struct green_thread *t) {
  int i, n = 0, slot;
  if (!lg_push_rare_list(G, t, RARE_LINKS)) return 0;
  for (i = 1;; i++) {
    lua_rawgeti(G->tables, -1, i);
    slot = (int)lua_tointeger(G->tables, -1);
    lua_pop(G->tables, 1);
    if (!slot) break;
    if (slot <= 0) continue;
    start_link(G, slot);
    n++;
  }
  lua_pop(G->tables, 1);
  return n;
}
