/* links.c - functions that run when a thread ends.
 *
 * Making a link also makes all that its thread will need: a coroutine with
 * function and arguments on it, and memory for the record (green_reserve). So
 * the end allocates nothing, and every link runs. A link that is made in a
 * sandbox counts as one of its threads from now on.
 *
 * The thread's rare things hold a userdata, the head of the list of its links
 * in the order in which they will run. Its user value maps each function to the
 * first of its links (light userdata), and the links of one function make a
 * list of their own, so unlink() need not look at the others. A link is also a
 * userdata; it stands in the anchor slot of its coroutine, which is its user
 * value.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "runtime/boxed.h"
#include "runtime/rare.h"
#include "thread/links.h"

#include "thread/coroutine.h"
#include "thread/handle.h"
#include "thread/thread.h"

struct link {
  struct link *next, *prev;
  struct link *again; /* the next one with the same function */
  struct link *last;  /* the last of those; only the first link has it */
  int slot;
  struct lg_boxed *box; /* in which it will run; NULL: in none */
};

struct links {
  struct link *first, *last;
};

/* --- making them --- */

/* Pushes the links of a live thread, whose handle is at index 1, and makes what
 * is missing. NULL: the thread is over. */
static struct links *make_links(lua_State *L, struct lg *G) {
  struct links *links;
  lg_handle_rare(L, G, 1, 1);
  if (lua_rawgeti(L, -1, RARE_LINKS) == LUA_TUSERDATA) {
    lua_remove(L, -2);
    return lua_touserdata(L, -1);
  }
  lua_pop(L, 1);
  links = lua_newuserdatauv(L, sizeof *links, 1);
  links->first = links->last = NULL;
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  if (lua_rawgeti(L, -2, RARE_LINKS) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, RARE_LINKS);
  } else {
    lua_remove(L, -2); /* a finalizer was faster */
  }
  lua_remove(L, -2);
  return lua_touserdata(L, -1);
}

/* Makes sure that the map at index 1 has an entry for the function at `f`. May
 * raise. */
static void reserve_entry(lua_State *L, int f) {
  lua_pushvalue(L, f);
  if (lua_rawget(L, 1) == LUA_TNIL) {
    lua_pushvalue(L, f);
    lua_pushboolean(L, 0);
    lua_rawset(L, 1);
  }
  lua_pop(L, 1);
}

/* The first link of the function at `f`; NULL: there is none. */
static struct link *find(lua_State *L, int map, int f, int *has_entry) {
  struct link *link;
  lua_pushvalue(L, f);
  *has_entry = lua_rawget(L, map) != LUA_TNIL;
  link = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return link;
}

static void set_first(lua_State *L, int map, int f, struct link *link) {
  lua_pushvalue(L, f);
  if (link)
    lua_pushlightuserdata(L, link);
  else
    lua_pushnil(L);
  lua_rawset(L, map); /* the entry exists, so this cannot fail */
}

/* Appends the link to both lists. The function is at index 4. */
static void enlist(lua_State *L, struct links *links, struct link *link) {
  int has_entry;
  struct link *first = find(L, 1, 4, &has_entry);
  assert(has_entry);
  link->prev = links->last;
  *(link->prev ? &link->prev->next : &links->first) = link;
  links->last = link;
  if (first) {
    first->last->again = link;
    first->last = link;
  } else {
    link->last = link;
    set_first(L, 1, 4, link);
  }
}

static void delist(struct links *links, struct link *link) {
  *(link->prev ? &link->prev->next : &links->first) = link->next;
  *(link->next ? &link->next->prev : &links->last) = link->prev;
}

/* The thread is over: runs the function at once, even while the hub drains. On
 * top of the stack: f and its n values. */
static int run_now(lua_State *L, struct lg *G, int n) {
  lg_start_cleanup(L, G, lg_make_thread(L, G, n, 0));
  return 0;
}

/* Returns a coroutine, once there is an entry for the function at index 4. */
static lua_State *get_coroutine(lua_State *L, struct lg *G, int *slot) {
  for (;;) {
    lua_State *co;
    int has_entry;
    reserve_entry(L, 4);
    co = lg_get_coroutine(L, G, slot);
    find(L, 1, 4, &has_entry);
    if (likely(has_entry)) return co;
    lg_give_back(G, co, *slot); /* a finalizer has taken the last link back */
  }
}

/* The link at index 2, with its coroutine, stands in the anchor slot. */
static void anchor(lua_State *L, struct lg *G, struct link *link,
                   lua_State *co, int slot) {
  link->slot = slot;
  lua_pushthread(co);
  lua_xmove(co, L, 1);
  lua_setiuservalue(L, 2, 1);
  lua_pushvalue(L, 2);
  lua_xmove(L, G->tables, 1);
  lua_rawseti(G->tables, 1, slot);
}

/* The function at index 2 will run in the sandbox of the caller, or of its
 * globals: pushes the rare things of its thread. Else pushes nil. May raise. */
static struct lg_boxed *push_rare(lua_State *L, struct lg *G) {
  struct lg_boxed *box;
  if (!G->boxes || !lg_push_box_of_child(L, G, lg_running(G), 2)) {
    lua_pushnil(L);
    return NULL;
  }
  box = lua_touserdata(L, -1);
  lg_new_rare(L);
  lua_insert(L, -2);
  lua_rawseti(L, -2, RARE_BOX);
  return box;
}

