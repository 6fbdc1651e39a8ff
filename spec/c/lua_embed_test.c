/* lua_embed_test.c - a host with a loop of its own opens the library in its
 * Lua state, spawns Lua functions and looks at what they came to.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "../../bindings/green_lua.h"
#include "test.h"

struct host {
  uv_loop_t loop;
  struct green_hub *hub;
  lua_State *L;
};

static void run(lua_State *L, const char *chunk) {
  if (luaL_dostring(L, chunk)) {
    printf("not ok - the script runs: %s\n", lua_tostring(L, -1));
    test_failures++;
    lua_pop(L, 1);
  }
}

static void open_library(lua_State *L, struct green_hub *hub) {
  luaL_openlibs(L);
  green_lua_open(L, hub);
  run(L, "green = require 'green'");
}

static void open_host(struct host *host) {
  struct green_options o;
  memset(&o, 0, sizeof o);
  o.drive = GREEN_DRIVE_LOOP;
  o.loop = &host->loop;
  host->L = luaL_newstate();
  if (uv_loop_init(&host->loop) < 0 || green_open(&host->hub, &o) < 0 ||
      !host->L)
    exit(1);
  open_library(host->L, host->hub);
}

/* The order: the state's threads, the state, the hub; then the loop. */
static int close_host(struct host *host) {
  int left = green_lua_close(host->L);
  lua_close(host->L);
  left += green_close(host->hub);
  uv_run(&host->loop, UV_RUN_DEFAULT);
  return left == 0 && uv_loop_close(&host->loop) == 0;
}

static void spawn(lua_State *L, const char *function) {
  lua_getglobal(L, function);
  green_lua_spawn(L, 0);
}

static int global_is(lua_State *L, const char *name, lua_Integer n) {
  int same =
      lua_getglobal(L, name) == LUA_TNUMBER && lua_tointeger(L, -1) == n;
  lua_pop(L, 1);
  return same;
}

/* -------------------------------------------------------------- outcomes -- */

static void test_outcome(void) {
  struct host host;
  lua_State *L;
  int n = -1;
  open_host(&host);
  L = host.L;
  CHECK(green_lua_hub(L) == host.hub, "the state knows the host's hub");
  run(L,
      "function good(a, b) green.sleep(0.002) return a, b, nil end\n"
      "function bad() green.sleep(0) error('no luck', 0) end");
  lua_getglobal(L, "good");
  lua_pushinteger(L, 4);
  lua_pushliteral(L, "five");
  green_lua_spawn(L, 2);
  spawn(L, "bad");
  CHECK(lua_gettop(L) == 2 && green_lua_outcome(L, 1, &n) == LUA_YIELD &&
            n == 0 && lua_gettop(L) == 2,
        "a spawned function runs when the loop does, not before");
  /* Somebody must own the error, or it is reported. */
  run(L, "green.on_error(function() end)");
  uv_run(&host.loop, UV_RUN_DEFAULT);
  CHECK(green_lua_outcome(L, 1, &n) == LUA_OK && n == 3 &&
            lua_tointeger(L, -3) == 4 &&
            !strcmp(lua_tostring(L, -2), "five") && lua_isnil(L, -1),
        "its results are there when uv_run has returned");
  lua_settop(L, 2);
  CHECK(green_lua_outcome(L, 2, &n) == LUA_ERRRUN && n == 1 &&
            !strcmp(lua_tostring(L, -1), "no luck"),
        "or its error");
  lua_settop(L, 0);
  CHECK(close_host(&host), "state, hub and loop can be closed");
}

/* -------------------------------------------------------------- blocking -- */

static void on_timer(uv_timer_t *timer) {
  lua_State *L = timer->data;
  run(L,
      "ticks = (ticks or 0) + 1\n"
      "if ticks == 2 then event:send(ticks) end");
  if (global_is(L, "ticks", 3)) uv_close((uv_handle_t *)timer, NULL);
}

static void test_blocking(void) {
  struct host host;
  uv_timer_t timer;
  open_host(&host);
  CHECK(luaL_dostring(host.L, "green.sleep(1)") != LUA_OK &&
            strstr(lua_tostring(host.L, -1),
                   "would block the host's loop; spawn a thread"),
        "blocking on the main Lua thread is refused: it would block the loop");
  lua_settop(host.L, 0);
  run(host.L,
      "event = green.event()\n"
      "green.spawn(function() got = event:wait() end)\n"
      "green.spawn_after(0.004, function() after = 1 end)");
  uv_timer_init(&host.loop, &timer);
  timer.data = host.L;
  uv_timer_start(&timer, on_timer, 1, 1);
  uv_run(&host.loop, UV_RUN_DEFAULT);
  CHECK(global_is(host.L, "got", 2),
        "a callback of the host may run Lua that wakes threads");
  CHECK(global_is(host.L, "after", 1),
        "what the main Lua thread set a time for is done");
  CHECK(close_host(&host), "all can be closed");
}

