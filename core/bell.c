/* bell.c - wakes a hub from other OS threads.
 *
 * Each hub that has ports, or waits to send into one, has a bell: a list of
 * calls to make, under a lock, and an eventfd in the hub's epoll. A caller
 * writes to the eventfd only if the hub may be asleep. On a loop of its own a
 * hub says so before it sleeps ("dozes"), and looks at the list in each poll
 * while threads are ready. A host's loop may sleep whenever no batch runs, so
 * there each call rings, but only once until the hub has heard it.
 *
 * The eventfd is watched edge-triggered: each write is an event, and nobody
 * needs to read it. uv_async_t has no such thing: before libuv 1.45 its callers
 * and its loop wait for each other, which took 67 us a hop, and this takes 15.
 *
 * The bell outlives the hub; after that it refuses calls. Its lock is the
 * innermost one. green__bell_call, _ring and _release run on any OS thread, the
 * rest on the hub's.
 *
 * SPDX-License-Identifier: MIT
 */
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "port.h"

struct green__bell {
  atomic_uint refs;
  int fd;
  uint64_t os_thread; /* of the hub */
  int forks;
  struct green_hub *hub; /* the hub's OS thread only */
  atomic_int closed;
  atomic_int ringing; /* callers that are about to write */
  atomic_int waiting; /* is the list not empty? */
  pthread_mutex_t lock;
  /* Under the lock. */
  struct green__call *first, **last;
  struct green_port *ports; /* that live on the hub */
  uint8_t dozes;            /* may be asleep, and was not rung */
  uint8_t nudged;           /* something has changed since it dozed last */
  uint8_t always;           /* a host's loop: it may be, whenever we look */
};

/* --- making --- */

static struct green__bell *make(struct green_hub *h, int fd) {
  struct green__bell *b = green__alloc(sizeof *b);
  if (!b) return NULL;
  atomic_init(&b->refs, 1);
  b->fd = fd;
  b->os_thread = h->os_thread;
  b->forks = h->forks;
  b->hub = h;
  pthread_mutex_init(&b->lock, NULL);
  b->last = &b->first;
  b->always = b->dozes = h->options.drive != GREEN_DRIVE_MAIN;
  return b;
}

static int open_bell(struct green_hub *h) {
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), r;
  if (fd < 0) return -errno;
  r = green__epoll_add_bell(h, fd);
  if (r == 0 && !(h->bell = make(h, fd))) r = UV_ENOMEM;
  if (r < 0) close(fd); /* which ends the watch, if it began */
  return r;
}

int green__bell_take(struct green_hub *h, struct green__bell **bell) {
  int r;
  if (!green__at_home(h) || h->hot.closed) return UV_EPERM;
  if (!h->bell && (r = open_bell(h)) < 0) return r;
  green__bell_hold(h->bell);
  *bell = h->bell;
  return 0;
}

void green__bell_hold(struct green__bell *b) {
  atomic_fetch_add(&b->refs, 1);
}

void green__bell_release(struct green__bell *b) {
  if (atomic_fetch_sub(&b->refs, 1) > 1) return;
  assert(atomic_load(&b->closed) && !b->first && !b->ports);
  pthread_mutex_destroy(&b->lock);
  green__free(b);
}

int green__bell_fd(const struct green_hub *h) {
  return h->bell ? h->bell->fd : -1;
}

/* --- callers --- */

int green__bell_call(struct green__bell *b, struct green__call *call,
                     int *queued) {
  int r = 0;
  *queued = 0;
  pthread_mutex_lock(&b->lock);
  if (atomic_load_explicit(&b->closed, memory_order_relaxed)) {
    r = UV_ECANCELED;
  } else if (!call->queued) {
    call->next = NULL;
    *b->last = call;
    b->last = &call->next;
    *queued = call->queued = 1;
    atomic_store_explicit(&b->waiting, 1, memory_order_relaxed);
    r = b->dozes;
    b->dozes = 0;
  }
  pthread_mutex_unlock(&b->lock);
  return r;
}

/* The closing hub waits until nobody is about to write to what it closes. */
void green__bell_ring(struct green__bell *b) {
  uint64_t one = 1;
  int error = errno;
  atomic_fetch_add(&b->ringing, 1);
  if (!atomic_load(&b->closed) && write(b->fd, &one, sizeof one) < 0)
    assert(!"an eventfd takes 2^64 - 2 rings");
  atomic_fetch_sub(&b->ringing, 1);
  errno = error;
}

void green__bell_nudge(struct green__bell *b) {
  int ring;
  pthread_mutex_lock(&b->lock);
  b->nudged = 1;
  ring = b->dozes;
  b->dozes = 0;
  pthread_mutex_unlock(&b->lock);
  if (ring) green__bell_ring(b);
}

