/* inspect.c - what one can know of a thread: its name, what it waits for, its
 * stack, where it was spawned.
 *
 * Other threads' coroutines are looked at only by functions that cannot raise.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "runtime/anchor.h"
#include "runtime/rare.h"
#include "runtime/site.h"
#include "thread/thread.h"

void lg_push_place(lua_State *L, lua_Debug *ar) {
  if (ar->currentline > 0)
    lua_pushfstring(L, "%s:%d", ar->short_src, ar->currentline);
  else if (ar->linedefined > 0)
    lua_pushfstring(L, "%s:%d", ar->short_src, ar->linedefined);
  else
    lua_pushstring(L, ar->short_src);
}

/* Pops the function on top of L, pushes "file:line" of its definition. */
static void push_defined(lua_State *L) {
  lua_Debug ar;
  if (!lua_isfunction(L, -1)) {
    lua_pop(L, 1);
    lua_pushliteral(L, "?");
    return;
  }
  lua_getinfo(L, ">S", &ar);
  ar.currentline = -1;
  lg_push_place(L, &ar);
}

/* The outermost level of a stack; 0: it has none. Going to a level costs its
 * depth, and an overflown stack has 200,000: so it is searched for. */
static int bottom(lua_State *co, lua_Debug *level) {
  int low = 0, high = 1;
  while (lua_getstack(co, high, level)) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    int middle = low + (high - low) / 2;
    if (lua_getstack(co, middle, level))
      low = middle;
    else
      high = middle;
  }
  return lua_getstack(co, low, level);
}

static void push_definition(lua_State *L, struct lg *G,
                            struct green_thread *t) {
  int line;
  const char *name = lg_site_name(G, (uint32_t)t->since, &line);
  if (line > 0)
    lua_pushfstring(L, "%s:%d", name, line);
  else
    lua_pushstring(L, name);
}

/* Pushes the place of the function at the bottom of the thread's stack. */
static void push_default_name(lua_State *L, struct lg *G,
                              struct green_thread *t) {
  lua_State *co = t->user;
  lua_Debug level;
  luaL_checkstack(L, 4, "luagreen");
  if (!lg_is_lua(t)) {
    lua_pushliteral(L, "?");
  } else if (t->state == GREEN_DONE && t->since) {
    push_definition(L, G, t);
  } else if (!co) { /* ended: see free_early */
    lg_push_anchored(L, G, t->user_anchor);
    push_defined(L);
  } else {
    if (bottom(co, &level) && lua_checkstack(co, 1))
      lua_getinfo(co, "f", &level);
    else if (lua_gettop(co) >= LG_BASE && lua_checkstack(co, 1))
      lua_pushvalue(co, LG_BASE);
    else
      lua_pushnil(co);
    lua_xmove(co, L, 1);
    push_defined(L);
  }
}

void lg_push_name(lua_State *L, struct lg *G, struct green_thread *t) {
  if (*green_name(t))
    lua_pushstring(L, green_name(t));
  else
    push_default_name(L, G, t);
}

const char *lg_push_who(lua_State *L, struct lg *G, struct green_thread *t) {
  const char *text, *who;
  if (!t) return lua_pushliteral(L, "(a host)");
  lg_push_thread(L, G, t);
  text = luaL_tolstring(L, -1, NULL);
  who = strchr(text, '#');
  return who ? who : text;
}

/* The name dies with the stack: fix it. (G, t) on the helper. */
static int keep_name(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  struct green_thread *t = lua_touserdata(L, 2);
  lg_push_name(L, G, t);
  green_set_name(G->hub, t, lua_tostring(L, -1));
  return 0;
}

void lg_keep_name(struct lg *G, struct green_thread *t) {
  if (G && !*green_name(t)) lg_protected(G, keep_name, t);
}

int lg_thread_status(lua_State *L) {
  struct green_thread *t = lg_self_thread(L);
  lua_pushstring(L, t ? green_status(t) : "done");
  return 1;
}

/* The coroutine in which a parked thread called what it waits in: its own, or
 * one of the user's below it. */
lua_State *lg_waiting_state(struct lg *G, struct green_thread *t) {
  lua_State *note = green_kept_note(t);
  int is_main = t == green_main(G->hub);
  if (!is_main && !lg_is_lua(t)) return NULL;
  if (note) return note; /* a C thread has another's, of the same stack */
  return is_main ? G->main : t->user;
}

static void push_waits_on(lua_State *L, lua_State *from) {
  lua_Debug ar;
  if (lua_getstack(from, 0, &ar) && lua_checkstack(from, 2) &&
      lua_getlocal(from, &ar, 1)) {
    lua_xmove(from, L, 1);
    if (lua_type(L, -1) == LUA_TUSERDATA || lua_type(L, -1) == LUA_TTABLE)
      return;
    lua_pop(L, 1);
  }
  lua_pushnil(L);
}

