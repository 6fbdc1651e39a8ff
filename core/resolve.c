/* resolve.c - names to addresses.
 *
 * getaddrinfo(3) blocks for as long as a name server pleases, so it runs on
 * detached OS threads of the hub's own, apart from libuv's pool: black-holed
 * look-ups must not stop file I/O. Two lanes have threads of their own: one
 * for servers, and one for what is known on this machine, which never waits
 * behind a server. In a lane requests are served first come first served.
 *
 * A request owns all its memory. Equal ones that are under way share one run:
 * each caller holds the request, and takes a copy of the answer. One that
 * nobody holds any more leaves the queue. If a thread has it already, that
 * cannot be helped; but the thread does not count then, and another may take
 * its place. Closing the hub waits for nobody.
 *
 * The lists of the lanes, and what is marked so in a request, are under the
 * resolver's lock; all else is the hub's.
 *
 * SPDX-License-Identifier: MIT
 */
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "internal.h"

/* Threads of a lane that somebody waits for, and with those nobody does. */
enum { SERVERS = 8, LOCAL = 2, MOST_THREADS = 32 };
enum { BUCKETS = 256 };

struct lane {
  struct green__resolver *resolver;
  pthread_cond_t more;
  struct request *first, **last; /* queued */
  uint32_t queued, idle, threads;
  uint32_t stuck; /* of the threads: nobody waits for their request */
  uint32_t most;
};

struct request {
  struct green__job job;     /* takes it back to the hub */
  struct green_list waiters; /* of its holders: those that still wait */
  uint32_t refs;             /* holders */
  struct request *equal;     /* next in its bucket */
  uint32_t hash;
  uint8_t done;      /* it came back to the hub */
  uint8_t over;      /* under the lock: getaddrinfo() has returned */
  uint8_t abandoned; /* under the lock: a thread has it, nobody holds it */
  struct lane *lane;
  struct request *next, **link; /* in the queue; link NULL: a thread has it */
  struct addrinfo hints, *list;
  int error;
  char *node, *service; /* after the struct, or NULL */
};

struct green__resolver {
  pthread_mutex_t lock;
  struct lane servers, local;
  uint32_t refs; /* the hub and the threads */
  int closed;
  struct green_post *post;
  struct green__hosts *hosts;
  struct request *buckets[BUCKETS]; /* under way, by hash */
};

/* --- lists of addresses --- */

void green_freeaddrinfo(struct addrinfo *list) {
  while (list) {
    struct addrinfo *next = list->ai_next;
    green__free(list->ai_canonname);
    green__free(list);
    list = next;
  }
}

/* Each address in one block, as glibc has them: its freeaddrinfo() takes such
 * a list, too. */
static struct addrinfo *copy_one(const struct addrinfo *a) {
  size_t n = a->ai_canonname ? strlen(a->ai_canonname) + 1 : 0;
  struct addrinfo *c = green__alloc(sizeof *c + a->ai_addrlen);
  if (!c) return NULL;
  *c = *a;
  c->ai_next = NULL;
  c->ai_addr = memcpy(c + 1, a->ai_addr, a->ai_addrlen);
  c->ai_canonname = n ? green__alloc(n) : NULL;
  if (c->ai_canonname) memcpy(c->ai_canonname, a->ai_canonname, n);
  if (!n || c->ai_canonname) return c;
  green__free(c);
  return NULL;
}

static int copy_list(const struct addrinfo *from, struct addrinfo **list) {
  struct addrinfo **end = list;
  for (*list = NULL; from; from = from->ai_next) {
    if (!(*end = copy_one(from))) {
      green_freeaddrinfo(*list);
      *list = NULL;
      return UV_ENOMEM;
    }
    end = &(*end)->ai_next;
  }
  return 0;
}

/* --- requests --- */

static void request_free(struct request *r) {
  if (r->list) freeaddrinfo(r->list);
  green__free(r);
}

static uint32_t add_text(uint32_t hash, const char *text) {
  if (!text) return hash * 31;
  for (; *text; text++) hash = (hash ^ (uint8_t)*text) * 16777619u;
  return hash ^ 0x5bd1e995u;
}

