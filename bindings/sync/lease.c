/* lease.c - the ends of the leases of a resource pool, which is written in Lua
 * (lua/green/crew/resource_pool.lua), where memory is short.
 *
 * A __close in Lua may fail at any call, also at its very first. So it runs
 * inside of a function in C, which needs no memory afterwards: it notes that
 * the pool has to call that __close again, and wakes a thread that waits for a
 * permit, as nobody else may come to look.
 *
 * A pool has the fields
 *
 *   permits   the queue in which threads wait
 *   owed      > 0: there are permits that only wait for memory
 *   again     the objects to be closed again, a list whose end is the pool
 *
 * and an object to be closed `pool` and `again`, which is false outside of that
 * list. They exist, so that setting them cannot fail.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sync/queue.h"
#include "sync/sync.h"

/* Upvalues of a __close. */
enum { REST = 2, POOL, PERMITS, OWED, AGAIN };

/* Pushes a field of the table at that index. Never raises. */
static int push_field(lua_State *L, int table, int key) {
  lua_pushvalue(L, lua_upvalueindex(key));
  return lua_rawget(L, table);
}

/* Pops the value. */
static void set_again(lua_State *L, int table) {
  lua_pushvalue(L, lua_upvalueindex(AGAIN));
  lua_insert(L, -2);
  lua_rawset(L, table);
}

/* The object is at index 1, its pool on top. */
static void note(lua_State *L) {
  int pool = lua_gettop(L);
  if (push_field(L, 1, AGAIN) == LUA_TBOOLEAN) {
    push_field(L, pool, AGAIN);
    set_again(L, 1);
    lua_pushvalue(L, 1);
    set_again(L, pool);
  }
  lua_settop(L, pool);
}

static int is_owed(lua_State *L, int pool) {
  int owed;
  push_field(L, pool, OWED);
  owed = lua_tointeger(L, -1) > 0;
  lua_pop(L, 1);
  return owed;
}

static int closed(lua_State *L, int status, lua_KContext ctx) {
  int failed = status != LUA_OK && status != LUA_YIELD;
  int pool;
  (void)ctx;
  if (push_field(L, 1, POOL) == LUA_TTABLE) {
    pool = lua_gettop(L);
    if (failed) note(L);
    if (failed || is_owed(L, pool)) {
      push_field(L, pool, PERMITS);
      lg_lease_look(lua_touserdata(L, -1));
    }
    lua_settop(L, pool);
  }
  lua_pop(L, 1);
  return failed ? lua_error(L) : 0;
}

static int lease_close(lua_State *L) {
  lua_settop(L, 2);
  if (!lua_istable(L, 1)) luaL_typeerror(L, 1, "green.lease");
  lua_pushvalue(L, lua_upvalueindex(REST));
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  return closed(L, lua_pcallk(L, 2, 0, 0, 0, closed), 0);
}

/* lease_closing(rest): a __close that calls rest(object, err). */
static int lease_closing(lua_State *L) {
  static const char *const keys[] = {"pool", "permits", "owed", "again"};
  unsigned i;
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  for (i = 0; i < sizeof keys / sizeof *keys; i++) lua_pushstring(L, keys[i]);
  lua_pushcclosure(L, lease_close, AGAIN);
  return 1;
}

void lg_open_lease(lua_State *L) {
  static const luaL_Reg functions[] = {{"lease_closing", lease_closing},
                                       {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
