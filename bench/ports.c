/* ports.c - ns per message between hubs in OS threads of their own.
 *
 *   ports hop      there and back, one message under way: per hop
 *   ports stream   one way, room for 100
 *   ports many     from four OS threads, room for 100
 *   ports home     one way between two green threads of one hub, room for 100
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "green.h"

enum { HOPS = 100000, MESSAGES = 1000000, SENDERS = 4, ROOM = 100 };

struct end {
  struct green_port *in, *out;
  pthread_barrier_t *barrier;
  int count;
};

static struct green_hub *open_hub(void) {
  struct green_hub *hub;
  if (green_open(&hub, NULL) < 0) exit(1);
  return hub;
}

static struct green_port *open_port(struct green_hub *hub) {
  struct green_port *port;
  if (green_port_open(hub, ROOM, &port) < 0) exit(1);
  return port;
}

static struct green_message *receive(struct green_hub *hub,
                                     struct green_port *port) {
  struct green_message *m;
  if (green_port_receive(hub, port, GREEN_FOREVER, &m) < 0) exit(1);
  return m;
}

static void send_message(struct green_hub *hub, struct green_port *port,
                         struct green_message *m) {
  if (!m || green_port_send_wait(hub, port, m, GREEN_FOREVER) < 0) exit(1);
}

static void *echo(void *arg) {
  struct end *e = arg;
  struct green_hub *hub = open_hub();
  e->in = open_port(hub);
  pthread_barrier_wait(e->barrier);
  for (int i = 0; i < e->count; i++)
    send_message(hub, e->out, receive(hub, e->in));
  green_close(hub);
  green_port_release(e->in);
  return NULL;
}

static int sends(struct green_hub *hub, void *arg) {
  struct end *e = arg;
  for (int i = 0; i < e->count; i++)
    send_message(hub, e->out, green_message_new(&i, sizeof i));
  return 0;
}

static void *stream(void *arg) {
  struct green_hub *hub = open_hub();
  sends(hub, arg);
  green_close(hub);
  return NULL;
}

static double now(void) {
  return (double)green_now();
}

static double hop(struct green_hub *hub) {
  pthread_barrier_t barrier;
  struct end e = {NULL, open_port(hub), &barrier, HOPS / 2};
  struct green_message *m = green_message_new("", 1);
  pthread_t thread;
  double start;
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&thread, NULL, echo, &e);
  pthread_barrier_wait(&barrier);
  start = now();
  for (int i = 0; i < HOPS / 2; i++) {
    send_message(hub, e.in, m);
    m = receive(hub, e.out);
  }
  start = (now() - start) / HOPS;
  pthread_join(thread, NULL);
  green_message_free(m);
  green_port_release(e.out);
  return start;
}

static double from(struct green_hub *hub, int senders) {
  struct end e = {NULL, open_port(hub), NULL, MESSAGES / senders};
  pthread_t threads[SENDERS];
  double start = now();
  for (int i = 0; i < senders; i++)
    pthread_create(&threads[i], NULL, stream, &e);
  for (int i = 0; i < MESSAGES; i++) green_message_free(receive(hub, e.out));
  start = (now() - start) / MESSAGES;
  for (int i = 0; i < senders; i++) pthread_join(threads[i], NULL);
  green_port_release(e.out);
  return start;
}

static double home(struct green_hub *hub) {
  struct end e = {NULL, open_port(hub), NULL, MESSAGES};
  double start = now();
  green_spawn(hub, NULL, sends, &e);
  for (int i = 0; i < MESSAGES; i++) green_message_free(receive(hub, e.out));
  green_port_release(e.out);
  return (now() - start) / MESSAGES;
}

int main(int argc, char **argv) {
  const char *kind = argc > 1 ? argv[1] : "hop";
  struct green_hub *hub = open_hub();
  if (!strcmp(kind, "hop"))
    printf("%.0f\n", hop(hub));
  else if (!strcmp(kind, "stream"))
    printf("%.0f\n", from(hub, 1));
  else if (!strcmp(kind, "many"))
    printf("%.0f\n", from(hub, SENDERS));
  else if (!strcmp(kind, "home"))
    printf("%.0f\n", home(hub));
  else
    printf("-\n");
  return green_close(hub) < 0;
}
