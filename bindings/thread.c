/* thread.c - a green thread that is a Lua coroutine.
 *
 * Owns the class of Lua threads: how a worker runs one, how it ends, and its
 * handle. The resumed function is the user's own: no trampoline, no protected
 * call at the base, so that an idle thread costs 1.2 KB. What has to happen at
 * its end happens here on the worker, outside lua_resume, where only functions
 * that cannot raise may be used; the rest goes through the helper coroutine.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "binding.h"

/* Keys in the registry: handles by slot (weak), their metatable, and what a
 * thread fails with that yields to nobody. */
static const char HANDLES[] = "handles", META[] = "meta";
static const char NO_YIELD[] = "attempt to yield from outside a coroutine";

/* The holder of a Lua thread's record. A C thread belongs to its spawner: its
 * handle knows by the id whether the record is still the same thread's. */
struct handle {
  struct green_thread *thread; /* NULL: let go */
};
struct guest {
  struct handle handle;
  uint64_t id;
};

#if LUA_VERSION_RELEASE_NUM >= 50406
#define reset_thread(L) lua_closethread(L, NULL)
#elif LUA_VERSION_RELEASE_NUM == 50405
#define reset_thread(L) lua_resetthread(L, NULL)
#else
#define reset_thread(L) lua_resetthread(L)
#endif

/* --- coroutines, recycled where nobody can have kept them --- */

static void drop_coroutine(struct green_lua *G, struct green_thread *t) {
  green_lua__release(G, t->user_a);
  t->user_a = 0;
  t->user = NULL;
}

/* Only one that returned normally: before Lua 5.4.8 a reset coroutine keeps
 * the message handler slot of the xpcall it was reset in. */
static void recycle(struct green_lua *G, struct green_thread *t) {
  lua_State *co = t->user;
  if (!co) { /* gone early: the slot holds the function */
    drop_coroutine(G, t);
    return;
  }
  if (t->state != GREEN_DONE || t->user_flags & LUA_EXPOSED || !G->recycle ||
      G->pool_count == GREEN_LUA_POOL || lua_gethook(co)) {
    drop_coroutine(G, t);
    return;
  }
  lua_settop(co, 0);
  G->pool[G->pool_count] = co;
  G->pool_slot[G->pool_count++] = t->user_a;
  t->user_a = 0;
  t->user = NULL;
}

/* Returns a coroutine and its anchor slot; may raise. */
static lua_State *get_coroutine(lua_State *L, struct green_lua *G,
                                int *slot) {
  lua_State *co;
  if (G->pool_count && !lua_gethook(L)) {
    *slot = G->pool_slot[--G->pool_count];
    return G->pool[G->pool_count];
  }
  co = lua_newthread(L);
  *slot = green_lua__anchor(L, G);
  return co;
}

/* --- how a thread ends --- */

/* Did the error pass through a note of its traceback further in? The rare
 * things are on top of the stack. */
static int was_noted(lua_State *L, lua_State *co) {
  int same;
  lua_getfield(L, -1, "traced");
  if (lua_isnil(L, -1) || !lua_checkstack(co, 1)) {
    lua_pop(L, 1);
    return 0;
  }
  lua_pushvalue(co, -1);
  lua_xmove(co, L, 1);
  same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

/* fn(G, t) on the helper: where its error was raised. */
static int take_traceback(lua_State *L) {
  struct green_lua *G = lua_touserdata(L, 1);
  struct green_thread *t = lua_touserdata(L, 2);
  green_lua__cold_make(L, G, t);
  if (was_noted(L, t->user)) return 0;
  luaL_traceback(L, t->user, NULL, 0);
  lua_rawseti(L, -2, COLD_TRACEBACK);
  return 0;
}

static void push_place(lua_State *L, lua_Debug *ar) {
  if (ar->currentline > 0)
    lua_pushfstring(L, "%s:%d", ar->short_src, ar->currentline);
  else if (ar->linedefined > 0)
    lua_pushfstring(L, "%s:%d", ar->short_src, ar->linedefined);
  else
    lua_pushstring(L, ar->short_src);
}

/* Pops the function on top of L, pushes "file:line" of its definition. */
static void push_defined(lua_State *L) {
  lua_Debug ar;
  if (!lua_isfunction(L, -1)) {
    lua_pop(L, 1);
    lua_pushliteral(L, "?");
    return;
  }
  lua_getinfo(L, ">S", &ar);
  ar.currentline = -1;
  push_place(L, &ar);
}

/* The outermost level of a stack; 0: it has none. Going to a level costs its
 * depth, and an overflown stack has 200,000: so it is searched for. */
static int bottom(lua_State *co, lua_Debug *level) {
  int low = 0, high = 1;
  while (lua_getstack(co, high, level)) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    int middle = low + (high - low) / 2;
    if (lua_getstack(co, middle, level))
      low = middle;
    else
      high = middle;
  }
  return lua_getstack(co, low, level);
}

/* Pushes the place of the function at the bottom of the thread's stack. */
static void push_default_name(lua_State *L, struct green_lua *G,
                              struct green_thread *t) {
  lua_State *co = t->user;
  lua_Debug level;
  luaL_checkstack(L, 4, "luagreen");
  if (t->klass != &green_lua_class) {
    lua_pushliteral(L, "?");
  } else if (!co) { /* ended: see free_early */
    green_lua__push_anchored(L, G, t->user_a);
    push_defined(L);
  } else {
    if (bottom(co, &level) && lua_checkstack(co, 1))
      lua_getinfo(co, "f", &level);
    else if (lua_gettop(co) >= BASE && lua_checkstack(co, 1))
      lua_pushvalue(co, 1);
    else
      lua_pushnil(co);
    lua_xmove(co, L, 1);
    push_defined(L);
  }
}

