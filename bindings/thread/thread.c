/* thread.c - the class of green threads that are Lua coroutines.
 *
 * How a worker runs one, and how it ends. The resumed function is the user's
 * own: no trampoline, no protected call at the base, so that an idle thread
 * costs 1.2 KB. What has to happen at its end happens here on the worker,
 * outside lua_resume, where only functions that cannot raise may be used; the
 * rest goes through the helper coroutine.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "runtime/force.h"
#include "runtime/rare.h"
#include "thread/coroutine.h"
#include "thread/end.h"
#include "thread/name.h"
#include "thread/thread.h"

const char lg_no_yield[] = "attempt to yield from outside a coroutine";

/* --- how a thread ends --- */

/* Did the error pass through a note of its traceback further in? The rare
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

/* fn(G, t) on the helper: where its error was raised. */
static int take_traceback(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  struct green_thread *t = lua_touserdata(L, 2);
  lg_make_rare(L, G, t);
  if (was_noted(L, t->user)) return 0;
  luaL_traceback(L, t->user, NULL, 0);
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

/* Runs the pending to-be-closed variables on this worker. They may block: the
 * thread keeps the stack then. Afterwards the error, if any, is at index 1.
 * The name is read from what is gone then. */
static int reset(struct lg *G, struct green_thread *t, lua_State *co) {
  uint32_t site = lg_keep_name(G, t);
  int status;
  assert(t->state == GREEN_RUNNING);
  t->user_flags |= LG_RESETTING;
  lg_watch_reset(G, t);
  status = lg_reset(co);
  t->user_flags &= (uint8_t)~LG_RESETTING;
  t->since = site; /* nothing is waited for any more */
  return status;
}

static void has_failed(struct lg *G, struct green_thread *t, lua_State *co) {
  lg_protected(G, take_traceback, t);
  reset(G, t, co);
  t->state = is_own_kill(G, t, co) ? GREEN_KILLED : GREEN_FAILED;
}

/* Ended by force: handlers run without an error; one of their own counts. */
static void was_forced(struct lg *G, struct green_thread *t, lua_State *co) {
  int status = reset(G, t, co);
  t->state =
      status == LUA_OK || is_own_kill(G, t, co) ? GREEN_KILLED : GREEN_FAILED;
}

/* coroutine.yield at the top level: nobody is there to yield to. */
static void yielded_outside(struct lg *G, struct green_thread *t,
                            lua_State *co) {
  lg_protected(G, take_traceback, t);
  reset(G, t, co);
  lua_settop(co, 0);
  lua_rawgetp(co, LUA_REGISTRYINDEX, lg_no_yield);
  t->state = GREEN_FAILED;
}

/* Lua 5.5: it has closed its own coroutine, and that counts as a return without
 * values. What lay below them is gone, the guard too: an outcome of the usual
 * shape takes its place, and the coroutine is not used again. */
static void closed_itself(struct green_thread *t, lua_State *co) {
  assert(lua_gettop(co) < LG_BASE);
  lua_settop(co, LG_BASE);
  t->user_flags |= LG_EXPOSED;
}

/* --- the worker's part --- */

/* lua_resume came back otherwise than by one of our waits or a return. */
static void odd_end(struct lg *G, struct green_thread *t, lua_State *co,
                    int status) {
  if (status != LUA_YIELD)
    has_failed(G, t, co);
  else if (t->flags & GREEN_FORCED)
    was_forced(G, t, co);
  else
    yielded_outside(G, t, co);
}

/* Others have closed its coroutine, or are about to: a handler of that blocks,
 * and the thread was woken meanwhile. */
static int was_closed(struct lg *G, struct green_thread *t) {
  if (t->on && t->kind->undo) t->kind->undo(G->hub, t);
  t->on = NULL; /* a finalizer could collect it now */
  lg_note_closed(G, t);
  t->since = 0;
  t->state = GREEN_KILLED;
  return GREEN_ENDED;
}

static int run_one(struct lg *G, struct green_thread *t) {
  lua_State *co = t->user;
  int nargs = 0, nresults, status;
  assert(co && t->state == GREEN_RUNNING);
  if (unlikely(!(t->user_flags & LG_STARTED))) {
    t->user_flags |= LG_STARTED;
    nargs = lua_gettop(co) - LG_BASE - 1;
  } else if (unlikely(lua_status(co) != LUA_YIELD)) {
    return was_closed(G, t);
  }
  status = lua_resume(co, NULL, nargs, &nresults);
  if (status == LUA_YIELD && t->user_flags & LG_PARKED) {
    t->user_flags &= (uint8_t)~LG_PARKED;
    return GREEN_PARKED;
  }
  t->since = 0; /* nothing is waited for: see record.h */
  if (unlikely(status != LUA_OK))
    odd_end(G, t, co, status);
  else if (nresults == 0 && unlikely(lua_gettop(co) < LG_BASE))
    closed_itself(t, co);
  if (likely(status == LUA_OK)) t->state = GREEN_DONE;
  if (unlikely(t->user_flags & LG_EXPOSED)) lg_hide_outcome(G, t);
  G->refuse = NULL; /* if a forced kill cut the warn function off */
  return GREEN_ENDED;
}

static void run(struct green_hub *hub, struct green_thread *t) {
  struct lg *G = lg_of(hub);
  do t = green_pass(hub, t, run_one(G, t));
  while (t);
}

/* Killed or cancelled before it started. A finalizer may do the same where the
 * place is looked up. */
static void unstarted(struct green_hub *hub, struct green_thread *t) {
  uint64_t id = t->id;
  uint32_t site = t->user_flags & LG_HANDLED ? lg_defined(lg_of(hub), t) : 0;
  if (t->id != id || t->state != GREEN_NEW) return;
  t->since = site;
  lua_settop(t->user, LG_TRIPWIRE);
}

const struct green_class lg_thread_class = {"lua", run, unstarted,
                                            lg_thread_ending, lg_thread_ended};

/* Killed, forced, and alive after a second grace. */
void lg_abandoned(struct green_hub *hub, struct green_thread *t) {
  lg_keep_name(lg_of(hub), t);
  green_report("luagreen: green thread #%llu %s would not end (%s)\n",
               (unsigned long long)t->id, green_name(t),
               green_waits_for(t) ? green_waits_for(t) : green_status(t));
}
