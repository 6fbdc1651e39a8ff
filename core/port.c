/* port.c - ports: messages between hubs, OS threads and runtimes.
 *
 * A port lives on one hub, where its messages are received; any OS thread may
 * send. It is counted and outlives the hub, closed.
 *
 *   count    messages inside
 *   promised of them, one for each receiver that was woken and has not run
 *   granted  free places, each given to one side of senders (see below)
 *
 *   count + granted <= size, unless size is 0
 *
 * Receivers. While some wait, the port is watched: a sender then calls the hub
 * by its bell, and the hub wakes as many as there are messages for. A newcomer
 * takes a message only when count > promised.
 *
 * Senders. Those that wait stand in the list of their own hub's side. A side
 * waits in line while it has any. As soon as there is a free place, the side
 * that is first in line gets a grant of it, and its first thread sends; the
 * side then goes to the end of the line. So hubs take turns, and the threads of
 * one hub are served first come, first served. A newcomer may send only while
 * nobody stands in line. A side has one grant at a time, so that a hub which
 * computes for long holds back one place only.
 *
 * The port's lock comes before the bells'. It is held while threads are woken:
 * what runs then (green_wait_kind.leave) takes no lock.
 *
 * SPDX-License-Identifier: MIT
 */
#include "port.h"

/* Whom to tell, once the lock is released. */
struct news {
  struct green__bell *ring[2];
  struct green_side *home[2]; /* of hubs of this very OS thread */
  int rings, homes;
};

static struct green_side *side_of(struct green__call *call) {
  return green__container(call, struct green_side, call);
}

static void side_init(struct green_side *s, struct green_port *p,
                      struct green__bell *bell,
                      void (*fn)(struct green_hub *, struct green__call *)) {
  s->call.fn = fn;
  s->port = p;
  s->bell = bell;
  green_list_init(&s->waiters);
}

static void on_receivers(struct green_hub *h, struct green_side *s);
static void on_senders(struct green_hub *h, struct green_side *s);

/* A call that came by the bell held the port. */
static void answer_receivers(struct green_hub *h, struct green__call *call) {
  struct green_side *s = side_of(call);
  on_receivers(h, s);
  green_port_release(s->port);
}

static void answer_senders(struct green_hub *h, struct green__call *call) {
  struct green_side *s = side_of(call);
  on_senders(h, s);
  green_port_release(s->port);
}

static void answer(struct green_hub *h, struct green_side *s) {
  if (s == &s->port->receivers)
    on_receivers(h, s);
  else
    on_senders(h, s);
}

/* --- telling sides --- */

/* The port stays while the call is on its way. 0, or UV_ECANCELED. */
static int call_side(struct green_side *s, struct green__bell **ring) {
  int queued, r = green__bell_call(s->bell, &s->call, &queued);
  if (queued) green_port_hold(s->port);
  *ring = r > 0 ? s->bell : NULL;
  return r < 0 ? r : 0;
}

static int tell(struct green_side *s, struct news *news) {
  struct green__bell *ring;
  int r;
  if (green__bell_at_home(s->bell)) {
    news->home[news->homes++] = s;
    return 0;
  }
  if ((r = call_side(s, &ring)) < 0) return r;
  if (ring) news->ring[news->rings++] = ring;
  return 0;
}

static void spread(struct news *news) {
  while (news->rings > 0) green__bell_ring(news->ring[--news->rings]);
  while (news->homes > 0) {
    struct green_side *s = news->home[--news->homes];
    answer(green__bell_hub(s->bell), s);
  }
}

/* --- places: under the lock --- */

static int has_place(const struct green_port *p) {
  return p->size == 0 || p->count + p->granted < p->size;
}

static void check(const struct green_port *p) {
  assert(p->promised <= p->count);
  assert(!p->line || p->closed || !has_place(p));
  (void)p;
}

static void stand_in_line(struct green_port *p, struct green_side *s) {
  assert(s->turn == GREEN__IDLE && !p->closed);
  s->turn = GREEN__IN_LINE;
  s->after = NULL;
  *p->line_last = s;
  p->line_last = &s->after;
}

static struct green_side *first_in_line(struct green_port *p) {
  struct green_side *s = p->line;
  if (!s) return NULL;
  if (!(p->line = s->after)) p->line_last = &p->line;
  s->turn = GREEN__IDLE;
  return s;
}

