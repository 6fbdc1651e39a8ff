/* scopes.c - timeouts, shields and the scopes of groups, as Lua objects.
 *
 * Each is a userdata around a green_scope. An open one is anchored by slot,
 * because the thread's chain points into it, and has no __gc, which would
 * triple the price of a timeout. If it was made in a coroutine of the
 * program's, that keeps its Lua object alive, which has a __gc that
 * closes the scope: see nested.c. The scope itself is anchored in any case.
 * Invariant: scope.user is the slot exactly while the scope is open, else 0.
 *
 * Where Lua runs; lg_drop_scopes() on any stack.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "runtime/counts.h"
#include "runtime/limits.h"
#include "runtime/nested.h"
#include "runtime/object.h"
#include "runtime/park.h"
#include "runtime/refusal.h"
#include "runtime/scopes.h"
#include "runtime/site.h"
#include "runtime/strike.h"

#include <string.h>

static const struct lg_class timeout_class = {"green.timeout", NULL, NULL};
static const struct lg_class shield_class = {"green.shield", NULL, NULL};
static const struct lg_class scope_class = {"green.scope", NULL, NULL};

static struct lg_scope *self_of(lua_State *L, const struct lg_class *klass) {
  struct lg_scope *s = lg_check_object(L, klass, LG_SCOPE_OBJECT);
  return s->real;
}

static struct lg_scope *self(lua_State *L) {
  return self_of(L, &timeout_class);
}

static struct lg_scope *of_core(struct green_scope *scope) {
  return (struct lg_scope *)((char *)scope - offsetof(struct lg_scope, scope));
}

/* --- counting --- */

/* 0: there are too many. Garbage is collected first. */
static inline int count(lua_State *L, struct lg *G, struct lg_scope *s) {
  struct lg_account *box = unlikely(G->boxes) ? lg_account_of_box(G) : NULL;
  assert(!s->counted);
  s->box = box;
  if (unlikely(!lg_has_room_for(G, box, LG_TIMERS, 1)) &&
      (!lg_sweep(L, G) || !lg_has_room_for(G, box, LG_TIMERS, 1)))
    return 0;
  s->counted = 1;
  lg_count(G, box, LG_TIMERS, 1);
  return 1;
}

static void uncount(struct lg *G, struct lg_scope *s) {
  lg_count(G, s->box, LG_TIMERS, -1);
  s->counted = 0;
  if (unlikely(s->box)) lg_account_leave(s->box);
}

/* --- opening and closing --- */

static void scope_close(struct lg *G, struct lg_scope *s) {
  assert(s->scope.user);
  green_scope_close(G->hub, &s->scope);
  if (s->nested) lg_unnest(G, s);
  lg_release(G, (int)s->scope.user);
  s->scope.user = 0;
  if (s->counted) uncount(G, s);
}

static void close_own(struct lg *G, struct green_thread *t) {
  struct green_scope *s, *outer;
  for (s = t->scopes; s; s = outer) {
    outer = s->outer;
    if (lg_is_own_scope(G, s)) scope_close(G, of_core(s));
  }
}

static void close_of_host(struct green_thread *t, void *arg) {
  close_own(arg, t);
}

/* Main and C's threads live on, and the scopes are the state's memory. */
void lg_scopes_leave(struct lg *G) {
  green_each_of(G->hub, NULL, close_of_host, G);
}

/* The coroutine of a nested timeout may still go on, in another thread, so the
 * timeout only leaves the chain. */
void lg_drop_scopes(struct lg *G, struct green_thread *t) {
  while (t->scopes) {
    struct lg_scope *s = of_core(t->scopes);
    if (!lg_is_own_scope(G, t->scopes)) /* C jumped past its end */
      green_scope_close(G->hub, t->scopes);
    else if (s->nested && s->scope.kind == GREEN_SCOPE_TIMEOUT &&
             lg_may_wake(G, s))
      green_scope_close(G->hub, &s->scope);
    else
      scope_close(G, s);
  }
}

/* The __gc of scopes that a coroutine keeps alive. If a program calls it on an
 * open one, it is cancel(). */
