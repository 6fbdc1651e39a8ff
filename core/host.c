/* host.c - runs a hub on a host's loop, or in steps.
 *
 * On a host's loop the ready threads run in batches from a prepare handle
 * (after timers) and a check handle (after I/O). With green_step() the host
 * decides when. After each batch the loop must know the state of the hub: it
 * must be alive while a thread can go on, and its next timeout must be the
 * nearest deadline, or 0 while threads are ready, for which there is an idle
 * handle. The loop watches one descriptor for all of the hub's: its epoll.
 *
 * The host's stack, outside of any batch.
 *
 * SPDX-License-Identifier: MIT
 */
#include <limits.h>

#include "internal.h"

int green__is_unplugged(struct green_hub *h) {
  return uv_is_closing((uv_handle_t *)&h->idle);
}

/* --- descriptors --- */

static void on_watch(uv_poll_t *watch, int status, int events);

static int start_watch(struct green_hub *h) {
  int r = green__libuv_has_memory(h->epoll.fd);
  h->deaf = 1;
  if (r < 0) return r;
  uv_poll_start(&h->watch, UV_READABLE, on_watch);
  r = green__libuv_register(h->loop, h->epoll.fd);
  if (r < 0)
    uv_poll_stop(&h->watch);
  else
    h->deaf = 0;
  return r;
}

/* The loop's copy of the descriptor is stale when the hub's list is new. At the
 * kernel's limit the loop may be refused the new one; green__tell_host() tries
 * again. */
static void renew(struct green_hub *h) {
  if (green__is_unplugged(h)) return;
  uv_poll_stop(&h->watch);
  green__fds_renew(h);
  start_watch(h);
}

static void take_events(struct green_hub *h) {
  green__epoll_wait(h, 0);
  green__bell_awake(h);
  if (green__unlikely(h->epoll.stale)) renew(h);
}

static void on_watch(uv_poll_t *watch, int status, int events) {
  (void)status, (void)events;
  take_events(watch->data);
}

/* --- batches --- */

void green__tell_host(struct green_hub *h) {
  if (green__unlikely(green__is_unplugged(h))) return;
  if (green__unlikely(h->deaf)) start_watch(h);
  green__fds_reconcile(h);
  if (green__unlikely(h->laggards != NULL)) green__ports_catch_up(h);
  if (green__real(h) >= green__borrowed_due(h)) green__borrowed_verify(h);
  green__arm_timer(h);
  green__tend_surplus(h);
  if (h->fd_waits || green__is_awaited(h))
    uv_ref((uv_handle_t *)&h->watch);
  else
    uv_unref((uv_handle_t *)&h->watch);
  if (green__list_empty(&h->ready))
    uv_idle_stop(&h->idle);
  else
    uv_idle_start(&h->idle, h->idle.idle_cb);
}

/* The trace is told of a poll before the batch, other watchers after it. */
static void run(struct green_hub *h) {
  if (green__unlikely(h->trace != NULL)) green__trace_polled(h, 1);
  green__run_batch(h);
  if (green__unlikely(h->watching)) green__watch_polls(h);
}

static void batch(struct green_hub *h) {
  struct green_hub *before;
  if (h->in_batch || h->hot.closed) return;
  before = green__clock_enter(h);
  green__read_clock(h);
  h->last_poll = h->real; /* what the host's callbacks took is not ours */
  green__timers_fire(h, h->now);
  run(h);
  green__poll_done(h, 1); /* the host had its turn: assume that it slept */
  green__clock_leave(before);
  green__tell_host(h);
}

static void on_prepare(uv_prepare_t *prepare) {
  batch(prepare->data);
}

static void on_check(uv_check_t *check) {
  struct green_hub *h = check->data;
  h->hot.sleeps++; /* as above */
  batch(h);
}

static void on_idle(uv_idle_t *idle) {
  (void)idle;
}

/* A host's loop is left alone: its callbacks do not expect to run here, and it
 * may be running. in_batch refuses a callback that calls green_step(), as it
 * refuses a thread. */
static void poll(struct green_hub *h) {
  h->in_batch = 1;
  if (h->own) {
    uv_run(h->loop, UV_RUN_NOWAIT);
  } else {
    take_events(h);
    green__posts_hear(h);
  }
  h->in_batch = 0;
}

/* Polls once and makes at most `most` switches. Returns how many it made. */
static uint64_t poll_and_run(struct green_hub *h, uint64_t most) {
  uint64_t before = h->switches;
  green__fds_reconcile(h);
  poll(h);
  green__read_clock(h);
  green__timers_fire(h, h->now);
  if (green__unlikely(h->graces != NULL)) green__graces_check(h);
  green__poll_done(h, 0);
  if (most < h->options.poll_switches) green__start_batch(h, (uint32_t)most);
  run(h);
  return h->switches - before;
}

static int may_step(const struct green_hub *h) {
  return green__at_home(h) && !h->hot.closed && !h->hot.current &&
         !h->in_batch && !h->main;
}

