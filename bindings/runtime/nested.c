/* nested.c - scopes that belong to a coroutine of the program's.
 *
 * A timeout that is made in a coroutine rests while the coroutine is suspended,
 * strikes any thread that resumes it, and dies with it. Lua does not tell us
 * when a coroutine is resumed, yields or is dropped, so
 *
 *   - the scope stands in the chain of the thread that last waited in the
 *     coroutine, and counts there only while the coroutine runs in that thread;
 *   - before a thread waits in a coroutine, it takes over the coroutine's
 *     scopes;
 *   - the coroutine keeps the scope alive, not the reverse, and a finalizer
 *     closes the scope when both are gone. Only such scopes have a finalizer.
 *
 * On the tables state lie, by slot, the coroutines (2) and the userdata (3),
 * both weak; and by coroutine, as an ephemeron, the userdata of its youngest
 * scope (4), of which a user value is the next older one.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/nested.h"

#include "runtime/frames.h"

enum { COROUTINES = 2, OBJECTS = 3, YOUNGEST = 4 }; /* on G->tables */

/* --- belonging --- */

/* table[slot] = the value on top of L, which is popped. May raise. */
static void set_slot(lua_State *L, struct lg *G, int table, uint32_t slot) {
  lua_pushvalue(G->tables, table);
  lua_xmove(G->tables, L, 1);
  lua_insert(L, -2);
  lua_rawseti(L, -2, slot);
  lua_pop(L, 1);
}

static void clear_slot(struct lg *G, int table, uint32_t slot) {
  lua_pushnil(G->tables);
  lua_rawseti(G->tables, table, slot);
}

static struct lg_scope *real_at(lua_State *L, int index) {
  struct lg_scope *s = lua_touserdata(L, index);
  return s ? s->real : NULL;
}

