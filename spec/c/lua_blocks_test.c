/* lua_blocks_test.c - blocks of memory: those of C that count as Lua's, within
 * the limit of a state, and large ones, which a script in a sandbox gets
 * however long the allocator or the collector takes.
 *
 * LUA_PATH must lead to lua/green.
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
#define MS UINT64_C(1000000)

static struct green_hub *hub;
static lua_State *L;
static uint64_t burn; /* of CPU time, in ns, in the next allocation */
static size_t in_use;

static uint64_t cpu_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* What a collector takes in the midst of a call, the allocator takes here. */
static void *allocate(void *ud, void *ptr, size_t old, size_t size) {
  uint64_t until = cpu_time() + burn;
  (void)ud;
  if (burn && size > 0)
    for (burn = 0; cpu_time() < until;)
      ;
  in_use += size - (ptr ? old : 0);
  if (size > 0) return realloc(ptr, size);
  free(ptr);
  return NULL;
}

static int l_burn(lua_State *L1) {
  burn = (uint64_t)luaL_checkinteger(L1, 1) * MS;
  return 0;
}

static void open_all(struct green_lua_limits *limits) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP, .grace = 100 * MS};
  limits->size = sizeof *limits;
  if (green_open(&hub, &o) < 0) exit(1);
  if (!(L = green_lua_newstate(limits, allocate, NULL))) exit(1);
  luaL_openlibs(L);
  if (green_lua_open(L, hub) != LUA_OK) exit(1);
}

static void close_all(void) {
  CHECK(green_lua_close(L) == 0, "the state closes");
  lua_close(L);
  CHECK(green_close(hub) == 0, "and the hub");
  CHECK(in_use == 0, "and all memory is given back");
}

/* --- scripts --- */

static struct {
  int over, status;
  char text[200];
} end;

static void on_end(lua_State *L1, int status, int n, void *arg) {
  (void)arg;
  end.over = 1;
  end.status = status;
  snprintf(end.text, sizeof end.text, "%s",
           n > 0 && lua_isstring(L1, -1) ? lua_tostring(L1, -1) : "nothing");
}

/* Runs a script in a sandbox: does it return true? */
static int run(const char *text) {
  memset(&end, 0, sizeof end);
  if (green_lua_sandbox(L, GREEN_LUA_COROUTINE) != LUA_OK) return 0;
  lua_pushcfunction(L, l_burn);
  lua_setfield(L, -2, "burn");
  if (green_lua_load_in(L, -1, text, strlen(text), "=script") != LUA_OK ||
      green_lua_start(L, 0, on_end, NULL, NULL) < 0)
    return 0;
  while (!end.over) green_step(hub, 1);
  lua_settop(L, 0);
  if (end.status == LUA_OK && !strcmp(end.text, "fine")) return 1;
  printf("# %s\n", end.text);
  return 0;
}

static size_t used(void) {
  struct green_lua_usage u;
  green_lua_used(L, &u, sizeof u);
  return u.memory;
}

/* --- what counts --- */

static void counted(void) {
  struct green_lua_limits limits = {.memory = 8 * MB};
  size_t before;
  open_all(&limits);
  run("return 'fine'");
  before = used();
  CHECK(run("kept = green.selector {}\n"
            "local q = green.queue()\n"
            "for i = 1, 5000 do kept:add {q, 'get'} end\n"
            "_G.keep = green.spawn(function() kept:select() end)\n"
            "return 'fine'") &&
            used() > before + 5000 * 80,
        "the cases of a selector count as memory of the state");
  CHECK(run("local all, q = {}, green.queue()\n"
            "local ok, err = pcall(function()\n"
            "  while true do\n"
            "    local s = green.selector {}\n"
            "    all[#all + 1] = s\n"
            "    for i = 1, 1000 do s:add {q, 'get'} end\n"
            "  end\n"
            "end)\n"
            "local n = #all\n"
            "all = nil\n"
            "if n > 80 then return n .. ' selectors' end\n"
            "return not ok and err:find 'not enough memory$' and 'fine'"
            " or err"),
        "so their limit is that of memory");
  CHECK(run("local n = 0\n"
            "for i = 1, 40 do\n"
            "  local s, q = green.selector {}, green.queue()\n"
            "  for i = 1, 4000 do s:add {q, 'get'} end\n"
            "  n = n + #s\n"
            "end\n"
            "return n == 160000 and 'fine' or n"),
        "and those that are garbage make room");
  CHECK(run("local all = {}\n"
            "local ok, err = pcall(function()\n"
            "  while true do all[#all + 1] = green.lock() end\n"
            "end)\n"
            "local n = #all\n"
            "all = nil\n"
            "if n > 60000 then return n .. ' locks' end\n"
            "return not ok and err:find 'not enough memory$' and 'fine'"
            " or err"),
        "locks count, too");
  CHECK(in_use <= 9 * MB, "what counts is what there is");
  close_all();
}

/* The first sandbox makes the state count, which has locks by then. */
static void counted_late(void) {
  static const char make[] =
      "local green = require 'green'\n"
      "locks = {}\n"
      "for i = 1, 2000 do locks[i] = green.lock() end\n"
      "green.sandbox()\n"
      "locks = nil\n"
      "collectgarbage()\n"
      "return collectgarbage 'count' * 1024";
  struct green_options o = {.drive = GREEN_DRIVE_STEP, .grace = 100 * MS};
  if (green_open(&hub, &o) < 0) exit(1);
  if (!(L = luaL_newstate())) exit(1);
  luaL_openlibs(L);
  if (green_lua_open(L, hub) != LUA_OK) exit(1);
  CHECK(luaL_dostring(L, make) == LUA_OK && used() >= lua_tonumber(L, -1),
        "what was there before a sandbox counts");
  close_all();
}

/* --- large blocks --- */

static void large(void) {
  struct green_lua_limits limits = {.memory = 400 * MB, .slice = 2 * MS};
  open_all(&limits);
  CHECK(run("local up, t, n = string.upper, {}, 1 << 20\n"
            "local s = ('x'):rep(n)\n"
            "for i = 1, 2 do\n"
            "  burn(120)\n"
            "  local copy = up(s)\n"
            "  assert(#copy == n)\n"
            "end\n"
            "return 'fine'"),
        "a call that was long in the collector gets a large text");
  CHECK(run("local t, at = {}, 1 << 16\n"
            "for i = 1, at do t[i] = i end\n"
            "local function f(...) return {...} end\n"
            "local u = table.pack(table.unpack(t, 1, 30000))\n"
            "for i = 1, 2 do\n"
            "  local new = {}\n"
            "  for j = 1, at do\n"
            "    if j == 32769 then burn(120) end\n"
            "    new[j] = j\n"
            "  end\n"
            "end\n"
            "return 'fine'"),
        "and so does a table that grows");
  close_all();
  open_all(&limits);
  CHECK(run("local t = {}\n"
            "setmetatable(t, t).__call = t\n"
            "local ok, err = pcall(t)\n"
            "return not ok and 'fine' or 'it can be called'"),
        "a call that leads to itself ends");
  close_all();
}

int main(void) {
  counted();
  counted_late();
  if (WITH_TSAN)
    SKIP("large blocks", "TSan holds signals back");
  else
    large();
  return test_end();
}
