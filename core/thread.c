/* thread.c - the beginning and the end of green threads, and questions about
 * them.
 *
 * A record outlives its thread only while somebody holds it (GREEN_HELD).
 *
 * Any stack of the hub's OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "internal.h"

enum { HALF = sizeof(struct green_thread) / 2 };

struct green_thread *green__thread_new(struct green_family *f) {
  struct green_hub *h = f->hub;
  struct green_thread *t;
  if (!green__at_home(h)) return NULL;
  t = green__record_take(f);
  if (green__unlikely(!t)) return NULL;
  assert(t->id == 0);
  /* In halves, as gcc makes a loop of bytes of the whole, in microcode. */
  memset(t, 0, HALF);
  memset((char *)t + HALF, 0, HALF);
  t->node.thread = t;
  t->id = h->next_id++;
  t->sleeps = (uint8_t)(h->hot.sleeps - 1); /* the first wait is not short */
  green_list_init(&t->joiners);
  t->state = GREEN_NEW;
  f->live++;
  f->spawns++;
  return green__unlikely(h->watching) ? green__watch_spawned(h, t) : t;
}

struct green_thread *green_thread_new(struct green_family *f) {
  struct green_thread *t = green__thread_new(f);
  if (green__unlikely(!t)) return NULL;
  t->flags = GREEN_RUNTIME;
  return t;
}

void green__thread_free(struct green_hub *h, struct green_thread *t) {
  if (t->cold) {
    green__free(t->cold->name);
    green__free(t->cold);
  }
  t->cold = NULL;
  green__record_put(h, t);
}

int green_start(struct green_hub *h, struct green_thread *t, uint64_t at) {
  assert(t->state == GREEN_NEW);
  if (at == GREEN_FOREVER) return 0; /* only its end may come */
  if (at) return green__heap_add(h, (uintptr_t)t, at);
  green__ready(h, t);
  return 0;
}

void green__thread_end(struct green_hub *h, struct green_thread *t,
                       enum green_state state) {
  struct green_family *f = green_family_of(t);
  const struct green_class *klass = f->klass;
  int note = 0;
  assert(state >= GREEN_DONE && t != h->main && t->id);
  t->state = (uint8_t)state;
  if (green__unlikely(h->watching)) green__watch_ended(h, t);
  if (klass->ending) note = klass->ending(h, t);
  while (t->scopes) {
    struct green_scope *s = t->scopes;
    s->cancelled = 0; /* it can strike nobody any more */
    green_scope_close(h, s);
  }
  t->pending = 0;
  if (!green__list_empty(&t->joiners))
    green_wake_all(h, &t->joiners, GREEN_WOKEN);
  f->live--;
  if (klass->ended) klass->ended(h, t, note);
  if (green__unlikely(h->ends_matter)) green__family_ended(f);
  h->ending = 0;
  t->flags |= GREEN_OVER;
  if (!(t->flags & GREEN_HELD)) green__thread_free(h, t);
}

void green_forget(struct green_hub *h, struct green_thread *t) {
  t->flags &= (uint8_t)~GREEN_HELD;
  if (t->flags & GREEN_OVER) green__thread_free(h, t);
}

void green_end_unstarted(struct green_hub *h, struct green_thread *t) {
  if (t->slot) green__heap_remove(h, t->slot);
  if (t->node.link.next) {
    green_list_remove(&t->node);
    h->hot.ready--;
  }
  green__thread_end(h, t, (enum green_state)t->state);
}

int green_unstart(struct green_hub *h, struct green_thread *t) {
  const struct green_class *klass = green__class(t);
  uint64_t id = t->id;
  if (t->state != GREEN_NEW) return 0;
  t->flags |= GREEN_STRUCK;
  if (klass->unstarted) klass->unstarted(h, t);
  if (t->id != id || t->state != GREEN_NEW) return 1; /* it was ended there */
  t->state = GREEN_KILLED;
  green_end_unstarted(h, t);
  return 1;
}

static const struct green_wait_kind cancelled_kind = {"its end", NULL, NULL};

void green_wait_cancel(struct green_hub *h, struct green_thread *t) {
  assert(!t->stack);
  if (t->state == GREEN_BLOCKED) {
    green__wait_end(h, t);
    t->reason = GREEN_INTERRUPT;
  } else if (t->state == GREEN_READY) {
    green_list_remove(&t->node);
    h->hot.ready--;
    t->state = GREEN_BLOCKED;
  }
  if (t->on && t->kind->undo) t->kind->undo(h, t); /* NULL: a mere lap */
  t->kind = &cancelled_kind;
  t->on = NULL;
}

