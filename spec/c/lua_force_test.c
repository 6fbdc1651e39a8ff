/* lua_force_test.c - a kill is forced past any frames of a host or a C library:
 * nothing hangs, and frames that must not be left stay.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>
#include <unistd.h>

#include "../../bindings/green_lua.h"
#include "test.h"

static lua_State *saved; /* the main state, as a C library keeps it */

/* --- what a host does --- */

/* As a host that keeps its scripts from holding up the loop. */
static void preempt(lua_State *L, lua_Debug *ar) {
  (void)ar;
  green_lua_sleep(L, 0);
}

/* preempted(): from now on, preempts the calling coroutine. */
static int preempted(lua_State *L) {
  lua_sethook(L, preempt, LUA_MASKCOUNT, 1000);
  return 0;
}

/* --- what C libraries do --- */

static int entered, left;

/* books(f): calls f, and must learn when it is over. */
static int books(lua_State *L) {
  int status;
  entered++;
  lua_settop(L, 1);
  status = lua_pcall(L, 0, 0, 0);
  left++;
  return status == LUA_OK ? 0 : lua_error(L);
}

/* step(co): resumes a coroutine, and must learn the outcome. */
static int step(lua_State *L) {
  int n, status;
  entered++;
  status = lua_resume(lua_tothread(L, 1), L, 0, &n);
  left++;
  lua_pushinteger(L, status);
  return 1;
}

/* callback(f): calls it on the main state. */
static int callback(lua_State *L) {
  int status;
  lua_settop(L, 1);
  lua_xmove(L, saved, 1);
  entered++;
  status = lua_pcall(saved, 0, 0, 0);
  left++;
  if (status != LUA_OK) lua_pop(saved, 1);
  return 0;
}

static int counts(lua_State *L) {
  lua_pushinteger(L, entered);
  lua_pushinteger(L, left);
  return 2;
}

static lua_State *open_state(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  lua_register(L, "preempted", preempted);
  lua_register(L, "books", books);
  lua_register(L, "step", step);
  lua_register(L, "callback", callback);
  lua_register(L, "counts", counts);
  luaL_requiref(L, "green.core", luaopen_green_core, 0);
  lua_pop(L, 1);
  saved = L;
  return L;
}

/* Kills a thread that runs `body`, with a global `close` for its handler, and
 * tells in which state it is after 3 s, and the turns of a bystander. */
static const char driver[] =
    "local name, body, close = ...\n"
    "local green = require 'green'\n"
    "green.config {grace = 0.2}\n"
    "green.on_error(function() end)\n"
    "local turns, over, closed = 0, false, false\n"
    "function inf() while true do end end\n"
    "local run = assert(load('local green = ... ' .. body))\n"
    "local by = green.spawn(function()\n"
    "  while not over do turns = turns + 1 green.sleep(0.001) end\n"
    "end)\n"
    "local t = green.spawn(function()\n"
    "  local _ <close> = setmetatable({}, {__close = function()\n"
    "    closed = true\n"
    "    if close then inf() end\n"
    "  end})\n"
    "  run(green)\n"
    "end)\n"
    "green.sleep(0.02)\n"
    "t:kill()\n"
    "t:join(3)\n"
    "over = true\n"
    "by:join()\n"
    "return t:status(), turns, closed\n";

static const char *killed(const char *body, int close, int *closed) {
  static char said[200];
  lua_State *L = open_state();
  alarm(60); /* a hang is a failure */
  entered = left = 0;
  if (luaL_loadstring(L, driver) != LUA_OK) return lua_tostring(L, -1);
  lua_pushstring(L, body);
  lua_pushstring(L, body);
  lua_pushboolean(L, close);
  if (lua_pcall(L, 3, 3, 0) != LUA_OK) {
    snprintf(said, sizeof said, "%s", lua_tostring(L, -1));
  } else {
    *closed = lua_toboolean(L, -1);
    snprintf(said, sizeof said, "%s%s", lua_tostring(L, -3),
             lua_tointeger(L, -2) > 1 ? "" : " alone");
  }
  lua_close(L);
  return said;
}

static void ends(const char *what, const char *body, int close) {
  int closed = 0;
  const char *said = killed(body, close, &closed);
  char text[300];
  snprintf(text, sizeof text, "%s%s: %s", what,
           close ? ", with a handler that never ends" : "", said);
  /* Before Lua 5.4.8 a handler that raises where the thread was forced below
   * xpcall comes to "error in error handling". */
  CHECK(strcmp(said, "killed") == 0 ||
            (close && strstr(body, "xpcall") && strcmp(said, "failed") == 0),
        text);
  CHECK(closed, "its handlers have run");
}

static void test_host_hook(void) {
  int close;
  for (close = 0; close < 2; close++) {
    ends("a thread that the host's hook preempts", "preempted() inf()", close);
    ends("one that does so below pcall",
         "preempted() while true do pcall(inf) end", close);
    ends("one that does so below xpcall",
         "preempted() while true do xpcall(inf, debug.traceback) end", close);
    ends("one that is preempted in a coroutine of its own",
         "coroutine.wrap(function() preempted() inf() end)()", close);
  }
}

/* Hooks are off in a message handler of an error that a hook raised, and in one
 * of any error while a hook runs: no handler of <close> could be stopped. */
static void test_handler(void) {
  int closed = 0;
  const char *said =
      killed("preempted() xpcall(green.sleep, inf, 100)", 1, &closed);
  CHECK(strcmp(said, "killed") == 0 && !closed,
        "a message handler that never ends: the frames are left");
}

static void test_books(void) {
  ends("a thread in a C library that catches",
       "books(function() green.sleep(100) end)", 0);
  CHECK(entered == 1 && left == 1, "the library was told of its end");
  ends("a thread that swallows the kill there for a while",
       "books(function() for _ = 1, 5 do pcall(green.sleep, 100) end "
       "green.sleep(100) end)",
       0);
  CHECK(entered == 1 && left == 1, "the library was told of its end");
}

/* The library's own books would be wrong for ever: the thread lives on, and so
 * do all others. */
static void test_foreign_resume(void) {
  static const char starves[] =
      "a thread below a foreign lua_resume() starves nobody";
  int closed = 0;
  const char *said;
  if (WITH_TSAN) {
    SKIP(starves, "TSan keeps the frames that each of many errors leaves");
  } else {
    said = killed(
        "step(coroutine.create(function() "
        "while true do pcall(green.sleep, 1) end end))",
        0, &closed);
    CHECK(strcmp(said, "killed") == 0 || strcmp(said, "ready") == 0 ||
              strcmp(said, "blocked") == 0,
          starves);
  }
  said = killed("step(coroutine.create(function() green.sleep(100) end))", 0,
                &closed);
  CHECK(strcmp(said, "done") == 0 && entered == left,
        "a foreign lua_resume() is told of the kill");
}

static void test_callback_on_main(void) {
  int closed = 0;
  const char *said = killed(
      "pcall(green.sleep, 100) callback(function() for _ = 1, 1e6 do "
      "end end)",
      0, &closed);
  CHECK(strcmp(said, "done") == 0 && entered == left,
        "a callback on the main state is never left in the midst");
}

int main(void) {
  test_host_hook();
  test_handler();
  test_books();
  test_foreign_resume();
  test_callback_on_main();
  return test_end();
}
