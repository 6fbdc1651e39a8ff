/* store.c - the values of a queue, in one of three orders.
 *
 *   FIFO       a ring in slots 1 .. room of the queue's table
 *   LIFO       a stack in slots 1 .. count
 *   PRIORITY   a binary heap of entries in C; an entry names the slot of its
 *              value
 *
 * Equal values of a PRIORITY queue keep their order of arrival. C compares
 * numbers; Lua compares everything else, and may raise or meddle with the
 * queue. So a protected call first finds the way through the heap, and values
 * move afterwards.
 *
 * SPDX-License-Identifier: MIT
 */
#include "sync/store.h"

#include <math.h>

/* --- FIFO --- */

/* Doubles the ring in place: values that had wrapped round move behind the
 * end. */
void lg_ring_grow(lua_State *L, struct lg_store *s, int table) {
  lua_Integer i, room = s->room ? s->room * 2 : 8;
  lua_Integer wrapped = s->head + s->count - s->room;
  assert(s->count == s->room && (s->room & (s->room - 1)) == 0);
  for (i = room; i > s->room; i--) { /* room first: this may raise */
    lua_pushboolean(L, 0);
    lua_rawseti(L, table, i);
  }
  for (i = 1; i <= wrapped; i++) {
    lua_rawgeti(L, table, i);
    lua_rawseti(L, table, s->room + i);
  }
  s->room = room;
}

/* The values before the taken one move up. */
void lg_ring_close_gap(lua_State *L, struct lg_store *s, int table,
                       lua_Integer gap) {
  assert(gap < s->count);
  for (; gap > 0; gap--) {
    lua_rawgeti(L, table, lg_slot(s, gap - 1));
    lua_rawseti(L, table, lg_slot(s, gap));
  }
}

/* --- LIFO --- */

static void stack_put(lua_State *L, struct lg_store *s, int table) {
  lua_rawseti(L, table, s->count + 1);
  s->count++;
}

static void stack_take(lua_State *L, struct lg_store *s, int table) {
  assert(s->count > 0);
  lua_rawgeti(L, table, s->count);
  lua_pushboolean(L, 0);
  lua_rawseti(L, table, s->count--);
}

/* --- PRIORITY --- */

/* Beyond the `count` first ones, an entry holds a free slot. */
struct lg_entry {
  lua_Number key; /* the value, if it is a number and no less is given; NaN */
  uint64_t seq;
  lua_Integer slot;
};

enum { DEEPEST = 64 };

/* A way through the heap, for one put or one take. */
struct plan {
  struct lg *G;
  struct lg_store *s;
  struct lg_entry entry; /* to be set down at the end of the way */
  lua_Integer at;        /* there, from 0 */
  int steps;
  lua_Integer way[DEEPEST]; /* the entries that move by one */
};

/* Stack of a plan in Lua: itself, the queue's table, the value to put or nil,
 * the function. */
enum { PLAN_PLAN = 1, PLAN_TABLE, PLAN_VALUE, PLAN_LESS };

static void push_value(lua_State *L, const struct lg_entry *e) {
  if (e->slot)
    lua_rawgeti(L, PLAN_TABLE, e->slot);
  else
    lua_pushvalue(L, PLAN_VALUE); /* it has no slot yet */
}

/* Of values, by Lua. */
static int call_less(lua_State *L, const struct plan *p,
                     const struct lg_entry *a, const struct lg_entry *b) {
  int result;
  if (p->s->less) lua_pushvalue(L, PLAN_LESS);
  push_value(L, a);
  push_value(L, b);
  if (p->s->less) {
    lua_call(L, 2, 1);
    result = lua_toboolean(L, -1);
    lua_pop(L, 1);
  } else {
    result = lua_compare(L, -2, -1, LUA_OPLT);
    lua_pop(L, 2);
  }
  return result;
}

/* The put whose value is compared may be the first waiting one. */
static int compare(lua_State *L, struct plan *p, const struct lg_entry *a,
                   const struct lg_entry *b) {
  uint64_t changes = p->s->changes;
  struct green_node *put = green_list_head(p->s->puts);
  int result = call_less(L, p, a, b);
  if (unlikely(p->s->changes != changes || green_list_head(p->s->puts) != put))
    luaL_error(L, "a priority queue was changed while it compared its values");
  return result;
}

