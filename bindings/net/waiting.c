/* waiting.c - the waits of a socket's calls.
 *
 * One thread reads; a second is refused, and the core's green_fd knows which
 * one it is. Writers take turns, so that a whole send is never interleaved. A
 * connect waits with its C stack kept, because its list of addresses lies in C
 * variables.
 *
 * On green threads. A function that parks is its caller's last act.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/waiting.h"
#include "runtime/closing.h"
#include "runtime/interrupt.h"
#include "runtime/refusal.h"
#include "thread/thread.h"
#include "runtime/park.h"

/* The descriptor is watched from the first wait on, and stays so. */
int lg_socket_watch(struct lg *G, struct lg_socket *s) {
  return likely(s->f) ? 0 : green_fd_open(G->hub, s->fd, &s->f);
}

/* A refusal of the world's is a code; misuse raises. */
static int cannot(lua_State *L, struct lg_socket *s, const struct lg_op *op,
                  int code) {
  if (code == UV_EBUSY || code == UV_EPERM)
    return luaL_error(L, "'%s': %s", op->kind.name,
                      lg_strerror(lg_find(L), code));
  lg_socket_lost(s);
  return code;
}

/* --- reading --- */

int lg_second_reader(lua_State *L, struct lg *G, struct green_thread *t) {
  const char *who;
  luaL_checkstack(L, 8, "luagreen");
  who = lg_push_who(L, G, t);
  return luaL_error(
      L, "socket is already being read by green thread %s (asked by %s)", who,
      lg_push_who(L, G, lg_current(G)));
}

void lg_read_begin(lua_State *L, struct lg *G, struct lg_socket *s,
                   uint64_t end) {
  struct green_thread *t = lg_socket_reader(s);
  if (unlikely(t)) lg_second_reader(L, G, t);
  s->read_end = end;
}

int lg_read_wait(lua_State *L, struct lg *G, struct lg_socket *s,
                 const struct lg_op *op) {
  int keep, r;
  if (lg_is_struck(G)) {
    lg_interrupt(L, G, op);
    return op->start(L); /* it was taken back; the socket may be closed, too */
  }
  /* The caller did not ask the system, as a wait would find what has come. */
  if (s->drained && !lua_isyieldable(L) && lg_refusal(L, G)) {
    s->drained = 0;
    return op->start(L);
  }
  if (unlikely(s->woken) && lg_socket_doubt(s)) return UV_EBADF;
  s->woken = 0;
  if (unlikely((r = lg_socket_watch(G, s)) < 0)) return cannot(L, s, op, r);
  keep = lg_yield_or_keep(L, G, op);
  if (s->read_end == LG_READ_BEGINS) s->read_end = lg_call_end(s);
  r = green_fd_wait_begin(G->hub, s->f, GREEN_READABLE,
                          lg_wait_end(s, s->read_end), &op->kind);
  if (r == UV_EBUSY) return lg_second_reader(L, G, green_fd_reader(s->f));
  if (unlikely(r < 0)) return cannot(L, s, op, r);
  /* Bytes that a layer holds make no descriptor readable. This read only waits
   * to give the others a turn, so it is woken at once. */
  if (lg_layer_readable(s)) green_wake(G->hub, lg_current(G), GREEN_WOKEN);
  /* A collected socket closes its descriptor, which ends the wait. */
  return lg_park_unmarked(L, G, op, keep);
}

struct lg_socket *lg_read_woken(lua_State *L, int reason) {
  struct lg_socket *s = lg_socket_at(L, 1);
  s->drained = 0;
  s->woken = reason == GREEN_WOKEN;
  if (reason == GREEN_TIMEOUT) s->read_end = 0;
  if (reason == GREEN_CLOSED) lg_socket_lost(s);
  return s;
}

/* --- writing --- */

int lg_write_try(struct lg *G, struct lg_socket *s) {
  return !s->f || likely(green_fd_write_try(G->hub, s->f) >= 0);
}

