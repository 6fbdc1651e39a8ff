/* loop.c - a loop of the hub's own: when to poll, and for how long.
 *
 * uv_run() runs on a stack of the hub's own, because it needs 13 to 16 KB of
 * it and cannot be entered twice; callbacks only mark threads ready. Owns the
 * timer that is armed for the nearest deadline, and the one that gives idle
 * stacks back; both serve a host's loop, too.
 *
 * The hub's stack, but green__stay_awake() and green__arm_timer(): any.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

/* uv_run needs 16 KB; the rest is for printing from callbacks. */
enum { HUB_STACK_SIZE = 256 * 1024 };
/* A poll that took longer slept: threads that waited across it are not hot. */
enum { SLEPT_NS = 50000 };
/* Idle stacks beyond this many are trimmed after TRIM_MS. */
enum { KEEP_IDLE = 16, TRIM_MS = 5000 };

/* uv_run(UV_RUN_ONCE) runs timers first and then sleeps even if one of them was
 * due; only a stopped loop does not. Whatever a callback makes ready, or a
 * deadline that is over by then, must be seen before. */
static void do_not_sleep(struct green_hub *h) {
  if (h->polling) uv_stop(h->loop);
}

void green__stay_awake(struct green_hub *h) {
  if (h->options.drive == GREEN_DRIVE_MAIN)
    do_not_sleep(h);
  else if (!h->closing)
    uv_idle_start(&h->idle, h->idle.idle_cb);
}

/* The deadline itself is looked at by whoever runs next. On a loop that is not
 * ours to run, the loop must be kept going until then: libuv runs timers after
 * the check phase, too (with UV_RUN_ONCE always, from 1.45 on in every mode),
 * and would find nothing active any more. */
static void on_timer(uv_timer_t *timer) {
  green__stay_awake(timer->data);
}

/* Arms the uv_timer for the root of the heap. The loop's clock is refreshed
 * and the remainder rounded up, so epoll never wakes early. */
void green__arm_timer(struct green_hub *h) {
  uint64_t at = h->heap.count ? h->heap.at[1].deadline : GREEN_FOREVER;
  uint64_t now;
  if (at == GREEN_FOREVER) {
    if (h->timer_at != GREEN_FOREVER) uv_timer_stop(&h->timer);
  } else {
    uv_update_time(h->loop);
    now = green_now();
    uv_timer_start(&h->timer, on_timer,
                   at > now ? (at - now + 999999) / 1000000 : 0, 0);
  }
  h->timer_at = at;
}

static void poll_sleeping(struct green_hub *h) {
  uint64_t before = h->now;
  green__arm_timer(h);
  h->polling = 1;
  uv_run(h->loop, UV_RUN_ONCE);
  h->polling = 0;
  h->now = green_now();
  if (h->now - before > SLEPT_NS) h->hot.sleeps++;
  h->idle_ns += h->now - before;
}

/* With threads ready: what is there already. Polling must not take more than a
 * 16th of the time: 1,000 busy descriptors are reported again at each poll
 * until they are read, which took a tenth of an echo server's throughput. */
static void poll_passing(struct green_hub *h) {
  uint64_t before = h->now, most = h->options.poll_ms * UINT64_C(4000000);
  uv_run(h->loop, UV_RUN_NOWAIT);
  h->now = green_now();
  h->poll_pause = (h->now - before) * 16;
  if (h->poll_pause > most) h->poll_pause = most;
}

/* Really sleeps, but no longer than that. */
static void poll_quietly(struct green_hub *h, uint64_t ns) {
  uv_update_time(h->loop);
  uv_timer_start(&h->timer, on_timer, (ns + 999999) / 1000000, 0);
  h->timer_at = 0; /* armed, for no deadline */
  h->polling = 1;
  uv_run(h->loop, UV_RUN_ONCE);
  h->polling = 0;
}

/* How long what is outside may take, in real time, before virtual time goes
 * on. A request under way in another OS thread does get its answer. */
static uint64_t patience(const struct green_hub *h) {
  if (h->external == 0) return 0;
  return h->busy ? 100 * h->quiet : h->quiet;
}

/* The clock stands still and nobody is ready: what is there already comes
 * first, then what comes soon, then the next deadline. */
static void poll_frozen(struct green_hub *h) {
  uint64_t start = uv_hrtime(), passed = 0;
  uv_run(h->loop, UV_RUN_NOWAIT);
  while (green__list_empty(&h->ready) && passed < patience(h)) {
    poll_quietly(h, patience(h) - passed);
    passed = uv_hrtime() - start;
  }
  if (green__list_empty(&h->ready) && h->heap.count)
    green__clock_jump(h->heap.at[1].deadline);
  h->now = green_now();
  h->hot.sleeps++;
}

/* Nothing is ready and nothing outside can change that. */
static void stuck(struct green_hub *h) {
  if (h->drainer) {
    green_wake(h, h->drainer, GREEN_DEADLOCK);
  } else {
    if (h->runtime && h->runtime->deadlock) h->runtime->deadlock(h);
    green_wake(h, h->main, GREEN_DEADLOCK);
  }
}

/* --- surplus stacks are given back by a timer that is armed only then --- */

static void on_trim(uv_timer_t *timer) {
  green__stacks_trim(timer->data, KEEP_IDLE);
}

void green__watch_surplus(struct green_hub *h) {
  if (h->stacks.idle_count <= KEEP_IDLE || uv_is_active((void *)&h->trim) ||
      !green__stacks_surplus(h, KEEP_IDLE))
    return;
  uv_timer_start(&h->trim, on_trim, TRIM_MS, 0);
}

/* --- going round --- */

static void poll(struct green_hub *h) {
  uint32_t sleeps = h->hot.sleeps;
  green__fds_reconcile(h);
  h->now = green_now();
  green__timers_fire(h, h->now);
  if (!green__list_empty(&h->ready)) {
    poll_passing(h);
  } else if (h->heap.count + h->external == 0) {
    stuck(h);
  } else {
    green__watch_surplus(h);
    if (h->frozen && h->heap.count)
      poll_frozen(h);
    else
      poll_sleeping(h);
  }
  green__timers_fire(h, h->now);
  green__poll_done(h, h->hot.sleeps != sleeps);
}

static void hub_main(void *stack) {
  struct green_hub *h = ((struct green__stack *)stack)->hub;
  for (;;) {
    poll(h);
    green__run_batch(h);
  }
}

int green__hub_stack(struct green_hub *h) {
  h->hub_stack = green__stack_single(h, HUB_STACK_SIZE, hub_main);
  return h->hub_stack ? 0 : UV_ENOMEM;
}

/* --- handles --- */

void green__loop_open(struct green_hub *h) {
  uv_timer_init(h->loop, &h->timer);
  green__handle_opened(h, &h->timer);
  uv_ref((uv_handle_t *)&h->timer); /* active only while a deadline is armed */
  uv_timer_init(h->loop, &h->trim);
  green__handle_opened(h, &h->trim);
}

void green__loop_close(struct green_hub *h) {
  uv_close((uv_handle_t *)&h->timer, green__handle_closed);
  uv_close((uv_handle_t *)&h->trim, green__handle_closed);
}
