/* guest.h - what a state knows of a thread: the slot that anchors its handle,
 * and flags.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_GUEST_H
#define LG_GUEST_H

#include "runtime/state.h"

/* A record of main, or of a thread of C's, in one state. */
struct lg_guest {
  struct lg_guest *next;
  const struct green_thread *thread;
  int32_t anchor; /* 0: none yet */
  uint8_t flags;  /* LG_RARE, LG_PASSES_ON, LG_HANDLED */
};

/* The guest, or NULL. */
struct lg_guest *lg_guest(struct lg *G, const struct green_thread *t);
/* Makes it first if there is none; raises if memory is short, runs no
 * finalizers. */
struct lg_guest *lg_make_guest(lua_State *L, struct lg *G,
                               struct green_thread *t);
/* The state forgets the thread; or all of them. */
void lg_forget_guest(struct lg *G, const struct green_thread *t);
void lg_forget_guests(struct lg *G);

/* For a thread of any kind. */
static inline unsigned lg_flags(struct lg *G, const struct green_thread *t) {
  const struct lg_guest *guest;
  if (likely(lg_is_lua(t))) return t->user_flags;
  guest = lg_guest(G, t);
  return guest ? guest->flags : 0;
}
static inline int lg_slot(struct lg *G, const struct green_thread *t) {
  const struct lg_guest *guest;
  if (likely(lg_is_lua(t))) return t->user_anchor;
  guest = lg_guest(G, t);
  return guest ? guest->anchor : 0;
}
/* A guest must have been made. */
static inline void lg_set_flag(struct lg *G, struct green_thread *t,
                               unsigned flag) {
  t->user_flags |= (uint8_t)flag;
  if (!lg_is_lua(t)) lg_guest(G, t)->flags |= (uint8_t)flag;
}
static inline void lg_clear_flag(struct lg *G, struct green_thread *t,
                                 unsigned flag) {
  if (lg_is_lua(t))
    t->user_flags &= (uint8_t)~flag;
  else
    lg_guest(G, t)->flags &= (uint8_t)~flag;
}
static inline void lg_set_slot(struct lg *G, struct green_thread *t,
                               int slot) {
  if (lg_is_lua(t))
    t->user_anchor = slot;
  else
    lg_guest(G, t)->anchor = slot;
}

#endif
