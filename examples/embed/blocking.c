/* blocking.c - functions in C that block the script which calls them, alone.
 *
 * nap() keeps its C stack, wait_readable() and wait_turn() leave theirs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

static const char SCRIPT[] =
    "local green = require 'green'\n"
    "local a, b = green.socketpair()\n"
    "local t = green.spawn(wait_readable, b:getfd())\n"
    "local turns = {}\n"
    "for i = 1, 3 do turns[i] = green.spawn(wait_turn) end\n"
    "print('napping', pcall(nap))\n"
    "a:send 'x'\n"
    "print('readable', t:wait())\n"
    "pass_turn()\n"
    "for _, t in ipairs(turns) do t:wait() end\n"
    "print(select(2, pcall(function()\n"
    "  local _ <close> = green.timeout(0.01)\n"
    "  wait_readable(b:getfd())\n"
    "  wait_turn()\n"
    "end)))\n";

static struct green_signal turn;
static int is_my_turn;

static int nap(lua_State *L) {
  struct green_hub *hub = green_lua_hub(L);
  if (!green_lua_may_block(L)) return luaL_error(L, "cannot block here");
  green_lua_check(L, green_sleep(hub, green_in(1000000)));
  return 0;
}

static int readable(lua_State *L, int code, lua_KContext fd) {
  lua_pushboolean(L, code >= 0 && fd); /* else UV_ETIMEDOUT or UV_EBADF */
  return 1;
}
static int wait_readable(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  return green_lua_park_fd(L, fd, GREEN_READABLE, 30, fd, readable);
}

static int try_turn(lua_State *L, int code, lua_KContext ctx) {
  if (is_my_turn-- > 0) return 0;
  is_my_turn = 0;
  return code < 0 ? luaL_error(L, "no turn")
                  : green_lua_park(L, &turn, 30, ctx, try_turn);
}
static int wait_turn(lua_State *L) {
  return try_turn(L, 0, 0);
}

static int pass_turn(lua_State *L) {
  is_my_turn = 3;
  green_signal_all(green_lua_hub(L), &turn);
  return 0;
}

int main(void) {
  struct green_hub *hub;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (green_open(&hub, NULL) < 0 || green_lua_open(L, hub) != LUA_OK) return 1;
  lua_register(L, "nap", nap);
  lua_register(L, "wait_readable", wait_readable);
  lua_register(L, "wait_turn", wait_turn);
  lua_register(L, "pass_turn", pass_turn);
  if (luaL_dostring(L, SCRIPT)) puts(lua_tostring(L, -1));
  green_lua_close(L);
  lua_close(L);
  return green_close(hub);
}

/* prints:
 * napping	true
 * readable	true
 * timeout: 0.01 s, set at ...
 */
