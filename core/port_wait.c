/* port_wait.c - blocking calls of C threads, for ports: they keep the stack.
 *
 * The two halves of a wait, put together as a runtime does it.
 *
 * Green threads only.
 *
 * SPDX-License-Identifier: MIT
 */
#include "port.h"

static void left(struct green_hub *h, struct green_thread *t) {
  green_side_leave(h, t->on);
}

static void receive_undo(struct green_hub *h, struct green_thread *t) {
  if (t->reason == GREEN_WOKEN)
    green_port_refuse_promised(h, green_side_port(t->on));
}

static void send_undo(struct green_hub *h, struct green_thread *t) {
  if (t->reason == GREEN_WOKEN) green_port_refuse_granted(h, t->on);
}

static const struct green_wait_kind receive_kind = {"message", receive_undo,
                                                    left};
static const struct green_wait_kind send_kind = {"room in a port", send_undo,
                                                 left};

/* A reason, or a negative code. */
static int wait_at(struct green_hub *h, struct green_side *s,
                   const struct green_wait_kind *kind, uint64_t deadline) {
  int r = green_keep_reserve(h);
  if (r < 0) return r;
  r = green_wait_begin(h, kind, s, NULL, deadline);
  if (r < 0) return r;
  green_list_add(green_side_enter(h, s), &h->hot.current->node);
  return (int)green_keep(h);
}

int green_port_receive(struct green_hub *h, struct green_port *p,
                       uint64_t deadline, struct green_message **m) {
  int r;
  if (!green__port_is_home(h, p)) return UV_EPERM;
  if (deadline > 0 && (r = green__enter(h)) < 0) return r;
  r = green_port_take(h, p, m);
  if (r != UV_EAGAIN) return r;
  if (deadline == 0) return UV_ETIMEDOUT;
  r = wait_at(h, &p->receivers, &receive_kind, deadline);
  if (r == GREEN_CLOSED) return UV_EOF;
  if (r != GREEN_WOKEN) return green__result(h, r);
  /* The waker has promised a message, so nobody else can have taken it. */
  *m = green_port_take_promised(h, p);
  return 0;
}

int green_port_send_wait(struct green_hub *h, struct green_port *p,
                         struct green_message *m, uint64_t deadline) {
  struct green_side *s;
  int r;
  if (!green__at_home(h)) return UV_EPERM;
  if (deadline > 0 && (r = green__enter(h)) < 0) return r;
  r = green_port_put(h, p, m);
  if (r != UV_EAGAIN) return r;
  if (deadline == 0) return UV_ETIMEDOUT;
  if ((r = green_port_senders(h, p, &s)) < 0) return r;
  r = wait_at(h, s, &send_kind, deadline);
  if (r == GREEN_CLOSED) return UV_EPIPE;
  if (r != GREEN_WOKEN) return green__result(h, r);
  return green_port_put_granted(h, s, m);
}
