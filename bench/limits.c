/* limits.c - what limits cost: the CPU time of some work in a state that has
 * them, divided by that of the same work in a state without. The latter has
 * Lua's own allocator for "memory", else that of green_lua_newstate().
 *
 *   limits memory   tables and strings that come and go; a far limit
 *   limits time     1,000 threads that switch and talk; slice, stretch, life
 *   limits counts   threads, queues and timeouts; limits of all that is counted
 *   limits fuel     a loop that computes and calls; counted instructions
 *   limits find     find, match and gmatch of a sandbox beside Lua's own
 *   limits gsub     the same of gsub
 *   limits sort     the same of sort
 *
 * The median of many ratios of two short runs, one after the other, because
 * machines are noisy. Not the best runs: those would be the ones without a
 * tick.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "green_lua.h"

enum { RUNS = 61 };

static const char garbage[] =
    "local t = {}\n"
    "for i = 1, 60000 do t[i % 1000] = {i, tostring(i)} end";

static const char threads[] =
    "for i = 1, 100 do\n"
    "  local q = green.queue(1)\n"
    "  green.spawn_n(function()\n"
    "    for i = 1, 100 do q:put(i) green.sleep(0) end end)\n"
    "  green.spawn_n(function() for i = 1, 100 do q:get() end end)\n"
    "end";

static const char counted[] =
    "local spawn, timeout, q = green.spawn, green.timeout, green.queue()\n"
    "for i = 1, 200 do\n"
    "  for j = 1, 20 do q:put(j) end\n"
    "  for j = 1, 20 do q:get() end\n"
    "  for j = 1, 5 do timeout(1e6):cancel() end\n"
    "  for j = 1, 5 do spawn(print_nothing) end\n"
    "  green.sleep(0)\n"
    "end";

static const char loop[] =
    "local function add(a, b) return a + b end\n"
    "local x = 0 for i = 1, 400000 do x = add(x, i) end";

static const char find[] =
    "local s = ('some words, and a number 1234; '):rep(30)\n"
    "for i = 1, 80 do\n"
    "  s:find('(%d+)x') s:match('^(%a+)') s:find('nowhere', 1, true)\n"
    "  for w in s:gmatch('%a+') do local _ = w end\n"
    "end";

static const char gsub[] =
    "local s = ('some words, and a number 1234; '):rep(30)\n"
    "for i = 1, 80 do\n"
    "  s:gsub('%a+', '<%0>') s:gsub('%d', {['1'] = 'one'})\n"
    "end";

static const char sort[] =
    "local t, x = {}, 1\n"
    "for n = 1, 4 do\n"
    "  for i = 1, 5000 do x = x * 1103515245 + 12345 & 0x7fffffff t[i] = x "
    "end\n"
    "  table.sort(t)\n"
    "end";

struct subject {
  const char *name, *work;
  int boxed; /* both in a state without limits, one in a sandbox */
  struct green_lua_limits limits;
  uint64_t fuel;
};

static const struct subject subjects[] = {
    {"memory", garbage, 0, {.memory = (size_t)1 << 30}, 0},
    {"time",
     threads,
     0,
     {.slice = 10000000, .stretch = 100000000000, .life = 1000000000000},
     0},
    {"counts",
     counted,
     0,
     {.threads = 100000,
      .coroutines = 100000,
      .timers = 100000,
      .descriptors = 100000,
      .items = 100000},
     0},
    {"fuel", loop, 0, {.size = 0}, (uint64_t)1 << 60},
    {"find", find, 1, {.size = 0}, 0},
    {"gsub", gsub, 1, {.size = 0}, 0},
    {"sort", sort, 1, {.size = 0}, 0}};

static void fail(const char *why) {
  fprintf(stderr, "%s\n", why ? why : "it failed");
  exit(1);
}

static void ended(lua_State *L, int status, int n, void *arg) {
  (void)n;
  *(int *)arg = 1;
  if (status != LUA_OK) fail(lua_tostring(L, -1));
}

static lua_State *make(struct green_hub *hub,
                       const struct green_lua_limits *limits) {
  lua_State *L =
      limits ? green_lua_newstate(limits, NULL, NULL) : luaL_newstate();
  if (!L) fail("no state");
  luaL_openlibs(L);
  if (green_lua_open(L, hub) != LUA_OK) fail(lua_tostring(L, -1));
  if (luaL_dostring(L, "green = require 'green' function print_nothing() end"))
    fail(lua_tostring(L, -1));
  return L;
}

/* The chunk is on top, and stays. */
static double run(struct green_hub *hub, lua_State *L, uint64_t fuel) {
  struct green_thread *thread;
  clock_t began;
  int over = 0;
  lua_pushvalue(L, -1);
  if (green_lua_start(L, 0, ended, &over, &thread) < 0) fail("no thread");
  if (fuel) {
    if (green_lua_push_thread(L, thread) < 0 ||
        green_lua_fuel(L, -1, fuel) < 0)
      fail("no fuel");
    lua_pop(L, 1);
  }
  began = clock();
  while (!over) green_step(hub, 0);
  while (green_step(hub, 0) > 0) continue; /* what it has spawned */
  return (double)(clock() - began);
}

static void load(lua_State *L, const struct subject *s, int boxed) {
  int r;
  if (!boxed) {
    r = luaL_loadstring(L, s->work);
  } else {
    if (green_lua_sandbox(L, 0) != LUA_OK) fail(lua_tostring(L, -1));
    r = green_lua_load_in(L, -1, s->work, strlen(s->work), "=work");
  }
  if (r != LUA_OK) fail(lua_tostring(L, -1));
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double ratio(struct green_hub *hub, const struct subject *s) {
  struct green_lua_limits limits = s->limits;
  struct green_lua_limits none = {.size = sizeof none};
  lua_State *with, *without = make(hub, limits.memory ? NULL : &none);
  double ratios[RUNS], before;
  int i;
  limits.size = sizeof limits;
  with = make(hub, &limits);
  load(without, s, 0);
  load(with, s, s->boxed);
  for (i = 0; i < RUNS; i++) {
    before = run(hub, without, 0);
    ratios[i] = run(hub, with, s->fuel) / before;
  }
  qsort(ratios, RUNS, sizeof *ratios, by_size);
  green_lua_close(with);
  green_lua_close(without);
  lua_close(with);
  lua_close(without);
  return ratios[RUNS / 2];
}

int main(int argc, char **argv) {
  struct green_options options = {.drive = GREEN_DRIVE_STEP};
  struct green_hub *hub;
  unsigned i;
  if (green_open(&hub, &options) < 0) return 1;
  for (i = 0; i < sizeof subjects / sizeof *subjects; i++)
    if (argc > 1 && !strcmp(argv[1], subjects[i].name))
      printf("%.3f\n", ratio(hub, &subjects[i]));
  return green_close(hub) < 0;
}
