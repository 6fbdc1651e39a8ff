/* host.c - on a loop of the host's, and in steps.
 *
 * On a host's loop the ready threads run in batches from a prepare handle
 * (after timers) and a check handle (after I/O), and an idle handle is active
 * only while threads are ready. With green_step() the host decides when.
 *
 * The host's stack, outside of any batch.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

/* uv_run looks after each phase whether anything is alive: what threads wait
 * for must be known to the loop whenever a batch has ended. */
static void tell_host(struct green_hub *h) {
  green__fds_reconcile(h);
  green__arm_timer(h);
  if (green__list_empty(&h->ready))
    uv_idle_stop(&h->idle);
  else
    uv_idle_start(&h->idle, h->idle.idle_cb);
}

static void batch(struct green_hub *h) {
  if (h->in_batch || h->hot.closed) return;
  h->now = green_now();
  green__timers_fire(h, h->now);
  green__run_batch(h);
  green__poll_done(h);
  tell_host(h);
}

static void on_prepare(uv_prepare_t *prepare) {
  struct green_hub *h = prepare->data;
  batch(h);
  green__watch_surplus(h);
}

static void on_check(uv_check_t *check) {
  struct green_hub *h = check->data;
  h->hot.sleeps++; /* the host's loop: assume that it slept */
  batch(h);
}

static void on_idle(uv_idle_t *idle) {
  (void)idle;
}

int green_step(struct green_hub *h, uint32_t budget) {
  if (h->hot.current || h->in_batch) return UV_EPERM;
  if (budget == 0 || budget > h->options.poll_switches)
    budget = h->options.poll_switches;
  green__fds_reconcile(h);
  if (h->own) uv_run(h->loop, UV_RUN_NOWAIT);
  h->now = green_now();
  green__timers_fire(h, h->now);
  green__poll_done(h);
  green__limit_batch(h, budget);
  green__run_batch(h);
  if (h->options.drive == GREEN_DRIVE_LOOP) tell_host(h);
  return !green__list_empty(&h->ready);
}

void green__host_open(struct green_hub *h) {
  if (h->options.drive != GREEN_DRIVE_LOOP) return;
  uv_prepare_init(h->loop, &h->prepare);
  green__handle_opened(h, &h->prepare);
  uv_prepare_start(&h->prepare, on_prepare);
  uv_check_init(h->loop, &h->check);
  green__handle_opened(h, &h->check);
  uv_check_start(&h->check, on_check);
  uv_idle_init(h->loop, &h->idle);
  green__handle_opened(h, &h->idle);
  uv_ref((uv_handle_t *)&h->idle);
  h->idle.idle_cb = on_idle;
}

void green__host_close(struct green_hub *h) {
  if (h->options.drive != GREEN_DRIVE_LOOP) return;
  uv_close((uv_handle_t *)&h->prepare, green__handle_closed);
  uv_close((uv_handle_t *)&h->check, green__handle_closed);
  uv_close((uv_handle_t *)&h->idle, green__handle_closed);
}
