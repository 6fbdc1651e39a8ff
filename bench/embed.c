/* embed.c - ns for a host's ways into a script and back, on a loop of its own.
 *
 *   embed spawn ... a script spawned from C, run, ended: 100 in each iteration
 *   embed start ... the same, started and told of
 *   embed one ..... the same, one in each iteration of the loop
 *   embed wake .... a script that waits in C for a signal: woken, and back
 *   embed job ..... a script has a job done on an OS thread, which does nothing
 *   embed jobs .... 16 scripts at once do so
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "green_lua.h"

enum { MANY = 100, CALLERS = 16 };

static struct green_signal signal_of_host;
static long told, woken, left;
static uv_loop_t loop;
static struct green_hub *hub;

static void ended(lua_State *L, int status, int nresults, void *arg) {
  (void)L, (void)arg;
  told += status == LUA_OK && nresults == 1;
}

static void script(lua_State *L, int is_told) {
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 1);
  if (is_told) {
    if (green_lua_start(L, 1, ended, NULL, NULL) < 0) exit(1);
    return;
  }
  green_lua_spawn(L, 1);
  lua_pop(L, 1);
}

static int again(lua_State *L, int code, lua_KContext ctx) {
  (void)code, (void)ctx;
  woken++;
  return green_lua_park(L, &signal_of_host, -1, 0, again);
}

static int l_park(lua_State *L) {
  return green_lua_park(L, &signal_of_host, -1, 0, again);
}

static int nothing(struct green_job *job, void *arg) {
  (void)job, (void)arg;
  return 0;
}

static int l_job(lua_State *L) {
  return green_lua_offload(L, nothing, NULL, NULL, NULL);
}

static int l_left(lua_State *L) {
  lua_pushboolean(L, left-- > 0);
  return 1;
}

static void scripts(lua_State *L, long n, int at_once, int is_told) {
  long i;
  int j;
  if (luaL_dostring(L, "return function(x) return x end")) exit(1);
  for (i = 0; i < n; i += at_once) {
    for (j = 0; j < at_once; j++) script(L, is_told);
    uv_run(&loop, UV_RUN_NOWAIT);
  }
  while (is_told && told < i) uv_run(&loop, UV_RUN_NOWAIT);
}

static void wakes(lua_State *L, long n) {
  lua_pushcfunction(L, l_park);
  if (green_lua_start(L, 0, NULL, NULL, NULL) < 0) exit(1);
  uv_run(&loop, UV_RUN_NOWAIT);
  while (woken < n) {
    green_signal_one(hub, &signal_of_host);
    uv_run(&loop, UV_RUN_NOWAIT);
  }
}

static void jobs(lua_State *L, long n, int callers) {
  left = n;
  lua_register(L, "job", l_job);
  lua_register(L, "left", l_left);
  if (luaL_dostring(L, "return function() while left() do job() end end"))
    exit(1);
  while (callers-- > 0) {
    lua_pushvalue(L, 1);
    if (green_lua_start(L, 0, NULL, NULL, NULL) < 0) exit(1);
  }
  uv_run(&loop, UV_RUN_DEFAULT);
}

static void run(lua_State *L, const char *what, long n) {
  told = woken = 0;
  if (!strcmp(what, "spawn")) scripts(L, n, MANY, 0);
  if (!strcmp(what, "start")) scripts(L, n, MANY, 1);
  if (!strcmp(what, "one")) scripts(L, n, 1, 1);
  if (!strcmp(what, "wake")) wakes(L, n);
  if (!strcmp(what, "job")) jobs(L, n, 1);
  if (!strcmp(what, "jobs")) jobs(L, n, CALLERS);
}

int main(int argc, char **argv) {
  struct green_options options = {.drive = GREEN_DRIVE_LOOP, .loop = &loop};
  const char *what = argc > 1 ? argv[1] : "spawn";
  long n = *what == 'j' ? 50000 : 1000000;
  lua_State *L = luaL_newstate();
  uint64_t before;
  luaL_openlibs(L);
  if (uv_loop_init(&loop) < 0 || green_open(&hub, &options) < 0) return 1;
  if (green_lua_open(L, hub) != LUA_OK) return 1;
  if (luaL_dostring(L, "require 'green'")) return 1;
  lua_settop(L, 0);
  before = uv_hrtime();
  run(L, what, n);
  printf("%.1f\n", (double)(uv_hrtime() - before) / (double)n);
  green_lua_close(L);
  lua_close(L);
  return green_close(hub) < 0;
}
