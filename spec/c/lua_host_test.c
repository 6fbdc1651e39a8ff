/* lua_host_test.c - a host's hub serves one Lua state after the other, and the
 * host's C threads beside them.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "lua_test.h"

static const char *const SERVE =
    "local listener = green.listen('127.0.0.1', 0)\n"
    "local _, port = listener:getsockname()\n"
    "green.spawn_n(function()\n"
    "  local conn = listener:accept()\n"
    "  got = conn:receive()\n"
    "  conn:receive()\n"
    "end)\n"
    "green.spawn_n(function()\n"
    "  local conn = green.connect('127.0.0.1', port)\n"
    "  green.sleep(0.01)\n"
    "  conn:send('hello\\n')\n"
    "  conn:receive()\n"
    "end)\n";

/* Leaves a stack in the pool on which a coroutine that is gone had blocked. */
static const char *const NESTED =
    "green.spawn_n(function()\n"
    "  coroutine.wrap(function() green.sleep(0.001) end)()\n"
    "  done = true\n"
    "end)\n";

static const char *const LOOK =
    "collectgarbage() collectgarbage() seen = 0\n"
    "for _, t in ipairs(green.threads()) do\n"
    "  local w = t:blocked()\n"
    "  if w and w.what == 'sleep' and not w.where then seen = seen + 1 end\n"
    "  t:traceback()\n"
    "end\n";

static lua_State *open_state(struct green_hub *hub) {
  lua_State *L = open_on(hub);
  CHECK(green_lua_hub(L) == hub, "a state opens on the host's hub");
  return L;
}

static void close_state(lua_State *L) {
  CHECK(green_lua_close(L) == 0, "its threads end when it closes");
  lua_close(L);
}

static void test_one_after_the_other(struct green_hub *hub) {
  int i;
  for (i = 0; i < 2; i++) {
    lua_State *L = open_state(hub);
    CHECK(run(L, SERVE) && comes(hub, L, "got"),
          "sockets of each of two states in turn are served");
    close_state(L);
  }
}

static int sleeper(struct green_hub *hub, void *arg) {
  (void)arg;
  return green_sleep(hub, GREEN_FOREVER);
}

static void end(struct green_hub *hub, struct green_thread *t) {
  green_kill(hub, t);
  green_detach(hub, t);
  green_step(hub, 0);
}

static void test_c_thread(struct green_hub *hub) {
  struct green_thread *t;
  lua_State *L = open_state(hub);
  CHECK(run(L, NESTED) && comes(hub, L, "done"), "a generator may block");
  CHECK(green_spawn(hub, &t, sleeper, NULL) == 0, "a C thread is spawned");
  green_step(hub, 0);
  run(L, LOOK);
  lua_getglobal(L, "seen");
  CHECK(lua_tointeger(L, -1) == 1,
        "a C thread is looked at without the Lua stack of another");
  lua_settop(L, 0);
  close_state(L);
  CHECK(!strcmp(green_status(t), "blocked"),
        "which is no thread of the state");
  end(hub, t);
}

/* A C thread that runs Lua. */
static int owner(struct green_hub *hub, void *arg) {
  (void)hub;
  return !run(arg, "l:acquire() owner = l:owner() green.sleep(0.001)");
}

static int lasting_owner(struct green_hub *hub, void *arg) {
  int failed = !run(arg, "lasting = green.lock() lasting:acquire()");
  while (green_sleep(hub, GREEN_FOREVER) == 0)
    ;
  return failed;
}

static void test_lock(struct green_hub *hub) {
  lua_State *L = open_state(hub), *co = lua_newthread(L);
  struct green_thread *t;
  CHECK(run(L,
            "ok, err = pcall(green.lock().acquire, green.lock())\n"
            "assert(not ok and err:find('only a green thread'), err)\n"
            "l = green.lock()\n"
            "ok, err = pcall(l.release, l)\n"
            "assert(not ok and err:find('a host.* cannot release'), err)\n"),
        "a host owns no lock");
  green_spawn(hub, NULL, owner, co);
  CHECK(comes(hub, L, "owner") &&
            run(L,
                "assert(l:owner() == owner)\n"
                "green.spawn_n(function()\n"
                "  local ok, err = pcall(l.acquire, l)\n"
                "  told = not ok and err:find('abandoned') and l:acquire(0)\n"
                "end)\n") &&
            comes(hub, L, "told"),
        "a C thread that ends owning a lock leaves an error to the next");
  green_spawn(hub, &t, lasting_owner, lua_newthread(L));
  CHECK(comes(hub, L, "lasting"), "another C thread owns one to the end");
  close_state(L);
  end(hub, t);
}

static void test_no_spawner(struct green_hub *hub) {
  lua_State *L = open_state(hub);
  CHECK(run(L,
            "ok, err = pcall(green.spawn_after_local, 0, print)\n"
            "assert(not ok and err:find('needs a green thread'), err)\n"
            "assert(#green.threads() == 0)"),
        "spawn_after_local is refused where no green thread runs");
  close_state(L);
}

static void test_lease(struct green_hub *hub) {
  lua_State *L = open_state(hub);
  CHECK(run(L,
            "made, reset, gone = 0, 0, 0\n"
            "local rp = green.resource_pool {\n"
            "  create = function() made = made + 1 return made end,\n"
            "  reset = function() reset = reset + 1 end,\n"
            "  destroy = function() gone = gone + 1 end}\n"
            "for _ = 1, 3 do\n"
            "  local lease <close>, item = rp:lease(0)\n"
            "  assert(lease and item == 1, item)\n"
            "end\n"
            "assert(made == 1 and reset == 3 and rp:free() == 4)\n"
            "rp:lease(0):discard()"),
        "a host's callback leases an item and gives it back");
  green_step(hub, 0);
  CHECK(run(L, "assert(gone == 1)"), "an item that it discards is destroyed");
  close_state(L);
}

int main(void) {
  struct green_options o;
  struct green_hub *hub;
  memset(&o, 0, sizeof o);
  o.drive = GREEN_DRIVE_STEP;
  if (green_open(&hub, &o) < 0) return 1;
  test_one_after_the_other(hub);
  test_c_thread(hub);
  test_lock(hub);
  test_no_spawner(hub);
  test_lease(hub);
  CHECK(green_close(hub) == 0, "then the hub closes");
  return test_end();
}
