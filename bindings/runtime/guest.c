/* guest.c - what a state knows of main and of the threads of C's.
 *
 * These belong to the hub and may run code of any of its states. So their
 * records have no room for a state's slot and flags; each state has a list of
 * the few that it knows, the one asked for last at its head. In the record of
 * such a thread user_flags is the union of the states' flags, so that the usual
 * question (none?) needs no search.
 *
 * Any stack; only making one may raise.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/guest.h"

#include <stdlib.h>

struct lg_guest *lg_guest(struct lg *G, const struct green_thread *t) {
  struct lg_guest *guest, **from = &G->guests;
  assert(!lg_is_lua(t));
  while ((guest = *from) && guest->thread != t) from = &guest->next;
  if (!guest || guest == G->guests) return guest;
  *from = guest->next;
  guest->next = G->guests;
  return G->guests = guest;
}

struct lg_guest *lg_make_guest(lua_State *L, struct lg *G,
                               struct green_thread *t) {
  struct lg_guest *guest = lg_guest(G, t);
  if (guest) return guest;
  guest = malloc(sizeof *guest);
  if (!guest) luaL_error(L, "not enough memory");
  *guest = (struct lg_guest){G->guests, t, 0, 0};
  t->user_flags |= LG_KNOWN;
  return G->guests = guest;
}

void lg_forget_guest(struct lg *G, const struct green_thread *t) {
  struct lg_guest *guest = lg_guest(G, t);
  if (!guest) return;
  assert(guest == G->guests);
  G->guests = guest->next;
  free(guest);
}

void lg_forget_guests(struct lg *G) {
  while (G->guests) lg_forget_guest(G, G->guests->thread);
}
