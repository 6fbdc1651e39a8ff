/* stream.c - reading, writing and accepting.
 *
 * The system call is tried first; "would block" waits on the core's green_fd,
 * which stays armed between waits. A read that was shorter than asked has
 * drained the socket, so the next one waits without trying (polling is level
 * triggered: nothing is missed). Reads land in one scratch buffer of the
 * state; what is not delivered at once is kept by the socket, also when an
 * interruption cuts the call off.
 *
 * One thread reads, a second is refused. Writers take turns, so that a whole
 * send is never interleaved; the bookkeeping of the send under way stays
 * behind when it is cut off, which is how the next one knows.
 *
 * On green threads; with a limit of 0 nothing waits, and all may run anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "net/socket.h"

/* Full reads in a row before the others get a turn. */
enum { GREEDY = 16 };

static const struct lg_op receive_op, recv_op, accept_op, send_op, turn_op;

/* --- waiting --- */

struct green_fd *lg_socket_watch(lua_State *L, struct lg *G,
                                 struct green_socket *s) {
  int r = s->f ? 0 : green_fd_open(G->hub, s->fd, &s->f);
  if (r < 0)
    luaL_error(L, "cannot wait for the socket: %s", green_strerror(r));
  return s->f;
}

/* The thread that waits to read, if there is one: a thread that was cut off
 * leaves its name behind, but does something else by now. */
struct green_thread *lg_socket_reader(const struct green_socket *s) {
  struct green_thread *t = s->reader;
  if (likely(!t) || t->on != s->f || t->kind != s->reading) return NULL;
  return t->state == GREEN_BLOCKED || t->state == GREEN_READY ? t : NULL;
}

int lg_second_reader(lua_State *L, struct lg *G, struct green_thread *t) {
  const char *who;
  luaL_checkstack(L, 8, "luagreen");
  who = lg_push_who(L, G, t);
  return luaL_error(
      L, "socket is already being read by green thread %s (asked by %s)", who,
      lg_push_who(L, G, lg_current(G)));
}

static int wait_readable(lua_State *L, struct lg *G, struct green_socket *s,
                         const struct lg_op *op) {
  uint64_t at = earlier(end_of(s->block), s->read_end);
  struct green_fd *f;
  int keep, r;
  if (lg_is_struck(G)) {
    lg_interrupt(L, G, op);
    return op->start(L); /* it was taken back; the socket may be closed, too */
  }
  f = lg_socket_watch(L, G, s);
  keep = lg_yield_or_keep(L, G, op);
  r = green_fd_wait_begin(G->hub, f, GREEN_READABLE, at, &op->kind);
  if (r == UV_EBUSY) return lg_second_reader(L, G, green_fd_reader(f));
  if (r < 0)
    return luaL_error(L, "'%s': %s", op->kind.name, green_strerror(r));
  s->reader = lg_current(G);
  s->reading = &op->kind;
  return lg_park(L, G, op, keep);
}

/* On entry of every call that reads. */
static void begin_read(lua_State *L, struct lg *G, struct green_socket *s) {
  struct green_thread *t = lg_socket_reader(s);
  if (unlikely(t)) lg_second_reader(L, G, t);
  s->reader = NULL;
  s->read_end = s->total < 0 ? GREEN_FOREVER : lg_deadline(s->total);
}

/* After a wait. When time is up, what has come all the same still counts: one
 * more try, which then says "timeout". */
static struct green_socket *end_wait(lua_State *L, int reason) {
  struct green_socket *s = lua_touserdata(L, 1);
  s->reader = NULL;
  s->drained = 0;
  if (reason == GREEN_TIMEOUT) s->read_end = 0;
  return s;
}

static int may_wait(const struct green_socket *s) {
  return !s->polls && s->read_end != 0;
}

/* Bytes read; 0: the end; or -errno. */
static ssize_t read_some(struct green_socket *s, char *to, size_t n) {
  ssize_t got;
  if (s->drained && may_wait(s)) return -EAGAIN;
  do got = recv(s->fd, to, n, MSG_DONTWAIT);
  while (got < 0 && errno == EINTR);
  if (got < 0) return -errno;
  s->drained = got > 0 && (size_t)got < n;
  return got;
}

/* --- the buffer --- */

