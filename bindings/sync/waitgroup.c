/* waitgroup.c - a count of jobs, and waits until it is 0.
 *
 * A thread that waits when the count becomes 0 returns true, even if add() is
 * called before it runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/waitable.h"
#include "sync/sync.h"

struct waitgroup {
  struct lg_object object;
  struct green_list waiters;
  lua_Integer count;
};

static int waitgroup_wait(lua_State *L);

static int attempt(lua_State *L, struct lg *G, void *object, int at) {
  const struct waitgroup *w = object;
  if (w->count > 0) return -1;
  return lg_fetch_true(L, G, object, at, GREEN_WOKEN);
}

static struct green_list *waiters(void *object) {
  return &((struct waitgroup *)object)->waiters;
}

static const struct lg_waitable wait_waitable = {
    .op = {{"waitgroup:wait", NULL, NULL}, waitgroup_wait, lg_one_woken, NULL},
    .attempt = attempt,
    .list = waiters,
    .fetch = lg_fetch_true};

static const struct lg_class waitgroup_class = {"green.waitgroup",
                                                &wait_waitable, NULL};

static struct waitgroup *self(lua_State *L) {
  return lg_check_object(L, &waitgroup_class, sizeof(struct waitgroup));
}

/* wait([s]): true when the count is 0. May switch. */
static int waitgroup_wait(lua_State *L) {
  return lg_wait_one(L, &wait_waitable, &waitgroup_class,
                     sizeof(struct waitgroup));
}

static void add(struct waitgroup *w, lua_Integer n) {
  w->count += n;
  assert(w->count >= 0);
  if (w->count > 0) return;
  green_wake_all(w->object.G->hub, &w->waiters, GREEN_WOKEN);
  assert(!green_list_head(&w->waiters)); /* none waits at 0 */
}

/* add([n]): n more, 1 by default; fewer if it is negative. Never switches. */
static int waitgroup_add(lua_State *L) {
  struct waitgroup *w = self(L);
  lua_Integer n = luaL_optinteger(L, 2, 1);
  luaL_argcheck(L, n >= -w->count, 2, "the count would be negative");
  luaL_argcheck(L, n <= LUA_MAXINTEGER - w->count, 2,
                "the count is too large");
  add(w, n);
  return 0;
}

/* done(): one less. Never switches. */
static int waitgroup_done(lua_State *L) {
  struct waitgroup *w = self(L);
  if (w->count == 0)
    return luaL_error(L, "'done' called more often than was added");
  add(w, -1);
  return 0;
}

static int waitgroup_count(lua_State *L) {
  lua_pushinteger(L, self(L)->count);
  return 1;
}

static const luaL_Reg methods[] = {{"wait", waitgroup_wait},
                                   {"add", waitgroup_add},
                                   {"done", waitgroup_done},
                                   {"count", waitgroup_count},
                                   {NULL, NULL}};

/* waitgroup([n]): upvalue 2 is the metatable. */
static int l_waitgroup(lua_State *L) {
  struct lg *G = lg_get(L);
  lua_Integer n = luaL_optinteger(L, 1, 0);
  struct waitgroup *w;
  luaL_argcheck(L, n >= 0, 1, "the count must not be negative");
  w = lua_newuserdatauv(L, sizeof *w, 0);
  *w = (struct waitgroup){.object = {&waitgroup_class, G}, .count = n};
  green_list_init(&w->waiters);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return 1;
}

void lg_open_waitgroup(lua_State *L) {
  static const luaL_Reg make[] = {{"waitgroup", l_waitgroup}, {NULL, NULL}};
  lg_new_class(L, waitgroup_class.name, methods, NULL);
  lg_setfuncs(L, make, 1);
}
