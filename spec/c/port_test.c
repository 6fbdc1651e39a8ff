/* port_test.c - messages between hubs and OS threads. Also run under
 * ThreadSanitizer: few stacks, no races.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/port.h"
#include "test.h"

/* libuv closes descriptors by syscall(2): see hubs_test.c. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
  return "race:epoll_create1\nrace:pipe2\nrace:eventfd\nrace:close\n";
}

enum { MS = 1000000, SENDERS = 4, EACH = 2000 };

static struct green_hub *open_hub(void) {
  struct green_hub *h;
  if (green_open(&h, NULL) < 0) abort();
  return h;
}

static struct green_port *open_port(struct green_hub *h, uint32_t size) {
  struct green_port *p;
  if (green_port_open(h, size, &p) < 0) abort();
  return p;
}

static struct green_message *number(int sender, int n) {
  int both[2] = {sender, n};
  struct green_message *m = green_message_new(both, sizeof both);
  if (!m) abort();
  return m;
}

/* The number in a message, which is freed. */
static int take_number(struct green_message *m, int *sender) {
  int both[2];
  memcpy(both, green_message_data(m), sizeof both);
  green_message_free(m);
  if (sender) *sender = both[0];
  return both[1];
}

static int receive(struct green_hub *h, struct green_port *p, int *n) {
  struct green_message *m;
  int r = green_port_receive(h, p, GREEN_FOREVER, &m);
  if (r == 0) *n = take_number(m, NULL);
  return r;
}

static int descriptors(void) {
  int fd, n = 0;
  for (fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) != -1;
  return n;
}

/* Reads messages until the port is closed; *bad: not one after the other of
 * each sender. Returns how many came. */
static int receive_all(struct green_hub *h, struct green_port *p, int *bad) {
  struct green_message *m;
  int next[SENDERS * 2] = {0}, sum = 0, sender, r;
  while ((r = green_port_receive(h, p, GREEN_FOREVER, &m)) == 0) {
    int n = take_number(m, &sender);
    *bad += n != next[sender]++;
    sum++;
  }
  *bad += r != UV_EOF;
  return sum;
}

/* ------------------------------------------------- from many OS threads -- */

struct sender {
  pthread_t thread;
  struct green_port *port;
  int number, bad;
  atomic_int *left;
};

static void last_closes(struct sender *s) {
  if (atomic_fetch_sub(s->left, 1) == 1) green_port_close(s->port);
  green_port_release(s->port);
}

/* Without a hub: tries again while the port is full. */
static void *sends_bare(void *arg) {
  struct sender *s = arg;
  for (int i = 0; i < EACH; i++) {
    struct green_message *m = number(s->number, i);
    int r;
    while ((r = green_port_send(s->port, m)) == UV_EAGAIN) sched_yield();
    s->bad += r != 0;
  }
  last_closes(s);
  return NULL;
}

struct part {
  struct sender *sender;
  int number, bad;
};

static int sends_part(struct green_hub *h, void *arg) {
  struct part *part = arg;
  struct green_port *p = part->sender->port;
  for (int i = 0; i < EACH / 2; i++) {
    struct green_message *m = number(part->number, i);
    part->bad += green_port_send_wait(h, p, m, GREEN_FOREVER) != 0;
  }
  return 0;
}

/* Two green threads of a hub of its own. */
static void *sends_green(void *arg) {
  struct sender *s = arg;
  struct green_hub *h = open_hub();
  struct part part[2];
  for (int i = 0; i < 2; i++) {
    part[i] = (struct part){s, s->number * 2 + i, 0};
    green_spawn(h, NULL, sends_part, &part[i]);
  }
  s->bad += green_wait_others(h, GREEN_FOREVER) != 0;
  s->bad += part[0].bad + part[1].bad;
  last_closes(s);
  s->bad += green_close(h) != 0;
  return NULL;
}

