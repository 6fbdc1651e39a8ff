/* poll_loop.c - scripts in a program whose loop is poll(); the same works for
 * epoll, GLib or SDL.
 *
 * The loop asks when it must step at the latest, and polls one more descriptor,
 * which is readable when a step would find something to do. It goes on until
 * the callback of the script's end has run.
 *
 * SPDX-License-Identifier: MIT
 */
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <poll.h>
#include <stdio.h>

static const char SCRIPT[] =
    "local green = require 'green'\n"
    "local server <close> = green.listen('127.0.0.1', 0)\n"
    "green.spawn(green.serve, server, function(conn)\n"
    "  for line in conn:lines() do conn:send(line:upper() .. '\\n') end\n"
    "end)\n"
    "local _, port = server:getsockname()\n"
    "local conn <close> = green.connect('127.0.0.1', port)\n"
    "for _, word in ipairs {'hello', 'again'} do\n"
    "  conn:send(word .. '\\n')\n"
    "  print((conn:receive()))\n"
    "  green.sleep(0.01)\n"
    "end\n"
    "return 2\n";

static void ended(lua_State *L, int status, int nresults, void *arg) {
  printf("%s: %s\n", status == LUA_OK ? "returned" : "failed",
         nresults > 0 ? lua_tostring(L, 1) : "nothing");
  *(int *)arg = 1;
}

int main(void) {
  struct green_options options = {.drive = GREEN_DRIVE_STEP};
  struct green_hub *hub;
  struct pollfd fds[1]; /* and those of the program */
  int done = 0;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (green_open(&hub, &options) < 0) return 1;
  green_lua_open(L, hub);
  if (luaL_loadstring(L, SCRIPT) || green_lua_start(L, 0, ended, &done, NULL))
    return 1;
  fds[0].fd = green_poll_fd(hub);
  fds[0].events = POLLIN;
  while (!done) {
    poll(fds, 1, green_next_ms(hub));
    green_step(hub, 0);
  }
  green_lua_close(L);
  lua_close(L);
  return green_close(hub);
}

/* prints:
 * HELLO
 * AGAIN
 * returned: 2
 */
