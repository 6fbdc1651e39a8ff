/* lua_oom_test.c - Lua runs out of memory at every allocation, from opening
 * the library to the end of a script that uses most of it: each time there is
 * a clean error or a success, and the state can be closed.
 *
 * lua_oom_test [SCRIPT], from the top of the checkout: those of spec/c/oom by
 * default. LUA_PATH must lead to lua/green. With LUA_OOM_EACH in the
 * environment, every allocation in its turn (minutes); else a sample, which
 * $TEST_SEED decides.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <unistd.h>

#include "lua_test.h"
#if SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

/* Each n up to here, then in steps that share no factor with much, from a place
 * that $TEST_SEED decides. */
enum { EACH = 300, STRIDE = 17, SLOW_EACH = 5, SLOW_STRIDE = 499 };

/* --------------------------------------------------------------- script -- */

/* script(path) */
static int script(lua_State *L) {
  const char *path = lua_touserdata(L, 1);
  luaL_openlibs(L);
  luaL_requiref(L, "green.core", luaopen_green_core, 0);
  lua_pop(L, 1);
  if (luaL_loadfile(L, path) != LUA_OK) lua_error(L);
  lua_call(L, 0, 1);
  return 1;
}

enum outcome { NO_STATE, FAILED, SUCCEEDED };

/* One run in a new state; its result or error is left in `said`, as text. */
static enum outcome attempt(const char *path, struct memory *m, char *said,
                            size_t size) {
  enum outcome outcome = NO_STATE;
  const char *text;
  lua_State *L = lg_newstate(allocate, m, 1);
  if (!L) return NO_STATE;
  lua_pushcfunction(L, script);
  lua_pushlightuserdata(L, (char *)path);
  outcome = lua_pcall(L, 1, 1, 0) == LUA_OK ? SUCCEEDED : FAILED;
  m->first = 0;
  text = lua_tostring(L, -1);
  snprintf(said, size, "%s", text ? text : luaL_typename(L, -1));
  lua_close(L);
  return outcome;
}

/* ---------------------------------------------------------------- tests -- */

static long test_success(const char *path) {
  struct memory m = {0, 0, 0, 0, 0};
  char said[500];
  enum outcome outcome = attempt(path, &m, said, sizeof said);
  if (!CHECK(outcome == SUCCEEDED, "with memory enough the script succeeds"))
    printf("# %s\n", said);
  CHECK(m.in_use == 0, "and a closed state has given all memory back");
  return m.calls;
}

/* `times` calls in a row fail. Lua collects garbage and asks again, so that a
 * single one is seldom an error. The alarm ends a run that hangs. */
static void test_each(const char *path, long total, long times,
                      const char *sentence) {
  long n, failed = 0, leaked = 0, runs = 0;
  int slow = RUNNING_ON_VALGRIND || WITH_TSAN;
  long stride = slow ? SLOW_STRIDE : STRIDE, each = slow ? SLOW_EACH : EACH;
  const char *seed = getenv("TEST_SEED");
  long offset = seed ? atol(seed) % stride : 0;
  if (getenv("LUA_OOM_EACH")) each = LONG_MAX;
  for (n = 1; n <= total + 50; n += n < each ? 1 : stride) {
    if (n == each) n += offset;
    struct memory m = {0, n, n + times - 1, 0, 0};
    char said[500];
    enum outcome outcome;
    alarm(60);
    outcome = attempt(path, &m, said, sizeof said);
    alarm(0);
    failed += outcome != SUCCEEDED;
    if (m.in_use) leaked++, printf("# %ld: %zu bytes left\n", n, m.in_use);
    runs++;
  }
  printf("# %ld runs of up to %ld allocations, %ld ended in an error\n", runs,
         total, failed);
  CHECK(failed > 0 && leaked == 0, sentence);
}

static void test_script(const char *path) {
  long total;
  printf("# %s\n", path);
  total = test_success(path);
  test_each(path, total, 1,
            "one failed allocation, whichever: a clean error or success");
  test_each(path, total, 2, "and the second try: a clean error or success");
  test_each(path, total, LONG_MAX / 2, "memory that stays short: the same");
}

int main(int argc, char **argv) {
  static const char *const paths[] = {
      "spec/c/oom/threads.lua", "spec/c/oom/toolkit.lua",
      "spec/c/oom/sockets.lua", "spec/c/oom/finalizers.lua"};
  size_t i;
  if (!freopen("/dev/null", "w", stderr)) return 1; /* failures on purpose */
#if SANITIZED
  __sanitizer_set_report_fd((void *)1); /* these are none */
#endif
  if (argc > 1) test_script(argv[1]);
  for (i = 0; argc == 1 && i < sizeof paths / sizeof *paths; i++)
    test_script(paths[i]);
  return test_end();
}
