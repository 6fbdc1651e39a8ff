/* load.h - what the load generators share: connections, the message, what is
 * counted, and how a run goes. Each has functions of its own for a connection:
 *
 *   load_open(c)              connects, and says to epoll what it waits for
 *   load_event(c, bytes, at)  something has come, at that time
 *
 * Both print "round-trips-per-second p50 p99", latencies in microseconds. Given
 * the server's process, they add "cpu=N", the CPU time in microseconds that its
 * threads took per round trip, user and system, which hardly depends on the
 * load of the machine. The first fifth of the time warms the server up and is
 * not counted. One thread, one epoll; the clock is read once per batch of
 * events, so that the load costs less than the server that it drives.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LOAD_H
#define LOAD_H

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
#define SLOWEST 1000000 /* us; what takes longer counts as this */

struct conn; /* its own */
static void load_open(struct conn *c);
static void load_event(struct conn *c, size_t bytes, uint64_t at);

static char message[1 << 20], sink[1 << 20];
static uint32_t latencies[SLOWEST + 1];
static uint64_t trips;
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

/* A socket of that type that is connected to a port of this host. */
static int dial(uint16_t port, int type) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
    die("connect");
  if (type == SOCK_STREAM)
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static void watch(int fd, struct conn *c) {
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0) die("epoll_ctl");
}

static void count(uint64_t ns) {
  uint64_t us = ns / 1000;
  latencies[us < SLOWEST ? us : SLOWEST]++;
  trips++;
}

static void run(size_t bytes, uint64_t until) {
  struct epoll_event events[BATCH];
  for (uint64_t at = now(); at < until; at = now()) {
    int n = epoll_wait(epoll, events, BATCH, 100);
    at = now();
    for (int i = 0; i < n; i++) load_event(events[i].data.ptr, bytes, at);
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

/* Counts for so long, and prints the line. The exit code. */
static int measure(size_t bytes, uint64_t span, const char *pid) {
  uint64_t spent = 0, start, wall;
  run(bytes, now() + span / 5);
  memset(latencies, 0, sizeof latencies);
  trips = 0;
  if (pid) spent = process_cpu(pid);
  start = now();
  run(bytes, start + span);
  wall = now() - start;
  if (pid) spent = process_cpu(pid) - spent;
  printf("%.0f %d %d", (double)trips * 1e9 / (double)wall, percentile(0.5),
         percentile(0.99));
  if (pid) printf(" cpu=%.3f", (double)spent / 1e3 / (double)trips);
  putchar('\n');
  return trips == 0;
}

/* What all have on the command line: PORT CONNECTIONS BYTES SECONDS [PID]. */
struct plan {
  int n;
  size_t bytes;
  uint64_t span;
  const char *pid;
};

static struct plan read_plan(int argc, char **argv) {
  struct plan p = {0, 0, 0, argc == 6 ? argv[5] : NULL};
  if (argc < 5 || argc > 6) {
    fprintf(stderr, "%s PORT CONNECTIONS BYTES SECONDS [PID]\n", argv[0]);
    exit(1);
  }
  p.n = atoi(argv[2]);
  p.bytes = (size_t)atol(argv[3]);
  p.span = (uint64_t)(atof(argv[4]) * 1e9);
  if (p.bytes > sizeof message) die("so many bytes");
  memset(message, 'x', sizeof message);
  if (p.bytes) message[p.bytes - 1] = '\n';
  if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll_create1");
  return p;
}

#endif