int lg_write_turn(lua_State *L, struct lg *G, struct lg_socket *s,
                  const struct lg_op *op, uint64_t deadline) {
  int keep = lg_yield_or_keep(L, G, op), r;
  if (!keep) lg_reserve_mark(L);
  assert(s->f); /* the other writer waits in it, too */
  r = green_fd_turn_begin(G->hub, s->f, deadline, &op->kind);
  if (unlikely(r < 0)) return cannot(L, s, op, r);
  return lg_park(L, G, op, keep);
}

void lg_write_end(struct lg *G, struct lg_socket *s) {
  if (s->f) green_fd_write_end(G->hub, s->f);
}

/* Will lg_yield_or_keep() raise? The write side must be given up before. */
static int cannot_wait(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  if (lg_refusal(L, G)) return 1;
  if (t->user == L && lua_isyieldable(L)) return 0;
  return green_keep_reserve(G->hub) < 0;
}

int lg_turn_wait(lua_State *L, struct lg *G, struct lg_socket *s, int event,
                 const struct lg_op *op, uint64_t deadline) {
  struct green_fd *f;
  int keep, r = lg_socket_watch(G, s);
  if (unlikely(r < 0)) return cannot(L, s, op, r);
  f = s->f;
  lg_reserve_mark(L);
  /* A writer that has not had to wait so far has no turn yet. */
  green_fd_write_try(G->hub, f);
  if (lg_is_struck(G)) {
    green_fd_write_end(G->hub, f);
    lg_interrupt(L, G, op);
    return op->start(L);
  }
  if (cannot_wait(L, G)) green_fd_write_end(G->hub, f);
  keep = lg_yield_or_keep(L, G, op);
  r = green_fd_wait_begin(G->hub, f, event, deadline, &op->kind);
  if (r < 0) {
    green_fd_write_end(G->hub, f);
    return cannot(L, s, op, r);
  }
  return lg_park(L, G, op, keep);
}

int lg_write_wait(lua_State *L, struct lg *G, struct lg_socket *s,
                  const struct lg_op *op, uint64_t deadline) {
  return lg_turn_wait(L, G, s, GREEN_WRITABLE, op, deadline);
}

/* --- connecting: the C stack stays --- */

void lg_may_keep(lua_State *L, struct lg *G, const char *what) {
  const char *why = lg_refusal(L, G);
  if (why) luaL_error(L, "'%s' cannot block %s", what, why);
  if (lg_current(G) == green_main(G->hub)) lg_sentinel(L, G);
  green_keep_note(G->hub, L);
}

/* The same where a list of addresses is held: UV_EPERM, which is raised when
 * that is freed. The things that main makes in order to block were made on
 * entry. */
int lg_keep(lua_State *L, struct lg *G) {
  if (lg_refusal(L, G)) return UV_EPERM;
  green_keep_note(G->hub, L);
  return 0;
}

int lg_connect_wait(lua_State *L, struct lg *G, struct lg_socket *s,
                    uint64_t deadline) {
  socklen_t size = sizeof(int);
  int error = 0, r;
  if (s->polls) return ETIMEDOUT;
  if ((r = lg_keep(L, G)) < 0) return r;
  if (!s->f && (r = green_fd_open(G->hub, s->fd, &s->f)) < 0) return r;
  r = green_fd_wait(G->hub, s->f, GREEN_WRITABLE, deadline);
  lg_kept(G);
  if (r < 0) return r;
  if (s->fd < 0) return UV_EBADF;
  assert(s->f); /* it goes with the descriptor */
  getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

int lg_connect_pause(lua_State *L, struct lg *G, struct lg_socket *s,
                     uint64_t deadline, uint64_t *pause) {
  uint64_t now = green_now();
  int r;
  if (s->polls || now >= deadline) return ETIMEDOUT;
  if ((r = lg_keep(L, G)) < 0) return r;
  if (*pause < 100000000) *pause *= 2;
  r = green_sleep(G->hub, deadline - now < *pause ? deadline : now + *pause);
  lg_kept(G);
  if (r < 0) return r;
  return s->fd < 0 ? UV_EBADF : 0;
}
