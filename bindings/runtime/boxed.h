/* boxed.h - threads that are in a sandbox.
 *
 * A sandbox is a userdata of bounds/box.c, which begins as below. A thread's is
 * one of its rare things, which its children inherit.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_BOXED_H
#define LG_BOXED_H

#include "runtime/state.h"

struct lg_boxed {
  uint32_t threads, most; /* that live in it now; that may */
  int files;              /* its threads may name some */
  struct lg_account *account;
  /* A thread has come in; or NULL. */
  void (*entered)(struct lg *G, struct lg_account *account);
};

/* Pushes the sandbox of a thread, or of a function, which is that of its
 * globals: 1; or 0, and nothing. The second may raise. */
int lg_push_box(lua_State *L, struct lg *G, struct green_thread *t);
int lg_push_box_of_function(lua_State *L, int index);
/* Makes the globals in the table on top those of the sandbox below it; pops the
 * table. May raise. */
void lg_note_box(lua_State *L);
/* Raises in a thread of a sandbox: such numbers of descriptors would open all
 * that the process has. */
void lg_refuse_in_box(lua_State *L, struct lg *G, const char *what);
/* Raises in a thread of a sandbox that may name no file. */
void lg_refuse_file_in_box(lua_State *L, struct lg *G, const char *what);
/* Raises if there is no room for one more thread in it. */
void lg_check_box(lua_State *L, const struct lg_boxed *box);
/* A thread is in it from now on. Never raises. */
void lg_enter_box(struct lg *G, struct lg_boxed *box);
/* The thread ends. Never raises. */
void lg_leave_box(struct lg *G, struct green_thread *t);

#endif
