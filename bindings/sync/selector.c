/* selector.c - a select over the same things, again and again.
 *
 * A select pays for each of its cases at each call: it asks, links and unlinks
 * them all. The cases of a selector stay in the lists of their objects between
 * two calls (core/choice.c), and a call looks only at the marked ones:
 *
 *   a case is marked, or it stands in its object's list and the object has
 *   nothing for it. The call that makes the object ready finds the case there,
 *   and marks it or wakes the waiting thread.
 *
 * So the cost of a call depends on what has happened, not on the number of
 * cases. Sockets and tickers are always marked: each call asks them, and links
 * them only during the wait, since a descriptor is armed only during a wait and
 * time makes a ticker ready.
 *
 * Marks lie in a bitmap, in which the first marked case by number is found at
 * once: a select promises that order.
 *
 * The lists lead to the selector, which has memory of its own: with none left,
 * Lua frees the object without its finalizer. Then the cases stay where they
 * are, and the selector, until the state has left the hub (runtime/owned.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/closing.h"
#include "runtime/interrupt.h"
#include "runtime/limits.h"
#include "runtime/object.h"
#include "runtime/owned.h"
#include "sync/case.h"
#include "sync/sync.h"
#include "thread/thread.h"

enum { WORD = 64 };

struct one {
  struct green_case c; /* first: the core knows this part */
  const struct lg_waitable *w;
  void *object;
  void *where; /* of w->link, while linked */
  struct one *volatile_next, **volatile_link;
  int index;
  uint8_t is_volatile; /* marked always, linked only during a wait */
};

struct selector {
  struct lg_owned owned;
  struct green_choice choice;
  struct green_thread *waiter; /* from before its wait until it runs again */
  struct one **cases;          /* by number; NULL where one was removed */
  uint64_t *marks;             /* one bit for each of `room` */
  struct one *volatile_first;
  struct one *spare; /* for the next case; NULL: to be made */
  uint64_t deadline; /* of the wait */
  int n, room;
  int marked;    /* marks of cases that are not volatile */
  int fired;     /* the case that ended the wait; -1: none */
  uint64_t last; /* the thread that selected last, by its id */
  uint8_t closed;
};

/* The Lua object of a selector. */
struct object {
  struct lg_object head;
  struct selector *selector; /* NULL: its finalizer ran, or the state closed */
};

/* The stack of a call; the user value is a table of the objects by number. */
enum { SELF = 1, LIMIT, OBJECT, VALUE };
enum { OBJECTS = 1 };

static const struct lg_op select_op;
static const struct lg_class selector_class = {"green.selector", NULL, NULL};
static int selector_select(lua_State *L);

/* NULL: the selector is closed, or was finalized, or its state is closing. */
static struct selector *self(lua_State *L) {
  struct object *o =
      lg_check_object(L, &selector_class, sizeof(struct object));
  return o->head.G->hub ? o->selector : NULL;
}

/* That of the call under way. */
static struct selector *ours(lua_State *L) {
  struct object *o = lua_touserdata(L, SELF);
  return o->selector;
}

/* --- marks --- */

static void mark(struct selector *s, struct one *one) {
  uint64_t bit = UINT64_C(1) << one->index % WORD;
  uint64_t *word = &s->marks[one->index / WORD];
  if (!(*word & bit) && !one->is_volatile) s->marked++;
  *word |= bit;
}

static void unmark(struct selector *s, struct one *one) {
  uint64_t bit = UINT64_C(1) << one->index % WORD;
  uint64_t *word = &s->marks[one->index / WORD];
  if ((*word & bit) && !one->is_volatile) s->marked--;
  *word &= ~bit;
}

/* The first marked case from number i on; -1: none. */
static int next_marked(const struct selector *s, int i) {
  int w = i / WORD, words = (s->n + WORD - 1) / WORD;
  uint64_t bits;
  if (i >= s->n) return -1;
  bits = s->marks[w] & ~UINT64_C(0) << i % WORD;
  while (!bits) {
    if (++w >= words) return -1;
    bits = s->marks[w];
  }
  return w * WORD + __builtin_ctzll(bits);
}

