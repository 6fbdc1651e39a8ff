/* wait.c - the wait of a blocking Lua function, and its continuation.
 *
 * The function enters (a strike comes first) and tries. If it would have to
 * wait, it registers the wait and returns through lg_park(). Both ways of
 * parking continue in op->woken(), with the arguments of the function where
 * they were.
 *
 * Green threads only (or the adopted main one).
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/closing.h"
#include "runtime/interrupt.h"
#include "runtime/refusal.h"
#include "runtime/wait.h"

/* If something cut the wait off, first puts the object in order, then lets the
 * strike or the deadlock have its effect. Not inlined, so that go_on() saves no
 * registers. */
static __attribute__((noinline)) int go_on_slow(lua_State *L, struct lg *G,
                                                const struct lg_op *op,
                                                int reason) {
  int cut_off = reason == GREEN_INTERRUPT || reason == GREEN_DEADLOCK ||
                reason == GREEN_EXIT;
  /* Reasons above GREEN_EXIT are the operation's own (queue.c has one). */
  if (cut_off && op->interrupted) op->interrupted(L, G);
  if (G->exiting && lg_running(G) == green_main(G->hub)) lg_exit(L, G);
  if (reason == GREEN_DEADLOCK) return lg_raise_deadlock(L, lg_running(G));
  if (reason != GREEN_INTERRUPT) return op->woken(L, G, reason);
  lg_interrupt(L, G, op);
  return op->start(L); /* it was taken back before this thread ran */
}

/* The thread runs again. */
static inline int go_on(lua_State *L, struct lg *G, const struct lg_op *op,
                        int reason) {
  if (likely(reason == GREEN_WOKEN && !G->exiting))
    return op->woken(L, G, reason);
  return go_on_slow(L, G, op, reason);
}

/* A thread that left by yielding comes back here; its wait's kind tells the
 * op. */
static int wait_k(lua_State *L, int status, lua_KContext ctx) {
  struct lg *G = lg_back(L, ctx);
  (void)status;
  if (unlikely(!G)) return lua_yieldk(L, 0, ctx, wait_k);
  return go_on(L, G, (const struct lg_op *)lg_running(G)->kind,
               lg_running(G)->reason);
}

/* Others may close the coroutine of a thread that left. Then its <close>
 * handlers run and may collect the object whose list the thread stands in. So a
 * to-be-closed value, the mark, lies on top: it is closed first and ends the
 * wait. The mark is the state's userdata itself, which every function has as an
 * upvalue; see coroutine.c for its __close. It costs 19 ns of the 90 of such a
 * wait.
 *
 * Lua closes the mark by a call, for which it may need memory, when the thread
 * was woken and does not own yet what the wake-up handed over. Lua keeps the
 * memory of a call for the next one as deep, so one call before makes it
 * certain. If the kind of wait can give back what was handed over, that call
 * comes after the wake-up (tried_k): where it raises, the mark is still there,
 * and its __close gives it back. Else the call comes before the wait
 * (lg_reserve_mark()), and costs a thread 80 bytes that has not called anything
 * as deep so far. */
static int leave_by_mark(lua_State *L, struct lg *G, lua_KFunction k) {
  lua_toclose(L, -1); /* cannot raise: it has its __close */
  return lg_leave(L, G, k);
}

static int leave_marked(lua_State *L, struct lg *G, lua_KFunction k) {
  lua_pushvalue(L, lua_upvalueindex(1));
  return leave_by_mark(L, G, k);
}

/* Removes the values of a foreign resume, which lie above the mark. */
static int find_mark(lua_State *L, struct lg *G) {
  int top = lua_gettop(L);
  if (likely(lua_touserdata(L, top) == G)) return top;
  do top--;
  while (lua_touserdata(L, top) != G);
  lua_settop(L, top);
  return top;
}

/* lua_settop() would also close the mark, but Lua 5.4.4 then sets a wrong top
 * if the call moves the stack. */
static int go_on_unmarked(lua_State *L, struct lg *G, int mark) {
  struct green_thread *t = lg_running(G);
  lua_closeslot(L, mark);
  lua_settop(L, mark - 1);
  return go_on(L, G, (const struct lg_op *)t->kind, t->reason);
}

static int marked_k(lua_State *L, int status, lua_KContext ctx) {
  struct lg *G = lg_back(L, ctx);
  (void)status;
  if (unlikely(!G)) return lua_yieldk(L, 0, ctx, marked_k);
  return go_on_unmarked(L, G, find_mark(L, G));
}

static int tried_k(lua_State *L, int status, lua_KContext ctx) {
  struct lg *G = lg_back(L, ctx);
  int mark;
  (void)status;
  if (unlikely(!G)) return lua_yieldk(L, 0, ctx, tried_k);
  mark = find_mark(L, G);
  if (lg_running(G)->kind->undo) lg_try_call(L);
  return go_on_unmarked(L, G, mark);
}

