/* guard.c - the object that acquire() returns: `local _ <close> =
 * lock:acquire()`.
 *
 * Each semaphore and each lock has one from the start, so that acquiring
 * allocates nothing. Each close releases once, since a guard has no state of
 * its own.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/object.h"
#include "sync/sync.h"

struct guard {
  void *object;
  void (*release)(lua_State *L, void *object);
};

static const char NAME[] = "green.guard";

static int guard_close(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  const struct guard *g = lg_self(L);
  if (G->hub) g->release(L, g->object);
  return 0;
}

void lg_push_guard(lua_State *L, void *object,
                   void (*release)(lua_State *L, void *object)) {
  struct guard *g = lua_newuserdatauv(L, sizeof *g, 1);
  g->object = object;
  g->release = release;
  lua_pushvalue(L, -2);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, NAME);
}

void lg_open_guard(lua_State *L) {
  static const luaL_Reg meta[] = {{"__close", guard_close}, {NULL, NULL}};
  luaL_newmetatable(L, NAME);
  lua_pushvalue(L, -1);
  lg_setfuncs(L, meta, 1);
  lua_pop(L, 1);
}
