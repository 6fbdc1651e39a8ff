/* resolve.c - names to addresses, and back.
 *
 * libc is asked on OS threads (lanes.c), of which those that ask a server are
 * others than those that ask this machine. A look-up owns all its memory. Equal
 * ones that are under way share one run: each caller holds the look-up, and
 * takes a copy of the answer. A look-up that nobody holds any more leaves the
 * queue.
 *
 * A port is no part of what is asked: it is put into the copies. An answer may
 * be kept for callers to come, for a time that the hub's options say, since
 * getaddrinfo(3) tells none: this is off unless a program asks for it. "Unknown
 * name" is an answer, too; "no server could tell" is not.
 *
 * On the hub or a green thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "resolve.h"

/* --- questions --- */

static uint32_t add_bytes(uint32_t hash, const char *bytes, uint32_t n) {
  uint32_t i;
  for (i = 0; i < n; i++) hash = (hash ^ (uint8_t)bytes[i]) * 16777619u;
  return hash ^ 0x5bd1e995u;
}

static uint32_t hash_of(const struct green__question *q) {
  uint32_t hash = add_bytes(2166136261u, q->node, q->node_size);
  hash = add_bytes(hash, q->service, q->service_size);
  return (hash ^ (uint32_t)q->family ^ (uint32_t)q->flags << 8) * 16777619u;
}

static int is_equal(const struct green__question *a,
                    const struct green__question *b) {
  return a->what == b->what && a->node_size == b->node_size &&
         a->service_size == b->service_size && a->flags == b->flags &&
         a->family == b->family && a->socktype == b->socktype &&
         a->protocol == b->protocol &&
         (!a->node_size || !memcmp(a->node, b->node, a->node_size)) &&
         (!a->service_size ||
          !memcmp(a->service, b->service, a->service_size));
}

/* The number that the service is, or -1: it has to be looked up. */
static int port_of(const char *service) {
  size_t n = strspn(service, "0123456789");
  long port;
  if (!n || service[n] || n > 5) return -1;
  port = strtol(service, NULL, 10);
  return port <= 65535 ? (int)port : -1;
}

static uint32_t size_of(const char *text) {
  return text ? (uint32_t)strlen(text) + 1 : 0;
}

/* Without what makes no difference to the addresses; *port: what it is to be
 * in them, or -1. */
static struct green__question ask_for(const char *node, const char *service,
                                      const struct addrinfo *hints,
                                      int *port) {
  struct green__question q;
  memset(&q, 0, sizeof q);
  q.what = GREEN__ADDRESSES;
  if (hints) {
    q.family = hints->ai_family;
    q.socktype = hints->ai_socktype;
    q.protocol = hints->ai_protocol;
    q.flags = hints->ai_flags;
  }
  *port = service ? port_of(service) : -1;
  if (node && *port >= 0) {
    service = NULL;
    q.flags &= ~AI_NUMERICSERV;
  }
  if (node) q.flags &= ~AI_PASSIVE;
  q.node = node;
  q.node_size = size_of(node);
  q.service = service;
  q.service_size = size_of(service);
  return q;
}

/* --- look-ups --- */

static struct green__lookup **bucket(struct green__resolver *res,
                                     uint32_t hash) {
  return &res->buckets[hash % GREEN__BUCKETS];
}

static void put_in_bucket(struct green__resolver *res,
                          struct green__lookup *l) {
  struct green__lookup **first = bucket(res, l->hash);
  l->equal = *first;
  *first = l;
}

static void take_from_bucket(struct green__resolver *res,
                             struct green__lookup *l) {
  struct green__lookup **at = bucket(res, l->hash);
  while (*at != l) at = &(*at)->equal;
  *at = l->equal;
}

static const char *copy(char *to, const char *from, uint32_t n) {
  return n ? memcpy(to, from, n) : NULL;
}

static void done(struct green_hub *h, void *arg);

