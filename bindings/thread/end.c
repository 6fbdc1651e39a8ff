/* end.c - the events after the end of a thread, and the things it gives back.
 *
 * The events in order, with the file of their code:
 *
 *   thread.c       lua_resume() came back for good: the traceback is taken and
 *                  the coroutine reset, which runs its <close> handlers
 *   core/thread.c  green__thread_end(): the state is final, and now
 *   end.c          lg_thread_ending(): open scopes are let go; it is noted
 *                  whether anybody waits, who gets an error then; what the
 *                  thread came to goes over to its handle, if it has one
 *                  (handle.c), and the coroutine is ready for another thread
 *                  (coroutine.c)
 *   core/thread.c  joiners are woken, watches told (crew.c: slots go on, a
 *                  group fails)
 *   end.c          lg_thread_ended(): locks are abandoned, what was tied to it
 *                  is cancelled, links start, an error that nobody gets is
 *                  reported, and the slots of what belonged to it are free.
 *                  If a crew is to read the outcome, that happens when it has
 *   core/thread.c  the record is free, unless it is held (GREEN_HELD)
 *   core/sched.c   the worker's C stack takes the next thread, or goes to the
 *                  idle pool (core/stack.c), which gives memory back in time
 *
 * All of this runs on the worker, outside lua_resume, where only functions that
 * cannot raise may be called; the rest goes through the helper coroutine.
 *
 * SPDX-License-Identifier: MIT
 */
#include "thread/end.h"

#include "runtime/anchor.h"
#include "runtime/boxed.h"
#include "runtime/guest.h"
#include "runtime/rare.h"
#include "runtime/scopes.h"
#include "runtime/strike.h"
#include "thread/coroutine.h"
#include "thread/handle.h"
#include "thread/join.h"
#include "thread/links.h"
#include "thread/name.h"
#include "thread/thread.h"

static void give_up_all(struct lg *G, struct green_thread *t) {
  int i;
  if (likely(!t->cold)) return; /* its record has no extra pointer */
  for (i = 0; i < G->duty_count; i++) G->duties[i](G, t);
}

void lg_at_thread_end(struct lg *G,
                      void (*give_up)(struct lg *G, struct green_thread *t)) {
  assert(G->duty_count < LG_DUTIES);
  G->duties[G->duty_count++] = give_up;
}

/* fn(G, t) on the helper: notes why the thread will never run. */
static int note_cancelled(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  lg_make_rare(L, G, lua_touserdata(L, 2));
  lua_pushliteral(L, "cancelled");
  lua_rawseti(L, -2, RARE_REASON);
  lua_pushliteral(L, "end of the thread that spawned it");
  lua_rawseti(L, -2, RARE_WHERE);
  return 0;
}

/* Cancels the threads that spawn_after_local tied to this one and that have not
 * started. */
static void cancel_tied(struct lg *G, struct green_thread *t) {
  lua_State *T = G->tables;
  int i;
  lg_peek_rare(G, t, RARE_TIED);
  for (i = 1; lua_istable(T, -1); i++) {
    const struct lg_handle *h;
    struct green_thread *tied;
    lua_rawgeti(T, -1, i);
    h = lua_touserdata(T, -1);
    lua_pop(T, 1);
    if (!h) break;
    if (!(tied = lg_live(h)) || tied->state != GREEN_NEW) continue;
    lg_protected(G, note_cancelled, tied);
    if ((tied = lg_live(h))) green_unstart(G->hub, tied);
  }
  lua_pop(T, 1);
}

/* The thread's belongings die with it, although a handle may live on. */
static void drop_fields(struct lg *G, struct green_thread *t) {
  static const int keys[] = {RARE_OUTPUT, RARE_LOCALS, RARE_INHERITED,
                             RARE_TIED,   RARE_OWNED,  RARE_THROWN,
                             RARE_LINKS,  RARE_BOX,    RARE_EVENT};
  unsigned i;
  if (unlikely(G->boxes)) lg_leave_box(G, t);
  if (likely(!lg_push_rare(G, t))) return;
  for (i = 0; i < sizeof keys / sizeof *keys; i++) {
    lua_pushnil(G->tables);
    lua_rawseti(G->tables, -2, keys[i]);
  }
  lua_pop(G->tables, 1);
}

/* (G, t) on the helper: spawns a thread for on_error. While os.exit ends all
 * threads, it is no failure that a thread learns of another's end before its
 * own. */
static int report(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  struct green_thread *t = lua_touserdata(L, 2);
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "report");
  lg_push_outcome(L, G, t); /* false, err */
  lua_remove(L, -2);
  if (G->leaving && lg_is_kill_object(L, -1)) return 0;
  lg_push_thread(L, G, t);
  lg_spawn_cleanup(L, 2);
  return 0;
}

static int is_owned(struct lg *G, struct green_thread *t) {
  int owned = lg_peek_rare(G, t, RARE_OWNED) != LUA_TNIL;
  lua_pop(G->tables, 1);
  return owned;
}

static void report_error(struct lg *G, struct green_thread *t) {
  char name[LG_CALLED];
  if (lg_protected(G, report, t) == LUA_OK) return;
  lg_keep_name(G, t);
  green_report(
      "luagreen: green thread #%llu %s failed, and memory was "
      "short for its report\n",
      (unsigned long long)t->id, lg_shown_name(t, name));
}

/* Returns how many links run. */
static int give_up_rare(struct lg *G, struct green_thread *t) {
  cancel_tied(G, t);
  return lg_start_links(G, t);
}

/* Decides the error's destination now, while the waiters are in the list. */
int lg_thread_ending(struct green_hub *hub, struct green_thread *t) {
  struct lg *G = lg_of(t);
  int awaited = t->state == GREEN_FAILED && lg_has_waiter(t);
  (void)hub;
  assert(G->hub && t->state >= GREEN_DONE);
  if (unlikely(t->scopes)) lg_drop_scopes(G, t);
  if (unlikely(G->watch_end != NULL)) G->watch_end(G, t);
  if (t->user_flags & LG_HANDLED) lg_settle(G, t);
  return awaited;
}

void lg_thread_ended(struct green_hub *hub, struct green_thread *t,
                     int awaited) {
  struct lg *G = lg_of(t);
  int links = 0;
  (void)hub;
  assert(G->hub);
  give_up_all(G, t);
  if (unlikely(t->user_flags & LG_RARE)) links = give_up_rare(G, t);
  /* An error that nobody else got goes to green.on_error. */
  if (t->state == GREEN_FAILED && !links && !awaited && !is_owned(G, t))
    report_error(G, t);
  if (unlikely(t->user_flags & LG_RARE || G->boxes)) drop_fields(G, t);
  if (t->flags & GREEN_HELD)
    lg_free_early(G, t);
  else
    lg_forget(G, t);
}

/* It has no coroutine, and only its joiners get its outcome. */
static void guest_ended(struct lg *G, struct green_thread *t) {
  give_up_all(G, t);
  if (!lg_guest(G, t)) return;
  if (lg_flags(G, t) & LG_RARE) give_up_rare(G, t);
  if (lg_flags(G, t) & LG_HANDLED) lg_settle(G, t);
  drop_fields(G, t);
  lg_drop_rare(G, t);
  lg_release(G, lg_slot(G, t));
  lg_forget_guest(G, t);
}

/* It may own a lock in a state that knows nothing else of it. */
void lg_c_ended(struct green_hub *hub, struct green_thread *t) {
  struct green_family *f;
  if (!t->user_flags && !t->cold) return;
  for (f = green_families(hub); f; f = f->next) guest_ended((struct lg *)f, t);
  t->user_flags = 0;
}
