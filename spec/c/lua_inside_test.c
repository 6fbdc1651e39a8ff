/* lua_inside_test.c - C threads that call Lua: the function may block, as the C
 * thread keeps its stack.
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
#include "test.h"

enum { MS = 1000000 };

static lua_State *L;
static struct green_hub *hub;

/* A thread of C that calls a Lua function, on a coroutine of its own. */
struct caller {
  lua_State *co;
  int ref, status;
  double result;
  char error[200];
};

static int calls(struct green_hub *h, void *arg) {
  struct caller *c = arg;
  (void)h;
  c->status = lua_pcall(c->co, lua_gettop(c->co) - 1, 1, 0);
  if (c->status == LUA_OK)
    c->result = lua_tonumber(c->co, -1);
  else
    snprintf(c->error, sizeof c->error, "%s", luaL_tolstring(c->co, -1, NULL));
  lua_settop(c->co, 0);
  return c->status;
}

static struct green_thread *begin(struct caller *c, const char *code,
                                  lua_Integer arg) {
  struct green_thread *t;
  memset(c, 0, sizeof *c);
  c->co = lua_newthread(L);
  c->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  if (luaL_loadstring(c->co, code) != LUA_OK) abort();
  lua_pushinteger(c->co, arg);
  if (green_spawn(hub, &t, calls, c) < 0) abort();
  return t;
}

static int end(struct green_thread *t, struct caller *c) {
  int r = -1;
  if (green_join(hub, t, GREEN_FOREVER, &r) < 0) abort();
  luaL_unref(L, LUA_REGISTRYINDEX, c->ref);
  return r;
}

static int calls_known(struct green_hub *h, void *arg) {
  struct caller *c = arg;
  (void)h;
  return green_lua_pcall(c->co, lua_gettop(c->co) - 1, 0, 0);
}

static void run(const char *code) {
  if (luaL_dostring(L, code)) {
    printf("# %s\n", lua_tostring(L, -1));
    abort();
  }
}

static void test_blocks(void) {
  struct caller a, b;
  struct green_thread *t, *u;
  run("order = {}");
  t = begin(&a,
            "local n = ... order[#order + 1] = 'a'\n"
            "green.sleep(0.002) order[#order + 1] = 'b' return n + 1",
            1);
  u = begin(&b, "order[#order + 1] = 'c' green.sleep(0) return ... + 2", 2);
  CHECK(end(t, &a) == LUA_OK && end(u, &b) == LUA_OK && a.result == 2 &&
            b.result == 4,
        "a Lua function that a C thread calls may sleep");
  run("assert(table.concat(order) == 'acb', table.concat(order))");
  CHECK(1, "and others run meanwhile");
}

static void test_deep(void) {
  struct caller a;
  CHECK(end(begin(&a,
                  "local t = {3, 1, 2}\n"
                  "table.sort(t, function(x, y) green.sleep(0)\n"
                  "  return x < y end)\n"
                  "return t[1] + 10 * t[2] + 100 * t[3]",
                  0),
            &a) == LUA_OK &&
            a.result == 321,
        "also below C functions of its own");
  CHECK(end(begin(&a,
                  "local co = coroutine.wrap(function()\n"
                  "  green.sleep(0.001) coroutine.yield(5) end)\n"
                  "return co()",
                  0),
            &a) == LUA_OK &&
            a.result == 5,
        "and in coroutines of its own");
}

static void test_waits(void) {
  struct caller a, b, c;
  struct green_thread *t, *u, *v;
  run("q = green.queue() e = green.event()");
  t = begin(&a, "return q:get() + q:get()", 0);
  u = begin(&b, "return e:wait(5)", 0);
  v = begin(&c,
            "local t = green.spawn(function() green.sleep(0) return 9 end)\n"
            "return t:wait()",
            0);
  green_yield(hub);
  run("q:put(30) q:put(12) e:send(7)");
  CHECK(end(t, &a) == LUA_OK && a.result == 42 && end(u, &b) == LUA_OK &&
            b.result == 7 && end(v, &c) == LUA_OK && c.result == 9,
        "it waits for queues, events and threads of Lua's");
}

static void test_kill(void) {
  struct caller a;
  struct green_thread *t;
  run("closed = 0");
  t = begin(&a,
            "local x <close> = setmetatable({}, {__close = function()\n"
            "  closed = closed + 1 end})\n"
            "green.sleep(1e6)",
            0);
  green_yield(hub);
  green_kill(hub, t);
  CHECK(end(t, &a) == LUA_ERRRUN && strstr(a.error, "killed"),
        "a kill of the C thread is raised in the function");
  run("assert(closed == 1)");
  CHECK(1, "whose <close> variables run");
  t = begin(&a, "pcall(green.sleep, 1e6) green.sleep(1e6)", 0);
  green_yield(hub);
  green_kill(hub, t);
  CHECK(end(t, &a) == LUA_ERRRUN && strstr(a.error, "killed"),
        "and again if it is caught");
}

static void test_limits(void) {
  struct caller a;
  CHECK(end(begin(&a,
                  "local ok, err = pcall(function()\n"
                  "  local _ <close> = green.timeout(0.001)\n"
                  "  green.sleep(1e6) end)\n"
                  "return not ok and 1 or 0",
                  0),
            &a) == LUA_OK &&
            a.result == 1,
        "limits of Lua's strike in it");
}

