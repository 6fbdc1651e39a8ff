/* peek.c - looking at what has arrived, giving bytes back, and breaking off.
 *
 * For programs that tell protocols apart: the next call reads the bytes that
 * were looked at, or given back.
 *
 * On green threads; with a limit of 0 nothing waits, and all may run anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include <poll.h>

#include "net/calls.h"
#include "net/waiting.h"

static const struct lg_op peek_op;

/* --- peek --- */

/* Bytes that must be there: argument 2, or any. */
static size_t wanted(lua_State *L) {
  return lua_isnil(L, 2) ? 1 : (size_t)lua_tointeger(L, 2);
}

/* Pushes what is there, at most as many as are asked for. The buffer stays. */
static void push_front(lua_State *L, const struct lg_socket *s) {
  size_t n = lg_buffered(s);
  if (!lua_isnil(L, 2) && n > wanted(L)) n = wanted(L);
  lua_pushlstring(L, n ? s->buffer + s->at : "", n);
}

static int peek_fails(lua_State *L, struct lg_socket *s, const char *why) {
  lua_pushnil(L);
  lua_pushstring(L, why);
  push_front(L, s);
  return 3;
}

static int peek_go(lua_State *L, struct lg *G, struct lg_socket *s) {
  int r;
  while (lg_buffered(s) < wanted(L)) {
    ssize_t got;
    if (s->fd < 0) return peek_fails(L, s, "closed");
    got = lg_read_some(L, s, SIZE_MAX);
    if (got > 0) continue;
    if (got == 0) return peek_fails(L, s, "closed");
    if (got != -EAGAIN) return peek_fails(L, s, lg_socket_error(s, (int)-got));
    if (!lg_read_may_wait(s)) return peek_fails(L, s, "timeout");
    r = lg_read_wait(L, G, s, &peek_op);
    return likely(r >= 0) ? r : peek_fails(L, s, lg_wait_error(s, r));
  }
  push_front(L, s);
  return 1;
}

/* peek(conn [, n]) */
static int peek_opened(lua_State *L, struct lg_socket *s, uint64_t end) {
  lg_read_begin(L, s->G, s, end);
  return peek_go(L, s->G, s);
}

static const struct lg_opening opening = {&peek_op, peek_fails, peek_opened};

static int l_peek(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_CLIENT);
  struct lg *G = s->G;
  int r;
  luaL_argcheck(L, luaL_optinteger(L, 2, 1) > 0, 2,
                "positive number expected");
  lua_settop(L, 2);
  if (!s->polls) {
    r = lg_enter(L, G, &peek_op);
    if (r >= 0) return r;
  }
  if ((r = lg_open_layer(L, G, s, &opening)) >= 0) return r;
  return peek_opened(L, s, LG_READ_BEGINS);
}

static int peek_woken(lua_State *L, struct lg *G, int reason) {
  struct lg_socket *s = lg_read_woken(L, reason);
  if (reason == GREEN_CLOSED) return peek_fails(L, s, "closed");
  return peek_go(L, G, s);
}

static const struct lg_op peek_op = {
    {"socket:peek", NULL, green_fd_leave}, l_peek, peek_woken, NULL};

/* --- unread --- */

/* unread(conn, data): it is what is read next. */
static int l_unread(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_CLIENT);
  struct green_thread *t = lg_socket_reader(s);
  size_t n;
  const char *data = luaL_checklstring(L, 2, &n);
  if (t) lg_second_reader(L, s->G, t);
  if (s->fd < 0) return lg_push_closed(L);
  if (n) lg_buffer_unread(L, s, data, n);
  lua_pushinteger(L, 1);
  return 1;
}

/* --- readable, abort --- */

/* readable(sock): would a call that reads, or accepts, return at once? */
static int l_readable(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  struct pollfd p = {s->fd, POLLIN, 0};
  int now = s->role == LG_CLIENT ? lg_socket_is_readable(L, s)
                                 : lg_buffered(s) > 0 || poll(&p, 1, 0) > 0;
  lua_pushboolean(L, s->fd < 0 || now);
  return 1;
}

/* progress(conn): bytes that have moved either way, and whether a thread waits
 * for them to: for a server that looks for idle peers. */
static int l_progress(lua_State *L) {
  const struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  lua_pushinteger(L, (lua_Integer)(s->received + lg_buffered(s) + s->sent));
  lua_pushboolean(L, s->sending || (s->f && green_fd_reader(s->f)));
  return 2;
}

/* abort(conn): a close that the peer sees as a reset. Nothing that was sent and
 * is still on its way arrives. */
static int l_abort(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  struct linger reset = {1, 0};
  if (s->fd >= 0)
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  s->lingers = 0;
  s->resets = 1;
  lg_socket_close(s);
  lua_pushinteger(L, 1);
  return 1;
}

void lg_open_peek(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"peek", l_peek},   {"unread", l_unread},     {"readable", l_readable},
      {"abort", l_abort}, {"progress", l_progress}, {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
