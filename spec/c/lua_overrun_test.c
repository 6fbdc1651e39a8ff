/* lua_overrun_test.c - scripts that compute, sleep or swallow their end are
 * made to yield, and are ended, by the limits of time; and a host interrupts
 * them from another OS thread.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "../../bindings/green_lua.h"
#include "test.h"

#define MS UINT64_C(1000000)

static struct green_hub *hub;
static lua_State *L;

static void run(const char *chunk) {
  if (!luaL_dostring(L, chunk)) return;
  printf("not ok - the script runs: %s\n", lua_tostring(L, -1));
  exit(1);
}

static void open_all(const struct green_lua_limits *limits, int tick_signal) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP, .size = sizeof o};
  o.grace = 300 * MS;
  o.tick_signal = tick_signal;
  if (green_open(&hub, &o) < 0) exit(1);
  if (!(L = green_lua_newstate(limits, NULL, NULL))) exit(1);
  luaL_openlibs(L);
  green_lua_open(L, hub);
  run("green = require 'green'; turns = 0");
}

static void close_all(void) {
  green_lua_close(L);
  lua_close(L);
  green_close(hub);
}

/* Steps until the Lua expression is true; 0: it never was, in 30 s. */
static int step_until(const char *expression) {
  uint64_t end = green_now() + 30000 * MS;
  char chunk[256];
  int is = 0;
  snprintf(chunk, sizeof chunk, "return %s", expression);
  while (!is && green_now() < end) {
    green_step(hub, 0);
    run(chunk);
    is = lua_toboolean(L, -1);
    lua_settop(L, 0);
  }
  return is;
}

/* --- limits --- */

static void slices(void) {
  struct green_lua_limits limits = {.size = sizeof limits, .slice = 2 * MS};
  open_all(&limits, 0);
  run("a = green.spawn(function() while true do turns = turns + 1 end end)\n"
      "b = green.spawn(green.atomic, function() while true do end end)\n"
      "c = green.spawn(function() while true do pcall(function() end) end "
      "end)");
  CHECK(step_until("a:stats().preempted > 2 and b:stats().preempted > 2 and "
                   "c:stats().preempted > 2"),
        "threads that compute are made to yield after a slice, "
        "in green.atomic, too");
  close_all();
}

/* The bug: a thread that had its kill before it gave its turns each 100 ms. So
 * many take longer than the grace, which cuts its handler short. */
static void slices_of_killed(void) {
  struct green_lua_limits limits = {.size = sizeof limits, .slice = 2 * MS};
  open_all(&limits, 0);
  green_config(hub)->grace = 8000 * MS;
  run("green.spawn(function() while true do turns = turns + 1; green.sleep(0) "
      "end end)\n"
      "t = green.spawn(function()\n"
      "  local x <close> = setmetatable({}, {__close = function()\n"
      "    local last = turns + 200 while turns < last do end done = true "
      "end})\n"
      "  green.sleep(1000)\n"
      "end)");
  step_until("t:status() == 'blocked'");
  run("t:kill()");
  step_until("t:status() == 'killed'");
  run("return done");
  CHECK(lua_toboolean(L, -1), "so are those that clean up after their kill");
  close_all();
}

/* Each of these scripts must end as killed, and the others go on. */
static const char *const hogs[] = {
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "coroutine.wrap(function() while true do end end)()",
    "table.sort({1, 2, 3}, function() while true do end end)",
    "local co = coroutine.wrap(function() while true do coroutine.yield() end "
    "end) while true do co() end",
    "while true do pcall(error) end",
    "green.atomic(function() while true do end end)",
    "green.shield(100, function() while true do end end)",
    "string.gsub('a', 'a', function() while true do end end)",
    "while true do string.rep('x', 1000) end",
    "setmetatable({}, {__index = function() while true do end end}).x = "
    "setmetatable({}, {__index = function() while true do end end}).y",
    "xpcall(function() while true do end end, function() while true do end "
    "end)"};
enum { HOGS = sizeof hogs / sizeof *hogs };

static void start_hogs(void) {
  int i;
  run("threads = {}");
  for (i = 0; i < HOGS; i++) {
    lua_getglobal(L, "threads");
    if (luaL_loadstring(L, hogs[i])) exit(1);
    green_lua_spawn(L, 0);
    lua_rawseti(L, -2, i + 1);
    lua_settop(L, 0);
  }
  run("function all_ended() for _, t in ipairs(threads) do\n"
      "if t:status() ~= 'killed' then return false end end return true end");
}

static void print_living(void) {
  run("for i, t in ipairs(threads) do if t:status() ~= 'killed' then\n"
      "print('# script', i, t:status()) end end");
}

