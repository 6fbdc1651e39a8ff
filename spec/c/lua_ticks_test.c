/* lua_ticks_test.c - ticks find the code that runs, in whichever state of a hub
 * it is, and in main and threads of C's: preemption, the watchdog, limits and
 * profiles of the CPU, for several states at once, closed in any order.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "lua_test.h"

#define MS UINT64_C(1000000)

static struct green_hub *hub;

/* The functions of the scripts. turned() computes until a thread of the same
 * state has had a turn, or for 2 s; where it must not, 20 ms tell. They call
 * os.time() all the while, as TSan holds signals back until such a call. */
static const char PROLOGUE[] =
    "function spin(s) local stop = os.clock() + s\n"
    "  while os.clock() < stop do os.time() end end\n"
    "function turned(s) local had = false\n"
    "  local t = green.spawn(function() had = true end)\n"
    "  local stop = os.clock() + (s or 2)\n"
    "  while not had and os.clock() < stop do os.time() end\n"
    "  local yes = had t:kill() return yes end\n"
    "heard = 0\n"
    "function hear() green.on_blocked(function(info) heard = heard + 1\n"
    "  where, what = info.where, info.what end) end\n";

static int is(lua_State *L, const char *expression) {
  char chunk[400];
  snprintf(chunk, sizeof chunk, "return %s", expression);
  lua_settop(L, 0);
  return run(L, chunk) && lua_toboolean(L, 1);
}

static void open_hub(enum green_drive drive) {
  struct green_options o = {.drive = drive, .size = sizeof o};
  o.grace = 300 * MS;
  if (green_open(&hub, &o) < 0) exit(1);
}

static lua_State *open_state(void) {
  lua_State *L = open_on(hub);
  if (!run(L, PROLOGUE)) exit(1);
  return L;
}

static void close_state(lua_State *L) {
  green_lua_close(L);
  lua_close(L);
}

/* --- preemption --- */

static void preemption(void) {
  lua_State *a, *b;
  open_hub(GREEN_DRIVE_MAIN);
  a = open_state();
  b = open_state();
  run(a, "green.config {preempt = 0.001}");
  CHECK(is(a, "turned()"), "the first state's main is preempted");
  CHECK(!is(b, "turned(0.02)"), "another state's is not: it did not ask");
  CHECK(is(b, "not green.config().preempt"), "and knows that");
  run(b, "green.config {preempt = 0.002}");
  CHECK(is(b, "turned()") && is(a, "turned()"), "both are, if both ask");
  run(a, "green.config {preempt = false}");
  CHECK(is(b, "turned()"), "one goes on when the other one stops");
  CHECK(!is(a, "turned(0.02)"), "which has its peace again");
  run(a, "green.config {preempt = 0.001}");
  close_state(a);
  CHECK(is(b, "turned()"), "one goes on when the other one is closed");
  a = open_state();
  CHECK(!is(a, "turned(0.02)"), "a new state has not asked for anything");
  run(a, "green.config {preempt = 0.001}");
  close_state(b);
  CHECK(is(a, "turned()"), "and goes on when the elder is closed");
  close_state(a);
  CHECK(green_close(hub) == 0, "the hub closes");
  open_hub(GREEN_DRIVE_MAIN);
  a = open_state();
  CHECK(!is(a, "turned(0.02)"), "nothing is left for a new hub");
  close_state(a);
  green_close(hub);
}

/* --- the watchdog --- */

/* Does the state hear once, as that expression says, of its main that computes?
 * A virtual machine may stand still for longer than a tick may be late; main is
 * taken for one in a call of C then, so there are more tries. */
static int hears(lua_State *L, const char *expression) {
  int tries;
  for (tries = 0; tries < 5; tries++) {
    run(L, "heard = 0 green.sleep(0.001) spin(0.3)");
    if (is(L, expression)) return 1;
    run(L, "print('# heard', heard, what, where)");
  }
  return 0;
}

/* A virtual machine stands still, and whoever ran pays with CPU time. */
static void burn(int number) {
  clock_t stop = clock() + CLOCKS_PER_SEC / 5;
  (void)number;
  while (clock() < stop) continue;
}

/* It does in 5 ms. No tick comes meanwhile. */
static int l_stand_still(lua_State *L) {
  struct itimerval soon = {{0, 0}, {0, 5000}};
  struct sigaction action;
  (void)L;
  memset(&action, 0, sizeof action);
  action.sa_handler = burn;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &soon, NULL);
  return 0;
}

