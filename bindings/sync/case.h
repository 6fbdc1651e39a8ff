/* case.h - the cases of green.select and of selectors: an object, or {queue,
 * "put", value}, or {object, "get"}.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_CASE_H
#define LG_CASE_H

#include "runtime/waitable.h"

/* The list in argument `arg` has n cases that are not nil: raises unless that
 * is all of it. */
void lg_case_last(lua_State *L, int arg, int n);

/* Replaces the case on top of the stack, which is number i (from 0) of
 * argument `arg`, by two values: the object, and the value to put or nil. May
 * call a user's __waitable; raises if it is no case. */
void lg_case_expand(lua_State *L, struct lg *G, int arg, int i);

/* The operation of the case that was expanded at index `at`, and its object;
 * raises if there is none. */
const struct lg_waitable *lg_case_operation(lua_State *L, struct lg *G,
                                            int arg, int i, int at,
                                            void **object);

/* Raises "bad argument #arg (case i + 1: what)". */
int lg_case_error(lua_State *L, int arg, int i, const char *what);

/* Inserts the number of the case below its results; returns how many there are
 * now. */
int lg_case_chosen(lua_State *L, int i, int results);

/* A case could not be linked, or the wait could not begin: returns nil and the
 * reason if the kernel decided so; else raises. */
int lg_case_unlinked(lua_State *L, int code);

#endif
