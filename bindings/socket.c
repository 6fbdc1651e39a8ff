/* socket.c - stream sockets of LuaSocket's shape.
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
 * Methods run on green threads; with a limit of 0 they never wait and may run
 * anywhere. close() and the finalizer never switch and never raise.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "socket.h"

/* Upvalues of every method, after G. */
enum { CLIENT = 2, SERVER, MASTER, SCRATCH };
/* Bytes of the scratch buffer: the most that recv() returns. */
enum { SCRATCH_SIZE = 65536 };
/* Full reads in a row before the others get a turn. */
enum { GREEDY = 16 };

static const struct green_lua_op receive_op, recv_op, accept_op, send_op,
    turn_op;
static int socket_send(lua_State *L);

/* --- the object and its classes --- */

static int is_class(lua_State *L, int upvalue) {
  int same;
  if (!lua_touserdata(L, 1) || !lua_getmetatable(L, 1)) return 0;
  same = lua_rawequal(L, -1, lua_upvalueindex(upvalue));
  lua_pop(L, 1);
  return same;
}

static int class_error(lua_State *L, int upvalue) {
  const char *name;
  lua_getfield(L, lua_upvalueindex(upvalue ? upvalue : MASTER), "__name");
  name = lua_tostring(L, -1);
  if (!upvalue) name = luaL_gsub(L, name, "{master}", "{any}");
  return luaL_argerror(L, 1, lua_pushfstring(L, "%s expected", name));
}

static inline struct green_socket *self(lua_State *L, int upvalue) {
  if (unlikely(!is_class(L, upvalue))) class_error(L, upvalue);
  return lua_touserdata(L, 1);
}

struct green_socket *green_lua__socket(lua_State *L, int classes) {
  if ((classes & SOCKET_CLIENT && is_class(L, CLIENT)) ||
      (classes & SOCKET_SERVER && is_class(L, SERVER)) ||
      (classes & SOCKET_MASTER && is_class(L, MASTER)))
    return lua_touserdata(L, 1);
  class_error(L, classes == SOCKET_MASTER ? MASTER : 0);
  return NULL;
}

void green_lua__socket_become(lua_State *L, int class) {
  int upvalue = class == SOCKET_CLIENT ? CLIENT
                                       : class == SOCKET_SERVER ? SERVER
                                                                : MASTER;
  lua_pushvalue(L, lua_upvalueindex(upvalue));
  lua_setmetatable(L, 1);
}

static struct green_socket *new_socket(lua_State *L, int local) {
  struct green_socket *s = lua_newuserdatauv(L, sizeof *s, 0);
  memset(s, 0, sizeof *s);
  s->fd = s->pending = -1;
  s->local = (uint8_t)local;
  s->family = local ? AF_UNIX : 0;
  s->block = s->total = -1;
  s->born = green_now();
  return s;
}

struct green_socket *green_lua__socket_new(lua_State *L, int local) {
  struct green_socket *s = new_socket(L, local);
  luaL_setmetatable(L,
                    local ? "green.unixstream{master}" : "green.tcp{master}");
  return s;
}

/* --- limits --- */

