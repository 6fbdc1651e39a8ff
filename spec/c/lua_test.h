/* lua_test.h - shared by the C tests of the Lua side: an allocator that fails
 * when it is told to, and the steps that every host takes.
 *
 * The allocator counts the calls for more memory. From call `first` to call
 * `last` they fail; a call that shrinks or frees never does.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_LUA_TEST_H
#define GREEN_LUA_TEST_H

#include <dirent.h>
#include <lauxlib.h>
#include <limits.h>
#include <lualib.h>
#include <stdlib.h>

#include "../../bindings/green_lua.h"
#include "../../bindings/runtime/compat.h"
#include "test.h"

struct memory {
  long calls, first, last; /* calls for more that fail; 0: none */
  size_t in_use;
  long refused;
};

static inline void *allocate(void *ud, void *ptr, size_t old, size_t size) {
  struct memory *m = ud;
  void *p;
  if (!ptr) old = 0; /* Lua passes the kind of the object */
  if (size > old) {
    m->calls++;
    if (m->first && m->calls >= m->first && m->calls <= m->last) {
      m->refused++;
      return NULL;
    }
  }
  m->in_use += size - old;
  if (size == 0) {
    free(ptr);
    return NULL;
  }
  p = realloc(ptr, size);
  if (!p) abort();
  return p;
}

/* The next n calls for more succeed, and none after them; -1: all succeed. */
static inline void memory_lasts(struct memory *m, long n) {
  m->first = n < 0 ? 0 : m->calls + n + 1;
  m->last = LONG_MAX;
}

/* short_after(n [, times]): memory_lasts(), for the state that calls it; after
 * so many calls for more that fail there is memory again. */
static inline int short_after(lua_State *L) {
  void *ud;
  struct memory *m;
  lua_getallocf(L, &ud);
  m = ud;
  memory_lasts(m, (long)lua_tointeger(L, 1));
  if (lua_isinteger(L, 2)) m->last = m->first + (long)lua_tointeger(L, 2) - 1;
  return 0;
}

/* refused(): how many calls have failed. */
static inline int refused(lua_State *L) {
  void *ud;
  lua_getallocf(L, &ud);
  lua_pushinteger(L, ((struct memory *)ud)->refused);
  return 1;
}

/* Runs a file with short_after, refused, and how many allocations to go on from
 * one try to the next. */
static inline int run_while_short(lua_State *L, const char *path) {
  int slow = RUNNING_ON_VALGRIND || WITH_TSAN;
  int status = luaL_loadfile(L, path);
  if (status == LUA_OK) {
    lua_pushcfunction(L, short_after);
    lua_pushcfunction(L, refused);
    lua_pushinteger(L, slow ? 5 : 1);
    status = lua_pcall(L, 3, 0, 0);
  }
  if (status != LUA_OK) printf("# %s\n", lua_tostring(L, -1));
  return status == LUA_OK;
}

/* A state with Lua's own libraries. */
static inline lua_State *new_state(void) {
  lua_State *L = luaL_newstate();
  if (!L) exit(1);
  luaL_openlibs(L);
  return L;
}

/* For states that require "green" without a hub of the host's: they find the
 * core of this program, and not one beside it. */
static inline void preload_core(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_green_core);
  lua_setfield(L, -2, "green.core");
  lua_pop(L, 1);
}

/* A state with that allocator, which finds green, and has short_after(). */
static inline lua_State *new_short_state(struct memory *m) {
  lua_State *L = lg_newstate(allocate, m, 0);
  if (!L) exit(1);
  luaL_openlibs(L);
  lua_register(L, "short_after", short_after);
  preload_core(L);
  return L;
}

/* How many descriptors are open; one more is the directory's. */
static inline int count_descriptors(void) {
  DIR *dir = opendir("/proc/self/fd");
  int n = 0;
  while (dir && readdir(dir)) n++;
  if (dir) closedir(dir);
  return n;
}

static inline lua_State *own_state(void) {
  lua_State *L = new_state();
  preload_core(L);
  return L;
}

/* Runs a chunk; true if it did not raise. An error is printed. */
static inline int run(lua_State *L, const char *chunk) {
  if (luaL_dostring(L, chunk) == LUA_OK) return 1;
  printf("# %s\n", lua_tostring(L, -1));
  lua_pop(L, 1);
  return 0;
}

/* Runs a chunk; an error is a failure of the test. */
static inline void must_run(lua_State *L, const char *chunk) {
  if (run(L, chunk)) return;
  printf("not ok - the script runs\n");
  test_failures++;
}

/* A state with luagreen on the host's hub, as the global `green`. */
static inline lua_State *open_on(struct green_hub *hub) {
  lua_State *L = new_state();
  if (green_lua_open(L, hub) != LUA_OK || !run(L, "green = require 'green'"))
    exit(1);
  return L;
}

/* Steps the hub until the global is set, for 5 s at most. */
static inline int comes(struct green_hub *hub, lua_State *L,
                        const char *name) {
  uint64_t end = green_now() + UINT64_C(5000000000);
  int set = 0;
  while (!set && green_now() < end) {
    green_step(hub, 0);
    lua_getglobal(L, name);
    set = lua_toboolean(L, -1);
    lua_pop(L, 1);
  }
  return set;
}

#endif