/* ---------------------------------------------------------- close order -- */

static const char LIVE[] =
    "closed = 0\n"
    "local function guard(f)\n"
    "  return setmetatable({}, {__close = function()\n"
    "    closed = closed + 1 if f then f() end end})\n"
    "end\n"
    "green.spawn(function() local g <close> = guard() green.sleep(1e9) end)\n"
    "green.spawn(function() local g <close> = guard()\n"
    "  green.queue():get() end)\n"
    "green.spawn(function() local g <close> = guard(function()\n"
    "    pcall(green.sleep, 1e9) end) green.event():wait() end)\n"
    "green.spawn(function() local g <close> = guard()\n"
    "  string.gsub('x', 'x', function() green.sleep(1e9) end) end)\n"
    "green.spawn(function() local g <close> = guard()\n"
    "  green.shield(1e9, green.sleep, 1e9) end)\n"
    "green.spawn(function() started = true end)\n";

static void test_close(void) {
  struct host host;
  int left;
  open_host(&host);
  run(host.L, LIVE);
  uv_run(&host.loop, UV_RUN_NOWAIT);
  uv_run(&host.loop, UV_RUN_NOWAIT);
  left = green_lua_close(host.L);
  CHECK(left == 0 && global_is(host.L, "closed", 5),
        "green_lua_close ends live threads, and their <close> variables run");
  CHECK(luaL_dostring(host.L, "green.spawn(print)") != LUA_OK,
        "afterwards nothing can be spawned");
  CHECK(!green_lua_hub(host.L) && green_lua_close(host.L) == 0,
        "closing again does nothing");
  lua_close(host.L);
  left = green_close(host.hub);
  uv_run(&host.loop, UV_RUN_DEFAULT);
  CHECK(left == 0 && uv_loop_close(&host.loop) == 0,
        "then the state, the hub and the loop go");
}

static void test_close_state_only(void) {
  struct host host;
  int left;
  open_host(&host);
  run(host.L, LIVE);
  uv_run(&host.loop, UV_RUN_NOWAIT);
  uv_run(&host.loop, UV_RUN_NOWAIT);
  lua_close(host.L);
  left = green_close(host.hub);
  uv_run(&host.loop, UV_RUN_DEFAULT);
  CHECK(left == 0 && uv_loop_close(&host.loop) == 0,
        "a host that forgets green_lua_close is forgiven");
}

/* ------------------------------------------------------------ two states -- */

static void test_two(void) {
  struct host a, b;
  open_host(&a);
  open_host(&b);
  run(a.L, "green.spawn(function() green.sleep(0.001) n = 1 end)");
  run(b.L, "green.spawn(function() green.sleep(0.001) n = 2 end)");
  uv_run(&b.loop, UV_RUN_DEFAULT);
  CHECK(global_is(b.L, "n", 2) && !global_is(a.L, "n", 1),
        "two states on two hubs are apart");
  CHECK(close_host(&b), "one can be closed");
  uv_run(&a.loop, UV_RUN_DEFAULT);
  CHECK(global_is(a.L, "n", 1) && close_host(&a), "while the other goes on");
}

static int open_again(lua_State *L) {
  green_lua_open(L, lua_touserdata(L, 1));
  return 0;
}

static void test_open_twice(void) {
  struct host host;
  open_host(&host);
  lua_pushcfunction(host.L, open_again);
  lua_pushlightuserdata(host.L, host.hub);
  CHECK(lua_pcall(host.L, 1, 0, 0) != LUA_OK &&
            strstr(lua_tostring(host.L, -1), "has a hub already"),
        "a state has one hub");
  lua_settop(host.L, 0);
  CHECK(close_host(&host), "and is closed once");
}

/* A hub of the host's that is not on a loop: main is a green thread. */
static void test_main_drive(void) {
  struct green_hub *hub;
  lua_State *L = luaL_newstate();
  if (green_open(&hub, NULL) < 0) exit(1);
  open_library(L, hub);
  run(L,
      "local t = green.spawn(function() green.sleep(0.001) return 6 end)\n"
      "n = t:wait()");
  CHECK(global_is(L, "n", 6),
        "on a hub with a loop of its own main may block");
  green_lua_close(L);
  lua_close(L);
  CHECK(green_close(hub) == 0, "the hub stays the host's");
}

int main(void) {
  test_outcome();
  test_blocking();
  test_close();
  test_close_state_only();
  test_two();
  test_open_twice();
  test_main_drive();
  return test_end();
}
