/* lua_both_test.c - threads of C and of Lua on one hub, and the uses that each
 * may make of the other kind.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "lua_test.h"

/* ------------------------------------------------------------- fixtures -- */

struct search {
  uint64_t id;
  struct green_thread *found;
};

static void match(struct green_thread *t, void *arg) {
  struct search *s = arg;
  if (green_id(t) == s->id) s->found = t;
}

static struct green_thread *thread_of(lua_State *L, int index) {
  struct search s = {(uint64_t)luaL_checkinteger(L, index), NULL};
  green_each(green_lua_hub(L), match, &s);
  if (!s.found) luaL_error(L, "no live thread #%I", (lua_Integer)s.id);
  return s.found;
}

/* The outcomes of C threads, in the order of their ends. */
static struct { int r, result; } joined[8];
static int joins;

static int joiner(struct green_hub *hub, void *arg) {
  int n = joins, result = -1;
  int r = green_join(hub, arg, GREEN_FOREVER, &result);
  n = joins++;
  joined[n].r = r;
  joined[n].result = result;
  return 0;
}

/* c_join(id): a C thread joins that one. */
static int c_join(lua_State *L) {
  green_spawn(green_lua_hub(L), NULL, joiner, thread_of(L, 1));
  return 0;
}

/* c_joined(): the code and the result of each join since the last call. */
static int c_joined(lua_State *L) {
  int i;
  for (i = 0; i < joins; i++) {
    lua_pushinteger(L, joined[i].r);
    lua_pushinteger(L, joined[i].result);
  }
  joins = 0;
  return 2 * i;
}

static int c_throw(lua_State *L) {
  int r = green_throw(green_lua_hub(L), thread_of(L, 1),
                      (int)luaL_checkinteger(L, 2));
  lua_pushinteger(L, r);
  return 1;
}

static int c_detach(lua_State *L) {
  green_detach(green_lua_hub(L), thread_of(L, 1));
  return 0;
}

static int c_kill(lua_State *L) {
  lua_pushinteger(L, green_kill(green_lua_hub(L), thread_of(L, 1)));
  return 1;
}

static int sleeps_and_returns(struct green_hub *hub, void *arg) {
  int r = green_sleep(hub, green_now() + 1000000);
  return r < 0 ? r : *(int *)arg;
}

static struct green_thread *held;

/* c_spawn(n [, hold]): a C thread that returns n after a moment; its id. */
static int c_spawn(lua_State *L) {
  static int numbers[64], count;
  struct green_hub *hub = green_lua_hub(L);
  struct green_thread *t;
  int *number = &numbers[count++ % 64];
  *number = (int)luaL_checkinteger(L, 1);
  if (green_spawn(hub, &t, sleeps_and_returns, number) < 0) abort();
  lua_pushinteger(L, (lua_Integer)green_id(t));
  held = lua_toboolean(L, 2) ? t : NULL;
  if (!held) green_detach(hub, t);
  return 1;
}

/* c_name(name): of the one that is held. */
static int c_name(lua_State *L) {
  green_set_name(green_lua_hub(L), held, luaL_checkstring(L, 1));
  return 0;
}

static int c_forget(lua_State *L) {
  green_detach(green_lua_hub(L), held);
  return 0;
}

static const luaL_Reg functions[] = {
    {"c_join", c_join},     {"c_joined", c_joined}, {"c_throw", c_throw},
    {"c_detach", c_detach}, {"c_kill", c_kill},     {"c_spawn", c_spawn},
    {"c_name", c_name},     {"c_forget", c_forget}, {NULL, NULL}};

static void test(const char *body, const char *sentence) {
  lua_State *L = own_state();
  char code[4000];
  int failed;
  lua_pushglobaltable(L);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
  snprintf(code, sizeof code,
           "local green = require 'green'\n"
           "local ECANCELED <const>, UNKNOWN <const>, EPIPE <const> =\n"
           "  %d, %d, %d\n"
           "local ETHROWN <const> = %d\n"
           "local function run() %s end\n"
           "return run()",
           UV_ECANCELED, UV_UNKNOWN, UV_EPIPE, GREEN_ETHROWN, body);
  failed = luaL_dostring(L, code);
  if (!CHECK(!failed && lua_toboolean(L, -1), sentence))
    printf("# %s\n", luaL_tolstring(L, -1, NULL));
  lua_close(L);
}

/* ---------------------------------------------------------------- tests -- */

