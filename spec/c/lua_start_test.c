/* lua_start_test.c - a host starts scripts, kills them, waits for them, and is
 * told of each end exactly once, whatever the memory.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <unistd.h>

#include "lua_test.h"

/* ------------------------------------------------------------- the host -- */

struct host {
  uv_loop_t loop;
  struct green_hub *hub;
  lua_State *L;
  struct memory memory;
};

static int set_up(lua_State *L) {
  luaL_openlibs(L);
  if (green_lua_open(L, lua_touserdata(L, 1)) != LUA_OK) return lua_error(L);
  if (luaL_dostring(
          L,
          "green = require 'green'\n"
          "function sleep(s, ...) green.sleep(s) return ... end\n"
          "function forever() green.event():wait() end\n"
          "function fail() error('no luck', 0) end\n"
          "function fail_late() green.sleep(0.001) error({}, 0) end\n"
          "function swallow() while true do pcall(green.sleep, 1) end end\n"
          "green.on_error(function() strays = (strays or 0) + 1 end)"))
    lua_error(L);
  return 0;
}

/* Opens the library, in a state that may run out of memory. */
static int open_state(struct host *host) {
  host->L = lg_newstate(allocate, &host->memory, 1);
  if (!host->L) return 0;
  lua_pushcfunction(host->L, set_up);
  lua_pushlightuserdata(host->L, host->hub);
  if (lua_pcall(host->L, 1, 0, 0) == LUA_OK) return 1;
  lua_pop(host->L, 1);
  return 0;
}

static void open_host(struct host *host, enum green_drive drive) {
  struct green_options o;
  memset(&o, 0, sizeof o);
  memset(host, 0, sizeof *host);
  o.drive = drive;
  o.grace = UINT64_C(20000000);
  if (uv_loop_init(&host->loop) < 0) exit(1);
  if (drive == GREEN_DRIVE_LOOP) o.loop = &host->loop;
  if (green_open(&host->hub, &o) < 0) exit(1);
}

static int close_host(struct host *host) {
  int left = green_close(host->hub);
  uv_run(&host->loop, UV_RUN_DEFAULT);
  return left + (uv_loop_close(&host->loop) != 0);
}

/* ------------------------------------------------------------- the ends -- */

struct end {
  int calls, status, n, top, room, could_block;
  lua_Integer first;
  char text[100];
  struct green_thread *thread;
};

static void note(lua_State *L, int status, int n, void *arg) {
  struct end *e = arg;
  const char *text;
  e->calls++;
  e->status = status;
  e->n = n;
  e->top = lua_gettop(L);
  e->room = lua_checkstack(L, LUA_MINSTACK);
  e->could_block = green_sleep(green_lua_hub(L), 0) != UV_EPERM;
  e->first = lua_tointeger(L, 1);
  text = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : "";
  if (green_lua_is_killed(L, 1)) {
    e->first = -1;
    lua_getfield(L, 1, "reason");
    text = lua_tostring(L, -1);
  }
  snprintf(e->text, sizeof e->text, "%s", text ? text : "");
}

static void raise_later(lua_State *L, int status, int n, void *arg) {
  note(L, status, n, arg);
  luaL_error(L, "from the callback");
}

static int start(lua_State *L, const char *function, struct end *e) {
  memset(e, 0, sizeof *e);
  lua_getglobal(L, function);
  lua_pushinteger(L, 0);
  lua_pushinteger(L, 41);
  lua_pushnil(L);
  return green_lua_start(L, 3, note, e, &e->thread);
}

/* Runs the loop once and again until nothing is alive in it. */
static void run_loop(struct host *host) {
  uv_run(&host->loop, UV_RUN_DEFAULT);
}