static void test_senders(void *(*run)(void *), uint32_t size,
                         const char *what) {
  struct green_hub *h = open_hub();
  struct green_port *p = open_port(h, size);
  struct sender s[SENDERS];
  atomic_int left = SENDERS;
  int bad = 0, n;
  for (int i = 0; i < SENDERS; i++) {
    s[i] = (struct sender){.port = p, .number = i, .left = &left};
    green_port_hold(p);
    pthread_create(&s[i].thread, NULL, run, &s[i]);
  }
  n = receive_all(h, p, &bad);
  for (int i = 0; i < SENDERS; i++) {
    pthread_join(s[i].thread, NULL);
    bad += s[i].bad;
  }
  CHECK(n == SENDERS * EACH && bad == 0, what);
  green_port_release(p);
  CHECK(green_close(h) == 0, "and the hub closes");
}

/* ------------------------------------------------------------- there and -- */

struct pair {
  struct green_port *there, *back;
  atomic_int ready;
  int bad;
};

static void *answers(void *arg) {
  struct pair *pair = arg;
  struct green_hub *h = open_hub();
  struct green_message *m;
  pair->there = open_port(h, 1);
  atomic_store(&pair->ready, 1);
  while (green_port_receive(h, pair->there, GREEN_FOREVER, &m) == 0)
    pair->bad += green_port_send_wait(h, pair->back, m, GREEN_FOREVER) != 0;
  pair->bad += green_close(h) != 0;
  green_port_release(pair->there);
  return NULL;
}

static void test_ping_pong(void) {
  struct green_hub *h = open_hub();
  struct pair pair = {NULL, open_port(h, 1), 0, 0};
  pthread_t thread;
  int bad = 0, n;
  pthread_create(&thread, NULL, answers, &pair);
  while (!atomic_load(&pair.ready)) green_sleep(h, green_now() + MS);
  green_port_hold(pair.there);
  for (int i = 0; i < 2000; i++) {
    bad += green_port_send_wait(h, pair.there, number(0, i), GREEN_FOREVER);
    bad += receive(h, pair.back, &n) != 0 || n != i;
  }
  green_port_close(pair.there);
  pthread_join(thread, NULL);
  green_port_release(pair.there);
  green_port_release(pair.back);
  CHECK(bad == 0 && pair.bad == 0,
        "a message goes there and back 2,000 times");
  green_close(h);
}

/* --------------------------------------------------------- on one hub -- */

struct task {
  struct green_port *port;
  struct green_message *message;
  uint64_t deadline;
  int result, n, order;
};

static int order;

static int gets(struct green_hub *h, void *arg) {
  struct task *t = arg;
  struct green_message *m;
  t->result = green_port_receive(h, t->port, t->deadline, &m);
  t->order = ++order;
  if (t->result == 0) t->n = take_number(m, NULL);
  return 0;
}

static int puts_one(struct green_hub *h, void *arg) {
  struct task *t = arg;
  t->result = green_port_send_wait(h, t->port, t->message, t->deadline);
  t->order = ++order;
  return 0;
}

static struct green_thread *start(struct green_hub *h, green_fn fn,
                                  struct task *t, struct green_port *p,
                                  struct green_message *m) {
  struct green_thread *thread;
  *t = (struct task){p, m, GREEN_FOREVER, 1, -1, 0};
  if (green_spawn(h, &thread, fn, t) < 0) abort();
  return thread;
}

static void join(struct green_hub *h, struct green_thread *t) {
  if (green_join(h, t, GREEN_FOREVER, NULL) < 0) abort();
}