static void standstill(void) {
  lua_State *L;
  open_hub(GREEN_DRIVE_MAIN);
  L = open_state();
  lua_register(L, "stand_still", l_stand_still);
  run(L, "hear()");
  run(L,
      "green.config {watchdog = 0.02} green.sleep(0.001)\n"
      "stand_still() spin(0.3)");
  CHECK(is(L, "heard == 1 and what == 'computing'"),
        "a machine that stands still is no call of C");
  close_state(L);
  green_close(hub);
}

static void watchdogs(void) {
  lua_State *a, *b;
  open_hub(GREEN_DRIVE_MAIN);
  a = open_state();
  b = open_state();
  run(a, "hear()"); /* which takes longer than the limit under valgrind */
  run(b, "hear()");
  run(a, "green.config {watchdog = 0.02}");
  CHECK(hears(a, "heard == 1 and what == 'computing' and where:find ':%d+'"),
        "the watchdog sees main compute in one state");
  CHECK(hears(b, "heard == 1 and what == 'computing'") && is(a, "heard == 1"),
        "and in another one, which hears of it");
  run(b, "green.config {watchdog = 0.02}");
  close_state(a);
  CHECK(hears(b, "heard == 1"), "a state's stays when another one is closed");
  a = open_state();
  run(a, "hear()");
  close_state(b);
  run(a, "green.sleep(0.001) spin(0.3)");
  CHECK(is(a, "heard == 0"), "it ends with the last state that wanted it");
  close_state(a);
  green_close(hub);
}

/* --- profiles --- */

/* Under load the kernel's ticks of CPU time come up to 250 ms apart. */
static void profiles(void) {
  lua_State *a, *b;
  const char *const start = "green.profile.start {hz = 500}";
  open_hub(GREEN_DRIVE_MAIN);
  a = open_state();
  b = open_state();
  run(a, "function in_a() spin(0.45) end spin(0.9)");
  run(b, "function in_b() spin(0.45) end");
  run(a, start);
  run(b, start);
  run(b, "in_b()");
  run(b, "text = green.profile.stop()");
  run(a, "in_a()");
  run(a, "text = green.profile.stop()");
  CHECK(is(a, "text:find 'in_a' and not text:find 'in_b'") &&
            is(b, "text:find 'in_b' and not text:find 'in_a'"),
        "a profile shows the code of its own state");
  run(a, "sum = 0 for n in text:gmatch '(%d+)\\n' do sum = sum + n end");
  CHECK(is(a, "sum > 180000 and sum < 870000"),
        "and no time from before its beginning");
  close_state(b);
  close_state(a);
  green_close(hub);
}

/* --- long ones --- */

static int told;

static void on_long(struct green_hub *h, struct green_thread *t, uint64_t ran,
                    const char *where, void *arg) {
  (void)h, (void)t, (void)ran, (void)where;
  *(int *)arg += 1;
}

static void long_ones(void) {
  lua_State *a, *b;
  open_hub(GREEN_DRIVE_MAIN);
  a = open_state();
  b = open_state();
  green_on_long(a, 5 * MS, on_long, &told);
  run(b, "spin(0.3)");
  CHECK(told == 1, "a host is told of who computes in any state");
  green_on_long(b, 0, NULL, NULL);
  run(a, "green.sleep(0) spin(0.3)");
  CHECK(told == 2, "another state cannot take that back");
  run(b, "green.config {preempt = 1}");
  close_state(a);
  told = 0;
  run(b, "green.sleep(0) spin(0.3)");
  CHECK(told == 0, "nobody is told after its state is closed");
  close_state(b);
  green_close(hub);
}

/* --- limits --- */

static void limits(void) {
  struct green_lua_limits short_one = {.size = sizeof short_one,
                                       .slice = 2 * MS,
                                       .stretch = 20 * MS},
                          long_one = {.size = sizeof long_one,
                                      .slice = 2 * MS,
                                      .stretch = 10000 * MS};
  uint64_t end = green_now() + 20000 * MS;
  lua_State *a, *b, *c;
  open_hub(GREEN_DRIVE_STEP);
  a = open_state();
  b = open_state();
  c = open_state();
  green_lua_limit(a, &short_one);
  green_lua_limit(b, &long_one);
  run(a, "t = green.spawn(function() while true do os.time() end end)");
  run(b, "t = green.spawn(spin, 0.1)");
  run(c, "t = green.spawn(spin, 0.1)");
  while (green_live(hub) > 0 && green_now() < end) green_step(hub, 0);
  CHECK(is(a, "t:status() == 'killed'"), "a state's limit ends its threads");
  CHECK(is(b, "t:status() == 'done' and t:stats().preempted > 0"),
        "another state has limits of its own");
  CHECK(is(c, "t:status() == 'done' and t:stats().preempted == 0"),
        "and a third one none");
  close_state(b);
  run(a, "t = green.spawn(function() while true do os.time() end end)");
  while (green_live(hub) > 0 && green_now() < end) green_step(hub, 0);
  CHECK(is(a, "t:status() == 'killed'"), "they stay when one is closed");
  close_state(a);
  close_state(c);
  green_close(hub);
}