static void test_ends(void) {
  struct host host;
  struct end good, bad, late, early, wild;
  lua_State *L;
  open_host(&host, GREEN_DRIVE_LOOP);
  if (!open_state(&host)) exit(1);
  L = host.L;
  CHECK(start(L, "sleep", &good) == 0 && start(L, "fail", &bad) == 0 &&
            start(L, "fail_late", &late) == 0 && lua_gettop(L) == 0 &&
            !good.calls && !bad.calls,
        "scripts are started, and have not run yet");
  start(L, "forever", &early);
  CHECK(green_kill(host.hub, early.thread) == 1 && early.calls == 0,
        "a kill tells nothing from inside of itself");
  lua_getglobal(L, "forever");
  memset(&wild, 0, sizeof wild);
  green_lua_start(L, 0, raise_later, &wild, &wild.thread);
  uv_run(&host.loop, UV_RUN_ONCE);
  green_kill(host.hub, wild.thread);
  run_loop(&host);
  CHECK(good.calls == 1 && good.status == LUA_OK && good.n == 2 &&
            good.top == 2 && good.room && good.first == 41,
        "the host is told the results, once, and they alone");
  CHECK(!good.could_block, "in its callback nothing blocks");
  CHECK(bad.calls == 1 && bad.status == LUA_ERRRUN && bad.n == 1 &&
            !strcmp(bad.text, "no luck"),
        "or the error of a script that failed");
  CHECK(late.calls == 1 && late.status == LUA_ERRRUN && late.n == 1,
        "and of one that failed after it had slept");
  CHECK(early.calls == 1 && early.status == LUA_ERRRUN && early.first == -1,
        "or the kill of one that never ran");
  CHECK(wild.calls == 1 && wild.first == -1,
        "and of one that ran; a callback that raises is reported");
  lua_getglobal(L, "strays");
  CHECK(lua_isnil(L, -1), "on_error gets none of these");
  lua_settop(L, 0);
  green_lua_close(L);
  lua_close(L);
  CHECK(close_host(&host) == 0 && good.calls + bad.calls + late.calls == 3,
        "all can be closed");
}

/* ---------------------------------------------- what cannot be started -- */

static void test_refused(void) {
  struct host host;
  struct end e, other;
  lua_State *L, *bare = luaL_newstate();
  open_host(&host, GREEN_DRIVE_STEP);
  if (!open_state(&host)) exit(1);
  L = host.L;
  lua_pushinteger(L, 1);
  CHECK(start(L, "no such function", &e) == UV_EINVAL && !e.thread &&
            lua_gettop(L) == 1,
        "what is no function is refused, and its arguments popped");
  if (luaL_dostring(L, "green.config {max_threads = 1}")) exit(1);
  start(L, "forever", &other);
  CHECK(start(L, "sleep", &e) == UV_EAGAIN && lua_gettop(L) == 1,
        "so is a script beyond max_threads");
  CHECK(start(bare, "sleep", &e) == UV_EINVAL && lua_gettop(bare) == 0,
        "and one of a state without the library");
  CHECK(green_lua_kill(L, 1, "x") == UV_EINVAL && !green_lua_thread(L, 1) &&
            green_lua_wait(L, 1, 0, &e.n) == UV_EINVAL && e.n == 0,
        "what is no handle is nothing to kill or to wait for");
  green_lua_close(L);
  CHECK(start(L, "sleep", &e) == UV_ECANCELED && lua_gettop(L) == 1 &&
            e.calls == 0,
        "and a state that is closed starts none");
  lua_close(L);
  lua_close(bare);
  close_host(&host);
}

/* ------------------------------------------------------------ the close -- */

static void test_close(enum green_drive drive, const char *sentence) {
  struct host host;
  struct end asleep, fresh, lasting;
  int left;
  open_host(&host, drive);
  if (!open_state(&host)) exit(1);
  start(host.L, "forever", &asleep);
  start(host.L, "swallow", &lasting);
  if (drive == GREEN_DRIVE_LOOP)
    uv_run(&host.loop, UV_RUN_NOWAIT);
  else if (drive == GREEN_DRIVE_STEP)
    green_step(host.hub, 0);
  else
    green_sleep(host.hub, green_now() + 1000000);
  start(host.L, "sleep", &fresh);
  left = green_lua_close(host.L);
  lua_close(host.L);
  CHECK(left == 0 && asleep.calls == 1 && asleep.first == -1 &&
            fresh.calls == 1 && fresh.first == -1 && lasting.calls == 1,
        sentence);
  CHECK(!asleep.could_block && !fresh.could_block && close_host(&host) == 0,
        "and blocks in none of the callbacks");
}

static void test_plain_lua_close(void) {
  struct host host;
  struct end asleep;
  open_host(&host, GREEN_DRIVE_LOOP);
  if (!open_state(&host)) exit(1);
  start(host.L, "forever", &asleep);
  uv_run(&host.loop, UV_RUN_NOWAIT);
  lua_close(host.L);
  CHECK(asleep.calls == 1 && asleep.first == -1,
        "so does lua_close() by itself");
  CHECK(close_host(&host) == 0, "and the hub can be closed");
}

/* Ignores what strikes it, in C, where nothing can be forced. */
static int stubborn(lua_State *L) {
  struct green_hub *hub = green_lua_hub(L);
  for (;;) green_sleep(hub, green_now() + 1000000);
  return 0;
}

