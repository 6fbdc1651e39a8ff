/* coroutine.c - the coroutines of green threads, which are reused if nobody
 * else can know them.
 *
 * Making one costs 209 ns, taking one from the pool 30. The record's user is
 * the coroutine and user_anchor the anchor slot that keeps it alive.
 *
 * SPDX-License-Identifier: MIT
 */
#include "thread/coroutine.h"

#include <stdlib.h>

#include "runtime/anchor.h"
#include "runtime/object.h"
#include "runtime/rare.h"

static void drop_coroutine(struct lg *G, struct green_thread *t) {
  lg_release(G, t->user_anchor);
  t->user_anchor = 0;
  t->user = NULL;
}

/* --- closed by others: the guard at the bottom, the mark on top --- */

/* To-be-closed values notice every call of coroutine.close or
 * lua_closethread(), by any name. The mark of a wait (wait.c) is closed first
 * and ends the wait; then the user's handlers run; the guard is closed last and
 * ends the thread. */

static const char GUARD_KEY[] = "guard";

struct search {
  lua_State *co;
  struct green_thread *found;
};

static void match(struct green_thread *t, void *arg) {
  struct search *s = arg;
  if (lg_is_lua(t) && t->user == s->co) s->found = t;
}

static int note_reason(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  lg_make_rare(L, G, lua_touserdata(L, 2));
  lua_pushliteral(L, "closed by foreign code");
  lua_rawseti(L, -2, RARE_REASON);
  return 0;
}

void lg_note_closed(struct lg *G, struct green_thread *t) {
  lg_protected(G, note_reason, t);
}

struct green_thread *lg_thread_in(struct lg *G, lua_State *co) {
  struct green_thread *t = lg_current(G);
  struct search s = {co, NULL};
  if (t && lg_is_lua(t) && t->user == co) return t;
  green_each_of(G->hub, &G->family, match, &s);
  return s.found;
}

/* The thread that is parked in a coroutine; or NULL. */
static struct green_thread *parked_in(struct lg *G, lua_State *co) {
  struct green_thread *t = lg_thread_in(G, co);
  return t && !t->stack ? t : NULL;
}

/* Is it the coroutine of the thread that runs? */
static int is_own(lua_State *L, struct lg *G) {
  struct green_thread *t = G->hub ? lg_current(G) : NULL;
  return t && t->user == L;
}

/* For the __close of a guard or a mark: the parked thread whose coroutine L
 * others close, or NULL if its own worker resets or resumes it. */
static struct green_thread *closed_by_others(lua_State *L, struct lg *G) {
  return G->hub && !is_own(L, G) ? parked_in(G, L) : NULL;
}

/* The thread was woken, and an error closes the mark: there was no memory to
 * close it in order (wait.c). Nobody has what was handed over. */
static void give_back(struct lg *G, struct green_thread *t) {
  assert(t->state == GREEN_RUNNING && !t->node.link.next);
  if (t->on && t->kind->undo) t->kind->undo(G->hub, t);
  t->on = NULL;
}

static int mark_close(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_thread *t = closed_by_others(L, G);
  if (t)
    green_wait_cancel(G->hub, t);
  else if (lua_touserdata(L, 1) == G && lua_type(L, 2) > LUA_TNIL &&
           is_own(L, G))
    give_back(G, lg_current(G));
  return 0;
}

static int guard_close(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_thread *t = closed_by_others(L, G);
  if (!t) return 0;
  lg_note_closed(G, t);
  green_wait_cancel(G->hub, t);
  t->user_place = 0; /* the place of its function is unknown by now */
  green_end_parked(G->hub, t, GREEN_KILLED);
  return 0;
}

/* The state's userdata serves as the mark. */
static void open_mark(lua_State *L) {
  static const luaL_Reg meta[] = {{"__close", mark_close}, {NULL, NULL}};
  lua_rawgetp(L, LUA_REGISTRYINDEX, lg_find(L));
  lua_getmetatable(L, -1);
  lg_setfuncs(L, meta, 0);
  lua_pop(L, 2);
}

void lg_open_coroutine(lua_State *L) {
  static const luaL_Reg meta[] = {{"__close", guard_close}, {NULL, NULL}};
  open_mark(L);
  lua_newuserdatauv(L, 1, 0);
  lua_newtable(L);
  lg_setfuncs(L, meta, 0);
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, GUARD_KEY);
}

/* --- getting and giving back --- */

/* A state that runs a thread at a time has no use for the whole pool. */
static int pool_grows(struct lg *G) {
  int room = G->pool_room ? G->pool_room * 2 : LG_POOL / 16;
  struct lg_pooled *pool;
  if (G->pool_room == LG_POOL) return 0;
  pool = realloc(G->pool, (size_t)room * sizeof *pool);
  if (!pool) return 0;
  G->pool = pool;
  G->pool_room = room;
  return 1;
}

static int is_welcome(struct lg *G, lua_State *co) {
  lua_Hook hook = lua_gethook(co);
  if (unlikely(hook && hook == G->tick)) lua_sethook(co, hook = NULL, 0, 0);
  return G->recycle && !hook &&
         (likely(G->pool_count < G->pool_room) || pool_grows(G));
}

/* Only a coroutine that returned normally, or never ran, is reusable: before
 * Lua 5.4.8 a reset coroutine keeps the message handler slot of the xpcall it
 * was reset in. */
