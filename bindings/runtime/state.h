/* state.h - the library's state for a lua_State.
 *
 * One struct lg for each lua_State with a hub, which may have any number of
 * them: a userdata, the first upvalue of
 * every C function of the library. Rules (DESIGN.md): Lua runs only below
 * lua_resume; only functions that cannot raise touch another thread's
 * lua_State; a worker that needs Lua outside lua_resume calls lg_protected().
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_STATE_H
#define LG_STATE_H

#include <assert.h>
#include "green_lua.h"
#include "green_runtime.h"
#include "runtime/account.h"
#include "runtime/compat.h"
#include "runtime/record.h"

#define LG_ABI 1
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum { LG_POOL = 256, LG_TICKS = 8, LG_DUTIES = 2 };

/* Functions of Lua's own library, by which frames.c recognizes frames, and our
 * replacements of some. */
struct lg_functions {
  lua_CFunction pcall, xpcall, resume, close, wrapped, traceback;
  lua_CFunction stands_for_close, stands_for_resume, stands_for_wrapped;
};

/* What a tick does where Lua runs, to a thread that has computed for `ran` ns.
 * Returns 1 to be called again at the next instruction. */
struct lg;
typedef int lg_tick_act(lua_State *L, struct lg *G, lua_Debug *ar,
                        uint64_t ran);

/* A coroutine that waits for a thread, with its slot in the anchors table. */
struct lg_pooled {
  lua_State *co;
  int slot;
};

struct lg {
  struct green_family family; /* its threads; first: lg_of() relies on it */
  struct green_hub *hub;      /* NULL once closed */
  struct lg_budget *budget;   /* of its memory; NULL: it is not counted */
  size_t heap;                /* as it was last known, in bytes */
  size_t blocks;              /* bytes of lg_block(), unknown to Lua */
  struct green_lua_limits limits;
  struct lg_account account;   /* of what is counted: see counts.h */
  struct lg_account *accounts; /* of its sandboxes */
  struct green_purse *purse;   /* pays for its messages; NULL: no limit yet */
  uint64_t swept_at, swept_ns; /* the last collection of garbage for room */
  lua_State *main;             /* the main Lua thread */
  lua_State *tables;    /* never runs: [1] anchors, [5] rare things of threads
                            by the same slots; [6] name.c; others: nested.c */
  lua_State *helper;    /* never resumed: protected calls of workers */
  uint32_t keep_stacks; /* N of the keep-or-yield policy */
  uint32_t max_threads; /* UINT32_MAX: no limit */
  uint32_t sentinel_spawns;
  uint32_t cut_short;     /* threads that may have ended past their handlers:
                             without memory, left, closed; modulo */
  uint32_t nested_scopes; /* open ones of the program's coroutines */
  uint32_t boxes;         /* sandboxes that were made, modulo; 0: none */
  int *free_slots;        /* of the anchors table */
  int free_count, slots, room;
  /* Memory of its objects: of all locks, of all selectors, of the others. */
  struct lg_owned *locks, *selectors, *owned; /* see owned.h */
  struct lg_net *net;        /* the state that all sockets share */
  struct lg_guest *guests;   /* main and C's threads, where it knows them */
  struct lg_script *scripts; /* of the host's, whose end it is to be told */
  struct lg_kill_note *kill_notes, **last_kill_note;
  struct lg_pooled *pool; /* finished coroutines, for reuse */
  int pool_count, pool_room;
  int handle_class; /* their metatable in the registry */
  /* Called at the end of each thread: see lg_at_thread_end(). */
  void (*duties[LG_DUTIES])(struct lg *G, struct green_thread *t);
  int duty_count;
  /* While top or a profile is on: a thread has ended; see watch/. */
  void (*watch_end)(struct lg *G, struct green_thread *t);
  struct lg_profile *profile; /* of waits, while it is on */
  struct lg_allocs *allocs;   /* profile of allocations, once it was on */
  struct lg_tally *tally;     /* of threads that ended */
  struct lg_sites *sites;     /* where threads are spawned */
  struct {
    const void *function; /* of a thread that has ended: see name.c */
    uint32_t place, others;
  } defined;
  struct lg_dump_signal *dump_signal; /* while it is on */
  int (*wants_dump)(struct lg *G);    /* its thread begins: is it to write? */
  struct lg_ticks *ticks;             /* once they were on */
  lua_Hook tick;                      /* their hook, or NULL */
  uint64_t tick_ns[LG_TICKS];         /* by use, in ns of CPU; 0: not used */
  uint64_t cpu_hub_ns;                /* of the hub, when its profile began */
  struct lg_fuel *fuel; /* of its threads; with the hook that counts it, and */
  lua_Hook burn;        /* what is told of each coroutine that inherits that */
  int (*fueled)(struct lg *G, lua_State *co); /* (0: no memory); or NULL */
  void (*born)(struct lg *G); /* a thread is about to start; or NULL */
  struct lg_terms
      *terms; /* of its threads' lives, and of sandboxes'; or NULL */
  /* The sandboxes that have limits of time; the shortest of these so far. */
  uint32_t timed_boxes;
  uint64_t box_slice, box_look;
  lg_tick_act *tick_acts[LG_TICKS]; /* by use: see bounds/ticks.h */
  uint32_t atomics;                 /* calls of green.atomic under way */
  /* How long the code that runs may compute: 0, it is not preempted. */
  uint64_t (*preempt_ns)(lua_State *L, struct lg *G);
  struct lg_functions known;
  struct {
    lua_Hook hook;
    int mask, count;
  } former; /* of a coroutine that must raise: see thread.c */
  struct green_thread *lost_hooks; /* its coroutine dies below a hook now */
  uint64_t seed;                   /* of the random hook periods */
  const char *refuse;    /* the reason to refuse blocking just now, or NULL */
  uint8_t has_main;      /* the hub has */
  uint8_t cpu_by_thread; /* its profile of the CPU: "#7 name" */
  uint8_t dumped;        /* a hook has written the dump that was asked for */
  uint8_t watch_quiet;   /* the program reports for the watchdog */
  uint8_t own, drained, recycle, sigint;
  uint8_t exiting, leaving; /* main has to leave by os.exit; somebody does */
  int exit_code;
  uint8_t calls_back; /* the host, with the helper in use */
  uint8_t can_tell;   /* the helper has memory for a script's last callback */
  uint8_t armed;      /* SIGINT is ours, or was */
  volatile uint8_t interrupted;
  /* For a killed thread that computes: since when, and the hub's switches
   * then. */
  uint64_t watched_switches, watched_since;
  uint64_t hurried_switches, hurried_since; /* and in the library's code */
};

