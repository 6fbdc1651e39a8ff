/* lua_limit_test.c - green_lua_limit() sets all limits of a state, or none.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "../../bindings/green_lua.h"
#include "test.h"

enum { MS = 1000000 };

static struct green_hub *open_hub(int signal) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP, .tick_signal = signal};
  struct green_hub *hub;
  if (green_open(&hub, &o) < 0) exit(1);
  return hub;
}

static void open_state(lua_State *L, struct green_hub *hub) {
  luaL_openlibs(L);
  if (green_lua_open(L, hub) != LUA_OK) exit(1);
  if (luaL_dostring(L, "green = require 'green'")) exit(1);
}

static int close_all(lua_State *L, struct green_hub *hub) {
  int left = green_lua_close(L);
  lua_close(L);
  return left == 0 && green_close(hub) == 0;
}

static int works(lua_State *L, const char *chunk) {
  int bad = luaL_dostring(L, chunk);
  if (bad) printf("# %s\n", lua_tostring(L, -1));
  lua_settop(L, 0);
  return !bad;
}

/* Twenty threads, timeouts, queued values and 2 MB of memory. */
static const char PLENTY[] =
    "local threads, timeouts, q = {}, {}, green.queue(100)\n"
    "for i = 1, 20 do threads[i] = green.spawn(green.sleep, 60) end\n"
    "for i = 1, 20 do q:put(i) end\n"
    "local text = ('x'):rep(2000000)\n"
    "for _, t in ipairs(threads) do t:kill() end\n";

static struct green_lua_limits narrow(void) {
  struct green_lua_limits l = {.size = sizeof l, .memory = 1000000};
  l.threads = l.timers = l.descriptors = l.items = 5;
  l.messages = 100;
  l.slice = 5 * MS;
  l.stretch = l.life = 50 * MS;
  return l;
}

static void without_a_signal(void) {
  struct green_hub *hub = open_hub(-1);
  struct green_lua_limits l = narrow();
  struct green_lua_usage before, after;
  lua_State *L = luaL_newstate();
  void *ud, *other;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  open_state(L, hub);
  green_lua_used(L, &before, sizeof before);
  CHECK(green_lua_limit(L, &l) == UV_ENOTSUP && works(L, PLENTY),
        "where there can be no limits of time, no other limit is set");
  green_lua_used(L, &after, sizeof after);
  CHECK(before.most == 0 && after.most == 0 && after.messages == 0 &&
            lua_getallocf(L, &other) == alloc && ud == other,
        "the state has its own allocator still");
  l = narrow();
  l.slice = l.stretch = l.life = 0;
  CHECK(green_lua_limit(L, &l) == 0 && !works(L, PLENTY),
        "the others are set without them");
  CHECK(close_all(L, hub), "it closes");
}

static void of_coroutines(void) {
  struct green_hub *hub = open_hub(0);
  struct green_lua_limits l = narrow();
  lua_State *L = luaL_newstate();
  open_state(L, hub);
  l.coroutines = 5;
  CHECK(green_lua_limit(L, &l) == UV_ENOTSUP && works(L, PLENTY),
        "where coroutines cannot be counted, no limit is set");
  CHECK(close_all(L, hub), "it closes");
}

static void former_ones_stay(void) {
  struct green_hub *hub = open_hub(-1);
  struct green_lua_limits l = {.size = sizeof l, .memory = 1500000};
  lua_State *L = green_lua_newstate(&l, NULL, NULL);
  open_state(L, hub);
  l.memory = 0;
  l.life = 50 * MS;
  CHECK(green_lua_limit(L, &l) == UV_ENOTSUP && !works(L, PLENTY),
        "a call that fails takes no limit away");
  l.life = 0;
  CHECK(green_lua_limit(L, &l) == 0 && works(L, PLENTY), "another does");
  CHECK(close_all(L, hub), "it closes");
}

static void before_opening(void) {
  struct green_hub *hub = open_hub(0);
  struct green_lua_limits l = {.size = sizeof l, .threads = 5};
  lua_State *L = luaL_newstate();
  CHECK(green_lua_limit(L, &l) == 0, "a state that is not open has limits");
  open_state(L, hub);
  CHECK(!works(L, PLENTY), "they are in force once it is");
  CHECK(green_lua_limit(L, NULL) == 0 && works(L, PLENTY), "or none");
  CHECK(close_all(L, hub), "it closes");
}

/* The timer of the former life is not waited for. */
static void shorter_life(void) {
  struct green_hub *hub = open_hub(0);
  struct green_lua_limits l = {.size = sizeof l};
  lua_State *L = luaL_newstate();
  uint64_t start = green_time(hub);
  open_state(L, hub);
  l.life = (uint64_t)3600 * 1000 * MS;
  CHECK(green_lua_limit(L, &l) == 0 &&
            works(L, "t = green.spawn(green.sleep, 60)"),
        "a thread has a long life");
  l.life = 50 * MS;
  CHECK(green_lua_limit(L, &l) == 0 && green_live(hub) == 1 &&
            green_next(hub) < start + (uint64_t)30 * 1000 * MS,
        "a shorter one");
  while (green_live(hub) && green_time(hub) < start + (uint64_t)20000 * MS)
    green_step(hub, 0);
  CHECK(green_live(hub) == 0, "ends it");
  CHECK(close_all(L, hub), "it closes");
}

/* The struct of a program that is newer than the library. */
struct newer {
  struct green_lua_limits known;
  uint64_t unknown;
};

static void newer_programs(void) {
  struct green_hub *hub = open_hub(0);
  struct newer l;
  lua_State *L = luaL_newstate(), *other;
  memset(&l, 0, sizeof l);
  l.known.size = sizeof l;
  l.known.threads = 5;
  open_state(L, hub);
  CHECK(green_lua_limit(L, &l.known) == 0 && !works(L, PLENTY),
        "limits that are not known may be 0");
  green_lua_limit(L, NULL);
  l.unknown = 1;
  CHECK(green_lua_limit(L, &l.known) == UV_EINVAL && works(L, PLENTY),
        "a limit that is not known is refused, with all others");
  CHECK(!green_lua_newstate(&l.known, NULL, NULL), "for a new state, too");
  l.known.size = (size_t)1 << 40;
  CHECK(green_lua_limit(L, &l.known) == UV_EINVAL, "so is a wild size");
  l.known.size = offsetof(struct green_lua_limits, coroutines);
  l.known.coroutines = l.known.timers = 1; /* beyond an older program's */
  other = green_lua_newstate(&l.known, NULL, NULL);
  CHECK(other && green_lua_limit(L, &l.known) == 0 && !works(L, PLENTY),
        "an older program's limits are those that it knows");
  lua_close(other);
  CHECK(close_all(L, hub), "it closes");
}

struct elsewhere {
  lua_State *L;
  int code;
};

static void *limit_there(void *arg) {
  struct elsewhere *e = arg;
  e->code = green_lua_limit(e->L, NULL);
  return NULL;
}

static void on_another_thread(void) {
  struct green_hub *hub = open_hub(0);
  struct elsewhere e = {luaL_newstate(), 0};
  pthread_t thread;
  open_state(e.L, hub);
  pthread_create(&thread, NULL, limit_there, &e);
  pthread_join(thread, NULL);
  CHECK(e.code == UV_EPERM, "another OS thread may not set limits");
  CHECK(close_all(e.L, hub), "it closes");
}

int main(void) {
  without_a_signal();
  of_coroutines();
  former_ones_stay();
  before_opening();
  shorter_life();
  newer_programs();
  on_another_thread();
  return test_end();
}
