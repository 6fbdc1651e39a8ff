/* lua_wakeup_test.c - a thread that left its stack and is woken where memory is
 * short: it raises, and somebody else gets what it was woken with; or it has
 * it.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include "lua_test.h"

/* short(bool): is memory short from now on? How often it was so far. */
static int l_short(lua_State *L) {
  void *ud;
  struct memory *m;
  lua_getallocf(L, &ud);
  m = ud;
  memory_lasts(m, lua_toboolean(L, 1) ? 0 : -1);
  lua_pushinteger(L, m->refused);
  m->refused = 0;
  return 1;
}

static const char prologue[] =
    "local green = require 'green'\n"
    "green.config {keep_stacks = 0}\n"
    /* Nothing was called in the thread so far, so closing its mark needs
     * memory. */
    "local function waits(f, ...)\n"
    "  local t = green.spawn(pcall, f, ...)\n"
    "  repeat green.sleep(0) until t:blocked()\n"
    "  return t\n"
    "end\n"
    "local function pass(hand_over, ...)\n"
    "  pcall(error)\n" /* what main calls has memory */
    "  green.sleep(0)\n"
    "  short(true)\n"
    "  local ok, v = pcall(hand_over, ...)\n"
    "  pcall(green.sleep, 0)\n"
    "  local n = short(false)\n"
    "  if not ok then error(v) end\n"
    "  return n, v\n"
    "end\n"
    "local MEMORY <const> = 'not enough memory'\n";

static void test(const char *body, const char *sentence) {
  struct memory memory = {0, 0, 0, 0, 0};
  lua_State *L = lg_newstate(allocate, &memory, 0);
  luaL_openlibs(L);
  lua_register(L, "short", l_short);
  preload_core(L);
  lua_pushstring(L, prologue);
  lua_pushstring(L, body);
  lua_concat(L, 2);
  CHECK(run(L, lua_tostring(L, -1)), sentence);
  lua_close(L);
}

static const struct {
  const char *body, *sentence;
} tests[] = {
    {"local q = green.queue()\n"
     "q:put(0) q:get()\n"
     "local t = waits(q.get, q)\n"
     "assert(pass(q.put, q, 7) > 0)\n"
     "local ok, err = t:wait()\n"
     "assert(not ok and err == MEMORY, err)\n"
     "assert(#q == 1 and q:get(0) == 7)\n",
     "an item that its getter could not take stays in the queue"},
    {"local s = green.semaphore(0)\n"
     "local a, b = waits(s.acquire, s), waits(s.acquire, s)\n"
     "assert(pass(s.release, s) > 0)\n"
     "local ok, err = a:wait()\n"
     "assert(not ok and err == MEMORY)\n"
     "local free = s:acquire(0) == true\n"
     "assert(free or b:wait())\n"
     "assert(not s:acquire(0))\n",
     "a permit goes to the next thread, and is not lost"},
    {"local lock = green.lock()\n"
     "lock:acquire()\n"
     "local t = waits(lock.acquire, lock)\n"
     "assert(pass(lock.release, lock) > 0)\n"
     "local ok, err = t:wait()\n"
     "assert(not ok and err == MEMORY)\n"
     "assert(lock:acquire(0))\n",
     "a lock is free again"},
    {"local pool, e, ran = green.pool(1), green.event(), 0\n"
     "local function count() ran = ran + 1 end\n"
     "pool:spawn_n(e.wait, e)\n"
     "local t = waits(pool.spawn_n, pool, count)\n"
     "assert(pass(e.send, e) > 0)\n"
     "local ok = t:wait()\n"
     "pool:spawn(count):join()\n"
     "green.wait_others()\n"
     "assert(ran == (ok and 2 or 1))\n",
     "the slot of a pool is free again"},
    {"local e = green.event()\n"
     "local t = waits(e.wait, e)\n"
     "assert(pass(e.send, e, 1) > 0)\n"
     "local ok, err = t:wait()\n"
     "assert(not ok and err == MEMORY and e:wait(0) == 1)\n",
     "an event can be waited for again"},
    {"local q = green.channel()\n"
     "local t = waits(q.put, q, 5)\n"
     "local _, got = pass(q.get, q)\n"
     "local ok, put = t:wait()\n"
     "assert(got == 5 and ok and put)\n",
     "a put whose value was taken does not raise"},
    {"local q, s = green.queue(), green.semaphore(0)\n"
     "q:put(0) q:get()\n"
     "local t = waits(green.select, {q, s})\n"
     "pass(q.put, q, 1)\n"
     "local ok = t:wait()\n"
     "assert(ok == (q:get(0) == nil))\n",
     "a select has what it chose, or raises and leaves it there"},
};

int main(void) {
  size_t i;
  for (i = 0; i < sizeof tests / sizeof *tests; i++)
    test(tests[i].body, tests[i].sentence);
  return test_end();
}
