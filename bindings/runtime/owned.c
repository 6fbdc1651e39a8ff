/* owned.c - memory of C's that a Lua object owns: see owned.h.
 *
 * Never switches. Releasing never raises.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/owned.h"

#include <string.h>

#include "runtime/object.h"

void *lg_own(lua_State *L, struct lg *G, struct lg_owned **list, size_t size,
             void (*release)(struct lg_owned *o)) {
  struct lg_owned *o = lg_new_block(L, G, size);
  assert(size >= sizeof *o);
  memset(o, 0, size);
  o->G = G;
  o->release = release;
  o->size = size;
  o->before = list;
  o->after = *o->before;
  if (o->after) o->after->before = &o->after;
  *o->before = o;
  return o;
}

void lg_disown(struct lg_owned *o) {
  if (!o) return;
  assert(*o->before == o);
  *o->before = o->after;
  if (o->after) o->after->before = o->before;
  o->release(o);
  lg_block(o->G, o, o->size, 0);
}

void lg_disown_all(struct lg_owned **list) {
  while (*list) lg_disown(*list);
}
