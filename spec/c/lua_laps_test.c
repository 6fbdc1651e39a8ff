/* lua_laps_test.c - sleep(0) where no C stack is left: a thread that may leave
 * its stack goes round all the same, one below a C function gets an error.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <limits.h>

#include "../../core/internal.h"
#include "lua_test.h"

/* refuse(on): the core has no memory any more, for stacks neither. */
static int refuse(lua_State *L) {
  green__fail_allocs(1, lua_toboolean(L, 1) ? LONG_MAX : 0);
  return 0;
}

static const char body[] =
    "local function below_c(f) string.gsub('a', 'a', f) end\n"
    "local function nap() green.sleep(60) end\n"
    "local function kept() return green.stats().kept end\n"
    "green.on_error(function() end)\n"
    "green.config {keep_stacks = 1000}\n"
    "local turns, go = 0, true\n"
    "local function rounds()\n"
    "  while go do turns = turns + 1; green.sleep(0) end\n"
    "  return 'went round'\n"
    "end\n"
    /* While three threads go round, and how many of them keep their stack. */
    "local function goes_round(f)\n"
    "  local list, before = {}, kept()\n"
    "  go = true\n"
    "  for i = 1, 3 do list[i] = green.spawn(rounds) end\n"
    "  for _ = 1, 10 do green.sleep(0) end\n"
    "  local keep, first = kept() - before, turns\n"
    "  for _ = 1, 10 do green.sleep(0) end\n"
    "  local went = turns - first\n"
    "  local result = f and f()\n"
    "  go = false\n"
    "  for i = 1, 3 do assert(list[i]:wait() == 'went round') end\n"
    "  return keep, went, result\n"
    "end\n"
    "function easy() return goes_round() end\n"
    /* Threads below C take the stacks that are left. */
    "local napping = {}\n"
    "function fill()\n"
    "  repeat\n"
    "    local before = kept()\n"
    "    napping[#napping + 1] = green.spawn(below_c, nap)\n"
    "    green.sleep(0)\n"
    "  until kept() == before\n"
    "  return #napping > 1\n"
    "end\n"
    "local function refused_below_c()\n"
    "  local said\n"
    "  green.spawn(below_c, function()\n"
    "    said = select(2, pcall(green.sleep, 0))\n"
    "  end):wait()\n"
    "  return said\n"
    "end\n"
    "local function in_coroutine()\n"
    "  return green.spawn(coroutine.wrap(function()\n"
    "    return select(2, pcall(green.sleep, 0))\n"
    "  end)):wait()\n"
    "end\n"
    "function hard()\n"
    "  return goes_round(function()\n"
    "    return {below = refused_below_c(), inner = in_coroutine()}\n"
    "  end)\n"
    "end\n"
    /* A handler of <close> has the spare stacks. */
    "function cleans_up()\n"
    "  local good\n"
    "  local t = green.spawn(function()\n"
    "    local _ <close> = setmetatable({}, {__close = function()\n"
    "      below_c(function()\n"
    "        good = pcall(green.shield, 5, green.sleep, 0)\n"
    "      end)\n"
    "    end})\n"
    "    green.sleep(60)\n"
    "  end)\n"
    "  green.sleep(0)\n"
    "  t:kill() t:join()\n"
    "  return good\n"
    "end\n"
    "function over()\n"
    "  for _, t in ipairs(napping) do t:kill() end\n"
    "  for _, t in ipairs(napping) do t:join() end\n"
    "  napping = {}\n"
    "  return refused_below_c() == nil\n"
    "end\n";

static int is_true(lua_State *L, const char *expression) {
  int yes = luaL_dostring(L, expression) == LUA_OK && lua_toboolean(L, -1);
  if (!yes && lua_isstring(L, -1)) printf("# %s\n", lua_tostring(L, -1));
  lua_settop(L, 0);
  return yes;
}

static void go_round(lua_State *L) {
  CHECK(is_true(L, "return fill()"), "threads below C take all stacks");
  CHECK(is_true(L, "keep, went, said = hard() return went == 30"),
        "threads in no C function go round as before, 10 times in 10 turns");
  CHECK(is_true(L, "return keep == 0"), "without stacks");
  CHECK(is_true(L,
                "local text = \"'sleep' cannot block here: no C stack left\" "
                "return said.below:find(text, 1, true) and "
                "said.inner:find(text, 1, true)"),
        "below a C function, or in another coroutine, it is an error");
  CHECK(is_true(L, "return cleans_up()"), "but not in a clean-up");
}

int main(void) {
  struct green_hub *hub;
  lua_State *L;
  if (green_open(&hub, NULL) < 0) return 1;
  L = open_on(hub);
  lua_register(L, "refuse", refuse);
  if (!run(L, body)) return 1;
  CHECK(is_true(L, "return easy() == 3"),
        "threads that go round keep their stacks while there are any");
  must_run(L, "green.config {max_stacks = green.stats().stacks + 3}");
  go_round(L);
  CHECK(is_true(L, "return over()"), "there are stacks again");
  must_run(L, "green.config {max_stacks = 100000}");
  CHECK(is_true(L, "return easy() == 3"), "for those that go round, too");
  must_run(L, "refuse(true)");
  go_round(L);
  must_run(L, "refuse(false)");
  CHECK(is_true(L, "return over()"), "and when there is memory again");
  green_lua_close(L);
  lua_close(L);
  green_close(hub);
  return test_end();
}