void lg_socket_drop(struct green_socket *s) {
  free(s->buffer);
  s->buffer = NULL;
  s->at = s->end = s->room = s->scanned = 0;
  s->changes++;
}

static void consume(struct green_socket *s, size_t n) {
  s->at += n;
  s->received += n;
  s->scanned = 0;
  s->changes++;
  if (s->at == s->end) lg_socket_drop(s);
}

/* Strings are made of the buffer's front, and finalizers run where they are
 * made: they may read from the socket, or close it. */
struct front {
  uint32_t changes;
  uint64_t received;
  int top;
};

static struct front front_of(lua_State *L, const struct green_socket *s) {
  struct front f = {s->changes, s->received, lua_gettop(L)};
  return f;
}

/* The string of the n first bytes is made: they are consumed, if close() has
 * not dropped them. 0, and the stack as it was: they were read meanwhile. */
static int deliver(lua_State *L, struct green_socket *s, const struct front *f,
                   size_t n) {
  if (likely(s->changes == f->changes)) {
    if (n) consume(s, n);
  } else if (s->received == f->received) {
    s->received += n;
  } else {
    lua_settop(L, f->top);
    return 0;
  }
  return 1;
}

static int make_room(struct green_socket *s, size_t n) {
  size_t have = buffered(s), room = have + n;
  char *buffer;
  if (s->room - s->end >= n) return 0;
  if (s->at) memmove(s->buffer, s->buffer + s->at, have);
  s->at = 0;
  s->end = have;
  if (room <= s->room) return 0;
  if (have) room += room / 2; /* it grows: by half, so that copies are few */
  buffer = realloc(s->buffer, room);
  if (!buffer) return -1;
  s->buffer = buffer;
  s->room = room;
  return 0;
}

static void append(lua_State *L, struct green_socket *s, const char *data,
                   size_t n) {
  if (make_room(s, n) < 0) luaL_error(L, "not enough memory");
  memcpy(s->buffer + s->end, data, n);
  s->end += n;
}

/* --- recv --- */

/* 0: somebody else has read them. */
static int recv_buffered(lua_State *L, struct green_socket *s, size_t n) {
  struct front f = front_of(L, s);
  if (n > buffered(s)) n = buffered(s);
  lua_pushlstring(L, s->buffer + s->at, n);
  return deliver(L, s, &f, n);
}

static int recv_go(lua_State *L, struct lg *G, struct green_socket *s) {
  size_t n = (size_t)lua_tointeger(L, 2);
  char *scratch = lua_touserdata(L, lua_upvalueindex(SCRATCH));
  ssize_t got;
  if (unlikely(s->fd < 0)) return lg_push_closed(L);
  while (unlikely(buffered(s)))
    if (recv_buffered(L, s, n)) return 1;
  got = read_some(s, scratch, n < SCRATCH_SIZE ? n : SCRATCH_SIZE);
  if (likely(got > 0)) {
    s->received += (uint64_t)got;
    lua_pushlstring(L, scratch, (size_t)got);
    return 1;
  }
  if (got == 0) return lg_push_closed(L);
  if (got != -EAGAIN) return lg_socket_fail(L, (int)-got);
  if (!may_wait(s)) return lg_push_timeout(L);
  return wait_readable(L, G, s, &recv_op);
}

int lg_socket_recv(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_socket *s = self(L, CLIENT);
  luaL_argcheck(L, luaL_checkinteger(L, 2) > 0, 2, "positive number expected");
  lua_settop(L, 2);
  if (likely(!s->polls)) {
    int r = lg_enter(L, G, &recv_op);
    if (unlikely(r >= 0)) return r;
  }
  begin_read(L, G, s);
  return recv_go(L, G, s);
}

static int recv_woken(lua_State *L, struct lg *G, int reason) {
  struct green_socket *s = end_wait(L, reason);
  if (reason == GREEN_CLOSED) return lg_push_closed(L);
  return recv_go(L, G, s);
}

static const struct lg_op recv_op = {
    {"socket:recv", NULL, green_fd_leave}, lg_socket_recv, recv_woken, NULL};

/* --- receive: LuaSocket's patterns --- */

enum pattern { LINE, ALL, COUNT };

/* What is asked for: arguments 2 and 3. */
struct wanted {
  enum pattern pattern;
  size_t n;      /* COUNT: bytes, without the prefix's */
  int satisfied; /* COUNT: the prefix alone is enough */
};

