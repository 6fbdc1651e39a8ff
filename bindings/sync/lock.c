/* lock.c - one owner at a time, a green thread.
 *
 *   FREE ...... no owner, no waiters
 *   OWNED ..... by `owner`; waiters queue
 *   HANDED .... to `owner`, which was woken for it and has not run yet
 *   LEFT ...... its owner ended without releasing it: the next to acquire is
 *               told so, by an error, and then it is FREE; no waiters
 *   TOLD ...... as LEFT, and a waiter was woken to be told; waiters queue
 *
 * Owned and handed locks stand in a list that hangs on the owner's record
 * (green_extra), so that the end of the owner finds them. Waiters have the
 * object on their stacks; an owned lock that the program has forgotten leaves
 * the list when it is collected. With no memory left Lua may not be able to run
 * that finalizer, and frees the object all the same: so what the list points
 * to, the lock, has memory of its own, which counts as Lua's. The state gives
 * back those that are left, before the hub goes (runtime/owned.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>

#include "runtime/closing.h"
#include "runtime/object.h"
#include "runtime/owned.h"
#include "runtime/park.h"
#include "runtime/waitable.h"
#include "sync/sync.h"
#include "thread/end.h"
#include "thread/thread.h"
#include "thread/name.h"

enum state { FREE, OWNED, HANDED, LEFT, TOLD };

/* The part of the former owner's name that the error shows. */
enum { NAME_SIZE = 80 };

struct lock {
  struct lg_owned owned;
  struct green_list waiters;
  struct green_thread *owner;
  void *next;  /* struct lock: the next lock of the same owner */
  void **link; /* the pointer that points to this one */
  lua_Integer depth;
  enum state state;
  uint8_t reentrant;
  char former[NAME_SIZE]; /* LEFT, TOLD: who left it */
};

/* The Lua object of a lock. */
struct object {
  struct lg_object head;
  uint8_t reentrant;
  struct lock *lock; /* NULL: its finalizer ran */
};

/* Key in the registry: all locks by address (weak), so that a finalizer can
 * tell that the state is closing. */
static const char LOCKS[] = "locks";

static int lock_acquire(lua_State *L);

/* --- owning and handing over; none of these functions raises --- */

/* The owner's record must have its extra pointer already. */
static void give(struct lock *l, struct green_thread *t, enum state state) {
  void **held = green_extra(l->owned.G->hub, t);
  assert(held && !l->owner && l->state == FREE);
  assert(state == OWNED || state == HANDED);
  l->owner = t;
  l->state = state;
  l->depth = 1;
  l->next = *held;
  l->link = held;
  if (l->next) ((struct lock *)l->next)->link = &l->next;
  *held = l;
}

static void take_away(struct lock *l) {
  assert(l->owner && *l->link == l);
  *l->link = l->next;
  if (l->next) ((struct lock *)l->next)->link = l->link;
  l->owner = NULL;
  l->state = FREE; /* for a moment, where others wait: the caller goes on */
}

static void hand_over(struct green_hub *hub, struct lock *l) {
  struct green_node *node = green_list_head(&l->waiters);
  if (!node) return;
  give(l, node->thread, HANDED);
  green_wake_node(hub, node, GREEN_WOKEN);
}

static void tell_next(struct green_hub *hub, struct lock *l) {
  assert(!l->owner);
  l->state = green_wake_first(hub, &l->waiters, GREEN_WOKEN) ? TOLD : LEFT;
}

static void release(struct green_hub *hub, struct lock *l) {
  assert(l->owner && l->depth > 0);
  if (--l->depth > 0) return;
  take_away(l);
  hand_over(hub, l);
}

/* A waiter that was handed the lock, or an error, ends without having run. */
static void undo(struct green_hub *hub, void *object) {
  struct lock *l = ((struct object *)object)->lock;
  assert(l->state == TOLD || l->state == HANDED);
  if (l->state == TOLD)
    tell_next(hub, l);
  else
    release(hub, l);
}