static uint64_t end_of(double seconds) {
  return seconds < 0 ? GREEN_FOREVER : green_lua__deadline(seconds);
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

uint64_t green_lua__socket_deadline(const struct green_socket *s) {
  return earlier(end_of(s->block), end_of(s->total));
}

static int socket_settimeout(lua_State *L) {
  struct green_socket *s = green_lua__socket(L, SOCKET_ANY);
  double seconds = luaL_optnumber(L, 2, -1);
  const char *mode = luaL_optstring(L, 3, "b");
  luaL_argcheck(L, seconds == seconds, 2, "seconds expected, got NaN");
  luaL_argcheck(L, *mode && strchr("brt", *mode), 3, "invalid timeout mode");
  if (*mode == 'b')
    s->block = seconds;
  else
    s->total = seconds;
  s->polls = s->block == 0 || s->total == 0;
  lua_pushinteger(L, 1);
  return 1;
}

static int socket_gettimeout(lua_State *L) {
  struct green_socket *s = green_lua__socket(L, SOCKET_ANY);
  lua_pushnumber(L, s->block);
  lua_pushnumber(L, s->total);
  return 2;
}

/* --- waiting --- */

struct green_fd *green_lua__socket_watch(lua_State *L, struct green_lua *G,
                                         struct green_socket *s) {
  int r = s->f ? 0 : green_fd_open(G->hub, s->fd, &s->f);
  if (r < 0) luaL_error(L, "cannot wait for the socket: %s", green_strerror(r));
  return s->f;
}

/* The thread that waits to read, if there is one: a thread that was cut off
 * leaves its name behind, but does something else by now. */
static struct green_thread *reader_of(const struct green_socket *s) {
  struct green_thread *t = s->reader;
  if (likely(!t) || t->on != s->f || t->kind != s->reading) return NULL;
  return t->state == GREEN_BLOCKED || t->state == GREEN_READY ? t : NULL;
}

/* "#7 fetch" */
static const char *push_name(lua_State *L, struct green_lua *G,
                             struct green_thread *t) {
  const char *text, *name;
  if (!t) return lua_pushliteral(L, "(a host)");
  green_lua__push_thread(L, G, t);
  text = luaL_tolstring(L, -1, NULL);
  name = strchr(text, '#');
  return name ? name : text;
}

static int second_reader(lua_State *L, struct green_lua *G,
                         struct green_thread *t) {
  const char *who;
  luaL_checkstack(L, 8, "luagreen");
  who = push_name(L, G, t);
  return luaL_error(
      L, "socket is already being read by green thread %s (asked by %s)", who,
      push_name(L, G, green_lua__current(G)));
}

/* Has an interruption come since the last wait of this call? */
static int is_struck(struct green_lua *G) {
  struct green_thread *t = green_lua__current(G);
  struct green_scope *scope;
  return unlikely(t && t->pending) &&
         green_strikes(G->hub, t, &scope) != GREEN_STRIKE_NONE;
}

static int wait_readable(lua_State *L, struct green_lua *G,
                         struct green_socket *s,
                         const struct green_lua_op *op) {
  struct green_fd *f = green_lua__socket_watch(L, G, s);
  uint64_t at = earlier(end_of(s->block), s->read_end);
  int keep, r;
  if (is_struck(G)) green_lua__interrupt(L, G, op);
  keep = green_lua__prepare(L, G, op);
  r = green_fd_wait_begin(G->hub, f, GREEN_READABLE, at, &op->kind);
  if (r == UV_EBUSY) return second_reader(L, G, green_fd_reader(f));
  if (r < 0) return luaL_error(L, "'%s': %s", op->kind.name, green_strerror(r));
  s->reader = green_lua__current(G);
  s->reading = &op->kind;
  return green_lua__park(L, G, op, keep);
}

/* On entry of every call that reads. */
static void begin_read(lua_State *L, struct green_lua *G,
                       struct green_socket *s) {
  struct green_thread *t = reader_of(s);
  if (unlikely(t)) second_reader(L, G, t);
  s->reader = NULL;
  s->read_end = s->total < 0 ? GREEN_FOREVER : green_lua__deadline(s->total);
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

static size_t buffered(const struct green_socket *s) {
  return s->end - s->at;
}

static void drop_buffer(struct green_socket *s) {
  free(s->buffer);
  s->buffer = NULL;
  s->at = s->end = s->room = s->scanned = 0;
}

static void consume(struct green_socket *s, size_t n) {
  s->at += n;
  s->received += n;
  s->scanned = 0;
  if (s->at == s->end) drop_buffer(s);
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

static int recv_buffered(lua_State *L, struct green_socket *s, size_t n) {
  if (n > buffered(s)) n = buffered(s);
  lua_pushlstring(L, s->buffer + s->at, n);
  consume(s, n);
  return 1;
}

static int recv_go(lua_State *L, struct green_lua *G,
                   struct green_socket *s) {
  size_t n = (size_t)lua_tointeger(L, 2);
  char *scratch = lua_touserdata(L, lua_upvalueindex(SCRATCH));
  ssize_t got;
  if (unlikely(s->fd < 0)) return green_lua__push_closed(L);
  if (unlikely(buffered(s))) return recv_buffered(L, s, n);
  got = read_some(s, scratch, n < SCRATCH_SIZE ? n : SCRATCH_SIZE);
  if (likely(got > 0)) {
    s->received += (uint64_t)got;
    lua_pushlstring(L, scratch, (size_t)got);
    return 1;
  }
  if (got == 0) return green_lua__push_closed(L);
  if (got != -EAGAIN) return green_lua__socket_fail(L, (int)-got);
  if (!may_wait(s)) return green_lua__push_timeout(L);
  return wait_readable(L, G, s, &recv_op);
}

static int socket_recv(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_socket *s = self(L, CLIENT);
  luaL_argcheck(L, luaL_checkinteger(L, 2) > 0, 2, "positive number expected");
  lua_settop(L, 2);
  if (likely(!s->polls)) {
    int r = green_lua__enter(L, G, &recv_op);
    if (unlikely(r >= 0)) return r;
  }
  begin_read(L, G, s);
  return recv_go(L, G, s);
}

static int recv_woken(lua_State *L, struct green_lua *G, int reason) {
  struct green_socket *s = end_wait(L, reason);
  if (reason == GREEN_CLOSED) return green_lua__push_closed(L);
  return recv_go(L, G, s);
}

static const struct green_lua_op recv_op = {
    {"socket:recv", NULL, green_fd_leave}, socket_recv, recv_woken, NULL};

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

/* Pushes prefix .. the first n buffered bytes and consumes them. */
static void push_buffered(lua_State *L, struct green_socket *s, size_t n) {
  int prefixed = lua_rawlen(L, 3) > 0;
  if (prefixed) lua_pushvalue(L, 3);
  lua_pushlstring(L, n ? s->buffer + s->at : "", n);
  if (prefixed) lua_concat(L, 2);
  if (n) consume(s, n);
}

/* The same for a line: every \r is dropped, in place. */
static void push_line(lua_State *L, struct green_socket *s, size_t n,
                      size_t newline) {
  char *line = s->buffer + s->at;
  int prefixed = lua_rawlen(L, 3) > 0;
  size_t i, kept = 0;
  if (prefixed) lua_pushvalue(L, 3);
  if (n && memchr(line, '\r', n)) {
    luaL_Buffer b;
    char *to = luaL_buffinitsize(L, &b, n);
    for (i = 0; i < n; i++)
      if (line[i] != '\r') to[kept++] = line[i];
    luaL_pushresultsize(&b, kept);
  } else {
    lua_pushlstring(L, n ? line : "", n);
  }
  if (prefixed) lua_concat(L, 2);
  if (n + newline) consume(s, n + newline);
}

static int success(lua_State *L) {
  lua_pushnil(L);
  lua_pushnil(L);
  return 3;
}

/* nil, why, partial: what came is consumed. */
static int receive_fails(lua_State *L, struct green_socket *s,
                         const struct wanted *w, const char *why) {
  lua_pushnil(L);
  lua_pushstring(L, why);
  if (w->pattern == LINE)
    push_line(L, s, buffered(s), 0);
  else
    push_buffered(L, s, w->pattern == COUNT && w->n == 0 ? 0 : buffered(s));
  return 3;
}

static int receive_ends(lua_State *L, struct green_socket *s,
                        const struct wanted *w) {
  if (w->pattern != ALL || !buffered(s))
    return receive_fails(L, s, w, "closed");
  push_buffered(L, s, buffered(s));
  return success(L);
}

/* Delivers from the buffer what was asked for: 3 results, or 0. */
static int take(lua_State *L, struct green_socket *s, const struct wanted *w) {
  size_t have = buffered(s);
  const char *newline;
  if (w->pattern == COUNT) {
    if (!w->satisfied && (have == 0 || have < w->n)) return 0;
    push_buffered(L, s, w->n);
    return success(L);
  }
  if (w->pattern == ALL || have == 0) return 0;
  newline = memchr(s->buffer + s->at + s->scanned, '\n', have - s->scanned);
  if (!newline) {
    s->scanned = have;
    return 0;
  }
  push_line(L, s, (size_t)(newline - s->buffer) - s->at, 1);
  return success(L);
}

static int receive_go(lua_State *L, struct green_lua *G,
                      struct green_socket *s) {
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
      return receive_fails(L, s, &w, green_lua__socket_error((int)-got));
    } else if (!may_wait(s)) {
      return receive_fails(L, s, &w, "timeout");
    } else {
      return wait_readable(L, G, s, &receive_op);
    }
  }
  return results;
}

static int socket_receive(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
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
    int r = green_lua__enter(L, G, &receive_op);
    if (unlikely(r >= 0)) return r;
  }
  begin_read(L, G, s);
  return receive_go(L, G, s);
}

