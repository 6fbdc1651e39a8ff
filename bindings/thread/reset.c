/* reset.c - resets the coroutine of a thread that did not end by a return,
 * which runs its <close> handlers.
 *
 * That happens after an uncaught error, after a forced kill, after a yield to
 * nobody, and after the thread has left its frames (force.c). All of this runs
 * on the worker, outside lua_resume(), where only functions that cannot raise
 * may be called; the handlers may block and then keep the stack.
 *
 * Invariant: LG_RESETTING is set from the first handler to the end of the last,
 * across all stacks that force makes them leave.
 *
 * SPDX-License-Identifier: MIT
 */
#include "thread/reset.h"

#include "runtime/anchor.h"
#include "runtime/force.h"
#include "runtime/frames.h"
#include "runtime/rare.h"
#include "thread/name.h"
#include "thread/thread.h"

const char lg_no_yield[] = "attempt to yield from outside a coroutine";

/* --- the error --- */

/* Did a thread further in already note the traceback of this error? The rare
 * things are on top of the stack. */
static int was_noted(lua_State *L, lua_State *co) {
  int same;
  lua_getfield(L, -1, "traced");
  if (lua_isnil(L, -1) || !lua_checkstack(co, 1)) {
    lua_pop(L, 1);
    return 0;
  }
  lua_pushvalue(co, -1);
  lua_xmove(co, L, 1);
  same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

/* fn(G, t) on the helper: notes the traceback of its error. */
static int take_traceback(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  struct green_thread *t = lua_touserdata(L, 2);
  lg_make_rare(L, G, t);
  if (was_noted(L, t->user)) return 0;
  lg_push_traceback(L, G, t->user, NULL);
  lua_rawseti(L, -2, RARE_TRACEBACK);
  return 0;
}

/* Is the value on top of the dead coroutine the thread's own kill object? */
static int is_own_kill(struct lg *G, struct green_thread *t, lua_State *co) {
  int own;
  lg_peek_rare(G, t, RARE_KILLED);
  if (lua_isnil(G->tables, -1) || !lua_checkstack(co, 1)) {
    lua_pop(G->tables, 1);
    return 0;
  }
  lua_xmove(G->tables, co, 1);
  own = lua_rawequal(co, -1, -2);
  lua_pop(co, 1);
  return own;
}

/* --- the handlers --- */

/* The handlers of a thread that was forced, or was killed and has not noticed,
 * share a grace of their own. */
static void begin_handlers(struct lg *G, struct green_thread *t) {
  if (t->user_flags & LG_RESETTING) return;
  t->user_flags |= LG_RESETTING;
  if (t->flags & GREEN_FORCED || !t->deliveries)
    t->struck_ms = green_ms(G->hub);
}

/* While hooks are off, nothing could stop a handler that computes for ever. */
static void report_skipped(struct lg *G, struct green_thread *t) {
  char name[LG_CALLED];
  if (!lg_may_close(t->user)) return;
  lg_keep_name(G, t);
  green_report(
      "luagreen: green thread #%llu %s was ended below a hook: its "
      "<close> handlers have not run\n",
      (unsigned long long)t->id, lg_shown_name(t, name));
}

/* Closes the pending to-be-closed variables on this worker. If a handler is
 * forced, the worker leaves it and comes here again, for the rest of them.
 * Afterwards the error, if any, is at index 1. The name is read first, since
 * its source is gone then. */
static int reset(struct lg *G, struct green_thread *t, lua_State *co) {
  uint32_t site = lg_keep_name(G, t);
  int status;
  assert(t->state == GREEN_RUNNING);
  begin_handlers(G, t);
  lg_watch_reset(G, co);
  status = lg_reset(co);
  t->user_flags &= (uint8_t)~LG_RESETTING;
  t->user_place = site; /* its wait is over */
  return status;
}

/* --- why --- */

void lg_reset_failed(struct lg *G, struct green_thread *t) {
  lua_State *co = t->user;
  lg_protected(G, take_traceback, t);
  if (G->lost_hooks != t)
    reset(G, t, co);
  else
    report_skipped(G, t);
  G->lost_hooks = NULL;
  t->state = is_own_kill(G, t, co) ? GREEN_KILLED : GREEN_FAILED;
}

/* The handlers get no error; one that they raise counts. */
void lg_reset_forced(struct lg *G, struct green_thread *t) {
  lua_State *co = t->user;
  int status = reset(G, t, co);
  t->state =
      status == LUA_OK || is_own_kill(G, t, co) ? GREEN_KILLED : GREEN_FAILED;
}

void lg_reset_yielded(struct lg *G, struct green_thread *t) {
  lua_State *co = t->user;
  lg_protected(G, take_traceback, t);
  reset(G, t, co);
  lua_settop(co, 0);
  lua_rawgetp(co, LUA_REGISTRYINDEX, lg_no_yield);
  t->state = GREEN_FAILED;
}

/* --- frames that were left --- */

/* Closes the coroutines that it was resuming when it left its frames, innermost
 * first. Nobody else can resume or close them any more. */
static void close_nested(struct lg *G, lua_State *co) {
  lua_State *nested = lg_resumed(co, G);
  if (!nested) return;
  close_nested(G, nested);
  if (!lg_hooks_on(nested)) return;
  lg_watch_reset(G, nested);
  (void)lg_reset(nested);
}

/* Drops the coroutine as it is; for others that know it, it is running for
 * ever. */
static void drop(struct lg *G, struct green_thread *t) {
  report_skipped(G, t);
  t->user_place = lg_keep_name(G, t);
  t->user_flags &= (uint8_t) ~(LG_EXPOSED | LG_RESETTING);
  t->state = GREEN_KILLED;
}

void lg_reset_left(struct lg *G, struct green_thread *t) {
  int hooks = lg_was_left(t) == LG_LEFT;
  assert(t->flags & GREEN_FORCED && t->user);
  green_frames_left(G->hub);
  t->kind = NULL;
  begin_handlers(G, t);
  close_nested(G, t->user);
  if (hooks)
    lg_reset_forced(G, t);
  else
    drop(G, t);
  assert(!(t->user_flags & LG_RESETTING) && t->state >= GREEN_DONE);
  G->cut_short++;
}