static struct wanted wanted_of(lua_State *L) {
  struct wanted w = {LINE, 0, 0};
  if (lua_isnumber(L, 2)) {
    lua_Number n = lua_tonumber(L, 2);
    size_t prefix = lua_rawlen(L, 3);
    luaL_argcheck(L, n >= 0 && n < 1e15, 2, "invalid receive pattern");
    w.pattern = COUNT;
    w.satisfied = prefix > 0 && (size_t)n <= prefix;
    w.n = w.satisfied ? 0 : (size_t)n - prefix;
  } else {
    const char *p = luaL_optstring(L, 2, "*l");
    luaL_argcheck(L, p[0] == '*' && (p[1] == 'l' || p[1] == 'a'), 2,
                  "invalid receive pattern");
    if (p[1] == 'a') w.pattern = ALL;
  }
  return w;
}

/* Pushes prefix .. the first n buffered bytes and consumes them; 0: somebody
 * else has read them. */
static int push_buffered(lua_State *L, struct green_socket *s, size_t n) {
  struct front f = front_of(L, s);
  int prefixed = lua_rawlen(L, 3) > 0;
  if (prefixed) lua_pushvalue(L, 3);
  lua_pushlstring(L, n ? s->buffer + s->at : "", n);
  if (prefixed) lua_concat(L, 2);
  return deliver(L, s, &f, n);
}

/* The same for a line: every \r is dropped, in place. */
static int push_line(lua_State *L, struct green_socket *s, size_t n,
                     size_t newline) {
  struct front f = front_of(L, s);
  const char *line = s->buffer + s->at;
  int prefixed = lua_rawlen(L, 3) > 0;
  size_t i, kept = 0;
  if (prefixed) lua_pushvalue(L, 3);
  if (n && memchr(line, '\r', n)) {
    luaL_Buffer b;
    char *to = luaL_buffinitsize(L, &b, n);
    if (unlikely(s->changes != f.changes)) {
      lua_settop(L, f.top);
      return 0;
    }
    line = s->buffer + s->at;
    for (i = 0; i < n; i++)
      if (line[i] != '\r') to[kept++] = line[i];
    luaL_pushresultsize(&b, kept);
  } else {
    lua_pushlstring(L, n ? line : "", n);
  }
  if (prefixed) lua_concat(L, 2);
  return deliver(L, s, &f, n + newline);
}

static int success(lua_State *L) {
  lua_pushnil(L);
  lua_pushnil(L);
  return 3;
}

/* nil, why, partial: what came is consumed. */
static int receive_fails(lua_State *L, struct green_socket *s,
                         const struct wanted *w, const char *why) {
  int none = w->pattern == COUNT && w->n == 0, done;
  lua_pushnil(L);
  lua_pushstring(L, why);
  do
    done = w->pattern == LINE ? push_line(L, s, buffered(s), 0)
                              : push_buffered(L, s, none ? 0 : buffered(s));
  while (!done);
  return 3;
}

static int receive_ends(lua_State *L, struct green_socket *s,
                        const struct wanted *w) {
  if (w->pattern != ALL || !buffered(s))
    return receive_fails(L, s, w, "closed");
  if (!push_buffered(L, s, buffered(s))) return receive_ends(L, s, w);
  return success(L);
}

/* Delivers from the buffer what was asked for: 3 results, or 0. */
static int take(lua_State *L, struct green_socket *s, const struct wanted *w) {
  size_t have = buffered(s);
  const char *newline;
  if (w->pattern == COUNT) {
    if (!w->satisfied && (have == 0 || have < w->n)) return 0;
    if (!push_buffered(L, s, w->n)) return take(L, s, w);
    return success(L);
  }
  if (w->pattern == ALL || have == 0) return 0;
  newline = memchr(s->buffer + s->at + s->scanned, '\n', have - s->scanned);
  if (!newline) {
    s->scanned = have;
    return 0;
  }
  if (!push_line(L, s, (size_t)(newline - s->buffer) - s->at, 1))
    return take(L, s, w);
  return success(L);
}

