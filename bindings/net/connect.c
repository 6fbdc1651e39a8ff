/* connect.c - connecting and binding, by name or by path.
 *
 * Numeric addresses never go to the resolver. Of several addresses the first to
 * answer wins (race.c); where a socket has its descriptor already, they share
 * what is left of the limit. A connect always keeps its C stack, like every
 * function of the core's C shape, so it may hold lists in C variables.
 *
 * Green threads only, where they wait.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "net/lookup.h"
#include "net/calls.h"
#include "net/waiting.h"
#include "runtime/interrupt.h"

/* --- looking up --- */

static const char *look_up(lua_State *L, struct lg_socket *s, const char *host,
                           const char *port, int flags, uint64_t deadline,
                           struct addrinfo **list) {
  struct lg_query q = {
      .what = flags & AI_PASSIVE ? "bind" : "connect",
      .socket = s,
      .host = host,
      .port = port,
      .family = s->family,
      .socktype = s->kind->datagram ? SOCK_DGRAM : SOCK_STREAM,
      .flags = flags,
      .deadline = deadline};
  return lg_getaddrinfo(L, s->G, &q, list);
}

const char *lg_look_up(lua_State *L, struct lg_socket *s, const char *host,
                       const char *port, int flags, uint64_t deadline,
                       struct addrinfo **list) {
  return look_up(L, s, host, port, flags, deadline ? deadline : GREEN_FOREVER,
                 list);
}

/* --- connect --- */

/* > 0: errno of a system call; 0; < 0: a code of the core's. */
static int connect_one(lua_State *L, struct lg *G, struct lg_socket *s,
                       const struct sockaddr *address, socklen_t size,
                       uint64_t deadline) {
  uint64_t pause = 500000; /* doubles before use: 1 ms to 100 ms */
  int r;
  for (;;) {
    r = connect(s->fd, address, size);
    if (r == 0) return 0;
    if (errno == EINPROGRESS || errno == EINTR)
      return lg_connect_wait(L, G, s, deadline);
    /* A Unix listener whose backlog is full says EAGAIN, and never tells when
     * it has room again. */
    if (errno != EAGAIN || !s->kind->local) return errno;
    r = lg_connect_pause(L, G, s, deadline, &pause);
    if (r) return r;
  }
}

/* Is a code of the core's an answer, or did something strike the thread? */
static int is_answer(int code) {
  return code == 0 || code == UV_ETIMEDOUT || code == UV_EBADF;
}

/* LuaSocket's of the Unix family let go of a descriptor that was refused, and
 * stay what they are. */
static int gives_up(const struct lg_socket *s) {
  return s->kind->luasocket && s->kind->local;
}

/* Results of connect; on an interruption the descriptor is closed: nobody
 * could tell how far it had come. */
static int connected(lua_State *L, struct lg *G, struct lg_socket *s, int r) {
  if (r < 0 && !is_answer(r)) {
    lg_socket_shut(s);
    lg_raise_code(L, G, r, "connect");
    return lg_fail_text(L, lg_wait_error(s, r));
  }
  if (r == 0 || !gives_up(s)) lg_socket_become(L, 1, LG_CLIENT);
  if (r == UV_EBADF) {
    lg_socket_lost(s);
    return lg_push_closed(L);
  }
  if (r && gives_up(s)) lg_socket_shut(s);
  if (r == UV_ETIMEDOUT || r == ETIMEDOUT) return lg_push_timeout(L);
  if (r) return lg_socket_fail(L, s, r);
  lua_pushinteger(L, 1);
  return 1;
}

static int count(const struct addrinfo *a, int family) {
  int n = 0;
  for (; a; a = a->ai_next) n += a->ai_family == family;
  return n;
}

/* Each of n has an equal part of what is left of the limit. */
static uint64_t share(uint64_t deadline, int n) {
  uint64_t now = green_now();
  if (n < 2 || deadline == GREEN_FOREVER || now >= deadline) return deadline;
  return now + (deadline - now) / (uint64_t)n;
}

/* Forgets a connect that failed or goes on: the descriptor keeps its options
 * and the address that it was given. Linux leaves an error behind. */
static void disconnect(struct lg_socket *s) {
  struct sockaddr a = {.sa_family = AF_UNSPEC};
  socklen_t size = sizeof(int);
  int error;
  connect(s->fd, &a, sizeof a);
  getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
}

/* Is it worth while to try the next address? Without waiting it is not. */
static int is_failure(const struct lg_socket *s, int r) {
  return r == UV_ETIMEDOUT ||
         (r > 0 && r != EALREADY && r != EISCONN && !s->polls);
}

