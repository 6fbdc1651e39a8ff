/* c_only.c - green threads in C, without Lua.
 *
 * An echo server and its clients in one process and one OS thread: each is
 * straight-line code on a small stack of its own that waits where it stands.
 *
 *   c_only [clients [messages]]
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "green.h"

enum { SECOND = 1000000000 };

static struct sockaddr_in address;
static int messages;

/* --- a few blocking calls: try first, wait when the kernel says so --- */

static ssize_t receive(struct green_hub *hub, int fd, char *data,
                       size_t size) {
  for (;;) {
    ssize_t n = recv(fd, data, size, MSG_DONTWAIT);
    if (n >= 0 || errno != EAGAIN) return n;
    if (green_wait_fd(hub, fd, GREEN_READABLE, green_now() + 10ull * SECOND) <
        0)
      return -1;
  }
}

static int transmit(struct green_hub *hub, int fd, const char *data,
                    size_t size) {
  while (size > 0) {
    ssize_t n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      data += n;
      size -= (size_t)n;
    } else if (n < 0 && errno != EAGAIN) {
      return -1;
    } else if (green_wait_fd(hub, fd, GREEN_WRITABLE, GREEN_FOREVER) < 0) {
      return -1;
    }
  }
  return 0;
}

/* --- the server --- */

static int echo(struct green_hub *hub, void *arg) {
  int fd = (int)(intptr_t)arg;
  char data[512];
  ssize_t n;
  while ((n = receive(hub, fd, data, sizeof data)) > 0)
    if (transmit(hub, fd, data, (size_t)n) < 0) break;
  close(fd);
  return 0;
}

static int serve(struct green_hub *hub, void *arg) {
  int listener = (int)(intptr_t)arg, served = 0;
  while (green_wait_fd(hub, listener, GREEN_READABLE, GREEN_FOREVER) == 0) {
    struct green_thread *t;
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    if (green_spawn(hub, &t, echo, (void *)(intptr_t)fd) < 0) {
      close(fd);
      continue;
    }
    green_detach(hub, t);
    served++;
  }
  return served; /* killed: the wait returned UV_ECANCELED */
}

static int open_listener(void) {
  socklen_t size = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
      listen(fd, SOMAXCONN) < 0 ||
      getsockname(fd, (struct sockaddr *)&address, &size) < 0) {
    perror("listen");
    exit(1);
  }
  return fd;
}

/* --- the clients --- */

static int converse(struct green_hub *hub, int fd, int number) {
  char line[64], reply[64];
  int i;
  for (i = 0; i < messages; i++) {
    int size = snprintf(line, sizeof line, "client %d, message %d", number, i);
    int got = 0;
    if (transmit(hub, fd, line, (size_t)size) < 0) return -1;
    while (got < size) {
      ssize_t n = receive(hub, fd, reply + got, sizeof reply - (size_t)got);
      if (n <= 0) return -1;
      got += (int)n;
    }
    if (got != size || memcmp(line, reply, (size_t)size) != 0) return -1;
    green_sleep(hub, green_now() + SECOND / 1000);
  }
  return messages;
}

/* Returns how many messages came back. */
static int client(struct green_hub *hub, void *arg) {
  int number = (int)(intptr_t)arg, r = -1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
    r = converse(hub, fd, number);
  if (fd >= 0) close(fd);
  return r;
}

static int number_of(char **argv, int argc, int i, int otherwise) {
  return argc > i && atoi(argv[i]) > 0 ? atoi(argv[i]) : otherwise;
}

int main(int argc, char **argv) {
  int clients = number_of(argv, argc, 1, 100);
  struct green_thread *server, **list = calloc((size_t)clients, sizeof *list);
  struct green_hub *hub;
  struct green_stats stats;
  int listener = open_listener(), i, r, echoed = 0, served, failed = 0;
  uint64_t start = green_now();
  messages = number_of(argv, argc, 2, 10);
  r = green_open(&hub, NULL); /* this is a green thread from now on */
  if (r == 0) r = green_spawn(hub, &server, serve, (void *)(intptr_t)listener);
  for (i = 0; r == 0 && i < clients; i++)
    r = green_spawn(hub, &list[i], client, (void *)(intptr_t)i);
  if (r < 0 || !list) {
    fprintf(stderr, "c_only: %s\n", green_strerror(r));
    return 1;
  }
  green_stats(hub, &stats);
  printf("%d clients and a server on port %d: %u green threads\n", clients,
         ntohs(address.sin_port), stats.live);
  for (i = 0; i < clients; i++) {
    green_join(hub, list[i], GREEN_FOREVER, &r);
    if (r < 0)
      failed++;
    else
      echoed += r;
  }
  green_kill(hub, server);
  green_join(hub, server, GREEN_FOREVER, &served);
  green_stats(hub, &stats);
  printf("%d connections served, %d messages echoed, %d clients failed\n",
         served, echoed, failed);
  printf("%.0f ms, %llu switches\n", (double)(green_now() - start) / 1e6,
         (unsigned long long)stats.switches);
  close(listener);
  free(list);
  return green_close(hub) != 0 || failed > 0;
}
