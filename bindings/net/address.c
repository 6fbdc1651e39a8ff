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
#include "runtime/boxed.h"

/* --- from Lua --- */

int lg_check_family(lua_State *L, int index) {
  static const char *const names[] = {"any", "inet", "inet4", "inet6", NULL};
  static const int families[] = {0, AF_INET, AF_INET, AF_INET6};
  return families[luaL_checkoption(L, index, "any", names)];
}

/* C ends a string at its first zero byte: the rest of Lua's string must not be
 * passed over, or a program that has checked a name connects to another one. */
static int has_zero(const char *s, size_t n) {
  return memchr(s, 0, n) != NULL;
}

/* A path, or an abstract name: that begins with a zero byte, may have more of
 * them, and ends with its size. */
const char *lg_unix_address(lua_State *L, int index,
                            struct lg_unix_address *a) {
  size_t n;
  const char *path = luaL_checklstring(L, index, &n);
  memset(a, 0, sizeof *a);
  a->un.sun_family = AF_UNIX;
  if (n >= sizeof a->un.sun_path) return "path too long";
  if (n == 0 || (*path && has_zero(path, n))) return "invalid path";
  if (*path) lg_refuse_file_in_box(L, lg_get(L), "a Unix socket with a path");
  memcpy(a->un.sun_path, path, n);
  a->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n +
                        (*path ? 1 : 0));
  return NULL;
}

enum { LONGEST_NAME = 255 }; /* of DNS, and more than any service has */

static int is_name(const char *s, size_t n) {
  return n > 0 && n <= LONGEST_NAME && !has_zero(s, n);
}

/* Digits up to 65535, or the name of a service. The resolver would take all
 * else that reads as a number ("-1", " 80", "65616") modulo 65536. */
int lg_is_port(const char *s, size_t n) {
  char *end;
  unsigned long number;
  if (!is_name(s, n)) return 0;
  number = strtoul(s, &end, 10);
  if (*end) return 1;
  return strspn(s, "0123456789") == n && number <= 65535;
}

/* To LuaSocket's objects, no text is port 0. */
const char *lg_inet_address(lua_State *L, int index, const struct lg_socket *s,
                            const char **host, const char **port) {
  size_t host_size, port_size;
  *host = luaL_checklstring(L, index, &host_size);
  *port = luaL_checklstring(L, index + 1, &port_size);
  if (port_size == 0 && s->kind->luasocket) {
    *port = "0";
    port_size = 1;
  }
  if (!is_name(*host, host_size)) return lg_lookup_error(UV_EAI_NONAME);
  if (!lg_is_port(*port, port_size)) return lg_lookup_error(UV_EAI_SERVICE);
  return NULL;
}

/* --- to Lua --- */

/* A byte in decimal: where it ends. */
static char *put_byte(char *to, unsigned n) {
  if (n >= 100) *to++ = (char)('0' + n / 100);
  if (n >= 10) *to++ = (char)('0' + n / 10 % 10);
  *to++ = (char)('0' + n % 10);
  return to;
}

/* Each datagram has an address, and inet_ntop() is slow: it uses printf. */
static int push_inet4(lua_State *L, const struct sockaddr_in *a) {
  char text[INET_ADDRSTRLEN], *end = text;
  uint32_t address = ntohl(a->sin_addr.s_addr);
  int shift;
  for (shift = 24; shift >= 0; shift -= 8) {
    end = put_byte(end, address >> shift & 255);
    if (shift) *end++ = '.';
  }
  lua_pushlstring(L, text, (size_t)(end - text));
  lua_pushinteger(L, ntohs(a->sin_port));
  lua_pushliteral(L, "inet");
  return 3;
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

int lg_push_address(lua_State *L, const struct sockaddr_storage *a,
                    socklen_t size) {
  const struct sockaddr_un *un = (const struct sockaddr_un *)a;
  size_t n = size - offsetof(struct sockaddr_un, sun_path);
  if (a->ss_family == AF_INET)
    return push_inet4(L, (const struct sockaddr_in *)a);
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
  if (s->fd < 0) return lg_socket_unopened(L, s);
  memset(&a, 0, sizeof a);
  if (get(lg_named_fd(s, 0), (struct sockaddr *)&a, &size) < 0)
    return lg_socket_fail(L, s, errno);
  return lg_push_address(L, &a, size);
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

/* Pushes a table of an address: addr, port and family, or addr alone. */
static void push_entry(lua_State *L, int fd) {
  static const char *const names[] = {"addr", "port", "family"};
  struct sockaddr_storage a;
  socklen_t size = sizeof a;
  int n = 0, table;
  memset(&a, 0, sizeof a);
  lua_createtable(L, 0, 3);
  table = lua_gettop(L);
  if (getsockname(fd, (struct sockaddr *)&a, &size) == 0)
    n = lg_push_address(L, &a, size);
  while (n > 0) lua_setfield(L, table, names[--n]);
}

int lg_socket_getsocknames(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  int i, fd;
  if (s->fd < 0) return lg_push_closed(L);
  lua_newtable(L);
  for (i = 0; s->fd >= 0 && (fd = lg_named_fd(s, i)) >= 0; i++) {
    push_entry(L, fd);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}
