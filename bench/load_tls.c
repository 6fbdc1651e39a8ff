/* load_tls.c - the load generator over TLS: as load.c, and handshakes.
 *
 *   load_tls PORT CONNECTIONS BYTES SECONDS [PID]
 *
 * One message is under way on each connection; with 0 BYTES each connection
 * ends after its handshake and another begins, and round trips are handshakes.
 * Prints as load.c does: rate, latencies at the median and at 99 % in
 * microseconds, and the server's CPU time per round trip.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 512
#define SLOWEST 1000000 /* us; what takes longer counts as this */

struct conn {
  SSL *ssl;
  int fd, open;
  size_t got, put; /* of the message: come back, sent */
  uint64_t sent;   /* when it was sent, or the connection begun, ns */
};

static char message[1 << 20], sink[1 << 20];
static uint32_t latencies[SLOWEST + 1];
static uint64_t trips;
static int opened; /* connections whose first handshake is over */
static SSL_CTX *ctx;
static struct sockaddr_in to;
static int epoll;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void begin(struct conn *c) {
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0)
    die("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  c->ssl = SSL_new(ctx);
  SSL_set_fd(c->ssl, c->fd);
  SSL_set_connect_state(c->ssl);
  c->open = 0;
  c->got = c->put = 0;
  c->sent = now();
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) < 0) die("epoll_ctl");
}

static void count(uint64_t ns) {
  uint64_t us = ns / 1000;
  latencies[us < SLOWEST ? us : SLOWEST]++;
  trips++;
}

/* OpenSSL's last word: it waits, or the connection is broken. */
static void check(struct conn *c, int r) {
  int e = SSL_get_error(c->ssl, r);
  if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) die("TLS");
}

/* A message of 1 MB at most is asked for in pieces that have room. */
static void ask(struct conn *c, size_t bytes) {
  while (c->put < bytes) {
    size_t n;
    int r = SSL_write_ex(c->ssl, message + c->put, bytes - c->put, &n);
    if (r <= 0) {
      check(c, r);
      return;
    }
    c->put += n;
  }
}

static void again(struct conn *c, size_t bytes) {
  c->got = c->put = 0;
  c->sent = now();
  ask(c, bytes);
}

static void renew(struct conn *c) {
  count(now() - c->sent);
  SSL_free(c->ssl);
  close(c->fd);
  begin(c);
  SSL_do_handshake(c->ssl);
}

static void go_on(struct conn *c, size_t bytes) {
  size_t n;
  int r;
  if (!c->open) {
    if ((r = SSL_do_handshake(c->ssl)) != 1) {
      check(c, r);
      return;
    }
    c->open = 1;
    opened++;
    if (!bytes) {
      renew(c);
      return;
    }
    again(c, bytes);
  }
  if (c->put < bytes) ask(c, bytes);
  while ((r = SSL_read_ex(c->ssl, sink, sizeof sink, &n)) > 0) {
    c->got += n;
    if (c->got < bytes) continue;
    count(now() - c->sent);
    again(c, bytes);
  }
  check(c, r);
}

static void run(struct conn *conns, size_t bytes, uint64_t until) {
  struct epoll_event events[BATCH];
  (void)conns;
  while (now() < until) {
    int n = epoll_wait(epoll, events, BATCH, 100);
    for (int i = 0; i < n; i++) go_on(events[i].data.ptr, bytes);
  }
}

static int percentile(double share) {
  uint64_t rest = (uint64_t)((double)trips * share);
  int us = 0;
  while (us < SLOWEST && latencies[us] <= rest) rest -= latencies[us++];
  return us;
}

/* The time on a CPU of one thread, ns, by the scheduler's own account. */
static uint64_t thread_cpu(const char *pid, const char *task) {
  char path[300];
  unsigned long long ns = 0;
  FILE *file;
  snprintf(path, sizeof path, "/proc/%s/task/%s/schedstat", pid, task);
  if (!(file = fopen(path, "r"))) return 0; /* it has just ended */
  if (fscanf(file, "%llu", &ns) != 1) ns = 0;
  fclose(file);
  return ns;
}

static uint64_t process_cpu(const char *pid) {
  char path[64];
  struct dirent *entry;
  uint64_t ns = 0;
  DIR *dir;
  snprintf(path, sizeof path, "/proc/%s/task", pid);
  if (!(dir = opendir(path))) die(path);
  while ((entry = readdir(dir)))
    if (entry->d_name[0] != '.') ns += thread_cpu(pid, entry->d_name);
  closedir(dir);
  return ns;
}

int main(int argc, char **argv) {
  const char *pid = argc == 6 ? argv[5] : NULL;
  uint64_t spent = 0, wall, start, span;
  struct conn *conns;
  size_t bytes;
  int n;
  if (argc < 5 || argc > 6)
    return fputs("load_tls PORT CONNECTIONS BYTES SECONDS [PID]\n", stderr);
  n = atoi(argv[2]);
  bytes = (size_t)atol(argv[3]);
  span = (uint64_t)(atof(argv[4]) * 1e9);
  conns = calloc((size_t)n, sizeof *conns);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  ctx = SSL_CTX_new(TLS_client_method());
  if (!conns || epoll < 0 || !ctx || bytes > sizeof message) die("load_tls");
  signal(SIGPIPE, SIG_IGN);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  to = (struct sockaddr_in){.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)atoi(argv[1])),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  memset(message, 'x', sizeof message);
  if (bytes) message[bytes - 1] = '\n';
  for (int i = 0; i < n; i++) {
    begin(&conns[i]);
    SSL_do_handshake(conns[i].ssl);
  }
  while (opened < n) run(conns, bytes, now() + span / 5);
  run(conns, bytes, now() + span / 5);
  memset(latencies, 0, sizeof latencies);
  trips = 0;
  if (pid) spent = process_cpu(pid);
  start = now();
  run(conns, bytes, start + span);
  wall = now() - start;
  if (pid) spent = process_cpu(pid) - spent;
  printf("%.0f %d %d", (double)trips * 1e9 / (double)wall, percentile(0.5),
         percentile(0.99));
  if (pid) printf(" cpu=%.3f", (double)spent / 1e3 / (double)trips);
  putchar('\n');
  return trips == 0;
}
