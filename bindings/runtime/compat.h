/* compat.h - the versions of Lua that we compile for, and their differences.
 *
 * Only this file asks for the version. All others use what Lua 5.4.4 and 5.5
 * have in common, by the rules of the stricter one (5.5 calls __close without
 * an error with one argument; its registry has other integer keys).
 *
 * Where releases of one version differ, the symbols of the running Lua decide,
 * not the header: 5.4.8 may load a module that was built with 5.4.4, or the
 * reverse. So nothing here keeps the wrong version from loading the module, and
 * the entry points can refuse it with a message.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_COMPAT_H
#define LG_COMPAT_H

#include <lauxlib.h>
#include <limits.h>
#include <lua.h>

/* Before 5.4.4, resetting a coroutine lost the error of its handlers. */
#if !defined(LUA_VERSION_RELEASE_NUM) || LUA_VERSION_RELEASE_NUM < 50404
#error "luagreen needs Lua 5.4.4 or a later 5.4, or Lua 5.5"
#elif LUA_VERSION_NUM > 505
#error "luagreen has not been tested with a Lua later than 5.5"
#endif

/* If the running Lua is not the one of the headers, even the place of the
 * registry is unknown. So each door of ours, of TLS's module too, runs this
 * check before all else; it asks the running Lua and does not touch its state.
 * It compares the types of numbers first, since the version is passed as a
 * number. */
static inline void lg_check_lua(lua_State *L) {
  int running;
  luaL_checkversion_(L, lua_version(L), LUAL_NUMSIZES);
  running = (int)lua_version(L);
  if (running != LUA_VERSION_NUM)
    luaL_error(L,
               "luagreen was built for Lua %d.%d and is loaded by Lua %d.%d",
               LUA_VERSION_NUM / 100, LUA_VERSION_NUM % 100, running / 100,
               running % 100);
}

/* 5.4.6 and later have the first. 5.4.4 and 5.4.5 have the second; the latter
 * takes a second argument, which does no harm to 5.4.4. */
extern int lg_closethread(lua_State *L,
                          lua_State *from) __asm__("lua_closethread")
    __attribute__((weak));
extern int lg_resetthread(lua_State *L,
                          lua_State *from) __asm__("lua_resetthread")
    __attribute__((weak));

/* Closes the pending to-be-closed variables and leaves an error, if any, at
 * index 1. */
static inline int lg_reset_from(lua_State *L, lua_State *from) {
  return lg_closethread ? lg_closethread(L, from) : lg_resetthread(L, from);
}
static inline int lg_reset(lua_State *L) {
  return lg_reset_from(L, NULL);
}

/* The longest text that string.rep makes. */
#if LUA_VERSION_NUM >= 505
#define LG_MOST_TEXT ((size_t)LUA_MAXINTEGER)
#else
#define LG_MOST_TEXT ((size_t)INT_MAX)
#endif

/* Can a string stand for a table of which the table library reads the length?
 */
#define LG_READS_TEXTS (LUA_VERSION_NUM >= 505)

/* Between the two no garbage is collected, so no finalizer runs. Stopping and
 * restarting the collector would have it run at once afterwards, whatever its
 * pause: with many tracebacks, time went with the square of their number. 5.4
 * takes a step of less than nothing, which postpones it by a GB, and a step
 * back. Returns 1 if the caller must release the collector; 0 if the program
 * has stopped it. */
enum { LG_HELD_KB = 1 << 20 };
static inline int lg_hold_collector(lua_State *L) {
  if (lua_gc(L, LUA_GCISRUNNING) != 1) return 0;
#if LUA_VERSION_NUM >= 505
  lua_gc(L, LUA_GCSTOP);
#else
  lua_gc(L, LUA_GCSTEP, -LG_HELD_KB);
#endif
  return 1;
}
/* An allocation that failed meanwhile (LUA_ERRMEM) has collected, and 5.4 has
 * forgotten that it was to wait. A step would collect once more, where memory
 * is too short for finalizers. */
static inline void lg_release_collector(lua_State *L, int held, int status) {
  if (!held) return;
#if LUA_VERSION_NUM >= 505
  (void)status;
  lua_gc(L, LUA_GCRESTART);
#else
  if (status != LUA_ERRMEM) lua_gc(L, LUA_GCSTEP, LG_HELD_KB);
#endif
}

/* 5.5 takes a seed for its hashes. */
static inline lua_State *lg_newstate(lua_Alloc f, void *ud, unsigned seed) {
#if LUA_VERSION_NUM >= 505
  return lua_newstate(f, ud, seed);
#else
  (void)seed;
  return lua_newstate(f, ud);
#endif
}

#endif
