/* luasocket.c - small functions that LuaSocket's table needs of C.
 *
 * Never switches.
 *
 * SPDX-License-Identifier: MIT
 */
#include <time.h>

#include "net/calls.h"

static double seconds_of(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* gettime(): seconds since 1970. A test's clock that stands still, or jumps,
 * takes it along. */
static int l_gettime(lua_State *L) {
  double ahead = (double)green_now() / 1e9 - seconds_of(CLOCK_MONOTONIC);
  if (ahead > -1e-3 && ahead < 1e-3) ahead = 0;
  lua_pushnumber(L, seconds_of(CLOCK_REALTIME) + ahead);
  return 1;
}

/* this_coroutine(): as coroutine.running, but as a key only, for a table whose
 * keys are weak: the coroutine of a thread may be used again. */
static int l_this_coroutine(lua_State *L) {
  lua_pushthread(L);
  return 1;
}

void lg_open_luasocket(lua_State *L) {
  static const luaL_Reg functions[] = {{"gettime", l_gettime},
                                       {"this_coroutine", l_this_coroutine},
                                       {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
