/* overrun.c - the limits of time for the threads of a state, and interruptions
 * from outside.
 *
 * A thread that has computed for a slice is made to yield, even in
 * green.atomic. One that computes for a stretch without a wait, through any
 * number of slices, is ended, and so is one that is older than its life,
 * whatever it does. An end is a kill that is forced at once: nothing is raised
 * in a hook where no pcall catches it, which would turn the hooks of the
 * coroutine off for good (runtime/force.c).
 *
 * A thread's age is that of its number. Several times in a life it is noted
 * which number comes next; all threads with smaller ones are too old a life
 * later. So a thread costs nothing, and lives for up to an eighth longer.
 *
 * The actions run where Lua runs, in a hook; the timer on the hub.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/ticks.h"

#include <stdlib.h>

#include "runtime/counts.h"
#include "runtime/kill_note.h"
#include "runtime/object.h"
#include "runtime/site.h"

/* Notes in a life. One more is kept, for the present. */
enum { NOTES = 8 };
/* A stretch and a life are looked after at least so often, in ns of CPU. */
enum { LOOK_NS = 10000000 };

/* --- ends --- */

static void end(struct lg *G, struct green_thread *t, const char *why) {
  if (t->user_flags & LG_HANDLED && !(t->flags & GREEN_STRUCK))
    lg_note_kill(G, t->id, why);
  green_end(G->hub, t);
}

/* --- lives --- */

/* The lives of the threads of a state, or of those in one of its sandboxes. */
struct lg_terms {
  struct green_timer timer; /* first: fired() relies on it */
  struct lg_terms *next;
  struct lg *G;
  struct lg_account *box; /* NULL: of all threads of the state */
  uint64_t life;
  uint64_t at[NOTES], next_id[NOTES]; /* when it was which number's turn */
  int count;                          /* notes so far; the last are kept */
};

static uint64_t next_number(struct lg *G) {
  struct green_stats s;
  green_stats(G->hub, &s);
  return s.spawned + 1;
}

static void note(struct lg_terms *terms) {
  terms->at[terms->count % NOTES] = green_time(terms->G->hub);
  terms->next_id[terms->count % NOTES] = next_number(terms->G);
  terms->count++;
}

/* Smaller numbers are older than a life. */
static uint64_t oldest_number(const struct lg_terms *terms) {
  uint64_t now = green_time(terms->G->hub), number = 0;
  int i;
  for (i = 0; i < NOTES && i < terms->count; i++)
    if (now - terms->at[i] >= terms->life && terms->next_id[i] > number)
      number = terms->next_id[i];
  return number;
}

struct search {
  const struct lg_terms *terms;
  uint64_t number;
};

static void end_old(struct green_thread *t, void *arg) {
  const struct search *s = arg;
  struct lg *G = s->terms->G;
  if (t->id >= s->number) return;
  if (!s->terms->box || lg_account_of(G, t) == s->terms->box)
    end(G, t, "its life is over");
}

/* Notes the present if it is time, and ends what is too old. */
static void look_at(struct lg_terms *terms) {
  struct lg *G = terms->G;
  struct search s = {terms, oldest_number(terms)};
  int last = (terms->count + NOTES - 1) % NOTES;
  if (terms->count &&
      green_time(G->hub) - terms->at[last] < terms->life / (NOTES - 1))
    return;
  note(terms);
  if (s.number) green_each_of(G->hub, &G->family, end_old, &s);
}

static void look_at_lives(struct lg *G) {
  struct lg_terms *terms;
  for (terms = G->terms; terms; terms = terms->next) look_at(terms);
}

static void start_timer(struct lg_terms *terms);

/* Without threads there is nothing to wait for, and a host's loop may end. */
static void fired(struct green_hub *hub, struct green_timer *timer) {
  struct lg_terms *terms = (struct lg_terms *)timer;
  (void)hub;
  look_at(terms);
  if (terms->G->family.live > 0) start_timer(terms);
}

static void start_timer(struct lg_terms *terms) {
  terms->timer.fire = fired;
  green_timer_start(terms->G->hub, &terms->timer,
                    green_time(terms->G->hub) + terms->life / (NOTES - 1) + 1);
}

static void begin(struct lg_terms *terms) {
  assert(terms->life && terms->G->hub);
  if (terms->timer.slot) return;
  terms->count = 0;
  note(terms);
  start_timer(terms);
}

