/* loop.c - a loop of the hub's own: when to poll, and for how long.
 *
 * The hub sleeps in its own epoll, which watches libuv's descriptor, too. libuv
 * runs when it says that there is something to do: uv_run() costs twice a call
 * of epoll_wait and makes one itself. It runs on a stack of the hub's, because
 * it needs 13 to 16 KB and cannot be entered twice; callbacks only mark threads
 * ready. Owns the timer that gives idle stacks back, and, on a host's loop, the
 * timer for the nearest deadline.
 *
 * The hub's stack; green__stay_awake() and green__arm_timer() run on any.
 *
 * SPDX-License-Identifier: MIT
 */
#include <limits.h>
#include <poll.h>

#include "internal.h"

/* What must be left of another stack for taking events. */
enum { CATCH_UP_STACK = 64 * 1024 };
/* A poll that took longer slept: threads that waited across it are not hot. */
enum { SLEPT_NS = 50000 };
/* After trim_ms the hub gives back idle stacks beyond KEEP_IDLE and other
 * unused memory: every TRIM_ON_MS up to TRIM_MOST stacks and TRIM_SLABS slabs
 * of records, which takes half a millisecond. */
enum { KEEP_IDLE = 16, TRIM_ON_MS = 10, TRIM_MOST = 256, TRIM_SLABS = 32 };

/* --- a loop that is not polled here --- */

void green__stay_awake(struct green_hub *h) {
  if (h->options.drive != GREEN_DRIVE_MAIN && !h->hot.closed &&
      !green__is_unplugged(h))
    uv_idle_start(&h->idle, h->idle.idle_cb);
}

/* The next batch looks at the deadline itself. The loop must be kept going
 * until then: libuv runs timers after the check phase, too (with UV_RUN_ONCE
 * always, from 1.45 on in every mode), and would find no active handle any
 * more. */
static void on_timer(uv_timer_t *timer) {
  green__stay_awake(timer->data);
}