static void test_one_hub(void) {
  struct green_hub *h = open_hub();
  struct green_port *p = open_port(h, 2);
  struct green_thread *thread[4];
  struct green_message *m = number(0, 9);
  struct task t[4];
  int n = 0;
  CHECK(green_port_receive(h, p, 0, &m) == UV_ETIMEDOUT &&
            green_port_receive(h, p, green_now() + MS, &m) == UV_ETIMEDOUT,
        "an empty port gives UV_ETIMEDOUT, at once or in time");
  green_port_send(p, number(0, 1));
  green_port_send(p, number(0, 2));
  CHECK(green_port_send(p, m) == UV_EAGAIN && green_port_count(p) == 2,
        "a full port leaves the message with its sender: UV_EAGAIN");
  CHECK(green_port_send_wait(h, p, m, 0) == UV_ETIMEDOUT &&
            green_port_send_wait(h, p, m, green_now() + MS) == UV_ETIMEDOUT,
        "or UV_ETIMEDOUT");
  order = 0;
  for (int i = 0; i < 3; i++)
    thread[i] = start(h, puts_one, &t[i], p, number(0, 3 + i));
  green_sleep(h, 0);
  CHECK(green_kill(h, thread[1]) == 1, "one of three that wait is killed");
  for (int i = 0; i < 2; i++) receive(h, p, &n);
  join(h, thread[0]), join(h, thread[1]), join(h, thread[2]);
  CHECK(t[1].result == UV_ECANCELED && green_message_size(t[1].message) == 8,
        "it keeps its message");
  green_message_free(t[1].message);
  CHECK(t[0].result == 0 && t[2].result == 0 && t[0].order < t[2].order &&
            receive(h, p, &n) == 0 && n == 3 && receive(h, p, &n) == 0 &&
            n == 5,
        "the others are served first come, first served");
  for (int i = 0; i < 4; i++) thread[i] = start(h, gets, &t[i], p, NULL);
  green_sleep(h, 0);
  order = 0;
  green_port_send(p, number(0, 10));
  green_port_send(p, number(0, 11));
  green_kill(h, thread[0]); /* it was woken already: the result wins */
  green_kill(h, thread[2]);
  join(h, thread[0]), join(h, thread[1]), join(h, thread[2]);
  CHECK(t[0].n == 10 && t[1].n == 11 && t[2].result == UV_ECANCELED,
        "so are receivers; a cancelled one takes nothing along");
  green_port_close(p);
  join(h, thread[3]);
  CHECK(t[3].result == UV_EOF && green_port_send(p, m) == UV_EPIPE &&
            green_port_send_wait(h, p, m, GREEN_FOREVER) == UV_EPIPE,
        "closed: UV_EOF for who waits to receive, UV_EPIPE for a sender");
  green_message_free(m);
  green_port_release(p);
  green_close(h);
}

static void test_closed_when_full(void) {
  struct green_hub *h = open_hub();
  struct green_port *p = open_port(h, 1);
  struct task t[2];
  struct green_thread *thread[2];
  int n = 0;
  green_port_send(p, number(0, 1));
  thread[0] = start(h, puts_one, &t[0], p, number(0, 2));
  thread[1] = start(h, puts_one, &t[1], p, number(0, 3));
  green_sleep(h, 0);
  receive(h, p, &n); /* grants the place to the first */
  green_port_close(p);
  join(h, thread[0]), join(h, thread[1]);
  CHECK(t[0].result == UV_EPIPE && t[1].result == UV_EPIPE,
        "senders that wait when a port closes keep their messages");
  green_message_free(t[0].message);
  green_message_free(t[1].message);
  CHECK(receive(h, p, &n) == UV_EOF, "and nothing came after it");
  green_port_release(p);
  p = open_port(h, 0);
  green_port_send(p, number(0, 1));
  green_port_send(p, number(0, 2));
  green_port_close(p);
  green_port_close(p);
  CHECK(receive(h, p, &n) == 0 && receive(h, p, &n) == 0 && n == 2 &&
            receive(h, p, &n) == UV_EOF && green_port_is_closed(p),
        "a closed port still gives what is inside, then UV_EOF");
  green_port_release(p);
  green_close(h);
}

/* ------------------------------------------------------------- a crowd -- */

/* Each hub has a port, threads that send to all of them and threads that
 * receive, all of them with short limits, and one that kills senders. */
enum { HUBS = 3, CROWD = 4, TIMES = 400 };

