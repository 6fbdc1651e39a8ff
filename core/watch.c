/* watch.c - what others are told of the hub's work: the accounts, the trace,
 * the host's hooks; and the lag.
 *
 * The scheduler calls the watchers in the slow path of a switch, which each
 * switch takes while anybody watches. Off, they cost nothing but the test of a
 * countdown at each wake-up, and the lag takes that one too.
 *
 * The lag is timed without a mark on the thread. The ready queue is first come,
 * first served, so the thread that is put at its end now has its turn after as
 * many switches as threads are ready. The look at the clock of that switch then
 * tells how long it took. A thread that is ended while it is ready spoils one
 * sample by a place.
 *
 * Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "internal.h"

/* One wake-up in EACH is timed: two looks at the clock cost it 50 ns. */
enum { EACH = 64 };
/* What happened lately are two stretches, the last of which goes on: so no
 * reader forgets it for another. `luagreen top` repaints each second, and a
 * reader that looks each ten seconds misses nothing. */
static const uint64_t STRETCH_NS = UINT64_C(10000000000);

/* --- watchers --- */

void green__watch(struct green_hub *h, enum green__watching kind, int on) {
  h->watching = (uint8_t)(on ? h->watching | kind : h->watching & ~kind);
  h->tick = 1;
  h->lag.tick = 1;
  h->from = NULL;
}

static int accounts(const struct green_hub *h) {
  return h->watching & (GREEN__ACCOUNTS | GREEN__WAITS);
}

static void switched(struct green_hub *h, struct green_thread *to) {
  struct green_thread *from = h->from;
  h->from = NULL;
  if (h->hooks.switched && (from || to))
    h->hooks.switched(h, from, to, h->hooks_arg);
}

void green__watch_left(struct green_hub *h, struct green_thread *t,
                       uint64_t now) {
  if (accounts(h)) green__account_left(h, t, now);
  if (h->trace) green__trace_left(h, t, now);
  h->from = t->state < GREEN_DONE ? t : NULL;
}

void green__watch_next(struct green_hub *h, struct green_thread *t,
                       uint64_t now) {
  if (accounts(h)) green__account_next(h, t, now);
  if (h->trace) green__trace_runs(h, t, now);
  switched(h, t);
}

void green__watch_polls(struct green_hub *h) {
  green__trace(h, GREEN__POLLS, 0, 0, h->hot.ready);
  switched(h, NULL);
}

struct green_thread *green__watch_spawned(struct green_hub *h,
                                          struct green_thread *t) {
  struct green_thread *parent = h->hot.current;
  green__trace(h, GREEN__SPAWNED, t->id, 0, parent ? parent->id : 0);
  if (h->hooks.spawned) h->hooks.spawned(h, t, parent, h->hooks_arg);
  return t;
}

static int outcome(const struct green_thread *t) {
  if (t->state == GREEN_KILLED) return UV_ECANCELED;
  if (t->state == GREEN_FAILED) return UV_UNKNOWN;
  return t->flags & GREEN_RUNTIME ? 0 : t->result;
}

void green__watch_ended(struct green_hub *h, struct green_thread *t) {
  if (h->from == t) h->from = NULL;
  if (h->trace) green__trace_ended(h, t);
  if (h->hooks.ended) h->hooks.ended(h, t, outcome(t), h->hooks_arg);
}

int green_set_hooks(struct green_hub *h, const struct green_hooks *hooks,
                    void *arg) {
  if (!green__at_home(h)) return UV_EPERM;
  if (hooks && hooks->size != sizeof *hooks) return UV_EINVAL;
  memset(&h->hooks, 0, sizeof h->hooks);
  if (hooks) h->hooks = *hooks;
  h->hooks_arg = arg;
  green__watch(h, GREEN__HOOKS, hooks != NULL);
  return 0;
}

/* --- the lag --- */

/* Four for each power of 2. */
static unsigned bucket_of(uint64_t ns) {
  unsigned power = 63 - (unsigned)__builtin_clzll(ns | 4);
  return power * 4 + (unsigned)(ns >> (power - 2) & 3);
}

/* The least that belongs to the next bucket. */
static uint64_t end_of(unsigned bucket) {
  unsigned power = bucket / 4;
  if (power < 2) return 4;
  return (UINT64_C(1) << power) + ((bucket % 4 + UINT64_C(1)) << (power - 2));
}

void green__watch_ready(struct green_hub *h, struct green_thread *t) {
  if (h->trace) green__trace_ready(h, t, uv_hrtime());
  if (h->watching & GREEN__ACCOUNTS && t != h->hot.current)
    green__account_ready(h, t);
  if (!h->lag.turn) {
    h->lag.since = uv_hrtime();
    green__look_at_last(h);
  }
  h->lag.tick = h->watching & (GREEN__TRACES | GREEN__ACCOUNTS) ? 1 : EACH;
}

void green__lag_stretch(struct green_hub *h, uint64_t now) {
  struct green__lag *l = &h->lag;
  if (now < l->began + STRETCH_NS) return;
  l->before = l->now;
  memset(&l->now, 0, sizeof l->now);
  if (now >= l->began + 2 * STRETCH_NS) l->before = l->now;
  l->began = now;
}

void green__lag_over(struct green_hub *h) {
  uint64_t now = green__stamp(h);
  uint64_t ns = now > h->lag.since ? now - h->lag.since : 0;
  unsigned bucket = bucket_of(ns);
  green__lag_stretch(h, now);
  h->lag.turn = 0;
  h->lag.count[bucket]++;
  h->lag.now.count[bucket]++;
  h->lag.sum += ns;
  if (ns > h->lag.now.max) h->lag.now.max = ns;
}

static uint64_t recent(const struct green__lag *l, unsigned bucket) {
  return (uint64_t)l->before.count[bucket] + l->now.count[bucket];
}

/* The end of the bucket in which the n-th of the recent ones is. */
static uint64_t nth(const struct green__lag *l, uint64_t n) {
  unsigned i;
  for (i = 0; i < GREEN__LAGS - 1; i++) {
    uint64_t here = recent(l, i);
    if (n <= here) break;
    n -= here;
  }
  return end_of(i);
}

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

static void tell(const struct green__lag *l, struct green_lag *lag) {
  unsigned i;
  for (i = 0; i < GREEN__LAGS; i++) {
    lag->count += l->count[i];
    lag->recent += recent(l, i);
  }
  lag->sum = l->sum;
  lag->max = most(l->before.max, l->now.max);
  if (lag->recent) {
    lag->p50 = least(nth(l, (lag->recent + 1) / 2), lag->max);
    lag->p99 = least(nth(l, lag->recent - lag->recent / 100), lag->max);
  }
}

void green_lag_sized(struct green_hub *h, struct green_lag *lag, size_t size) {
  struct green_lag all;
  memset(&all, 0, sizeof all);
  green__lag_stretch(h, uv_hrtime());
  tell(&h->lag, &all);
  green__give_sized(lag, size, &all, sizeof all);
}

uint32_t green__most_ready(struct green_hub *h) {
  green__lag_stretch(h, uv_hrtime());
  return (uint32_t)most(h->hot.ready,
                        most(h->lag.before.most, h->lag.now.most));
}

uint64_t green_lag_below(struct green_hub *h, unsigned power) {
  uint64_t n = 0;
  unsigned i;
  for (i = 0; i < GREEN__LAGS && i < power * 4; i++) n += h->lag.count[i];
  return n;
}

uint64_t green_lag_sum(struct green_hub *h) {
  return h->lag.sum;
}
