/* post.c - posts, by which other OS threads reach a hub.
 *
 * A post has its own lock and queue and outlives the hub: a send to a closed
 * one is refused and never crashes. The hub owns one uv_async_t, made when the
 * first post opens, since any descriptor in the loop costs each poll 116 ns.
 *
 * green_post_send, _hold and _release run on any OS thread, the rest on the
 * hub's.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

struct green_post {
  atomic_uint refs;
  pthread_mutex_t lock;
  struct green__job *first, **last; /* under the lock */
  struct green_hub *hub;            /* under the lock; NULL: closed */
  struct green__async *async;
  /* In the hub's list of posts; link: what points to it, NULL in none. */
  struct green_post *next, **link;
  int counted; /* keeps deadlocks unreported */
};

/* The uv_async_t of a hub; freed by its close callback. On a loop of the hub's
 * own it is always ref'd: uv_run() does not even look at a loop without active
 * handles, and would miss a signal while threads are ready. */
struct green__async {
  uv_async_t uv;
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

static void on_async(uv_async_t *uv) {
  struct green__async *async = uv->data;
  struct green_hub *h = async->hub;
  struct green_post *p = h->posts, *next;
  uint8_t source = h->source;
  h->source = GREEN__BY_SIGNAL;
  if (atomic_exchange(&async->alerted, 0) && h->runtime && h->runtime->alert)
    h->runtime->alert(h);
  h->source = GREEN__BY_POST;
  for (; p; p = next) {
    green_post_hold(p); /* a job may close its own post */
    run_all(h, p);
    next = p->hub ? p->next : h->posts; /* closed: it is in no list */
    green_post_release(p);
  }
  h->source = source;
}

void green__posts_hear(struct green_hub *h) {
  if (h->posts) on_async(&h->async->uv);
}

static int make_async(struct green_hub *h) {
  struct green__async *async = green__alloc(sizeof *async);
  int r;
  if (!async) return UV_ENOMEM;
  async->hub = h;
  r = uv_async_init(h->loop, &async->uv, on_async);
  if (r < 0) {
    green__free(async);
    return r;
  }
  async->uv.data = async;
  if (!h->own) uv_unref((uv_handle_t *)&async->uv);
  h->open_handles++;
  h->async = async;
  h->uses_libuv = 1;
  return 0;
}

int green_alert_open(struct green_hub *h) {
  if (!green__at_home(h) || h->hot.closed) return UV_EPERM;
  return h->async ? 0 : make_async(h);
}

void green_alert(struct green_hub *h) {
  struct green__async *async = h->async;
  if (!async) return; /* the hub is at its end */
  atomic_store(&async->alerted, 1);
  uv_async_send(&async->uv);
}

static void count(struct green_hub *h, int delta) {
  h->external += (uint32_t)delta;
  h->async_refs += (uint32_t)delta;
  if (h->async_refs || h->own)
    uv_ref((uv_handle_t *)&h->async->uv);
  else
    uv_unref((uv_handle_t *)&h->async->uv);
}

static void enlist(struct green_hub *h, struct green_post *p) {
  p->next = h->posts;
  p->link = &h->posts;
  if (p->next) p->next->link = &p->next;
  h->posts = p;
}

static void delist(struct green_post *p) {
  assert(*p->link == p);
  *p->link = p->next;
  if (p->next) p->next->link = p->link;
  p->next = NULL;
  p->link = NULL;
}

int green__post_open(struct green_hub *h, struct green_post **out,
                     int counted) {
  struct green_post *p;
  int r;
  if (!green__at_home(h) || h->hot.closed) return UV_EPERM;
  r = h->async ? 0 : make_async(h);
  if (r < 0) return r;
  if (!(p = green__alloc(sizeof *p))) return UV_ENOMEM;
  atomic_init(&p->refs, 1);
  pthread_mutex_init(&p->lock, NULL);
  p->last = &p->first;
  p->hub = h;
  p->async = h->async;
  p->counted = counted;
  enlist(h, p);
  if (counted) count(h, 1);
  *out = p;
  return 0;
}

int green_post_open(struct green_hub *h, struct green_post **out) {
  return green__post_open(h, out, 1);
}

/* A request under way elsewhere counts like a post. */
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
    uv_async_send(&p->async->uv);
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

/* From now on it refuses; the jobs that it has accepted still run. */
static void refuse(struct green_hub *h, struct green_post *p) {
  pthread_mutex_lock(&p->lock);
  p->hub = NULL;
  pthread_mutex_unlock(&p->lock);
  run_all(h, p);
}

void green_post_close(struct green_hub *h, struct green_post *p) {
  if (p->link) {
    delist(p);
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

static void on_async_closed(uv_handle_t *handle) {
  struct green__async *async = handle->data;
  handle->data = async->hub;
  green__handle_closed(handle); /* may free the hub, not `async` */
  green__free(async);
}

/* Posts that are still open refuse; their holders free them. */
void green__post_shutdown(struct green_hub *h) {
  struct green_post *p;
  while ((p = h->posts)) {
    delist(p);
    refuse(h, p);
  }
  if (!h->async) return;
  green__close_handle(h, &h->async->uv, on_async_closed);
  h->async = NULL;
}
