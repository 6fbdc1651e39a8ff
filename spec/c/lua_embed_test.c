/* lua_embed_test.c - a host with a loop of its own opens the library in its Lua
 * state, spawns Lua functions and reads their outcomes.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "lua_test.h"

struct host {
  uv_loop_t loop;
  struct green_hub *hub;
  lua_State *L;
};

static void open_host(struct host *host) {
  struct green_options o;
  memset(&o, 0, sizeof o);
  o.drive = GREEN_DRIVE_LOOP;
  o.loop = &host->loop;
  if (uv_loop_init(&host->loop) < 0 || green_open(&host->hub, &o) < 0) exit(1);
  host->L = open_on(host->hub);
}

/* The order: the state's threads, the state, the hub; then the loop. */
static int close_host(struct host *host) {
  int left = green_lua_close(host->L);
  lua_close(host->L);
  left += green_close(host->hub);
  uv_run(&host->loop, UV_RUN_DEFAULT);
  return left == 0 && uv_loop_close(&host->loop) == 0;
}

static void spawn(lua_State *L, const char *function) {
  lua_getglobal(L, function);
  green_lua_spawn(L, 0);
}

static int global_is(lua_State *L, const char *name, lua_Integer n) {
  int same =
      lua_getglobal(L, name) == LUA_TNUMBER && lua_tointeger(L, -1) == n;
  lua_pop(L, 1);
  return same;
}

/* -------------------------------------------------------------- outcomes -- */

static void test_outcome(void) {
  struct host host;
  lua_State *L;
  int n = -1;
  open_host(&host);
  L = host.L;
  CHECK(green_lua_hub(L) == host.hub, "the state knows the host's hub");
  must_run(L,
           "function good(a, b) green.sleep(0.002) return a, b, nil end\n"
           "function bad() green.sleep(0) error('no luck', 0) end");
  lua_getglobal(L, "good");
  lua_pushinteger(L, 4);
  lua_pushliteral(L, "five");
  green_lua_spawn(L, 2);
  spawn(L, "bad");
  CHECK(lua_gettop(L) == 2 && green_lua_outcome(L, 1, &n) == LUA_YIELD &&
            n == 0 && lua_gettop(L) == 2,
        "a spawned function runs when the loop does, not before");
  /* Somebody must own the error, or it is reported. */
  must_run(L, "green.on_error(function() end)");
  uv_run(&host.loop, UV_RUN_DEFAULT);
  CHECK(green_lua_outcome(L, 1, &n) == LUA_OK && n == 3 &&
            lua_tointeger(L, -3) == 4 &&
            !strcmp(lua_tostring(L, -2), "five") && lua_isnil(L, -1),
        "its results are there when uv_run has returned");
  lua_settop(L, 2);
  CHECK(green_lua_outcome(L, 2, &n) == LUA_ERRRUN && n == 1 &&
            !strcmp(lua_tostring(L, -1), "no luck"),
        "or its error");
  lua_settop(L, 0);
  CHECK(close_host(&host), "state, hub and loop can be closed");
}

/* -------------------------------------------------------------- blocking -- */

static void on_timer(uv_timer_t *timer) {
  lua_State *L = timer->data;
  must_run(L,
           "ticks = (ticks or 0) + 1\n"
           "if ticks == 2 then event:send(ticks) end");
  if (global_is(L, "ticks", 3)) uv_close((uv_handle_t *)timer, NULL);
}

static void test_blocking(void) {
  struct host host;
  uv_timer_t timer;
  open_host(&host);
  CHECK(luaL_dostring(host.L, "green.sleep(1)") != LUA_OK &&
            strstr(lua_tostring(host.L, -1),
                   "would block the host's loop; spawn a thread"),
        "blocking on the main Lua thread is refused: it would block the loop");
  lua_settop(host.L, 0);
  must_run(host.L,
           "event = green.event()\n"
           "green.spawn(function() got = event:wait() end)\n"
           "green.spawn_after(0.004, function() after = 1 end)");
  uv_timer_init(&host.loop, &timer);
  timer.data = host.L;
  uv_timer_start(&timer, on_timer, 1, 1);
  uv_run(&host.loop, UV_RUN_DEFAULT);
  CHECK(global_is(host.L, "got", 2),
        "a callback of the host may run Lua that wakes threads");
  CHECK(global_is(host.L, "after", 1),
        "what the main Lua thread set a time for is done");
  CHECK(close_host(&host), "all can be closed");
}

