/* sockopt.c - socket options by LuaSocket's names.
 *
 * Never switches. An unknown name is misuse and raises; a refusal of the
 * system's is returned.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "net/calls.h"

enum shape {
  FLAG,
  NUMBER,
  LINGER,
  DEVICE,
  ADDRESS,
  MEMBER,
  MEMBER6,
  ERROR,
  MAX_LINE
};

/* The objects that know an option, to set it and to get it: LuaSocket's objects
 * of TCP, UDP and the Unix family. All others know all. */
enum {
  SET_TCP = 1,
  GET_TCP = 2,
  SET_UNIX = 4,
  TCP = SET_TCP | GET_TCP,
  SET_UDP = 1,
  GET_UDP = 2,
  UDP = SET_UDP | GET_UDP
};

struct option {
  const char *name;
  int level, number;
  enum shape shape;
  int theirs;
};

static const struct option stream_options[] = {
    {"keepalive", SOL_SOCKET, SO_KEEPALIVE, FLAG, TCP | SET_UNIX},
    {"oobinline", SOL_SOCKET, SO_OOBINLINE, FLAG, TCP}, /* telnet's Synch */
    {"reuseaddr", SOL_SOCKET, SO_REUSEADDR, FLAG, TCP | SET_UNIX},
#ifdef SO_REUSEPORT
    {"reuseport", SOL_SOCKET, SO_REUSEPORT, FLAG, TCP},
#endif
    {"tcp-nodelay", IPPROTO_TCP, TCP_NODELAY, FLAG, TCP},
#ifdef TCP_KEEPIDLE
    {"tcp-keepidle", IPPROTO_TCP, TCP_KEEPIDLE, NUMBER, TCP},
#endif
#ifdef TCP_KEEPCNT
    {"tcp-keepcnt", IPPROTO_TCP, TCP_KEEPCNT, NUMBER, TCP},
#endif
#ifdef TCP_KEEPINTVL
    {"tcp-keepintvl", IPPROTO_TCP, TCP_KEEPINTVL, NUMBER, TCP},
#endif
#ifdef TCP_DEFER_ACCEPT
    {"tcp-defer-accept", IPPROTO_TCP, TCP_DEFER_ACCEPT, NUMBER, SET_TCP},
#endif
#ifdef TCP_FASTOPEN
    {"tcp-fastopen", IPPROTO_TCP, TCP_FASTOPEN, NUMBER, SET_TCP},
#endif
#ifdef TCP_FASTOPEN_CONNECT
    {"tcp-fastopen-connect", IPPROTO_TCP, TCP_FASTOPEN_CONNECT, NUMBER,
     SET_TCP},
#endif
    {"ipv6-v6only", IPPROTO_IPV6, IPV6_V6ONLY, FLAG, SET_TCP},
    {"linger", SOL_SOCKET, SO_LINGER, LINGER, TCP | SET_UNIX},
    {"recv-buffer-size", SOL_SOCKET, SO_RCVBUF, NUMBER, TCP},
    {"send-buffer-size", SOL_SOCKET, SO_SNDBUF, NUMBER, TCP},
#ifdef SO_BINDTODEVICE
    {"bindtodevice", SOL_SOCKET, SO_BINDTODEVICE, DEVICE, TCP},
#endif
    {"error", SOL_SOCKET, SO_ERROR, ERROR, GET_TCP},
    {"max-line", 0, 0, MAX_LINE,
     TCP | SET_UNIX}, /* ours: the system knows nothing of it */
    {NULL, 0, 0, FLAG, 0}};

