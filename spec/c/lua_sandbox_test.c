/* lua_sandbox_test.c - a host makes sandboxes and loads texts into them: where
 * memory is short, and where its scripts have no `require`, or one of theirs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "lua_test.h"

static struct green_hub *hub;
static struct memory memory;

static lua_State *open_state(void) {
  lua_State *L = lg_newstate(allocate, &memory, 0);
  if (!L) abort();
  luaL_openlibs(L);
  if (green_lua_open(L, hub) != LUA_OK) abort();
  return L;
}

static void close_state(lua_State *L) {
  green_lua_close(L);
  lua_close(L);
}

static int load_in(lua_State *L, const char *text) {
  return green_lua_load_in(L, 1, text, strlen(text), "=script");
}

static int called;

static int stranger(lua_State *L) {
  called++;
  return luaL_error(L, "this is no require");
}

static void test_require(lua_CFunction theirs, const char *sentence) {
  lua_State *L = open_state();
  int status;
  if (theirs)
    lua_pushcfunction(L, theirs);
  else
    lua_pushnil(L);
  lua_setglobal(L, "require");
  status = green_lua_sandbox(L, GREEN_LUA_OUTPUT);
  if (status != LUA_OK) printf("# %s\n", lua_tostring(L, -1));
  CHECK(status == LUA_OK && lua_istable(L, -1), sentence);
  lua_getglobal(L, "require");
  CHECK(lua_tocfunction(L, -1) == theirs && !called, "and keeps what it has");
  close_state(L);
}

static void test_status(void) {
  lua_State *L = open_state();
  lua_newtable(L);
  CHECK(load_in(L, "return return") == LUA_ERRSYNTAX && lua_isstring(L, -1),
        "a text that is no program is LUA_ERRSYNTAX");
  CHECK(load_in(L, LUA_SIGNATURE) == LUA_ERRSYNTAX && lua_isstring(L, -1) &&
            lua_gettop(L) == 3,
        "so is bytecode");
  CHECK(load_in(L, "x = 1") == LUA_OK && lua_pcall(L, 0, 0, 0) == LUA_OK &&
            lua_getfield(L, 1, "x") == LUA_TNUMBER,
        "all else has the table as its globals");
  close_state(L);
}

/* The first n allocations succeed. */
static void test_memory(void) {
  lua_State *L = open_state();
  int n = 0, status, short_of = 0, other = 0;
  lua_newtable(L);
  do {
    lua_settop(L, 1);
    memory_lasts(&memory, n++);
    status = load_in(L, "local t = {} return t");
    memory_lasts(&memory, -1);
    if (status == LUA_ERRMEM) short_of++;
    if (status != LUA_OK && status != LUA_ERRMEM) other++;
  } while (status != LUA_OK && n < 1000);
  CHECK(short_of > 0 && !other && status == LUA_OK,
        "where there is no memory for a text, it is LUA_ERRMEM");
  close_state(L);
}

int main(void) {
  if (green_open(&hub, NULL) < 0) return 1;
  test_require(NULL, "a program without require makes a sandbox");
  test_require(stranger, "so does one that has a require of its own");
  test_status();
  test_memory();
  CHECK(green_close(hub) == 0, "nothing is left");
  return test_end();
}
