/* socket.h - what socket.c, sockopt.c and address.c share.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_SOCKET_H
#define LG_SOCKET_H

#include <sys/socket.h>
#include <sys/un.h>

#include "runtime/binding.h"

/* LuaSocket's classes; an object changes its class in place. */
enum {
  SOCKET_MASTER = 1,
  SOCKET_CLIENT = 2,
  SOCKET_SERVER = 4,
  SOCKET_ANY = 7
};

/* Upvalues of every method, after G. */
enum { CLIENT = 2, SERVER, MASTER, SCRATCH };
/* Bytes of the scratch buffer: the most that recv() returns. */
enum { SCRATCH_SIZE = 65536 };

/* A stream socket. The descriptor is watched from the first wait on, by f.
 *
 *   buffer, at, end, room   bytes received but not delivered; no buffer while
 *                           there are none, so that an idle socket is small
 *   reader, reading         the thread that waits to read, as what
 *   read_end                when its call must end ('t' of settimeout)
 *   sending, done           a send is under way, so many of its bytes are out
 */
struct green_socket {
  struct green_socket *next, **link; /* the state's list of all sockets */
  int fd;                            /* -1: closed, or not made yet */
  int pending;                       /* accepted, but not delivered; or -1 */
  int family;      /* AF_INET, AF_INET6, AF_UNIX; 0: not known yet */
  uint8_t local;   /* of the Unix family */
  uint8_t polls;   /* a limit of 0: never waits */
  uint8_t drained; /* the last read left nothing */
  uint8_t sending, resume;
  uint8_t closed; /* by close(); a new connect() opens it again */
  struct green_fd *f;
  double block, total; /* settimeout's limits; < 0: none */
  char *buffer;
  size_t at, end, room;
  uint32_t changes; /* times that bytes were taken from its front */
  size_t scanned;   /* so many bytes from `at` on hold no newline */
  struct green_thread *reader;
  const struct green_wait_kind *reading;
  uint64_t read_end;
  size_t done;
  uint64_t received, sent, born;
  struct green_socket_file *file; /* of a Unix listener that made it */
};

/* A Unix address. */
struct green_unix_address {
  struct sockaddr_un un;
  socklen_t size;
};

/* socket.c */
int lg_socket_class_error(lua_State *L, int upvalue);
struct green_socket *lg_socket_blank(lua_State *L, int local);
/* The socket at index 1, if its class is one of `classes`; else raises. */
struct green_socket *lg_socket(lua_State *L, int classes);
struct green_socket *lg_socket_new(lua_State *L, int local);
/* When a call that starts now must end. */
uint64_t lg_socket_deadline(const struct green_socket *s);
/* Changes the class of the socket at index 1. */
void lg_socket_become(lua_State *L, int class);
/* Wakes the waiters, then closes the descriptor. Never raises. */
void lg_socket_shut(struct lg *G, struct green_socket *s);

/* stream.c */
int lg_socket_accept(lua_State *L);
/* 1: pushed a connection, without its class; 0: there is none; negative: so
 * many values pushed, nil and why. */
int lg_socket_accept_now(lua_State *L, struct green_socket *s);
/* Raises: the socket is read by t, or a host, already. */
int lg_second_reader(lua_State *L, struct lg *G, struct green_thread *t);
int lg_socket_receive(lua_State *L);
int lg_socket_recv(lua_State *L);
int lg_socket_send(lua_State *L);
int lg_stop_accept(lua_State *L);
struct green_thread *lg_socket_reader(const struct green_socket *s);
/* Frees the buffer. */
void lg_socket_drop(struct green_socket *s);
/* f, opened on the first wait; raises if it cannot be watched. */
struct green_fd *lg_socket_watch(lua_State *L, struct lg *G,
                                 struct green_socket *s);
/* Runs a full collection when descriptors ran out: garbage may hold some. */
int lg_socket_scarce(lua_State *L, int error);

/* address.c */
const char *lg_socket_error(int error);
int lg_socket_fail(lua_State *L, int error); /* nil, text: 2 */
int lg_socket_connect(lua_State *L);
int lg_socket_bind(lua_State *L);
int lg_socket_getsockname(lua_State *L);
int lg_socket_getpeername(lua_State *L);
/* Removes the file of a Unix listener and forgets it. */
void lg_socket_unlink(struct green_socket *s);
void lg_open_address(lua_State *L);

/* sockopt.c */
int lg_socket_setoption(lua_State *L);
int lg_socket_getoption(lua_State *L);

/* What is on every path. */
static inline int is_class(lua_State *L, int upvalue) {
  int same;
  if (!lua_touserdata(L, 1) || !lua_getmetatable(L, 1)) return 0;
  same = lua_rawequal(L, -1, lua_upvalueindex(upvalue));
  lua_pop(L, 1);
  return same;
}

static inline struct green_socket *self(lua_State *L, int upvalue) {
  if (unlikely(!is_class(L, upvalue))) lg_socket_class_error(L, upvalue);
  return lua_touserdata(L, 1);
}

static inline uint64_t end_of(double seconds) {
  return seconds < 0 ? GREEN_FOREVER : lg_deadline(seconds);
}

static inline uint64_t earlier(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static inline size_t buffered(const struct green_socket *s) {
  return s->end - s->at;
}

#endif