static int is_reusable(struct lg *G, const struct green_thread *t) {
  return (t->state == GREEN_DONE || !(t->user_flags & LG_STARTED)) &&
         !(t->user_flags & LG_EXPOSED) && is_welcome(G, t->user);
}

static void add_to_pool(struct lg *G, lua_State *co, int slot) {
  assert(G->pool_count < G->pool_room && lua_gettop(co) == LG_TRIPWIRE);
  G->pool[G->pool_count++] = (struct lg_pooled){co, slot};
}

void lg_give_back(struct lg *G, lua_State *co, int slot) {
  if (!is_welcome(G, co)) {
    lg_release(G, slot);
    return;
  }
  lua_settop(co, LG_TRIPWIRE);
  add_to_pool(G, co, slot);
}

/* The pool gets its anchor slot with the coroutine, or the slot is freed. */
static void recycle(struct lg *G, struct green_thread *t) {
  if (!t->user || !is_reusable(G, t)) {
    drop_coroutine(G, t);
    return;
  }
  lua_settop(t->user, LG_TRIPWIRE);
  add_to_pool(G, t->user, t->user_anchor);
  t->user_anchor = 0;
  t->user = NULL;
}

/* Puts the coroutine, with nothing left on it, into an anchor slot of its own
 * and into the pool. */
static void move_to_pool(struct lg *G, lua_State *co, int slot) {
  lua_settop(co, LG_TRIPWIRE);
  lua_pushthread(co); /* there is room: its function was there */
  lua_xmove(co, G->tables, 1);
  lua_rawseti(G->tables, 1, slot);
  add_to_pool(G, co, slot);
}

/* If no Lua code will run before the record is free, the coroutine takes the
 * slot of the handle; otherwise somebody may still ask for the handle by the
 * record. */
void lg_part(struct lg *G, struct green_thread *t, int taken) {
  int alone = t->state != GREEN_FAILED && !t->cold &&
              !(t->user_flags & LG_RARE) && !(t->user_flags & LG_KEPT);
  assert(t->user_flags & LG_HANDLED);
  if (!taken && t->user && is_reusable(G, t)) {
    if (likely(alone)) {
      move_to_pool(G, t->user, t->user_anchor);
      t->user_anchor = 0;
      t->user_flags &= (uint8_t)~LG_HANDLED;
    } else if (G->free_count) {
      move_to_pool(G, t->user, G->free_slots[--G->free_count]);
    }
  }
  t->user = NULL;
}

/* The rare things need the slot until the holder lets the thread go. */
void lg_free_early(struct lg *G, struct green_thread *t) {
  if (t->state == GREEN_DONE && t->user && !(t->user_flags & LG_RARE) &&
      lua_gettop(t->user) == LG_BASE)
    recycle(G, t);
}

lua_State *lg_get_coroutine(lua_State *L, struct lg *G, int *slot) {
  lua_State *co;
  lua_Hook hook = lua_gethook(L); /* a new coroutine would inherit it */
  if (likely(G->pool_count && (!hook || hook == G->tick))) {
    lg_need_slots(L, G, 1);
    *slot = G->pool[--G->pool_count].slot;
    return G->pool[G->pool_count].co;
  }
  co = lua_newthread(L); /* the last step that may run finalizers */
  if (unlikely(hook && G->fueled && !G->fueled(G, co)))
    luaL_error(L, "not enough fuel or memory");
  lg_need_slots(L, G, 2);
  lua_rawgetp(L, LUA_REGISTRYINDEX, GUARD_KEY);
  lua_xmove(L, co, 1);
  lua_toclose(co, LG_TRIPWIRE); /* cannot raise: it has its __close */
  *slot = lg_anchor(L, G);
  return co;
}

void lg_forget(struct lg *G, struct green_thread *t) {
  assert(!(t->user_flags & LG_HANDLED) || !t->user);
  lg_drop_rare(G, t);
  t->user_flags &= (uint8_t)~LG_HANDLED;
  recycle(G, t);
}

/* --- coroutines that others know --- */

/* (G, t) on the helper: moves the outcome, and the function below it, to a new
 * coroutine that nobody knows, which becomes the thread's. The guard looks for
 * the coroutine's thread, so it must be closed before that. */
static int move_outcome(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  struct green_thread *t = lua_touserdata(L, 2);
  lua_State *from = t->user, *to = lua_newthread(L);
  int guard = t->state == GREEN_DONE ? LG_TRIPWIRE : 0,
      n = lua_gettop(from) - guard;
  luaL_checkstack(L, 1, "luagreen");
  if (!lua_checkstack(to, n + guard))
    return luaL_error(L, "not enough memory");
  lua_settop(to, guard);
  lua_xmove(from, to, n);
  (void)lg_reset(from);
  t->user = to;
  lua_xmove(L, G->tables, 1);
  if (t->user_flags & LG_HANDLED) { /* the handle keeps it alive */
    lua_rawgeti(G->tables, 1, t->user_anchor);
    lua_insert(G->tables, -2);
    lua_setiuservalue(G->tables, -2, 1);
    lua_pop(G->tables, 1);
  } else {
    lua_rawseti(G->tables, 1, t->user_anchor);
  }
  return 0;
}

void lg_hide_outcome(struct lg *G, struct green_thread *t) {
  assert(t->state >= GREEN_DONE && t->user_flags & LG_EXPOSED);
  if (!t->user) return;
  if (t->state == GREEN_KILLED)
    (void)lg_reset(t->user);
  else
    lg_protected(G, move_outcome, t);
}
