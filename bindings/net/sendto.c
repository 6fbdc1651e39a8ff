/* sendto.c - sending datagrams.
 *
 * A datagram is sent whole or not at all, so that nothing is ever cut; writers
 * take turns all the same, as the one that has waited longest for room goes
 * first. While a send waits, the address that it found lies at index 5.
 *
 * A datagram a call: sendmmsg() is no faster (3.0 us each, alone or 64 at once,
 * of which the kernel's network takes nearly all).
 *
 * On green threads; with a limit of 0 nothing waits, and all may run anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <string.h>

#include "net/calls.h"
#include "net/waiting.h"
#include "runtime/interrupt.h"

static const struct lg_op send_op, sendto_op, turn_op, turn_to_op;

/* Of the arguments: what a wait keeps, see lg_kept_end(). */
enum { AT_ADDRESS = 5, AT_END = 6 };

/* Where a datagram goes; size 0: to the peer. */
struct target {
  struct sockaddr_storage address;
  socklen_t size;
};

/* --- the address --- */

/* The port at index 4, a number or digits; -1: it is something else, which may
 * read as a number ("0x50", "1e1", " 80"). */
static lua_Number port_number(lua_State *L) {
  size_t n = 1;
  const char *s =
      lua_type(L, 4) == LUA_TSTRING ? lua_tolstring(L, 4, &n) : "0";
  return n > 0 && strspn(s, "0123456789") == n ? lua_tonumber(L, 4) : -1;
}

/* Digits and dots, or a port that is a number: nothing to look up. 0: it is
 * something else. */
static int parse(lua_State *L, int family, struct target *to) {
  struct sockaddr_in *in = (struct sockaddr_in *)&to->address;
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&to->address;
  const char *host = lua_tostring(L, 3);
  lua_Number port = port_number(L);
  if (!(port >= 0 && port <= 65535) || port != (int)port) return 0;
  memset(&to->address, 0, sizeof to->address);
  if (family != AF_INET6 && inet_pton(AF_INET, host, &in->sin_addr) == 1) {
    in->sin_family = AF_INET;
    in->sin_port = htons((uint16_t)port);
    to->size = sizeof *in;
  } else if (family != AF_INET &&
             inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons((uint16_t)port);
    to->size = sizeof *in6;
  } else {
    return 0;
  }
  return strlen(host) == lua_rawlen(L, 3);
}

/* LuaSocket looks up no names here; a socket of both families sends to IPv4 by
 * a mapped address. */
static int lookup_flags(const struct lg_socket *s) {
  if (s->kind->luasocket) return AI_NUMERICHOST | AI_NUMERICSERV;
  return s->family == AF_INET6 ? AI_V4MAPPED | AI_ADDRCONFIG : 0;
}

/* LuaSocket's sendto has the system's words for a numeric address of another
 * family. */
static const char *numeric_error(int family, const char *host) {
  struct in6_addr a;
  int other = family == AF_INET6 ? AF_INET : AF_INET6;
  int is_other = family && inet_pton(other, host, &a) == 1;
  return gai_strerror(is_other ? EAI_ADDRFAMILY : EAI_NONAME);
}

static void keep_target(lua_State *L, const struct target *to) {
  lua_settop(L, AT_ADDRESS - 1);
  lua_pushlstring(L, (const char *)&to->address, to->size);
}

/* May wait: keeps its C stack. NULL, or why not. */
static const char *look_up(lua_State *L, struct lg_socket *s,
                           struct target *to) {
  const char *host, *port, *why = lg_inet_address(L, 3, s, &host, &port);
  uint64_t end = lg_call_end(s);
  struct addrinfo *list;
  if (why && s->kind->luasocket)
    return gai_strerror(why == lg_lookup_error(UV_EAI_SERVICE) ? EAI_SERVICE
                                                               : EAI_NONAME);
  if (why) return why;
  why = lg_look_up(L, s, host, port, lookup_flags(s), lg_wait_end(s, end),
                   &list);
  if (why) return s->kind->luasocket ? numeric_error(s->family, host) : why;
  memcpy(&to->address, list->ai_addr, list->ai_addrlen);
  to->size = list->ai_addrlen;
  green_freeaddrinfo(list);
  keep_target(L, to); /* the rest of the limit is for sending */
  lua_pushinteger(L, (lua_Integer)end);
  return NULL;
}

