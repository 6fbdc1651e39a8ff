/* wait.c - park and wake.
 *
 * A thread that waits is GREEN_BLOCKED, its node linked in the list of what it
 * waits for, its slot in the timer heap if there is a deadline. Every end of a
 * wait goes through green_wake(), which undoes all of that at once and puts the
 * thread at the tail of the ready queue. So there is exactly one wake-up for
 * each wait, and a stale one finds a thread that is not blocked.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

static int may_block(struct green_hub *h) {
  if (!green__at_home(h)) return UV_EPERM; /* before anything is read */
  return h->hot.current && !h->hot.closed ? 0 : UV_EPERM;
}

static void describe(struct green_hub *h, struct green_thread *t,
                     const struct green_wait_kind *kind, void *on) {
  t->kind = kind;
  t->on = on;
  t->since = h->now;
  t->sleeps = (uint8_t)h->hot.sleeps;
}

int green_wait_begin(struct green_hub *h, const struct green_wait_kind *kind,
                     void *on, struct green_list *list, uint64_t deadline) {
  struct green_thread *t;
  int r = may_block(h);
  if (r < 0) return r;
  t = h->hot.current;
  if (deadline != GREEN_FOREVER) {
    r = green__heap_add(h, (uintptr_t)t, deadline);
    if (r < 0) return r;
  }
  describe(h, t, kind, on);
  t->state = GREEN_BLOCKED;
  if (list) green_list_add(list, &t->node);
  return 0;
}

int green_lap_begin(struct green_hub *h, const struct green_wait_kind *kind) {
  struct green_thread *t;
  if (!green__at_home(h)) return UV_EPERM;
  t = h->hot.current;
  describe(h, t, kind, NULL);
  t->reason = GREEN_WOKEN;
  green__ready(h, t);
  return 0;
}

/* Unlinks a blocked thread from everything it waits in. */
void green__wait_end(struct green_hub *h, struct green_thread *t) {
  assert(t->state == GREEN_BLOCKED);
  if (t->node.link.next) green_list_remove(&t->node);
  if (t->slot) green__heap_remove(h, t->slot);
  if (t->kind->leave) t->kind->leave(h, t);
}

int green_wake(struct green_hub *h, struct green_thread *t,
               enum green_reason reason) {
  if (t->state != GREEN_BLOCKED) return 0;
  green__wait_end(h, t);
  t->reason = (uint8_t)reason;
  green__ready(h, t);
  return 1;
}

int green_wake_node(struct green_hub *h, struct green_node *node,
                    enum green_reason reason) {
  /* One of many nodes: the end of the wait unlinks the others only. */
  if (node != &node->thread->node) green_list_remove(node);
  return green_wake(h, node->thread, reason);
}

struct green_thread *green_wake_first(struct green_hub *h,
                                      struct green_list *list,
                                      enum green_reason reason) {
  struct green_node *node = green_list_head(list);
  struct green_thread *t = node ? node->thread : NULL;
  if (t) green_wake_node(h, node, reason);
  return t;
}

int green_wake_all(struct green_hub *h, struct green_list *list,
                   enum green_reason reason) {
  struct green_node *node;
  int n;
  for (n = 0; (node = green_list_head(list)); n++) {
    if (green__likely(node->thread)) {
      green_wake_node(h, node, reason);
    } else {
      struct green_watch *watch = (struct green_watch *)node;
      green_list_remove(node);
      watch->kind->fire(h, watch);
    }
  }
  return n;
}

/* --- blocking functions of the C face: always keep the stack --- */

static const struct green_wait_kind lap_kind = {"turn", NULL, NULL};
static const struct green_wait_kind sleep_kind = {"sleep", NULL, NULL};
static const struct green_wait_kind others_kind = {"wait_others", NULL, NULL};

static int lap(struct green_hub *h) {
  int r = green_keep_reserve(h);
  if (r < 0) return r;
  if (h->hot.budget < 0) green_budget_spent(h);
  r = green_lap_begin(h, &lap_kind);
  if (r == 0) green_keep(h);
  return r;
}

static int interrupted(struct green_hub *h, enum green_strike strike,
                       struct green_scope *scope) {
  struct green_thread *t = h->hot.current;
  if (green_deliver(h, strike, scope) != GREEN_AT_ONCE || --h->hot.budget < 0)
    lap(h);
  return strike == GREEN_STRIKE_THROW ? green_take_throw(h, t) : UV_ECANCELED;
}

/* Not inlined, so that the common case takes no address of a local and needs no
 * stack protector. */
static __attribute__((noinline)) int enter_pending(struct green_hub *h) {
  struct green_scope *scope;
  enum green_strike strike = green_strikes(h, h->hot.current, &scope);
  if (strike) return interrupted(h, strike, scope);
  return --h->hot.budget < 0 ? lap(h) : 0;
}

/* Each blocking function enters here. A pending strike comes first, before any
 * effect; a thread whose calls never have to wait goes to the end of the ready
 * queue when its budget is spent. */
