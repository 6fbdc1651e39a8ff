/* thread.c - the class of green threads that are Lua coroutines.
 *
 * How a worker runs one, and how it ends. The worker resumes the user's own
 * function, without a trampoline or a protected call at the base, so that an
 * idle thread costs 1.2 KB. The work at its end is done here and in reset.c, on
 * the worker, outside lua_resume, where only functions that cannot raise may be
 * called; the rest goes through the helper coroutine.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/force.h"
#include "runtime/frames.h"
#include "runtime/object.h"
#include "thread/coroutine.h"
#include "thread/end.h"
#include "thread/name.h"
#include "thread/reset.h"
#include "thread/thread.h"

/* How often in a row a C function may yield again when it is resumed. */
enum { MOST_YIELDS = 100 };

/* Lua 5.5: the thread has closed its own coroutine, which counts as a return
 * without values. The values at the base are gone, with the guard: put an
 * outcome of the usual shape there, and do not reuse the coroutine. */
static void closed_itself(struct green_thread *t, lua_State *co) {
  assert(lua_gettop(co) < LG_BASE);
  lua_settop(co, LG_BASE);
  t->user_flags |= LG_EXPOSED;
}

/* --- a yield to nobody --- */

/* Fires when the function that yielded returns, and raises in its name. */
static void refuse_yield(lua_State *L, lua_Debug *ar) {
  struct lg *G = lg_find(L);
  (void)ar;
  lua_sethook(L, G->former.hook, G->former.mask, G->former.count);
  lua_rawgetp(L, LUA_REGISTRYINDEX, lg_no_yield);
  lua_error(L);
}

/* If some code of the coroutine catches errors, resumes it, and the yield
 * becomes an error; otherwise the thread ends as by an uncaught error. *spent:
 * yields since the last such error. */
static int goes_on(struct lg *G, struct green_thread *t, lua_State *co,
                   int *spent) {
  if (t->flags & GREEN_FORCED || lg_catcher(co, G) == LG_BASE_OF_STATE)
    return 0;
  if (lua_gethook(co) == refuse_yield) return ++*spent < MOST_YIELDS;
  *spent = 0;
  G->former.hook = lua_gethook(co);
  G->former.mask = lua_gethookmask(co);
  G->former.count = lua_gethookcount(co);
  lua_sethook(co, refuse_yield,
              LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
  return 1;
}

static int resume(struct lg *G, struct green_thread *t, lua_State *co,
                  int nargs, int *nresults) {
  int status, spent = 0;
  for (;;) {
    status = lua_resume(co, NULL, nargs, nresults);
    if (likely(status != LUA_YIELD || t->user_flags & LG_PARKED) ||
        !goes_on(G, t, co, &spent))
      return status;
    lua_pop(co, *nresults);
    nargs = 0;
  }
}

/* --- the worker's part --- */

/* lua_resume came back neither by one of our waits nor by a return. */
static void odd_end(struct lg *G, struct green_thread *t, int status) {
  if (status != LUA_YIELD)
    lg_reset_failed(G, t);
  else if (t->flags & GREEN_FORCED)
    lg_reset_forced(G, t);
  else
    lg_reset_yielded(G, t);
  if (status == LUA_ERRMEM) G->cut_short++; /* its handlers may have blocked */
}

/* Others have closed its coroutine, or are closing it: a handler blocks, and
 * the thread was woken meanwhile. */
static void was_closed(struct lg *G, struct green_thread *t) {
  if (t->on && t->kind->undo) t->kind->undo(G->hub, t);
  t->on = NULL; /* a finalizer could collect it now */
  lg_note_closed(G, t);
  G->cut_short++;
  t->user_place = 0;
  t->state = GREEN_KILLED;
}

/* Its coroutine is not where lua_resume() left it. */
static int not_parked(struct lg *G, struct green_thread *t) {
  if (lg_was_left(t) == LG_NOT_LEFT)
    was_closed(G, t);
  else
    lg_reset_left(G, t);
  G->refuse = NULL;
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
    return not_parked(G, t);
  }
  status = resume(G, t, co, nargs, &nresults);
  if (status == LUA_YIELD && t->user_flags & LG_PARKED) {
    t->user_flags &= (uint8_t)~LG_PARKED;
    return GREEN_PARKED;
  }
  t->user_place = 0; /* its wait is over: see record.h */
  if (unlikely(status != LUA_OK))
    odd_end(G, t, status);
  else if (nresults == 0 && unlikely(lua_gettop(co) < LG_BASE))
    closed_itself(t, co);
  if (likely(status == LUA_OK)) t->state = GREEN_DONE;
  if (unlikely(t->user_flags & LG_EXPOSED)) lg_hide_outcome(G, t);
  G->refuse = NULL; /* a forced kill may have cut the warn function off */
  return GREEN_ENDED;
}

static void run(struct green_hub *hub, struct green_thread *t) {
  struct lg *G = lg_of(t); /* all that follow are of the same family */
  do t = green_run_next(hub, t, run_one(G, t));
  while (t);
}

/* Killed or cancelled before it started. A finalizer may do the same while the
 * place is looked up. */
static void unstarted(struct green_hub *hub, struct green_thread *t) {
  uint64_t id = t->id;
  uint32_t site = t->user_flags & LG_HANDLED ? lg_defined(lg_of(t), t) : 0;
  (void)hub;
  if (t->id != id || t->state != GREEN_NEW) return;
  t->user_place = site;
  lua_settop(t->user, LG_TRIPWIRE);
}

const struct green_class lg_thread_class = {"a Lua thread", run, unstarted,
                                            lg_thread_ending, lg_thread_ended};

/* Killed, forced, and alive after a second grace. */
void lg_abandoned(struct green_hub *hub, struct green_thread *t) {
  char name[LG_CALLED];
  (void)hub;
  if (lg_is_lua(t)) lg_keep_name(lg_of(t), t);
  green_report("luagreen: green thread #%llu %s would not end (%s)\n",
               (unsigned long long)t->id, lg_shown_name(t, name),
               green_waits_for(t) ? green_waits_for(t) : green_status(t));
}
