/* sockopt.c - socket options by LuaSocket's names.
 *
 * Never switches. An unknown name is misuse and raises; what the system
 * refuses is returned.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "net/socket.h"

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

struct option {
  const char *name;
  int level, number;
  enum shape shape;
};

static const struct option stream_options[] = {
    {"keepalive", SOL_SOCKET, SO_KEEPALIVE, FLAG},
    {"oobinline", SOL_SOCKET, SO_OOBINLINE, FLAG}, /* telnet's Synch */
    {"reuseaddr", SOL_SOCKET, SO_REUSEADDR, FLAG},
#ifdef SO_REUSEPORT
    {"reuseport", SOL_SOCKET, SO_REUSEPORT, FLAG},
#endif
    {"tcp-nodelay", IPPROTO_TCP, TCP_NODELAY, FLAG},
#ifdef TCP_KEEPIDLE
    {"tcp-keepidle", IPPROTO_TCP, TCP_KEEPIDLE, NUMBER},
#endif
#ifdef TCP_KEEPCNT
    {"tcp-keepcnt", IPPROTO_TCP, TCP_KEEPCNT, NUMBER},
#endif
#ifdef TCP_KEEPINTVL
    {"tcp-keepintvl", IPPROTO_TCP, TCP_KEEPINTVL, NUMBER},
#endif
#ifdef TCP_DEFER_ACCEPT
    {"tcp-defer-accept", IPPROTO_TCP, TCP_DEFER_ACCEPT, NUMBER},
#endif
#ifdef TCP_FASTOPEN
    {"tcp-fastopen", IPPROTO_TCP, TCP_FASTOPEN, NUMBER},
#endif
#ifdef TCP_FASTOPEN_CONNECT
    {"tcp-fastopen-connect", IPPROTO_TCP, TCP_FASTOPEN_CONNECT, NUMBER},
#endif
    {"ipv6-v6only", IPPROTO_IPV6, IPV6_V6ONLY, FLAG},
    {"linger", SOL_SOCKET, SO_LINGER, LINGER},
    {"recv-buffer-size", SOL_SOCKET, SO_RCVBUF, NUMBER},
    {"send-buffer-size", SOL_SOCKET, SO_SNDBUF, NUMBER},
#ifdef SO_BINDTODEVICE
    {"bindtodevice", SOL_SOCKET, SO_BINDTODEVICE, DEVICE},
#endif
    {"error", SOL_SOCKET, SO_ERROR, ERROR},
    {"max-line", 0, 0, MAX_LINE}, /* ours: the system knows nothing of it */
    {NULL, 0, 0, FLAG}};

static const struct option datagram_options[] = {
    {"dontroute", SOL_SOCKET, SO_DONTROUTE, FLAG},
    {"broadcast", SOL_SOCKET, SO_BROADCAST, FLAG},
    {"reuseaddr", SOL_SOCKET, SO_REUSEADDR, FLAG},
#ifdef SO_REUSEPORT
    {"reuseport", SOL_SOCKET, SO_REUSEPORT, FLAG},
#endif
    {"ip-multicast-if", IPPROTO_IP, IP_MULTICAST_IF, ADDRESS},
    {"ip-multicast-loop", IPPROTO_IP, IP_MULTICAST_LOOP, FLAG},
    {"ip-multicast-ttl", IPPROTO_IP, IP_MULTICAST_TTL, NUMBER},
    {"ip-add-membership", IPPROTO_IP, IP_ADD_MEMBERSHIP, MEMBER},
    {"ip-drop-membership", IPPROTO_IP, IP_DROP_MEMBERSHIP, MEMBER},
    {"ipv6-v6only", IPPROTO_IPV6, IPV6_V6ONLY, FLAG},
    {"ipv6-multicast-loop", IPPROTO_IPV6, IPV6_MULTICAST_LOOP, FLAG},
    {"ipv6-multicast-hops", IPPROTO_IPV6, IPV6_MULTICAST_HOPS, NUMBER},
    {"ipv6-unicast-hops", IPPROTO_IPV6, IPV6_UNICAST_HOPS, NUMBER},
    {"ipv6-add-membership", IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, MEMBER6},
    {"ipv6-drop-membership", IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, MEMBER6},
    {"recv-buffer-size", SOL_SOCKET, SO_RCVBUF, NUMBER},
    {"send-buffer-size", SOL_SOCKET, SO_SNDBUF, NUMBER},
#ifdef SO_BINDTODEVICE
    {"bindtodevice", SOL_SOCKET, SO_BINDTODEVICE, DEVICE},
#endif
    {"error", SOL_SOCKET, SO_ERROR, ERROR},
    {NULL, 0, 0, FLAG}};

static const struct option *find(lua_State *L, const struct lg_socket *s) {
  const char *name = luaL_checkstring(L, 2);
  const struct option *o =
      s->kind->datagram ? datagram_options : stream_options;
  while (o->name && strcmp(o->name, name)) o++;
  if (!o->name)
    luaL_argerror(L, 2, lua_pushfstring(L, "unsupported option `%s'", name));
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

static int set(lua_State *L, struct lg_socket *s, const struct option *o,
               const void *value, socklen_t size) {
  int r = s->fd < 0 ? choose_family(L, s, o) : 0;
  if (r) return lg_socket_fail(L, s, r);
  if (s->fd < 0) return lg_push_closed(L);
  if (setsockopt(s->fd, o->level, o->number, value, size) < 0)
    return lg_socket_fail(L, s, errno);
  lua_pushinteger(L, 1);
  return 1;
}

static int number_arg(lua_State *L, lua_Number n) {
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
  luaL_argcheck(L, lua_getfield(L, 3, "timeout") == LUA_TNUMBER, 3,
                "number 'timeout' field expected");
  value.l_linger = number_arg(L, lua_tonumber(L, -1));
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
  const struct option *o = find(L, s);
  int value;
  switch (o->shape) {
    case FLAG:
      luaL_checktype(L, 3, LUA_TBOOLEAN);
      value = lua_toboolean(L, 3);
      return set(L, s, o, &value, sizeof value);
    case NUMBER:
      value = number_arg(L, luaL_checknumber(L, 3));
      return set(L, s, o, &value, sizeof value);
    case LINGER: return set_linger(L, s, o);
    case DEVICE: return set_device(L, s, o);
    case ADDRESS:
    case MEMBER:
    case MEMBER6: return set_multicast(L, s, o);
    case MAX_LINE: return set_max_line(L, s);
    default:
      return luaL_argerror(
          L, 2, lua_pushfstring(L, "unsupported option `%s'", o->name));
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
  const struct option *o = find(L, s);
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
    return luaL_argerror(
        L, 2, lua_pushfstring(L, "unsupported option `%s'", o->name));
  if (s->fd < 0) return lg_push_closed(L);
  if (getsockopt(s->fd, o->level, o->number, &value, &size) < 0)
    return lg_socket_fail(L, s, errno);
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
