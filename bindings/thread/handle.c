/* handle.c - handles: what Lua holds of a thread.
 *
 * One userdata of 8 bytes for each thread that somebody looks at, in a
 * weak-valued table by the thread's slot. It holds the record (GREEN_HELD).
 * A C thread belongs to its spawner: its handle knows by the id whether the
 * record is still the same thread's.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "thread/thread.h"
#include "runtime/waitable.h"

/* Keys in the registry: handles by slot (weak), and their metatable. */
static const char HANDLES[] = "handles", META[] = "meta";

struct guest {
  struct lg_handle handle;
  uint64_t id;
};

/* The thread of a handle, or NULL if it was a C thread that has ended. */
static struct green_thread *of_handle(lua_State *L, int index, void *ud) {
  struct guest *guest = ud;
  struct green_thread *t = guest->handle.thread;
  if (lua_rawlen(L, index) == sizeof *guest && t && t->id != guest->id)
    return NULL;
  return t;
}

struct green_thread *lg_to_thread(lua_State *L, int index) {
  void *ud = luaL_testudata(L, index, "green.thread");
  return ud ? of_handle(L, index, ud) : NULL;
}

struct green_thread *lg_self_thread(lua_State *L) {
  return of_handle(L, 1, lg_self(L));
}

/* For what makes no sense with a C thread that is gone. */
struct green_thread *lg_known_thread(lua_State *L) {
  struct green_thread *t = lg_self_thread(L);
  if (!t) luaL_error(L, "this green thread of C code has ended");
  return t;
}

struct lg_handle *lg_new_handle(lua_State *L, size_t size) {
  struct lg_handle *handle = lua_newuserdatauv(L, size, 0);
  handle->thread = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, META);
  lua_setmetatable(L, -2);
  return handle;
}

/* The handle is on top of the stack. */
void lg_register_handle(lua_State *L, int slot) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, HANDLES);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, slot);
  lua_pop(L, 1);
}

/* The size of a thread's handle. */
static size_t size_for(const struct green_thread *t) {
  return t->klass == &lg_thread_class ? sizeof(struct lg_handle)
                                      : sizeof(struct guest);
}

/* Of the handle on top of the stack, in which nothing is yet. */
static void fill(lua_State *L, struct lg *G, struct green_thread *t,
                 struct lg_handle *handle) {
  if (t->klass == &lg_thread_class) {
    lg_register_handle(L, t->user_anchor);
    t->flags |= GREEN_HELD;
    t->user_flags |= LG_HANDLED;
  } else {
    if (!t->user_anchor) {
      lua_pushboolean(L, 1);
      t->user_anchor = lg_anchor(L, G);
    }
    ((struct guest *)handle)->id = t->id;
    lg_register_handle(L, t->user_anchor);
  }
  handle->thread = t;
}

static int is_registered(lua_State *L, const struct green_thread *t) {
  if (!t->user_anchor) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, HANDLES);
  lua_rawgeti(L, -1, t->user_anchor);
  lua_remove(L, -2);
  if (!lua_isnil(L, -1)) return 1;
  lua_pop(L, 1);
  return 0;
}

/* Finalizers that run where the handle is made may make another one, or end
 * the thread: what is left then is a handle of nothing. */
void lg_push_thread(lua_State *L, struct lg *G, struct green_thread *t) {
  struct lg_handle *handle;
  uint64_t id = t->id;
  luaL_checkstack(L, 6, "luagreen");
  if (is_registered(L, t)) return;
  handle = lg_new_handle(L, size_for(t));
  if (t->id != id || !t->klass) return;
  if (is_registered(L, t))
    lua_remove(L, -2);
  else
    fill(L, G, t, handle);
}

/* A C thread ends: its slots go, its handle is told by the id. */
void lg_guest_ended(struct green_hub *hub, struct green_thread *t) {
  struct lg *G = lg_of(hub);
  if (G) lg_locks_abandon(G, t);
  if (!G || !(t->user_anchor | t->user_rare)) return;
  if (t->user_anchor) {
    lua_rawgetp(G->tables, LUA_REGISTRYINDEX, HANDLES);
    lua_pushnil(G->tables);
    lua_rawseti(G->tables, -2, t->user_anchor);
    lua_pop(G->tables, 1); /* no more: others may have something there */
  }
  lg_release(G, t->user_anchor);
  lg_release(G, t->user_rare);
  t->user_anchor = t->user_rare = 0;
}

void lg_keep_thread(struct green_thread *t) {
  t->flags |= GREEN_HELD;
  t->user_flags |= LG_KEPT;
}

/* If a handle was made meanwhile, it holds the record now: its finalizer will
 * look at it, even if the weak table has it no more. */
