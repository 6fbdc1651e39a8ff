/* lua_oom_test.c - Lua runs out of memory at every allocation, from opening
 * the library to the end of a script that uses most of it: each time there is
 * a clean error or a success, and the state can be closed.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <limits.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../bindings/green_lua.h"
#include "test.h"

#ifdef __has_include
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#ifndef WITH_TSAN
#define WITH_TSAN 0
#endif

/* Each n up to here, then in steps that share no factor with much. */
enum { EACH = 300, STRIDE = 7, SLOW_EACH = 5, SLOW_STRIDE = 97 };

/* ------------------------------------------------------------ allocator -- */

struct memory {
  long calls, first, last; /* calls for more that fail; 0: none */
  size_t in_use;
};

static void *allocate(void *ud, void *ptr, size_t old, size_t size) {
  struct memory *m = ud;
  void *p;
  if (!ptr) old = 0;
  if (size > old) {
    m->calls++;
    if (m->first && m->calls >= m->first && m->calls <= m->last) return NULL;
  }
  m->in_use += size - old;
  if (size == 0) {
    free(ptr);
    return NULL;
  }
  p = realloc(ptr, size);
  if (!p) abort();
  return p;
}

/* --------------------------------------------------------------- script -- */

static const char SCRIPT[] =
    "local green = require 'green'\n"
    "green.on_error(function() end)\n"
    "green.config{grace = 0.02}\n"
    "local function work(n)\n"
    "  local to <close> = green.timeout(10)\n"
    "  green.sleep(0)\n"
    "  return n, {n}\n"
    "end\n"
    "local ts = {}\n"
    "for i = 1, 5 do ts[i] = green.spawn(work, i) end\n"
    "for _, t in ipairs(ts) do t:wait() end\n"
    "local q, e = green.queue(1), green.event()\n"
    "local producer = green.spawn(function()\n"
    "  for i = 1, 3 do q:put({i}) end q:close() end)\n"
    "for v in q:items() do assert(v[1]) end\n"
    "green.spawn(function() green.sleep(0.0001) e:send('x', 'y') end)\n"
    "e:wait(1)\n"
    "local bad = green.spawn(function() error({}) end)\n"
    "local ok, err = bad:join()\n"
    "local unseen = green.spawn(function() error('unseen') end)\n"
    "green.sleep(0)\n"
    "local sleeper = green.spawn(function()\n"
    "  local g <close> = setmetatable({}, {__close = function()\n"
    "    green.shield(1, green.sleep, 0.0001) end})\n"
    "  string.gsub('x', 'x', function() green.sleep(1e9) end) end)\n"
    "sleeper:link(function() end)\n"
    "green.sleep(0)\n"
    "sleeper:kill('reason') sleeper:join()\n"
    "assert(select(2, green.with_timeout(0.0001, green.sleep, 1)))\n"
    "local thrown = green.spawn(function() return pcall(green.sleep, 1) end)\n"
    "green.sleep(0) thrown:throw('t') thrown:join()\n"
    "local named = green.spawn(green.sleep, 1e9) named.name = 'n'\n"
    "local left = green.spawn_after(100, print)\n"
    "coroutine.wrap(function() green.sleep(0.0001) end)()\n"
    "green.sleep(0)\n"
    "local s, l = green.semaphore(1), green.lock()\n"
    "do local _ <close> = s:acquire() end\n"
    "green.spawn(function() l:acquire() green.sleep(0) end)\n"
    "green.sleep(0)\n"
    "local heir = green.spawn(function() return l:acquire() end)\n"
    "heir:join() assert(not l:owner())\n"
    "local text = named:traceback() .. #green.threads()\n"
    "pcall(function() green.event():wait(0) end)\n"
    "local pool = green.pool(1)\n"
    "local w = {}\n"
    "for i = 1, 3 do w[i] = green.spawn(function()\n"
    "  pool:spawn(function() pool:spawn_n(work, i) end) end) end\n"
    "for _, t in ipairs(w) do t:wait() end\n"
    "assert(pool:wait() and pool:running() == 0)\n"
    "assert(pool:map(work, {1, 2}).n == 2)\n"
    "for i, ok in pool:imap_unordered(work, pairs {1, 2, 3}) do\n"
    "  if i == 2 then break end end\n"
    "do local pile <close> = green.pile(2)\n"
    "  pile:spawn(work, 1)\n"
    "  for i, ok, v in pile:results() do end end\n"
    "local fine, why = pcall(function()\n"
    "  local g <close> = green.group()\n"
    "  g:spawn(green.sleep, 1e9)\n"
    "  g:spawn(error, 'child', 0) end)\n"
    "assert(not fine)\n"
    "assert(green.wait_all({green.spawn(work, 1)}).n == 1)\n"
    "for i in green.as_completed {green.spawn(work, 1)} do break end\n"
    "return 'done'\n";

