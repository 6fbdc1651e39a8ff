/* lua_eintr_test.c - a signal at any moment, 2,000 times a second, changes
 * nothing: sockets, pipes, files, look-ups and waits go on.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "../../bindings/green_lua.h"
#include "test.h"

static struct green_hub *hub;
static int going;

/* The signal comes whether a thread computes or the hub sleeps. */
static void *disturb(void *arg) {
  struct timespec pause = {0, 500000};
  (void)arg;
  while (__atomic_load_n(&going, __ATOMIC_RELAXED)) {
    green_interrupt(hub, 0);
    nanosleep(&pause, NULL);
  }
  return NULL;
}

static const char *const scripts[][2] = {
    {"echoes by TCP",
     "local l = assert(green.listen('127.0.0.1', 0))\n"
     "local _, port = l:getsockname()\n"
     "green.spawn(function()\n"
     "  local c = l:accept()\n"
     "  while true do\n"
     "    local line = c:receive '*l'\n"
     "    if not line then break end\n"
     "    c:send(line .. '\\n')\n"
     "  end\n"
     "end)\n"
     "local c = assert(green.connect('127.0.0.1', port))\n"
     "local text = ('x'):rep(200000)\n"
     "for i = 1, 60 do\n"
     "  local line = i .. text\n"
     "  green.spawn(function() assert(c:send(line .. '\\n')) end)\n"
     "  assert(c:receive '*l' == line)\n"
     "end\n"
     "c:close() l:close()"},
    {"sleeps last as long as they should",
     "for _ = 1, 30 do\n"
     "  local before = green.now() green.sleep(0.005)\n"
     "  local took = green.now() - before\n"
     "  assert(took >= 0.005 and took < 5, took)\n"
     "end"},
    {"pipes and commands of the standard library",
     "for i = 1, 15 do\n"
     "  local p = assert(io.popen('sleep 0.01; echo ' .. i))\n"
     "  assert(p:read 'a' == i .. '\\n')\n"
     "  assert(p:close())\n"
     "end\n"
     "for _ = 1, 10 do assert(os.execute 'sleep 0.01') end"},
    {"pipes and commands on green threads",
     "green.monkey_patch()\n"
     "for i = 1, 15 do\n"
     "  local p = assert(io.popen('sleep 0.01; echo ' .. i))\n"
     "  assert(p:read 'a' == i .. '\\n')\n"
     "  assert(p:close())\n"
     "end\n"
     "for _ = 1, 10 do assert(os.execute 'sleep 0.01') end\n"
     "green.monkey_patch(false)"},
    {"files",
     "local name = os.tmpname()\n"
     "for i = 1, 50 do\n"
     "  local f = assert(io.open(name, 'w'))\n"
     "  local text = (i .. ' '):rep(20000)\n"
     "  assert(f:write(text)) f:close()\n"
     "  f = assert(io.open(name)) assert(f:read 'a' == text) f:close()\n"
     "end\n"
     "os.remove(name)"},
    {"look-ups",
     "for _ = 1, 20 do\n"
     "  green.dns.flush()\n"
     "  assert(green.dns.resolve 'localhost')\n"
     "end"},
    {"waits for threads, events and queues",
     "for _ = 1, 200 do\n"
     "  local q, e = green.queue(1), green.event()\n"
     "  local t = green.spawn(function()\n"
     "    green.sleep(0.0005) q:put(1) e:send(2) return 3\n"
     "  end)\n"
     "  assert(q:get() == 1 and e:wait() == 2 and t:wait() == 3)\n"
     "end"}};

static void run(lua_State *L, const char *const script[2]) {
  int ok = !luaL_dostring(L, script[1]);
  if (!ok) printf("# %s\n", lua_tostring(L, -1));
  CHECK(ok, script[0]);
  lua_settop(L, 0);
}

int main(void) {
  lua_State *L = luaL_newstate();
  pthread_t os_thread;
  size_t i;
  luaL_openlibs(L);
  luaL_requiref(L, "green.core", luaopen_green_core, 0);
  if (luaL_dostring(L, "green = require 'green'")) {
    printf("not ok - %s\n", lua_tostring(L, -1));
    return 1;
  }
  hub = green_lua_hub(L);
  if (green_lua_interruptible(L) < 0) return 1;
  going = 1;
  pthread_create(&os_thread, NULL, disturb, NULL);
  for (i = 0; i < sizeof scripts / sizeof *scripts; i++) run(L, scripts[i]);
  __atomic_store_n(&going, 0, __ATOMIC_RELAXED);
  pthread_join(os_thread, NULL);
  lua_close(L);
  return test_end();
}