int lg_park(lua_State *L, struct lg *G, const struct lg_op *op, int keep) {
  if (keep) return go_on(L, G, op, lg_stay(L, G));
  if (!lg_running(G)->on) return lg_leave(L, G, wait_k);
  return leave_marked(L, G, marked_k);
}

int lg_park_foreign(lua_State *L, struct lg *G, const struct lg_op *op,
                    int keep) {
  if (keep) return go_on(L, G, op, lg_stay(L, G));
  lua_rawgetp(L, LUA_REGISTRYINDEX, (const void *)G);
  return leave_by_mark(L, G, marked_k);
}

int lg_park_unmarked(lua_State *L, struct lg *G, const struct lg_op *op,
                     int keep) {
  if (keep) return go_on(L, G, op, lg_stay(L, G));
  return lg_leave(L, G, wait_k);
}

/* The lap or the wait could not begin. */
static int refused(lua_State *L, struct lg *G, const struct lg_op *op, int r) {
  const char *why = r == UV_EPERM ? lg_refusal(L, G) : NULL;
  if (why) return luaL_error(L, "'%s' cannot block %s", op->kind.name, why);
  return luaL_error(L, "'%s': %s", op->kind.name, green_strerror(r));
}

int lg_wait(lua_State *L, struct lg *G, const struct lg_op *op, void *on,
            struct green_list *list, uint64_t deadline) {
  int keep = lg_keep_or_lap(L, G, op), r;
  assert(!op->interrupted); /* lg_try_call() may raise past it */
  if (!keep && on) lg_make_room(L);
  r = green_wait_begin(G->hub, &op->kind, on, list, deadline);
  if (unlikely(r < 0)) return refused(L, G, op, r);
  if (keep) return go_on(L, G, op, lg_stay(L, G));
  return on ? leave_marked(L, G, tried_k) : lg_leave(L, G, wait_k);
}

int lg_wait_surely(lua_State *L, struct lg *G, const struct lg_op *op,
                   void *on, struct green_list *list, uint64_t deadline) {
  int keep = lg_keep_or_yield(L, G, op);
  int r = green_wait_begin(G->hub, &op->kind, on, list, deadline);
  if (unlikely(r < 0)) return refused(L, G, op, r);
  return lg_park(L, G, op, keep);
}

int lg_lap_away(lua_State *L, struct lg *G, const struct lg_op *op) {
  int r = green_lap_begin(G->hub, &op->kind);
  return unlikely(r < 0) ? refused(L, G, op, r) : lg_leave(L, G, wait_k);
}

int lg_lap_over(lua_State *L, struct lg *G, const struct lg_op *op, int r) {
  if (r == UV_ENOMEM && lg_may_yield(L, lg_running(G)))
    return lg_lap_away(L, G, op);
  return unlikely(r < 0) ? refused(L, G, op, r) : go_on(L, G, op, r);
}

int lg_lap(lua_State *L, struct lg *G, const struct lg_op *op) {
  if (!lg_keep_or_lap(L, G, op)) return lg_lap_away(L, G, op);
  return lg_lap_over(L, G, op, green_lap(G->hub, &op->kind, L));
}

/* --- on entry --- */

static int restart_k(lua_State *L, int status, lua_KContext ctx) {
  struct lg *G = lg_back(L, ctx);
  (void)status;
  if (!G) return lua_yieldk(L, 0, ctx, restart_k);
  lg_drop_foreign(L);
  return ((const struct lg_op *)lg_running(G)->kind)->start(L);
}

static int lap_and_restart(lua_State *L, struct lg *G,
                           const struct lg_op *op) {
  int keep = lg_keep_or_lap(L, G, op);
  green_budget_spent(G->hub);
  green_lap_begin(G->hub, &op->kind);
  if (!keep) return lg_leave_to_restart(L, G, restart_k);
  lg_stay(L, G);
  return op->start(L);
}

static int enter(lua_State *L, struct lg *G, const struct lg_op *op,
                 int debt) {
  struct green_hub_hot *hot = green_hot(G->hub);
  if (!lg_current(G)) return -1;
  if (hot->current == green_main(G->hub) && !lg_refusal(L, G))
    lg_main_blocks(L, G);
  if (hot->current->pending) {
    lg_interrupt(L, G, op);
    hot->budget--; /* lg_enter() did not get so far */
  }
  if (hot->budget >= -debt || lg_refusal(L, G)) return -1;
  /* A turn that needs a stack which cannot be had is not worth an error. */
  if (!lg_may_yield(L, hot->current) && green_keep_reserve(G->hub) < 0)
    return -1;
  return lap_and_restart(L, G, op);
}

int lg_enter_slow(lua_State *L, struct lg *G, const struct lg_op *op) {
  return enter(L, G, op, 0);
}

int lg_enter_first(lua_State *L, struct lg *G, const struct lg_op *op,
                   int debt) {
  struct green_hub_hot *hot = green_hot(G->hub);
  if (likely(hot->current && !hot->current->pending && --hot->budget >= 0 &&
             L != G->main))
    return -1;
  return enter(L, G, op, debt);
}
