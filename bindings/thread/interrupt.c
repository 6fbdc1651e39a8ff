/* interrupt.c - what strikes a thread, as Lua objects.
 *
 * Timeouts and shields are userdata around a green_scope; an open one is
 * anchored by slot, because the thread's chain points into it, and has no __gc
 * (it would triple its price). The kill object is made when somebody first
 * sees it. A kill that is swallowed for too long is forced: a thread whose
 * blocking call may yield yields for good and is reset by its worker; one with
 * C frames in the way gets a count hook of random period that raises again and
 * again, because a fixed period resonates with a loop of pcalls.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "runtime/binding.h"

/* Instructions between two looks at a killed thread that computes. Between two
 * raises that force it are 1 to MOST_PERIOD: few enough, now and then, to hit
 * the instructions of a loop around a pcall that computes for ever. */
enum { WATCH_COUNT = 10000, MOST_PERIOD = 1000 };

/* For so long it may compute before the others get a turn. */
enum { TURN_NS = 100000000 };

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

static lua_State *own_state(struct lg *G, struct green_thread *t) {
  return t == green_main(G->hub) ? G->main : t->user;
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
  if (L != own_state(G, t)) remember_coroutine(L, G, s);
  r = green_scope_open(G->hub, &s->scope, kind, deadline);
  if (r < 0) {
    scope_close(G, s);
    luaL_error(L, "timeout: %s", green_strerror(r));
  }
  if (kind != GREEN_SHIELD && L != own_state(G, t)) s->scope.awake = awake;
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
  lua_pushboolean(L, s->scope.cancelled);
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

/* call(f, ...): a plain call; a coroutine.yield below it is refused by Lua. */
static int l_call(lua_State *L) {
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

/* nested(): does the caller run in a coroutine of the user's? */
static int l_nested(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_current(G);
  lua_pushboolean(L, t && own_state(G, t) != L);
  return 1;
}

/* --- the kill object --- */

void lg_push_killed(lua_State *L, struct lg *G, struct green_thread *t) {
  luaL_checkstack(L, 8, "luagreen");
  lg_make_rare(L, G, t);
  if (lua_rawgeti(L, -1, RARE_KILLED) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_createtable(L, 0, 3);
    if (lua_rawgeti(L, -2, RARE_KILLED) != LUA_TNIL) { /* by a finalizer */
      lua_replace(L, -3);
      lua_pop(L, 1);
      return;
    }
    lua_pop(L, 1);
    lua_rawgeti(L, -2, RARE_REASON);
    lua_setfield(L, -2, "reason");
    lua_rawgeti(L, -2, RARE_WHERE);
    lua_setfield(L, -2, "where");
    lua_pushinteger(L, (lua_Integer)t->id);
    lua_setfield(L, -2, "thread");
    luaL_setmetatable(L, "green.killed");
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, RARE_KILLED);
  }
  lua_remove(L, -2);
}

/* --- what strikes --- */

static void push_scope(lua_State *L, struct lg *G, struct green_scope *scope) {
  lg_push_anchored(L, G, (int)scope->user);
  if (lua_getiuservalue(L, -1, 1) <= LUA_TNIL)
    lua_pop(L, 1);
  else
    lua_remove(L, -2);
}

static void peek_thrown(lua_State *L, struct lg *G, int code) {
  if (code == UV_EINTR) {
    lua_pushliteral(L, "interrupted!");
  } else if (lg_rare(L, G, lg_current(G))) {
    lua_rawgeti(L, -1, RARE_THROWN);
    lua_remove(L, -2);
  } else {
    lua_pushnil(L);
  }
}

/* An output that catches errors of its sink tells a throw by it: it is over
 * once it was raised. On the stack: the value, the rare things. */
static void note_thrown(lua_State *L) {
  if (lua_rawgeti(L, -1, RARE_OUTPUT) > LUA_TBOOLEAN) {
    lua_pushvalue(L, -3);
    lua_setfield(L, -3, "thrown");
  }
  lua_pop(L, 1);
}

void lg_push_thrown(lua_State *L, struct lg *G, int code) {
  luaL_checkstack(L, 6, "luagreen");
  peek_thrown(L, G, code);
  if (code == UV_EINTR) G->interrupted = 0;
  if (lg_rare(L, G, lg_current(G))) {
    lua_pushnil(L);
    lua_rawseti(L, -2, RARE_THROWN);
    note_thrown(L);
    lua_pop(L, 1);
  }
}

void lg_push_strike(lua_State *L, struct lg *G, enum green_strike strike,
                    struct green_scope *scope) {
  luaL_checkstack(L, 6, "luagreen");
  if (strike == GREEN_STRIKE_KILL)
    lg_push_killed(L, G, lg_current(G));
  else if (strike == GREEN_STRIKE_SCOPE)
    push_scope(L, G, scope);
  else
    lg_push_thrown(L, G, green_take_throw(G->hub, lg_current(G)));
}

/* interrupted(): what is pending on this thread; changes nothing. */
static int l_interrupted(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_current(G);
  struct green_scope *scope;
  enum green_strike strike =
      t && t->pending ? green_strikes(G->hub, t, &scope) : GREEN_STRIKE_NONE;
  if (strike == GREEN_STRIKE_NONE)
    lua_pushnil(L);
  else if (strike == GREEN_STRIKE_THROW)
    peek_thrown(L, G, green_thrown(t));
  else
    lg_push_strike(L, G, strike, scope);
  return 1;
}

/* deadline(): seconds to the nearest timeout in force, or nil. */
static int l_deadline(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_current(G);
  uint64_t at = t ? green_scope_deadline(G->hub, t) : GREEN_FOREVER;
  uint64_t now = green_now();
  if (at == GREEN_FOREVER)
    lua_pushnil(L);
  else
    lua_pushnumber(L, at > now ? (lua_Number)(at - now) / 1e9 : 0);
  return 1;
}

/* --- force --- */

static uint32_t random_period(struct lg *G) {
  G->seed ^= G->seed << 13;
  G->seed ^= G->seed >> 7;
  G->seed ^= G->seed << 17;
  return 1 + (uint32_t)(G->seed % MOST_PERIOD);
}

static void kill_hook(lua_State *L, lua_Debug *ar);

static void arm(lua_State *L, struct lg *G) {
  lua_sethook(L, kill_hook, LUA_MASKCOUNT, (int)random_period(G));
}

static void raise_again(lua_State *L, struct lg *G) {
  arm(L, G);
  lg_push_killed(L, G, lg_current(G));
  lua_error(L);
}

static int may_reset(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  return t->user == L && lg_is_lua(t) && !(t->user_flags & LG_RESETTING) &&
         lua_isyieldable(L);
}

/* Hooks find G by the registry: they have no upvalues. */
static void kill_hook(lua_State *L, lua_Debug *ar) {
  struct lg *G = lg_find(L);
  (void)ar;
  if (G && G->hub && lg_current(G) && lg_current(G)->flags & GREEN_FORCED)
    raise_again(L, G);
  lua_sethook(L, NULL, 0, 0); /* inherited by a thread that is not killed */
}

/* Past every handler. In a blocking call that may yield: does not return; else
 * arms the hook, and the caller raises. */
void lg_force(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  lua_State *own = own_state(G, t);
  if (may_reset(L, G)) lua_yield(L, 0);
  if (lua_gethook(L) != kill_hook) arm(L, G); /* else its count goes on */
  if (own != L && lg_is_lua(t) && lua_gethook(own) != kill_hook) arm(own, G);
}

/* Has the running thread computed for so long, in real time, that the others
 * must have a turn? What takes less is not cut in two, be it killed or not. */
static int overruns(struct lg *G) {
  struct green_stats stats;
  uint64_t now = uv_hrtime();
  green_stats(G->hub, &stats);
  if (G->watched_switches != stats.switches) {
    G->watched_switches = stats.switches;
    G->watched_since = now;
  }
  return now - G->watched_since >= TURN_NS;
}

/* The library's own code relies on not being cut in two. */
static int is_ours(lua_State *L, lua_Debug *ar) {
  size_t size;
  const char *home;
  int same;
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.home");
  home = lua_tolstring(L, -1, &size);
  same = home && lua_getinfo(L, "S", ar) && !strncmp(ar->source, home, size);
  lua_pop(L, 1);
  return same;
}

/* Where it must not switch, it is looked at again after a random time: a fixed
 * one may find it there every time. */
static void turn_of_killed(lua_State *L, struct lg *G, lua_Debug *ar) {
  static const struct green_wait_kind kind = {"kill watch", NULL, NULL};
  if (!overruns(G)) return;
  if (is_ours(L, ar) || lg_refusal(L, G) || green_keep_reserve(G->hub) < 0) {
    lua_sethook(L, lua_gethook(L), LUA_MASKCOUNT, (int)random_period(G));
    return;
  }
  if (lua_gethookcount(L) != WATCH_COUNT)
    lua_sethook(L, lua_gethook(L), LUA_MASKCOUNT, WATCH_COUNT);
  green_keep_note(G->hub, L);
  green_lap_begin(G->hub, &kind);
  green_keep(G->hub);
}

/* A killed thread that computes: gives the others a turn, and is forced when
 * the grace is over. */
static void watch_hook(lua_State *L, lua_Debug *ar) {
  struct lg *G = lg_find(L);
  struct green_thread *t = G && G->hub ? lg_current(G) : NULL;
  uint32_t ms;
  if (!t || !(t->flags & GREEN_STRUCK)) {
    lua_sethook(L, NULL, 0, 0);
    return;
  }
  ms = green_ms(G->hub) - t->struck_ms;
  if ((t->flags & GREEN_FORCED && !(t->user_flags & LG_RESETTING)) ||
      ms >= green_config(G->hub)->grace / 1000000) {
    t->flags |= GREEN_FORCED;
    if (may_reset(L, G)) {
      lua_yield(L, 0); /* in a hook this returns, and Lua yields then */
      return;
    }
    raise_again(L, G);
  }
  turn_of_killed(L, G, ar);
}

/* Called when a kill is about to be raised in L. */
void lg_watch_killed(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  lua_State *own = own_state(G, t);
  if (!lg_is_lua(t) || lua_gethook(L) == kill_hook) return;
  if (lua_gethook(L) != watch_hook)
    lua_sethook(L, watch_hook, LUA_MASKCOUNT, WATCH_COUNT);
  if (own != L && lua_gethook(own) != watch_hook)
    lua_sethook(own, watch_hook, LUA_MASKCOUNT, WATCH_COUNT);
}

/* Its coroutine is about to be reset: handlers may compute for ever, too.
 * Those of a thread that was forced get a grace of their own. Never raises. */
void lg_watch_reset(struct lg *G, struct green_thread *t) {
  lua_State *co = t->user;
  if (!(t->flags & GREEN_STRUCK)) {
    lua_sethook(co, NULL, 0, 0);
    return;
  }
  if (t->flags & GREEN_FORCED || !t->deliveries)
    t->struck_ms = green_ms(G->hub);
  lua_sethook(co, watch_hook, LUA_MASKCOUNT, WATCH_COUNT);
}

static const luaL_Reg functions[] = {{"interrupted", l_interrupted},
                                     {"deadline", l_deadline},
                                     {"call", l_call},
                                     {"nested", l_nested},
                                     {"scope_begin", l_scope_begin},
                                     {"scope_cancel", l_scope_cancel},
                                     {"scope_end", l_scope_end},
                                     {"scope_is_open", l_scope_is_open},
                                     {NULL, NULL}};

void lg_open_interrupt(lua_State *L) {
  static const luaL_Reg shield[] = {{"shield_begin", l_shield_begin},
                                    {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
  open_timeout(L);
  luaL_newmetatable(L, shield_class.name);
  lua_pushvalue(L, -1);
  lg_setfuncs(L, shield_meta, 1);
  lg_setfuncs(L, shield, 1);
  luaL_newmetatable(L, "green.killed");
  luaL_newmetatable(L, scope_class.name);
  lua_pop(L, 2);
}
