/* watchdog.c - reports a thread that holds up all others.
 *
 * Two watch. A tick (ticks.c) sees a thread that computes, by CPU time, and its
 * hook takes the traceback. If the thread is in one long call of a C function,
 * no hook fires, and if that waits in the kernel, no CPU time passes either. So
 * an OS thread looks a few times in the given time whether the hub has switched
 * since, by real time. It first leaves the report to the hook, which can tell
 * the place, and writes a line itself when nothing came of that. When the call
 * is over, the handler of the program hears of it as well.
 *
 * While the hub rests, the OS thread sleeps without a limit: an idle process
 * has no wake-ups.
 *
 * report() and its kin run where Lua runs, in a hook; watch() on the OS thread;
 * lg_watchdog_alert() on the hub; the rest on any stack of its OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/ticks.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/anchor.h"
#include "runtime/object.h"
#include "runtime/site.h"
#include "thread/thread.h"

/* The looks of the OS thread in the time that a thread may take. */
enum { LOOKS = 4 };
/* A thread that has used this much CPU time since it was overdue, and had its
 * ticks, is in C, as no hook has fired. So it is where the signal is blocked,
 * after the second. */
enum { IN_C_NS = 50000000, NO_TICKS_NS = 1000000000 };

struct lg_watchdog {
  struct green_rest rest; /* first: wake() relies on it */
  pthread_t os_thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  struct lg_ticks *T;
  struct green_hub *hub;
  struct lg *G;      /* the state that hears of what no hook reports */
  uint64_t limit;    /* ns; guarded by the lock, as is quit */
  clockid_t cpu;     /* of the hub's OS thread */
  int tid;           /* its number */
  uint64_t since;    /* when the run began that is overdue */
  uint64_t reported; /* the run that a hook reported, as T->overdue */
  uint64_t stuck;    /* the run in which no hook came */
  int quit, quiet;   /* quiet: the program has a handler of its own */
  int over;          /* a run that nobody could report is over: */
  uint64_t over_id, over_ns;
};

/* --- the report from the hook --- */

/* (seconds, what, traceback, where) */
static int call_policy(lua_State *L) {
  struct lg *G = lg_find(L);
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  if (lua_getfield(L, -1, "blocked") == LUA_TNIL) return 0;
  lg_push_thread(L, G, lg_current(G));
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 3);
  lua_pushvalue(L, 4);
  lua_call(L, 5, 0);
  return 0;
}

/* Blocking is refused meanwhile, as all of the thread waits for it. */
static void report(lua_State *L, struct lg *G, uint64_t ns, int in_c) {
  const char *former = G->refuse;
  int top = lua_gettop(L);
  if (!lua_checkstack(L, 12)) return;
  G->refuse = "in a report of the watchdog";
  lua_pushcfunction(L, call_policy);
  lua_pushnumber(L, (lua_Number)ns / 1e9);
  lua_pushstring(L, in_c ? "in a C call" : "computing");
  lg_push_own_traceback(L, G, 0);
  lg_push_where(L, L, 0);
  lua_pcall(L, 4, 0, 0);
  lua_settop(L, top);
  G->refuse = former;
}

/* Once for each run. The library's own code is left first, since the program's
 * handler may call anything of ours. */
static int act(lua_State *L, struct lg *G, lua_Debug *ar, uint64_t ran) {
  struct lg_ticks *T = G->ticks;
  struct lg_watchdog *w = T->watchdog;
  uint64_t run = T->armed_switches + 1, ns;
  (void)ran;
  if (!w || __atomic_load_n(&w->reported, __ATOMIC_SEQ_CST) == run) return 0;
  if (lg_in_library(L, ar)) return 1;
  __atomic_store_n(&w->reported, run, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&T->overdue, __ATOMIC_ACQUIRE) == run)
    ns = uv_hrtime() - __atomic_load_n(&w->since, __ATOMIC_RELAXED);
  else
    ns = uv_hrtime() - T->since_wall;
  report(L, G, ns,
         lg_tick_is_late(T) ||
             __atomic_load_n(&w->stuck, __ATOMIC_RELAXED) == run);
  return 0;
}

/* --- the OS thread --- */

static void wake(struct green_rest *rest) {
  struct lg_watchdog *w = (struct lg_watchdog *)rest;
  pthread_mutex_lock(&w->lock);
  __atomic_store_n(&w->rest.asleep, 0, __ATOMIC_SEQ_CST);
  pthread_cond_signal(&w->changed);
  pthread_mutex_unlock(&w->lock);
}

static int rests(struct lg_watchdog *w) {
  return __atomic_load_n(&w->rest.rests, __ATOMIC_SEQ_CST);
}

/* The lock is held. Sleeps for a part of the limit; or, while the hub rests,
 * until it goes on. */
