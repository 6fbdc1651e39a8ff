/* lua_attacks_test.c - a host whose scripts are hostile, as they are in
 * spec/bounds/attacks.lua. Each has a state of its own, with limits. The host,
 * a script in another state on the same hub, and the end of the state survive
 * each.
 *
 * A run takes a part of them, which the time chooses: LUAGREEN_SEED=n repeats
 * it, LUAGREEN_ATTACKS=all takes all, and a number as argument that one.
 *
 * LUA_PATH must lead to lua/green, and the working directory is the project's.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../bindings/green_lua.h"
#include "test.h"

#define MB ((size_t)1024 * 1024)

/* How slow the tool that watches this makes everything. */
static uint64_t factor(void) {
  return RUNNING_ON_VALGRIND || SANITIZED ? 20 : 1;
}

struct attack {
  char name[200];
  char *text;
  int memory, ends, connect;
};

static struct green_hub *hub;
static lua_State *other; /* the state of a script that wants its turns */
static int ended;        /* LUA_OK: true was returned; -1: not yet */
static char why[300];

static int run(lua_State *L, const char *chunk) {
  if (!luaL_dostring(L, chunk)) return 1;
  printf("not ok - the host's script runs: %s\n", lua_tostring(L, -1));
  test_failures++;
  lua_pop(L, 1);
  return 0;
}

/* In s. Under valgrind two thousand threads that have nothing to clean up need
 * more than a short grace. */
static const char *grace(void) {
  return RUNNING_ON_VALGRIND ? "green.config {grace = 1}"
                             : "green.config {grace = 0.05}";
}

static lua_State *open_state(const struct green_lua_limits *limits) {
  lua_State *L = green_lua_newstate(limits, NULL, NULL);
  if (!L) exit(1);
  luaL_openlibs(L);
  if (green_lua_open(L, hub) != LUA_OK) exit(1);
  run(L,
      "green = require 'green'\n"
      "green.on_error(function() end)\n"
      "port = green.port(3)\n"
      "home = debug.getinfo(green.with_timeout, 'S').source\n"
      "  :gsub('green/thread/.*', '')");
  run(L, grace());
  return L;
}

static lua_Integer rounds(void) {
  lua_Integer n;
  lua_getglobal(other, "rounds");
  n = lua_tointeger(other, -1);
  lua_pop(other, 1);
  return n;
}

static void open_other(void) {
  other = open_state(NULL);
  run(other, "rounds = 0");
  luaL_loadstring(other,
                  "while true do green.sleep(0)\n"
                  "rounds = rounds + 1 end");
  if (green_lua_start(other, 0, NULL, NULL, NULL) < 0) exit(1);
}

/* ------------------------------------------------------------ one attack -- */

static void on_end(lua_State *L, int status, int nresults, void *arg) {
  (void)arg;
  ended = status == LUA_OK && nresults == 1 && lua_toboolean(L, -1) ? 0 : 1;
  snprintf(why, sizeof why, "%s",
           lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "?");
}

static int start(lua_State *L, const struct attack *a) {
  unsigned grants = GREEN_LUA_OUTPUT | GREEN_LUA_COROUTINE;
  int r = green_lua_sandbox(L, grants | (a->connect ? GREEN_LUA_CONNECT : 0));
  if (r == LUA_OK) {
    lua_getglobal(L, "home");
    lua_setfield(L, -2, "home");
    lua_getglobal(L, "port");
    lua_setfield(L, -2, "port");
    r = green_lua_load_in(L, -1, a->text, strlen(a->text), "=script");
  }
  if (r != LUA_OK) {
    printf("# %s\n", lua_tostring(L, -1));
    return r;
  }
  return green_lua_start(L, 0, on_end, NULL, NULL);
}

static uint64_t ms_since(uint64_t began) {
  return (uv_hrtime() - began) / 1000000;
}

