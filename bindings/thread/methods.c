/* methods.c - threads for Lua: the table of methods, the fields, and the
 * functions that find threads.
 *
 * The top of thread/: it names all files of the floor, and none of them names
 * it. Everything here runs where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/budget.h"
#include "runtime/object.h"
#include "runtime/rare.h"
#include "runtime/refusal.h"
#include "runtime/site.h"
#include "runtime/strike.h"
#include "thread/dump_signal.h"
#include "thread/coroutine.h"
#include "thread/handle.h"
#include "thread/join.h"
#include "thread/links.h"
#include "thread/name.h"
#include "thread/reset.h"
#include "thread/thread.h"

/* --- ending it --- */

/* Is it neither ended nor killed? kill and its like allocate, which may run
 * finalizers that do the same: the first one wins. */
static int is_alive(const struct lg_handle *h) {
  const struct green_thread *t = lg_live(h);
  return t && t->state < GREEN_DONE && !(t->flags & GREEN_STRUCK);
}

static int is_new(const struct lg_handle *h) {
  return lg_live(h) && lg_live(h)->state == GREEN_NEW;
}

/* (handle, reason, is it cancelled, G): notes why and where it is killed. */
static int note_kill(lua_State *L) {
  const struct lg_handle *h = lua_touserdata(L, 1);
  lg_push_where(L, L, 1);
  lg_handle_rare(L, lua_touserdata(L, 4), 1, 1);
  assert(lua_istable(L, -1) && lua_isstring(L, -2));
  if (lua_toboolean(L, 3) ? !is_new(h) : !is_alive(h)) return 0;
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, RARE_REASON);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, RARE_WHERE);
  return 0;
}

/* The handle and the reason are at 1 and 2. With memory short the thread is
 * killed all the same, and nobody learns why. */
static void try_to_note(lua_State *L, struct lg *G, int is_cancelled) {
  lg_reserve_begin(G);
  if (!lua_checkstack(L, 6)) {
    lg_reserve_end(G);
    return;
  }
  lua_pushcfunction(L, note_kill);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_pushboolean(L, is_cancelled);
  lua_pushlightuserdata(L, G);
  if (lua_pcall(L, 4, 0, 0) != LUA_OK) lua_pop(L, 1);
  lg_reserve_end(G);
}

/* kill([reason]): true if it was alive. */
static int thread_kill(lua_State *L) {
  struct lg *G = lg_get(L);
  const struct lg_handle *h = lg_self_handle(L);
  int killed;
  lua_settop(L, 2);
  if (is_alive(h)) try_to_note(L, G, 0);
  killed = lg_live(h) ? green_kill(G->hub, lg_live(h)) : 0;
  if (killed < 0) luaL_error(L, "cannot kill %s", green_elsewhere(G->hub));
  lua_pushboolean(L, killed);
  return 1;
}

/* cancel(): true if it will never run. */
static int thread_cancel(lua_State *L) {
  struct lg *G = lg_get(L);
  const struct lg_handle *h = lg_self_handle(L);
  if (is_new(h)) {
    lua_settop(L, 1);
    lua_pushliteral(L, "cancelled");
    try_to_note(L, G, 1);
  }
  lua_pushboolean(L, is_new(h) && green_unstart(G->hub, lg_live(h)));
  return 1;
}

/* A thread that has not started fails with the value on top of L and never
 * runs. 0: a finalizer ended it during the search for its place. */
static int throw_unstarted(lua_State *L, struct lg *G,
                           const struct lg_handle *h) {
  struct green_thread *t = lg_live(h);
  uint32_t site = lg_defined(G, t);
  lua_State *co;
  if (!is_new(h)) return 0;
  co = t->user;
  assert(lg_live(h) == t && lua_gettop(co) > LG_BASE);
  lua_settop(co, LG_TRIPWIRE); /* the outcome takes the function's place */
  lua_xmove(L, co, 1);
  t->user_place = site;
  t->state = GREEN_FAILED;
  green_end_unstarted(G->hub, t);
  return 1;
}

static int may_throw(const struct lg_handle *h) {
  const struct green_thread *t = lg_live(h);
  return t && t->state < GREEN_DONE && !green_thrown(t);
}

