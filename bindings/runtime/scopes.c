/* scopes.c - timeouts, shields and the scopes of groups, as Lua objects.
 *
 * Each is a userdata around a green_scope. An open one is anchored by slot,
 * because the thread's chain points into it, and has no __gc (it would triple
 * the price of a timeout). Invariant: scope.user is the anchor's slot exactly
 * while the scope is in a chain, else 0.
 *
 * Where Lua runs; lg_drop_scopes() on any stack.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "runtime/limits.h"
#include "runtime/object.h"
#include "runtime/scopes.h"
#include "runtime/site.h"

#include <string.h>

struct scope {
  struct lg_object object;
  struct green_scope scope; /* .user is the anchor's slot, 0: closed */
  double seconds;           /* < 0: never */
  uint64_t thread;
  uint32_t site; /* where it was made */
};

static const struct lg_class timeout_class = {"green.timeout", NULL, NULL};
static const struct lg_class shield_class = {"green.shield", NULL, NULL};
static const struct lg_class scope_class = {"green.scope", NULL, NULL};

static struct scope *self(lua_State *L) {
  return lg_check_object(L, &timeout_class, sizeof(struct scope));
}

static struct scope *of_core(struct green_scope *scope) {
  return (struct scope *)((char *)scope - offsetof(struct scope, scope));
}

/* --- opening and closing --- */

static void scope_close(struct lg *G, struct scope *s) {
  green_scope_close(G->hub, &s->scope);
  lg_release(G, (int)s->scope.user);
  s->scope.user = 0;
}

/* The core closes what an ended thread left open; its anchors go here. */
void lg_drop_scopes(struct lg *G, struct green_thread *t) {
  while (t->scopes) scope_close(G, of_core(t->scopes));
}

/* A timeout made in a user's coroutine rests while that is suspended. A dead
 * coroutine's timeout never strikes again. On any stack: must not raise. */
static int awake(struct green_hub *hub, struct green_scope *scope) {
  struct lg *G = lg_of(hub);
  lua_Debug ar;
  lua_State *co;
  lua_rawgeti(G->tables, 2, scope->user);
  co = lua_tothread(G->tables, -1);
  lua_pop(G->tables, 1);
  return co && lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar);
}

static void remember_coroutine(lua_State *L, struct lg *G, struct scope *s) {
  luaL_checkstack(L, 3, "luagreen");
  lua_pushvalue(G->tables, 2);
  lua_xmove(G->tables, L, 1);
  lua_pushthread(L);
  lua_rawseti(L, -2, s->scope.user);
  lua_pop(L, 1);
}

static struct scope *new_scope(lua_State *L, struct lg *G,
                               const struct lg_class *klass, int values) {
  struct scope *s = lua_newuserdatauv(L, sizeof *s, values);
  memset(s, 0, sizeof *s);
  s->object.klass = klass;
  s->object.G = G;
  return s;
}

/* Opens the scope on top of the stack for the current thread. */
static void scope_open(lua_State *L, struct lg *G, struct scope *s,
                       enum green_scope_kind kind, uint64_t deadline) {
  struct green_thread *t = lg_current(G);
  int r;
  if (!t) luaL_error(L, "no green thread runs here");
  lua_pushvalue(L, -1);
  s->scope.user = (uint32_t)lg_anchor(L, G);
  s->thread = t->id;
  if (L != lg_own_state(G, t)) remember_coroutine(L, G, s);
  r = green_scope_open(G->hub, &s->scope, kind, deadline);
  if (r < 0) {
    scope_close(G, s);
    luaL_error(L, "timeout: %s", green_strerror(r));
  }
  if (kind != GREEN_SHIELD && L != lg_own_state(G, t)) s->scope.awake = awake;
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

/* timeout(s [, err [, level]]): upvalue 2 is the metatable; level: whose place
 * is noted, for the library's own use. */
static int l_timeout(lua_State *L) {
  struct lg *G = lg_get(L);
  double seconds = seconds_arg(L, 1);
  int level = (int)luaL_optinteger(L, 3, 1);
  struct scope *s;
  luaL_argcheck(L, lua_type(L, 2) != LUA_TBOOLEAN || lua_toboolean(L, 2), 2,
                "false is no error; see with_timeout");
  lua_settop(L, 2);
  s = new_scope(L, G, &timeout_class, lua_isnil(L, 2) ? 0 : 1);
  s->seconds = seconds;
  s->site = lg_site(L, G, level);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  if (!lua_isnil(L, 2)) {
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 1);
  }
  scope_open(L, G, s, GREEN_SCOPE_TIMEOUT, when(seconds));
  return 1;
}

