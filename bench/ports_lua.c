/* ports_lua.c - ns per message to Lua: see ports.c for the kinds.
 *
 *   ports_lua hop      there and back between two states in OS threads
 *   ports_lua stream   one way between them, room for 100
 *   ports_lua many     from four of them
 *   ports_lua home     from a green thread of C to one of Lua's on its hub
 *
 * A message is a small table, from C 4 bytes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "green_lua.h"

enum { HOPS = 100000, MESSAGES = 1000000, SENDERS = 4, ROOM = 100 };

struct end {
  struct green_port *port;
  const char *script;
  int count;
};

static const char ECHOES[] =
    "local green = require 'green'\n"
    "local far, n = ...\n"
    "local near = green.port(100)\n"
    "far:send(near)\n"
    "for i = 1, n do far:send(near:receive()) end\n";

static const char SEND[] =
    "local far, n = ...\n"
    "for i = 1, n do far:send({i}) end\n";

static const char HOP[] =
    "local near, n = ...\n"
    "local far = near:receive()\n"
    "local start = require 'green'.now()\n"
    "for i = 1, n / 2 do far:send({i}) near:receive() end\n"
    "return require 'green'.now() - start\n";

static const char RECEIVE[] =
    "local near, n = ...\n"
    "local start = require 'green'.now()\n"
    "for i = 1, n do near:receive() end\n"
    "return require 'green'.now() - start\n";

static struct green_hub *open_hub(void) {
  struct green_hub *hub;
  if (green_open(&hub, NULL) < 0) exit(1);
  return hub;
}

/* Runs a script with the port and a number; returns its result. */
static double run(struct green_hub *hub, struct end *e) {
  lua_State *L = luaL_newstate();
  double result;
  luaL_openlibs(L);
  if (green_lua_open(L, hub) || luaL_loadstring(L, e->script)) exit(1);
  green_lua_push_port(L, e->port);
  lua_pushinteger(L, e->count);
  if (lua_pcall(L, 2, 1, 0)) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    exit(1);
  }
  result = lua_tonumber(L, -1);
  green_lua_close(L);
  lua_close(L);
  return result;
}

static void *other(void *arg) {
  struct green_hub *hub = open_hub();
  run(hub, arg);
  green_close(hub);
  return NULL;
}

static int feeds(struct green_hub *hub, void *arg) {
  struct end *e = arg;
  for (int i = 0; i < e->count; i++) {
    struct green_message *m = green_message_new(&i, sizeof i);
    if (!m || green_port_send_wait(hub, e->port, m, GREEN_FOREVER)) exit(1);
  }
  return 0;
}

static double measure(struct green_hub *hub, const char *script,
                      const char *there, int n, int threads) {
  struct green_port *port;
  pthread_t thread[SENDERS];
  double seconds;
  if (green_port_open(hub, ROOM, &port) < 0) exit(1);
  struct end e = {port, there, n / (threads ? threads : 1)};
  struct end here = {port, script, n};
  if (script == HOP) e.count = n / 2;
  for (int i = 0; i < threads; i++)
    pthread_create(&thread[i], NULL, other, &e);
  if (!threads) green_spawn(hub, NULL, feeds, &e);
  seconds = run(hub, &here);
  for (int i = 0; i < threads; i++) pthread_join(thread[i], NULL);
  green_port_release(port);
  return seconds / n * 1e9;
}

int main(int argc, char **argv) {
  const char *kind = argc > 1 ? argv[1] : "home";
  struct green_hub *hub = open_hub();
  if (!strcmp(kind, "hop"))
    printf("%.0f\n", measure(hub, HOP, ECHOES, HOPS, 1));
  else if (!strcmp(kind, "stream"))
    printf("%.0f\n", measure(hub, RECEIVE, SEND, MESSAGES, 1));
  else if (!strcmp(kind, "many"))
    printf("%.0f\n", measure(hub, RECEIVE, SEND, MESSAGES, SENDERS));
  else if (!strcmp(kind, "home"))
    printf("%.0f\n", measure(hub, RECEIVE, NULL, MESSAGES, 0));
  else
    printf("-\n");
  return green_close(hub) < 0;
}
