/* lookups_test.c - many look-ups at once: each has its turn, equal ones share a
 * run, and those that nobody waits for any more hold up nobody.
 *
 * getaddrinfo(3) is replaced: names that begin with "slow" are held at a gate
 * until the test opens it, and answered by the loopback address; "bad" ones are
 * unknown. It counts its runs, and how many go on at once.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static int is_open, runs, held, most_held;

int getaddrinfo(const char *node, const char *service,
                const struct addrinfo *hints, struct addrinfo **list) {
  int (*real)(const char *, const char *, const struct addrinfo *,
              struct addrinfo **);
  *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
  if (!node || (hints && hints->ai_flags & AI_NUMERICHOST))
    return real(node, service, hints, list);
  pthread_mutex_lock(&lock);
  runs++;
  if (!strncmp(node, "slow", 4)) {
    if (++held > most_held) most_held = held;
    while (!is_open) pthread_cond_wait(&opened, &lock);
    held--;
    node = "127.0.0.1";
  }
  pthread_mutex_unlock(&lock);
  if (!strncmp(node, "bad", 3)) return EAI_NONAME;
  return real(node, service, hints, list);
}

static int get(int *n) {
  int value;
  pthread_mutex_lock(&lock);
  value = *n;
  pthread_mutex_unlock(&lock);
  return value;
}

static void open_gate(void) {
  pthread_mutex_lock(&lock);
  is_open = 1;
  pthread_cond_broadcast(&opened);
  pthread_mutex_unlock(&lock);
}

/* When all that were held there are through. */
static void close_gate(void) {
  while (get(&held)) usleep(1000);
  pthread_mutex_lock(&lock);
  is_open = runs = most_held = 0;
  pthread_mutex_unlock(&lock);
}

/* Lets the others run until *n is that much, or more. */
static void wait_for(struct green_hub *h, int *n, int value) {
  while (get(n) < value) green_sleep(h, green_now() + 100000);
}

static struct green_hub *open_hub(void) {
  struct green_hub *h;
  if (green_open(&h, NULL) < 0) abort();
  return h;
}

/* 0 if the answer is the loopback address. */
static int resolve(struct green_hub *h, const char *node, uint64_t deadline) {
  struct addrinfo hints, *list;
  int r;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = AF_INET;
  r = green_getaddrinfo(h, node, "80", &hints, deadline, &list);
  if (r < 0) return list ? 1 : r;
  if (((struct sockaddr_in *)list->ai_addr)->sin_addr.s_addr !=
      htonl(INADDR_LOOPBACK))
    r = 1;
  green_freeaddrinfo(list);
  return r;
}

static int looks_up(struct green_hub *h, void *arg) {
  return resolve(h, arg, GREEN_FOREVER);
}

static int gives_up(struct green_hub *h, void *arg) {
  return resolve(h, arg, green_now() + 1000000);
}

enum { MANY = 400 };
static char names[MANY][16];
static struct green_thread *threads[MANY];

static void spawn_many(struct green_hub *h, green_fn f, int n, int equal) {
  for (int i = 0; i < n; i++) {
    snprintf(names[i], sizeof names[i], "slow%d", equal ? 0 : i);
    green_spawn(h, &threads[i], f, names[i]);
  }
  green_sleep(h, 0);
}

/* How many of the n ended with that result. */
static int join_many(struct green_hub *h, int n, int expected) {
  int good = 0, result;
  for (int i = 0; i < n; i++)
    good += green_join(h, threads[i], GREEN_FOREVER, &result) == 0 &&
            result == expected;
  return good;
}

static void test_many(void) {
  struct green_hub *h = open_hub();
  close_gate();
  spawn_many(h, looks_up, MANY, 0);
  wait_for(h, &held, 8);
  open_gate();
  CHECK(join_many(h, MANY, 0) == MANY, "400 look-ups at once all have a turn");
  CHECK(get(&runs) == MANY && get(&most_held) <= 8, "8 of them at a time");
  green_close(h);
}

