/* binding.h - what the files of bindings/ share.
 *
 * One struct green_lua for each lua_State with a hub: a userdata, the first
 * upvalue of every C function of the library. Rules (DESIGN.md): Lua runs only
 * below lua_resume; another thread's lua_State is touched only by functions
 * that cannot raise; what a worker must do with Lua outside lua_resume goes
 * through green_lua__protected().
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_BINDING_H
#define GREEN_BINDING_H

#include <lauxlib.h>
#include <lua.h>

#include "green_lua.h"

#define GREEN_LUA_ABI 1
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum { GREEN_LUA_POOL = 256 };

/* thread->user_flags. */
enum {
  LUA_STARTED = 1,   /* lua_resume was called */
  LUA_PARKED = 2,    /* it yielded from one of our waits */
  LUA_EXPOSED = 4,   /* coroutine.running gave its coroutine away */
  LUA_AWAITED = 16,  /* somebody waited for it when it ended */
  LUA_RESETTING = 8, /* its coroutine is being reset: handlers run */
  LUA_HEIRS = 32,    /* has an output or locals that children inherit */
  LUA_KEPT = 64,     /* a crew holds the record until its results are read */
  LUA_HANDLED = 128  /* so does a handle, until its finalizer has run */
};

/* The coroutine of a thread starts with a to-be-closed guard that notices when
 * others close it (coroutine.c), and with its function, once more, so that it
 * can be named; then the function and its arguments. When it has ended, `since`
 * is the number of the function's site, if that is gone (coroutine.c). The
 * record's user is the coroutine, user_a its anchor slot, user_b the slot of
 * its rare things, user_c where it was spawned (site.c) and user_d by whom. */
enum { GUARD = 1, BASE = 2 };

struct green_lua {
  struct green_hub *hub; /* NULL once closed */
  lua_State *main;       /* the main Lua thread */
  lua_State *tables;     /* never runs: [1] anchors, [2] nested coroutines */
  lua_State *helper;     /* never resumed: protected calls of workers */
  uint32_t keep_stacks;  /* N of the keep-or-yield policy */
  uint32_t max_threads;  /* UINT32_MAX: no limit */
  uint32_t sentinel_spawns;
  int *free_slots; /* of the anchors table */
  int free_count, slots, room;
  struct green_socket *sockets; /* all that are not finalized */
  int pool_count;
  lua_State *pool[GREEN_LUA_POOL]; /* finished coroutines, for reuse */
  int pool_slot[GREEN_LUA_POOL];
  struct green_lua_sites *sites; /* where threads are spawned */
  struct green_lua_watch *watch; /* of the signal that asks for a dump */
  uint64_t seed;                 /* of the random hook periods */
  const char *refuse; /* where blocking is refused just now, or NULL */
  uint8_t own, drained, recycle, sigint, exiting;
  uint8_t armed; /* SIGINT is ours, or was */
  volatile uint8_t interrupted;
  /* Of a killed thread that computes: since when, and the hub's switches. */
  uint64_t watched_switches, watched_since;
};

/* What a blocking function of Lua is: see park.c. */
struct green_lua_op {
  struct green_wait_kind kind;
  lua_CFunction start; /* the function itself, called again after a lap */
  /* Goes on after the wait: pushes results, or waits again. */
  int (*woken)(lua_State *L, struct green_lua *G, int reason);
  /* The wait is cut off: leave things in order. May be NULL. */
  void (*interrupted)(lua_State *L, struct green_lua *G);
};

/* Keys of a thread's table of rare things. */
enum {
  COLD_KILLED = 1, /* its kill object */
  COLD_REASON,     /* kill's argument */
  COLD_WHERE,      /* where kill was called */
  COLD_THROWN,     /* the value of a throw */
  COLD_TRACEBACK,  /* taken where its error was raised */
  COLD_LINKS,      /* anchor slots of the coroutines of its links */
  COLD_TIED,       /* handles of threads that are cancelled at its end */
  COLD_CAUSE,      /* {the last error re-raised by a wait, its thread} */
  COLD_OUTPUT,     /* where print goes; inherited */
  COLD_OWNED,      /* its error belongs to a pool, a pile or a group */
  COLD_LOCALS,     /* from an object of green.locals() to its fields */
  COLD_HERITAGE    /* the same for those that children inherit */
};

static inline struct green_lua *green_lua__get(lua_State *L) {
  struct green_lua *G = lua_touserdata(L, lua_upvalueindex(1));
  if (unlikely(!G->hub)) luaL_error(L, "luagreen: the state is closing");
  return G;
}
static inline struct green_thread *green_lua__current(struct green_lua *G) {
  return green_hot(G->hub)->current;
}
static inline struct green_lua *green_lua__of(struct green_hub *hub) {
  return green_hot(hub)->user;
}

/* state.c */
struct green_lua *green_lua__find(lua_State *L); /* or NULL */
void green_lua__weak_table(lua_State *L); /* pushes one of weak values */
void green_lua__sentinel(lua_State *L, struct green_lua *G);
/* To be called by every __gc first, with whether the object still stands in a
 * weak-valued table: then the state is closing, and the drain runs now. */