/* There may be a free place: the first in line gets it whose hub lives. */
static void grant(struct green_port *p, struct news *news) {
  struct green_side *s;
  while (!p->closed && has_place(p) && (s = first_in_line(p))) {
    if (tell(s, news) < 0) continue;
    s->turn = GREEN__GRANTED;
    p->granted++;
    break; /* a place at a time becomes free */
  }
}

static void append(struct green_port *p, struct green_message *m,
                   struct news *news) {
  assert(!m->next);
  *p->last = m;
  p->last = &m->next;
  p->count++;
  if (p->watched) tell(&p->receivers, news);
}

static struct green_message *pop(struct green_port *p, struct news *news) {
  struct green_message *m = p->first;
  if (!(p->first = m->next)) p->last = &p->first;
  m->next = NULL;
  p->count--;
  grant(p, news);
  return m;
}

/* --- receiving: the port's hub --- */

static int is_home(struct green_hub *h, const struct green_port *p) {
  return green__at_home(h) && h->bell && h->bell == p->receivers.bell;
}

/* Wakes as many receivers as there are messages for; all, if none will come. */
static void deliver(struct green_hub *h, struct green_port *p) {
  struct green_list *waiters = &p->receivers.waiters;
  pthread_mutex_lock(&p->lock);
  while (p->count > p->promised && green_wake_first(h, waiters, GREEN_WOKEN))
    p->promised++;
  if (p->closed && p->count == p->promised)
    green_wake_all(h, waiters, GREEN_CLOSED);
  p->watched = p->receivers.waits > 0;
  check(p);
  pthread_mutex_unlock(&p->lock);
}

static void on_receivers(struct green_hub *h, struct green_side *s) {
  if (h) deliver(h, s->port);
}

int green_port_take(struct green_hub *h, struct green_port *p,
                    struct green_message **m) {
  struct news news = {.rings = 0};
  int r = 0;
  if (!is_home(h, p)) return UV_EPERM;
  pthread_mutex_lock(&p->lock);
  if (p->count > p->promised)
    *m = pop(p, &news);
  else
    r = p->closed ? UV_EOF : UV_EAGAIN;
  check(p);
  pthread_mutex_unlock(&p->lock);
  spread(&news);
  return r;
}

struct green_message *green_port_take_promised(struct green_hub *h,
                                               struct green_port *p) {
  struct news news = {.rings = 0};
  struct green_message *m;
  (void)h;
  pthread_mutex_lock(&p->lock);
  assert(p->promised > 0 && p->count >= p->promised);
  p->promised--;
  m = pop(p, &news);
  check(p);
  pthread_mutex_unlock(&p->lock);
  spread(&news);
  return m;
}

void green_port_refuse_promised(struct green_hub *h, struct green_port *p) {
  pthread_mutex_lock(&p->lock);
  assert(p->promised > 0);
  p->promised--;
  pthread_mutex_unlock(&p->lock);
  deliver(h, p); /* it goes to the next in line, or stays */
}

void green_port_put_back(struct green_hub *h, struct green_port *p,
                         struct green_message *m) {
  pthread_mutex_lock(&p->lock);
  if (!(m->next = p->first)) p->last = &m->next;
  p->first = m;
  p->count++; /* beyond the size, perhaps: its place was given away */
  pthread_mutex_unlock(&p->lock);
  deliver(h, p);
}

int green_port_receivers(struct green_hub *h, struct green_port *p,
                         struct green_side **side) {
  if (!is_home(h, p)) return UV_EPERM;
  *side = &p->receivers;
  return 0;
}

/* --- sending --- */

static struct green_side *find_side(struct green_port *p,
                                    const struct green__bell *bell) {
  struct green_side *s = p->senders;
  while (s && s->bell != bell) s = s->next;
  return s;
}

/* A newcomer goes behind those who wait, of all hubs or of its own. */
static int may_pass(struct green_hub *h, struct green_port *p) {
  struct green_side *s;
  if (p->line || !has_place(p)) return 0;
  s = h && h->bell ? find_side(p, h->bell) : NULL;
  return !s || !green_list_head(&s->waiters);
}

static int try_to_send(struct green_hub *h, struct green_port *p,
                       struct green_message *m) {
  struct news news = {.rings = 0};
  int r = 0;
  if (green__bell_is_forked(p->receivers.bell)) return UV_EPERM;
  pthread_mutex_lock(&p->lock);
  if (p->closed)
    r = UV_EPIPE;
  else if (may_pass(h, p))
    append(p, m, &news);
  else
    r = UV_EAGAIN;
  check(p);
  pthread_mutex_unlock(&p->lock);
  spread(&news);
  return r;
}