/* The descriptor that it has (bound, or made for one family) tries the
 * addresses of its family, one after the other. */
static int connect_given(lua_State *L, struct lg *G, struct lg_socket *s,
                         const struct addrinfo *a, uint64_t deadline) {
  int left = count(a, s->family), r = EADDRNOTAVAIL;
  for (; left > 0; a = a->ai_next) {
    if (a->ai_family != s->family) continue;
    r = connect_one(L, G, s, a->ai_addr, a->ai_addrlen, share(deadline, left));
    left--;
    if (!is_failure(s, r) || green_now() >= deadline) break;
    if (left > 0) disconnect(s);
  }
  return r;
}

/* The descriptor is made by this call. When it fails, a further call makes
 * another, of any family: this one may be asked about its error until then. */
static int connect_fresh(lua_State *L, struct lg *G, struct lg_socket *s,
                         const struct addrinfo *a, const struct addrinfo *from,
                         uint64_t deadline) {
  int r;
  if (a->ai_next && !s->polls) return lg_connect_race(L, s, a, from, deadline);
  r = lg_socket_need_fd(L, s, a->ai_family, 0);
  if (r == 0) r = lg_bind_from(s->fd, a->ai_family, from);
  if (r == 0) r = connect_one(L, G, s, a->ai_addr, a->ai_addrlen, deadline);
  s->spent = s->fd >= 0 && is_failure(s, r) && !s->polls;
  return r;
}

/* A descriptor that a failed connect has left does not count. */
static void begin_anew(struct lg_socket *s) {
  if (!s->spent || s->connecting) return;
  lg_socket_shut(s);
  s->family = 0;
}

/* From one of the addresses `from`, unless that is NULL. */
static int connect_any(lua_State *L, struct lg *G, struct lg_socket *s,
                       const struct addrinfo *a, const struct addrinfo *from,
                       uint64_t deadline) {
  if (s->connecting) return EALREADY;
  if (s->fd >= 0) return connect_given(L, G, s, a, deadline);
  return connect_fresh(L, G, s, a, from, deadline);
}

static int connect_unix(lua_State *L, struct lg *G, struct lg_socket *s,
                        uint64_t deadline) {
  struct lg_unix_address a;
  const char *why = lg_unix_address(L, 2, &a);
  int r;
  if (why) return lg_fail_text(L, why);
  r = lg_socket_need_fd(L, s, AF_UNIX, 0);
  if (r == 0)
    r = connect_one(L, G, s, (struct sockaddr *)&a.un, a.size, deadline);
  return connected(L, G, s, r);
}

/* The numbers from that index on, as addresses to connect from. 0, or a
 * code. */
static int read_from(lua_State *L, struct lg *G, int index,
                     struct addrinfo **from) {
  struct addrinfo hints, **end = from;
  int r = 0;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  for (*from = NULL; !r && !lua_isnoneornil(L, index); index++) {
    r = green_getaddrinfo(G->hub, lua_tostring(L, index), "0", &hints, 0, end);
    if (!r) end = &(*end)->ai_next;
  }
  return r;
}

/* To the name `host`, from the numbers at index `from` and behind it; looked up
 * by the deadline `by`. */
static int connect_inet(lua_State *L, struct lg_socket *s, const char *host,
                        const char *port, int from, uint64_t by,
                        uint64_t deadline) {
  struct lg *G = s->G;
  struct addrinfo *list, *local;
  const char *why = look_up(L, s, host, port, 0, by, &list);
  int r = why ? 0 : read_from(L, G, from, &local);
  if (why) {
    lg_socket_become(L, 1, LG_CLIENT);
    return lg_fail_text(L, why);
  }
  list = lg_addresses_in_turns(list);
  if (s->closed) r = UV_EBADF;
  if (r == 0) r = connect_any(L, G, s, list, local, deadline);
  green_freeaddrinfo(list);
  green_freeaddrinfo(local);
  return connected(L, G, s, r);
}

static const struct lg_op connect_op = {
    {"socket:connect", NULL, NULL}, lg_socket_connect, NULL, NULL};