static int timeout_cancel(lua_State *L) {
  struct scope *s = self(L);
  if (s->scope.user) scope_close(s->object.G, s);
  return 0;
}

/* From now, for the given or the former time; not for one that has expired or
 * was cancelled in another thread. */
static int timeout_restart(lua_State *L) {
  struct lg *G = lg_get(L);
  struct scope *s = self(L);
  struct green_thread *t = s->scope.thread;
  if (!lua_isnoneornil(L, 2)) s->seconds = seconds_arg(L, 2);
  if (t) {
    int r;
    s->scope.cancelled = 0;
    s->scope.deliveries = 0;
    r = green_timer_start(G->hub, &s->scope.timer, when(s->seconds));
    if (r < 0) luaL_error(L, "timeout: %s", green_strerror(r));
    green_pending_update(G->hub, t);
    return 0;
  }
  t = lg_current(G);
  luaL_argcheck(L, t && s->thread == t->id, 1,
                "a timeout of another green thread");
  lua_settop(L, 1);
  scope_open(L, G, s, GREEN_SCOPE_TIMEOUT, when(s->seconds));
  return 0;
}

static int timeout_expired(lua_State *L) {
  struct scope *s = self(L);
  lua_pushboolean(L, green_scope_cancelled(s->object.G->hub, &s->scope));
  return 1;
}

static void push_site(lua_State *L, struct scope *s) {
  int line = 0;
  const char *name = lg_site_name(s->object.G, s->site, &line);
  if (name)
    lua_pushfstring(L, "%s:%d", name, line);
  else
    lua_pushliteral(L, "?");
}

/* Fields; methods come first. */
static int timeout_index(lua_State *L) {
  struct scope *s = self(L);
  const char *key = lua_tostring(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(3)) != LUA_TNIL || !key) return 1;
  if (!strcmp(key, "seconds") && s->seconds >= 0)
    lua_pushnumber(L, s->seconds);
  else if (!strcmp(key, "where"))
    push_site(L, s);
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

/* On the stack: the core table. __index is a function of three upvalues: G,
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
  struct scope *s = new_scope(L, G, &shield_class, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
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
  struct scope *s = lg_check_object(L, &shield_class, sizeof *s);
  if (s->scope.user) scope_close(s->object.G, s);
  return 0;
}

static const luaL_Reg shield_meta[] = {{"__close", shield_end}, {NULL, NULL}};

/* --- scopes of groups --- */

/* scope_begin(): the calling thread is struck once it is cancelled. */
static int l_scope_begin(lua_State *L) {
  struct lg *G = lg_get(L);
  struct scope *s = new_scope(L, G, &scope_class, 1);
  luaL_setmetatable(L, scope_class.name);
  scope_open(L, G, s, GREEN_SCOPE_GROUP, GREEN_FOREVER);
  return 1;
}

/* scope_cancel(scope, err): what it is struck with. */
static int l_scope_cancel(lua_State *L) {
  struct scope *s = lg_check_object(L, &scope_class, sizeof *s);
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  lua_setiuservalue(L, 1, 1);
  green_scope_cancel(s->object.G->hub, &s->scope);
  return 0;
}

static int l_scope_end(lua_State *L) {
  struct scope *s = lg_check_object(L, &scope_class, sizeof *s);
  if (s->scope.user) scope_close(s->object.G, s);
  return 0;
}

/* scope_open(scope): is its thread still in it? */
static int l_scope_is_open(lua_State *L) {
  struct scope *s = lg_check_object(L, &scope_class, sizeof *s);
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

/* time_left(): the seconds until then, 0 when it is over; or nil. */
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
