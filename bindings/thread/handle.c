/* handle.c - handles, by which Lua knows threads, while they live and after.
 *
 * A handle is a userdata without a finalizer. While its thread lives, the
 * handle stands in the thread's anchor slot with the coroutine as its user
 * value. So the thread keeps both alive, and green.current() is always the same
 * value. When the thread has ended, its outcome moves to the handle
 * (lg_settle), which then belongs to Lua alone: no memory of C hangs on it, and
 * results that refer to it become garbage together with it.
 *
 * A record has a handle exactly while LG_HANDLED is set; the handle points to
 * the record exactly while its state is GREEN_NEW. The user value then is
 *
 *   NOTHING .... nil, or the reason that C had to kill it, a pointer
 *   ONE ........ the result, or the error
 *   MANY ....... the coroutine, with the results on its stack
 *   BOXED ...... the thread's table of rare things, which has the above as
 *                RARE_OUTCOME, and the given name, the traceback, the kill
 *
 * so that the end of a thread allocates nothing.
 *
 * SPDX-License-Identifier: MIT
 */
#include "thread/handle.h"

#include <string.h>

#include "runtime/anchor.h"
#include "runtime/guest.h"
#include "runtime/kill_note.h"
#include "runtime/object.h"
#include "runtime/rare.h"
#include "runtime/site.h"
#include "runtime/strike.h"
#include "thread/coroutine.h"
#include "thread/name.h"
#include "thread/thread.h"

enum { NOTHING, ONE, MANY, BOXED = 4 };

/* --- the object --- */

struct lg_handle *lg_to_handle(lua_State *L, int index) {
  return luaL_testudata(L, index, "green.thread");
}

struct lg_handle *lg_self_handle(lua_State *L) {
  return lg_self(L);
}

struct green_thread *lg_self_thread(lua_State *L) {
  return lg_live(lg_self(L));
}

struct green_thread *lg_to_thread(lua_State *L, int index) {
  const struct lg_handle *h = lg_to_handle(L, index);
  return h ? lg_live(h) : NULL;
}

struct lg_handle *lg_new_handle(lua_State *L, struct lg *G) {
  struct lg_handle *h = lua_newuserdatauv(L, sizeof *h, 1);
  memset(h, 0, sizeof *h);
  h->state = GREEN_DONE; /* no such thread is known: it has ended */
  lua_rawgeti(L, LUA_REGISTRYINDEX, G->handle_class);
  lua_setmetatable(L, -2);
  return h;
}

void lg_attach_handle(lua_State *L, struct lg *G, struct green_thread *t,
                      struct lg_handle *h, uint32_t site) {
  int slot = lg_slot(G, t);
  assert(h == lua_touserdata(L, -1));
  assert(h->state == GREEN_DONE && h->form == NOTHING);
  assert(!(lg_flags(G, t) & LG_HANDLED));
  if (!slot) lg_set_slot(G, t, slot = G->free_slots[--G->free_count]);
  if (lg_is_lua(t) && t->user) {
    /* The coroutine stood there alone; now it hangs on the handle. Before it
     * runs, its stack has room, and to read the slot takes twice as long. */
    if (likely(t->state == GREEN_NEW)) {
      lua_pushthread(t->user);
      lua_xmove(t->user, L, 1);
    } else {
      lg_push_anchored(L, G, slot);
    }
    lua_setiuservalue(L, -2, 1);
  }
  h->thread = t;
  h->site = site;
  h->state = GREEN_NEW;
  lua_pushvalue(L, -1);
  lua_xmove(L, G->tables, 1);
  lua_rawseti(G->tables, 1, slot);
  lg_set_flag(G, t, LG_HANDLED);
}

/* Making the handle may run finalizers, which may make another one or end the
 * thread. Then the new handle belongs to no thread. */
