/* strike.c - the strikes of a thread, as Lua values.
 *
 * The kill object is made when somebody first sees it and stays the same. A
 * timeout or a group's scope strikes with the value that its object holds, or
 * with the object itself. Raising a throw takes its value.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "runtime/kill_note.h"
#include "runtime/nested.h"
#include "runtime/object.h"
#include "runtime/rare.h"
#include "runtime/sigint.h"
#include "runtime/strike.h"

/* --- the kill object --- */

/* Killed by C: the reason is a note while the thread lives; then it is where a
 * result would be (thread/handle.c). */
static const char *c_reason(lua_State *L, uint64_t id) {
  const char *reason = lg_kill_note(lg_find(L), id);
  if (reason) return reason;
  if (lua_rawgeti(L, -1, RARE_OUTCOME) == LUA_TLIGHTUSERDATA)
    reason = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return reason;
}

/* The rare things are on top. */
static void note_c_reason(lua_State *L, uint64_t id) {
  const char *reason = c_reason(L, id);
  if (!reason) return;
  lua_pushstring(L, reason);
  lua_rawseti(L, -2, RARE_REASON);
  lua_pushliteral(L, "the host");
  lua_rawseti(L, -2, RARE_WHERE);
  lg_take_kill_note(lg_find(L), id);
}

void lg_push_kill_object(lua_State *L, uint64_t id) {
  if (lua_rawgeti(L, -1, RARE_KILLED) != LUA_TNIL) return;
  lua_pop(L, 1);
  note_c_reason(L, id);
  lua_createtable(L, 0, 3);
  if (lua_rawgeti(L, -2, RARE_KILLED) != LUA_TNIL) { /* by a finalizer */
    lua_remove(L, -2);
    return;
  }
  lua_pop(L, 1);
  lua_rawgeti(L, -2, RARE_REASON);
  lua_setfield(L, -2, "reason");
  lua_rawgeti(L, -2, RARE_WHERE);
  lua_setfield(L, -2, "where");
  lua_pushinteger(L, (lua_Integer)id);
  lua_setfield(L, -2, "thread");
  luaL_setmetatable(L, "green.killed");
  lua_pushvalue(L, -1);
  lua_rawseti(L, -3, RARE_KILLED);
}

int lg_is_kill_object(lua_State *L, int index) {
  int is;
  if (!lua_getmetatable(L, index)) return 0;
  luaL_getmetatable(L, "green.killed");
  is = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return is;
}

void lg_push_killed(lua_State *L, struct lg *G, struct green_thread *t) {
  luaL_checkstack(L, 8, "luagreen");
  lg_make_rare(L, G, t);
  lg_push_kill_object(L, t->id);
  lua_remove(L, -2);
}

/* --- scopes and throws --- */

int lg_is_own_scope(struct lg *G, const struct green_scope *scope) {
  const char *s = (const char *)scope - offsetof(struct lg_scope, scope);
  return scope->user && ((const struct lg_scope *)s)->object.G == G;
}

void lg_push_scope_object(lua_State *L, struct lg *G,
                          struct green_scope *scope) {
  const char *s = (const char *)scope - offsetof(struct lg_scope, scope);
  if (((const struct lg_scope *)s)->nested) /* its coroutine keeps it alive */
    lg_push_nested(L, G, scope->user);
  else
    lg_push_anchored(L, G, (int)scope->user);
}

static void push_scope(lua_State *L, struct lg *G, struct green_scope *scope) {
  assert(scope);
  if (!lg_is_own_scope(G, scope)) {
    lua_pushliteral(L, "timeout"); /* the host knows more */
    return;
  }
  lg_push_scope_object(L, G, scope);
  if (lua_getiuservalue(L, -1, LG_SCOPE_ERROR) <= LUA_TNIL)
    lua_pop(L, 1);
  else
    lua_remove(L, -2);
}

/* C code threw a code of its own: raises its text. */
static void peek_thrown(lua_State *L, struct lg *G, int code) {
  if (code == UV_EINTR) {
    lua_pushliteral(L, "interrupted!");
  } else if (code == LG_THROWN && lg_rare(L, G, lg_current(G))) {
    lua_rawgeti(L, -1, RARE_THROWN);
    lua_remove(L, -2);
  } else if (code == LG_THROWN) {
    lua_pushliteral(L, "an error that another Lua state threw");
  } else {
    lua_pushstring(L, green_strerror(code));
  }
}

/* Shows the value to whoever tells a throw by it: an output that catches errors
 * of its sink, LuaSocket's protect. Once raised, the throw is over. On the
 * stack: the value, the rare things. */
static void note_thrown(lua_State *L) {
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, "thrown");
}

void lg_push_thrown(lua_State *L, struct lg *G, int code) {
  luaL_checkstack(L, 6, "luagreen");
  peek_thrown(L, G, code);
  if (code == UV_EINTR) lg_sigint_raised();
  if (lg_rare(L, G, lg_current(G))) {
    lua_pushnil(L);
    lua_rawseti(L, -2, RARE_THROWN);
    note_thrown(L);
    lua_pop(L, 1);
  }
}

void lg_push_strike(lua_State *L, struct lg *G, enum green_strike strike,
                    struct green_scope *scope) {
  assert(strike != GREEN_STRIKE_NONE);
  luaL_checkstack(L, 6, "luagreen");
  if (strike == GREEN_STRIKE_KILL)
    lg_push_killed(L, G, lg_current(G));
  else if (strike == GREEN_STRIKE_SCOPE)
    push_scope(L, G, scope);
  else
    lg_push_thrown(L, G, green_take_throw(G->hub, lg_current(G)));
}

/* --- functions --- */

/* interrupted(): the pending strike of this thread; changes nothing. */
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

void lg_open_strike(lua_State *L) {
  static const luaL_Reg functions[] = {{"interrupted", l_interrupted},
                                       {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
  luaL_newmetatable(L, "green.killed");
  lua_pop(L, 1);
}
