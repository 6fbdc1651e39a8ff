/* account.c - what each thread costs: switches, time spent running, time spent
 * waiting.
 *
 * The figures live in the thread's cold block and change only at switches, in
 * the scheduler's slow path, which each switch takes while accounting is on.
 * Running is measured in real time, even while the clock is frozen, because a
 * thread that computes takes real time. Waiting is measured in the hub's time.
 *
 * Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "internal.h"

void green__account_left(struct green_hub *h, struct green_thread *t) {
  struct green__cold *cold = green__cold(h, t);
  uint64_t now = uv_hrtime();
  if (!cold) return; /* no memory: uncounted */
  cold->account.running += now - h->went_on;
  h->went_on = now;
  cold->left = t->state == GREEN_BLOCKED ? h->now : 0;
}

void green__account_next(struct green_hub *h, struct green_thread *t) {
  struct green__cold *cold = green__cold(h, t);
  h->went_on = uv_hrtime();
  if (!cold) return;
  cold->account.switches++;
  if (cold->left) cold->account.blocked += h->now - cold->left;
  cold->left = 0;
}

/* Waits that began while nobody counted stay uncounted. */
static void forget_wait(struct green_thread *t, void *arg) {
  (void)arg;
  if (t->cold) t->cold->left = 0;
}

void green_accounting(struct green_hub *h, int on) {
  if (!h->accounting == !on) return;
  if (on)
    green_each(h, forget_wait, NULL);
  else if (h->hot.current)
    green__account_left(h, h->hot.current);
  h->accounting = on != 0;
  h->went_on = uv_hrtime();
  h->tick = 1;
}

int green_accounts(struct green_hub *h) {
  return h->accounting;
}

static void add_current(struct green_hub *h, const struct green_thread *t,
                        struct green_account *account) {
  if (t == h->hot.current)
    account->running += uv_hrtime() - h->went_on;
  else if (t->cold && t->cold->left)
    account->blocked += green_time(h) - t->cold->left;
}

void green_account_sized(struct green_hub *h, const struct green_thread *t,
                         struct green_account *account, size_t size) {
  struct green_account all = {0, 0, 0, 0};
  if (t->cold) all = t->cold->account;
  if (h->accounting) add_current(h, t, &all);
  green__give_sized(account, size, &all, sizeof all);
}