void lg_let_thread_go(struct lg *G, struct green_thread *t) {
  t->user_flags &= (uint8_t)~LG_KEPT;
  if (t->user_flags & LG_HANDLED) return;
  if (t->flags & GREEN_OVER) lg_forget(G, t);
  green_forget(G->hub, t);
}

static int handle_gc(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct lg_handle *handle = lua_touserdata(L, 1);
  struct green_thread *t = of_handle(L, 1, handle);
  int stands, replaced;
  if (!t || !G->hub) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, HANDLES);
  lua_rawgeti(L, -1, t->user_anchor);
  stands = lua_rawequal(L, -1, 1);
  replaced = !stands && !lua_isnil(L, -1);
  lg_finalizing(L, G, stands);
  handle->thread = NULL;
  /* A younger handle may hold the record by now; closed hubs hold nothing. */
  if (replaced || !G->hub || t->klass != &lg_thread_class) return 0;
  t->user_flags &= (uint8_t)~LG_HANDLED;
  if (t->user_flags & LG_KEPT) {
    if (stands) { /* the state closes; there may be another handle yet */
      lua_pushnil(L);
      lua_rawseti(L, -3, t->user_anchor);
    }
    return 0;
  }
  if (t->flags & GREEN_OVER) lg_forget(G, t);
  green_forget(G->hub, t);
  return 0;
}

/* --- methods --- */

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
  lua_settop(L, 2);
  if (is_alive(t)) {
    lg_push_caller(L);
    lg_make_rare(L, G, t);
    if (is_alive(t)) note_kill(L, 2);
  }
  lua_pushboolean(L, t && green_kill(G->hub, t));
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
  if (t && t->state == GREEN_NEW && t->klass == &lg_thread_class) {
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

/* --- functions --- */

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

/* thread(id) */
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

/* rare([t]): the table of rare things of a thread, made if need be. */
static int l_rare(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t =
      lua_isnoneornil(L, 1) ? lg_current(G) : lg_to_thread(L, 1);
  if (t)
    lg_make_rare(L, G, t);
  else
    lua_pushnil(L);
  return 1;
}

/* output([t]): where print goes in a thread; set_output(sink): in this one.
 * print must work while the state closes, too. */
static int l_output(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_thread *t;
  if (!G->hub) return 0;
  t = lua_isnoneornil(L, 1) ? lg_current(G) : lg_to_thread(L, 1);
  if (!t || !lg_rare(L, G, t)) return 0;
  lua_rawgeti(L, -1, RARE_OUTPUT);
  return 1;
}

static int l_set_output(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_current(G);
  lua_settop(L, 1);
  if (!t) return luaL_error(L, "'output' needs a green thread that calls it");
  lg_make_rare(L, G, t);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, RARE_OUTPUT);
  t->user_flags |= LG_PASSES_ON;
  return 0;
}

/* expose(co): coroutine.running gave this coroutine away. */
static int l_expose(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_thread *t = G->hub ? lg_current(G) : NULL;
  if (t && t->user == lua_tothread(L, 1)) {
    t->user_flags |= LG_EXPOSED;
    lua_pushboolean(L, 1);
    return 1;
  }
  return 0;
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

static const luaL_Reg meta[] = {{"__gc", handle_gc},
                                {"__newindex", thread_newindex},
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
                                     {"rare", l_rare},
                                     {"output", l_output},
                                     {"set_output", l_set_output},
                                     {"expose", l_expose},
                                     {"cut", lg_cut},
                                     {NULL, NULL}};

static const luaL_Reg on_threads[] = {{"await_end", lg_thread_await_end},
                                      {"stack_text", lg_thread_stack_text},
                                      {"spawned_at", lg_thread_spawned_at},
                                      {"limit_of", lg_thread_limit_of},
                                      {NULL, NULL}};

static void make_handles(lua_State *L) {
  lg_weak_table(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, HANDLES);
  lua_pushstring(L, lg_no_yield);
  lua_rawsetp(L, LUA_REGISTRYINDEX, lg_no_yield);
}

void lg_open_thread(lua_State *L) {
  static const luaL_Reg index[] = {{"__index", thread_index}, {NULL, NULL}};
  make_handles(L);
  lg_open_coroutine(L);
  lg_setfuncs(L, functions, 0);
  lg_new_class(L, "green.thread", methods, meta);
  lg_set_waitable(L, &lg_thread_waitable);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, META);
  lua_pushvalue(L, -1);
  lua_pushvalue(L, -1);
  lua_getfield(L, -1, "__index");
  lua_pushvalue(L, -1);
  lua_setfield(L, -5, "__methods"); /* for methods written in Lua */
  lg_setfuncs(L, index, 2);
  lua_pop(L, 1);
  lg_setfuncs(L, on_threads, 1);
}