static void push_name(lua_State *L, struct green_lua *G,
                      struct green_thread *t) {
  if (*green_name(t))
    lua_pushstring(L, green_name(t));
  else
    push_default_name(L, G, t);
}

/* The name dies with the stack: fix it. (G, t) on the helper. */
static int keep_name(lua_State *L) {
  struct green_lua *G = lua_touserdata(L, 1);
  struct green_thread *t = lua_touserdata(L, 2);
  push_name(L, G, t);
  green_set_name(G->hub, t, lua_tostring(L, -1));
  return 0;
}

void green_lua__keep_name(struct green_lua *G, struct green_thread *t) {
  if (G && !*green_name(t)) green_lua__protected(G, keep_name, t);
}

/* Is the value on top of the dead coroutine the thread's own kill object? */
static int is_own_kill(struct green_lua *G, struct green_thread *t,
                       lua_State *co) {
  int own = 0;
  if (t->user_b) {
    lua_rawgeti(G->tables, 1, t->user_b);
    lua_rawgeti(G->tables, -1, COLD_KILLED);
    lua_replace(G->tables, -2);
    if (lua_checkstack(co, 1)) {
      lua_xmove(G->tables, co, 1);
      own = lua_rawequal(co, -1, -2) && !lua_isnil(co, -1);
      lua_pop(co, 1);
    } else {
      lua_pop(G->tables, 1);
    }
  }
  return own;
}

/* Runs the pending to-be-closed variables on this worker. They may block: the
 * thread keeps the stack then. Afterwards the error, if any, is at index 1. */
static int reset(struct green_lua *G, struct green_thread *t, lua_State *co) {
  int status;
  t->user_flags |= LUA_RESETTING;
  green_lua__watch_reset(G, t);
  G->running = co;
  status = reset_thread(co);
  t->user_flags &= (uint8_t)~LUA_RESETTING;
  return status;
}

static void has_failed(struct green_lua *G, struct green_thread *t,
                       lua_State *co) {
  green_lua__protected(G, take_traceback, t);
  green_lua__keep_name(G, t);
  reset(G, t, co);
  t->state = is_own_kill(G, t, co) ? GREEN_KILLED : GREEN_FAILED;
}

/* Ended by force: handlers run without an error; one of their own counts. */
static void was_forced(struct green_lua *G, struct green_thread *t,
                       lua_State *co) {
  int status;
  green_lua__keep_name(G, t);
  status = reset(G, t, co);
  t->state = status == LUA_OK || is_own_kill(G, t, co) ? GREEN_KILLED
                                                       : GREEN_FAILED;
}

/* coroutine.yield at the top level: nobody is there to yield to. */
static void yielded_outside(struct green_lua *G, struct green_thread *t,
                            lua_State *co) {
  green_lua__protected(G, take_traceback, t);
  green_lua__keep_name(G, t);
  reset(G, t, co);
  lua_settop(co, 0);
  lua_rawgetp(co, LUA_REGISTRYINDEX, NO_YIELD);
  t->state = GREEN_FAILED;
}

static int has_waiter(const struct green_thread *t);

/* --- the worker's part --- */

static int ended(struct green_lua *G, struct green_thread *t) {
  green_lua__drop_scopes(G, t);
  if (has_waiter(t)) t->user_flags |= LUA_AWAITED;
  G->running = NULL;
  return GREEN_ENDED;
}

/* lua_resume came back otherwise than by one of our waits or a return. */
static void odd_end(struct green_lua *G, struct green_thread *t,
                    lua_State *co, int status) {
  if (status != LUA_YIELD)
    has_failed(G, t, co);
  else if (t->flags & GREEN_FORCED)
    was_forced(G, t, co);
  else
    yielded_outside(G, t, co);
}

static int run_one(struct green_lua *G, struct green_thread *t) {
  lua_State *co = t->user;
  int nargs = 0, nresults, status;
  if (unlikely(!(t->user_flags & LUA_STARTED))) {
    t->user_flags |= LUA_STARTED;
    nargs = lua_gettop(co) - BASE - 1;
  } else if (unlikely(lua_status(co) != LUA_YIELD)) { /* closed by others */
    if (t->kind->undo) t->kind->undo(G->hub, t);
    t->state = GREEN_KILLED;
    return ended(G, t);
  }
  G->running = co;
  status = lua_resume(co, NULL, nargs, &nresults);
  if (status == LUA_YIELD && t->user_flags & LUA_PARKED) {
    t->user_flags &= (uint8_t)~LUA_PARKED;
    return GREEN_PARKED;
  }
  if (likely(status == LUA_OK))
    t->state = GREEN_DONE;
  else
    odd_end(G, t, co, status);
  return ended(G, t);
}

static void run(struct green_hub *hub, struct green_thread *t) {
  struct green_lua *G = green_lua__of(hub);
  do t = green_pass(hub, t, run_one(G, t));
  while (t);
}

/* Killed or cancelled before it started. */
static void unstarted(struct green_hub *hub, struct green_thread *t) {
  struct green_lua *G = green_lua__of(hub);
  lua_State *co = t->user;
  if (t->flags & GREEN_HELD) green_lua__keep_name(G, t);
  lua_settop(co, 0);
}

