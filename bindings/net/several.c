/* several.c - one listener on several addresses.
 *
 * A name may have an address of IPv4 and one of IPv6, and more. The object's
 * descriptor is then an epoll of theirs, which is readable while a connection
 * waits at any of them: all that waits for a listener waits for this one as it
 * is. The addresses take turns, so that none of them starves.
 *
 * Invariant: while s->several is not NULL s->fd is that epoll, or -1 if a
 * stranger has closed that; close() lets go of both.
 *
 * Never switches, never raises.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <unistd.h>

#include "net/socket.h"

struct lg_several {
  int n, next; /* the one that is asked first */
  int family;  /* of the last that was accepted */
  struct {
    int fd, family;
  } at[];
};

int lg_named_fd(const struct lg_socket *s, int i) {
  if (s->fd < 0 || !s->several) return i == 0 ? s->fd : -1;
  return i < s->several->n ? s->several->at[i].fd : -1;
}

int lg_several_accept(struct lg_several *m, int (*accept_from)(int fd)) {
  int i, r = -EAGAIN;
  for (i = 0; i < m->n && r == -EAGAIN; i++) {
    int at = (m->next + i) % m->n;
    r = accept_from(m->at[at].fd);
    if (r < 0) continue;
    m->family = m->at[at].family;
    m->next = (at + 1) % m->n;
  }
  return r;
}

int lg_several_family(const struct lg_several *m) {
  return m->family;
}

void lg_several_free(struct lg_several *m) {
  int i;
  if (!m) return;
  for (i = 0; i < m->n; i++) close(m->at[i].fd);
  free(m);
}

struct lg_several *lg_several_make(int most) {
  struct lg_several *m =
      malloc(sizeof *m + (size_t)most * sizeof(*(struct lg_several *)0).at[0]);
  if (m) *m = (struct lg_several){.n = 0};
  return m;
}

void lg_several_add(struct lg_several *m, int fd, int family) {
  m->at[m->n].fd = fd;
  m->at[m->n].family = family;
  m->n++;
}
