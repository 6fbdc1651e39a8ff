/* spawn.c - making threads.
 *
 * Lua's part comes first, as it may raise; then the record.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "runtime/boxed.h"
#include "runtime/budget.h"
#include "runtime/guest.h"
#include "runtime/limits.h"
#include "runtime/object.h"
#include "runtime/park.h"
#include "runtime/rare.h"
#include "runtime/site.h"
#include "thread/coroutine.h"
#include "thread/handle.h"
#include "thread/thread.h"

void lg_check_callable(lua_State *L, int index) {
  if (lua_isfunction(L, index)) return;
  if (luaL_getmetafield(L, index, "__call") != LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  luaL_typeerror(L, index, "function");
}

int lg_push_box_of_child(lua_State *L, struct lg *G,
                         struct green_thread *parent, int function) {
  int found = parent && lg_push_box(L, G, parent);
  /* Else a sandbox would never be empty: a kill reaches those that live now. */
  if (found && unlikely(parent->flags & GREEN_STRUCK))
    luaL_error(L, "a killed green thread of a sandbox cannot spawn");
  if (!found) found = lg_push_box_of_function(L, function);
  if (found) lg_check_box(L, lua_touserdata(L, -1));
  return found;
}

/* Pushes the rare things of a child: the output of print, the locals that it
 * inherits, and its sandbox. Returns 0 and pushes nothing if there are none.
 * The parent is NULL if it passes nothing on. May raise. */
static int push_inheritance(lua_State *L, struct lg *G,
                            struct green_thread *parent, int function) {
  int child, boxed;
  luaL_checkstack(L, 10, "luagreen"); /* hand_down() is in it */
  function = lua_absindex(L, function);
  boxed = G->boxes && lg_push_box_of_child(L, G, parent, function);
  if (!parent && !boxed) return 0;
  lg_new_rare(L);
  child = lua_gettop(L);
  if (boxed) {
    lua_insert(L, --child);
    lua_rawseti(L, child, RARE_BOX);
  }
  if (parent) {
    lg_make_rare(L, G, parent); /* it has some: no more is said */
    lua_rawgeti(L, -1, RARE_OUTPUT);
    lua_rawseti(L, child, RARE_OUTPUT);
    lg_copy_inherited(L, lua_gettop(L), child);
    lua_settop(L, child);
  }
  return 1;
}

/* The flag may be of another state's. */
static int passes_on(struct lg *G, const struct green_thread *t) {
  return t == lg_current(G) && lg_flags(G, t) & LG_PASSES_ON;
}

/* Its rare things are on top of the stack: the thread is in its sandbox now. */
static void enter_box(lua_State *L, struct lg *G) {
  if (lua_rawgeti(L, -1, RARE_BOX) == LUA_TUSERDATA)
    lg_enter_box(G, lua_touserdata(L, -1));
  lua_pop(L, 1);
}

/* The function and its n values are on top of the stack. */
static void fill_coroutine(lua_State *L, lua_State *co, int n) {
  assert(lua_gettop(co) == LG_TRIPWIRE && lua_gettop(L) > n);
  lua_pushvalue(L, -n - 1); /* stays at LG_BASE, for the name */
  lua_xmove(L, co, 1);
  lua_xmove(L, co, n + 1); /* these are what lua_resume() takes */
  assert(lua_gettop(co) == LG_BASE + 1 + n);
}

/* (G, slot, rare things) */
static int put_rare(lua_State *L) {
  lg_put_rare(L, lua_touserdata(L, 1), (int)lua_tointeger(L, 2));
  return 0;
}

/* Makes what is inherited, below the function and its n values, that of the
 * coroutine's thread to be. Fails: nothing has happened. */
static void hand_down(lua_State *L, struct lg *G, lua_State *co, int slot,
                      int n) {
  lua_pushcfunction(L, put_rare);
  lua_pushlightuserdata(L, G);
  lua_pushinteger(L, slot);
  lua_pushvalue(L,
                -n - 5); /* below the values, the function and these three */
  assert(lua_istable(L, -1));
  if (lua_pcall(L, 3, 0, 0) == LUA_OK) return;
  lg_give_back(G, co, slot);
  lua_error(L);
}

struct green_thread *lg_make_thread(lua_State *L, struct lg *G, int n,
                                    int handle) {
  struct green_thread *t, *parent = lg_running(G);
  struct lg_handle *h = NULL;
  int slot, heir = parent && unlikely(parent->user_flags & LG_PASSES_ON) &&
                   passes_on(G, parent);
  uint32_t site = 0;
  lua_State *co;
  /* All that may raise, the objects of Lua, comes first. They lie below the
   * function. */
  if (handle) {
    site = lg_site(L, G, 1); /* not for spawn_n: a third of it */
    h = lg_new_handle(L, G);
    lua_insert(L, -n - 2);
  }
  if (unlikely(heir || G->boxes))
    heir = push_inheritance(L, G, heir ? parent : NULL, -n - 1);
  if (unlikely(heir)) lua_insert(L, -n - 2);
  co = lg_get_coroutine(L, G, &slot);
  if (unlikely(!lua_checkstack(co, n + LG_BASE + 4))) {
    lg_give_back(G, co, slot);
    luaL_error(L, "too many arguments for a green thread");
  }
  if (unlikely(heir)) hand_down(L, G, co, slot, n);
  if (unlikely(!(t = green_thread_new(&G->family)))) {
    const char *elsewhere = green_elsewhere(G->hub);
    if (heir) lg_take_rare(G, slot);
    lg_give_back(G, co, slot);
    if (elsewhere) luaL_error(L, "cannot spawn %s", elsewhere);
    luaL_error(L, "not enough memory for a green thread");
  }
  /* From here on nothing fails, and no finalizer runs. */
  assert(t->state == GREEN_NEW && !t->user && !t->user_flags && slot > 0);
  t->user = co;
  t->user_anchor = slot;
  t->user_spawner = parent ? (uint32_t)parent->id : 0;
  fill_coroutine(L, co, n);
  if (unlikely(heir)) {
    t->user_flags |= LG_PASSES_ON | LG_RARE;
    enter_box(L, G);
    lua_pop(L, 1);
  }
  if (h) lg_attach_handle(L, G, t, h, site);
  return t;
}

