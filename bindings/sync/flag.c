/* flag.c - a flag, and waits until it is set.
 *
 * A flag is level-triggered: a wait goes on at once while it is set. set() is a
 * promise to all threads that wait at that moment: they return true even if the
 * flag is cleared again before they run.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/waitable.h"
#include "sync/sync.h"

struct flag {
  struct lg_object object;
  struct green_list waiters;
  int set;
};

static int flag_wait(lua_State *L);

static int attempt(lua_State *L, struct lg *G, void *object, int at) {
  const struct flag *f = object;
  if (!f->set) return -1;
  return lg_fetch_true(L, G, object, at, GREEN_WOKEN);
}

static struct green_list *waiters(void *object) {
  return &((struct flag *)object)->waiters;
}

static const struct lg_waitable wait_waitable = {
    .op = {{"flag:wait", NULL, NULL}, flag_wait, lg_one_woken, NULL},
    .attempt = attempt,
    .list = waiters,
    .fetch = lg_fetch_true};

static const struct lg_class flag_class = {"green.flag", &wait_waitable, NULL};

static struct flag *self(lua_State *L) {
  return lg_check_object(L, &flag_class, sizeof(struct flag));
}

/* wait([s]): true once the flag is, or was, set. May switch. */
static int flag_wait(lua_State *L) {
  return lg_wait_one(L, &wait_waitable, &flag_class, sizeof(struct flag));
}

/* set(): wakes all. Never switches. */
static int flag_set(lua_State *L) {
  struct flag *f = self(L);
  f->set = 1;
  green_wake_all(f->object.G->hub, &f->waiters, GREEN_WOKEN);
  assert(!green_list_head(&f->waiters)); /* none waits while it is set */
  return 0;
}

static int flag_clear(lua_State *L) {
  self(L)->set = 0;
  return 0;
}

static int flag_is_set(lua_State *L) {
  lua_pushboolean(L, self(L)->set);
  return 1;
}

static const luaL_Reg methods[] = {{"wait", flag_wait},
                                   {"set", flag_set},
                                   {"clear", flag_clear},
                                   {"is_set", flag_is_set},
                                   {NULL, NULL}};

/* flag([set]): upvalue 2 is the metatable. */
static int l_flag(lua_State *L) {
  struct lg *G = lg_get(L);
  struct flag *f;
  if (!lua_isnoneornil(L, 1)) luaL_checktype(L, 1, LUA_TBOOLEAN);
  lua_settop(L, 1);
  f = lua_newuserdatauv(L, sizeof *f, 0);
  *f = (struct flag){.object = {&flag_class, G}, .set = lua_toboolean(L, 1)};
  green_list_init(&f->waiters);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return 1;
}

void lg_open_flag(lua_State *L) {
  static const luaL_Reg make[] = {{"flag", l_flag}, {NULL, NULL}};
  lg_new_class(L, flag_class.name, methods, NULL);
  lg_setfuncs(L, make, 1);
}
