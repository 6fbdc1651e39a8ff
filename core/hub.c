/* hub.c - the loop, and the life of a hub.
 *
 * Owns the uv_loop_t's side: when to poll, for how long, who makes the hub go
 * round. With a loop of its own, uv_run() runs on a stack of the hub's own,
 * because it needs 13 to 16 KB of it and cannot be entered twice; callbacks
 * only mark threads ready. On a host's loop the ready threads run in batches
 * from a prepare handle (after timers) and a check handle (after I/O), and an
 * idle handle is active only while threads are ready.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "switch.h"

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

static void on_timer(uv_timer_t *timer) {
  do_not_sleep(timer->data);
}

void green__stay_awake(struct green_hub *h) {
  if (h->options.drive != GREEN_DRIVE_LOOP)
    do_not_sleep(h);
  else if (!h->closing)
    uv_idle_start(&h->idle, h->idle.idle_cb);
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

static void watch_surplus(struct green_hub *h);

static void poll(struct green_hub *h) {
  green__fds_reconcile(h);
  h->now = green_now();
  green__timers_fire(h, h->now);
  if (!green__list_empty(&h->ready)) {
    poll_passing(h);
  } else if (h->heap.count + h->external == 0) {
    stuck(h);
  } else {
    watch_surplus(h);
    if (h->frozen && h->heap.count)
      poll_frozen(h);
    else
      poll_sleeping(h);
  }
  green__timers_fire(h, h->now);
  green__poll_done(h);
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

/* --- surplus stacks are given back by a timer that is armed only then --- */

static void on_trim(uv_timer_t *timer) {
  green__stacks_trim(timer->data, KEEP_IDLE);
}

static void watch_surplus(struct green_hub *h) {
  if (h->stacks.idle_count <= KEEP_IDLE || uv_is_active((void *)&h->trim) ||
      !green__stacks_surplus(h, KEEP_IDLE))
    return;
  uv_timer_start(&h->trim, on_trim, TRIM_MS, 0);
}

/* --- on a host's loop --- */

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
  watch_surplus(h);
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

/* --- opening --- */

static const struct green_class main_class = {"main", NULL, NULL, NULL};

static void set_defaults(struct green_options *o) {
  if (!o->max_stacks) o->max_stacks = 131072;
  if (!o->poll_switches) o->poll_switches = 256;
  if (!o->poll_ms) o->poll_ms = 1;
  if (!o->budget) o->budget = 64;
  if (!o->grace) o->grace = UINT64_C(5000000000);
}

static void handle_init(struct green_hub *h, void *handle) {
  ((uv_handle_t *)handle)->data = h;
  uv_unref(handle);
  h->open_handles++;
}

static void loop_handles(struct green_hub *h) {
  uv_timer_init(h->loop, &h->timer);
  handle_init(h, &h->timer);
  uv_ref((uv_handle_t *)&h->timer); /* active only while a deadline is armed */
  uv_timer_init(h->loop, &h->trim);
  handle_init(h, &h->trim);
  if (h->options.drive != GREEN_DRIVE_LOOP) return;
  uv_prepare_init(h->loop, &h->prepare);
  handle_init(h, &h->prepare);
  uv_prepare_start(&h->prepare, on_prepare);
  uv_check_init(h->loop, &h->check);
  handle_init(h, &h->check);
  uv_check_start(&h->check, on_check);
  uv_idle_init(h->loop, &h->idle);
  handle_init(h, &h->idle);
  uv_ref((uv_handle_t *)&h->idle);
  h->idle.idle_cb = on_idle;
}

static int adopt_main(struct green_hub *h) {
  struct green_thread *t = green_thread_new(h, &main_class);
  if (!t) return UV_ENOMEM;
  if (green_set_name(h, t, "main") < 0) return UV_ENOMEM;
  t->flags |= GREEN_HELD;
  t->state = GREEN_RUNNING;
  t->stack = &h->os_stack;
  h->os_stack.owner = t;
  h->main = h->hot.current = t;
  h->hot.budget = (int32_t)h->options.budget;
  return 0;
}

static int check_options(const struct green_options *o) {
  int host = o->drive == GREEN_DRIVE_LOOP;
  if ((unsigned)o->drive > GREEN_DRIVE_STEP) return UV_EINVAL;
  if ((unsigned)o->guard > GREEN_GUARD_CANARY) return UV_EINVAL;
  if (host != (o->loop != NULL)) return UV_EINVAL;
  return o->stack_size && o->stack_size < 65536 ? UV_EINVAL : 0;
}

static int init_loop(struct green_hub *h) {
  int r;
  h->loop = h->options.loop;
  if (h->loop) return 0;
  r = uv_loop_init(&h->own_loop);
  if (r < 0) return r;
  h->loop = &h->own_loop;
  h->own = 1;
  return 0;
}

static void init_fields(struct green_hub *h) {
  h->next_id = 1;
  h->tick = 1;
  h->timer_at = GREEN_FOREVER;
  h->os_thread = pthread_self();
  h->forks = green__process_forked();
  h->opened = h->now = h->last_poll = green_now();
  green_list_init(&h->ready);
  green_list_init(&h->others);
  h->os_stack.hub = h;
  h->on = &h->os_stack;
  green__stack_adopt(&h->os_stack);
}

