/* spawn.c - spawns into a crew: with a free slot, after a wait for one, or with
 * the slot that a member lends to its child.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "crew/crew.h"
#include "runtime/site.h"

static void raise_closed(lua_State *L, const struct crew *crew) {
  luaL_error(L, "the %s is closed", crew->fails ? "group" : "pool");
}

static void check_open(lua_State *L, const struct crew *crew) {
  if (unlikely(crew->closed)) raise_closed(L, crew);
}

static const struct lg_op lend_op;

static void spawn_undo(struct green_hub *hub, struct green_thread *t) {
  struct crew *crew = t->on;
  (void)hub;
  if (t->reason != GREEN_WOKEN) return;
  assert(crew->granted > 0 && crew->used >= crew->granted);
  crew->granted--;
  crew->used--;
  lg_crew_pass_on(crew);
}

/* A kind of spawn: its wait and its arguments. */
struct spawn_kind {
  struct lg_op op;
  int f;       /* stack index of the function */
  int results; /* of a second crew, which gets the results; or 0 */
  int handle;  /* does the caller want one? */
};

/* The spare may be gone: finalizers that ran after the reservation may have
 * spawned, too. */
static void reserve_again(lua_State *L, struct crew *crew,
                          struct green_thread *t) {
  if (likely(crew->spare)) return;
  if ((crew->spare = malloc(sizeof *crew->spare))) return;
  green_unstart(crew->object.G->hub, t);
  luaL_error(L, "not enough memory");
}

/* Finalizers may have taken the slot, or closed the crew. Puts the function and
 * its values back on the stack, as if nothing had happened. */
static void unmake(lua_State *L, struct lg *G, struct green_thread *t,
                   const struct spawn_kind *kind) {
  lua_State *co = t->user;
  if (kind->handle) lua_pop(L, 1);
  lua_xmove(co, L, lua_gettop(co) - LG_BASE);
  green_unstart(G->hub, t);
}

/* A member's slot; and one that was granted, before it is a member's. */
enum { OWN_SLOT = 1, GRANTED_SLOT };

/* For a member that is about to live: it may end before this returns to the
 * spawner. */
static void take_slot(struct crew *crew, struct member *lender) {
  if (!lender) {
    crew->used++;
    return;
  }
  if (lender->has_slot == GRANTED_SLOT) crew->granted--;
  lender->has_slot = 0;
}

/* Spawns, with a free slot or the lender's; leaves the handle on top. NULL:
 * there is no free slot any more. */
static struct green_thread *spawn_now(lua_State *L, struct crew *crew,
                                      const struct spawn_kind *kind,
                                      struct member *lender) {
  struct lg *G = crew->object.G;
  struct crew *results = kind->results ? lg_to_crew(L, kind->results) : NULL;
  struct green_thread *t;
  lg_check_room(L, G);
  lg_crew_reserve(L, crew);
  if (results) lg_crew_reserve(L, results);
  t = lg_make_thread(L, G, lua_gettop(L) - kind->f, kind->handle);
  /* Making it may have run finalizers: look at the slots again. */
  if (unlikely(!lender && (crew->closed || !lg_crew_has_slots(crew)))) {
    unmake(L, G, t, kind);
    return NULL;
  }
  reserve_again(L, crew, t);
  if (results) reserve_again(L, results, t);
  take_slot(crew, lender);
  lg_crew_attach(L, crew, 1, &t->joiners, t)->has_slot = OWN_SLOT;
  if (results) lg_crew_attach(L, results, kind->results, &t->joiners, t);
  lg_start_thread(L, G, t, 0);
  return t;
}

/* A call that waits has the number of its values at index 2 and its kind at
 * index 3, because a foreign resume may leave more above the values. */
static void lay_out(lua_State *L, const struct spawn_kind *kind) {
  luaL_checkstack(L, 4, "luagreen");
  lua_pushinteger(L, lua_gettop(L));
  lua_insert(L, 2);
  lua_pushlightuserdata(L, (void *)(uintptr_t)kind);
  lua_insert(L, 3);
}

static const struct spawn_kind *restore_values(lua_State *L) {
  const struct spawn_kind *kind = lua_touserdata(L, 3);
  lua_settop(L, (int)lua_tointeger(L, 2) + 2);
  lua_remove(L, 3);
  lua_remove(L, 2);
  return kind;
}

/* The caller's own slot is the child's now; it waits for another one. */
static int wait_as_lender(lua_State *L) {
  struct crew *crew = lg_self_crew(L);
  return lg_wait_surely(L, crew->object.G, &lend_op, crew, &crew->lenders,
                        GREEN_FOREVER);
}

/* Returns the results of the spawn: all values but the crew. */
static int lend_returns(lua_State *L) {
  restore_values(L);
  return lua_gettop(L) - 1;
}

/* Runs at first, as finalizers may have made room, and when the interruption
 * was taken back. */
static int lend_again(lua_State *L) {
  struct crew *crew = lg_self_crew(L);
  struct member *m = lg_crew_member(crew);
  if (!lg_crew_has_slots(crew)) return wait_as_lender(L);
  assert(m && !m->has_slot); /* its own is the child's */
  crew->used++;
  m->has_slot = 1;
  return lend_returns(L);
}