void green_lua__finalizing(lua_State *L, struct green_lua *G, int in_table);
int green_lua__drain(lua_State *L, struct green_lua *G);
/* Main leaves by os.exit, as another thread asked for. */
void green_lua__exit(lua_State *L, struct green_lua *G);

/* socket.c: closes every socket of the state, before its hub is let go. */
void green_lua__sockets_shut(struct green_lua *G);

/* lock.c: the locks that a thread owns at its end are abandoned; those of all
 * threads are free, before the hub is let go. Never raise. */
void green_lua__locks_abandon(struct green_lua *G, struct green_thread *t);
void green_lua__locks_drop(struct green_lua *G);

/* guard.c: pushes a guard for the object on top of the stack, which it keeps
 * alive. Its __close calls release(L, object). */
void green_lua__push_guard(lua_State *L, void *object,
                           void (*release)(lua_State *L, void *object));

/* signal.c */
extern const struct green_runtime green_lua__runtime;
void green_lua__signal_install(struct green_lua *G);
void green_lua__signal_restore(struct green_lua *G);
/* The option dump_signal. set: the name at the top of the stack, or false;
 * raises if it is neither. get: pushes it. */
void green_lua__dump_signal_set(lua_State *L, struct green_lua *G);
void green_lua__dump_signal_get(lua_State *L, struct green_lua *G);
/* Before the hub is let go: the signal is as it was. */
void green_lua__dump_signal_off(struct green_lua *G);

/* locals.c: copies what children inherit from one table of rare things to
 * another; may raise. */
void green_lua__copy_heritage(lua_State *L, int from, int to);

/* anchor.c: the table that keeps coroutines and other things alive, by slot.
 * green_lua__anchor pops a value; may raise. Release never raises. */
int green_lua__anchor(lua_State *L, struct green_lua *G);
void green_lua__release(struct green_lua *G, int slot);
void green_lua__push_anchored(lua_State *L, struct green_lua *G, int slot);
/* The thread's cold table: 1 and pushed, or 0 and nothing. */
int green_lua__cold(lua_State *L, struct green_lua *G, struct green_thread *t);
/* Pushes it, making it first if need be; may raise. */
void green_lua__cold_make(lua_State *L, struct green_lua *G,
                          struct green_thread *t);
/* Runs f(helper) with t as light userdata in a protected call on the helper
 * coroutine; 0, or LUA_ERR*. For workers. */
int green_lua__protected(struct green_lua *G, lua_CFunction f, void *t);

/* site.c: places in the program, by number. 0: unknown. */
uint32_t green_lua__site(lua_State *L, struct green_lua *G, int level);
uint32_t green_lua__definition(lua_State *co, struct green_lua *G);
const char *green_lua__site_name(struct green_lua *G, uint32_t site,
                                 int *line);
void green_lua__sites_free(struct green_lua *G);

/* park.c */
/* On entry of every call that may switch: raises what strikes, or goes round
 * when the budget is spent. -1: go on; else return the value. What main makes
 * in order to block is made here, as finalizers may run there: afterwards the
 * call looks at what it would wait for, and nothing runs until it waits. */
int green_lua__enter_slow(lua_State *L, struct green_lua *G,
                          const struct green_lua_op *op);
static inline int green_lua__enter(lua_State *L, struct green_lua *G,
                                   const struct green_lua_op *op) {
  struct green_hot *hot = green_hot(G->hub);
  if (likely(hot->current && !hot->current->pending && --hot->budget >= 0 &&
             L != G->main))
    return -1;
  return green_lua__enter_slow(L, G, op);
}
/* Raises unless the caller may block here; then decides whether its stack is
 * to be kept (1, and one more is reserved) or it leaves by yielding (0). */
int green_lua__prepare(lua_State *L, struct green_lua *G,
                       const struct green_lua_op *op);
/* The same for waits that are long anyway: leaves wherever that is legal. */
int green_lua__prepare_long(lua_State *L, struct green_lua *G,
                            const struct green_lua_op *op);
/* After the wait was begun: parks. The caller's last act: return it. */
int green_lua__park(lua_State *L, struct green_lua *G,
                    const struct green_lua_op *op, int keep);
/* prepare, green_wait_begin and park in one. */
int green_lua__wait(lua_State *L, struct green_lua *G,
                    const struct green_lua_op *op, void *on,
                    struct green_list *list, uint64_t deadline);
/* Round the ready queue once; then op->woken. */
int green_lua__lap(lua_State *L, struct green_lua *G,
                   const struct green_lua_op *op);
/* Has anything struck the current thread since it entered the call? One that is
 * to wait again asks: what came between its waking and its running has woken
 * nobody. */
int green_lua__is_struck(struct green_lua *G);
/* Raises what strikes the current thread, counting the delivery; returns if
 * nothing does. `op`: what to go on with if nothing does after a lap. */
void green_lua__interrupt(lua_State *L, struct green_lua *G,
                          const struct green_lua_op *op);
/* The same after a core function returned a negative code: raises the
 * interruption that it reported without counting it again, or returns. */
