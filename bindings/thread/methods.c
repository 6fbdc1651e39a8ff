/* methods.c - what Lua can do with a thread: the table of its methods, its
 * fields, and the functions that find threads.
 *
 * The roof of thread/: it names all files of the floor, and none names it.
 * Everything here runs where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "runtime/rare.h"
#include "thread/join.h"
#include "thread/links.h"
#include "thread/thread.h"

/* --- ending it --- */

/* Neither ended nor killed. What kill and its like make may run finalizers that
 * do the same: whoever comes first has its way. */
static int is_alive(const struct green_thread *t) {
  return t && t->state < GREEN_DONE && !(t->flags & GREEN_STRUCK);
}

/* The reason is at `index`; the place and the rare things are on top. */
static void note_kill(lua_State *L, int index) {
  lua_pushvalue(L, index);
  lua_rawseti(L, -2, RARE_REASON);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, RARE_WHERE);
}

/* kill([reason]): true if it was alive. */
static int thread_kill(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_self_thread(L);
  int killed;
  lua_settop(L, 2);
  if (is_alive(t)) {
    lg_push_caller(L);
    lg_make_rare(L, G, t);
    if (is_alive(t)) note_kill(L, 2);
  }
  killed = t ? green_kill(G->hub, t) : 0;
  if (killed < 0) luaL_error(L, "cannot kill %s", green_elsewhere(G->hub));
  lua_pushboolean(L, killed);
  return 1;
}

/* cancel(): true if it will never run. */
static int thread_cancel(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_self_thread(L);
  if (!t || t->state != GREEN_NEW) {
    lua_pushboolean(L, 0);
    return 1;
  }
  lua_settop(L, 1);
  lua_pushliteral(L, "cancelled");
  lg_push_caller(L);
  lg_make_rare(L, G, t);
  if (t->state == GREEN_NEW) note_kill(L, 2);
  lua_pushboolean(L, green_unstart(G->hub, t));
  return 1;
}

/* One that has not started fails with the value and never runs. 0: a finalizer
 * has ended it first, while the name was made. */
static int throw_unstarted(struct lg *G, struct green_thread *t,
                           lua_State *L) {
  lua_State *co = t->user;
  lg_keep_name(G, t);
  if (t->state != GREEN_NEW) return 0;
  lua_settop(co, LG_TRIPWIRE);
  lua_xmove(L, co, 1);
  t->state = GREEN_FAILED;
  if (lg_has_waiter(t)) t->user_flags |= LG_AWAITED;
  green_end_unstarted(G->hub, t);
  return 1;
}

static int may_throw(const struct green_thread *t) {
  return t && t->state < GREEN_DONE && !green_thrown(t);
}

/* throw(err): raised once at its next blocking call. */
static int thread_throw(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_self_thread(L);
  int done = 0;
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  if (t && t->state == GREEN_NEW && lg_is_lua(t)) {
    done = throw_unstarted(G, t, L);
  } else if (may_throw(t)) {
    lg_make_rare(L, G, t);
    if ((done = may_throw(t))) {
      lua_pushvalue(L, 2);
      lua_rawseti(L, -2, RARE_THROWN);
      if (green_throw(G->hub, t, UV_UNKNOWN) < 0)
        return luaL_error(L, "not enough memory");
    }
  }
  lua_pushboolean(L, done);
  return 1;
}

/* --- fields --- */

static int thread_index(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_self_thread(L);
  const char *key = lua_tostring(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(3)) != LUA_TNIL || !key) return 1;
  if (!strcmp(key, "id") && t)
    lua_pushinteger(L, (lua_Integer)t->id);
  else if (!strcmp(key, "name") && t)
    lg_push_name(L, G, t);
  else
    lua_pushnil(L);
  return 1;
}

