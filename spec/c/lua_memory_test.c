/* lua_memory_test.c - the memory of a state is counted and limited, and at the
 * limit the host can still kill, report and close.
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
#include "../../bindings/runtime/compat.h"
#include "test.h"

#define MB ((size_t)1024 * 1024)

struct host {
  struct green_hub *hub;
  lua_State *L;
  size_t bytes; /* what the state has of the host's allocator */
  long blocks, fail_at;
};

static void *allocate(void *ud, void *ptr, size_t osize, size_t nsize) {
  struct host *host = ud;
  void *block;
  size_t old = ptr ? osize : 0;
  if (nsize == 0) {
    host->blocks -= ptr != NULL;
    host->bytes -= old;
    free(ptr);
    return NULL;
  }
  if (nsize > old && host->fail_at && --host->fail_at == 0) return NULL;
  if (!(block = realloc(ptr, nsize))) return NULL;
  host->blocks += ptr == NULL;
  host->bytes += nsize - old;
  return block;
}

static int run(lua_State *L, const char *chunk) {
  if (!luaL_dostring(L, chunk)) return 1;
  printf("not ok - the script runs: %s\n", lua_tostring(L, -1));
  test_failures++;
  lua_pop(L, 1);
  return 0;
}

static void open_hub(struct host *host) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP};
  memset(host, 0, sizeof *host);
  o.grace = 1000000000;
  if (green_open(&host->hub, &o) < 0) exit(1);
}

static void open_library(struct host *host) {
  luaL_openlibs(host->L);
  green_lua_open(host->L, host->hub);
  run(host->L,
      "green = require 'green' green.on_error(function(e) io.write('# ', "
      "tostring(e), '\\n') end)");
}

static void open_host(struct host *host, size_t memory) {
  struct green_lua_limits limits = {.size = sizeof limits, .memory = memory};
  open_hub(host);
  if (!(host->L = green_lua_newstate(&limits, allocate, host))) exit(1);
  open_library(host);
}

static int close_host(struct host *host) {
  int left = green_lua_close(host->L);
  lua_close(host->L);
  return left == 0 && green_close(host->hub) == 0 && host->blocks == 0 &&
         host->bytes == 0;
}

static void spawn(lua_State *L, const char *chunk) {
  if (luaL_loadstring(L, chunk)) exit(1);
  green_lua_spawn(L, 0);
  lua_pop(L, 1);
}

static struct green_lua_usage usage(lua_State *L) {
  struct green_lua_usage u;
  green_lua_used(L, &u, sizeof u);
  return u;
}

static int truth(lua_State *L, const char *name) {
  int is = lua_getglobal(L, name) != LUA_TNIL && lua_toboolean(L, -1);
  lua_pop(L, 1);
  return is;
}

/* What a host does against loops: a hook that lets the others run. */
static void turn(lua_State *L, lua_Debug *ar) {
  (void)ar;
  if (lua_isyieldable(L)) green_lua_sleep(L, 0);
}

static void step(struct host *host, const char *until) {
  int i;
  for (i = 0; i < 100000 && !truth(host->L, until); i++)
    green_step(host->hub, 0);
}

/* -------------------------------------------------------------- counting -- */

static size_t by_lua(lua_State *L) {
  return (size_t)lua_gc(L, LUA_GCCOUNT) * 1024 +
         (size_t)lua_gc(L, LUA_GCCOUNTB);
}

static void test_count(void) {
  struct host host;
  open_host(&host, 0);
  CHECK(usage(host.L).memory == by_lua(host.L),
        "the memory of a state is what Lua itself counts");
  run(host.L, "kept = ('x'):rep(1 << 20)");
  CHECK(usage(host.L).memory >= MB && usage(host.L).most >= MB,
        "it grows, and the most so far is known");
  run(host.L, "kept = nil collectgarbage()");
  CHECK(usage(host.L).memory < MB && usage(host.L).most >= MB, "and shrinks");
  run(host.L, "s = green.stats() heap, limit = s.heap > 1e5, s.heap_limit");
  CHECK(truth(host.L, "heap"), "green.stats has the figure");
  CHECK(close_host(&host), "what is closed has given everything back");
}

