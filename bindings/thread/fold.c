/* fold.c - a stack of Lua functions as one line, as flame graphs take it.
 *
 * Reads frames only, like a debugger: where a coroutine may be looked at, this
 * may be called, in a hook as well as on a worker's stack. A frame that has no
 * room any more is left out.
 *
 * SPDX-License-Identifier: MIT
 */
#include "thread/fold.h"

#include <stdio.h>
#include <string.h>

#include "runtime/frames.h"
#include "thread/name.h"
#include "thread/thread.h"

enum { MOST_FRAMES = 32, FRAME = LUA_IDSIZE + 80 };

/* Semicolons divide frames, a line is a stack. */
static void clean(char *text, size_t length) {
  size_t i;
  for (i = 0; i < length; i++)
    if (text[i] == ';' || (unsigned char)text[i] < ' ') text[i] = ',';
}

size_t lg_fold_name(struct lg *G, struct green_thread *t, int number,
                    char *text) {
  size_t at = 0, half = LG_FOLD_NAME / 2;
  if (number)
    at = (size_t)snprintf(text, half, "#%llu ", (unsigned long long)t->id);
  at += lg_name_text(G, t, text + at, half);
  clean(text, at);
  return at;
}

static int describe(lua_State *L, lua_Debug *ar, char *text) {
  int n;
  if (!lua_getinfo(L, "Sn", ar)) return 0;
  if (*ar->what == 'C')
    n = snprintf(text, FRAME, "[C] %.60s", ar->name ? ar->name : "?");
  else if (ar->linedefined <= 0)
    n = snprintf(text, FRAME, "%s", ar->short_src);
  else
    n = snprintf(text, FRAME, "%s:%d%s%.60s", ar->short_src, ar->linedefined,
                 ar->name ? " " : "", ar->name ? ar->name : "");
  if (n <= 0 || n >= FRAME) return 0;
  clean(text, (size_t)n);
  return n;
}

size_t lg_fold(lua_State *L, char *text, size_t size) {
  char frame[FRAME];
  size_t at = 0;
  lua_Debug ar;
  int level = 0, n;
  while (level < MOST_FRAMES && lua_getstack(L, level, &ar)) level++;
  while (level-- > 0) {
    if (!lua_getstack(L, level, &ar)) continue;
    n = describe(L, &ar, frame);
    if (!n || at + (size_t)n + 1 > size) continue;
    if (at) text[at++] = ';';
    memcpy(text + at, frame, (size_t)n);
    at += (size_t)n;
  }
  return at;
}

/* Half of the room that is left is for those further in. */
size_t lg_fold_all(struct lg *G, lua_State *own, lua_State *inner, char *text,
                   size_t size) {
  lua_State *chain[LG_CHAIN];
  int n = lg_coroutines(G, own, inner, chain), i;
  size_t at = 0, room, length;
  for (i = 0; i < n; i++) {
    room = i == n - 1 ? size - at : (size - at) / 2;
    if (room < 2) continue;
    length = lg_fold(chain[i], text + at + (at > 0), room - (at > 0));
    if (length && at) text[at++] = ';';
    at += length;
  }
  assert(at <= size);
  return at;
}

size_t lg_fold_thread(struct lg *G, struct green_thread *t, char *text,
                      size_t size) {
  lua_State *from = lg_waiting_state(G, t);
  return from ? lg_fold_all(G, lg_own_state(G, t), from, text, size) : 0;
}
