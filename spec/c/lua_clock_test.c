/* lua_clock_test.c - scripts of a game, whose time is the host's: it pauses,
 * and goes slowly.
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

#define SECOND UINT64_C(1000000000)

static uint64_t game_time = 1000 * SECOND;
static struct green_hub *hub;
static lua_State *L;

static uint64_t read_clock(void *arg) {
  return *(uint64_t *)arg;
}

static int run(const char *code) {
  if (!luaL_dostring(L, code)) return lua_toboolean(L, -1);
  printf("# %s\n", lua_tostring(L, -1));
  return 0;
}

/* Steps until nothing is ready. */
static void settle(void) {
  while (green_step(hub, 0)) continue;
}

static void pass(double seconds) {
  game_time += (uint64_t)(seconds * 1e9);
  settle();
}

static void begin(const char *script) {
  lua_settop(L, 0);
  if (!run("log = '' function note(s) log = log .. s end return true"))
    abort();
  if (luaL_dostring(L, script)) {
    printf("# %s\n", lua_tostring(L, -1));
    abort();
  }
  settle();
}

/* Is this what the script has noted so far? */
static int noted(const char *text) {
  int same;
  lua_getglobal(L, "log");
  same = strcmp(lua_tostring(L, -1), text) == 0;
  if (!same) printf("# noted: %s\n", lua_tostring(L, -1));
  lua_pop(L, 1);
  return same;
}

static void test_sleep(void) {
  begin("green.spawn(function() note 'a' green.sleep(10) note 'b' end)");
  CHECK(run("return green.now() == 1000"),
        "green.now() is the host's time, on its stack");
  pass(9.9);
  CHECK(noted("a"), "a script sleeps by it");
  pass(0.1);
  CHECK(noted("ab"), "as long as it said");
}

/* They begin on the host's stack. */
static void test_later(void) {
  begin(
      "green.spawn_after(5, note, 'x')\n"
      "local t = green.ticker(2)\n"
      "green.spawn(function() for _ = 1, 3 do t:wait() note 't' end end)");
  pass(2);
  CHECK(noted("t"), "tickers tick by it");
  pass(2);
  pass(0.9);
  CHECK(noted("tt"), "and a thread that starts later");
  pass(0.2);
  CHECK(noted("ttx"), "starts by it");
  pass(1);
  CHECK(noted("ttxt"), "in the order of their times");
}

static void test_limits(void) {
  begin(
      "local q = green.queue()\n"
      "green.spawn(function()\n"
      "  local _, err = q:get(3) note(err) end)\n"
      "green.spawn(function()\n"
      "  local ok = pcall(function()\n"
      "    local _ <close> = green.timeout(3)\n"
      "    note(('%d'):format(green.time_left())) green.sleep(100) end)\n"
      "  note(tostring(ok)) end)");
  pass(2.9);
  CHECK(noted("3"), "limits stand still with it");
  pass(0.1);
  CHECK(noted("3timeoutfalse"), "and strike by it");
}

static void test_lives(void) {
  struct green_lua_limits limits;
  memset(&limits, 0, sizeof limits);
  limits.size = sizeof limits;
  limits.life = 5 * SECOND;
  if (green_lua_limit(L, &limits) != 0) abort();
  begin("t = green.spawn(green.sleep, 1e6)");
  pass(4);
  CHECK(run("return t:status() == 'blocked'"), "lives last by it");
  pass(2);
  pass(2);
  CHECK(run("return t:status() == 'killed'"), "and end by it");
  limits.life = 0;
  green_lua_limit(L, &limits);
}

static void test_pause(void) {
  int i;
  begin(
      "green.spawn(function()\n"
      "  while true do green.sleep(0.001) note 's' end end)\n"
      "local a, b = green.socketpair()\n"
      "green.spawn(function() note(b:recv(10)) end)\n"
      "green.spawn(function() a:send 'net' end)");
  for (i = 0; i < 20; i++) settle(), uv_sleep(1);
  CHECK(noted("net"), "in a pause sockets work, and sleepers sleep");
}

static int close_state(struct green_hub *h, void *arg) {
  (void)h;
  return green_lua_close(arg);
}

/* The bug: a thread that closes a state waited for the grace by the clock of
 * the host's. */
static void test_close_by_thread(void) {
  lua_State *other = luaL_newstate(), *mine = L;
  struct green_thread *closer;
  uint64_t began = uv_hrtime();
  luaL_openlibs(other);
  green_lua_open(other, hub);
  L = other;
  green_config(hub)->grace = SECOND / 10;
  if (!run("green = require 'green' return true")) abort();
  begin("green.spawn(function() green.shield(1000, green.sleep, 1000) end)");
  if (green_spawn(hub, &closer, close_state, other) < 0) abort();
  while (strcmp(green_status(closer), "done") != 0 &&
         uv_hrtime() - began < 20 * SECOND)
    settle();
  CHECK(strcmp(green_status(closer), "done") == 0,
        "a thread of C closes a state in a pause, within the grace twice");
  green_detach(hub, closer);
  L = mine;
  lua_close(other);
}

int main(void) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP};
  o.clock = read_clock;
  o.clock_arg = &game_time;
  if (green_open(&hub, &o) < 0) return 1;
  L = luaL_newstate();
  luaL_openlibs(L);
  green_lua_open(L, hub);
  if (!run("green = require 'green' return true")) return 1;
  test_sleep();
  test_later();
  test_limits();
  test_lives();
  test_pause();
  test_close_by_thread();
  CHECK(green_lua_close(L) == 0, "a paused game can be closed");
  lua_close(L);
  CHECK(green_close(hub) == 0, "and its hub");
  return test_end();
}
