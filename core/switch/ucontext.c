/* ucontext.c - the portable context switch.
 *
 * For processors without a .S file, and to compare the others with. A context
 * is a pointer to a ucontext_t: a new one at the top of its stack, a saved one
 * in the frame that called swapcontext(). Two system calls a switch (the signal
 * mask) make it some 20 times slower than the assembly.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../switch.h"

#include <stdint.h>
#include <stdlib.h>
#include <ucontext.h>

const char green__context_name[] = "ucontext";

struct frame { /* a context */
  ucontext_t machine;
  int value; /* what the switch to it passes */
};
struct fresh { /* at the top of a new stack, aligned as a stack must be */
  struct frame frame;
  void (*entry)(void *arg);
  void *arg;
};

/* makecontext() passes ints only: a pointer travels in two of them. */
static void start(unsigned upper, unsigned lower) {
  uint64_t bits = (uint64_t)upper << 32 | lower;
  struct fresh *c = (struct fresh *)(uintptr_t)bits;
  c->entry(c->arg);
  abort(); /* entry must never return */
}

void *green__context_make(char *low, char *high, void (*entry)(void *arg),
                          void *arg) {
  uintptr_t top = ((uintptr_t)high - sizeof(struct fresh)) & ~(uintptr_t)63;
  struct fresh *c = (struct fresh *)top;
  ucontext_t *machine = &c->frame.machine;
  uint64_t bits = (uint64_t)top;
  if (getcontext(machine) != 0) abort();
  c->entry = entry;
  c->arg = arg;
  machine->uc_link = NULL;
  machine->uc_stack.ss_sp = low;
  machine->uc_stack.ss_size = (size_t)((char *)c - low);
  makecontext(machine, (void (*)(void))start, 2, (unsigned)(bits >> 32),
              (unsigned)bits);
  return &c->frame;
}

int green__context_switch(void **from, void *to, int value) {
  struct frame here, *there = to;
  /* AddressSanitizer forgets what it knows of the uc_stack switched to: right
   * for a new context, wrong for this one. */
  here.machine.uc_stack.ss_sp = NULL;
  here.machine.uc_stack.ss_size = 0;
  *from = &here;
  there->value = value;
  if (swapcontext(&here.machine, &there->machine) != 0) abort();
  return here.value;
}