static struct crowd {
  pthread_t thread;
  struct green_port *port;
  atomic_int sent, received, sending;
  int number;
  struct green_thread *senders[CROWD];
} crowds[HUBS];
static pthread_barrier_t all_ready;

static uint64_t soon(unsigned *seed) {
  int us = rand_r(seed) % 400;
  return us < 50 ? 0 : green_now() + (uint64_t)us * 1000;
}

static int crowd_sends(struct green_hub *h, void *arg) {
  struct crowd *c = arg;
  unsigned seed = (unsigned)green_id(green_current(h)) * 77 + 1;
  for (int i = 0; i < TIMES; i++) {
    struct crowd *to = &crowds[rand_r(&seed) % HUBS];
    struct green_message *m = number(c->number, i);
    int r = green_port_send_wait(h, to->port, m, soon(&seed));
    atomic_fetch_add(&to->sent, r == 0);
    if (r < 0) green_message_free(m);
    if (r == UV_ECANCELED) break;
  }
  atomic_fetch_sub(&c->sending, 1);
  return 0;
}

static int crowd_receives(struct green_hub *h, void *arg) {
  struct crowd *c = arg;
  struct green_message *m;
  unsigned seed = (unsigned)green_id(green_current(h)) * 33 + 1;
  int r;
  while ((r = green_port_receive(h, c->port, soon(&seed), &m)) != UV_EOF) {
    if (r == 0) take_number(m, NULL);
    atomic_fetch_add(&c->received, r == 0);
    if (rand_r(&seed) % 8 == 0) green_sleep(h, soon(&seed));
  }
  return 0;
}

static int crowd_kills(struct green_hub *h, void *arg) {
  struct crowd *c = arg;
  green_sleep(h, green_now() + 20 * MS);
  green_kill(h, c->senders[0]);
  while (atomic_load(&c->sending) > 0) green_sleep(h, green_now() + MS);
  return 0;
}

static void *crowd(void *arg) {
  struct crowd *c = arg;
  struct green_hub *h = open_hub();
  struct green_thread *kills;
  static const uint32_t sizes[HUBS] = {1, 8, 2};
  c->port = open_port(h, sizes[c->number]);
  atomic_store(&c->sending, CROWD);
  pthread_barrier_wait(&all_ready);
  for (int i = 0; i < CROWD; i++)
    green_spawn(h, &c->senders[i], crowd_sends, c);
  for (int i = 0; i < 2; i++) green_spawn(h, NULL, crowd_receives, c);
  green_spawn(h, &kills, crowd_kills, c);
  join(h, kills);
  for (int i = 0; i < CROWD; i++) join(h, c->senders[i]);
  for (int i = 0; i < HUBS; i++) /* by the others, too */
    while (atomic_load(&crowds[i].sending) > 0)
      green_sleep(h, green_now() + MS);
  green_port_close(c->port);
  green_wait_others(h, GREEN_FOREVER);
  pthread_barrier_wait(&all_ready);
  green_close(h);
  return NULL;
}

static void test_crowd(void) {
  int bad = 0, sent = 0;
  pthread_barrier_init(&all_ready, NULL, HUBS);
  for (int i = 0; i < HUBS; i++) {
    crowds[i].number = i;
    pthread_create(&crowds[i].thread, NULL, crowd, &crowds[i]);
  }
  for (int i = 0; i < HUBS; i++) pthread_join(crowds[i].thread, NULL);
  for (int i = 0; i < HUBS; i++) {
    struct crowd *c = &crowds[i];
    sent += c->sent;
    bad += c->sent != c->received;
    bad += c->port->granted || c->port->promised || c->port->count;
    bad += c->port->line != NULL || c->port->lags;
    green_port_release(c->port);
  }
  pthread_barrier_destroy(&all_ready);
  CHECK(bad == 0 && sent > HUBS * TIMES / 4,
        "in a crowd with limits and kills, what was sent arrives, once");
}

/* ----------------------------------------------- closing from elsewhere -- */

