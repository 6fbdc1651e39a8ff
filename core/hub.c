/* hub.c - the life of a hub: opening, closing, and questions about it.
 *
 * loop.c (a loop of its own) and host.c (a host's loop, or steps) drive it;
 * drain.c ends its threads.
 *
 * The OS thread's own stack, while no green thread but main is current.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"
#include "switch.h"

/* --- opening --- */

static void set_defaults(struct green_options *o) {
  if (!o->max_stacks) o->max_stacks = 131072;
  if (!o->poll_switches) o->poll_switches = 256;
  if (!o->poll_ms) o->poll_ms = 1;
  if (!o->budget) o->budget = 64;
  if (!o->max_jobs) o->max_jobs = 16;
  if (!o->grace) o->grace = UINT64_C(5000000000);
}

static int adopt_main(struct green_hub *h) {
  struct green_thread *t = green__thread_new(&h->host);
  if (!t) return UV_ENOMEM;
  if (green_set_name(h, t, "main") < 0) return UV_ENOMEM;
  t->flags |= GREEN_HELD;
  t->state = GREEN_RUNNING;
  t->stack = &h->os_stack;
  h->os_stack.owner = t;
  h->main = h->hot.current = t;
  h->hot.budget = h->calls;
  return 0;
}

/* NULL: none. The fields above `size`, and itself, are those of its first
 * version. */
static int take_options(struct green_options *mine,
                        const struct green_options *o) {
  enum { LEAST = offsetof(struct green_options, size) + sizeof(size_t) };
  int r = 0;
  memset(mine, 0, sizeof *mine);
  if (o)
    r = green__take_sized(mine, sizeof *mine, o, o->size ? o->size : LEAST,
                          LEAST);
  mine->size = sizeof *mine;
  return r;
}

static int check_options(const struct green_options *o) {
  int host = o->drive == GREEN_DRIVE_LOOP;
  if ((unsigned)o->drive > GREEN_DRIVE_STEP) return UV_EINVAL;
  if ((unsigned)o->guard > GREEN_GUARD_CANARY) return UV_EINVAL;
  if (host != (o->loop != NULL)) return UV_EINVAL;
  if (o->clock && o->drive != GREEN_DRIVE_STEP) return UV_EINVAL;
  return o->stack_size && o->stack_size < 65536 ? UV_EINVAL : 0;
}

static int init_loop(struct green_hub *h) {
  int r;
  h->loop = h->options.loop;
  if (h->loop) return 0;
  r = green__libuv_has_room();
  if (r == 0) r = uv_loop_init(&h->own_loop);
  if (r < 0) return r;
  h->loop = &h->own_loop;
  h->own = 1;
  return green__libuv_secure(h->loop);
}

/* A program without stdin, stdout or stderr has a number below 3 free. libuv
 * aborts when it closes such a one, and what the program writes there must not
 * get into ours. So they are taken while ours are made. */
static void hold_standard(int held[3]) {
  int i;
  for (i = 0; i < 3; i++)
    held[i] = fcntl(i, F_GETFD) < 0 ? eventfd(0, EFD_CLOEXEC) : -1;
}

static int open_loop(struct green_hub *h) {
  int held[3], i, r;
  hold_standard(held);
  r = init_loop(h);
  if (r == 0) r = green__epoll_open(h);
  for (i = 0; i < 3; i++)
    if (held[i] >= 0) close(held[i]);
  return r;
}

static void init_fields(struct green_hub *h) {
  h->next_id = 1;
  h->tick = h->stride = 1;
  green_budget_set(h);
  h->lag.tick = 1;
  h->trim_ms = 5000;
  h->timer_at = h->trim_at = GREEN_FOREVER;
  h->os_thread = green__os_thread;
  h->forks = green__global_forked();
  green__read_clock(h);
  h->opened = h->last_poll = h->real;
  h->lag.began = uv_hrtime();
  h->stop_at = GREEN_FOREVER;
  green_list_init(&h->ready);
  green_list_init(&h->others);
  h->last_chore = &h->chores;
  green_list_init(&h->borrowed);
  green_list_init(&h->awaited);
  green__families_init(h);
  h->os_stack.hub = h;
  h->on = &h->os_stack;
  h->os_top = __builtin_frame_address(0);
  h->exceptions = green__exceptions_here();
  h->os_stack.more = h->exceptions != NULL;
  green__stack_adopt(&h->os_stack);
}

/* The steps that can fail, in order; hub_free() undoes the steps taken. Stacks
 * are made now, so that main can still block when memory runs short. */
static int init(struct green_hub *h) {
  int r = green__stacks_init(h, &h->options);
  if (r == 0) r = green__heap_init(h);
  if (r < 0) return r;
  if (h->options.drive == GREEN_DRIVE_MAIN) {
    r = adopt_main(h);
    if (r == 0) r = green__hub_stack(h);
  } else {
    h->hub_stack = &h->os_stack;
  }
  if (r == 0) r = green__stacks_spares(h);
  if (r == 0) r = green__stacks_reserve(h, 1);
  return r < 0 ? r : open_loop(h);
}

/* The hub's own loop stays allocated if the host began something on it while
 * the threads cleaned up. */
static void hub_free(struct green_hub *h) {
  green__trace_free(h);
  green__records_free(h);
  green__free(h->heap.at);
  green__free(h->fds);
  green__epoll_close(h);
  if (h->hub_stack && h->hub_stack != &h->os_stack)
    green__stack_single_free(h->hub_stack);
  green__stacks_free(h, h->keep_all);
  if (!h->own || uv_loop_close(h->loop) == 0) green__free(h);
}

/* The handles in the loop are closed; on a host's, its last close callback
 * frees the hub. */
