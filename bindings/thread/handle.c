/* handle.c - handles: what Lua holds of a thread.
 *
 * One userdata of 8 bytes for each thread that somebody looks at, in a
 * weak-valued table by the thread's slot. It holds the record (GREEN_HELD).
 * A C thread belongs to its spawner: its handle knows by the id whether the
 * record is still the same thread's.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "runtime/closing.h"
#include "runtime/object.h"
#include "thread/thread.h"

/* Keys in the registry: handles by slot (weak), and their metatable. */
static const char HANDLES[] = "handles", META[] = "meta";

struct guest {
  struct lg_handle handle;
  uint64_t id;
};

/* The thread of a handle, or NULL if it was a C thread that has ended. */
static struct green_thread *of_handle(lua_State *L, int index, void *ud) {
  struct guest *guest = ud;
  struct green_thread *t = guest->handle.thread;
  if (lua_rawlen(L, index) == sizeof *guest && t && t->id != guest->id)
    return NULL;
  return t;
}

struct green_thread *lg_to_thread(lua_State *L, int index) {
  void *ud = luaL_testudata(L, index, "green.thread");
  return ud ? of_handle(L, index, ud) : NULL;
}

struct green_thread *lg_self_thread(lua_State *L) {
  return of_handle(L, 1, lg_self(L));
}

/* For what makes no sense with a C thread that is gone. */
struct green_thread *lg_known_thread(lua_State *L) {
  struct green_thread *t = lg_self_thread(L);
  if (!t) luaL_error(L, "this green thread of C code has ended");
  return t;
}

struct lg_handle *lg_new_handle(lua_State *L, size_t size) {
  struct lg_handle *handle = lua_newuserdatauv(L, size, 0);
  handle->thread = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, META);
  lua_setmetatable(L, -2);
  return handle;
}

/* The handle is on top of the stack. */
void lg_register_handle(lua_State *L, int slot) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, HANDLES);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, slot);
  lua_pop(L, 1);
}

/* The size of a thread's handle. */
static size_t size_for(const struct green_thread *t) {
  return lg_is_lua(t) ? sizeof(struct lg_handle) : sizeof(struct guest);
}

/* Of the handle on top of the stack, in which nothing is yet. */
static void fill(lua_State *L, struct lg *G, struct green_thread *t,
                 struct lg_handle *handle) {
  if (lg_is_lua(t)) {
    lg_register_handle(L, t->user_anchor);
    t->flags |= GREEN_HELD;
    t->user_flags |= LG_HANDLED;
  } else {
    if (!t->user_anchor) {
      lua_pushboolean(L, 1);
      t->user_anchor = lg_anchor(L, G);
    }
    ((struct guest *)handle)->id = t->id;
    lg_register_handle(L, t->user_anchor);
  }
  handle->thread = t;
}

static int is_registered(lua_State *L, const struct green_thread *t) {
  if (!t->user_anchor) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, HANDLES);
  lua_rawgeti(L, -1, t->user_anchor);
  lua_remove(L, -2);
  if (!lua_isnil(L, -1)) return 1;
  lua_pop(L, 1);
  return 0;
}

/* Finalizers that run where the handle is made may make another one, or end
 * the thread: what is left then is a handle of nothing. */
void lg_push_thread(lua_State *L, struct lg *G, struct green_thread *t) {
  struct lg_handle *handle;
  uint64_t id = t->id;
  luaL_checkstack(L, 6, "luagreen");
  if (is_registered(L, t)) return;
  handle = lg_new_handle(L, size_for(t));
  if (t->id != id || !t->klass) return;
  if (is_registered(L, t))
    lua_remove(L, -2);
  else
    fill(L, G, t, handle);
}

/* Its handle is told by the id. */
void lg_forget_guest(struct lg *G, struct green_thread *t) {
  if (!(t->user_anchor | t->user_rare)) return;
  if (t->user_anchor) {
    lua_rawgetp(G->tables, LUA_REGISTRYINDEX, HANDLES);
    lua_pushnil(G->tables);
    lua_rawseti(G->tables, -2, t->user_anchor);
    lua_pop(G->tables, 1); /* no more: others may have something there */
  }
  lg_release(G, t->user_anchor);
  lg_release(G, t->user_rare);
  t->user_anchor = t->user_rare = 0;
}

void lg_keep_thread(struct green_thread *t) {
  t->flags |= GREEN_HELD;
  t->user_flags |= LG_KEPT;
}

/* If a handle was made meanwhile, it holds the record now: its finalizer will
 * look at it, even if the weak table has it no more. */
void lg_let_thread_go(struct lg *G, struct green_thread *t) {
  t->user_flags &= (uint8_t)~LG_KEPT;
  if (t->user_flags & LG_HANDLED) return;
  if (t->flags & GREEN_OVER) lg_forget(G, t);
  green_forget(G->hub, t);
}

static int handle_gc(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct lg_handle *handle = lua_touserdata(L, 1);
  struct green_thread *t = of_handle(L, 1, handle);
  int stands, replaced;
  if (!t || !G->hub) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, HANDLES);
  lua_rawgeti(L, -1, t->user_anchor);
  stands = lua_rawequal(L, -1, 1);
  replaced = !stands && !lua_isnil(L, -1);
  lg_finalizing(L, G, stands);
  handle->thread = NULL;
  /* A younger handle may hold the record by now; closed hubs hold nothing. */
  if (replaced || !G->hub || !lg_is_lua(t)) return 0;
  t->user_flags &= (uint8_t)~LG_HANDLED;
  if (t->user_flags & LG_KEPT) {
    if (stands) { /* the state closes; there may be another handle yet */
      lua_pushnil(L);
      lua_rawseti(L, -3, t->user_anchor);
    }
    return 0;
  }
  if (t->flags & GREEN_OVER) lg_forget(G, t);
  green_forget(G->hub, t);
  return 0;
}

void lg_open_handles(lua_State *L) {
  lg_weak_table(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, HANDLES);
  luaL_newmetatable(L, "green.thread");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, META);
  lua_pushvalue(L, -1);
  lg_setfuncs(L, (const luaL_Reg[]){{"__gc", handle_gc}, {NULL, NULL}}, 1);
}