static void test_stubborn(void) {
  struct host host;
  struct end e;
  int left;
  open_host(&host, GREEN_DRIVE_MAIN);
  if (!open_state(&host)) exit(1);
  lua_register(host.L, "stubborn", stubborn);
  start(host.L, "stubborn", &e);
  green_sleep(host.hub, green_now() + 1000000);
  left = green_lua_close(host.L);
  CHECK(left == 1 && e.calls == 1 && e.status == LUA_ERRRUN &&
            strstr(e.text, "would not end"),
        "the host is told of a script that would not end, too");
  lua_close(host.L);
  close_host(&host);
}

/* Another state on the same hub; its library is opened and no more. */
static void test_two_states(void) {
  struct host host;
  struct end mine, other, bare;
  lua_State *L, *second = luaL_newstate();
  open_host(&host, GREEN_DRIVE_LOOP);
  if (!open_state(&host)) exit(1);
  L = host.L;
  luaL_openlibs(second);
  if (green_lua_open(second, host.hub) != LUA_OK) exit(1);
  if (luaL_dostring(second, "function sleep(s, ...) return ... end")) exit(1);
  start(second, "sleep", &bare);
  start(L, "forever", &mine);
  uv_run(&host.loop, UV_RUN_NOWAIT);
  uv_run(&host.loop, UV_RUN_NOWAIT);
  CHECK(bare.calls == 1 && bare.status == LUA_OK && bare.first == 41,
        "a script needs no require of its state's");
  start(second, "sleep", &other);
  green_lua_close(L);
  lua_close(L);
  CHECK(mine.calls == 1 && mine.first == -1,
        "closing a state ends its scripts");
  uv_run(&host.loop, UV_RUN_DEFAULT);
  CHECK(other.calls == 1 && other.status == LUA_OK,
        "and no other state's, which go on");
  green_lua_close(second);
  lua_close(second);
  CHECK(close_host(&host) == 0, "and the hub can be closed");
}

/* ------------------------------------------------------------- the kill -- */

static void spawn(lua_State *L, const char *function) {
  lua_getglobal(L, function);
  green_lua_spawn(L, 0);
}

static int has_reason(lua_State *L, int index, const char *reason) {
  int n, is;
  if (green_lua_outcome(L, index, &n) != LUA_ERRRUN) return 0;
  is = green_lua_is_killed(L, -1) && lua_getfield(L, -1, "reason") &&
       lua_isstring(L, -1) && !strcmp(lua_tostring(L, -1), reason);
  lua_settop(L, 3);
  return is;
}

static void test_kill(void) {
  struct host host;
  lua_State *L;
  long before;
  open_host(&host, GREEN_DRIVE_STEP);
  if (!open_state(&host)) exit(1);
  L = host.L;
  spawn(L, "forever");
  green_lua_kill(L, 1, "to learn the place of the function");
  spawn(L, "forever");
  spawn(L, "forever");
  lua_remove(L, 1);
  green_step(host.hub, 0);
  spawn(L, "forever");
  before = host.memory.calls;
  host.memory.first = before + 1;
  host.memory.last = LONG_MAX;
  CHECK(green_lua_thread(L, 1) && green_lua_kill(L, 1, "limit") == 1 &&
            green_lua_kill(L, 3, "early") == 1 &&
            green_lua_kill(L, 2, NULL) == 1 && green_lua_kill(L, 3, "x") == 0,
        "a kill needs no memory of Lua's");
  CHECK(host.memory.calls == before, "and asks for none");
  host.memory.first = 0;
  CHECK(lua_gettop(L) == 3, "nor touches the stack");
  green_step(host.hub, 0);
  CHECK(has_reason(L, 1, "limit") && has_reason(L, 3, "early"),
        "yet its reason is told, of a thread that ran and one that did not");
  CHECK(green_lua_thread(L, 1) == NULL && green_lua_kill(L, 1, "y") == 0,
        "a thread that has ended has no record, and cannot be killed");
  green_lua_close(L);
  lua_close(L);
  close_host(&host);
}

/* ------------------------------------------------------------- the wait -- */

struct waiter {
  struct host *host;
  lua_State *L;
  const char *function;
  uint64_t in;
  int r, n, ok;
};

