/* kill_note.h - the reasons of kills that must not allocate in Lua.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_KILL_NOTE_H
#define LG_KILL_NOTE_H

#include "runtime/state.h"

/* None of these raises. The thread is about to be killed by C, which keeps the
 * text. With memory short the kill will have no reason. */
void lg_note_kill(struct lg *G, uint64_t id, const char *reason);
/* The reason of the thread's kill, or NULL; the second drops it. */
const char *lg_find_kill_note(const struct lg *G, uint64_t id);
const char *lg_drop_kill_note(struct lg *G, uint64_t id);
static inline const char *lg_kill_note(const struct lg *G, uint64_t id) {
  return unlikely(G->kill_notes) ? lg_find_kill_note(G, id) : NULL;
}
static inline const char *lg_take_kill_note(struct lg *G, uint64_t id) {
  return unlikely(G->kill_notes) ? lg_drop_kill_note(G, id) : NULL;
}
void lg_drop_kill_notes(struct lg *G);

#endif