static void *closes_soon(void *arg) {
  struct timespec ms2 = {0, 2 * MS};
  nanosleep(&ms2, NULL); /* the others wait by now, or not: both are fine */
  green_port_close(arg);
  green_port_release(arg);
  return NULL;
}

static void *waits_to_send(void *arg) {
  struct task *t = arg;
  struct green_hub *h = open_hub();
  t->result = green_port_send_wait(h, t->port, t->message, GREEN_FOREVER);
  if (t->result < 0) green_message_free(t->message);
  green_port_release(t->port);
  green_close(h);
  return NULL;
}

static void test_close_elsewhere(void) {
  struct green_hub *h = open_hub();
  struct green_port *p = open_port(h, 1);
  struct task t = {.port = p, .message = number(0, 2), .result = 1};
  pthread_t closer, sender;
  int n;
  green_port_hold(p);
  pthread_create(&closer, NULL, closes_soon, p);
  CHECK(receive(h, p, &n) == UV_EOF,
        "another OS thread may close a port while its receiver waits");
  pthread_join(closer, NULL);
  green_port_release(p);
  p = t.port = open_port(h, 1);
  green_port_send(p, number(0, 1));
  green_port_hold(p), green_port_hold(p);
  pthread_create(&sender, NULL, waits_to_send, &t);
  pthread_create(&closer, NULL, closes_soon, p);
  pthread_join(closer, NULL);
  pthread_join(sender, NULL);
  CHECK(t.result == UV_EPIPE, "or while a third one waits to send");
  green_port_release(p);
  p = t.port = open_port(h, 1);
  t.message = number(0, 2);
  green_port_send(p, number(0, 1));
  green_port_hold(p);
  pthread_create(&sender, NULL, waits_to_send, &t);
  green_sleep(h, green_now() + MS);
  green_close(h);
  pthread_join(sender, NULL);
  CHECK(t.result == UV_EPIPE && green_port_count(p) == 0,
        "a hub that closes ends the waits and frees what is inside");
  green_port_release(p);
}

/* A hub that waited to send has closed; another one takes its place. */
static void test_hubs_go(void) {
  struct green_hub *h = open_hub();
  struct green_port *p = open_port(h, 1);
  int bad = 0, n, i;
  for (i = 0; i < 20; i++) {
    struct task t = {.port = p, .message = number(0, i), .result = 1};
    pthread_t sender;
    green_port_hold(p);
    green_port_send(p, number(0, -1));
    pthread_create(&sender, NULL, waits_to_send, &t);
    if (i % 2) green_sleep(h, green_now() + MS);
    bad += receive(h, p, &n) != 0;
    bad += receive(h, p, &n) != 0;
    pthread_join(sender, NULL);
    bad += t.result != 0;
  }
  n = 0;
  for (struct green_side *s = p->senders; s; s = s->next) n++;
  CHECK(bad == 0 && n <= 1, "hubs that come and go leave nothing in a port");
  green_port_release(p);
  green_close(h);
}

/* ---------------------------------------------------------- what is left -- */

static void test_inside(void) {
  size_t before = green__memory();
  int fds = descriptors();
  struct green_hub *h = open_hub();
  struct green_port *p = open_port(h, 0), *last = p;
  for (int i = 0; i < 100000; i++) {
    struct green_port *outer = open_port(h, 0);
    struct green_message *m = green_message_make(4, 1, 1);
    green_message_set_port(m, 0, last);
    green_port_release(last);
    if (green_port_send(outer, m) < 0) abort();
    last = outer;
  }
  CHECK(descriptors() > fds, "all ports of a hub share a descriptor");
  green_port_release(last);
  p = open_port(h, 0);
  struct green_message *m = green_message_make(0, 1, 1);
  green_message_set_port(m, 0, p);
  green_port_send(p, m);
  green_port_release(p);
  CHECK(green_close(h) == 0 && green__memory() == before,
        "a port is freed with all that is inside, 100,000 deep or itself");
  CHECK(descriptors() == fds, "no descriptor is left");
}

