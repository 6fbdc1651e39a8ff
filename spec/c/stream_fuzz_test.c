/* stream_fuzz_test.c - connections whose ends read, write, are killed, limited
 * and closed at random; the bytes arrive as they were sent, in order.
 *
 * GREEN_SEED=n repeats a run, GREEN_ROUNDS=n makes it longer.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "test.h"

enum { MS = 1000000, PAIRS = 12 };

static struct green_hub *hub;
static uint64_t seed;
static int rounds, bad;

static unsigned chance(unsigned n) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (unsigned)(seed >> 33) % n;
}

/* A stream of bytes that tells what should come next. */
struct stream {
  int fd[2]; /* the writer's, the reader's; -1: closed */
  uint32_t sent, read;
  int writers, readers;
};

static struct stream streams[PAIRS];

static char byte_at(uint32_t n) {
  return (char)(n * 31 + (n >> 8));
}

static uint64_t some_deadline(void) {
  switch (chance(4)) {
    case 0: return green_now() - 1;
    case 1: return 0;
    case 2: return green_in(chance(2 * MS));
    default: return GREEN_FOREVER;
  }
}

static int may_be(int r) {
  return r == 0 || r == UV_ETIMEDOUT || r == UV_ECANCELED || r == UV_EBADF ||
         r == UV_EPIPE || r == UV_ECONNRESET || r == UV_EBUSY;
}

/* Writers wait for their turns, so each takes its bytes when it begins. If a
 * write is cut, the stream is closed: other writers' bytes are dropped. */
static int writes(struct green_hub *h, void *arg) {
  struct stream *s = arg;
  static char data[200000];
  size_t size = chance(8) ? chance(300) : chance(sizeof data), done = 0, i;
  int fd = s->fd[0], r;
  if (fd < 0 || s->writers > 0) return 0;
  s->writers++;
  for (i = 0; i < size; i++) data[i] = byte_at(s->sent + (uint32_t)i);
  if (size > 20000) { /* it may wait: its bytes are its own */
    char *mine = malloc(size);
    memcpy(mine, data, size);
    r = green_write(h, fd, mine, size, some_deadline(), &done);
    free(mine);
  } else {
    char mine[20000];
    memcpy(mine, data, size);
    r = green_write(h, fd, mine, size, some_deadline(), &done);
  }
  if (!may_be(r) || (r == 0 && done != size)) bad++;
  s->sent += (uint32_t)done;
  s->writers--;
  return 0;
}

static int reads(struct green_hub *h, void *arg) {
  struct stream *s = arg;
  char data[5000];
  int fd = s->fd[1];
  int64_t n, i;
  if (fd < 0) return 0;
  n = green_read(h, fd, data, chance(sizeof data) + 1, some_deadline());
  if (n < 0 && !may_be((int)n)) bad++;
  for (i = 0; i < n; i++) bad += data[i] != byte_at(s->read++);
  return 0;
}

static void close_one(int *fd) {
  if (*fd < 0) return;
  if (chance(2))
    green_close_fd(hub, *fd);
  else
    close(*fd);
  *fd = -1;
}

static int closes(struct green_hub *h, void *arg) {
  struct stream *s = arg;
  (void)h;
  close_one(&s->fd[chance(2)]);
  return 0;
}

static int limited(struct green_hub *h, void *arg) {
  return green_within(h, green_in(chance(2 * MS)), chance(2) ? reads : writes,
                      arg);
}

/* Only when nobody is in a call on the numbers that it replaces. */
static void renew(struct stream *s) {
  close_one(&s->fd[0]);
  close_one(&s->fd[1]);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->fd) < 0) abort();
  s->sent = s->read = 0;
}

static struct green_thread *threads[PAIRS * 4];
static struct stream *of[PAIRS * 4];

static int is_busy(const struct stream *s) {
  int i, n = 0;
  for (i = 0; i < PAIRS * 4; i++) n += threads[i] && of[i] == s;
  return n;
}

static void begin(int i) {
  static const green_fn what[] = {reads,   reads, writes, writes,
                                  limited, reads, writes, closes};
  struct stream *s = &streams[chance(PAIRS)];
  if ((s->fd[0] < 0 || s->fd[1] < 0) && !is_busy(s)) renew(s);
  of[i] = s;
  if (green_spawn(hub, &threads[i], what[chance(chance(6) ? 7 : 8)], s) < 0)
    abort();
}

static void go_on(int i) {
  if (!threads[i]) {
    begin(i);
    return;
  }
  if (chance(6) == 0) green_kill(hub, threads[i]);
  if (green_join(hub, threads[i], 0, NULL) == 0) threads[i] = NULL;
}

static void end_all(void) {
  int i;
  for (i = 0; i < PAIRS * 4; i++) {
    if (!threads[i]) continue;
    green_kill(hub, threads[i]);
    if (green_join(hub, threads[i], green_in(UINT64_C(5000) * MS), NULL) < 0)
      bad++;
    threads[i] = NULL;
  }
  for (i = 0; i < PAIRS; i++) {
    close_one(&streams[i].fd[0]);
    close_one(&streams[i].fd[1]);
  }
}

static int number_of(const char *name, int otherwise) {
  const char *text = getenv(name);
  return text ? atoi(text) : otherwise;
}

int main(void) {
  int i, n;
  seed = (uint64_t)number_of("GREEN_SEED", (int)(green_now() % 1000000) + 1);
  printf("# GREEN_SEED=%d\n", (int)seed);
  rounds = number_of("GREEN_ROUNDS", 3000);
  for (i = 0; i < PAIRS; i++) streams[i].fd[0] = streams[i].fd[1] = -1;
  if (green_open(&hub, NULL) < 0) return 1;
  for (n = 0; n < rounds && !bad; n++) {
    go_on((int)chance(PAIRS * 4));
    if (chance(3) == 0) green_yield(hub);
    if (chance(300) == 0) green_sleep(hub, green_in(MS));
  }
  end_all();
  CHECK(bad == 0,
        "what arrives is what was sent, whoever is struck or closed");
  CHECK(green_close(hub) == 0, "and nothing is left");
  return test_end();
}