/* It was the case's turn in its object's list while nobody waits. Any stack. */
static void ready(struct green_choice *choice, struct green_case *c) {
  struct one *one = (struct one *)c;
  size_t at = offsetof(struct selector, choice);
  mark((struct selector *)((char *)choice - at), one);
}

/* --- asking --- */

/* Puts the object of case i where operations expect it. */
static void push_object(lua_State *L, int i) {
  lua_settop(L, LIMIT);
  lua_getiuservalue(L, SELF, OBJECTS);
  lua_rawgeti(L, -1, i + 1);
  lua_replace(L, OBJECT);
  lua_pushnil(L); /* VALUE: nothing is put */
}

/* Asks case i. An operation may run finalizers, which may do anything to the
 * selector, so look the case up again afterwards. */
static int ask(lua_State *L, struct selector *s, int i) {
  struct one *one = s->cases[i];
  int r;
  push_object(L, i);
  if (one->w->object) one->object = one->w->object(L, OBJECT);
  r = one->w->attempt(L, s->owned.G, one->object, OBJECT);
  if (r >= 0) return lg_case_chosen(L, i, r);
  one = s->cases[i];
  if (!one || one->is_volatile) return -1;
  /* Nothing has run since the object had nothing: from now on its list
   * tells. */
  unmark(s, one);
  if (!one->c.watch.node.link.next)
    green_list_add(one->w->list(one->object), &one->c.watch.node);
  return -1;
}

/* Asks all marked cases, in order, and again if finalizers have marked others
 * meanwhile. Afterwards every case stands in its list or is volatile. */
static int ask_marked(lua_State *L, struct selector *s) {
  int i, r;
  do {
    for (i = next_marked(s, 0); i >= 0; i = next_marked(s, i + 1))
      if ((r = ask(L, s, i)) >= 0) return r;
  } while (s->marked > 0);
  lua_settop(L, LIMIT);
  return -1;
}

/* --- waiting --- */

/* Unlinks the case, for good or for now. The thread's end may run this. */
static void unlink_one(struct green_hub *hub, struct one *one) {
  if (one->w->unlink && one->where)
    one->w->unlink(hub, one->where, &one->c.watch.node);
  else if (one->c.watch.node.link.next)
    green_list_remove(&one->c.watch.node);
  one->where = NULL;
}

static void unlink_volatile(struct green_hub *hub, struct selector *s) {
  struct one *one;
  for (one = s->volatile_first; one; one = one->volatile_next) {
    struct green_node *node = &one->c.watch.node;
    /* A waker unlinks the node through which it wakes. */
    if (!node->link.next && node->thread) s->fired = one->index;
    unlink_one(hub, one);
    node->thread = NULL;
  }
}

static int link_volatile_one(struct lg *G, struct one *one) {
  struct green_node *node = &one->c.watch.node;
  int r = 0;
  if (one->w->link)
    r = one->w->link(G, one->object, node, &one->where);
  else
    green_list_add(one->w->list(one->object), node);
  if (r >= 0 && node->link.next) node->thread = lg_running(G);
  return r;
}

/* *bad is the case that could not be linked; returns the reason. */
static int link_volatile(struct lg *G, struct selector *s, struct one **bad) {
  struct one *one;
  int r = 0;
  for (one = s->volatile_first; one && r >= 0; one = one->volatile_next)
    r = link_volatile_one(G, *bad = one);
  return r;
}

static uint64_t earliest(const struct selector *s) {
  uint64_t at = s->deadline;
  const struct one *one;
  for (one = s->volatile_first; one; one = one->volatile_next) {
    uint64_t due = one->w->due ? one->w->due(one->object) : GREEN_FOREVER;
    if (due < at) at = due;
  }
  return at;
}

/* The wait is over: cases that stay in their lists are dormant again. */
static void leave(struct green_hub *hub, struct green_thread *t) {
  struct selector *s = t->on;
  struct one *one = (struct one *)green_choice_leave(&s->choice);
  unlink_volatile(hub, s);
  if (!one) return;
  assert(s->fired < 0);
  s->fired = one->index;
  mark(s, one); /* it left its list, so ask it the next time */
}