/* --- what is owed at the end: ties, links, the report --- */

/* Makes a thread of an anchored coroutine that is ready to run. */
static int start_anchored(struct green_lua *G, int slot) {
  struct green_thread *t;
  lua_State *co;
  lua_rawgeti(G->tables, 1, slot);
  co = lua_tothread(G->tables, -1);
  lua_pop(G->tables, 1);
  t = co ? green_thread_new(G->hub, &green_lua_class) : NULL;
  if (!t) return 0;
  t->user = co;
  t->user_a = slot;
  t->flags |= GREEN_OWED;
  green_start(G->hub, t, 0);
  return 1;
}

/* Pushes the list `key` of the thread's rare things on G->tables, or nothing
 * (0). */
static int push_list(struct green_lua *G, struct green_thread *t, int key) {
  lua_rawgeti(G->tables, 1, t->user_b);
  if (lua_rawgeti(G->tables, -1, key) == LUA_TTABLE) {
    lua_remove(G->tables, -2);
    return 1;
  }
  lua_pop(G->tables, 2);
  return 0;
}

static int start_links(struct green_lua *G, struct green_thread *t) {
  int i, n = 0, slot;
  if (!push_list(G, t, COLD_LINKS)) return 0;
  for (i = 1;; i++) {
    lua_rawgeti(G->tables, -1, i);
    slot = (int)lua_tointeger(G->tables, -1);
    lua_pop(G->tables, 1);
    if (!slot) break;
    if (slot > 0) n += start_anchored(G, slot);
  }
  lua_pop(G->tables, 1);
  return n;
}

/* Those that spawn_after_local tied to this one and that have not started. */
static void cancel_tied(struct green_lua *G, struct green_thread *t) {
  int i;
  if (!push_list(G, t, COLD_TIED)) return;
  for (i = 1;; i++) {
    struct green_thread **handle;
    lua_rawgeti(G->tables, -1, i);
    handle = lua_touserdata(G->tables, -1);
    lua_pop(G->tables, 1);
    if (!handle) break;
    if (*handle) green_unstart(G->hub, *handle);
  }
  lua_pop(G->tables, 1);
}

/* (G, t) on the helper: a thread for on_error. */
static int report(lua_State *L) {
  struct green_lua *G = lua_touserdata(L, 1);
  struct green_thread *t = lua_touserdata(L, 2);
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "report");
  green_lua__push_outcome(L, G, t); /* false, err */
  lua_remove(L, -2);
  green_lua__push_thread(L, G, t);
  green_lua_spawn(L, 2);
  green_lua__to_thread(L, -1)->flags |= GREEN_OWED;
  return 0;
}

static int has_cold(struct green_lua *G, struct green_thread *t, int key) {
  int has;
  if (!t->user_b) return 0;
  lua_rawgeti(G->tables, 1, t->user_b);
  has = lua_rawgeti(G->tables, -1, key) != LUA_TNIL;
  lua_pop(G->tables, 2);
  return has;
}

static void forget(struct green_lua *G, struct green_thread *t) {
  recycle(G, t);
  green_lua__release(G, t->user_b);
  t->user_b = 0;
}

/* A handle outlives the thread only to tell how it ended. If there are no
 * results to keep, the coroutine is free at once, and the function takes its
 * place, for the name. The slot it moves to must be there already. */
static void free_early(struct green_lua *G, struct green_thread *t) {
  lua_State *co = t->user;
  int slot = t->user_a;
  if (t->state != GREEN_DONE || lua_gettop(co) > BASE || !G->free_count)
    return;
  lua_settop(co, BASE);
  t->user_a = G->free_slots[--G->free_count];
  lua_rawgeti(G->tables, 1, slot);
  lua_rawseti(G->tables, 1, t->user_a);
  lua_xmove(co, G->tables, 1);
  lua_rawseti(G->tables, 1, slot);
  recycle(G, t);
  t->user_a = slot;
  t->user = NULL;
}

static int has_destination(struct green_lua *G, struct green_thread *t) {
  return t->user_flags & LUA_AWAITED || has_cold(G, t, COLD_OWNED);
}

/* Its joiners are woken: the error's destination is decided now. */
static void at_end(struct green_hub *hub, struct green_thread *t) {
  struct green_lua *G = green_lua__of(hub);
  int links = 0;
  if (!G) return;
  if (t->user_b) {
    cancel_tied(G, t);
    links = start_links(G, t);
  }
  if (t->state == GREEN_FAILED && !links && !has_destination(G, t) &&
      green_lua__protected(G, report, t) != LUA_OK)
    fprintf(stderr, "luagreen: green thread #%llu %s failed, and memory was "
                    "short for its report\n",
            (unsigned long long)t->id, green_name(t));
  if (t->flags & GREEN_HELD)
    free_early(G, t);
  else
    forget(G, t);
}

const struct green_class green_lua_class = {"lua", run, unstarted, at_end};

/* --- handles --- */

/* The thread of a handle, or NULL if it was a C thread that has ended. */
static struct green_thread *of_handle(lua_State *L, int index, void *ud) {
  struct guest *guest = ud;
  struct green_thread *t = guest->handle.thread;
  if (lua_rawlen(L, index) == sizeof *guest && t && t->id != guest->id)
    return NULL;
  return t;
}

