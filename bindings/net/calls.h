/* calls.h - the calls of sockets: the files of classes make their methods of
 * them, and calls share functions here.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_CALLS_H
#define LG_CALLS_H

#include "net/socket.h"

/* --- connect.c: looking up --- */

/* The addresses of a name for a socket of its kind and family, as
 * lg_getaddrinfo() of lookup.h. A deadline of 0 counts as none, as nothing can
 * poll for a look-up. */
const char *lg_look_up(lua_State *L, struct lg_socket *s, const char *host,
                       const char *port, int flags, uint64_t deadline,
                       struct addrinfo **list);

/* --- race.c --- */

/* Puts the two families of a list in turns. */
struct addrinfo *lg_addresses_in_turns(struct addrinfo *list);
/* Connects a socket that has no descriptor to the first that answers, from one
 * of the addresses `from` unless that is NULL: 0, an errno, or a code of the
 * core's. */
int lg_connect_race(lua_State *L, struct lg_socket *s,
                    const struct addrinfo *list, const struct addrinfo *from,
                    uint64_t deadline);
/* Binds the descriptor to the address of that family: 0, or an errno. */
int lg_bind_from(int fd, int family, const struct addrinfo *from);

/* --- reading and writing once, by its layer if it has one --- */

/* receive.c. At most n bytes into the buffer: their number; 0: the end; or
 * -errno. May raise, where memory is short. */
ssize_t lg_read_some(lua_State *L, struct lg_socket *s, size_t n);
/* send.c. Bytes written, or -errno. */
ssize_t lg_write_some(struct lg_socket *s, const char *data, size_t n);

/* --- the calls: methods of LuaSocket's names --- */

int lg_socket_handshake(lua_State *L);
int lg_socket_shutdown(lua_State *L);
int lg_socket_receive(lua_State *L);
int lg_socket_recv(lua_State *L);
int lg_socket_send(lua_State *L);
int lg_socket_copy(lua_State *L); /* also of files: copy(from, to [, most]) */
int lg_socket_connect(lua_State *L);
int lg_socket_connect_from(lua_State *L);
int lg_socket_bind(lua_State *L);
int lg_socket_bind_file(lua_State *L); /* bind_file(sock, path [, mode]) */
int lg_socket_listen(lua_State *L);
int lg_socket_accept(lua_State *L);
int lg_socket_stop_accept(lua_State *L);
int lg_l_refused(lua_State *L);
int lg_l_join_listeners(lua_State *L);
int lg_l_accept_may_pass(lua_State *L);
int lg_socket_setoption(lua_State *L);
int lg_socket_getoption(lua_State *L);

/* --- of datagrams: methods, too, but those of multicast.c --- */

int lg_datagram_receive(lua_State *L);
int lg_datagram_receivefrom(lua_State *L);
int lg_datagram_send(lua_State *L);
int lg_datagram_sendto(lua_State *L);
int lg_datagram_connect(lua_State *L);
int lg_datagram_bind(lua_State *L);
int lg_datagram_stop(lua_State *L); /* stop_receive(sock) */

/* A value of an option at index 3: raises, or stores it and returns its
 * size. */
union lg_multicast {
  struct in_addr address;
  struct ip_mreqn member;
  struct ipv6_mreq member6;
};
socklen_t lg_multicast_address(lua_State *L, union lg_multicast *value);
socklen_t lg_multicast_member(lua_State *L, const struct lg_socket *s,
                              union lg_multicast *value);
socklen_t lg_multicast_member6(lua_State *L, const struct lg_socket *s,
                               union lg_multicast *value);

/* --- stream.c: what the methods of all kinds share --- */

/* Makes the classes of a kind: with the methods that all have, those that may
 * wait, and others. */
void lg_socket_open_kind(lua_State *L, const struct lg_socket_kind *kind,
                         const luaL_Reg *waiting, const luaL_Reg *others);
int lg_socket_getstats(lua_State *L);
int lg_socket_setstats(lua_State *L);
/* Appends the methods of a class to the list on top of the stack. */
void lg_socket_add_methods(lua_State *L, const struct lg_class *klass);

/* accept.c. Accepts without waiting: pushes a connection, or nil and why not,
 * and returns how many values these are; 0: there is none yet. */
int lg_accept_now(lua_State *L, struct lg_socket *s);

/* readable.c */
/* Would a call that reads return at once? Of a connection; may raise. */
int lg_socket_is_readable(lua_State *L, struct lg_socket *s);
extern const struct lg_waitable lg_accept_waitable;
extern const struct lg_waitable lg_readable_waitable;

/* Closes every socket of the state, before its hub is let go; and frees what is
 * left of them, at the state's end. */
void lg_sockets_shut(struct lg *G);
void lg_sockets_free(struct lg *G);

/* Each lg_open_ function adds its file's functions to the table on top of the
 * stack; their first upvalue is G. */
/* What the sockets of a state share; config and stats read it. */
void lg_open_net(lua_State *L);
void lg_open_socket(lua_State *L);
void lg_open_datagram(lua_State *L);
void lg_open_passing(lua_State *L);
void lg_open_peek(lua_State *L);
void lg_open_wait_fd(lua_State *L);
void lg_open_select_fds(lua_State *L);
void lg_open_names(lua_State *L);
void lg_open_serial(lua_State *L);
void lg_open_luasocket(lua_State *L);

#endif
