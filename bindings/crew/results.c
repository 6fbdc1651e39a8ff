/* results.c - reads the results of a crew.
 *
 * `unread` has the members in order of their ends, or, in a crew that is read
 * in order, of their births; then the first of them may still live. A crew that
 * keeps its threads' records gives each up after reading its result.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "crew/crew.h"
#include "runtime/limits.h"
#include "runtime/strike.h"
#include "thread/handle.h"

/* Leaves the handle of a thread that failed or was killed in fields.failed;
 * waiting for it raises the error again. */
static void note_failed(lua_State *L, struct lg *G, struct green_thread *t) {
  lua_getiuservalue(L, 1, FIELDS);
  lg_push_thread(L, G, t);
  lua_setfield(L, -2, "failed");
  lua_pop(L, 1);
}

/* Allocates everything first, since finalizers may read from the crew. Then the
 * handle has the outcome; it and the kill object stay on the stack meanwhile.
 * 0: a finalizer has read this member. */
static int prepare(lua_State *L, struct lg *G, const struct crew *crew,
                   const struct member *m) {
  struct green_thread *t = m->thread;
  lua_Integer number = m->number;
  if (!crew->keeps || t->state == GREEN_DONE) return 1;
  lg_push_thread(L, G, t);
  if (!crew->unread || crew->unread->number != number) return 0;
  if (t->state == GREEN_KILLED) lg_push_own_kill(L, G, lua_gettop(L));
  return crew->unread && crew->unread->number == number;
}

/* Members that the crew has released have no result. */
static void skip_let_go(struct crew *crew) {
  while (crew->keeps && crew->unread && !crew->unread->thread)
    lg_crew_uncollect(crew);
}

/* Pushes the number of the next member that is over and, if its record was
 * kept, the values of join; nil when no more will come. */
static int next_attempt(lua_State *L, struct lg *G, void *object, int at) {
  struct crew *crew = object;
  struct member *m;
  int n = 1, top = lua_gettop(L);
  (void)at;
  luaL_checkstack(L, 4, "luagreen");
  for (;;) {
    skip_let_go(crew);
    m = crew->unread;
    if (!lg_crew_is_readable(crew)) return -1;
    if (!m) {
      lua_pushnil(L);
      return 1;
    }
    if (likely(prepare(L, G, crew, m))) break;
    lua_settop(L, top); /* a finalizer has read that member: look again */
  }
  if (crew->keeps && m->thread->state != GREEN_DONE)
    note_failed(L, G, m->thread);
  lua_pushinteger(L, m->number);
  if (crew->keeps) n += lg_push_outcome(L, G, m->thread);
  lg_crew_uncollect(crew);
  lg_crew_wake_reader(crew);
  return n;
}

static int next_woken(lua_State *L, struct lg *G, int reason) {
  const struct lg_op *op = (const struct lg_op *)lg_running(G)->kind;
  int r = next_attempt(L, G, lua_touserdata(L, 1), 1);
  if (r >= 0) return r;
  if (reason == GREEN_TIMEOUT) return lg_push_timeout(L);
  return op->start(L); /* another reader was faster */
}

/* A reader ends without having read, so the next one may. */
static void next_undo(struct green_hub *hub, void *object) {
  (void)hub;
  lg_crew_wake_reader(object);
}

static struct green_list *readers(void *object) {
  return &((struct crew *)object)->readers;
}

#define NEXT(name, start)                                       \
  {                                                             \
    .op = {{name, lg_one_undo, NULL}, start, next_woken, NULL}, \
    .attempt = next_attempt, .list = readers, .undo = next_undo \
  }
static const struct lg_waitable next_waitable =
    NEXT("results:next", lg_crew_next);
static const struct lg_waitable dag_waitable =
    NEXT("dag:wait", lg_crew_next_of_dag);

int lg_crew_next(lua_State *L) {
  return lg_wait_one(L, &next_waitable, &lg_crew_class, sizeof(struct crew));
}

/* The same, for the nodes of a graph. */
int lg_crew_next_of_dag(lua_State *L) {
  return lg_wait_one(L, &dag_waitable, &lg_crew_class, sizeof(struct crew));
}

/* A forced kill waits until the library's own code is left, which a long list
 * must not delay: a hundred threads that watch each other took 10000 steps. */
static void check_forced(lua_State *L, struct lg *G) {
  const struct green_thread *self = lg_current(G);
  if (unlikely(self && self->flags & GREEN_FORCED)) luaL_error(L, "killed");
}

/* add(crew, thing): watches for the end of a thread, or of an event; returns
 * its number. */
int lg_crew_add(lua_State *L) {
  struct crew *crew = lg_self_crew(L);
  struct green_list *list, none;
  struct green_thread *t;
  int over;
  check_forced(L, crew->object.G);
  lua_settop(L, 2);
  green_list_init(&none);
  over = lg_settled(L, crew->object.G, 2, &list, &t);
  lg_crew_reserve(L, crew);
  lua_getiuservalue(L, 1, FIELDS); /* keeps the object whose list has the
                                      watch */
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, crew->numbers + 1);
  lg_crew_attach(L, crew, 1, over ? &none : list, t);
  if (over) {
    struct green_watch *watch = &crew->living->watch;
    green_list_remove(&watch->node);
    lg_crew_fire(crew->object.G->hub, watch);
  }
  lua_pushinteger(L, crew->numbers);
  return 1;
}

/* A living thread leaves the crew, and its error no longer goes there. */
static void let_go(struct crew *crew, struct member *m) {
  green_list_remove(&m->watch.node);
  assert(!m->over && crew->live > 0);
  lg_crew_delist(m);
  crew->live--;
  if (crew->keeps) lg_let_thread_go(crew->object.G, m->thread);
  m->thread = NULL;
  m->over = 1;
  if (!crew->in_order) free(m); /* else it is among the unread */
}

/* let_go(crew): releases all living members. A thread that waits for the next
 * one learns that there is none. */
int lg_crew_let_go(lua_State *L) {
  struct crew *crew = lg_any_crew(L, 1);
  if (!crew->object.G->hub) return 0; /* a finalizer; they are gone */
  while (crew->living) let_go(crew, crew->living);
  assert(crew->live == 0);
  lg_crew_drop_anchor(crew);
  green_wake_all(crew->object.G->hub, &crew->readers, GREEN_WOKEN);
  return 0;
}

/* drop_unread(crew): drops the members that are over and unread. Returns the
 * threads among them that failed. */
int lg_crew_drop_unread(lua_State *L) {
  struct crew *crew = lg_any_crew(L, 1);
  lua_Integer n = 0;
  luaL_checkstack(L, 8, "luagreen");
  lua_newtable(L);
  if (!crew->object.G->hub) return 1; /* the threads are gone, too */
  while (crew->unread && crew->unread->over) {
    struct green_thread *t = crew->keeps ? crew->unread->thread : NULL;
    lua_Integer number = crew->unread->number;
    if (t && t->state == GREEN_FAILED) {
      lg_push_thread(L, crew->object.G, t);
      if (!crew->unread || crew->unread->number != number) {
        lua_pop(L, 1); /* a finalizer has read it */
        continue;
      }
      lua_rawseti(L, -2, ++n);
    }
    lg_crew_uncollect(crew);
  }
  return 1;
}
