/* port_life.c - the beginning and the end of ports, and questions about them.
 *
 * A port is freed by its last holder, in whatever OS thread that is. Ports that
 * it holds by its messages are freed after it, one after the other, because a
 * recursion could be as deep as a program likes.
 *
 * Opened on the hub; the rest runs on any OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include "port.h"

int green_port_open(struct green_hub *h, uint32_t size,
                    struct green_port **out) {
  struct green__bell *bell;
  struct green_port *p;
  int r = green__bell_take(h, &bell);
  if (r < 0) return r;
  if (!(p = green__alloc(sizeof *p))) {
    green__bell_release(bell);
    return UV_ENOMEM;
  }
  atomic_init(&p->refs, 1);
  p->size = size;
  pthread_mutex_init(&p->lock, NULL);
  green__side_init(&p->receivers, p, bell);
  p->last = &p->first;
  p->line_last = &p->line;
  green__bell_enlist(bell, p);
  *out = p;
  return 0;
}

/* The lock may have been held when the process forked. */
static int is_lost(const struct green_port *p) {
  return green__bell_is_forked(p->receivers.bell);
}

int green_port_is_closed(struct green_port *p) {
  int closed;
  if (is_lost(p)) return 1;
  pthread_mutex_lock(&p->lock);
  closed = p->closed;
  pthread_mutex_unlock(&p->lock);
  return closed;
}

uint32_t green_port_count(struct green_port *p) {
  uint32_t n;
  if (is_lost(p)) return 0;
  pthread_mutex_lock(&p->lock);
  n = p->count - p->promised;
  pthread_mutex_unlock(&p->lock);
  return n;
}

/* --- counting --- */

void green_port_hold(struct green_port *p) {
  atomic_fetch_add(&p->refs, 1);
}

int green__port_try_hold(struct green_port *p) {
  unsigned refs = atomic_load(&p->refs);
  while (refs > 0)
    if (atomic_compare_exchange_weak(&p->refs, &refs, refs + 1)) return 1;
  return 0;
}

void green_port_of_holders(struct green_port *p) {
  p->of_holders = 1;
}

int green__port_is_alone(const struct green_port *p) {
  return p->of_holders && atomic_load(&p->refs) == 1;
}

/* The bells of all hubs on which somebody may wait, held. */
enum { MOST_BELLS = 32 };

static int take_bells(struct green_port *p, struct green__bell **bells) {
  const struct green_side *s = &p->receivers;
  int n = 0;
  pthread_mutex_lock(&p->lock);
  while (s && n < MOST_BELLS) {
    green__bell_hold(bells[n++] = s->bell);
    s = s == &p->receivers ? p->senders : s->next;
  }
  pthread_mutex_unlock(&p->lock);
  return n;
}

/* The last holder but one leaves the last one alone. If that waits, its hub
 * must look whether this is a deadlock; the port may be gone by then. */
static int leave_alone(struct green_port *p) {
  struct green__bell *bells[MOST_BELLS];
  unsigned two = 2;
  int n = take_bells(p, bells);
  int did = atomic_compare_exchange_strong(&p->refs, &two, 1);
  while (n-- > 0) {
    if (did) green__bell_nudge(bells[n]);
    green__bell_release(bells[n]);
  }
  return did;
}

static unsigned let_go(struct green_port *p) {
  unsigned refs = atomic_load(&p->refs);
  if (!p->of_holders) return atomic_fetch_sub(&p->refs, 1) - 1;
  for (;;) {
    if (refs != 2) {
      if (atomic_compare_exchange_weak(&p->refs, &refs, refs - 1))
        return refs - 1;
    } else {
      if (leave_alone(p)) return 1;
      refs = atomic_load(&p->refs);
    }
  }
}

void green__port_drop(struct green_port *p, struct green_port **dead) {
  if (is_lost(p) || let_go(p) > 0) return;
  p->dead = *dead;
  *dead = p;
}

static void free_port(struct green_port *p, struct green_port **dead) {
  struct green_side *s = p->senders;
  assert(p->receivers.waits == 0 && !p->receivers.call.queued);
  green__bell_delist(p->receivers.bell, p);
  green__bell_release(p->receivers.bell);
  while (s) {
    struct green_side *next = s->next;
    assert(s->waits == 0 && !s->call.queued);
    green__bell_release(s->bell);
    green__free(s);
    s = next;
  }
  green__messages_free(p->first, dead);
  pthread_mutex_destroy(&p->lock);
  green__free(p);
}

void green__ports_free(struct green_port *dead) {
  while (dead) {
    struct green_port *p = dead;
    dead = p->dead;
    free_port(p, &dead);
  }
}

void green_port_release(struct green_port *p) {
  struct green_port *dead = NULL;
  green__port_drop(p, &dead);
  green__ports_free(dead);
}