/* throw(err): its next blocking call raises err, once. */
static int thread_throw(lua_State *L) {
  struct lg *G = lg_get(L);
  const struct lg_handle *h = lg_self_handle(L);
  int done = 0, r;
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  if (is_new(h) && lg_is_lua(lg_live(h))) {
    done = throw_unstarted(L, G, h);
  } else if (may_throw(h)) {
    lg_handle_rare(L, G, 1, 1);
    if ((done = may_throw(h))) {
      lua_pushvalue(L, 2);
      lua_rawseti(L, -2, RARE_THROWN);
      if ((r = green_throw(G->hub, lg_live(h), LG_THROWN)) < 0)
        return luaL_error(L, "cannot throw: %s", lg_strerror(G, r));
    }
  }
  lua_pushboolean(L, done);
  return 1;
}

/* --- fields --- */

static void push_name(lua_State *L, struct lg *G, const struct lg_handle *h) {
  if (lg_live(h))
    lg_push_name(L, G, lg_live(h));
  else
    lg_push_past_name(L, G, 1);
}

/* Methods come first: they look at their argument themselves. */
static int thread_index(lua_State *L) {
  struct lg *G;
  const struct lg_handle *h;
  const char *key;
  luaL_checkany(L, 2);
  lua_pushvalue(L, 2);
  if (likely(lua_rawget(L, lua_upvalueindex(3)) != LUA_TNIL)) return 1;
  G = lg_get(L);
  h = lg_self_handle(L);
  if (!(key = lua_tostring(L, 2))) return 1;
  if (!strcmp(key, "id"))
    lua_pushinteger(L, (lua_Integer)lg_handle_id(h));
  else if (!strcmp(key, "name"))
    push_name(L, G, h);
  else
    lua_pushnil(L);
  return 1;
}

/* Sets the name in the core, and as a string, which the handle takes over at
 * the end. */
static void set_name(lua_State *L, struct lg *G, const struct lg_handle *h,
                     const char *name) {
  int r;
  lg_handle_rare(L, G, 1, 1);
  lua_pushlstring(L, name, strnlen(name, GREEN_MOST_NAME));
  lua_rawseti(L, -2, RARE_NAME);
  lua_pop(L, 1);
  if (lg_live(h) && (r = green_set_name(G->hub, lg_live(h), name)) < 0)
    luaL_error(L, "cannot set 'name': %s", lg_strerror(G, r));
}

static int thread_newindex(lua_State *L) {
  struct lg *G = lg_get(L);
  const struct lg_handle *h = lg_self_handle(L);
  const char *key = luaL_checkstring(L, 2);
  if (strcmp(key, "name"))
    return luaL_error(L, "a green thread has no field '%s' to set", key);
  if (lua_type(L, 3) != LUA_TSTRING)
    return luaL_error(L, "bad value for 'name' (string expected, got %s)",
                      luaL_typename(L, 3));
  set_name(L, G, h, lua_tostring(L, 3));
  return 0;
}

/* If the hub is gone, threads that still lived are out of reach. */
static int thread_tostring(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  const struct lg_handle *h = lg_self_handle(L);
  if (lg_live(h) && !G->hub) {
    lua_pushliteral(L, "green.thread: ended");
    return 1;
  }
  push_name(L, G, h);
  lua_pushfstring(L, "green.thread: #%I %s", (lua_Integer)lg_handle_id(h),
                  lua_tostring(L, -1));
  return 1;
}

/* --- finding threads --- */

/* In a state that has been closed there is none: green.traceback, which is a
 * message handler, asks there, too. If it raised it would be called again. */
static int l_current(lua_State *L) {
  struct lg *G = lg_peek(L);
  struct green_thread *t = G->hub ? lg_current(G) : NULL;
  if (t)
    lg_push_thread(L, G, t);
  else
    lua_pushnil(L);
  return 1;
}

/* A record may be another thread's when the next allocation has run finalizers,
 * so the id that it had stands beside it. */
struct found {
  struct green_thread *thread;
  uint64_t id;
};

struct gather {
  struct found *at;
  size_t n, room;
  uint64_t id; /* only this one; 0: all */
};

static void gather(struct green_thread *t, void *arg) {
  struct gather *g = arg;
  if (g->n == g->room || (g->id && g->id != t->id)) return;
  g->at[g->n++] = (struct found){t, t->id};
}

/* The state's threads, main, and those of C's. */
static void each(struct lg *G, void (*f)(struct green_thread *t, void *arg),
                 void *arg) {
  green_each_of(G->hub, &G->family, f, arg);
  green_each_of(G->hub, NULL, f, arg);
}

