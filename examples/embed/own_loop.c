/* own_loop.c - Lua's green threads on a loop that the program has already.
 *
 * The program's own work is a timer that ticks. Lua functions run as green
 * threads between its callbacks; one of them calls wait_ticks(), a function in
 * C that blocks its caller alone.
 *
 * SPDX-License-Identifier: MIT
 */
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

static const char SCRIPT[] =
    "local green = require 'green'\n"
    "for _, name in ipairs {'ant', 'bee'} do\n"
    "  green.spawn(function()\n"
    "    green.sleep(0.01)\n"
    "    print(name .. ' slept')\n"
    "  end)\n"
    "end\n"
    "green.spawn(function() print(wait_ticks(5) >= 5) finish() end)\n";

static int ticks;

static void on_tick(uv_timer_t *timer) {
  (void)timer;
  ticks++;
}

static int wait_ticks(lua_State *L) {
  int until = ticks + (int)luaL_checkinteger(L, 1);
  while (ticks < until) green_lua_sleep(L, 0.001);
  lua_pushinteger(L, ticks);
  return 1;
}

static int finish(lua_State *L) {
  uv_close(lua_touserdata(L, lua_upvalueindex(1)), NULL);
  return 0;
}

int main(void) {
  uv_loop_t *loop = uv_default_loop();
  struct green_options options = {.drive = GREEN_DRIVE_LOOP, .loop = loop};
  uv_timer_t timer;
  struct green_hub *hub;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (green_open(&hub, &options) < 0) return 1;
  if (green_lua_open(L, hub) != LUA_OK) return 1;
  uv_timer_init(loop, &timer);
  uv_timer_start(&timer, on_tick, 5, 5);
  lua_register(L, "wait_ticks", wait_ticks);
  lua_pushlightuserdata(L, &timer);
  lua_pushcclosure(L, finish, 1);
  lua_setglobal(L, "finish");
  if (luaL_dostring(L, SCRIPT)) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  uv_run(loop,
         UV_RUN_DEFAULT); /* until all threads and the timer have ended */
  green_lua_close(L);
  lua_close(L);
  green_close(hub);
  return uv_run(loop, UV_RUN_DEFAULT); /* what the hub had on it is closed */
}

/* prints:
 * ant slept
 * bee slept
 * true
 */
