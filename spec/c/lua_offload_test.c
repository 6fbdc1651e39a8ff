/* lua_offload_test.c - jobs and parked waits of C functions for Lua, when
 * memory fails at any allocation: each argument is disposed of exactly once.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <unistd.h>

#include "lua_test.h"

static const char SCRIPT[] =
    "local done = 0\n"
    "local function try(f, ...) if pcall(f, ...) then done = done + 1 end "
    "end\n"
    "local ts = {}\n"
    "for i = 1, 3 do ts[i] = green.spawn(try, job, i) end\n"
    "ts[4] = green.spawn(function() try(coroutine.wrap(job), 4) end)\n"
    "ts[5] = green.spawn(function()\n"
    "  table.sort({1, 2}, function(a, b) try(job, 5) return a < b end)\n"
    "end)\n"
    "ts[6] = green.spawn(park)\n"
    "local killed = green.spawn(job, 1000)\n"
    "green.sleep(0)\n"
    "killed:kill()\n"
    "signal()\n"
    "for _, t in ipairs(ts) do t:join() end\n"
    "killed:join()\n"
    "return done\n";

static int made, disposed;
static struct green_signal signal_of_test;

static void dispose(void *arg) {
  free(arg);
  disposed++;
}

static int work(struct green_job *job, void *arg) {
  int left = *(int *)arg;
  while (left-- > 0 && !green_job_cancelled(job)) usleep(100);
  return 7;
}

static int finish(lua_State *L, int result, void *arg) {
  lua_pushfstring(L, "%d of %d", result, *(int *)arg);
  return 1;
}

static int l_job(lua_State *L) {
  int n = (int)luaL_checkinteger(L, 1), *arg = malloc(sizeof *arg);
  if (!arg) return luaL_error(L, "not enough memory");
  *arg = n;
  made++;
  return green_lua_offload(L, work, dispose, arg, finish);
}

static int parked(lua_State *L, int code, lua_KContext ctx) {
  (void)ctx;
  lua_pushinteger(L, code);
  return 1;
}

static int l_park(lua_State *L) {
  return green_lua_park(L, &signal_of_test, 10, 0, parked);
}

static int l_signal(lua_State *L) {
  green_signal_all(green_lua_hub(L), &signal_of_test);
  return 0;
}

static int set_up(lua_State *L) {
  luaL_openlibs(L);
  lua_register(L, "job", l_job);
  lua_register(L, "park", l_park);
  lua_register(L, "signal", l_signal);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "green");
  lua_call(L, 1, 1);
  lua_setglobal(L, "green");
  if (luaL_loadstring(L, SCRIPT) != LUA_OK) return lua_error(L);
  return 1;
}

/* One run: how many jobs gave a result, -1 if something is left. */
static int run_once(long first, long times, long *calls) {
  struct memory m = {0, 0, 0, 0, 0};
  struct green_hub *hub;
  lua_State *L = lg_newstate(allocate, &m, 1);
  int done = 0;
  long before;
  made = disposed = 0;
  if (!L || green_open(&hub, NULL) < 0) exit(1);
  if (green_lua_open(L, hub) != LUA_OK) exit(1);
  lua_pushcfunction(L, set_up);
  if (lua_pcall(L, 0, 1, 0) != LUA_OK) exit(1);
  before = m.calls;
  if (first) {
    m.first = before + first;
    m.last = times < LONG_MAX / 2 ? m.first + times - 1 : LONG_MAX;
  }
  if (lua_pcall(L, 0, 1, 0) == LUA_OK) done = (int)lua_tointeger(L, -1);
  *calls = m.calls - before;
  m.first = 0;
  if (green_lua_close(L) != 0) done = -1;
  lua_close(L);
  if (green_close(hub) != 0 || made != disposed || m.in_use) done = -1;
  return done;
}

static void test_each(long times, const char *sentence) {
  long calls, ignored, n, step = RUNNING_ON_VALGRIND || SANITIZED ? 13 : 1;
  int all = run_once(0, 0, &calls), right = 1, some = 0;
  CHECK(all >= 5, "with memory enough each job has a result");
  for (n = 1; n <= calls + 3; n += step) {
    int done;
    alarm(60);
    done = run_once(n, times, &ignored);
    alarm(0);
    if (done < 0) right = 0, printf("# wrong at %ld\n", n);
    some += done >= 0 && done < all;
  }
  printf("# %ld allocations, %d runs fell short\n", calls, some);
  CHECK(right, sentence);
}

int main(void) {
  if (!freopen("/dev/null", "w", stderr)) return 1; /* failures on purpose */
  test_each(1, "one failed allocation: each argument is disposed of once");
  test_each(2, "and the second try: the same");
  test_each(LONG_MAX / 2, "memory that stays short: the same");
  return test_end();
}
