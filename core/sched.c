/* sched.c - the scheduler: which thread runs next.
 *
 * Owns the ready queue and every switch. A stack leaves by green__leave(),
 * which takes the next ready thread and switches straight to it: to the stack
 * it kept, or to a worker from the pool that runs it. The hub's stack is
 * switched to when nothing is ready or when a poll is due.
 *
 * Invariant: a stack that leaves has made sure that the idle pool is not empty
 * (green_keep_reserve), or is itself an idle worker; so a switch cannot fail.
 *
 * SPDX-License-Identifier: MIT
 */
#include "internal.h"

/* Most switches between two looks at the clock: 0.6 ns each instead of 20. */
enum { LONGEST = 32 };
/* A shuffle picks the next thread from the first SHUFFLED ready ones. */
enum { SHUFFLED = 16 };

void green__ready(struct green_hub *h, struct green_thread *t) {
  assert(!t->node.link.next && !t->slot);
  if (t->state != GREEN_NEW) t->state = GREEN_READY;
  green_list_add(&h->ready, &t->node);
  if (h->hot.ready++ == 0 && !h->in_batch) green__stay_awake(h);
  if (green__unlikely(--h->lag.tick == 0)) green__watch_ready(h, t);
}

/* --- looks: at the clock, and whether to poll ---
 *
 * A look costs a third of a switch, so most switches make none. The distance
 * between two looks depends on how long the last switches took: while threads
 * compute, every switch looks, and timers and sockets wait for one thread, not
 * for 32. Each look that finds the threads quick adds one to the distance and
 * does not double it: among 100 quick threads there may be 30 that compute, one
 * after the other. */

static void adapt(struct green_hub *h, uint64_t passed) {
  uint64_t most = h->options.poll_ms * UINT64_C(1000000);
  if (passed > most / 4)
    h->stride = 1;
  else if (passed < most / 32 && h->stride < LONGEST)
    h->stride++;
}

/* Shuffling and watching need a look at every switch. */
static int looks_always(const struct green_hub *h) {
  return h->shuffle_seed || h->watching;
}

/* The next look comes after `stride` switches, or before, when a poll is due or
 * a thread has its turn whose lag is timed. `next` is the number of the first
 * switch that the step counts. */
static void set_step(struct green_hub *h, uint64_t next) {
  h->step = looks_always(h) ? 1 : h->stride;
  if (h->left > 0 && h->step > (uint32_t)h->left) h->step = (uint32_t)h->left;
  if (h->lag.turn > next && h->lag.turn - next < h->step)
    h->step = (uint32_t)(h->lag.turn - next);
}

/* The last ready thread's turn is the `ready`-th switch from now. */
void green__look_at_last(struct green_hub *h) {
  h->lag.turn = h->switches + h->hot.ready;
  if (h->tick <= h->hot.ready || h->step < h->tick - h->hot.ready) return;
  h->step -= h->tick - h->hot.ready;
  h->tick = h->hot.ready;
}

void green__start_batch(struct green_hub *h, uint32_t switches) {
  h->left = switches < INT32_MAX ? (int32_t)switches : INT32_MAX;
  set_step(h, h->switches + 1);
  if (looks_always(h) || h->lag.turn == h->switches + 1) h->step = 0;
  h->tick = h->step + 1; /* the clock is read before that switch */
  green__lag_stretch(h, green__stamp(h));
  if (h->lag.now.most < h->hot.ready) h->lag.now.most = h->hot.ready;
}

void green__look_soon(struct green_hub *h) {
  h->stride = 1;
  h->tick = 1;
}

static int poll_due(struct green_hub *h) {
  if (h->real - h->last_poll < h->poll_pause) return 0;
  return h->left <= 0 ||
         h->real - h->last_poll >= h->options.poll_ms * UINT64_C(1000000);
}

/* Is the time of green_step_for() up? Each step makes one switch at least. */
static int step_over(const struct green_hub *h) {
  return h->real >= h->stop_at && h->switches != h->stepped;
}

static uint32_t random_number(struct green_hub *h) {
  h->shuffle_seed ^= h->shuffle_seed << 13;
  h->shuffle_seed ^= h->shuffle_seed >> 7;
  h->shuffle_seed ^= h->shuffle_seed << 17;
  return (uint32_t)(h->shuffle_seed >> 32);
}

/* Puts one of the first ready threads before all others. */
static void shuffle(struct green_hub *h) {
  uint32_t few = h->hot.ready < SHUFFLED ? h->hot.ready : SHUFFLED, n;
  struct green_link *chosen = h->ready.link.next;
  if (few < 2) return;
  for (n = random_number(h) % few; n > 0; n--) chosen = chosen->next;
  green_list_remove((struct green_node *)chosen);
  green__list_add_first(&h->ready, (struct green_node *)chosen);
}