static void close_handles(struct green_hub *h) {
  h->hot.closed = h->closing = 1;
  if (green_here == h) green_here = NULL;
  green_handle_opened(h); /* until all are closing */
  green__loop_close(h);
  if (h->options.drive != GREEN_DRIVE_MAIN) green__host_close(h);
  if (!h->own) {
    green_handle_closed(h);
    return;
  }
  h->open_handles--;
  while (h->open_handles || h->loop->active_reqs.count > 0)
    uv_run(h->loop, UV_RUN_ONCE);
  hub_free(h);
}

static int open_handles(struct green_hub *h) {
  int r;
  green__loop_open(h);
  if (h->options.drive == GREEN_DRIVE_MAIN) return 0;
  r = green__host_open(h);
  if (r < 0) close_handles(h);
  return r;
}

__thread struct green_hub *green_here;

int green_open(struct green_hub **hub, const struct green_options *options) {
  struct green_options mine;
  struct green_hub *h;
  int r = take_options(&mine, options);
  *hub = NULL;
  if (r == 0) r = check_options(&mine);
  if (r < 0) return r;
  if (!(h = green__alloc(sizeof *h))) return UV_ENOMEM;
  green__global_init();
  h->options = mine;
  set_defaults(&h->options);
  init_fields(h);
  if ((r = init(h)) < 0) {
    hub_free(h);
    return r;
  }
  if ((r = open_handles(h)) == 0) *hub = green_here = h;
  return r;
}

/* --- closing --- */

void green__handle_opened(struct green_hub *h, void *handle) {
  ((uv_handle_t *)handle)->data = h;
  uv_unref(handle);
  h->open_handles++;
}

void green_handle_opened(struct green_hub *h) {
  h->open_handles++;
}

void green_handle_closed(struct green_hub *h) {
  if (--h->open_handles == 0 && !h->own && h->closing) hub_free(h);
}

void green__handle_closed(uv_handle_t *handle) {
  green_handle_closed(handle->data);
}

struct sought {
  uv_handle_t *handle;
  int found;
};

static void seek(uv_handle_t *handle, void *arg) {
  struct sought *sought = arg;
  sought->found |= handle == sought->handle;
}

/* A host that ends its loop may have closed all handles in it, by uv_walk(),
 * and the hub's with them. One that the loop still knows is not closed yet. */
void green__close_handle(struct green_hub *h, void *handle,
                         uv_close_cb closed) {
  struct sought sought = {handle, 0};
  if (!uv_is_closing(handle)) {
    uv_close(handle, closed);
    return;
  }
  uv_walk(h->loop, seek, &sought);
  if (sought.found)
    sought.handle->close_cb = closed;
  else
    closed(handle);
}

static void count_handle(uv_handle_t *handle, void *count) {
  (void)handle;
  ++*(uint32_t *)count;
}

/* Does the host have handles, or requests, on the hub's own loop? The hub makes
 * no requests itself. */
static int is_in_use(struct green_hub *h) {
  uint32_t handles = 0;
  if (!h->own) return 0;
  uv_walk(h->loop, count_handle, &handles);
  assert(handles >= h->open_handles);
  return handles > h->open_handles || h->loop->active_reqs.count > 0;
}

int green_close(struct green_hub *h) {
  int left;
  if (!green__at_home(h)) return UV_EPERM;
  if (h->hot.current && h->hot.current != h->main) return UV_EPERM;
  if (h->closing) return UV_EPERM; /* by a callback on the host's loop */
  if (h->families || is_in_use(h)) return UV_EBUSY;
  left = green_drain(h);
  if (left < 0) return left;
  h->keep_all = left + h->lost.live > 0;
  h->hot.closed = h->closing = 1;
  green__resolver_shutdown(h);
  green__offload_shutdown(h);
  green__run_chores(h);
  green__post_shutdown(h);
  green__bell_shutdown(h);
  green__fds_close_all(h);
  left += (int)h->lost.live; /* those of former states */
  close_handles(h);
  return left;
}

/* --- looking at it --- */

/* The caller may make handles in it. */
uv_loop_t *green_loop(struct green_hub *h) {
  h->uses_libuv = 1;
  return h->loop;
}
int green_loop_secure(struct green_hub *h) {
  return green__libuv_secure(h->loop);
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

void *green_data(struct green_hub *h) {
  return h->data;
}

void green_set_data(struct green_hub *h, void *data) {
  h->data = data;
}

static void count(struct green_hub *h, struct green_stats *s) {
  s->switches = h->switches;
  s->polls = h->polls;
  s->sleeps = h->hot.sleeps;
  s->spawned = h->next_id - 1;
  s->uptime = green__real(h) - h->opened;
  s->idle = h->idle_ns;
  s->memory = green__memory();
  s->live = green_live(h);
  s->ready = h->hot.ready;
  s->kept = h->hot.kept;
  s->stacks = h->stacks.total;
  s->idle_stacks = h->stacks.idle_count;
  s->timers = h->heap.count;
  s->external = h->external;
  s->preempted = h->preempted;
  s->polling = h->poll_ns;
  s->most_ready = green__most_ready(h);
}

int green_stats_sized(struct green_hub *h, struct green_stats *s,
                      size_t size) {
  struct green_stats all;
  int home = green__at_home(h);
  memset(&all, 0, sizeof all);
  if (home) count(h, &all);
  green__give_sized(s, size, &all, sizeof all);
  return home ? 0 : UV_EPERM;
}

const char *green_strerror(int error) {
  /* From epoll; libuv's message speaks of a device. */
  if (error == UV_ENOSPC) return "too many watched descriptors";
  if (error == GREEN_ETHROWN) return "thrown by the runtime";
  if (error == GREEN_EDEADLK) return "deadlock: nothing can ever wake anybody";
  return uv_strerror(error);
}
