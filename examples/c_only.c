/* c_only.c - green threads in C, without Lua.
 *
 * An echo service and its clients in one process and one OS thread: each is
 * straight-line code on a small stack of its own that waits where it stands.
 * Clients that are silent for 10 s are hung up on, and one that wants to be
 * served must be done in a minute.
 *
 *   c_only [clients [messages]]
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "green.h"

#define SECOND UINT64_C(1000000000)

static struct sockaddr_in address;
static int messages, served;

/* --- the service --- */

static int echo(struct green_hub *hub, void *arg) {
  int fd = *(int *)arg, r = 0;
  char data[512];
  int64_t n;
  while (r == 0 && (n = green_read(hub, fd, data, sizeof data,
                                   green_in(10 * SECOND))) > 0)
    r = green_write(hub, fd, data, (size_t)n, green_in(10 * SECOND), NULL);
  return r;
}

static int serve(struct green_hub *hub, void *arg) {
  int fd = (int)(intptr_t)arg;
  green_within(hub, green_in(60 * SECOND), echo, &fd);
  return green_close_fd(hub, fd);
}

/* Killed: green_accept() returns UV_ECANCELED. */
static int accept_all(struct green_hub *hub, void *arg) {
  int listener = (int)(intptr_t)arg, fd;
  while ((fd = green_accept(hub, listener, GREEN_FOREVER)) >= 0) {
    if (green_spawn(hub, NULL, serve, (void *)(intptr_t)fd) < 0)
      green_close_fd(hub, fd);
    else
      served++;
  }
  return fd;
}

static int open_listener(void) {
  socklen_t size = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
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
  for (int i = 0; i < messages; i++) {
    int size = snprintf(line, sizeof line, "client %d, message %d", number, i);
    int64_t n = 1, got;
    if (green_write(hub, fd, line, (size_t)size, GREEN_FOREVER, NULL) < 0)
      return -1;
    for (got = 0; n > 0 && got < size; got += n)
      n = green_read(hub, fd, reply + got, (size_t)(size - got),
                     green_in(10 * SECOND));
    if (got != size || memcmp(line, reply, (size_t)size) != 0) return -1;
    green_sleep(hub, green_in(SECOND / 1000));
  }
  return messages;
}

/* Returns how many messages came back. */
static int client(struct green_hub *hub, void *arg) {
  int fd = green_connect(hub, (struct sockaddr *)&address, sizeof address,
                         green_in(10 * SECOND));
  int r = fd < 0 ? fd : converse(hub, fd, (int)(intptr_t)arg);
  if (fd >= 0) green_close_fd(hub, fd);
  return r;
}

static int number_of(char **argv, int argc, int i, int otherwise) {
  return argc > i && atoi(argv[i]) > 0 ? atoi(argv[i]) : otherwise;
}

int main(int argc, char **argv) {
  int clients = number_of(argv, argc, 1, 100), listener = open_listener();
  struct green_thread *server, **list = calloc((size_t)clients, sizeof *list);
  int i, r, echoed = 0, failed = 0;
  struct green_hub *hub;
  uint64_t start = green_now();
  messages = number_of(argv, argc, 2, 10);
  r = green_open(&hub, NULL); /* this is a green thread from now on */
  if (r == 0)
    r = green_spawn(hub, &server, accept_all, (void *)(intptr_t)listener);
  for (i = 0; r == 0 && list && i < clients; i++)
    r = green_spawn(hub, &list[i], client, (void *)(intptr_t)i);
  if (r < 0 || !list) {
    fprintf(stderr, "c_only: %s\n", green_strerror(r));
    return 1;
  }
  printf("%d clients and a service on port %d: %u green threads\n", clients,
         ntohs(address.sin_port), green_live(hub));
  for (i = 0; i < clients; i++) {
    green_join(hub, list[i], GREEN_FOREVER, &r);
    failed += r < 0;
    echoed += r < 0 ? 0 : r;
  }
  green_kill(hub, server);
  green_wait_others(hub, GREEN_FOREVER);
  printf("%d connections served, %d messages echoed, %d clients failed\n",
         served, echoed, failed);
  printf("%.0f ms\n", (double)(green_now() - start) / 1e6);
  free(list);
  green_close_fd(hub, listener);
  return green_close(hub) != 0 || failed > 0;
}