/* A task is the first member of its look-up. */
static struct green__lookup *lookup_of(struct green__task *task) {
  return (struct green__lookup *)task;
}

static void run(struct green__task *task) {
  green__lookup_run(lookup_of(task));
}

static void drop(struct green__task *task) {
  green__lookup_free(lookup_of(task));
}

static struct green__lookup *lookup_make(const struct green__question *q,
                                         uint32_t hash) {
  struct green__lookup *l =
      green__alloc(sizeof *l + q->node_size + q->service_size);
  char *texts = (char *)(l + 1);
  if (!l) return NULL;
  l->task.job.fn = done;
  l->task.job.arg = l;
  l->task.run = run;
  l->task.drop = drop;
  l->question = *q;
  l->question.node = copy(texts, q->node, q->node_size);
  l->question.service =
      copy(texts + q->node_size, q->service, q->service_size);
  l->hash = hash;
  green_list_init(&l->waiters);
  return l;
}

/* --- what is kept for later callers --- */

static void forget(struct green__resolver *res, struct green__lookup *l) {
  assert(l->kept && l->done);
  green__queue_remove(&res->kept, &l->task);
  take_from_bucket(res, l);
  l->kept = 0;
  if (!l->refs) green__lookup_free(l);
}

void green_forget_lookups(struct green_hub *h) {
  struct green__resolver *res = green__at_home(h) ? h->resolver : NULL;
  while (res && res->kept.first) forget(res, lookup_of(res->kept.first));
}

/* For how long, in ns: 0, not at all. */
static uint64_t time_to_keep(const struct green_options *o, int error) {
  int known = error != EAI_NONAME;
#ifdef EAI_NODATA
  known = known && error != EAI_NODATA;
#endif
  if (error && known) return 0; /* it may go better in a moment */
  return (error ? o->lookup_negative_ttl : o->lookup_ttl) * UINT64_C(1000000);
}

/* It is done, and in its bucket. 1: it stays there. */
static int keep(struct green_hub *h, struct green__lookup *l) {
  struct green__resolver *res = h->resolver;
  uint32_t most = h->options.lookup_cache;
  int is_answer = l->code != UV_EMFILE && l->code != UV_ENFILE;
  uint64_t ns = is_answer ? time_to_keep(&h->options, l->error) : 0;
  if (!res || !ns || !most) return 0;
  while (res->kept.count >= most) forget(res, lookup_of(res->kept.first));
  l->expires = green__real(h) + ns;
  l->kept = 1;
  green__queue_add(&res->kept, &l->task);
  return 1;
}

/* A look-up that is under way, or kept and not out of date. */
static struct green__lookup *find(struct green_hub *h,
                                  const struct green__question *q,
                                  uint32_t hash) {
  struct green__resolver *res = h->resolver;
  struct green__lookup *l = *bucket(res, hash);
  while (l && (l->hash != hash || !is_equal(&l->question, q))) l = l->equal;
  if (!l || !l->kept || l->expires > green__real(h)) return l;
  forget(res, l);
  return NULL;
}

/* --- holders --- */

static void hold(struct green_hub *h, struct green__lookup *l) {
  if (l->refs++ || l->done) return;
  green__post_busy(h, 1);
  green__lane_retrieve(&l->task);
}

/* Its last holder has left while it is under way. */
static void abandon(struct green_hub *h, struct green__lookup *l) {
  int queued = green__lane_abandon(&l->task);
  green__post_busy(h, -1);
  if (!queued)
    return; /* done() will free it, or a caller comes who holds it */
  take_from_bucket(h->resolver, l);
  green__trace(h, GREEN__ANSWERED, 0, GREEN__LOOKUP, (uintptr_t)l);
  green__lookup_free(l);
}

static void let_go(struct green_hub *h, struct green__lookup *l) {
  assert(l->refs > 0);
  if (--l->refs) return;
  if (!l->done)
    abandon(h, l);
  else if (!l->kept)
    green__lookup_free(l);
}