static const char *unix_target(lua_State *L, struct target *to) {
  struct lg_unix_address a;
  const char *why = lg_unix_address(L, 3, &a);
  if (why) return why;
  memcpy(&to->address, &a.un, sizeof a.un);
  to->size = a.size;
  return NULL;
}

/* The one that arguments 3 and 4 name, or that a wait has left; and a
 * descriptor for it. 0, or the number of results. */
static int find_target(lua_State *L, struct lg_socket *s, struct target *to) {
  const char *why = NULL;
  int r;
  if (s->kind->local)
    why = unix_target(L, to);
  else if (!parse(L, s->family, to))
    why = look_up(L, s, to);
  if (unlikely(why)) return lg_fail_text(L, why);
  r = s->fd >= 0 || s->closed
          ? 0
          : lg_socket_need_fd(L, s, to->address.ss_family, 0);
  return r ? lg_socket_fail(L, s, r) : 0;
}

static void kept_target(lua_State *L, struct target *to) {
  size_t size;
  const char *address = lua_tolstring(L, AT_ADDRESS, &size);
  memcpy(&to->address, address, size);
  to->size = (socklen_t)size;
}

/* --- sending --- */

/* 0, or -errno. */
static int send_one(lua_State *L, struct lg_socket *s,
                    const struct target *to) {
  size_t size;
  const char *data = lua_tolstring(L, 2, &size);
  ssize_t r;
  do
    r = sendto(s->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT,
               to->size ? (const struct sockaddr *)&to->address : NULL,
               to->size);
  while (r < 0 && errno == EINTR);
  if (r < 0) return -errno;
  s->sent += size;
  return 0;
}

static int sent(lua_State *L, struct lg *G, struct lg_socket *s) {
  lg_write_end(G, s);
  lua_pushinteger(L, (lua_Integer)lua_rawlen(L, 2));
  return 1;
}

static int send_fails(lua_State *L, struct lg *G, struct lg_socket *s,
                      const char *why) {
  lg_write_end(G, s);
  return lg_fail_text(L, why);
}

/* A Unix socket that is not connected can be written to, as far as the kernel
 * tells, though the peer's queue is full: asks again, and again later. The turn
 * is kept. */
static int send_paces(lua_State *L, struct lg *G, struct lg_socket *s,
                      const struct target *to) {
  uint64_t deadline = lg_kept_end(L, s, AT_END), pause = 500000;
  int r;
  do {
    r = lg_connect_pause(L, G, s, deadline, &pause);
    if (r == 0) r = -send_one(L, s, to);
  } while (r == EAGAIN);
  if (r == 0) return sent(L, G, s);
  lg_write_end(G, s);
  if (r == ETIMEDOUT || r == UV_ETIMEDOUT) return lg_push_timeout(L);
  if (r > 0) return lg_socket_fail(L, s, r);
  if (r != UV_EBADF) lg_raise_code(L, G, r, "sendto");
  return lg_fail_text(L, lg_wait_error(s, r));
}

/* The write side is ours. */
static int send_go(lua_State *L, struct lg *G, struct lg_socket *s,
                   const struct target *to, const struct lg_op *op) {
  int r;
  if (unlikely(s->fd < 0)) return send_fails(L, G, s, "closed");
  r = send_one(L, s, to);
  if (likely(r == 0)) return sent(L, G, s);
  if (r != -EAGAIN) return send_fails(L, G, s, lg_socket_error(s, -r));
  if (s->polls) return send_fails(L, G, s, "timeout");
  if (lua_gettop(L) < AT_ADDRESS) keep_target(L, to);
  if (s->kind->local && to->size) {
    /* Nothing may watch the descriptor yet, and then there were no turns. */
    if ((r = lg_socket_watch(G, s)) < 0)
      return send_fails(L, G, s, lg_wait_error(s, r));
    lg_write_try(G, s);
    return send_paces(L, G, s, to);
  }
  r = lg_write_wait(L, G, s, op, lg_kept_end(L, s, AT_END));
  return likely(r >= 0) ? r : send_fails(L, G, s, lg_wait_error(s, r));
}

/* --- the calls --- */