static int thread_newindex(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_known_thread(L);
  const char *key = luaL_checkstring(L, 2);
  if (strcmp(key, "name"))
    return luaL_error(L, "a green thread has no field '%s' to set", key);
  if (lua_type(L, 3) != LUA_TSTRING)
    return luaL_error(L, "bad value for 'name' (string expected, got %s)",
                      luaL_typename(L, 3));
  if (green_set_name(G->hub, t, lua_tostring(L, 3)) < 0)
    return luaL_error(L, "not enough memory");
  return 0;
}

static int thread_tostring(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_thread *t = G->hub ? lg_self_thread(L) : NULL;
  if (!t) {
    lua_pushliteral(L, "green.thread: ended");
    return 1;
  }
  lg_push_name(L, G, t);
  lua_pushfstring(L, "green.thread: #%I %s", (lua_Integer)t->id,
                  lua_tostring(L, -1));
  return 1;
}

/* --- finding threads --- */

static int l_current(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_current(G);
  if (t)
    lg_push_thread(L, G, t);
  else
    lua_pushnil(L);
  return 1;
}

struct gather {
  struct green_thread **at;
  size_t n, room;
  uint64_t id; /* only this one; 0: all */
};

static void gather(struct green_thread *t, void *arg) {
  struct gather *g = arg;
  if (g->n < g->room && (!g->id || g->id == t->id)) g->at[g->n++] = t;
}

/* find_thread(id) */
static int l_find_thread(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *found = NULL;
  struct gather g = {&found, 0, 1, 0};
  g.id = (uint64_t)luaL_checkinteger(L, 1);
  if (g.id) green_each(G->hub, gather, &g);
  if (found) lg_push_thread(L, G, found);
  if (!found || !lg_to_thread(L, -1)) lua_pushnil(L);
  return 1;
}

/* all_threads(): the live ones, in no order. */
static int l_all_threads(lua_State *L) {
  struct lg *G = lg_get(L);
  struct gather g = {NULL, 0, 0, 0};
  size_t i;
  do { /* finalizers may spawn */
    g.room = green_live(G->hub) + 1;
    g.at = lua_newuserdatauv(L, g.room * sizeof *g.at, 0);
  } while (g.room < green_live(G->hub));
  green_each(G->hub, gather, &g);
  lua_createtable(L, (int)g.n, 0);
  for (i = 0; i < g.n; i++) {
    if (!g.at[i]->klass || g.at[i]->state >= GREEN_DONE) continue;
    lg_push_thread(L, G, g.at[i]);
    if (lg_to_thread(L, -1))
      lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    else
      lua_pop(L, 1);
  }
  return 1;
}

static const luaL_Reg methods[] = {{"wait", lg_thread_wait},
                                   {"join", lg_thread_join},
                                   {"kill", thread_kill},
                                   {"throw", thread_throw},
                                   {"cancel", thread_cancel},
                                   {"link", lg_thread_link},
                                   {"unlink", lg_thread_unlink},
                                   {"status", lg_thread_status},
                                   {"blocked", lg_thread_blocked},
                                   {"stats", lg_thread_stats},
                                   {NULL, NULL}};

static const luaL_Reg meta[] = {{"__newindex", thread_newindex},
                                {"__tostring", thread_tostring},
                                {NULL, NULL}};

static const luaL_Reg functions[] = {{"spawn", lg_l_spawn},
                                     {"spawn_n", lg_l_spawn_n},
                                     {"spawn_after", lg_l_spawn_after},
                                     {"crowded", lg_l_crowded},
                                     {"report_later", lg_l_report_later},
                                     {"current", l_current},
                                     {"find_thread", l_find_thread},
                                     {"all_threads", l_all_threads},
                                     {"rare", lg_l_rare},
                                     {"output", lg_l_output},
                                     {"set_output", lg_l_set_output},
                                     {"expose", lg_expose},
                                     {"close_of", lg_close_of},
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
  lg_find(L)->thread_class = &lg_thread_class;
  lg_open_coroutine(L);
  lg_setfuncs(L, functions, 0);
  lg_open_handles(L);
  lua_pop(L, 1);
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
