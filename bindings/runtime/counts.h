/* counts.h - counts what a state has, and a sandbox in it.
 *
 * A thing is counted in the account of its state, and if a thread of a sandbox
 * makes it, in the sandbox's as well, which it then uses (lg_account_leave())
 * until it is gone.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_COUNTS_H
#define LG_COUNTS_H

#include "runtime/state.h"

void lg_account_init(struct lg_account *a);
/* Nothing that is beyond a new limit is taken away. 0: none. */
void lg_account_limit(struct lg_account *a, enum lg_count what, uint32_t most);
uint32_t lg_account_used(const struct lg_account *a, enum lg_count what);
/* A record with one user, or NULL. */
struct lg_account *lg_account_new(struct lg *G);
/* Takes one user away; the last one frees the record. */
void lg_account_leave(struct lg_account *a);
/* The state ends: frees those whose users' finalizers could not run. */
void lg_accounts_free(struct lg *G);

/* The account of the thread's sandbox, or NULL; it lives as long as the thread.
 * And that of the running thread's, with one more user; NULL: it is
 * in none. Neither raises. */
struct lg_account *lg_account_of(struct lg *G, struct green_thread *t);
struct lg_account *lg_account_of_box(struct lg *G);

/* Is there room for n more in the state, and in the sandbox (or NULL)? */
static inline int lg_has_room_for(const struct lg *G,
                                  const struct lg_account *box,
                                  enum lg_count what, uint32_t n) {
  return G->account.left[what] >= (int64_t)n &&
         (!box || box->left[what] >= (int64_t)n);
}
/* n more, or fewer, are there. */
static inline void lg_count(struct lg *G, struct lg_account *box,
                            enum lg_count what, int32_t n) {
  G->account.left[what] -= n;
  if (unlikely(box)) box->left[what] -= n;
}

/* Bytes of the state's heap. Lua does not tell in a finalizer, nor while the
 * state closes: then as many as there were when it was last asked. G is NULL
 * where the library is not open. */
size_t lg_heap(lua_State *L, struct lg *G);

/* Garbage may hold what is scarce: collects it, but for no more than a tenth of
 * the time. Was it collected? Runs finalizers. */
int lg_sweep(lua_State *L, struct lg *G);
/* Raises: there are too many of these. */
int lg_too_many(lua_State *L, struct lg *G, const struct lg_account *box,
                enum lg_count what);
/* Makes room for n more descriptors of the running thread's: 0; or an errno,
 * as the kernel does. May run finalizers. */
int lg_may_open(lua_State *L, struct lg *G, uint32_t n);

#endif
