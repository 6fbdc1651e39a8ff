/* load.c - the load generator: many connections, one message under way on each.
 *
 *   load PORT CONNECTIONS BYTES SECONDS [PID]      (udp:PORT for datagrams)
 *
 * A message is one line. What it prints: load.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "load.h"

struct conn {
  int fd;
  size_t got;    /* of the message that comes back */
  uint64_t sent; /* when it was sent, ns */
};

static uint16_t port;
static int type = SOCK_STREAM;

static void load_open(struct conn *c) {
  c->fd = dial(port, type);
  watch(c->fd, c);
}

/* A message is at most 1 MB and its echo has been read, so a blocking send
 * waits only for a server that does not read. */
static void ask(struct conn *c, size_t bytes, uint64_t at) {
  c->got = 0;
  c->sent = at;
  for (size_t done = 0; done < bytes;) {
    ssize_t n = send(c->fd, message + done, bytes - done, MSG_NOSIGNAL);
    if (n < 0) die("send");
    done += (size_t)n;
  }
}

static void load_event(struct conn *c, size_t bytes, uint64_t at) {
  ssize_t n = recv(c->fd, sink, bytes - c->got, MSG_DONTWAIT);
  if (n == 0) errno = ECONNRESET; /* the server gave up */
  if (n == 0 || (n < 0 && errno != EAGAIN)) die("recv");
  if (n > 0) c->got += (size_t)n;
  if (c->got < bytes) return;
  count(at - c->sent);
  ask(c, bytes, at);
}

int main(int argc, char **argv) {
  struct plan p = read_plan(argc, argv);
  int is_udp = !strncmp(argv[1], "udp:", 4);
  struct conn *conns = calloc((size_t)p.n, sizeof *conns);
  uint64_t start;
  if (!conns || p.bytes < 1) die("load");
  if (is_udp) type = SOCK_DGRAM;
  port = (uint16_t)atoi(argv[1] + (is_udp ? 4 : 0));
  for (int i = 0; i < p.n; i++) load_open(&conns[i]);
  start = now();
  for (int i = 0; i < p.n; i++) ask(&conns[i], p.bytes, start);
  return measure(p.bytes, p.span, p.pid);
}