static int lend(lua_State *L, struct crew *crew, struct member *lender,
                const struct spawn_kind *kind) {
  lg_keep_or_yield(L, crew->object.G, &lend_op); /* raises now or never */
  spawn_now(L, crew, kind, lender);
  if (kind->results) lua_remove(L, kind->results);
  lay_out(L, kind);
  return lend_again(L);
}

static int lend_woken(lua_State *L, struct lg *G, int reason) {
  struct crew *crew = lua_touserdata(L, 1);
  (void)G;
  if (reason == GREEN_WOKEN) {
    assert(crew->granted > 0 && !lg_crew_member(crew)->has_slot);
    crew->granted--;
    lg_crew_member(crew)->has_slot = 1;
  }
  return lend_returns(L);
}

static int spawn_start(lua_State *L);

/* There seems to be a slot. */
static int spawn_or_wait(lua_State *L, struct crew *crew,
                         const struct spawn_kind *kind) {
  if (likely(spawn_now(L, crew, kind, NULL))) return kind->handle;
  lay_out(L, kind); /* a finalizer has taken it */
  return spawn_start(L);
}

/* Runs with its values laid out, at first and again after a lap. */
static int spawn_start(lua_State *L) {
  const struct spawn_kind *kind = lua_touserdata(L, 3);
  struct crew *crew = lg_self_crew(L);
  struct lg *G = lg_may_spawn(L);
  struct member *member;
  int r;
  if (crew->limit >= 0 &&
      (r = lg_enter_first(L, G, &kind->op, LG_MAY_WAIT)) >= 0)
    return r;
  check_open(L, crew);
  if (lg_crew_has_slots(crew) && !lg_crew_next_in_line(crew)) {
    restore_values(L);
    return spawn_or_wait(L, crew, kind);
  }
  member = lg_crew_member(crew);
  if (!member || !member->has_slot)
    return lg_wait(L, G, &kind->op, crew, &crew->spawners, GREEN_FOREVER);
  restore_values(L);
  return lend(L, crew, member, kind);
}

/* The stack holds what spawn_now() needs. The granted slot passes to the thread
 * through a dummy member. */
struct protected_spawn {
  const struct spawn_kind *kind;
  struct member lender;
  struct green_thread *thread;
};

static int protected_spawn(lua_State *L) {
  struct protected_spawn *p = lua_touserdata(L, -1);
  lua_pop(L, 1);
  p->thread = spawn_now(L, lua_touserdata(L, 1), p->kind, &p->lender);
  return p->kind->handle;
}

/* Spawns with the granted slot; passes the slot on if that raises. */
static int spawn_granted(lua_State *L, struct crew *crew,
                         const struct spawn_kind *kind) {
  struct protected_spawn p = {.kind = kind,
                              .lender = {.has_slot = GRANTED_SLOT}};
  int status;
  luaL_checkstack(L, 4, "luagreen");
  lua_pushvalue(L, 1); /* stays on this stack, which anchors it */
  lua_insert(L, 1);
  lua_pushcfunction(L, protected_spawn);
  lua_insert(L, 2);
  lua_pushlightuserdata(L, &p);
  status = lua_pcall(L, lua_gettop(L) - 2, kind->handle, 0);
  assert(crew->used >= crew->granted);
  if (status != LUA_OK) {
    if (p.lender.has_slot) crew->granted--, crew->used--;
    lg_crew_pass_on(crew);
    return lua_error(L);
  }
  return kind->handle;
}

static int spawn_woken(lua_State *L, struct lg *G, int reason) {
  struct crew *crew = lua_touserdata(L, 1);
  (void)G;
  if (reason == GREEN_CLOSED) raise_closed(L, crew);
  return spawn_granted(L, crew, restore_values(L));
}

#define KIND(name, f, results, handle)                                      \
  {                                                                         \
    {{name, spawn_undo, NULL}, spawn_start, spawn_woken, NULL}, f, results, \
        handle                                                              \
  }
static const struct spawn_kind pool_kind = KIND("pool:spawn", 2, 0, 1),
                               group_kind = KIND("group:spawn", 2, 0, 1),
                               pool_n_kind = KIND("pool:spawn_n", 2, 0, 0),
                               in_kind = KIND("pool:spawn", 3, 2, 1),
                               in_n_kind = KIND("pool:spawn", 3, 2, 0);

static int first_start(lua_State *L, const struct spawn_kind *kind) {
  struct crew *crew = lg_self_crew(L);
  if (kind->results) lg_to_crew(L, kind->results);
  lg_check_callable(L, kind->f);
  if (crew->limit >= 0) {
    lay_out(L, kind);
    return spawn_start(L);
  }
  lg_may_spawn(L);
  check_open(L, crew);
  return spawn_or_wait(L, crew, kind);
}

/* spawn(crew, f, ...): the thread. May switch if the crew has a limit. */
int lg_crew_spawn(lua_State *L) {
  return first_start(L, lg_self_crew(L)->fails ? &group_kind : &pool_kind);
}

int lg_crew_spawn_n(lua_State *L) {
  return first_start(L, &pool_n_kind);
}

/* spawn_in(crew, results, f, ...): the thread belongs to both crews from
 * birth. */
int lg_crew_spawn_in(lua_State *L) {
  return first_start(L, &in_kind);
}

int lg_crew_spawn_in_n(lua_State *L) {
  return first_start(L, &in_n_kind);
}

static const struct lg_op lend_op = {
    {"pool:spawn into its own pool", spawn_undo, NULL},
    lend_again,
    lend_woken,
    NULL};