static int script(lua_State *L) {
  luaL_openlibs(L);
  luaL_requiref(L, "green.core", luaopen_green_core, 0);
  lua_pop(L, 1);
  if (luaL_loadstring(L, SCRIPT) != LUA_OK) lua_error(L);
  lua_call(L, 0, 1);
  return 1;
}

enum outcome { NO_STATE, FAILED, SUCCEEDED };

/* One run in a new state; what was said is left in `said`. */
static enum outcome run(struct memory *m, char *said, size_t size) {
  enum outcome outcome = NO_STATE;
  const char *text;
  lua_State *L = lua_newstate(allocate, m);
  if (!L) return NO_STATE;
  lua_pushcfunction(L, script);
  outcome = lua_pcall(L, 0, 1, 0) == LUA_OK ? SUCCEEDED : FAILED;
  m->first = 0;
  text = lua_tostring(L, -1);
  snprintf(said, size, "%s", text ? text : luaL_typename(L, -1));
  lua_close(L);
  return outcome;
}

/* ---------------------------------------------------------------- tests -- */

static long test_success(void) {
  struct memory m = {0, 0, 0, 0};
  char said[500];
  enum outcome outcome = run(&m, said, sizeof said);
  if (!CHECK(outcome == SUCCEEDED, "with memory enough the script succeeds"))
    printf("# %s\n", said);
  CHECK(m.in_use == 0, "and a closed state has given all memory back");
  return m.calls;
}

/* `times` calls in a row fail. Lua collects garbage and asks again, so that a
 * single one is seldom an error. Whoever hangs is ended by the alarm. */
static void test_each(long total, long times, const char *sentence) {
  long n, failed = 0, leaked = 0, runs = 0;
  int slow = RUNNING_ON_VALGRIND || WITH_TSAN;
  long stride = slow ? SLOW_STRIDE : STRIDE, each = slow ? SLOW_EACH : EACH;
  for (n = 1; n <= total + 50; n += n < each ? 1 : stride) {
    struct memory m = {0, n, n + times - 1, 0};
    char said[500];
    enum outcome outcome;
    alarm(60);
    outcome = run(&m, said, sizeof said);
    alarm(0);
    failed += outcome != SUCCEEDED;
    if (m.in_use) leaked++, printf("# %ld: %zu bytes left\n", n, m.in_use);
    runs++;
  }
  printf("# %ld runs of up to %ld allocations, %ld ended in an error\n", runs,
         total, failed);
  CHECK(failed > 0 && leaked == 0, sentence);
}

int main(void) {
  long total;
  if (!freopen("/dev/null", "w", stderr)) return 1; /* failures on purpose */
  total = test_success();
  test_each(total, 1,
            "one failed allocation, whichever: a clean error or success");
  test_each(total, 2, "and the second try: a clean error or success");
  test_each(total, LONG_MAX / 2, "memory that stays short: the same");
  return test_end();
}
