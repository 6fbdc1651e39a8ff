/* copying.c - the progress of a copy, on the Lua stack, where it outlasts
 * waits; its end; and its waits for a connection that it writes to.
 *
 * On green threads; with a limit of 0 nothing waits, and all may run anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/copy.h"

lua_Integer lg_copy_moved(lua_State *L) {
  return lua_tointeger(L, LG_COPY_MOVED);
}

void lg_copy_more(lua_State *L, size_t n) {
  lua_pushinteger(L, lg_copy_moved(L) + (lua_Integer)n);
  lua_replace(L, LG_COPY_MOVED);
}

size_t lg_copy_left(lua_State *L) {
  lua_Number n =
      lua_isnil(L, LG_COPY_MOST) ? 1e18 : lua_tonumber(L, LG_COPY_MOST);
  return (size_t)n - (size_t)lg_copy_moved(L);
}

int lg_copy_ends(lua_State *L) {
  lua_pushvalue(L, LG_COPY_MOVED);
  return 1;
}

int lg_copy_fails(lua_State *L, int side, const char *why) {
  lua_pushnil(L);
  lua_pushstring(L, why);
  lua_pushvalue(L, LG_COPY_MOVED);
  lua_pushvalue(L, side);
  return 4;
}

int lg_copy_fails_in_turn(lua_State *L, struct lg_socket *to, int side,
                          const char *why) {
  if (to) lg_write_end(to->G, to);
  return lg_copy_fails(L, side, why);
}

/* When a wait for the destination must end. */
static uint64_t deadline(lua_State *L, const struct lg_socket *to) {
  return lg_earlier(lg_end_of(to->block),
                    (uint64_t)lua_tointeger(L, LG_COPY_END));
}

const char *lg_copy_cannot_write(lua_State *L, const struct lg_socket *to) {
  if (to->fd < 0) return "closed";
  if (likely(!to->sending || !to->done)) return NULL;
  return lua_pushfstring(L, "send was cut after %I bytes",
                         (lua_Integer)to->done);
}

int lg_copy_wait_turn(lua_State *L, struct lg_socket *to,
                      const struct lg_op *op) {
  int r;
  if (to->polls) return lg_copy_fails(L, LG_COPY_TO, "timeout");
  r = lg_write_turn(L, to->G, to, op, deadline(L, to));
  return likely(r >= 0) ? r
                        : lg_copy_fails(L, LG_COPY_TO, lg_wait_error(to, r));
}

int lg_copy_wait_room(lua_State *L, struct lg_socket *to,
                      const struct lg_op *op) {
  const char *why = "timeout";
  if (!to->polls) {
    int r = lg_write_wait(L, to->G, to, op, deadline(L, to));
    if (likely(r >= 0)) return r;
    why = lg_wait_error(to, r);
  }
  return lg_copy_fails_in_turn(L, to, LG_COPY_TO, why);
}

int lg_copy_has_turn(lua_State *L, int reason) {
  if (likely(reason == GREEN_WOKEN)) return -1;
  return lg_copy_fails(L, LG_COPY_TO,
                       reason == GREEN_CLOSED ? "closed" : "timeout");
}

int lg_copy_has_room(lua_State *L, int reason) {
  struct lg_socket *to = lg_socket_at(L, LG_COPY_TO);
  if (likely(reason == GREEN_WOKEN)) return -1;
  if (reason == GREEN_CLOSED) lg_socket_lost(to);
  return lg_copy_fails_in_turn(L, to, LG_COPY_TO,
                               reason == GREEN_CLOSED ? "closed" : "timeout");
}

/* Bytes that were not written stay with the source: that stream is whole. */
void lg_copy_interrupted(lua_State *L, struct lg *G) {
  lg_write_end(G, lg_socket_at(L, LG_COPY_TO));
}