void lg_push_thread(lua_State *L, struct lg *G, struct green_thread *t) {
  struct lg_handle *h;
  uint64_t id = t->id;
  luaL_checkstack(L, 6, "luagreen");
  if (likely(lg_flags(G, t) & LG_HANDLED)) {
    lg_push_anchored(L, G, lg_slot(G, t));
    return;
  }
  h = lg_new_handle(L, G);
  if (t->id != id) return;
  if (lg_flags(G, t) & LG_HANDLED) {
    lua_pop(L, 1);
    lg_push_anchored(L, G, lg_slot(G, t));
    return;
  }
  if (!lg_is_lua(t)) lg_make_guest(L, G, t);
  if (!lg_slot(G, t)) lg_need_slots(L, G, 1);
  lg_attach_handle(L, G, t, h, 0);
  if (t->state >= GREEN_DONE) lg_settle(G, t); /* a crew holds the record */
}

/* --- the thread ends --- */

/* Pushes the thread's outcome on G->tables; the handle is on top. A coroutine
 * with several results moves as it is. */
static int push_result(struct lg *G, struct green_thread *t) {
  lua_State *T = G->tables, *co = t->user;
  const char *reason = lg_take_kill_note(G, t->id);
  int n;
  if (!lg_is_lua(t) && t->state == GREEN_DONE) {
    lua_pushinteger(T, t->result);
    return ONE;
  }
  if (t->state == GREEN_KILLED && reason) {
    lua_pushlightuserdata(T, (void *)(uintptr_t)reason); /* see strike.c */
    return NOTHING;
  }
  if (!lg_is_lua(t) || t->state == GREEN_KILLED || !co) {
    lua_pushnil(T);
    return NOTHING;
  }
  n = lua_gettop(co) - (t->state == GREEN_DONE ? LG_BASE : 0);
  if (t->state == GREEN_DONE && n > 1) {
    lua_getiuservalue(T, -1, 1);
    assert(lua_tothread(T, -1) == co);
    return MANY;
  }
  if (n > 0)
    lua_xmove(co, T, 1);
  else
    lua_pushnil(T);
  return n > 0 || t->state == GREEN_FAILED ? ONE : NOTHING;
}

static int has_rare(struct lg *G, struct green_thread *t, int key) {
  int type = lg_peek_rare(G, t, key);
  lua_pop(G->tables, 1);
  return type != LUA_TNIL;
}

/* Replaces the result on top of G->tables by the rare things, with the result
 * inside, if they tell anything of use about an ended thread. */
static int put_in_box(struct lg *G, struct green_thread *t) {
  lua_State *T = G->tables;
  if (likely(!(t->user_flags & LG_RARE))) return 0;
  if (t->state == GREEN_DONE && !has_rare(G, t, RARE_NAME) &&
      !has_rare(G, t, RARE_STATS))
    return 0;
  lg_push_rare(G, t);
  lua_insert(T, -2);
  lua_rawseti(T, -2, RARE_OUTCOME); /* the field exists, so this cannot fail */
  return BOXED;
}

static void tell_past(struct lg_handle *h, const struct green_thread *t,
                      int form) {
  uint32_t site = h->site;
  assert(site <= UINT16_MAX && (!lg_is_lua(t) || t->user_place <= UINT16_MAX));
  h->past.spawner = t->user_spawner;
  h->past.site = (uint16_t)site;
  h->past.defined = lg_is_lua(t) ? (uint16_t)t->user_place : 0;
  h->id_low = (uint32_t)t->id;
  h->id_high = (uint16_t)(t->id >> 32);
  h->state = t->state;
  h->form = (uint8_t)form;
}

void lg_settle(struct lg *G, struct green_thread *t) {
  lua_State *T = G->tables;
  struct lg_handle *h;
  int form;
  assert(t->state >= GREEN_DONE && lg_flags(G, t) & LG_HANDLED);
  lg_name_past(G, t); /* first, as it may run finalizers */
  lua_rawgeti(T, 1, lg_slot(G, t));
  h = lua_touserdata(T, -1);
  assert(h && lg_live(h) == t);
  form = push_result(G, t);
  form |= put_in_box(G, t);
  lua_setiuservalue(T, -2, 1);
  lua_pop(T, 1);
  tell_past(h, t, form);
  if (lg_is_lua(t)) lg_part(G, t, (form & ~BOXED) == MANY);
}