static void attack(const struct attack *a) {
  struct green_lua_limits limits = {.size = sizeof limits,
                                    .memory = 8 * MB,
                                    .threads = 2000,
                                    .coroutines = 2000,
                                    .slice = 2000000,
                                    .timers = 200,
                                    .descriptors = 20,
                                    .items = 1000};
  struct green_lua_usage used;
  lua_State *L = open_state(&limits);
  lua_Integer from = rounds();
  uint64_t began = uv_hrtime(), gap = 0, last = began;
  ended = -1;
  if (!CHECK(start(L, a) == 0, a->name)) return;
  while (ms_since(began) < 20000 * factor() &&
         (a->ends
              ? ended < 0
              : rounds() < from + 20 || (a->memory && ms_since(began) < 50))) {
    green_step(hub, 1);
    if (ms_since(last) > gap) gap = ms_since(last);
    last = uv_hrtime();
  }
  if (a->ends && ended != 0) printf("# %s\n", why);
  if (!CHECK(a->ends ? ended == 0 : rounds() >= from + 20, a->name))
    printf("# others have no turn\n");
  green_lua_used(L, &used, sizeof used);
  if (!CHECK(used.timers <= 200 && used.descriptors <= 20 &&
                 used.items <= 1000 && used.messages <= 8 * MB,
             a->name))
    printf("# %d timers, %d descriptors, %d items, %zu bytes in messages\n",
           (int)used.timers, (int)used.descriptors, (int)used.items,
           used.messages);
  began = uv_hrtime();
  if (!CHECK(green_lua_close(L) == 0, a->name)) printf("# would not end\n");
  printf("# gap %d ms, most %d KB, %d forced, %d ended, close %d ms\n",
         (int)gap, (int)(used.most / 1024), (int)used.forced, (int)used.ended,
         (int)ms_since(began));
  if (!CHECK(ms_since(began) < 2000 * factor(), a->name))
    printf("# it took %d ms to end\n", (int)ms_since(began));
  lua_close(L);
}

/* -------------------------------------------------------------- the list -- */

static void read_attack(lua_State *L, struct attack *a) {
  lua_getfield(L, -1, "name");
  snprintf(a->name, sizeof a->name, "a host survives %s", lua_tostring(L, -1));
  lua_getfield(L, -2, "text");
  a->text = strdup(lua_tostring(L, -1));
  lua_getfield(L, -3, "memory");
  a->memory = lua_toboolean(L, -1);
  lua_getfield(L, -4, "ends");
  a->ends = lua_toboolean(L, -1);
  lua_getfield(L, -5, "connect");
  a->connect = lua_toboolean(L, -1);
  lua_pop(L, 6);
}

static int is_chosen(int i, int only) {
  const char *seed = getenv("LUAGREEN_SEED"),
             *all = getenv("LUAGREEN_ATTACKS");
  static int from = -1;
  int parts = RUNNING_ON_VALGRIND ? 20 : SANITIZED ? 8 : 3;
  if (from < 0)
    printf("# LUAGREEN_SEED=%d\n",
           from = (seed ? atoi(seed) : (int)(time(NULL) % 1000)));
  if (only) return i == only;
  return (all && !strcmp(all, "all")) || (i + from) % parts == 0;
}

int main(int argc, char **argv) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP};
  lua_State *L = luaL_newstate();
  int i, n, only = argc > 1 ? atoi(argv[1]) : 0;
  if (WITH_TSAN) {
    SKIP("a host survives its attackers", "TSan holds signals back");
    return test_end();
  }
  if (!freopen("/dev/null", "w", stderr)) return 1; /* the floods */
  luaL_openlibs(L);
  if (luaL_dofile(L, "spec/bounds/attacks.lua")) {
    printf("not ok - %s\n", lua_tostring(L, -1));
    return 1;
  }
  if (green_open(&hub, &o) < 0) return 1;
  open_other();
  n = (int)lua_rawlen(L, -1);
  for (i = 1; i <= n; i++) {
    struct attack a;
    if (!is_chosen(i, only)) continue;
    lua_rawgeti(L, -1, i);
    read_attack(L, &a);
    printf("# %d\n", i);
    fflush(stdout);
    attack(&a);
    free(a.text);
  }
  lua_close(L);
  CHECK(green_lua_close(other) == 0, "the other state can be closed");
  lua_close(other);
  CHECK(green_close(hub) == 0, "and the hub");
  return test_end();
}
