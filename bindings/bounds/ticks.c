/* ticks.c - notices a thread that computes for long, at no cost to the others.
 *
 * A timer on the CPU clock of the hub's OS thread sends that thread a signal,
 * so an idle process never wakes for it. The handler compares the number of
 * switches with that of the last tick. If it is the same, the same thread has
 * run since, and the handler sets a hook on the coroutine that runs. The hook
 * fires once, at the next instruction, where Lua can be looked at, and does the
 * work: a turn for the others. A standing hook would halve the speed of Lua.
 *
 * A hook of the program's own, such as a debugger's, is never replaced: the
 * tick is counted and does nothing.
 *
 * on_tick() runs in a signal handler, tick_hook() where Lua runs, the rest on
 * any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/ticks.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/force.h"
#include "runtime/object.h"
#include "runtime/site.h"

enum { MOST_HUBS = 1024 };
/* No finer: the kernel looks at CPU timers at its own ticks, 1 to 10 ms. */
enum { LEAST_PERIOD = 100000, WATCHDOG_PERIOD = 10000000 };

#define NO_SIGNAL "the host allows no signal for it (tick_signal)"

/* The state of the process: the hubs, and the former actions of the signals
 * that are in use. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lg_ticks all[MOST_HUBS];
static _Atomic int first_unused; /* in all: no hub ever had it or the next */
static struct {
  int users;
  struct sigaction former;
} signals[65];

static uint64_t cpu_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

struct lg_ticks *lg_ticks_of(const struct green_hub *hub) {
  int i, n = atomic_load(&first_unused);
  for (i = 0; i < n; i++)
    if (atomic_load(&all[i].hub) == hub) return &all[i];
  return NULL;
}

struct lg_ticks *lg_ticks_at(int i) {
  return i < atomic_load(&first_unused) ? &all[i] : NULL;
}

/* --- in the signal handler --- */

static void tick_hook(lua_State *L, lua_Debug *ar);

static lua_Hook sharing; /* the same for all states */

static int shares(lua_Hook hook) {
  return hook == __atomic_load_n(&sharing, __ATOMIC_RELAXED);
}

void lg_tick_shares(lua_Hook hook) {
  __atomic_store_n(&sharing, hook, __ATOMIC_RELAXED);
}

enum armed { IN_THE_WAY, PENDING, ARMED };

static void note_due(struct lg_ticks *T) {
  T->due_switches = green_switches(atomic_load(&T->hub));
  T->due = cpu_time();
}

/* Somebody else's hook stays. The watch of a killed thread has its own work,
 * which is due now: where instructions are slow, it counts for too long. */
static enum armed leave_hook(struct lg_ticks *T, lua_State *L, lua_Hook hook) {
  if (hook == tick_hook) {
    T->lingers = NULL; /* it looks once more */
    return PENDING;
  }
  if (!lg_is_watched(L)) return IN_THE_WAY;
  if (lua_gethookcount(L) > 1) note_due(T);
  lg_hurry_watch(L);
  return PENDING;
}

/* A hook without a mask is one of ours that a call of lua_sethook(), which the
 * signal has interrupted, has taken apart. */
static enum armed arm(struct lg_ticks *T, lua_State *L) {
  lua_Hook hook = lua_gethook(L);
  if (hook && shares(hook)) {
    T->asked = 1;
    return ARMED;
  }
  if (hook && (hook != tick_hook || lua_gethookmask(L)))
    return leave_hook(T, L, hook);
  note_due(T);
  lua_sethook(L, tick_hook, LUA_MASKCOUNT, 1);
  return ARMED;
}

static void note_armed(struct lg_ticks *T, struct green_hub *hub,
                       enum armed armed) {
  if (armed == IN_THE_WAY) T->skipped++;
  if (armed != ARMED) return;
  T->armed_switches = green_switches(hub);
  T->armed = T->now;
  T->armed_count = T->count;
}

