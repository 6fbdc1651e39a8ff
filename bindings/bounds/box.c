/* box.c - sandboxes: their threads, and what spawns them.
 *
 * A thread is in a sandbox from birth to end. It gets there in one of three
 * ways: its parent is in it; its function has the globals of the sandbox, which
 * is how a host's first thread comes to it; or it was spawned by a function of
 * the sandbox (spawn_in), whoever calls that.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/box.h"

#include "bounds/bounds.h"
#include "bounds/memory.h"

#include "runtime/anchor.h"
#include "runtime/counts.h"
#include "runtime/object.h"
#include "runtime/rare.h"
#include "thread/thread.h"

int lg_in_box(struct lg *G, struct green_thread *t) {
  int in = lg_peek_rare(G, t, RARE_BOX) != LUA_TNIL;
  lua_pop(G->tables, 1);
  return in;
}

static const char BOX_CLASS[] = "luagreen.sandbox";

static int box_gc(lua_State *L) {
  struct lg_boxed *box = lg_collected(L);
  if (!box || !box->account) return 0;
  lg_box_times_off(lua_touserdata(L, lua_upvalueindex(1)), box->account);
  lg_account_leave(box->account);
  box->account = NULL;
  return 0;
}

/* 0, or from math.huge on, is none. */
static uint32_t limit_at(lua_State *L, int index) {
  lua_Number n = luaL_optnumber(L, index, 0);
  return n > 0 && n < UINT32_MAX ? (uint32_t)n : 0;
}

static uint64_t time_at(lua_State *L, int index) {
  lua_Number s = luaL_optnumber(L, index, 0);
  return s > 0 && s < 9e9 ? (uint64_t)(s * 1e9) + 1 : 0;
}

static void set_times(lua_State *L, struct lg *G, struct lg_boxed *box) {
  struct lg_account *a = box->account;
  const char *why;
  a->slice = time_at(L, 3 + LG_COUNTS);
  a->stretch = time_at(L, 4 + LG_COUNTS);
  a->life = time_at(L, 5 + LG_COUNTS);
  if (!a->slice && !a->stretch && !a->life) return;
  if ((why = lg_box_times_on(G, a)))
    luaL_error(L, "'sandbox': limits of time: %s", why);
  if (a->life) box->entered = lg_box_entered;
}

/* new_box(globals, threads, timers, descriptors, items, coroutines, slice,
 * stretch, life): a sandbox, with these limits. */
static int l_new_box(lua_State *L) {
  struct lg *G = lg_get(L);
  uint32_t most = limit_at(L, 2);
  struct lg_boxed *box;
  int i;
  luaL_checktype(L, 1, LUA_TTABLE);
  if (lg_budget_need(L, G) < 0) luaL_error(L, "not enough memory");
  box = lua_newuserdatauv(L, sizeof *box, 0);
  /* All fields before the class: its finalizer may run at the next step. */
  box->threads = 0;
  box->most = most ? most : UINT32_MAX;
  box->files = 0;
  box->account = NULL;
  box->entered = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, BOX_CLASS);
  lua_setmetatable(L, -2);
  if (!(box->account = lg_account_new(G)))
    return luaL_error(L, "not enough memory");
  for (i = 0; i < LG_COUNTS; i++)
    lg_account_limit(box->account, (enum lg_count)i, limit_at(L, 3 + i));
  set_times(L, G, box);
  lua_pushvalue(L, 1);
  lg_note_box(L);
  G->boxes |= 1;
  return 1;
}

/* box_counts(box): the threads, timers, descriptors, items and coroutines in
 * it. */
static int l_box_counts(lua_State *L) {
  const struct lg_boxed *box = lua_touserdata(L, 1);
  int i;
  lua_pushinteger(L, box->threads);
  for (i = 0; i < LG_COUNTS; i++)
    lua_pushinteger(L, lg_account_used(box->account, (enum lg_count)i));
  return 1 + LG_COUNTS;
}

