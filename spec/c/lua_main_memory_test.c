/* lua_main_memory_test.c - main can block when Lua has no memory left, because
 * everything that it needs was made before.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include "lua_test.h"

static const char *const PREPARE =
    "green = require 'green'\n"
    "event, queue, flag = green.event(), green.queue(), green.flag()\n"
    "worker = green.spawn(queue.get, green.queue(), 60)\n"
    "function try(f, ...)\n"
    "  short_after(0)\n"
    "  local ok, err = pcall(f, ...)\n"
    "  short_after(-1)\n"
    "  if not ok then error(err, 0) end\n"
    "end\n";

/* A thread that has blocked before needs nothing more. */
static const char *const BEGIN = "green.sleep(0)\n";
static const char *const SPAWN = "green.spawn_n(function() end)\n";
static const char *const SLEEP = "try(green.sleep, 0.002)\n";
static const char *const TURN = "try(green.sleep, 0)\n";
static const char *const WAIT =
    "try(flag.wait, flag, 0.002)\n"
    "try(event.wait, event, 0.002)\n"
    "try(queue.get, queue, 0.002)\n";
static const char *const JOIN = "try(worker.join, worker, 0.002)\n";

static lua_State *open_state(struct memory *memory) {
  lua_State *L = lg_newstate(allocate, memory, 1);
  if (!L) exit(1);
  luaL_openlibs(L);
  lua_register(L, "short_after", short_after);
  luaL_requiref(L, "green.core", luaopen_green_core, 0);
  lua_pop(L, 1);
  if (!run(L, PREPARE)) exit(1);
  return L;
}

static void close_state(lua_State *L) {
  green_lua_close(L);
  lua_close(L);
}

int main(void) {
  struct memory memory = {0, 0, 0, 0, 0};
  lua_State *L = open_state(&memory);
  CHECK(run(L, SPAWN) && run(L, SLEEP),
        "main blocks for the first time, after a spawn, without memory");
  close_state(L);
  L = open_state(&memory);
  CHECK(run(L, BEGIN) && run(L, SLEEP), "it sleeps");
  CHECK(run(L, TURN), "gives others a turn");
  CHECK(run(L, SPAWN) && run(L, TURN), "also after a spawn");
  CHECK(run(L, SPAWN) && run(L, SLEEP), "and after another one");
  CHECK(run(L, WAIT), "waits for objects");
  CHECK(run(L, JOIN), "and joins a thread");
  close_state(L);
  return test_failures != 0;
}