void green_lua__raise_code(lua_State *L, struct green_lua *G, int code,
                           const char *what);
/* Where may the caller not block? A reason, or NULL. */
const char *green_lua__refusal(lua_State *L, struct green_lua *G);
/* A limit in seconds at `index`: a deadline; 0: try once. Raises on NaN. */
uint64_t green_lua__limit(lua_State *L, int index);
uint64_t green_lua__deadline(double seconds);
int green_lua__push_timeout(lua_State *L); /* nil, "timeout": 2 */
int green_lua__push_closed(lua_State *L);  /* nil, "closed": 2 */

/* interrupt.c */
void green_lua__push_strike(lua_State *L, struct green_lua *G,
                            enum green_strike strike,
                            struct green_scope *scope);
/* What was thrown with this code, which the core has given out; takes it. */
void green_lua__push_thrown(lua_State *L, struct green_lua *G, int code);
void green_lua__push_killed(lua_State *L, struct green_lua *G,
                            struct green_thread *t);
void green_lua__watch_killed(lua_State *L, struct green_lua *G);
void green_lua__force(lua_State *L, struct green_lua *G);
void green_lua__watch_reset(struct green_lua *G, struct green_thread *t);
void green_lua__drop_scopes(struct green_lua *G, struct green_thread *t);
void green_lua__open_interrupt(lua_State *L);

/* thread.c */
extern const struct green_class green_lua_class;
void green_lua__open_thread(lua_State *L);
/* Pushes the handle of a thread; may raise. */
void green_lua__push_thread(lua_State *L, struct green_lua *G,
                            struct green_thread *t);
struct green_thread *green_lua__to_thread(lua_State *L, int index);
int green_lua__push_outcome(lua_State *L, struct green_lua *G,
                            struct green_thread *t);
/* "#7 fetch", for messages; leaves it on the stack. */
const char *green_lua__push_who(lua_State *L, struct green_lua *G,
                                struct green_thread *t);
/* Its name dies with its Lua stack: fixes it. Never raises. */
void green_lua__keep_name(struct green_lua *G, struct green_thread *t);
lua_State *green_lua__waiting_state(struct green_lua *G,
                                    struct green_thread *t);

void green_lua__guest_ended(struct green_hub *hub, struct green_thread *t);

/* spawn.c. Raises unless the argument is a function or any callable; spawns
 * what is owed (a report): it runs beyond max_threads, and even while the hub
 * drains. */
void green_lua__check_callable(lua_State *L, int index);
void green_lua__spawn_owed(lua_State *L, int nargs);

/* Each adds its functions to the table on top of the stack; their first
 * upvalue is G. */
void green_lua__open_event(lua_State *L);
void green_lua__open_locals(lua_State *L);
void green_lua__open_queue(lua_State *L);
void green_lua__open_waitable(lua_State *L);
void green_lua__open_select(lua_State *L);
void green_lua__open_crew(lua_State *L);
void green_lua__open_flag(lua_State *L);
void green_lua__open_condition(lua_State *L);
void green_lua__open_guard(lua_State *L);
void green_lua__open_semaphore(lua_State *L);
void green_lua__open_lock(lua_State *L);
void green_lua__open_waitgroup(lua_State *L);
void green_lua__open_ticker(lua_State *L);
void green_lua__open_socket(lua_State *L);
void green_lua__open_readable(lua_State *L);
void green_lua__open_time(lua_State *L);
void green_lua__open_signal(lua_State *L);
void green_lua__open_test(lua_State *L);
void green_lua__setfuncs(lua_State *L, const luaL_Reg *funcs, int extra);
/* Makes a metatable `name` with __index = methods, whose functions have the
 * upvalues G and the metatable; pushes it. */
void green_lua__class(lua_State *L, const char *name, const luaL_Reg *methods,
                      const luaL_Reg *meta);
/* Objects on hot paths begin with the address of their class, and know their
 * G: that costs two calls of Lua's API where upvalue and metatable cost six.
 * Foreign userdata cannot hold the address by accident. */
struct green_lua_class {
  const char *name;
  const struct green_lua_waitable *waitable, *put; /* for select; or NULL */
};
struct green_lua_object {
  const struct green_lua_class *klass;
  struct green_lua *G;
};
static inline void *green_lua__object(lua_State *L,
                                      const struct green_lua_class *klass,
                                      size_t size) {
  struct green_lua_object *p = lua_touserdata(L, 1);
  if (unlikely(!p || lua_rawlen(L, 1) < size || p->klass != klass))
    luaL_typeerror(L, 1, klass->name);
  if (unlikely(!p->G->hub)) luaL_error(L, "luagreen: the state is closing");
  return p;
}

/* The object of that class at index 1, by upvalue 2; raises if it is not. */
void *green_lua__self_error(lua_State *L);
static inline void *green_lua__self(lua_State *L) {
  void *p = lua_touserdata(L, 1);
  if (likely(p && lua_getmetatable(L, 1))) {
    int same = lua_rawequal(L, -1, lua_upvalueindex(2));
    lua_pop(L, 1);
    if (likely(same)) return p;
  }
  return green_lua__self_error(L);
}

#endif