/* --- threads of C's --- */

static int in_main(struct green_hub *h, void *arg) {
  (void)h;
  return run(arg, "spin(0.3)");
}

/* As hears(), of a thread of C's. */
static int hears_of(lua_State *L, green_fn f, const char *expression) {
  int tries;
  for (tries = 0; tries < 5; tries++) {
    run(L, "heard = 0");
    if (green_spawn(hub, NULL, f, L) < 0) exit(1);
    while (green_live(hub) > 0) green_step(hub, 0);
    if (is(L, expression)) return 1;
    run(L, "print('# heard', heard, what, where)");
  }
  return 0;
}

static void c_threads(void) {
  lua_State *a, *b;
  open_hub(GREEN_DRIVE_STEP);
  a = open_state();
  b = open_state();
  run(a, "hear() green.config {watchdog = 0.02}");
  run(b, "hear()");
  CHECK(hears_of(b, in_main, "heard == 1 and what == 'computing'"),
        "code that a thread of C's runs is seen");
  close_state(a);
  close_state(b);
  green_close(hub);
}

/* --- coroutines that C resumes --- */

static const char SPIN[] = "spin(0.3)";
/* Until the others have had some turns, or for 5 s. */
static const char SHARE[] =
    "local stop = os.clock() + 5\n"
    "while had < 5 and os.clock() < stop do os.time() end";

/* resume(told): a library that resumes by itself, and may tell of it. */
static int l_resume(lua_State *L) {
  lua_State *co = lua_newthread(L);
  int n, status, tells = lua_toboolean(L, 1);
  luaL_loadstring(co, tells ? SHARE : SPIN);
  status = tells ? green_lua_resume(co, L, 0, &n) : lua_resume(co, L, 0, &n);
  lua_pushboolean(L, status == LUA_OK);
  return 1;
}

static int in_coroutine(struct green_hub *h, void *arg) {
  lua_State *L = arg, *co = lua_newthread(L);
  (void)h;
  luaL_loadstring(co, SPIN);
  CHECK(green_lua_pcall(co, 0, 0, 0) == LUA_OK, "C runs Lua in a coroutine");
  return 0;
}

static void resumed(void) {
  lua_State *L;
  open_hub(GREEN_DRIVE_STEP);
  L = open_state();
  lua_register(L, "resume", l_resume);
  run(L,
      "hear() green.config {watchdog = 0.02, preempt = 0.002}\n"
      "t = green.spawn(resume, true)\n"
      "had = 0 green.spawn(function() while not t:join(0) do\n"
      "  had = had + 1 green.sleep(0) end end)");
  while (green_live(hub) > 0) green_step(hub, 0);
  CHECK(is(L, "t:wait() and had > 2 and t:stats().preempted > 2"),
        "a coroutine that C resumes is preempted if C tells of it");
  run(L,
      "green.config {preempt = false} heard = 0\n"
      "green.spawn(function() resume(false) return 1 end)");
  while (green_live(hub) > 0) green_step(hub, 0);
  CHECK(is(L, "heard == 1 and what == 'in a C call'"),
        "else it is a call of C for the watchdog");
  CHECK(hears_of(L, in_coroutine,
                 "heard == 1 and what == 'computing' and where:find ':%d+'"),
        "a thread of C's is seen to compute in a coroutine of its own");
  close_state(L);
  L = luaL_newstate();
  luaL_loadstring(L, "return 7");
  CHECK(green_lua_pcall(L, 0, 1, 0) == LUA_OK && lua_tointeger(L, -1) == 7,
        "the calls are Lua's in a state without luagreen");
  lua_close(L);
  green_close(hub);
}

int main(void) {
  preemption();
  watchdogs();
  standstill();
  profiles();
  long_ones();
  limits();
  c_threads();
  resumed();
  return test_end();
}
