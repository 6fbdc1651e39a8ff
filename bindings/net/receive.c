/* receive.c - recv and receive.
 *
 * The system call is tried first. A read that was shorter than asked has
 * drained the socket, so the next one waits without trying (polling is level
 * triggered: nothing is missed). Bytes are delivered from the buffer,
 * where they stay when anything cuts the call off: an interruption, or a lack
 * of memory.
 *
 * On green threads; with a limit of 0 nothing waits, and all may run anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "net/calls.h"
#include "net/waiting.h"

/* Full reads in a row before the others get a turn. */
enum { GREEDY = 16 };

static const struct lg_op receive_op, recv_op;

ssize_t lg_read_some(lua_State *L, struct lg_socket *s, size_t n) {
  size_t room;
  char *to;
  ssize_t got;
  if (s->drained && lg_read_may_wait(s) && likely(!s->layer)) return -EAGAIN;
  to = lg_buffer_room(L, s, &room);
  if (unlikely(s->fd < 0)) return 0; /* a finalizer closed it */
  assert(room > 0); /* a read of 0 bytes would look like the end */
  if (n > room) n = room;
  if (unlikely(s->layer)) {
    got = s->layer->read(s, to, n);
  } else {
    do got = recv(s->fd, to, n, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got < 0) got = -errno;
    s->drained = got > 0 && (size_t)got < n;
  }
  s->woken &= got <= 0;
  if (likely(got > 0))
    lg_buffer_filled(s, (size_t)got);
  else if (got < 0)
    lg_socket_failed(s, (int)-got);
  else /* the end; or a break, which the kernel reports once and then an end */
    got = -s->failed;
  return got;
}

/* --- recv --- */

/* Pushes at most n of the buffered bytes; 0: finalizers have read them all. */
static int recv_buffered(lua_State *L, struct lg_socket *s, size_t n) {
  while (lg_buffered(s)) {
    struct lg_front front = lg_buffer_front(L, s);
    size_t have = lg_buffered(s);
    if (have > n) have = n;
    lua_pushlstring(L, s->buffer + s->at, have);
    if (likely(lg_buffer_deliver(L, s, &front, have))) return 1;
  }
  return 0;
}

static int recv_waits(lua_State *L, struct lg *G, struct lg_socket *s) {
  int r = lg_read_wait(L, G, s, &recv_op);
  return likely(r >= 0) ? r : lg_fail_text(L, lg_wait_error(s, r));
}

static int recv_go(lua_State *L, struct lg *G, struct lg_socket *s) {
  size_t n = (size_t)lua_tointeger(L, 2);
  for (;;) {
    ssize_t got;
    if (unlikely(s->fd < 0)) return lg_push_closed(L);
    if (recv_buffered(L, s, n)) return 1;
    got = lg_read_some(L, s, n < LG_SCRATCH ? n : LG_SCRATCH);
    if (likely(got > 0)) continue;
    if (got == 0) return lg_push_closed(L);
    if (got != -EAGAIN) return lg_socket_fail(L, s, (int)-got);
    if (!lg_read_may_wait(s)) return lg_push_timeout(L);
    return recv_waits(L, G, s);
  }
}

static int recv_fails(lua_State *L, struct lg_socket *s, const char *why) {
  (void)s;
  return lg_fail_text(L, why);
}

static int recv_opened(lua_State *L, struct lg_socket *s, uint64_t end) {
  lg_read_begin(L, s->G, s, end);
  return recv_go(L, s->G, s);
}

static const struct lg_opening recv_opening = {&recv_op, recv_fails,
                                               recv_opened};

int lg_socket_recv(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_CLIENT);
  struct lg *G = s->G;
  int r;
  luaL_argcheck(L, luaL_checkinteger(L, 2) > 0, 2, "positive number expected");
  lua_settop(L, 2);
  if (likely(!s->polls)) {
    r = lg_enter(L, G, &recv_op);
    if (unlikely(r >= 0)) return r;
  }
  if ((r = lg_open_layer(L, G, s, &recv_opening)) >= 0) return r;
  return recv_opened(L, s, LG_READ_BEGINS);
}

static int recv_woken(lua_State *L, struct lg *G, int reason) {
  struct lg_socket *s = lg_read_woken(L, reason);
  if (reason == GREEN_CLOSED) return lg_push_closed(L);
  return recv_go(L, G, s);
}

static const struct lg_op recv_op = {
    {"socket:recv", NULL, green_fd_leave}, lg_socket_recv, recv_woken, NULL};

/* --- receive: LuaSocket's patterns --- */

/* "*l" and "*a", and any text that begins with them, as in LuaSocket. Our own
 * sockets also take Lua's "l", "a", and "L" for a line with its end. */