/* The terms of the state are the first in the list. */
static struct lg_terms *of_state(const struct lg *G) {
  return G->terms && !G->terms->box ? G->terms : NULL;
}

static void born(struct lg *G) {
  struct lg_terms *terms = of_state(G);
  if (terms) begin(terms);
}

void lg_box_entered(struct lg *G, struct lg_account *a) {
  (void)G;
  if (a->terms) begin(a->terms);
}

/* --- actions --- */

static uint64_t shorter(uint64_t a, uint64_t b) {
  if (!a || !b) return a ? a : b;
  return a < b ? a : b;
}

static const struct lg_account *box_of(struct lg *G) {
  struct green_thread *t = G->timed_boxes ? lg_current(G) : NULL;
  return t ? lg_account_of(G, t) : NULL;
}

static int end_running(lua_State *L, struct lg *G, lua_Debug *ar,
                       uint64_t ran) {
  struct green_thread *t = lg_current(G);
  const struct lg_account *box;
  uint64_t most;
  (void)L, (void)ar;
  if (!lg_is_lua(t)) return 0;
  box = box_of(G);
  most = shorter(G->limits.stretch, box ? box->stretch : 0);
  if (most && lg_stretch(G, t, ran) >= most)
    end(G, t, "it computed for too long");
  else if (G->terms)
    look_at_lives(G);
  return 0;
}

static int slice(lua_State *L, struct lg *G, lua_Debug *ar, uint64_t ran) {
  const struct lg_account *box = box_of(G);
  uint64_t most = shorter(G->limits.slice, box ? box->slice : 0);
  if (!most || ran < most) return 0;
  return lg_make_yield(L, G, ar, ran);
}

static int interrupt(lua_State *L, struct lg *G, lua_Debug *ar, uint64_t ran) {
  int how = __atomic_exchange_n(&G->ticks->interrupt, 0, __ATOMIC_RELAXED);
  struct green_thread *t = lg_current(G);
  if (how == 2 && lg_is_lua(t)) {
    end(G, t, "interrupted");
    return 0;
  }
  if (!lg_make_yield(L, G, ar, ran)) return 0;
  __atomic_store_n(&G->ticks->interrupt, how, __ATOMIC_RELAXED);
  return 1;
}

static int tell_long(lua_State *L, struct lg *G, lua_Debug *ar, uint64_t ran) {
  struct lg_ticks *T = G->ticks;
  uint64_t run = green_switches(G->hub) + 1;
  (void)ar;
  if (!T->on_long || T->long_told == run || !lua_checkstack(L, 8)) return 0;
  T->long_told = run;
  lg_push_where(L, L, 0);
  T->on_long(G->hub, lg_current(G), ran, lua_tostring(L, -1), T->long_arg);
  lua_pop(L, 1);
  return 0;
}

/* --- on and off --- */

static struct lg_terms *new_terms(struct lg *G, uint64_t life) {
  struct lg_terms *terms = calloc(1, sizeof *terms);
  if (!terms) return NULL;
  terms->G = G;
  terms->life = life;
  return terms;
}

static void drop_terms(struct lg *G, struct lg_terms *terms) {
  struct lg_terms **at = &G->terms;
  while (*at != terms) at = &(*at)->next;
  *at = terms->next;
  green_timer_stop(G->hub, &terms->timer);
  assert(!terms->timer.slot && (!terms->box || terms->box->terms == terms));
  if (terms->box) terms->box->terms = NULL;
  free(terms);
}

/* `made` is for the case that the state had no limit before. */
static void set_life(struct lg *G, uint64_t life, struct lg_terms *made) {
  struct lg_terms *terms = of_state(G);
  if (made) {
    made->next = G->terms;
    terms = G->terms = made;
  }
  if (!life) {
    if (terms) drop_terms(G, terms);
    G->born = NULL;
    return;
  }
  G->born = born;
  if (terms->timer.slot && life != terms->life) {
    green_timer_stop(G->hub, &terms->timer); /* it goes by the former life */
    terms->life = life;
    start_timer(terms);
  }
  terms->life = life;
  if (G->family.live > 0) begin(terms);
}

/* How often to look whether a thread must end. */
static uint64_t look_every(uint64_t stretch, uint64_t life) {
  uint64_t least = stretch && stretch < LOOK_NS ? stretch : LOOK_NS;
  if (!stretch && !life) return 0;
  return life && life < least ? life : least;
}

