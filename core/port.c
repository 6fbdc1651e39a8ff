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
 * Senders. Senders that wait stand in the list of their own hub's side, and the
 * side in line. The side that is first gets a grant of a free place, its first
 * thread sends, and if others wait there, the side goes to the end of the line.
 * So hubs take turns, and the threads of one hub are served first come, first
 * served. A side has one grant at a time, so that a hub which computes for long
 * holds back one place only.
 *
 * To wake an OS thread for each place would cost more than all else, so the
 * line waits until half of the places are free, or until the receiver's hub
 * polls ("lags"), and senders of other hubs that are awake may go before it: as
 * many times as the port has places, and no more until the next grant.
 *
 *   line, not closed, a place is free  =>  lags
 *
 * The port's lock comes before the bells'. It is held while threads are woken:
 * the function that runs then (green_wait_kind.leave) takes no lock.
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

void green__side_init(struct green_side *s, struct green_port *p,
                      struct green__bell *bell) {
  s->call.fn = s == &p->receivers ? answer_receivers : answer_senders;
  s->port = p;
  s->bell = bell;
  green_list_init(&s->waiters);
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
  assert(!p->line || p->closed || !has_place(p) || p->lags);
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

/* If a place is free, the first in line whose hub lives gets it. */
static void grant(struct green_port *p, struct news *news) {
  struct green_side *s;
  while (!p->closed && has_place(p) && (s = first_in_line(p))) {
    if (tell(s, news) < 0) continue;
    s->turn = GREEN__GRANTED;
    p->granted++;
    p->passed = 0;
    break; /* one place at a time becomes free */
  }
}

static int is_worth_it(const struct green_port *p) {
  uint32_t taken = p->count + p->granted;
  return p->size < 4 || taken <= p->size / 2 || p->passed >= p->size;
}

static void lag(struct green_hub *h, struct green_port *p) {
  if (p->lags) return;
  p->lags = 1;
  p->laggard = h->laggards;
  h->laggards = p;
  green_port_hold(p); /* until the hub's next poll */
}

static void place_is_free(struct green_hub *h, struct green_port *p,
                          struct news *news) {
  if (!p->line || !has_place(p)) return;
  if (is_worth_it(p) || !h->hot.current) /* a host may be long in polling */
    grant(p, news);
  else
    lag(h, p);
}

/* Returns 0 when nobody waits in line any more, or no place is free. */
static int catch_up(struct green_port *p) {
  struct news news = {.rings = 0};
  int more;
  pthread_mutex_lock(&p->lock);
  p->lags = 0;
  grant(p, &news);
  more = p->lags = p->line && !p->closed && has_place(p);
  pthread_mutex_unlock(&p->lock);
  spread(&news);
  return more;
}

void green__ports_catch_up(struct green_hub *h) {
  struct green_port *p;
  while ((p = h->laggards)) {
    h->laggards = p->laggard;
    while (catch_up(p)) continue;
    green_port_release(p);
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

static struct green_message *pop(struct green_hub *h, struct green_port *p,
                                 struct news *news) {
  struct green_message *m = p->first;
  if (!(p->first = m->next)) p->last = &p->first;
  m->next = NULL;
  p->count--;
  place_is_free(h, p, news);
  return m;
}

/* --- receiving: the port's hub --- */

int green__port_is_home(struct green_hub *h, const struct green_port *p) {
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
  if (!green__port_is_home(h, p)) return UV_EPERM;
  pthread_mutex_lock(&p->lock);
  if (p->count > p->promised)
    *m = pop(h, p, &news);
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
  pthread_mutex_lock(&p->lock);
  assert(p->promised > 0 && p->count >= p->promised);
  p->promised--;
  m = pop(h, p, &news);
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
  if (!green__port_is_home(h, p)) return UV_EPERM;
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

/* A newcomer goes behind those who wait on its own hub, and before those of
 * other hubs that are not worth a wake-up yet. */
static int may_send(struct green_hub *h, struct green_port *p) {
  struct green_side *s;
  if (!has_place(p) || (p->line && p->passed >= p->size)) return 0;
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
  else if (!may_send(h, p))
    r = UV_EAGAIN;
  else
    append(p, m, &news);
  if (r == 0) p->passed += p->line != NULL;
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
  if (s) green__side_init(s, p, bell);
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

uint32_t green_side_waits(const struct green_side *s) {
  return s->waits;
}

struct green_port *green_side_port(const struct green_side *s) {
  return s->port;
}

/* --- closing --- */

/* The sides learn that the port is closed, those of this OS thread at once. */
static void tell_the_end(struct green_side *s) {
  struct green__bell *ring;
  if (green__bell_at_home(s->bell)) {
    struct green_hub *h = green__bell_hub(s->bell);
    green_wake_all(h, &s->waiters, GREEN_CLOSED);
  } else if (call_side(s, &ring) == 0 && ring) {
    green__bell_ring(ring);
  }
}

/* Under the lock. Grants stay until their threads return them. */
static void refuse_senders(struct green_port *p) {
  struct green_side *s;
  p->closed = 1;
  while (first_in_line(p)) continue;
  for (s = p->senders; s; s = s->next) tell_the_end(s);
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
