/* waiting.h - how the calls of sockets wait: their limits, one reader, writers
 * in turn, and the opening of a layer.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_WAITING_H
#define LG_WAITING_H

#include "net/socket.h"

/* --- limits --- */

static inline uint64_t lg_end_of(double seconds) {
  return seconds < 0 ? GREEN_FOREVER : lg_deadline(seconds);
}

static inline uint64_t lg_earlier(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* When a call that begins now must end, and a wait of it that does. Alone, each
 * of the two limits is one of the whole call; together "b" is one of each
 * wait. */
static inline uint64_t lg_call_end(const struct lg_socket *s) {
  return lg_end_of(s->total >= 0 ? s->total : s->block);
}
static inline uint64_t lg_wait_end(const struct lg_socket *s, uint64_t call) {
  if (s->block < 0 || s->total < 0) return call;
  return lg_earlier(lg_end_of(s->block), call);
}
/* The same of a call that keeps its end at that index, on top of its arguments,
 * from its first wait on. */
static inline uint64_t lg_kept_end(lua_State *L, const struct lg_socket *s,
                                   int index) {
  if (lua_gettop(L) < index) lua_pushinteger(L, (lua_Integer)lg_call_end(s));
  assert(lua_gettop(L) == index);
  return lg_wait_end(s, (uint64_t)lua_tointeger(L, index));
}

/* --- waiting.c --- */

/* The descriptor is watched from the first wait on. 0, or why not. */
int lg_socket_watch(struct lg *G, struct lg_socket *s);
/* On entry of every call that reads: raises if another thread reads. The call
 * must end then, or, as LG_READ_BEGINS says, by limits that its first wait
 * looks at. */
void lg_read_begin(lua_State *L, struct lg *G, struct lg_socket *s,
                   uint64_t end);
/* Waits until there is something to read. The caller's last act: return it,
 * unless it is negative: a code, for the kernel does not let it wait. */
int lg_read_wait(lua_State *L, struct lg *G, struct lg_socket *s,
                 const struct lg_op *op);
/* After the wait: the socket at index 1. When time is up, what has come all the
 * same still counts: one more try, which then says "timeout". */
struct lg_socket *lg_read_woken(lua_State *L, int reason);
enum { LG_READ_BEGINS = 1 };
/* Raises: t, or a host, reads the socket already. */
int lg_second_reader(lua_State *L, struct lg *G, struct green_thread *t);

/* The write side is the caller's, or will be by waiting for a turn. */
int lg_write_try(struct lg *G, struct lg_socket *s);
int lg_write_turn(lua_State *L, struct lg *G, struct lg_socket *s,
                  const struct lg_op *op, uint64_t deadline);
/* With the turn, waits for an event; or until there is room to write. The same;
 * a negative code has given the turn up. */
int lg_turn_wait(lua_State *L, struct lg *G, struct lg_socket *s, int event,
                 const struct lg_op *op, uint64_t deadline);
int lg_write_wait(lua_State *L, struct lg *G, struct lg_socket *s,
                  const struct lg_op *op, uint64_t deadline);
/* Gives the turn to the next writer. */
void lg_write_end(struct lg *G, struct lg_socket *s);

/* Waits that keep their C stack, so that C variables may hold lists: codes of
 * the core's. Raises where the caller may not block. */
void lg_may_keep(lua_State *L, struct lg *G, const char *what);
int lg_keep(lua_State *L, struct lg *G); /* the same: UV_EPERM */
/* Until the connect under way is over. > 0: its errno. */
int lg_connect_wait(lua_State *L, struct lg *G, struct lg_socket *s,
                    uint64_t deadline);
/* For a moment, each longer than the last. */
int lg_connect_pause(lua_State *L, struct lg *G, struct lg_socket *s,
                     uint64_t deadline, uint64_t *pause);

/* --- opening.c --- */

/* A call that has to wait until the layer is open: itself, and how it fails,
 * with its arguments on the stack. */
struct lg_opening {
  const struct lg_op *call;
  int (*fails)(lua_State *L, struct lg_socket *s, const char *why);
  /* Goes on with the call, which must end by then: its limit began before the
   * handshake. */
  int (*opened)(lua_State *L, struct lg_socket *s, uint64_t end);
};
/* Early in a call: opens the layer. -1: the call goes on, and finds in the
 * layer whether that worked. Else the call's last act. */
int lg_open_layer_slow(lua_State *L, struct lg *G, struct lg_socket *s,
                       const struct lg_opening *o);
static inline int lg_open_layer(lua_State *L, struct lg *G,
                                struct lg_socket *s,
                                const struct lg_opening *o) {
  return likely(!s->opening) ? -1 : lg_open_layer_slow(L, G, s, o);
}

#endif
