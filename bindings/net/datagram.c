/* datagram.c - sockets of datagrams: UDP, and those of the Unix family.
 *
 * Owns the classes, two for each kind: an object is unconnected or connected,
 * and changes in place, as LuaSocket's do.
 *
 * Nothing here switches.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/calls.h"

#define DATAGRAM(prefix)                         \
  .name = prefix, .datagram = 1,                 \
  .master = {.name = prefix "{unconnected}",     \
             .waitable = &lg_readable_waitable}, \
  .client = {.name = prefix "{connected}", .waitable = &lg_readable_waitable}

static const struct lg_socket_kind udp = {DATAGRAM("udp")};
static const struct lg_socket_kind unixdgram = {DATAGRAM("unixdgram"),
                                                .local = 1};
static const struct lg_socket_kind their_udp = {DATAGRAM("udp"),
                                                .luasocket = 1};
static const struct lg_socket_kind their_unixdgram = {
    DATAGRAM("unixdgram"), .local = 1, .luasocket = 1};

/* Unless it is connected it has no peer; LuaSocket's objects raise then. */
static int datagram_getpeername(lua_State *L) {
  const struct lg_socket *s = &lg_datagram(L, LG_DATAGRAM)->socket;
  if (s->kind->luasocket) lg_datagram(L, LG_CONNECTED);
  return lg_socket_getpeername(L);
}

/* --- classes --- */

#define CALLS                                                                 \
  {"receive", lg_datagram_receive}, {"receivefrom", lg_datagram_receivefrom}, \
      {"send", lg_datagram_send}, {"sendto", lg_datagram_sendto},             \
      {"setpeername", lg_datagram_connect}, {                                 \
    "setsockname", lg_datagram_bind                                           \
  }

/* LuaSocket's for UDP, and those of its Unix sockets; ours have all names. */
static const luaL_Reg waiting[] = {CALLS, {NULL, NULL}};
static const luaL_Reg unix_waiting[] = {CALLS,
                                        {"bind", lg_datagram_bind},
                                        {"connect", lg_datagram_connect},
                                        {NULL, NULL}};
static const luaL_Reg our_waiting[] = {CALLS,
                                       {"bind", lg_datagram_bind},
                                       {"connect", lg_datagram_connect},
                                       {"recv", lg_datagram_receive},
                                       {NULL, NULL}};
static const luaL_Reg others[] = {{"getpeername", datagram_getpeername},
                                  {NULL, NULL}};

/* Makes the classes of two kinds, and a list of their tables of methods. */
static int open_kinds(lua_State *L, const struct lg_socket_kind *inet,
                      const luaL_Reg *inet_waiting,
                      const struct lg_socket_kind *local,
                      const luaL_Reg *local_waiting) {
  lua_createtable(L, 4, 0);
  lg_socket_open_kind(L, inet, inet_waiting, others);
  lg_socket_open_kind(L, local, local_waiting, others);
  lg_socket_add_methods(L, &inet->master);
  lg_socket_add_methods(L, &inet->client);
  lg_socket_add_methods(L, &local->master);
  lg_socket_add_methods(L, &local->client);
  return 1;
}

/* open_datagrams(): to be called once, before udp() and unix_datagram(). */
static int l_open_datagrams(lua_State *L) {
  return open_kinds(L, &udp, our_waiting, &unixdgram, our_waiting);
}

/* open_luasocket_datagrams(): before luasocket_udp() and
 * luasocket_unix_datagram(). */
static int l_open_luasocket_datagrams(lua_State *L) {
  return open_kinds(L, &their_udp, waiting, &their_unixdgram, unix_waiting);
}

/* --- functions --- */

/* udp([family]): without one, what comes first chooses it. */
static int l_udp(lua_State *L) {
  return lg_socket_make(L, &udp, lg_check_family(L, 1));
}

static int l_luasocket_udp(lua_State *L) {
  return lg_socket_make(L, &their_udp, lg_check_family(L, 1));
}

static int l_unix_datagram(lua_State *L) {
  return lg_socket_make(L, &unixdgram, AF_UNIX);
}

static int l_luasocket_unix_datagram(lua_State *L) {
  return lg_socket_make(L, &their_unixdgram, AF_UNIX);
}

void lg_open_datagram(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"open_datagrams", l_open_datagrams},
      {"open_luasocket_datagrams", l_open_luasocket_datagrams},
      {"udp", l_udp},
      {"luasocket_udp", l_luasocket_udp},
      {"stop_receive", lg_datagram_stop},
      {"unix_datagram", l_unix_datagram},
      {"luasocket_unix_datagram", l_luasocket_unix_datagram},
      {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