static int receive_go(lua_State *L, struct lg *G, struct green_socket *s) {
  char *scratch = lua_touserdata(L, lua_upvalueindex(SCRATCH));
  struct wanted w = wanted_of(L);
  int rounds = 0, results;
  while (!(results = take(L, s, &w))) {
    ssize_t got;
    if (s->fd < 0) return receive_ends(L, s, &w);
    if (++rounds > GREEDY && may_wait(s))
      return wait_readable(L, G, s, &receive_op);
    got = read_some(s, scratch, SCRATCH_SIZE);
    if (got > 0) {
      append(L, s, scratch, (size_t)got);
    } else if (got == 0 || got == -ECONNRESET) {
      return receive_ends(L, s, &w);
    } else if (got != -EAGAIN) {
      return receive_fails(L, s, &w, lg_socket_error((int)-got));
    } else if (!may_wait(s)) {
      return receive_fails(L, s, &w, "timeout");
    } else {
      return wait_readable(L, G, s, &receive_op);
    }
  }
  return results;
}

int lg_socket_receive(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_socket *s = self(L, CLIENT);
  luaL_optstring(L, 3, "");
  lua_settop(L, 3);
  if (lua_isnil(L, 3)) {
    lua_pushliteral(L, "");
    lua_replace(L, 3);
  }
  lua_tostring(L, 3); /* a number is a prefix too: socket.http has one */
  wanted_of(L);
  if (likely(!s->polls)) {
    int r = lg_enter(L, G, &receive_op);
    if (unlikely(r >= 0)) return r;
  }
  begin_read(L, G, s);
  return receive_go(L, G, s);
}

static int receive_woken(lua_State *L, struct lg *G, int reason) {
  struct green_socket *s = end_wait(L, reason);
  struct wanted w;
  if (reason != GREEN_CLOSED) return receive_go(L, G, s);
  w = wanted_of(L);
  return receive_ends(L, s, &w);
}

static const struct lg_op receive_op = {
    {"socket:receive", NULL, green_fd_leave},
    lg_socket_receive,
    receive_woken,
    NULL};

/* --- send --- */

struct piece {
  const char *data;
  size_t size;
  lua_Integer before; /* bytes of the string before it */
};

/* LuaSocket's i and j: from the end where negative, then cut to fit. */
static struct piece piece_of(lua_State *L) {
  struct piece p;
  size_t size;
  lua_Integer i, j;
  p.data = luaL_checklstring(L, 2, &size);
  i = luaL_optinteger(L, 3, 1);
  j = luaL_optinteger(L, 4, -1);
  if (i < 0) i = (lua_Integer)size + i + 1;
  if (j < 0) j = (lua_Integer)size + j + 1;
  if (i < 1) i = 1;
  if (j > (lua_Integer)size) j = (lua_Integer)size;
  p.before = i - 1;
  p.size = i <= j ? (size_t)(j - i + 1) : 0;
  if (p.size) p.data += p.before;
  return p;
}

static int send_fails(lua_State *L, lua_Integer last, const char *why) {
  lua_pushnil(L);
  lua_pushstring(L, why);
  lua_pushinteger(L, last);
  return 3;
}

/* The send is over: gives the turn to the next writer. */
static int send_ends(lua_State *L, struct lg *G, struct green_socket *s,
                     lua_Integer last, const char *why) {
  s->sending = 0;
  if (s->f) green_fd_write_end(G->hub, s->f);
  if (unlikely(why)) return send_fails(L, last, why);
  lua_pushinteger(L, last);
  return success(L);
}

/* When the whole call must end: argument 5, made at its first wait. */
static uint64_t send_deadline(lua_State *L, const struct green_socket *s) {
  if (lua_gettop(L) < 5) lua_pushinteger(L, (lua_Integer)end_of(s->total));
  return earlier(end_of(s->block), (uint64_t)lua_tointeger(L, 5));
}

/* Will prepare_long raise? The write side must be given up before. */
static int cannot_wait(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  if (lg_refusal(L, G)) return 1;
  if (t->user == L && lua_isyieldable(L)) return 0;
  return green_keep_reserve(G->hub) < 0;
}

