/* lookers.c - the calls of a socket that look a name up, for its close().
 *
 * While such a call waits the socket may have no descriptor, so nothing that
 * watches one could end the wait. The socket has a list of these calls instead,
 * and close() wakes their threads.
 *
 * Invariant: a looker stands in its socket's list from lg_look_begin() to
 * lg_look_end(), and its thread does nothing but wait for an answer meanwhile.
 *
 * Never switches, never raises.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/socket.h"

void lg_look_begin(struct lg_looker *l, struct lg_socket *s) {
  *l = (struct lg_looker){.socket = s};
  if (!s) return;
  l->thread = lg_running(s->G);
  l->next = s->lookers;
  s->lookers = l;
}

int lg_look_end(struct lg_looker *l) {
  struct lg_looker **at;
  if (!l->socket) return l->closed;
  for (at = &l->socket->lookers; *at != l; at = &(*at)->next) assert(*at);
  *at = l->next;
  l->socket = NULL;
  return l->closed;
}

void lg_socket_close(struct lg_socket *s) {
  struct green_hub *hub = s->G->hub;
  struct lg_looker *l;
  s->closed = 1;
  for (l = s->lookers; l; l = l->next) {
    l->closed = 1;
    if (hub && l->thread) green_wake(hub, l->thread, GREEN_CLOSED);
  }
  lg_socket_shut(s);
}