/* box_files(box): its threads may name files. */
static int l_box_files(lua_State *L) {
  struct lg_boxed *box = lua_touserdata(L, 1);
  box->files = 1;
  return 0;
}

/* box_of([thread]): the sandbox of a live thread, or of this one; or nil. */
static int l_box_of(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t =
      lua_isnoneornil(L, 1) ? lg_current(G) : lg_to_thread(L, 1);
  if (!t || !lg_push_box(L, G, t)) lua_pushnil(L);
  return 1;
}

/* --- spawning into one --- */

enum { BOX = 2 }; /* the upvalue of the functions below */

/* Is the caller in the sandbox? Then its children are, too. */
static int is_inside(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  int inside;
  if (!t || !lg_push_box(L, G, t)) return 0;
  inside = lua_rawequal(L, -1, lua_upvalueindex(BOX));
  lua_pop(L, 1);
  return inside;
}

/* (handle, sandbox, G): puts a thread that has not started into it, unless it
 * has inherited one. */
static int adopt(lua_State *L) {
  struct lg *G = lua_touserdata(L, 3);
  struct green_thread *t = lg_to_thread(L, 1);
  if (!t) return 0;
  lg_make_rare(L, G, t);
  if (lg_to_thread(L, 1) != t || t->state != GREEN_NEW) return 0;
  if (lua_rawgeti(L, -1, RARE_BOX) != LUA_TNIL) return 0;
  lua_pushvalue(L, 2);
  lua_rawseti(L, -3, RARE_BOX);
  t->user_flags |= LG_PASSES_ON;
  lg_enter_box(G, lua_touserdata(L, 2));
  return 0;
}

/* Of a caller that is outside: the handle is on top. Nothing has run yet. */
static void adopt_or_raise(lua_State *L, struct lg *G) {
  struct green_thread *t;
  lua_pushcfunction(L, adopt);
  lua_pushvalue(L, -2);
  lua_pushvalue(L, lua_upvalueindex(BOX));
  lua_pushlightuserdata(L, G);
  if (lua_pcall(L, 3, 0, 0) == LUA_OK) return;
  if ((t = lg_to_thread(L, -2))) green_unstart(G->hub, t);
  lua_error(L);
}

static void spawn_into(lua_State *L, lua_CFunction spawn) {
  struct lg *G = lg_get(L);
  lg_check_box(L, lua_touserdata(L, lua_upvalueindex(BOX)));
  luaL_checkstack(L, 8, "luagreen");
  spawn(L);
  adopt_or_raise(L, G);
}

static int spawn_in(lua_State *L) {
  if (is_inside(L, lg_get(L))) return lg_l_spawn(L);
  spawn_into(L, lg_l_spawn);
  return 1;
}

static int spawn_n_in(lua_State *L) {
  if (is_inside(L, lg_get(L))) return lg_l_spawn_n(L);
  spawn_into(L, lg_l_spawn);
  return 0;
}

static int spawn_after_in(lua_State *L) {
  if (is_inside(L, lg_get(L))) return lg_l_spawn_after(L);
  spawn_into(L, lg_l_spawn_after);
  return 1;
}

/* spawners(table, box): adds the functions that spawn into the sandbox. */
static int l_spawners(lua_State *L) {
  static const luaL_Reg spawners[] = {{"spawn", spawn_in},
                                      {"spawn_n", spawn_n_in},
                                      {"spawn_after", spawn_after_in},
                                      {NULL, NULL}};
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TUSERDATA);
  lua_settop(L, 2);
  lg_setfuncs(L, spawners, 1);
  return 0;
}

void lg_open_boxes(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"new_box", l_new_box},     {"box_counts", l_box_counts},
      {"box_files", l_box_files}, {"box_of", l_box_of},
      {"spawners", l_spawners},   {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
  lg_new_box_class(L, BOX_CLASS, box_gc);
  lua_rawsetp(L, LUA_REGISTRYINDEX, BOX_CLASS);
}
