/* send.c - sending.
 *
 * Writers take turns, so that a whole send is never interleaved. The
 * bookkeeping of the send under way (`sending`, `done`) stays behind when it is
 * cut off: the stream is broken in the middle of its bytes then, which the next
 * send reports.
 *
 * On green threads; with a limit of 0 nothing waits, and all may run anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/calls.h"
#include "net/waiting.h"
#include "runtime/interrupt.h"

static const struct lg_op send_op, turn_op;

enum { AT_END = 5 }; /* of the arguments, see lg_kept_end() */

/* The part of the string at index 2 that is to be sent. */
struct piece {
  const char *data;
  size_t size;
  lua_Integer before; /* bytes of the string before it */
};

/* Cut to an integer; a number beyond them is beyond any string. */
static lua_Integer index_arg(lua_State *L, int arg, lua_Integer other) {
  lua_Number n;
  if (likely(lua_isnoneornil(L, arg))) return other;
  if (lua_isinteger(L, arg)) return lua_tointeger(L, arg);
  n = luaL_checknumber(L, arg);
  return n > -9e18 && n < 9e18 ? (lua_Integer)n : n > 0 ? LUA_MAXINTEGER : 0;
}

/* LuaSocket's i and j: from the end where negative, then cut to fit. */
static struct piece piece_of(lua_State *L) {
  struct piece p;
  size_t size;
  lua_Integer i, j;
  p.data = luaL_checklstring(L, 2, &size);
  i = index_arg(L, 3, 1);
  j = index_arg(L, 4, -1);
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

/* The send is over: gives the turn to the next writer. Without memory for the
 * number of bytes that were sent, the stream counts as cut, and the next send
 * says so. */
static int send_ends(lua_State *L, struct lg *G, struct lg_socket *s,
                     lua_Integer last, const char *why) {
  lg_write_end(G, s);
  if (unlikely(why)) send_fails(L, last, why);
  s->sending = 0;
  if (unlikely(why)) return 3;
  lua_pushinteger(L, last);
  lua_pushnil(L);
  lua_pushnil(L);
  return 3;
}

static int send_breaks(lua_State *L, struct lg *G, struct lg_socket *s,
                       lua_Integer last, int error) {
  lg_socket_failed(s, error);
  return send_ends(L, G, s, last, lg_socket_error(s, error));
}

ssize_t lg_write_some(struct lg_socket *s, const char *data, size_t n) {
  ssize_t sent;
  if (unlikely(s->layer)) return s->layer->write(s, data, n);
  do sent = send(s->fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

static int send_go(lua_State *L, struct lg *G, struct lg_socket *s,
                   const struct piece *p, size_t done) {
  lua_Integer last = p->before + (lua_Integer)done;
  int r;
  if (unlikely(s->fd < 0)) return send_ends(L, G, s, last, "closed");
  if (likely(done < p->size) || lg_layer_held(s)) {
    ssize_t n = lg_write_some(s, p->data + done, p->size - done);
    if (n < 0 && n != -EAGAIN) return send_breaks(L, G, s, last, (int)-n);
    if (n < 0 && s->sending && lg_socket_doubt(s))
      return send_ends(L, G, s, last, "closed");
    if (n < 0) n = 0;
    assert((size_t)n <= p->size - done);
    s->sent += (uint64_t)n;
    done += (size_t)n;
    last += (lua_Integer)n;
  }
  if (likely(done == p->size) && likely(!lg_layer_held(s)))
    return send_ends(L, G, s, last, NULL);
  if (s->polls) return send_ends(L, G, s, last, "timeout");
  /* A send that has ended must not look cut, nor one whose bytes have all been
   * taken by a layer: the next send sends them first. */
  s->sending = done < p->size;
  s->done = done;
  r = lg_write_wait(L, G, s, &send_op, lg_kept_end(L, s, AT_END));
  return likely(r >= 0) ? r : send_ends(L, G, s, last, lg_wait_error(s, r));
}

/* This thread has the write side. If a former send never ended, the stream is
 * broken in the middle of its bytes, for good. */
static int send_begin(lua_State *L, struct lg *G, struct lg_socket *s,
                      const struct piece *p) {
  if (likely(!s->sending || !s->done)) return send_go(L, G, s, p, 0);
  lg_write_end(G, s);
  return send_fails(
      L, p->before,
      lua_pushfstring(L, "send was cut after %I bytes", (lua_Integer)s->done));
}

static int send_waits_for_turn(lua_State *L, struct lg *G, struct lg_socket *s,
                               lua_Integer last) {
  int r = lg_write_turn(L, G, s, &turn_op, lg_kept_end(L, s, AT_END));
  return likely(r >= 0) ? r : send_fails(L, last, lg_wait_error(s, r));
}

/* Without a descriptor; of LuaSocket's objects, to send nothing never fails. */
static int send_nowhere(lua_State *L, const struct lg_socket *s,
                        const struct piece *p) {
  if (p->size || !s->kind->luasocket)
    return send_fails(L, p->before, "closed");
  lua_pushinteger(L, p->before);
  lua_pushnil(L);
  lua_pushnil(L);
  return 3;
}

static int send_not_open(lua_State *L, struct lg_socket *s, const char *why) {
  (void)s;
  return send_fails(L, piece_of(L).before, why);
}

/* The write side is free, or the call waits for its turn. */
static int send_next(lua_State *L, struct lg *G, struct lg_socket *s,
                     const struct piece *p) {
  if (unlikely(s->fd < 0)) return send_fails(L, p->before, "closed");
  if (likely(lg_write_try(G, s))) return send_begin(L, G, s, p);
  if (s->polls) return send_fails(L, p->before, "timeout");
  return send_waits_for_turn(L, G, s, p->before);
}

static int send_opened(lua_State *L, struct lg_socket *s, uint64_t end) {
  struct piece p = piece_of(L);
  assert(lua_gettop(L) == AT_END - 1);
  lua_pushinteger(L, (lua_Integer)end);
  return send_next(L, s->G, s, &p);
}

static const struct lg_opening send_opening = {&send_op, send_not_open,
                                               send_opened};

int lg_socket_send(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_CLIENT);
  struct lg *G = s->G;
  struct piece p = piece_of(L);
  int r;
  lua_settop(L, 4);
  if (unlikely(s->resume)) {
    s->resume = 0;
    return send_go(L, G, s, &p, s->done);
  }
  if (likely(!s->polls)) {
    r = lg_enter(L, G, &send_op);
    if (unlikely(r >= 0)) return r;
  }
  if (unlikely(s->fd < 0)) return send_nowhere(L, s, &p);
  if ((r = lg_open_layer(L, G, s, &send_opening)) >= 0) return r;
  return send_next(L, G, s, &p);
}

static int send_woken(lua_State *L, struct lg *G, int reason) {
  struct lg_socket *s = lg_socket_at(L, 1);
  struct piece p = piece_of(L);
  if (likely(reason == GREEN_WOKEN)) return send_go(L, G, s, &p, s->done);
  if (reason == GREEN_CLOSED) lg_socket_lost(s);
  return send_ends(L, G, s, p.before + (lua_Integer)s->done,
                   reason == GREEN_CLOSED ? "closed" : "timeout");
}

/* Unless what interrupted it was taken back, `sending` stays behind. */
static void send_interrupted(lua_State *L, struct lg *G) {
  struct lg_socket *s = lg_socket_at(L, 1);
  int reason = lg_running(G)->reason;
  if (reason == GREEN_INTERRUPT && !G->exiting && !lg_is_struck(G))
    s->resume = 1;
  else
    lg_write_end(G, s);
}

static int turn_woken(lua_State *L, struct lg *G, int reason) {
  struct lg_socket *s = lg_socket_at(L, 1);
  struct piece p = piece_of(L);
  if (likely(reason == GREEN_WOKEN && s->f)) return send_begin(L, G, s, &p);
  return send_fails(L, p.before,
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
