/* port.h - ports as Lua objects.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_PORT_H
#define LG_PORT_H

#include "runtime/object.h"

#define LG_PORT "green.port"

struct lg_port {
  struct lg_object object;
  const char *tag;
  struct green_port *port;      /* held; NULL: collected */
  struct lg_port_hold *hold;    /* what releases it */
  struct green_side *receivers; /* NULL: it lives on another hub */
  struct green_side *senders;   /* NULL: no thread has had to wait yet */
};

/* The port at a stack index, or NULL. */
struct green_port *lg_to_port(lua_State *L, int at);
/* Pushes the state's object for a port, which holds it. May raise. */
void lg_push_port(lua_State *L, struct green_port *port);

/* port_object.c, for port.c. Pushes an object without a port. */
struct lg_port *lg_new_port(lua_State *L);
/* The object on top takes one hold over, and is the state's for this port. */
void lg_enroll_port(lua_State *L, struct lg_port *p, struct green_port *port);
/* It holds the port from now on, whatever raises. */
void lg_port_holds(struct lg_port *p, struct green_port *port);
int lg_port_gc(lua_State *L);
void lg_open_ports(lua_State *L, const struct lg_class *klass);

void lg_open_port(lua_State *L);

#endif
