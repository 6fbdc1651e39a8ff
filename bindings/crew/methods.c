/* methods.c - the Lua side of a crew: its figures and settings, its end, and
 * the table of methods from which pools and groups choose.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "crew/crew.h"
#include "runtime/anchor.h"
#include "runtime/closing.h"
#include "runtime/park.h"
#include "runtime/scopes.h"

static lua_Integer check_size(lua_State *L, int index) {
  lua_Number n = luaL_checknumber(L, index);
  luaL_argcheck(L, n >= 1, index, "limit of at least 1 expected");
  return n >= 9e15 ? -1 : luaL_checkinteger(L, index);
}

/* resize(n): running members beyond n go on. Never switches. */
static int crew_resize(lua_State *L) {
  struct crew *crew = lg_self_crew(L);
  crew->limit = check_size(L, 2);
  lg_crew_grant(crew);
  return 0;
}

/* waiting(crew): how many threads wait in a spawn. */
static int crew_waiting(lua_State *L) {
  struct crew *crew = lg_self_crew(L);
  lua_pushinteger(L, (lua_Integer)green_list_length(&crew->spawners) +
                         green_list_length(&crew->lenders));
  return 1;
}

/* figures(crew): living members, used slots, limit or nil. */
static int crew_figures(lua_State *L) {
  struct crew *crew = lg_self_crew(L);
  lua_pushinteger(L, crew->live);
  lua_pushinteger(L, crew->used);
  if (crew->limit < 0)
    lua_pushnil(L);
  else
    lua_pushinteger(L, crew->limit);
  return 3;
}

/* may_launch(pool, results, read): may another thread start, given
 * the number of results read so far? Always, if none is running. */
static int crew_may_launch(lua_State *L) {
  struct crew *pool = lg_self_crew(L), *results = lg_to_crew(L, 2);
  lua_Integer unread = results->numbers - luaL_checkinteger(L, 3);
  lua_pushboolean(L, pool->limit < 0 || unread == 0 ||
                         (pool->used < pool->limit && unread < pool->limit));
  return 1;
}

