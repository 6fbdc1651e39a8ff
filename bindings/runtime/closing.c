/* closing.c - decides when a closing state drains its threads.
 *
 * Lua calls nothing of ours at the start of lua_close(), and finalizers run
 * newest first, so the hub's own __gc would come too late: objects newer than
 * it would be finalized before the threads that use them are killed. So the
 * drain runs at the first of: green_lua_close(), os.exit with close, and the
 * first finalizer of ours that finds its object still in a weak-valued table,
 * which happens only while the state closes. The main thread anchors a fresh
 * sentinel whenever it blocks after spawns.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/closing.h"
#include "runtime/object.h"
#include "runtime/park.h"
#include "runtime/runtime.h"

/* The last state on a hub of its own ends everything there. */
static int drain(struct lg *G) {
  int alone = green_families(G->hub) == &G->family && !G->family.next;
  return G->own && alone ? green_drain_above_main(G->hub)
                         : green_family_drain(&G->family);
}

/* A caller that cannot wait leaves them behind as they are; a forked child has
 * only a copy of them. */
int lg_drain(lua_State *L, struct lg *G) {
  int left;
  if (G->drained || !G->hub) return 0;
  G->drained = 1;    /* threads may still spawn, to clean up */
  if (lg_current(G)) /* where the drain waits, for reports */
    green_keep_note(G->hub, L);
  left = drain(G);
  if (lg_current(G)) lg_kept(G);
  if (left < 0 && !green_elsewhere(G->hub))
    left = green_family_abandon(&G->family);
  assert(G->drained == 1); /* a drain starts no other drain */
  G->drained = 2;          /* from now on nothing blocks, and nothing spawns */
  return left;
}

/* Lua's collector is not running, unless it has called this function. */
int lg_finalizing(lua_State *L, struct lg *G, int in_table) {
  if (lua_gc(L, LUA_GCCOUNT) >= 0) return 0;
  if (in_table) lg_drain(L, G);
  return 1;
}

static int sentinel_gc(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  lua_rawgeti(L, lua_upvalueindex(2), 1);
  lg_finalizing(L, G, lua_rawequal(L, -1, 1));
  return 0;
}

/* A future sentinel has no metatable yet, because its age counts from setting
 * it. */
static int make_spare(lua_State *L) {
  lua_newuserdatauv(L, 1, 0);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.spare");
  return 0;
}

/* Pops an object, which is the sentinel from now on. Takes no memory: the
 * fields exist from the beginning. */
static void be_sentinel(lua_State *L) {
  assert(lua_isuserdata(L, -1) && !lua_getmetatable(L, -1));
  luaL_setmetatable(L, "green.sentinel");
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.alive");
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, 1);
  lua_pop(L, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.sentinel");
}

/* Makes a sentinel, and the spare if it was used. */
static int make_sentinel(lua_State *L) {
  lua_newuserdatauv(L, 1, 0);
  be_sentinel(L);
  if (lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.spare") != LUA_TUSERDATA)
    make_spare(L);
  return 0;
}

/* Replaces the sentinel by a younger one, if threads were spawned since. When
 * memory is short the spare takes its place, or the old one stays: main can
 * still block, and does not try again until there are new threads. */
void lg_sentinel(lua_State *L, struct lg *G) {
  if (likely(G->sentinel_spawns == G->family.spawns)) return;
  if (!lua_checkstack(L, 6)) return;
  lua_pushcfunction(L, make_sentinel);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
    lua_pop(L, 1);
    if (lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.spare") == LUA_TUSERDATA)
      be_sentinel(L);
    else
      lua_pop(L, 1);
    lua_pushboolean(L, 0);
    lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.spare");
  }
  G->sentinel_spawns = G->family.spawns;
}

/* Makes the first sentinel, and everything that later ones need. */
static void first_sentinel(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.alive");
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, 1);
  lua_pop(L, 1);
  lua_pushboolean(L, 0);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.sentinel");
  make_spare(L);
}

void lg_sentinel_class(lua_State *L) {
  static const luaL_Reg meta[] = {{"__gc", sentinel_gc}, {NULL, NULL}};
  luaL_newmetatable(L, "green.sentinel");
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.alive");
  lg_setfuncs(L, meta, 1);
  lua_pop(L, 1);
  first_sentinel(L);
}

/* --- os.exit from a green thread ends in main --- */

static void push_leave(lua_State *L, struct lg *G, int closing, int is_main) {
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "leave");
  lua_pushinteger(L, G->exit_code);
  lua_pushboolean(L, closing);
  lua_pushboolean(L, is_main);
}

/* Where memory is short for that, main tries again when it next blocks. */
void lg_exit(lua_State *L, struct lg *G) {
  assert(G->exiting && lg_current(G) == green_main(G->hub));
  luaL_checkstack(L, 6, "luagreen");
  G->exiting = 0; /* the policy's functions may block again */
  push_leave(L, G, 1, 1);
  if (lua_pcall(L, 3, 0, 0) == LUA_OK) return;
  G->exiting = 1;
  lua_error(L);
}

/* Nothing is allocated before main is told. */
void lg_os_exit(lua_State *L, struct lg *G, int code, int closing) {
  struct green_thread *main = green_main(G->hub);
  int is_main = !main || lg_current(G) == main;
  if (!G->leaving) G->exit_code = code;
  if (closing) G->leaving = 1;
  if (closing && !is_main) {
    G->exiting = 1;
    green_wake(G->hub, main, GREEN_EXIT); /* does nothing if it is ready */
    green_kill(G->hub, lg_current(G));
  }
  push_leave(L, G, closing, is_main);
  lua_call(L, 3, 0);
}

static int l_drain(lua_State *L) {
  struct lg *G = lg_get(L);
  lua_pushinteger(L, lg_drain(L, G));
  return 1;
}

static const luaL_Reg functions[] = {{"drain", l_drain}, {NULL, NULL}};

void lg_open_closing(lua_State *L) {
  lg_setfuncs(L, functions, 0);
}
