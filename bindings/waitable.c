/* waitable.c - a call that waits for one thing.
 *
 * The shape of every blocking method (park.c), for classes that follow the
 * protocol of waitable.h and have nothing to add.
 *
 * SPDX-License-Identifier: MIT
 */
#include "waitable.h"

int green_lua__wait_one(lua_State *L, const struct green_lua_waitable *w,
                        const struct green_lua_class *klass, size_t size) {
  struct green_lua_object *object = green_lua__object(L, klass, size);
  struct green_lua *G = object->G;
  uint64_t deadline = green_lua__limit(L, 2);
  int r;
  lua_settop(L, 2);
  if (deadline > 0 && (r = green_lua__enter(L, G, &w->op)) >= 0) return r;
  if ((r = w->attempt(L, G, object, 1)) >= 0) return r;
  if (deadline == 0) return green_lua__push_timeout(L);
  return green_lua__wait(L, G, &w->op, object, w->list(object), deadline);
}

static const struct green_lua_waitable *of(const struct green_thread *t) {
  return (const struct green_lua_waitable *)t->kind;
}

int green_lua__one_woken(lua_State *L, struct green_lua *G, int reason) {
  if (reason == GREEN_TIMEOUT) return green_lua__push_timeout(L);
  return of(green_lua__current(G))
      ->fetch(L, G, lua_touserdata(L, 1), 1, reason);
}

void green_lua__one_undo(struct green_hub *hub, struct green_thread *t) {
  if (t->reason == GREEN_WOKEN && of(t)->undo) of(t)->undo(hub, t->on);
}

int green_lua__fetch_true(lua_State *L, struct green_lua *G, void *object,
                          int at, int reason) {
  (void)G, (void)object, (void)at, (void)reason;
  lua_pushboolean(L, 1);
  return 1;
}

void green_lua__set_waitable(lua_State *L,
                             const struct green_lua_waitable *w) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)w);
  lua_setfield(L, -2, "__waitable");
}
