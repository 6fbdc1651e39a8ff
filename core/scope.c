/* scope.c - cancellation is a state.
 *
 * A thread has a chain of scopes, innermost first: timeouts, groups, shields.
 * Its kill cancels the (implicit) outermost one. The outermost cancelled scope
 * that no shield hides strikes the thread; after that, a throw does.
 * thread->pending is nonzero whenever something might strike, so that a
 * blocking call reads one byte on entry. Cancelled stays cancelled: each
 * delivery leaves it so.
 *
 * Timers fire in polls, which come late for a thread that computes or whose
 * calls never have to wait. So pending is also nonzero while a scope with a
 * deadline is open, and green_strikes() looks at the clock first for the
 * running thread: one of the first calls after the deadline is struck.
 *
 * Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

/* A kill that was swallowed this often is forced: a clean-up loop with one
 * pcall for each of a few hundred clients is legitimate. */
enum { MOST_DELIVERIES = 1000 };

/* Strikes at this moment, or possible ones: a scope may start or stop resting
 * at any time. */
enum which { NOW, EVER };

static int is_awake(struct green_hub *h, struct green_scope *s) {
  return !s->awake || s->awake(h, s);
}

static int hides(struct green_hub *h, const struct green_thread *t,
                 struct green_scope *s, enum which which) {
  if (s->kind != GREEN_SHIELD || s->cancelled) return 0;
  if (t->flags & GREEN_FORCED || green__draining(h, t) >= 2) return 0;
  return which == NOW ? is_awake(h, s) : !s->awake;
}

static int counts(struct green_hub *h, struct green_scope *s,
                  enum which which) {
  if (s->kind == GREEN_SHIELD || !s->cancelled) return 0;
  return which == EVER || is_awake(h, s);
}

static enum green_strike strikes(struct green_hub *h, struct green_thread *t,
                                 struct green_scope **scope,
                                 enum which which) {
  struct green_scope *s;
  *scope = NULL;
  for (s = t->scopes; s; s = s->outer) {
    /* The shield hides scopes further out, the kill and a throw as well. */
    if (hides(h, t, s, which))
      return *scope ? GREEN_STRIKE_SCOPE : GREEN_STRIKE_NONE;
    if (counts(h, s, which)) *scope = s; /* the outermost one is found last */
  }
  if (t->flags & GREEN_STRUCK) return GREEN_STRIKE_KILL;
  if (*scope) return GREEN_STRIKE_SCOPE;
  return t->cold && t->cold->thrown ? GREEN_STRIKE_THROW : GREEN_STRIKE_NONE;
}

/* --- pending, and the clock --- */

enum { PENDING_STRIKE = 1, PENDING_TIME = 2 };

static int is_timed(const struct green_thread *t) {
  const struct green_scope *s = t->scopes;
  while (s && !s->timer.slot) s = s->outer;
  return s ? PENDING_TIME : 0;
}

void green__pending_update(struct green_hub *h, struct green_thread *t) {
  struct green_scope *scope;
  int strike = strikes(h, t, &scope, EVER) ? PENDING_STRIKE : 0;
  t->pending = (uint8_t)(strike | is_timed(t));
}

static int is_over(struct green_hub *h, const struct green_scope *s,
                   uint64_t now) {
  return s->timer.slot && green_timer_deadline(h, s->timer.slot) <= now;
}

static void struck(struct green_hub *h, const struct green_thread *t,
                   enum green_strike strike) {
  green__trace(h, GREEN__STRUCK, t->id, (int)strike,
               h->hot.current ? h->hot.current->id : 0);
}

static void cancel(struct green_hub *h, struct green_scope *s) {
  struck(h, s->thread, GREEN_STRIKE_SCOPE);
  s->cancelled = 1;
  green_timer_stop(h, &s->timer);
}

/* Cancels those scopes of the running thread whose deadline has passed. Most
 * looks read the kernel's coarse clock, which takes 4 ns of a call's 30 instead
 * of 22. It is 1 to 10 ms late, so each eighth look in a row reads the exact
 * one. */
static void look_at_clock(struct green_hub *h, struct green_thread *t) {
  uint64_t now = h->hot.budget % 8 ? green__time_coarse(h) : green_time(h);
  struct green_scope *s;
  int found = 0;
  if (!h->heap.count || h->heap.at[1].deadline > now) return;
  for (s = t->scopes; s; s = s->outer)
    if (is_over(h, s, now)) cancel(h, s), found = 1;
  if (found) green__pending_update(h, t);
}

enum green_strike green_strikes(struct green_hub *h, struct green_thread *t,
                                struct green_scope **scope) {
  if (t->pending & PENDING_TIME && t == h->hot.current) look_at_clock(h, t);
  if (t->pending != PENDING_TIME) return strikes(h, t, scope, NOW);
  *scope = NULL;
  return GREEN_STRIKE_NONE;
}

