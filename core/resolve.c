/* resolve.c - names to addresses.
 *
 * getaddrinfo(3) blocks for as long as a name server pleases, so it runs on
 * detached OS threads of the hub's own (made on demand, at most 8), apart from
 * libuv's pool: four black-holed look-ups must not stop file I/O. A request
 * owns all its memory; a caller that leaves early lets go of it, and whoever
 * finishes it disposes of the result. Closing the hub waits for nobody.
 *
 * SPDX-License-Identifier: MIT
 */
#include <netdb.h>
#include <signal.h>
#include <string.h>
#include <sys/types.h>

#include "internal.h"

enum { MOST_THREADS = 8, MOST_QUEUED = 256 };

struct request {
  struct request *next;
  struct green__job job;       /* takes it back to the hub */
  struct green_thread *thread; /* the hub's side; NULL: nobody waits */
  struct green__resolver *resolver;
  struct addrinfo hints, *list;
  int error, done;
  char *node, *service; /* after the struct, or NULL */
};

struct green__resolver {
  pthread_mutex_t lock;
  pthread_cond_t more;
  struct request *first, **last; /* under the lock */
  uint32_t threads, idle, queued;
  uint32_t refs; /* the hub and the threads */
  int closed;
  struct green_post *post;
};

static void request_free(struct request *r) {
  if (r->list) freeaddrinfo(r->list);
  green__free(r);
}

static void resolver_release(struct green__resolver *res) {
  uint32_t refs;
  pthread_mutex_lock(&res->lock);
  refs = --res->refs;
  pthread_mutex_unlock(&res->lock);
  if (refs) return;
  green_post_release(res->post);
  pthread_cond_destroy(&res->more);
  pthread_mutex_destroy(&res->lock);
  green__free(res);
}

/* On the hub: hands the result over, or disposes of it. */
static void done(struct green_hub *h, void *arg) {
  struct request *r = arg;
  green__post_busy(h, -1);
  if (!r->thread) {
    request_free(r);
    return;
  }
  r->done = 1;
  green_wake(h, r->thread, GREEN_WOKEN); /* or it was woken otherwise */
}

static struct request *next_request(struct green__resolver *res) {
  struct request *r;
  pthread_mutex_lock(&res->lock);
  res->idle++;
  while (!res->first && !res->closed)
    pthread_cond_wait(&res->more, &res->lock);
  res->idle--;
  r = res->closed ? NULL : res->first;
  if (r) {
    res->first = r->next;
    if (!res->first) res->last = &res->first;
    res->queued--;
  }
  pthread_mutex_unlock(&res->lock);
  return r;
}

static void *look_up(void *arg) {
  struct green__resolver *res = arg;
  struct request *r;
  while ((r = next_request(res))) {
    r->error = getaddrinfo(r->node, r->service, &r->hints, &r->list);
    if (r->error) r->list = NULL;
    if (green__post_job(res->post, &r->job) < 0) request_free(r);
  }
  resolver_release(res);
  return NULL;
}

/* All signals stay with the threads that were there before. */
static int start_thread(struct green__resolver *res) {
  pthread_t thread;
  sigset_t all, old;
  int error;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  error = pthread_create(&thread, NULL, look_up, res);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (error) return -error;
  pthread_detach(thread);
  return 0;
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
  pthread_cond_init(&res->more, NULL);
  res->last = &res->first;
  res->refs = 1;
  h->resolver = res;
  return 0;
}

/* Queues the request and sees to it that a thread will take it. */
static int submit(struct green__resolver *res, struct request *r) {
  int error = 0;
  pthread_mutex_lock(&res->lock);
  if (res->queued >= MOST_QUEUED) {
    error = UV_EAI_AGAIN;
  } else if (res->idle <= res->queued && res->threads < MOST_THREADS) {
    error = start_thread(res);
    if (!error) res->threads++, res->refs++;
    if (res->threads) error = 0; /* the others will take it */
  }
  if (!error) {
    *res->last = r;
    res->last = &r->next;
    res->queued++;
    pthread_cond_signal(&res->more);
  }
  pthread_mutex_unlock(&res->lock);
  return error;
}

static char *copy(char *to, const char *from) {
  return from ? memcpy(to, from, strlen(from) + 1) : NULL;
}

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
  if (hints) {
    r->hints.ai_flags = hints->ai_flags;
    r->hints.ai_family = hints->ai_family;
    r->hints.ai_socktype = hints->ai_socktype;
    r->hints.ai_protocol = hints->ai_protocol;
  }
  return r;
}

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

/* Numeric addresses are answered here and now. */
static int numeric(const char *node, const char *service,
                   const struct addrinfo *hints, struct addrinfo **list) {
  struct addrinfo h;
  memset(&h, 0, sizeof h);
  if (hints) h = *hints;
  h.ai_flags |= AI_NUMERICHOST | AI_NUMERICSERV;
  return getaddrinfo(node, service, &h, list);
}

static const struct green_wait_kind resolve_kind = {"resolve", NULL, NULL};

static int await(struct green_hub *h, struct request *r, uint64_t deadline,
                 struct addrinfo **list) {
  int result;
  r->thread = h->hot.current;
  result = green_wait(h, &resolve_kind, r, NULL, deadline);
  if (result != GREEN_WOKEN) {
    if (r->done)
      request_free(r);
    else
      r->thread = NULL; /* done() will free it */
    return green__result(h, result);
  }
  result = uv_error(r->error);
  *list = r->list;
  r->list = NULL;
  request_free(r);
  return result;
}

int green_getaddrinfo(struct green_hub *h, const char *node,
                      const char *service, const struct addrinfo *hints,
                      uint64_t deadline, struct addrinfo **list) {
  struct request *r;
  int error;
  *list = NULL;
  if (!green__at_home(h)) return UV_EPERM;
  if (deadline > 0 && h->hot.current && (error = green__enter(h)) < 0)
    return error;
  if (numeric(node, service, hints, list) == 0) return 0;
  if (deadline == 0) return UV_ETIMEDOUT;
  if (!h->hot.current) return UV_EPERM;
  if (!h->resolver && (error = resolver_make(h)) < 0) return error;
  if (!(r = request_make(node, service, hints))) return UV_ENOMEM;
  if ((error = submit(h->resolver, r)) < 0) {
    green__free(r);
    return error;
  }
  green__post_busy(h, 1);
  return await(h, r, deadline, list);
}

/* Queued look-ups are dropped; those under way end on their own. */
void green__resolver_shutdown(struct green_hub *h) {
  struct green__resolver *res = h->resolver;
  struct request *r;
  if (!res) return;
  pthread_mutex_lock(&res->lock);
  res->closed = 1;
  r = res->first;
  res->first = NULL;
  pthread_cond_broadcast(&res->more);
  pthread_mutex_unlock(&res->lock);
  while (r) {
    struct request *next = r->next;
    request_free(r);
    r = next;
  }
  h->resolver = NULL;
  green_post_hold(res->post); /* the resolver's own, until its threads end */
  green_post_close(h, res->post);
  resolver_release(res);
}
