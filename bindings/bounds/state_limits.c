/* state_limits.c - the limits of a lua_State, as its host sets them, and what
 * is in use of each.
 *
 * memory.c keeps those of memory and coroutines, overrun.c those of time,
 * runtime/counts.c the counts. All are set, or none. A state that the library
 * is not open in yet keeps its limits until it is.
 *
 * On the host's stack, but for lg_budget_need(). Never switches.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "bounds/bounds.h"
#include "bounds/memory.h"
#include "runtime/counts.h"
#include "runtime/object.h"

/* Of a program's struct; a wild size would have us read its stack. */
enum { MOST_SIZE = 4096 };

/* Limits of a former version of the struct have fewer fields. */
static struct green_lua_limits whole(const struct green_lua_limits *limits) {
  struct green_lua_limits all;
  size_t size = limits && limits->size ? limits->size : sizeof all;
  memset(&all, 0, sizeof all);
  if (limits) memcpy(&all, limits, size < sizeof all ? size : sizeof all);
  return all;
}

/* Does it ask for a limit that this library is too old to have? */
static int knows_less(const struct green_lua_limits *limits) {
  const char *bytes = (const char *)limits;
  size_t i;
  if (!limits || limits->size > MOST_SIZE) return limits != NULL;
  for (i = sizeof *limits; i < limits->size; i++)
    if (bytes[i]) return 1;
  return 0;
}

static size_t most_messages(const struct green_lua_limits *l) {
  size_t most = l->messages ? l->messages : l->memory;
  return most ? most : SIZE_MAX;
}

/* Messages lie outside of Lua's memory. Makes what a limit for them needs. 0,
 * or UV_ENOMEM. */
static int need_purse(struct lg *G, const struct green_lua_limits *l) {
  if (G->purse || most_messages(l) == SIZE_MAX) return 0;
  G->purse = green_purse_new(SIZE_MAX);
  return G->purse ? 0 : UV_ENOMEM;
}

static void set_counts(struct lg *G, const struct green_lua_limits *l) {
  G->limits = *l;
  if (G->purse) green_purse_limit(G->purse, most_messages(l));
  G->max_threads = l->threads ? l->threads : UINT32_MAX;
  lg_account_limit(&G->account, LG_TIMERS, l->timers);
  lg_account_limit(&G->account, LG_DESCRIPTORS, l->descriptors);
  lg_account_limit(&G->account, LG_ITEMS, l->items);
}

void lg_budget_open(lua_State *L, struct lg *G) {
  struct lg_budget *b = lg_budget_of(L);
  if (!b) return;
  if (need_purse(G, &b->limits) < 0) luaL_error(L, "not enough memory");
  G->budget = b;
  b->G = G;
  set_counts(G, &b->limits);
}

/* Sandboxes are about to be: their calls must not take too long. */
int lg_budget_need(lua_State *L, struct lg *G) {
  static const struct green_lua_limits none;
  struct lg_budget *b = lg_budget_of(L);
  if (G->budget) return 0;
  if (!b && !(b = lg_memory_wrap(L))) return UV_ENOMEM;
  lg_memory_limit(b, &none);
  G->budget = b;
  b->G = G;
  return 0;
}

/* --- for hosts --- */

lua_State *green_lua_newstate(const struct green_lua_limits *limits,
                              lua_Alloc alloc, void *ud) {
  struct green_lua_limits all = whole(limits);
  return knows_less(limits) ? NULL : lg_memory_newstate(&all, alloc, ud);
}

/* What may fail, for a state with a hub. It changes nothing then. */
static int set_with_hub(struct lg *G, const struct green_lua_limits *l) {
  int had_purse = G->purse != NULL, r;
  const char *why;
  if (need_purse(G, l) < 0) return UV_ENOMEM;
  r = lg_terms_set(G, l, &why);
  if (r < 0 && !had_purse) {
    green_purse_release(G->purse);
    G->purse = NULL;
  }
  return r;
}

/* Before the library is open in a state, its limits are kept there. */
static int needs_budget(const struct lg *G, const struct green_lua_limits *l) {
  struct green_lua_limits none = {.size = l->size};
  return l->memory || (!G && memcmp(l, &none, sizeof none) != 0);
}

int green_lua_limit(lua_State *L, const struct green_lua_limits *limits) {
  struct green_lua_limits l = whole(limits);
  struct lg_budget *b = lg_budget_of(L), *made = NULL;
  struct lg *G = lg_find(L);
  int open = G && G->hub, r;
  if (open && green_elsewhere(G->hub)) return UV_EPERM;
  if (knows_less(limits)) return UV_EINVAL;
  if (l.coroutines && !(b && lg_memory_tells_coroutines(b))) return UV_ENOTSUP;
  if (!b && needs_budget(G, &l) && !(b = made = lg_memory_wrap(L)))
    return UV_ENOMEM;
  if (open && (r = set_with_hub(G, &l)) < 0) {
    if (made) lg_memory_unwrap(L, made);
    return r;
  }
  if (b) b->limits = l;
  if (b) lg_memory_limit(b, &l);
  if (open) set_counts(G, &l);
  if (open && b) lg_budget_open(L, G);
  return 0;
}

void green_lua_used(lua_State *L, struct green_lua_usage *usage, size_t size) {
  struct green_lua_usage u;
  struct lg_budget *b = lg_budget_of(L);
  struct lg *G = lg_find(L);
  memset(&u, 0, sizeof u);
  u.memory = b ? b->used : lg_heap(L, G);
  if (b) {
    u.most = b->used > b->most ? b->used : b->most;
    u.coroutines = b->coroutines;
    u.forced = b->forced;
    u.failures = b->failures;
    u.ended = b->ended;
  }
  if (G && G->hub) {
    u.threads = lg_live_count(G);
    u.timers = lg_account_used(&G->account, LG_TIMERS);
    u.descriptors = lg_account_used(&G->account, LG_DESCRIPTORS);
    u.items = lg_account_used(&G->account, LG_ITEMS);
    if (G->purse) u.messages = green_purse_used(G->purse);
  }
  memcpy(usage, &u, size < sizeof u ? size : sizeof u);
}
