/* peer.c - the addresses of a datagram socket: its own, and its peer's.
 *
 * Both may be names, which are looked up; connecting is only a note that the
 * kernel takes, so nothing else waits.
 *
 * Green threads only, where they look up.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "net/calls.h"

typedef int name_it(int fd, const struct sockaddr *address, socklen_t size);

static int peer(int fd, const struct sockaddr *address, socklen_t size) {
  return connect(fd, address, size);
}

static int own(int fd, const struct sockaddr *address, socklen_t size) {
  return bind(fd, address, size);
}

/* The first address that the system takes: 0, or an errno. */
static int name_by_list(lua_State *L, struct lg_socket *s,
                        const struct addrinfo *a, name_it *name) {
  int given = s->fd >= 0, r = EADDRNOTAVAIL;
  for (; a; a = a->ai_next) {
    if (given && a->ai_family != s->family) continue;
    r = lg_socket_need_fd(L, s, a->ai_family, 0);
    if (r == 0 && name(s->fd, a->ai_addr, a->ai_addrlen) < 0) r = errno;
    if (r == 0) break;
  }
  return r;
}

static int result(lua_State *L, const struct lg_socket *s, int r) {
  if (r) return lg_socket_fail(L, s, r);
  lua_pushinteger(L, 1);
  return 1;
}

/* A path at index 2. 1 or 2 results. */
static int name_by_path(lua_State *L, struct lg_socket *s, name_it *name) {
  struct lg_unix_address a;
  const char *why = lg_unix_address(L, 2, &a);
  int r;
  if (why) return lg_fail_text(L, why);
  r = lg_socket_need_fd(L, s, AF_UNIX, 0);
  if (r == 0 && name(s->fd, (struct sockaddr *)&a.un, a.size) < 0) r = errno;
  return result(L, s, r);
}

/* Host and port at indices 2 and 3. 1 or 2 results. */
static int name_by_host(lua_State *L, struct lg_socket *s, name_it *name,
                        int flags) {
  const char *host, *port, *why = lg_inet_address(L, 2, s, &host, &port);
  struct addrinfo *list;
  int r;
  if (why) return lg_fail_text(L, why);
  if (!strcmp(host, "*") && flags) host = NULL;
  if (s->family == AF_INET6 && !flags && !s->kind->luasocket)
    flags = AI_V4MAPPED;
  why = lg_look_up(L, s, host, port, flags, lg_socket_deadline(s), &list);
  if (why) return lg_fail_text(L, why);
  r = s->closed ? EBADF : name_by_list(L, s, list, name);
  green_freeaddrinfo(list);
  return r == EBADF && s->closed ? lg_push_closed(L) : result(L, s, r);
}

static const struct lg_op connect_op = {
    {"socket:connect", NULL, NULL}, lg_datagram_connect, NULL, NULL};

/* Takes datagrams of all peers again. Linux forgets a port that it chose by
 * itself, too. */
static int disconnect(lua_State *L, const struct lg_socket *s) {
  struct sockaddr a = {.sa_family = AF_UNSPEC};
  if (s->fd >= 0) connect(s->fd, &a, sizeof a);
  lg_socket_become(L, 1, LG_UNCONNECTED);
  lua_pushinteger(L, 1);
  return 1;
}

/* setpeername(host, port), setpeername(path) or setpeername("*"). */
int lg_datagram_connect(lua_State *L) {
  struct lg_socket *s = &lg_datagram(L, LG_DATAGRAM)->socket;
  const char *host = luaL_checkstring(L, 2);
  int r;
  if (!s->kind->local && !strcmp(host, "*")) return disconnect(L, s);
  if (!s->kind->local) luaL_checkstring(L, 3);
  if (!s->polls && (r = lg_enter(L, s->G, &connect_op)) >= 0) return r;
  s->closed = 0;
  r = s->kind->local ? name_by_path(L, s, peer) : name_by_host(L, s, peer, 0);
  if (r == 1) lg_socket_become(L, 1, LG_CONNECTED);
  return r;
}

/* setsockname(host, port) or setsockname(path). */
int lg_datagram_bind(lua_State *L) {
  struct lg_socket *s = &lg_datagram(L, LG_UNCONNECTED)->socket;
  luaL_checkstring(L, 2);
  s->closed = 0;
  if (s->kind->local) return name_by_path(L, s, own);
  return name_by_host(L, s, own, AI_PASSIVE);
}
