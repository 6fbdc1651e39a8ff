/* kill_note.c - the reasons of kills that must not allocate in Lua.
 *
 * A host kills at the limit of Lua's memory, too, where each allocation would
 * be a full collection. So the reason stays with C until somebody asks for the
 * kill object, or until the thread has ended. The oldest note comes first:
 * threads end in the order of their kills, so a search is short.
 *
 * Invariant: each note is of a live thread that has a handle.
 *
 * Any stack.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/kill_note.h"

#include <stdlib.h>

struct lg_kill_note {
  struct lg_kill_note *next;
  uint64_t id;
  const char *reason;
};

void lg_note_kill(struct lg *G, uint64_t id, const char *reason) {
  struct lg_kill_note *note = malloc(sizeof *note);
  if (!note) return;
  note->next = NULL;
  note->id = id;
  note->reason = reason;
  if (!G->kill_notes) G->last_kill_note = &G->kill_notes;
  *G->last_kill_note = note;
  G->last_kill_note = &note->next;
}

const char *lg_find_kill_note(const struct lg *G, uint64_t id) {
  const struct lg_kill_note *note = G->kill_notes;
  while (note && note->id != id) note = note->next;
  return note ? note->reason : NULL;
}

const char *lg_drop_kill_note(struct lg *G, uint64_t id) {
  struct lg_kill_note **at = &G->kill_notes, *note;
  const char *reason;
  while ((note = *at) && note->id != id) at = &note->next;
  if (!note) return NULL;
  reason = note->reason;
  if (!(*at = note->next)) G->last_kill_note = at;
  free(note);
  return reason;
}

void lg_drop_kill_notes(struct lg *G) {
  while (G->kill_notes) lg_drop_kill_note(G, G->kill_notes->id);
}
