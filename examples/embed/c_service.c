/* c_service.c - a service of green threads in C: lines come back in capitals.
 *
 * An accept loop that outlasts a lack of descriptors, a limit for each
 * conversation, a silent peer that is hung up on, and a stop in order: the
 * service ends when the last conversation has.
 *
 * SPDX-License-Identifier: MIT
 */
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>

#include <green.h>

enum { MS = 1000000 };

static struct sockaddr_in address = {.sin_family = AF_INET};
static int busy;
static struct green_signal idle; /* when busy is 0 */

static int talk(struct green_hub *hub, void *arg) {
  char text[256];
  int64_t n, i;
  int fd = *(int *)arg, r = 0;
  while (r == 0) {
    n = green_read(hub, fd, text, sizeof text, green_in(300 * MS));
    if (n <= 0) return (int)n;
    for (i = 0; i < n; i++) text[i] = (char)toupper(text[i]);
    r = green_write(hub, fd, text, (size_t)n, green_in(300 * MS), NULL);
  }
  return r;
}

static int serve(struct green_hub *hub, void *arg) {
  int fd = (int)(intptr_t)arg;
  int r = green_within(hub, green_in(UINT64_C(5000) * MS), talk, &fd);
  printf("a conversation ended: %s\n", r ? green_strerror(r) : "end of file");
  green_close_fd(hub, fd);
  if (--busy == 0) green_signal_all(hub, &idle);
  return 0;
}

static int accept_all(struct green_hub *hub, void *arg) {
  int fd, listener = (int)(intptr_t)arg;
  while ((fd = green_accept(hub, listener, GREEN_FOREVER)) >= 0)
    if (green_spawn(hub, NULL, serve, (void *)(intptr_t)fd) == 0)
      busy++;
    else
      green_close_fd(hub, fd);
  while (busy > 0) green_signal_wait(hub, &idle, GREEN_FOREVER);
  return fd; /* UV_EBADF: the listener was closed */
}

static void ask(struct green_hub *hub, int says) {
  char reply[16] = "";
  int fd = green_connect(hub, (void *)&address, sizeof address, GREEN_FOREVER);
  if (says) green_write(hub, fd, "hello", 5, GREEN_FOREVER, NULL);
  green_read(hub, fd, reply, 15, GREEN_FOREVER);
  printf("a client got \"%s\"\n", reply);
  green_close_fd(hub, fd);
}

int main(void) {
  int r, listener = socket(AF_INET, SOCK_STREAM, 0);
  socklen_t size = sizeof address;
  struct green_thread *server;
  struct green_hub *hub;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (void *)&address, size) || listen(listener, 64)) return 1;
  getsockname(listener, (void *)&address, &size);
  if (green_open(&hub, NULL) < 0) return 1;
  green_spawn(hub, &server, accept_all, (void *)(intptr_t)listener);
  ask(hub, 1);
  ask(hub, 0);
  green_close_fd(hub, listener);
  green_join(hub, server, GREEN_FOREVER, &r);
  printf("the service ended: %s\n", green_strerror(r));
  return green_close(hub);
}

/* prints:
 * a client got "HELLO"
 * a conversation ended: end of file
 * a conversation ended: connection timed out
 * a client got ""
 * the service ended: bad file descriptor
 */
