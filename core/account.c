/* account.c - the costs of each thread: switches, time spent running, time
 * spent waiting.
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

void green__account_left(struct green_hub *h, struct green_thread *t,
                         uint64_t now) {
  struct green__cold *cold = green__cold(h, t);
  if (!cold) return; /* no memory: uncounted */
  if (h->watching & GREEN__ACCOUNTS) cold->account.running += now - h->went_on;
  if (h->ran) h->ran(h, t, now - h->went_on);
  h->went_on = now;
  cold->left = t->state == GREEN_BLOCKED ? h->now : 0;
  cold->queued = t->state == GREEN_READY ? now : 0;
}

void green__account_ready(struct green_hub *h, struct green_thread *t) {
  struct green__cold *cold = green__cold(h, t);
  if (cold) cold->queued = uv_hrtime();
}

static void count_turn(struct green__cold *cold, uint64_t now) {
  cold->account.switches++;
  if (cold->queued) cold->account.queued += now - cold->queued;
  cold->queued = 0;
}

void green__account_next(struct green_hub *h, struct green_thread *t,
                         uint64_t now) {
  struct green__cold *cold = t->cold;
  uint64_t waited;
  h->went_on = now;
  if (h->watching & GREEN__ACCOUNTS && (cold = green__cold(h, t)))
    count_turn(cold, now);
  if (!cold || !cold->left) return;
  waited = h->now - cold->left;
  cold->left = 0;
  if (h->watching & GREEN__ACCOUNTS) cold->account.blocked += waited;
  if (h->waited) h->waited(h, t, waited);
}

/* Waits that began while nobody counted stay uncounted. */
static void forget_wait(struct green_thread *t, void *arg) {
  (void)arg;
  if (t->cold) t->cold->left = t->cold->queued = 0;
}

static void begin(struct green_hub *h) {
  green_each(h, forget_wait, NULL);
  h->went_on = uv_hrtime();
}

static void count(struct green_hub *h, int on) {
  if (!green_accounts(h) == !on) return;
  if (!on && h->hot.current)
    green__account_left(h, h->hot.current, uv_hrtime());
  if (on && !h->waited) begin(h);
  h->went_on = uv_hrtime();
  green__watch(h, GREEN__ACCOUNTS, on);
}

void green_accounting(struct green_hub *h, int on) {
  h->accounts = on != 0;
  count(h, h->accounts || h->measurers);
}

void green_measure(struct green_hub *h, int on) {
  assert(on || h->measurers > 0);
  h->measurers += on ? 1 : UINT32_MAX;
  count(h, h->accounts || h->measurers);
}

void green_watch_waits(struct green_hub *h,
                       void (*waited)(struct green_hub *hub,
                                      struct green_thread *thread,
                                      uint64_t ns),
                       void (*ran)(struct green_hub *hub,
                                   struct green_thread *thread, uint64_t ns)) {
  if (waited && !green_accounts(h)) begin(h);
  h->waited = waited;
  h->ran = ran;
  green__watch(h, GREEN__WAITS, waited != NULL);
}

int green_accounts(struct green_hub *h) {
  return h->watching & GREEN__ACCOUNTS;
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
  struct green_account all = {0, 0, 0, 0, 0};
  if (t->cold) all = t->cold->account;
  if (green_accounts(h)) add_current(h, t, &all);
  green__give_sized(account, size, &all, sizeof all);
}
