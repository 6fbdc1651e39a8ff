/* cpu_profile.c - where the CPU time goes, by samples.
 *
 * A tick tells which coroutine runs and how much CPU time has passed since the
 * last one; the hook adds that time to the stack that it finds. A call of C is
 * thus charged to the function that called it, as it returns there, for as long
 * as it took. Time of the hub itself has a row of its own.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/stacks.h"
#include "bounds/ticks.h"
#include "runtime/object.h"

static const char KEY; /* in the registry */

static int sample(lua_State *L, struct lg *G, lua_Debug *ar, uint64_t ns) {
  (void)ar;
  lg_stacks_add(L, G, &KEY, G->cpu_by_thread, ns);
  return 0;
}

/* cpu_begin(hz, by_thread) */
static int l_begin(lua_State *L) {
  struct lg *G = lg_get(L);
  lua_Number hz = luaL_checknumber(L, 1);
  const char *why;
  luaL_argcheck(L, hz >= 1 && hz <= 10000, 1, "1 to 10000 expected");
  lg_stacks_begin(L, &KEY);
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
  lg_ticks_set(G, LG_TICK_PROFILE, 0);
  lg_stacks_end(L, &KEY, "(hub)", hub_ns);
  return 1;
}

void lg_open_cpu_profile(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"cpu_begin", l_begin}, {"cpu_end", l_end}, {NULL, NULL}};
  lg_find(L)->tick_acts[LG_TICK_PROFILE] = sample;
  lg_setfuncs(L, functions, 0);
}
