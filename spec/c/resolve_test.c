/* resolve_test.c - names to addresses without blocking the hub.
 *
 * Asks for numeric addresses, localhost, and a name under .invalid, which
 * leaves the machine only if its resolver sends it on.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#include "../../core/internal.h"
#include "os_threads.h"
#include "test.h"

static struct green_hub *open_hub(void) {
  struct green_hub *h;
  if (green_open(&h, NULL) < 0) abort();
  return h;
}

static int resolve(struct green_hub *h, const char *node, uint64_t deadline,
                   struct addrinfo **list) {
  struct addrinfo hints;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  return green_getaddrinfo(h, node, "80", &hints, deadline, list);
}

static void test_numeric(void) {
  struct green_hub *h = open_hub();
  struct addrinfo *list;
  struct green_stats before, after;
  green_stats(h, &before);
  CHECK(resolve(h, "127.0.0.1", 0, &list) == 0 && list->ai_family == AF_INET &&
            ((struct sockaddr_in *)list->ai_addr)->sin_port == htons(80),
        "a numeric address is answered at once");
  green_freeaddrinfo(list);
  CHECK(resolve(h, "::1", GREEN_FOREVER, &list) == 0 &&
            list->ai_family == AF_INET6,
        "an IPv6 one, too");
  green_freeaddrinfo(list);
  green_stats(h, &after);
  CHECK(after.switches == before.switches && !h->resolver,
        "without a switch and without an OS thread");
  CHECK(resolve(h, "localhost", 0, &list) == UV_ETIMEDOUT && !list,
        "a name takes longer than a limit of 0");
  green_kill(h, green_main(h));
  CHECK(resolve(h, "127.0.0.1", GREEN_FOREVER, &list) == UV_ECANCELED && !list,
        "a killed thread gets UV_ECANCELED, as everywhere");
  green_close(h);
}

static int ticks;

static int ticks_on(struct green_hub *h, void *arg) {
  int *stop = arg;
  while (!*stop) ticks++, green_sleep(h, 0);
  return 0;
}

static int is_loopback(const struct addrinfo *a) {
  const struct sockaddr_in6 *six = (void *)a->ai_addr;
  const struct sockaddr_in *four = (void *)a->ai_addr;
  if (a->ai_family == AF_INET6) return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
  return ntohl(four->sin_addr.s_addr) >> 24 == 127;
}

static void test_names(void) {
  struct green_hub *h = open_hub();
  struct addrinfo *list, *a;
  int stop = 0, all = 1, r;
  green_spawn(h, NULL, ticks_on, &stop);
  r = resolve(h, "localhost", GREEN_FOREVER, &list);
  for (a = list; a; a = a->ai_next) all &= is_loopback(a);
  CHECK(r == 0 && list && all, "localhost is this machine");
  CHECK(ticks > 0, "while a look-up is under way others run");
  if (r == 0) green_freeaddrinfo(list);
  r = resolve(h, "no.such.name.invalid", GREEN_FOREVER, &list);
  CHECK((r == UV_EAI_NONAME || r == UV_EAI_AGAIN || r == UV_EAI_FAIL) && !list,
        "a bad name gives one of libuv's UV_EAI_ codes");
  stop = 1;
  green_wait_others(h, GREEN_FOREVER);
  CHECK(h->external == 0, "and nothing is left under way");
  green_close(h);
}

static int looks_up(struct green_hub *h, void *arg) {
  struct addrinfo *list;
  int r = resolve(h, arg, GREEN_FOREVER, &list);
  if (r == 0) green_freeaddrinfo(list);
  return r;
}

static void test_many(void) {
  enum { MANY = 40 };
  struct green_hub *h = open_hub();
  struct green_thread *t[MANY];
  int good = 0, result;
  for (int i = 0; i < MANY; i++) green_spawn(h, &t[i], looks_up, "localhost");
  for (int i = 0; i < MANY; i++)
    good += green_join(h, t[i], GREEN_FOREVER, &result) == 0 && result == 0;
  CHECK(good == MANY, "40 look-ups at once share a few OS threads");
  green_close(h);
}

static void test_cancelled(void) {
  struct green_hub *h = open_hub();
  struct green_thread *t;
  struct addrinfo *list;
  int result, r;
  green_spawn(h, &t, looks_up, "localhost");
  green_sleep(h, 0);
  green_kill(h, t);
  CHECK(green_join(h, t, GREEN_FOREVER, &result) == 0 &&
            (result == UV_ECANCELED || result == 0),
        "a cancelled caller leaves at once, unless the answer was there");
  r = resolve(h, "localhost", green_now() + 1, &list);
  CHECK(r == UV_ETIMEDOUT && !list, "a limit ends the wait");
  while (h->external) green_sleep(h, green_now() + 1000000);
  CHECK(h->external == 0, "what comes later is disposed of");
  green_close(h);
}

/* The answer arrives in the turn in which the caller gives up. */
static void test_both(void) {
  struct green_hub *h = open_hub();
  int good = 1;
  for (int i = 0; i < 200; i++) {
    struct addrinfo *list;
    uint64_t limit = green_now() + (uint64_t)(i % 50) * 10000 + 1;
    int r = resolve(h, "localhost", limit, &list);
    good &= r == UV_ETIMEDOUT || r == 0;
    good &= (list != NULL) == (r == 0);
    if (r == 0) green_freeaddrinfo(list);
  }
  CHECK(good,
        "200 limits about as long as the look-up: an answer or a "
        "time-out, never both");
  green_close(h);
}

static void test_close(void) {
  for (int i = 0; i < 20; i++) {
    struct green_hub *h = open_hub();
    for (int k = 0; k < 12; k++) green_spawn(h, NULL, looks_up, "localhost");
    green_sleep(h, 0);
    if (i % 2) green_sleep(h, green_now() + (uint64_t)i * 50000);
    if (green_close(h) != 0) abort();
  }
  CHECK(1, "a hub can be closed with look-ups under way and queued");
}

int main(void) {
  int before = count_os_threads_before();
  test_numeric();
  test_names();
  test_many();
  test_cancelled();
  test_both();
  test_close();
  wait_for_os_threads(before);
  CHECK(1, "its OS threads end after the hub");
  return test_end();
}