int green__bell_at_home(const struct green__bell *b) {
  return b->os_thread == green__os_thread &&
         !atomic_load_explicit(&b->closed, memory_order_relaxed);
}

int green__bell_is_closed(const struct green__bell *b) {
  return atomic_load(&b->closed);
}

int green__bell_is_forked(const struct green__bell *b) {
  return green__unlikely(b->forks != green__global_forked());
}

struct green_hub *green__bell_hub(const struct green__bell *b) {
  return b->hub;
}

/* --- the hub --- */

static struct green__call *next_call(struct green__bell *b) {
  struct green__call *call;
  pthread_mutex_lock(&b->lock);
  if ((call = b->first)) {
    if (!(b->first = call->next)) b->last = &b->first;
    call->queued = 0;
  }
  if (!b->first) atomic_store_explicit(&b->waiting, 0, memory_order_relaxed);
  pthread_mutex_unlock(&b->lock);
  return call;
}

/* A call may be queued again while it runs, so there is a limit: then others
 * have their turn. */
static void run_some(struct green_hub *h, struct green__bell *b) {
  struct green__call *call;
  int most = 1000;
  while (most-- > 0 && (call = next_call(b))) call->fn(h, call);
  if (b->always && atomic_load_explicit(&b->waiting, memory_order_relaxed))
    green__bell_ring(b);
}

int green__bell_doze(struct green_hub *h) {
  struct green__bell *b = h->bell;
  int may;
  if (!b) return 1;
  pthread_mutex_lock(&b->lock);
  may = !b->first && !b->nudged;
  b->nudged = 0;
  b->dozes = (uint8_t)may;
  pthread_mutex_unlock(&b->lock);
  return may;
}

void green__bell_awake(struct green_hub *h) {
  struct green__bell *b = h->bell;
  if (!b) return;
  pthread_mutex_lock(&b->lock);
  b->dozes = b->always;
  pthread_mutex_unlock(&b->lock);
  green__bell_hear(h);
}

void green__bell_hear(struct green_hub *h) {
  struct green__bell *b = h->bell;
  if (b && atomic_load_explicit(&b->waiting, memory_order_relaxed))
    run_some(h, b);
}

/* --- waits for ports --- */

int green__is_awaited(const struct green_hub *h) {
  const struct green_link *link = h->awaited.link.next;
  for (; link != &h->awaited.link; link = link->next)
    if (!green__port_is_alone(
            green__container(link, struct green_side, awaited)->port))
      return 1;
  return 0;
}

void green__await(struct green_hub *h, struct green_link *link) {
  struct green_link *last = h->awaited.link.prev;
  link->next = &h->awaited.link;
  link->prev = last;
  last->next = h->awaited.link.prev = link;
}

void green__await_no_more(struct green_link *link) {
  link->next->prev = link->prev;
  link->prev->next = link->next;
}

/* --- the ports that live on the hub --- */

void green__bell_enlist(struct green__bell *b, struct green_port *p) {
  pthread_mutex_lock(&b->lock);
  p->next = b->ports;
  p->link = &b->ports;
  if (p->next) p->next->link = &p->next;
  b->ports = p;
  pthread_mutex_unlock(&b->lock);
}

static void unlink_port(struct green_port *p) {
  *p->link = p->next;
  if (p->next) p->next->link = p->link;
  p->next = NULL;
  p->link = NULL;
}

void green__bell_delist(struct green__bell *b, struct green_port *p) {
  pthread_mutex_lock(&b->lock);
  if (p->link) unlink_port(p);
  pthread_mutex_unlock(&b->lock);
}

/* The next port that somebody still holds, which is held once more; one that
 * nobody holds leaves the list by itself, in the OS thread that frees it. */
static struct green_port *next_port(struct green__bell *b) {
  struct green_port *p;
  pthread_mutex_lock(&b->lock);
  for (p = b->ports; p && !green__port_try_hold(p);) p = p->next;
  if (p) unlink_port(p);
  pthread_mutex_unlock(&b->lock);
  return p;
}

/* --- the end --- */

static void close_bell(struct green_hub *h, struct green__bell *b) {
  pthread_mutex_lock(&b->lock);
  atomic_store(&b->closed, 1);
  pthread_mutex_unlock(&b->lock);
  while (atomic_load(&b->ringing)) sched_yield();
  h->bell = NULL;
  green__epoll_remove(h, b->fd); /* a forked child may have it, too */
  close(b->fd);
}

void green__bell_shutdown(struct green_hub *h) {
  struct green__bell *b = h->bell;
  struct green__call *call;
  struct green_port *p;
  if (!b) return;
  while ((p = next_port(b))) {
    green__port_bury(p);
    green_port_release(p);
  }
  green__ports_catch_up(h);
  close_bell(h, b);
  while ((call = next_call(b))) call->fn(NULL, call);
  b->hub = NULL;
  green__bell_release(b);
}
