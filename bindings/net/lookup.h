/* lookup.h - names to addresses and back, for every call that takes a name.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_LOOKUP_H
#define LG_LOOKUP_H

#include <netdb.h>
#include <stdint.h>
#include <sys/socket.h>

#include "runtime/state.h"

struct lg_socket;

struct lg_query {
  const char *what;         /* the calling function, for errors: "connect" */
  struct lg_socket *socket; /* its close() ends the look-up; or NULL */
  const char *host; /* a name or a number; NULL: as getaddrinfo(3) says */
  const char *port; /* the same, or NULL */
  int family, socktype;
  int flags;         /* AI_ */
  int system;        /* not the program's resolver */
  uint64_t deadline; /* 0: only what is known at once */
};

/* NULL and a list for green_freeaddrinfo(); or why there is none, a text that
 * may lie on top of the stack. Raises what strikes the thread, where it may not
 * block, and what the program's resolver raises: the caller must hold nothing.
 * May switch, and what it was about may be another thing afterwards. */
const char *lg_getaddrinfo(lua_State *L, struct lg *G,
                           const struct lg_query *q, struct addrinfo **list);
/* The name of an address and of its port, by getnameinfo(3)'s flags; a size of
 * 0 asks for none. The same. */
const char *lg_getnameinfo(lua_State *L, struct lg *G, const char *what,
                           const struct sockaddr *a, socklen_t size, int flags,
                           uint64_t deadline, char *host, size_t host_size,
                           char *service, size_t service_size);

/* Is the host an address, so that no look-up waits? Never switches. */
int lg_is_numeric(struct lg *G, const char *host);

/* Pushes a box for a list of addresses, empty at first. Its finalizer frees the
 * list if something of Lua's that is made meanwhile raises. */
struct addrinfo **lg_new_addresses(lua_State *L);
/* Pushes the first address of a list as a number. */
void lg_push_number(lua_State *L, const struct addrinfo *a);

/* Pushes the program's resolver, or false. */
void lg_push_resolver(lua_State *L);
void lg_open_lookup(lua_State *L);

#endif
