/* race.c - connecting to the first of several addresses that answers.
 *
 * As RFC 8305 has it: attempts begin one after the other, families in turn, the
 * next one when the last has failed or has not answered for a while; the first
 * that succeeds wins, and all others are closed. So an address that swallows
 * packets costs a quarter of a second, and not the whole limit. The address
 * that the resolver put first begins: getaddrinfo() sorts by RFC 6724, which
 * prefers IPv6 where that leads anywhere, and by the machine's own rules.
 *
 * getaddrinfo() answers for both families at once, so the race cannot begin
 * when one of them is known, as the RFC would like it (section 3).
 *
 * The attempts live on the C stack, which the thread keeps. While they go on
 * the socket has no descriptor; closing it ends them.
 *
 * Green threads only.
 *
 * SPDX-License-Identifier: MIT
 */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "net/calls.h"
#include "net/waiting.h"
#include "runtime/park.h"

/* Ns before the next attempt begins: RFC 8305's Connection Attempt Delay, and
 * the least that it allows. */
static const uint64_t STAGGER = 250000000, LEAST_STAGGER = 10000000;

struct race {
  struct lg *G;
  struct lg_socket *s;
  const struct addrinfo *next; /* the first that has not begun */
  const struct addrinfo *from; /* an address of each family, or NULL */
  uint64_t next_at, deadline;
  int error; /* of the last that failed */
  int n;     /* under way: */
  int fds[GREEN_MOST_FDS], families[GREEN_MOST_FDS];
  struct green_fd *watched[GREEN_MOST_FDS];
};

/* --- the order of the addresses --- */

/* Merges two lists, an address from each in turn, from `a` first. */
static struct addrinfo *weave(struct addrinfo *a, struct addrinfo *b) {
  struct addrinfo *head = NULL, **end = &head;
  while (a) {
    struct addrinfo *rest = a->ai_next;
    *end = a;
    end = &a->ai_next;
    a = b ? b : rest;
    b = b ? rest : NULL;
  }
  *end = NULL;
  return head;
}

struct addrinfo *lg_addresses_in_turns(struct addrinfo *list) {
  struct addrinfo *same = NULL, *other = NULL, **s = &same, **o = &other, *a;
  for (a = list; a; a = a->ai_next) {
    struct addrinfo ***end = a->ai_family == list->ai_family ? &s : &o;
    **end = a;
    *end = &a->ai_next;
  }
  *s = *o = NULL;
  return weave(same, other);
}

/* --- attempts --- */

static int left(const struct race *r) {
  const struct addrinfo *a;
  int n = 0;
  for (a = r->next; a; a = a->ai_next) n++;
  return n;
}

/* The last one has begun. A limit that is short is shared by all that are
 * left. */
static void set_next(struct race *r) {
  uint64_t now = green_now();
  uint64_t share = now < r->deadline ? r->deadline - now : 0;
  share /= (uint64_t)left(r) + 1;
  if (share > STAGGER) share = STAGGER;
  r->next_at = now + (share < LEAST_STAGGER ? LEAST_STAGGER : share);
}

/* Ends an attempt: its descriptor is closed, or that of the winner kept. The
 * others stay in the order in which they began. */
static void end_attempt(struct race *r, int i, int won) {
  size_t behind = (size_t)(r->n - i - 1);
  if (won) {
    assert(r->s->fd < 0 && !r->s->f);
    r->s->fd = r->fds[i];
    lg_socket_count(r->s, 1);
    r->s->family = r->families[i];
    r->s->f = r->watched[i];
  } else {
    green_fd_close(r->G->hub, r->watched[i]);
    close(r->fds[i]);
  }
  r->n--;
  memmove(r->fds + i, r->fds + i + 1, behind * sizeof *r->fds);
  memmove(r->families + i, r->families + i + 1, behind * sizeof *r->families);
  memmove(r->watched + i, r->watched + i + 1, behind * sizeof *r->watched);
}

static void end_all(struct race *r) {
  while (r->n) end_attempt(r, r->n - 1, 0);
}

enum outcome { GOES_ON, FAILED, WON };

