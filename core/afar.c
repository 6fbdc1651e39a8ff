/* afar.c - what another OS thread may know of a hub that computes or rests.
 *
 * A watchdog looks at a hub from an OS thread of its own. It must not wake an
 * idle process, so the hub tells when it rests (while it polls, or while the
 * host's loop has its turn), and wakes the watchdog when it goes on, if that
 * sleeps: see struct green_rest. All else is read without the hub's help, and
 * may be wrong by the time that it is used.
 *
 * The first runs on the hub's OS thread, green_afar() on any, while the hub is
 * open.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"
#include "sanitizers.h"

/* The two stores and loads, here and in the watchdog, are in one order: either
 * the watchdog sees that the hub works, or the hub that the watchdog sleeps. */
void green__tell_rest(struct green_hub *h, int rests) {
  struct green_rest *r = h->rest;
  __atomic_store_n(&r->rests, rests, __ATOMIC_SEQ_CST);
  if (!rests && __atomic_load_n(&r->asleep, __ATOMIC_SEQ_CST)) r->wake(r);
}

void green_tell_rest(struct green_hub *h, struct green_rest *rest) {
  h->rest = rest;
}

/* Memory of records stays mapped while the hub is open. */
UNSEEN uint64_t green_afar(const struct green_hub *h, uint64_t *id) {
  const struct green_thread *t =
      *(struct green_thread *const volatile *)&h->hot.current;
  *id = t ? *(const volatile uint64_t *)&t->id : 0;
  return *(const volatile uint64_t *)&h->switches;
}