struct green_thread *green_lua__to_thread(lua_State *L, int index) {
  void *ud = luaL_testudata(L, index, "green.thread");
  return ud ? of_handle(L, index, ud) : NULL;
}

static struct green_thread *self(lua_State *L) {
  return of_handle(L, 1, green_lua__self(L));
}

/* For what makes no sense with a C thread that is gone. */
static struct green_thread *self_known(lua_State *L) {
  struct green_thread *t = self(L);
  if (!t) luaL_error(L, "this green thread of C code has ended");
  return t;
}

static struct handle *new_handle(lua_State *L, size_t size) {
  struct handle *handle = lua_newuserdatauv(L, size, 0);
  handle->thread = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, META);
  lua_setmetatable(L, -2);
  return handle;
}

/* The handle is on top of the stack. */
static void register_handle(lua_State *L, struct green_thread *t) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, HANDLES);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, t->user_a);
  lua_pop(L, 1);
}

static void make_handle(lua_State *L, struct green_lua *G,
                        struct green_thread *t) {
  if (t->klass == &green_lua_class) {
    struct handle *handle = new_handle(L, sizeof *handle);
    register_handle(L, t);
    handle->thread = t;
    t->flags |= GREEN_HELD;
  } else {
    struct guest *guest =
        (struct guest *)new_handle(L, sizeof(struct guest));
    if (!t->user_a) {
      lua_pushboolean(L, 1);
      t->user_a = green_lua__anchor(L, G);
    }
    guest->id = t->id;
    register_handle(L, t);
    guest->handle.thread = t;
  }
}

void green_lua__push_thread(lua_State *L, struct green_lua *G,
                            struct green_thread *t) {
  luaL_checkstack(L, 6, "luagreen");
  lua_rawgetp(L, LUA_REGISTRYINDEX, HANDLES);
  if (!t->user_a || lua_rawgeti(L, -1, t->user_a) == LUA_TNIL) {
    lua_settop(L, t->user_a ? -2 : -1);
    make_handle(L, G, t);
  }
  lua_remove(L, -2);
}

/* A C thread ends: its slots go, its handle is told by the id. */
void green_lua__guest_ended(struct green_hub *hub, struct green_thread *t) {
  struct green_lua *G = green_lua__of(hub);
  if (!G || !(t->user_a | t->user_b)) return;
  lua_rawgetp(G->tables, LUA_REGISTRYINDEX, HANDLES);
  lua_pushnil(G->tables);
  if (t->user_a) lua_rawseti(G->tables, -2, t->user_a);
  lua_settop(G->tables, 2);
  green_lua__release(G, t->user_a);
  green_lua__release(G, t->user_b);
  t->user_a = t->user_b = 0;
}

static int handle_gc(lua_State *L) {
  struct green_lua *G = lua_touserdata(L, lua_upvalueindex(1));
  struct handle *handle = lua_touserdata(L, 1);
  struct green_thread *t = of_handle(L, 1, handle);
  int stands, replaced;
  if (!t || !G->hub) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, HANDLES);
  lua_rawgeti(L, -1, t->user_a);
  stands = lua_rawequal(L, -1, 1);
  replaced = !stands && !lua_isnil(L, -1);
  green_lua__finalizing(L, G, stands);
  handle->thread = NULL;
  /* A younger handle may hold the record by now; closed hubs hold nothing. */
  if (replaced || !G->hub || t->klass != &green_lua_class) return 0;
  if (t->state >= GREEN_DONE) forget(G, t);
  green_forget(G->hub, t);
  return 0;
}

/* --- spawning --- */