/* Returns 1 if the hub is to poll before the next thread runs. */
static int look(struct green_hub *h) {
  uint64_t before = h->real;
  uint32_t watching = h->watching;
  green__read_clock(h);
  h->left -= (int32_t)h->step;
  adapt(h, h->real - before);
  set_step(h, h->switches + 1);
  h->tick = h->step;
  /* The leaving thread is charged even if the hub's turn comes first. */
  if (watching && h->hot.current)
    green__watch_left(h, h->hot.current, green__stamp(h));
  if (poll_due(h) || step_over(h)) return 1;
  if (h->lag.turn == h->switches + 1) green__lag_over(h);
  if (h->shuffle_seed) shuffle(h);
  if (watching && h->hot.ready)
    green__watch_next(h, green_list_first(&h->ready), green__stamp(h));
  return 0;
}

/* green_list_remove() would read where the list begins from the node, and what
 * is read of the list next would wait for that. */
static inline struct green_thread *take_first(struct green_list *ready) {
  struct green_thread *first = (struct green_thread *)ready->link.next;
  struct green_link *second = first->node.link.next;
  assert(first->node.thread == first && first->node.link.prev == &ready->link);
  ready->link.next = second;
  second->prev = &ready->link;
  first->node.link.next = NULL;
  return first;
}

static inline struct green_thread *next(struct green_hub *h) {
  if (green__unlikely(--h->tick == 0) && look(h)) return NULL;
  if (green__list_empty(&h->ready)) return NULL;
  h->hot.ready--;
  h->switches++;
  return take_first(&h->ready);
}

static void running(struct green_hub *h, struct green_thread *t) {
  h->hot.current = t;
  h->hot.budget = h->calls;
  t->state = GREEN_RUNNING;
  if (green__likely(t->sleeps == (uint8_t)h->hot.sleeps))
    t->flags |= GREEN_SHORT;
  else
    t->flags &= (uint8_t)~GREEN_SHORT;
}

/* Returns what the stack that switches back to this one passes. */
static inline int switch_to(struct green_hub *h, struct green__stack *to,
                            int value) {
  struct green__stack *from = h->on;
  assert(!h->hot.closed);
  if (green__unlikely(to == from)) return value;
  h->on = to;
  return green__jump(from, to, value);
}

/* To a thread that kept its stack. It is made the running one here, not where
 * it arrives: what this stack knows, the processor need not wait for. */
static inline int back_to(struct green_hub *h, struct green_thread *t,
                          int keeps) {
  assert(t->stack && t->state == GREEN_READY && !t->node.link.next);
  h->hot.kept += (uint32_t)(keeps - 1);
  running(h, t);
  t->stack->user = NULL; /* the note was for the wait that ends */
  return switch_to(h, t->stack, t->reason);
}

static void begin(struct green_hub *h, struct green__stack *s,
                  struct green_thread *t) {
  t->stack = s;
  s->owner = t;
  running(h, t);
}

/* The thread after the one that begins now will need its runtime's memory, and
 * the one after that its record. Of a Lua thread these are a lua_State and what
 * usually lies behind it, the first values of its stack. Asking for all of it
 * takes 6 of the 76 ns of a switch among 10,000 threads away (the record and
 * the lua_State alone: 3), 9 of 85 among 30,000, and costs nothing among few.
 * To read the stack ahead through Lua's API costs 4 ns more than it gains. At
 * the end of the queue these are fields of the hub, which is as good. Inlined
 * early, as gcc drops the call of a function that only prefetches. */
static inline __attribute__((always_inline)) void fetch_ahead(
    const struct green_hub *h) {
  enum { LINE = 64 };
  const struct green_thread *t = (struct green_thread *)h->ready.link.next;
  uintptr_t user = (uintptr_t)t->user; /* of the hub: any number */
  __builtin_prefetch(t->node.link.next);
  __builtin_prefetch((const void *)user);
  __builtin_prefetch((const void *)(user + LINE));
  __builtin_prefetch((const void *)(user + 2 * LINE));
  __builtin_prefetch((const void *)(user + 3 * LINE));
  __builtin_prefetch((const void *)(user + 4 * LINE));
  __builtin_prefetch((const void *)(user + 5 * LINE));
}

/* The same where stacks are kept: of the next thread's stack, the struct, which
 * tells where the frames are. That takes 40 of the 136 ns of a switch among
 * 1,000 threads away, 260 of 616 among 10,000, and costs nothing among few.
 * Asking for the frames, too, or for the runtime's memory, gains no more. */
