/* waitable.c - a call that waits for one thing.
 *
 * The shape of every blocking method (park.c), for classes that follow the
 * protocol of waitable.h and have nothing to add.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/limits.h"
#include "runtime/runtime.h"
#include "runtime/waitable.h"

int lg_wait_one(lua_State *L, const struct lg_waitable *w,
                const struct lg_class *klass, size_t size) {
  struct lg_object *object = lg_check_object(L, klass, size);
  struct lg *G = object->G;
  uint64_t deadline = lg_limit(L, 2);
  int r;
  lua_settop(L, 2);
  if (deadline > 0) {
    r = w->waits ? lg_enter_first(L, G, &w->op, LG_WAITS)
                 : lg_enter(L, G, &w->op);
    if (r >= 0) return r;
  }
  if ((r = w->attempt(L, G, object, 1)) >= 0) return r;
  if (deadline == 0) return lg_push_timeout(L);
  return lg_wait(L, G, &w->op, object, w->list(object), deadline);
}

static const struct lg_waitable *of(const struct green_thread *t) {
  return (const struct lg_waitable *)t->kind;
}

int lg_one_woken(lua_State *L, struct lg *G, int reason) {
  struct green_thread *t = lg_current(G);
  if (reason == GREEN_TIMEOUT) return lg_push_timeout(L);
  return of(t)->fetch(L, G, t->on, 1, reason);
}

void lg_one_undo(struct green_hub *hub, struct green_thread *t) {
  if (t->reason == GREEN_WOKEN && of(t)->undo) of(t)->undo(hub, t->on);
}

int lg_fetch_true(lua_State *L, struct lg *G, void *object, int at,
                  int reason) {
  (void)G, (void)object, (void)at, (void)reason;
  lua_pushboolean(L, 1);
  return 1;
}

/* --- what an object is --- */

/* How many objects in a row may stand for one another. */
enum { MOST_STANDINS = 8 };

int lg_stand_in(lua_State *L, int at) {
  int times;
  for (times = 0; luaL_getmetafield(L, at, "__waitable") != LUA_TNIL;
       times++) {
    if (lua_type(L, -1) == LUA_TLIGHTUSERDATA) {
      lua_pop(L, 1);
      break;
    }
    if (times == MOST_STANDINS) return -1;
    lua_pushvalue(L, at);
    lua_call(L, 1, 1);
    lua_replace(L, at);
  }
  return times > 0;
}

const struct lg_waitable *lg_operation(lua_State *L, struct lg *G, int at,
                                       int put, void **object) {
  struct lg_object *p = lua_touserdata(L, at);
  const struct lg_waitable *w = NULL;
  if (likely(p && lua_rawlen(L, at) >= sizeof *p && p->G == G)) {
    *object = p;
    return put ? p->klass->put : p->klass->waitable;
  }
  /* Objects that do not begin so have it in their metatable. */
  if (put || luaL_getmetafield(L, at, "__waitable") == LUA_TNIL) return NULL;
  if (lua_type(L, -1) == LUA_TLIGHTUSERDATA) w = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return w && w->object && (*object = w->object(L, at)) ? w : NULL;
}

int lg_settled(lua_State *L, struct lg *G, int at, struct green_list **list,
               struct green_thread **thread) {
  const struct lg_waitable *w = NULL;
  void *object = NULL;
  if (lg_stand_in(L, at) >= 0) w = lg_operation(L, G, at, 0, &object);
  if (!w || !w->settled)
    luaL_error(L, "thread or event expected, got %s", luaL_typename(L, at));
  *list = w->list(object);
  *thread = w->thread_of ? w->thread_of(object) : NULL;
  if (*thread && *thread == lg_current(G))
    luaL_error(L, "a green thread cannot wait for itself");
  return w->settled(object);
}

/* outcome(thing): the outcome of a thing that is over, in join's shape, without
 * waiting. */
static int l_outcome(lua_State *L) {
  struct lg *G = lg_get(L);
  const struct lg_waitable *w;
  void *object;
  int r;
  lua_settop(L, 1);
  lg_stand_in(L, 1);
  w = lg_operation(L, G, 1, 0, &object);
  r = w ? w->attempt(L, G, object, 1) : -1;
  return r < 0 ? lg_push_timeout(L) : r;
}

static int l_checkpoint(lua_State *L);

static const struct lg_op checkpoint_op = {
    {"checkpoint", NULL, NULL}, l_checkpoint, NULL, NULL};

/* checkpoint(): a blocking function that is written in Lua enters here. */
static int l_checkpoint(lua_State *L) {
  struct lg *G = lg_get(L);
  int r = lg_enter(L, G, &checkpoint_op);
  return r < 0 ? 0 : r;
}

void lg_open_waitable(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"outcome", l_outcome}, {"checkpoint", l_checkpoint}, {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}

void lg_set_waitable(lua_State *L, const struct lg_waitable *w) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)w);
  lua_setfield(L, -2, "__waitable");
}
