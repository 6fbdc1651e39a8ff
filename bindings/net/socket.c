/* socket.c - the socket object: its birth, its descriptor, its end.
 *
 * All sockets of a state stand in a list, so that their descriptors can be let
 * go before the hub is. Where Lua could not call the finalizer of an object,
 * its socket stays there until the state ends.
 *
 * An object of LuaSocket's shape changes its class in place. The classes belong
 * to a kind, which the maker of a socket hands over.
 *
 * Nothing here switches. Closing and finalizing never raise.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "net/calls.h"
#include "net/waiting.h"
#include "runtime/closing.h"
#include "runtime/counts.h"

const char lg_socket_tag[] = "socket";

/* --- the object and its class --- */

/* Key in the registry: the objects by address (weak values), so that a
 * finalizer can tell that the state is closing. */
static const char SOCKETS[] = "sockets";

static const struct lg_class *class_of(const struct lg_socket_kind *kind,
                                       int role) {
  assert(kind->datagram == !!(role & LG_DATAGRAM));
  switch (role) {
    case LG_CLIENT:
    case LG_CONNECTED: return &kind->client;
    case LG_SERVER: return &kind->server;
    default: return &kind->master;
  }
}

void lg_socket_become(lua_State *L, int index, int role) {
  struct lg_socket_object *o = lua_touserdata(L, index);
  index = lua_absindex(L, index);
  assert(o->socket && o->socket->kind == o->kind);
  o->socket->role = (uint8_t)role;
  o->head.klass = class_of(o->kind, role);
  lua_rawgetp(L, LUA_REGISTRYINDEX, o->head.klass);
  lua_setmetatable(L, index);
}

static size_t size_of(const struct lg_socket_kind *kind) {
  return kind->datagram ? sizeof(struct lg_datagram)
                        : sizeof(struct lg_socket);
}

/* The object on top of the stack gets a socket. */
static struct lg_socket *make(lua_State *L, struct lg *G,
                              struct lg_socket_object *o) {
  const struct lg_socket_kind *kind = o->kind;
  struct lg_socket *s;
  lua_rawgetp(L, LUA_REGISTRYINDEX, SOCKETS);
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, o);
  lua_pop(L, 1);
  s = lg_new_block(L, G, size_of(kind));
  memset(s, 0, size_of(kind));
  s->G = G;
  s->before = &G->net->sockets;
  s->after = *s->before;
  if (s->after) s->after->before = &s->after;
  *s->before = s;
  s->kind = kind;
  s->fd = s->pending = -1;
  s->family = kind->local ? AF_UNIX : 0;
  s->block = s->total = -1;
  s->max_line = G->net->max_line;
  s->born = G->hub ? green_time(G->hub) : 0;
  if (unlikely(G->boxes)) s->box = lg_account_of_box(G);
  return o->socket = s;
}

struct lg_socket *lg_socket_new(lua_State *L, struct lg *G,
                                const struct lg_socket_kind *kind) {
  struct lg_socket_object *o = lua_newuserdatauv(L, sizeof *o, 0);
  struct lg_socket *s;
  o->head = (struct lg_object){&kind->master, G};
  o->tag = NULL; /* its making may raise */
  o->kind = kind;
  o->socket = NULL;
  s = make(L, G, o);
  o->tag = lg_socket_tag;
  lg_socket_become(L, -1, kind->datagram ? LG_UNCONNECTED : LG_MASTER);
  return s;
}

static int role_of(const struct lg_socket_object *o) {
  int datagram = o->kind->datagram;
  if (o->head.klass == &o->kind->server) return LG_SERVER;
  if (o->head.klass == &o->kind->client)
    return datagram ? LG_CONNECTED : LG_CLIENT;
  return datagram ? LG_UNCONNECTED : LG_MASTER;
}

struct lg_socket *lg_socket_revive(lua_State *L, int index) {
  struct lg_socket_object *o = lua_touserdata(L, index);
  luaL_checkstack(L, 4, "luagreen");
  lua_pushvalue(L, index);
  if (!o->socket) make(L, o->head.G, o)->closed = 1;
  lg_socket_become(L, -1, role_of(o)); /* it has a finalizer again */
  lua_pop(L, 1);
  return o->socket;
}

static const char *role_name(int roles) {
  switch (roles) {
    case LG_MASTER: return "master";
    case LG_CLIENT: return "client";
    case LG_SERVER: return "server";
    case LG_UNCONNECTED: return "unconnected";
    case LG_CONNECTED: return "connected";
    default: return "any";
  }
}

/* Methods have no upvalues: what is none of the sockets that a method is for
 * was to be of TCP, or of UDP. */
