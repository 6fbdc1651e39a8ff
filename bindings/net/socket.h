/* socket.h - the socket object, on which every file of net/ stands.
 *
 *   methods   stream.c datagram.c serial.c    the classes and their methods
 *   calls     receive.c send.c shutdown.c accept.c connect.c sockopt.c
 *             readable.c recvfrom.c sendto.c peer.c multicast.c
 *             join_listeners.c copy.c peek.c passing.c select.c names.c
 *   opening   opening.c                       a layer's handshake
 *   waiting   waiting.c race.c lookup.c       one reader; writers in turn
 *   object    socket.c                        birth, list, limits, end
 *   below     buffer.c address.c several.c file.c errors.c
 *
 * A file uses what stands on its own line or below: calls.h and waiting.h have
 * the names of these lines, and this header has the rest. A further kind of
 * socket (datagrams, pipes) adds a file of classes at the top and calls of its
 * own; a further layer between the buffer and the descriptor (TLS) is a struct
 * lg_layer (layer.h), which no file above the buffer can see.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_SOCKET_H
#define LG_SOCKET_H

#include <assert.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "net/layer.h"
#include "runtime/limits.h"
#include "runtime/object.h"
#include "runtime/wait.h"

/* The role of an object just now: LuaSocket's objects change it in place. The
 * roles of streams and of datagrams differ, so that no method takes one for the
 * other. */
enum {
  LG_MASTER = 1,
  LG_CLIENT = 2,
  LG_SERVER = 4,
  LG_UNCONNECTED = 8,
  LG_CONNECTED = 16,
  LG_STREAM = LG_MASTER | LG_CLIENT | LG_SERVER,
  LG_DATAGRAM = LG_UNCONNECTED | LG_CONNECTED,
  LG_ANY_ROLE = 31
};

/* Bytes of the scratch buffer at first: the most that recv() returns. */
enum { LG_SCRATCH = 65536 };

/* The classes of a kind of socket. Of datagrams the unconnected one is the
 * master, the connected one the client, and there is no server. */
struct lg_socket_kind {
  const char *name; /* "tcp" */
  struct lg_class master, client, server;
  uint8_t local;     /* of the Unix family: addresses are paths */
  uint8_t datagram;  /* its objects are struct lg_datagram */
  uint8_t luasocket; /* its patterns and its words for errors, exactly */
};

struct lg_socket;

enum lg_pattern { LG_LINE, LG_WHOLE_LINE, LG_ALL, LG_COUNT };

/* The request of a call of receive, besides its prefix. */
struct lg_wanted {
  enum lg_pattern pattern;
  size_t n;      /* COUNT: bytes, without the prefix's */
  size_t most;   /* of a line's bytes; 0: the socket's own bound */
  int satisfied; /* COUNT: the prefix alone is enough */
};

/* The Lua object of a socket. What it has of the world lies in memory of its
 * own, which the state's list knows: where memory is short, or the C stack
 * deep, Lua cannot call a finalizer, and frees the object all the same. */
struct lg_socket_object {
  struct lg_object head;
  const void *tag; /* lg_socket_tag */
  const struct lg_socket_kind *kind;
  struct lg_socket *socket; /* NULL: the finalizer ran */
};

/* A socket. The descriptor is watched by f from the first wait on.
 *
 *   buffer, at, end, room   bytes received but not delivered: buffer.c
 *   failed                  the errno by which the stream broke: each later
 *                           read says so, for the kernel says it only once
 *   read_end                when the read under way must end; LG_READ_BEGINS:
 *                           it has not waited yet; 0: time is up
 *   wanted                  by the receive under way: there is one reader
 *   sending, done           a send is in progress; bytes sent so far
 */