static const struct option datagram_options[] = {
    {"dontroute", SOL_SOCKET, SO_DONTROUTE, FLAG, UDP},
    {"broadcast", SOL_SOCKET, SO_BROADCAST, FLAG, UDP},
    {"reuseaddr", SOL_SOCKET, SO_REUSEADDR, FLAG, UDP | SET_UNIX},
#ifdef SO_REUSEPORT
    {"reuseport", SOL_SOCKET, SO_REUSEPORT, FLAG, UDP},
#endif
    {"ip-multicast-if", IPPROTO_IP, IP_MULTICAST_IF, ADDRESS, UDP},
    {"ip-multicast-loop", IPPROTO_IP, IP_MULTICAST_LOOP, FLAG, UDP},
    {"ip-multicast-ttl", IPPROTO_IP, IP_MULTICAST_TTL, NUMBER, SET_UDP},
    {"ip-add-membership", IPPROTO_IP, IP_ADD_MEMBERSHIP, MEMBER, SET_UDP},
    {"ip-drop-membership", IPPROTO_IP, IP_DROP_MEMBERSHIP, MEMBER, SET_UDP},
    {"ipv6-v6only", IPPROTO_IPV6, IPV6_V6ONLY, FLAG, UDP},
    {"ipv6-multicast-loop", IPPROTO_IPV6, IPV6_MULTICAST_LOOP, FLAG, UDP},
    {"ipv6-multicast-hops", IPPROTO_IPV6, IPV6_MULTICAST_HOPS, NUMBER, UDP},
    {"ipv6-unicast-hops", IPPROTO_IPV6, IPV6_UNICAST_HOPS, NUMBER, UDP},
    {"ipv6-add-membership", IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, MEMBER6,
     SET_UDP},
    {"ipv6-drop-membership", IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, MEMBER6,
     SET_UDP},
    {"recv-buffer-size", SOL_SOCKET, SO_RCVBUF, NUMBER, UDP},
    {"send-buffer-size", SOL_SOCKET, SO_SNDBUF, NUMBER, UDP},
#ifdef SO_BINDTODEVICE
    {"bindtodevice", SOL_SOCKET, SO_BINDTODEVICE, DEVICE, UDP},
#endif
    {"error", SOL_SOCKET, SO_ERROR, ERROR, GET_UDP},
    {NULL, 0, 0, FLAG, 0}};

static int unsupported(lua_State *L, const char *name) {
  return luaL_argerror(L, 2,
                       lua_pushfstring(L, "unsupported option `%s'", name));
}

static const struct option *find(lua_State *L, const struct lg_socket *s,
                                 int direction) {
  const char *name = luaL_checkstring(L, 2);
  int needed = s->kind->local ? SET_UNIX : direction;
  const struct option *o =
      s->kind->datagram ? datagram_options : stream_options;
  while (o->name && strcmp(o->name, name)) o++;
  if (!o->name || (s->kind->luasocket && !(o->theirs & needed)))
    unsupported(L, name);
  return o;
}

/* An option of a datagram socket that has no descriptor yet chooses the family
 * that it belongs to; LuaSocket's objects say that they have none. */
static int choose_family(lua_State *L, struct lg_socket *s,
                         const struct option *o) {
  int family = o->level == IPPROTO_IPV6 ? AF_INET6 : AF_INET;
  if (!s->kind->datagram || s->kind->luasocket || s->closed) return 0;
  return lg_socket_need_fd(L, s, s->family ? s->family : family, 0);
}

/* LuaSocket's objects do not say why. */
static int refused(lua_State *L, const struct lg_socket *s, const char *theirs,
                   int error) {
  if (s->kind->luasocket) return lg_fail_text(L, theirs);
  return s->fd < 0 ? lg_push_closed(L) : lg_socket_fail(L, s, error);
}

static int set(lua_State *L, struct lg_socket *s, const struct option *o,
               const void *value, socklen_t size) {
  int r = s->fd < 0 ? choose_family(L, s, o) : 0, i = 0;
  do {
    int fd = lg_named_fd(s, i);
    if (!r && setsockopt(fd, o->level, o->number, value, size) < 0) r = errno;
  } while (!r && lg_named_fd(s, ++i) >= 0);
  if (r) return refused(L, s, "setsockopt failed", r);
  lua_pushinteger(L, 1);
  return 1;
}

/* For LuaSocket's objects, what is no number counts as 0. */
static int number_arg(lua_State *L, const struct lg_socket *s, int index) {
  lua_Number n;
  if (s->kind->luasocket) return lg_int_or(lua_tonumber(L, index), 0);
  n = luaL_checknumber(L, index);
  luaL_argcheck(L, n >= INT_MIN && n <= INT_MAX, 3, "number out of range");
  return (int)n;
}

