/* binding.h - what the files of bindings/ share.
 *
 * One struct lg for each lua_State with a hub: a userdata, the first
 * upvalue of every C function of the library. Rules (DESIGN.md): Lua runs only
 * below lua_resume; another thread's lua_State is touched only by functions
 * that cannot raise; what a worker must do with Lua outside lua_resume goes
 * through lg_protected().
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_BINDING_H
#define LG_BINDING_H

#include <assert.h>

#include "compat.h"
#include "green_lua.h"
#include "runtime/record.h"

#define LG_ABI 1
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum { LG_POOL = 256, LG_DUTIES = 2 };

/* thread->user_flags. */
enum {
  LG_STARTED = 1,    /* lua_resume was called */
  LG_PARKED = 2,     /* it yielded from one of our waits */
  LG_EXPOSED = 4,    /* coroutine.running gave its coroutine away */
  LG_AWAITED = 16,   /* somebody waited for it when it ended */
  LG_RESETTING = 8,  /* its coroutine is being reset: handlers run */
  LG_PASSES_ON = 32, /* has an output or locals that children inherit */
  LG_KEPT = 64,      /* a crew holds the record until its results are read */
  LG_HANDLED = 128   /* so does a handle, until its finalizer has run */
};

/* The coroutine of a thread starts with a to-be-closed guard that notices when
 * others close it (coroutine.c), and with its function, once more, so that it
 * can be named; then the function and its arguments. When it has ended, `since`
 * is the number of the function's site, if that is gone (coroutine.c). The
 * record's user is the coroutine, user_anchor its anchor slot, user_rare the
 * slot of its rare things, user_site where it was spawned (site.c) and
 * user_spawner by whom. */
enum { LG_TRIPWIRE = 1, LG_BASE = 2 };

struct lg {
  struct green_hub *hub; /* NULL once closed */
  lua_State *main;       /* the main Lua thread */
  lua_State *tables;     /* never runs: [1] anchors, [2] nested coroutines */
  lua_State *helper;     /* never resumed: protected calls of workers */
  uint32_t keep_stacks;  /* N of the keep-or-yield policy */
  uint32_t max_threads;  /* UINT32_MAX: no limit */
  uint32_t sentinel_spawns;
  int *free_slots; /* of the anchors table */
  int free_count, slots, room;
  struct lg_net *net; /* what all sockets share */
  int pool_count;
  lua_State *pool[LG_POOL]; /* finished coroutines, for reuse */
  int pool_slot[LG_POOL];
  const struct green_class *thread_class; /* of threads that are coroutines */
  /* What a thread must give up at its end: see lg_at_thread_end(). */
  void (*duties[LG_DUTIES])(struct lg *G, struct green_thread *t);
  int duty_count;
  struct lg_sites *sites;             /* where threads are spawned */
  struct lg_dump_signal *dump_signal; /* while it is on */
  uint64_t seed;                      /* of the random hook periods */
  const char *refuse; /* where blocking is refused just now, or NULL */
  uint8_t own, drained, recycle, sigint, exiting;
  uint8_t armed; /* SIGINT is ours, or was */
  volatile uint8_t interrupted;
  /* Of a killed thread that computes: since when, and the hub's switches. */
  uint64_t watched_switches, watched_since;
};

/* What a blocking function of Lua is: see wait.c. */
struct lg_op {
  struct green_wait_kind kind;
  lua_CFunction start; /* the function itself, called again after a lap */
  /* Goes on after the wait: pushes results, or waits again. */
  int (*woken)(lua_State *L, struct lg *G, int reason);
  /* The wait is cut off: leave things in order. May be NULL. */
  void (*interrupted)(lua_State *L, struct lg *G);
};

