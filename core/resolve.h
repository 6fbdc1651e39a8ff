/* resolve.h - a look-up, as resolve.c and answers.c know it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_RESOLVE_H
#define GREEN_RESOLVE_H

#include <netdb.h>
#include <sys/socket.h>

#include "lanes.h"

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

struct green__lookup {
  struct green__task task;
  struct green_list waiters; /* of its holders: those that still wait */
  uint32_t refs;             /* holders */
  uint32_t hash;
  struct green__lookup *equal; /* next in its bucket */
  uint8_t done;                /* it came back to the hub */
  uint8_t kept; /* it is done, and stays for later callers until then: */
  uint64_t expires;
  struct green__question question; /* its texts stand after the struct */
  /* The answer: 0 or one of getaddrinfo's codes, and the same as ours; and
   * libc's list, or a host and a service. */
  int error, code;
  struct addrinfo *list;
  char *host, *service; /* in one block, the host's */
};

enum { GREEN__BUCKETS = 256 };

struct green__resolver {
  struct green__lanes lanes;
  struct green__lane servers, local;
  struct green__hosts *hosts;
  struct green__lookup *buckets[GREEN__BUCKETS]; /* under way or kept */
  struct green__queue kept;                      /* the oldest first */
};

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