static int less(lua_State *L, struct plan *p, const struct lg_entry *a,
                const struct lg_entry *b) {
  if (likely(a->key == a->key && b->key == b->key)) return a->key < b->key;
  return compare(L, p, a, b);
}

/* Among equal values the first to arrive goes first. */
static int before(lua_State *L, struct plan *p, const struct lg_entry *a,
                  const struct lg_entry *b) {
  return a->seq < b->seq ? !less(L, p, b, a) : less(L, p, a, b);
}

static void plan_up(lua_State *L, struct plan *p) {
  const struct lg_entry *heap = p->s->heap;
  for (p->at = p->s->count, p->steps = 0; p->at > 0;) {
    lua_Integer parent = (p->at - 1) / 2;
    if (!less(L, p, &p->entry, &heap[parent])) break;
    p->way[p->steps++] = parent;
    p->at = parent;
  }
}

/* The entry was the last one and most likely belongs near the leaves. So go
 * down there first, which takes one comparison a level, and then up. */
static void plan_down(lua_State *L, struct plan *p) {
  const struct lg_entry *heap = p->s->heap;
  lua_Integer count = p->s->count - 1, at = 0, child;
  for (p->steps = 0; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && before(L, p, &heap[child + 1], &heap[child]))
      child++;
    p->way[p->steps++] = child;
  }
  while (p->steps && before(L, p, &p->entry, &heap[p->way[p->steps - 1]]))
    p->steps--;
  p->at = p->steps ? p->way[p->steps - 1] : 0;
}

static void go(struct plan *p, lua_Integer from) {
  struct lg_entry *heap = p->s->heap;
  int i;
  assert(p->steps <= DEEPEST && p->at >= 0 && p->at < p->s->room);
  for (i = 0; i < p->steps; i++) {
    heap[from] = heap[p->way[i]];
    from = p->way[i];
  }
  heap[p->at] = p->entry;
  p->s->changes++;
}

static int find(lua_State *L) {
  struct plan *p = lua_touserdata(L, PLAN_PLAN);
  if (lua_isnil(L, PLAN_VALUE))
    plan_down(L, p);
  else
    plan_up(L, p);
  return 0;
}

/* Finds the way by Lua's comparison. Blocking is refused meanwhile: a kill
 * would find a get or put half done. The value, or nil, is on top. Allocates
 * nothing: a get must not fail once it has its value. */
static int find_protected(lua_State *L, struct plan *p, int queue, int table) {
  const char *former = p->G->refuse;
  int status, value = lua_gettop(L);
  luaL_checkstack(L, 10, "luagreen");
  lua_pushcfunction(L, find);
  lua_pushlightuserdata(L, p);
  lua_pushvalue(L, table);
  lua_pushvalue(L, value);
  lua_getiuservalue(L, queue, STORE_LESS);
  p->G->refuse = "in a priority queue's comparison";
  status = lua_pcall(L, 4, 0, 0);
  p->G->refuse = former;
  return status;
}

static int is_odd(const struct lg_entry *e) {
  return e->key != e->key;
}

/* Allocating the memory may run finalizers, which may use the queue. */
void lg_heap_grow(lua_State *L, struct lg_store *s, int queue, int table) {
  lua_Integer i, room = s->room ? s->room * 2 : 8;
  struct lg_entry *heap = lua_newuserdatauv(L, (size_t)room * sizeof *heap, 0);
  if (s->room >= room) { /* one has made it grow */
    lua_pop(L, 1);
    return;
  }
  for (i = room; i > s->room; i--) {
    lua_pushboolean(L, 0);
    lua_rawseti(L, table, i);
  }
  for (i = 0; i < room; i++) {
    if (i < s->room)
      heap[i] = s->heap[i];
    else
      heap[i].slot = i + 1;
  }
  lua_setiuservalue(L, queue, STORE_HEAP);
  s->heap = heap;
  s->room = room;
  s->changes++; /* for a comparison in progress, which still walks the old
                   heap */
}

