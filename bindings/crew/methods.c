/* methods.c - the Lua side of a crew: its figures and settings, its end, and
 * the table of methods from which pools and groups choose.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "crew/crew.h"
#include "runtime/anchor.h"
#include "runtime/closing.h"

static lua_Integer limit_arg(lua_State *L, int index) {
  lua_Number n = luaL_checknumber(L, index);
  luaL_argcheck(L, n >= 1, index, "limit of at least 1 expected");
  return n >= 9e15 ? -1 : luaL_checkinteger(L, index);
}

/* resize(n): members beyond n run on. Never switches. */
static int crew_resize(lua_State *L) {
  struct crew *crew = lg_self_crew(L);
  crew->limit = limit_arg(L, 2);
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

/* members(crew): the threads of its living members, in no order. */
static int crew_members(lua_State *L) {
  struct crew *crew = lg_self_crew(L);
  luaL_checkstack(L, 8, "luagreen");
  do {
    lua_settop(L, 1);
    lua_createtable(L, (int)crew->live, 0);
  } while (!list_members(L, crew));
  return 1;
}

/* is_member(crew): the calling thread. */
static int crew_is_member(lua_State *L) {
  lua_pushboolean(L, lg_crew_member(lg_self_crew(L)) != NULL);
  return 1;
}

/* shut(crew): allows no more spawns; waiting ones get an error. */
static int crew_shut(lua_State *L) {
  struct crew *crew = lg_self_crew(L);
  crew->closed = 1;
  green_wake_all(crew->object.G->hub, &crew->spawners, GREEN_CLOSED);
  return 0;
}

/* fields(crew): a table for the Lua side. */
static int crew_fields(lua_State *L) {
  lg_to_crew(L, 1);
  lua_getiuservalue(L, 1, FIELDS);
  return 1;
}

/* A crew with living members is anchored, so the state is closing, unless
 * another finalizer of this very cycle added the members. */
static int crew_gc(lua_State *L) {
  struct crew *crew = lg_to_crew(L, 1);
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
  free(crew->spare);
  crew->spare = NULL;
  if (crew->object.G->free_slots) lg_release(crew->object.G, crew->anchor);
  crew->anchor = 0; /* if others revive it, it takes another */
  return 0;
}

/* crew(class, limit, kind) */
static int l_crew(lua_State *L) {
  static const char *const kinds[] = {"pool",    "group",   "children",
                                      "results", "watched", NULL};
  enum { POOL, GROUP, CHILDREN, RESULTS, WATCHED };
  struct lg *G = lg_get(L);
  int kind = luaL_checkoption(L, 3, NULL, kinds);
  lua_Integer limit = lua_isnoneornil(L, 2) ? -1 : limit_arg(L, 2);
  struct crew *crew = lua_newuserdatauv(L, sizeof *crew, 1);
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
                                   {"add", lg_crew_add},
                                   {"let_go", lg_crew_let_go},
                                   {"drop_unread", lg_crew_drop_unread},
                                   {"resize", crew_resize},
                                   {"figures", crew_figures},
                                   {"waiting", crew_waiting},
                                   {"may_launch", crew_may_launch},
                                   {"members", crew_members},
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
