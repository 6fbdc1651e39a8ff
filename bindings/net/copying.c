/* copying.c - the progress of a copy, on the Lua stack, where it outlasts
 * waits; and its end.
 *
 * Never switches.
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

uint64_t lg_copy_deadline(lua_State *L, const struct lg_socket *to) {
  return lg_earlier(lg_end_of(to->block),
                    (uint64_t)lua_tointeger(L, LG_COPY_END));
}

const char *lg_copy_cannot_write(lua_State *L, const struct lg_socket *to) {
  if (to->fd < 0) return "closed";
  if (likely(!to->sending || !to->done)) return NULL;
  return lua_pushfstring(L, "send was cut after %I bytes",
                         (lua_Integer)to->done);
}

/* Bytes that were not written stay with the source: that stream is whole. */
void lg_copy_interrupted(lua_State *L, struct lg *G) {
  lg_write_end(G, lua_touserdata(L, LG_COPY_TO));
}
