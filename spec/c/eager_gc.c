/* eager_gc.c - a Lua module for specs: garbage is collected, and finalizers
 * run, at every LUAGREEN_EAGER_GC-th allocation, wherever that may be.
 *
 * An allocator may not collect. It may say that a collection is due: then Lua's
 * next check runs one, a whole young collection in generational mode. Stopping
 * the collector for a while has no effect here.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <stdlib.h>

static struct {
  lua_Alloc inner;
  void *ud;
  lua_State *main;
  long every, calls;
} eager;

static void *allocate(void *ud, void *ptr, size_t old, size_t size) {
  (void)ud;
  if (size > (ptr ? old : 0) && ++eager.calls % eager.every == 0)
    lua_gc(eager.main, LUA_GCRESTART); /* refused while it collects */
  return eager.inner(eager.ud, ptr, old, size);
}

__attribute__((visibility("default"))) int luaopen_spec_eager_gc(lua_State *L);
int luaopen_spec_eager_gc(lua_State *L) {
  const char *every = getenv("LUAGREEN_EAGER_GC");
  eager.every = every ? atol(every) : 0;
  if (eager.every < 1) return luaL_error(L, "LUAGREEN_EAGER_GC: a number");
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  eager.main = lua_tothread(L, -1);
  eager.inner = lua_getallocf(L, &eager.ud);
  lua_gc(L, LUA_GCGEN, 0, 0);
  lua_setallocf(L, allocate, NULL);
  return 0;
}