/* Main, and a thread of C's, may run the main Lua thread of any state. Lua does
 * not tell of which, so each gets the hook: the one that runs fires it first,
 * and where it fires later it is right as well, or means nothing. */
static void arm_mains(struct lg_ticks *T, struct green_hub *hub) {
  const struct green_family *f = green_families(hub);
  for (; f; f = f->next)
    note_armed(T, hub, arm(T, ((const struct lg *)f)->main));
}

/* The innermost coroutine that runs on the current stack, if it is not the main
 * Lua thread of some state. Coroutines that another library resumes, unless by
 * green_lua_resume(), are unknown; the hook then fires when they have returned.
 */
static lua_State *running(struct green_hub *hub) {
  const struct green_thread *t = green_hot(hub)->current;
  lua_State *nested = *green_nested(hub);
  if (nested) return nested;
  return lg_is_lua(t) ? t->user : NULL;
}

static void set_hook(struct lg_ticks *T, struct green_hub *hub) {
  lua_State *L = running(hub);
  if (L) note_armed(T, hub, arm(T, L));
  if (!lg_is_lua(green_hot(hub)->current)) arm_mains(T, hub);
}

void lg_tick_arm(struct lg_ticks *T, struct green_hub *hub) {
  T->now = cpu_time();
  if (green_hot(hub)->current)
    set_hook(T, hub);
  else
    arm_mains(T, hub);
}

/* --- samples for a profile --- */

/* The coroutine's sample, or the one in its place that is oldest. */
static int sample_of(const struct lg_ticks *T, const void *what) {
  int i;
  for (i = 0; i < LG_SAMPLES; i++)
    if (T->samples[i].what == what) return i;
  return -1;
}

/* The time since the last tick is that of the coroutine that runs now, or of
 * the main Lua thread of whichever state a thread that is not Lua's runs. */
static void ask_for_sample(struct lg_ticks *T, struct green_hub *hub) {
  const struct green_thread *t = green_hot(hub)->current;
  const void *what = t ? running(hub) : NULL;
  uint64_t ns = T->now - T->sampled;
  int i = sample_of(T, what ? what : t);
  if (ns + T->period / 2 < T->uses[LG_TICK_PROFILE]) return;
  T->sampled = T->now;
  if (!t) {
    T->hub_ns += ns;
    return;
  }
  if (i < 0) {
    i = T->next_sample++ % LG_SAMPLES;
    T->samples[i].what = what ? what : t;
    T->samples[i].ns = 0;
  }
  T->samples[i].ns += ns;
  set_hook(T, hub);
}

static uint64_t take_sample(struct lg_ticks *T, const lua_State *L,
                            const struct lg *G) {
  int i = sample_of(T, L);
  if (i < 0 && L == G->main) i = sample_of(T, green_hot(G->hub)->current);
  if (i < 0) return 0;
  T->samples[i].what = NULL;
  return T->samples[i].ns;
}

static int is_overdue(const struct lg_ticks *T, uint64_t switches) {
  return __atomic_load_n(&T->overdue, __ATOMIC_RELAXED) == switches + 1;
}

/* Half a period of tolerance: the kernel rounds a period to its own ticks. */
static void look(struct lg_ticks *T, struct green_hub *hub) {
  uint64_t switches = green_switches(hub);
  T->now = cpu_time();
  __atomic_store_n(&T->count, T->count + 1, __ATOMIC_RELAXED);
  if (T->uses[LG_TICK_PROFILE]) ask_for_sample(T, hub);
  if (switches != T->switches || !green_hot(hub)->current) {
    T->switches = switches;
    T->since = T->now;
    T->since_wall = uv_hrtime();
  } else if (T->now - T->since + T->period / 2 >= T->least ||
             is_overdue(T, switches)) {
    set_hook(T, hub);
  }
}