/* The thread ends without having run on. */
static void undo(struct green_hub *hub, struct green_thread *t) {
  struct selector *s = t->on;
  struct one *one = s->fired >= 0 ? s->cases[s->fired] : NULL;
  s->waiter = NULL;
  if (t->reason == GREEN_WOKEN && one && one->w->undo)
    one->w->undo(hub, one->object);
}

static int cannot_wait(lua_State *L, struct lg *G, struct selector *s,
                       struct one *one, int error) {
  int r;
  green_choice_leave(&s->choice);
  unlink_volatile(G->hub, s);
  s->waiter = NULL;
  if (error == UV_EBUSY && one && one->w->busy)
    one->w->busy(L, G, one->object);
  if (error == UV_EBADF && one && (r = ask(L, s, one->index)) >= 0) return r;
  return lg_case_unlinked(L, error);
}

static int wait_for_any(lua_State *L, struct lg *G, struct selector *s) {
  struct one *one = NULL;
  int keep, r;
  keep =
      lg_keep_or_yield(L, G, &select_op); /* may run finalizers: ask again */
  if ((r = ask_marked(L, s)) >= 0) return r;
  s->fired = -1;
  s->waiter = lg_running(G);
  green_choice_enter(G->hub, &s->choice);
  r = link_volatile(G, s, &one);
  if (r >= 0)
    r = green_wait_begin(G->hub, &select_op.kind, s, NULL, earliest(s));
  if (r < 0) return cannot_wait(L, G, s, one, r);
  return lg_park(L, G, &select_op, keep);
}

static int fetch(lua_State *L, struct selector *s, int reason) {
  struct one *one = s->cases[s->fired];
  int r;
  if (!one) return -1; /* a finalizer has removed it */
  push_object(L, s->fired);
  r = one->w->fetch(L, s->owned.G, one->object, OBJECT, reason);
  return r < 0 ? -1 : lg_case_chosen(L, s->fired, r);
}

static int woken(lua_State *L, struct lg *G, int reason) {
  struct selector *s = ours(L);
  int r;
  s->waiter = NULL;
  if (s->fired >= 0 && (r = fetch(L, s, reason)) >= 0) return r;
  lua_settop(L, LIMIT);
  if (s->closed) return lg_push_closed(L);
  if ((r = ask_marked(L, s)) >= 0) return r;
  if (reason == GREEN_TIMEOUT && s->deadline <= green_now())
    return lg_push_timeout(L);
  if (lg_is_struck(G)) {
    lg_interrupt(L, G, &select_op);
    return selector_select(L); /* it was taken back */
  }
  return wait_for_any(L, G, s);
}

static void interrupted(lua_State *L, struct lg *G) {
  (void)G;
  ours(L)->waiter = NULL;
}

static const struct lg_op select_op = {
    {"selector:select", undo, leave}, selector_select, woken, interrupted};

/* An operation may prepare the asking thread (a lock does), so a new thread
 * asks all cases. */
static void ask_anew(struct selector *s, const struct green_thread *t) {
  uint64_t id = t ? t->id : 0;
  int i;
  if (likely(s->last == id)) return;
  s->last = id;
  for (i = 0; i < s->n; i++)
    if (s->cases[i]) mark(s, s->cases[i]);
}

static void check_alone(lua_State *L, struct lg *G, const struct selector *s) {
  if (likely(!s->waiter)) return;
  luaL_error(L, "%s waits in this selector already",
             lg_push_who(L, G, s->waiter));
}

/* select([s]): the number of the case that went on, and the results of its
 * operation. May switch. */
static int selector_select(lua_State *L) {
  struct selector *s = self(L);
  struct lg *G = lg_get(L);
  uint64_t deadline = lg_limit(L, LIMIT);
  int r;
  lua_settop(L, LIMIT);
  luaL_checkstack(L, 10, "luagreen");
  lg_need_calls(L, G, 1); /* a lock's guard is to be closed */
  if (deadline > 0 && (r = lg_enter_first(L, G, &select_op, LG_MAY_WAIT)) >= 0)
    return r;
  if (!s || s->closed) return lg_push_closed(L);
  check_alone(L, G, s);
  ask_anew(s, lg_running(G));
  if ((r = ask_marked(L, s)) >= 0) return r;
  if (deadline == 0) return lg_push_timeout(L);
  s->deadline = deadline;
  return wait_for_any(L, G, s);
}

