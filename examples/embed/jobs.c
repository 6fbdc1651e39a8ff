/* jobs.c - work that would block, on OS threads: for C, and for a script.
 *
 * SPDX-License-Identifier: MIT
 */
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

static const char SCRIPT[] =
    "local green = require 'green'\n"
    "local t = green.spawn(factor, 1000003 * 1000033)\n"
    "print('the factor', t:wait())\n"
    "local endless = green.spawn(factor, 2305843009213693951)\n"
    "green.sleep(0.01)\n"
    "print('killed', endless:kill(), (endless:join()))\n";

struct work {
  long long number, factor;
};

static int find(struct green_job *job, void *arg) { /* an OS thread */
  struct work *w = arg;
  for (w->factor = 2; w->number % w->factor != 0; w->factor++)
    if (w->factor % 4096 == 0 && green_job_cancelled(job)) return -1;
  return 0;
}

static struct work *new_work(long long number) {
  struct work *w = calloc(1, sizeof *w);
  if (w) w->number = number;
  return w;
}

static int finish(lua_State *L, int result, void *arg) { /* on the hub */
  lua_pushinteger(L, result < 0 ? 0 : ((struct work *)arg)->factor);
  return 1;
}

static int l_factor(lua_State *L) {
  struct work *w = new_work(luaL_checkinteger(L, 1));
  if (!w) return luaL_error(L, "not enough memory");
  return green_lua_offload(L, find, free, w, finish);
}

int main(void) {
  struct work *w = new_work(91);
  struct green_hub *hub;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (green_open(&hub, NULL) < 0 || green_lua_open(L, hub) != LUA_OK) return 1;
  if (w && green_offload(hub, find, free, w, GREEN_FOREVER, NULL) == 0) {
    printf("in C %lld\n", w->factor); /* after a code w would be gone */
    free(w);
  }
  lua_register(L, "factor", l_factor);
  if (luaL_dostring(L, SCRIPT)) puts(lua_tostring(L, -1));
  green_lua_close(L);
  lua_close(L);
  return green_close(hub);
}

/* prints:
 * in C 7
 * the factor	1000003
 * killed	true	false
 */