static void check_callable(lua_State *L, int index) {
  if (lua_isfunction(L, index)) return;
  if (luaL_getmetafield(L, index, "__call") != LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  luaL_typeerror(L, index, "function");
}

static void note_spawner(struct green_lua *G, struct green_thread *t) {
  struct green_thread *parent = green_lua__current(G);
  t->user_d = parent ? (uint32_t)parent->id : 0;
}

/* What a child inherits: where print goes. */
static void inherit(lua_State *L, struct green_lua *G,
                    struct green_thread *t) {
  struct green_thread *parent = green_lua__current(G);
  if (!parent || !parent->user_b) return;
  green_lua__push_anchored(L, G, parent->user_b);
  if (lua_rawgeti(L, -1, COLD_OUTPUT) != LUA_TNIL) {
    green_lua__cold_make(L, G, t);
    lua_pushvalue(L, -2);
    lua_rawseti(L, -2, COLD_OUTPUT);
    lua_pop(L, 1);
  }
  lua_pop(L, 2);
}

/* Everything of Lua first, as it may raise; then the record. The function and
 * its n arguments are on top of the stack, and are popped. */
static struct green_thread *make(lua_State *L, struct green_lua *G, int n) {
  int slot;
  struct green_thread *t;
  lua_State *co = get_coroutine(L, G, &slot);
  if (!lua_checkstack(co, n + BASE + 4)) {
    green_lua__release(G, slot);
    luaL_error(L, "too many arguments for a green thread");
  }
  t = green_thread_new(G->hub, &green_lua_class);
  if (!t) {
    green_lua__release(G, slot);
    luaL_error(L, "not enough memory for a green thread");
  }
  t->user = co;
  t->user_a = slot;
  lua_pushvalue(L, -n - 1);
  lua_xmove(L, co, 1);
  lua_xmove(L, co, n + 1);
  note_spawner(G, t);
  return t;
}

static void launch(lua_State *L, struct green_lua *G, struct green_thread *t,
                   uint64_t at) {
  struct green_thread *parent = green_lua__current(G);
  if (unlikely(parent && parent->user_b)) inherit(L, G, t);
  if (green_start(G->hub, t, at) < 0) {
    green_unstart(G->hub, t);
    luaL_error(L, "not enough memory for a timer");
  }
}

static struct green_lua *may_spawn(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  if (unlikely(G->drained == 2)) luaL_error(L, "the state is closing");
  return G;
}

static int spawn(lua_State *L, struct green_lua *G, int n, uint64_t at) {
  struct green_thread *t;
  struct handle *handle = new_handle(L, sizeof *handle);
  lua_insert(L, -n - 2);
  t = make(L, G, n);
  t->user_c = green_lua__site(L, G, 1); /* not for spawn_n: a third of it */
  register_handle(L, t);
  handle->thread = t;
  t->flags |= GREEN_HELD;
  launch(L, G, t, at);
  return 1;
}

static int l_spawn(lua_State *L) {
  struct green_lua *G = may_spawn(L);
  check_callable(L, 1);
  return spawn(L, G, lua_gettop(L) - 1, 0);
}

static int l_spawn_n(lua_State *L) {
  struct green_lua *G = may_spawn(L);
  check_callable(L, 1);
  launch(L, G, make(L, G, lua_gettop(L) - 1), 0);
  return 0;
}

/* spawn_after(s, f, ...) */
static int l_spawn_after(lua_State *L) {
  struct green_lua *G = may_spawn(L);
  lua_Number s = luaL_checknumber(L, 1);
  luaL_argcheck(L, s == s, 1, "seconds expected, got NaN");
  check_callable(L, 2);
  return spawn(L, G, lua_gettop(L) - 2, green_lua__deadline(s));
}

void green_lua_spawn(lua_State *L, int nargs) {
  struct green_lua *G = green_lua__find(L);
  if (!G || !G->hub || G->drained == 2)
    luaL_error(L, "luagreen is not open in this state");
  luaL_checkstack(L, 8, "luagreen");
  spawn(L, G, nargs, 0);
}

/* --- outcomes --- */

/* Copies values i.. of a parked or ended coroutine. */
static int copy(lua_State *L, lua_State *from, int first) {
  int n = lua_gettop(from) - first + 1;
  if (n <= 0) return 0;
  luaL_checkstack(L, n + 2, "too many results");
  if (!lua_checkstack(from, n)) luaL_error(L, "too many results");
  for (int i = 0; i < n; i++) lua_pushvalue(from, first + i);
  lua_xmove(from, L, n);
  return n;
}

/* pcall's shape: true, results... or false, error. */
int green_lua__push_outcome(lua_State *L, struct green_lua *G,
                            struct green_thread *t) {
  luaL_checkstack(L, 4, "luagreen");
  lua_pushboolean(L, t->state == GREEN_DONE);
  if (t->klass != &green_lua_class) {
    lua_pushinteger(L, (int)t->since);
    return 2;
  }
  if (t->state == GREEN_DONE)
    return t->user ? 1 + copy(L, t->user, BASE + 1) : 1;
  if (t->state == GREEN_KILLED)
    green_lua__push_killed(L, G, t);
  else if (copy(L, t->user, 1) == 0)
    lua_pushnil(L);
  return 2;
}

int green_lua_outcome(lua_State *L, int index, int *nresults) {
  struct green_lua *G = green_lua__find(L);
  struct green_thread *t = green_lua__to_thread(L, index);
  int n;
  *nresults = 0;
  if (!G || !t) luaL_argerror(L, index, "green.thread expected");
  if (t->state < GREEN_DONE) return LUA_YIELD;
  t->user_flags |= LUA_AWAITED;
  n = green_lua__push_outcome(L, G, t) - 1;
  lua_remove(L, -n - 1);
  *nresults = n;
  return t->state == GREEN_DONE ? LUA_OK : LUA_ERRRUN;
}

/* The waiter remembers whose error it re-raises, for its traceback. */
static int raise_outcome(lua_State *L, struct green_lua *G) {
  struct green_thread *t = green_lua__current(G);
  if (t) {
    green_lua__cold_make(L, G, t);
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, -3);
    lua_rawseti(L, -2, 1);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, COLD_CAUSE);
    lua_pop(L, 1);
  }
  return lua_error(L);
}

static int finish_join(lua_State *L, struct green_lua *G) {
  return green_lua__push_outcome(L, G, self_known(L));
}

static int finish_wait(lua_State *L, struct green_lua *G) {
  struct green_thread *t = self_known(L);
  int n = green_lua__push_outcome(L, G, t);
  if (t->state != GREEN_DONE) return raise_outcome(L, G);
  return n - 1;
}

static int wait_for(lua_State *L, const struct green_lua_op *op,
                    int (*finish)(lua_State *L, struct green_lua *G)) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *t = self_known(L);
  uint64_t deadline = green_lua__limit(L, 2);
  if (t == green_lua__current(G))
    return luaL_error(L, "a green thread cannot %s itself", op->kind.name);
  lua_settop(L, 2);
  if (deadline > 0) {
    int r = green_lua__enter(L, G, op);
    if (r >= 0) return r;
  }
  if (t->state >= GREEN_DONE) return finish(L, G);
  if (deadline == 0) return green_lua__push_timeout(L);
  return green_lua__wait(L, G, op, t, &t->joiners, deadline);
}