/* 0, or why nothing has changed. */
static const char *set_ticks(struct lg *G, const struct green_lua_limits *l) {
  uint64_t former = lg_ticks_get(G, LG_TICK_SLICE);
  uint64_t look = look_every(l->stretch, l->life);
  const char *why =
      lg_ticks_set(G, LG_TICK_SLICE, shorter(l->slice, G->box_slice));
  if (why) return why;
  why = lg_ticks_set(G, LG_TICK_END, shorter(look, G->box_look));
  if (why) lg_ticks_set(G, LG_TICK_SLICE, former);
  return why;
}

int lg_terms_set(struct lg *G, const struct green_lua_limits *l,
                 const char **why) {
  struct lg_terms *made = NULL;
  *why = "not enough memory";
  if (l->life && !of_state(G) && !(made = new_terms(G, 0))) return UV_ENOMEM;
  if ((*why = set_ticks(G, l))) {
    free(made);
    return UV_ENOTSUP;
  }
  set_life(G, l->life, made);
  G->limits.slice = l->slice;
  G->limits.stretch = l->stretch;
  G->limits.life = l->life;
  return 0;
}

void lg_terms_off(struct lg *G) {
  while (G->terms) drop_terms(G, G->terms);
  G->born = NULL;
}

int lg_has_terms(const struct lg *G) {
  return G->limits.stretch || G->terms || G->box_look;
}

/* --- of sandboxes --- */

const char *lg_box_times_on(struct lg *G, struct lg_account *a) {
  uint64_t slice = G->box_slice, look = G->box_look;
  const char *why = NULL;
  assert(!a->timed && !a->terms);
  if (a->life && !(a->terms = new_terms(G, a->life)))
    return "not enough memory";
  G->box_slice = shorter(slice, a->slice);
  G->box_look = shorter(look, look_every(a->stretch, a->life));
  if ((why = set_ticks(G, &G->limits))) {
    G->box_slice = slice;
    G->box_look = look;
    free(a->terms);
    a->terms = NULL;
    return why;
  }
  G->timed_boxes++;
  a->timed = 1;
  if (!a->terms) return NULL;
  a->terms->box = a;
  if (of_state(G)) { /* it stays the first */
    a->terms->next = G->terms->next;
    G->terms->next = a->terms;
  } else {
    a->terms->next = G->terms;
    G->terms = a->terms;
  }
  return NULL;
}

/* Its threads have ended. Ticks may stay as short until the last such sandbox
 * is gone. */
void lg_box_times_off(struct lg *G, struct lg_account *a) {
  if (!a->timed || !G->hub) return;
  a->timed = 0;
  if (a->terms) drop_terms(G, a->terms);
  assert(!a->terms && G->timed_boxes > 0);
  if (--G->timed_boxes > 0) return;
  G->box_slice = G->box_look = 0;
  set_ticks(G, &G->limits);
}

/* --- for hosts --- */

int green_lua_interruptible(lua_State *L) {
  struct lg *G = lg_find(L);
  if (!G || !G->hub) return UV_EINVAL;
  if (green_elsewhere(G->hub)) return UV_EPERM;
  return lg_ticks_interruptible(G) ? UV_ENOTSUP : 0;
}

int green_on_long(lua_State *L, uint64_t ns,
                  void (*f)(struct green_hub *hub, struct green_thread *thread,
                            uint64_t ran, const char *where, void *arg),
                  void *arg) {
  struct lg *G = lg_find(L);
  if (!G || !G->hub) return UV_EINVAL;
  if (green_elsewhere(G->hub)) return UV_EPERM;
  if (lg_ticks_set(G, LG_TICK_LONG, f ? ns : 0)) return UV_ENOTSUP;
  if (!G->ticks || (!f && G->ticks->long_of != G)) return 0;
  G->ticks->long_of = f ? G : NULL;
  G->ticks->on_long = f;
  G->ticks->long_arg = arg;
  return 0;
}

/* A state may have limits before it has a hub. */
void lg_open_overrun(lua_State *L) {
  struct lg *G = lg_find(L);
  const char *why;
  G->tick_acts[LG_TICK_LONG] = tell_long;
  G->tick_acts[LG_TICK_END] = end_running;
  G->tick_acts[LG_TICK_INTERRUPT] = interrupt;
  G->tick_acts[LG_TICK_SLICE] = slice;
  if (lg_terms_set(G, &G->limits, &why) < 0)
    luaL_error(L, "luagreen: the limits of time: %s", why);
}