/* Has a lua_State of its own, with the handle at 1. */
static int wait_for(struct green_hub *hub, void *arg) {
  struct waiter *w = arg;
  (void)hub;
  w->r = green_lua_wait(w->L, 1, w->in ? green_now() + w->in : GREEN_FOREVER,
                        &w->n);
  w->ok = lua_gettop(w->L) == 1 + w->n;
  return 0;
}

static struct green_thread *spawn_waiter(struct waiter *w, struct host *host,
                                         const char *function, uint64_t in) {
  struct green_thread *t;
  memset(w, 0, sizeof *w);
  w->host = host;
  w->in = in;
  w->L = lua_newthread(host->L); /* stays on the stack of host->L */
  lua_getglobal(w->L, function);
  lua_pushnumber(w->L, 0.001);
  lua_pushinteger(w->L, 7);
  green_lua_spawn(w->L, 2);
  green_spawn(host->hub, &t, wait_for, w);
  return t;
}

static void test_wait(void) {
  struct host host;
  struct waiter good, bad, slow, killed;
  struct green_thread *t, *main;
  int n, r;
  open_host(&host, GREEN_DRIVE_MAIN);
  if (!open_state(&host)) exit(1);
  main = green_current(host.hub);
  spawn_waiter(&good, &host, "sleep", 0);
  spawn_waiter(&bad, &host, "fail_late", 0);
  spawn_waiter(&slow, &host, "forever", 1000000);
  t = spawn_waiter(&killed, &host, "forever", 0);
  green_sleep(host.hub, green_now() + 500000);
  green_kill(host.hub, t);
  while (green_status(t)[0] != 'd') green_sleep(host.hub, 0);
  while (!slow.r || !bad.r || !good.ok) green_sleep(host.hub, 0);
  CHECK(good.r == LUA_OK && good.n == 1 && good.ok &&
            lua_tointeger(good.L, -1) == 7,
        "a thread of C code waits for a script and gets its results");
  CHECK(bad.r == LUA_ERRRUN && bad.n == 1 && bad.ok && lua_istable(bad.L, -1),
        "or its error");
  CHECK(slow.r == UV_ETIMEDOUT && slow.n == 0 && slow.ok,
        "or waits no longer than its limit");
  CHECK(killed.r == UV_ECANCELED && killed.n == 0 && killed.ok,
        "or until it is killed itself");
  lua_getglobal(host.L, "strays");
  CHECK(lua_isnil(host.L, -1), "it is the destination of the error");
  lua_getglobal(host.L, "sleep");
  lua_pushnumber(host.L, 0.001);
  green_lua_spawn(host.L, 1);
  r = green_lua_wait(host.L, -1, GREEN_FOREVER, &n);
  CHECK(r == LUA_OK && n == 0, "the main program waits like any thread");
  CHECK(green_lua_push_thread(host.L, main) == 0 &&
            green_lua_thread(host.L, -1) == main,
        "a record has a handle, and the handle the record");
  green_lua_close(host.L);
  lua_close(host.L);
  close_host(&host);
}

/* ---------------------------------------------------------- short memory -- */

/* One run with some calls for memory failing: starts, ends, kills, waits. 1:
 * every script that was started had its one end. */
static int run_short(struct memory *limits, int *started) {
  static const char *const functions[] = {"sleep", "fail_late", "forever",
                                          "fail"};
  struct host host;
  struct end e[8];
  int i, right = 1, is_started[8];
  open_host(&host, GREEN_DRIVE_STEP);
  if (!open_state(&host)) exit(1);
  limits->calls = host.memory.calls; /* counted from here */
  if (limits->first) {
    host.memory.first = limits->calls + limits->first;
    host.memory.last =
        limits->last < LONG_MAX / 2 ? limits->calls + limits->last : LONG_MAX;
  }
  for (i = 0; i < 8; i++) {
    is_started[i] = start(host.L, functions[i % 4], &e[i]) == 0;
    *started += is_started[i];
    right &= lua_gettop(host.L) == 0;
    if (i == 3) green_step(host.hub, 0);
    if (i == 2 && is_started[2] &&
        green_lua_push_thread(host.L, e[2].thread) == 0) {
      right &= green_lua_kill(host.L, -1, "short") == 1;
      lua_settop(host.L, 0);
    }
  }
  for (i = 0; i < 5; i++) green_step(host.hub, 0);
  green_lua_close(host.L);
  limits->calls = host.memory.calls - limits->calls;
  host.memory.first = 0;
  for (i = 0; i < 8; i++) right &= e[i].calls == is_started[i];
  lua_close(host.L);
  right &= host.memory.in_use == 0;
  return close_host(&host) == 0 && right;
}