static int join_woken(lua_State *L, struct green_lua *G, int reason) {
  if (reason == GREEN_TIMEOUT) return green_lua__push_timeout(L);
  return finish_join(L, G);
}

static int wait_woken(lua_State *L, struct green_lua *G, int reason) {
  if (reason == GREEN_TIMEOUT) return green_lua__push_timeout(L);
  return finish_wait(L, G);
}

static int close_woken(lua_State *L, struct green_lua *G, int reason) {
  (void)L, (void)G, (void)reason;
  return 0;
}

static int finish_close(lua_State *L, struct green_lua *G) {
  return close_woken(L, G, 0);
}

static int thread_await_end(lua_State *L);
static int thread_join(lua_State *L);
static int thread_wait(lua_State *L);
static const struct green_lua_op join_op = {
    {"thread:join", NULL, NULL}, thread_join, join_woken, NULL};
static const struct green_lua_op wait_op = {
    {"thread:wait", NULL, NULL}, thread_wait, wait_woken, NULL};

/* A handle that is closed joins, but is no destination of the error. */
static const struct green_lua_op close_op = {
    {"close of a green thread", NULL, NULL}, thread_await_end, close_woken,
    NULL};

static int has_waiter(const struct green_thread *t) {
  const struct green_link *link = t->joiners.link.next;
  for (; link != &t->joiners.link; link = link->next)
    if (((const struct green_node *)link)->thread->kind != &close_op.kind)
      return 1;
  return 0;
}

static int thread_await_end(lua_State *L) {
  return wait_for(L, &close_op, finish_close);
}

static int thread_join(lua_State *L) {
  return wait_for(L, &join_op, finish_join);
}

static int thread_wait(lua_State *L) {
  return wait_for(L, &wait_op, finish_wait);
}

/* --- methods --- */

/* kill([reason]): true if it was alive. */
static int thread_kill(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *t = self(L);
  lua_settop(L, 2);
  if (t && t->state < GREEN_DONE && !(t->flags & GREEN_STRUCK)) {
    green_lua__cold_make(L, G, t);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, COLD_REASON);
    luaL_where(L, 1);
    lua_rawseti(L, -2, COLD_WHERE);
  }
  lua_pushboolean(L, t && green_kill(G->hub, t));
  return 1;
}

/* cancel(): true if it will never run. */
static int thread_cancel(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *t = self(L);
  if (!t || t->state != GREEN_NEW) {
    lua_pushboolean(L, 0);
    return 1;
  }
  lua_settop(L, 1);
  green_lua__cold_make(L, G, t);
  lua_pushliteral(L, "cancelled");
  lua_rawseti(L, -2, COLD_REASON);
  luaL_where(L, 1);
  lua_rawseti(L, -2, COLD_WHERE);
  lua_pushboolean(L, green_unstart(G->hub, t));
  return 1;
}

/* One that has not started fails with the value and never runs. */
static void throw_unstarted(struct green_lua *G, struct green_thread *t,
                            lua_State *L) {
  lua_State *co = t->user;
  green_lua__keep_name(G, t);
  lua_settop(co, 0);
  lua_xmove(L, co, 1);
  t->state = GREEN_FAILED;
  if (has_waiter(t)) t->user_flags |= LUA_AWAITED;
  green_end_unstarted(G->hub, t);
}

/* throw(err): raised once at its next blocking call. */
static int thread_throw(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *t = self(L);
  int done = 0;
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  if (t && t->state == GREEN_NEW && t->klass == &green_lua_class) {
    throw_unstarted(G, t, L);
    done = 1;
  } else if (t && t->state < GREEN_DONE && !green_thrown(t)) {
    green_lua__cold_make(L, G, t);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, COLD_THROWN);
    if (green_throw(G->hub, t, UV_UNKNOWN) < 0)
      return luaL_error(L, "not enough memory");
    done = 1;
  }
  lua_pushboolean(L, done);
  return 1;
}

/* Makes the coroutine that will run f(t, ...) and puts its slot, negative
 * while unlinked, at the end of the list. Stack: t, f, args. */
static int thread_link(lua_State *L) {
  struct green_lua *G = may_spawn(L);
  struct green_thread *t = self(L);
  lua_State *co;
  int slot, n = lua_gettop(L) - 2;
  check_callable(L, 2);
  lua_pushvalue(L, 1);
  lua_insert(L, 3); /* t, f, t, args */
  if (!t || t->state >= GREEN_DONE) {
    launch(L, G, make(L, G, n + 1), 0);
    return 0;
  }
  green_lua__cold_make(L, G, t);
  if (lua_rawgeti(L, -1, COLD_LINKS) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, COLD_LINKS);
  }
  lua_replace(L, 1);
  lua_pop(L, 1); /* list, f, t, args */
  co = get_coroutine(L, G, &slot);
  lua_pushinteger(L, slot);
  lua_rawseti(L, 1, (lua_Integer)lua_rawlen(L, 1) + 1);
  if (lua_gettop(L) > n + 3) lua_settop(L, n + 3);
  if (!lua_checkstack(co, n + BASE + 4))
    luaL_error(L, "too many arguments for a link");
  lua_pushvalue(L, 2);
  lua_xmove(L, co, 1);
  lua_xmove(L, co, n + 2);
  return 0;
}

