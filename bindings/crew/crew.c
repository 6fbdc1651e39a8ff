/* crew.c - threads that belong together: what pools, groups and iterators over
 * results are made of (lua/green/crew/pool.lua, group.lua, many.lua).
 *
 * Each member has a watch among the joiners of its thread, so that its end is
 * noticed at once, without a thread of its own. A crew may
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
 * free slot goes to the last of the lenders before anybody else: the first one
 * would hold it while it joins a child that waits for a slot, too.
 *
 * The object is anchored while members live: their watches point into it. Its
 * slot among the anchors is taken once and holds false meanwhile, so that to
 * anchor it never fails.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "crew/crew.h"

static const struct lg_waitable idle_waitable;
const struct lg_class lg_crew_class = {"pool or group", &idle_waitable, NULL};
static const struct lg_op spawn_op, group_spawn_op, spawn_n_op, spawn_in_op,
    spawn_in_n_op, lend_op;

struct crew *lg_to_crew(lua_State *L, int index) {
  struct crew *crew = lua_touserdata(L, index);
  if (!crew || lua_rawlen(L, index) < sizeof *crew ||
      crew->object.klass != &lg_crew_class)
    luaL_typeerror(L, index, lg_crew_class.name);
  return crew;
}

static struct crew *self(lua_State *L) {
  return lg_check_object(L, &lg_crew_class, sizeof(struct crew));
}

static void raise_closed(lua_State *L, const struct crew *crew) {
  luaL_error(L, "the %s is closed", crew->fails ? "group" : "pool");
}

static void check_open(lua_State *L, const struct crew *crew) {
  if (unlikely(crew->closed)) raise_closed(L, crew);
}

/* --- slots --- */

static int has_slots(const struct crew *crew) {
  return crew->limit < 0 || crew->used < crew->limit;
}

static struct green_node *next_in_line(struct crew *crew) {
  struct green_link *last = crew->lenders.link.prev;
  if (last != &crew->lenders.link) return (struct green_node *)last;
  return green_list_head(&crew->spawners);
}

static void grant(struct crew *crew) {
  struct green_node *node;
  while (has_slots(crew) && (node = next_in_line(crew))) {
    crew->used++;
    crew->granted++;
    green_wake_node(crew->object.G->hub, node, GREEN_WOKEN);
  }
}

static void release(struct crew *crew) {
  crew->used--;
  grant(crew);
}

static int is_idle(const struct crew *crew) {
  return crew->live + crew->granted == 0;
}

/* A granted slot that is not made use of goes on. */
static void pass_on(struct crew *crew) {
  grant(crew);
  if (is_idle(crew))
    green_wake_all(crew->object.G->hub, &crew->idle, GREEN_WOKEN);
}

static void spawn_undo(struct green_hub *hub, struct green_thread *t) {
  struct crew *crew = t->on;
  (void)hub;
  if (t->reason != GREEN_WOKEN) return;
  crew->granted--;
  crew->used--;
  pass_on(crew);
}

/* --- its anchor --- */

/* The value, on top of L, in the slot that is the crew's. Never raises. */
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

static struct member *member_of(struct crew *crew, struct green_thread *t) {
  struct green_link *link = t->joiners.link.next;
  for (; link != &t->joiners.link; link = link->next) {
    struct member *m = (struct member *)link;
    if (((struct green_node *)link)->thread == NULL && m->crew == crew)
      return m;
  }
  return NULL;
}

static struct member *current_member(struct crew *crew) {
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

static void kill_all(struct crew *crew) {
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
    if (lg_protected(G, tell_failure, m) != LUA_OK) kill_all(crew);
  }
  lg_crew_delist(m);
  m->over = 1;
  if (!crew->keeps) m->thread = NULL;
  crew->live--;
  if (m->has_slot) release(crew);
  if (!crew->collects)
    free(m);
  else if (!crew->in_order)
    lg_crew_collect(crew, m);
  lg_crew_wake_reader(crew);
  if (crew->live > 0) return;
  if (crew->granted == 0) green_wake_all(hub, &crew->idle, GREEN_WOKEN);
  green_wake_all(hub, &crew->readers, GREEN_WOKEN);
  lg_crew_drop_anchor(crew);
}

