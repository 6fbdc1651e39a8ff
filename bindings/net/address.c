/* address.c - addresses of sockets, to and from Lua.
 *
 * Never switches.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "net/socket.h"

int lg_unix_address(lua_State *L, int index, struct lg_unix_address *a) {
  size_t n;
  const char *path = luaL_checklstring(L, index, &n);
  memset(a, 0, sizeof *a);
  a->un.sun_family = AF_UNIX;
  if (n == 0 || n >= sizeof a->un.sun_path) return 0;
  memcpy(a->un.sun_path, path, n);
  a->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n +
                        (*path ? 1 : 0)); /* abstract names end with size */
  return 1;
}

static int push_inet(lua_State *L, const struct sockaddr_storage *a) {
  char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1], port[8];
  int r = getnameinfo((const struct sockaddr *)a, sizeof *a, text, sizeof text,
                      port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  if (r) return lg_fail_text(L, gai_strerror(r));
  lua_pushstring(L, text);
  lua_pushinteger(L, atoi(port));
  lua_pushstring(L, a->ss_family == AF_INET6 ? "inet6" : "inet");
  return 3;
}

static int push_address(lua_State *L, const struct sockaddr_storage *a,
                        socklen_t size) {
  const struct sockaddr_un *un = (const struct sockaddr_un *)a;
  size_t n = size - offsetof(struct sockaddr_un, sun_path);
  if (a->ss_family != AF_UNIX) return push_inet(L, a);
  if (size <= offsetof(struct sockaddr_un, sun_path)) n = 0;
  if (n && *un->sun_path) n = strnlen(un->sun_path, n);
  lua_pushlstring(L, un->sun_path, n);
  return 1;
}

typedef int name_of(int fd, struct sockaddr *address, socklen_t *size);

static int push_name(lua_State *L, name_of *get) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  struct sockaddr_storage a;
  socklen_t size = sizeof a;
  if (s->fd < 0) return lg_push_closed(L);
  memset(&a, 0, sizeof a);
  if (get(s->fd, (struct sockaddr *)&a, &size) < 0)
    return lg_socket_fail(L, s, errno);
  return push_address(L, &a, size);
}

static int own_name(int fd, struct sockaddr *address, socklen_t *size) {
  return getsockname(fd, address, size);
}

static int peer_name(int fd, struct sockaddr *address, socklen_t *size) {
  return getpeername(fd, address, size);
}

int lg_socket_getsockname(lua_State *L) {
  return push_name(L, own_name);
}

int lg_socket_getpeername(lua_State *L) {
  return push_name(L, peer_name);
}
