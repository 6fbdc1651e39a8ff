/* answers.c - the answers of libc, and copies of them.
 *
 * Each caller has a copy of its own, so that an answer may serve many.
 * green__lookup_run() and green__lookup_free() may run on any OS thread, the
 * rest on the hub's.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "resolve.h"

/* --- asking --- */

static void ask_addresses(struct green__lookup *l) {
  const struct green__question *q = &l->question;
  struct addrinfo hints;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = q->family;
  hints.ai_socktype = q->socktype;
  hints.ai_protocol = q->protocol;
  hints.ai_flags = q->flags;
  l->error = getaddrinfo(q->node, q->service, &hints, &l->list);
  if (l->error) l->list = NULL;
}

static void ask_names(struct green__lookup *l) {
  const struct green__question *q = &l->question;
  struct sockaddr_storage a;
  char host[NI_MAXHOST] = "", service[NI_MAXSERV] = "";
  size_t size;
  memset(&a, 0, sizeof a);
  memcpy(&a, q->node, q->node_size);
  l->error = getnameinfo((const struct sockaddr *)&a, (socklen_t)q->node_size,
                         host, sizeof host, service, sizeof service, q->flags);
  if (l->error) return;
  size = strlen(host) + 1;
  if (!(l->host = green__alloc(size + strlen(service) + 1))) {
    l->error = EAI_MEMORY;
    return;
  }
  l->service = strcpy(l->host + size, service);
  memcpy(l->host, host, size);
}

/* Would another descriptor be refused? 0, or the reason as a code. */
static int no_descriptor(void) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno == EMFILE || errno == ENFILE ? -errno : 0;
  close(fd);
  return 0;
}

/* Where libc cannot open a file or a socket it says that no server answers, or
 * that there is no such name. So ask it whether that was the reason: then this
 * is no answer. `system`: errno, as the call has left it. */
static int code_of(int error, int system) {
  int code;
  if (!error) return 0;
  if ((code = no_descriptor()) < 0) return code;
  if (error == EAI_SYSTEM && system) return -system;
  return green__lookup_error(error);
}

void green__lookup_run(struct green__lookup *l) {
  errno = 0;
  if (l->question.what == GREEN__ADDRESSES)
    ask_addresses(l);
  else
    ask_names(l);
  l->code = code_of(l->error, errno);
}

void green__lookup_free(struct green__lookup *l) {
  if (l->list) freeaddrinfo(l->list);
  green__free(l->host);
  green__free(l);
}

int green__lookup_error(int error) {
  switch (error) {
    case 0: return 0;
    case EAI_AGAIN: return UV_EAI_AGAIN;
    case EAI_FAIL: return UV_EAI_FAIL;
    case EAI_FAMILY: return UV_EAI_FAMILY;
    case EAI_MEMORY: return UV_EAI_MEMORY;
    case EAI_SERVICE: return UV_EAI_SERVICE;
    case EAI_SOCKTYPE: return UV_EAI_SOCKTYPE;
    case EAI_BADFLAGS: return UV_EAI_BADFLAGS;
#ifdef EAI_ADDRFAMILY
    case EAI_ADDRFAMILY: return UV_EAI_ADDRFAMILY;
#endif
#ifdef EAI_OVERFLOW
    case EAI_OVERFLOW: return UV_EAI_OVERFLOW;
#endif
#ifdef EAI_NODATA
    case EAI_NODATA: return UV_EAI_NODATA;
#endif
    default: return UV_EAI_NONAME;
  }
}

int green__is_numeric(const char *node) {
  struct addrinfo hints, *list;
  memset(&hints, 0, sizeof hints);
  hints.ai_flags = AI_NUMERICHOST;
  if (getaddrinfo(node, NULL, &hints, &list)) return 0;
  freeaddrinfo(list);
  return 1;
}

/* --- lists of addresses --- */

void green_freeaddrinfo(struct addrinfo *list) {
  while (list) {
    struct addrinfo *next = list->ai_next;
    green__free(list->ai_canonname);
    green__free(list);
    list = next;
  }
}

static void set_port(struct sockaddr *a, int port) {
  if (a->sa_family == AF_INET)
    ((struct sockaddr_in *)a)->sin_port = htons((uint16_t)port);
  else if (a->sa_family == AF_INET6)
    ((struct sockaddr_in6 *)a)->sin6_port = htons((uint16_t)port);
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

int green__copy_list(const struct addrinfo *from, int port,
                     struct addrinfo **list) {
  struct addrinfo **end = list;
  for (*list = NULL; from; from = from->ai_next) {
    if (!(*end = copy_one(from))) {
      green_freeaddrinfo(*list);
      *list = NULL;
      return UV_ENOMEM;
    }
    if (port >= 0) set_port((*end)->ai_addr, port);
    end = &(*end)->ai_next;
  }
  return 0;
}

int green__copy_text(const char *from, char *to, size_t size) {
  size_t n = strlen(from);
  if (!to || !size) return 0;
  if (n >= size) return UV_EAI_OVERFLOW;
  memcpy(to, from, n + 1);
  return 0;
}
