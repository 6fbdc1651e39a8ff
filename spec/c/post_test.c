/* post_test.c - posts, by which other OS threads reach a hub.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../../core/internal.h"
#include "test.h"

enum { SENDERS = 4, EACH = 2000 };

static struct green_hub *open_hub(void) {
  struct green_hub *h;
  if (green_open(&h, NULL) < 0) abort();
  return h;
}

static struct green_post *open_post(struct green_hub *h) {
  struct green_post *p;
  if (green_post_open(h, &p) < 0) abort();
  return p;
}

/* ------------------------------------------------------ several senders -- */

static int received, disorder, last[SENDERS];
static pthread_t home;

struct message {
  int sender, number;
};
static struct message messages[SENDERS][EACH];

static void receive(struct green_hub *h, void *arg) {
  struct message *m = arg;
  disorder += m->number != last[m->sender]++;
  disorder += !pthread_equal(pthread_self(), home);
  if (++received == SENDERS * EACH) green_wake_all(h, &h->others, GREEN_WOKEN);
}

struct sender {
  pthread_t thread;
  struct green_post *post;
  int number;
};

static void *send_all(void *arg) {
  struct sender *s = arg;
  long bad = 0;
  for (int i = 0; i < EACH; i++) {
    struct message *m = &messages[s->number][i];
    m->sender = s->number;
    m->number = i;
    bad += green_post_send(s->post, receive, m) != 0;
  }
  green_post_release(s->post);
  return (void *)bad;
}

static void test_senders(void) {
  static const struct green_wait_kind kind = {"all messages", NULL, NULL};
  struct green_hub *h = open_hub();
  struct green_post *p = open_post(h);
  struct sender s[SENDERS];
  long bad = 0;
  home = pthread_self();
  for (int i = 0; i < SENDERS; i++) {
    s[i].post = p;
    s[i].number = i;
    green_post_hold(p);
    pthread_create(&s[i].thread, NULL, send_all, &s[i]);
  }
  green_wait(h, &kind, NULL, &h->others, GREEN_FOREVER);
  for (int i = 0; i < SENDERS; i++) {
    void *result;
    pthread_join(s[i].thread, &result);
    bad += (long)result;
  }
  CHECK(bad == 0 && received == SENDERS * EACH,
        "what four OS threads send at once arrives, all of it");
  CHECK(disorder == 0, "on the hub's OS thread, each sender's in order");
  green_post_close(h, p);
  green_close(h);
}

/* -------------------------------------------------------- what fn may do -- */

static int spawned;

static int child(struct green_hub *h, void *arg) {
  (void)h, (void)arg;
  spawned++;
  return 0;
}

static void spawns(struct green_hub *h, void *arg) {
  spawned +=
      green_spawn(h, NULL, child, arg) == 0 && green_sleep(h, 0) == UV_EPERM;
}

static void *sends_spawn(void *arg) {
  green_post_send(arg, spawns, NULL);
  return NULL;
}

static void test_may(void) {
  struct green_hub *h = open_hub();
  struct green_post *p = open_post(h);
  pthread_t other;
  pthread_create(&other, NULL, sends_spawn, p);
  while (spawned < 2) green_sleep(h, green_now() + 1000000);
  CHECK(spawned == 2, "a post may spawn; blocking in it gives UV_EPERM");
  pthread_join(other, NULL);
  green_post_close(h, p);
  green_close(h);
}

/* --------------------------------------------------------------- closing -- */

static struct green_post *own_door;

static void shuts(struct green_hub *h, void *arg) {
  (void)arg;
  received++;
  green_post_close(h, own_door);
}

static void counts(struct green_hub *h, void *arg) {
  (void)h, (void)arg;
  received++;
}

static void test_close(void) {
  struct green_hub *h = open_hub();
  struct green_post *p = open_post(h), *q = open_post(h);
  received = 0;
  own_door = q; /* the younger one is served first */
  green_post_send(q, shuts, NULL);
  green_post_send(p, counts, NULL);
  while (received < 2) green_sleep(h, green_now() + 1000000);
  CHECK(received == 2,
        "a post that closes itself does not shut out the others");
  green_post_send(p, counts, NULL);
  green_post_hold(p);
  green_post_close(h, p);
  CHECK(received == 3,
        "what was accepted is carried out when the post closes");
  CHECK(green_post_send(p, counts, NULL) == UV_ECANCELED && received == 3,
        "what comes later is refused with UV_ECANCELED");
  green_post_release(p);
  green_close(h);
}

static void *knocks(void *arg) {
  struct green_post *p = arg;
  long sent = 0;
  int r;
  while ((r = green_post_send(p, counts, NULL)) == 0) sent++;
  green_post_release(p);
  return (void *)(r == UV_ECANCELED ? sent : -1);
}

static void test_outlives(void) {
  struct green_hub *h = open_hub();
  struct green_post *p = open_post(h);
  pthread_t other;
  void *sent;
  received = 0;
  green_post_hold(p);
  pthread_create(&other, NULL, knocks, p);
  while (received < 100) green_sleep(h, 0);
  green_close(h);
  pthread_join(other, &sent);
  CHECK(
      (long)sent == received,
      "a post outlives the hub: what was accepted came, the rest is refused");
  CHECK(green_post_send(p, counts, NULL) == UV_ECANCELED,
        "with UV_ECANCELED for good");
  green_post_release(p);
}

/* -------------------------------------------------------------- deadlock -- */

static int sleeps_for_ever(struct green_hub *h, void *arg) {
  (void)arg;
  return green_sleep(h, GREEN_FOREVER);
}

static void kills(struct green_hub *h, void *arg) {
  green_kill(h, arg);
}

struct late {
  struct green_post *post;
  struct green_thread *thread;
};

static void *sends_late(void *arg) {
  struct late *late = arg;
  struct timespec ms5 = {0, 5000000};
  nanosleep(&ms5, NULL); /* the hub sleeps by now, or not: both are fine */
  green_post_send(late->post, kills, late->thread);
  return NULL;
}

static void test_deadlock(void) {
  struct green_hub *h = open_hub();
  struct late late = {open_post(h), NULL};
  pthread_t other;
  int result;
  green_spawn(h, &late.thread, sleeps_for_ever, NULL);
  pthread_create(&other, NULL, sends_late, &late);
  CHECK(green_join(h, late.thread, GREEN_FOREVER, &result) == 0 &&
            result == UV_ECANCELED,
        "while a post is open nothing is a deadlock");
  pthread_join(other, NULL);
  green_post_close(h, late.post);
  CHECK(green_sleep(h, GREEN_FOREVER) == GREEN_EDEADLK,
        "when the last one is closed it is");
  green_close(h);
}

int main(void) {
  test_senders();
  test_may();
  test_close();
  test_outlives();
  test_deadlock();
  return test_end();
}