static int nested_gc(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct lg_scope *s = lua_touserdata(L, 1);
  if (!G->hub || !s || lua_rawlen(L, 1) < LG_SCOPE_OBJECT) return 0;
  if (s->object.klass != &timeout_class && s->object.klass != &shield_class &&
      s->object.klass != &scope_class)
    return 0;
  if (s->real->scope.user) scope_close(G, s->real);
  return 0;
}

static int is_nested(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  return t && L != lg_own_state(G, t);
}

static struct lg_scope *push_new(lua_State *L, struct lg *G,
                                 const struct lg_class *klass, int values) {
  struct lg_scope *s = lua_newuserdatauv(L, sizeof *s, values);
  memset(s, 0, sizeof *s);
  s->object.klass = klass;
  s->object.G = G;
  s->real = s;
  return s;
}

/* Pushes the object of a scope for which a coroutine will live. */
static struct lg_scope *push_object(lua_State *L, struct lg *G,
                                    const struct lg_class *klass) {
  struct lg_scope *o = lua_newuserdatauv(L, LG_SCOPE_OBJECT, LG_SCOPE_REAL);
  o->object.klass = klass;
  o->object.G = G;
  o->real = push_new(L, G, klass, 0);
  lua_setiuservalue(L, -2, LG_SCOPE_REAL);
  return o->real;
}

/* The metatable is on top of the stack, and is replaced by the userdata. */
static struct lg_scope *new_scope(lua_State *L, struct lg *G,
                                  const struct lg_class *klass, int values) {
  int nested = is_nested(L, G);
  struct lg_scope *s;
  luaL_checkstack(L, 7, "luagreen");
  if (nested) lg_with_gc(L, klass, nested_gc);
  s = nested ? push_object(L, G, klass) : push_new(L, G, klass, values);
  lua_insert(L, -2);
  lua_setmetatable(L, -2);
  return s;
}

static int too_many(lua_State *L, struct lg *G, struct lg_scope *s) {
  struct lg_account *box = s->box;
  s->box = NULL;
  scope_close(G, s);
  lg_account_leave(box); /* the thread's sandbox has it, too */
  return lg_too_many(L, G, box, LG_TIMERS);
}

/* Opens the scope on top of the stack for the current thread. A scope that was
 * not made in a coroutine has no finalizer: it belongs to the thread, wherever
 * it is restarted. */
static void scope_open(lua_State *L, struct lg *G, struct lg_scope *s,
                       enum green_scope_kind kind, uint64_t deadline) {
  struct green_thread *t = lg_current(G);
  int r, nested = lua_touserdata(L, -1) != s && is_nested(L, G);
  assert(!s->scope.user);
  if (!t) luaL_error(L, "no green thread runs here");
  if (nested)
    lua_getiuservalue(L, -1, LG_SCOPE_REAL);
  else
    lua_pushvalue(L, -1);
  s->scope.user = (uint32_t)lg_anchor(L, G);
  s->thread = t->id;
  if (nested) lg_nest(L, G, s);
  if (kind == GREEN_SCOPE_TIMEOUT && !count(L, G, s)) too_many(L, G, s);
  r = green_scope_open(G->hub, &s->scope, kind, deadline);
  if (r < 0) {
    scope_close(G, s);
    luaL_error(L, "timeout: %s", lg_strerror(G, r));
  }
  if (nested) s->scope.awake = lg_awake;
}

/* --- timeouts --- */

static double seconds_arg(lua_State *L, int index) {
  lua_Number s;
  if (lua_isnoneornil(L, index)) return -1;
  s = luaL_checknumber(L, index);
  luaL_argcheck(L, s == s, index, "seconds expected, got NaN");
  return s > 0 ? s : 0;
}

static uint64_t when(double seconds) {
  uint64_t at = seconds < 0 ? GREEN_FOREVER : lg_deadline(seconds);
  return at ? at : 1; /* the past, but armed */
}

/* timeout(s [, err [, level]]): upvalue 2 is the metatable; `level`, for the
 * library's own use, tells which caller's place to note. */
