/* lua_close_test.c - lua_close() with live green threads of every kind: they
 * are killed, their <close> variables run, and nothing runs afterwards.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lua_test.h"

/* ------------------------------------------------------------- fixtures -- */

static int closed; /* counted in C, to be seen when the state is gone */

static int note_close(lua_State *L) {
  closed += (int)luaL_optinteger(L, 1, 1);
  return 0;
}

static const char PRELUDE[] =
    "green = require 'green'\n"
    "green.config{grace = 0.05}\n"
    "function guard(f)\n"
    "  return setmetatable({}, {__close = function()\n"
    "    if f then f() end\n"
    "    closed()\n"
    "  end})\n"
    "end\n";

static lua_State *open_state(void) {
  lua_State *L = own_state();
  lua_register(L, "closed", note_close);
  must_run(L, PRELUDE);
  return L;
}

/* Runs the chunk and closes the state: `wanted` variables must be closed. */
static void test_kind(const char *chunk, int wanted, const char *sentence) {
  lua_State *L = open_state();
  closed = 0;
  must_run(L, chunk);
  lua_close(L);
  if (!CHECK(closed == wanted, sentence))
    printf("# closed %d instead of %d\n", closed, wanted);
}

/* ---------------------------------------------------------- every kind -- */

static void test_kinds(void) {
  test_kind(
      "for _ = 1, 10 do green.spawn(function()\n"
      "  local g <close> = guard() green.sleep(1e9) end) end\n"
      "green.sleep(0)",
      10, "threads that yielded");
  test_kind(
      "for _ = 1, 10 do green.spawn(function()\n"
      "  local g <close> = guard()\n"
      "  string.gsub('x', 'x', function()\n"
      "    local h <close> = guard()\n"
      "    green.sleep(1e9) end) end) end\n"
      "green.sleep(0)",
      20, "threads that keep their C stack in a gsub callback");
  /* The variables of a coroutine of the program's stay open, as in stock
   * Lua. */
  test_kind(
      "for _ = 1, 10 do green.spawn(function()\n"
      "  local g <close> = guard()\n"
      "  local co = coroutine.wrap(function() green.sleep(1e9) end)\n"
      "  co() end) end\n"
      "green.sleep(0)",
      10, "threads that wait in a nested coroutine");
  test_kind("green.spawn(function() local g <close> = guard() end)", 0,
            "a thread that never started does not run");
  test_kind(
      "green.spawn(function() local g <close> = guard()\n"
      "  green.shield(1e9, green.sleep, 1e9) end)\n"
      "green.sleep(0)",
      1, "a thread under a shield without end");
  test_kind(
      "green.spawn(function()\n"
      "  local outer <close> = guard()\n"
      "  local g <close> = guard(function() green.sleep(1e9) end)\n"
      "  green.sleep(1e9) end)\n"
      "green.sleep(0)",
      1, "a thread that blocks in <close>: the others run");
}

static void test_kinds_that_resist(void) {
  test_kind(
      "green.spawn(function()\n"
      "  local g <close> = guard()\n"
      "  while true do pcall(green.sleep, 1e9) end end)\n"
      "green.sleep(0)",
      1, "a thread that swallows every error");
  test_kind(
      "green.spawn(function()\n"
      "  local g <close> = guard()\n"
      "  pcall(green.sleep, 1e9)\n"
      "  while true do pcall(function() for _ = 1, 100 do end end) end\n"
      "end)\n"
      "green.sleep(0)",
      1, "a thread that computes in a loop of pcalls");
  test_kind(
      "local q = green.queue(1)\n"
      "green.spawn(function() local g <close> = guard()\n"
      "  q:put(1) q:put(2) end)\n"
      "local e = green.event()\n"
      "green.spawn(function() local g <close> = guard() e:wait() end)\n"
      "local t = green.spawn(function() local g <close> = guard()\n"
      "  green.sleep(1e9) end)\n"
      "green.spawn(function() local g <close> = guard() t:join() end)\n"
      "green.sleep(0)",
      4, "threads that wait for a queue, an event, each other");
  test_kind(
      "green.spawn(function()\n"
      "  local g <close> = guard(function()\n"
      "    green.shield(1, green.sleep, 0.002) end)\n"
      "  green.sleep(1e9) end)\n"
      "green.sleep(0)",
      1, "clean-up under a shield may block");
  test_kind(
      "local t = green.spawn(function()\n"
      "  local g <close> = guard() green.sleep(1e9) end)\n"
      "t:link(function() closed(100) end)\n"
      "green.sleep(0)",
      101, "and links of killed threads are run");
}

/* ----------------------------------------------- from inside a thread -- */

static int close_state(lua_State *L) {
  closed = 0;
  lua_close(L);
  fflush(NULL);
  _exit(closed == 3 ? 0 : 40 + closed);
}

