/* crew.c - threads that belong together: the members of a crew, and its slots.
 *
 * Pools, groups and iterators over results are made of crews
 * (lua/green/crew/pool.lua, group.lua, wait_all.lua). spawn.c adds members,
 * results.c reads their outcomes.
 *
 * Each member has a watch among the joiners of its thread, so that the crew
 * notices the end at once and needs no thread for that. A crew may
 *
 *   limit     how many run at once: spawn waits for a slot. A slot passes from
 *             hand to hand, first come, first served:
 *             used = members with a slot + granted ones
 *             granted = slots of woken spawners that have not run yet
 *   own       errors: it is their destination
 *   fail      as a whole with the first of them: policy.child_failed
 *   keep      the records of its threads until their results are read, without
 *             a handle: coroutines are used again at once. `unread` has its
 *             members, in order of their ends, or of their births
 *
 * A member that spawns into its own full crew lends its slot to the child and
 * waits until it gets one back, so that a crew of one cannot block itself. A
 * free slot goes to the last of the lenders before all others: the first lender
 * would hold it while it joins a child that also waits for a slot.
 *
 * The object is anchored while members live: their watches point into it. It
 * takes its anchor slot once, which holds false meanwhile, so that anchoring it
 * never fails.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "crew/crew.h"
#include "runtime/anchor.h"
#include "thread/handle.h"

static const struct lg_waitable idle_waitable;
const struct lg_class lg_crew_class = {"pool or group", &idle_waitable, NULL};

struct crew *lg_any_crew(lua_State *L, int index) {
  struct crew *crew = lua_touserdata(L, index);
  if (!crew || lua_rawlen(L, index) < sizeof *crew ||
      crew->object.klass != &lg_crew_class)
    luaL_typeerror(L, index, lg_crew_class.name);
  return crew;
}

struct crew *lg_to_crew(lua_State *L, int index) {
  struct crew *crew = lg_any_crew(L, index);
  if (unlikely(!crew->object.G->hub)) lg_raise_closing(L);
  return crew;
}

struct crew *lg_self_crew(lua_State *L) {
  return lg_check_object(L, &lg_crew_class, sizeof(struct crew));
}

/* --- slots --- */

int lg_crew_has_slots(const struct crew *crew) {
  return crew->limit < 0 || crew->used < crew->limit;
}

struct green_node *lg_crew_next_in_line(struct crew *crew) {
  struct green_link *last = crew->lenders.link.prev;
  if (last != &crew->lenders.link) return (struct green_node *)last;
  return green_list_head(&crew->spawners);
}

void lg_crew_grant(struct crew *crew) {
  struct green_node *node;
  while (lg_crew_has_slots(crew) && (node = lg_crew_next_in_line(crew))) {
    crew->used++;
    crew->granted++;
    assert(crew->granted <= crew->used);
    green_wake_node(crew->object.G->hub, node, GREEN_WOKEN);
  }
}

static void release(struct crew *crew) {
  assert(crew->used > 0);
  crew->used--;
  lg_crew_grant(crew);
}

static int is_idle(const struct crew *crew) {
  return crew->live + crew->granted == 0;
}

/* Passes a granted slot that nobody uses to the next in line. */
void lg_crew_pass_on(struct crew *crew) {
  lg_crew_grant(crew);
  if (is_idle(crew))
    green_wake_all(crew->object.G->hub, &crew->idle, GREEN_WOKEN);
}

/* --- its anchor --- */

/* Puts the value on top of L into the crew's anchor slot. Never raises. */
static void set_anchor(lua_State *L, const struct crew *crew) {
  struct lg *G = crew->object.G;
  if (L != G->tables) lua_xmove(L, G->tables, 1);
  lua_rawseti(G->tables, 1, crew->anchor);
}

void lg_crew_drop_anchor(const struct crew *crew) {
  if (!crew->anchor) return;
  lua_pushboolean(crew->object.G->tables, 0);
  set_anchor(crew->object.G->tables, crew);
}

/* --- the unread --- */

static void collect(struct crew *crew, struct member *m) {
  m->after = NULL;
  *crew->last_unread = m;
  crew->last_unread = &m->after;
}

/* Removes the first of the unread, which was just read. */
void lg_crew_uncollect(struct crew *crew) {
  struct member *m = crew->unread;
  assert(m && crew->collects);
  if (!(crew->unread = m->after)) crew->last_unread = &crew->unread;
  if (crew->keeps && m->thread) lg_let_thread_go(crew->object.G, m->thread);
  free(m);
}

/* Is there anything to read, or never again? */
int lg_crew_is_readable(const struct crew *crew) {
  return crew->unread ? crew->unread->over : crew->live == 0;
}

void lg_crew_wake_reader(struct crew *crew) {
  if (lg_crew_is_readable(crew))
    green_wake_first(crew->object.G->hub, &crew->readers, GREEN_WOKEN);
}

/* --- members --- */

static void enlist(struct member **list, struct member *m) {
  m->link = list;
  m->next = *list;
  if (m->next) m->next->link = &m->next;
  *list = m;
}

void lg_crew_delist(struct member *m) {
  *m->link = m->next;
  if (m->next) m->next->link = m->link;
}

/* A thread is a member from birth, so the watches of its crews stand before all
 * that wait for it, of which there may be many. */