/* connect(host, port) or connect(path). The limit covers the whole call. */
int lg_socket_connect(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_STREAM);
  struct lg *G = s->G;
  uint64_t deadline = lg_socket_deadline(s), by;
  const char *host, *port, *why = NULL;
  int r;
  if (s->kind->local && s->kind->luasocket) lg_socket(L, LG_MASTER);
  if (s->kind->local)
    luaL_checkstring(L, 2);
  else
    why = lg_inet_address(L, 2, s, &host, &port);
  if (!s->polls) {
    r = lg_enter(L, G, &connect_op);
    if (r >= 0) return r;
  }
  s->closed = 0;
  lua_settop(L, 3);
  if (s->kind->local) return connect_unix(L, G, s, deadline);
  begin_anew(s);
  by = s->polls ? GREEN_FOREVER : deadline;
  if (!why) return connect_inet(L, s, host, port, 4, by, deadline);
  lg_socket_become(L, 1, LG_CLIENT);
  return lg_fail_text(L, why);
}

static const struct lg_op connect_from_op = {
    {"socket:connect", NULL, NULL}, lg_socket_connect_from, NULL, NULL};

/* connect_from(sock, host, port, family, address...): the same for a socket
 * without a descriptor. It takes only addresses of `family`, unless that is
 * "any", and binds to the numeric address of their family, if there is one. */
int lg_socket_connect_from(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_MASTER);
  uint64_t deadline = lg_socket_deadline(s);
  const char *host, *port, *why = lg_inet_address(L, 2, s, &host, &port);
  int family = lg_check_family(L, 4), r;
  if (why) return lg_fail_text(L, why);
  if (!s->polls) {
    r = lg_enter(L, s->G, &connect_from_op);
    if (r >= 0) return r;
  }
  if (s->fd < 0) s->family = family;
  s->closed = 0;
  return connect_inet(L, s, host, port, 5, deadline, deadline);
}

/* --- bind --- */

static int bind_list(lua_State *L, struct lg_socket *s,
                     const struct addrinfo *ai) {
  int given = s->fd >= 0, r = EADDRNOTAVAIL;
  for (; ai; ai = ai->ai_next) {
    if (given && ai->ai_family != s->family) continue;
    r = lg_socket_need_fd(L, s, ai->ai_family, 0);
    if (r == 0 && bind(s->fd, ai->ai_addr, ai->ai_addrlen) < 0) r = errno;
    if (r == 0) break;
  }
  return r;
}

static int bound(lua_State *L, const struct lg_socket *s, int r) {
  if (r) return lg_socket_fail(L, s, r);
  lua_pushinteger(L, 1);
  return 1;
}

static int bind_unix(lua_State *L, struct lg_socket *s) {
  struct lg_unix_address a;
  const char *why = lg_unix_address(L, 2, &a);
  int r;
  if (why) return lg_fail_text(L, why);
  r = lg_socket_need_fd(L, s, AF_UNIX, 0);
  if (r == 0 && bind(s->fd, (struct sockaddr *)&a.un, a.size) < 0) r = errno;
  if (r && gives_up(s)) lg_socket_shut(s);
  return bound(L, s, r);
}

static const struct lg_op bind_op = {
    {"socket:bind", NULL, NULL}, lg_socket_bind, NULL, NULL};

int lg_socket_bind(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_MASTER);
  const char *host, *port, *why;
  struct addrinfo *list;
  int r;
  if (s->kind->local) return bind_unix(L, s);
  if ((why = lg_inet_address(L, 2, s, &host, &port)))
    return lg_fail_text(L, why);
  /* It binds to a number at once, as listen() needs it of what it found. */
  if (!s->polls && !lg_is_numeric(s->G, host)) {
    r = lg_enter(L, s->G, &bind_op);
    if (r >= 0) return r;
  }
  if (!strcmp(host, "*")) host = NULL;
  s->closed = 0;
  why = lg_look_up(L, s, host, port, AI_PASSIVE, lg_socket_deadline(s), &list);
  if (why) return lg_fail_text(L, why);
  r = s->closed ? 0 : bind_list(L, s, list);
  green_freeaddrinfo(list);
  return s->closed ? lg_push_closed(L) : bound(L, s, r);
}

/* The file goes when the socket closes. */
int lg_socket_bind_file(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_MASTER | LG_UNCONNECTED);
  int mode = lg_int_or(luaL_optnumber(L, 3, -1), -1);
  struct lg_unix_address a;
  const char *why = lg_unix_address(L, 2, &a);
  int r;
  if (why) return lg_fail_text(L, why);
  r = lg_socket_need_fd(L, s, AF_UNIX, 0);
  if (r == 0) r = lg_file_bind(s->fd, &a.un, a.size, mode, &s->file);
  if (lg_socket_scarce(L, r) && s->fd >= 0)
    r = lg_file_bind(s->fd, &a.un, a.size, mode, &s->file);
  if (r == 0 && s->kind->datagram) lg_file_listens(s->file);
  return bound(L, s, r);
}
