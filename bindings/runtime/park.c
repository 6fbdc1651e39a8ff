/* park.c - the slow side of parking: refuses callers that may not block.
 *
 * A thread parks in its own coroutine, by yielding or with its C stack kept
 * (park.h decides). All other callers keep their stack: a coroutine of the
 * user's, a function below C frames, the main Lua thread. They pass the slow
 * checks here, before anything happens.
 *
 * Invariant: LG_PARKED is set exactly from lg_leave() until the worker sees
 * that the coroutine yielded; any other yield that it sees is the user's.
 *
 * Green threads only (or the adopted main one).
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/closing.h"
#include "runtime/nested.h"
#include "runtime/refusal.h"
#include "runtime/sigint.h"
#include "runtime/wait.h"

void lg_main_blocks(lua_State *L, struct lg *G) {
  if (G->exiting) lg_exit(L, G);
  lg_sentinel(L, G);
  lg_sigint_install(G);
}

int lg_keep_or_raise(lua_State *L, struct lg *G, const struct lg_op *op) {
  struct green_hub_hot *hot = green_hot(G->hub);
  const char *why = lg_refusal(L, G);
  if (why) luaL_error(L, "'%s' cannot block %s", op->kind.name, why);
  if (hot->current == green_main(G->hub)) lg_main_blocks(L, G);
  if (unlikely(G->nested_scopes)) lg_move_scopes(L, G);
  if (green_keep_reserve(G->hub) < 0)
    luaL_error(L, "'%s' cannot block here: no C stack left for it (%d kept)",
               op->kind.name, (int)hot->kept);
  return 1;
}

/* A wait for a descriptor is long compared with what a kept stack saves: at 50
 * connections keeping is no faster, and at 1,000 the echo server was 15 %
 * slower because of the cache lines of 1,000 stacks. */
int lg_yield_or_keep(lua_State *L, struct lg *G, const struct lg_op *op) {
  struct green_thread *t = lg_current(G);
  if (unlikely(!t || !lg_may_yield(L, t) || G->drained == 2 || G->refuse))
    return lg_keep_or_raise(L, G, op);
  return 0;
}

static int nothing(lua_State *L) {
  (void)L;
  return 0;
}

/* After a call one level deeper Lua keeps the memory for it. */
void lg_try_call(lua_State *L) {
  lua_pushcfunction(L, nothing);
  lua_call(L, 0, 0);
}

/* (n) */
static int nest(lua_State *L) {
  lua_Integer n = lua_tointeger(L, 1);
  if (n == 0) return 0;
  lua_pushcfunction(L, nest);
  lua_pushinteger(L, n - 1);
  lua_call(L, 1, 0);
  return 0;
}

/* A call of Lua's takes a hundred bytes of the stack of C at the least, and 200
 * may nest. */
void lg_need_calls(lua_State *L, struct lg *G, int n) {
  if (likely(G->hub && green_is_shallow(G->hub))) return;
  luaL_checkstack(L, 2, "luagreen");
  lua_pushcfunction(L, nest);
  lua_pushinteger(L, n - 1);
  lua_call(L, 1, 0);
}

void lg_reserve_mark(lua_State *L) {
  lg_make_room(L);
  lg_try_call(L);
}

/* Marks the end of the arguments of a call that starts again. */
static const char END[] = "end";

int lg_leave_to_restart(lua_State *L, struct lg *G, lua_KFunction k) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)END);
  return lg_leave(L, G, k);
}

void lg_drop_foreign(lua_State *L) {
  int top = lua_gettop(L);
  while (lua_touserdata(L, top) != END) top--;
  lua_settop(L, top - 1);
}