void lg_start_thread(lua_State *L, struct lg *G, struct green_thread *t,
                     uint64_t at) {
  assert(t->state == GREEN_NEW && t->user && t->user_anchor);
  if (unlikely(G->born != NULL)) G->born(G);
  if (green_start(G->hub, t, at) < 0) {
    green_unstart(G->hub, t);
    luaL_error(L, "not enough memory for a timer");
  }
  if (unlikely(lg_draining(G) && !(t->flags & GREEN_CLEANUP)))
    green_kill(G->hub, t); /* comes too late */
}

void lg_start_cleanup(lua_State *L, struct lg *G, struct green_thread *t) {
  t->flags |= GREEN_CLEANUP;
  lg_start_thread(L, G, t, 0);
}

struct lg *lg_may_spawn(lua_State *L) {
  struct lg *G = lg_get(L);
  if (unlikely(G->drained == 2)) luaL_error(L, "the state is closing");
  if (unlikely(G->budget && G->budget->ended))
    luaL_error(L, "cannot spawn: the state had no memory left");
  return G;
}

/* A storm of spawns must end in an error, not in a machine without memory.
 * Clean-up threads (reports, links) are not refused. */
static int is_crowded(struct lg *G) {
  return unlikely(lg_live_count(G) >= G->max_threads);
}

/* crowded(): would a spawn raise for that reason? */
int lg_l_crowded(lua_State *L) {
  lua_pushboolean(L, is_crowded(lg_get(L)));
  return 1;
}

/* cut_short(): how many threads may have ended past their handlers. */
int lg_l_cut_short(lua_State *L) {
  lua_pushinteger(L, lg_get(L)->cut_short);
  return 1;
}

void lg_check_room(lua_State *L, struct lg *G) {
  if (is_crowded(G))
    luaL_error(L, "too many green threads (max_threads is %I)",
               (lua_Integer)G->max_threads);
}

static int spawn(lua_State *L, struct lg *G, int n, uint64_t at) {
  lg_start_thread(L, G, lg_make_thread(L, G, n, 1), at);
  return 1;
}

int lg_l_spawn(lua_State *L) {
  enum { CALLS_TO_CLOSE = 4 };
  struct lg *G = lg_may_spawn(L);
  lg_check_callable(L, 1);
  lg_need_calls(L, G, CALLS_TO_CLOSE);
  lg_check_room(L, G);
  return spawn(L, G, lua_gettop(L) - 1, 0);
}

int lg_l_spawn_n(lua_State *L) {
  struct lg *G = lg_may_spawn(L);
  lg_check_callable(L, 1);
  lg_check_room(L, G);
  lg_start_thread(L, G, lg_make_thread(L, G, lua_gettop(L) - 1, 0), 0);
  return 0;
}

/* spawn_after(s, f, ...) */
int lg_l_spawn_after(lua_State *L) {
  struct lg *G = lg_may_spawn(L);
  lua_Number s = luaL_checknumber(L, 1);
  luaL_argcheck(L, s == s, 1, "seconds expected, got NaN");
  lg_check_callable(L, 2);
  lg_check_room(L, G);
  return spawn(L, G, lua_gettop(L) - 2, lg_deadline_of(G->hub, s));
}

static struct lg *open_state(lua_State *L) {
  struct lg *G = lg_find(L);
  if (!G || !G->hub || G->drained == 2) lg_raise_not_open(L);
  luaL_checkstack(L, 8, "luagreen");
  return G;
}

void green_lua_spawn(lua_State *L, int nargs) {
  struct lg *G = open_state(L);
  if (nargs < 0 || lua_gettop(L) <= nargs)
    luaL_error(L, "green_lua_spawn(): there is no function");
  lg_check_room(L, G);
  spawn(L, G, nargs, 0);
}

void lg_spawn_cleanup(lua_State *L, int nargs) {
  struct lg *G = open_state(L);
  lg_start_cleanup(L, G, lg_make_thread(L, G, nargs, 1));
}

static int spawn_report(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "report");
  lua_replace(L, -2);
  lua_insert(L, 1);
  lg_spawn_cleanup(L, 2);
  return 0;
}

/* report_later(err, thread): calls on_error in a thread of its own, even beyond
 * max_threads. False: that thread cannot be made. */
int lg_l_report_later(lua_State *L) {
  struct lg *G = lg_get(L);
  int status;
  lua_settop(L, 2);
  lua_pushcfunction(L, spawn_report);
  lua_insert(L, 1);
  lg_reserve_begin(G);
  status = lua_pcall(L, 2, 0, 0);
  lg_reserve_end(G);
  lua_pushboolean(L, status == LUA_OK);
  return 1;
}