/* (G, slot, rare things) */
static int put_rare(lua_State *L) {
  lg_put_rare(L, lua_touserdata(L, 1), (int)lua_tointeger(L, 2));
  return 0;
}

/* The link at index 2 has its thread's rare things: puts them to its slot. 0:
 * there is no memory, and an error is on the stack. */
static int enter_box(lua_State *L, struct lg *G, struct lg_boxed *box,
                     int slot) {
  if (!box) return 1;
  lua_pushcfunction(L, put_rare);
  lua_pushlightuserdata(L, G);
  lua_pushinteger(L, slot);
  lua_getiuservalue(L, 2, 1);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK) return 0;
  lg_enter_box(G, box);
  return 1;
}

static void leave_box(struct lg *G, const struct link *link) {
  if (!link->box) return;
  assert(link->box->threads > 0);
  link->box->threads--;
  lg_take_rare(G, link->slot);
}

/* What a link will run with: a coroutine with room for n values, a record, and
 * a place in the box. NULL: the thread of the handle has ended, by a finalizer;
 * no more of them run until the link is in place. Raises if memory is short,
 * and has given all back then. */
static lua_State *hire(lua_State *L, struct lg *G, const struct lg_handle *h,
                       struct lg_boxed *box, int n, int *slot) {
  lua_State *co = get_coroutine(L, G, slot);
  if (!lg_live(h)) {
    lg_give_back(G, co, *slot);
    return NULL;
  }
  if (!lua_checkstack(co, n + LG_BASE + 4) || green_reserve(&G->family) < 0) {
    lg_give_back(G, co, *slot);
    luaL_error(L, "not enough memory for a link");
  }
  if (!enter_box(L, G, box, *slot)) {
    green_unreserve(&G->family);
    lg_give_back(G, co, *slot);
    lua_error(L);
  }
  return co;
}

/* link(f, ...): f(t, ...) will run when t ends. */
int lg_thread_link(lua_State *L) {
  struct lg *G = lg_may_spawn(L);
  const struct lg_handle *h = lg_self_handle(L);
  int slot, n = lua_gettop(L) - 1; /* values of the call: t, args */
  struct links *links;
  struct link *link;
  struct lg_boxed *box;
  lua_State *co;
  lg_check_callable(L, 2);
  lua_pushvalue(L, 1);
  lua_insert(L, 3); /* t, f, t, args */
  if (!lg_live(h)) return run_now(L, G, n);
  luaL_checkstack(L, 12, "luagreen");
  box = push_rare(L, G);
  links = make_links(L, G);
  lua_getiuservalue(L, -1, 1);
  lua_replace(L, -2);
  link = lua_newuserdatauv(L, sizeof *link, 1);
  *link = (struct link){.box = box};
  lua_insert(L, 1);
  lua_insert(L, 1); /* map, link, t, f, t, args, rare things */
  lua_setiuservalue(L, 2, 1);
  if (!(co = hire(L, G, h, box, n, &slot))) return run_now(L, G, n);
  enlist(L, links, link);
  lua_pushvalue(L, 4);
  lua_xmove(L, co, 1);
  lua_xmove(L, co, n + 1);
  anchor(L, G, link, co, slot);
  return 0;
}

/* --- removing links --- */

/* Replaces the link in its slot by the link's coroutine. */
static lua_State *take_coroutine(struct lg *G, const struct link *link) {
  lua_State *T = G->tables, *co;
  lua_rawgeti(T, 1, link->slot);
  assert(lua_touserdata(T, -1) == link);
  lua_getiuservalue(T, -1, 1);
  co = lua_tothread(T, -1);
  lua_rawseti(T, 1, link->slot);
  lua_pop(T, 1);
  return co;
}

/* unlink(f): removes the first link with that f; was there one? */
int lg_thread_unlink(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_live(lg_self_handle(L));
  struct links *links;
  struct link *link = NULL;
  int has_entry;
  lua_settop(L, 2);
  if (!t || !lg_rare(L, G, t)) return lua_pushboolean(L, 0), 1;
  lua_rawgeti(L, -1, RARE_LINKS);
  if ((links = lua_touserdata(L, -1))) {
    lua_getiuservalue(L, -1, 1);
    lua_replace(L, 1); /* map, f, ... */
    link = find(L, 1, 2, &has_entry);
  }
  lua_pushboolean(L, link != NULL);
  if (!link) return 1;
  delist(links, link);
  if (link->again) link->again->last = link->last;
  set_first(L, 1, 2, link->again);
  leave_box(G, link);
  lg_give_back(G, take_coroutine(G, link), link->slot);
  green_unreserve(&G->family);
  return 1;
}

/* --- the end --- */

static void start(struct lg *G, const struct link *link) {
  struct green_thread *t;
  green_unreserve(&G->family);
  t = green_thread_new(&G->family);
  assert(t);
  t->user_anchor = link->slot;
  t->user = take_coroutine(G, link); /* the link is garbage now */
  t->flags |= GREEN_CLEANUP;
  if (link->box) t->user_flags |= LG_PASSES_ON | LG_RARE;
  green_start(G->hub, t, 0);
}

int lg_start_links(struct lg *G, struct green_thread *t) {
  struct links *links;
  struct link *link, *next;
  int n = 0;
  lg_peek_rare(G, t, RARE_LINKS);
  if ((links = lua_touserdata(G->tables, -1))) {
    for (link = links->first; link; link = next, n++) {
      next = link->next;
      start(G, link);
    }
    links->first = links->last = NULL;
  }
  lua_pop(G->tables, 1);
  return n;
}