static void note_former(struct lg *G, struct lock *l, struct green_thread *t) {
  if (t->state == GREEN_DONE && lg_is_lua(t)) lg_keep_name(G, t);
  snprintf(l->former, sizeof l->former, "#%llu %s", (unsigned long long)t->id,
           green_called(t));
}

static void abandon(struct lg *G, struct green_thread *t) {
  struct lock *l;
  while ((l = green_extra_value(t))) {
    take_away(l);
    note_former(G, l, t);
    tell_next(G->hub, l);
  }
}

/* --- its memory --- */

static void forget(struct lg_owned *owned) {
  struct lock *l = (struct lock *)owned;
  if (l->owner) take_away(l);
}

static void make(lua_State *L, struct object *o) {
  struct lg *G = o->head.G;
  struct lock *l = lg_own(L, G, &G->locks, sizeof *l, forget);
  if (o->lock) { /* a finalizer was faster */
    lg_disown(&l->owned);
    return;
  }
  l->reentrant = o->reentrant;
  green_list_init(&l->waiters);
  o->lock = l;
}

/* Of the object at `at`, whose metatable is on top and is popped. */
static void watch(lua_State *L, const struct object *o, int at) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, LOCKS);
  lua_pushvalue(L, at);
  lua_rawsetp(L, -2, o);
  lua_pop(L, 1);
  lua_setmetatable(L, at);
}

/* Another object's finalizer uses the lock after the lock's own finalizer ran,
 * so it needs a finalizer again. */
static void revive(lua_State *L, struct object *o, int at) {
  lua_getmetatable(L, at);
  watch(L, o, at);
  make(L, o);
}

/* If the hub is gone, so are all locks. */
static int lock_gc(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct object *o = lg_self(L);
  if (!G->hub || !o->lock) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, LOCKS);
  lua_rawgetp(L, -1, o);
  if (!lg_finalizing(L, G, lua_rawequal(L, -1, 1)) || !o->lock) return 0;
  assert(!green_list_head(&o->lock->waiters));
  lg_disown(&o->lock->owned);
  o->lock = NULL;
  return 0;
}

/* --- acquire --- */

/* Its user value is the guard. */
static int push_guard(lua_State *L, int at) {
  lua_getiuservalue(L, at, 1);
  return 1;
}

static int raise_left(lua_State *L, const struct lock *l) {
  return luaL_error(L,
                    "the lock was abandoned: green thread %s ended while it "
                    "owned it",
                    l->former);
}

static int acquire_again(lua_State *L, struct lg *G, struct lock *l, int at) {
  if (!l->reentrant)
    return luaL_error(L, "the lock is already owned by this green thread, %s",
                      lg_push_who(L, G, l->owner));
  l->depth++;
  return push_guard(L, at);
}

static int attempt(lua_State *L, struct lg *G, void *object, int at) {
  struct object *o = object;
  struct green_thread *t = lg_current(G);
  struct lock *l;
  if (unlikely(!t)) return luaL_error(L, "only a green thread can own a lock");
  if (unlikely(!o->lock)) revive(L, o, at);
  l = o->lock;
  if (l->owner == t) return acquire_again(L, G, l, at);
  if (unlikely(!green_extra(G->hub, t)))
    return luaL_error(L, "not enough memory");
  if (l->state == LEFT) {
    l->state = FREE;
    return raise_left(L, l);
  }
  if (l->state != FREE) return -1;
  give(l, t, OWNED);
  return push_guard(L, at);
}

static struct green_list *waiters(void *object) {
  return &((struct object *)object)->lock->waiters;
}

static int fetch(lua_State *L, struct lg *G, void *object, int at,
                 int reason) {
  struct lock *l = ((struct object *)object)->lock;
  (void)reason;
  if (likely(l->state == HANDED)) {
    assert(l->owner == lg_current(G));
    l->state = OWNED;
    return push_guard(L, at);
  }
  /* The owner has ended: this waiter gets the error, the next one the lock */
  assert(l->state == TOLD);
  l->state = FREE;
  hand_over(G->hub, l);
  return raise_left(L, l);
}