/* Another OS thread, or a signal handler, asks for the thread that runs now. */
static void interrupt(struct lg_ticks *T, struct green_hub *hub) {
  if (!green_hot(hub)->current) {
    __atomic_store_n(&T->interrupt, 0, __ATOMIC_RELAXED);
    return;
  }
  lg_tick_arm(T, hub);
}

/* Of which ticks, or of what they have, does the signal tell? NULL: somebody
 * else uses it, too. SIGURG tells of urgent data. */
static struct lg_ticks *told_by(const siginfo_t *info) {
  uintptr_t at = (uintptr_t)info->si_value.sival_ptr - (uintptr_t)all;
  if (info->si_code != SI_TIMER && info->si_code != SI_QUEUE) return NULL;
  return at < sizeof all ? &all[at / sizeof *all] : NULL;
}

void lg_pass_on(const struct sigaction *former, int number, siginfo_t *info,
                void *context) {
  if (former->sa_flags & SA_SIGINFO)
    former->sa_sigaction(number, info, context);
  else if (former->sa_handler != SIG_DFL && former->sa_handler != SIG_IGN)
    former->sa_handler(number);
}

static void on_tick(int number, siginfo_t *info, void *context) {
  struct lg_ticks *T = told_by(info);
  struct green_hub *hub;
  int error = errno;
  if (!T)
    lg_pass_on(&signals[number].former, number, info, context);
  else if (!(hub = atomic_load(&T->hub)))
    errno = error; /* it came late */
  else if (info->si_value.sival_ptr == &T->stuck && T->stuck.fired)
    T->stuck.fired(T, hub);
  else if (info->si_code == SI_TIMER)
    look(T, hub);
  else
    interrupt(T, hub);
  errno = error;
}

/* --- the hook --- */

/* Another state of the hub may have turned them on. */
static int know_ticks(struct lg *G) {
  if (!G->ticks) G->ticks = lg_ticks_of(G->hub);
  return G->ticks != NULL;
}

/* How long the running thread had computed at the last tick; 0: that was
 * another one. */
static uint64_t ran(const struct lg_ticks *T, const struct lg *G) {
  if (green_switches(G->hub) != T->armed_switches) return 0;
  if (T->switches != T->armed_switches) return 1; /* no tick has come yet */
  return T->now - T->since + T->period / 2 + 1;
}

uint64_t lg_tick_delay(const struct lg_ticks *T) {
  return cpu_time() - T->armed;
}

int lg_tick_is_late(const struct lg_ticks *T) {
  return T->count >= T->armed_count + LG_TICKS_LATE;
}

uint64_t lg_tick_overdue(const struct lg *G) {
  const struct lg_ticks *T = G->ticks;
  lua_State *L = running(G->hub);
  if (!T || !L || T->due_switches != green_switches(G->hub)) return 0;
  if (lua_gethookcount(L) != 1 || !lua_gethookmask(L)) return 0;
  if (lua_gethook(L) != tick_hook && !lg_is_watched(L)) return 0;
  return cpu_time() - T->due;
}

/* A thread that holds up a hub concerns all of it; other uses of ticks are for
 * a state's own code. */
static uint64_t wished(const struct lg_ticks *T, const struct lg *G, int use) {
  int shared = use == LG_TICK_WATCHDOG || use == LG_TICK_LONG;
  return shared ? T->uses[use] : G->tick_ns[use];
}

static int is_due(const struct lg_ticks *T, const struct lg *G, int use) {
  uint64_t ns = ran(T, G), least = wished(T, G, use);
  if (use == LG_TICK_INTERRUPT)
    return __atomic_load_n(&T->interrupt, __ATOMIC_RELAXED) && ns;
  if (!least || !ns) return 0;
  if (use == LG_TICK_END) return 1; /* it counts what came before, too */
  return ns >= least ||
         (use == LG_TICK_WATCHDOG && is_overdue(T, T->armed_switches));
}