int lg_socket_misused(lua_State *L, int roles) {
  const struct lg_socket *s = lg_to_socket(L, 1);
  int datagram = !(roles & ~LG_DATAGRAM);
  const char *kind = datagram ? "udp" : "tcp";
  if (s && s->kind->datagram == datagram) kind = s->kind->name;
  return luaL_argerror(
      L, 1, lua_pushfstring(L, "%s{%s} expected", kind, role_name(roles)));
}

struct lg_datagram *lg_datagram(lua_State *L, int roles) {
  if (unlikely(!lg_is_socket(L, 1))) lg_socket_misused(L, roles);
  return (struct lg_datagram *)lg_socket_awake(L, roles);
}

uint64_t lg_socket_deadline(const struct lg_socket *s) {
  return lg_earlier(lg_end_of(s->block), lg_end_of(s->total));
}

/* --- the descriptor --- */

void lg_socket_count(struct lg_socket *s, int n) {
  lg_count(s->G, s->box, LG_DESCRIPTORS, n - s->counted);
  s->counted = n;
}

/* Nothing is counted for it any more: it is garbage, or the state closes. */
static void leave_account(struct lg_socket *s) {
  assert(!s->counted);
  lg_account_leave(s->box);
  s->box = NULL;
}

/* Garbage may hold descriptors, and Lua does not know that they are scarce. */
int lg_socket_scarce(lua_State *L, int error) {
  if (error != EMFILE && error != ENFILE) return 0;
  if (lua_gc(L, LUA_GCCOUNT) < 0) return 0; /* in a finalizer */
  lua_gc(L, LUA_GCCOLLECT);
  return 1;
}

static int open_fd(lua_State *L, struct lg *G, int family, int type) {
  int flags = type | SOCK_NONBLOCK | SOCK_CLOEXEC;
  int fd = lg_may_open(L, G, 1);
  if (fd > 0) return -fd;
  fd = socket(family, flags, 0);
  if (fd < 0 && lg_socket_scarce(L, errno)) fd = socket(family, flags, 0);
  if (fd < 0) return -errno;
  green_fd_forget(G->hub, fd);
  return fd;
}

int lg_socket_open_fd(lua_State *L, struct lg *G, int family) {
  return open_fd(L, G, family, SOCK_STREAM);
}

/* LuaSocket's sockets of IPv6 leave the port to one of IPv4. */
static void make_v6only(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
}

int lg_socket_need_fd(lua_State *L, struct lg_socket *s, int family,
                      int fresh) {
  int type = s->kind->datagram ? SOCK_DGRAM : SOCK_STREAM, fd;
  if (s->connecting) return EALREADY;
  if (s->fd >= 0 && s->family == family && !fresh) return 0;
  fd = open_fd(L, s->G, family, type);
  if (fd < 0) return -fd;
  lg_socket_shut(s);
  s->fd = fd;
  lg_socket_count(s, 1);
  s->family = family;
  if (s->kind->luasocket && family == AF_INET6) make_v6only(fd);
  return 0;
}

int lg_socket_make(lua_State *L, const struct lg_socket_kind *kind,
                   int family) {
  struct lg_socket *s = lg_socket_new(L, lg_get(L), kind);
  int r = family ? lg_socket_need_fd(L, s, family, 0) : 0;
  return r ? lg_socket_fail(L, s, r) : 1;
}

void lg_socket_look_at_linger(struct lg_socket *s) {
  struct linger value = {0, 0};
  socklen_t size = sizeof value;
  getsockopt(lg_named_fd(s, 0), SOL_SOCKET, SO_LINGER, &value, &size);
  s->lingers = value.l_onoff && value.l_linger > 0;
  s->resets = value.l_onoff && !s->lingers;
}

