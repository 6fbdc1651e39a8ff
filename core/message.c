/* message.c - what goes through a port: bytes, or values that a runtime packed.
 *
 * A message has one owner at a time: its maker, then the port that took it
 * over, then the receiver. It holds the ports that are among its values. So a
 * port may hold messages that hold ports, and so on: freeing goes through a
 * list, because a recursion could be as deep as a program likes.
 *
 * Any stack, any OS thread.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "port.h"

struct green_message *green_message_make(size_t size, uint32_t ports,
                                         uint32_t packed) {
  size_t head = sizeof(struct green_message) + ports * sizeof(void *);
  struct green_message *m;
  if (size > SIZE_MAX - head) return NULL;
  if (!(m = green__realloc(NULL, head + size))) return NULL;
  *m = (struct green_message){.size = size, .ports = ports, .packed = packed};
  if (ports) memset(m->port, 0, ports * sizeof(void *));
  return m;
}

struct green_message *green_message_new(const void *data, size_t size) {
  struct green_message *m = green_message_make(size, 0, 0);
  if (m && data && size) memcpy(green_message_data(m), data, size);
  return m;
}

void *green_message_data(struct green_message *m) {
  return m->port + m->ports;
}

size_t green_message_size(const struct green_message *m) {
  return m->size;
}

uint32_t green_message_packed(const struct green_message *m) {
  return m->packed;
}

void green_message_set_port(struct green_message *m, uint32_t i,
                            struct green_port *port) {
  assert(i < m->ports && !m->port[i]);
  green_port_hold(port);
  m->port[i] = port;
}

struct green_port *green_message_port(const struct green_message *m,
                                      uint32_t i) {
  return i < m->ports ? m->port[i] : NULL;
}

void green__messages_free(struct green_message *m, struct green_port **dead) {
  while (m) {
    struct green_message *next = m->next;
    uint32_t i;
    for (i = 0; i < m->ports; i++)
      if (m->port[i]) green__port_drop(m->port[i], dead);
    if (m->purse) green__message_pay(m);
    green__free(m);
    m = next;
  }
}

void green_message_free(struct green_message *m) {
  struct green_port *dead = NULL;
  assert(!m || !m->next); /* else a port has it */
  green__messages_free(m, &dead);
  green__ports_free(dead);
}