static void stretches(uint64_t slice) {
  struct green_lua_limits limits = {.size = sizeof limits};
  limits.slice = slice;
  limits.stretch = 20 * MS;
  open_all(&limits, 0);
  start_hogs();
  run("calm = green.spawn(function() for _ = 1, 50 do local x = 0\n"
      "for i = 1, 10000 do x = x + i end green.sleep(0.001) end end)");
  CHECK(step_until("all_ended()"),
        slice ? "threads that compute for a stretch in many slices are ended"
              : "threads that compute for a stretch are ended");
  print_living();
  CHECK(step_until("calm:status() == 'done'"),
        "one that waits in between goes on");
  close_all();
}

static void lives(void) {
  struct green_lua_limits limits = {.size = sizeof limits, .life = 50 * MS};
  open_all(&limits, 0);
  start_hogs();
  run("for _, f in ipairs {\n"
      "  function() green.sleep(1000) end,\n"
      "  function() while true do pcall(green.sleep, 1000) end end,\n"
      "  function() green.shield(1000, green.sleep, 1000) end,\n"
      "  function() table.sort({1, 2}, function() green.sleep(1000) end) "
      "end,\n"
      "  function() while true do green.sleep(0) end end,\n"
      "  function() green.event():wait() end,\n"
      "} do threads[#threads + 1] = green.spawn(f) end\n"
      "threads[#threads + 1] = green.spawn_after(1000, print)");
  CHECK(step_until("all_ended()"),
        "threads are ended when their life is over, "
        "computing, sleeping or shielded");
  print_living();
  run("short = green.spawn(function() green.sleep(0.001) end)");
  CHECK(step_until("short:status() == 'done'"), "a short one returns");
  run("late = green.spawn(function() green.sleep(1000) end)");
  CHECK(step_until("late:status() == 'killed'"),
        "threads that start later have a life, too");
  close_all();
}

/* --- interruptions --- */

static _Atomic int interrupting;

static void *interrupt(void *how) {
  while (interrupting) {
    struct timespec pause = {0, 1000000};
    green_interrupt(hub, how != NULL);
    nanosleep(&pause, NULL);
  }
  return NULL;
}

static void interruptions(void) {
  pthread_t os_thread;
  int how;
  for (how = 0; how < 2; how++) {
    open_all(NULL, 0);
    CHECK(green_interrupt(hub, 0) == UV_ENOTSUP,
          "a hub is not interrupted before it is told to expect it");
    CHECK(green_lua_interruptible(L) == 0, "a hub can be interruptible");
    run("t = green.spawn(function() while true do os.time() end end)");
    interrupting = 1;
    pthread_create(&os_thread, NULL, interrupt, how ? &how : NULL);
    CHECK(how ? step_until("t:status() == 'killed'")
              : step_until("t:stats().preempted > 3"),
          how ? "another OS thread ends the thread that computes"
              : "another OS thread makes the thread that computes yield");
    interrupting = 0;
    pthread_join(os_thread, NULL);
    close_all();
  }
}

static void on_alarm(int number) {
  (void)number;
  green_interrupt(hub, 1);
}

static void by_signal(void) {
  struct itimerval soon = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
  open_all(NULL, 0);
  green_lua_interruptible(L);
  signal(SIGALRM, on_alarm);
  run("t = green.spawn(function() while true do os.time() end end)");
  setitimer(ITIMER_REAL, &soon, NULL);
  CHECK(step_until("t:status() == 'killed'"),
        "a signal handler ends the thread that computes");
  setitimer(ITIMER_REAL, &never, NULL);
  close_all();
}

/* --- fuel --- */

/* The number of steps that a script makes until its fuel is used up. */
static lua_Integer steps_with(uint64_t fuel) {
  lua_Integer n;
  open_all(NULL, 0);
  run("steps, last = 0, nil\n"
      "function walk() while true do steps = steps + 1 end end");
  lua_getglobal(L, "walk");
  green_lua_spawn(L, 0);
  if (green_lua_fuel(L, -1, fuel) < 0) exit(1);
  lua_setglobal(L, "t");
  step_until("t:status() == 'killed'");
  lua_getglobal(L, "steps");
  n = lua_tointeger(L, -1);
  lua_settop(L, 0);
  close_all();
  return n;
}

static void fuel(void) {
  struct green_lua_limits limits = {.size = sizeof limits, .slice = 2 * MS};
  lua_Integer first = steps_with(100000), second = steps_with(100000);
  CHECK(first > 10000 && first == second,
        "a thread with fuel makes the same number of steps in each run");
  open_all(&limits, 0);
  run("function burn()\n"
      "  for _ = 1, 3 do\n"
      "    pcall(green.spawn, burn)\n"
      "    coroutine.wrap(function() for i = 1, 1000 do end end)()\n"
      "    green.sleep(0)\n"
      "  end\n"
      "end");
  lua_getglobal(L, "burn");
  green_lua_spawn(L, 0);
  CHECK(green_lua_fuel(L, -1, 300000) == 0, "a thread may have fuel");
  lua_settop(L, 0);
  CHECK(step_until("green.stats().threads == 0"),
        "threads that spawn threads share their fuel, and end with it");
  luaL_loadstring(L, "debug.sethook() while true do end");
  green_lua_spawn(L, 0);
  green_lua_fuel(L, -1, UINT64_C(1) << 40);
  lua_setglobal(L, "t");
  CHECK(step_until("t:stats().preempted > 2"),
        "a thread with much fuel gives the others turns, too");
  lua_pushnil(L);
  CHECK(green_lua_fuel(L, 1, 1) == UV_EINVAL, "nothing else may have fuel");
  lua_settop(L, 0);
  close_all();
}