struct lg_socket {
  struct lg *G;
  struct lg_socket *after, **before; /* of all sockets of the state */
  const struct lg_socket_kind *kind;
  const struct lg_layer *layer; /* NULL: none */
  void *layered;                /* the layer's own */
  uint64_t opening_end;         /* when the opening must be over */
  struct green_fd *f;
  struct green_thread *connecting; /* it waits in race.c; else NULL */
  struct lg_looker *lookers;       /* calls that look a name up: lookers.c */
  int fd;                          /* -1: closed, or not made yet */
  int pending;                     /* accepted, but not delivered; or -1 */
  int counted;            /* descriptors, in runtime/counts.h, and where */
  struct lg_account *box; /* else than in the state's account; or NULL */
  int family;             /* AF_INET, AF_INET6, AF_UNIX; 0: not known yet */
  uint8_t role;           /* LG_MASTER, LG_CLIENT or LG_SERVER */
  uint8_t polls;          /* a limit of 0: never waits */
  uint8_t drained;        /* the last read left nothing */
  uint8_t woken;          /* a wait has ended, and nothing been read since */
  uint8_t sending, resume;
  uint8_t lingers; /* the system's close() would wait */
  uint8_t resets;  /* or break the connection off */
  uint8_t closed;  /* by close(); a new connect() opens it again */
  uint8_t spent;   /* a connect that made the descriptor failed */
  uint8_t lasting; /* the last error of accept() was the listener's own */
  uint8_t opening; /* the layer is not open yet */
  uint8_t wants; /* what its opening waits for: GREEN_READABLE or _WRITABLE */
  int failed;
  uint32_t max_line;   /* bytes of the longest line; 0: no bound */
  double block, total; /* settimeout's limits; < 0: none */
  char *buffer;
  size_t at, end, room;
  uint32_t changes; /* times that bytes were taken from its front */
  size_t scanned;   /* bytes from `at` on that hold no newline */
  struct lg_wanted wanted;
  uint64_t read_end;
  size_t done;
  uint64_t received, sent, born;
  struct lg_socket_file *file; /* of a Unix listener that made it */
  struct lg_several *several;  /* of a listener on several addresses */
};

/* A socket of datagrams. A datagram that was received and not delivered yet, as
 * memory was short, is held: its bytes lie in the buffer.
 *
 *   held, changes   is one held? If so, socket.changes was that then: what
 *                   drops the bytes drops the datagram
 *   taken           how many were delivered
 *   size            of the datagram, of which the buffer may hold less
 */
struct lg_datagram {
  struct lg_socket socket;
  struct sockaddr_storage from;
  socklen_t from_size;
  size_t size;
  uint64_t taken;
  uint32_t changes;
  uint8_t held;
};

/* The part that all sockets of a state share. */
struct lg_net {
  struct lg_socket *sockets; /* all of them */
  struct lg_socket *holder;  /* whose bytes lie in the scratch; NULL: none */
  char *scratch;
  size_t scratch_room;
  size_t buffered; /* bytes of the sockets' own buffers */
  /* Bytes of the longest line that a connection may receive, and one that was
   * accepted; 0: no bound. A socket takes it over when it is made. */
  uint32_t max_line, max_client_line;
  uint8_t has_resolver; /* the program looks names up itself */
};

/* --- errors.c --- */

/* The text of an errno, and of a look-up's UV_EAI_ code. */
const char *lg_socket_error(const struct lg_socket *s, int error);
const char *lg_lookup_error(int code);
/* Of a code of the core's: why there is no waiting. */
const char *lg_wait_error(const struct lg_socket *s, int code);
/* nil, text: 2. Without a descriptor: LuaSocket says that it is a bad one. */
int lg_socket_unopened(lua_State *L, const struct lg_socket *s);
int lg_socket_fail(lua_State *L, const struct lg_socket *s, int error);
int lg_fail_text(lua_State *L, const char *text);
/* An error of the stream: noted in s->failed if it has broken. */
void lg_socket_failed(struct lg_socket *s, int error);

/* --- lookers.c: its calls that look a name up --- */

struct lg_looker {
  struct lg_socket *socket; /* NULL: it stands in no list */
  struct lg_looker *next;
  struct green_thread *thread;
  int closed; /* the socket was, meanwhile */
};
/* s may be NULL, and then it does nothing. The end may come twice. Returns
 * whether the socket was closed. */
void lg_look_begin(struct lg_looker *l, struct lg_socket *s);
int lg_look_end(struct lg_looker *l);
/* close(): all that waits for the socket ends with "closed". */
void lg_socket_close(struct lg_socket *s);

/* --- file.c: the file of a Unix listener --- */

/* Binds fd to the address and gives the file that mode, unless it is negative.
 * A file that nobody listens on is replaced. 0, or an errno. *file: what knows
 * the file that was made; NULL: there is none. */
int lg_file_bind(int fd, const struct sockaddr_un *un, socklen_t size,
                 int mode, struct lg_socket_file **file);
