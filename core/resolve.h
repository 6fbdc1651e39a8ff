/* resolve.h - a look-up, as resolve.c, lanes.c and answers.c know it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_RESOLVE_H
#define GREEN_RESOLVE_H

#include <netdb.h>
#include <sys/socket.h>

#include "internal.h"

/* Is it asked for the addresses of a name, or the name of an address? */
enum green__asked { GREEN__ADDRESSES, GREEN__NAMES };

/* What is asked: equal ones have equal answers. `node` is a name, or a socket
 * address; NULL: there is none. Their sizes count the zero byte of a text. */
struct green__question {
  enum green__asked what;
  int family, socktype, protocol, flags;
  uint32_t node_size, service_size;
  const char *node, *service;
};

struct green__lookup;
struct green__queue {
  struct green__lookup *first, **last;
  uint32_t count;
};

/* Threads of one kind, and the look-ups that wait for them. */
struct green__lane {
  struct green__resolver *resolver;
  pthread_cond_t more;
  struct green__queue queue;
  uint32_t idle, threads;
  uint32_t stuck; /* of the threads: nobody waits for their look-up */
  uint32_t most;
};

struct green__lookup {
  struct green__job job;     /* takes it back to the hub */
  struct green_list waiters; /* of its holders: those that still wait */
  uint32_t refs;             /* holders */
  uint32_t hash;
  struct green__lookup *equal; /* next in its bucket */
  uint8_t done;                /* it came back to the hub */
  uint8_t kept;      /* it is done, and stays for later callers until then: */
  uint8_t over;      /* under the lock: the call of libc has returned */
  uint8_t abandoned; /* under the lock: a thread has it, nobody holds it */
  uint64_t expires;
  struct green__lane *lane;
  /* In the queue of its lane, or of what is kept; link NULL: in neither. */
  struct green__lookup *next, **link;
  struct green__question question; /* its texts stand after the struct */
  /* The answer: 0 or one of getaddrinfo's codes, and the same as ours; and
   * libc's list, or a host and a service. */
  int error, code;
  struct addrinfo *list;
  char *host, *service; /* in one block, the host's */
};

enum { GREEN__BUCKETS = 256 };

struct green__resolver {
  pthread_mutex_t lock;
  struct green__lane servers, local; /* under the lock */
  int closed;                        /* the same */
  uint32_t refs;                     /* the same: the hub and the threads */
  struct green_post *post;
  struct green__hosts *hosts;
  struct green__lookup *buckets[GREEN__BUCKETS]; /* under way or kept */
  struct green__queue kept;                      /* the oldest first */
};

/* --- lanes.c --- */

void green__queue_init(struct green__queue *q);
void green__queue_add(struct green__queue *q, struct green__lookup *l);
void green__queue_remove(struct green__queue *q, struct green__lookup *l);

/* 0, and h->resolver; or an error. */
int green__resolver_make(struct green_hub *h);
/* One holder fewer of its memory. */
void green__resolver_release(struct green__resolver *res);
/* Queues it, and sees to it that a thread will take it. 0, or an error. */
int green__lane_submit(struct green__lane *lane, struct green__lookup *l);
/* Would a thread take the next one at once? */
int green__lane_has_room(struct green__lane *lane);
/* Nobody holds it any more. 1: it was queued, and is not any longer; 0: a
 * thread has it. And: somebody holds it again. */
int green__lane_abandon(struct green__lookup *l);
void green__lane_retrieve(struct green__lookup *l);

/* --- answers.c --- */

/* Asks libc, on an OS thread. */
void green__lookup_run(struct green__lookup *l);
void green__lookup_free(struct green__lookup *l);
/* As libuv spells it. */
int green__lookup_error(int error);
/* Copies of the answer: 0 or an error. The port stands in each address where
 * it is not negative. */
int green__copy_list(const struct addrinfo *from, int port,
                     struct addrinfo **list);
int green__copy_text(const char *from, char *to, size_t size);
/* Is it a number that getaddrinfo() needs no look-up for? */
int green__is_numeric(const char *node);

#endif