/* Is the error of that thread the crew's? */
int lg_crew_owns(const struct green_watch *watch) {
  const struct crew *crew = ((const struct member *)watch)->crew;
  return crew->owns && !crew->failed;
}

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
  crew->spare = NULL;
  *m = (struct member){
      .watch = {.fire = lg_crew_fire}, .crew = crew, .thread = t};
  m->number = ++crew->numbers;
  enlist(&crew->living, m);
  if (crew->keeps) lg_keep_thread(t);
  if (crew->in_order) lg_crew_collect(crew, m);
  if (crew->live++ == 0) {
    crew->revived = lua_gc(L, LUA_GCCOUNT) < 0;
    lua_pushvalue(L, index);
    set_anchor(L, crew);
  }
  green_list_add(list, &m->watch.node);
  return m;
}

/* --- spawn --- */

/* The kinds of spawn. */
struct order {
  int f;      /* stack index of the function */
  int bag;    /* of a second crew, for the results; or 0 */
  int handle; /* is one wanted? */
};

static const struct order with_handle = {2, 0, 1}, no_handle = {2, 0, 0},
                          in_bag = {3, 2, 1}, in_bag_n = {3, 2, 0};

/* The spare may be gone: finalizers that ran since it was reserved have
 * spawned, too. */
static void reserve_again(lua_State *L, struct crew *crew,
                          struct green_thread *t) {
  if (likely(crew->spare)) return;
  if ((crew->spare = malloc(sizeof *crew->spare))) return;
  green_unstart(crew->object.G->hub, t);
  luaL_error(L, "not enough memory");
}

/* They may have taken the slot, or closed the crew: the function and its
 * values are back on the stack, as if nothing had happened. */
static void unmake(lua_State *L, struct lg *G, struct green_thread *t,
                   const struct order *order) {
  lua_State *co = t->user;
  if (order->handle) lua_pop(L, 1);
  lua_xmove(co, L, lua_gettop(co) - LG_BASE);
  green_unstart(G->hub, t);
}

/* Spawns, with a free slot or the lender's; leaves the handle on top. NULL:
 * there is no free slot any more. */
static struct green_thread *spawn_now(lua_State *L, struct crew *crew,
                                      const struct order *order,
                                      struct member *lender) {
  struct lg *G = crew->object.G;
  struct crew *bag = order->bag ? lg_to_crew(L, order->bag) : NULL;
  struct green_thread *t;
  lg_check_room(L, G);
  lg_crew_reserve(L, crew);
  if (bag) lg_crew_reserve(L, bag);
  t = lg_make_thread(L, G, lua_gettop(L) - order->f, order->handle);
  if (unlikely(!lender && (crew->closed || !has_slots(crew)))) {
    unmake(L, G, t, order);
    return NULL;
  }
  reserve_again(L, crew, t);
  if (bag) reserve_again(L, bag, t);
  if (lender)
    lender->has_slot = 0;
  else
    crew->used++;
  lg_crew_attach(L, crew, 1, &t->joiners, t)->has_slot = 1;
  if (bag) lg_crew_attach(L, bag, order->bag, &t->joiners, t);
  lg_launch(L, G, t, 0);
  return t;
}

/* A call that waits has the number of its values at index 2: a foreign resume
 * may leave more above them. */
static void count_values(lua_State *L) {
  luaL_checkstack(L, 4, "luagreen");
  lua_pushinteger(L, lua_gettop(L));
  lua_insert(L, 2);
}

static void restore_values(lua_State *L) {
  lua_settop(L, (int)lua_tointeger(L, 2) + 1);
  lua_remove(L, 2);
}

