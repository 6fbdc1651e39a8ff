/* lanes.c - the OS threads that look up.
 *
 * getaddrinfo(3) blocks for as long as a name server pleases, so it runs on
 * detached OS threads of the hub's own, apart from libuv's pool: black-holed
 * look-ups must not stop file I/O. Two lanes have threads of their own: one for
 * servers, and one for what is known on this machine, which never waits behind
 * a server. In a lane look-ups are served first come first served.
 *
 * If a thread is busy with one that nobody holds any more, it does not count,
 * and another may take its place. Closing the hub waits for nobody.
 *
 * The resolver's lock protects the lanes, and the marked fields of a look-up.
 * Functions for others are the hub's; the rest runs on those OS threads.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>

#include "resolve.h"

/* Threads of a lane that somebody waits for, and with those nobody does. */
enum { SERVERS = 8, LOCAL = 2, MOST_THREADS = 32 };

/* --- queues --- */

void green__queue_init(struct green__queue *q) {
  q->first = NULL;
  q->last = &q->first;
}

void green__queue_add(struct green__queue *q, struct green__lookup *l) {
  assert(!l->link);
  l->link = q->last;
  *q->last = l;
  q->last = &l->next;
  q->count++;
}

void green__queue_remove(struct green__queue *q, struct green__lookup *l) {
  assert(l->link && *l->link == l && q->count > 0);
  *l->link = l->next;
  if (l->next)
    l->next->link = l->link;
  else
    q->last = l->link;
  l->next = NULL;
  l->link = NULL;
  q->count--;
}

/* --- the OS threads --- */

void green__resolver_release(struct green__resolver *res) {
  uint32_t refs;
  pthread_mutex_lock(&res->lock);
  refs = --res->refs;
  pthread_mutex_unlock(&res->lock);
  if (refs) return;
  green_post_release(res->post);
  green__hosts_free(res->hosts);
  pthread_cond_destroy(&res->servers.more);
  pthread_cond_destroy(&res->local.more);
  pthread_mutex_destroy(&res->lock);
  green__free(res);
}

/* Does it have too many threads, because one came back that was given up? */
static int is_surplus(const struct green__lane *lane) {
  return lane->threads - lane->stuck > lane->most;
}

/* The next one for a thread; NULL: the thread ends. */
static struct green__lookup *next_lookup(struct green__lane *lane) {
  struct green__resolver *res = lane->resolver;
  struct green__lookup *l = NULL;
  pthread_mutex_lock(&res->lock);
  lane->idle++;
  while (!lane->queue.first && !res->closed && !is_surplus(lane))
    pthread_cond_wait(&lane->more, &res->lock);
  lane->idle--;
  if (res->closed || is_surplus(lane)) {
    lane->threads--;
    pthread_cond_signal(&lane->more); /* the look-up that woke it is left */
  } else {
    green__queue_remove(&lane->queue, l = lane->queue.first);
  }
  pthread_mutex_unlock(&res->lock);
  return l;
}

static void is_over(struct green__lookup *l) {
  struct green__lane *lane = l->lane;
  pthread_mutex_lock(&lane->resolver->lock);
  l->over = 1;
  if (l->abandoned) lane->stuck--;
  pthread_mutex_unlock(&lane->resolver->lock);
}

static void *look_up(void *arg) {
  struct green__lane *lane = arg;
  struct green__resolver *res = lane->resolver;
  struct green__lookup *l;
  while ((l = next_lookup(lane))) {
    green__lookup_run(l);
    is_over(l);
    if (green__post_job(res->post, &l->job) < 0) green__lookup_free(l);
  }
  green__resolver_release(res);
  return NULL;
}

/* All signals stay with the threads that were there before. */
static int start_thread(struct green__lane *lane) {
  pthread_t thread;
  sigset_t all, old;
  int error;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  error = pthread_create(&thread, NULL, look_up, lane);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (error) return -error;
  pthread_detach(thread);
  lane->threads++;
  lane->resolver->refs++;
  return 0;
}

static int may_start(const struct green__lane *lane) {
  return lane->threads - lane->stuck < lane->most &&
         lane->threads < MOST_THREADS;
}

/* --- the hub's side --- */

static void lane_init(struct green__resolver *res, struct green__lane *lane,
                      uint32_t most) {
  lane->resolver = res;
  lane->most = most;
  green__queue_init(&lane->queue);
  pthread_cond_init(&lane->more, NULL);
}

int green__resolver_make(struct green_hub *h) {
  struct green__resolver *res = green__alloc(sizeof *res);
  int r;
  if (!res) return UV_ENOMEM;
  if ((r = green__post_open(h, &res->post, 0)) < 0) {
    green__free(res);
    return r;
  }
  pthread_mutex_init(&res->lock, NULL);
  lane_init(res, &res->servers, SERVERS);
  lane_init(res, &res->local, LOCAL);
  green__queue_init(&res->kept);
  res->refs = 1;
  h->resolver = res;
  return 0;
}

int green__lane_has_room(struct green__lane *lane) {
  int room;
  pthread_mutex_lock(&lane->resolver->lock);
  room = lane->idle > lane->queue.count || may_start(lane);
  pthread_mutex_unlock(&lane->resolver->lock);
  return room;
}

int green__lane_submit(struct green__lane *lane, struct green__lookup *l) {
  int error = 0;
  l->lane = lane;
  pthread_mutex_lock(&lane->resolver->lock);
  if (lane->idle <= lane->queue.count && may_start(lane)) {
    error = start_thread(lane);
    if (lane->threads) error = 0; /* the others will take it */
  }
  if (!error) {
    green__queue_add(&lane->queue, l);
    pthread_cond_signal(&lane->more);
  }
  pthread_mutex_unlock(&lane->resolver->lock);
  return error;
}

int green__lane_abandon(struct green__lookup *l) {
  struct green__lane *lane = l->lane;
  int queued;
  pthread_mutex_lock(&lane->resolver->lock);
  queued = l->link != NULL;
  if (queued) {
    green__queue_remove(&lane->queue, l);
  } else if (!l->over) {
    l->abandoned = 1;
    lane->stuck++;
    if (lane->idle < lane->queue.count && may_start(lane)) start_thread(lane);
  }
  pthread_mutex_unlock(&lane->resolver->lock);
  return queued;
}

void green__lane_retrieve(struct green__lookup *l) {
  pthread_mutex_lock(&l->lane->resolver->lock);
  if (l->abandoned && !l->over) l->lane->stuck--;
  l->abandoned = 0;
  pthread_mutex_unlock(&l->lane->resolver->lock);
}

static void drop_queue(struct green__lane *lane) {
  struct green__lookup *l;
  while ((l = lane->queue.first)) {
    green__queue_remove(&lane->queue, l);
    green__lookup_free(l);
  }
  pthread_cond_broadcast(&lane->more);
}

/* Queued look-ups are dropped; those under way end on their own. A forked child
 * has none of the threads, and perhaps inherits a lock that one of them
 * held. */
void green__resolver_shutdown(struct green_hub *h) {
  struct green__resolver *res = h->resolver;
  if (!res) return;
  if (green__at_home(h)) green_forget_lookups(h);
  h->resolver = NULL;
  if (!green__at_home(h)) return;
  pthread_mutex_lock(&res->lock);
  res->closed = 1;
  drop_queue(&res->servers);
  drop_queue(&res->local);
  pthread_mutex_unlock(&res->lock);
  green_post_hold(res->post); /* the resolver's own, until its threads end */
  green_post_close(h, res->post);
  green__resolver_release(res);
}