void lg_nest(lua_State *L, struct lg *G, struct lg_scope *s) {
  int object = lua_gettop(L);
  assert(s->scope.user && !s->nested && real_at(L, object) == s);
  luaL_checkstack(L, 6, "luagreen");
  s->nested = 1;
  G->nested_scopes++;
  lua_pushthread(L);
  set_slot(L, G, COROUTINES, s->scope.user);
  lua_pushvalue(L, object);
  set_slot(L, G, OBJECTS, s->scope.user);
  lua_pushvalue(G->tables, YOUNGEST);
  lua_xmove(G->tables, L, 1);
  lua_pushthread(L);
  lua_rawget(L, -2);
  lua_setiuservalue(L, object, LG_SCOPE_OLDER);
  lua_pushthread(L);
  lua_pushvalue(L, object);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

/* Pushes the coroutine on G->tables and returns 1, or returns 0 if it is
 * gone. */
static int push_coroutine(struct lg *G, uint32_t slot) {
  if (lua_rawgeti(G->tables, COROUTINES, slot) == LUA_TTHREAD) return 1;
  lua_pop(G->tables, 1);
  return 0;
}

/* The coroutine is on top of T: pushes the userdata of its youngest scope. */
static struct lg_scope *push_youngest(lua_State *T) {
  lua_pushvalue(T, -1);
  lua_rawget(T, YOUNGEST);
  return real_at(T, -1);
}

/* Replaces the userdata on top of T by the next older one. */
static struct lg_scope *older(lua_State *T) {
  lua_getiuservalue(T, -1, LG_SCOPE_OLDER);
  lua_remove(T, -2);
  return real_at(T, -1);
}

/* The coroutine is on top of T: takes a scope out of its list. */
static void unlink_from(lua_State *T, const struct lg_scope *s) {
  struct lg_scope *at = push_youngest(T), *next;
  if (at == s) {
    lua_pushvalue(T, -2);
    lua_getiuservalue(T, -2, LG_SCOPE_OLDER);
    lua_rawset(T, YOUNGEST); /* the key exists, so this takes no memory */
    lua_pop(T, 1);
    return;
  }
  for (; at; at = next) {
    lua_getiuservalue(T, -1, LG_SCOPE_OLDER);
    next = real_at(T, -1);
    if (next == s) {
      lua_getiuservalue(T, -1, LG_SCOPE_OLDER);
      lua_setiuservalue(T, -3, LG_SCOPE_OLDER);
      lua_pop(T, 1);
      break;
    }
    lua_remove(T, -2);
  }
  lua_pop(T, 1);
}

void lg_unnest(struct lg *G, struct lg_scope *s) {
  assert(s->nested && G->nested_scopes > 0);
  if (push_coroutine(G, s->scope.user)) {
    unlink_from(G->tables, s);
    lua_pop(G->tables, 1);
  }
  clear_slot(G, COROUTINES, s->scope.user);
  clear_slot(G, OBJECTS, s->scope.user);
  s->nested = 0;
  G->nested_scopes--;
}

void lg_push_nested(lua_State *L, struct lg *G, uint32_t slot) {
  lua_rawgeti(G->tables, OBJECTS, slot);
  assert(lua_isuserdata(G->tables, -1));
  lua_xmove(G->tables, L, 1);
}

/* --- resting --- */

static lua_State *coroutine_of(struct lg *G, uint32_t slot) {
  lua_State *co;
  if (!push_coroutine(G, slot)) return NULL;
  co = lua_tothread(G->tables, -1);
  lua_pop(G->tables, 1);
  return co;
}

int lg_may_wake(struct lg *G, const struct lg_scope *s) {
  lua_State *co = coroutine_of(G, s->scope.user);
  return co && (lua_status(co) == LUA_YIELD || lua_status(co) == LUA_OK);
}

static int knows_its_state(struct lg *G, const struct green_thread *t) {
  return lg_is_lua(t) || t == green_main(G->hub);
}

/* Goes down from one coroutine of the thread to the next that it resumes. If
 * another library does that, we cannot see the coroutines further down, and
 * they count as this thread's. */
static int runs_in(struct lg *G, const struct green_thread *t, lua_State *co) {
  lua_State *at;
  if (!knows_its_state(G, t)) return 1;
  for (at = lg_own_state(G, t); at != co;) {
    lua_State *next = lg_resumed(at, G);
    if (!next) return !lg_is_innermost(at, G);
    at = next;
  }
  return 1;
}

int lg_awake(struct green_hub *hub, struct green_scope *scope) {
  struct lg_scope *s =
      (void *)((char *)scope - offsetof(struct lg_scope, scope));
  struct lg *G = s->object.G;
  lua_State *co = coroutine_of(G, scope->user);
  lua_Debug ar;
  (void)hub;
  return co && lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar) &&
         runs_in(G, scope->thread, co);
}

/* --- going with the coroutine --- */

/* A scope whose thread has ended stands in no chain. */
static int reopen(struct lg *G, struct green_scope *s) {
  if (green_scope_open(G->hub, s, s->kind, s->deadline) < 0) return 0;
  s->awake = lg_awake;
  return 1;
}

/* The youngest is the innermost. */
static void take_over_all(struct lg *G, lua_State *co) {
  lua_State *T = G->tables;
  struct green_thread *t = lg_current(G);
  struct green_scope *inner = NULL;
  struct lg_scope *s;
  if (!lua_checkstack(co, 1)) return;
  lua_pushthread(co);
  lua_xmove(co, T, 1);
  for (s = push_youngest(T); s; s = older(T)) {
    if (s->scope.thread != t && (s->scope.thread || reopen(G, &s->scope)))
      green_scope_move(G->hub, &s->scope, inner);
    if (s->scope.thread == t) inner = &s->scope;
  }
  lua_pop(T, 2);
}

void lg_move_scopes(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  lua_State *own = knows_its_state(G, t) ? lg_own_state(G, t) : NULL, *co;
  if (L == own) return;
  for (co = own ? lg_resumed(own, G) : NULL; co && co != L;
       co = lg_resumed(co, G))
    take_over_all(G, co);
  take_over_all(G, L);
}