/* Into the table on top; 0: a finalizer that ran there has changed the list. */
static int list_members(lua_State *L, const struct crew *crew) {
  lua_Integer n = 0, live = crew->live, numbers = crew->numbers;
  const struct member *m;
  for (m = crew->living; m; m = m->next) {
    if (!m->thread) continue;
    lg_push_thread(L, crew->object.G, m->thread);
    if (crew->live != live || crew->numbers != numbers) return 0;
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* Pushes a list of the threads of its living members, in no order. */
static void push_members(lua_State *L, const struct crew *crew) {
  int top = lua_gettop(L);
  luaL_checkstack(L, 8, "luagreen");
  do {
    lua_settop(L, top);
    lua_createtable(L, (int)crew->live, 0);
  } while (!list_members(L, crew));
}

static int crew_members(lua_State *L) {
  push_members(L, lg_self_crew(L));
  return 1;
}

/* (crew, reason) */
static int kill_each(lua_State *L) {
  lua_Integer i;
  push_members(L, lua_touserdata(L, 1));
  for (i = 1; lua_rawgeti(L, 3, i) != LUA_TNIL; i++) {
    lua_getfield(L, -1, "kill");
    lua_insert(L, -2);
    lua_pushvalue(L, 2);
    lua_call(L, 2, 0);
  }
  return 0;
}

/* The reason is on top; pops it. With memory short they are killed all the
 * same, and nobody learns why. */
static int kill_now(lua_State *L, struct crew *crew, int at) {
  int status;
  lua_pushcfunction(L, kill_each);
  lua_insert(L, -2);
  lua_pushvalue(L, at);
  lua_insert(L, -2);
  status = lua_pcall(L, 2, 0, 0);
  if (status == LUA_OK) return 0;
  lg_crew_kill_all(crew);
  return status == LUA_ERRMEM ? 0 : lua_error(L);
}

/* kill(crew [, reason]): the members it has now. Never switches. */
static int crew_kill(lua_State *L) {
  struct crew *crew = lg_self_crew(L);
  lua_settop(L, 2);
  return kill_now(L, crew, 1);
}

/* is_member(crew): the calling thread. */
static int crew_is_member(lua_State *L) {
  lua_pushboolean(L, lg_crew_member(lg_self_crew(L)) != NULL);
  return 1;
}

/* Allows no more spawns; waiting ones get an error. */
static void shut(struct crew *crew) {
  crew->closed = 1;
  green_wake_all(crew->object.G->hub, &crew->spawners, GREEN_CLOSED);
}

static int crew_shut(lua_State *L) {
  shut(lg_self_crew(L));
  return 0;
}

/* Lua's part of the close is over. If an error ended it, of memory say, it may
 * not have come to kill them, nor to end the scope of a group's body. */
static int closed(lua_State *L, int status, lua_KContext ctx) {
  struct crew *crew = (struct crew *)ctx; /* index 3 keeps it */
  if (status == LUA_OK || status == LUA_YIELD) return 0;
  if (!crew->object.G->hub) return lua_error(L);
  shut(crew);
  lg_crew_kill_all(crew);
  lua_getiuservalue(L, 3, FIELDS);
  lua_getfield(L, -1, "scope");
  lg_scope_end(L, -1);
  lua_pop(L, 2);
  return lua_error(L);
}

/* Upvalues of a __close. */
enum { CLOSE_REST = 2, CLOSE_FIELD, CLOSE_REASON };

/* Replaces the object at index 1 by its crew at index 3. */
static struct crew *crew_to_close(lua_State *L) {
  lua_settop(L, 2);
  if (lua_istable(L, 1)) {
    lua_pushvalue(L, lua_upvalueindex(CLOSE_FIELD));
    lua_rawget(L, 1);
  } else {
    lua_pushvalue(L, 1);
  }
  if (!lua_isuserdata(L, 3)) luaL_typeerror(L, 1, lg_crew_class.name);
  return lg_to_crew(L, 3);
}

/* __close(object, err). If an error ends the block, kills its threads first,
 * for which Lua's part may have no memory. */
static int crew_close(lua_State *L) {
  struct crew *crew = crew_to_close(L);
  lua_KContext ctx = (lua_KContext)crew;
  if (!crew->object.G->hub) return 0;
  if (!lua_isnil(L, 2)) {
    shut(crew);
    lua_pushvalue(L, lua_upvalueindex(CLOSE_REASON));
    kill_now(L, crew, 3);
  }
  lua_pushvalue(L, lua_upvalueindex(CLOSE_REST));
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  return closed(L, lua_pcallk(L, 2, 0, 0, ctx, closed), ctx);
}

/* closing(rest, field, reason): the __close of objects whose crew lies in that
 * field, or which are crews; rest(object, err) is Lua's part of it. */
static int crew_closing(lua_State *L) {
  lua_settop(L, 3);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_pushcclosure(L, crew_close, 4);
  return 1;
}

/* fields(crew): a table for the Lua side. */
static int crew_fields(lua_State *L) {
  lg_any_crew(L, 1);
  lua_getiuservalue(L, 1, FIELDS);
  return 1;
}

/* A crew with living members is anchored, so the state is closing, unless
 * another finalizer of this very cycle added the members. */
static int crew_gc(lua_State *L) {
  struct crew *crew = lg_any_crew(L, 1);
  struct member *m;
  if (lua_gc(L, LUA_GCCOUNT) < 0 && crew->live > 0 && crew->revived) {
    lua_getmetatable(L, 1);
    lua_setmetatable(L, 1); /* to be finalized once more */
    return 0;
  }
  if (!lg_finalizing(L, crew->object.G, crew->live > 0)) return 0;
  while ((m = crew->living)) {
    lg_crew_delist(m);
    if (!crew->in_order) free(m);
  }
  if (!crew->object.G->hub) crew->keeps = 0; /* nothing is held any more */
  while (crew->unread) lg_crew_uncollect(crew);
  assert(!crew->living); /* no watch points here any more */
  free(crew->spare);
  crew->spare = NULL;
  if (crew->object.G->free_slots) lg_release(crew->object.G, crew->anchor);
  crew->anchor = 0; /* if others revive it, it takes another */
  return 0;
}

/* crew(class, limit, kind) */
static int l_crew(lua_State *L) {
  enum { CALLS_TO_CLOSE = 8 };
  static const char *const kinds[] = {"pool",    "group",   "children",
                                      "results", "watched", NULL};
  enum { POOL, GROUP, CHILDREN, RESULTS, WATCHED };
  struct lg *G = lg_get(L);
  int kind = luaL_checkoption(L, 3, NULL, kinds);
  lua_Integer limit = lua_isnoneornil(L, 2) ? -1 : check_size(L, 2);
  struct crew *crew;
  lg_need_calls(L, G, CALLS_TO_CLOSE);
  crew = lua_newuserdatauv(L, sizeof *crew, 1);
  *crew = (struct crew){.object = {&lg_crew_class, G}, .limit = limit};
  green_list_init(&crew->spawners);
  green_list_init(&crew->lenders);
  green_list_init(&crew->idle);
  green_list_init(&crew->readers);
  crew->last_unread = &crew->unread;
  crew->owns = kind != POOL;
  crew->fails = kind == GROUP;
  crew->collects = kind >= CHILDREN;
  crew->keeps = kind == CHILDREN || kind == RESULTS;
  crew->in_order = kind == CHILDREN;
  lua_newtable(L);
  lua_setiuservalue(L, -2, FIELDS);
  luaL_setmetatable(L, luaL_checkstring(L, 1));
  return 1;
}

static const luaL_Reg functions[] = {{"crew", l_crew}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"spawn", lg_crew_spawn},
                                   {"spawn_n", lg_crew_spawn_n},
                                   {"spawn_in", lg_crew_spawn_in},
                                   {"spawn_in_n", lg_crew_spawn_in_n},
                                   {"wait", lg_crew_wait},
                                   {"next", lg_crew_next},
                                   {"next_of_dag", lg_crew_next_of_dag},
                                   {"add", lg_crew_add},
                                   {"let_go", lg_crew_let_go},
                                   {"drop_unread", lg_crew_drop_unread},
                                   {"resize", crew_resize},
                                   {"figures", crew_figures},
                                   {"waiting", crew_waiting},
                                   {"may_launch", crew_may_launch},
                                   {"members", crew_members},
                                   {"kill", crew_kill},
                                   {"closing", crew_closing},
                                   {"is_member", crew_is_member},
                                   {"shut", crew_shut},
                                   {"fields", crew_fields},
                                   {NULL, NULL}};

/* Puts the methods into core.crew_methods, where pools and groups choose. */
void lg_open_crew(lua_State *L) {
  static const char *const classes[] = {"green.pool", "green.group",
                                        "green.crew"};
  static const luaL_Reg meta[] = {{"__gc", crew_gc}, {NULL, NULL}};
  int i;
  for (i = 0; i < 3; i++) {
    luaL_newmetatable(L, classes[i]);
    lg_setfuncs(L, meta, 0);
    lua_pop(L, 1);
  }
  lg_setfuncs(L, functions, 0);
  lua_newtable(L);
  lg_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "crew_methods");
}
