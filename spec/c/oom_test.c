/* oom_test.c - out of memory at every allocation of the core: each failure is
 * UV_ENOMEM, existing threads go on, and nothing leaks (the sanitizer or
 * valgrind checks that).
 *
 * SPDX-License-Identifier: MIT
 */
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "test.h"

enum { MS = 1000000, MOST = 1000 };

/* One attempt of everything below; the first error ends it. */
struct attempt {
  struct green_hub *hub;
  int ends[2];
  int ended, other; /* errors that were not UV_ENOMEM */
};

static int waits(struct green_hub *h, void *arg) {
  struct attempt *a = arg;
  int r = green_sleep(h, green_now() + MS / 10);
  if (r < 0 && r != UV_ENOMEM && r != UV_ECANCELED) a->other++;
  a->ended++;
  return r;
}

static int reads(struct green_hub *h, void *arg) {
  struct attempt *a = arg;
  char c;
  int r = green_wait_fd(h, a->ends[0], GREEN_READABLE, GREEN_FOREVER);
  if (r == 0 && read(a->ends[0], &c, 1) != 1) r = UV_EIO;
  return r;
}

static void posted(struct green_hub *h, void *arg) {
  struct attempt *a = arg;
  (void)h;
  a->ended++;
}

static int try_threads(struct attempt *a) {
  struct green_thread *t;
  int r, result;
  for (int i = 0; i < 10; i++)
    if ((r = green_spawn(a->hub, NULL, waits, a)) < 0) return r;
  if ((r = green_spawn(a->hub, &t, waits, a)) < 0) return r;
  if ((r = green_set_name(a->hub, t, "named")) < 0 ||
      (r = green_throw(a->hub, t, UV_ECANCELED)) < 0 ||
      (r = green_join(a->hub, t, GREEN_FOREVER, &result)) < 0) {
    green_detach(a->hub, t);
    return r;
  }
  return result == UV_ECANCELED ? 0 : result;
}

static int try_fd(struct attempt *a) {
  struct green_thread *t;
  int r, result;
  if ((r = green_spawn(a->hub, &t, reads, a)) < 0) return r;
  if ((r = green_sleep(a->hub, 0)) == 0 && write(a->ends[1], "x", 1) != 1)
    r = UV_EIO;
  if (r == 0) r = green_join(a->hub, t, GREEN_FOREVER, &result);
  if (r < 0) {
    green_detach(a->hub, t);
    return r;
  }
  return result;
}

static int try_post(struct attempt *a) {
  struct green_post *p;
  int r, before;
  if ((r = green_post_open(a->hub, &p)) < 0) return r;
  before = a->ended;
  r = green_post_send(p, posted, a);
  while (r == 0 && a->ended == before) r = green_sleep(a->hub, 0);
  green_post_close(a->hub, p);
  return r;
}

static int try_names(struct attempt *a) {
  struct addrinfo *list;
  struct green_scope s;
  int r = green_scope_open(a->hub, &s, GREEN_SCOPE_TIMEOUT, green_now() + MS);
  if (r < 0) return r;
  green_scope_close(a->hub, &s);
  r = green_getaddrinfo(a->hub, "localhost", NULL, NULL, green_now() + 1,
                        &list);
  while (a->hub->external && r != UV_ENOMEM)
    if (green_sleep(a->hub, 0) < 0) return UV_ENOMEM;
  return r == UV_ETIMEDOUT ? 0 : r;
}

/* Answers that are kept, and names of addresses. */
static int try_answers(struct attempt *a) {
  uint64_t limit = green_now() + UINT64_C(5000) * MS;
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};
  struct addrinfo *list;
  char host[256], service[32];
  int i, r = 0;
  a->hub->options.lookup_cache = 1;
  a->hub->options.lookup_ttl = 1000;
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (i = 0; i < 3 && r == 0; i++) {
    r = green_getaddrinfo(a->hub, "localhost", i < 2 ? "80" : NULL, NULL,
                          limit, &list);
    if (r == 0) green_freeaddrinfo(list);
    if (r == 0)
      r = green_getnameinfo(a->hub, (struct sockaddr *)&in, sizeof in, 0,
                            limit, host, sizeof host, service, sizeof service);
  }
  return r == UV_EAI_MEMORY ? UV_ENOMEM : r;
}

static int try_all(struct attempt *a) {
  int r = try_threads(a);
  if (r == 0) r = try_fd(a);
  if (r == 0) r = try_post(a);
  if (r == 0) r = try_names(a);
  if (r == 0) r = try_answers(a);
  if (r == 0) r = green_wait_others(a->hub, GREEN_FOREVER);
  return r;
}

/* The n-th allocation from here on fails, or none if there are fewer. */
static int attempt(struct attempt *a, long n, int *closed) {
  int r;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, a->ends) != 0) abort();
  green__fail_alloc(n);
  r = green_open(&a->hub, NULL);
  if (r == 0) {
    r = try_all(a);
    *closed += green_close(a->hub) == 0;
  } else {
    *closed += a->hub == NULL;
  }
  close(a->ends[0]);
  close(a->ends[1]);
  return r;
}

static void test_every(void) {
  struct attempt a = {0};
  int failed = 0, closed = 0, other = 0;
  long n, last = 0;
  /* A thread may absorb the failure and the attempt succeed, so it takes 20
   * successes in a row to stop. */
  for (n = 1; n < MOST && n - last <= 20; n++) {
    int r = attempt(&a, n, &closed);
    if (r != 0) last = n;
    failed += r == UV_ENOMEM;
    if (r != 0 && r != UV_ENOMEM) other++, printf("# %ld: %d\n", n, r);
  }
  green__fail_alloc(0);
  CHECK(other == 0 && a.other == 0,
        "out of memory at any allocation of the core is UV_ENOMEM");
  CHECK(failed > 10 && n < MOST, "at every one of them, until all goes well");
  CHECK(closed == n - 1, "and the hub can be closed each time");
}

static int counts(struct green_hub *h, void *arg) {
  (void)h;
  return ++*(int *)arg;
}

static void test_again(void) {
  struct green_hub *h;
  int n = 0, result = 0, refused = 0;
  struct green_thread *t = NULL;
  if (green_open(&h, NULL) < 0) abort();
  green__fail_alloc(1); /* when the slab of records is used up */
  for (int i = 0; i < 1000; i++)
    if (green_spawn(h, NULL, counts, &n) == UV_ENOMEM)
      refused += 1 + (green_spawn(h, NULL, counts, &n) == 0);
  green_wait_others(h, GREEN_FOREVER);
  CHECK(refused == 2, "the same call works when there is memory again");
  green_spawn(h, &t, counts, &n);
  green_join(h, t, GREEN_FOREVER, &result);
  CHECK(result == 1001, "and nothing is lost");
  green_close(h);
}

int main(void) {
  test_every();
  test_again();
  return test_end();
}