void lg_socket_adopt(struct lg_socket *s, int fd) {
  struct sockaddr_storage a;
  socklen_t size = sizeof a;
  assert(!s->f && !s->connecting);
  s->fd = fd;
  lg_socket_count(s, fd >= 0);
  s->failed = 0;
  s->drained = s->sending = s->resume = s->closed = s->spent = 0;
  s->lingers = s->resets = 0;
  if (fd < 0) return;
  if (getsockname(fd, (struct sockaddr *)&a, &size) == 0)
    s->family = a.ss_family;
  lg_socket_look_at_linger(s);
  /* accept4() and connect() have no MSG_DONTWAIT. A connected socket needs
   * neither call, and its flags may be shared with others. */
  size = sizeof a;
  if (getpeername(fd, (struct sockaddr *)&a, &size) < 0)
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void lg_socket_release(struct lg_socket *s) {
  struct green_fd *f = s->f;
  lg_socket_strip(s, 0);
  s->f = NULL;
  if (f) green_fd_release(s->G->hub, f);
  lg_buffer_drop(s);
  lg_several_free(s->several);
  s->several = NULL;
  s->fd = -1;
  lg_socket_count(s, 0);
}

/* Its number was closed by strangers, and may be somebody else's by now. */
static int is_lost(const struct lg_socket *s) {
  return s->f && green_fd_is_closed(s->f);
}

int lg_socket_doubt(struct lg_socket *s) {
  if (s->f) green_fd_check(s->G->hub, s->f);
  return lg_socket_lost(s);
}

int lg_socket_lost(struct lg_socket *s) {
  if (likely(!is_lost(s))) return 0;
  green_fd_release(s->G->hub, s->f);
  s->f = NULL;
  s->fd = -1;
  lg_socket_count(s, 0);
  return 1;
}

/* --- the end --- */

/* Where a socket lingers, close() waits until the peer has all, even if the
 * descriptor never blocks, and no thread would run meanwhile. The kernel sends
 * what is left in any case. */
static void close_now(int fd, int lingers) {
  struct linger off = {0, 0};
  if (unlikely(lingers))
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
  close(fd);
}

/* Wakes all that wait for the descriptor, and closes it. */
static void close_fd(struct green_hub *hub, struct lg_socket *s) {
  int fd = is_lost(s) ? -1 : s->fd;
  /* Waiters find the socket closed, and the core stops watching before the
   * system can give the number out again. */
  s->fd = -1;
  if (s->f && hub)
    green_fd_close(hub, s->f);
  else if (hub)
    green_fd_forget(hub, fd); /* a wait_fd or another object may watch it */
  s->f = NULL;
  if (fd >= 0) close_now(fd, s->lingers);
  lg_several_free(s->several);
  s->several = NULL;
  lg_socket_count(s, 0);
}

void lg_socket_strip(struct lg_socket *s, int polite) {
  const struct lg_layer *layer = s->layer;
  s->layer = NULL;
  s->opening = 0;
  if (unlikely(layer) && layer->close) layer->close(s, polite);
}

void lg_socket_shut(struct lg_socket *s) {
  struct green_hub *hub = s->G->hub;
  struct green_thread *reader = hub ? lg_socket_reader(s) : NULL;
  lg_socket_strip(s, s->fd >= 0 && !is_lost(s) && !s->resets);
  /* Before the descriptor: a process that replaces a file on which nobody
   * listens must not find it, or it would be the new one that is removed. */
  lg_file_remove(s->file);
  s->file = NULL;
  if (hub && s->connecting) green_wake(hub, s->connecting, GREEN_CLOSED);
  close_fd(hub, s);
  if (s->pending >= 0) close_now(s->pending, s->lingers);
  s->pending = -1;
  s->failed = 0;
  s->sending = s->resume = s->drained = s->spent = 0;
  s->lingers = s->resets = 0;
  if (!reader) lg_buffer_drop(s); /* else its partial result */
}

/* Gives everything back, but for its memory. */
static void end(struct lg_socket *s) {
  lg_socket_shut(s);
  lg_buffer_drop(s);
  leave_account(s);
}

static void unmake(struct lg_socket *s) {
  struct lg_looker *l; /* of look-ups whose finalizers could not run */
  for (l = s->lookers; l; l = l->next) l->socket = NULL;
  assert(*s->before == s && s->fd < 0 && !s->f && !s->buffer);
  *s->before = s->after;
  if (s->after) s->after->before = s->before;
  lg_block(s->G, s, size_of(s->kind), 0);
}

/* In a state that closes, other finalizers may still ask the socket. */
int lg_socket_gc(lua_State *L) {
  struct lg_socket_object *o = lua_touserdata(L, 1);
  int closing;
  if (!lg_is_socket(L, 1)) return lg_socket_misused(L, LG_ANY_ROLE);
  lua_rawgetp(L, LUA_REGISTRYINDEX, SOCKETS);
  lua_rawgetp(L, -1, o);
  closing = lua_rawequal(L, -1, 1);
  if (!lg_finalizing(L, o->head.G, closing) || !o->socket) return 0;
  end(o->socket);
  if (closing) return 0;
  unmake(o->socket);
  o->socket = NULL;
  return 0;
}

/* A host's hub lives on: no watcher of ours may stay with a number that the
 * system gives out again. */
void lg_sockets_shut(struct lg *G) {
  struct lg_socket *s;
  if (!G->net) return; /* the state was never opened to Lua */
  for (s = G->net->sockets; s; s = s->after) end(s);
  lg_buffer_close(G->net);
}

void lg_sockets_free(struct lg *G) {
  while (G->net && G->net->sockets) unmake(G->net->sockets);
}

void lg_open_net(lua_State *L) {
  struct lg *G = lg_find(L);
  struct lg_net *net = lua_newuserdatauv(L, sizeof *net, 0);
  memset(net, 0, sizeof *net);
  lua_rawsetp(L, LUA_REGISTRYINDEX, net);
  lg_weak_table(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, SOCKETS);
  net->max_line = 64 << 20;
  net->max_client_line = 1 << 20;
  lg_buffer_open(L, net);
  G->net = net; /* from now on lg_sockets_shut() frees what it owns */
}