/* The time to try again to be told of descriptors (host.c). */
static uint64_t hearing_due(struct green_hub *h) {
  enum { AGAIN_NS = 10000000 };
  if (green__likely(!h->deaf)) return GREEN_FOREVER;
  if (!h->fd_waits && !green__is_awaited(h)) return GREEN_FOREVER;
  return green__real(h) + AGAIN_NS;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* The next deadline, or the time to verify borrowed descriptors. No timer of
 * libuv's goes by a clock of the host's. */
static uint64_t next_time(struct green_hub *h) {
  uint64_t at = GREEN_FOREVER;
  if (h->heap.count && !h->options.clock) at = h->heap.at[1].deadline;
  return earlier(at, earlier(green__borrowed_due(h), hearing_due(h)));
}

/* Rounded up, so that epoll never wakes early. */
static uint64_t ms_until(struct green_hub *h, uint64_t at) {
  uint64_t now = green__real(h);
  return at > now ? (at - now + 999999) / 1000000 : 0;
}

void green__arm_timer(struct green_hub *h) {
  uint64_t at = next_time(h);
  if (at == GREEN_FOREVER) {
    if (h->timer_at != GREEN_FOREVER) uv_timer_stop(&h->timer);
  } else {
    uv_update_time(h->loop);
    uv_timer_start(&h->timer, on_timer, ms_until(h, at), 0);
  }
  h->timer_at = at;
}

/* --- libuv's turn --- */

/* Before 1.44 uv_backend_timeout() ignored handles not yet told to the
 * kernel. */
#define TELLS_ALL (1 << 16 | 44 << 8)

static int uv_timeout(struct green_hub *h) {
  int ms = uv_backend_timeout(h->loop);
  if (ms <= 0) return ms;
  uv_update_time(h->loop);
  return uv_backend_timeout(h->loop);
}

/* Lets libuv do at once what it has to do: start or close a handle, or run a
 * timer. Returns for how many ms it has nothing more to do; -1: until its
 * descriptor is ready. */
static int tend_libuv(struct green_hub *h) {
  int ms = uv_timeout(h);
  if (ms != 0 && uv_version() >= TELLS_ALL) return ms;
  uv_run(h->loop, UV_RUN_NOWAIT);
  return uv_timeout(h);
}

/* --- polling --- */

static int shorter(uint64_t ms, int uv_ms) {
  if (uv_ms >= 0 && ms > (uint64_t)uv_ms) return uv_ms;
  return ms < INT_MAX ? (int)ms : INT_MAX;
}

/* Pauses if the list cannot be replaced now, to keep the process from
 * spinning. */
static void renew(struct green_hub *h) {
  if (green__fds_renew(h) < 0) poll(NULL, 0, 1);
}

static void wait(struct green_hub *h, int ms) {
  if (green__epoll_wait(h, ms)) uv_run(h->loop, UV_RUN_NOWAIT);
  if (green__unlikely(h->epoll.stale)) renew(h);
}

/* Sleeps until something happens, but at most `ms`. Threads that libuv makes
 * ready must be noticed before the sleep. */
static void sleep_for(struct green_hub *h, uint64_t ms) {
  int uv_ms = tend_libuv(h);
  if (!green__list_empty(&h->ready) || h->chores || !green__bell_doze(h))
    ms = 0;
  wait(h, ms == GREEN_FOREVER ? uv_ms : shorter(ms, uv_ms));
  green__bell_awake(h);
}

static void poll_sleeping(struct green_hub *h) {
  uint64_t before = h->now, at = next_time(h);
  if (at > h->trim_at) at = h->trim_at;
  sleep_for(h, at == GREEN_FOREVER ? at : ms_until(h, at));
  green__read_clock(h);
  if (h->now - before > SLEPT_NS) h->hot.sleeps++;
  h->idle_ns += h->now - before;
}

/* Takes the events that have come already. It is free if nothing is watched. */
static void pass(struct green_hub *h) {
  if (h->uses_libuv) tend_libuv(h);
  if (h->uses_libuv || h->armed_fds) wait(h, 0);
  green__bell_hear(h);
}

/* Polls while threads are ready. Polling must not take more than a 16th of the
 * time: each poll reports 1,000 busy descriptors again until they are read,
 * which took a tenth of an echo server's throughput. */
static void poll_passing(struct green_hub *h) {
  uint64_t before = h->now, most = h->options.poll_ms * UINT64_C(4000000);
  pass(h);
  green__read_clock(h);
  h->poll_ns += h->now - before;
  h->poll_pause = (h->now - before) * 16;
  if (h->poll_pause > most) h->poll_pause = most;
}

/* The events of one call take 12 KB. libuv's turn comes with the next poll,
 * which the kernel tells of again. */
void green__catch_up(struct green_hub *h) {
  green__read_clock(h);
  green__timers_fire(h, h->now);
  if (h->armed_fds && green_stack_left(h) > CATCH_UP_STACK)
    green__epoll_wait(h, 0);
}

/* How long virtual time waits, in real time, for events from outside. A request
 * under way in another OS thread is certain to be answered. */
static uint64_t patience(const struct green_hub *h) {
  if (h->external == 0 && !green__is_awaited(h)) return 0;
  return h->busy ? 100 * h->quiet : h->quiet;
}

/* The clock is frozen and no thread is ready. Events that have come already go
 * first, then events that come soon, then the next deadline. */
static void poll_frozen(struct green_hub *h) {
  uint64_t start = uv_hrtime(), passed = 0;
  green__borrowed_verify(h);
  pass(h);
  while (green__list_empty(&h->ready) && passed < patience(h)) {
    green__fds_reconcile(h); /* or an event that nobody waits for ends each
                                sleep */
    sleep_for(h, (patience(h) - passed + 999999) / 1000000);
    passed = uv_hrtime() - start;
  }
  if (green__list_empty(&h->ready) && h->heap.count)
    green__clock_jump(h->heap.at[1].deadline);
  green__read_clock(h);
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

/* --- surplus memory is given back some time later ---
 *
 * A hub with its own loop, or in steps, looks at the time. A hub on a host's
 * loop has a timer, which does not keep the loop alive. */

static int trim(struct green_hub *h) {
  int more = green__stacks_trim(h, KEEP_IDLE, TRIM_MOST);
  more |= green__records_trim(h, TRIM_SLABS);
  green__heap_trim(h);
  return more;
}

static int has_surplus(const struct green_hub *h) {
  if (green__likely(h->stacks.idle_count <= KEEP_IDLE &&
                    h->idle_records == 0 && h->heap.room <= 64))
    return 0;
  return green__stacks_surplus(h, KEEP_IDLE) || green__records_surplus(h) ||
         green__heap_surplus(h);
}

static uint64_t in_ms(const struct green_hub *h, uint64_t ms) {
  return h->real + ms * 1000000;
}

static void trim_by_time(struct green_hub *h) {
  if (h->trim_at == GREEN_FOREVER) {
    if (has_surplus(h)) h->trim_at = in_ms(h, h->trim_ms);
  } else if (h->real >= h->trim_at) {
    h->trim_at = trim(h) ? in_ms(h, TRIM_ON_MS) : GREEN_FOREVER;
  }
}

static void on_trim(uv_timer_t *timer) {
  if (trim(timer->data)) uv_timer_start(timer, on_trim, TRIM_ON_MS, 0);
}

static void trim_by_timer(struct green_hub *h) {
  if (!has_surplus(h) || uv_is_active((void *)&h->trim)) return;
  uv_update_time(h->loop);
  uv_timer_start(&h->trim, on_trim, h->trim_ms, 0);
}

void green__tend_surplus(struct green_hub *h) {
  if (h->options.drive == GREEN_DRIVE_LOOP)
    trim_by_timer(h);
  else
    trim_by_time(h);
}

/* --- going round --- */

static void go_round(struct green_hub *h) {
  uint32_t sleeps = h->hot.sleeps;
  if (green__unlikely(h->watching)) green__watch_polls(h);
  green__fds_reconcile(h);
  if (green__unlikely(h->laggards != NULL)) green__ports_catch_up(h);
  green__read_clock(h);
  green__timers_fire(h, h->now);
  green__tend_surplus(h);
  /* The kernel reports nothing of a descriptor that somebody closed. */
  if (green__list_empty(&h->ready) && h->real >= green__borrowed_due(h))
    green__borrowed_verify(h);
  if (!green__list_empty(&h->ready) || h->chores) {
    poll_passing(h);
  } else if (h->heap.count + h->external == 0 && !green__is_awaited(h)) {
    stuck(h);
  } else if (h->frozen && h->heap.count) {
    poll_frozen(h);
  } else {
    poll_sleeping(h);
  }
  green__timers_fire(h, h->now);
  if (green__unlikely(h->trace != NULL))
    green__trace_polled(h, h->hot.sleeps != sleeps);
  green__poll_done(h, h->hot.sleeps != sleeps);
}

static void hub_main(void *stack) {
  struct green_hub *h = ((struct green__stack *)stack)->hub;
  green__rests(h, 1);
  for (;;) {
    go_round(h);
    green__run_batch(h);
  }
}

/* uv_run needs 16 KB, events 12; chores may need as much as a thread. */
int green__hub_stack(struct green_hub *h) {
  h->hub_stack = green__stack_single(h, green_stack_default(), hub_main);
  return h->hub_stack ? 0 : UV_ENOMEM;
}

/* --- handles --- */

static void on_check(uv_check_t *check) {
  (void)check;
}

/* uv_backend_timeout() answers only while some handle is active and ref'd.
 * tend_libuv() makes libuv register its descriptors now, when time does not
 * matter. */
static void keep_libuv_alive(struct green_hub *h) {
  uv_check_init(h->loop, &h->check);
  green__handle_opened(h, &h->check);
  uv_check_start(&h->check, on_check);
  uv_ref((uv_handle_t *)&h->check);
  tend_libuv(h);
}

void green__loop_open(struct green_hub *h) {
  if (h->options.drive == GREEN_DRIVE_MAIN) {
    keep_libuv_alive(h);
    return;
  }
  uv_timer_init(h->loop, &h->trim);
  green__handle_opened(h, &h->trim);
  uv_timer_init(h->loop, &h->timer);
  green__handle_opened(h, &h->timer);
  uv_ref((uv_handle_t *)&h->timer); /* active only while a deadline is armed */
}

void green__loop_rest(struct green_hub *h) {
  if (h->options.drive == GREEN_DRIVE_MAIN) return;
  if (green__is_unplugged(h)) return;
  uv_timer_stop(&h->trim);
  uv_timer_stop(&h->timer);
}

void green__loop_close(struct green_hub *h) {
  if (h->options.drive == GREEN_DRIVE_MAIN) {
    green__close_handle(h, &h->check, green__handle_closed);
    return;
  }
  green__close_handle(h, &h->trim, green__handle_closed);
  green__close_handle(h, &h->timer, green__handle_closed);
}
