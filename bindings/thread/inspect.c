/* inspect.c - questions about a thread: its wait, its stack, and the place that
 * spawned it.
 *
 * Only functions that cannot raise look at other threads' coroutines.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "runtime/anchor.h"
#include "runtime/boxed.h"
#include "runtime/frames.h"
#include "runtime/rare.h"
#include "runtime/site.h"
#include "thread/handle.h"
#include "thread/name.h"
#include "thread/thread.h"

const char *lg_push_who(lua_State *L, struct lg *G, struct green_thread *t) {
  const char *text, *who;
  if (!t) return lua_pushliteral(L, "(a host)");
  lg_push_thread(L, G, t);
  text = luaL_tolstring(L, -1, NULL);
  who = strchr(text, '#');
  return who ? who : text;
}

static const char *status(const struct lg_handle *h) {
  static const char *const past[] = {"done", "failed", "killed"};
  const struct green_thread *t = lg_live(h);
  assert(t || (h->state >= GREEN_DONE && h->state <= GREEN_KILLED));
  return t ? green_status(t) : past[h->state - GREEN_DONE];
}

int lg_thread_status(lua_State *L) {
  lua_pushstring(L, status(lg_self_handle(L)));
  return 1;
}

/* The coroutine in which a parked thread called the waiting function: its own,
 * or one of the user's below it. */
lua_State *lg_waiting_state(struct lg *G, struct green_thread *t) {
  lua_State *note = green_kept_note(t);
  int is_main = t == green_main(G->hub);
  if (!is_main && !lg_is_lua(t)) return NULL;
  if (note) return lg_same_state(note, G->main) ? note : NULL;
  return is_main ? G->main : t->user;
}

static void push_waits_on(lua_State *L, lua_State *from) {
  lua_Debug ar;
  /* The innermost function is the one that waits, and its first value the
   * object, or the list of a select. */
  if (lua_getstack(from, 0, &ar) && lua_checkstack(from, 2) &&
      lua_getlocal(from, &ar, 1)) {
    lua_xmove(from, L, 1);
    if (lua_type(L, -1) == LUA_TUSERDATA || lua_type(L, -1) == LUA_TTABLE)
      return;
    lua_pop(L, 1);
  }
  lua_pushnil(L);
}

static void seconds(lua_State *L, const char *name, uint64_t ns) {
  lua_pushnumber(L, (lua_Number)ns / 1e9);
  lua_setfield(L, -2, name);
}

/* A script of a sandbox sees no objects that a function of the program's, which
 * its threads have called, keeps to itself. */
static int asks_in_box(lua_State *L, struct lg *G) {
  struct green_thread *me = G->boxes ? lg_current(G) : NULL;
  if (!me || !lg_push_box(L, G, me)) return 0;
  lua_pop(L, 1);
  return 1;
}

/* Fills the table on top. Strings come last: they run finalizers, which may end
 * the thread. */
static void tell_wait(lua_State *L, struct lg *G, struct green_thread *t) {
  const char *what = green_waits_for(t); /* outlives the thread */
  uint64_t deadline = green_timer_deadline(G->hub, t->slot);
  lua_State *from = lg_waiting_state(G, t);
  seconds(L, "since", t->since);
  if (deadline != GREEN_FOREVER) seconds(L, "deadline", deadline);
  if (from && from != L) {
    if (t->on && !asks_in_box(L, G)) {
      push_waits_on(L, from);
      lua_setfield(L, -2, "on");
    }
    lg_push_where(L, from, 0);
    lua_setfield(L, -2, "where");
  }
  lua_pushstring(L, what);
  lua_setfield(L, -2, "what");
}

/* blocked(): {what, on, since, deadline, where}, or nil. */
int lg_thread_blocked(lua_State *L) {
  struct lg *G = lg_get(L);
  const struct lg_handle *h = lg_self_handle(L);
  struct green_thread *t;
  lua_createtable(L, 0, 5); /* first: a finalizer may wake the thread */
  t = lg_live(h);
  if (t && green_waits_for(t))
    tell_wait(L, G, t);
  else
    lua_pushnil(L);
  return 1;
}

/* The counts of an ended thread lie in a userdata among its rare things. */
static void figures(lua_State *L, struct lg *G, const struct lg_handle *h,
                    struct green_account *a) {
  struct green_thread *t = lg_live(h);
  if (t) green_account(G->hub, t, a);
  if (t || !lg_handle_rare(L, G, 1, 0)) return;
  if (lua_rawgeti(L, -1, RARE_STATS) == LUA_TUSERDATA)
    *a = *(struct green_account *)lua_touserdata(L, -1);
  lua_pop(L, 2);
}

