/* boxed.c - threads that are in a sandbox: which one, and their number.
 *
 * Invariant: lg_boxed.threads is the number of live threads with that sandbox
 * among their rare things. Where Lua runs, but for the end of a thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/boxed.h"

#include <string.h>

#include "runtime/object.h"
#include "runtime/rare.h"

/* From tables of globals, weak keys, to their sandboxes. */
static const char GLOBALS[] = "globals of sandboxes";

/* A function has few upvalues; the compiler allows 255. */
enum { MOST_UPVALUES = 255 };

int lg_push_box(lua_State *L, struct lg *G, struct green_thread *t) {
  luaL_checkstack(L, 3, "luagreen");
  if (!lg_rare(L, G, t)) return 0;
  if (lua_rawgeti(L, -1, RARE_BOX) == LUA_TNIL) {
    lua_pop(L, 2);
    return 0;
  }
  lua_remove(L, -2);
  return 1;
}

void lg_note_box(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, GLOBALS) == LUA_TNIL) {
    lua_pop(L, 1);
    lg_ephemerons(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, GLOBALS);
  }
  lua_insert(L, -2);
  lua_pushvalue(L, -3);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

/* Pushes the sandbox of the globals on top, or nil; pops them. */
static int push_box_of_globals(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, GLOBALS) == LUA_TNIL) return 0;
  lua_insert(L, -2);
  lua_rawget(L, -2);
  return lua_isuserdata(L, -1);
}

int lg_push_box_of_function(lua_State *L, int index) {
  int i, top = lua_gettop(L);
  const char *name;
  index = lua_absindex(L, index);
  if (lua_iscfunction(L, index) || !lua_isfunction(L, index)) return 0;
  luaL_checkstack(L, 4, "luagreen");
  for (i = 1; i <= MOST_UPVALUES; i++) {
    if (!(name = lua_getupvalue(L, index, i))) break;
    /* A script's functions have the globals of its sandbox. */
    if (!strcmp(name, "_ENV") && lua_istable(L, -1)) {
      if (push_box_of_globals(L)) {
        lua_replace(L, top + 1);
        lua_settop(L, top + 1);
        return 1;
      }
      break;
    }
    lua_settop(L, top);
  }
  lua_settop(L, top);
  return 0;
}

void lg_check_box(lua_State *L, const struct lg_boxed *box) {
  if (unlikely(box->threads >= box->most))
    luaL_error(L, "too many green threads in the sandbox (its limit is %I)",
               (LUAI_UACINT)box->most);
}

void lg_refuse_in_box(lua_State *L, struct lg *G, const char *what) {
  struct green_thread *t = G->hub && G->boxes ? lg_current(G) : NULL;
  if (t && lg_push_box(L, G, t))
    luaL_error(L, "'%s' is not possible in a sandbox", what);
}

void lg_refuse_file_in_box(lua_State *L, struct lg *G, const char *what) {
  struct green_thread *t = G->hub && G->boxes ? lg_current(G) : NULL;
  const struct lg_boxed *box;
  if (!t || !lg_push_box(L, G, t)) return;
  box = lua_touserdata(L, -1);
  if (!box->files)
    luaL_error(L, "%s names a file: the sandbox lacks the grant 'io'", what);
  lua_pop(L, 1);
}

void lg_enter_box(struct lg *G, struct lg_boxed *box) {
  box->threads++;
  if (unlikely(box->entered != NULL)) box->entered(G, box->account);
}

void lg_leave_box(struct lg *G, struct green_thread *t) {
  struct lg_boxed *box;
  if (lg_peek_rare(G, t, RARE_BOX) == LUA_TUSERDATA) {
    box = lua_touserdata(G->tables, -1);
    assert(box->threads > 0);
    box->threads--;
  }
  lua_pop(G->tables, 1);
}
