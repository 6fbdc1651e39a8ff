/* lua_wrong_test.c - calls of a host's that are wrong: with nothing on the
 * stack, with NULL, of a state without the library, or where it is closed, and
 * on another OS thread. Each has a code, and nothing else happens.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../../bindings/green_lua.h"
#include "test.h"

static struct green_hub *hub;
/* With the library; without; where it is closed. */
static lua_State *state[3];

static lua_State *open_state(int open) {
  lua_State *L = luaL_newstate();
  if (!L) exit(1);
  luaL_openlibs(L);
  if (open && green_lua_open(L, hub) != LUA_OK) exit(1);
  return L;
}

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
  lua_settop(L, 0);
  return NULL;
}

int main(void) {
  pthread_t other;
  int i;
  if (green_open(&hub, NULL) < 0) return 1;
  for (i = 0; i < 3; i++) state[i] = open_state(i != 1);
  green_lua_close(state[2]);
  for (i = 0; i < 3; i++) {
    test_start(state[i]);
    test_rest(state[i]);
  }
  test_names();
  pthread_create(&other, NULL, stranger, state[0]);
  pthread_join(other, NULL);
  for (i = 0; i < 3; i++) {
    green_lua_close(state[i]);
    lua_close(state[i]);
  }
  CHECK(green_close(hub) == 0, "the hub lives as before");
  return test_end();
}
