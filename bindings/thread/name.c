/* name.c - the name of a thread: the one it was given, else the place that
 * defines its function, "file:line".
 *
 * The thread's coroutine tells that place; once it is gone, the number of the
 * place does (site.c). Only functions that cannot raise look at other threads'
 * coroutines.
 *
 * SPDX-License-Identifier: MIT
 */
#include "thread/name.h"

#include <stdio.h>
#include <string.h>

#include "runtime/anchor.h"
#include "runtime/frames.h"
#include "runtime/rare.h"
#include "runtime/site.h"

/* --- by the coroutine --- */

/* Does the function still stand where the making of the coroutine put it? */
static int is_at_base(const struct green_thread *t) {
  return !(t->user_flags & LG_STARTED) || t->state == GREEN_DONE;
}

/* Describes the thread's function; 0: it is not a function, or is gone. */
static int look(const struct green_thread *t, lua_Debug *ar) {
  lua_State *co = t->user;
  if (!co) return 0;
  /* While it runs, the outermost frame is the function's. */
  if (!is_at_base(t))
    return lua_getstack(co, lg_last_level(co), ar) && lua_getinfo(co, "S", ar);
  if (!lua_isfunction(co, LG_BASE) || !lua_checkstack(co, 1)) return 0;
  lua_pushvalue(co, LG_BASE);
  return lua_getinfo(co, ">S", ar);
}

/* It may be a line of a report. */
static void show_source(lua_Debug *ar) {
  char shown[LUA_IDSIZE];
  const char *text = lg_one_line(ar->short_src, shown, sizeof shown);
  if (text == shown) memcpy(ar->short_src, shown, sizeof shown);
}

static int describe(const struct green_thread *t, lua_Debug *ar) {
  static const char c[] = "a C function";
  if (!look(t, ar)) return 0;
  show_source(ar);
  if (*ar->what == 'C') {
    ar->source = c;
    ar->srclen = sizeof c - 1;
    ar->linedefined = 0;
    memcpy(ar->short_src, c, sizeof c);
  }
  return 1;
}

/* --- as text --- */

/* As lg_push_site() has it, without Lua's memory. 0: it is unknown. */
static int site_text(struct lg *G, uint32_t site, char *text, size_t size) {
  int line = 0;
  char shown[LUA_IDSIZE];
  const char *name = lg_site_name(G, site, &line);
  if (!name) return 0;
  name = lg_one_line(name, shown, sizeof shown);
  if (line > 0)
    snprintf(text, size, "%s:%d", name, line);
  else
    snprintf(text, size, "%s", name);
  return 1;
}

static void push_default_name(lua_State *L, struct lg *G,
                              struct green_thread *t) {
  lua_Debug ar;
  if (t->state >= GREEN_DONE && t->user_place)
    lg_push_site(L, G, t->user_place);
  else if (!describe(t, &ar))
    lua_pushliteral(L, "?");
  else
    lg_push_place(L, ar.short_src, ar.linedefined);
}

void lg_push_name(lua_State *L, struct lg *G, struct green_thread *t) {
  luaL_checkstack(L, 4, "luagreen");
  if (*green_name(t) || !lg_is_lua(t))
    lua_pushstring(L, green_called(t));
  else
    push_default_name(L, G, t);
}

static size_t fit(int length, size_t size) {
  if (length <= 0) return 0;
  return (size_t)length < size ? (size_t)length : size - 1;
}

size_t lg_name_text(struct lg *G, struct green_thread *t, char *text,
                    size_t size) {
  lua_Debug ar;
  if (*green_name(t) || !lg_is_lua(t))
    return fit(snprintf(text, size, "%s", green_called(t)), size);
  if (t->state >= GREEN_DONE && t->user_place)
    return site_text(G, t->user_place, text, size) ? strlen(text) : 0;
  if (!describe(t, &ar)) return fit(snprintf(text, size, "?"), size);
  if (ar.linedefined <= 0)
    return fit(snprintf(text, size, "%s", ar.short_src), size);
  return fit(snprintf(text, size, "%s:%d", ar.short_src, ar.linedefined),
             size);
}

