/* stuck.c - the dump that a signal asks for, where it has no turn.
 *
 * The loop makes a thread that writes the dump (thread/dump_signal.c). So that
 * there is one if the loop does not turn, or threads that compute have their
 * turn before it, a handler stands in front of libuv's and starts a timer:
 *
 *   - a second after the signal, if the dump has not begun, the code that runs
 *     gets the hook of ticks.c, which writes the dump at the next instruction;
 *   - a second later, if no hook has fired, the thread is in a call of C. Where
 *     it is in Lua cannot be looked at, so the handler itself writes which
 *     thread that is. The dump follows when the call is over.
 *
 * So nothing waits and nothing wakes up for it before the signal comes, and no
 * OS thread is needed. If the host allows no signal for ticks, the loop alone
 * writes dumps.
 *
 * on_signal() runs on any OS thread, fired() on the hub's, both in a signal
 * handler; act() where Lua runs, the rest on any stack of the
 * hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/ticks.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/anchor.h"
#include "runtime/object.h"
#include "runtime/site.h"
#include "thread/dump_signal.h"
#include "thread/thread.h"

enum { SIGNALS = 65 };
/* CPU time in the second between the hook and the line about it: beyond that,
 * the call computes. */
enum { IN_C_NS = 50000000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction former[SIGNALS]; /* libuv's handler, behind ours */

static void set_timer(const struct lg_stuck *s, long seconds) {
  struct {
    long every, every_ns, first, first_ns;
  } when = {0, 0, seconds, 0};
  syscall(SYS_timer_settime, s->timer, 0, &when, NULL);
}

/* --- the signal comes --- */

static void begin(struct lg_stuck *s) {
  s->asked_at = uv_hrtime();
  s->stage = 0;
  set_timer(s, 1);
}

static void ask(struct lg_stuck *s, int number) {
  uint64_t bit = UINT64_C(1) << number;
  uint64_t were = __atomic_fetch_or(&s->pending, bit, __ATOMIC_SEQ_CST);
  if (!(were & bit)) begin(s);
}

static void on_signal(int number, siginfo_t *info, void *context) {
  struct lg_ticks *T;
  int error = errno, i;
  for (i = 0; (T = lg_ticks_at(i)); i++)
    if (__atomic_load_n(&T->stuck.signals, __ATOMIC_RELAXED) >> number & 1)
      ask(&T->stuck, number);
  lg_pass_on(&former[number], number, info, context);
  errno = error;
}

/* --- the dump has no turn --- */

struct line {
  char text[200];
  size_t length;
};

static void put(struct line *l, const char *s) {
  while (*s && l->length < sizeof l->text) l->text[l->length++] = *s++;
}

static void put_number(struct line *l, uint64_t n) {
  char digits[21];
  char *s = digits + sizeof digits - 1;
  *s = 0;
  do *--s = (char)('0' + n % 10);
  while (n /= 10);
  put(l, s);
}

/* Its bytes may be a peer's. */
static void put_name(struct line *l, const char *name) {
  char c[2] = {0, 0};
  int i;
  put(l, " ");
  for (i = 0; name[i] && i < 60; i++) {
    c[0] = (unsigned char)name[i] < ' ' || name[i] == 127 ? '?' : name[i];
    put(l, c);
  }
}

static void write_line(const struct line *l) {
  struct pollfd p = {STDERR_FILENO, POLLOUT, 0};
  if (poll(&p, 1, 0) == 1 && write(STDERR_FILENO, l->text, l->length) < 0)
    return; /* nobody reads it */
}

/* No hook has fired. Finalizers have none, and another library's coroutine
 * looks like a call of its function. */
static const char *where(const struct lg_ticks *T) {
  if (T->stuck.in_the_way) return " computes, with a hook of its own";
  return lg_tick_delay(T) > IN_C_NS
             ? " is in a call of C, or a finalizer, that computes"
             : " is in a call of C that waits";
}

/* All that can be known for certain in a signal handler. */
static void tell(const struct lg_ticks *T, struct green_hub *hub) {
  const struct green_thread *t = green_hot(hub)->current;
  const struct lg_stuck *s = &T->stuck;
  struct line l = {"", 0};
  put(&l, "luagreen: no dump for ");
  put_number(&l, (uv_hrtime() - s->asked_at) / 1000000000);
  if (!t) {
    put(&l, " s: the loop does not turn, and no green thread runs");
  } else {
    put(&l, " s: green thread #");
    put_number(&l, t->id);
    put_name(&l, green_called(t));
    put(&l, where(T));
  }
  put(&l, "\n");
  write_line(&l);
}

static void fired(struct lg_ticks *T, struct green_hub *hub) {
  struct lg_stuck *s = &T->stuck;
  uint64_t skipped = T->skipped;
  if (!s->pending) return;
  if (s->stage++ > 0) {
    if (s->wants) tell(T, hub);
    return;
  }
  s->wants = 1;
  lg_tick_arm(T, hub);
  s->in_the_way = T->skipped != skipped;
  set_timer(s, 1);
}

/* --- the dump, in the hook --- */

/* (seconds, in_c) */
static int call_policy(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  if (lua_getfield(L, -1, "dump_stuck") == LUA_TNIL) return 0;
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_call(L, 2, 0);
  return 0;
}

static void push_call(lua_State *L, const struct lg_stuck *s) {
  lua_pushcfunction(L, call_policy);
  lua_pushnumber(L, (lua_Number)(uv_hrtime() - s->asked_at) / 1e9);
  lua_pushboolean(L, s->stage > 1 && !s->in_the_way);
}

/* (G, stuck) on the helper. */
static int call_beside(lua_State *L) {
  push_call(L, lua_touserdata(L, 2));
  lua_call(L, 2, 0);
  return 0;
}

static void dump_here(lua_State *L, struct lg *G) {
  const char *refused = G->refuse;
  int top = lua_gettop(L);
  if (!lua_checkstack(L, 6)) return;
  G->refuse = "in a dump";
  push_call(L, &G->ticks->stuck);
  lua_pcall(L, 2, 0, 0);
  lua_settop(L, top);
  G->refuse = refused;
}

/* Has the signal of the state come, and no hook written its dump yet? */
static int waits(const struct lg_stuck *s, const struct lg *G) {
  return s->pending >> lg_dump_signal_number(G) & 1 && !G->dumped;
}

/* Another state's code runs, whose signal has not come: reports the place
 * alone. */
static void tell_place(lua_State *L) {
  if (!lua_checkstack(L, LUA_MINSTACK)) return;
  lg_push_where(L, L, 0);
  green_report("luagreen: the code of another state computes, at %s\n",
               lua_tostring(L, -1));
  lua_pop(L, 1);
}

/* A dump for each state whose signal has come. The library's own code is left
 * first. */
static int act(lua_State *L, struct lg *G, lua_Debug *ar, uint64_t ran) {
  struct lg_stuck *s = &G->ticks->stuck;
  struct green_family *f;
  (void)ran;
  if (likely(!s->wants)) return 0;
  if (lg_in_library(L, ar)) return 1;
  s->wants = 0;
  if (!waits(s, G)) tell_place(L);
  for (f = green_families(G->hub); f; f = f->next) {
    struct lg *other = (struct lg *)f;
    if (!waits(s, other) || other->drained) continue;
    other->dumped = 1;
    if (other == G)
      dump_here(L, G);
    else
      lg_protected(other, call_beside, s);
  }
  return 0;
}

/* Nobody waits for a dump at these signals any more. If there are no others,
 * the timer stops, unless one comes just now. */
static void settle(struct lg_stuck *s, uint64_t signals) {
  uint64_t others = s->pending & ~signals;
  if (!(s->pending & signals)) return;
  if (!others) {
    set_timer(s, 0);
    s->wants = 0;
  }
  if (__atomic_and_fetch(&s->pending, ~signals, __ATOMIC_SEQ_CST) && !others)
    begin(s);
}

/* The loop's dump begins: is it needed still? Until then the timer goes on, as
 * threads that compute may have their turn before the one that writes it. */
static int wants_dump(struct lg *G) {
  struct lg_ticks *T = lg_ticks_of(G->hub);
  int dumped = G->dumped;
  G->dumped = 0;
  if (!T) return 1;
  settle(&T->stuck, UINT64_C(1) << lg_dump_signal_number(G));
  return !dumped;
}

/* --- on and off --- */

static uint64_t signals_of(struct green_hub *hub) {
  const struct green_family *f = green_families(hub);
  uint64_t signals = 0;
  for (; f; f = f->next)
    signals |= UINT64_C(1) << lg_dump_signal_number((const struct lg *)f);
  return signals & ~UINT64_C(1);
}

static int make_timer(struct lg_ticks *T) {
  struct sigevent event;
  if (T->stuck.made) return 0;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = T->signal;
  event.sigev_value.sival_ptr = &T->stuck;
  event._sigev_un._tid = T->tid;
  if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &T->stuck.timer) < 0)
    return -1;
  T->stuck.act = act;
  T->stuck.fired = fired;
  T->stuck.made = 1;
  return 0;
}

