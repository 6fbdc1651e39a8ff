/* within.c - functions under a limit, and the reason of a cancellation.
 *
 * A limit is a scope of the calling thread (scope.c) around one call: calls
 * that block in it return UV_ECANCELED from the deadline on. The caller of
 * green_within() learns UV_ETIMEDOUT instead, unless something further out
 * strikes too: that goes on.
 *
 * Green threads.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

int green_why(struct green_hub *h) {
  struct green_scope *scope;
  if (!green__at_home(h)) return UV_EPERM;
  if (!h->hot.current) return GREEN_BY_NOBODY;
  switch (green_strikes(h, h->hot.current, &scope)) {
    case GREEN_STRIKE_KILL: return GREEN_BY_KILL;
    case GREEN_STRIKE_SCOPE:
      return scope->kind == GREEN_SCOPE_TIMEOUT ? GREEN_BY_LIMIT
                                                : GREEN_BY_SCOPE;
    default: return GREEN_BY_NOBODY;
  }
}

int green_within(struct green_hub *h, uint64_t deadline, green_fn fn,
                 void *arg) {
  struct green_scope scope = {.user = 0}; /* none of the runtime's */
  int r = green__enter_until(h, deadline), struck;
  if (r == 0) r = green_scope_open(h, &scope, GREEN_SCOPE_TIMEOUT, deadline);
  if (r < 0) return r;
  r = fn(h, arg);
  struck = scope.deliveries > 0;
  green_scope_close(h, &scope);
  if (r == UV_ECANCELED && struck && green_why(h) == GREEN_BY_NOBODY)
    r = UV_ETIMEDOUT;
  return r;
}