static int set_linger(lua_State *L, struct lg_socket *s,
                      const struct option *o) {
  int results;
  struct linger value;
  luaL_checktype(L, 3, LUA_TTABLE);
  luaL_argcheck(L, lua_getfield(L, 3, "on") == LUA_TBOOLEAN, 3,
                "boolean 'on' field expected");
  value.l_onoff = lua_toboolean(L, -1);
  lua_getfield(L, 3, "timeout");
  luaL_argcheck(L, lua_isnumber(L, -1), 3, "number 'timeout' field expected");
  value.l_linger = number_arg(L, s, lua_gettop(L));
  results = set(L, s, o, &value, sizeof value);
  if (s->fd >= 0) lg_socket_look_at_linger(s);
  return results;
}

static int set_max_line(lua_State *L, struct lg_socket *s) {
  lua_Number n = luaL_checknumber(L, 3);
  luaL_argcheck(L, n >= 0 && n <= UINT32_MAX, 3, "number of bytes expected");
  s->max_line = (uint32_t)n;
  lua_pushinteger(L, 1);
  return 1;
}

static int set_device(lua_State *L, struct lg_socket *s,
                      const struct option *o) {
  size_t size;
  const char *device = luaL_checklstring(L, 3, &size);
  if (size >= IFNAMSIZ || strlen(device) < size) /* it would be cut */
    return lg_socket_fail(L, s, ENODEV);
  return set(L, s, o, device, (socklen_t)size);
}

static int set_multicast(lua_State *L, struct lg_socket *s,
                         const struct option *o) {
  union lg_multicast value;
  socklen_t size;
  memset(&value, 0, sizeof value);
  size = o->shape == ADDRESS  ? lg_multicast_address(L, &value)
         : o->shape == MEMBER ? lg_multicast_member(L, s, &value)
                              : lg_multicast_member6(L, s, &value);
  return set(L, s, o, &value, size);
}

int lg_socket_setoption(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  const struct option *o = find(L, s, SET_TCP);
  int value;
  switch (o->shape) {
    case FLAG:
      luaL_checktype(L, 3, LUA_TBOOLEAN);
      value = lua_toboolean(L, 3);
      return set(L, s, o, &value, sizeof value);
    case NUMBER:
      value = number_arg(L, s, 3);
      return set(L, s, o, &value, sizeof value);
    case LINGER: return set_linger(L, s, o);
    case DEVICE: return set_device(L, s, o);
    case ADDRESS:
    case MEMBER:
    case MEMBER6: return set_multicast(L, s, o);
    case MAX_LINE: return set_max_line(L, s);
    default: return unsupported(L, o->name);
  }
}

static void push_linger(lua_State *L, const struct linger *value) {
  lua_createtable(L, 0, 2);
  lua_pushboolean(L, value->l_onoff);
  lua_setfield(L, -2, "on");
  lua_pushinteger(L, value->l_linger);
  lua_setfield(L, -2, "timeout");
}

static void push_ip(lua_State *L, const struct in_addr *address) {
  char text[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, address, text, sizeof text);
  lua_pushstring(L, text);
}

static void push_error(lua_State *L, struct lg_socket *s, int error) {
  lg_socket_failed(s, error);
  if (error)
    lua_pushstring(L, lg_socket_error(s, error));
  else
    lua_pushnil(L);
}

int lg_socket_getoption(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  const struct option *o = find(L, s, GET_TCP);
  union {
    int number;
    struct linger linger;
    struct in_addr address;
    char device[IFNAMSIZ];
  } value;
  socklen_t size = sizeof value;
  memset(&value, 0, sizeof value);
  if (o->shape == MAX_LINE) {
    lua_pushinteger(L, s->max_line);
    return 1;
  }
  if (o->shape == MEMBER || o->shape == MEMBER6)
    return unsupported(L, o->name);
  if (getsockopt(lg_named_fd(s, 0), o->level, o->number, &value, &size) < 0)
    return refused(L, s, "getsockopt failed", errno);
  switch (o->shape) {
    case FLAG: lua_pushboolean(L, value.number); break;
    case NUMBER: lua_pushinteger(L, value.number); break;
    case LINGER: push_linger(L, &value.linger); break;
    case DEVICE: lua_pushstring(L, value.device); break;
    case ERROR: push_error(L, s, value.number); break;
    case ADDRESS: push_ip(L, &value.address); break;
    default: break;
  }
  return 1;
}
