/* interrupt.c - raises the strikes of the current thread.
 *
 * The steps of a cancellation: it is raised at once; raised again, after the
 * others had a turn; a kill that goes on too long is forced. The core decides
 * which step comes (green_deliver), and strike.c makes the value to raise.
 *
 * Green threads only (or the adopted main one).
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "runtime/closing.h"
#include "runtime/force.h"
#include "runtime/frames.h"
#include "runtime/interrupt.h"
#include "runtime/park.h"
#include "runtime/refusal.h"
#include "runtime/strike.h"
#include "runtime/wait.h"

/* After this many deliveries of one timeout, report once that some code keeps
 * catching it. */
enum { MOST_SWALLOWED = 1000 };

static void report_swallowed(lua_State *L, struct green_scope *scope,
                             struct lg *G) {
  luaL_checkstack(L, 6, "luagreen");
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "swallowed");
  lg_push_scope_object(L, G, scope);
  lua_call(L, 1, 0);
  lua_pop(L, 1);
}

static void raise_visible(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  struct green_scope *scope;
  enum green_strike strike = green_strikes(G->hub, t, &scope);
  if (strike == GREEN_STRIKE_NONE) return;
  luaL_checkstack(L, 8, "luagreen");
  if (strike == GREEN_STRIKE_KILL) lg_watch_killed(L, G);
  lg_push_strike(L, G, strike, scope);
  lua_error(L);
}

/* After a lap that came before the raise: the strike may be gone. */
static int raise_k(lua_State *L, int status, lua_KContext ctx) {
  struct lg *G = lg_back(L, ctx);
  (void)status;
  if (!G) return lua_yieldk(L, 0, ctx, raise_k);
  lg_drop_foreign(L);
  raise_visible(L, G);
  return ((const struct lg_op *)lg_current(G)->kind)->start(L);
}

/* The others run first, so a loop that swallows the strike starves nobody. */
static void lap_first(lua_State *L, struct lg *G, const struct lg_op *op) {
  int keep = lg_keep_or_lap(L, G, op);
  green_lap_begin(G->hub, &op->kind);
  if (!keep) lg_leave_to_restart(L, G, raise_k); /* does not return */
  lg_stay(L, G);
}

void lg_interrupt(lua_State *L, struct lg *G, const struct lg_op *op) {
  struct green_thread *t = lg_current(G);
  struct green_scope *scope;
  enum green_strike strike = t ? green_strikes(G->hub, t, &scope) : 0;
  int how;
  if (strike == GREEN_STRIKE_NONE) return;
  how = green_deliver(G->hub, strike, scope);
  if (strike == GREEN_STRIKE_SCOPE && lg_is_own_scope(G, scope) &&
      scope->deliveries == MOST_SWALLOWED)
    report_swallowed(L, scope, G);
  if (how == GREEN_FORCE) lg_force(L, G);
  /* A strike that was swallowed before starves nobody, nor do new ones in a
   * row, as of limits that have passed before they begin. */
  if (how == GREEN_AT_ONCE && --green_hot(G->hub)->budget < 0 &&
      (lg_may_yield(L, t) || green_keep_reserve(G->hub) == 0))
    how = GREEN_LAP_FIRST;
  if (how != GREEN_AT_ONCE && !lg_refusal(L, G)) lap_first(L, G, op);
  raise_visible(L, G);
}

int lg_is_struck(struct lg *G) {
  struct green_thread *t = lg_current(G);
  struct green_scope *scope;
  return unlikely(t && t->pending) &&
         green_strikes(G->hub, t, &scope) != GREEN_STRIKE_NONE;
}

/* Main is running again. Its record still tells what it waited for, and the
 * object is still among the arguments of the function that waits. */
int lg_raise_deadlock(lua_State *L, const struct green_thread *main) {
  int type = main->on ? lua_type(L, 1) : LUA_TNONE;
  luaL_checkstack(L, 6, "luagreen");
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "deadlock");
  lua_pushstring(L, main->kind->name);
  lua_pushnumber(L, (lua_Number)main->since / 1e9);
  if (type == LUA_TUSERDATA || type == LUA_TTABLE)
    lua_pushvalue(L, 1);
  else
    lua_pushnil(L);
  lua_call(L, 3, 1);
  return lua_error(L);
}

void lg_raise_code(lua_State *L, struct lg *G, int code, const char *what) {
  struct green_thread *t = lg_current(G);
  if (G->exiting && t == green_main(G->hub)) lg_exit(L, G);
  if (code == UV_EPERM) {
    const char *why = lg_refusal(L, G);
    luaL_error(L, "'%s' cannot block %s", what, why ? why : "here");
  }
  /* From green_lua_check() any code may come: UV_ECANCELED of a closed post. */
  if (!t) return;
  if (code == GREEN_EDEADLK && t->kind) lg_raise_deadlock(L, t);
  if (code == LG_THROWN || code == UV_EINTR) {
    lg_push_thrown(L, G, code);
    lua_error(L);
  }
  if (code != UV_ECANCELED) return; /* an outcome, which the caller reports */
  if (lg_below_hook(L)) {
    lg_strike_in_hook(L, G);
    return;
  }
  if (t->flags & GREEN_FORCED) lg_force(L, G);
  raise_visible(L, G);
}