int green_port_send(struct green_port *p, struct green_message *m) {
  return try_to_send(NULL, p, m);
}

int green_port_put(struct green_hub *h, struct green_port *p,
                   struct green_message *m) {
  if (!green__at_home(h)) return UV_EPERM;
  return try_to_send(h, p, m);
}

/* A side with waiting threads and no place gets one that nobody waits for, or
 * waits in line. */
static void ask_for_place(struct green_port *p, struct green_side *s) {
  assert(s->turn == GREEN__IDLE);
  if (p->line || !has_place(p)) {
    stand_in_line(p, s);
  } else {
    s->turn = GREEN__GRANTED;
    p->granted++;
  }
}

int green_port_put_granted(struct green_hub *h, struct green_side *s,
                           struct green_message *m) {
  struct green_port *p = s->port;
  struct news news = {.rings = 0};
  int r = 0;
  (void)h;
  pthread_mutex_lock(&p->lock);
  assert(s->turn == GREEN__HELD && p->granted > 0);
  s->turn = GREEN__IDLE;
  p->granted--;
  if (p->closed)
    r = UV_EPIPE;
  else
    append(p, m, &news);
  if (!p->closed && green_list_head(&s->waiters)) ask_for_place(p, s);
  if (s->turn == GREEN__GRANTED) tell(s, &news);
  check(p);
  pthread_mutex_unlock(&p->lock);
  spread(&news);
  return r;
}

/* The place that was granted goes to the next thread of the side, or to the
 * next side. The hub is NULL if it has closed. */
static void pass_on(struct green_hub *h, struct green_side *s,
                    struct news *news) {
  struct green_port *p = s->port;
  assert(s->turn >= GREEN__GRANTED && p->granted > 0);
  if (h && !p->closed && green_wake_first(h, &s->waiters, GREEN_WOKEN)) {
    s->turn = GREEN__HELD;
    return;
  }
  s->turn = GREEN__IDLE;
  p->granted--;
  grant(p, news);
}

void green_port_refuse_granted(struct green_hub *h, struct green_side *s) {
  struct green_port *p = s->port;
  struct news news = {.rings = 0};
  pthread_mutex_lock(&p->lock);
  assert(s->turn == GREEN__HELD);
  pass_on(h, s, &news);
  check(p);
  pthread_mutex_unlock(&p->lock);
  spread(&news);
}

/* Its threads have something to look at: a place, or the end of the port. */
static void on_senders(struct green_hub *h, struct green_side *s) {
  struct green_port *p = s->port;
  struct news news = {.rings = 0};
  pthread_mutex_lock(&p->lock);
  if (p->closed && h) green_wake_all(h, &s->waiters, GREEN_CLOSED);
  if (s->turn == GREEN__GRANTED) pass_on(h, s, &news);
  check(p);
  pthread_mutex_unlock(&p->lock);
  spread(&news);
}

/* --- sides --- */

/* One whose hub has closed serves another hub. */
static struct green_side *reuse(struct green_port *p,
                                struct green__bell **bell) {
  struct green_side *s;
  for (s = p->senders; s; s = s->next) {
    struct green__bell *old = s->bell;
    if (s->turn != GREEN__IDLE || !green__bell_is_closed(old)) continue;
    s->bell = *bell;
    *bell = old;
    return s;
  }
  return NULL;
}

static struct green_side *new_side(struct green_port *p,
                                   struct green__bell *bell) {
  struct green_side *s = green__alloc(sizeof *s);
  if (s) side_init(s, p, bell, answer_senders);
  return s;
}

/* Only this OS thread makes a side for this hub. */
static int make_side(struct green_hub *h, struct green_port *p,
                     struct green_side **side) {
  struct green__bell *bell;
  struct green_side *s;
  int r = green__bell_take(h, &bell);
  if (r < 0) return r;
  pthread_mutex_lock(&p->lock);
  s = reuse(p, &bell);
  pthread_mutex_unlock(&p->lock);
  if (!s && (*side = new_side(p, bell))) {
    pthread_mutex_lock(&p->lock);
    (*side)->next = p->senders;
    p->senders = *side;
    pthread_mutex_unlock(&p->lock);
    return 0;
  }
  green__bell_release(bell);
  *side = s;
  return s ? 0 : UV_ENOMEM;
}