static void test_coroutines(void) {
  struct host host;
  uint32_t before;
  open_host(&host, 64 * MB);
  run(host.L, "collectgarbage()");
  before = usage(host.L).coroutines;
  run(host.L,
      "list = {} for i = 1, 1000 do\n"
      "  list[i] = coroutine.create(print) list[-i] = {i} end");
  CHECK(usage(host.L).coroutines == before + 1000, "coroutines are counted");
  run(host.L,
      "for i = 1, 990 do list[i] = nil end\n"
      "collectgarbage() collectgarbage()");
  CHECK(usage(host.L).coroutines == before + 10,
        "until they are collected, without finalizers");
  /* Blocks of all sizes near that of a coroutine. */
  run(host.L,
      "list = nil collectgarbage()\n"
      "for i = 1, 400 do local t = {}\n"
      "  for j = 1, 40 do t[j] = ('y'):rep(i + j) .. j end end\n"
      "collectgarbage()");
  CHECK(usage(host.L).coroutines == before, "nothing else is taken for one");
  CHECK(close_host(&host), "the state can be closed");
}

/* -------------------------------------------------------------- limiting -- */

static void test_limit(void) {
  struct host host;
  open_host(&host, 8 * MB);
  spawn(host.L,
        "ok, err = pcall(string.rep, 'x', 1 << 24)\n"
        "refused = not ok and err == 'not enough memory'\n"
        "ok, err = pcall(function() local t = {}\n"
        "  for i = 1, 1 << 30 do t[i] = {} end end)\n"
        "full = not ok and err == 'not enough memory'\n"
        "local s = ('x'):rep(1 << 10)\n"
        "for i = 1, 10 do s = s .. s end alive = #s == 1 << 20");
  step(&host, "alive");
  CHECK(truth(host.L, "refused"), "one big allocation is refused");
  CHECK(truth(host.L, "full"), "and many small ones are");
  CHECK(truth(host.L, "alive"), "then the script goes on");
  CHECK(usage(host.L).most <= 8 * MB, "it never had more than its limit");
  printf("# most %zu\n", usage(host.L).most);
  CHECK(usage(host.L).failures >= 2 && !usage(host.L).ended,
        "which has happened twice");
  CHECK(close_host(&host), "the state can be closed");
}

static void test_early(void) {
  struct host host;
  open_host(&host, 16 * MB);
  run(host.L, "kept = {} for i = 1, 60000 do kept[i] = {i} end");
  spawn(host.L,
        "for i = 1, 1000000 do local t = {i, i, i, i} end done = true");
  step(&host, "done");
  printf("# %u forced of %zu bytes\n", usage(host.L).forced,
         usage(host.L).most);
  CHECK(truth(host.L, "done") && usage(host.L).forced <= 1,
        "garbage is collected in steps before the limit is met");
  CHECK(close_host(&host), "the state can be closed");
}

static int push_text(lua_State *L) {
  lua_pushfstring(L, "%s for the host", lua_tostring(L, 1));
  return 0;
}

static const char fill[] =
    "list = list or {} local s = 1 << 20\n"
    "while s > 4000 do\n"
    "  if not pcall(function()\n"
    "    list[#list + 1] = ('x'):rep(s) .. #list end)\n"
    "  then s = s // 2 end\n"
    "end full = true";

static void test_reserve(void) {
  struct host host;
  int i, good = 1;
  open_host(&host, 4 * MB);
  spawn(host.L, "handle = green.current() green.sleep(1e9)");
  step(&host, "handle");
  spawn(host.L, fill);
  step(&host, "full");
  CHECK(usage(host.L).memory > 4 * MB - 10000 && !usage(host.L).ended,
        "a script fills all that it has");
  for (i = 0; i < 100; i++) {
    lua_pushcfunction(host.L, push_text);
    lua_pushfstring(host.L, "text %d", i);
    good = good && lua_pcall(host.L, 1, 0, 0) == LUA_OK;
  }
  CHECK(good, "the host can still work in the state");
  run(host.L, "killed = handle:kill('no room')");
  CHECK(truth(host.L, "killed"), "and kill a thread");
  spawn(host.L, "local ok, err = handle:join() why = err.reason == 'no room'");
  step(&host, "why");
  CHECK(truth(host.L, "why"), "whose reason is known");
  CHECK(close_host(&host), "the state can be closed");
}

static void test_unstarted(void) {
  struct host host;
  uint64_t began;
  int factor = RUNNING_ON_VALGRIND || SANITIZED ? 20 : 1;
  open_host(&host, 16 * MB);
  spawn(host.L,
        "while pcall(green.spawn_after, 1e9, print) do end full = true");
  step(&host, "full");
  printf("# %u threads\n", usage(host.L).threads);
  began = uv_hrtime();
  CHECK(close_host(&host),
        "a state full of threads that have not started can be closed");
  CHECK(uv_hrtime() - began < (uint64_t)factor * 1000000000, "at once");
}