void green__interrupt(struct green_hub *h, struct green_thread *t) {
  struct green_scope *scope;
  green__pending_update(h, t);
  if (t->pending && t->state == GREEN_BLOCKED &&
      !(t->flags & GREEN_UNINTERRUPTIBLE) && green_strikes(h, t, &scope))
    green_wake(h, t, GREEN_INTERRUPT);
}

uint32_t green_ms(struct green_hub *h) {
  return (uint32_t)((green__real(h) - h->opened) / 1000000);
}

int green_overdue(struct green_hub *h, struct green_thread *t, int anew) {
  int often = t->flags & GREEN_FORCED || t->deliveries > MOST_DELIVERIES;
  assert(t->flags & GREEN_STRUCK);
  if ((anew || !often) &&
      green_ms(h) - t->struck_ms < h->options.grace / 1000000)
    return 0;
  t->flags |= GREEN_FORCED;
  return 1;
}

/* The other threads get a turn before each delivery but the first. */
static int deliver_scope(struct green_scope *scope) {
  if (scope->deliveries < UINT16_MAX) scope->deliveries++;
  return scope->deliveries == 1 ? GREEN_AT_ONCE : GREEN_LAP_FIRST;
}

static int deliver_kill(struct green_hub *h, struct green_thread *t) {
  if (t->deliveries < UINT16_MAX) t->deliveries++;
  if (t->deliveries > 1)
    return green_overdue(h, t, 0) ? GREEN_FORCE : GREEN_LAP_FIRST;
  t->struck_ms = green_ms(h);
  return t->flags & GREEN_FORCED ? GREEN_FORCE : GREEN_AT_ONCE;
}

int green_deliver(struct green_hub *h, enum green_strike strike,
                  struct green_scope *scope) {
  assert(strike != GREEN_STRIKE_NONE);
  if (h->hot.current)
    green__trace(h, GREEN__DELIVERED, h->hot.current->id, (int)strike, 0);
  if (strike == GREEN_STRIKE_SCOPE) return deliver_scope(scope);
  if (strike == GREEN_STRIKE_KILL) return deliver_kill(h, h->hot.current);
  return GREEN_AT_ONCE; /* a throw: the caller takes the code */
}

int green_kill(struct green_hub *h, struct green_thread *t) {
  if (!green__at_home(h)) return UV_EPERM;
  if (!t || t->state >= GREEN_DONE) return 0;
  if (green_unstart(h, t)) return 1;
  if (!(t->flags & GREEN_STRUCK)) {
    t->flags |= GREEN_STRUCK;
    struck(h, t, GREEN_STRIKE_KILL);
    t->struck_ms = green_ms(h); /* until it is delivered */
    green__look_soon(h);        /* it may compute, and hold all others up */
    if (h->runtime && h->runtime->killed) h->runtime->killed(h, t);
    green__interrupt(h, t);
  }
  return 1;
}

/* As if the kill had been delivered two graces ago: nothing is left to wait
 * for. */
int green_end(struct green_hub *h, struct green_thread *t) {
  int r;
  if (t->state >= GREEN_DONE) return 0;
  if (t->state != GREEN_NEW) t->flags |= GREEN_FORCED;
  r = green_kill(h, t);
  if (r != 1 || t->state >= GREEN_DONE) return r;
  if (!t->deliveries) t->deliveries = 1;
  t->struck_ms = green_ms(h) - (uint32_t)(h->options.grace / 500000);
  green__interrupt(h, t);
  return 1;
}

int green_throw(struct green_hub *h, struct green_thread *t, int error) {
  struct green__cold *cold;
  if (!green__at_home(h)) return UV_EPERM;
  if (!t || t->state >= GREEN_DONE) return UV_ESRCH;
  cold = green__cold(h, t);
  if (!cold) return UV_ENOMEM;
  if (cold->thrown) return UV_EALREADY;
  cold->thrown = error;
  struck(h, t, GREEN_STRIKE_THROW);
  green__interrupt(h, t);
  return 0;
}

int green_thrown(const struct green_thread *t) {
  return t->cold ? t->cold->thrown : 0;
}

int green_take_throw(struct green_hub *h, struct green_thread *t) {
  int error = t->cold ? t->cold->thrown : 0;
  if (error) {
    t->cold->thrown = 0;
    green__pending_update(h, t);
  }
  return error;
}

/* A thread that was killed or struck, or that holds a shield, cleans up, which
 * must not fail because no stack is left. The same holds for links and reports
 * of ended threads, and for main, which would have to end all others. */
