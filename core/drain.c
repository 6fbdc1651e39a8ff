/* drain.c - ends threads: all others when the hub closes, or those of a family.
 *
 * The drain kills them and gives them the grace to clean up. It forces those
 * that live on and gives them the grace again. It reports threads that still
 * live then and leaves them behind. One thread waits for all that; on a host's
 * loop no thread can wait, and the drain runs batches as long as a thread that
 * it ends is ready. In both cases it ends when the grace has passed twice,
 * however many threads compute, or soon after it, if threads end quickly then.
 * Threads of other families go on meanwhile. The grace is real time.
 *
 * A hub that left threads behind is retired: nothing runs on it any more and it
 * no longer touches its loop, as the threads' code and data may be gone.
 * Threads that a family left behind are frozen, and their hub lives on: they
 * are in no list and no heap, nobody waits for them, and only their stacks and
 * records stay.
 *
 * The stack of a green thread, of main, or of the host.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

static const struct green_wait_kind drain_kind = {"drain", NULL, NULL};

/* What is drained: a family, or all threads of the hub (NULL). */
struct drain {
  struct green_hub *hub;
  struct green_family *family;
  struct green_thread **drainer; /* the thread that waits for it */
  int found;
  uint64_t began;    /* the grace */
  uint32_t left;     /* threads, then */
  uint64_t switches; /* the hub's at the last look */
};

static struct drain of_hub(struct green_hub *h) {
  return (struct drain){.hub = h, .drainer = &h->drainer};
}

static struct drain of_family(struct green_family *f) {
  return (struct drain){.hub = f->hub, .family = f, .drainer = &f->drainer};
}

static int is_part(const struct drain *d, const struct green_thread *t) {
  return !d->family || green_family_of(t) == d->family;
}

/* Neither main, nor the running thread, nor the one that waits for the drain,
 * is ended. */
static int is_ended(const struct drain *d, const struct green_thread *t) {
  return is_part(d, t) && t != d->hub->main && t != d->hub->hot.current &&
         t != *d->drainer;
}

static uint32_t left(const struct drain *d) {
  struct green_hub *h = d->hub;
  uint32_t n = d->family ? d->family->live : green_live(h);
  /* While the drainer waits, another one is the running thread. */
  const struct green_thread *self = *d->drainer ? *d->drainer : h->hot.current;
  if (self && is_part(d, self)) n--;
  if (h->main && h->main != self && is_part(d, h->main)) n--;
  return n;
}

static void check(struct drain d) {
  if (*d.drainer && left(&d) == 0) green_wake(d.hub, *d.drainer, GREEN_WOKEN);
}

void green__drain_check(struct green_hub *h, struct green_family *f) {
  check(of_hub(h));
  check(of_family(f));
}

static void each(struct drain *d,
                 void (*f)(struct green_thread *thread, void *arg)) {
  if (d->family)
    green_each_of(d->hub, d->family, f, d);
  else
    green_each(d->hub, f, d);
}

/* An ended thread's links and its error report still run. */
static void ask(struct green_thread *t, void *arg) {
  struct drain *d = arg;
  if (is_ended(d, t) && !(t->flags & GREEN_CLEANUP)) green_kill(d->hub, t);
}

static void force(struct green_thread *t, void *arg) {
  struct drain *d = arg;
  if (!is_ended(d, t)) return;
  t->flags |= GREEN_FORCED;
  green_kill(d->hub, t);
  green__interrupt(d->hub, t); /* it may have been killed before */
}

/* --- waiting for them --- */

/* Past the grace a drain goes on while that is quick: threads that sleep end at
 * once, but a machine that stands still may have used the grace up. A thread
 * that ends within QUICK_NS has nothing to clean up. The drain goes on, too, if
 * threads are ready and none had a turn since the last look; the first switch
 * of a grace is the drainer's. */
enum { QUICK_NS = 100000 };

static void begin_pace(struct drain *d) {
  d->began = green__real(d->hub);
  d->switches = d->hub->switches + 1;
  d->left = left(d);
}

static int goes_on(struct drain *d) {
  struct green_hub *h = d->hub;
  uint32_t n = left(d), ended = n < d->left ? d->left - n : 0;
  int none_ran = h->switches <= d->switches && !green__list_empty(&h->ready);
  d->switches = h->switches;
  return none_ran || ended * (uint64_t)QUICK_NS >= green__real(h) - d->began;
}

