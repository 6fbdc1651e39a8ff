/* counts.c - counts what a state has, and a sandbox in it.
 *
 * Invariant: account.left[x] is the limit of x without the number of those that
 * live. The code that counts something up remembers that, and counts it down
 * exactly once: at its end, in its finalizer, or when its thread ends.
 *
 * Counting never raises, and runs on any stack of the hub's OS thread;
 * functions that take a lua_State run where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/counts.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>

#include "runtime/boxed.h"
#include "runtime/rare.h"

void lg_account_init(struct lg_account *a) {
  int i;
  for (i = 0; i < LG_COUNTS; i++) {
    a->left[i] = LG_PLENTY;
    a->most[i] = 0;
  }
  a->slice = a->stretch = a->life = 0;
  a->terms = NULL;
  a->timed = 0;
  a->users = 1;
  a->after = NULL;
  a->before = NULL;
}

static int64_t limit(const struct lg_account *a, enum lg_count what) {
  return a->most[what] ? (int64_t)a->most[what] : LG_PLENTY;
}

void lg_account_limit(struct lg_account *a, enum lg_count what,
                      uint32_t most) {
  int64_t used = limit(a, what) - a->left[what];
  a->most[what] = most;
  a->left[what] = limit(a, what) - used;
}

uint32_t lg_account_used(const struct lg_account *a, enum lg_count what) {
  int64_t used = limit(a, what) - a->left[what];
  assert(used >= 0 && used <= UINT32_MAX);
  return (uint32_t)used;
}

struct lg_account *lg_account_new(struct lg *G) {
  struct lg_account *a = malloc(sizeof *a);
  if (!a) return NULL;
  lg_account_init(a);
  a->before = &G->accounts;
  a->after = *a->before;
  if (a->after) a->after->before = &a->after;
  return *a->before = a;
}

static void unmake(struct lg_account *a) {
  assert(*a->before == a);
  *a->before = a->after;
  if (a->after) a->after->before = a->before;
  free(a);
}

void lg_account_leave(struct lg_account *a) {
  if (!a) return;
  assert(a->users > 0);
  if (--a->users == 0) unmake(a);
}

void lg_accounts_free(struct lg *G) {
  while (G->accounts) unmake(G->accounts);
}

struct lg_account *lg_account_of(struct lg *G, struct green_thread *t) {
  struct lg_account *a = NULL;
  if (lg_peek_rare(G, t, RARE_BOX) == LUA_TUSERDATA)
    a = ((struct lg_boxed *)lua_touserdata(G->tables, -1))->account;
  lua_pop(G->tables, 1);
  return a;
}

struct lg_account *lg_account_of_box(struct lg *G) {
  struct green_thread *t = G->hub && G->boxes ? lg_current(G) : NULL;
  struct lg_account *a = t ? lg_account_of(G, t) : NULL;
  if (a) a->users++;
  return a;
}

size_t lg_heap(lua_State *L, struct lg *G) {
  int kilobytes = lua_gc(L, LUA_GCCOUNT);
  size_t bytes;
  if (kilobytes < 0) return G ? G->heap : 0;
  bytes = (size_t)kilobytes * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB);
  if (G) G->heap = bytes;
  return bytes;
}

int lg_sweep(lua_State *L, struct lg *G) {
  uint64_t now = uv_hrtime();
  if (now - G->swept_at <= 10 * G->swept_ns) return 0;
  if (lua_gc(L, LUA_GCCOUNT) < 0) return 0; /* in a finalizer */
  lua_gc(L, LUA_GCCOLLECT);
  G->swept_at = uv_hrtime();
  G->swept_ns = G->swept_at - now;
  return 1;
}

int lg_too_many(lua_State *L, struct lg *G, const struct lg_account *box,
                enum lg_count what) {
  static const char *const names[] = {"timeouts", "descriptors",
                                      "values in queues", "coroutines"};
  int own = !box || G->account.left[what] <= box->left[what];
  const struct lg_account *a = own ? &G->account : box;
  return luaL_error(L, "too many %s%s (the limit is %I)", names[what],
                    own ? "" : " in the sandbox", (LUAI_UACINT)a->most[what]);
}

int lg_may_open(lua_State *L, struct lg *G, uint32_t n) {
  struct lg_account *box;
  int has;
  if (likely(!G->boxes && G->account.left[LG_DESCRIPTORS] >= (int64_t)n))
    return 0;
  box = lg_account_of_box(G);
  has = lg_has_room_for(G, box, LG_DESCRIPTORS, n);
  lg_account_leave(box); /* the thread's sandbox has it, too */
  if (has || !lg_sweep(L, G)) return has ? 0 : EMFILE;
  box = lg_account_of_box(G);
  has = lg_has_room_for(G, box, LG_DESCRIPTORS, n);
  lg_account_leave(box);
  return has ? 0 : EMFILE;
}