static enum lg_pattern pattern_of(lua_State *L, const struct lg_socket *s) {
  const char *p = luaL_optstring(L, 2, "*l");
  int star = *p == '*', ours = !s->kind->luasocket;
  int known = star || (ours && strlen(p) == 1);
  if (known && p[star] == 'l') return LG_LINE;
  if (known && p[star] == 'a') return LG_ALL;
  if (known && p[star] == 'L' && ours) return LG_WHOLE_LINE;
  luaL_argerror(L, 2, "invalid receive pattern");
  return LG_LINE;
}

/* Lua would try to read "*l" as a number. */
static int is_count(lua_State *L) {
  const char *p = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  return *p != '*' && lua_isnumber(L, 2);
}

static int is_line(const struct lg_wanted *w) {
  return w->pattern == LG_LINE || w->pattern == LG_WHOLE_LINE;
}

/* Argument 4, a line's own bound; to anything else it would be no bound. */
static size_t most_of(lua_State *L, const struct lg_wanted *w) {
  lua_Integer most = luaL_checkinteger(L, 4);
  luaL_argcheck(L, most >= 0, 4, "0 or more expected");
  luaL_argcheck(L, is_line(w), 4, "only a line has a bound");
  return most ? (size_t)most : SIZE_MAX;
}

/* Arguments 2 to 4. The prefix, which is a string by now, counts. */
static struct lg_wanted wanted_of(lua_State *L, const struct lg_socket *s) {
  struct lg_wanted w = {LG_COUNT, 0, 0, 0};
  if (is_count(L)) {
    lua_Number n = lua_tonumber(L, 2);
    size_t prefix = lua_rawlen(L, 3);
    luaL_argcheck(L, n >= 0 && n < 1e15, 2, "invalid receive pattern");
    w.satisfied = prefix > 0 && (size_t)n <= prefix;
    w.n = w.satisfied ? 0 : (size_t)n - prefix;
  } else {
    w.pattern = pattern_of(L, s);
  }
  if (unlikely(lua_gettop(L) > 3)) w.most = most_of(L, &w);
  return w;
}

/* Pushes a copy of the first n bytes without any \r; 0: finalizers changed the
 * buffer before there was one. A luaL_Buffer would have to be finished all the
 * same then: it may lie in a box that is to be closed, and in Lua 5.4.4
 * lua_settop() over such a box may leave the stack's top in memory that is free
 * by then. */
static int push_stripped(lua_State *L, struct lg_socket *s,
                         const struct lg_front *front, size_t n) {
  char *to = lua_newuserdatauv(L, n, 0);
  const char *line = s->buffer + s->at;
  size_t i, kept = 0;
  if (unlikely(s->changes != front->changes)) {
    lua_settop(L, front->top);
    return 0;
  }
  for (i = 0; i < n; i++)
    if (line[i] != '\r') to[kept++] = line[i];
  lua_pushlstring(L, to, kept);
  lua_remove(L, -2);
  return 1;
}

/* Pushes prefix .. the first n buffered bytes, of a line those that are no \r,
 * and consumes them and the newline, if there is one. 0: finalizers have read
 * them. */
static int push_front(lua_State *L, struct lg_socket *s,
                      const struct lg_wanted *w, size_t n, size_t newline) {
  struct lg_front front = lg_buffer_front(L, s);
  int prefixed = lua_rawlen(L, 3) > 0;
  const char *data, *cr;
  if (prefixed) lua_pushvalue(L, 3);
  data = n ? s->buffer + s->at : "";
  cr = w->pattern == LG_LINE && n ? memchr(data, '\r', n) : NULL;
  if (likely(!cr))
    lua_pushlstring(L, data, n);
  else if (cr == data + n - 1)
    lua_pushlstring(L, data, n - 1); /* "\r\n", mostly */
  else if (!push_stripped(L, s, &front, n))
    return 0;
  if (prefixed) lua_concat(L, 2);
  return lg_buffer_deliver(L, s, &front, n + newline);
}

/* Is what the call asks for in the buffer? Its first n bytes, then; and of a
 * line, one for its end. */
static int find(struct lg_socket *s, const struct lg_wanted *w, size_t *n) {
  size_t have = lg_buffered(s);
  const char *start, *newline;
  *n = w->n;
  if (w->pattern == LG_COUNT)
    return w->satisfied || (have > 0 && have >= w->n);
  if (w->pattern == LG_ALL || have == 0) return 0;
  start = s->buffer + s->at;
  newline = memchr(start + s->scanned, '\n', have - s->scanned);
  if (newline)
    *n = (size_t)(newline - start);
  else
    s->scanned = have;
  return newline != NULL;
}

static int success(lua_State *L) {
  lua_pushnil(L);
  lua_pushnil(L);
  return 3;
}

/* nil, "line too long", the prefix. The bytes stay: a program that knows what
 * to do with them may read them in pieces. */
static int too_long(lua_State *L) {
  lua_pushnil(L);
  lua_pushliteral(L, "line too long");
  lua_pushvalue(L, 3);
  return 3;
}