/* The call until the caller has the write side; goes on if it has it now. */
static int begin(lua_State *L, struct lg_socket *s, struct target *to,
                 const struct lg_op *op, const struct lg_op *turn) {
  struct lg *G = s->G;
  int r;
  if (unlikely(s->fd < 0)) return lg_push_closed(L);
  if (likely(lg_write_try(G, s))) return send_go(L, G, s, to, op);
  if (s->polls) return lg_push_timeout(L);
  if (lua_gettop(L) < AT_ADDRESS) keep_target(L, to);
  r = lg_write_turn(L, G, s, turn, lg_kept_end(L, s, AT_END));
  return likely(r >= 0) ? r : lg_fail_text(L, lg_wait_error(s, r));
}

/* On entry: -1, go on; else return it. */
static int enter(lua_State *L, struct lg_socket *s, const struct lg_op *op) {
  luaL_checkstring(L, 2);
  lua_settop(L, AT_ADDRESS - 1);
  return s->polls ? -1 : lg_enter(L, s->G, op);
}

/* send(data), to the peer. */
int lg_datagram_send(lua_State *L) {
  struct lg_socket *s = &lg_datagram(L, LG_CONNECTED)->socket;
  struct target to = {.size = 0};
  int r = enter(L, s, &send_op);
  return unlikely(r >= 0) ? r : begin(L, s, &to, &send_op, &turn_op);
}

/* sendto(data, host, port) or sendto(data, path). */
int lg_datagram_sendto(lua_State *L) {
  struct lg_socket *s = &lg_datagram(L, LG_UNCONNECTED)->socket;
  struct target to;
  int r;
  luaL_checkstring(L, 3);
  if (!s->kind->local) luaL_checkstring(L, 4);
  r = enter(L, s, &sendto_op);
  if (unlikely(r >= 0)) return r;
  if (s->closed) return lg_push_closed(L);
  r = find_target(L, s, &to);
  return unlikely(r) ? r : begin(L, s, &to, &sendto_op, &turn_to_op);
}

/* --- after a wait --- */

static int woken(lua_State *L, struct lg *G, int reason,
                 const struct lg_op *op) {
  struct lg_socket *s = lg_socket_at(L, 1);
  struct target to;
  kept_target(L, &to);
  if (reason == GREEN_CLOSED) lg_socket_lost(s);
  if (likely(reason == GREEN_WOKEN)) return send_go(L, G, s, &to, op);
  return send_fails(L, G, s, reason == GREEN_CLOSED ? "closed" : "timeout");
}

static int send_woken(lua_State *L, struct lg *G, int reason) {
  return woken(L, G, reason, &send_op);
}

static int sendto_woken(lua_State *L, struct lg *G, int reason) {
  return woken(L, G, reason, &sendto_op);
}

static void send_interrupted(lua_State *L, struct lg *G) {
  lg_write_end(G, lg_socket_at(L, 1));
}

static int turn_ends(lua_State *L, struct lg *G, int reason,
                     const struct lg_op *op) {
  struct lg_socket *s = lg_socket_at(L, 1);
  struct target to;
  kept_target(L, &to);
  if (likely(reason == GREEN_WOKEN && s->f)) return send_go(L, G, s, &to, op);
  return reason == GREEN_TIMEOUT ? lg_push_timeout(L) : lg_push_closed(L);
}

static int turn_woken(lua_State *L, struct lg *G, int reason) {
  return turn_ends(L, G, reason, &send_op);
}

static int turn_to_woken(lua_State *L, struct lg *G, int reason) {
  return turn_ends(L, G, reason, &sendto_op);
}

static const struct lg_op send_op = {
    {"socket:send", green_fd_turn_undo, green_fd_leave},
    lg_datagram_send,
    send_woken,
    send_interrupted};
static const struct lg_op sendto_op = {
    {"socket:sendto", green_fd_turn_undo, green_fd_leave},
    lg_datagram_sendto,
    sendto_woken,
    send_interrupted};
static const struct lg_op turn_op = {
    {"socket:send (turn)", green_fd_turn_undo, NULL},
    lg_datagram_send,
    turn_woken,
    NULL};
static const struct lg_op turn_to_op = {
    {"socket:sendto (turn)", green_fd_turn_undo, NULL},
    lg_datagram_sendto,
    turn_to_woken,
    NULL};