/* The socket listens from now on. */
void lg_file_listens(struct lg_socket_file *file);
/* Removes the file, if it is still the same, and frees what knows it. */
void lg_file_remove(struct lg_socket_file *file);

/* --- several.c: a listener on several addresses --- */

/* The descriptor of its address number i, from 0; or -1. */
int lg_named_fd(const struct lg_socket *s, int i);
/* The first descriptor that accept_from() returns, or a negative errno. */
int lg_several_accept(struct lg_several *m, int (*accept_from)(int fd));
/* The family of the last connection that was accepted. */
int lg_several_family(const struct lg_several *m);
struct lg_several *lg_several_make(int most); /* or NULL */
void lg_several_add(struct lg_several *m, int fd, int family);
void lg_several_free(struct lg_several *m); /* closes them */

/* --- address.c --- */

/* The family of addresses that a program names at that index: AF_, or 0 for
 * "any" and nothing. Raises for others. */
int lg_check_family(lua_State *L, int index);
/* A Unix address. */
struct lg_unix_address {
  struct sockaddr_un un;
  socklen_t size;
};
/* Fills it from the path at that index: NULL; or why that is not a path. */
const char *lg_unix_address(lua_State *L, int index,
                            struct lg_unix_address *a);
/* May the resolver be asked for this port? */
int lg_is_port(const char *s, size_t n);
/* The host and the port for a socket, at that index and the next: NULL; or an
 * error in the words of a resolver. Other types raise. */
const char *lg_inet_address(lua_State *L, int index, const struct lg_socket *s,
                            const char **host, const char **port);
/* Pushes an address: host and port and family, or a path. 3 or 1. Or nil, and
 * why not: 2. */
int lg_push_address(lua_State *L, const struct sockaddr_storage *a,
                    socklen_t size);
int lg_socket_getsockname(lua_State *L);
int lg_socket_getpeername(lua_State *L);
int lg_socket_getsocknames(lua_State *L); /* all that a listener has */

/* --- buffer.c --- */

/* A note of the buffer's front. Strings are made of the front, and finalizers
 * run where they are made: they may read from the socket, or close it. */
struct lg_front {
  uint32_t changes;
  uint64_t received;
  int top;
};
struct lg_front lg_buffer_front(lua_State *L, const struct lg_socket *s);
/* The string of the n first bytes is made: they are consumed, if close() has
 * not dropped them. 0, and the stack as it was: they were read meanwhile. */
int lg_buffer_deliver(lua_State *L, struct lg_socket *s,
                      const struct lg_front *front, size_t n);
/* Room behind what is buffered, to read into, at least a quarter of the
 * scratch. May raise; only where memory is short do finalizers run. */
char *lg_buffer_room(lua_State *L, struct lg_socket *s, size_t *room);
/* So many bytes were read into it: nothing was allocated in between. */
void lg_buffer_filled(struct lg_socket *s, size_t n);
/* The first n bytes were delivered without a string. */
void lg_buffer_consume(struct lg_socket *s, size_t n);
/* Puts n > 0 bytes before its front. May raise, as lg_buffer_room(). */
void lg_buffer_unread(lua_State *L, struct lg_socket *s, const char *data,
                      size_t n);
void lg_buffer_drop(struct lg_socket *s);
/* Bytes that the buffers of all sockets of the state take. */
size_t lg_buffer_total(const struct lg_net *net);
void lg_buffer_open(lua_State *L, struct lg_net *net);
void lg_buffer_close(struct lg_net *net);
static inline size_t lg_buffered(const struct lg_socket *s) {
  return s->end - s->at;
}

/* --- socket.c --- */

extern const char lg_socket_tag[];

/* Pushes a socket without a descriptor, a master of that kind. */
struct lg_socket *lg_socket_new(lua_State *L, struct lg *G,
                                const struct lg_socket_kind *kind);
/* The role of the socket at that index changes. */
void lg_socket_become(lua_State *L, int index, int role);
/* Raises: the value at index 1 has none of these roles. */
int lg_socket_misused(lua_State *L, int roles);
/* The datagram socket at index 1, if it has one of these roles, while the state
 * is not closing; else raises. */
struct lg_datagram *lg_datagram(lua_State *L, int roles);
/* A new descriptor for streams of that family, or -errno; and makes sure that
 * the socket has one of its kind: 0, or an errno. */
