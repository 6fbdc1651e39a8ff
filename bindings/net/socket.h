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
 * A file uses what stands on its own line or below. A further kind of socket
 * (datagrams, pipes) adds a file of classes at the top and calls of its own; a
 * further layer between the buffer and the descriptor (TLS) is a struct
 * lg_layer, which no file above the buffer can see.
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

/* How bytes move between the buffer and the descriptor. Functions that may fail
 * return -errno, or -LG_LAYERED for an error that only the layer has words for;
 * -EAGAIN: the caller waits for the descriptor. None of these raises, waits or
 * calls Lua.
 *
 * Once open, a read waits for nothing but bytes to read, and a write for
 * nothing but room: a layer that has to send in order to read holds these bytes
 * until there is room. So one thread may read while another writes. All but
 * read and write may be NULL. */
struct lg_layer {
  /* Goes on with the opening, and tells afterwards how it ended. 0: it is open;
   * -EAGAIN: the caller waits for s->wants; else it has failed, and each read
   * and write says so. */
  int (*open)(struct lg_socket *s);
  /* How many bytes; 0 is the end of the stream. */
  ssize_t (*read)(struct lg_socket *s, char *to, size_t n);
  /* How many bytes were taken. Some may be held still, see `held`; with n == 0
   * those are sent: 0, or -EAGAIN. */
  ssize_t (*write)(struct lg_socket *s, const char *data, size_t n);
  /* Can a read go on without the descriptor? */
  int (*readable)(struct lg_socket *s);
  /* Bytes that were taken and not sent. */
  size_t (*held)(const struct lg_socket *s);
  /* Ends a direction, or both; how: as in shutdown(). */
  int (*shut)(struct lg_socket *s, int how);
  const char *(*why)(const struct lg_socket *s); /* the text of LG_LAYERED */
  /* Of a listener: puts a layer on a connection. */
  int (*accepted)(struct lg_socket *s, struct lg_socket *connection);
  /* Frees s->layered. Polite: the descriptor is open, and the peer is told. */
  void (*close)(struct lg_socket *s, int polite);
};

/* No errno: the error is the layer's own. */
enum { LG_LAYERED = 1 << 20 };

enum lg_pattern { LG_LINE, LG_WHOLE_LINE, LG_ALL, LG_COUNT };

