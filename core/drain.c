/* drain.c - ends all other threads when the hub closes.
 *
 * The drain kills them and gives them the grace to clean up. It forces those
 * that live on and gives them the grace again. It reports threads that still
 * live then and leaves them behind. One thread waits for all that; on a host's
 * loop no thread can wait, and the drain runs batches as long as a thread is
 * ready. In both cases it ends when the grace has passed twice, however many
 * threads compute.
 *
 * A hub that left threads behind is retired: nothing runs on it any more and it
 * no longer touches its loop, as the threads' code and data may be gone.
 *
 * The main thread's stack, or the host's.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

static const struct green_wait_kind drain_kind = {"drain", NULL, NULL};

/* Is it neither main nor the thread that waits for the drain? */
static int is_other(const struct green_hub *h, const struct green_thread *t) {
  return t != h->main && t != h->hot.current && t != h->drainer;
}

static uint32_t others(struct green_hub *h) {
  uint32_t n = h->live;
  if (h->hot.current || h->drainer) n--;
  if (h->main && h->main != h->drainer && h->main != h->hot.current) n--;
  return n;
}

void green__drain_check(struct green_hub *h) {
  if (h->drainer && others(h) == 0) green_wake(h, h->drainer, GREEN_WOKEN);
}

/* An ended thread's links and its error report still run. */
static void ask(struct green_thread *t, void *arg) {
  struct green_hub *h = arg;
  if (is_other(h, t) && !(t->flags & GREEN_CLEANUP)) green_kill(h, t);
}

static void force(struct green_thread *t, void *arg) {
  struct green_hub *h = arg;
  if (!is_other(h, t)) return;
  t->flags |= GREEN_FORCED;
  green_kill(h, t);
  green__interrupt(h, t); /* it may have been killed before */
}

/* --- waiting for them --- */

/* The grace is over. The drainer runs before all other ready threads, as each
 * of them may compute until it is forced to yield. */
static void on_grace(struct green_hub *h, struct green_timer *timer) {
  struct green_node *node = &h->drainer->node;
  (void)timer;
  if (!green_wake(h, h->drainer, GREEN_TIMEOUT)) return;
  green_list_remove(node);
  green__list_add_first(&h->ready, node);
}

/* The timer is on time: timers fire in polls, and a poll follows each turn of a
 * killed thread. */
static void wait_as_thread(struct green_hub *h, uint64_t deadline) {
  struct green_thread *self = h->hot.current;
  struct green_timer grace = {0, on_grace};
  if (green_timer_start(h, &grace, deadline) < 0) return;
  h->drainer = self;
  self->flags |= GREEN_UNINTERRUPTIBLE;
  if (others(h) > 0) green_wait(h, &drain_kind, NULL, NULL, GREEN_FOREVER);
  self->flags &= (uint8_t)~GREEN_UNINTERRUPTIBLE;
  h->drainer = NULL;
  green_timer_stop(h, &grace);
}

/* Time cannot be waited for here: when no thread is ready, the drain is
 * over. */
static void run_batches(struct green_hub *h, uint64_t deadline) {
  struct green_hub *before = green__clock_enter(h);
  while (!green__list_empty(&h->ready) && green__real(h) < deadline) {
    green__poll_done(h, 1);
    green__run_batch(h);
  }
  green__clock_leave(before);
}

static void drain_wait(struct green_hub *h) {
  uint64_t deadline = green__real(h) + h->options.grace;
  if (h->hot.current)
    wait_as_thread(h, deadline);
  else
    run_batches(h, deadline);
}

/* --- what is left behind --- */

static void report(struct green_hub *h, struct green_thread *t) {
  if (h->runtime && h->runtime->abandoned) {
    h->runtime->abandoned(h, t);
    return;
  }
  green_report("luagreen: green thread #%llu %s would not end (%s)\n",
               (unsigned long long)t->id, green_name(t),
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
  struct green_hub *h = arg;
  if (!is_other(h, t)) return;
  report(h, t);
  freeze(h, t);
}

static void retire(struct green_hub *h) {
  green_each(h, abandon, h);
  h->keep_all = 1;
  h->hot.closed = 1;
  green__resolver_shutdown(h);
  green__post_shutdown(h);
  green__bell_shutdown(h);
  green__loop_rest(h);
  if (h->options.drive != GREEN_DRIVE_MAIN) green__host_rest(h);
}

int green_drain(struct green_hub *h) {
  if (!green__at_home(h)) return UV_EPERM;
  if (!h->hot.current && (h->in_batch || h->main)) return UV_EPERM;
  if (h->hot.closed) return (int)others(h);
  /* A C library may close the Lua state from a green thread, above main's
   * frames. Then main must never run again, even when its wait ends. */
  if (h->main && h->hot.current != h->main) freeze(h, h->main);
  h->hot.draining = h->hot.current ? 1 : 2; /* 2: shields are refused */
  green_clock_thaw(h);                      /* the grace is real time */
  green_each(h, ask, h);
  drain_wait(h);
  if (others(h) > 0) {
    green_each(h, force, h);
    drain_wait(h);
  }
  if (others(h) > 0) retire(h);
  return (int)others(h);
}