int green_port_senders(struct green_hub *h, struct green_port *p,
                       struct green_side **side) {
  struct green_side *s = NULL;
  if (!green__at_home(h)) return UV_EPERM;
  if (h->bell) {
    pthread_mutex_lock(&p->lock);
    s = find_side(p, h->bell);
    pthread_mutex_unlock(&p->lock);
  }
  if (!s) return make_side(h, p, side);
  *side = s;
  return 0;
}

/* Is there anything for a thread that is about to wait? Under the lock. */
static int has_news(struct green_port *p, struct green_side *s) {
  if (s == &p->receivers) {
    p->watched = 1;
    return p->closed || p->count > p->promised;
  }
  if (!p->closed && s->turn == GREEN__IDLE) ask_for_place(p, s);
  return p->closed || s->turn == GREEN__GRANTED;
}

struct green_list *green_side_enter(struct green_hub *h,
                                    struct green_side *s) {
  struct green_port *p = s->port;
  struct green__bell *ring = NULL;
  pthread_mutex_lock(&p->lock);
  if (has_news(p, s)) call_side(s, &ring);
  pthread_mutex_unlock(&p->lock);
  if (ring) green__bell_ring(ring);
  if (s->waits++ == 0) green__await(h, &s->awaited);
  return &s->waiters;
}

void green_side_leave(struct green_hub *h, struct green_side *s) {
  (void)h;
  assert(s->waits > 0);
  if (--s->waits == 0) green__await_no_more(&s->awaited);
}

struct green_port *green_side_port(const struct green_side *s) {
  return s->port;
}

/* --- blocking calls of C threads: they keep the stack --- */

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
  if (!is_home(h, p)) return UV_EPERM;
  if (deadline > 0 && (r = green__enter(h)) < 0) return r;
  r = green_port_take(h, p, m);
  if (r != UV_EAGAIN) return r;
  if (deadline == 0) return UV_ETIMEDOUT;
  r = wait_at(h, &p->receivers, &receive_kind, deadline);
  if (r == GREEN_CLOSED) return UV_EOF;
  if (r != GREEN_WOKEN) return green__result(h, r);
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

/* --- opening and closing --- */

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
  side_init(&p->receivers, p, bell, answer_receivers);
  p->last = &p->first;
  p->line_last = &p->line;
  green__bell_enlist(bell, p);
  *out = p;
  return 0;
}

/* The sides learn that the port is closed. Those of this OS thread at once. */
static void tell_the_end(struct green_port *p, struct green_side *s) {
  struct green__bell *ring;
  if (green__bell_at_home(s->bell)) {
    struct green_hub *h = green__bell_hub(s->bell);
    green_wake_all(h, &s->waiters, GREEN_CLOSED);
  } else if (call_side(s, &ring) == 0 && ring) {
    green__bell_ring(ring);
  }
  (void)p;
}

/* Under the lock. Grants stay until their threads return them. */
static void refuse_senders(struct green_port *p) {
  struct green_side *s;
  p->closed = 1;
  while (first_in_line(p)) continue;
  for (s = p->senders; s; s = s->next) tell_the_end(p, s);
}

void green_port_close(struct green_port *p) {
  struct news news = {.rings = 0};
  if (green__bell_is_forked(p->receivers.bell)) return;
  pthread_mutex_lock(&p->lock);
  if (!p->closed) {
    refuse_senders(p);
    tell(&p->receivers, &news);
  }
  pthread_mutex_unlock(&p->lock);
  spread(&news);
}

void green__port_bury(struct green_port *p) {
  struct green_message *m;
  struct green_port *dead = NULL;
  pthread_mutex_lock(&p->lock);
  if (!p->closed) refuse_senders(p);
  m = p->first;
  p->first = NULL;
  p->last = &p->first;
  p->count = p->promised = 0;
  pthread_mutex_unlock(&p->lock);
  green__messages_free(m, &dead);
  green__ports_free(dead);
}

int green_port_is_closed(struct green_port *p) {
  int closed;
  pthread_mutex_lock(&p->lock);
  closed = p->closed;
  pthread_mutex_unlock(&p->lock);
  return closed;
}

uint32_t green_port_count(struct green_port *p) {
  uint32_t n;
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

void green__port_drop(struct green_port *p, struct green_port **dead) {
  if (atomic_fetch_sub(&p->refs, 1) > 1) return;
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
