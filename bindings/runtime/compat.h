/* compat.h - the Luas that this is compiled for, and where they differ.
 *
 * The one file that asks for the version: all others are written for what Lua
 * 5.4.4 and 5.5 have in common, by the rules of the stricter one (5.5 calls
 * __close without an error with one argument; its registry has other integer
 * keys).
 *
 * Where releases of one version differ, the symbol that the running Lua has
 * decides, and not the header: a module that was built beside 5.4.4 is loaded
 * by 5.4.8, and the reverse. So nothing here keeps the wrong version from
 * loading the module, and the entry points can refuse it with a message.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_COMPAT_H
#define LG_COMPAT_H

#include <lauxlib.h>
#include <lua.h>

/* Before 5.4.4, resetting a coroutine lost the error of its handlers. */
#if !defined(LUA_VERSION_RELEASE_NUM) || LUA_VERSION_RELEASE_NUM < 50404
#error "luagreen needs Lua 5.4.4 or a later 5.4, or Lua 5.5"
#elif LUA_VERSION_NUM > 505
#error "luagreen has not been tested with a Lua later than 5.5"
#endif

/* 5.4.6 and later have the first. The second is what 5.4.4 has, and 5.4.5 with
 * a second argument; to 5.4.4 that does no harm. */
extern int lg_closethread(lua_State *L,
                          lua_State *from) __asm__("lua_closethread")
    __attribute__((weak));
extern int lg_resetthread(lua_State *L,
                          lua_State *from) __asm__("lua_resetthread")
    __attribute__((weak));

/* Closes what is to be closed, and leaves an error, if any, at index 1. */
static inline int lg_reset(lua_State *L) {
  return lg_closethread ? lg_closethread(L, NULL) : lg_resetthread(L, NULL);
}

/* 5.5 asks for a seed of its hashes. */
static inline lua_State *lg_newstate(lua_Alloc f, void *ud, unsigned seed) {
#if LUA_VERSION_NUM >= 505
  return lua_newstate(f, ud, seed);
#else
  (void)seed;
  return lua_newstate(f, ud);
#endif
}

#endif