void green_end_parked(struct green_hub *h, struct green_thread *t,
                      enum green_state state) {
  green_wait_cancel(h, t);
  green__thread_end(h, t, state);
}

/* --- C threads: they always keep their stack --- */

static void run_c(struct green_hub *h, struct green_thread *t) {
  do {
    t->result = t->fn(h, t->user);
    t->state = GREEN_DONE;
  } while ((t = green_run_next(h, t, GREEN_ENDED)));
}

static int c_ended(struct green_hub *h, struct green_thread *t) {
  if (h->runtime && h->runtime->c_ended) h->runtime->c_ended(h, t);
  return 0;
}

const struct green_class green__c_class = {"a C thread", run_c, NULL, c_ended,
                                           NULL};

int green_spawn(struct green_hub *h, struct green_thread **thread, green_fn fn,
                void *arg) {
  struct green_thread *t;
  if (!green__at_home(h) || h->hot.closed) return UV_EPERM;
  t = green__thread_new(&h->host);
  if (!t) return UV_ENOMEM;
  t->fn = fn;
  t->user = arg;
  if (thread) {
    t->flags |= GREEN_HELD;
    *thread = t;
  }
  return green_start(h, t, 0);
}

/* --- what one can know of a thread --- */

struct green__cold *green__cold(struct green_hub *h, struct green_thread *t) {
  (void)h;
  if (!t->cold) t->cold = green__alloc(sizeof *t->cold);
  return t->cold;
}

int green_set_name(struct green_hub *h, struct green_thread *t,
                   const char *name) {
  size_t size = strnlen(name = name ? name : "", GREEN_MOST_NAME) + 1;
  struct green__cold *cold;
  char *copy;
  if (!green__at_home(h)) return UV_EPERM;
  cold = green__cold(h, t);
  copy = cold ? green__alloc(size) : NULL;
  if (!copy) return UV_ENOMEM;
  memcpy(copy, name, size - 1);
  copy[size - 1] = 0;
  green__free(cold->name);
  cold->name = copy;
  return 0;
}

const char *green_name(const struct green_thread *t) {
  return t->cold && t->cold->name ? t->cold->name : "";
}

const char *green_called(const struct green_thread *t) {
  const struct green_family *f = green_family_of(t);
  if (*green_name(t)) return green_name(t);
  return t == f->hub->main ? "main" : f->klass->name;
}

void **green_extra(struct green_hub *h, struct green_thread *t) {
  struct green__cold *cold = green__cold(h, t);
  return cold ? &cold->extra : NULL;
}

void *green_extra_value(const struct green_thread *t) {
  return t->cold ? t->cold->extra : NULL;
}

int green_set_thread_data(struct green_hub *h, struct green_thread *t,
                          void *data) {
  struct green__cold *cold;
  if (!green__at_home(h)) return UV_EPERM;
  if (!data && !t->cold) return 0;
  cold = green__cold(h, t);
  if (!cold) return UV_ENOMEM;
  cold->data = data;
  return 0;
}

void *green_thread_data(const struct green_thread *t) {
  return t->cold ? t->cold->data : NULL;
}

struct green_thread *green_current(struct green_hub *h) {
  return h->hot.current;
}

struct green_thread *green_main(struct green_hub *h) {
  return h->main;
}
uint64_t green_id(const struct green_thread *t) {
  return t->id;
}

const char *green_status(const struct green_thread *t) {
  static const char *const names[] = {"new",  "ready",  "running", "blocked",
                                      "done", "failed", "killed"};
  return names[t->state];
}

const char *green_waits_for(const struct green_thread *t) {
  return t->state == GREEN_BLOCKED ? t->kind->name : NULL;
}

size_t green_stack_used(struct green_hub *h, const struct green_thread *t) {
  if (!t->stack || t->stack == &h->os_stack) return 0;
  return green__stack_touched(t->stack);
}

int green_is_shallow(struct green_hub *h) {
  enum { SHALLOW = 16384 };
  const char *here = __builtin_frame_address(0), *top = h->on->high;
  if (!top) top = h->os_top;
  return here - top < SHALLOW && top - here < SHALLOW;
}

size_t green_stack_left(struct green_hub *h) {
  char here;
  if (!h->on->low) return SIZE_MAX; /* the OS stack: its bounds are unknown */
  return (size_t)(&here - h->on->low);
}