/* Keys of a thread's table of rare things. */
enum {
  RARE_KILLED = 1, /* its kill object */
  RARE_REASON,     /* kill's argument */
  RARE_WHERE,      /* where kill was called */
  RARE_THROWN,     /* the value of a throw */
  RARE_TRACEBACK,  /* taken where its error was raised */
  RARE_LINKS,      /* anchor slots of the coroutines of its links */
  RARE_TIED,       /* handles of threads that are cancelled at its end */
  RARE_CAUSE,      /* {the last error re-raised by a wait, its thread} */
  RARE_OUTPUT,     /* where print goes; inherited */
  RARE_OWNED,      /* its error belongs to a pool, a pile or a group */
  RARE_LOCALS,     /* from an object of green.locals() to its fields */
  RARE_INHERITED   /* the same for those that children inherit */
};

static inline struct lg *lg_get(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  if (unlikely(!G->hub)) luaL_error(L, "luagreen: the state is closing");
  return G;
}
static inline struct green_thread *lg_current(struct lg *G) {
  return green_hot(G->hub)->current;
}
/* The state in which a thread runs unless a coroutine of the user's does. */
static inline lua_State *lg_own_state(struct lg *G,
                                      const struct green_thread *t) {
  return t == green_main(G->hub) ? G->main : t->user;
}
static inline struct lg *lg_of(struct green_hub *hub) {
  return green_hot(hub)->user;
}

/* runtime/object.c */
struct lg *lg_find(lua_State *L); /* or NULL */
/* Pops the userdata of the state: lg_find() and lg_setfuncs() find it. */
void lg_keep_state(lua_State *L);
void lg_weak_table(lua_State *L); /* pushes one of weak values */

/* runtime/closing.c */
void lg_sentinel_class(lua_State *L);
/* Replaces the sentinel by a younger one, if threads were spawned since. */
void lg_sentinel(lua_State *L, struct lg *G);
/* To be called by every __gc first, with whether the object still stands in a
 * weak-valued table: then the state is closing, and the drain runs now. */
void lg_finalizing(lua_State *L, struct lg *G, int in_table);
int lg_drain(lua_State *L, struct lg *G);
/* Main leaves by os.exit, as another thread asked for. */
void lg_exit(lua_State *L, struct lg *G);

/* open/state.c */
struct lg *lg_new_state(lua_State *L, struct green_hub *hub);
void lg_close_hub(lua_State *L, struct lg *G);

/* socket.c: closes every socket of the state, before its hub is let go. */
void lg_sockets_shut(struct lg *G);

/* lock.c: the locks of all threads are free, before the hub is let go. Never
 * raises. */
void lg_locks_drop(struct lg *G);

/* guard.c: pushes a guard for the object on top of the stack, which it keeps
 * alive. Its __close calls release(L, object). */
void lg_push_guard(lua_State *L, void *object,
                   void (*release)(lua_State *L, void *object));

/* locals.c: copies what children inherit from one table of rare things to
 * another; may raise. */
void lg_copy_inherited(lua_State *L, int from, int to);

/* anchor.c: the table that keeps coroutines and other things alive, by slot.
 * lg_anchor pops a value; may raise. Release never raises. */
int lg_anchor(lua_State *L, struct lg *G);
void lg_release(struct lg *G, int slot);
void lg_push_anchored(lua_State *L, struct lg *G, int slot);
/* The thread's table of rare things: 1 and pushed, or 0 and nothing. */
int lg_rare(lua_State *L, struct lg *G, struct green_thread *t);
/* Pushes it, making it first if need be; may raise. */
void lg_make_rare(lua_State *L, struct lg *G, struct green_thread *t);
/* Runs f(helper) with t as light userdata in a protected call on the helper
 * coroutine; 0, or LUA_ERR*. For workers. */
int lg_protected(struct lg *G, lua_CFunction f, void *t);