static void test_memory(long times, const char *sentence) {
  struct memory none = {0, 0, 0, 0, 0};
  int started = 0, right = run_short(&none, &started);
  long n, short_of = 0, step = RUNNING_ON_VALGRIND ? 31 : SANITIZED ? 7 : 1;
  CHECK(right && started == 8, "with memory enough each script has its end");
  for (n = 1; n <= none.calls + 5; n += step) {
    struct memory m = {0, n, n + times - 1, 0, 0};
    int some = 0;
    alarm(60);
    if (!run_short(&m, &some)) right = 0, printf("# wrong at %ld\n", n);
    alarm(0);
    short_of += 8 - some;
  }
  printf("# %ld allocations, %ld starts refused\n", none.calls, short_of);
  CHECK(right && (times == 1 || short_of > 0), sentence);
}

/* ---------------------------------------------------------------- texts -- */

/* The bug: the text of a script that had returned nothing was that of a
 * function of the library's. */
static void text_of(lua_State *L, int status, int n, void *arg) {
  const char *last = green_lua_text(L, n);
  (void)status;
  if (n == 0 && strcmp(last, "nothing") != 0) abort();
  lua_pop(L, 1);
  snprintf(arg, 100, "%s", green_lua_text(L, 1));
}

/* A script that was killed, in a state that has loaded nothing of the Lua part:
 * the object of its kill has no __tostring. */
static int tells_kill(struct green_hub *hub) {
  lua_State *L = luaL_newstate();
  struct green_thread *t;
  char text[100] = "";
  int right = green_lua_open(L, hub) == LUA_OK;
  luaL_openlibs(L);
  luaL_loadstring(L, "");
  right = right && green_lua_start(L, 0, text_of, text, &t) == 0;
  right = right && green_kill(hub, t) == 1;
  lua_close(L);
  return right && strcmp(text, "killed") == 0;
}

/* luaL_tolstring() was in the examples: a script's __tostring then computed for
 * ever on the host's stack. */
static void test_text(void) {
  static const char *const scripts[][2] = {
      {"return 'bytes'", "bytes"},
      {"return 12", "12"},
      {"return 1.5, 2", "1.5"},
      {"return nil", "nil"},
      {"return", "nothing"},
      {"return false", "false"},
      {"error('why', 0)", "why"},
      {"green.current():kill('enough') green.sleep(1)", "killed: enough"},
      {"return setmetatable({}, {__name = 'animal'})", "animal: 0x"},
      {"error(setmetatable({}, {__tostring = hang}))", "(a table value)"},
      {"green.current():kill(setmetatable({}, {__tostring = hang}))"
       "green.sleep(1)",
       "(a table value)"},
      {"getmetatable('').__tostring = hang error('text', 0)", "text"},
  };
  struct host host;
  char text[100];
  unsigned i;
  int right = 1;
  open_host(&host, GREEN_DRIVE_LOOP);
  right = open_state(&host) &&
          !luaL_dostring(host.L, "function hang() while true do end end");
  for (i = 0; right && i < sizeof scripts / sizeof *scripts; i++) {
    const char *wanted = scripts[i][1];
    luaL_loadstring(host.L, scripts[i][0]);
    memset(text, 0, sizeof text);
    right = green_lua_start(host.L, 0, text_of, text, NULL) == 0;
    run_loop(&host);
    right = right && strncmp(text, wanted, strlen(wanted)) == 0;
    if (!right) printf("# %s: %s\n", scripts[i][0], text);
  }
  lua_close(host.L);
  right = right && tells_kill(host.hub);
  CHECK(right && close_host(&host) == 0,
        "green_lua_text() tells what a script came to, and runs none of its "
        "code");
}

int main(void) {
  if (!freopen("/dev/null", "w", stderr)) return 1; /* reports on purpose */
  test_ends();
  test_refused();
  test_close(GREEN_DRIVE_LOOP,
             "green_lua_close() tells of each script that it kills");
  test_close(GREEN_DRIVE_STEP, "the same with a hub that is stepped");
  test_close(GREEN_DRIVE_MAIN, "and with a hub of the program's own");
  test_plain_lua_close();
  test_stubborn();
  test_two_states();
  test_kill();
  test_wait();
  test_text();
  test_memory(1,
              "when one allocation fails, whichever, nothing raises and "
              "each script that started has its one end");
  test_memory(2, "the same when the second try fails, too");
  test_memory(LONG_MAX / 2, "and when memory stays short");
  return test_end();
}