/* --- long ones --- */

static struct {
  int calls;
  uint64_t ran;
  char where[128];
} told;

static void on_long(struct green_hub *h, struct green_thread *t, uint64_t ran,
                    const char *where, void *arg) {
  (void)h, (void)t, (void)arg;
  told.calls++;
  told.ran = ran;
  snprintf(told.where, sizeof told.where, "%s", where);
}

static void long_ones(void) {
  open_all(NULL, 0);
  CHECK(green_on_long(L, 5 * MS, on_long, NULL) == 0, "a host may ask");
  run("green.spawn(function() local stop = os.clock() + 0.3\n"
      "while os.clock() < stop do os.time() end end)");
  while (green_live(hub) > 0) green_step(hub, 0);
  CHECK(told.calls == 1 && told.ran >= 4 * MS && strchr(told.where, ':'),
        "a host is told once who computes, for how long, and where");
  green_on_long(L, 0, NULL, NULL);
  close_all();
}

/* --- no signals --- */

static void no_signals(void) {
  struct green_lua_limits limits = {.size = sizeof limits, .slice = MS};
  open_all(NULL, -1);
  CHECK(green_lua_limit(L, &limits) == UV_ENOTSUP &&
            green_lua_interruptible(L) == UV_ENOTSUP &&
            green_on_long(L, MS, on_long, NULL) == UV_ENOTSUP,
        "without a signal there are no limits of time, and the host knows");
  run("local ok, err = pcall(green.config, {preempt = 0.01})\n"
      "return not ok and err:find('allows no signal', 1, true) ~= nil");
  CHECK(lua_toboolean(L, -1), "and the script");
  lua_settop(L, 0);
  close_all();
}

/* --- many states, many hubs --- */

static void states(void) {
  struct green_lua_limits limits = {.size = sizeof limits, .slice = 2 * MS};
  lua_State *first, *second;
  open_all(&limits, 0);
  first = L;
  L = second = luaL_newstate();
  luaL_openlibs(L);
  green_lua_open(L, hub);
  run("green = require 'green'\n"
      "t = green.spawn(function() local stop = os.clock() + 0.03\n"
      "while os.clock() < stop do os.time() end end)");
  while (green_live(hub) > 0) green_step(hub, 0);
  run("return t:stats().preempted == 0");
  CHECK(lua_toboolean(L, -1), "a limit is that of one state of a hub");
  L = first;
  green_lua_close(L);
  lua_close(L);
  L = second;
  lua_settop(L, 0);
  run("t = green.spawn(function() green.sleep(0.001) end)");
  CHECK(step_until("t:status() == 'done'"),
        "a state that closes leaves the others their ticks");
  close_all();
}

static void *one_hub(void *arg) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP, .size = sizeof o};
  struct green_hub *mine;
  lua_State *S = luaL_newstate();
  int ok;
  green_open(&mine, &o);
  luaL_openlibs(S);
  green_lua_open(S, mine);
  ok = !luaL_dostring(
      S,
      "local green = require 'green'\n"
      "green.config {preempt = 0.001, watchdog = 1}\n"
      "local turns = 0\n"
      "green.spawn(function() while turns < 3 do turns = turns + 1\n"
      "green.sleep(0) end end)\n"
      "green.spawn(function() while turns < 3 do os.time() end end)");
  if (!ok) printf("# %s\n", lua_tostring(S, -1));
  while (ok && green_live(mine) > 0) green_step(mine, 0);
  green_lua_close(S);
  lua_close(S);
  green_close(mine);
  *(int *)arg = ok;
  return NULL;
}

static void hubs(void) {
  pthread_t os_threads[3];
  int ok[3] = {0, 0, 0}, i;
  for (i = 0; i < 3; i++)
    pthread_create(&os_threads[i], NULL, one_hub, &ok[i]);
  for (i = 0; i < 3; i++) pthread_join(os_threads[i], NULL);
  CHECK(ok[0] && ok[1] && ok[2],
        "hubs in several OS threads preempt, each its own threads");
}

/* TSan holds signals back until the program calls something that it knows, such
 * as time(). */
int main(void) {
  if (WITH_TSAN) {
    SKIP("scripts that call nothing are bounded", "TSan holds signals back");
  } else {
    slices();
    slices_of_killed();
    stretches(0);
    stretches(3 * MS);
    lives();
    fuel();
  }
  interruptions();
  by_signal();
  long_ones();
  states();
  no_signals();
  hubs();
  return test_end();
}