/* A C library that ends the program from a callback. */
static void test_inside(const char *main_waits, const char *sentence) {
  int status;
  pid_t pid;
  fflush(stdout);
  if ((pid = fork()) == 0) {
    lua_State *L = open_state();
    lua_register(L, "close_state", close_state);
    must_run(
        L,
        "for _ = 1, 2 do green.spawn(function()\n"
        "  local g <close> = guard() green.sleep(1e9) end) end\n"
        "green.spawn(function()\n"
        "  local g <close> = guard(function()\n"
        "    green.shield(1, green.sleep, 0.02) end)\n"
        "  green.sleep(1e9) end)\n"
        "event = green.event()\n"
        "green.spawn(function() pcall(green.sleep, 1e9) event:send() end)\n"
        "green.spawn(function() close_state() end)");
    must_run(L, main_waits);
    _exit(77); /* main must never run again */
  }
  waitpid(pid, &status, 0);
  if (!CHECK(status == 0, sentence)) printf("# status %x\n", (unsigned)status);
}

static void test_from_thread(void) {
  test_inside("green.sleep(1e9)",
              "lua_close() inside a green thread ends the others and does not "
              "crash");
  test_inside("green.sleep(0.005)", "main is not woken by its deadline then");
  test_inside("event:wait()", "nor by what it waited for");
  test_inside("while true do green.sleep(0) end", "nor when it was ready");
}

/* The child's copy of a state may be closed; no thread runs there. */
static void test_in_child(void) {
  lua_State *L = open_state();
  int status;
  pid_t pid;
  closed = 0;
  must_run(L,
           "green.spawn(function() local g <close> = guard()\n"
           "  green.sleep(1e9) end)\n"
           "green.sleep(0)");
  fflush(stdout);
  if ((pid = fork()) == 0) {
    lua_close(L);
    _exit(closed);
  }
  waitpid(pid, &status, 0);
  must_run(L, "green.sleep(0.001)");
  lua_close(L);
  CHECK(status == 0 && closed == 1,
        "a forked child may close its copy of the state; nothing runs there");
}

/* ------------------------------------------------------------ elsewhere --
 * The bugs: sleep(0) and spawn went ahead in a forked child, and what refused
 * said "operation not permitted". */

/* Each function must raise, and say where it is. */
static const char *const refused_there =
    "for name, f in pairs {\n"
    "  sleep = function() green.sleep(0) end,\n"
    "  pause = function() green.sleep(0.001) end,\n"
    "  spawn = function() green.spawn(print) end,\n"
    "  spawn_n = function() green.spawn_n(print) end,\n"
    "  kill = function() victim:kill() end,\n"
    "  get = function() green.queue():get() end,\n"
    "  join = function() victim:join() end,\n"
    "  pool = function() green.pool(1):spawn(print) end,\n"
    "  connect = function() assert(green.connect('localhost', 1)) end,\n"
    "} do\n"
    "  local ok, err = pcall(f)\n"
    "  if ok or not tostring(err):find(place, 1, true) then\n"
    "    print('# ' .. name, ok, err)\n"
    "    strangers = (strangers or 0) + 1\n"
    "  end\n"
    "end";