/* ---------------------------------------------------------- close order -- */

static const char LIVE[] =
    "closed = 0\n"
    "local function guard(f)\n"
    "  return setmetatable({}, {__close = function()\n"
    "    closed = closed + 1 if f then f() end end})\n"
    "end\n"
    "green.spawn(function() local g <close> = guard() green.sleep(1e9) end)\n"
    "green.spawn(function() local g <close> = guard()\n"
    "  green.queue():get() end)\n"
    "green.spawn(function() local g <close> = guard(function()\n"
    "    pcall(green.sleep, 1e9) end) green.event():wait() end)\n"
    "green.spawn(function() local g <close> = guard()\n"
    "  string.gsub('x', 'x', function() green.sleep(1e9) end) end)\n"
    "green.spawn(function() local g <close> = guard()\n"
    "  green.shield(1e9, green.sleep, 1e9) end)\n"
    "green.spawn(function() started = 1 end)\n";

static void start_all(struct host *host) {
  while (!global_is(host->L, "started", 1)) uv_run(&host->loop, UV_RUN_NOWAIT);
}

static void test_close(void) {
  struct host host;
  int left;
  open_host(&host);
  must_run(host.L, LIVE);
  start_all(&host);
  left = green_lua_close(host.L);
  CHECK(left == 0 && global_is(host.L, "closed", 5),
        "green_lua_close ends live threads, and their <close> variables run");
  CHECK(luaL_dostring(host.L, "green.spawn(print)") != LUA_OK,
        "afterwards nothing can be spawned");
  CHECK(!green_lua_hub(host.L) && green_lua_close(host.L) == 0,
        "closing again does nothing");
  lua_close(host.L);
  left = green_close(host.hub);
  uv_run(&host.loop, UV_RUN_DEFAULT);
  CHECK(left == 0 && uv_loop_close(&host.loop) == 0,
        "then the state, the hub and the loop go");
}

static void test_close_state_only(void) {
  struct host host;
  int left;
  open_host(&host);
  must_run(host.L, LIVE);
  start_all(&host);
  lua_close(host.L);
  left = green_close(host.hub);
  uv_run(&host.loop, UV_RUN_DEFAULT);
  CHECK(left == 0 && uv_loop_close(&host.loop) == 0,
        "a host that forgets green_lua_close is forgiven");
}

/* ------------------------------------------------------------ two states -- */

static void test_two(void) {
  struct host a, b;
  open_host(&a);
  open_host(&b);
  must_run(a.L, "green.spawn(function() green.sleep(0.001) n = 1 end)");
  must_run(b.L, "green.spawn(function() green.sleep(0.001) n = 2 end)");
  uv_run(&b.loop, UV_RUN_DEFAULT);
  CHECK(global_is(b.L, "n", 2) && !global_is(a.L, "n", 1),
        "two states on two hubs are apart");
  CHECK(close_host(&b), "one can be closed");
  uv_run(&a.loop, UV_RUN_DEFAULT);
  CHECK(global_is(a.L, "n", 1) && close_host(&a), "while the other goes on");
}

static void test_open_twice(void) {
  struct host host;
  open_host(&host);
  CHECK(green_lua_open(host.L, host.hub) == LUA_ERRRUN &&
            strstr(lua_tostring(host.L, -1), "has a hub already"),
        "a state has one hub");
  lua_settop(host.L, 0);
  CHECK(close_host(&host), "and is closed once");
}

/* A hub of the host's that is not on a loop: main is a green thread. */
static void test_main_drive(void) {
  struct green_hub *hub;
  lua_State *L;
  if (green_open(&hub, NULL) < 0) exit(1);
  L = open_on(hub);
  must_run(
      L,
      "local t = green.spawn(function() green.sleep(0.001) return 6 end)\n"
      "n = t:wait()");
  CHECK(global_is(L, "n", 6),
        "on a hub with a loop of its own main may block");
  green_lua_close(L);
  lua_close(L);
  CHECK(green_close(hub) == 0, "the hub stays the host's");
}

/* ------------------------------------------------- hubs that do not do --
 * The bugs: a hub was closed under its state; stacks of 64 KB were accepted,
 * and overflowed in gsub; closing took as long as all threads that computed,
 * and then the host's loop went on to run them. */

/* The error of green_lua_open() in a new state; NULL if it accepts the hub. */
static const char *refusal(struct green_hub *hub) {
  static char said[200];
  lua_State *L = luaL_newstate();
  said[0] = '\0';
  if (green_lua_open(L, hub) != LUA_OK)
    snprintf(said, sizeof said, "%s", lua_tostring(L, -1));
  lua_close(L);
  return said[0] ? said : NULL;
}

