/* scripts.c - a host starts scripts and is told what each came to.
 *
 * Each request of the host is one script. `ended` is called once for each, on
 * the hub's stack: with results, with an error, or with a kill.
 *
 * SPDX-License-Identifier: MIT
 */
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

struct request {
  const char *path;
  struct green_thread *thread;
};

static const char SCRIPT[] =
    "local green = require 'green'\n"
    "function handle(path)\n"
    "  if path == '/bad' then error('no such page', 0) end\n"
    "  green.sleep(path == '/slow' and 60 or 0.01)\n"
    "  return 200, 'this is ' .. path\n"
    "end\n";

static void ended(lua_State *L, int status, int nresults, void *arg) {
  struct request *r = arg;
  if (status == LUA_OK && nresults == 2)
    printf("%s: %d, %s\n", r->path, (int)lua_tointeger(L, 1),
           lua_tostring(L, 2));
  else
    printf("%s: %s\n", r->path, green_lua_text(L, 1));
}

static int serve(lua_State *L, struct request *r) {
  lua_getglobal(L, "handle");
  lua_pushstring(L, r->path);
  return green_lua_start(L, 1, ended, r, &r->thread);
}

int main(void) {
  uv_loop_t *loop = uv_default_loop();
  struct green_options options = {.drive = GREEN_DRIVE_LOOP, .loop = loop};
  struct request requests[] = {{"/", NULL}, {"/bad", NULL}, {"/slow", NULL}};
  lua_State *L = luaL_newstate();
  struct green_hub *hub;
  int i;
  luaL_openlibs(L);
  if (green_open(&hub, &options) < 0) return 1;
  if (green_lua_open(L, hub) != LUA_OK || luaL_dostring(L, SCRIPT)) return 1;
  for (i = 0; i < 3; i++)
    if (serve(L, &requests[i]) < 0) return 1;
  uv_run(loop, UV_RUN_ONCE);
  green_kill(hub, requests[2].thread); /* its client has gone */
  uv_run(loop, UV_RUN_DEFAULT);
  green_lua_close(L);
  lua_close(L);
  green_close(hub);
  return uv_run(loop, UV_RUN_DEFAULT);
}

/* prints:
 * /bad: no such page
 * /slow: killed
 * /: 200, this is /
 */