static int is_ours(const struct sigaction *action) {
  return action->sa_flags & SA_SIGINFO && action->sa_sigaction == on_signal;
}

/* libuv has just taken the signal, or has it already. */
static void stand_in_front(int number) {
  struct sigaction action;
  if (sigaction(number, NULL, &action) < 0 || is_ours(&action)) return;
  former[number] = action;
  action.sa_sigaction = on_signal;
  action.sa_flags |= (int)SA_SIGINFO;
  sigaction(number, &action, NULL);
}

/* If libuv has let the signal go, our handler is gone as well. */
static void step_back(int number) {
  const struct lg_ticks *T;
  struct sigaction now;
  int i;
  for (i = 0; (T = lg_ticks_at(i)); i++)
    if (T->stuck.signals >> number & 1) return;
  if (sigaction(number, NULL, &now) == 0 && is_ours(&now))
    sigaction(number, &former[number], NULL);
}

static void change(struct lg_ticks *T, uint64_t signals) {
  uint64_t were = T->stuck.signals;
  int i;
  if (signals && make_timer(T) < 0) return;
  settle(&T->stuck, ~signals);
  __atomic_store_n(&T->stuck.signals, signals, __ATOMIC_RELAXED);
  for (i = 1; i < SIGNALS - 1; i++) {
    if (signals >> i & 1)
      stand_in_front(i);
    else if (were >> i & 1)
      step_back(i);
  }
  if (signals || !T->stuck.made) return;
  /* The last signal was given back, so the timer can go. */
  syscall(SYS_timer_delete, T->stuck.timer);
  memset(&T->stuck, 0, sizeof T->stuck);
}

void lg_stuck_set(struct lg *G) {
  uint64_t signals = signals_of(G->hub);
  struct lg_ticks *T;
  if (signals && lg_ticks_interruptible(G)) return;
  if (!(T = lg_ticks_of(G->hub))) return;
  assert(T->signal || !signals);
  G->wants_dump = wants_dump;
  pthread_mutex_lock(&lock);
  change(T, signals);
  pthread_mutex_unlock(&lock);
}
