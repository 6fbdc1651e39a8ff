/* echo.c - an echo server of C green threads, by green_read and green_write;
 * prints its port and serves until it is killed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>

#include "green.h"

/* The buffer is a thread's own, as it may have to wait with bytes in it. */
static int echo(struct green_hub *hub, void *arg) {
  int fd = (int)(intptr_t)arg, r = 0, one = 1;
  char *data = malloc(65536);
  int64_t n;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  while (data && r == 0 &&
         (n = green_read(hub, fd, data, 65536, GREEN_FOREVER)) > 0)
    r = green_write(hub, fd, data, (size_t)n, GREEN_FOREVER, NULL);
  free(data);
  return green_close_fd(hub, fd);
}

int main(void) {
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t size = sizeof at;
  struct green_hub *hub;
  int fd = socket(AF_INET, SOCK_STREAM, 0), c;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) < 0 ||
      listen(fd, 1024) < 0 || getsockname(fd, (struct sockaddr *)&at, &size) ||
      green_open(&hub, NULL) < 0)
    return 1;
  printf("%d\n", ntohs(at.sin_port));
  fflush(stdout);
  while ((c = green_accept(hub, fd, GREEN_FOREVER)) >= 0)
    if (green_spawn(hub, NULL, echo, (void *)(intptr_t)c) < 0)
      green_close_fd(hub, c);
  return green_close(hub);
}