static inline __attribute__((always_inline)) void fetch_stack_ahead(
    const struct green_hub *h) {
  const struct green_thread *t = (struct green_thread *)h->ready.link.next;
  __builtin_prefetch(t->node.link.next);
  __builtin_prefetch(t->stack); /* of the hub: anything */
}

/* The next thread is left in s->job, for the worker's loop, unless the class
 * can go on with it in the same call: returning and calling again costs a
 * mispredicted return after each lua_yield (7 ns of 80). */
struct green_thread *green_run_next(struct green_hub *h,
                                    struct green_thread *t, int how) {
  struct green__stack *s = h->on;
  const struct green_family *f = green_family_of(t); /* the record may go */
  green__stack_check(s); /* while its owner is known */
  t->stack = NULL;
  if (how != GREEN_PARKED) {
    if (green__unlikely(h->watching)) green__watch_left(h, t, uv_hrtime());
    s->owner = NULL;
    h->hot.current = NULL;
    green__thread_end(h, t, (enum green_state)t->state);
  }
  t = next(h);
  if (t && !t->stack && green_family_of(t) == f) {
    begin(h, s, t);
    fetch_ahead(h);
    return t;
  }
  s->job = t;
  s->owner = NULL;
  h->hot.current = NULL;
  return NULL;
}

/* A thread runs on this stack until it parks without it or ends; in between it
 * may have kept the stack and switched away any number of times. */
static void worker(void *arg) {
  struct green__stack *s = arg;
  struct green_hub *h = s->hub;
  for (;;) {
    struct green_thread *t = s->job;
    while (t && !t->stack) {
      begin(h, s, t);
      green__class(t)->run(h, t);
      t = s->job;
    }
    green__stack_put(h, s);
    if (t)
      back_to(h, t, 0);
    else
      switch_to(h, h->hub_stack, 0);
  }
}

/* To a thread that has no stack, or to the hub if t is NULL. */
static __attribute__((noinline)) int leave_to_worker(struct green_hub *h,
                                                     struct green_thread *t,
                                                     int keeps) {
  struct green__stack *s;
  h->hot.kept += (uint32_t)keeps;
  if (!t) {
    h->hot.current = NULL;
    return switch_to(h, h->hub_stack, 0);
  }
  s = green__stack_take(h, worker);
  s->job = t;
  return switch_to(h, s, 0);
}

/* Returns why the caller runs again, if it is a thread that keeps this stack
 * (`keeps`). Both ways end with the switch, so a function that ends with this
 * one needs no registers to be saved for it, as the switch does that: ten of
 * the 368 instructions of a sleep(0) of Lua's fewer (bench/instructions). */
static inline __attribute__((always_inline)) int leave(struct green_hub *h,
                                                       struct green_thread *t,
                                                       int keeps) {
  if (green__unlikely(!t || !t->stack)) return leave_to_worker(h, t, keeps);
  fetch_stack_ahead(h);
  return back_to(h, t, keeps);
}

void green__leave(struct green_hub *h) {
  leave(h, next(h), 0);
}

void green_preempt(struct green_hub *h, const struct green_wait_kind *kind,
                   void *note) {
  struct green__cold *cold = green__cold(h, h->hot.current);
  assert(h->stacks.idle && green__at_home(h));
  if (cold) cold->account.preempted++; /* no memory: uncounted */
  h->preempted++;
  green__catch_up(h); /* threads that have come meanwhile go before this one */
  green__look_soon(h);
  green_lap_begin(h, kind);
  h->on->user = note;
  green_keep(h);
}

uint64_t *green_stretch(struct green_hub *h, struct green_thread *t) {
  struct green__cold *cold = green__cold(h, t);
  return cold ? &cold->stretch : NULL;
}

uint64_t green_switches(const struct green_hub *h) {
  return h->switches;
}

void **green_nested(struct green_hub *h) {
  return &h->on->nested;
}

void *green_nested_of(const struct green_thread *t) {
  return t->stack ? t->stack->nested : NULL;
}

/* The thread registers no wait: it is running and stays so. */
void green_leave_frames(struct green_hub *h) {
  struct green_thread *t = h->hot.current;
  struct green__stack *from = h->on, *to = green__stack_take(h, worker);
  assert(t->flags & GREEN_RUNTIME && t->state == GREEN_RUNNING);
  assert(t->stack == from && !h->left_frames);
  green__scopes_left(h, t, from);
  from->owner = NULL;
  from->user = NULL;
  h->left_frames = from;
  t->stack = NULL;
  to->job = t;
  switch_to(h, to, 0);
}