/* Bytes that may be buffered before a line ends. */
static size_t bound(const struct lg_socket *s, const struct lg_wanted *w) {
  if (unlikely(w->most)) return w->most;
  return is_line(w) && s->max_line ? s->max_line : SIZE_MAX;
}

/* Delivers from the buffer what was asked for: 3 results, or 0. */
static int take(lua_State *L, struct lg_socket *s, const struct lg_wanted *w) {
  size_t n, most = bound(s, w);
  while (find(s, w, &n)) {
    size_t newline = w->pattern == LG_LINE;
    if (unlikely(n > most)) return too_long(L);
    if (w->pattern == LG_WHOLE_LINE) n++;
    if (push_front(L, s, w, n, newline)) return success(L);
  }
  return lg_buffered(s) > most ? too_long(L) : 0;
}

/* nil, why, partial: the partial result is consumed. */
static int receive_fails(lua_State *L, struct lg_socket *s,
                         const struct lg_wanted *w, const char *why) {
  int none = w->pattern == LG_COUNT && w->n == 0;
  lua_pushnil(L);
  lua_pushstring(L, why);
  while (!push_front(L, s, w, none ? 0 : lg_buffered(s), 0)) continue;
  return 3;
}

static int receive_ends(lua_State *L, struct lg_socket *s,
                        const struct lg_wanted *w) {
  if (w->pattern == LG_ALL)
    while (lg_buffered(s))
      if (push_front(L, s, w, lg_buffered(s), 0)) return success(L);
  return receive_fails(L, s, w, "closed");
}

static int receive_waits(lua_State *L, struct lg *G, struct lg_socket *s,
                         const struct lg_wanted *w) {
  int r;
  s->wanted = *w;
  r = lg_read_wait(L, G, s, &receive_op);
  return likely(r >= 0) ? r : receive_fails(L, s, w, lg_wait_error(s, r));
}

static int receive_go(lua_State *L, struct lg *G, struct lg_socket *s) {
  struct lg_wanted w = s->wanted; /* a finalizer may receive, too */
  int rounds, results;
  for (rounds = 0;; rounds++) {
    ssize_t got;
    if ((results = take(L, s, &w))) return results;
    if (s->fd < 0) return receive_ends(L, s, &w);
    if (rounds == GREEDY && lg_read_may_wait(s)) break;
    got = lg_read_some(L, s, SIZE_MAX);
    if (likely(got > 0)) continue;
    if (got == 0) return receive_ends(L, s, &w);
    if (got != -EAGAIN)
      return receive_fails(L, s, &w, lg_socket_error(s, (int)-got));
    if (!lg_read_may_wait(s)) return receive_fails(L, s, &w, "timeout");
    break;
  }
  return receive_waits(L, G, s, &w);
}

static int receive_not_open(lua_State *L, struct lg_socket *s,
                            const char *why) {
  struct lg_wanted w = wanted_of(L, s);
  return receive_fails(L, s, &w, why);
}

static int receive_opened(lua_State *L, struct lg_socket *s, uint64_t end) {
  struct lg_wanted w = wanted_of(L, s);
  lg_read_begin(L, s->G, s, end);
  s->wanted = w;
  return receive_go(L, s->G, s);
}

static const struct lg_opening receive_opening = {
    &receive_op, receive_not_open, receive_opened};

/* Leaves the pattern, the prefix, which is a string then, and the bound if
 * there is one. LuaSocket's receive ignores what follows the prefix. */
static void settle_arguments(lua_State *L, const struct lg_socket *s) {
  int bounded = !lua_isnoneornil(L, 4) && !s->kind->luasocket;
  lua_settop(L, bounded ? 4 : 3);
  if (likely(lua_isnil(L, 3))) {
    lua_pushliteral(L, "");
    lua_replace(L, 3);
  } else {
    luaL_checkstring(L, 3); /* a number is one: socket.http has it */
  }
}

int lg_socket_receive(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_CLIENT);
  struct lg *G = s->G;
  struct lg_wanted w;
  int r;
  settle_arguments(L, s);
  w = wanted_of(L, s);
  if (likely(!s->polls)) {
    r = lg_enter(L, G, &receive_op);
    if (unlikely(r >= 0)) return r;
  }
  if ((r = lg_open_layer(L, G, s, &receive_opening)) >= 0) return r;
  lg_read_begin(L, G, s, LG_READ_BEGINS);
  s->wanted = w;
  return receive_go(L, G, s);
}

static int receive_woken(lua_State *L, struct lg *G, int reason) {
  struct lg_socket *s = lg_read_woken(L, reason);
  struct lg_wanted w = s->wanted;
  if (reason == GREEN_CLOSED) return receive_ends(L, s, &w);
  return receive_go(L, G, s);
}

static const struct lg_op receive_op = {
    {"socket:receive", NULL, green_fd_leave},
    lg_socket_receive,
    receive_woken,
    NULL};