/* unlink(f): takes back the first link with that f. */
static int thread_unlink(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *t = self(L);
  lua_Integer i, n;
  lua_settop(L, 2);
  lua_pushboolean(L, 0);
  if (!t || t->state >= GREEN_DONE || !green_lua__cold(L, G, t)) return 1;
  if (lua_rawgeti(L, -1, COLD_LINKS) == LUA_TNIL) return 0;
  n = (lua_Integer)lua_rawlen(L, -1);
  for (i = 1; i <= n; i++) {
    int slot, same;
    lua_rawgeti(L, -1, i);
    slot = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (slot <= 0) continue;
    green_lua__push_anchored(L, G, slot);
    lua_pushvalue(lua_tothread(L, -1), 1);
    lua_xmove(lua_tothread(L, -1), L, 1);
    same = lua_rawequal(L, -1, 2);
    lua_pop(L, 2);
    if (!same) continue;
    green_lua__release(G, slot);
    lua_pushinteger(L, -1);
    lua_rawseti(L, -2, i);
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushboolean(L, 0);
  return 1;
}

static int thread_status(lua_State *L) {
  struct green_thread *t = self(L);
  lua_pushstring(L, t ? green_status(t) : "done");
  return 1;
}

/* The coroutine in which a parked thread called what it waits in: its own, or
 * one of the user's below it. */
lua_State *green_lua__waiting_state(struct green_lua *G,
                                    struct green_thread *t) {
  lua_State *note = green_kept_note(t);
  if (note) return note;
  if (t == green_main(G->hub)) return G->main;
  return t->klass == &green_lua_class ? t->user : NULL;
}

static void push_waits_on(lua_State *L, lua_State *from) {
  lua_Debug ar;
  if (lua_getstack(from, 0, &ar) && lua_checkstack(from, 2) &&
      lua_getlocal(from, &ar, 1)) {
    lua_xmove(from, L, 1);
    if (lua_type(L, -1) == LUA_TUSERDATA || lua_type(L, -1) == LUA_TTABLE)
      return;
    lua_pop(L, 1);
  }
  lua_pushnil(L);
}

static void push_where(lua_State *L, lua_State *from) {
  lua_Debug ar;
  int level;
  for (level = 0; lua_getstack(from, level, &ar); level++) {
    lua_getinfo(from, "Sl", &ar);
    if (ar.currentline > 0) {
      push_place(L, &ar);
      return;
    }
  }
  lua_pushliteral(L, "?");
}

/* waiting(): {what, on, since, deadline, where}, or nil. */
static int thread_waiting(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *t = self(L);
  uint64_t deadline;
  lua_State *from;
  if (!t || !green_waits_for(t)) {
    lua_pushnil(L);
    return 1;
  }
  lua_createtable(L, 0, 5);
  lua_pushstring(L, green_waits_for(t));
  lua_setfield(L, -2, "what");
  lua_pushnumber(L, (lua_Number)t->since / 1e9);
  lua_setfield(L, -2, "since");
  deadline = green_timer_deadline(G->hub, t->slot);
  if (deadline != GREEN_FOREVER) {
    lua_pushnumber(L, (lua_Number)deadline / 1e9);
    lua_setfield(L, -2, "deadline");
  }
  from = green_lua__waiting_state(G, t);
  if (!from || from == L) return 1;
  if (t->on) {
    push_waits_on(L, from);
    lua_setfield(L, -2, "on");
  }
  push_where(L, from);
  lua_setfield(L, -2, "where");
  return 1;
}

/* stack_text(t): the Lua stack of a live thread, or where the error of an
 * ended one was raised; nil if there is none. */
static int thread_stack_text(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *t = self(L);
  lua_State *from, *own;
  if (!t) return 0;
  if (t->state >= GREEN_DONE) {
    if (!green_lua__cold(L, G, t)) return 0;
    lua_rawgeti(L, -1, COLD_TRACEBACK);
    return 1;
  }
  own = t == green_main(G->hub)          ? G->main
        : t->klass == &green_lua_class ? t->user
                                         : NULL;
  if (t == green_lua__current(G))
    from = L;
  else
    from = green_lua__waiting_state(G, t);
  if (!from) return 0;
  luaL_traceback(L, from, NULL, from == L ? 1 : 0);
  if (own && own != from) {
    luaL_traceback(L, own, NULL, 0);
    lua_pushliteral(L, "\n");
    lua_insert(L, -2);
    lua_concat(L, 3);
  }
  return 1;
}

/* spawned_at(): "file:line" or nil (spawn_n), and the spawner's id. */
static int thread_spawned_at(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *t = self(L);
  const char *name;
  int line;
  if (!t || t->klass != &green_lua_class) return 0;
  if (!t->user_d) return 0;
  name = green_lua__site_name(G, t->user_c, &line);
  if (name)
    lua_pushfstring(L, "%s:%d", name, line);
  else
    lua_pushnil(L);
  lua_pushinteger(L, t->user_d);
  return 2;
}

/* --- fields --- */

static int thread_index(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *t = self(L);
  const char *key = lua_tostring(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(3)) != LUA_TNIL || !key) return 1;
  if (!strcmp(key, "id") && t)
    lua_pushinteger(L, (lua_Integer)t->id);
  else if (!strcmp(key, "name") && t)
    push_name(L, G, t);
  else
    lua_pushnil(L);
  return 1;
}

static int thread_newindex(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *t = self_known(L);
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
  struct green_lua *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_thread *t = G->hub ? self(L) : NULL;
  if (!t) {
    lua_pushliteral(L, "green.thread: ended");
    return 1;
  }
  push_name(L, G, t);
  lua_pushfstring(L, "green.thread: #%I %s", (lua_Integer)t->id,
                  lua_tostring(L, -1));
  return 1;
}