/* find_thread(id) */
static int l_find_thread(lua_State *L) {
  struct lg *G = lg_get(L);
  struct found found = {NULL, 0};
  struct gather g = {&found, 0, 1, 0};
  g.id = (uint64_t)luaL_checkinteger(L, 1);
  if (g.id) each(G, gather, &g);
  if (found.thread) lg_push_thread(L, G, found.thread);
  if (!found.thread || !lg_to_thread(L, -1)) lua_pushnil(L);
  return 1;
}

static int by_id(const void *a, const void *b) {
  const struct found *x = a, *y = b;
  return x->id < y->id ? -1 : x->id > y->id;
}

/* threads(): sorted here, as Lua's sort with a comparator that asks handles for
 * their ids takes 0.6 s for 100,000 threads, and this takes 0.02. */
static int l_threads(lua_State *L) {
  struct lg *G = lg_get(L);
  struct gather g = {NULL, 0, 0, 0};
  lua_Integer n = 0;
  size_t i;
  do { /* finalizers may spawn */
    g.room = green_live(G->hub) + 1;
    g.at = lua_newuserdatauv(L, g.room * sizeof *g.at, 0);
  } while (g.room < green_live(G->hub));
  each(G, gather, &g);
  qsort(g.at, g.n, sizeof *g.at, by_id);
  lua_createtable(L, (int)g.n, 0);
  for (i = 0; i < g.n; i++) {
    struct green_thread *t = g.at[i].thread;
    if (t->id != g.at[i].id || t->state >= GREEN_DONE) continue;
    lg_push_thread(L, G, t);
    if (lg_live(lua_touserdata(L, -1)))
      lua_rawseti(L, -2, ++n);
    else
      lua_pop(L, 1);
  }
  return 1;
}

/* has_ended() */
static int thread_has_ended(lua_State *L) {
  const struct green_thread *t = lg_self_thread(L);
  lua_pushboolean(L, !t || t->state >= GREEN_DONE);
  return 1;
}

static const luaL_Reg methods[] = {
    {"wait", lg_thread_wait},        {"join", lg_thread_join},
    {"kill", thread_kill},           {"throw", thread_throw},
    {"cancel", thread_cancel},       {"link", lg_thread_link},
    {"unlink", lg_thread_unlink},    {"status", lg_thread_status},
    {"has_ended", thread_has_ended}, {"blocked", lg_thread_blocked},
    {"stats", lg_thread_stats},      {NULL, NULL}};

static const luaL_Reg meta[] = {{"__newindex", thread_newindex},
                                {"__tostring", thread_tostring},
                                {NULL, NULL}};

static const luaL_Reg functions[] = {{"spawn", lg_l_spawn},
                                     {"spawn_n", lg_l_spawn_n},
                                     {"spawn_after", lg_l_spawn_after},
                                     {"crowded", lg_l_crowded},
                                     {"cut_short", lg_l_cut_short},
                                     {"report_later", lg_l_report_later},
                                     {"current", l_current},
                                     {"find_thread", l_find_thread},
                                     {"threads", l_threads},
                                     {"wants_dump", lg_l_wants_dump},
                                     {"rare", lg_l_rare},
                                     {"output", lg_l_output},
                                     {"set_output", lg_l_set_output},
                                     {NULL, NULL}};

static const luaL_Reg on_threads[] = {{"await_end", lg_thread_await_end},
                                      {"stack_text", lg_thread_stack_text},
                                      {"spawned_at", lg_thread_spawned_at},
                                      {"limit_of", lg_thread_limit_of},
                                      {NULL, NULL}};

void lg_open_thread(lua_State *L) {
  static const luaL_Reg index[] = {{"__index", thread_index}, {NULL, NULL}};
  lua_pushstring(L, lg_no_yield);
  lua_rawsetp(L, LUA_REGISTRYINDEX, lg_no_yield);
  lg_open_coroutine(L);
  lg_setfuncs(L, functions, 0);
  lg_open_handles(L);
  lg_new_class(L, "green.thread", methods, meta);
  lg_set_waitable(L, &lg_thread_waitable);
  lua_pushvalue(L, -1);
  lua_pushvalue(L, -1);
  lua_getfield(L, -1, "__index");
  lua_pushvalue(L, -1);
  lua_setfield(L, -5, "__methods"); /* for methods written in Lua */
  lg_setfuncs(L, index, 2);
  lua_pop(L, 1);
  lg_setfuncs(L, on_threads, 1);
}
