/* lua_main_memory_test.c - main can block when Lua has no memory left, because
 * everything that it needs was made before.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

#include "../../bindings/green_lua.h"
#include "../../bindings/runtime/compat.h"
#include "test.h"

static int at_end; /* no memory is left */

static void *allocate(void *ud, void *p, size_t old, size_t size) {
  (void)ud;
  if (size == 0) {
    free(p);
    return NULL;
  }
  if (at_end && (!p || size > old)) return NULL;
  return realloc(p, size);
}

/* at_end(on) */
static int l_at_end(lua_State *L) {
  at_end = lua_toboolean(L, 1);
  return 0;
}

static const char *const PREPARE =
    "green = require 'green'\n"
    "event, queue, flag = green.event(), green.queue(), green.flag()\n"
    "worker = green.spawn(queue.get, green.queue(), 60)\n"
    "function try(f, ...)\n"
    "  at_end(true)\n"
    "  local ok, err = pcall(f, ...)\n"
    "  at_end(false)\n"
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

static int run(lua_State *L, const char *chunk) {
  if (!luaL_dostring(L, chunk)) return 1;
  at_end = 0;
  printf("# %s\n", lua_tostring(L, -1));
  lua_pop(L, 1);
  return 0;
}

static lua_State *open_state(void) {
  lua_State *L = lg_newstate(allocate, NULL, 1);
  if (!L) exit(1);
  luaL_openlibs(L);
  lua_register(L, "at_end", l_at_end);
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
  lua_State *L = open_state();
  CHECK(run(L, SPAWN) && run(L, SLEEP),
        "main blocks for the first time, after a spawn, without memory");
  close_state(L);
  L = open_state();
  CHECK(run(L, BEGIN) && run(L, SLEEP), "it sleeps");
  CHECK(run(L, TURN), "gives others a turn");
  CHECK(run(L, SPAWN) && run(L, TURN), "also after a spawn");
  CHECK(run(L, SPAWN) && run(L, SLEEP), "and after another one");
  CHECK(run(L, WAIT), "waits for objects");
  CHECK(run(L, JOIN), "and joins a thread");
  close_state(L);
  return test_failures != 0;
}