/* What can fail, in order; green__hub_free() undoes whatever was done. */
static int init(struct green_hub *h) {
  int r = green__stacks_init(h, &h->options);
  if (r < 0) return r;
  if (h->options.drive == GREEN_DRIVE_MAIN) {
    r = adopt_main(h);
  } else {
    h->hub_stack = &h->os_stack;
    r = green__stacks_reserve(h);
  }
  return r < 0 ? r : init_loop(h);
}

int green__at_home(struct green_hub *h) {
  return pthread_equal(pthread_self(), h->os_thread) &&
         green__process_forked() == h->forks;
}

static void hub_free(struct green_hub *h) {
  green__threads_free(h);
  green__free(h->heap.at);
  green__free(h->fds);
  if (h->own) uv_loop_close(h->loop);
  if (h->hub_stack && h->hub_stack != &h->os_stack)
    green__stack_single_free(h->hub_stack);
  green__stacks_free(h, h->keep_all);
  green__free(h);
}

int green_open(struct green_hub **hub, const struct green_options *options) {
  static const struct green_options none;
  struct green_hub *h;
  int r = options ? check_options(options) : 0;
  *hub = NULL;
  if (r < 0) return r;
  if (!(h = green__alloc(sizeof *h))) return UV_ENOMEM;
  green__process_init();
  h->options = options ? *options : none;
  set_defaults(&h->options);
  init_fields(h);
  if ((r = init(h)) < 0) {
    hub_free(h);
    return r;
  }
  loop_handles(h);
  *hub = h;
  return 0;
}

/* --- closing --- */

void green_handle_opened(struct green_hub *h) {
  h->open_handles++;
}

void green_handle_closed(struct green_hub *h) {
  if (--h->open_handles == 0 && !h->own && h->closing) hub_free(h);
}

void green__handle_closed(uv_handle_t *handle) {
  green_handle_closed(handle->data);
}

static void close_handles(struct green_hub *h) {
  uv_close((uv_handle_t *)&h->timer, green__handle_closed);
  uv_close((uv_handle_t *)&h->trim, green__handle_closed);
  if (h->options.drive != GREEN_DRIVE_LOOP) return;
  uv_close((uv_handle_t *)&h->prepare, green__handle_closed);
  uv_close((uv_handle_t *)&h->check, green__handle_closed);
  uv_close((uv_handle_t *)&h->idle, green__handle_closed);
}

int green_close(struct green_hub *h) {
  int left;
  if (h->hot.current && h->hot.current != h->main) return UV_EPERM;
  left = green_drain(h);
  if (left < 0) return left;
  h->keep_all = left > 0;
  h->hot.closed = h->closing = 1;
  green__resolver_shutdown(h);
  green__post_shutdown(h);
  green__fds_close_all(h);
  green_clock_thaw(h);
  close_handles(h);
  if (!h->own) return left; /* freed by the last close callback */
  while (h->open_handles) uv_run(h->loop, UV_RUN_ONCE);
  hub_free(h);
  return left;
}

/* --- draining --- */

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
      green__poll_done(h);
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
  fprintf(stderr, "luagreen: green thread #%llu %s would not end (%s)\n",
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

/* --- looking at it --- */

uv_loop_t *green_loop(struct green_hub *h) {
  return h->loop;
}
struct green_list *green_others(struct green_hub *h) {
  return &h->others;
}
uint32_t green_live(struct green_hub *h) {
  return h->live;
}
struct green_options *green_config(struct green_hub *h) {
  return &h->options;
}
const char *green_switch_name(void) {
  return green__context_name;
}

const char *green_guard_name(struct green_hub *h) {
  static const char *const names[] = {"auto", "madvise", "mprotect", "canary"};
  return names[h->stacks.guard];
}

void green_set_max_stacks(struct green_hub *h, uint32_t max) {
  h->options.max_stacks = h->stacks.max = max;
}

void green_external(struct green_hub *h, int delta) {
  h->external += (uint32_t)delta;
}

void green_set_runtime(struct green_hub *h, const struct green_runtime *r) {
  h->runtime = r;
}

void green_stats(struct green_hub *h, struct green_stats *s) {
  memset(s, 0, sizeof *s);
  s->switches = h->switches;
  s->polls = h->polls;
  s->sleeps = h->hot.sleeps;
  s->spawned = h->next_id - 1;
  s->uptime = green_now() - h->opened;
  s->idle = h->idle_ns;
  s->live = h->live;
  s->ready = h->hot.ready;
  s->kept = h->hot.kept;
  s->stacks = h->stacks.total;
  s->idle_stacks = h->stacks.idle_count;
  s->timers = h->heap.count;
  s->external = h->external;
}

const char *green_strerror(int error) {
  if (error == GREEN_EDEADLK) return "deadlock: nothing can ever wake anybody";
  return uv_strerror(error);
}