/* stats(): {status, switches, cpu, blocked, queued, preempted, stack}. */
int lg_thread_stats(lua_State *L) {
  struct lg *G = lg_get(L);
  const struct lg_handle *h = lg_self_handle(L);
  struct green_account a = {0, 0, 0, 0, 0};
  lua_createtable(L, 0, 7);
  figures(L, G, h, &a);
  lua_pushstring(L, status(h));
  lua_setfield(L, -2, "status");
  lua_pushinteger(L, (lua_Integer)a.switches);
  lua_setfield(L, -2, "switches");
  lua_pushinteger(L, (lua_Integer)a.preempted);
  lua_setfield(L, -2, "preempted");
  seconds(L, "cpu", a.running);
  seconds(L, "blocked", a.blocked);
  seconds(L, "queued", a.queued);
  lua_pushinteger(
      L, lg_live(h) ? (lua_Integer)green_stack_used(G->hub, lg_live(h)) : 0);
  lua_setfield(L, -2, "stack");
  return 1;
}

/* The tracebacks of the coroutines, the innermost first: without the first
 * frames of that one. */
static void push_tracebacks(lua_State *L, lua_State *const *chain, int n,
                            int level) {
  int i;
  luaL_checkstack(L, 2 * n + LUA_MINSTACK, "luagreen");
  for (i = n; i-- > 0; level = 0) {
    lg_traceback(L, chain[i], level);
    if (i) lua_pushliteral(L, "\n");
  }
  lua_concat(L, 2 * n - 1);
}

/* (chain, n) */
static int traceback(lua_State *L) {
  push_tracebacks(L, lua_touserdata(L, 1), (int)lua_tointeger(L, 2), 0);
  return 1;
}

/* Lua reads frames between two checks for garbage, and a finalizer could close
 * the coroutine there. So there are no finalizers. */
void lg_push_traceback(lua_State *L, struct lg *G, lua_State *from,
                       lua_State *own) {
  lua_State *chain[LG_CHAIN];
  int status, held;
  luaL_checkstack(L, 3, "luagreen");
  lua_pushcfunction(L, traceback);
  lua_pushlightuserdata(L, (void *)chain);
  lua_pushinteger(L, lg_coroutines(G, own, from, chain));
  held = lg_hold_collector(L);
  status = lua_pcall(L, 2, 1, 0);
  lg_release_collector(L, held, status);
  if (status != LUA_OK) lua_error(L);
}

/* A thread of C's has no coroutine. */
static lua_State *own_state(struct lg *G, const struct green_thread *t) {
  return t == green_main(G->hub) || lg_is_lua(t) ? lg_own_state(G, t) : NULL;
}

/* A coroutine that runs is not closed. */
void lg_push_own_traceback(lua_State *L, struct lg *G, int level) {
  lua_State *chain[LG_CHAIN];
  int n = lg_coroutines(G, own_state(G, lg_current(G)), L, chain);
  push_tracebacks(L, chain, n, level);
}

/* stack_text(t): the Lua stack of a live thread, or the place that raised the
 * error of an ended one; nil if there is none. */
int lg_thread_stack_text(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_live(lg_self_handle(L));
  lua_State *from;
  if (!t) {
    if (!lg_handle_rare(L, G, 1, 0)) return 0;
    lua_rawgeti(L, -1, RARE_TRACEBACK);
    return 1;
  }
  if (t == lg_current(G)) {
    lg_push_own_traceback(L, G, 1);
    return 1;
  }
  if (!(from = lg_waiting_state(G, t))) return 0;
  lg_push_traceback(L, G, from, own_state(G, t));
  return 1;
}

/* limit_of(t): seconds to the nearest timeout in force, or nil. */
int lg_thread_limit_of(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_self_thread(L);
  uint64_t at = GREEN_FOREVER, now = green_time(G->hub);
  if (t && t->state < GREEN_DONE) at = green_scope_deadline(G->hub, t);
  if (at == GREEN_FOREVER) return 0;
  lua_pushnumber(L, at > now ? (lua_Number)(at - now) / 1e9 : 0);
  return 1;
}

/* spawned_at(): "file:line" or nil (spawn_n), and the spawner's id. */
int lg_thread_spawned_at(lua_State *L) {
  struct lg *G = lg_get(L);
  const struct lg_handle *h = lg_self_handle(L);
  const struct green_thread *t = lg_live(h);
  uint32_t spawner = t ? t->user_spawner : h->past.spawner;
  uint32_t site = t ? h->site : h->past.site;
  if (!spawner) return 0;
  if (site)
    lg_push_site(L, G, site);
  else
    lua_pushnil(L);
  lua_pushinteger(L, spawner);
  return 2;
}