const char *lg_shown_name(const struct green_thread *t, char to[LG_CALLED]) {
  return lg_one_line(green_called(t), to, LG_CALLED);
}

/* --- at the end --- */

uint32_t lg_defined(struct lg *G, struct green_thread *t) {
  lua_Debug ar;
  if (t->state >= GREEN_DONE && t->user_place) return t->user_place;
  return describe(t, &ar) ? lg_definition(G, &ar) : 0;
}

uint32_t lg_keep_name(struct lg *G, struct green_thread *t) {
  char text[LUA_IDSIZE + 16];
  uint32_t site;
  if (!G || !lg_is_lua(t)) return 0;
  assert(t->id);
  site = lg_defined(G, t);
  if (!*green_name(t) && site_text(G, site, text, sizeof text))
    green_set_name(G->hub, t, text); /* fails: it has none then */
  return site;
}

/* (G, t) on the helper. */
static int box_name(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  struct green_thread *t = lua_touserdata(L, 2);
  lg_make_rare(L, G, t);
  lg_push_name(L, G, t);
  lua_rawseti(L, -2, RARE_NAME);
  return 0;
}

/* Does it have a name in the core that is not in its rare things yet? */
static int is_unboxed(struct lg *G, struct green_thread *t) {
  char text[LUA_IDSIZE + 16];
  int boxed = lg_peek_rare(G, t, RARE_NAME) != LUA_TNIL;
  lua_pop(G->tables, 1);
  if (boxed || !*green_name(t)) return 0;
  if (!lg_is_lua(t)) return 1;
  return !site_text(G, t->user_place, text, sizeof text) ||
         strcmp(text, green_name(t)) != 0;
}

/* (G, t) on the helper. */
static int box_stats(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  struct green_thread *t = lua_touserdata(L, 2);
  struct green_account *a;
  lg_make_rare(L, G, t);
  a = lua_newuserdatauv(L, sizeof *a, 0);
  green_account(G->hub, t, a);
  lua_rawseti(L, -2, RARE_STATS);
  return 0;
}

static int was_preempted(struct lg *G, struct green_thread *t) {
  struct green_account a;
  green_account(G->hub, t, &a);
  return a.preempted > 0;
}

/* Many threads have the same function, so the place of one function is kept, by
 * its address. A table of weak values holds that function, and is empty once it
 * is gone and another one may have its address. That takes 60 instructions
 * instead of 350. A program may as well make a function for each thread: then
 * the address alone tells, and only each eighth one is kept. */
enum { DEFINED = 6, SELDOM = 8 }; /* on G->tables */

static void keep_place(struct lg *G, const struct green_thread *t) {
  if (G->defined.others++ % SELDOM != 0) return;
  lua_pushvalue(t->user, LG_BASE);
  lua_xmove(t->user, G->tables, 1);
  lua_rawseti(G->tables, DEFINED, 1); /* there is room: see open/state.c */
  G->defined.function = lua_topointer(t->user, LG_BASE);
  G->defined.place = t->user_place;
}

/* Notes the place that defines the function of a thread that has returned. */
static void note_place(struct lg *G, struct green_thread *t) {
  lua_Debug ar;
  assert(t->state == GREEN_DONE && t->user);
  if (lua_topointer(t->user, LG_BASE) == G->defined.function &&
      lua_rawlen(G->tables, DEFINED)) {
    t->user_place = G->defined.place;
    return;
  }
  if (!describe(t, &ar)) return;
  if ((t->user_place = lg_definition(G, &ar)))
    keep_place(G, t);
  else
    lg_protected(G, box_name, t); /* there are too many places */
}

void lg_name_past(struct lg *G, struct green_thread *t) {
  assert(t->state >= GREEN_DONE && t->user_flags & LG_HANDLED);
  /* A thread that was reset noted its place before (reset.c). */
  if (lg_is_lua(t) && t->state == GREEN_DONE && t->user) note_place(G, t);
  if (likely(!t->cold)) return;
  if (is_unboxed(G, t)) lg_protected(G, box_name, t);
  if (green_accounts(G->hub) || was_preempted(G, t))
    lg_protected(G, box_stats, t);
}