static uint32_t hash_of(const char *node, const char *service,
                        const struct addrinfo *hints) {
  uint32_t hash = add_text(add_text(2166136261u, node), service);
  return (hash ^ (uint32_t)hints->ai_family ^ (uint32_t)hints->ai_flags << 8) *
         16777619u;
}

static int is_text(const char *a, const char *b) {
  return a == b || (a && b && strcmp(a, b) == 0);
}

static int is_equal(const struct request *r, const char *node,
                    const char *service, const struct addrinfo *hints) {
  return is_text(r->node, node) && is_text(r->service, service) &&
         r->hints.ai_flags == hints->ai_flags &&
         r->hints.ai_family == hints->ai_family &&
         r->hints.ai_socktype == hints->ai_socktype &&
         r->hints.ai_protocol == hints->ai_protocol;
}

static struct request *find_equal(struct green__resolver *res,
                                  const char *node, const char *service,
                                  const struct addrinfo *hints) {
  uint32_t hash = hash_of(node, service, hints);
  struct request *r = res->buckets[hash % BUCKETS];
  while (r && (r->hash != hash || !is_equal(r, node, service, hints)))
    r = r->equal;
  return r;
}

static void put_in_bucket(struct green__resolver *res, struct request *r) {
  r->equal = res->buckets[r->hash % BUCKETS];
  res->buckets[r->hash % BUCKETS] = r;
}

static void take_from_bucket(struct green__resolver *res, struct request *r) {
  struct request **at = &res->buckets[r->hash % BUCKETS];
  while (*at != r) at = &(*at)->equal;
  *at = r->equal;
}

static char *copy(char *to, const char *from) {
  return from ? memcpy(to, from, strlen(from) + 1) : NULL;
}

static void done(struct green_hub *h, void *arg);

static struct request *request_make(const char *node, const char *service,
                                    const struct addrinfo *hints) {
  size_t n = node ? strlen(node) + 1 : 0;
  size_t s = service ? strlen(service) + 1 : 0;
  struct request *r = green__alloc(sizeof *r + n + s);
  if (!r) return NULL;
  r->job.fn = done;
  r->job.arg = r;
  r->node = copy((char *)(r + 1), node);
  r->service = copy((char *)(r + 1) + n, service);
  r->hints = *hints;
  r->hash = hash_of(node, service, hints);
  green_list_init(&r->waiters);
  return r;
}

/* --- the queue of a lane, under the lock --- */

static void enqueue(struct lane *lane, struct request *r) {
  r->lane = lane;
  r->link = lane->last;
  *lane->last = r;
  lane->last = &r->next;
  lane->queued++;
}

static void dequeue(struct request *r) {
  struct lane *lane = r->lane;
  assert(r->link && *r->link == r);
  *r->link = r->next;
  if (r->next)
    r->next->link = r->link;
  else
    lane->last = r->link;
  r->next = NULL;
  r->link = NULL;
  lane->queued--;
}

/* --- the OS threads --- */

