/* fuel.c - a number of instructions for a thread and all that it spawns.
 *
 * A standing hook counts fuel, so it is the same in each run, and expensive:
 * limits of time cost nothing, but depend on the machine. A tank belongs to a
 * thread; its hook goes to each coroutine that it makes, and the coroutines of
 * green threads among them are entered for the same tank (fueled). Fuel goes in
 * steps, which a coroutine pays for when it begins them: the first one when a
 * thread, or a coroutine of a sandbox, is made. So threads that spawn others
 * and end are no way around it.
 *
 * A tick that finds this hook in its way asks it to do the work.
 *
 * The hook runs where Lua runs, the rest on any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/ticks.h"

#include <stdlib.h>

#include "runtime/force.h"
#include "runtime/kill_note.h"
#include "runtime/object.h"
#include "runtime/site.h"
#include "thread/handle.h"

enum { STEP = 100, BUCKETS = 64 };

/* Instructions that a thread without fuel may take to leave the library's own
 * code, at each of which the hook looks. */
enum { TO_LEAVE = 100000 };

struct tank {
  uint64_t left;
  int to_leave;
  int users;
};

/* A coroutine of a green thread. The entry of a coroutine that is gone stays
 * until another coroutine has its address: without the hook nobody asks. */
struct user {
  struct user *next;
  const lua_State *co;
  struct tank *tank;
};

struct lg_fuel {
  struct user *bucket[BUCKETS];
};

static struct user **place(struct lg_fuel *fuel, const lua_State *co) {
  struct user **at = &fuel->bucket[((uintptr_t)co >> 6) % BUCKETS];
  while (*at && (*at)->co != co) at = &(*at)->next;
  return at;
}

static struct tank *tank_of(struct lg *G, const lua_State *co) {
  struct user *user = G->fuel ? *place(G->fuel, co) : NULL;
  return user ? user->tank : NULL;
}

static void leave(struct tank *tank) {
  assert(!tank || tank->users > 0);
  if (tank && --tank->users == 0) free(tank);
}

/* 0: no memory. */
static int enter(struct lg *G, const lua_State *co, struct tank *tank) {
  struct user **at = place(G->fuel, co), *user = *at;
  if (!user) {
    if (!(user = calloc(1, sizeof *user))) return 0;
    user->co = co;
    *at = user;
  }
  tank->users++;
  leave(user->tank);
  user->tank = tank;
  return 1;
}

/* --- the hook --- */

static void burn(lua_State *L, lua_Debug *ar);

/* Pays for the next step: its instructions. */
static int pay(struct tank *tank) {
  int step = tank->left < STEP ? (int)tank->left : STEP;
  tank->left -= (uint64_t)step;
  return step;
}

static void set_hook(lua_State *L, int step) {
  lua_sethook(L, burn, LUA_MASKCOUNT, step > 0 ? step : 1);
}

/* The running thread's tank, or NULL. Its own coroutine has the hook, or once
 * had it: an entry whose coroutine is gone may have this one's address. */
static struct tank *tank_in_use(struct lg *G) {
  struct green_thread *t = G && G->hub ? lg_current(G) : NULL;
  if (!t || !lg_is_lua(t)) return NULL;
  if (lua_gethook(t->user) != burn && !lg_is_watched(t->user)) return NULL;
  return tank_of(G, t->user);
}

/* The watch of killed threads takes the hook's place, if the thread does not
 * end here. */
static void run_dry(lua_State *L, struct lg *G, struct green_thread *t) {
  assert(lg_is_lua(t) && t->state == GREEN_RUNNING);
  lua_sethook(L, NULL, 0, 0);
  lua_sethook(t->user, NULL, 0, 0);
  if (t->user_flags & LG_HANDLED && !(t->flags & GREEN_STRUCK))
    lg_note_kill(G, t->id, "out of fuel");
  green_end(G->hub, t);
  lg_end_in_hook(L, G);
}

static void burn(lua_State *L, lua_Debug *ar) {
  struct lg *G = lg_find(L);
  struct tank *tank = tank_in_use(G);
  if (!tank) {
    lua_sethook(L, NULL, 0, 0);
    return;
  }
  assert(tank->users > 0);
  if (!tank->left && tank->to_leave > 0 && lg_in_library(L, ar)) {
    tank->to_leave--;
    if (lua_gethookcount(L) > 1) set_hook(L, 1);
    return;
  }
  if (!tank->left) {
    run_dry(L, G, lg_current(G));
    return;
  }
  set_hook(L, pay(tank));
  lg_tick_if_asked(L, G, ar);
}

/* --- who burns it --- */

/* A thread with fuel makes the coroutine of another one. It may be dying, with
 * another hook, which the new one must not have. */
static int fueled(struct lg *G, lua_State *co) {
  struct tank *tank = tank_in_use(G);
  if (!tank) return 1;
  if (!tank->left || !enter(G, co, tank)) return 0; /* or it would go on so */
  set_hook(co, pay(tank));
  return 1;
}

void lg_fuel_coroutine(lua_State *L, struct lg *G) {
  struct tank *tank = lua_gethook(L) == burn ? tank_in_use(G) : NULL;
  if (tank) (void)pay(tank);
}

int green_lua_fuel(lua_State *L, int index, uint64_t instructions) {
  struct lg *G = lg_find(L);
  struct lg_handle *h = lg_to_handle(L, index);
  struct green_thread *t = h ? lg_live(h) : NULL;
  struct tank *tank;
  if (!G || !G->hub || !t || !lg_is_lua(t)) return UV_EINVAL;
  if (green_elsewhere(G->hub)) return UV_EPERM;
  if (!G->fuel && !(G->fuel = calloc(1, sizeof *G->fuel))) return UV_ENOMEM;
  if (!(tank = calloc(1, sizeof *tank))) return UV_ENOMEM;
  tank->left = instructions;
  tank->to_leave = TO_LEAVE;
  if (!enter(G, t->user, tank)) {
    free(tank);
    return UV_ENOMEM;
  }
  G->fueled = fueled;
  G->burn = burn;
  lg_tick_shares(burn);
  set_hook(t->user, pay(tank));
  return 0;
}

/* fuel(thread, instructions): for it, and what it spawns. */
static int l_fuel(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 2);
  int r = green_lua_fuel(L, 1, n > 0 ? (uint64_t)n : 0);
  if (r == UV_ENOMEM) luaL_error(L, "not enough memory");
  return 0;
}

void lg_open_fuel(lua_State *L) {
  static const luaL_Reg functions[] = {{"fuel", l_fuel}, {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}

void lg_fuel_free(struct lg *G) {
  int i;
  if (!G->fuel) return;
  for (i = 0; i < BUCKETS; i++)
    while (G->fuel->bucket[i]) {
      struct user *user = G->fuel->bucket[i];
      G->fuel->bucket[i] = user->next;
      leave(user->tank);
      free(user);
    }
  free(G->fuel);
  G->fuel = NULL;
}