static struct member *member_of(struct crew *crew, struct green_thread *t) {
  struct green_link *link = t->joiners.link.next;
  for (; link != &t->joiners.link; link = link->next) {
    struct member *m = (struct member *)link;
    if (((struct green_node *)link)->thread) return NULL;
    if (m->crew == crew) return m;
  }
  return NULL;
}

struct member *lg_crew_member(struct crew *crew) {
  struct green_thread *t = lg_current(crew->object.G);
  return t ? member_of(crew, t) : NULL;
}

/* (G, member) on the helper: policy.child_failed(crew, thread). */
static int tell_failure(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  struct member *m = lua_touserdata(L, 2);
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "child_failed");
  lg_push_anchored(L, G, m->crew->anchor);
  lg_push_thread(L, G, m->thread);
  lua_call(L, 2, 0);
  return 0;
}

void lg_crew_kill_all(struct crew *crew) {
  struct member *m, *next;
  for (m = crew->living; m; m = next) {
    next = m->next;
    if (m->thread) green_kill(crew->object.G->hub, m->thread);
  }
}

static int is_first_failure(const struct member *m) {
  return m->crew->fails && !m->crew->failed && m->thread &&
         m->thread->state == GREEN_FAILED;
}

/* Its thread has ended, or its event was sent. */
void lg_crew_fire(struct green_hub *hub, struct green_watch *watch) {
  struct member *m = (struct member *)watch;
  struct crew *crew = m->crew;
  struct lg *G = crew->object.G;
  if (is_first_failure(m)) {
    crew->failed = 1;
    /* Without memory for the policy the members still end. */
    if (lg_protected(G, tell_failure, m) != LUA_OK) lg_crew_kill_all(crew);
  }
  assert(!m->over && crew->live > 0);
  lg_crew_delist(m);
  m->over = 1;
  if (!crew->keeps) m->thread = NULL;
  crew->live--;
  if (m->has_slot) release(crew);
  if (!crew->collects)
    free(m); /* nobody will read it */
  else if (!crew->in_order)
    collect(crew, m); /* else it was collected when it was spawned */
  lg_crew_wake_reader(crew);
  if (crew->live > 0) return;
  if (crew->granted == 0) green_wake_all(hub, &crew->idle, GREEN_WOKEN);
  green_wake_all(hub, &crew->readers, GREEN_WOKEN);
  lg_crew_drop_anchor(crew);
}

/* Does the error of that thread go to the crew? */
static int owns(const struct green_watch *watch) {
  const struct crew *crew = ((const struct member *)watch)->crew;
  return crew->owns && !crew->failed;
}

static const struct green_watch_kind watch_kind = {lg_crew_fire, owns};

/* Makes sure that there is a spare member and a slot among the anchors; may
 * raise. */
void lg_crew_reserve(lua_State *L, struct crew *crew) {
  if (!crew->spare && !(crew->spare = malloc(sizeof *crew->spare)))
    luaL_error(L, "not enough memory");
  if (!crew->anchor) {
    lua_pushboolean(L, 0);
    crew->anchor = lg_anchor(L, crew->object.G);
  }
}

/* The crew is at `index`. */
struct member *lg_crew_attach(lua_State *L, struct crew *crew, int index,
                              struct green_list *list,
                              struct green_thread *t) {
  struct member *m = crew->spare;
  assert(m && crew->anchor); /* after lg_crew_reserve() */
  crew->spare = NULL;
  *m = (struct member){
      .watch = {.kind = &watch_kind}, .crew = crew, .thread = t};
  m->number = ++crew->numbers;
  enlist(&crew->living, m);
  if (crew->keeps) lg_keep_thread(t);
  if (crew->in_order) collect(crew, m);
  if (crew->live++ == 0) {
    crew->revived = lua_gc(L, LUA_GCCOUNT) < 0;
    lua_pushvalue(L, index);
    set_anchor(L, crew);
  }
  green_list_add(list, &m->watch.node);
  return m;
}

/* --- waiting for all of them --- */

static int idle_attempt(lua_State *L, struct lg *G, void *object, int at) {
  struct crew *crew = object;
  if (lg_crew_member(crew))
    return luaL_error(L, "a worker cannot wait for its own pool or group");
  return is_idle(crew) ? lg_fetch_true(L, G, crew, at, 0) : -1;
}

static struct green_list *idle_list(void *object) {
  return &((struct crew *)object)->idle;
}

/* The same for a pool, a group, and those that gather results. */
#define IDLE(name)                                                     \
  {                                                                    \
    .op = {{name, NULL, NULL}, lg_crew_wait, lg_one_woken, NULL},      \
    .attempt = idle_attempt, .list = idle_list, .fetch = lg_fetch_true \
  }
static const struct lg_waitable idle_waitable = IDLE("pool:wait");
static const struct lg_waitable group_idle = IDLE("group:wait");
static const struct lg_waitable results_idle = IDLE("results:wait");

/* wait([s]): true when no member lives. May switch. */
int lg_crew_wait(lua_State *L) {
  struct crew *crew = lg_self_crew(L);
  const struct lg_waitable *w = crew->fails      ? &group_idle
                                : crew->collects ? &results_idle
                                                 : &idle_waitable;
  return lg_wait_one(L, w, &lg_crew_class, sizeof(struct crew));
}