/* The caller's own slot is the child's now; it waits for another one. */
static int wait_as_lender(lua_State *L) {
  struct crew *crew = self(L);
  return lg_wait(L, crew->object.G, &lend_op, crew, &crew->lenders,
                 GREEN_FOREVER);
}

/* The results of the spawn: all but the crew. */
static int lend_returns(lua_State *L) {
  restore_values(L);
  return lua_gettop(L) - 1;
}

/* At first, as finalizers may have made room; and when what interrupted it was
 * taken back. */
static int lend_again(lua_State *L) {
  struct crew *crew = self(L);
  struct member *m = current_member(crew);
  if (!has_slots(crew)) return wait_as_lender(L);
  crew->used++;
  m->has_slot = 1;
  return lend_returns(L);
}

static int lend(lua_State *L, struct crew *crew, struct member *lender,
                const struct order *order) {
  lg_prepare(L, crew->object.G, &lend_op); /* raises now or never */
  spawn_now(L, crew, order, lender);
  if (order->bag) lua_remove(L, order->bag);
  count_values(L);
  return lend_again(L);
}

static int lend_woken(lua_State *L, struct lg *G, int reason) {
  struct crew *crew = lua_touserdata(L, 1);
  (void)G;
  if (reason == GREEN_WOKEN) {
    crew->granted--;
    current_member(crew)->has_slot = 1;
  }
  return lend_returns(L);
}

/* There is a slot, as it seems. */
static int spawn_or_wait(lua_State *L, struct crew *crew,
                         const struct lg_op *op, const struct order *order) {
  if (likely(spawn_now(L, crew, order, NULL))) return order->handle;
  count_values(L);
  return op->start(L);
}

/* With its values counted. */
static int spawn(lua_State *L, const struct lg_op *op,
                 const struct order *order) {
  struct crew *crew = self(L);
  struct lg *G = lg_may_spawn(L);
  struct member *member;
  int r;
  if (crew->limit >= 0 && (r = lg_enter(L, G, op)) >= 0) return r;
  check_open(L, crew);
  if (has_slots(crew) && !next_in_line(crew)) {
    restore_values(L);
    return spawn_or_wait(L, crew, op, order);
  }
  member = current_member(crew);
  if (!member || !member->has_slot)
    return lg_wait(L, G, op, crew, &crew->spawners, GREEN_FOREVER);
  restore_values(L);
  return lend(L, crew, member, order);
}

/* Its stack: what spawn_now needs, and this. The slot that was granted is lent
 * to the thread by a member that is none. */
struct protected_spawn {
  const struct order *order;
  struct member lender;
  struct green_thread *thread;
};

static int protected_spawn(lua_State *L) {
  struct protected_spawn *p = lua_touserdata(L, -1);
  lua_pop(L, 1);
  p->thread = spawn_now(L, lua_touserdata(L, 1), p->order, &p->lender);
  return p->order->handle;
}

/* With the slot that was granted: if there is no thread, it goes on. */
static int spawn_granted(lua_State *L, struct crew *crew,
                         const struct order *order) {
  struct protected_spawn p = {.order = order, .lender = {.has_slot = 1}};
  struct lg *G = crew->object.G;
  int status;
  luaL_checkstack(L, 4, "luagreen");
  lua_pushvalue(L, 1); /* stays on this stack: it is anchored by it */
  lua_insert(L, 1);
  lua_pushcfunction(L, protected_spawn);
  lua_insert(L, 2);
  lua_pushlightuserdata(L, &p);
  status = lua_pcall(L, lua_gettop(L) - 2, order->handle, 0);
  crew->granted--;
  if (status != LUA_OK) {
    if (p.lender.has_slot) crew->used--;
    pass_on(crew);
    return lua_error(L);
  }
  if (order->handle) p.thread->user_site = lg_site(L, G, 1);
  return order->handle;
}