/* The request of a call of receive, besides its prefix. */
struct lg_wanted {
  enum lg_pattern pattern;
  size_t n;      /* COUNT: bytes, without the prefix's */
  size_t most;   /* of a line's bytes; 0: the socket's own bound */
  int satisfied; /* COUNT: the prefix alone is enough */
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
  struct lg_object head;
  const void *tag; /* lg_socket_tag */
  const struct lg_socket_kind *kind;
  const struct lg_layer *layer; /* NULL: none */
  void *layered;                /* the layer's own */
  uint64_t opening_end;         /* when the opening must be over */
  struct green_fd *f;
  struct green_thread *connecting; /* it waits in race.c; else NULL */
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
  size_t scanned;   /* so many bytes from `at` on hold no newline */
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
  struct lg_socket *holder; /* whose bytes lie in the scratch; NULL: none */
  char *scratch;
  size_t scratch_room;
  struct lg_scratch *abandoned; /* see buffer.c */
  size_t buffered;              /* bytes of the sockets' own buffers */
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

/* A Unix address. */
struct lg_unix_address {
  struct sockaddr_un un;
  socklen_t size;
};
/* Fills it from the path at that index: NULL; or why that is not a path. */
const char *lg_unix_address(lua_State *L, int index,
                            struct lg_unix_address *a);
/* The host and the port at that index and the next: NULL; or an error in the
 * words of a resolver. Other types raise. */
const char *lg_inet_address(lua_State *L, int index, const char **host,
                            const char **port);
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
/* So many bytes of its front were delivered without a string. */
void lg_buffer_consume(struct lg_socket *s, size_t n);
/* Puts n > 0 bytes before its front. May raise, as lg_buffer_room(). */
void lg_buffer_unread(lua_State *L, struct lg_socket *s, const char *data,
                      size_t n);
void lg_buffer_drop(struct lg_socket *s);
/* Bytes that all sockets of the state take for it. */
size_t lg_buffer_total(lua_State *L, const struct lg_net *net);
/* A socket is made: nothing is known of one that was freed there. */
void lg_buffer_born(const struct lg_socket *s);
/* Key in the registry: all sockets by address (weak values), which tells also
 * whether the state is closing. */
extern const char lg_sockets[];
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
/* It has n descriptors from now on. */
void lg_socket_count(struct lg_socket *s, int n);
/* The descriptor becomes the socket's own; -1: it has none. */
void lg_socket_adopt(struct lg_socket *s, int fd);
/* Sets s->lingers. */
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
/* Makes what the sockets of the state share. */
void lg_socket_open(lua_State *L);

static inline int lg_is_socket(lua_State *L, int index) {
  const struct lg_socket *s = lua_touserdata(L, index);
  return s && lua_rawlen(L, index) >= sizeof *s && s->tag == lg_socket_tag;
}

/* The socket at index 1, if it has one of these roles; else raises. */
static inline struct lg_socket *lg_socket(lua_State *L, int roles) {
  struct lg_socket *s = lua_touserdata(L, 1);
  if (unlikely(!lg_is_socket(L, 1) || !(s->role & roles)))
    lg_socket_misused(L, roles);
  return s;
}

/* The same for a call that may wait: raises while the state closes. */
static inline struct lg_socket *lg_socket_awake(lua_State *L, int roles) {
  struct lg_socket *s = lg_socket(L, roles);
  if (unlikely(!s->head.G->hub))
    luaL_error(L, "luagreen: the state is closing");
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

/* Can a read go on without the descriptor? */
static inline int lg_layer_readable(struct lg_socket *s) {
  return unlikely(s->layer) && s->layer->readable && !s->opening &&
         s->layer->readable(s);
}

/* A number as an int, cut; `other` where it does not fit. */
static inline int lg_int_or(lua_Number n, int other) {
  return n >= INT_MIN && n <= INT_MAX ? (int)n : other;
}

static inline uint64_t lg_end_of(double seconds) {
  return seconds < 0 ? GREEN_FOREVER : lg_deadline(seconds);
}

static inline uint64_t lg_earlier(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* When a call that begins now must end, and a wait of it that does. Alone, each
 * of the two limits is one of the whole call; together "b" is one of each
 * wait. */
static inline uint64_t lg_call_end(const struct lg_socket *s) {
  return lg_end_of(s->total >= 0 ? s->total : s->block);
}
static inline uint64_t lg_wait_end(const struct lg_socket *s, uint64_t call) {
  if (s->block < 0 || s->total < 0) return call;
  return lg_earlier(lg_end_of(s->block), call);
}
/* The same of a call that keeps its end at that index, on top of its arguments,
 * from its first wait on. */
static inline uint64_t lg_kept_end(lua_State *L, const struct lg_socket *s,
                                   int index) {
  if (lua_gettop(L) < index) lua_pushinteger(L, (lua_Integer)lg_call_end(s));
  assert(lua_gettop(L) == index);
  return lg_wait_end(s, (uint64_t)lua_tointeger(L, index));
}

/* --- waiting.c --- */

/* The descriptor is watched from the first wait on. 0, or why not. */
int lg_socket_watch(struct lg *G, struct lg_socket *s);
/* On entry of every call that reads: raises if another thread reads. The call
 * must end then, or, as LG_READ_BEGINS says, by limits that its first wait
 * looks at. */
void lg_read_begin(lua_State *L, struct lg *G, struct lg_socket *s,
                   uint64_t end);
/* Waits until there is something to read. The caller's last act: return it,
 * unless it is negative: a code, for the kernel does not let it wait. */
int lg_read_wait(lua_State *L, struct lg *G, struct lg_socket *s,
                 const struct lg_op *op);
/* After the wait: the socket at index 1. When time is up, what has come all the
 * same still counts: one more try, which then says "timeout". */
struct lg_socket *lg_read_woken(lua_State *L, int reason);
enum { LG_READ_BEGINS = 1 };
static inline int lg_read_may_wait(const struct lg_socket *s) {
  return !s->polls && s->read_end != 0;
}
/* Raises: t, or a host, reads the socket already. */
int lg_second_reader(lua_State *L, struct lg *G, struct green_thread *t);

/* The write side is the caller's, or will be by waiting for a turn. */
int lg_write_try(struct lg *G, struct lg_socket *s);
int lg_write_turn(lua_State *L, struct lg *G, struct lg_socket *s,
                  const struct lg_op *op, uint64_t deadline);
/* With the turn, waits for an event; or until there is room to write. The same;
 * a negative code has given the turn up. */
int lg_turn_wait(lua_State *L, struct lg *G, struct lg_socket *s, int event,
                 const struct lg_op *op, uint64_t deadline);
int lg_write_wait(lua_State *L, struct lg *G, struct lg_socket *s,
                  const struct lg_op *op, uint64_t deadline);
/* Gives the turn to the next writer. */
void lg_write_end(struct lg *G, struct lg_socket *s);

/* Waits that keep their C stack, so that C variables may hold lists: codes of
 * the core's. Raises where the caller may not block. */
void lg_may_keep(lua_State *L, struct lg *G, const char *what);
int lg_keep(lua_State *L, struct lg *G); /* the same: UV_EPERM */
/* Until the connect under way is over. > 0: its errno. */
int lg_connect_wait(lua_State *L, struct lg *G, struct lg_socket *s,
                    uint64_t deadline);
/* For a moment, each longer than the last. */
int lg_connect_pause(lua_State *L, struct lg *G, struct lg_socket *s,
                     uint64_t deadline, uint64_t *pause);

/* --- opening.c --- */

/* A call that has to wait until the layer is open: itself, and how it fails,
 * with its arguments on the stack. */
struct lg_opening {
  const struct lg_op *call;
  int (*fails)(lua_State *L, struct lg_socket *s, const char *why);
  /* Goes on with the call, which must end by then: its limit began before the
   * handshake. */
  int (*opened)(lua_State *L, struct lg_socket *s, uint64_t end);
};
/* Early in a call: opens the layer. -1: the call goes on, and finds in the
 * layer whether that worked. Else the call's last act. */
int lg_open_layer_slow(lua_State *L, struct lg *G, struct lg_socket *s,
                       const struct lg_opening *o);
static inline int lg_open_layer(lua_State *L, struct lg *G,
                                struct lg_socket *s,
                                const struct lg_opening *o) {
  return likely(!s->opening) ? -1 : lg_open_layer_slow(L, G, s, o);
}
int lg_socket_handshake(lua_State *L);

/* --- shutdown.c --- */

int lg_socket_shutdown(lua_State *L);

/* --- seam.c --- */

/* The functions that a layer gets which is a module of its own: it is loaded
 * without seeing our symbols. core.seam, a light userdata, leads here. */
struct lg_seam {
  uint32_t version, socket_size;
  struct lg_socket *(*socket)(lua_State *L, int index, int roles);
  uint64_t (*now)(void);
  void (*drop_buffered)(struct lg_socket *s);
  void (*strip)(struct lg_socket *s, int polite);
  /* Bytes that a layer holds while no thread sends go when there is room: asks
   * to be told once; NULL: no more. `again` asks from there. */
  void (*when_room)(struct lg_socket *s, struct green_room *room);
  int (*again)(struct green_hub *hub, struct green_fd *f,
               struct green_room *room);
  int (*number)(const struct green_fd *f);
  /* Raises in a sandbox that may name no file. */
  void (*refuse_file)(lua_State *L, const char *what);
};
enum { LG_SEAM = 3 };
void lg_open_seam(lua_State *L);

/* --- connect.c: looking up --- */

/* The addresses of a name for a socket of its kind and family, as
 * lg_getaddrinfo() of lookup.h. With a deadline of 0 there is none, as a
 * look-up cannot be polled for. */
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

/* Closes every socket of the state, before its hub is let go. */
void lg_sockets_shut(lua_State *L, struct lg *G);

/* Each lg_open_ function adds its file's functions to the table on top of the
 * stack; their first upvalue is G. */
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