static void test_join(void) {
  test(
      "local t = green.spawn(function() green.sleep(0) return 'a', 'b' end)\n"
      "c_join(t.id) c_join(t.id)\n"
      "local ok, a, b = t:join()\n"
      "green.sleep(0)\n"
      "local r1, v1, r2, v2, more = c_joined()\n"
      "assert(r1 == 0 and v1 == 0 and r2 == 0 and v2 == 0 and not more)\n"
      "return ok and a == 'a' and b == 'b' and select(3, t:join()) == 'b'",
      "C joins a thread of Lua's, twice, and takes nothing from its handle");
  test(
      "local t = green.spawn(function() green.sleep(0) error('no', 0) end)\n"
      "c_join(t.id)\n"
      "local ok, err = t:join()\n"
      "green.sleep(0)\n"
      "local r, v = c_joined()\n"
      "return r == 0 and v == UNKNOWN and not ok and err == 'no'",
      "one that failed is joined with UV_UNKNOWN");
  test(
      "local t = green.spawn(green.sleep, 1e9)\n"
      "green.sleep(0) c_join(t.id) green.sleep(0)\n"
      "local killed = c_kill(t.id)\n"
      "local ok, err = t:join()\n"
      "green.sleep(0)\n"
      "local r, v = c_joined()\n"
      "return killed == 1 and r == 0 and v == ECANCELED and not ok\n"
      "  and green.type(err) == 'killed' and err.thread == t.id",
      "one that C kills is joined with UV_ECANCELED");
  test(
      "green.spawn_n(function() c_join(green.current().id) green.sleep(0)\n"
      "  end)\n"
      "for i = 1, 5 do green.sleep(0) end\n"
      "collectgarbage()\n"
      "local r, v = c_joined()\n"
      "return r == 0 and v == 0",
      "one without a handle is joined, too");
  test(
      "local n = 0\n"
      "local pool = green.pool(2)\n"
      "local function f(i) c_join(green.current().id) green.sleep(0)\n"
      "  return i end\n"
      "for i in pool:imap(f, {1, 2, 3}) do n = n + i end\n"
      "green.sleep(0)\n"
      "return n == 6 and select('#', c_joined()) == 6",
      "one whose record a pool holds is joined, and stays the pool's");
  test(
      "local t = green.spawn(green.sleep, 0.001)\n"
      "c_detach(t.id)\n"
      "return t:join() == true and t:status() == 'done'",
      "to detach one of Lua's does nothing");
}

static void test_throw(void) {
  test(
      "local t = green.spawn(function() return pcall(green.sleep, 1e9) end)\n"
      "green.sleep(0)\n"
      "assert(c_throw(t.id, EPIPE) == 0)\n"
      "local ok, err = t:wait()\n"
      "return not ok and err == 'broken pipe'",
      "what C throws into a thread of Lua's is raised as text");
  test(
      "local t = green.spawn(function() return pcall(green.sleep, 1e9) end)\n"
      "green.sleep(0)\n"
      "assert(c_throw(t.id, UNKNOWN) == 0 and not t:throw('later'))\n"
      "local ok, err = t:wait()\n"
      "return not ok and err == 'unknown error'",
      "whatever the code, and a second throw is refused");
}

static void test_from_lua(void) {
  test(
      "local t = green.find_thread(c_spawn(1))\n"
      "green.sleep(0)\n"
      "assert(t:throw 'boom' and not t:throw 'again')\n"
      "local ok, code = t:join()\n"
      "return ok and code == ETHROWN",
      "what Lua throws into a thread of C's is GREEN_ETHROWN");
  test(
      "local t = green.find_thread(c_spawn(1))\n"
      "green.sleep(0)\n"
      "assert(t:kill 'why' and t:kill 'again')\n"
      "local ok, code = t:join()\n"
      "return ok and code == ECANCELED and t:status() == 'done'",
      "what Lua kills of C's gets UV_ECANCELED, and returns what it likes");
  test(
      "local t = green.find_thread(c_spawn(1))\n"
      "local ok, err = pcall(function()\n"
      "  local _ <close> = green.timeout(0)\n"
      "  return t:join() end)\n"
      "assert(not ok)\n"
      "local again, code = t:join()\n"
      "return again and code == 1",
      "a limit ends Lua's join of a C thread, which is joined later");
}

static void test_of_c(void) {
  test(
      "local t = green.find_thread(c_spawn(7))\n"
      "local ok, code = t:join()\n"
      "assert(ok and code == 7 and t:status() == 'done' and t:wait() == 7)\n"
      "return not t:kill() and t.id > 1 and tostring(t):find('#' .. t.id, 1,\n"
      "  true)",
      "Lua joins a thread of C's, and its handle tells of it ever after");
  test(
      "local t = green.find_thread(c_spawn(1, true))\n"
      "c_name 'by C'\n"
      "assert(t.name == 'by C')\n"
      "assert(t:join() and t.name == 'by C')\n"
      "c_forget()\n"
      "return t.name == 'by C' and select(2, t:join()) == 1",
      "with its name");
  test(
      "local t = green.find_thread(c_spawn(1))\n"
      "t:kill 'why'\n"
      "local ok, err = t:join()\n"
      "return not ok and err.reason == 'why' and t:status() == 'killed'",
      "one that never ran was killed");
  test(
      "local t = green.find_thread(c_spawn(5))\n"
      "local seen = setmetatable({}, {__mode = 'kv'})\n"
      "seen[1], t = t, nil\n"
      "collectgarbage() collectgarbage()\n"
      "return seen[1] ~= nil and seen[1] == green.find_thread(seen[1].id)",
      "its handle is the same as long as it lives");
  test(
      "local t, linked = green.find_thread(c_spawn(3)), nil\n"
      "t:link(function(it, more) linked = {it, more} end, 'more')\n"
      "t:join() green.sleep(0)\n"
      "return linked and linked[1] == t and linked[2] == 'more'",
      "its links run at its end");
  test(
      "local a, b = c_spawn(1), c_spawn(2)\n"
      "a, b = green.find_thread(a), green.find_thread(b)\n"
      "local n = 0\n"
      "for _, ok, code in green.as_completed{a, b} do n = n + code end\n"
      "local all = green.wait_all{a, b}\n"
      "return n == 3 and all.n == 2",
      "it may be waited for among others, and when it is over");
}

int main(void) {
  test_join();
  test_throw();
  test_from_lua();
  test_of_c();
  return test_end();
}