static void pause_watch(struct lg_watchdog *w) {
  struct timespec until;
  uint64_t at = uv_hrtime() + w->limit / LOOKS;
  __atomic_store_n(&w->rest.asleep, 1, __ATOMIC_SEQ_CST);
  while (!w->quit && rests(w) &&
         __atomic_load_n(&w->rest.asleep, __ATOMIC_SEQ_CST))
    pthread_cond_wait(&w->changed, &w->lock);
  __atomic_store_n(&w->rest.asleep, 0, __ATOMIC_SEQ_CST);
  until.tv_sec = (time_t)(at / 1000000000);
  until.tv_nsec = (long)(at % 1000000000);
  if (!w->quit) pthread_cond_timedwait(&w->changed, &w->lock, &until);
}

/* One run of one thread, as seen from here. */
struct run {
  uint64_t switches, id, since;
  uint64_t cpu;   /* time of the OS thread when it was overdue; 0: it is not */
  uint64_t ticks; /* that had come then */
  int told;
};

static int was_reported(struct lg_watchdog *w, const struct run *run) {
  return __atomic_load_n(&w->reported, __ATOMIC_SEQ_CST) == run->switches + 1;
}

static void tell_from_here(struct lg_watchdog *w, struct run *run) {
  assert(run->id && run->cpu); /* it is overdue */
  run->told = 1;
  __atomic_store_n(&w->stuck, run->switches + 1, __ATOMIC_RELAXED);
  if (__atomic_load_n(&w->quiet, __ATOMIC_RELAXED)) return;
  green_report(
      "luagreen: green thread #%llu has held up all others for %.2f s "
      "and still does, in a C call\n",
      (unsigned long long)run->id, (double)(uv_hrtime() - run->since) / 1e9);
}

static uint64_t cpu_time(const struct lg_watchdog *w) {
  struct timespec t = {0, 0};
  clock_gettime(w->cpu, &t);
  return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* Does the hub's OS thread sleep in the kernel? A thread that waits for a
 * processor does not. */
static int is_asleep(const struct lg_watchdog *w) {
  char path[64], text[512], *state = NULL;
  FILE *f;
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", w->tid);
  if (!(f = fopen(path, "re"))) return 0;
  if (fgets(text, sizeof text, f)) state = strrchr(text, ')');
  fclose(f);
  return state && state[1] && (state[2] == 'S' || state[2] == 'D');
}

static void be_overdue(struct lg_watchdog *w, struct run *run) {
  run->cpu = cpu_time(w);
  run->ticks = __atomic_load_n(&w->T->count, __ATOMIC_RELAXED);
  __atomic_store_n(&w->since, run->since, __ATOMIC_RELAXED);
  __atomic_store_n(&w->T->overdue, run->switches + 1, __ATOMIC_RELEASE);
}

static int is_in_c(const struct lg_watchdog *w, const struct run *run) {
  uint64_t cpu = cpu_time(w);
  uint64_t ticks = __atomic_load_n(&w->T->count, __ATOMIC_RELAXED);
  if (cpu > run->cpu + NO_TICKS_NS) return 1;
  return cpu > run->cpu + IN_C_NS && ticks > run->ticks + LG_TICKS_LATE;
}

/* The hook can tell more than we can, so it comes first if it can come. */
static void go_on(struct lg_watchdog *w, struct run *run) {
  if (!run->id || uv_hrtime() - run->since < w->limit) return;
  if (!run->cpu) be_overdue(w, run);
  if (run->told || was_reported(w, run)) return;
  if (is_asleep(w) || is_in_c(w, run)) tell_from_here(w, run);
}

/* The handler hears of a run that no hook caught; the hub calls us then. */
static void end_run(struct lg_watchdog *w, const struct run *run) {
  if (!run->told || was_reported(w, run)) return;
  w->over_id = run->id;
  w->over_ns = uv_hrtime() - run->since;
  __atomic_store_n(&w->over, 1, __ATOMIC_RELEASE);
  green_alert(w->hub);
}

static void look(struct lg_watchdog *w, struct run *run) {
  uint64_t id, switches = green_afar(w->hub, &id);
  if (switches == run->switches && !rests(w)) {
    if (!run->id) run->id = id;
    go_on(w, run);
    return;
  }
  end_run(w, run);
  run->switches = switches;
  run->id = id;
  run->since = uv_hrtime();
  run->told = 0;
  run->cpu = 0;
}

static void *watch(void *arg) {
  struct lg_watchdog *w = arg;
  struct run run = {UINT64_MAX, 0, 0, 0, 0, 0};
  pthread_mutex_lock(&w->lock);
  while (!w->quit) {
    look(w, &run);
    pause_watch(w);
  }
  pthread_mutex_unlock(&w->lock);
  return NULL;
}

/* --- its report, late --- */

/* (G, watchdog) on the helper. */
static int spawn_report(lua_State *L) {
  const struct lg_watchdog *w = lua_touserdata(L, 2);
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  if (lua_getfield(L, -1, "was_blocked") == LUA_TNIL) return 0;
  lua_pushinteger(L, (lua_Integer)w->over_id);
  lua_pushnumber(L, (lua_Number)w->over_ns / 1e9);
  lg_spawn_cleanup(L, 2);
  return 0;
}

void lg_watchdog_alert(struct green_hub *hub) {
  struct lg_ticks *T = lg_ticks_of(hub);
  struct lg_watchdog *w = T ? T->watchdog : NULL;
  if (!w || !__atomic_exchange_n(&w->over, 0, __ATOMIC_ACQUIRE)) return;
  if (!w->G->drained) lg_protected(w->G, spawn_report, (void *)w);
}

/* --- on and off --- */

static int start_thread(struct lg_watchdog *w) {
  sigset_t all, former;
  int r;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &former);
  r = pthread_create(&w->os_thread, NULL, watch, w);
  pthread_sigmask(SIG_SETMASK, &former, NULL);
  return r;
}