static const struct order *order_of(const struct green_thread *t) {
  if (t->kind == &spawn_op.kind || t->kind == &group_spawn_op.kind)
    return &with_handle;
  if (t->kind == &spawn_n_op.kind) return &no_handle;
  return t->kind == &spawn_in_op.kind ? &in_bag : &in_bag_n;
}

static int spawn_woken(lua_State *L, struct lg *G, int reason) {
  struct crew *crew = lua_touserdata(L, 1);
  const struct order *order = order_of(lg_current(G));
  if (reason == GREEN_CLOSED) raise_closed(L, crew);
  restore_values(L);
  return spawn_granted(L, crew, order);
}

static int spawn_start(lua_State *L) {
  return spawn(L, &spawn_op, &with_handle);
}

static int group_spawn_start(lua_State *L) {
  return spawn(L, &group_spawn_op, &with_handle);
}

static int spawn_n_start(lua_State *L) {
  return spawn(L, &spawn_n_op, &no_handle);
}

static int spawn_in_start(lua_State *L) {
  return spawn(L, &spawn_in_op, &in_bag);
}

static int spawn_in_n_start(lua_State *L) {
  return spawn(L, &spawn_in_n_op, &in_bag_n);
}

static int first_start(lua_State *L, const struct lg_op *op,
                       const struct order *order) {
  struct crew *crew = self(L);
  if (order->bag) lg_to_crew(L, order->bag);
  lg_check_callable(L, order->f);
  if (crew->limit >= 0) {
    count_values(L);
    return op->start(L);
  }
  lg_may_spawn(L);
  check_open(L, crew);
  return spawn_or_wait(L, crew, op, order);
}

/* spawn(crew, f, ...): the thread. May switch if the crew has a limit. */
static int crew_spawn(lua_State *L) {
  return first_start(L, self(L)->fails ? &group_spawn_op : &spawn_op,
                     &with_handle);
}

static int crew_spawn_n(lua_State *L) {
  return first_start(L, &spawn_n_op, &no_handle);
}

/* spawn_in(crew, bag, f, ...): a member of both, from birth. */
static int crew_spawn_in(lua_State *L) {
  return first_start(L, &spawn_in_op, &in_bag);
}

static int crew_spawn_in_n(lua_State *L) {
  return first_start(L, &spawn_in_n_op, &in_bag_n);
}

static const struct lg_op spawn_op = {
    {"pool:spawn", spawn_undo, NULL}, spawn_start, spawn_woken, NULL};
static const struct lg_op group_spawn_op = {
    {"group:spawn", spawn_undo, NULL}, group_spawn_start, spawn_woken, NULL};
static const struct lg_op spawn_n_op = {
    {"pool:spawn_n", spawn_undo, NULL}, spawn_n_start, spawn_woken, NULL};
static const struct lg_op spawn_in_op = {
    {"pool:spawn", spawn_undo, NULL}, spawn_in_start, spawn_woken, NULL};
static const struct lg_op spawn_in_n_op = {
    {"pool:spawn", spawn_undo, NULL}, spawn_in_n_start, spawn_woken, NULL};
static const struct lg_op lend_op = {
    {"pool:spawn into its own pool", spawn_undo, NULL},
    lend_again,
    lend_woken,
    NULL};

/* --- waiting for all of them --- */

static int crew_wait(lua_State *L);

static int idle_attempt(lua_State *L, struct lg *G, void *object, int at) {
  struct crew *crew = object;
  if (current_member(crew))
    return luaL_error(L, "a worker cannot wait for its own pool or group");
  return is_idle(crew) ? lg_fetch_true(L, G, crew, at, 0) : -1;
}

static struct green_list *idle_list(void *object) {
  return &((struct crew *)object)->idle;
}

