/* coroutine.c - the coroutines of green threads, used again where nobody can
 * have kept them.
 *
 * Making one costs 209 ns, taking one from the pool 30. The record's user is
 * the coroutine and user_anchor the anchor slot that keeps it alive.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "runtime/object.h"
#include "runtime/rare.h"
#include "runtime/scopes.h"
#include "runtime/site.h"
#include "thread/thread.h"

static void drop_coroutine(struct lg *G, struct green_thread *t) {
  lg_release(G, t->user_anchor);
  t->user_anchor = 0;
  t->user = NULL;
}

/* --- closed by others: the guard at the bottom, the mark on top --- */

/* By whatever name coroutine.close, or lua_closethread(), is called: values to
 * be closed tell of it. The mark of a wait (wait.c) is closed first and ends
 * the wait; then the handlers of the user's run; the guard is closed last and
 * ends the thread. */

static const char GUARD_KEY[] = "guard";

struct search {
  lua_State *co;
  struct green_thread *found;
};

static void match(struct green_thread *t, void *arg) {
  struct search *s = arg;
  if (lg_is_lua(t) && t->user == s->co) s->found = t;
}

static int note_reason(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  lg_make_rare(L, G, lua_touserdata(L, 2));
  lua_pushliteral(L, "closed by foreign code");
  lua_rawseti(L, -2, RARE_REASON);
  return 0;
}

void lg_note_closed(struct lg *G, struct green_thread *t) {
  lg_protected(G, note_reason, t);
}

/* The thread that is parked in a coroutine; or NULL. */
static struct green_thread *parked_in(struct lg *G, lua_State *co) {
  struct search s = {co, NULL};
  green_each(G->hub, match, &s);
  return s.found && !s.found->stack ? s.found : NULL;
}

/* Called by the __close of a guard or a mark: the parked thread whose coroutine
 * L others close; or NULL, if its own worker resets it, or goes on with it. */
static struct green_thread *closed_by_others(lua_State *L, struct lg *G) {
  struct green_thread *t = G->hub ? lg_current(G) : NULL;
  if (!G->hub || (t && t->user == L)) return NULL;
  return parked_in(G, L);
}

static int mark_close(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_thread *t = closed_by_others(L, G);
  if (t) green_cut(G->hub, t);
  return 0;
}

static int guard_close(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_thread *t = closed_by_others(L, G);
  if (!t) return 0;
  lg_note_closed(G, t);
  lg_drop_scopes(G, t);
  green_bury(G->hub, t, GREEN_KILLED);
  return 0;
}

/* expose(co): coroutine.running gave this coroutine away. */
int lg_expose(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_thread *t = G->hub ? lg_current(G) : NULL;
  if (t && t->user == lua_tothread(L, 1)) t->user_flags |= LG_EXPOSED;
  return 0;
}

/* The state's userdata serves as the mark. */
static void open_mark(lua_State *L) {
  static const luaL_Reg meta[] = {{"__close", mark_close}, {NULL, NULL}};
  lua_rawgetp(L, LUA_REGISTRYINDEX, lg_find(L));
  lua_getmetatable(L, -1);
  lg_setfuncs(L, meta, 0);
  lua_pop(L, 2);
}

void lg_open_coroutine(lua_State *L) {
  static const luaL_Reg meta[] = {{"__close", guard_close}, {NULL, NULL}};
  open_mark(L);
  lua_newuserdatauv(L, 1, 0);
  lua_newtable(L);
  lg_setfuncs(L, meta, 0);
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, GUARD_KEY);
}

/* --- getting and giving back --- */

/* Only one that returned normally: before Lua 5.4.8 a reset coroutine keeps
 * the message handler slot of the xpcall it was reset in. */
void lg_recycle(struct lg *G, struct green_thread *t) {
  lua_State *co = t->user;
  if (!co) { /* gone early: the slot holds the function */
    drop_coroutine(G, t);
    return;
  }
  if (t->state != GREEN_DONE || t->user_flags & LG_EXPOSED || !G->recycle ||
      G->pool_count == LG_POOL || lua_gethook(co)) {
    drop_coroutine(G, t);
    return;
  }
  lua_settop(co, LG_TRIPWIRE);
  G->pool[G->pool_count] = co;
  G->pool_slot[G->pool_count++] = t->user_anchor;
  t->user_anchor = 0;
  t->user = NULL;
}

/* Returns a coroutine and its anchor slot; may raise. */
lua_State *lg_get_coroutine(lua_State *L, struct lg *G, int *slot) {
  lua_State *co;
  if (G->pool_count && !lua_gethook(L)) {
    *slot = G->pool_slot[--G->pool_count];
    return G->pool[G->pool_count];
  }
  co = lua_newthread(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, GUARD_KEY);
  lua_xmove(L, co, 1);
  lua_toclose(co, LG_TRIPWIRE); /* cannot raise: it has its __close */
  *slot = lg_anchor(L, G);
  return co;
}

void lg_forget(struct lg *G, struct green_thread *t) {
  lg_recycle(G, t);
  lg_release(G, t->user_rare);
  t->user_rare = 0;
}

/* What has upvalues may refer to the thread's handle, which holds it: neither
 * would ever be collected. So of such a function only its place is kept. */
static void drop_function(struct lg *G, struct green_thread *t,
                          lua_State *co) {
  t->since = 0;
  if (!lua_checkstack(co, 2)) return;
  if (lua_isfunction(co, LG_BASE)) {
    if (!lua_getupvalue(co, LG_BASE, 1)) return;
    lua_pop(co, 1);
    lua_pushvalue(co, LG_BASE);
    if (!(t->since = lg_definition(co, G))) return;
  }
  lua_pushboolean(co, 1);
  lua_replace(co, LG_BASE);
}

/* A handle outlives the thread only to tell how it ended. If there are no
 * results to keep, the coroutine is free at once, and the function takes its
 * place, for the name. The slot it moves to must be there already. */
void lg_free_early(struct lg *G, struct green_thread *t) {
  lua_State *co = t->user;
  int slot = t->user_anchor;
  if (t->state != GREEN_DONE) return;
  drop_function(G, t, co);
  if (lua_gettop(co) > LG_BASE || !G->free_count) return;
  lua_settop(co, LG_BASE);
  t->user_anchor = G->free_slots[--G->free_count];
  lua_rawgeti(G->tables, 1, slot);
  lua_rawseti(G->tables, 1, t->user_anchor);
  lua_xmove(co, G->tables, 1);
  lua_rawseti(G->tables, 1, slot);
  lg_recycle(G, t);
  t->user_anchor = slot;
  t->user = NULL;
}