/* --- handles of threads that are over --- */

/* Copies the results on the stack of a coroutine that has ended. */
static int copy_results(lua_State *L, lua_State *from) {
  int i, n = lua_gettop(from) - LG_BASE;
  luaL_checkstack(L, n + 2, "too many results");
  if (!lua_checkstack(from, n)) luaL_error(L, "too many results");
  for (i = 1; i <= n; i++) lua_pushvalue(from, LG_BASE + i);
  lua_xmove(from, L, n);
  return n;
}

/* Pushes the outcome in its kept form. */
static void push_kept(lua_State *L, const struct lg_handle *h, int at) {
  lua_getiuservalue(L, at, 1);
  if (h->form & BOXED) {
    lua_rawgeti(L, -1, RARE_OUTCOME);
    lua_remove(L, -2);
  }
}

int lg_push_end(lua_State *L, struct lg *G, int at) {
  const struct lg_handle *h = lua_touserdata(L, at);
  int n;
  assert(h->state >= GREEN_DONE);
  luaL_checkstack(L, 5, "luagreen");
  lua_pushboolean(L, h->state == GREEN_DONE);
  if (h->state == GREEN_KILLED) {
    lg_push_own_kill(L, G, at);
    return 2;
  }
  if ((h->form & ~BOXED) == NOTHING) return 1;
  push_kept(L, h, at);
  if ((h->form & ~BOXED) == ONE) return 2;
  n = copy_results(L, lua_tothread(L, -1));
  lua_remove(L, -n - 1);
  return n + 1;
}

int lg_handle_rare(lua_State *L, struct lg *G, int at, int make) {
  struct lg_handle *h = lua_touserdata(L, at);
  struct green_thread *t = lg_live(h);
  at = lua_absindex(L, at);
  luaL_checkstack(L, 5, "luagreen");
  if (t && !make) return lg_rare(L, G, t);
  if (t) {
    lg_make_rare(L, G, t);
    if (lg_live(h)) return 1;
    lua_pop(L, 1); /* a finalizer has ended it */
  }
  if (!(h->form & BOXED)) {
    if (!make) return 0;
    lg_new_rare(L);
    if (h->form & BOXED) { /* by a finalizer, just now */
      lua_pop(L, 1);
    } else {
      lua_getiuservalue(L, at, 1);
      lua_rawseti(L, -2, RARE_OUTCOME);
      lua_setiuservalue(L, at, 1);
      h->form |= BOXED;
    }
  }
  lua_getiuservalue(L, at, 1);
  return 1;
}

void lg_push_own_kill(lua_State *L, struct lg *G, int at) {
  const struct lg_handle *h = lua_touserdata(L, at);
  lg_handle_rare(L, G, at, 1);
  lg_push_kill_object(L, lg_handle_id(h));
  lua_remove(L, -2);
}

void lg_push_past_name(lua_State *L, struct lg *G, int at) {
  const struct lg_handle *h = lua_touserdata(L, at);
  if (h->form & BOXED) {
    lua_getiuservalue(L, at, 1);
    lua_rawgeti(L, -1, RARE_NAME);
    lua_remove(L, -2);
    if (!lua_isnil(L, -1)) return;
    lua_pop(L, 1);
  }
  lg_push_site(L, G, h->past.defined);
}

/* --- held by crews --- */

void lg_keep_thread(struct green_thread *t) {
  assert(lg_is_lua(t) && t->state == GREEN_NEW);
  t->flags |= GREEN_HELD;
  t->user_flags |= LG_KEPT;
}

void lg_let_thread_go(struct lg *G, struct green_thread *t) {
  assert(t->user_flags & LG_KEPT);
  t->user_flags &= (uint8_t)~LG_KEPT;
  if (t->flags & GREEN_OVER) lg_forget(G, t);
  green_forget(G->hub, t);
}

void lg_open_handles(lua_State *L) {
  luaL_newmetatable(L, "green.thread");
  lg_find(L)->handle_class = luaL_ref(L, LUA_REGISTRYINDEX);
}