static void test_fork(void) {
  struct green_hub *h = open_hub();
  struct green_port *p = open_port(h, 0);
  struct green_message *m = number(0, 1);
  int status = 0, n;
  pid_t pid = fork();
  if (pid == 0) {
    struct green_message *got;
    int bad = green_port_send(p, m) != UV_EPERM ||
              green_port_send_wait(h, p, m, GREEN_FOREVER) != UV_EPERM ||
              green_port_receive(h, p, GREEN_FOREVER, &got) != UV_EPERM;
    green_port_close(p);
    green_message_free(m); /* the child's own copy, which valgrind sees */
    bad += green_port_count(p) != 0 || !green_port_is_closed(p);
    pthread_mutex_lock(&p->lock); /* as another OS thread may have it */
    green_port_release(p);
    _exit(bad);
  }
  waitpid(pid, &status, 0);
  CHECK(pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0,
        "a forked child is refused: UV_EPERM");
  CHECK(!green_port_is_closed(p) && green_port_send(p, m) == 0 &&
            receive(h, p, &n) == 0,
        "and has no effect on the parent");
  green_port_release(p);
  green_close(h);
}

static void *uses_elsewhere(void *arg) {
  struct green_port *p = arg;
  struct green_hub *h = open_hub();
  struct green_message *m;
  long bad = green_port_receive(h, p, 0, &m) != UV_EPERM ||
             green_port_receive(h, p, GREEN_FOREVER, &m) != UV_EPERM;
  green_close(h);
  return (void *)bad;
}

static void test_elsewhere(void) {
  struct green_hub *h = open_hub();
  struct green_port *p = open_port(h, 0);
  pthread_t thread;
  void *bad;
  pthread_create(&thread, NULL, uses_elsewhere, p);
  pthread_join(thread, &bad);
  CHECK(!bad, "a port is received on its own hub only: UV_EPERM");
  green_port_release(p);
  green_close(h);
}

static void test_refusals(void) {
  struct green_hub *h = open_hub();
  struct green_port *p;
  struct rlimit old, none;
  int fds = descriptors(), r, n;
  size_t before = green__memory();
  for (n = 1; n < 10; n++) {
    green__fail_alloc(n);
    r = green_port_open(h, 1, &p);
    green__fail_alloc(0);
    if (r == 0) break;
    if (r != UV_ENOMEM || descriptors() > fds + 1) break;
  }
  CHECK(r == 0 && n == 3, "opening without memory gives UV_ENOMEM");
  green_port_release(p);
  green_close(h);
  CHECK(green__memory() < before, "and leaves nothing");
  h = open_hub();
  getrlimit(RLIMIT_NOFILE, &old);
  none = old;
  none.rlim_cur = 0;
  setrlimit(RLIMIT_NOFILE, &none);
  r = green_port_open(h, 1, &p);
  setrlimit(RLIMIT_NOFILE, &old);
  CHECK(r == UV_EMFILE, "without a descriptor it gives UV_EMFILE");
  CHECK(green_port_open(h, 1, &p) == 0, "and the next call may succeed");
  green_port_send(p, number(0, 1));
  struct green_message *m = number(0, 2);
  green__fail_allocs(1, 100);
  r = green_port_send_wait(h, p, m, GREEN_FOREVER);
  green__fail_alloc(0);
  CHECK(r == UV_ENOMEM,
        "a sender that cannot wait for lack of memory goes on");
  green_message_free(m);
  green_port_release(p);
  green_close(h);
}

/* -------------------------------------------------------------- deadlock -- */

static void test_deadlock(void) {
  struct green_hub *h = open_hub();
  struct green_port *p = open_port(h, 0);
  struct task t;
  struct green_thread *thread = start(h, gets, &t, p, NULL);
  pthread_t closer;
  green_port_hold(p);
  pthread_create(&closer, NULL, closes_soon, p);
  CHECK(green_join(h, thread, GREEN_FOREVER, NULL) == 0 && t.result == UV_EOF,
        "while a thread waits in a port nothing is a deadlock");
  pthread_join(closer, NULL);
  CHECK(green_sleep(h, GREEN_FOREVER) == GREEN_EDEADLK,
        "while none does, an open port is no hope");
  green_port_release(p);
  green_close(h);
}

