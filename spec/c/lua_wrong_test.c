/* lua_wrong_test.c - calls of a host's that are wrong: with nothing on the
 * stack, with NULL, of a state without the library, or where it is closed, and
 * on another OS thread. Each has a code, and nothing else happens.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "lua_test.h"

static struct green_hub *hub;
/* With the library; without; where it is closed. */
static lua_State *state[3];

static int push_port(lua_State *L) {
  green_lua_push_port(L, NULL);
  return 1;
}

static int nothing(lua_State *L) {
  (void)L;
  return 0;
}

static void test_start(lua_State *L) {
  struct green_thread *t;
  int n;
  lua_settop(L, 0);
  CHECK(green_lua_start(L, 0, NULL, NULL, &t) == UV_EINVAL && !t,
        "start without a function");
  CHECK(green_lua_start(L, 3, NULL, NULL, NULL) == UV_EINVAL &&
            green_lua_start(L, -1, NULL, NULL, NULL) == UV_EINVAL,
        "or with another number of values");
  lua_pushinteger(L, 5);
  CHECK(green_lua_start(L, 0, NULL, NULL, NULL) < 0 && lua_gettop(L) == 0,
        "or of a number");
  lua_pushinteger(L, 5);
  CHECK(green_lua_kill(L, 1, NULL) <= 0 && green_lua_kill(L, 9, NULL) <= 0 &&
            !green_lua_thread(L, 1) && green_lua_wait(L, 1, 0, &n) < 0 &&
            !green_lua_is_killed(L, 1) && green_lua_fuel(L, 1, 1) < 0,
        "a number is no thread");
  CHECK(green_lua_push_thread(L, NULL) == UV_EINVAL, "nor is NULL");
  lua_settop(L, 0);
}

static void test_rest(lua_State *L) {
  struct green_message *m;
  struct green_lua_limits limits = {.size = 1};
  CHECK(green_lua_limit(L, NULL) == 0 && green_lua_limit(L, &limits) == 0,
        "no limits, and those of a younger library");
  lua_pushcfunction(L, push_port);
  CHECK(lua_pcall(L, 0, 1, 0) == LUA_ERRRUN, "there is no port");
  lua_settop(L, 0);
  lua_newtable(L);
  CHECK(green_lua_load_in(L, 1, "return 1", 8, NULL) == LUA_OK,
        "a text without a name");
  lua_pushcfunction(L, nothing);
  CHECK(green_lua_pack(L, -1, 1, &m) == UV_EINVAL &&
            green_lua_pack(L, 1, -1, &m) == UV_EINVAL,
        "what cannot be packed");
  lua_settop(L, 0);
}

static void test_names(void) {
  CHECK(green_set_name(hub, green_main(hub), NULL) == 0 &&
            !strcmp(green_name(green_main(hub)), ""),
        "no name is an empty one");
  green_trace_start(hub, 64);
  green_trace_mark(hub, NULL, NULL);
  green_trace_counter(hub, NULL, 1);
  green_trace_span_end(hub, green_trace_span(hub, NULL, NULL));
  CHECK(green_trace_stop(hub, NULL, NULL) == 0, "in a trace, too");
}

/* green_lua_thread() of a thread that has ended is NULL. */
static void test_nobody(void) {
  int result;
  CHECK(green_kill(hub, NULL) == 0 &&
            green_throw(hub, NULL, UV_EIO) == UV_ESRCH &&
            green_join(hub, NULL, GREEN_FOREVER, &result) == UV_ESRCH,
        "NULL is a thread that has ended");
  green_detach(hub, NULL);
}

static int silent; /* nothing can be read from it */

static int waits_for_fd(lua_State *L) {
  return green_lua_wait_fd(L, silent, GREEN_READABLE, -1);
}

static int sleeps(lua_State *L) {
  green_lua_sleep(L, 1e6);
  return 0;
}

static int never(lua_State *L, int status, lua_KContext ctx) {
  (void)L, (void)status, (void)ctx;
  abort();
}

static int parks_fd(lua_State *L) {
  return green_lua_park_fd(L, silent, GREEN_READABLE, -1, 0, never);
}

static int parks(lua_State *L) {
  struct green_signal signal = {0};
  return green_lua_park(L, &signal, -1, 0, never);
}

static int run_job(struct green_job *job, void *arg) {
  (void)job, (void)arg;
  abort();
}

static int offloads(lua_State *L) {
  return green_lua_offload(L, run_job, NULL, NULL, NULL);
}

static int spawns(lua_State *L) {
  lua_pushcfunction(L, nothing);
  green_lua_spawn(L, 0);
  return 1;
}

static int raises(lua_State *L, lua_CFunction f) {
  lua_pushcfunction(L, f);
  if (lua_pcall(L, 0, 0, 0) == LUA_OK) return 0;
  lua_pop(L, 1);
  return 1;
}

static int is_invalid(lua_State *L, int code, lua_KContext ctx) {
  (void)ctx;
  return code == UV_EINVAL ? 0 : luaL_error(L, "%s", green_strerror(code));
}

static int parks_for(lua_State *L) {
  int events = (int)lua_tointeger(L, 1);
  return green_lua_park_fd(L, silent, events, 0.001, 0, is_invalid);
}

