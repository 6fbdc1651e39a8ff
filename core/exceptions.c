/* exceptions.c - the exceptions of C++, of which each stack has its own.
 *
 * C++ keeps the exceptions that are caught just now, and the number of those
 * under way, in two words of the OS thread. A green thread may block in a
 * handler, or in a destructor during unwinding, and `throw;` must then find its
 * own. So in a program that has C++ inside, a switch exchanges these words with
 * the stack. Others do not notice: the symbol is weak, and the test for it is
 * the one that a switch makes anyway.
 *
 * Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

/* The ABI of C++ (Itanium) has this function and these two words. */
extern struct green__exceptions *__cxa_get_globals(void) __attribute__((weak));

struct green__exceptions *green__exceptions_here(void) {
  return __cxa_get_globals ? __cxa_get_globals() : NULL;
}

void green__exceptions_swap(struct green__stack *from,
                            struct green__stack *to) {
  struct green__exceptions *here = from->hub->exceptions;
  from->exceptions = *here;
  *here = to->exceptions;
}