static int receive_woken(lua_State *L, struct green_lua *G, int reason) {
  struct green_socket *s = end_wait(L, reason);
  struct wanted w;
  if (reason != GREEN_CLOSED) return receive_go(L, G, s);
  w = wanted_of(L);
  return receive_ends(L, s, &w);
}

static const struct green_lua_op receive_op = {
    {"socket:receive", NULL, green_fd_leave},
    socket_receive, receive_woken, NULL};

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
static int send_ends(lua_State *L, struct green_lua *G, struct green_socket *s,
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

static int send_wait(lua_State *L, struct green_lua *G,
                     struct green_socket *s, size_t done) {
  struct green_fd *f = green_lua__socket_watch(L, G, s);
  uint64_t at = send_deadline(L, s);
  int keep, r;
  s->sending = 1;
  s->done = done;
  green_fd_write_try(G->hub, f);
  if (is_struck(G)) { /* the send is cut off here */
    green_fd_write_end(G->hub, f);
    green_lua__interrupt(L, G, &send_op);
    return socket_send(L);
  }
  if (green_lua__refusal(L, G)) green_fd_write_end(G->hub, f);
  keep = green_lua__prepare(L, G, &send_op);
  r = green_fd_wait_begin(G->hub, f, GREEN_WRITABLE, at, &send_op.kind);
  if (r < 0) {
    green_fd_write_end(G->hub, f);
    return luaL_error(L, "'socket:send': %s", green_strerror(r));
  }
  return green_lua__park(L, G, &send_op, keep);
}

static int send_go(lua_State *L, struct green_lua *G, struct green_socket *s,
                   size_t done) {
  struct piece p = piece_of(L);
  lua_Integer last = p.before + (lua_Integer)done;
  ssize_t n = 0;
  if (unlikely(s->fd < 0)) return send_ends(L, G, s, last, "closed");
  if (likely(done < p.size)) {
    do n = send(s->fd, p.data + done, p.size - done,
                MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
      return send_ends(L, G, s, last, green_lua__socket_error(errno));
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
static int send_begin(lua_State *L, struct green_lua *G,
                      struct green_socket *s) {
  lua_Integer before = piece_of(L).before;
  if (likely(!s->sending || !s->done)) return send_go(L, G, s, 0);
  if (s->f) green_fd_write_end(G->hub, s->f);
  return send_fails(L, before,
                    lua_pushfstring(L, "send was cut after %I bytes",
                                    (lua_Integer)s->done));
}

static int wait_turn(lua_State *L, struct green_lua *G,
                     struct green_socket *s) {
  uint64_t at;
  int keep, r;
  if (s->polls) return send_fails(L, piece_of(L).before, "timeout");
  at = send_deadline(L, s);
  keep = green_lua__prepare(L, G, &turn_op);
  r = green_fd_turn_begin(G->hub, s->f, at, &turn_op.kind);
  if (r < 0) return luaL_error(L, "'socket:send': %s", green_strerror(r));
  return green_lua__park(L, G, &turn_op, keep);
}

static int socket_send(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_socket *s = self(L, CLIENT);
  piece_of(L);
  lua_settop(L, 4);
  if (unlikely(s->resume)) {
    s->resume = 0;
    return send_go(L, G, s, s->done);
  }
  if (likely(!s->polls)) {
    int r = green_lua__enter(L, G, &send_op);
    if (unlikely(r >= 0)) return r;
  }
  if (unlikely(s->fd < 0)) return send_fails(L, piece_of(L).before, "closed");
  if (s->f && unlikely(green_fd_write_try(G->hub, s->f) < 0))
    return wait_turn(L, G, s);
  return send_begin(L, G, s);
}

static int send_woken(lua_State *L, struct green_lua *G, int reason) {
  struct green_socket *s = lua_touserdata(L, 1);
  lua_Integer last = piece_of(L).before + (lua_Integer)s->done;
  if (likely(reason == GREEN_WOKEN)) return send_go(L, G, s, s->done);
  return send_ends(L, G, s, last,
                   reason == GREEN_CLOSED ? "closed" : "timeout");
}

/* Unless what interrupted it was taken back, `sending` stays behind. */
static void send_interrupted(lua_State *L, struct green_lua *G) {
  struct green_socket *s = lua_touserdata(L, 1);
  int reason = green_lua__current(G)->reason;
  if (reason == GREEN_INTERRUPT && !G->exiting && !is_struck(G))
    s->resume = 1;
  else if (s->f)
    green_fd_write_end(G->hub, s->f);
}

static int turn_woken(lua_State *L, struct green_lua *G, int reason) {
  struct green_socket *s = lua_touserdata(L, 1);
  if (likely(reason == GREEN_WOKEN && s->f)) return send_begin(L, G, s);
  return send_fails(L, piece_of(L).before,
                    reason == GREEN_TIMEOUT ? "timeout" : "closed");
}


static const struct green_lua_op send_op = {
    {"socket:send", green_fd_turn_undo, green_fd_leave},
    socket_send, send_woken, send_interrupted};
static const struct green_lua_op turn_op = {
    {"socket:send (turn)", green_fd_turn_undo, NULL},
    socket_send, turn_woken, NULL};

/* --- accept --- */

/* Garbage may hold descriptors, and Lua does not know that they are scarce. */
int green_lua__socket_scarce(lua_State *L, int error) {
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
static int deliver(lua_State *L, struct green_socket *s) {
  struct green_socket *c = new_socket(L, s->local);
  c->family = s->family;
  c->fd = s->pending;
  s->pending = -1;
  lua_pushvalue(L, lua_upvalueindex(CLIENT));
  lua_setmetatable(L, -2);
  return 1;
}

static int accept_go(lua_State *L, struct green_lua *G,
                     struct green_socket *s) {
  int r;
  if (s->fd < 0) return green_lua__push_closed(L);
  if (s->pending < 0) {
    r = accept_one(s->fd);
    if (r < 0 && green_lua__socket_scarce(L, -r)) r = accept_one(s->fd);
    if (r < 0 && r != -EAGAIN) return green_lua__socket_fail(L, -r);
    if (r < 0 && !may_wait(s)) return green_lua__push_timeout(L);
    if (r < 0) return wait_readable(L, G, s, &accept_op);
    s->pending = r;
  }
  return deliver(L, s);
}

static int socket_accept(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_socket *s = self(L, SERVER);
  lua_settop(L, 1);
  if (!s->polls) {
    int r = green_lua__enter(L, G, &accept_op);
    if (r >= 0) return r;
  }
  begin_read(L, G, s);
  return accept_go(L, G, s);
}

static int accept_woken(lua_State *L, struct green_lua *G, int reason) {
  struct green_socket *s = end_wait(L, reason);
  if (reason != GREEN_CLOSED) return accept_go(L, G, s);
  lua_pushnil(L);
  lua_pushstring(L, s->fd < 0 ? "closed" : "stopped");
  return 2;
}

static const struct green_lua_op accept_op = {
    {"socket:accept", NULL, green_fd_leave},
    socket_accept, accept_woken, NULL};

/* stop_accept(listener): the thread that waits in accept gets nil, "stopped".
 * For serve, whose handlers may end it. */
static int l_stop_accept(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_socket *s = luaL_testudata(L, 1, "green.unixstream{server}");
  struct green_thread *t;
  if (!s) s = luaL_checkudata(L, 1, "green.tcp{server}");
  t = reader_of(s);
  lua_pushboolean(L, t && green_wake(G->hub, t, GREEN_CLOSED));
  return 1;
}

/* --- the rest of LuaSocket's list --- */

static int socket_listen(lua_State *L) {
  struct green_socket *s = green_lua__socket(L, SOCKET_MASTER);
  int backlog = (int)luaL_optnumber(L, 2, 32);
  if (s->fd < 0) return green_lua__push_closed(L);
  if (listen(s->fd, backlog) < 0) return green_lua__socket_fail(L, errno);
  green_lua__socket_become(L, SOCKET_SERVER);
  lua_pushinteger(L, 1);
  return 1;
}

static int socket_shutdown(lua_State *L) {
  static const char *const names[] = {"receive", "send", "both", NULL};
  static const int hows[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
  struct green_socket *s = self(L, CLIENT);
  int how = hows[luaL_checkoption(L, 2, "both", names)];
  if (s->fd < 0) return green_lua__push_closed(L);
  s->drained = 0;
  if (shutdown(s->fd, how) < 0 && errno != ENOTCONN)
    return green_lua__socket_fail(L, errno);
  lua_pushinteger(L, 1);
  return 1;
}

void green_lua__socket_shut(struct green_lua *G, struct green_socket *s) {
  struct green_thread *reader = G->hub ? reader_of(s) : NULL;
  int fd = s->fd;
  s->fd = -1;
  if (s->f && G->hub) green_fd_close(G->hub, s->f);
  s->f = NULL;
  if (fd >= 0) close(fd);
  if (s->pending >= 0) close(s->pending);
  s->pending = -1;
  s->sending = s->resume = s->drained = 0;
  green_lua__socket_unlink(s);
  if (!reader) drop_buffer(s); /* else its partial result */
}

static int socket_close(lua_State *L) {
  struct green_lua *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_socket *s = green_lua__socket(L, SOCKET_ANY);
  s->closed = 1;
  green_lua__socket_shut(G, s);
  lua_pushinteger(L, 1);
  return 1;
}

static int socket_gc(lua_State *L) {
  struct green_lua *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_socket *s = lua_touserdata(L, 1);
  green_lua__finalizing(L, G, 0);
  green_lua__socket_shut(G, s);
  drop_buffer(s);
  return 0;
}

static int socket_tostring(lua_State *L) {
  lua_getmetatable(L, 1);
  lua_getfield(L, -1, "__name");
  lua_pushfstring(L, "%s: %p", lua_tostring(L, -1), lua_touserdata(L, 1));
  return 1;
}

static int socket_getfd(lua_State *L) {
  lua_pushinteger(L, green_lua__socket(L, SOCKET_ANY)->fd);
  return 1;
}

static void adopt(struct green_socket *s, int fd) {
  struct sockaddr_storage a;
  socklen_t size = sizeof a, length = sizeof(int);
  int listening = 0;
  s->fd = fd;
  s->drained = s->sending = s->resume = s->closed = 0;
  if (fd < 0) return;
  if (getsockname(fd, (struct sockaddr *)&a, &size) == 0)
    s->family = a.ss_family;
  getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length);
  if (listening) /* accept4() has no MSG_DONTWAIT */
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* Lets go of the present descriptor without closing it. */
static int socket_setfd(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct green_socket *s = green_lua__socket(L, SOCKET_ANY);
  int fd = (int)luaL_checknumber(L, 2);
  struct green_fd *f = s->f;
  s->f = NULL;
  if (f) green_fd_release(G->hub, f);
  drop_buffer(s);
  adopt(s, fd < 0 ? -1 : fd);
  return 0;
}

static int socket_dirty(lua_State *L) {
  lua_pushboolean(L, buffered(green_lua__socket(L, SOCKET_ANY)) > 0);
  return 1;
}

static int socket_getfamily(lua_State *L) {
  struct green_socket *s = green_lua__socket(L, SOCKET_ANY);
  lua_pushstring(L, s->local ? "unix"
                             : s->family == AF_INET6 ? "inet6" : "inet4");
  return 1;
}

static int socket_getstats(lua_State *L) {
  struct green_socket *s = green_lua__socket(L, SOCKET_ANY);
  lua_pushinteger(L, (lua_Integer)s->received);
  lua_pushinteger(L, (lua_Integer)s->sent);
  lua_pushnumber(L, (lua_Number)(green_now() - s->born) / 1e9);
  return 3;
}

static int socket_setstats(lua_State *L) {
  struct green_socket *s = green_lua__socket(L, SOCKET_ANY);
  lua_Number age = luaL_optnumber(L, 4, 0);
  s->received = (uint64_t)luaL_optnumber(L, 2, (lua_Number)s->received);
  s->sent = (uint64_t)luaL_optnumber(L, 3, (lua_Number)s->sent);
  if (!lua_isnoneornil(L, 4)) s->born = green_now() - (uint64_t)(age * 1e9);
  lua_pushinteger(L, 1);
  return 1;
}

/* --- making the classes --- */

static const luaL_Reg methods[] = {
    {"accept", socket_accept},
    {"bind", green_lua__socket_bind},
    {"close", socket_close},
    {"connect", green_lua__socket_connect},
    {"dirty", socket_dirty},
    {"getfamily", socket_getfamily},
    {"getfd", socket_getfd},
    {"getoption", green_lua__socket_getoption},
    {"getpeername", green_lua__socket_getpeername},
    {"getsockname", green_lua__socket_getsockname},
    {"getstats", socket_getstats},
    {"gettimeout", socket_gettimeout},
    {"listen", socket_listen},
    {"receive", socket_receive},
    {"recv", socket_recv},
    {"send", socket_send},
    {"setfd", socket_setfd},
    {"setoption", green_lua__socket_setoption},
    {"setpeername", green_lua__socket_connect},
    {"setsockname", green_lua__socket_bind},
    {"setstats", socket_setstats},
    {"settimeout", socket_settimeout},
    {"shutdown", socket_shutdown},
    {NULL, NULL}};
static const luaL_Reg meta[] = {{"__close", socket_close},
                                {"__gc", socket_gc},
                                {"__tostring", socket_tostring},
                                {NULL, NULL}};

/* Pushes the upvalues of a family: three metatables and the scratch. */
static void push_classes(lua_State *L, const char *family) {
  static const char *const classes[] = {"client", "server", "master"};
  int i;
  for (i = 0; i < 3; i++) {
    const char *name = lua_pushfstring(L, "%s{%s}", family, classes[i]);
    luaL_newmetatable(L, lua_pushfstring(L, "green.%s", name));
    lua_remove(L, -2);
    lua_insert(L, -2);
    lua_setfield(L, -2, "__name"); /* LuaSocket owns the plain name's key */
  }
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.scratch");
}

/* With the four upvalues on top, which stay: a new table of functions. */
static void push_functions(lua_State *L, const luaL_Reg *functions) {
  int i;
  lua_newtable(L);
  for (i = 0; i < 4; i++) lua_pushvalue(L, -5);
  green_lua__setfuncs(L, functions, 4);
}

/* Copies the table at `from` into the one on top. */
static void copy(lua_State *L, int from) {
  for (lua_pushnil(L); lua_next(L, from);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

/* Each class has a table of its own, with the same methods. */
static void open_family(lua_State *L, const char *family) {
  int base = lua_gettop(L), i;
  push_classes(L, family);
  push_functions(L, methods);
  lua_pushvalue(L, base + 1);
  lua_pushvalue(L, base + 2);
  lua_pushvalue(L, base + 3);
  lua_pushvalue(L, base + 4);
  push_functions(L, meta);
  lua_replace(L, base + 6);
  lua_settop(L, base + 6);
  for (i = 1; i <= 3; i++) {
    lua_pushvalue(L, base + i);
    copy(L, base + 6);
    lua_newtable(L);
    copy(L, base + 5);
    lua_getfield(L, base + i, "__name");
    lua_setfield(L, -2, "class");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
  }
  lua_settop(L, base);
}

/* socket_methods(): the tables of methods, for those written in Lua. */
static int l_socket_methods(lua_State *L) {
  static const char *const names[] = {
      "tcp{client}",        "tcp{server}",        "tcp{master}",
      "unixstream{client}", "unixstream{server}", "unixstream{master}"};
  int i;
  lua_createtable(L, 6, 0);
  for (i = 0; i < 6; i++) {
    luaL_getmetatable(L, lua_pushfstring(L, "green.%s", names[i]));
    lua_getfield(L, -1, "__index");
    lua_rawseti(L, -4, i + 1);
    lua_pop(L, 2);
  }
  return 1;
}

static const luaL_Reg functions[] = {{"socket_methods", l_socket_methods},
                                     {"stop_accept", l_stop_accept},
                                     {NULL, NULL}};

void green_lua__open_socket(lua_State *L) {
  lua_newuserdatauv(L, SCRATCH_SIZE, 0);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.scratch");
  open_family(L, "tcp");
  open_family(L, "unixstream");
  green_lua__setfuncs(L, functions, 0);
  green_lua__open_address(L);
}
