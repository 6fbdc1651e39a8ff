/* recvfrom.c - receiving datagrams.
 *
 * A datagram is read whole into the shared buffer and delivered from there,
 * as the bytes of a stream are: where memory is too short to deliver it, it is
 * held for the next call. Nothing is read ahead: recvmmsg() is no faster than
 * as many calls of recvfrom() (610 ns to 531 a datagram of 64 bytes, 16 at
 * once), and a process that shares the descriptor would miss what we took.
 *
 * On green threads; with a limit of 0 nothing waits, and all may run anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "net/calls.h"
#include "net/waiting.h"

static const struct lg_op receive_op, receivefrom_op;

/* LuaSocket's own: a longer datagram is cut, and nobody is told. */
enum { LUASOCKET_SIZE = 8192 };

/* --- reading --- */

static int is_held(const struct lg_datagram *d) {
  return d->held && d->changes == d->socket.changes;
}

/* Reads one, or its first n bytes, to `to`: 0 or -errno. With MSG_TRUNC the
 * kernel tells the size of the whole. */
static int read_one(struct lg_datagram *d, void *to, size_t n, int flags) {
  struct lg_socket *s = &d->socket;
  ssize_t got;
  do {
    d->from_size = sizeof d->from;
    got = recvfrom(s->fd, to, n, MSG_DONTWAIT | MSG_TRUNC | flags,
                   (struct sockaddr *)&d->from, &d->from_size);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return -errno;
  d->size = (size_t)got;
  s->woken = 0;
  return 0;
}

/* So that one is held: its first n bytes. 0 or -errno. */
static int hold(lua_State *L, struct lg_datagram *d, size_t n) {
  struct lg_socket *s = &d->socket;
  size_t room;
  char *to;
  int r;
  if (is_held(d)) return 0;
  to = lg_buffer_room(L, s, &room);
  if (unlikely(s->fd < 0)) return -EBADF; /* a finalizer closed it */
  if (unlikely(is_held(d))) return 0;     /* ... or received */
  if (n > room) n = room;
  if ((r = read_one(d, to, n, 0)) < 0) return r;
  if (n > d->size) n = d->size;
  if (n) lg_buffer_filled(s, n);
  d->held = 1;
  d->changes = s->changes;
  return 0;
}

/* --- delivering --- */

/* Pushes host and port, or a path: "" of one that has none, for which the
 * kernel says nothing at all. */
static void push_sender(lua_State *L, const struct lg_datagram *d) {
  struct sockaddr_storage from = d->from; /* finalizers may receive */
  socklen_t size = d->from_size;
  int base = lua_gettop(L), local = d->socket.kind->local;
  if (local) from.ss_family = AF_UNIX;
  lg_push_address(L, &from, size);
  lua_settop(L, base + (local ? 1 : 2));
}

/* Pushes "truncated" and the size of the whole, if less than that is there; and
 * says how many values there are above the base. LuaSocket's objects do not
 * tell. They are the fourth and the fifth where there is a sender. */
static int finish(lua_State *L, const struct lg_socket *s, int base,
                  size_t size, size_t got) {
  if (size > got && !s->kind->luasocket) {
    if (lua_gettop(L) - base == 2) lua_pushnil(L); /* a path has no port */
    lua_pushliteral(L, "truncated");
    lua_pushinteger(L, (lua_Integer)size);
  }
  return lua_gettop(L) - base;
}

/* The datagram that is held: the number of results, or 0: a finalizer took it
 * while they were made. */
static int deliver(lua_State *L, struct lg_datagram *d, size_t n,
                   int with_sender) {
  struct lg_socket *s = &d->socket;
  struct lg_front front = lg_buffer_front(L, s);
  size_t size = d->size, have = lg_buffered(s), got = have > n ? n : have;
  uint64_t taken = d->taken;
  lua_pushlstring(L, got ? s->buffer + s->at : "", got);
  if (with_sender) push_sender(L, d);
  if (unlikely(d->taken != taken) || !lg_buffer_deliver(L, s, &front, have)) {
    lua_settop(L, front.top);
    return 0;
  }
  d->taken++;
  d->held = 0;
  return finish(L, s, front.top, size, got);
}

/* --- larger than the buffer --- */

/* The Unix family has datagrams of hundreds of KB. How large is the next one?
 * Others fit. */
static size_t next_size(struct lg_datagram *d, size_t n) {
  if (n <= LG_SCRATCH || !d->socket.kind->local || is_held(d)) return 0;
  if (d->socket.fd < 0 || read_one(d, NULL, 0, MSG_PEEK) < 0) return 0;
  return d->size < n ? d->size : n;
}

/* Reads the next one into memory of Lua's: the number of results, or 0. A
 * datagram that was read can be lost only if there is no memory for its
 * string. */
static int receive_large(lua_State *L, struct lg_datagram *d, size_t n,
                         int with_sender) {
  struct lg_socket *s = &d->socket;
  size_t size;
  int base = lua_gettop(L);
  char *to = lua_newuserdatauv(L, n, 0);
  if (s->fd < 0 || read_one(d, to, n, 0) < 0) {
    lua_settop(L, base);
    return 0;
  }
  size = d->size;
  if (n > size) n = size;
  d->taken++;
  s->received += n;
  lua_pushlstring(L, to, n);
  lua_remove(L, -2);
  if (with_sender) push_sender(L, d);
  return finish(L, s, base, size, n);
}

/* --- the calls --- */

/* The most bytes that the caller wants. */
static size_t size_arg(lua_State *L, const struct lg_socket *s) {
  lua_Number n;
  if (lua_isnoneornil(L, 2))
    return s->kind->luasocket ? LUASOCKET_SIZE : SIZE_MAX;
  n = luaL_checknumber(L, 2);
  luaL_argcheck(L, n >= 0 && n < 1e15, 2, "number of bytes expected");
  return (size_t)n;
}

static int go(lua_State *L, struct lg *G, struct lg_datagram *d,
              const struct lg_op *op) {
  struct lg_socket *s = &d->socket;
  int with_sender = op == &receivefrom_op, r, results;
  size_t n = size_arg(L, s), large;
  for (;;) {
    if (unlikely(s->fd < 0)) return lg_push_closed(L);
    large = next_size(d, n); /* less room would cut it */
    if (unlikely(large > LG_SCRATCH) &&
        (results = receive_large(L, d, large, with_sender)))
      return results;
    r = hold(L, d, n);
    if (likely(r == 0)) {
      if (likely((results = deliver(L, d, n, with_sender)))) return results;
      continue;
    }
    if (r != -EAGAIN) return lg_socket_fail(L, s, -r);
    if (!lg_read_may_wait(s)) return lg_push_timeout(L);
    r = lg_read_wait(L, G, s, op);
    return likely(r >= 0) ? r : lg_fail_text(L, lg_wait_error(s, r));
  }
}

static int start(lua_State *L, int roles, const struct lg_op *op) {
  struct lg_datagram *d = lg_datagram(L, roles);
  struct lg_socket *s = &d->socket;
  struct lg *G = s->G;
  size_arg(L, s);
  lua_settop(L, 2);
  if (likely(!s->polls)) {
    int r = lg_enter(L, G, op);
    if (unlikely(r >= 0)) return r;
  }
  lg_read_begin(L, G, s, LG_READ_BEGINS);
  return go(L, G, d, op);
}

static int woken(lua_State *L, struct lg *G, int reason,
                 const struct lg_op *op) {
  struct lg_socket *s = lg_read_woken(L, reason);
  if (reason == GREEN_CLOSED)
    return lg_fail_text(L, s->fd < 0 ? "closed" : "stopped");
  return go(L, G, (struct lg_datagram *)s, op);
}

int lg_datagram_receive(lua_State *L) {
  return start(L, LG_DATAGRAM, &receive_op);
}

static int receive_woken(lua_State *L, struct lg *G, int reason) {
  return woken(L, G, reason, &receive_op);
}

/* LuaSocket's objects have this method only while they are not connected. */
int lg_datagram_receivefrom(lua_State *L) {
  const struct lg_datagram *d = lg_datagram(L, LG_DATAGRAM);
  int roles = d->socket.kind->luasocket ? LG_UNCONNECTED : LG_DATAGRAM;
  return start(L, roles, &receivefrom_op);
}

static int receivefrom_woken(lua_State *L, struct lg *G, int reason) {
  return woken(L, G, reason, &receivefrom_op);
}

static const struct lg_op receive_op = {
    {"socket:receive", NULL, green_fd_leave},
    lg_datagram_receive,
    receive_woken,
    NULL};
static const struct lg_op receivefrom_op = {
    {"socket:receivefrom", NULL, green_fd_leave},
    lg_datagram_receivefrom,
    receivefrom_woken,
    NULL};

/* stop_receive(sock): the thread that waits in receivefrom gets nil, "stopped".
 * For udp_server, whose handlers may end it. */
int lg_datagram_stop(lua_State *L) {
  struct lg_socket *s = &lg_datagram(L, LG_DATAGRAM)->socket;
  struct green_thread *t = lg_socket_reader(s);
  lua_pushboolean(L, t && t->kind == &receivefrom_op.kind &&
                         green_wake(s->G->hub, t, GREEN_CLOSED));
  return 1;
}
