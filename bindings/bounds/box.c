/* box.c - sandboxes: which threads are in one.
 *
 * A thread's sandbox is one of its rare things, which its children inherit.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/box.h"

#include "runtime/rare.h"

int lg_in_box(struct lg *G, struct green_thread *t) {
  int in;
  if (!(t->user_flags & LG_RARE)) return 0;
  in = lg_peek_rare(G, t, RARE_BOX) != LUA_TNIL;
  lua_pop(G->tables, 1);
  return in;
}
