/* park.h - the two ways to park, and the one decision between them.
 *
 * A blocking function prepares its wait and then either leaves by lua_yieldk,
 * which frees the C stack at once, or keeps the stack and switches away.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_PARK_H
#define LG_PARK_H

#include "runtime/state.h"

struct lg_op;

/* Does the thread's own coroutine make this call, and may it yield? */
static inline int lg_may_yield(lua_State *L, const struct green_thread *t) {
  return t->user == L && lg_is_lua(t) && lua_isyieldable(L);
}
/* The same of a thread's own coroutine: may it block? One that may yield runs
 * no finalizer and is not the main Lua thread, so only these two reasons to
 * refuse are left. */
static inline int lg_own_may_block(lua_State *L, const struct lg *G) {
  return lua_isyieldable(L) && G->drained != 2 && !G->refuse;
}
/* Is it better for it to keep its stack than to leave by yielding? With four
 * times as many ready threads as stacks, keeping gains nothing for those that
 * may, and switching between the two ways costs each thread 5 ns. */
static inline int lg_gains(const struct lg *G, const struct green_thread *t) {
  const struct green_hub_hot *hot = green_hot(G->hub);
  return hot->kept < G->keep_stacks && t->flags & GREEN_SHORT &&
         hot->ready >> 2 < G->keep_stacks;
}

/* Raises unless the caller may block here; then decides how it parks: 1, it
 * keeps its stack (and one more is reserved); 0, it leaves by yielding. Enough
 * for a lap; a wait also needs lg_reserve_mark(). */
int lg_keep_or_raise(lua_State *L, struct lg *G, const struct lg_op *op);
static inline int lg_keep_or_lap(lua_State *L, struct lg *G,
                                 const struct lg_op *op) {
  struct green_thread *t = lg_running(G);
  if (unlikely(!t || t->user != L || !lg_is_lua(t) || !lg_own_may_block(L, G)))
    return lg_keep_or_raise(L, G, op);
  return lg_gains(G, t) && green_keep_reserve(G->hub) == 0;
}

/* A thread that left closes its mark (wait.c) by a call of a C function: the
 * stack has room for it, as Lua never makes a stack smaller than its calls have
 * reserved, and the call needs no more memory. All may raise; none runs
 * finalizers, the second if there is room. */
static inline void lg_make_room(lua_State *L) {
  if (unlikely(!lua_checkstack(L, LUA_MINSTACK + 4)))
    luaL_error(L, "stack overflow (luagreen)");
}
void lg_try_call(lua_State *L);
void lg_reserve_mark(lua_State *L);
/* Raises "C stack overflow" unless n more calls may nest. Lua calls no <close>
 * handler where that has no room, so a call whose result is to be closed asks
 * for it beforehand. */
void lg_need_calls(lua_State *L, struct lg *G, int n);

static inline int lg_keep_or_yield(lua_State *L, struct lg *G,
                                   const struct lg_op *op) {
  int keep = lg_keep_or_lap(L, G, op);
  if (!keep) lg_reserve_mark(L);
  return keep;
}

/* The same for waits that are long anyway: leaves wherever that is legal. Does
 * not reserve a mark. */
int lg_yield_or_keep(lua_State *L, struct lg *G, const struct lg_op *op);

/* Makes what main needs in order to block. */
void lg_main_blocks(lua_State *L, struct lg *G);

/* Leaves by yielding, after the wait was begun; k goes on. The caller returns
 * its result at once. */
static inline int lg_leave(lua_State *L, struct lg *G, lua_KFunction k) {
  lg_running(G)->user_flags |= LG_PARKED;
  return lua_yieldk(L, 0, (lua_KContext)G, k);
}

/* In k: G if the thread's own worker has resumed the coroutine; NULL if
 * somebody else has, and k must yield once more. */
static inline struct lg *lg_back(lua_State *L, lua_KContext ctx) {
  struct lg *G = (struct lg *)ctx;
  struct green_thread *t = G->hub ? lg_running(G) : NULL;
  return likely(t && t->user == L && lg_is_lua(t)) ? G : NULL;
}

/* As lg_leave(), for a k that calls the function again: k drops the values that
 * a foreign resume passes above the arguments. */
int lg_leave_to_restart(lua_State *L, struct lg *G, lua_KFunction k);
void lg_drop_foreign(lua_State *L);

/* Keeps the stack and switches away, after the wait was begun; returns the
 * reason of the wake-up. */
static inline int lg_stay(lua_State *L, struct lg *G) {
  green_keep_note(G->hub, L);
  return (int)green_keep(G->hub);
}

/* After a call of the core's that keeps the stack if it has to wait, and that a
 * note of L stood before: a coroutine may be gone before the next wait, which
 * perhaps has no note of its own. */
static inline void lg_kept(struct lg *G) {
  if (G->hub) green_keep_note(G->hub, NULL);
}

#endif