static const struct lg_waitable acquire_waitable = {
    .op = {{"lock:acquire", lg_one_undo, NULL},
           lock_acquire,
           lg_one_woken,
           NULL},
    .attempt = attempt,
    .list = waiters,
    .fetch = fetch,
    .undo = undo};

static const struct lg_class lock_class = {"green.lock", &acquire_waitable,
                                           NULL};

/* NULL: it was finalized, and nobody owns it. */
static struct lock *self(lua_State *L) {
  struct object *o = lg_check_object(L, &lock_class, sizeof(struct object));
  return o->lock;
}

/* acquire([s]): the guard. May switch. */
static int lock_acquire(lua_State *L) {
  self(L);
  lg_need_calls(L, lg_get(L), 1);
  return lg_wait_one(L, &acquire_waitable, &lock_class, sizeof(struct object));
}

/* --- the rest --- */

static int not_owner(lua_State *L, struct lg *G, const struct lock *l) {
  const char *who;
  luaL_checkstack(L, 8, "luagreen");
  who = lg_push_who(L, G, lg_current(G));
  if (!l || !l->owner)
    return luaL_error(L, "%s cannot release the lock: nobody owns it", who);
  return luaL_error(L, "%s cannot release the lock: green thread %s owns it",
                    who, lg_push_who(L, G, l->owner));
}

/* release(): by its owner only; the first waiter owns it next. Never
 * switches. */
static int lock_release(lua_State *L) {
  struct lock *l = self(L);
  struct lg *G = lg_get(L);
  if (unlikely(!l || !l->owner || l->owner != lg_current(G)))
    return not_owner(L, G, l);
  release(G->hub, l);
  return 0;
}

/* Closes the guard. The program may have released the lock before, and another
 * thread may own it by now. The caller is the owner, or code that closes the
 * owner's coroutine. */
static void closed(lua_State *L, void *object) {
  struct lg *G = ((struct object *)object)->head.G;
  struct lock *l = G->hub ? ((struct object *)object)->lock : NULL;
  struct green_thread *t = l ? l->owner : NULL;
  if (!t || l->state != OWNED) return;
  if (t == lg_current(G) || (lg_is_lua(t) && t->user == L)) release(G->hub, l);
}

static int lock_owner(lua_State *L) {
  struct lock *l = self(L);
  if (l && l->owner)
    lg_push_thread(L, l->owned.G, l->owner);
  else
    lua_pushnil(L);
  return 1;
}

static const luaL_Reg methods[] = {{"acquire", lock_acquire},
                                   {"release", lock_release},
                                   {"owner", lock_owner},
                                   {NULL, NULL}};
static const luaL_Reg meta[] = {{"__gc", lock_gc}, {NULL, NULL}};

/* lock([reentrant]): upvalue 2 is the metatable. */
static int l_lock(lua_State *L) {
  struct object *o;
  if (!lua_isnoneornil(L, 1)) luaL_checktype(L, 1, LUA_TBOOLEAN);
  lua_settop(L, 1);
  o = lua_newuserdatauv(L, sizeof *o, 1);
  *o = (struct object){.head = {&lock_class, lg_get(L)},
                       .reentrant = lua_toboolean(L, 1)};
  lg_push_guard(L, o, closed);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, lua_upvalueindex(2));
  watch(L, o, lua_absindex(L, -2));
  make(L, o);
  return 1;
}

void lg_open_lock(lua_State *L) {
  static const luaL_Reg functions[] = {{"lock", l_lock}, {NULL, NULL}};
  lg_weak_table(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, LOCKS);
  lg_at_thread_end(lg_find(L), abandon);
  lg_new_class(L, lock_class.name, methods, meta);
  lg_setfuncs(L, functions, 1);
}