/* The same for a pool, a group, and those that gather results. */
#define IDLE(name)                                                     \
  {                                                                    \
    .op = {{name, NULL, NULL}, crew_wait, lg_one_woken, NULL},         \
    .attempt = idle_attempt, .list = idle_list, .fetch = lg_fetch_true \
  }
static const struct lg_waitable idle_waitable = IDLE("pool:wait");
static const struct lg_waitable group_idle = IDLE("group:wait");
static const struct lg_waitable results_idle = IDLE("results:wait");

/* wait([s]): true when no member lives. May switch. */
static int crew_wait(lua_State *L) {
  struct crew *crew = self(L);
  const struct lg_waitable *w = crew->fails      ? &group_idle
                                : crew->collects ? &results_idle
                                                 : &idle_waitable;
  return lg_wait_one(L, w, &lg_crew_class, sizeof(struct crew));
}

/* --- what one can know and set --- */

static lua_Integer limit_arg(lua_State *L, int index) {
  lua_Number n = luaL_checknumber(L, index);
  luaL_argcheck(L, n >= 1, index, "limit of at least 1 expected");
  return n >= 9e15 ? -1 : luaL_checkinteger(L, index);
}

/* resize(n): those beyond it run on. Never switches. */
static int crew_resize(lua_State *L) {
  struct crew *crew = self(L);
  crew->limit = limit_arg(L, 2);
  grant(crew);
  return 0;
}

static lua_Integer length(const struct green_list *list) {
  const struct green_link *link = list->link.next;
  lua_Integer n = 0;
  for (; link != &list->link; link = link->next) n++;
  return n;
}

/* waiting(crew): how many wait in a spawn. */
static int crew_waiting(lua_State *L) {
  struct crew *crew = self(L);
  lua_pushinteger(L, length(&crew->spawners) + length(&crew->lenders));
  return 1;
}

/* figures(crew): living members, used slots, limit or nil. */
static int crew_figures(lua_State *L) {
  struct crew *crew = self(L);
  lua_pushinteger(L, crew->live);
  lua_pushinteger(L, crew->used);
  if (crew->limit < 0)
    lua_pushnil(L);
  else
    lua_pushinteger(L, crew->limit);
  return 3;
}

/* may_launch(pool, results, read): is there room for one more thread of whose
 * kin so many results were read? Always, if none is under way. */
static int crew_may_launch(lua_State *L) {
  struct crew *pool = self(L), *results = lg_to_crew(L, 2);
  lua_Integer unread = results->numbers - luaL_checkinteger(L, 3);
  lua_pushboolean(L, pool->limit < 0 || unread == 0 ||
                         (pool->used < pool->limit && unread < pool->limit));
  return 1;
}