lua_State *lg_tick_soon(struct lg *G) {
  lua_State *L;
  enum armed armed;
  if (!G->ticks || !lg_current(G)) return NULL;
  if (!(L = running(G->hub))) L = G->main;
  armed = arm(G->ticks, L);
  note_armed(G->ticks, G->hub, armed);
  return armed == IN_THE_WAY ? NULL : L;
}

/* Each use may switch away, and then the others are not due any more. */
static int act(lua_State *L, struct lg *G, lua_Debug *ar) {
  uint64_t sample = take_sample(G->ticks, L, G);
  int use, again = 0;
  if (G->allocs) G->tick_acts[LG_TICK_ALLOC](L, G, ar, 0);
  if (sample && G->tick_ns[LG_TICK_PROFILE])
    G->tick_acts[LG_TICK_PROFILE](L, G, ar, sample);
  for (use = LG_TICK_PROFILE + 1; use < LG_TICK_USES && G->ticks; use++)
    if (is_due(G->ticks, G, use) && G->tick_acts[use])
      again |= G->tick_acts[use](L, G, ar, ran(G->ticks, G));
  return again;
}

/* A dump is for code of the host's, too. */
static int work(lua_State *L, struct lg *G, lua_Debug *ar) {
  lg_tick_act *dump = G->ticks->stuck.act;
  int again = dump ? dump(L, G, ar, 0) : 0;
  return lg_current(G) ? act(L, G, ar) || again : again;
}

void lg_tick_if_asked(lua_State *L, struct lg *G, lua_Debug *ar) {
  if (!know_ticks(G) || !G->ticks->asked) return;
  G->ticks->asked = 0;
  if (work(L, G, ar)) G->ticks->asked = 1;
}

/* In the library's code the hook stays until that is left, as it is: to set it
 * costs as many steps as there are frames. */
static int lingers(lua_State *L, struct lg *G, lua_Debug *ar) {
  return G && G->ticks && G->ticks->lingers == L && lg_in_library(L, ar);
}

/* It may fire long after its tick, in a coroutine that has waited since: then
 * it means nothing any more. */
static void tick_hook(lua_State *L, lua_Debug *ar) {
  struct lg *G = lg_find(L);
  if (lingers(L, G, ar)) return;
  lua_sethook(L, NULL, 0, 0);
  if (!G || !G->hub || !know_ticks(G)) return;
  G->ticks->lingers = NULL;
  if (!work(L, G, ar) || lua_gethook(L)) return;
  if (G->ticks) G->ticks->lingers = L;
  lua_sethook(L, tick_hook, LUA_MASKCOUNT, 1);
}

/* --- on and off --- */

/* By number, since timer_create() of older C libraries wants -lrt. */
static int make_timer(struct lg_ticks *T) {
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = T->signal;
  event.sigev_value.sival_ptr = T;
  event._sigev_un._tid = (int)syscall(SYS_gettid);
  return (int)syscall(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, &event,
                      &T->timer);
}

static void set_timer(struct lg_ticks *T, uint64_t period) {
  struct {
    long every, every_ns, first, first_ns;
  } when;
  when.every = when.first = (long)(period / 1000000000);
  when.every_ns = when.first_ns = (long)(period % 1000000000);
  syscall(SYS_timer_settime, T->timer, 0, &when, NULL);
  T->period = period;
}

/* The signal must not be blocked in the hub's OS thread. */
static int take_signal(int number) {
  struct sigaction action;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  if (signals[number].users++ > 0) return 0;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_tick;
  action.sa_flags = (int)(SA_SIGINFO | SA_RESTART);
  sigemptyset(&action.sa_mask);
  if (sigaction(number, &action, &signals[number].former) == 0) return 0;
  signals[number].users--;
  return -1;
}