/* A look-up is back: hands the result over, keeps it, or disposes of it. While
 * the hub closes, it has no resolver any more, and the buckets are dead: those
 * beside it are freed by the threads that find nobody to send them to. */
static void done(struct green_hub *h, void *arg) {
  struct green__lookup *l = arg;
  int waited_for = l->refs > 0;
  l->done = 1;
  green__trace(h, GREEN__ANSWERED, 0, GREEN__LOOKUP, (uintptr_t)l);
  if (!keep(h, l)) {
    if (h->resolver) take_from_bucket(h->resolver, l);
    if (!waited_for) {
      green__lookup_free(l);
      return;
    }
  }
  if (!waited_for) return;
  green__post_busy(h, -1);
  green_wake_all(h, &l->waiters, GREEN_WOKEN);
}

/* --- the lanes --- */

/* Threads that ask servers, and that ask this machine; with those that hang. */
enum { SERVERS = 8, LOCAL = 2, MOST_THREADS = 32 };

static void finish(struct green__lanes *lanes) {
  struct green__resolver *res = (struct green__resolver *)lanes;
  green__hosts_free(res->hosts);
  green__free(res);
}

static int make(struct green_hub *h) {
  struct green__resolver *res = green__alloc(sizeof *res);
  int r = res ? green__lanes_open(h, &res->lanes, finish) : UV_ENOMEM;
  if (r < 0) {
    green__free(res);
    return r;
  }
  green__lane_open(&res->lanes, &res->servers, SERVERS, MOST_THREADS);
  green__lane_open(&res->lanes, &res->local, LOCAL, MOST_THREADS);
  green__queue_init(&res->kept);
  h->resolver = res;
  return 0;
}

/* Closing waits for no server. */
void green__resolver_shutdown(struct green_hub *h) {
  struct green__resolver *res = h->resolver;
  if (!res) return;
  if (green__at_home(h)) green_forget_lookups(h);
  h->resolver = NULL;
  green__lanes_shutdown(h, &res->lanes, 0);
}

/* --- asking --- */

/* A file answers for services by name, so they take the quick lane. Names in
 * the hosts file take it only if they would have to wait in the other. */
static struct green__lane *lane_for(struct green__resolver *res,
                                    const struct green__question *q) {
  char text[NI_MAXHOST];
  const char *node = q->node;
  if (!node || (q->what == GREEN__NAMES && q->flags & NI_NUMERICHOST))
    return &res->local;
  if (q->what == GREEN__ADDRESSES && green__is_numeric(node))
    return &res->local;
  if (green__lane_has_room(&res->servers)) return &res->servers;
  if (q->what == GREEN__NAMES) {
    if (getnameinfo((const void *)node, q->node_size, text, sizeof text, NULL,
                    0, NI_NUMERICHOST))
      return &res->servers;
    node = text;
  }
  return green__hosts_know(&res->hosts, node, q->family) ? &res->local
                                                         : &res->servers;
}

static const struct green_wait_kind resolve_kind = {"resolve", NULL, NULL};

/* Holds the request until it is done. 0: the caller lets go of it then; else a
 * code. */
static int await(struct green_hub *h, struct green__lookup *l,
                 uint64_t deadline) {
  int result;
  hold(h, l);
  if (l->done) return 0;
  result = green_wait(h, &resolve_kind, l, &l->waiters, deadline);
  if (result == GREEN_WOKEN) {
    assert(l->done);
    return 0;
  }
  let_go(h, l);
  return green__result(h, result);
}

static int submit(struct green_hub *h, const struct green__question *q,
                  uint32_t hash, struct green__lookup **lookup) {
  struct green__lane *lane = lane_for(h->resolver, q);
  struct green__lookup *l = lookup_make(q, hash);
  int error = l ? green__lane_prepare(lane) : UV_ENOMEM;
  if (error < 0) {
    if (l) green__lookup_free(l);
    return error;
  }
  green__lane_queue(lane, &l->task);
  put_in_bucket(h->resolver, *lookup = l);
  green__trace(h, GREEN__ASKED, 0, GREEN__LOOKUP, (uintptr_t)l);
  return 0;
}