int green__cleans_up(const struct green_hub *h) {
  const struct green_thread *t = h->hot.current;
  const struct green_scope *s;
  if (!t || t == h->main || green__draining(h, t)) return 1;
  if (t->flags & (GREEN_STRUCK | GREEN_CLEANUP)) return 1;
  for (s = t->scopes; s; s = s->outer)
    if (s->cancelled || s->kind == GREEN_SHIELD) return 1;
  return 0;
}

/* --- scopes --- */

static void expired(struct green_hub *h, struct green_timer *timer) {
  green_scope_cancel(h, green__container(timer, struct green_scope, timer));
}

/* Right outside of `inner`, or innermost. */
static void link_scope(struct green_scope *s, struct green_thread *t,
                       struct green_scope *inner) {
  struct green_scope **from = inner ? &inner->outer : &t->scopes;
  assert(!inner || inner->thread == t);
  s->thread = t;
  s->inner = inner;
  s->outer = *from;
  if (s->outer) s->outer->inner = s;
  *from = s;
}

static void unlink_scope(struct green_scope *s) {
  if (s->outer) s->outer->inner = s->inner;
  if (s->inner)
    s->inner->outer = s->outer;
  else
    s->thread->scopes = s->outer;
  s->thread = NULL;
}

int green_scope_open(struct green_hub *h, struct green_scope *s,
                     enum green_scope_kind kind, uint64_t deadline) {
  struct green_thread *t;
  if (!green__at_home(h) || !(t = h->hot.current)) return UV_EPERM;
  s->timer.slot = 0;
  s->timer.fire = expired;
  s->awake = NULL;
  s->deadline = deadline;
  s->kind = (uint8_t)kind;
  s->cancelled = 0;
  s->deliveries = 0;
  if (deadline != GREEN_FOREVER) {
    int r = green_timer_start(h, &s->timer, deadline);
    if (r < 0) return r;
  }
  link_scope(s, t, NULL);
  if (s->timer.slot) t->pending |= PENDING_TIME;
  if (kind == GREEN_SHIELD) green__pending_update(h, t);
  return 0;
}

/* A scope has changed that neither strikes nor hides anything: a look at all
 * others would make nested ones quadratic. */
static void update_timed(struct green_thread *t) {
  t->pending = (uint8_t)((t->pending & PENDING_STRIKE) | is_timed(t));
}

void green_scope_close(struct green_hub *h, struct green_scope *s) {
  struct green_thread *t = s->thread;
  if (!t) return;
  green_timer_stop(h, &s->timer);
  unlink_scope(s);
  if (s->cancelled || s->kind == GREEN_SHIELD)
    green__interrupt(h, t);
  else if (t->pending)
    update_timed(t);
}

void green__scopes_left(struct green_hub *h, struct green_thread *t,
                        const struct green__stack *stack) {
  struct green_scope *s, *outer;
  for (s = t->scopes; s; s = outer) {
    outer = s->outer;
    if ((char *)s >= stack->low && (char *)s < stack->high)
      green_scope_close(h, s);
  }
}

void green_scope_cancel(struct green_hub *h, struct green_scope *s) {
  if (s->cancelled || !s->thread) return;
  cancel(h, s);
  green__interrupt(h, s->thread);
}

int green_scope_restart(struct green_hub *h, struct green_scope *s,
                        uint64_t deadline) {
  int r, matters = s->cancelled || s->kind == GREEN_SHIELD;
  assert(s->thread);
  s->deadline = deadline;
  s->cancelled = 0;
  s->deliveries = 0;
  r = green_timer_start(h, &s->timer, deadline);
  if (matters)
    green__pending_update(h, s->thread);
  else
    update_timed(s->thread);
  return r;
}

void green_scope_move(struct green_hub *h, struct green_scope *s,
                      struct green_scope *inner) {
  struct green_thread *from = s->thread, *to = h->hot.current;
  assert(from && s != inner && s->kind != GREEN_SHIELD);
  unlink_scope(s);
  link_scope(s, to, inner);
  /* Only a cancellation during a wait interrupts it, so cancel the scope
   * again. */
  if (s->cancelled && green_timer_start(h, &s->timer, 1) == 0)
    s->cancelled = 0;
  green__pending_update(h, from);
  green__pending_update(h, to);
}

int green_scope_cancelled(struct green_hub *h, struct green_scope *s) {
  if (is_over(h, s, green_time(h))) green_scope_cancel(h, s);
  return s->cancelled;
}

uint64_t green_scope_deadline(struct green_hub *h, struct green_thread *t) {
  uint64_t nearest = GREEN_FOREVER;
  struct green_scope *s;
  for (s = t->scopes; s && !hides(h, t, s, NOW); s = s->outer)
    if (s->kind == GREEN_SCOPE_TIMEOUT && s->deadline < nearest &&
        is_awake(h, s))
      nearest = s->deadline;
  return nearest;
}