/* Reports of the watchdog's thread go to this state. */
static void serve(struct lg_watchdog *w, struct lg *G) {
  w->G = G;
  __atomic_store_n(&w->quiet, G->watch_quiet, __ATOMIC_RELAXED);
}

static struct lg_watchdog *make(struct lg *G, uint64_t ns) {
  struct lg_watchdog *w = calloc(1, sizeof *w);
  pthread_condattr_t attr;
  if (!w) return NULL;
  pthread_mutex_init(&w->lock, NULL);
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&w->changed, &attr);
  pthread_condattr_destroy(&attr);
  w->T = G->ticks;
  w->hub = G->hub;
  serve(w, G);
  w->limit = ns;
  w->rest.wake = wake;
  w->tid = (int)syscall(SYS_gettid);
  pthread_getcpuclockid(pthread_self(), &w->cpu);
  return w;
}

static const char *start(struct lg *G, uint64_t ns) {
  struct lg_watchdog *w;
  int r = green_alert_open(G->hub);
  if (r < 0) return green_strerror(r);
  if (!(w = make(G, ns))) return "not enough memory";
  if (start_thread(w) != 0) {
    free(w);
    return "no OS thread for it";
  }
  assert(!G->ticks->watchdog);
  G->ticks->watchdog = w;
  green_tell_rest(G->hub, &w->rest);
  return NULL;
}

/* A forked child has no such thread, and its lock may be held for ever. */
static void stop(struct lg *G, struct lg_watchdog *w) {
  assert(w && G->ticks->watchdog == w && !w->quit);
  G->ticks->watchdog = NULL;
  if (green_elsewhere(G->hub)) return;
  green_tell_rest(G->hub, NULL);
  pthread_mutex_lock(&w->lock);
  w->quit = 1;
  pthread_cond_signal(&w->changed);
  pthread_mutex_unlock(&w->lock);
  pthread_join(w->os_thread, NULL);
  pthread_cond_destroy(&w->changed);
  pthread_mutex_destroy(&w->lock);
  free(w);
}

static void set_limit(struct lg_watchdog *w, uint64_t ns) {
  pthread_mutex_lock(&w->lock);
  w->limit = ns;
  pthread_mutex_unlock(&w->lock);
}

/* Some state of the hub wants it still: the one that it serves, or another. */
static void serve_another(struct lg_watchdog *w) {
  const struct green_family *f = green_families(w->hub);
  if (w->G->tick_ns[LG_TICK_WATCHDOG]) return;
  while (!((const struct lg *)f)->tick_ns[LG_TICK_WATCHDOG]) f = f->next;
  serve(w, (struct lg *)f);
}

/* The least time that a state of the hub wants is the one that counts. */
const char *lg_watchdog_set(struct lg *G, uint64_t ns) {
  const char *why = lg_ticks_set(G, LG_TICK_WATCHDOG, ns);
  struct lg_ticks *T = G->ticks;
  struct lg_watchdog *w = T ? T->watchdog : NULL;
  uint64_t least = T ? T->uses[LG_TICK_WATCHDOG] : 0;
  if (why) return why;
  if (w && least) {
    set_limit(w, least);
    serve_another(w);
  } else if (w) {
    stop(G, w);
  } else if (least && (why = start(G, least))) {
    lg_ticks_set(G, LG_TICK_WATCHDOG, 0);
  }
  return why;
}

void lg_watchdog_off(struct lg *G) {
  if (G->tick_ns[LG_TICK_WATCHDOG]) lg_watchdog_set(G, 0);
}

/* watch_quietly(on): the program reports itself. */
static int l_watch_quietly(lua_State *L) {
  struct lg *G = lg_get(L);
  struct lg_watchdog *w = G->ticks ? G->ticks->watchdog : NULL;
  G->watch_quiet = (uint8_t)lua_toboolean(L, 1);
  if (w && w->G == G) serve(w, G);
  return 0;
}

void lg_open_watchdog(lua_State *L) {
  static const luaL_Reg functions[] = {{"watch_quietly", l_watch_quietly},
                                       {NULL, NULL}};
  lg_find(L)->tick_acts[LG_TICK_WATCHDOG] = act;
  lg_setfuncs(L, functions, 0);
}
