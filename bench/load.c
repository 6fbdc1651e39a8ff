/* load.c - the load generator: many connections, one message under way on each.
 *
 *   load PORT CONNECTIONS BYTES SECONDS [PID]      (udp:PORT for datagrams)
 *
 * prints "round-trips-per-second p50 p99", latencies in microseconds. A message
 * is one line. Given the
 * server's process, it adds "cpu=N", the CPU time in microseconds that its
 * threads took per round trip, user and system, which hardly depends on the
 * load of the machine. The first fifth of the time warms the server up and is
 * not counted. One thread, one epoll; the clock is read once per batch of
 * events, so that the load costs less than the server that it drives.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 512
#define SLOWEST 1000000 /* us; a longer latency counts as this */

struct conn {
  int fd;
  size_t got;    /* of the message that comes back */
  uint64_t sent; /* when it was sent, ns */
};

static char message[1 << 20], sink[1 << 20];
static uint32_t latencies[SLOWEST + 1];
static uint64_t trips;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int dial(const char *port) {
  int is_udp = !strncmp(port, "udp:", 4), one = 1;
  int type = (is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC;
  uint16_t number = (uint16_t)atoi(port + (is_udp ? 4 : 0));
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(number)};
  int fd = socket(AF_INET, type, 0);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
    die("connect");
  if (!is_udp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
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

static void count(uint64_t ns) {
  uint64_t us = ns / 1000;
  latencies[us < SLOWEST ? us : SLOWEST]++;
  trips++;
}

static void answer(struct conn *c, size_t bytes, uint64_t at) {
  ssize_t n = recv(c->fd, sink, bytes - c->got, MSG_DONTWAIT);
  if (n == 0) errno = ECONNRESET; /* the server gave up */
  if (n == 0 || (n < 0 && errno != EAGAIN)) die("recv");
  if (n > 0) c->got += (size_t)n;
  if (c->got < bytes) return;
  count(at - c->sent);
  ask(c, bytes, at);
}

static void run(int epoll, size_t bytes, uint64_t until) {
  struct epoll_event events[BATCH];
  for (uint64_t at = now(); at < until; at = now()) {
    int n = epoll_wait(epoll, events, BATCH, 100);
    at = now();
    for (int i = 0; i < n; i++) answer(events[i].data.ptr, bytes, at);
  }
}

static int percentile(double share) {
  uint64_t rest = (uint64_t)((double)trips * share);
  int us = 0;
  while (us < SLOWEST && latencies[us] <= rest) rest -= latencies[us++];
  return us;
}

static void open_all(struct conn *conns, int n, int epoll, const char *port) {
  for (int i = 0; i < n; i++) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &conns[i]};
    conns[i].fd = dial(port);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &e) < 0) die("epoll_ctl");
  }
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
  uint64_t spent = 0, wall;
  if (argc < 5 || argc > 6)
    return fputs("load PORT CONNECTIONS BYTES SECONDS [PID]\n", stderr);
  int n = atoi(argv[2]), epoll = epoll_create1(EPOLL_CLOEXEC);
  size_t bytes = (size_t)atol(argv[3]);
  uint64_t span = (uint64_t)(atof(argv[4]) * 1e9), start;
  struct conn *conns = calloc((size_t)n, sizeof *conns);
  if (!conns || epoll < 0 || bytes < 1 || bytes > sizeof message) die("load");
  memset(message, 'x', bytes);
  message[bytes - 1] = '\n';
  open_all(conns, n, epoll, argv[1]);
  start = now();
  for (int i = 0; i < n; i++) ask(&conns[i], bytes, start);
  run(epoll, bytes, start + span / 5);
  memset(latencies, 0, sizeof latencies);
  trips = 0;
  if (pid) spent = process_cpu(pid);
  start = now();
  run(epoll, bytes, start + span);
  wall = now() - start;
  if (pid) spent = process_cpu(pid) - spent;
  printf("%.0f %d %d", (double)trips * 1e9 / (double)wall, percentile(0.5),
         percentile(0.99));
  if (pid) printf(" cpu=%.3f", (double)spent / 1e3 / (double)trips);
  putchar('\n');
  return trips == 0;
}
