/* switch.h - the context switch: two functions and a name, one file each.
 *
 * A context is a pointer to what was saved; the backend decides where that lies
 * (on the stack itself). Backends are whole files, and the build chooses one:
 * switch/x86_64.S, switch/aarch64.S, switch/ucontext.c.
 *
 * A switch preserves what the ABI calls callee-saved. The floating point
 * environment (mxcsr, x87 control word, fpcr) belongs to the OS thread: saving
 * it cost 29 ns a switch, twice the switch itself.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_SWITCH_H
#define GREEN_SWITCH_H

#include <stddef.h>

/* Prepares [low, high) so that the first switch to the returned context calls
 * entry(arg) there. entry must never return. */
void *green__context_make(char *low, char *high, void (*entry)(void *arg),
                          void *arg);
/* Saves the running context in *from and continues with `to`, where the call
 * that left returns `value`. A new context does not see it. */
int green__context_switch(void **from, void *to, int value);

extern const char green__context_name[];

#endif