static void resolver_release(struct green__resolver *res) {
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

/* More threads than it may have, since one came back that was given up. */
static int is_surplus(const struct lane *lane) {
  return lane->threads - lane->stuck > lane->most;
}

/* The next one for a thread; NULL: the thread ends. */
static struct request *next_request(struct lane *lane) {
  struct green__resolver *res = lane->resolver;
  struct request *r = NULL;
  pthread_mutex_lock(&res->lock);
  lane->idle++;
  while (!lane->first && !res->closed && !is_surplus(lane))
    pthread_cond_wait(&lane->more, &res->lock);
  lane->idle--;
  if (res->closed || is_surplus(lane)) {
    lane->threads--;
    pthread_cond_signal(&lane->more); /* the request that woke it is left */
  } else {
    dequeue(r = lane->first);
  }
  pthread_mutex_unlock(&res->lock);
  return r;
}

static void is_over(struct request *r) {
  struct lane *lane = r->lane;
  pthread_mutex_lock(&lane->resolver->lock);
  r->over = 1;
  if (r->abandoned) lane->stuck--;
  pthread_mutex_unlock(&lane->resolver->lock);
}

static void *look_up(void *arg) {
  struct lane *lane = arg;
  struct green__resolver *res = lane->resolver;
  struct request *r;
  while ((r = next_request(lane))) {
    r->error = getaddrinfo(r->node, r->service, &r->hints, &r->list);
    if (r->error) r->list = NULL;
    is_over(r);
    if (green__post_job(res->post, &r->job) < 0) request_free(r);
  }
  resolver_release(res);
  return NULL;
}

/* All signals stay with the threads that were there before. */
static int start_thread(struct lane *lane) {
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

static int may_start(const struct lane *lane) {
  return lane->threads - lane->stuck < lane->most &&
         lane->threads < MOST_THREADS;
}

/* Would the next request be taken at once? */
static int has_room(const struct lane *lane) {
  return lane->idle > lane->queued || may_start(lane);
}

/* --- the hub's side --- */

static void lane_init(struct green__resolver *res, struct lane *lane,
                      uint32_t most) {
  lane->resolver = res;
  lane->last = &lane->first;
  lane->most = most;
  pthread_cond_init(&lane->more, NULL);
}

static int resolver_make(struct green_hub *h) {
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
  res->refs = 1;
  h->resolver = res;
  return 0;
}

static int is_numeric(const char *node) {
  struct addrinfo hints, *list;
  memset(&hints, 0, sizeof hints);
  hints.ai_flags = AI_NUMERICHOST;
  if (getaddrinfo(node, NULL, &hints, &list)) return 0;
  freeaddrinfo(list);
  return 1;
}

/* A service by name is looked for in a file; a name that the hosts file knows
 * is apart only where it would have to wait. */
static struct lane *lane_for(struct green__resolver *res,
                             const struct request *r) {
  int room;
  if (!r->node || is_numeric(r->node)) return &res->local;
  pthread_mutex_lock(&res->lock);
  room = has_room(&res->servers);
  pthread_mutex_unlock(&res->lock);
  if (room) return &res->servers;
  return green__hosts_know(&res->hosts, r->node, r->hints.ai_family)
             ? &res->local
             : &res->servers;
}

/* Queues the request and sees to it that a thread will take it. */
static int submit(struct green__resolver *res, struct request *r) {
  struct lane *lane = lane_for(res, r);
  int error = 0;
  pthread_mutex_lock(&res->lock);
  if (lane->idle <= lane->queued && may_start(lane)) {
    error = start_thread(lane);
    if (lane->threads) error = 0; /* the others will take it */
  }
  if (!error) {
    enqueue(lane, r);
    pthread_cond_signal(&lane->more);
  }
  pthread_mutex_unlock(&res->lock);
  if (!error) put_in_bucket(res, r);
  return error;
}

/* Its last holder has left. */
static void abandon(struct green_hub *h, struct request *r) {
  struct green__resolver *res = h->resolver;
  struct lane *lane = r->lane;
  int queued;
  pthread_mutex_lock(&res->lock);
  queued = r->link != NULL;
  if (queued) {
    dequeue(r);
  } else if (!r->over) {
    r->abandoned = 1;
    lane->stuck++;
    if (lane->idle < lane->queued && may_start(lane)) start_thread(lane);
  }
  pthread_mutex_unlock(&res->lock);
  green__post_busy(h, -1);
  if (!queued)
    return; /* done() will free it, or a caller comes who holds it */
  take_from_bucket(res, r);
  request_free(r);
}

static void let_go(struct green_hub *h, struct request *r) {
  assert(r->refs > 0);
  if (--r->refs) return;
  if (r->done)
    request_free(r);
  else
    abandon(h, r);
}

static void hold(struct green_hub *h, struct request *r) {
  assert(!r->done);
  if (r->refs++) return;
  green__post_busy(h, 1);
  pthread_mutex_lock(&h->resolver->lock);
  if (r->abandoned && !r->over) r->lane->stuck--;
  r->abandoned = 0;
  pthread_mutex_unlock(&h->resolver->lock);
}

/* A request is back: hands the result over, or disposes of it. */
static void done(struct green_hub *h, void *arg) {
  struct request *r = arg;
  take_from_bucket(r->lane->resolver, r);
  r->done = 1;
  if (!r->refs) {
    request_free(r);
    return;
  }
  green__post_busy(h, -1);
  green_wake_all(h, &r->waiters, GREEN_WOKEN);
}

/* --- look-ups --- */

static int uv_error(int error) {
  switch (error) {
    case 0: return 0;
    case EAI_AGAIN: return UV_EAI_AGAIN;
    case EAI_FAIL: return UV_EAI_FAIL;
    case EAI_FAMILY: return UV_EAI_FAMILY;
    case EAI_MEMORY: return UV_EAI_MEMORY;
    case EAI_SERVICE: return UV_EAI_SERVICE;
    case EAI_SOCKTYPE: return UV_EAI_SOCKTYPE;
    case EAI_BADFLAGS: return UV_EAI_BADFLAGS;
    default: return UV_EAI_NONAME;
  }
}

/* Numeric addresses are answered here and now; 1: it is none. */
static int numeric(const char *node, const char *service,
                   const struct addrinfo *hints, struct addrinfo **list) {
  struct addrinfo h = *hints, *found;
  int r;
  h.ai_flags |= AI_NUMERICHOST | AI_NUMERICSERV;
  if (getaddrinfo(node, service, &h, &found)) return 1;
  r = copy_list(found, list);
  freeaddrinfo(found);
  return r;
}

static const struct green_wait_kind resolve_kind = {"resolve", NULL, NULL};

static int await(struct green_hub *h, struct request *r, uint64_t deadline,
                 struct addrinfo **list) {
  int result;
  hold(h, r);
  result = green_wait(h, &resolve_kind, r, &r->waiters, deadline);
  if (result == GREEN_WOKEN) {
    assert(r->done);
    result = r->error ? uv_error(r->error) : copy_list(r->list, list);
    let_go(h, r);
    return result;
  }
  let_go(h, r);
  return green__result(h, result);
}

/* The same without what a caller may leave out, or undefined. */
static struct addrinfo plain(const struct addrinfo *hints) {
  struct addrinfo h;
  memset(&h, 0, sizeof h);
  if (!hints) return h;
  h.ai_flags = hints->ai_flags;
  h.ai_family = hints->ai_family;
  h.ai_socktype = hints->ai_socktype;
  h.ai_protocol = hints->ai_protocol;
  return h;
}

int green_getaddrinfo(struct green_hub *h, const char *node,
                      const char *service, const struct addrinfo *wanted,
                      uint64_t deadline, struct addrinfo **list) {
  struct addrinfo hints = plain(wanted);
  struct request *r;
  int error;
  *list = NULL;
  if (!green__at_home(h)) return UV_EPERM;
  if (deadline > 0 && h->hot.current && (error = green__enter(h)) < 0)
    return error;
  if ((error = numeric(node, service, &hints, list)) <= 0) return error;
  if (deadline == 0) return UV_ETIMEDOUT;
  if (!h->hot.current) return UV_EPERM;
  if (!h->resolver && (error = resolver_make(h)) < 0) return error;
  if ((r = find_equal(h->resolver, node, service, &hints)))
    return await(h, r, deadline, list);
  if (!(r = request_make(node, service, &hints))) return UV_ENOMEM;
  if ((error = submit(h->resolver, r)) < 0) {
    green__free(r);
    return error;
  }
  return await(h, r, deadline, list);
}

static void drop_queue(struct lane *lane) {
  struct request *r;
  while ((r = lane->first)) {
    dequeue(r);
    request_free(r);
  }
  pthread_cond_broadcast(&lane->more);
}

/* Queued look-ups are dropped; those under way end on their own. A forked child
 * has none of the threads, and perhaps a lock that one of them held. */
void green__resolver_shutdown(struct green_hub *h) {
  struct green__resolver *res = h->resolver;
  if (!res) return;
  h->resolver = NULL;
  if (!green__at_home(h)) return;
  pthread_mutex_lock(&res->lock);
  res->closed = 1;
  drop_queue(&res->servers);
  drop_queue(&res->local);
  pthread_mutex_unlock(&res->lock);
  green_post_hold(res->post); /* the resolver's own, until its threads end */
  green_post_close(h, res->post);
  resolver_release(res);
}