int lg_socket_open_fd(lua_State *L, struct lg *G, int family);
int lg_socket_need_fd(lua_State *L, struct lg_socket *s, int family,
                      int fresh);
/* Pushes a new socket, which has a descriptor of that family, unless that is 0:
 * 1; or nil and why not. */
int lg_socket_make(lua_State *L, const struct lg_socket_kind *kind,
                   int family);
/* It has n descriptors from now on. */
void lg_socket_count(struct lg_socket *s, int n);
/* The descriptor becomes the socket's own; -1: it has none. */
void lg_socket_adopt(struct lg_socket *s, int fd);
/* Sets s->lingers and s->resets. */
void lg_socket_look_at_linger(struct lg_socket *s);
/* Lets go of the descriptor without closing it. */
void lg_socket_release(struct lg_socket *s);
/* It was ready, and is not after all: whether its number leads elsewhere. Then
 * it lets go. */
int lg_socket_doubt(struct lg_socket *s);
/* Has its number gone to somebody else, behind its back? Then it lets go. */
int lg_socket_lost(struct lg_socket *s);
/* Wakes the waiters, then closes the descriptor. Never raises. */
void lg_socket_shut(struct lg_socket *s);
/* Runs a full collection when descriptors ran out: garbage may hold some. */
int lg_socket_scarce(lua_State *L, int error);
/* Takes the layer off; see lg_layer.close. */
void lg_socket_strip(struct lg_socket *s, int polite);
/* When a call that starts now must end. */
uint64_t lg_socket_deadline(const struct lg_socket *s);
/* A socket's __gc. */
int lg_socket_gc(lua_State *L);

static inline int lg_is_socket(lua_State *L, int index) {
  const struct lg_socket_object *o = lua_touserdata(L, index);
  return o && lua_rawlen(L, index) >= sizeof *o && o->tag == lg_socket_tag;
}

/* The object is a socket. If its finalizer ran, and another one's uses it, it
 * is a closed one from now on, which may raise. */
struct lg_socket *lg_socket_revive(lua_State *L, int index);
static inline struct lg_socket *lg_socket_at(lua_State *L, int index) {
  const struct lg_socket_object *o = lua_touserdata(L, index);
  return likely(o->socket) ? o->socket : lg_socket_revive(L, index);
}

/* The same of any value; NULL: it is no socket. */
static inline struct lg_socket *lg_to_socket(lua_State *L, int index) {
  return lg_is_socket(L, index) ? lg_socket_at(L, index) : NULL;
}

/* The socket at index 1, if it has one of these roles; else raises. */
static inline struct lg_socket *lg_socket(lua_State *L, int roles) {
  struct lg_socket *s = lg_to_socket(L, 1);
  if (unlikely(!s || !(s->role & roles))) lg_socket_misused(L, roles);
  return s;
}

/* The same for a call that may wait: raises while the state closes. */
static inline struct lg_socket *lg_socket_awake(lua_State *L, int roles) {
  struct lg_socket *s = lg_socket(L, roles);
  if (unlikely(!s->G->hub)) luaL_error(L, "luagreen: the state is closing");
  return s;
}

/* The thread that reads: it waits, or was woken and has not run yet. A select
 * and a wait_fd have places of their own in the core's list. */
static inline struct green_thread *lg_socket_reader(
    const struct lg_socket *s) {
  struct green_thread *t = s->f ? green_fd_reader(s->f) : NULL;
  return t && t->on == s->f ? t : NULL;
}

/* Bytes that a layer has taken and not sent. */
static inline size_t lg_layer_held(const struct lg_socket *s) {
  return unlikely(s->layer) && s->layer->held ? s->layer->held(s) : 0;
}

/* May the read under way wait? */
static inline int lg_read_may_wait(const struct lg_socket *s) {
  return !s->polls && s->read_end != 0;
}

/* Can a read go on without the descriptor? */
static inline int lg_layer_readable(struct lg_socket *s) {
  return unlikely(s->layer) && s->layer->readable && !s->opening &&
         s->layer->readable(s);
}

/* A number as an int, cut; `other` where it does not fit. */
static inline int lg_int_or(lua_Number n, int other) {
  return n >= INT_MIN && n <= INT_MAX ? (int)n : other;
}

#endif