static enum outcome look_at(struct race *r, int i) {
  struct pollfd p = {r->fds[i], POLLOUT, 0};
  socklen_t size = sizeof(int);
  int error = 0;
  if (poll(&p, 1, 0) <= 0) return GOES_ON;
  getsockopt(r->fds[i], SOL_SOCKET, SO_ERROR, &error, &size);
  end_attempt(r, i, !error);
  if (!error) return WON;
  r->error = error;
  r->next_at = 0; /* no need to wait for the next one */
  return FAILED;
}

/* Of several that have won, the one that began first. */
static int look_at_all(struct race *r) {
  int i = 0;
  while (i < r->n) {
    enum outcome is = look_at(r, i);
    if (is == WON) return 1;
    if (is == GOES_ON) i++;
  }
  return 0;
}

int lg_bind_from(int fd, int family, const struct addrinfo *from) {
  const struct addrinfo *a = from;
  if (!from) return 0;
  while (a && a->ai_family != family) a = a->ai_next;
  if (!a) return EADDRNOTAVAIL;
  return bind(fd, a->ai_addr, a->ai_addrlen) < 0 ? errno : 0;
}

/* Begins with the next address: 0, or an errno. */
static int begin(lua_State *L, struct race *r) {
  const struct addrinfo *a = r->next;
  int fd = lg_socket_open_fd(L, r->G, a->ai_family), error, code;
  r->next = a->ai_next;
  if (fd < 0) return -fd;
  error = lg_bind_from(fd, a->ai_family, r->from);
  if (!error && connect(fd, a->ai_addr, a->ai_addrlen) < 0) error = errno;
  /* Interrupted by a signal, connect() goes on by itself. */
  if (error && error != EINPROGRESS && error != EINTR) {
    close(fd);
    return error;
  }
  code = green_fd_open(r->G->hub, fd, &r->watched[r->n]);
  if (code < 0) {
    close(fd);
    return -code; /* libuv's codes are those of errno, negated */
  }
  r->families[r->n] = a->ai_family;
  r->fds[r->n++] = fd;
  set_next(r);
  return 0;
}

/* Begins with all that are due; those that fail at once hold up none. Where as
 * many go on as may, the oldest gives way: each address has its chance. */
static void begin_due(lua_State *L, struct race *r) {
  while (r->next && (r->n == 0 || green_now() >= r->next_at)) {
    int error;
    if (r->n == GREEN_MOST_FDS) end_attempt(r, 0, 0);
    error = begin(L, r);
    if (error) r->error = error;
  }
}

/* 0, or a code of the core's: UV_ETIMEDOUT if nothing has come. */
static int wait_for_some(lua_State *L, struct race *r) {
  uint64_t until = r->next ? lg_earlier(r->next_at, r->deadline) : r->deadline;
  int code = lg_keep(L, r->G);
  if (code < 0) return code;
  r->s->connecting = lg_running(r->G);
  code = green_fd_wait_any(r->G->hub, r->watched, r->n, GREEN_WRITABLE, until);
  r->s->connecting = NULL;
  lg_kept(r->G);
  return code < 0 ? code : 0;
}

static int run(lua_State *L, struct race *r) {
  for (;;) {
    int code;
    begin_due(L, r);
    if (r->s->closed) return UV_EBADF; /* by a finalizer */
    if (r->n == 0) return r->error;
    code = wait_for_some(L, r);
    if (r->s->closed) return UV_EBADF;
    if (code < 0 && code != UV_ETIMEDOUT) return code;
    if (look_at_all(r)) return 0;
    if (r->n && green_now() >= r->deadline) return ETIMEDOUT;
  }
}

int lg_connect_race(lua_State *L, struct lg_socket *s,
                    const struct addrinfo *list, const struct addrinfo *from,
                    uint64_t deadline) {
  struct race r = {
      .G = s->G, .s = s, .next = list, .from = from, .deadline = deadline};
  int result;
  assert(s->fd < 0 && !s->connecting && list);
  lg_socket_shut(s); /* nothing is left of a former connection */
  result = run(L, &r);
  end_all(&r);
  return result;
}