static int is_refused(struct green_hub *hub, const char *why) {
  const char *said = refusal(hub);
  if (!said || !strstr(said, why)) printf("# %s\n", said ? said : "accepted");
  return said && strstr(said, why) != NULL;
}

static void test_next_state(void) {
  struct host host;
  open_host(&host);
  CHECK(green_close(host.hub) == UV_EBUSY,
        "a hub cannot be closed before its state");
  must_run(host.L, "green.spawn(function() green.sleep(0.001) n = 6 end)");
  uv_run(&host.loop, UV_RUN_DEFAULT);
  CHECK(global_is(host.L, "n", 6), "nor does that do it any harm");
  CHECK(green_lua_close(host.L) == 0, "a state can be closed");
  lua_close(host.L);
  CHECK(!refusal(host.hub), "and another one opened");
  host.L = open_on(host.hub);
  must_run(host.L, "green.spawn(function() green.sleep(0.001) n = 7 end)");
  uv_run(&host.loop, UV_RUN_DEFAULT);
  CHECK(global_is(host.L, "n", 7), "with which the hub works");
  CHECK(close_host(&host), "until both are closed");
}

static void test_small_stacks(void) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP};
  struct green_hub *hub;
  for (o.stack_size = 65536; o.stack_size <= 262144; o.stack_size *= 2) {
    if (green_open(&hub, &o) < 0) exit(1);
    CHECK(is_refused(hub, "Lua needs"),
          "stacks too small for Lua are refused");
    green_close(hub);
  }
  o.stack_size = green_stack_default();
  if (green_open(&hub, &o) < 0) exit(1);
  CHECK(!refusal(hub), "those of the default are not");
  green_close(hub);
}

static void on_host_timer(uv_timer_t *timer) {
  int *ticks = timer->data;
  if (++*ticks == 5) uv_close((uv_handle_t *)timer, NULL);
}

/* Threads whose clean-up computes for ever, forced or not. */
static const char mules[] =
    "green.config {grace = 0.1} green.on_error(function() end)\n"
    "turns = 0\n"
    "local function for_ever() while true do turns = turns + 1 end end\n"
    "for i = 1, 20 do green.spawn(function()\n"
    "  local _ <close> = setmetatable({}, {__close = function()\n"
    "    while true do pcall(for_ever) end end})\n"
    "  green.sleep(1e9) end) end\n"
    "for i = 1, 5 do green.spawn(function()\n"
    "  while true do pcall(string.gsub, 'x', 'x', function()\n"
    "    while true do pcall(green.sleep, 0) end end) end end) end";

static void test_left_behind(void) {
  struct host host;
  uv_timer_t timer;
  int ticks = 0, left, factor = RUNNING_ON_VALGRIND || SANITIZED ? 20 : 1;
  uint64_t began;
  open_host(&host);
  must_run(host.L, mules);
  for (int i = 0; i < 5; i++) uv_run(&host.loop, UV_RUN_NOWAIT);
  if (!freopen("/dev/null", "w", stderr)) exit(1); /* the reports */
  began = uv_hrtime();
  left = green_lua_close(host.L);
  began = (uv_hrtime() - began) / 1000000;
  printf("# %d ms, %d left\n", (int)began, left);
  if (!CHECK(began < 1000u * (unsigned)factor,
             "closing a state takes the grace twice, however many compute"))
    printf("# %d ms, %d left\n", (int)began, left);
  lua_close(host.L);
  uv_timer_init(&host.loop, &timer);
  timer.data = &ticks;
  uv_timer_start(&timer, on_host_timer, 1, 1);
  uv_run(&host.loop, UV_RUN_DEFAULT);
  CHECK(ticks == 5, "then the host's loop goes on, and runs none of them");
  CHECK(!refusal(host.hub), "the hub can have another state");
  CHECK(green_close(host.hub) == left, "and can be closed");
  uv_run(&host.loop, UV_RUN_DEFAULT);
  CHECK(uv_loop_close(&host.loop) == 0, "like its loop");
}

int main(void) {
  test_outcome();
  test_blocking();
  test_close();
  test_close_state_only();
  test_two();
  test_open_twice();
  test_main_drive();
  test_next_state();
  test_small_stacks();
  test_left_behind();
  return test_end();
}
