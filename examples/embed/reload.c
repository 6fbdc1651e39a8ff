/* reload.c - a service in C whose handlers are Lua, reloaded while it serves.
 *
 * Each version of the handlers has a state of its own on the same hub. New
 * connections go to the newest; those that are open stay with the version that
 * they began with, whose state is closed when its last one has ended. The
 * client is a script, too.
 *
 * SPDX-License-Identifier: MIT
 */
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

static const char HANDLER[] =
    "local green = require 'green'\n"
    "function handle(fd)\n"
    "  local conn <close> = green.adopt(fd)\n"
    "  for line in conn:lines() do conn:send(VERSION .. line .. '\\n') end\n"
    "end\n";

static const char CLIENT[] =
    "local green = require 'green'\n"
    "local server <close> = green.listen('127.0.0.1', 0)\n"
    "reload(server:getfd())\n"
    "local _, port = server:getsockname()\n"
    "local function ask(conn, text)\n"
    "  conn:send(text .. '\\n')\n"
    "  print((conn:receive()))\n"
    "end\n"
    "local old <close> = green.connect('127.0.0.1', port)\n"
    "ask(old, 'before')\n"
    "reload()\n"
    "local new <close> = green.connect('127.0.0.1', port)\n"
    "ask(new, 'after')\n"
    "ask(old, 'still there')\n";

static struct version {
  lua_State *L;
  int number, connections;
  struct green_signal idle;
} * newest;

static lua_State *open_state(struct green_hub *hub, const char *script) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (green_lua_open(L, hub) || luaL_loadstring(L, script)) exit(1);
  return L;
}

static void ended(lua_State *L, int status, int nresults, void *arg) {
  struct version *v = arg;
  if (status != LUA_OK) printf("%d: %s\n", nresults, lua_tostring(L, 1));
  if (--v->connections == 0) green_signal_all(green_lua_hub(L), &v->idle);
}

static int serve(struct green_hub *hub, void *listener) {
  int fd;
  while ((fd = green_accept(hub, *(int *)listener, GREEN_FOREVER)) >= 0) {
    newest->connections++;
    lua_getglobal(newest->L, "handle");
    lua_pushinteger(newest->L, fd);
    green_lua_start(newest->L, 1, ended, newest, NULL);
  }
  return 0;
}

static int retire(struct green_hub *hub, void *arg) {
  struct version *v = arg;
  if (v->connections > 0) green_signal_wait(hub, &v->idle, GREEN_FOREVER);
  lua_close(v->L);
  printf("version %d is gone\n", v->number);
  free(v);
  return 0;
}

/* reload([listener]): the listening socket comes with the first version. */
static int reload(lua_State *L) {
  static int listener;
  struct version *v = calloc(1, sizeof *v), *former = newest;
  v->number = former ? former->number + 1 : 1;
  v->L = open_state(green_lua_hub(L), HANDLER);
  lua_pushfstring(v->L, "%d ", v->number);
  lua_setglobal(v->L, "VERSION");
  lua_call(v->L, 0, 0);
  newest = v;
  if (!former) listener = (int)luaL_checkinteger(L, 1);
  return green_spawn(green_lua_hub(L), NULL, former ? retire : serve,
                     former ? (void *)former : &listener);
}

int main(void) {
  struct green_hub *hub;
  lua_State *L;
  green_open(&hub, NULL);
  L = open_state(hub, CLIENT);
  lua_register(L, "reload", reload);
  if (lua_pcall(L, 0, 0, 0)) puts(lua_tostring(L, -1));
  retire(hub, newest);
  green_wait_others(hub, GREEN_FOREVER);
  lua_close(L);
  return green_close(hub);
}

/* prints:
 * 1 before
 * 2 after
 * 1 still there
 * version ... is gone
 * version ... is gone
 */
