/* end.c - what happens when a thread has ended, and what it gives back.
 *
 * The event in its order, wherever the code lies:
 *
 *   thread.c     lua_resume() came back for good: the traceback is taken, the
 *                coroutine reset (its <close> handlers run), open scopes let
 *                go, and whether anybody waits is noted: then the error is
 *                theirs
 *   core/thread.c  green__thread_end(): the state is final; joiners are woken,
 *                and watches told (crew.c: slots go on, a group fails)
 *   end.c        lg_thread_ended(): locks are abandoned, what was tied to it is
 *                cancelled, links start, an error that nobody gets is reported,
 *                and what belonged to it goes
 *   coroutine.c  the coroutine is used again, if it returned, or let go; the
 *                anchor slots are free. If a handle, or a crew, wants to know
 *                how it ended, that happens when the last of them lets go
 *   core/thread.c  the record is free, unless it is held (GREEN_HELD)
 *   core/sched.c   the worker's C stack takes the next thread, or goes to the
 *                idle pool (core/stack.c), which gives memory back in time
 *
 * All of this runs on the worker, outside lua_resume: only functions that
 * cannot raise; the rest goes through the helper coroutine.
 *
 * SPDX-License-Identifier: MIT
 */
#include <assert.h>

#include "runtime/anchor.h"
#include "runtime/rare.h"
#include "thread/end.h"
#include "thread/links.h"
#include "thread/thread.h"

static void give_up_all(struct lg *G, struct green_thread *t) {
  int i;
  if (likely(!t->cold)) return; /* it has nothing of the kind */
  for (i = 0; i < G->duty_count; i++) G->duties[i](G, t);
}

void lg_at_thread_end(struct lg *G,
                      void (*give_up)(struct lg *G, struct green_thread *t)) {
  assert(G->duty_count < LG_DUTIES);
  G->duties[G->duty_count++] = give_up;
}

/* fn(G, t) on the helper: why it will never run. */
static int note_cancelled(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  lg_make_rare(L, G, lua_touserdata(L, 2));
  lua_pushliteral(L, "cancelled");
  lua_rawseti(L, -2, RARE_REASON);
  lua_pushliteral(L, "end of the thread that spawned it");
  lua_rawseti(L, -2, RARE_WHERE);
  return 0;
}

/* Those that spawn_after_local tied to this one and that have not started. */
static void cancel_tied(struct lg *G, struct green_thread *t) {
  int i;
  if (!lg_push_rare_list(G, t, RARE_TIED)) return;
  for (i = 1;; i++) {
    struct green_thread **handle;
    lua_rawgeti(G->tables, -1, i);
    handle = lua_touserdata(G->tables, -1);
    lua_pop(G->tables, 1);
    if (!handle) break;
    if (!*handle || (*handle)->state != GREEN_NEW) continue;
    lg_protected(G, note_cancelled, *handle);
    green_unstart(G->hub, *handle);
  }
  lua_pop(G->tables, 1);
}

/* What belonged to the thread dies with it, though a handle may live on. */
static void drop_fields(struct lg *G, struct green_thread *t) {
  static const int keys[] = {RARE_OUTPUT, RARE_LOCALS, RARE_INHERITED};
  unsigned i;
  lua_rawgeti(G->tables, 1, t->user_rare);
  for (i = 0; i < sizeof keys / sizeof *keys; i++) {
    lua_pushnil(G->tables);
    lua_rawseti(G->tables, -2, keys[i]);
  }
  lua_pop(G->tables, 1);
}

/* (G, t) on the helper: a thread for on_error. */
static int report(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  struct green_thread *t = lua_touserdata(L, 2);
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "report");
  lg_push_outcome(L, G, t); /* false, err */
  lua_remove(L, -2);
  lg_push_thread(L, G, t);
  lg_spawn_owed(L, 2);
  return 0;
}

static int has_rare(struct lg *G, struct green_thread *t, int key) {
  int has;
  if (!t->user_rare) return 0;
  lua_rawgeti(G->tables, 1, t->user_rare);
  has = lua_rawgeti(G->tables, -1, key) != LUA_TNIL;
  lua_pop(G->tables, 2);
  return has;
}

static int has_destination(struct lg *G, struct green_thread *t) {
  return t->user_flags & LG_AWAITED || has_rare(G, t, RARE_OWNED);
}

/* Its joiners are woken: the error's destination is decided now. */
void lg_thread_ended(struct green_hub *hub, struct green_thread *t) {
  struct lg *G = lg_of(hub);
  int links = 0;
  if (!G) return;
  give_up_all(G, t);
  if (t->user_rare) {
    cancel_tied(G, t);
    links = lg_start_links(G, t);
    drop_fields(G, t);
  }
  if (t->state == GREEN_FAILED && !links && !has_destination(G, t) &&
      lg_protected(G, report, t) != LUA_OK)
    green_report(
        "luagreen: green thread #%llu %s failed, and memory was "
        "short for its report\n",
        (unsigned long long)t->id, green_name(t));
  if (t->flags & GREEN_HELD)
    lg_free_early(G, t);
  else
    lg_forget(G, t);
}

void lg_guest_ended(struct green_hub *hub, struct green_thread *t) {
  struct lg *G = lg_of(hub);
  if (!G) return;
  give_up_all(G, t);
  lg_forget_guest(G, t);
}
