/* post.c - the doors through which other OS threads reach a hub.
 *
 * A door has its own lock and queue and outlives the hub: a send to a closed
 * one is refused, never a crash. The hub owns one uv_async_t, made when the
 * first door opens, since any descriptor in the loop costs each poll 116 ns.
 *
 * green_post_send, _hold, _release: any OS thread. The rest: the hub's.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

struct green_post {
  atomic_uint refs;
  pthread_mutex_t lock;
  struct green__job *first, **last; /* under the lock */
  struct green_hub *hub;            /* under the lock; NULL: closed */
  struct green__door *door;
  struct green_post *next; /* the hub's list of doors */
  int counted;             /* keeps deadlocks unreported */
};

/* The uv_async_t of a hub; freed by its close callback. On a loop of the hub's
 * own it is always ref'd: uv_run() does not even look at a loop in which no
 * handle is, and a signal would not be seen while threads are ready. */
struct green__door {
  uv_async_t async;
  struct green_hub *hub;
  atomic_int alerted;
};

static struct green__job *take_all(struct green_post *p) {
  struct green__job *job;
  pthread_mutex_lock(&p->lock);
  job = p->first;
  p->first = NULL;
  p->last = &p->first;
  pthread_mutex_unlock(&p->lock);
  return job;
}

static void run_all(struct green_hub *h, struct green_post *p) {
  struct green__job *job = take_all(p);
  while (job) {
    struct green__job *next = job->next;
    int made = job->made; /* else it may be gone with its request */
    job->fn(h, job->arg);
    if (made) green__free(job);
    job = next;
  }
}

static void on_async(uv_async_t *async) {
  struct green__door *door = async->data;
  struct green_hub *h = door->hub;
  struct green_post *p = h->posts, *next;
  if (atomic_exchange(&door->alerted, 0) && h->runtime && h->runtime->alert)
    h->runtime->alert(h);
  for (; p; p = next) {
    green_post_hold(p); /* a job may close its own door */
    run_all(h, p);
    next = p->hub ? p->next : h->posts; /* closed: it is in no list */
    green_post_release(p);
  }
}

static int make_door(struct green_hub *h) {
  struct green__door *door = green__alloc(sizeof *door);
  int r;
  if (!door) return UV_ENOMEM;
  door->hub = h;
  r = uv_async_init(h->loop, &door->async, on_async);
  if (r < 0) {
    green__free(door);
    return r;
  }
  door->async.data = door;
  if (!h->own) uv_unref((uv_handle_t *)&door->async);
  h->open_handles++;
  h->door = door;
  h->uses_libuv = 1;
  return 0;
}

int green_alert_open(struct green_hub *h) {
  if (!green__at_home(h) || h->hot.closed) return UV_EPERM;
  return h->door ? 0 : make_door(h);
}

void green_alert(struct green_hub *h) {
  struct green__door *door = h->door;
  if (!door) return; /* the hub is at its end */
  atomic_store(&door->alerted, 1);
  uv_async_send(&door->async);
}

static void count(struct green_hub *h, int delta) {
  h->external += (uint32_t)delta;
  h->doors += (uint32_t)delta;
  if (h->doors || h->own)
    uv_ref((uv_handle_t *)&h->door->async);
  else
    uv_unref((uv_handle_t *)&h->door->async);
}

int green__post_open(struct green_hub *h, struct green_post **out,
                     int counted) {
  struct green_post *p;
  int r;
  if (!green__at_home(h) || h->hot.closed) return UV_EPERM;
  r = h->door ? 0 : make_door(h);
  if (r < 0) return r;
  if (!(p = green__alloc(sizeof *p))) return UV_ENOMEM;
  atomic_init(&p->refs, 1);
  pthread_mutex_init(&p->lock, NULL);
  p->last = &p->first;
  p->hub = h;
  p->door = h->door;
  p->next = h->posts;
  p->counted = counted;
  h->posts = p;
  if (counted) count(h, 1);
  *out = p;
  return 0;
}

int green_post_open(struct green_hub *h, struct green_post **out) {
  return green__post_open(h, out, 1);
}

/* Requests under way elsewhere count like doors while they are. */
void green__post_busy(struct green_hub *h, int delta) {
  h->busy += (uint32_t)delta;
  count(h, delta);
}

int green__post_job(struct green_post *p, struct green__job *job) {
  int r = 0;
  job->next = NULL;
  pthread_mutex_lock(&p->lock);
  if (p->hub) {
    *p->last = job;
    p->last = &job->next;
    uv_async_send(&p->door->async);
  } else {
    r = UV_ECANCELED;
  }
  pthread_mutex_unlock(&p->lock);
  return r;
}

int green_post_send(struct green_post *p,
                    void (*fn)(struct green_hub *hub, void *arg), void *arg) {
  struct green__job *job = green__alloc(sizeof *job);
  int r;
  if (!job) return UV_ENOMEM;
  job->fn = fn;
  job->arg = arg;
  job->made = 1;
  r = green__post_job(p, job);
  if (r < 0) green__free(job);
  return r;
}

/* From now on it refuses; what was accepted is carried out. */
static void refuse(struct green_hub *h, struct green_post *p) {
  pthread_mutex_lock(&p->lock);
  p->hub = NULL;
  pthread_mutex_unlock(&p->lock);
  run_all(h, p);
}

void green_post_close(struct green_hub *h, struct green_post *p) {
  struct green_post **at = &h->posts;
  while (*at && *at != p) at = &(*at)->next;
  if (*at) {
    *at = p->next;
    p->next = NULL;
    if (p->counted) count(h, -1);
    refuse(h, p);
  }
  green_post_release(p);
}

void green_post_hold(struct green_post *p) {
  atomic_fetch_add(&p->refs, 1);
}

void green_post_release(struct green_post *p) {
  if (atomic_fetch_sub(&p->refs, 1) > 1) return;
  pthread_mutex_destroy(&p->lock);
  green__free(p);
}

static void on_door_closed(uv_handle_t *handle) {
  struct green__door *door = handle->data;
  handle->data = door->hub;
  green__handle_closed(handle); /* may free the hub, not the door */
  green__free(door);
}

/* Doors that are still open stay their holders' memory, and refuse. */
void green__post_shutdown(struct green_hub *h) {
  struct green_post *p;
  while ((p = h->posts)) {
    h->posts = p->next;
    p->next = NULL;
    refuse(h, p);
  }
  if (!h->door) return;
  uv_close((uv_handle_t *)&h->door->async, on_door_closed);
  h->door = NULL;
}