static int spawns_nothing(lua_State *L) {
  lua_settop(L, 0);
  green_lua_spawn(L, 0);
  return 0;
}

static int spawns_less(lua_State *L) {
  lua_settop(L, 0);
  lua_pushcfunction(L, nothing);
  green_lua_spawn(L, -1);
  return 0;
}

/* The bugs: it waited for no event, or a part of them; and spawned whatever was
 * there. */
static void test_functions(lua_State *L) {
  int events, good = 0;
  for (events = 0; events < 0x200; events += 0x80) {
    lua_pushcfunction(L, parks_for);
    lua_pushinteger(L, events == 0x80 ? GREEN_READABLE | 0x80 : events);
    if (lua_pcall(L, 1, 0, 0) == LUA_OK)
      good++;
    else
      printf("# %s\n", lua_tostring(L, -1));
  }
  CHECK(good == 4, "a descriptor is ready for reading and writing alone");
  CHECK(raises(L, spawns_nothing) && raises(L, spawns_less),
        "green_lua_spawn() needs a function");
  lua_settop(L, 0);
}

/* The handle of a thread that sleeps is on top. Calls of the host's and of a
 * function's in C. */
static void on_another_thread(lua_State *L) {
  int h = lua_gettop(L), n;
  CHECK(green_lua_kill(L, h, "no") == UV_EPERM &&
            green_lua_fuel(L, h, 1) < 0 &&
            green_lua_wait(L, h, GREEN_FOREVER, &n) < 0,
        "elsewhere: no kill, no fuel, no wait for a thread");
  CHECK(raises(L, waits_for_fd) && raises(L, sleeps) && raises(L, parks_fd) &&
            raises(L, parks) && raises(L, offloads) && raises(L, spawns),
        "C functions of the state neither block nor spawn");
  CHECK(lua_gettop(L) == h, "nothing is left behind");
}

/* On another OS thread. */
static void *stranger(void *arg) {
  lua_State *L = arg;
  int n;
  lua_settop(L, 0);
  lua_pushcfunction(L, nothing);
  CHECK(green_lua_start(L, 0, NULL, NULL, NULL) == UV_EPERM,
        "elsewhere: no start");
  CHECK(green_lua_close(L) == UV_EPERM, "no end");
  CHECK(green_lua_wait(L, 1, 0, &n) < 0 && !green_lua_may_block(L) &&
            green_interrupt(hub, 0) <= 0,
        "no wait");
  CHECK(green_lua_interruptible(L) == UV_EPERM &&
            green_on_long(L, 0, NULL, NULL) == UV_EPERM,
        "no ticks");
  lua_settop(L, 0);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &hub);
  on_another_thread(L);
  lua_settop(L, 0);
  return NULL;
}

static int l_check(lua_State *L) {
  int code = (int)luaL_checkinteger(L, 1);
  lua_pushboolean(L, green_lua_check(L, code) == code);
  return 1;
}

static int is_returned(lua_State *L, int code) {
  int good;
  lua_pushcfunction(L, l_check);
  lua_pushinteger(L, code);
  good = lua_pcall(L, 1, 1, 0) == LUA_OK && lua_toboolean(L, -1);
  lua_settop(L, 0);
  return good;
}

/* The bug: the code of a closed post, or of a closing state, which is that of
 * an interruption, too, crashed a host that passed it on. */
static void test_codes(enum green_drive drive, const char *sentence) {
  struct green_options o = {.drive = drive};
  struct green_hub *own;
  lua_State *L;
  int code;
  if (green_open(&own, &o) < 0) abort();
  L = open_on(own);
  CHECK(is_returned(L, UV_ECANCELED) && is_returned(L, GREEN_EDEADLK),
        sentence);
  for (code = 0; code > -5000; code--) is_returned(L, code);
  is_returned(L, GREEN_ETHROWN);
  lua_close(L);
  green_close(own);
}

int main(void) {
  pthread_t other;
  int i, ends[2];
  if (green_open(&hub, NULL) < 0) return 1;
  for (i = 0; i < 3; i++) state[i] = i == 1 ? new_state() : open_on(hub);
  green_lua_close(state[2]);
  for (i = 0; i < 3; i++) {
    test_start(state[i]);
    test_rest(state[i]);
  }
  test_names();
  test_nobody();
  if (pipe(ends) < 0) abort();
  silent = ends[0];
  test_functions(state[0]);
  if (luaL_dostring(state[0],
                    "return require 'green'.spawn("
                    "require 'green'.sleep, 1e6)"))
    abort();
  lua_rawsetp(state[0], LUA_REGISTRYINDEX, &hub);
  pthread_create(&other, NULL, stranger, state[0]);
  pthread_join(other, NULL);
  close(ends[0]);
  close(ends[1]);
  for (i = 0; i < 3; i++) {
    green_lua_close(state[i]);
    lua_close(state[i]);
  }
  CHECK(green_close(hub) == 0, "the hub lives as before");
  test_codes(GREEN_DRIVE_STEP,
             "a host checks the code of an interruption that it has not had");
  test_codes(GREEN_DRIVE_MAIN, "main does so");
  return test_end();
}