void lg_push_caller(lua_State *L) {
  lua_Debug ar;
  if (lua_getstack(L, 1, &ar) && lua_getinfo(L, "Sl", &ar))
    lg_push_place(L, &ar);
  else
    lua_pushliteral(L, "?");
}

/* The first line of Lua that is not the library's own; else the first. */
void lg_push_where(lua_State *L, lua_State *from) {
  lua_Debug ar, first;
  int level, any = 0;
  for (level = 0; lua_getstack(from, level, &ar); level++) {
    lua_getinfo(from, "Sl", &ar);
    if (ar.currentline <= 0) continue;
    if (!any) first = ar;
    any = 1;
    if (lg_is_ours(L, ar.source)) continue;
    first = ar;
    break;
  }
  if (any)
    lg_push_place(L, &first);
  else
    lua_pushliteral(L, "?");
}

/* waiting(): {what, on, since, deadline, where}, or nil. */
int lg_thread_blocked(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_self_thread(L);
  uint64_t deadline;
  lua_State *from;
  lua_createtable(L, 0, 5); /* first: a finalizer may wake the thread */
  if (!t || !green_waits_for(t)) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushstring(L, green_waits_for(t));
  lua_setfield(L, -2, "what");
  lua_pushnumber(L, (lua_Number)t->since / 1e9);
  lua_setfield(L, -2, "since");
  deadline = green_timer_deadline(G->hub, t->slot);
  if (deadline != GREEN_FOREVER) {
    lua_pushnumber(L, (lua_Number)deadline / 1e9);
    lua_setfield(L, -2, "deadline");
  }
  from = lg_waiting_state(G, t);
  if (!from || from == L) return 1;
  if (t->on) {
    push_waits_on(L, from);
    lua_setfield(L, -2, "on");
  }
  lg_push_where(L, from);
  lua_setfield(L, -2, "where");
  return 1;
}

static void seconds(lua_State *L, const char *name, uint64_t ns) {
  lua_pushnumber(L, (lua_Number)ns / 1e9);
  lua_setfield(L, -2, name);
}

/* stats(): {status, switches, cpu, blocked, stack}. */
int lg_thread_stats(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_self_thread(L);
  struct green_account a = {0, 0, 0};
  if (t) green_account(G->hub, t, &a);
  lua_createtable(L, 0, 5);
  lua_pushstring(L, t ? green_status(t) : "done");
  lua_setfield(L, -2, "status");
  lua_pushinteger(L, (lua_Integer)a.switches);
  lua_setfield(L, -2, "switches");
  seconds(L, "cpu", a.running);
  seconds(L, "blocked", a.blocked);
  lua_pushinteger(L, t ? (lua_Integer)green_stack_used(G->hub, t) : 0);
  lua_setfield(L, -2, "stack");
  return 1;
}

/* stack_text(t): the Lua stack of a live thread, or where the error of an
 * ended one was raised; nil if there is none. */
int lg_thread_stack_text(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_self_thread(L);
  lua_State *from, *own;
  if (!t) return 0;
  if (t->state >= GREEN_DONE) {
    if (!lg_rare(L, G, t)) return 0;
    lua_rawgeti(L, -1, RARE_TRACEBACK);
    return 1;
  }
  own = t == green_main(G->hub) ? G->main : lg_is_lua(t) ? t->user : NULL;
  if (t == lg_current(G))
    from = L;
  else
    from = lg_waiting_state(G, t);
  if (!from) return 0;
  luaL_traceback(L, from, NULL, from == L ? 1 : 0);
  if (own && own != from) {
    luaL_traceback(L, own, NULL, 0);
    lua_pushliteral(L, "\n");
    lua_insert(L, -2);
    lua_concat(L, 3);
  }
  return 1;
}

/* limit_of(t): seconds to the nearest timeout in force, or nil. */
int lg_thread_limit_of(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_self_thread(L);
  uint64_t at = GREEN_FOREVER, now = green_now();
  if (t && t->state < GREEN_DONE) at = green_scope_deadline(G->hub, t);
  if (at == GREEN_FOREVER) return 0;
  lua_pushnumber(L, at > now ? (lua_Number)(at - now) / 1e9 : 0);
  return 1;
}

/* spawned_at(): "file:line" or nil (spawn_n), and the spawner's id. */
int lg_thread_spawned_at(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_self_thread(L);
  const char *name;
  int line;
  if (!t || !lg_is_lua(t)) return 0;
  if (!t->user_spawner) return 0;
  name = lg_site_name(G, t->user_site, &line);
  if (name)
    lua_pushfstring(L, "%s:%d", name, line);
  else
    lua_pushnil(L);
  lua_pushinteger(L, t->user_spawner);
  return 2;
}