/* A clock of the host's may stand still, so there the hub looks at `due`, in
 * real time, in each step. */
struct green__grace {
  struct green_timer timer;
  struct drain *drain;
  uint64_t due;
  struct green__grace *next;
};

static int start(struct green_hub *h, struct green__grace *grace,
                 uint64_t due) {
  if (!h->options.clock) return green_timer_start(h, &grace->timer, due);
  grace->due = due;
  grace->next = h->graces;
  h->graces = grace;
  return 0;
}

static void stop(struct green_hub *h, struct green__grace *grace) {
  struct green__grace **at = &h->graces;
  green_timer_stop(h, &grace->timer);
  while (*at && *at != grace) at = &(*at)->next;
  if (*at) *at = grace->next;
}

/* The grace is over. The drainer runs before all other ready threads, as each
 * of them may compute until it is forced to yield. */
static void on_grace(struct green_hub *h, struct green_timer *timer) {
  struct green__grace *grace = (struct green__grace *)timer;
  struct green_thread *t = *grace->drain->drainer;
  if (goes_on(grace->drain) && start(h, grace, green__real(h) + 1) == 0)
    return;
  if (!green_wake(h, t, GREEN_TIMEOUT)) return;
  green_list_remove(&t->node);
  green__list_add_first(&h->ready, &t->node);
}

void green__graces_check(struct green_hub *h) {
  struct green__grace *each = h->graces, *next;
  for (; each; each = next) {
    next = each->next;
    if (each->due > h->real) continue;
    stop(h, each);
    on_grace(h, &each->timer);
  }
}

uint64_t green__graces_next(const struct green_hub *h) {
  const struct green__grace *each = h->graces;
  uint64_t at = GREEN_FOREVER;
  for (; each; each = each->next)
    if (each->due < at) at = each->due;
  return at;
}

/* The timer is on time: timers fire in polls, and a poll follows each turn of a
 * killed thread. */
static void wait_as_thread(struct drain *d, uint64_t deadline) {
  struct green_hub *h = d->hub;
  struct green_thread *self = h->hot.current;
  struct green__grace grace = {{0, on_grace}, d, 0, NULL};
  uint8_t before = self->flags & GREEN_UNINTERRUPTIBLE;
  if (start(h, &grace, deadline) < 0) return;
  *d->drainer = self;
  h->ends_matter = 1;
  self->flags |= GREEN_UNINTERRUPTIBLE;
  if (left(d) > 0) green_wait(h, &drain_kind, NULL, NULL, GREEN_FOREVER);
  self->flags &= (uint8_t)~GREEN_UNINTERRUPTIBLE;
  self->flags |= before;
  *d->drainer = NULL;
  stop(h, &grace);
}

static void find_ready(struct green_thread *t, void *arg) {
  struct drain *d = arg;
  int is_ready = t->state == GREEN_READY || t->state == GREEN_NEW;
  if (is_ended(d, t) && is_ready && t->node.link.next) d->found = 1;
}

static int has_ready(struct drain *d) {
  if (!d->family) return !green__list_empty(&d->hub->ready);
  d->found = 0;
  each(d, find_ready);
  return d->found;
}

/* The drain cannot sleep here: when none of its threads is ready, it is over.
 * Meanwhile the timers and descriptors of all others are served. */
static void run_batches(struct drain *d, uint64_t deadline) {
  struct green_hub *h = d->hub, *before = green__clock_enter(h);
  while (has_ready(d) && (green__real(h) < deadline || goes_on(d))) {
    green__fds_reconcile(h);
    green__epoll_wait(h, 0);
    green__read_clock(h);
    green__timers_fire(h, h->now);
    green__graces_check(h);
    green__poll_done(h, 1);
    green__run_batch(h);
  }
  green__clock_leave(before);
}

static void drain_wait(struct drain *d) {
  uint64_t deadline = green__real(d->hub) + d->hub->options.grace;
  begin_pace(d);
  if (d->hub->hot.current)
    wait_as_thread(d, deadline);
  else
    run_batches(d, deadline);
}

/* --- what is left behind --- */