/* A handler that was set since stays. */
static void give_signal_back(int number) {
  struct sigaction now;
  if (--signals[number].users > 0) return;
  if (sigaction(number, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
      now.sa_sigaction == on_tick)
    sigaction(number, &signals[number].former, NULL);
}

/* Its number, or 0: the host does not want any. */
static int signal_of(struct green_hub *hub) {
  int number = green_config(hub)->tick_signal;
  if (number == 0) return SIGURG;
  return number > 0 && number < 65 ? number : 0;
}

static const char *start(struct lg *G) {
  struct lg_ticks *T = G->ticks;
  if (T->made) return NULL;
  T->signal = signal_of(G->hub);
  if (!T->signal) return NO_SIGNAL;
  if (take_signal(T->signal) < 0) return strerror(errno);
  if (make_timer(T) < 0) {
    give_signal_back(T->signal);
    return strerror(errno);
  }
  T->made = 1;
  return NULL;
}

static void stop(struct lg_ticks *T) {
  if (!T->made) return;
  syscall(SYS_timer_delete, T->timer);
  give_signal_back(T->signal);
  T->made = 0;
  T->period = 0;
}

static const char *be_interruptible(struct lg_ticks *T) {
  if (T->tid) return NULL;
  T->signal = signal_of(atomic_load(&T->hub));
  if (!T->signal) return NO_SIGNAL;
  if (take_signal(T->signal) < 0) return strerror(errno);
  __atomic_store_n(&T->tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
  return NULL;
}

static void be_left_alone(struct lg_ticks *T) {
  if (!T->tid) return;
  __atomic_store_n(&T->tid, 0, __ATOMIC_RELEASE);
  give_signal_back(T->signal);
}

static struct lg_ticks *unused(void) {
  struct lg_ticks *T = lg_ticks_of(NULL);
  int n = atomic_load(&first_unused);
  if (T || n == MOST_HUBS) return T;
  atomic_store(&first_unused, n + 1);
  return &all[n];
}

/* The hub's, or a free one. */
static const char *get_ticks(struct lg *G) {
  struct lg_ticks *T = lg_ticks_of(G->hub);
  if (!T && (T = unused())) {
    memset(T->uses, 0, sizeof T->uses);
    T->skipped = T->overdue = T->long_told = 0;
    T->interrupt = 0;
    T->lingers = NULL;
    T->on_long = NULL;
    T->long_of = NULL;
    T->hub_ns = 0;
    memset((void *)T->samples, 0, sizeof T->samples);
    memset((void *)&T->stuck, 0, sizeof T->stuck);
    T->switches = UINT64_MAX; /* the first tick begins a run */
    atomic_store(&T->hub, G->hub);
  }
  if (!T) return "too many hubs";
  G->ticks = T;
  return NULL;
}

/* The watchdog wants to see what a thread does right after a long call. */
static uint64_t period_for(const struct lg_ticks *T) {
  uint64_t period = T->least;
  if (T->uses[LG_TICK_PROFILE] && T->uses[LG_TICK_PROFILE] < period)
    period = T->uses[LG_TICK_PROFILE];
  if (T->uses[LG_TICK_WATCHDOG]) {
    if (period > T->uses[LG_TICK_WATCHDOG] / 2)
      period = T->uses[LG_TICK_WATCHDOG] / 2;
    if (period > WATCHDOG_PERIOD) period = WATCHDOG_PERIOD;
  }
  return period < LEAST_PERIOD ? LEAST_PERIOD : period;
}

/* The timer serves the state that is the most impatient. */
static void add_up(struct lg_ticks *T, struct green_hub *hub) {
  const struct green_family *f;
  uint64_t uses[LG_TICK_USES] = {0};
  int i;
  for (f = green_families(hub); f; f = f->next)
    for (i = 0; i < LG_TICK_USES; i++) {
      uint64_t ns = ((const struct lg *)f)->tick_ns[i];
      if (ns && (!uses[i] || ns < uses[i])) uses[i] = ns;
    }
  if (uses[LG_TICK_PROFILE] && !T->uses[LG_TICK_PROFILE])
    T->sampled = cpu_time();
  memcpy(T->uses, uses, sizeof uses);
}

/* No use: no timer. */
static const char *adjust(struct lg *G) {
  struct lg_ticks *T = G->ticks;
  const char *why;
  int i;
  add_up(T, G->hub);
  T->least = UINT64_MAX;
  for (i = LG_TICK_PROFILE + 1; i < LG_TICK_USES; i++)
    if (T->uses[i] && T->uses[i] < T->least) T->least = T->uses[i];
  if (T->least == UINT64_MAX && !T->uses[LG_TICK_PROFILE]) {
    stop(T);
    return NULL;
  }
  if ((why = start(G))) return why;
  set_timer(T, period_for(T));
  return NULL;
}

const char *lg_ticks_set(struct lg *G, enum lg_tick_use use, uint64_t ns) {
  const char *why;
  if (lg_ticks_get(G, use) == ns) return NULL;
  if ((why = green_elsewhere(G->hub))) return why;
  pthread_mutex_lock(&lock);
  why = G->ticks ? NULL : get_ticks(G);
  if (!why) {
    uint64_t former = G->tick_ns[use];
    G->tick_ns[use] = ns;
    if ((why = adjust(G))) {
      G->tick_ns[use] = former;
      add_up(G->ticks, G->hub);
    }
  }
  pthread_mutex_unlock(&lock);
  return why;
}

const char *lg_ticks_know(struct lg *G) {
  const char *why = green_elsewhere(G->hub);
  if (why || G->ticks) return why;
  pthread_mutex_lock(&lock);
  why = get_ticks(G);
  pthread_mutex_unlock(&lock);
  return why;
}

const char *lg_ticks_interruptible(struct lg *G) {
  const char *why = lg_ticks_know(G);
  if (why) return why;
  pthread_mutex_lock(&lock);
  why = be_interruptible(G->ticks);
  pthread_mutex_unlock(&lock);
  return why;
}

/* Async-signal-safe: takes no lock. The hub is open as long as the caller may
 * name it. */
int green_interrupt(struct green_hub *hub, int how) {
  struct lg_ticks *T = lg_ticks_of(hub);
  int tid = T ? __atomic_load_n(&T->tid, __ATOMIC_ACQUIRE) : 0, error = errno;
  siginfo_t info;
  if (!tid) return UV_ENOTSUP;
  memset(&info, 0, sizeof info);
  info.si_code = SI_QUEUE;
  info.si_value.sival_ptr = T;
  __atomic_store_n(&T->interrupt, 1 + (how != 0), __ATOMIC_RELAXED);
  syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, T->signal, &info);
  errno = error;
  return 0;
}

uint64_t lg_ticks_get(const struct lg *G, enum lg_tick_use use) {
  return G->tick_ns[use];
}

uint64_t lg_ticks_skipped(const struct lg *G) {
  return G->ticks ? G->ticks->skipped : 0;
}

static void release(struct lg_ticks *T) {
  stop(T);
  be_left_alone(T);
  atomic_store(&T->hub, NULL);
}

/* The state is on the hub still, perhaps as the last one. Other states may have
 * used ticks without its knowledge. */
void lg_ticks_off(struct lg *G) {
  const struct green_family *first = green_families(G->hub);
  struct lg_ticks *T = lg_ticks_of(G->hub);
  if (!T) return;
  pthread_mutex_lock(&lock);
  memset(G->tick_ns, 0, sizeof G->tick_ns);
  if (T->long_of == G) {
    T->on_long = NULL;
    T->long_of = NULL;
  }
  G->ticks = T;
  if (first == &G->family && !first->next)
    release(T);
  else if (!green_elsewhere(G->hub))
    (void)adjust(G);
  pthread_mutex_unlock(&lock);
  G->ticks = NULL;
}

/* Every state needs it, as another state may turn the ticks on. */
void lg_open_ticks(lua_State *L) {
  lg_find(L)->tick = tick_hook;
}