/* For the host, too, what happens in a step happens at the hub's time. */
static int step(struct green_hub *h, uint64_t most, int again) {
  struct green_hub *before;
  if (!may_step(h)) return UV_EPERM;
  before = green__clock_enter(h);
  do most -= poll_and_run(h, most);
  while (again && most && !green__list_empty(&h->ready) &&
         h->real < h->stop_at);
  green__clock_leave(before);
  green__tell_host(h);
  return !green__list_empty(&h->ready);
}

int green_step(struct green_hub *h, uint32_t budget) {
  return budget ? step(h, budget, 1) : step(h, h->options.poll_switches, 0);
}

int green_step_for(struct green_hub *h, uint64_t ns, uint32_t switches) {
  uint64_t now;
  int r;
  if (!may_step(h)) return UV_EPERM;
  now = green__real(h);
  h->stop_at = ns < GREEN_FOREVER - now ? now + ns : GREEN_FOREVER;
  h->stepped = h->switches;
  r = step(h, switches ? switches : UINT64_MAX, 1);
  h->stop_at = GREEN_FOREVER;
  return r;
}

/* --- when to step next --- */

/* In how many ns libuv has something to do. Without active handles it would
 * say 0. */
static uint64_t uv_next(struct green_hub *h) {
  int ms;
  if (!uv_loop_alive(h->loop)) return GREEN_FOREVER;
  uv_update_time(h->loop);
  ms = uv_backend_timeout(h->loop);
  return ms < 0 ? GREEN_FOREVER : (uint64_t)ms * 1000000;
}

/* In how many ns something is due that goes by real time. */
static uint64_t real_next(struct green_hub *h) {
  uint64_t after = uv_next(h), now, due;
  if (green__likely(h->graces == NULL)) return after;
  now = green__real(h);
  due = green__graces_next(h);
  if (due <= now) return 0;
  return due - now < after ? due - now : after;
}

/* libuv counts whole ms, and may tell of the hub's own timer up to one too
 * early. Its timers do not go by a clock of the host's: that one is taken to
 * run like the real one. */
uint64_t green_next(struct green_hub *h) {
  enum { MS = 1000000 };
  uint64_t now, at, after;
  if (!green__at_home(h) || h->hot.closed || h->main) return GREEN_FOREVER;
  if (!green__list_empty(&h->ready) || h->chores) return 0;
  after = real_next(h);
  now = green_time(h);
  at = h->heap.count ? h->heap.at[1].deadline : GREEN_FOREVER;
  if (at <= now) return 0;
  if (after >= at - now || at - now - after < MS) return at;
  return after ? now + after : 0;
}

/* Rounded up, or the host would ask again and again during the last one. */
int green_next_ms(struct green_hub *h) {
  enum { MS = 1000000 };
  uint64_t at = green_next(h), now, ms;
  if (at == GREEN_FOREVER) return -1;
  now = green_time(h);
  if (at <= now) return 0;
  ms = (at - now - 1) / MS + 1;
  return ms < INT_MAX ? (int)ms : INT_MAX;
}

int green_poll_fd(struct green_hub *h) {
  if (!green__at_home(h)) return UV_EPERM;
  return h->main || h->hot.closed ? UV_EINVAL : uv_backend_fd(h->loop);
}

/* --- handles --- */

static void open_on_loop(struct green_hub *h) {
  uv_prepare_init(h->loop, &h->prepare);
  green__handle_opened(h, &h->prepare);
  uv_prepare_start(&h->prepare, on_prepare);
  uv_check_init(h->loop, &h->check);
  green__handle_opened(h, &h->check);
  uv_check_start(&h->check, on_check);
}

int green__host_open(struct green_hub *h) {
  int r = uv_poll_init(h->loop, &h->watch, h->epoll.fd);
  if (r == 0) green__handle_opened(h, &h->watch);
  uv_idle_init(h->loop, &h->idle);
  green__handle_opened(h, &h->idle);
  uv_ref((uv_handle_t *)&h->idle); /* active only while threads are ready */
  h->idle.idle_cb = on_idle;
  if (h->options.drive == GREEN_DRIVE_LOOP) open_on_loop(h);
  return r < 0 ? r : start_watch(h);
}

void green__host_rest(struct green_hub *h) {
  if (green__is_unplugged(h)) return;
  uv_poll_stop(&h->watch);
  uv_idle_stop(&h->idle);
  if (h->options.drive != GREEN_DRIVE_LOOP) return;
  uv_prepare_stop(&h->prepare);
  uv_check_stop(&h->check);
}

void green__host_close(struct green_hub *h) {
  if (h->watch.data) green__close_handle(h, &h->watch, green__handle_closed);
  green__close_handle(h, &h->idle, green__handle_closed);
  if (h->options.drive != GREEN_DRIVE_LOOP) return;
  green__close_handle(h, &h->prepare, green__handle_closed);
  green__close_handle(h, &h->check, green__handle_closed);
}
