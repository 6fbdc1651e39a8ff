/* lua_lost_test.c - objects whose finalizers Lua could not call, as it was too
 * deep in C when it collected them. It has freed them all the same: the end of
 * the state gives back what they had (run it under ASan or valgrind), and no
 * descriptor stays with the host.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "lua_test.h"

/* Each is dropped at all depths near the deepest, at one of which a call of C
 * fails. */
static const char script[] =
    "local green = require 'green'\n"
    "local dns = require 'green.dns'\n"
    "local socket = require 'green.socket'\n"
    "local with_tls, tls = pcall(require, 'green.tls') -- not in each build\n"
    "green.on_error(function() end)\n"
    "local names = 0\n"
    "local box = green.sandbox {grants = {'connect', 'coroutine'},\n"
    "  limits = {timers = 1e4, items = 1e4, descriptors = 1e4}}\n"
    "local kinds = {\n"
    "  function() green.socketpair() end,\n"
    "  function() green.listen('127.0.0.1', 0) end,\n"
    "  function() names = names + 1\n"
    "    green.listen('unix:' .. directory .. '/' .. names) end,\n"
    "  function()\n"
    "    local a, b = green.socketpair()\n"
    "    a:send(('x'):rep(1e5)) b:recv(1) b:unread(('y'):rep(1e5))\n"
    "  end,\n"
    "  function()\n"
    "    local a, b = green.socketpair()\n"
    "    green.with_timeout(0.001, function() b:recv(1) end)\n"
    "  end,\n"
    "  function() green.udp() end,\n"
    "  function() socket.udp():setsockname('127.0.0.1', 0) end,\n"
    "  function() if with_tls then tls.context {} end end,\n"
    "  function() green.port(3):put {1, 'x', {}} end,\n"
    "  function() dns.getaddrinfo('127.0.0.1', '80') end,\n"
    "  function()\n"
    "    dns.use(function() error 'no' end)\n"
    "    pcall(green.connect, 'a.name', 80)\n"
    "    dns.use(nil)\n"
    "  end,\n"
    "  function() green.lock() green.selector() green.ticker(1) end,\n"
    "  function() green.queue(2):put(1) end,\n"
    "  function() green.sandbox {limits = {timers = 3}} end,\n"
    "  function()\n"
    "    coroutine.wrap(function()\n"
    "      green.timeout(1e6) coroutine.yield() end)()\n"
    "  end,\n"
    "  function() box:load('green.queue(1):put(1)\\n'\n"
    "    .. 'local a, b = green.socketpair() a:send \"x\" b:peek(1)\\n'\n"
    "    .. 'coroutine.wrap(function() green.timeout(1e6)\\n'\n"
    "    .. 'coroutine.yield() end)()', 'script')() end,\n"
    "}\n"
    "local function dig(n, make)\n"
    "  if n > 0 then return pcall(dig, n - 1, make) end\n"
    "  collectgarbage()\n"
    "  collectgarbage()\n"
    "end\n"
    "for _, make in ipairs(kinds) do\n"
    "  make()\n"
    "  for depth = 150, 200 do\n"
    "    green.spawn(make):join()\n"
    "    green.spawn(dig, depth):join()\n"
    "  end\n"
    "end\n";

static int lost;

static void count_warnings(void *ud, const char *message, int more) {
  (void)ud;
  (void)more;
  if (strstr(message, "C stack overflow")) lost++;
}

static void run_script(struct green_hub *hub, const char *directory) {
  lua_State *L = new_state();
  if (green_lua_open(L, hub) != LUA_OK) exit(1);
  lua_setwarnf(L, count_warnings, NULL);
  lua_pushstring(L, directory);
  lua_setglobal(L, "directory");
  if (luaL_loadstring(L, script) != LUA_OK ||
      lua_pcall(L, 0, 0, 0) != LUA_OK) {
    printf("# %s\n", lua_tostring(L, -1));
    test_failures++;
  }
  CHECK(green_lua_close(L) == 0, "the state can be closed");
  lua_close(L);
}

int main(void) {
  char directory[] = "/tmp/luagreen-lost-XXXXXX";
  struct green_hub *hub;
  int before;
  if (!mkdtemp(directory)) return 1;
  if (green_open(&hub, NULL) < 0 || green_close(hub) < 0) return 1;
  before = count_descriptors(); /* libuv keeps some for the process */
  if (green_open(&hub, NULL) < 0) return 1;
  run_script(hub, directory);
  /* From 5.5 on Lua waits for a place where it can. */
  CHECK((lost > 0) == (LUA_VERSION_NUM < 505),
        "Lua up to 5.4 could not call some finalizers");
  CHECK(green_close(hub) == 0, "and the hub");
  CHECK(count_descriptors() == before, "no descriptor stays with the host");
  CHECK(rmdir(directory) == 0, "no file of a listener stays");
  return test_end();
}
