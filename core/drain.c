/* drain.c - all other threads are ended: the hub closes.
 *
 * They are killed and have the grace to clean up; those that live on are
 * forced and have it again; what still lives then is reported and left behind.
 * One thread waits for all that, or, on a host's loop, nobody does: there the
 * drain runs batches, as long as somebody is ready.
 *
 * The main thread's stack, or the host's.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

static const struct green_wait_kind drain_kind = {"drain", NULL, NULL};

static uint32_t others(struct green_hub *h) {
  uint32_t n = h->live;
  if (h->hot.current || h->drainer) n--;
  if (h->main && h->main != h->drainer && h->main != h->hot.current) n--;
  return n;
}

void green__drain_check(struct green_hub *h) {
  if (h->drainer && others(h) == 0) green_wake(h, h->drainer, GREEN_WOKEN);
}

/* What is owed to an ended thread still runs: its links, its error report. */
static void ask(struct green_thread *t, void *arg) {
  struct green_hub *h = arg;
  if (t->flags & GREEN_OWED) return;
  if (t != h->main && t != h->hot.current) green_kill(h, t);
}

static void force(struct green_thread *t, void *arg) {
  struct green_hub *h = arg;
  if (t == h->main || t == h->hot.current) return;
  t->flags |= GREEN_FORCED;
  green_kill(h, t);
  green__interrupt(h, t);
}

/* Runs the others until they have ended, the grace is over, or none of them
 * can go on. On a host's loop nobody can wait for time: batches only. */
static void drain_wait(struct green_hub *h) {
  struct green_thread *self = h->hot.current;
  uint64_t deadline = green_now() + h->options.grace;
  if (!self) {
    while (!green__list_empty(&h->ready) && green_now() < deadline) {
      green__poll_done(h, 1);
      green__run_batch(h);
    }
    return;
  }
  h->drainer = self;
  self->flags |= GREEN_DEAF;
  if (others(h) > 0) green_wait(h, &drain_kind, NULL, NULL, deadline);
  self->flags &= (uint8_t)~GREEN_DEAF;
  h->drainer = NULL;
}

static void abandon(struct green_thread *t, void *arg) {
  struct green_hub *h = arg;
  if (t == h->main || t == h->hot.current) return;
  if (h->runtime && h->runtime->abandoned) {
    h->runtime->abandoned(h, t);
    return;
  }
  green_report("luagreen: green thread #%llu %s would not end (%s)\n",
               (unsigned long long)t->id, green_name(t),
               t->state == GREEN_BLOCKED ? t->kind->name : green_status(t));
}

/* The drain runs above main's frames (a C library closes the Lua state from a
 * green thread): main must never run again, whatever it waits for. */
static void freeze_main(struct green_hub *h) {
  struct green_thread *t = h->main;
  if (t->state == GREEN_BLOCKED) green__wait_end(h, t);
  if (t->node.link.next) {
    green_list_remove(&t->node);
    h->hot.ready--;
  }
  t->state = GREEN_READY; /* in no queue, and no wake-up puts it there */
}

int green_drain(struct green_hub *h) {
  if (!green__at_home(h)) return UV_EPERM;
  if (!h->hot.current && (h->in_batch || h->main)) return UV_EPERM;
  if (h->main && h->hot.current != h->main) freeze_main(h);
  h->hot.draining = h->hot.current ? 1 : 2; /* 2: shields are refused */
  green_each(h, ask, h);
  drain_wait(h);
  if (others(h) > 0) {
    green_each(h, force, h);
    drain_wait(h);
  }
  green_each(h, abandon, h);
  return (int)others(h);
}
