/* cpu_profile.c - where the CPU time goes, by samples.
 *
 * A tick tells which coroutine runs and how much CPU time has passed since the
 * last one; the hook adds that time to the stack that it finds. A call of C is
 * thus charged to the function that called it, as it returns there, for as long
 * as it took. Time of the hub itself has a row of its own.
 *
 * The sums lie in a table of Lua's: sample() runs in a hook, where allocating
 * is legal, and errors for want of memory are caught.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/ticks.h"

#include "runtime/object.h"
#include "thread/fold.h"

static const char SUMS[] = "luagreen.cpu_profile";

/* (text, ns): sums[text] = sums[text] + ns */
static int add(lua_State *L) {
  if (lua_getfield(L, LUA_REGISTRYINDEX, SUMS) != LUA_TTABLE) return 0;
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 1);
  lua_rawget(L, -3);
  lua_pushinteger(L, lua_tointeger(L, -1) + lua_tointeger(L, 2));
  lua_remove(L, -2);
  lua_rawset(L, -3);
  return 0;
}

/* "name;file:line f;...": the thread's coroutine, then the one that runs. */
static size_t put_stack(lua_State *L, struct lg *G, char *text) {
  struct green_thread *t = lg_current(G);
  lua_State *own =
      lg_is_lua(t) || t == green_main(G->hub) ? lg_own_state(G, t) : L;
  size_t at = lg_fold_name(G, t, G->cpu_by_thread, text);
  text[at++] = ';';
  if (own != L) {
    at += lg_fold(own, text + at, LG_FOLD_SIZE);
    text[at++] = ';';
  }
  return at + lg_fold(L, text + at, LG_FOLD_SIZE);
}

/* (text, its length, ns): the string is made where an error is caught. */
static int add_text(lua_State *L) {
  const char *text = lua_touserdata(L, 1);
  lua_pushcfunction(L, add);
  lua_pushlstring(L, text, (size_t)lua_tointeger(L, 2));
  lua_pushvalue(L, 3);
  lua_call(L, 2, 0);
  return 0;
}

static int sample(lua_State *L, struct lg *G, lua_Debug *ar, uint64_t ns) {
  char text[LG_FOLD_NAME + 2 * LG_FOLD_SIZE + 8];
  (void)ar;
  if (!lua_checkstack(L, 8)) return 0;
  lua_pushcfunction(L, add_text);
  lua_pushlightuserdata(L, text);
  lua_pushinteger(L, (lua_Integer)put_stack(L, G, text));
  lua_pushinteger(L, (lua_Integer)ns);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK) lua_pop(L, 1);
  return 0;
}

/* cpu_begin(hz, by_thread) */
static int l_begin(lua_State *L) {
  struct lg *G = lg_get(L);
  lua_Number hz = luaL_checknumber(L, 1);
  const char *why;
  luaL_argcheck(L, hz >= 1 && hz <= 10000, 1, "1 to 10000 expected");
  lua_newtable(L);
  lua_setfield(L, LUA_REGISTRYINDEX, SUMS);
  why = lg_ticks_set(G, LG_TICK_PROFILE, (uint64_t)(1e9 / hz));
  if (why) return luaL_error(L, "no profile of the CPU: %s", why);
  G->cpu_by_thread = (uint8_t)lua_toboolean(L, 2);
  G->cpu_hub_ns = G->ticks->hub_ns;
  return 0;
}

/* cpu_end(): {stack, ns, stack, ns, ...} */
static int l_end(lua_State *L) {
  struct lg *G = lg_get(L);
  uint64_t hub_ns = G->ticks ? G->ticks->hub_ns - G->cpu_hub_ns : 0;
  lua_Integer n = 0;
  lg_ticks_set(G, LG_TICK_PROFILE, 0);
  lua_settop(L, 0);
  lua_newtable(L);
  if (lua_getfield(L, LUA_REGISTRYINDEX, SUMS) != LUA_TTABLE) lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, 2);) {
    lua_pushvalue(L, -2);
    lua_rawseti(L, 1, ++n);
    lua_rawseti(L, 1, ++n);
  }
  if (hub_ns > 0) {
    lua_pushliteral(L, "(hub)");
    lua_rawseti(L, 1, ++n);
    lua_pushinteger(L, (lua_Integer)hub_ns);
    lua_rawseti(L, 1, ++n);
  }
  lua_pushnil(L);
  lua_setfield(L, LUA_REGISTRYINDEX, SUMS);
  lua_settop(L, 1);
  return 1;
}

void lg_open_cpu_profile(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"cpu_begin", l_begin}, {"cpu_end", l_end}, {NULL, NULL}};
  lg_find(L)->tick_acts[LG_TICK_PROFILE] = sample;
  lg_setfuncs(L, functions, 0);
}