/* --------------------------------------------------------------- the end -- */

static void test_ended(void) {
  struct host host;
  uint64_t began;
  int i;
  open_host(&host, 4 * MB);
  if (!freopen("/dev/null", "w", stderr)) exit(1); /* the report */
  spawn(host.L, fill);
  step(&host, "full");
  spawn(host.L, "while true do green.sleep(0.001) end");
  lua_sethook(host.L, turn, LUA_MASKCOUNT, 1000);
  spawn(
      host.L,
      "local function f() local t = {} while true do t[#t + 1] = {} end end\n"
      "while true do pcall(f) end");
  lua_sethook(host.L, NULL, 0, 0);
  began = uv_hrtime();
  for (i = 0; i < 100000 && usage(host.L).threads > 0; i++)
    green_step(host.hub, 0);
  printf("# %u forced, %d ms\n", usage(host.L).forced,
         (int)((uv_hrtime() - began) / 1000000));
  CHECK(usage(host.L).ended, "a state that does nothing but collect is ended");
  CHECK(usage(host.L).threads == 0, "and its threads with it");
  CHECK(luaL_dostring(host.L, "green.spawn(print)") != LUA_OK &&
            strstr(lua_tostring(host.L, -1), "had no memory left"),
        "it spawns no more, and says why");
  lua_pop(host.L, 1);
  CHECK(close_host(&host), "the state can be closed");
}

/* ------------------------------------------------------------- the edges -- */

static void test_other_states(void) {
  struct green_lua_limits limits = {.size = sizeof limits, .memory = 4 * MB};
  struct host host;
  open_hub(&host);
  host.L = lg_newstate(allocate, &host, 0);
  open_library(&host);
  CHECK(green_lua_limit(host.L, &limits) == 0 &&
            usage(host.L).memory == by_lua(host.L),
        "any state can be limited later");
  spawn(host.L, "ok = not pcall(string.rep, 'x', 1 << 23) done = true");
  step(&host, "done");
  CHECK(truth(host.L, "ok"), "from then on");
  limits.memory = 0;
  CHECK(green_lua_limit(host.L, &limits) == 0, "the limit can be lifted");
  spawn(host.L, "more = pcall(string.rep, 'x', 1 << 23) again = true");
  step(&host, "again");
  CHECK(truth(host.L, "more"), "and then there is none");
  limits.coroutines = 10;
  CHECK(green_lua_limit(host.L, &limits) == UV_ENOTSUP,
        "coroutines are not counted there");
  CHECK(close_host(&host), "the state can be closed");
}

static void test_failing(void) {
  struct green_lua_limits limits = {.size = sizeof limits, .memory = MB};
  struct host host;
  long n, made = 0;
  int clean = 1;
  open_hub(&host);
  for (n = 1; !made && n < 1000; n++) {
    host.fail_at = n;
    host.L = green_lua_newstate(&limits, allocate, &host);
    made = host.L != NULL && host.fail_at > 0;
    if (host.L) lua_close(host.L);
    clean = clean && host.blocks == 0 && host.bytes == 0;
  }
  CHECK(made && n > 10 && clean,
        "without memory there is no state, and nothing is lost");
  green_close(host.hub);
}

static void test_sizes(void) {
  struct green_lua_limits limits = {
      .size = sizeof(size_t) * 2, .memory = 100000, .reserve = 1};
  struct green_lua_usage u = {.memory = 0, .most = 1};
  lua_State *L = green_lua_newstate(&limits, NULL, NULL);
  luaL_openlibs(L);
  green_lua_used(L, &u, sizeof u.memory);
  CHECK(u.memory > 10000 && u.most == 1,
        "structs of an older header are read and written as far as they go");
  lua_close(L);
  L = green_lua_newstate(NULL, NULL, NULL);
  luaL_openlibs(L);
  CHECK(run(L, "assert(#('x'):rep(1 << 24) == 1 << 24)"),
        "a state without limits has none");
  lua_close(L);
}

int main(void) {
  test_count();
  test_coroutines();
  test_limit();
  test_early();
  test_reserve();
  test_unstarted();
  if (RUNNING_ON_VALGRIND)
    SKIP("a state that does nothing but collect is ended", "it takes minutes");
  else
    test_ended();
  test_other_states();
  test_failing();
  test_sizes();
  return test_end();
}