/* Raises: luagreen has been closed in this state, or is being closed. */
int lg_raise_closing(lua_State *L);
/* The state of a thread of Lua's. */
static inline struct lg *lg_of(const struct green_thread *t) {
  assert(lg_is_lua(t));
  return (struct lg *)green_family_of(t);
}
/* The thread whose own coroutine makes this call, or NULL: none, or a thread of
 * another hub. */
static inline struct green_thread *lg_own_thread(lua_State *L) {
  struct green_hub *here = green_here;
  struct green_thread *t = here ? green_hot(here)->current : NULL;
  return likely(t && t->user == L && lg_is_lua(t)) ? t : NULL;
}
/* The state of a function of the library. Most calls come from the coroutine of
 * the thread that runs, whose record tells the state in a fifth of the 36
 * instructions that reading an upvalue takes. It may have been closed. */
static inline struct lg *lg_peek(lua_State *L) {
  struct green_thread *t = lg_own_thread(L);
  return likely(t) ? lg_of(t) : lua_touserdata(L, lua_upvalueindex(1));
}
/* The same, for all that needs the hub. */
static inline struct lg *lg_get(lua_State *L) {
  struct lg *G = lg_peek(L);
  if (unlikely(!G->hub)) lg_raise_closing(L);
  return G;
}
/* The running thread, for code that knows it to be one of this state, of main
 * or of C's: it waits, or is about to. */
static inline struct green_thread *lg_running(struct lg *G) {
  return green_hot(G->hub)->current;
}
/* Code of this state that a thread of another state calls, through a host's C
 * function, counts as the host's: no green thread runs it. */
static inline struct green_thread *lg_current(struct lg *G) {
  struct green_thread *t = lg_running(G);
  return t && lg_is_lua(t) && unlikely(lg_of(t) != G) ? NULL : t;
}
static inline int lg_draining(struct lg *G) {
  return G->family.draining || green_hot(G->hub)->draining;
}
/* How many threads the state has: main, if there is one, counts for each. */
static inline uint32_t lg_live_count(struct lg *G) {
  return G->family.live + G->has_main;
}
/* The thread's own lua_State, which runs unless a coroutine of the user's
 * does. */
static inline lua_State *lg_own_state(struct lg *G,
                                      const struct green_thread *t) {
  return t == green_main(G->hub) ? G->main : t->user;
}
/* Are both of one state? Runs on any stack. */
static inline int lg_same_state(lua_State *a, lua_State *b) {
  return lua_topointer(a, LUA_REGISTRYINDEX) ==
         lua_topointer(b, LUA_REGISTRYINDEX);
}

#endif