/* --- functions --- */

static int l_current(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *t = green_lua__current(G);
  if (t)
    green_lua__push_thread(L, G, t);
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
static int l_thread(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *found = NULL;
  struct gather g = {&found, 0, 1, 0};
  g.id = (uint64_t)luaL_checkinteger(L, 1);
  if (g.id) green_each(G->hub, gather, &g);
  if (found)
    green_lua__push_thread(L, G, found);
  else
    lua_pushnil(L);
  return 1;
}

/* all_threads(): the live ones, in no order. */
static int l_all_threads(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct gather g = {NULL, 0, green_live(G->hub), 0};
  size_t i;
  g.at = lua_newuserdatauv(L, (g.room + 1) * sizeof *g.at, 0);
  green_each(G->hub, gather, &g);
  lua_createtable(L, (int)g.n, 0);
  for (i = 0; i < g.n; i++) {
    if (!g.at[i]->klass || g.at[i]->state >= GREEN_DONE) continue;
    green_lua__push_thread(L, G, g.at[i]);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  }
  return 1;
}

/* rare([t]): the table of rare things of a thread, made if need be. */
static int l_rare(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *t = lua_isnoneornil(L, 1) ? green_lua__current(G)
                                                 : green_lua__to_thread(L, 1);
  if (t)
    green_lua__cold_make(L, G, t);
  else
    lua_pushnil(L);
  return 1;
}

/* output([t]): where print goes in a thread; set_output(sink): in this one.
 * print must work while the state closes, too. */
static int l_output(lua_State *L) {
  struct green_lua *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_thread *t;
  if (!G->hub) return 0;
  t = lua_isnoneornil(L, 1) ? green_lua__current(G)
                            : green_lua__to_thread(L, 1);
  if (!t || !green_lua__cold(L, G, t)) return 0;
  lua_rawgeti(L, -1, COLD_OUTPUT);
  return 1;
}

static int l_set_output(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  lua_settop(L, 1);
  green_lua__cold_make(L, G, green_lua__current(G));
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, COLD_OUTPUT);
  return 0;
}

/* expose(co): coroutine.running gave this coroutine away. */
static int l_expose(lua_State *L) {
  struct green_lua *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_thread *t = G->hub ? green_lua__current(G) : NULL;
  if (t && t->user == lua_tothread(L, 1)) {
    t->user_flags |= LUA_EXPOSED;
    lua_pushboolean(L, 1);
    return 1;
  }
  return 0;
}

/* closed_by_others(t): somebody closed its coroutine while it was parked. */
static int l_closed_by_others(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_thread *t = green_lua__to_thread(L, 1);
  if (!t || t->klass != &green_lua_class || t->state >= GREEN_DONE ||
      t->stack || !(t->user_flags & LUA_STARTED) ||
      lua_status(t->user) == LUA_YIELD)
    return 0;
  green_lua__cold_make(L, G, t);
  lua_pushliteral(L, "closed by foreign code");
  lua_rawseti(L, -2, COLD_REASON);
  green_lua__drop_scopes(G, t);
  green_bury(G->hub, t, GREEN_KILLED);
  return 0;
}

static const luaL_Reg methods[] = {{"wait", thread_wait},
                                   {"join", thread_join},
                                   {"kill", thread_kill},
                                   {"throw", thread_throw},
                                   {"cancel", thread_cancel},
                                   {"link", thread_link},
                                   {"unlink", thread_unlink},
                                   {"status", thread_status},
                                   {"waiting", thread_waiting},
                                   {NULL, NULL}};

static const luaL_Reg meta[] = {{"__gc", handle_gc},
                                {"__newindex", thread_newindex},
                                {"__tostring", thread_tostring},
                                {NULL, NULL}};

static const luaL_Reg functions[] = {{"spawn", l_spawn},
                                     {"spawn_n", l_spawn_n},
                                     {"spawn_after", l_spawn_after},
                                     {"current", l_current},
                                     {"thread", l_thread},
                                     {"all_threads", l_all_threads},
                                     {"rare", l_rare},
                                     {"output", l_output},
                                     {"set_output", l_set_output},
                                     {"expose", l_expose},
                                     {"closed_by_others", l_closed_by_others},
                                     {NULL, NULL}};

static const luaL_Reg on_threads[] = {{"await_end", thread_await_end},
                                      {"stack_text", thread_stack_text},
                                      {"spawned_at", thread_spawned_at},
                                      {NULL, NULL}};

static void make_handles(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, HANDLES);
  lua_pushstring(L, NO_YIELD);
  lua_rawsetp(L, LUA_REGISTRYINDEX, NO_YIELD);
}

void green_lua__open_thread(lua_State *L) {
  static const luaL_Reg index[] = {{"__index", thread_index}, {NULL, NULL}};
  make_handles(L);
  green_lua__setfuncs(L, functions, 0);
  green_lua__class(L, "green.thread", methods, meta);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, META);
  lua_pushvalue(L, -1);
  lua_pushvalue(L, -1);
  lua_getfield(L, -1, "__index");
  lua_pushvalue(L, -1);
  lua_setfield(L, -5, "__methods"); /* for methods written in Lua */
  green_lua__setfuncs(L, index, 2);
  lua_pop(L, 1);
  green_lua__setfuncs(L, on_threads, 1);
}