/* 0 and a look-up that is done, held; or a code. */
static int look_up(struct green_hub *h, const struct green__question *q,
                   uint64_t deadline, struct green__lookup **lookup) {
  uint32_t hash = hash_of(q);
  int error;
  *lookup = h->resolver ? find(h, q, hash) : NULL;
  if (!*lookup || !(*lookup)->done) { /* there is something to wait for */
    if (green__passed(h, deadline)) return UV_ETIMEDOUT;
    if (!h->hot.current) return UV_EPERM;
  }
  if (!h->resolver && (error = make(h)) < 0) return error;
  if (!*lookup && (error = submit(h, q, hash, lookup)) < 0) return error;
  return await(h, *lookup, deadline);
}

/* --- names to addresses --- */

/* Numeric addresses are answered here and now; 1: it is none. */
static int numeric(const char *node, const char *service,
                   const struct green__question *q, struct addrinfo **list) {
  struct addrinfo h, *found;
  int r;
  memset(&h, 0, sizeof h);
  h.ai_family = q->family;
  h.ai_socktype = q->socktype;
  h.ai_protocol = q->protocol;
  h.ai_flags = q->flags | AI_NUMERICHOST | AI_NUMERICSERV;
  r = getaddrinfo(node, service, &h, &found);
  if (r && q->flags & AI_NUMERICHOST &&
      (!q->service || q->flags & AI_NUMERICSERV))
    return green__lookup_error(r); /* no thread knows better */
  if (r) return 1;
  r = green__copy_list(found, -1, list);
  freeaddrinfo(found);
  return r;
}

int green_getaddrinfo(struct green_hub *h, const char *node,
                      const char *service, const struct addrinfo *hints,
                      uint64_t deadline, struct addrinfo **list) {
  struct green__question q;
  struct green__lookup *l;
  int error, port;
  *list = NULL;
  if (!green__at_home(h)) return UV_EPERM;
  if (deadline > 0 && h->hot.current && (error = green__enter(h)) < 0)
    return error;
  q = ask_for(node, service, hints, &port);
  if ((error = numeric(node, service, &q, list)) <= 0) return error;
  if ((error = look_up(h, &q, deadline, &l)) < 0) return error;
  error = l->code ? l->code : green__copy_list(l->list, port, list);
  let_go(h, l);
  return error;
}

/* --- addresses to names --- */

int green_getnameinfo(struct green_hub *h, const struct sockaddr *address,
                      size_t size, int flags, uint64_t deadline, char *host,
                      size_t host_size, char *service, size_t service_size) {
  struct green__question q;
  struct green__lookup *l;
  int error;
  if (!green__at_home(h)) return UV_EPERM;
  if (deadline > 0 && h->hot.current && (error = green__enter(h)) < 0)
    return error;
  if (size > sizeof(struct sockaddr_storage)) return UV_EAI_FAMILY;
  if (!host_size) flags |= NI_NUMERICHOST; /* need not be looked up */
  if (!service_size) flags |= NI_NUMERICSERV;
  if (flags & NI_NUMERICHOST && flags & NI_NUMERICSERV)
    return green__lookup_error(getnameinfo(address, (socklen_t)size, host,
                                           (socklen_t)host_size, service,
                                           (socklen_t)service_size, flags));
  memset(&q, 0, sizeof q);
  q.what = GREEN__NAMES;
  q.family = address->sa_family;
  q.flags = flags;
  q.node = (const char *)address;
  q.node_size = (uint32_t)size;
  if ((error = look_up(h, &q, deadline, &l)) < 0) return error;
  error = l->code;
  if (!error) error = green__copy_text(l->host, host, host_size);
  if (!error) error = green__copy_text(l->service, service, service_size);
  let_go(h, l);
  return error;
}
