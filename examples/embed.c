/* embed.c - green threads of Lua inside a program that has a loop of its own.
 *
 * The program runs a uv_loop_t with a timer that ticks: its own work. It opens
 * luagreen in its Lua state on that loop, spawns Lua functions as green
 * threads, gives them a blocking function written in C, and goes on. When the
 * last one has ended, it closes everything in order.
 *
 *   embed
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <uv.h>

#include "green_lua.h"

static const char SCRIPT[] =
    "local green = require 'green'\n"
    "function worker(name, n)\n"
    "  for i = 1, n do\n"
    "    green.sleep(0.02)\n"
    "    print(name .. ' did part ' .. i .. ' after ' .. ticks() .. ' "
    "ticks')\n"
    "  end\n"
    "  return n\n"
    "end\n"
    "function waiter()\n"
    "  return wait_ticks(5)\n"
    "end\n";

static int ticks;

static void on_tick(uv_timer_t *timer) {
  (void)timer;
  ticks++;
}

/* --- what the program offers to Lua --- */

static int l_ticks(lua_State *L) {
  lua_pushinteger(L, ticks);
  return 1;
}

/* wait_ticks(n): a blocking function. The loop, and with it the program, runs
 * on while the green thread that called it waits here. */
static int l_wait_ticks(lua_State *L) {
  int until = ticks + (int)luaL_checkinteger(L, 1);
  while (ticks < until) green_lua_sleep(L, 0.005);
  lua_pushinteger(L, ticks);
  return 1;
}

/* --- spawning, and asking what became of it --- */

/* Leaves the handle on the stack; returns its index. */
static int spawn_worker(lua_State *L, const char *name, int n) {
  lua_getglobal(L, "worker");
  lua_pushstring(L, name);
  lua_pushinteger(L, n);
  green_lua_spawn(L, 2);
  return lua_gettop(L);
}

static int report(lua_State *L, int index, const char *name) {
  int n, status = green_lua_outcome(L, index, &n);
  if (status == LUA_YIELD)
    printf("%s: still runs\n", name);
  else
    printf("%s: %s %s\n", name, status == LUA_OK ? "returned" : "failed:",
           n > 0 ? luaL_tolstring(L, -n, NULL) : "nothing");
  lua_settop(L, 3);
  return status;
}

/* All that may raise, in protected mode. */
static int start(lua_State *L) {
  luaL_openlibs(L);
  if (green_lua_open(L, lua_touserdata(L, 1)) != LUA_OK) return lua_error(L);
  lua_register(L, "ticks", l_ticks);
  lua_register(L, "wait_ticks", l_wait_ticks);
  if (luaL_dostring(L, SCRIPT) != LUA_OK) return lua_error(L);
  lua_settop(L, 0);
  spawn_worker(L, "ant", 3);
  spawn_worker(L, "bee", 4);
  lua_getglobal(L, "waiter");
  green_lua_spawn(L, 0);
  return 3;
}

static void on_close(uv_handle_t *handle) {
  (void)handle;
}

static uint32_t live(struct green_hub *hub) {
  struct green_stats stats;
  green_stats(hub, &stats);
  return stats.live;
}

int main(void) {
  uv_loop_t loop;
  uv_timer_t timer;
  struct green_options options = {.drive = GREEN_DRIVE_LOOP, .loop = &loop};
  struct green_hub *hub;
  lua_State *L = luaL_newstate();
  int failed = 1;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (!L || uv_loop_init(&loop) < 0 || green_open(&hub, &options) < 0) {
    fprintf(stderr, "embed: not enough memory\n");
    return 1;
  }
  uv_timer_init(&loop, &timer);
  uv_timer_start(&timer, on_tick, 10, 10);
  lua_pushcfunction(L, start);
  lua_pushlightuserdata(L, hub);
  if (lua_pcall(L, 1, 3, 0) != LUA_OK) {
    fprintf(stderr, "embed: %s\n", lua_tostring(L, -1));
  } else {
    printf("the program's loop runs, with %u green threads in it\n",
           live(hub));
    while (live(hub) > 0) uv_run(&loop, UV_RUN_ONCE);
    failed = report(L, 1, "ant") != LUA_OK;
    failed |= report(L, 2, "bee") != LUA_OK;
    failed |= report(L, 3, "waiter") != LUA_OK;
  }
  failed |= green_lua_close(L) != 0;
  lua_close(L);
  green_close(hub);
  uv_close((uv_handle_t *)&timer, on_close);
  uv_run(&loop, UV_RUN_DEFAULT);
  failed |= uv_loop_close(&loop) != 0;
  printf("closed%s, after %d ticks of the program's own\n",
         failed ? " with a failure" : "", ticks);
  return failed;
}