static int l_timeout(lua_State *L) {
  struct lg *G = lg_get(L);
  double seconds = seconds_arg(L, 1);
  int level = (int)luaL_optinteger(L, 3, 1);
  struct lg_scope *s;
  luaL_argcheck(L, lua_type(L, 2) != LUA_TBOOLEAN || lua_toboolean(L, 2), 2,
                "false is no error; see with_timeout");
  lg_need_calls(L, G, 1);
  lua_settop(L, 2);
  lua_pushvalue(L, lua_upvalueindex(2));
  s = new_scope(L, G, &timeout_class, lua_isnil(L, 2) ? 0 : 1);
  s->seconds = seconds;
  s->site = lg_site(L, G, level);
  if (!lua_isnil(L, 2)) {
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 1);
  }
  scope_open(L, G, s, GREEN_SCOPE_TIMEOUT, when(seconds));
  return 1;
}

static int timeout_cancel(lua_State *L) {
  struct lg_scope *s = self(L);
  if (s->scope.user) scope_close(s->object.G, s);
  return 0;
}

/* A nested one whose thread has ended waits for the next thread, in no
 * chain. */
static void restart(lua_State *L, struct lg *G, struct lg_scope *s) {
  int r = 0;
  if (s->scope.thread) {
    r = green_scope_restart(G->hub, &s->scope, when(s->seconds));
  } else {
    s->scope.deadline = when(s->seconds);
    s->scope.cancelled = 0;
  }
  if (r < 0) luaL_error(L, "timeout: %s", lg_strerror(G, r));
}

/* Restarts from now, for the given or the former time; not if the timeout has
 * expired or was cancelled in another thread. */
static int timeout_restart(lua_State *L) {
  struct lg *G = lg_get(L);
  struct lg_scope *s = self(L);
  struct green_thread *t = lg_current(G);
  if (!lua_isnoneornil(L, 2)) s->seconds = seconds_arg(L, 2);
  if (s->scope.user) {
    restart(L, G, s);
    return 0;
  }
  luaL_argcheck(L, t && s->thread == t->id, 1,
                "a timeout of another green thread");
  lua_settop(L, 1);
  scope_open(L, G, s, GREEN_SCOPE_TIMEOUT, when(s->seconds));
  return 0;
}

static int timeout_expired(lua_State *L) {
  struct lg_scope *s = self(L);
  struct green_scope *scope = &s->scope;
  if (scope->user && !scope->thread &&
      scope->deadline <= green_time(s->object.G->hub))
    scope->cancelled = 1;
  lua_pushboolean(L, green_scope_cancelled(s->object.G->hub, scope));
  return 1;
}

/* Fields; methods come first. */
static int timeout_index(lua_State *L) {
  struct lg_scope *s = self(L);
  const char *key = lua_tostring(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(3)) != LUA_TNIL || !key) return 1;
  if (!strcmp(key, "seconds") && s->seconds >= 0)
    lua_pushnumber(L, s->seconds);
  else if (!strcmp(key, "where"))
    lg_push_site(L, s->object.G, s->site);
  else if (!strcmp(key, "thread"))
    lua_pushinteger(L, (lua_Integer)s->thread);
  else
    lua_pushnil(L);
  return 1;
}

static const luaL_Reg timeout_methods[] = {{"cancel", timeout_cancel},
                                           {"restart", timeout_restart},
                                           {"expired", timeout_expired},
                                           {NULL, NULL}};
static const luaL_Reg timeout_meta[] = {{"__close", timeout_cancel},
                                        {NULL, NULL}};

/* The core table is on the stack. __index is a function with three upvalues: G,
 * the metatable, the methods. */
static void open_timeout(lua_State *L) {
  static const luaL_Reg make[] = {{"timeout", l_timeout}, {NULL, NULL}};
  static const luaL_Reg index[] = {{"__index", timeout_index}, {NULL, NULL}};
  lg_new_class(L, timeout_class.name, timeout_methods, timeout_meta);
  lua_pushvalue(L, -1);
  lua_pushvalue(L, -1);
  lua_getfield(L, -1, "__index");
  lg_setfuncs(L, index, 2);
  lua_pop(L, 1);
  lg_setfuncs(L, make, 1);
}

/* --- shields --- */