void green_frames_left(struct green_hub *h) {
  assert(h->left_frames && h->left_frames != h->on);
  green__stack_left(h, h->left_frames);
  h->left_frames = NULL;
}

int green_keep_reserve(struct green_hub *h) {
  if (green__likely(h->stacks.idle)) return 0;
  return green__stacks_reserve(h, green__cleans_up(h));
}

/* The running thread keeps its stack and leaves to `to`. */
static inline __attribute__((always_inline)) int keep(
    struct green_hub *h, struct green_thread *to) {
  struct green_thread *t = h->hot.current;
  int reason = leave(h, to, 1);
  assert(h->hot.current == t && t->state == GREEN_RUNNING);
  assert(reason == t->reason);
  (void)t;
  return reason;
}

enum green_reason green_keep(struct green_hub *h) {
  return (enum green_reason)keep(h, next(h));
}

/* The running thread becomes the last of the ready ones. */
static inline void queue_again(struct green_hub *h,
                               const struct green_wait_kind *kind,
                               void *note) {
  struct green_thread *t = h->hot.current;
  assert(t->state == GREEN_RUNNING && !t->node.link.next && !t->slot);
  t->kind = kind;
  t->reason = GREEN_WOKEN;
  t->state = GREEN_READY;
  t->sleeps = (uint8_t)h->hot.sleeps;
  h->on->user = note;
  green_list_add(&h->ready, &t->node);
}

static __attribute__((noinline)) int lap_slowly(
    struct green_hub *h, const struct green_wait_kind *kind, void *note) {
  int r = green_keep_reserve(h);
  if (r < 0) return r;
  queue_again(h, kind, note);
  h->hot.ready++;
  return keep(h, next(h));
}

int green_lap(struct green_hub *h, const struct green_wait_kind *kind,
              void *note) {
  if (green__unlikely(!green__at_home(h))) return UV_EPERM;
  if (green__unlikely(!h->stacks.idle || h->tick == 1))
    return lap_slowly(h, kind, note);
  /* As next() does it, of a queue that is not empty and as long as before. */
  h->tick--;
  queue_again(h, kind, note);
  h->switches++;
  return keep(h, take_first(&h->ready));
}

void green_keep_note(struct green_hub *h, void *note) {
  h->on->user = note;
}

void *green_kept_note(const struct green_thread *t) {
  return t->stack ? t->stack->user : NULL;
}

/* --- chores --- */

void green_soon(struct green_hub *h, struct green_chore *c) {
  assert(!c->link && c->run);
  c->next = NULL;
  c->link = h->last_chore;
  *h->last_chore = c;
  h->last_chore = &c->next;
  if (!h->in_batch) green__stay_awake(h);
}

void green_not_soon(struct green_hub *h, struct green_chore *c) {
  if (!c->link) return;
  *c->link = c->next;
  if (c->next)
    c->next->link = c->link;
  else
    h->last_chore = c->link;
  c->link = NULL;
}

/* No thread is current, so nothing in a chore blocks. */
void green__run_chores(struct green_hub *h) {
  struct green_thread *current = h->hot.current;
  uint8_t in_batch = h->in_batch;
  struct green_chore *c;
  h->hot.current = NULL;
  h->in_batch = 1;
  while ((c = h->chores)) {
    green_not_soon(h, c);
    c->run(h, c);
  }
  h->hot.current = current;
  h->in_batch = in_batch;
}

/* On the hub's or the host's stack: runs what is ready until a poll is due. */
void green__run_batch(struct green_hub *h) {
  h->in_batch = 1;
  green__rests(h, 0);
  if (!green__list_empty(&h->ready)) green__leave(h);
  if (green__list_empty(&h->ready))
    h->lag.turn = 0; /* the timed thread ended before its turn came */
  if (green__unlikely(h->chores != NULL)) green__run_chores(h);
  green__rests(h, 1);
  h->in_batch = 0;
}

/* A small seed has few bits set, and xorshift takes long to spread them. */
void green_shuffle(struct green_hub *h, uint64_t seed) {
  h->shuffle_seed =
      seed * UINT64_C(0x9E3779B97F4A7C15); /* odd: 0 for 0 only */
  h->tick = 1;
}

/* Any thread may have woken in a sleep, so the first switch makes a look. */
void green__poll_done(struct green_hub *h, int slept) {
  h->polls++;
  h->last_poll = h->real;
  if (slept) h->stride = 1;
  green__start_batch(h, h->options.poll_switches);
}