static void test_equal(void) {
  struct green_hub *h = open_hub();
  int result;
  close_gate();
  spawn_many(h, looks_up, 50, 1);
  wait_for(h, &held, 1);
  green_kill(h, threads[7]);
  green_join(h, threads[7], GREEN_FOREVER, &result);
  CHECK(result == UV_ECANCELED, "one of many callers may leave");
  green_spawn(h, &threads[7], looks_up, names[7]);
  green_sleep(h, 0);
  open_gate();
  CHECK(join_many(h, 50, 0) == 50 && get(&runs) == 1,
        "50 equal look-ups share one run, and each has an answer of its own");
  CHECK(h->external == 0, "and nothing is left under way");
  CHECK(resolve(h, "slow0", GREEN_FOREVER) == 0 && get(&runs) == 2,
        "one that comes later asks again");
  CHECK(resolve(h, "bad", GREEN_FOREVER) == UV_EAI_NONAME, "an error as well");
  green_close(h);
}

static void test_asked_again(void) {
  struct green_hub *h = open_hub();
  close_gate();
  spawn_many(h, looks_up, 8, 0);
  wait_for(h, &held, 8);
  for (int i = 0; i < 8; i++) green_kill(h, threads[i]);
  CHECK(join_many(h, 8, UV_ECANCELED) == 8 && h->external == 0,
        "nobody waits for 8 look-ups that hang");
  spawn_many(h, looks_up, 8, 0);
  CHECK(get(&runs) == 8 && h->external > 0,
        "a caller that asks for one that hangs waits for it");
  open_gate();
  CHECK(join_many(h, 8, 0) == 8 && get(&runs) == 8, "and gets its answer");
  green_close(h);
}

static void test_abandoned(void) {
  struct green_hub *h = open_hub();
  close_gate();
  spawn_many(h, gives_up, 40, 0);
  CHECK(join_many(h, 40, UV_ETIMEDOUT) == 40, "40 callers give up");
  CHECK(h->external == 0, "and no look-up counts for them any more");
  CHECK(resolve(h, "localhost", GREEN_FOREVER) == 0,
        "then a good name is answered while those still hang");
  CHECK(get(&runs) <= 33, "of which a few were begun, and not the queue");
  open_gate();
  green_close(h);
}

/* Nothing stops the number of those that hang but a bound. */
static void test_bound(void) {
  struct green_hub *h = open_hub();
  close_gate();
  for (int i = 0; i < 10; i++) {
    spawn_many(h, gives_up, 8 * (i + 1), 0);
    join_many(h, 8 * (i + 1), UV_ETIMEDOUT);
  }
  CHECK(get(&most_held) <= 32, "at most 32 OS threads hang");
  open_gate();
  CHECK(resolve(h, "slow", GREEN_FOREVER) == 0, "and all of them come back");
  green_close(h);
}

static void test_local(void) {
  struct green_hub *h = open_hub();
  struct green__hosts *hosts = NULL;
  int known = green__hosts_know(&hosts, "localhost", AF_INET);
  CHECK(!green__hosts_know(&hosts, "slow1", AF_UNSPEC) &&
            !green__hosts_know(&hosts, "", AF_UNSPEC) &&
            (!known || green__hosts_know(&hosts, "LocalHost", AF_UNSPEC)),
        "the hosts file knows what it knows, in any case");
  green__hosts_free(hosts);
  close_gate();
  spawn_many(h, looks_up, 100, 0);
  wait_for(h, &held, 8);
  CHECK(resolve(h, "127.0.0.1", GREEN_FOREVER) == 0,
        "a numeric address does not wait behind names");
  if (known)
    CHECK(resolve(h, "localhost", GREEN_FOREVER) == 0 && get(&held) == 8,
          "nor does what the hosts file knows");
  else
    SKIP("nor does what the hosts file knows", "it has no localhost");
  open_gate();
  CHECK(join_many(h, 100, 0) == 100, "and those have their turns");
  green_close(h);
}

static void test_close(void) {
  for (int i = 0; i < 10; i++) {
    struct green_hub *h = open_hub();
    close_gate();
    spawn_many(h, looks_up, 30, i % 2);
    if (i % 3) wait_for(h, &held, i % 2 ? 1 : 8);
    if (green_close(h) != 0) abort();
    open_gate();
  }
  CHECK(1, "a hub may be closed while look-ups hang");
}

int main(void) {
  alarm(120);
  test_many();
  test_equal();
  test_asked_again();
  test_abandoned();
  test_bound();
  test_local();
  test_close();
  return test_end();
}