/* shield_begin(s): a to-be-closed value. */
static int l_shield_begin(lua_State *L) {
  struct lg *G = lg_get(L);
  double seconds = seconds_arg(L, 1);
  struct lg_scope *s;
  lg_need_calls(L, G, 1);
  lua_pushvalue(L, lua_upvalueindex(2));
  s = new_scope(L, G, &shield_class, 0);
  scope_open(
      L, G, s, GREEN_SHIELD,
      seconds < 0 ? green_now() + green_config(G->hub)->grace : when(seconds));
  return 1;
}

/* nested(): does the caller run in a coroutine of the user's? */
static int l_nested(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_current(G);
  lua_pushboolean(L, t && lg_own_state(G, t) != L);
  return 1;
}

static int shield_end(lua_State *L) {
  struct lg_scope *s = self_of(L, &shield_class);
  if (s->scope.user) scope_close(s->object.G, s);
  return 0;
}

static const luaL_Reg shield_meta[] = {{"__close", shield_end}, {NULL, NULL}};

/* --- scopes of groups --- */

/* scope_begin(): opens a scope; cancelling it strikes the calling thread. */
static int l_scope_begin(lua_State *L) {
  struct lg *G = lg_get(L);
  struct lg_scope *s;
  luaL_getmetatable(L, scope_class.name);
  s = new_scope(L, G, &scope_class, 1);
  scope_open(L, G, s, GREEN_SCOPE_GROUP, GREEN_FOREVER);
  return 1;
}

/* scope_cancel(scope, err): cancels it; `err` strikes its thread. */
static int l_scope_cancel(lua_State *L) {
  struct lg_scope *s = self_of(L, &scope_class);
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  lua_setiuservalue(L, 1, 1);
  green_scope_cancel(s->object.G->hub, &s->scope);
  return 0;
}

static int l_scope_end(lua_State *L) {
  struct lg_scope *s = self_of(L, &scope_class);
  if (s->scope.user) scope_close(s->object.G, s);
  return 0;
}

void lg_scope_end(lua_State *L, int index) {
  struct lg_scope *s = lua_touserdata(L, index);
  if (!s || lua_rawlen(L, index) < LG_SCOPE_OBJECT ||
      s->object.klass != &scope_class)
    return;
  s = s->real;
  if (s->object.G->hub && s->scope.user) scope_close(s->object.G, s);
}

/* scope_open(scope): is its thread still in it? */
static int l_scope_is_open(lua_State *L) {
  struct lg_scope *s = self_of(L, &scope_class);
  lua_pushboolean(L, s->scope.user != 0);
  return 1;
}

static uint64_t nearest(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_current(G);
  return t ? green_scope_deadline(G->hub, t) : GREEN_FOREVER;
}

/* deadline(): when the nearest timeout in force expires, as now(); or nil. */
static int l_deadline(lua_State *L) {
  uint64_t at = nearest(L);
  if (at == GREEN_FOREVER)
    lua_pushnil(L);
  else
    lua_pushnumber(L, (lua_Number)at / 1e9);
  return 1;
}

/* time_left(): the seconds until then, 0 if that has passed; or nil. */
static int l_time_left(lua_State *L) {
  uint64_t at = nearest(L), now = green_now();
  if (at == GREEN_FOREVER)
    lua_pushnil(L);
  else
    lua_pushnumber(L, at > now ? (lua_Number)(at - now) / 1e9 : 0);
  return 1;
}

static const luaL_Reg functions[] = {{"deadline", l_deadline},
                                     {"time_left", l_time_left},
                                     {"nested", l_nested},
                                     {"scope_begin", l_scope_begin},
                                     {"scope_cancel", l_scope_cancel},
                                     {"scope_end", l_scope_end},
                                     {"scope_is_open", l_scope_is_open},
                                     {NULL, NULL}};

void lg_open_scopes(lua_State *L) {
  static const luaL_Reg shield[] = {{"shield_begin", l_shield_begin},
                                    {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
  open_timeout(L);
  luaL_newmetatable(L, shield_class.name);
  lua_pushvalue(L, -1);
  lg_setfuncs(L, shield_meta, 1);
  lg_setfuncs(L, shield, 1);
  luaL_newmetatable(L, scope_class.name);
  lua_pop(L, 1);
}
