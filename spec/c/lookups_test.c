/* lookups_test.c - many look-ups at once: each gets a turn, equal ones share a
 * run, and those that nobody waits for any more delay nobody.
 *
 * getaddrinfo(3) is replaced: names that begin with "slow" are held at a gate
 * until the test opens it, and answered by the loopback address, those that
 * begin with "first" at another gate; "bad" ones are unknown, and of "busy"
 * ones no server can tell. It counts its runs, and how many go on at once.
 * getnameinfo(3) does the same for 10.0.0.0/8.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../core/resolve.h"
#include "os_threads.h"
#include "test.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static int is_open, first_is_open, runs, held, most_held;

static void wait_at_gate(const int *gate) {
  if (++held > most_held) most_held = held;
  while (!*gate) pthread_cond_wait(&opened, &lock);
  held--;
}

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
    wait_at_gate(&is_open);
    node = "127.0.0.1";
  } else if (!strncmp(node, "first", 5)) {
    wait_at_gate(&first_is_open);
    node = "127.0.0.1";
  }
  pthread_mutex_unlock(&lock);
  if (!strncmp(node, "bad", 3)) return EAI_NONAME;
  if (!strncmp(node, "busy", 4)) return EAI_AGAIN;
  if (!strncmp(node, "good", 4)) node = "127.0.0.1";
  return real(node, service, hints, list);
}

static void hold_at_gate(void) {
  pthread_mutex_lock(&lock);
  runs++;
  wait_at_gate(&is_open);
  pthread_mutex_unlock(&lock);
}

int getnameinfo(const struct sockaddr *a, socklen_t size, char *host,
                socklen_t host_size, char *service, socklen_t service_size,
                int flags) {
  int (*real)(const struct sockaddr *, socklen_t, char *, socklen_t, char *,
              socklen_t, int);
  uint32_t number = ntohl(((struct sockaddr_in *)(void *)a)->sin_addr.s_addr);
  *(void **)&real = dlsym(RTLD_NEXT, "getnameinfo");
  if (number >> 24 != 10 || flags & NI_NUMERICHOST)
    return real(a, size, host, host_size, service, service_size, flags);
  hold_at_gate();
  snprintf(host, host_size, "host%u.test", number & 0xff);
  return real(a, size, NULL, 0, service, service_size, NI_NUMERICSERV);
}

static int get(int *n) {
  int value;
  pthread_mutex_lock(&lock);
  value = *n;
  pthread_mutex_unlock(&lock);
  return value;
}

static void open_one(int *gate) {
  pthread_mutex_lock(&lock);
  *gate = 1;
  pthread_cond_broadcast(&opened);
  pthread_mutex_unlock(&lock);
}

static void open_gate(void) {
  open_one(&is_open);
}

/* When all that were held there are through. */
static void close_gate(void) {
  while (get(&held)) usleep(1000);
  pthread_mutex_lock(&lock);
  is_open = first_is_open = runs = most_held = 0;
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

/* 0 if the answer is the loopback address, with that port. */
static int resolve_port(struct green_hub *h, const char *node,
                        const char *port, uint64_t deadline) {
  struct addrinfo hints, *list;
  struct sockaddr_in *a;
  int r;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = AF_INET;
  r = green_getaddrinfo(h, node, port, &hints, deadline, &list);
  if (r < 0) return list ? 1 : r;
  a = (struct sockaddr_in *)list->ai_addr;
  r = a->sin_addr.s_addr != htonl(INADDR_LOOPBACK) ||
      a->sin_port != htons((uint16_t)atoi(port));
  green_freeaddrinfo(list);
  return r;
}

static int resolve(struct green_hub *h, const char *node, uint64_t deadline) {
  return resolve_port(h, node, "80", deadline);
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

static int looks_up_443(struct green_hub *h, void *arg) {
  return resolve_port(h, arg, "443", GREEN_FOREVER);
}

static void test_ports(void) {
  struct green_hub *h = open_hub();
  int result;
  close_gate();
  spawn_many(h, looks_up, 2, 1);
  green_spawn(h, &threads[2], looks_up_443, "slow0");
  wait_for(h, &held, 1);
  green_sleep(h, 0);
  open_gate();
  CHECK(join_many(h, 3, 0) == 3 && get(&runs) == 1,
        "look-ups for several ports share a run, and each has its own port");
  green_spawn(h, &threads[0], looks_up_443, "127.0.0.1");
  green_join(h, threads[0], GREEN_FOREVER, &result);
  CHECK(result == 0 && get(&runs) == 1, "numbers have theirs, too");
  green_close(h);
}

/* --- what is kept --- */

static struct green_hub *open_keeping(uint32_t most) {
  struct green_options o = {
      .lookup_cache = most, .lookup_ttl = 5000, .lookup_negative_ttl = 1000};
  struct green_hub *h;
  if (green_open(&h, &o) < 0) abort();
  close_gate();
  open_gate();
  return h;
}

/* Is the answer there without a look-up? */
static int is_kept(struct green_hub *h, const char *node, int answer) {
  return resolve(h, node, 0) == answer;
}

static void test_kept(void) {
  struct green_hub *h = open_keeping(8);
  CHECK(resolve(h, "good", GREEN_FOREVER) == 0 && is_kept(h, "good", 0) &&
            resolve_port(h, "good", "443", 0) == 0 && get(&runs) == 1,
        "an answer is kept, for any port");
  CHECK(resolve(h, "bad", GREEN_FOREVER) == UV_EAI_NONAME &&
            is_kept(h, "bad", UV_EAI_NONAME) && get(&runs) == 2,
        "so is it that a name is not known");
  CHECK(resolve(h, "busy", GREEN_FOREVER) == UV_EAI_AGAIN &&
            is_kept(h, "busy", UV_ETIMEDOUT),
        "but not that no server could tell");
  green_clock_freeze(h, 0);
  green_sleep(h, green_now() + 1100000000);
  CHECK(is_kept(h, "good", 0) && is_kept(h, "bad", UV_ETIMEDOUT),
        "that a name is not known is kept for a shorter time");
  green_sleep(h, green_now() + 4000000000);
  CHECK(is_kept(h, "good", UV_ETIMEDOUT), "and nothing for ever");
  green_clock_thaw(h);
  resolve(h, "good", GREEN_FOREVER);
  green_forget_lookups(h);
  CHECK(is_kept(h, "good", UV_ETIMEDOUT), "it may be forgotten at once");
  green_close(h);
}

static void test_kept_bound(void) {
  struct green_hub *h = open_keeping(4);
  char name[16];
  int i, kept = 0;
  for (i = 0; i < 20; i++) {
    snprintf(name, sizeof name, "good%d", i);
    resolve(h, name, GREEN_FOREVER);
  }
  for (i = 0; i < 20; i++) {
    snprintf(name, sizeof name, "good%d", i);
    kept += is_kept(h, name, 0);
  }
  CHECK(kept == 4 && is_kept(h, "good19", 0) && is_kept(h, "good16", 0),
        "no more are kept than allowed, and those are the latest");
  h->options.lookup_cache = 0;
  resolve(h, "good", GREEN_FOREVER);
  CHECK(is_kept(h, "good", UV_ETIMEDOUT), "or none");
  green_close(h);
}

/* A caller that was woken has not run yet when its answer is forgotten. */
static void test_forgotten_while_held(void) {
  struct green_hub *h = open_keeping(4);
  close_gate();
  spawn_many(h, looks_up, 2, 1);
  wait_for(h, &held, 1);
  open_gate();
  while (!h->resolver->kept.count) green_sleep(h, 0);
  green_forget_lookups(h);
  CHECK(join_many(h, 2, 0) == 2, "what is forgotten is still its callers'");
  green_close(h);
}

/* --- names of addresses --- */

static struct sockaddr_in address(uint32_t number) {
  struct sockaddr_in a;
  memset(&a, 0, sizeof a);
  a.sin_family = AF_INET;
  a.sin_port = htons(9);
  a.sin_addr.s_addr = htonl(number);
  return a;
}

static int name_of(struct green_hub *h, uint32_t number, int flags,
                   uint64_t deadline, char *host, size_t size) {
  struct sockaddr_in a = address(number);
  return green_getnameinfo(h, (struct sockaddr *)&a, sizeof a, flags, deadline,
                           host, size, NULL, 0);
}

static int finds_name(struct green_hub *h, void *arg) {
  char host[64] = "", expected[64];
  uint32_t last = *(uint32_t *)arg;
  int r = name_of(h, 10u << 24 | last, 0, GREEN_FOREVER, host, sizeof host);
  snprintf(expected, sizeof expected, "host%u.test", last);
  return r < 0 ? r : strcmp(host, expected) != 0;
}

static void test_names(void) {
  static uint32_t numbers[40];
  struct green_hub *h = open_hub();
  char host[64], service[8];
  struct sockaddr_in a = address(INADDR_LOOPBACK);
  int result;
  close_gate();
  CHECK(green_getnameinfo(h, (struct sockaddr *)&a, sizeof a,
                          NI_NUMERICHOST | NI_NUMERICSERV, 0, host,
                          sizeof host, service, sizeof service) == 0 &&
            !strcmp(host, "127.0.0.1") && !strcmp(service, "9") &&
            !h->resolver,
        "an address as a number is written at once");
  CHECK(name_of(h, INADDR_LOOPBACK, NI_NUMERICHOST, 0, host, 5) ==
            UV_EAI_OVERFLOW,
        "and is an error if there is no room for it");
  CHECK(name_of(h, 10 << 24, 0, 0, host, sizeof host) == UV_ETIMEDOUT,
        "its name takes longer than a limit of 0");
  for (uint32_t i = 0; i < 40; i++) {
    numbers[i] = i / 2;
    green_spawn(h, &threads[i], finds_name, &numbers[i]);
  }
  wait_for(h, &held, 8);
  green_kill(h, threads[39]);
  green_join(h, threads[39], GREEN_FOREVER, &result);
  CHECK(result == UV_ECANCELED, "one of many callers may leave");
  CHECK(name_of(h, 10u << 24 | 99, 0, green_now() + 1000000, host,
                sizeof host) == UV_ETIMEDOUT,
        "another one gives up");
  open_gate();
  CHECK(join_many(h, 39, 0) == 39 && get(&runs) == 20 && get(&most_held) <= 8,
        "names of addresses wait their turns, and equal ones share a run");
  CHECK(name_of(h, 10 << 24, 0, GREEN_FOREVER, host, 5) == UV_EAI_OVERFLOW,
        "a name that is too long is an error");
  CHECK(h->external == 0, "and nothing is left under way");
  green_close(h);
}

static void test_local_names(void) {
  struct green_hub *h = open_hub();
  struct green__hosts *hosts = NULL;
  char host[NI_MAXHOST];
  int known = green__hosts_know(&hosts, "127.0.0.1", AF_INET);
  green__hosts_free(hosts);
  close_gate();
  spawn_many(h, looks_up, 100, 0);
  wait_for(h, &held, 8);
  if (known)
    CHECK(name_of(h, INADDR_LOOPBACK, 0, GREEN_FOREVER, host, sizeof host) ==
                  0 &&
              get(&held) == 8,
          "an address that the hosts file knows waits behind no server");
  else
    SKIP("an address that the hosts file knows waits behind no server",
         "it has no 127.0.0.1");
  open_gate();
  join_many(h, 100, 0);
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

/* --- a hub closes while two look-ups of one bucket end --- */

/* The first in the bucket in which that name is; NULL: it is in none. */
static struct green__lookup *bucket_of(struct green_hub *h, const char *name) {
  for (int i = 0; i < GREEN__BUCKETS; i++) {
    struct green__lookup *l = h->resolver->buckets[i];
    for (; l; l = l->equal)
      if (!strcmp(l->question.node, name)) return h->resolver->buckets[i];
  }
  return NULL;
}

/* Sets names[0] to a name that gets into the same bucket. */
static int find_neighbour(const char *name) {
  struct green_options options = {.lookup_ttl = 60000, .lookup_cache = 10000};
  struct green__lookup *l;
  struct green_hub *h;
  int i, found = 0;
  close_gate();
  open_gate();
  open_one(&first_is_open);
  if (green_open(&h, &options) < 0) abort();
  resolve(h, name, GREEN_FOREVER);
  for (i = 0; i < 5000 && !found; i++) {
    snprintf(names[0], sizeof names[0], "slow%d", i);
    resolve(h, names[0], GREEN_FOREVER);
    l = bucket_of(h, name);
    found = l && l->equal;
  }
  green_close(h);
  return found;
}

/* Nobody waits for it any more, but a thread asks. */
static void leave_behind(struct green_hub *h, char *name) {
  int now = get(&held);
  green_spawn(h, &threads[0], looks_up, name);
  wait_for(h, &held, now + 1);
  green_kill(h, threads[0]);
  join_many(h, 1, UV_ECANCELED);
}

static uint32_t count_threads(struct green__lanes *lanes, int idle) {
  struct green__lane *lane;
  uint32_t n = 0;
  pthread_mutex_lock(&lanes->lock);
  for (lane = lanes->first; lane; lane = lane->sibling)
    n += idle ? lane->idle : lane->threads;
  pthread_mutex_unlock(&lanes->lock);
  return n;
}

/* Runs while the hub closes: too late for the second one to come back, so its
 * thread frees it. */
static void end_second(struct green_hub *h, void *arg) {
  (void)h;
  open_gate();
  while (count_threads(arg, 0)) usleep(1000);
}

static void test_close_between(void) {
  static char name[] = "first";
  struct green__lanes *lanes;
  struct green_hub *h;
  int found = find_neighbour(name);
  h = open_hub();
  close_gate();
  leave_behind(h, name);
  leave_behind(h, names[0]);
  CHECK(found && bucket_of(h, name)->equal, "two look-ups share a bucket");
  lanes = &h->resolver->lanes;
  if (green_post_send(lanes->post, end_second, lanes) < 0) abort();
  open_one(&first_is_open);
  while (!count_threads(lanes, 1)) usleep(1000); /* the first is back */
  CHECK(green_close(h) == 0, "and end while the hub closes");
}

int main(void) {
  int before = count_os_threads_before();
  alarm(120);
  test_many();
  test_equal();
  test_asked_again();
  test_abandoned();
  test_bound();
  test_local();
  test_ports();
  test_kept();
  test_kept_bound();
  test_forgotten_while_held();
  test_names();
  test_local_names();
  test_close();
  test_close_between();
  wait_for_os_threads(before);
  return test_end();
}