/* Lua compares integers beyond 2^53, exactly. */
static lua_Number key_of(lua_State *L, const struct lg_store *s) {
  lua_Number key;
  if (s->less || lua_type(L, -1) != LUA_TNUMBER) return NAN;
  key = lua_tonumber(L, -1);
  return lua_isinteger(L, -1) && fabs(key) >= 9007199254740992.0 ? NAN : key;
}

static int heap_put(lua_State *L, struct lg *G, struct lg_store *s, int queue,
                    int table) {
  struct plan p = {.G = G, .s = s, .entry = {key_of(L, s), 0, 0}};
  int status;
  assert(s->count < s->room); /* after lg_heap_grow() */
  p.entry.seq = ++s->seq;
  if (s->count == 0) {
    p.at = 0;
  } else if (likely(!s->odd && !is_odd(&p.entry))) {
    plan_up(L, &p);
  } else if ((status = find_protected(L, &p, queue, table)) != LUA_OK) {
    lua_remove(L, -2);
    return status;
  }
  /* Nothing has run since compare() saw that the queue is as it was. */
  p.entry.slot = s->heap[s->count].slot;
  lua_rawseti(L, table, p.entry.slot);
  s->odd += is_odd(&p.entry);
  go(&p, s->count++);
  return LUA_OK;
}

static int heap_take(lua_State *L, struct lg *G, struct lg_store *s, int queue,
                     int table) {
  struct plan p = {.G = G, .s = s, .entry = s->heap[s->count - 1]};
  lua_Integer first = s->heap[0].slot;
  int status = LUA_OK, odd = is_odd(&s->heap[0]);
  assert(s->count > 0);
  lua_pushnil(L);
  if (unlikely(s->odd && s->count > 2))
    status = find_protected(L, &p, queue, table);
  else
    plan_down(L, &p);
  if (status != LUA_OK) {
    lua_remove(L, -2);
    return status;
  }
  lua_pop(L, 1);
  lua_rawgeti(L, table, first);
  lua_pushboolean(L, 0);
  lua_rawseti(L, table, first);
  go(&p, 0);
  s->odd -= odd;
  s->heap[--s->count].slot = first; /* free slots lie behind the entries */
  assert(s->odd >= 0 && s->odd <= s->count);
  return LUA_OK;
}

/* --- any --- */

int lg_store_put_ordered(lua_State *L, struct lg *G, struct lg_store *s,
                         int queue, int table) {
  if (s->order == ORDER_PRIORITY) return heap_put(L, G, s, queue, table);
  stack_put(L, s, table);
  return LUA_OK;
}

int lg_store_take_ordered(lua_State *L, struct lg *G, struct lg_store *s,
                          int queue, int table) {
  if (s->order == ORDER_PRIORITY) return heap_take(L, G, s, queue, table);
  stack_take(L, s, table);
  return LUA_OK;
}

void lg_store_peek(lua_State *L, const struct lg_store *s, int table,
                   lua_Integer skip) {
  if (s->order == ORDER_FIFO)
    lua_rawgeti(L, table, lg_slot(s, skip));
  else if (s->order == ORDER_LIFO)
    lua_rawgeti(L, table, s->count);
  else
    lua_rawgeti(L, table, s->heap[0].slot);
}

static lua_Integer slot_at(const struct lg_store *s, lua_Integer i) {
  if (s->order == ORDER_FIFO) return lg_slot(s, i);
  return s->order == ORDER_LIFO ? i + 1 : s->heap[i].slot;
}

void lg_store_clear(lua_State *L, struct lg_store *s, int table,
                    lua_Integer keep) {
  lua_Integer i;
  assert(keep >= 0 && keep <= s->count);
  for (i = keep; i < s->count; i++) {
    lua_pushboolean(L, 0);
    lua_rawseti(L, table, slot_at(s, i));
    if (s->order == ORDER_PRIORITY) s->odd -= is_odd(&s->heap[i]);
  }
  s->count = keep;
  s->changes++;
}
