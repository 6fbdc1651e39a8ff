/* opening.c - opening the layer of a socket: the handshake.
 *
 * It belongs to the thread of whoever first reads, sends or asks for it, so
 * that accept waits for no peer's handshake. It has the write side for itself:
 * a second thread that needs the layer waits for its turn to write, and finds
 * it open then. When it is over, or has failed, the call that needed it goes
 * on, within the limit that it began with; the layer itself tells a failure to
 * each call.
 *
 * On green threads; with a limit of 0 nothing waits, and all may run anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/calls.h"
#include "net/waiting.h"

static const struct lg_op opening_op, turn_op;

/* Above the arguments of the call: the socket, which is one of them; what call
 * it was, and when it must end. */
enum { NOTES = 3 };

static struct lg_socket *socket_of(lua_State *L) {
  return lua_touserdata(L, -3);
}

static const struct lg_opening *opening_of(lua_State *L) {
  return lua_touserdata(L, -2);
}

static uint64_t end_of(lua_State *L, const struct lg_socket *s) {
  uint64_t end = (uint64_t)lua_tointeger(L, -1);
  return lg_earlier(lg_wait_end(s, end), s->opening_end);
}

static int fails(lua_State *L, struct lg_socket *s, const char *why) {
  const struct lg_opening *o = opening_of(L);
  lua_pop(L, NOTES);
  return o->fails(L, s, why);
}

/* The call goes on. */
static int opened(lua_State *L, struct lg_socket *s) {
  const struct lg_opening *o = opening_of(L);
  uint64_t end = (uint64_t)lua_tointeger(L, -1);
  lua_pop(L, NOTES);
  return o->opened(L, s, end);
}

/* 0: the layer is open, or never will be; or -EAGAIN. */
static int advance(struct lg *G, struct lg_socket *s) {
  int r = s->fd >= 0 && s->opening ? s->layer->open(s) : 0;
  if (r == -EAGAIN) return r;
  s->opening = 0;
  lg_write_end(G, s);
  return 0;
}

static int waits(lua_State *L, struct lg *G, struct lg_socket *s) {
  int r;
  if (s->polls) {
    lg_write_end(G, s);
    return fails(L, s, "timeout");
  }
  r = lg_turn_wait(L, G, s, s->wants, &opening_op, end_of(L, s));
  return likely(r >= 0) ? r : fails(L, s, lg_wait_error(s, r));
}

static int waits_for_turn(lua_State *L, struct lg *G, struct lg_socket *s) {
  int r;
  if (s->polls) return fails(L, s, "timeout");
  r = lg_write_turn(L, G, s, &turn_op, end_of(L, s));
  return likely(r >= 0) ? r : fails(L, s, lg_wait_error(s, r));
}

int lg_open_layer_slow(lua_State *L, struct lg *G, struct lg_socket *s,
                       const struct lg_opening *o) {
  int mine = lg_write_try(G, s);
  if (mine && advance(G, s) == 0) return -1;
  luaL_checkstack(L, NOTES, "luagreen");
  lua_pushlightuserdata(L, s);
  lua_pushlightuserdata(L, (void *)o);
  lua_pushinteger(L, (lua_Integer)lg_call_end(s));
  return mine ? waits(L, G, s) : waits_for_turn(L, G, s);
}

/* Goes on with the write side. */
static int go(lua_State *L, struct lg *G, struct lg_socket *s) {
  return advance(G, s) == 0 ? opened(L, s) : waits(L, G, s);
}

static int opening_woken(lua_State *L, struct lg *G, int reason) {
  struct lg_socket *s = socket_of(L);
  if (reason == GREEN_CLOSED) lg_socket_lost(s);
  if (reason != GREEN_TIMEOUT || green_now() >= s->opening_end)
    return go(L, G, s);
  lg_write_end(G, s);
  return fails(L, s, "timeout");
}

static int turn_woken(lua_State *L, struct lg *G, int reason) {
  struct lg_socket *s = socket_of(L);
  if (reason == GREEN_WOKEN) return go(L, G, s);
  if (reason == GREEN_CLOSED) return opened(L, s);
  return fails(L, s, "timeout");
}

static void interrupted(lua_State *L, struct lg *G) {
  lg_write_end(G, socket_of(L));
}

/* The interruption was taken back: the call begins anew. */
static int start_again(lua_State *L) {
  const struct lg_opening *o = opening_of(L);
  lua_pop(L, NOTES);
  return o->call->start(L);
}

static const struct lg_op opening_op = {
    {"socket:handshake", green_fd_turn_undo, green_fd_leave},
    start_again,
    opening_woken,
    interrupted};
static const struct lg_op turn_op = {
    {"socket:handshake (turn)", green_fd_turn_undo, NULL},
    start_again,
    turn_woken,
    NULL};

/* --- handshake([sock]) --- */

static const struct lg_op handshake_op;

static int not_open(lua_State *L, struct lg_socket *s, const char *why) {
  (void)s;
  return lg_fail_text(L, why);
}

/* true, or nil and why not. */
static int handshake_opened(lua_State *L, struct lg_socket *s, uint64_t end) {
  int r;
  (void)end;
  if (s->fd < 0) return lg_push_closed(L);
  r = s->layer && s->layer->open ? s->layer->open(s) : 0;
  if (r < 0 && r != -EAGAIN) return lg_socket_fail(L, s, -r);
  lua_pushboolean(L, 1);
  return 1;
}

static const struct lg_opening handshake_opening = {&handshake_op, not_open,
                                                    handshake_opened};

/* At once if it is open or there is no layer. */
int lg_socket_handshake(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_CLIENT);
  struct lg *G = s->G;
  int r;
  lua_settop(L, 1);
  if (!s->polls && (r = lg_enter(L, G, &handshake_op)) >= 0) return r;
  if (s->fd < 0) return lg_push_closed(L);
  if ((r = lg_open_layer(L, G, s, &handshake_opening)) >= 0) return r;
  return handshake_opened(L, s, GREEN_FOREVER);
}

static int handshake_woken(lua_State *L, struct lg *G, int reason) {
  (void)G, (void)reason;
  return lg_socket_handshake(L);
}

static const struct lg_op handshake_op = {{"socket:handshake", NULL, NULL},
                                          lg_socket_handshake,
                                          handshake_woken,
                                          NULL};
