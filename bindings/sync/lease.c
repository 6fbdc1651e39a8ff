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
 * list. They exist, so that setting them cannot fail. A lease has `held` while
 * it has its permit.
 *
 * A thread that is ended by force may leave a lease behind that nobody closes.
 * When it is collected it is closed in the same way, so nothing of the program
 * runs in the collector.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sync/queue.h"
#include "sync/sync.h"

/* Upvalues of a __close, and of a __gc. */
enum { REST = 2, POOL, PERMITS, OWED, AGAIN, HELD };

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

/* Wakes a thread that waits for a permit of the pool. */
static void look(lua_State *L, int pool) {
  struct queue *q;
  push_field(L, pool, PERMITS);
  q = lua_touserdata(L, -1);
  if (q && lua_rawlen(L, -1) >= sizeof *q &&
      q->object.klass == &lg_queue_class && q->object.G->hub)
    lg_lease_look(q);
  lua_pop(L, 1);
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
    if (failed || is_owed(L, pool)) look(L, pool);
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

/* Nobody has closed the lease, and nobody can any more. */
static int lease_gc(lua_State *L) {
  lua_settop(L, 1);
  if (!lua_istable(L, 1)) return 0;
  push_field(L, 1, HELD);
  if (!lua_toboolean(L, -1)) return 0;
  if (push_field(L, 1, POOL) != LUA_TTABLE) return 0;
  note(L);
  look(L, lua_gettop(L));
  return 0;
}

/* The value at index 1 is the rest of a __close. */
static void push_method(lua_State *L, lua_CFunction f) {
  static const char *const keys[] = {"pool", "permits", "owed", "again",
                                     "held"};
  unsigned i;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  for (i = 0; i < sizeof keys / sizeof *keys; i++) lua_pushstring(L, keys[i]);
  lua_pushcclosure(L, f, HELD);
}

/* lease_closing(rest): a __close that calls rest(object, err), and a __gc. */
static int lease_closing(lua_State *L) {
  lua_settop(L, 1);
  push_method(L, lease_close);
  push_method(L, lease_gc);
  return 2;
}

void lg_open_lease(lua_State *L) {
  static const luaL_Reg functions[] = {{"lease_closing", lease_closing},
                                       {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