static int send_wait(lua_State *L, struct lg *G, struct green_socket *s,
                     size_t done) {
  struct green_fd *f = lg_socket_watch(L, G, s);
  uint64_t at = send_deadline(L, s);
  int keep, r;
  s->sending = 1;
  s->done = done;
  green_fd_write_try(G->hub, f);
  if (lg_is_struck(G)) { /* the send is cut off here */
    green_fd_write_end(G->hub, f);
    lg_interrupt(L, G, &send_op);
    return lg_socket_send(L);
  }
  if (cannot_wait(L, G)) green_fd_write_end(G->hub, f);
  keep = lg_yield_or_keep(L, G, &send_op);
  r = green_fd_wait_begin(G->hub, f, GREEN_WRITABLE, at, &send_op.kind);
  if (r < 0) {
    green_fd_write_end(G->hub, f);
    return luaL_error(L, "'socket:send': %s", green_strerror(r));
  }
  return lg_park(L, G, &send_op, keep);
}

static int send_go(lua_State *L, struct lg *G, struct green_socket *s,
                   size_t done) {
  struct piece p = piece_of(L);
  lua_Integer last = p.before + (lua_Integer)done;
  ssize_t n = 0;
  if (unlikely(s->fd < 0)) return send_ends(L, G, s, last, "closed");
  if (likely(done < p.size)) {
    do
      n = send(s->fd, p.data + done, p.size - done,
               MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
      return send_ends(L, G, s, last, lg_socket_error(errno));
    if (n < 0) n = 0;
    s->sent += (uint64_t)n;
    done += (size_t)n;
    last += (lua_Integer)n;
  }
  if (likely(done == p.size)) return send_ends(L, G, s, last, NULL);
  if (s->polls) return send_ends(L, G, s, last, "timeout");
  return send_wait(L, G, s, done);
}

/* The write side is ours. If a former send never ended, the stream is broken
 * in the middle of its bytes, for good. */
static int send_begin(lua_State *L, struct lg *G, struct green_socket *s) {
  lua_Integer before = piece_of(L).before;
  if (likely(!s->sending || !s->done)) return send_go(L, G, s, 0);
  if (s->f) green_fd_write_end(G->hub, s->f);
  return send_fails(
      L, before,
      lua_pushfstring(L, "send was cut after %I bytes", (lua_Integer)s->done));
}

static int wait_turn(lua_State *L, struct lg *G, struct green_socket *s) {
  uint64_t at;
  int keep, r;
  if (s->polls) return send_fails(L, piece_of(L).before, "timeout");
  at = send_deadline(L, s);
  keep = lg_yield_or_keep(L, G, &turn_op);
  r = green_fd_turn_begin(G->hub, s->f, at, &turn_op.kind);
  if (r < 0) return luaL_error(L, "'socket:send': %s", green_strerror(r));
  return lg_park(L, G, &turn_op, keep);
}

int lg_socket_send(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_socket *s = self(L, CLIENT);
  piece_of(L);
  lua_settop(L, 4);
  if (unlikely(s->resume)) {
    s->resume = 0;
    return send_go(L, G, s, s->done);
  }
  if (likely(!s->polls)) {
    int r = lg_enter(L, G, &send_op);
    if (unlikely(r >= 0)) return r;
  }
  if (unlikely(s->fd < 0)) return send_fails(L, piece_of(L).before, "closed");
  if (s->f && unlikely(green_fd_write_try(G->hub, s->f) < 0))
    return wait_turn(L, G, s);
  return send_begin(L, G, s);
}

static int send_woken(lua_State *L, struct lg *G, int reason) {
  struct green_socket *s = lua_touserdata(L, 1);
  lua_Integer last = piece_of(L).before + (lua_Integer)s->done;
  if (likely(reason == GREEN_WOKEN)) return send_go(L, G, s, s->done);
  return send_ends(L, G, s, last,
                   reason == GREEN_CLOSED ? "closed" : "timeout");
}

/* Unless what interrupted it was taken back, `sending` stays behind. */
static void send_interrupted(lua_State *L, struct lg *G) {
  struct green_socket *s = lua_touserdata(L, 1);
  int reason = lg_current(G)->reason;
  if (reason == GREEN_INTERRUPT && !G->exiting && !lg_is_struck(G))
    s->resume = 1;
  else if (s->f)
    green_fd_write_end(G->hub, s->f);
}

static int turn_woken(lua_State *L, struct lg *G, int reason) {
  struct green_socket *s = lua_touserdata(L, 1);
  if (likely(reason == GREEN_WOKEN && s->f)) return send_begin(L, G, s);
  return send_fails(L, piece_of(L).before,
                    reason == GREEN_TIMEOUT ? "timeout" : "closed");
}

static const struct lg_op send_op = {
    {"socket:send", green_fd_turn_undo, green_fd_leave},
    lg_socket_send,
    send_woken,
    send_interrupted};
static const struct lg_op turn_op = {
    {"socket:send (turn)", green_fd_turn_undo, NULL},
    lg_socket_send,
    turn_woken,
    NULL};

/* --- accept --- */

/* Garbage may hold descriptors, and Lua does not know that they are scarce. */
int lg_socket_scarce(lua_State *L, int error) {
  if (error != EMFILE && error != ENFILE) return 0;
  if (lua_gc(L, LUA_GCCOUNT) < 0) return 0; /* in a finalizer */
  lua_gc(L, LUA_GCCOLLECT);
  return 1;
}

/* Linux hands accept() the errors of the connection that broke meanwhile. */
static int try_next(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH: return 1;
    default: return 0;
  }
}