int green__enter(struct green_hub *h) {
  int r = may_block(h);
  if (r < 0) return r;
  if (green__unlikely(h->hot.current->pending)) return enter_pending(h);
  return green__unlikely(--h->hot.budget < 0) ? lap(h) : 0;
}

int green__enter_to_wait(struct green_hub *h) {
  struct green_scope *scope;
  enum green_strike strike;
  int r = may_block(h);
  if (r < 0 || !h->hot.current->pending) return r;
  strike = green_strikes(h, h->hot.current, &scope);
  return strike ? interrupted(h, strike, scope) : 0;
}

int green__result(struct green_hub *h, int reason) {
  struct green_scope *scope;
  enum green_strike strike;
  switch (reason) {
    case GREEN_WOKEN: return 0;
    case GREEN_TIMEOUT: return UV_ETIMEDOUT;
    case GREEN_CLOSED: return UV_EBADF;
    case GREEN_DEADLOCK: return GREEN_EDEADLK;
    case GREEN_INTERRUPT:
      /* No strike: it was taken back before this thread ran. */
      strike = green_strikes(h, h->hot.current, &scope);
      return strike ? interrupted(h, strike, scope) : UV_ECANCELED;
    default: return reason < 0 ? reason : UV_ECANCELED;
  }
}

int green_wait(struct green_hub *h, const struct green_wait_kind *kind,
               void *on, struct green_list *list, uint64_t deadline) {
  int r;
  if (green__passed(h, deadline)) return GREEN_TIMEOUT;
  if ((r = green_keep_reserve(h)) < 0) return r;
  r = green_wait_begin(h, kind, on, list, deadline);
  return r < 0 ? r : (int)green_keep(h);
}

int green_yield(struct green_hub *h) {
  int r = green__enter(h);
  return r < 0 ? r : lap(h);
}

int green_sleep(struct green_hub *h, uint64_t deadline) {
  int r;
  if (deadline == 0) return green_yield(h);
  if ((r = green__enter(h)) < 0) return r;
  r = green__result(h, green_wait(h, &sleep_kind, NULL, NULL, deadline));
  return r == UV_ETIMEDOUT ? 0 : r;
}

/* On the stack of a joiner: the record of an ended thread that nobody holds is
 * another's by the time that the joiner runs. */
struct join {
  struct green_thread *thread;
  int over, outcome;
};

/* Of one that has ended. */
static int outcome_of(const struct green_thread *t) {
  if (t->state == GREEN_KILLED) return UV_ECANCELED;
  if (t->state == GREEN_FAILED) return UV_UNKNOWN;
  return t->flags & GREEN_RUNTIME ? 0 : t->result;
}

static void note_outcome(struct join *join) {
  if (join->thread->state < GREEN_DONE) return;
  join->over = 1;
  join->outcome = outcome_of(join->thread);
}

/* The wait ends: by the thread's end, or before it. */
static void join_left(struct green_hub *h, struct green_thread *joiner) {
  (void)h;
  note_outcome(joiner->on);
}

static const struct green_wait_kind join_kind = {"join", NULL, join_left};

/* Only what green_spawn() gave out is the caller's to forget. */
static void forget(struct green_hub *h, struct green_thread *t, uint64_t id) {
  if (t->id == id && t != h->main && t->flags & GREEN_HELD &&
      !(t->flags & GREEN_RUNTIME))
    green_forget(h, t);
}

int green_join(struct green_hub *h, struct green_thread *t, uint64_t deadline,
               int *result) {
  struct join join = {t, 0, 0};
  uint64_t id = t ? t->id : 0;
  int r = 0;
  if (!green__at_home(h)) return UV_EPERM;
  if (!t) return UV_ESRCH;
  if (t == h->hot.current) return UV_EINVAL;
  if (deadline > 0 && (r = green__enter(h)) < 0) return r;
  if (t->id != id || !id) return UV_ESRCH; /* it ended, and nobody held it */
  note_outcome(&join);
  if (!join.over) {
    if (deadline == 0) return UV_ETIMEDOUT;
    r = green_wait(h, &join_kind, &join, &t->joiners, deadline);
    if ((r = green__result(h, r)) < 0) return r;
    assert(join.over);
  }
  if (result) *result = join.outcome;
  forget(h, t, id);
  return 0;
}

void green_detach(struct green_hub *h, struct green_thread *t) {
  if (green__at_home(h) && t) forget(h, t, t->id);
}

int green_wait_others(struct green_hub *h, uint64_t deadline) {
  int r = 0;
  if (!green__at_home(h)) return UV_EPERM;
  for (;;) {
    if (deadline > 0 && (r = green__enter(h)) < 0) return r;
    if (green_live(h) <= 1) return 0;
    h->ends_matter = 1;
    r = green_wait(h, &others_kind, NULL, &h->others, deadline);
    if ((r = green__result(h, r)) < 0) return r;
  }
}