static int strangers(lua_State *L, const char *place) {
  int n;
  lua_pushstring(L, place);
  lua_setglobal(L, "place");
  must_run(L, refused_there);
  lua_getglobal(L, "strangers");
  n = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

static void *on_foreign_thread(void *L) {
  return (void *)(intptr_t)strangers(L, "on another OS thread");
}

static void test_elsewhere(void) {
  lua_State *L = open_state();
  pthread_t thread;
  void *found;
  int status;
  pid_t pid;
  must_run(L,
           "victim = green.spawn(green.sleep, 60)\n"
           "green.sleep(0)");
  if (pthread_create(&thread, NULL, on_foreign_thread, L) != 0) abort();
  pthread_join(thread, &found);
  CHECK(!found, "on another OS thread every call is refused, and says why");
  fflush(stdout);
  if ((pid = fork()) == 0) {
    status = strangers(L, "in a forked child");
    fflush(stdout);
    /* The parent's memory in the child is not a leak. */
    execlp(status == 0 ? "true" : "false", "child", (char *)NULL);
    _exit(1);
  }
  waitpid(pid, &status, 0);
  CHECK(status == 0, "and in a forked child");
  must_run(L, "assert(victim:kill())");
  lua_close(L);
}

/* --------------------------------------------------- loading, reloading -- */

static void test_require(void) {
  lua_State *L = own_state();
  must_run(
      L,
      "local co = coroutine.wrap(function()\n"
      "  local green = require 'green'\n"
      "  local t = green.spawn(function() green.sleep(0.001) return 3 end)\n"
      "  return t:wait()\n"
      "end)\n"
      "n = co()\n"
      "co = nil collectgarbage()\n"
      "local green = require 'green'\n"
      "n = n + green.spawn(function() green.sleep(0) return 4 end):wait()");
  lua_getglobal(L, "n");
  CHECK(lua_tointeger(L, -1) == 7, "require works in a coroutine");
  lua_close(L);
}

static int lowest_free(void) {
  int fd = dup(0);
  close(fd);
  return fd;
}

/* The bug: the handles of green.test that were closing counted as the host's,
 * and the hub stayed open. */
static void test_tested(void) {
  int before = lowest_free();
  lua_State *L = own_state();
  must_run(L,
           "local green = require 'green'\n"
           "green.test.run(function() green.sleep(1) end, {seed = 1})");
  lua_close(L);
  CHECK(lowest_free() == before, "green.test leaves no hub behind");
}

static void test_again(void) {
  lua_State *L = open_state();
  must_run(L,
           "local id = green.current().id\n"
           "local t = green.spawn(function() green.sleep(1e9) end)\n"
           "green.sleep(0)\n"
           "for name in pairs(package.loaded) do\n"
           "  if name:find '^green' then package.loaded[name] = nil end\n"
           "end\n"
           "local other = require 'green'\n"
           "local u = other.find_thread(t.id)\n"
           "same = other == green and u == t and other.current().id == id\n"
           "u:kill() u:join()");
  lua_getglobal(L, "same");
  CHECK(lua_toboolean(L, -1),
        "package.loaded cleared and required again: the same face and hub");
  lua_close(L);
}

static void test_sequence(void) {
  int good = 1;
  for (int i = 0; i < 5; i++) {
    lua_State *L = open_state();
    closed = 0;
    must_run(L,
             "green.spawn(function() local g <close> = guard()\n"
             "  green.sleep(1e9) end)\n"
             "green.sleep(0.001)");
    lua_close(L);
    good &= closed == 1;
  }
  CHECK(good, "five states one after the other in one process");
  lua_State *a = open_state(), *b = open_state();
  must_run(a, "green.spawn(function() green.sleep(1e9) end) green.sleep(0)");
  must_run(b,
           "n = green.spawn(function() green.sleep(0) return 1 end):wait()");
  lua_close(a);
  must_run(
      b, "n = n + green.spawn(function() green.sleep(0) return 1 end):wait()");
  lua_getglobal(b, "n");
  CHECK(lua_tointeger(b, -1) == 2, "two at once, each with its own hub");
  lua_close(b);
}

static struct memory memory;

static int l_lasts(lua_State *L) {
  memory_lasts(&memory, (long)luaL_checkinteger(L, 1));
  return 0;
}

/* Without memory Lua cannot call all finalizers, and nobody closes the hub. */
extern void lsan_disable(void) __asm__("__lsan_disable") __attribute__((weak));

/* How a child ends in which a thread leaves when n calls for memory succeed. */
static int exit_status(int n) {
  int status = -1;
  pid_t child = fork();
  if (child == 0) {
    struct green_hub *hub;
    lua_State *L;
    if (lsan_disable) lsan_disable();
    L = lg_newstate(allocate, &memory, 0);
    alarm(20);
    close(STDERR_FILENO);
    luaL_openlibs(L);
    if (green_open(&hub, NULL) < 0 || green_lua_open(L, hub)) _exit(2);
    lua_register(L, "lasts", l_lasts);
    lua_pushinteger(L, n);
    lua_setglobal(L, "n");
    _exit(luaL_dostring(L,
                        "local green, exit = require 'green', os.exit\n"
                        "green.spawn(function() lasts(n) exit(7, true) end)\n"
                        "green.sleep(1e6)"));
  }
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The bug: where there was none, os.exit failed and the program went on. */
static void test_exit_without_memory(void) {
  int n, good = 1;
  for (n = 0; n < 20; n++) good &= exit_status(n) == 7;
  CHECK(good, "a thread's os.exit needs no memory");
}

enum { LOOPS = 10 };

/* How many threads are left when the grace is over. */
static int left_of_many(void) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP, .grace = 200000000};
  struct green_hub *hub;
  lua_State *L = luaL_newstate();
  int i, left;
  if (green_open(&hub, &o) < 0) abort();
  luaL_openlibs(L);
  if (green_lua_open(L, hub) != LUA_OK) abort();
  must_run(L,
           "local green = require 'green'\n"
           "local function loop() while true do end end\n"
           "for i = 1, 10 do green.spawn(function()\n"
           "  local _ <close> = setmetatable({}, {__close = loop})\n"
           "  green.sleep(100) end) end\n"
           "for i = 1, 50 do green.spawn(green.sleep, 100) end");
  for (i = 0; i < 10; i++) green_step(hub, 0);
  left = green_lua_close(L);
  lua_close(L);
  green_close(hub);
  return left;
}

/* The bug: threads whose <close> handlers computed for ever had turns as long
 * as the grace, and those that only slept had none. A machine that stands still
 * for the whole grace gets another try. */
static void test_turns(void) {
  int left, tries = 20;
  do left = left_of_many();
  while (left > LOOPS && --tries > 0);
  if (!CHECK(left <= LOOPS, "threads that sleep end beside those that loop"))
    printf("# %d left\n", left);
}

int main(void) {
  test_exit_without_memory();
  test_turns();
  test_kinds();
  test_kinds_that_resist();
  test_from_thread();
  test_in_child();
  test_elsewhere();
  test_require();
  test_tested();
  test_again();
  test_sequence();
  return test_end();
}
