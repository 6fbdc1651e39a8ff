/* semaphore.c - a fixed number of permits.
 *
 * A release hands its permit to the first waiter, so that permits are free only
 * while nobody waits:
 *
 *   count > 0  =>  no waiters
 *
 * and a newcomer that finds one free takes it from nobody. If a thread that was
 * handed a permit ends before it runs, the permit goes to the next.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/park.h"
#include "runtime/waitable.h"
#include "sync/sync.h"

struct semaphore {
  struct lg_object object;
  struct green_list waiters;
  lua_Integer count, max; /* free permits; the most there may be */
};

static int semaphore_acquire(lua_State *L);

/* Its user value is the guard. */
static int fetch(lua_State *L, struct lg *G, void *object, int at,
                 int reason) {
  (void)G, (void)object, (void)reason;
  lua_getiuservalue(L, at, 1);
  return 1;
}

static int attempt(lua_State *L, struct lg *G, void *object, int at) {
  struct semaphore *s = object;
  if (s->count == 0) return -1;
  s->count--;
  return fetch(L, G, object, at, GREEN_WOKEN);
}

static struct green_list *waiters(void *object) {
  return &((struct semaphore *)object)->waiters;
}

static void hand_over(struct green_hub *hub, void *object) {
  struct semaphore *s = object;
  assert(s->count == 0 || green_list_length(&s->waiters) == 0);
  if (!green_wake_first(hub, &s->waiters, GREEN_WOKEN)) s->count++;
  assert(s->count <= s->max);
}

static const struct lg_waitable acquire_waitable = {
    .op = {{"semaphore:acquire", lg_one_undo, NULL},
           semaphore_acquire,
           lg_one_woken,
           NULL},
    .attempt = attempt,
    .list = waiters,
    .fetch = fetch,
    .undo = hand_over};

static const struct lg_class semaphore_class = {"green.semaphore",
                                                &acquire_waitable, NULL};

static struct semaphore *self(lua_State *L) {
  return lg_check_object(L, &semaphore_class, sizeof(struct semaphore));
}

/* acquire([s]): the guard. May switch. */
static int semaphore_acquire(lua_State *L) {
  lg_need_calls(L, self(L)->object.G, 1);
  return lg_wait_one(L, &acquire_waitable, &semaphore_class,
                     sizeof(struct semaphore));
}

static void release(lua_State *L, void *object) {
  struct semaphore *s = object;
  if (s->count >= s->max)
    luaL_error(L, "the semaphore has all of its %I permits already", s->max);
  hand_over(s->object.G->hub, s);
}

/* release(): gives one permit, to the first waiter if there is one. Never
 * switches. */
static int semaphore_release(lua_State *L) {
  release(L, self(L));
  return 0;
}

static int semaphore_count(lua_State *L) {
  lua_pushinteger(L, self(L)->count);
  return 1;
}

static const luaL_Reg methods[] = {{"acquire", semaphore_acquire},
                                   {"release", semaphore_release},
                                   {"count", semaphore_count},
                                   {NULL, NULL}};

/* semaphore(n [, max]): upvalue 2 is the metatable. */
static int l_semaphore(lua_State *L) {
  struct lg *G = lg_get(L);
  lua_Integer n = luaL_checkinteger(L, 1);
  lua_Integer max = luaL_optinteger(L, 2, LUA_MAXINTEGER);
  struct semaphore *s;
  luaL_argcheck(L, n >= 0, 1, "permits must not be negative");
  luaL_argcheck(L, max >= 1 && max >= n, 2,
                "at least 1 and at least the permits there are expected");
  s = lua_newuserdatauv(L, sizeof *s, 1);
  *s = (struct semaphore){
      .object = {&semaphore_class, G}, .count = n, .max = max};
  green_list_init(&s->waiters);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  lg_push_guard(L, s, release);
  lua_setiuservalue(L, -2, 1);
  return 1;
}

void lg_open_semaphore(lua_State *L) {
  static const luaL_Reg make[] = {{"semaphore", l_semaphore}, {NULL, NULL}};
  lg_new_class(L, semaphore_class.name, methods, NULL);
  lg_setfuncs(L, make, 1);
}
