/* echo_epoll.c - the limit: a bare echo server, one thread, level-triggered
 * epoll, no buffers of its own; prints its port.
 *
 * SPDX-License-Identifier: MIT
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 1024 /* events of one epoll_wait; libuv takes as many */

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int listen_anywhere(void) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t size = sizeof at;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) < 0 ||
      listen(fd, 1024) < 0 || getsockname(fd, (struct sockaddr *)&at, &size))
    die("listen");
  printf("%d\n", ntohs(at.sin_port));
  fflush(stdout);
  return fd;
}

static void watch(int epoll, int fd) {
  struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0) die("epoll_ctl");
}

static void greet(int epoll, int listener) {
  int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  if (fd < 0) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  watch(epoll, fd);
}

/* Closes at the end of the stream; waits on the spot when a send is short,
 * which one message of 16 KB under way never makes happen. */
static void echo(int fd) {
  static char buffer[65536];
  ssize_t n = recv(fd, buffer, sizeof buffer, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    close(fd);
    return;
  }
  for (ssize_t done = 0; done < n;) {
    ssize_t sent = send(fd, buffer + done, (size_t)(n - done), MSG_NOSIGNAL);
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    if (sent > 0)
      done += sent;
    else if (errno != EAGAIN || poll(&writable, 1, 1000) < 1)
      break;
  }
}

int main(void) {
  struct epoll_event events[BATCH];
  int epoll = epoll_create1(0), listener = listen_anywhere();
  watch(epoll, listener);
  for (;;) {
    int n = epoll_wait(epoll, events, BATCH, -1);
    for (int i = 0; i < n; i++)
      if (events[i].data.fd == listener)
        greet(epoll, listener);
      else
        echo(events[i].data.fd);
  }
}
