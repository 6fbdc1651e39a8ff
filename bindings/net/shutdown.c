/* shutdown.c - ending one direction of a stream, or both.
 *
 * A plain socket is shut down at once. A layer says so to the peer: it takes a
 * turn to write, as a send does, and waits until there is room.
 *
 * On green threads; with a limit of 0 nothing waits, and all may run anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/calls.h"
#include "net/waiting.h"

static const struct lg_op shutdown_op, turn_op;

enum { AT_END = 3 }; /* of the arguments, see lg_kept_end() */

/* The argument `how`, and its number after the first call. */
static int how_of(lua_State *L) {
  static const char *const names[] = {"receive", "send", "both", NULL};
  static const int hows[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
  return hows[luaL_checkoption(L, 2, "both", names)];
}

static int done(lua_State *L) {
  lua_pushinteger(L, 1);
  return 1;
}

static int plain(lua_State *L, struct lg_socket *s, int how) {
  int theirs = s->kind->luasocket; /* they never fail */
  if (s->fd < 0 && !theirs) return lg_push_closed(L);
  s->drained = 0;
  if (shutdown(s->fd, how) < 0 && errno != ENOTCONN && !theirs)
    return lg_socket_fail(L, s, errno);
  return done(L);
}

static int ends(lua_State *L, struct lg *G, struct lg_socket *s,
                const char *why) {
  lg_write_end(G, s);
  return why ? lg_fail_text(L, why) : done(L);
}

/* The write side is ours. */
static int go(lua_State *L, struct lg *G, struct lg_socket *s) {
  int r;
  if (s->fd < 0 || !s->layer || !s->layer->shut)
    return ends(L, G, s, "closed");
  s->drained = 0;
  r = s->layer->shut(s, how_of(L));
  if (r == 0) return ends(L, G, s, NULL);
  if (r != -EAGAIN) return ends(L, G, s, lg_socket_error(s, -r));
  if (s->polls) return ends(L, G, s, "timeout");
  r = lg_write_wait(L, G, s, &shutdown_op, lg_kept_end(L, s, AT_END));
  return likely(r >= 0) ? r : ends(L, G, s, lg_wait_error(s, r));
}

static int not_open(lua_State *L, struct lg_socket *s, const char *why) {
  (void)s;
  return lg_fail_text(L, why);
}

/* The write side is free, or the call waits for its turn. */
static int begin(lua_State *L, struct lg *G, struct lg_socket *s) {
  int r;
  if (s->fd < 0) return lg_push_closed(L);
  if (lg_write_try(G, s)) return go(L, G, s);
  if (s->polls) return lg_push_timeout(L);
  r = lg_write_turn(L, G, s, &turn_op, lg_kept_end(L, s, AT_END));
  return likely(r >= 0) ? r : lg_fail_text(L, lg_wait_error(s, r));
}

static int opened(lua_State *L, struct lg_socket *s, uint64_t end) {
  assert(lua_gettop(L) == AT_END - 1);
  lua_pushinteger(L, (lua_Integer)end);
  return begin(L, s->G, s);
}

static const struct lg_opening opening = {&shutdown_op, not_open, opened};

int lg_socket_shutdown(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_CLIENT);
  struct lg *G = s->G;
  int how = how_of(L), r;
  lua_settop(L, 2);
  if (likely(!s->layer || !s->layer->shut)) return plain(L, s, how);
  lg_socket_awake(L, LG_CLIENT);
  if (!s->polls && (r = lg_enter(L, G, &shutdown_op)) >= 0) return r;
  if ((r = lg_open_layer(L, G, s, &opening)) >= 0) return r;
  return begin(L, G, s);
}

static int shutdown_woken(lua_State *L, struct lg *G, int reason) {
  struct lg_socket *s = lg_socket_at(L, 1);
  if (likely(reason == GREEN_WOKEN)) return go(L, G, s);
  if (reason == GREEN_CLOSED) lg_socket_lost(s);
  return ends(L, G, s, reason == GREEN_CLOSED ? "closed" : "timeout");
}

static void interrupted(lua_State *L, struct lg *G) {
  lg_write_end(G, lg_socket_at(L, 1));
}

static int turn_woken(lua_State *L, struct lg *G, int reason) {
  struct lg_socket *s = lg_socket_at(L, 1);
  if (likely(reason == GREEN_WOKEN)) return go(L, G, s);
  return lg_fail_text(L, reason == GREEN_TIMEOUT ? "timeout" : "closed");
}

static const struct lg_op shutdown_op = {
    {"socket:shutdown", green_fd_turn_undo, green_fd_leave},
    lg_socket_shutdown,
    shutdown_woken,
    interrupted};
static const struct lg_op turn_op = {
    {"socket:shutdown (turn)", green_fd_turn_undo, NULL},
    lg_socket_shutdown,
    turn_woken,
    NULL};