/* ------------------------------------------------------ on a host's loop -- */

static int echoes(struct green_hub *h, void *arg) {
  struct pair *pair = arg;
  struct green_message *m;
  while (green_port_receive(h, pair->there, GREEN_FOREVER, &m) == 0)
    pair->bad += green_port_send_wait(h, pair->back, m, GREEN_FOREVER) != 0;
  return 0;
}

static void *hosts(void *arg) {
  struct pair *pair = arg;
  struct green_options o = {.drive = GREEN_DRIVE_LOOP};
  struct green_hub *h;
  uv_loop_t loop;
  uv_loop_init(&loop);
  o.loop = &loop;
  if (green_open(&h, &o) < 0) abort();
  pair->there = open_port(h, 4);
  green_spawn(h, NULL, echoes, pair);
  atomic_store(&pair->ready, 1);
  uv_run(&loop, UV_RUN_DEFAULT);
  pair->bad += green_live(h) != 0;
  pair->bad += green_close(h) != 0;
  uv_run(&loop, UV_RUN_DEFAULT);
  pair->bad += uv_loop_close(&loop) != 0;
  green_port_release(pair->there);
  return NULL;
}

static void *steps(void *arg) {
  struct pair *pair = arg;
  struct green_options o = {.drive = GREEN_DRIVE_STEP};
  struct green_hub *h;
  if (green_open(&h, &o) < 0) abort();
  pair->there = open_port(h, 4);
  green_spawn(h, NULL, echoes, pair);
  atomic_store(&pair->ready, 1);
  while (green_step(h, 0) || green_live(h) > 0) {
    struct pollfd fd = {uv_backend_fd(green_loop(h)), POLLIN, 0};
    poll(&fd, 1, uv_backend_timeout(green_loop(h)));
  }
  pair->bad += green_close(h) != 0;
  green_port_release(pair->there);
  return NULL;
}

static void test_host(void *(*run)(void *), const char *what) {
  struct green_hub *h = open_hub();
  struct pair pair = {NULL, open_port(h, 4), 0, 0};
  pthread_t thread;
  int bad = 0, n, i, k;
  pthread_create(&thread, NULL, run, &pair);
  while (!atomic_load(&pair.ready)) green_sleep(h, green_now() + MS);
  green_port_hold(pair.there);
  for (i = 0; i < 300; i++) {
    for (k = 0; k < 3; k++)
      bad += green_port_send_wait(h, pair.there, number(0, i), GREEN_FOREVER);
    for (k = 0; k < 3; k++) bad += receive(h, pair.back, &n) != 0 || n != i;
    if (i % 100 == 0) green_sleep(h, green_now() + 2 * MS);
  }
  green_port_close(pair.there);
  pthread_join(thread, NULL);
  green_port_release(pair.there);
  green_port_release(pair.back);
  CHECK(bad == 0 && pair.bad == 0, what);
  green_close(h);
}

int main(void) {
  test_one_hub();
  test_closed_when_full();
  test_senders(sends_bare, 0,
               "all that four OS threads send arrives in order");
  test_senders(sends_bare, 3, "also through a port that is mostly full");
  test_senders(sends_green, 0, "and what green threads of four hubs send");
  test_senders(sends_green, 1, "also if they wait for each place");
  test_senders(sends_green, 16, "or for one of several");
  test_ping_pong();
  test_crowd();
  test_close_elsewhere();
  test_hubs_go();
  test_inside();
  test_fork();
  test_elsewhere();
  test_refusals();
  test_deadlock();
  test_host(hosts, "a hub on a host's loop is woken, and keeps it alive");
  test_host(steps, "a hub that is stepped is woken by its poll descriptor");
  return test_end();
}
