/* spawn.c - making threads, and the links that run at their end.
 *
 * Everything of Lua comes first, as it may raise; then the record. A link is a
 * coroutine made beforehand, so that nothing is allocated at the end.
 *
 * SPDX-License-Identifier: MIT
 */
#include "thread/thread.h"

void lg_check_callable(lua_State *L, int index) {
  if (lua_isfunction(L, index)) return;
  if (luaL_getmetafield(L, index, "__call") != LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  luaL_typeerror(L, index, "function");
}

static void note_spawner(struct lg *G, struct green_thread *t) {
  struct green_thread *parent = lg_current(G);
  t->user_spawner = parent ? (uint32_t)parent->id : 0;
}

/* What a child inherits: where print goes, and locals. */
static void inherit(lua_State *L, struct lg *G, struct green_thread *t,
                    struct green_thread *parent) {
  int from;
  luaL_checkstack(L, 4, "luagreen");
  lg_push_anchored(L, G, parent->user_rare);
  from = lua_gettop(L);
  lg_make_rare(L, G, t);
  lua_rawgeti(L, from, RARE_OUTPUT);
  lua_rawseti(L, from + 1, RARE_OUTPUT);
  lg_copy_inherited(L, from, from + 1);
  t->user_flags |= LG_PASSES_ON;
  lua_settop(L, from - 1);
}

/* Everything of Lua first, as it may raise; then the record. The function and
 * its n arguments are on top of the stack, and are popped; below them is the
 * handle, if there is one. */
static struct green_thread *make(lua_State *L, struct lg *G, int n,
                                 int handle) {
  int slot;
  struct green_thread *t;
  lua_State *co = lg_get_coroutine(L, G, &slot);
  if (handle) {
    lua_pushvalue(L, -n - 2);
    lg_register_handle(L, slot);
    lua_pop(L, 1);
  }
  if (!lua_checkstack(co, n + LG_BASE + 4)) {
    lg_release(G, slot);
    luaL_error(L, "too many arguments for a green thread");
  }
  t = green_thread_new(G->hub, &lg_thread_class);
  if (!t) {
    lg_release(G, slot);
    luaL_error(L, "not enough memory for a green thread");
  }
  t->user = co;
  t->user_anchor = slot;
  lua_pushvalue(L, -n - 1);
  lua_xmove(L, co, 1);
  lua_xmove(L, co, n + 1);
  note_spawner(G, t);
  return t;
}

void lg_launch(lua_State *L, struct lg *G, struct green_thread *t,
               uint64_t at) {
  struct green_thread *parent = lg_current(G);
  if (green_start(G->hub, t, at) < 0) {
    green_unstart(G->hub, t);
    luaL_error(L, "not enough memory for a timer");
  }
  if (unlikely(green_hot(G->hub)->draining && !(t->flags & GREEN_OWED)))
    green_kill(G->hub, t); /* comes too late */
  else if (unlikely(parent && parent->user_flags & LG_PASSES_ON))
    inherit(L, G, t, parent); /* may raise */
}

/* A link of a thread that has ended: it runs even while the hub drains. */
static void launch_owed(lua_State *L, struct lg *G, struct green_thread *t) {
  t->flags |= GREEN_OWED;
  lg_launch(L, G, t, 0);
}

struct lg *lg_may_spawn(lua_State *L) {
  struct lg *G = lg_get(L);
  if (unlikely(G->drained == 2)) luaL_error(L, "the state is closing");
  return G;
}

/* A storm of spawns is to end in an error, not in a machine without memory.
 * What is owed to ended threads (reports, links) is not counted out. */
static int is_crowded(struct lg *G) {
  return unlikely(green_live(G->hub) >= G->max_threads);
}

/* crowded(): would a spawn raise for that reason? */
int lg_l_crowded(lua_State *L) {
  lua_pushboolean(L, is_crowded(lg_get(L)));
  return 1;
}

void lg_check_room(lua_State *L, struct lg *G) {
  if (is_crowded(G))
    luaL_error(L, "too many green threads (max_threads is %I)",
               (lua_Integer)G->max_threads);
}

struct green_thread *lg_make_thread(lua_State *L, struct lg *G, int n,
                                    int handle) {
  struct lg_handle *h;
  struct green_thread *t;
  if (!handle) return make(L, G, n, 0);
  h = lg_new_handle(L, sizeof *h);
  lua_insert(L, -n - 2);
  t = make(L, G, n, 1);
  t->user_site = lg_site(L, G, 1); /* not for spawn_n: a third of it */
  h->thread = t;
  t->flags |= GREEN_HELD;
  t->user_flags |= LG_HANDLED;
  return t;
}

static int spawn(lua_State *L, struct lg *G, int n, uint64_t at) {
  lg_launch(L, G, lg_make_thread(L, G, n, 1), at);
  return 1;
}

int lg_l_spawn(lua_State *L) {
  struct lg *G = lg_may_spawn(L);
  lg_check_callable(L, 1);
  lg_check_room(L, G);
  return spawn(L, G, lua_gettop(L) - 1, 0);
}

int lg_l_spawn_n(lua_State *L) {
  struct lg *G = lg_may_spawn(L);
  lg_check_callable(L, 1);
  lg_check_room(L, G);
  lg_launch(L, G, make(L, G, lua_gettop(L) - 1, 0), 0);
  return 0;
}

/* spawn_after(s, f, ...) */
int lg_l_spawn_after(lua_State *L) {
  struct lg *G = lg_may_spawn(L);
  lua_Number s = luaL_checknumber(L, 1);
  luaL_argcheck(L, s == s, 1, "seconds expected, got NaN");
  lg_check_callable(L, 2);
  lg_check_room(L, G);
  return spawn(L, G, lua_gettop(L) - 2, lg_deadline(s));
}

static struct lg *open_state(lua_State *L) {
  struct lg *G = lg_find(L);
  if (!G || !G->hub || G->drained == 2)
    luaL_error(L, "luagreen is not open in this state");
  luaL_checkstack(L, 8, "luagreen");
  return G;
}

void green_lua_spawn(lua_State *L, int nargs) {
  struct lg *G = open_state(L);
  lg_check_room(L, G);
  spawn(L, G, nargs, 0);
}

void lg_spawn_owed(lua_State *L, int nargs) {
  struct lg *G = open_state(L);
  launch_owed(L, G, lg_make_thread(L, G, nargs, 1));
}

static int spawn_report(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "report");
  lua_replace(L, -2);
  lua_insert(L, 1);
  lg_spawn_owed(L, 2);
  return 0;
}

/* report_later(err, thread): to on_error, in a thread of its own, even when
 * there are too many. False: there cannot be one. */
int lg_l_report_later(lua_State *L) {
  int status;
  lg_get(L);
  lua_settop(L, 2);
  lua_pushcfunction(L, spawn_report);
  lua_insert(L, 1);
  status = lua_pcall(L, 2, 0, 0);
  lua_pushboolean(L, status == LUA_OK);
  return 1;
}

/* --- links --- */

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
    launch_owed(L, G, make(L, G, n + 1, 0));
    return 0;
  }
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
  lua_replace(L, 1);
  lua_pop(L, 1); /* list, f, t, args */
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
    launch_owed(L, G, make(L, G, n + 1, 0));
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