/* --- its cases --- */

/* The arrays are of as many cases, or marks, as fit into `room`. */
static int set_room(struct selector *s, int room) {
  size_t had = (size_t)s->room, has = (size_t)room;
  struct one **cases =
      lg_block(s->owned.G, s->cases, had * sizeof *cases, has * sizeof *cases);
  uint64_t *marks;
  if (!cases) return 0;
  s->cases = cases;
  if (!(marks = lg_block(s->owned.G, s->marks, had / 8, has / 8))) {
    s->cases =
        lg_block(s->owned.G, cases, has * sizeof *cases, had * sizeof *cases);
    return 0;
  }
  memset((char *)marks + had / 8, 0, (has - had) / 8);
  s->marks = marks;
  s->room = room;
  return 1;
}

/* Room for one more, and its struct. 0: there is no memory. */
static int prepare(struct selector *s) {
  if (s->n == s->room && !set_room(s, s->room ? s->room * 2 : WORD)) return 0;
  if (!s->spare) s->spare = lg_block(s->owned.G, NULL, 0, sizeof *s->spare);
  return s->spare != NULL;
}

/* Finalizers may run, and append, too. */
static void reserve(lua_State *L, struct selector *s) {
  if (prepare(s)) return;
  if (lua_gc(L, LUA_GCCOUNT) >= 0) lua_gc(L, LUA_GCCOLLECT);
  if (!prepare(s)) luaL_error(L, "not enough memory");
}

static struct one *take_spare(struct selector *s) {
  struct one *one = s->spare;
  s->spare = NULL;
  return one;
}

static void enlist(struct selector *s, struct one *one) {
  if (!one->is_volatile) return;
  one->volatile_next = s->volatile_first;
  if (one->volatile_next)
    one->volatile_next->volatile_link = &one->volatile_next;
  one->volatile_link = &s->volatile_first;
  s->volatile_first = one;
}

static void delist(struct one *one) {
  if (!one->is_volatile) return;
  assert(*one->volatile_link == one);
  *one->volatile_link = one->volatile_next;
  if (one->volatile_next)
    one->volatile_next->volatile_link = one->volatile_link;
}

/* Appends the case on top of the stack, of argument `arg`; pops it. */
static void append(lua_State *L, struct selector *s, int at, int arg) {
  struct lg *G = s->owned.G;
  const struct lg_waitable *w;
  struct one *one;
  void *object;
  int i, top = lua_gettop(L);
  lg_case_expand(L, G, arg, s->n);
  if (!lua_isnil(L, top + 1))
    lg_case_error(L, arg, s->n, "a selector puts nothing: see green.select");
  w = lg_case_operation(L, G, arg, s->n, top, &object);
  lua_getiuservalue(L, at, OBJECTS);
  do {
    reserve(L, s);
    i = s->n; /* a finalizer may append, too, while the table grows */
    lua_pushvalue(L, top);
    lua_rawseti(L, -2, i + 1);
  } while (s->n != i);
  one = take_spare(s);
  *one = (struct one){.w = w, .object = object, .index = s->n};
  one->is_volatile = w->link || w->due;
  green_case_init(&s->choice, &one->c);
  s->cases[s->n++] = one;
  enlist(s, one);
  mark(s, one);
  lua_settop(L, top - 1);
}

static void check_idle(lua_State *L, struct selector *s) {
  if (!s || s->closed) luaL_error(L, "the selector is closed");
  check_alone(L, s->owned.G, s);
}

/* add(case): its number. Never switches. */
static int selector_add(lua_State *L) {
  struct selector *s = self(L);
  check_idle(L, s);
  luaL_checkany(L, 2);
  luaL_checkstack(L, 10, "luagreen");
  lua_settop(L, 2);
  append(L, s, SELF, 2);
  lua_pushinteger(L, s->n);
  return 1;
}

static void drop(struct lg *G, struct selector *s, int i) {
  struct one *one = s->cases[i];
  if (!one) return;
  if (G->hub) unlink_one(G->hub, one);
  unmark(s, one);
  delist(one);
  s->cases[i] = NULL;
  lg_block(G, one, sizeof *one, 0);
}

