/* blocking.c - a C module whose functions block, as a user would write it; for
 * specs (help.c_module).
 *
 *   nap(s) .................. a function of green.h, and what struck
 *   wait_fd(fd, mode [, s]) . the shape that returns: true; nil, why
 *   park_fd(fd, mode [, s]) . that with a continuation; "r", "w" or "rw"
 *   parked(...) ............. its values as the continuation finds them
 *   may_block()
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <string.h>

#include "green_lua.h"

int luaopen_blocking(lua_State *L);

static int l_nap(lua_State *L) {
  struct green_hub *hub = green_lua_hub(L);
  uint64_t ns = (uint64_t)(luaL_checknumber(L, 1) * 1e9);
  int r = green_sleep(hub, ns ? green_now() + ns : 0);
  lua_pushinteger(L, green_lua_check(L, r));
  return 1;
}

static int push(lua_State *L, int code) {
  if (code >= 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (code == UV_EBUSY) return luaL_error(L, "%s", green_strerror(code));
  lua_pushnil(L);
  lua_pushstring(L, code == UV_ETIMEDOUT ? "timeout"
                    : code == UV_EBADF   ? "closed"
                                         : green_strerror(code));
  return 2;
}

static int events(lua_State *L) {
  const char *mode = luaL_checkstring(L, 2);
  return (strchr(mode, 'r') ? GREEN_READABLE : 0) |
         (strchr(mode, 'w') ? GREEN_WRITABLE : 0);
}

static double seconds(lua_State *L, int index) {
  double s = luaL_optnumber(L, index, -1);
  luaL_argcheck(L, s == s, index, "seconds expected, got NaN");
  return lua_isnoneornil(L, index) ? -1 : s < 0 ? 0 : s;
}

static int l_wait_fd(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  return push(L, green_lua_wait_fd(L, fd, events(L), seconds(L, 3)));
}

static int waited(lua_State *L, int code, lua_KContext ctx) {
  return ctx == 1 ? push(L, code) : lua_gettop(L);
}

static int l_park_fd(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  return green_lua_park_fd(L, fd, events(L), seconds(L, 3), 1, waited);
}

static int l_parked(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  return green_lua_park_fd(L, fd, events(L), -1, 2, waited);
}

static int l_may_block(lua_State *L) {
  lua_pushboolean(L, green_lua_may_block(L));
  return 1;
}

int luaopen_blocking(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"nap", l_nap},       {"wait_fd", l_wait_fd},     {"park_fd", l_park_fd},
      {"parked", l_parked}, {"may_block", l_may_block}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
