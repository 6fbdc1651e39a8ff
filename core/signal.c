/* signal.c - conditions of the program's own.
 *
 * A signal is the list of the threads that wait for it, and nothing else: the
 * condition is the program's own. A struct of zeros has no waiters, so it needs
 * no function to make it, and none to end it. It is not remembered: as nobody
 * else runs between a look at the condition and the wait, none is missed.
 *
 * The wait on a green thread, the rest on any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

_Static_assert(sizeof(struct green_signal) == sizeof(struct green_list),
               "a signal is a list");

struct green_list *green_signal_list(struct green_signal *s) {
  struct green_list *list = (struct green_list *)s;
  if (!list->link.next) green_list_init(list);
  return list;
}

static const struct green_wait_kind signal_kind = {"signal", NULL, NULL};

int green_signal_wait(struct green_hub *h, struct green_signal *s,
                      uint64_t deadline) {
  int r;
  if (!green__at_home(h)) return UV_EPERM;
  r = green__passed(h, deadline) ? green__enter_until(h, deadline)
                                 : green__enter_to_wait(h);
  if (r < 0) return r;
  r = green_wait(h, &signal_kind, s, green_signal_list(s), deadline);
  return green__result(h, r);
}

int green_signal_one(struct green_hub *h, struct green_signal *s) {
  if (!green__at_home(h)) return UV_EPERM;
  return green_wake_first(h, green_signal_list(s), GREEN_WOKEN) != NULL;
}

int green_signal_all(struct green_hub *h, struct green_signal *s) {
  if (!green__at_home(h)) return UV_EPERM;
  return green_wake_all(h, green_signal_list(s), GREEN_WOKEN);
}
