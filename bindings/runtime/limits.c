/* limits.c - limits in seconds, and the two ends of a wait that are values.
 *
 * Lua has spans of time, the core has deadlines: a call computes its deadline
 * once, on entry, and keeps it if it waits again. Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/limits.h"

#include <lauxlib.h>

static uint64_t after(uint64_t now, double seconds) {
  double ns = seconds * 1e9;
  return ns >= 9e18 ? GREEN_FOREVER : now + (uint64_t)ns; /* 285 years */
}

uint64_t lg_deadline(double seconds) {
  return seconds > 0 ? after(green_now(), seconds) : 0;
}

uint64_t lg_deadline_of(struct green_hub *hub, double seconds) {
  return seconds > 0 ? after(green_time(hub), seconds) : 0;
}

uint64_t lg_limit(lua_State *L, int index) {
  lua_Number s;
  if (lua_isnoneornil(L, index)) return GREEN_FOREVER;
  s = luaL_checknumber(L, index);
  luaL_argcheck(L, s == s, index, "seconds expected, got NaN");
  return lg_deadline(s);
}

int lg_push_timeout(lua_State *L) {
  lua_pushnil(L);
  lua_pushliteral(L, "timeout");
  return 2;
}

int lg_push_closed(lua_State *L) {
  lua_pushnil(L);
  lua_pushliteral(L, "closed");
  return 2;
}
