/* fold.h - a stack of Lua functions as one line, as flame graphs take it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_FOLD_H
#define LG_FOLD_H

#include "runtime/state.h"

enum { LG_FOLD_SIZE = 4096 };

/* Writes "file:line f;file:line g", the outermost function first, each by the
 * line where it begins: the innermost 32 of a coroutine. Without an end;
 * returns the length. None uses memory of Lua, runs finalizers or raises. */
size_t lg_fold(lua_State *L, char *text, size_t size);
/* The same of coroutines that run inside of each other: from a thread's own
 * one, or NULL, to the innermost. */
size_t lg_fold_all(struct lg *G, lua_State *own, lua_State *inner, char *text,
                   size_t size);
/* The same of a thread that does not run: up to the one in which it waits. */
size_t lg_fold_thread(struct lg *G, struct green_thread *t, char *text,
                      size_t size);
/* Writes "name", or "#7 name", of at most LG_FOLD_NAME bytes. */
enum { LG_FOLD_NAME = 2 * 96 };
size_t lg_fold_name(struct lg *G, struct green_thread *t, int number,
                    char *text);

#endif