static int under_limit(struct green_hub *h, void *arg) {
  int r = calls(h, arg);
  return r == LUA_OK ? 0 : UV_ECANCELED;
}

static int limited(struct green_hub *h, void *arg) {
  return green_within(h, green_in(2 * MS), under_limit, arg);
}

static void test_c_limit(void) {
  struct caller a;
  struct green_thread *t;
  int r = 0;
  memset(&a, 0, sizeof a);
  a.co = lua_newthread(L);
  a.ref = luaL_ref(L, LUA_REGISTRYINDEX);
  if (luaL_loadstring(a.co, "green.sleep(1e6)") != LUA_OK) abort();
  green_spawn(hub, &t, limited, &a);
  green_join(hub, t, GREEN_FOREVER, &r);
  luaL_unref(L, LUA_REGISTRYINDEX, a.ref);
  CHECK(a.status == LUA_ERRRUN && r == UV_ETIMEDOUT,
        "and so does a limit of C's");
}

/* A C function of Lua's that swallows its kill below a limit of C's: in the end
 * its frames are abandoned, and with them the limit. */
static int swallows(struct green_hub *h, void *arg) {
  lua_State *T = arg;
  (void)h;
  for (;;) {
    lua_getglobal(T, "green");
    lua_getfield(T, -1, "sleep");
    lua_pushnumber(T, 0);
    lua_pcall(T, 1, 0, 0);
    lua_settop(T, 0);
  }
  return 0;
}

static int c_swallows(lua_State *T) {
  green_within(hub, green_in(UINT64_C(100000) * MS), swallows, T);
  return 0;
}

static void test_abandoned(void) {
  uint64_t grace = green_config(hub)->grace;
  green_config(hub)->grace = 20 * MS;
  lua_register(L, "c_swallows", c_swallows);
  run("local t = green.spawn(c_swallows) green.sleep(0) t:kill()\n"
      "local ok, err = t:join(5)\n"
      "assert(not ok and green.type(err) == 'killed', err)\n"
      "for i = 1, 20 do green.spawn(string.rep, 'x', 1000):join() end");
  CHECK(1, "a limit of C's goes with the frames of a thread that was forced");
  green_config(hub)->grace = grace;
}

static void test_throw(void) {
  struct caller a;
  struct green_thread *t = begin(&a, "green.sleep(1e6)", 0);
  green_yield(hub);
  green_throw(hub, t, UV_EPIPE);
  CHECK(end(t, &a) == LUA_ERRRUN && strstr(a.error, "broken pipe"),
        "what is thrown into the C thread is raised in it");
}

static void test_current(void) {
  struct caller a;
  struct green_thread *t = begin(&a, "return green.current().id", 0);
  uint64_t id = green_id(t);
  CHECK(end(t, &a) == LUA_OK && a.result == (double)id,
        "green.current() there is the C thread");
}

static void test_many(void) {
  enum { MANY = 100 };
  static struct caller c[MANY];
  static struct green_thread *t[MANY];
  int i, good = 0;
  for (i = 0; i < MANY; i++)
    t[i] = begin(&c[i],
                 "for i = 1, 5 do green.sleep(0)\n"
                 "  if i == 3 then collectgarbage 'step' end end\n"
                 "return ...",
                 i);
  for (i = 0; i < MANY; i++)
    good += end(t[i], &c[i]) == LUA_OK && c[i].result == i;
  CHECK(good == MANY, "a hundred of them at once do not mix");
}

/* A blocking function in C, of the shape that calls the core. */
static int l_nap(lua_State *co) {
  green_lua_check(co, green_sleep(hub, green_in(20 * (uint64_t)MS)));
  return 0;
}

/* While others are in it. */
static int closes(struct green_hub *h, void *arg) {
  (void)h, (void)arg;
  return green_lua_close(L);
}

static void test_closing(void) {
  struct green_thread *t, *closer;
  struct caller c;
  int r = -1;
  lua_register(L, "nap", l_nap);
  memset(&c, 0, sizeof c);
  c.co = lua_newthread(L);
  c.ref = luaL_ref(L, LUA_REGISTRYINDEX);
  if (luaL_loadstring(c.co, "nap() nap()") != LUA_OK) abort();
  if (green_spawn(hub, &t, calls_known, &c) < 0) abort();
  green_yield(hub);
  CHECK(green_lua_close(L) == UV_EBUSY,
        "a state is not closed below a thread of C that sleeps in it");
  CHECK(end(t, &c) == LUA_OK, "and the thread goes on");
  if (green_spawn(hub, &closer, closes, NULL) < 0) abort();
  run("nap()");
  CHECK(green_join(hub, closer, GREEN_FOREVER, &r) == 0 && r == UV_EBUSY,
        "nor is it below main");
}

int main(void) {
  if (green_open(&hub, NULL) < 0) return 1;
  L = luaL_newstate();
  luaL_openlibs(L);
  green_lua_open(L, hub);
  run("green = require 'green'");
  test_blocks();
  test_deep();
  test_waits();
  test_kill();
  test_limits();
  test_c_limit();
  test_abandoned();
  test_throw();
  test_current();
  test_many();
  test_closing();
  CHECK(green_lua_close(L) == 0, "the state can be closed");
  lua_close(L);
  CHECK(green_close(hub) == 0, "and the hub");
  return test_end();
}