/* The kernel looks for a free descriptor before it looks for a connection:
 * without the second, the lack of the first is no error. */
static int accept_one(int fd) {
  struct pollfd p = {fd, POLLIN, 0};
  int r, error;
  do r = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  while (r < 0 && try_next(errno));
  if (r >= 0) return r;
  error = errno;
  if ((error == EMFILE || error == ENFILE) && poll(&p, 1, 0) == 0)
    return -EAGAIN;
  return -error;
}

/* The descriptor waits in the listener until its object is made. */
int lg_socket_accept_now(lua_State *L, struct green_socket *s) {
  struct green_socket *c;
  if (s->fd < 0) return -lg_push_closed(L);
  if (s->pending < 0) {
    int r = accept_one(s->fd);
    if (r < 0 && lg_socket_scarce(L, -r)) {
      if (s->fd < 0) return -lg_push_closed(L); /* by a finalizer */
      r = accept_one(s->fd);
    }
    if (r == -EAGAIN) return 0;
    if (r < 0) return -lg_socket_fail(L, -r);
    s->pending = r;
  }
  c = lg_socket_blank(L, s->local);
  if (unlikely(s->pending < 0)) { /* a finalizer took it, or closed s */
    luaL_setmetatable(
        L, s->local ? "green.unixstream{client}" : "green.tcp{client}");
    lua_pop(L, 1);
    return lg_socket_accept_now(L, s);
  }
  c->family = s->family;
  c->fd = s->pending;
  s->pending = -1;
  return 1;
}

static int accept_go(lua_State *L, struct lg *G, struct green_socket *s) {
  int r = lg_socket_accept_now(L, s);
  if (r < 0) return -r;
  if (r == 0 && !may_wait(s)) return lg_push_timeout(L);
  if (r == 0) return wait_readable(L, G, s, &accept_op);
  lua_pushvalue(L, lua_upvalueindex(CLIENT));
  lua_setmetatable(L, -2);
  return 1;
}

int lg_socket_accept(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_socket *s = self(L, SERVER);
  lua_settop(L, 1);
  if (!s->polls) {
    int r = lg_enter(L, G, &accept_op);
    if (r >= 0) return r;
  }
  begin_read(L, G, s);
  return accept_go(L, G, s);
}

static int accept_woken(lua_State *L, struct lg *G, int reason) {
  struct green_socket *s = end_wait(L, reason);
  if (reason != GREEN_CLOSED) return accept_go(L, G, s);
  lua_pushnil(L);
  lua_pushstring(L, s->fd < 0 ? "closed" : "stopped");
  return 2;
}

static const struct lg_op accept_op = {{"socket:accept", NULL, green_fd_leave},
                                       lg_socket_accept,
                                       accept_woken,
                                       NULL};

/* stop_accept(listener): the thread that waits in accept gets nil, "stopped".
 * For serve, whose handlers may end it. */
int lg_stop_accept(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_socket *s = luaL_testudata(L, 1, "green.unixstream{server}");
  struct green_thread *t;
  if (!s) s = luaL_checkudata(L, 1, "green.tcp{server}");
  t = lg_socket_reader(s);
  lua_pushboolean(L, t && green_wake(G->hub, t, GREEN_CLOSED));
  return 1;
}