/* remove(i): the other cases keep their numbers. True if there was one. Never
 * switches. */
static int selector_remove(lua_State *L) {
  struct selector *s = self(L);
  lua_Integer i = luaL_checkinteger(L, 2);
  int found;
  check_idle(L, s);
  found = i >= 1 && i <= s->n && s->cases[i - 1];
  if (found) {
    lua_getiuservalue(L, SELF, OBJECTS);
    lua_pushboolean(L, 0); /* no hole: its slot stays */
    lua_rawseti(L, -2, i);
    drop(s->owned.G, s, (int)i - 1);
  }
  lua_pushboolean(L, found);
  return 1;
}

static void drop_all(struct lg *G, struct selector *s) {
  size_t room = (size_t)s->room;
  while (s->n > 0) drop(G, s, --s->n);
  lg_block(G, take_spare(s), sizeof *s->spare, 0);
  lg_block(G, s->cases, room * sizeof *s->cases, 0);
  lg_block(G, s->marks, room / 8, 0);
  s->cases = NULL;
  s->marks = NULL;
  s->room = 0;
}

/* close(): the waiting thread gets nil, "closed". Never switches. */
static int selector_close(lua_State *L) {
  struct selector *s = self(L);
  if (!s || s->closed) return 0;
  s->closed = 1;
  if (s->waiter) green_wake(s->owned.G->hub, s->waiter, GREEN_CLOSED);
  if (s->waiter && s->fired >= 0) return 0; /* it fetches first; then __gc */
  drop_all(s->owned.G, s);
  return 0;
}

/* If the hub is gone, nothing leads to the selector any more, and objects of
 * its cases may be gone, too. */
static void forget(struct lg_owned *owned) {
  drop_all(owned->G, (struct selector *)owned);
}

/* A waiting thread keeps it alive, so if one waits the state is closing. */
static int selector_gc(lua_State *L) {
  struct object *o = lua_touserdata(L, 1);
  if (!o || lua_rawlen(L, 1) < sizeof *o || o->head.klass != &selector_class)
    luaL_typeerror(L, 1, selector_class.name);
  if (!o->head.G->hub || !o->selector) return 0;
  if (!lg_finalizing(L, o->head.G, o->selector->waiter != NULL)) return 0;
  if (o->selector) lg_disown(&o->selector->owned);
  o->selector = NULL;
  return 0;
}

static void make(lua_State *L, struct object *o) {
  struct lg *G = o->head.G;
  struct selector *s = lg_own(L, G, &G->selectors, sizeof *s, forget);
  s->fired = -1;
  green_choice_init(&s->choice, ready);
  o->selector = s;
}

static int selector_len(lua_State *L) {
  const struct selector *s = self(L);
  lua_Integer n = 0;
  int i;
  for (i = 0; s && i < s->n; i++) n += s->cases[i] != NULL;
  lua_pushinteger(L, n);
  return 1;
}

/* selector([cases]): upvalue 2 is the metatable. */
static int l_selector(lua_State *L) {
  struct object *o;
  lua_Integer i, n;
  if (lua_isnone(L, 1)) lua_newtable(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_checkstack(L, 10, "luagreen");
  n = (lua_Integer)lua_rawlen(L, 1);
  o = lua_newuserdatauv(L, sizeof *o, 1);
  *o = (struct object){.head = {&selector_class, lg_get(L)}};
  lua_createtable(L, (int)n, 0);
  lua_setiuservalue(L, -2, OBJECTS);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  make(L, o);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, 1, i);
    append(L, o->selector, 2, 1);
  }
  lg_case_last(L, 1, (int)n);
  return 1;
}

static const luaL_Reg methods[] = {{"select", selector_select},
                                   {"add", selector_add},
                                   {"remove", selector_remove},
                                   {"close", selector_close},
                                   {NULL, NULL}};
static const luaL_Reg meta[] = {{"__gc", selector_gc},
                                {"__close", selector_close},
                                {"__len", selector_len},
                                {NULL, NULL}};

void lg_open_selector(lua_State *L) {
  static const luaL_Reg make[] = {{"selector", l_selector}, {NULL, NULL}};
  lg_new_class(L, selector_class.name, methods, meta);
  lg_setfuncs(L, make, 1);
}