/* thread.c */
extern const struct green_class lg_thread_class;
void lg_open_thread(lua_State *L);
/* Pushes the handle of a thread; may raise. */
void lg_push_thread(lua_State *L, struct lg *G, struct green_thread *t);
struct green_thread *lg_to_thread(lua_State *L, int index);
int lg_push_outcome(lua_State *L, struct lg *G, struct green_thread *t);
/* "#7 fetch", for messages; leaves it on the stack. */
const char *lg_push_who(lua_State *L, struct lg *G, struct green_thread *t);
/* Its name dies with its Lua stack: fixes it. Never raises. */
void lg_keep_name(struct lg *G, struct green_thread *t);
lua_State *lg_waiting_state(struct lg *G, struct green_thread *t);

/* struct green_runtime's */
void lg_guest_ended(struct green_hub *hub, struct green_thread *t);
void lg_abandoned(struct green_hub *hub, struct green_thread *t);

/* spawn.c. Raises unless the argument is a function or any callable; spawns
 * what is owed (a report): it runs beyond max_threads, and even while the hub
 * drains. */
void lg_check_callable(lua_State *L, int index);
void lg_spawn_owed(lua_State *L, int nargs);

/* Each adds its functions to the table on top of the stack; their first
 * upvalue is G. */
void lg_open_tools(lua_State *L);
void lg_open_config(lua_State *L);
void lg_open_closing(lua_State *L);
void lg_open_event(lua_State *L);
void lg_open_locals(lua_State *L);
void lg_open_queue(lua_State *L);
void lg_open_waitable(lua_State *L);
void lg_open_select(lua_State *L);
void lg_open_selector(lua_State *L);
void lg_open_crew(lua_State *L);
void lg_open_flag(lua_State *L);
void lg_open_condition(lua_State *L);
void lg_open_guard(lua_State *L);
void lg_open_semaphore(lua_State *L);
void lg_open_lock(lua_State *L);
void lg_open_waitgroup(lua_State *L);
void lg_open_ticker(lua_State *L);
void lg_open_socket(lua_State *L);
void lg_open_wait_fd(lua_State *L);
void lg_open_time(lua_State *L);
void lg_open_turns(lua_State *L);
void lg_open_nested(lua_State *L);
void lg_open_test(lua_State *L);
void lg_setfuncs(lua_State *L, const luaL_Reg *funcs, int extra);
/* Makes a metatable `name` with __index = methods, whose functions have the
 * upvalues G and the metatable; pushes it. */
void lg_new_class(lua_State *L, const char *name, const luaL_Reg *methods,
                  const luaL_Reg *meta);
/* Objects on hot paths begin with the address of their class, and know their
 * G: that costs two calls of Lua's API where upvalue and metatable cost six.
 * Foreign userdata cannot hold the address by accident. */
struct lg_class {
  const char *name;
  const struct lg_waitable *waitable, *put; /* for select; or NULL */
};
struct lg_object {
  const struct lg_class *klass;
  struct lg *G;
};
static inline void *lg_check_object(lua_State *L, const struct lg_class *klass,
                                    size_t size) {
  struct lg_object *p = lua_touserdata(L, 1);
  if (unlikely(!p || lua_rawlen(L, 1) < size || p->klass != klass))
    luaL_typeerror(L, 1, klass->name);
  if (unlikely(!p->G->hub)) luaL_error(L, "luagreen: the state is closing");
  return p;
}

/* The object of that class at index 1, by upvalue 2; raises if it is not. */
void *lg_self_error(lua_State *L);
static inline void *lg_self(lua_State *L) {
  void *p = lua_touserdata(L, 1);
  if (likely(p && lua_getmetatable(L, 1))) {
    int same = lua_rawequal(L, -1, lua_upvalueindex(2));
    lua_pop(L, 1);
    if (likely(same)) return p;
  }
  return lg_self_error(L);
}

/* The floors of what waits: each file is to include its own. */
#include "runtime/interrupt.h"
#include "runtime/limits.h"
#include "runtime/park.h"
#include "runtime/refusal.h"
#include "runtime/scopes.h"
#include "runtime/sigint.h"
#include "runtime/site.h"
#include "runtime/strike.h"
#include "runtime/wait.h"

#endif