/* Into the table on top; 0: a finalizer that ran there has changed the list. */
static int list_members(lua_State *L, const struct crew *crew) {
  lua_Integer n = 0, live = crew->live, numbers = crew->numbers;
  const struct member *m;
  for (m = crew->living; m; m = m->next) {
    if (!m->thread) continue;
    lg_push_thread(L, crew->object.G, m->thread);
    if (crew->live != live || crew->numbers != numbers) return 0;
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* members(crew): the threads of its living members, in no order. */
static int crew_members(lua_State *L) {
  struct crew *crew = self(L);
  luaL_checkstack(L, 8, "luagreen");
  do {
    lua_settop(L, 1);
    lua_createtable(L, (int)crew->live, 0);
  } while (!list_members(L, crew));
  return 1;
}

/* is_member(crew): the calling thread. */
static int crew_is_member(lua_State *L) {
  lua_pushboolean(L, current_member(self(L)) != NULL);
  return 1;
}

/* shut(crew): no more spawns; those that wait to spawn are told. */
static int crew_shut(lua_State *L) {
  struct crew *crew = self(L);
  crew->closed = 1;
  green_wake_all(crew->object.G->hub, &crew->spawners, GREEN_CLOSED);
  return 0;
}

/* fields(crew): a table for the Lua side. */
static int crew_fields(lua_State *L) {
  lg_to_crew(L, 1);
  lua_getiuservalue(L, 1, FIELDS);
  return 1;
}

/* One whose members live is anchored: then the state is closing, unless they
 * came by another finalizer of this very cycle. */
static int crew_gc(lua_State *L) {
  struct crew *crew = lua_touserdata(L, 1);
  struct member *m;
  if (crew->live > 0 && crew->revived) {
    lua_getmetatable(L, 1);
    lua_setmetatable(L, 1); /* to be finalized once more */
    return 0;
  }
  lg_finalizing(L, crew->object.G, crew->live > 0);
  while ((m = crew->living)) {
    lg_crew_delist(m);
    if (!crew->in_order) free(m);
  }
  if (!crew->object.G->hub) crew->keeps = 0; /* nothing is held any more */
  while (crew->unread) lg_crew_uncollect(crew);
  free(crew->spare);
  crew->spare = NULL;
  if (crew->object.G->free_slots) lg_release(crew->object.G, crew->anchor);
  crew->anchor = 0; /* one that others revive takes another */
  return 0;
}

/* crew(class, limit, kind) */
static int l_crew(lua_State *L) {
  static const char *const kinds[] = {"pool",    "group",   "children",
                                      "results", "watched", NULL};
  enum { POOL, GROUP, CHILDREN, RESULTS, WATCHED };
  struct lg *G = lg_get(L);
  int kind = luaL_checkoption(L, 3, NULL, kinds);
  lua_Integer limit = lua_isnoneornil(L, 2) ? -1 : limit_arg(L, 2);
  struct crew *crew = lua_newuserdatauv(L, sizeof *crew, 1);
  *crew = (struct crew){.object = {&lg_crew_class, G}, .limit = limit};
  green_list_init(&crew->spawners);
  green_list_init(&crew->lenders);
  green_list_init(&crew->idle);
  green_list_init(&crew->readers);
  crew->last_unread = &crew->unread;
  crew->owns = kind != POOL;
  crew->fails = kind == GROUP;
  crew->collects = kind >= CHILDREN;
  crew->keeps = kind == CHILDREN || kind == RESULTS;
  crew->in_order = kind == CHILDREN;
  lua_newtable(L);
  lua_setiuservalue(L, -2, FIELDS);
  luaL_setmetatable(L, luaL_checkstring(L, 1));
  return 1;
}

static const luaL_Reg functions[] = {{"crew", l_crew}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"spawn", crew_spawn},
                                   {"spawn_n", crew_spawn_n},
                                   {"spawn_in", crew_spawn_in},
                                   {"spawn_in_n", crew_spawn_in_n},
                                   {"wait", crew_wait},
                                   {"next", lg_crew_next},
                                   {"add", lg_crew_add},
                                   {"let_go", lg_crew_let_go},
                                   {"drop_unread", lg_crew_drop_unread},
                                   {"resize", crew_resize},
                                   {"figures", crew_figures},
                                   {"waiting", crew_waiting},
                                   {"may_launch", crew_may_launch},
                                   {"members", crew_members},
                                   {"is_member", crew_is_member},
                                   {"shut", crew_shut},
                                   {"fields", crew_fields},
                                   {NULL, NULL}};

/* Pools and groups choose among the methods: they are in core.crew_methods. */
void lg_open_crew(lua_State *L) {
  static const char *const classes[] = {"green.pool", "green.group",
                                        "green.crew"};
  static const luaL_Reg meta[] = {{"__gc", crew_gc}, {NULL, NULL}};
  int i;
  for (i = 0; i < 3; i++) {
    luaL_newmetatable(L, classes[i]);
    lg_setfuncs(L, meta, 0);
    lua_pop(L, 1);
  }
  lg_setfuncs(L, functions, 0);
  lua_newtable(L);
  lg_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "crew_methods");
}