static void report(struct green_hub *h, struct green_thread *t) {
  if (h->runtime && h->runtime->abandoned) {
    h->runtime->abandoned(h, t);
    return;
  }
  green_report("luagreen: green thread #%llu %s would not end (%s)\n",
               (unsigned long long)t->id, green_called(t),
               t->state == GREEN_BLOCKED ? t->kind->name : green_status(t));
}

/* Unlinks it from everything. From now on it is ready but in no queue, so no
 * wake-up puts it there: it never runs again. */
static void freeze(struct green_hub *h, struct green_thread *t) {
  if (t->state == GREEN_BLOCKED) green__wait_end(h, t);
  if (t->slot) green__heap_remove(h, t->slot); /* it had not started */
  if (t->node.link.next) {
    green_list_remove(&t->node);
    h->hot.ready--;
  }
  t->state = GREEN_READY;
}

static void abandon(struct green_thread *t, void *arg) {
  struct drain *d = arg;
  if (!is_ended(d, t)) return;
  report(d->hub, t);
  freeze(d->hub, t);
}

static void retire(struct drain *d) {
  struct green_hub *h = d->hub;
  each(d, abandon);
  h->keep_all = 1;
  h->hot.closed = 1;
  green__resolver_shutdown(h);
  green__offload_shutdown(h);
  green__run_chores(h);
  green__post_shutdown(h);
  green__bell_shutdown(h);
  green__loop_rest(h);
  if (h->options.drive != GREEN_DRIVE_MAIN) green__host_rest(h);
}

/* The hub lives on, so the thread must not be found by anybody: not by what it
 * was woken for, by its scopes' timers, nor by those that wait for its end. */
static void lose(struct green_thread *t, void *arg) {
  struct drain *d = arg;
  struct green_hub *h = d->hub;
  if (!is_ended(d, t)) return;
  report(h, t);
  if (t->state == GREEN_BLOCKED) t->reason = GREEN_INTERRUPT;
  if (t->stack && t->state != GREEN_NEW) h->hot.kept--;
  freeze(h, t);
  if (t->on && t->kind->undo) t->kind->undo(h, t);
  while (t->scopes) green_scope_close(h, t->scopes);
  t->state = GREEN_KILLED;
  green_wake_all(h, &t->joiners, GREEN_WOKEN);
}

/* --- the two drains --- */

int green_may_drain(struct green_hub *h) {
  if (!green__at_home(h)) return UV_EPERM;
  return h->hot.current || !(h->in_batch || h->main) ? 0 : UV_EPERM;
}

/* Returns how many would not end. */
static uint32_t end_all(struct drain *d) {
  each(d, ask);
  drain_wait(d);
  if (left(d) > 0) {
    each(d, force);
    drain_wait(d);
  }
  return left(d);
}

int green_drain(struct green_hub *h) {
  if (!green__at_home(h)) return UV_EPERM;
  if (h->hot.current && h->hot.current != h->main) return UV_EPERM;
  return green_drain_above_main(h);
}

int green_drain_above_main(struct green_hub *h) {
  struct drain d = of_hub(h);
  if (green_may_drain(h) < 0) return UV_EPERM;
  if (h->hot.closed) return (int)left(&d);
  /* Main must never run again, even when its wait ends. */
  if (h->main && h->hot.current != h->main) freeze(h, h->main);
  h->hot.draining = h->hot.current ? 1 : 2; /* 2: shields are refused */
  green_clock_thaw(h);                      /* the grace is real time */
  if (end_all(&d) > 0) retire(&d);
  return (int)left(&d);
}

int green_family_abandon(struct green_family *f) {
  struct drain d = of_family(f);
  each(&d, lose);
  return (int)left(&d);
}

int green_family_drain(struct green_family *f) {
  struct drain d = of_family(f);
  struct green_hub *h = f->hub;
  int n;
  if (green_may_drain(h) < 0) return UV_EPERM;
  if (h->hot.closed) return (int)left(&d);
  f->draining = h->hot.current ? 1 : 2;
  green_clock_thaw(h);
  n = (int)end_all(&d);
  if (n > 0) green_family_abandon(f);
  if (!h->hot.current && h->options.drive != GREEN_DRIVE_MAIN)
    green__tell_host(h);
  return n;
}
