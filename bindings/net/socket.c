/* socket.c - socket objects of LuaSocket's shape.
 *
 * Owns the object, its three classes (an object changes its class in place),
 * its limits and its end, and the methods that never wait. Those that wait are
 * in stream.c and address.c, options in sockopt.c.
 *
 * Nothing here switches. close() and the finalizer never raise.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/socket.h"

/* Key in the registry: all sockets by address (weak), so that a finalizer can
 * tell whether the state is closing. */
static const char SOCKETS[] = "sockets";

/* --- the object and its classes --- */

int lg_socket_class_error(lua_State *L, int upvalue) {
  const char *name;
  lua_getfield(L, lua_upvalueindex(upvalue ? upvalue : MASTER), "__name");
  name = lua_tostring(L, -1);
  if (!upvalue) name = luaL_gsub(L, name, "{master}", "{any}");
  return luaL_argerror(L, 1, lua_pushfstring(L, "%s expected", name));
}

struct green_socket *lg_socket(lua_State *L, int classes) {
  if ((classes & SOCKET_CLIENT && is_class(L, CLIENT)) ||
      (classes & SOCKET_SERVER && is_class(L, SERVER)) ||
      (classes & SOCKET_MASTER && is_class(L, MASTER)))
    return lua_touserdata(L, 1);
  lg_socket_class_error(L, classes == SOCKET_MASTER ? MASTER : 0);
  return NULL;
}

void lg_socket_become(lua_State *L, int class) {
  int upvalue = class == SOCKET_CLIENT   ? CLIENT
                : class == SOCKET_SERVER ? SERVER
                                         : MASTER;
  lua_pushvalue(L, lua_upvalueindex(upvalue));
  lua_setmetatable(L, 1);
}

static void enlist(struct lg *G, struct green_socket *s) {
  s->next = G->sockets;
  s->link = &G->sockets;
  if (s->next) s->next->link = &s->next;
  G->sockets = s;
}

static void delist(struct green_socket *s) {
  *s->link = s->next;
  if (s->next) s->next->link = s->link;
}

struct green_socket *lg_socket_blank(lua_State *L, int local) {
  struct lg *G = lg_get(L);
  struct green_socket *s = lua_newuserdatauv(L, sizeof *s, 0);
  memset(s, 0, sizeof *s);
  lua_rawgetp(L, LUA_REGISTRYINDEX, SOCKETS);
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, s); /* may raise: enlisted only then */
  lua_pop(L, 1);
  enlist(G, s);
  s->fd = s->pending = -1;
  s->local = (uint8_t)local;
  s->family = local ? AF_UNIX : 0;
  s->block = s->total = -1;
  s->born = green_now();
  return s;
}

struct green_socket *lg_socket_new(lua_State *L, int local) {
  struct green_socket *s = lg_socket_blank(L, local);
  luaL_setmetatable(L,
                    local ? "green.unixstream{master}" : "green.tcp{master}");
  return s;
}

/* --- limits --- */

uint64_t lg_socket_deadline(const struct green_socket *s) {
  return earlier(end_of(s->block), end_of(s->total));
}

static int socket_settimeout(lua_State *L) {
  struct green_socket *s = lg_socket(L, SOCKET_ANY);
  double seconds = luaL_optnumber(L, 2, -1);
  const char *mode = luaL_optstring(L, 3, "b");
  luaL_argcheck(L, seconds == seconds, 2, "seconds expected, got NaN");
  luaL_argcheck(L, *mode && strchr("brt", *mode), 3, "invalid timeout mode");
  if (*mode == 'b')
    s->block = seconds;
  else
    s->total = seconds;
  s->polls = s->block == 0 || s->total == 0;
  lua_pushinteger(L, 1);
  return 1;
}

static int socket_gettimeout(lua_State *L) {
  struct green_socket *s = lg_socket(L, SOCKET_ANY);
  lua_pushnumber(L, s->block);
  lua_pushnumber(L, s->total);
  return 2;
}

/* --- the rest of LuaSocket's list --- */

static int socket_listen(lua_State *L) {
  struct green_socket *s = lg_socket(L, SOCKET_MASTER);
  int backlog = (int)luaL_optnumber(L, 2, 32);
  if (s->fd < 0) return lg_push_closed(L);
  if (listen(s->fd, backlog) < 0) return lg_socket_fail(L, errno);
  lg_socket_become(L, SOCKET_SERVER);
  lua_pushinteger(L, 1);
  return 1;
}

static int socket_shutdown(lua_State *L) {
  static const char *const names[] = {"receive", "send", "both", NULL};
  static const int hows[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
  struct green_socket *s = self(L, CLIENT);
  int how = hows[luaL_checkoption(L, 2, "both", names)];
  if (s->fd < 0) return lg_push_closed(L);
  s->drained = 0;
  if (shutdown(s->fd, how) < 0 && errno != ENOTCONN)
    return lg_socket_fail(L, errno);
  lua_pushinteger(L, 1);
  return 1;
}

void lg_socket_shut(struct lg *G, struct green_socket *s) {
  struct green_thread *reader = G->hub ? lg_socket_reader(s) : NULL;
  int fd = s->fd;
  s->fd = -1;
  if (s->f && G->hub) green_fd_close(G->hub, s->f);
  s->f = NULL;
  if (fd >= 0) close(fd);
  if (s->pending >= 0) close(s->pending);
  s->pending = -1;
  s->sending = s->resume = s->drained = 0;
  lg_socket_unlink(s);
  if (!reader) lg_socket_drop(s); /* else its partial result */
}

static int socket_close(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_socket *s = lg_socket(L, SOCKET_ANY);
  s->closed = 1;
  lg_socket_shut(G, s);
  lua_pushinteger(L, 1);
  return 1;
}

static int socket_gc(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_socket *s = lua_touserdata(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, SOCKETS);
  lua_rawgetp(L, -1, s);
  lg_finalizing(L, G, lua_rawequal(L, -1, 1));
  lg_socket_shut(G, s);
  lg_socket_drop(s);
  delist(s);
  return 0;
}

/* A host's hub lives on: no watcher of ours may stay with a number that the
 * system gives out again. */
void lg_sockets_shut(struct lg *G) {
  struct green_socket *s;
  for (s = G->sockets; s; s = s->next) lg_socket_shut(G, s);
}

static int socket_tostring(lua_State *L) {
  lua_getmetatable(L, 1);
  lua_getfield(L, -1, "__name");
  lua_pushfstring(L, "%s: %p", lua_tostring(L, -1), lua_touserdata(L, 1));
  return 1;
}

static int socket_getfd(lua_State *L) {
  lua_pushinteger(L, lg_socket(L, SOCKET_ANY)->fd);
  return 1;
}

static void adopt(struct green_socket *s, int fd) {
  struct sockaddr_storage a;
  socklen_t size = sizeof a, length = sizeof(int);
  int listening = 0;
  s->fd = fd;
  s->drained = s->sending = s->resume = s->closed = 0;
  if (fd < 0) return;
  if (getsockname(fd, (struct sockaddr *)&a, &size) == 0)
    s->family = a.ss_family;
  getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length);
  if (listening) /* accept4() has no MSG_DONTWAIT */
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* Lets go of the present descriptor without closing it. */
static int socket_setfd(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_socket *s = lg_socket(L, SOCKET_ANY);
  int fd = (int)luaL_checknumber(L, 2);
  struct green_fd *f = s->f;
  s->f = NULL;
  if (f) green_fd_release(G->hub, f);
  lg_socket_drop(s);
  adopt(s, fd < 0 ? -1 : fd);
  return 0;
}

static int socket_dirty(lua_State *L) {
  lua_pushboolean(L, buffered(lg_socket(L, SOCKET_ANY)) > 0);
  return 1;
}

static int socket_getfamily(lua_State *L) {
  struct green_socket *s = lg_socket(L, SOCKET_ANY);
  lua_pushstring(L, s->local                ? "unix"
                    : s->family == AF_INET6 ? "inet6"
                                            : "inet4");
  return 1;
}

static int socket_getstats(lua_State *L) {
  struct green_socket *s = lg_socket(L, SOCKET_ANY);
  lua_pushinteger(L, (lua_Integer)s->received);
  lua_pushinteger(L, (lua_Integer)s->sent);
  lua_pushnumber(L, (lua_Number)(green_now() - s->born) / 1e9);
  return 3;
}

static int socket_setstats(lua_State *L) {
  struct green_socket *s = lg_socket(L, SOCKET_ANY);
  lua_Number age = luaL_optnumber(L, 4, 0);
  s->received = (uint64_t)luaL_optnumber(L, 2, (lua_Number)s->received);
  s->sent = (uint64_t)luaL_optnumber(L, 3, (lua_Number)s->sent);
  if (!lua_isnoneornil(L, 4)) s->born = green_now() - (uint64_t)(age * 1e9);
  lua_pushinteger(L, 1);
  return 1;
}

/* --- making the classes --- */

static const luaL_Reg methods[] = {{"accept", lg_socket_accept},
                                   {"bind", lg_socket_bind},
                                   {"close", socket_close},
                                   {"connect", lg_socket_connect},
                                   {"dirty", socket_dirty},
                                   {"getfamily", socket_getfamily},
                                   {"getfd", socket_getfd},
                                   {"getoption", lg_socket_getoption},
                                   {"getpeername", lg_socket_getpeername},
                                   {"getsockname", lg_socket_getsockname},
                                   {"getstats", socket_getstats},
                                   {"gettimeout", socket_gettimeout},
                                   {"listen", socket_listen},
                                   {"receive", lg_socket_receive},
                                   {"recv", lg_socket_recv},
                                   {"send", lg_socket_send},
                                   {"setfd", socket_setfd},
                                   {"setoption", lg_socket_setoption},
                                   {"setpeername", lg_socket_connect},
                                   {"setsockname", lg_socket_bind},
                                   {"setstats", socket_setstats},
                                   {"settimeout", socket_settimeout},
                                   {"shutdown", socket_shutdown},
                                   {NULL, NULL}};
static const luaL_Reg meta[] = {{"__close", socket_close},
                                {"__gc", socket_gc},
                                {"__tostring", socket_tostring},
                                {NULL, NULL}};

/* Pushes the upvalues of a family: three metatables and the scratch. */
static void push_classes(lua_State *L, const char *family) {
  static const char *const classes[] = {"client", "server", "master"};
  int i;
  for (i = 0; i < 3; i++) {
    const char *name = lua_pushfstring(L, "%s{%s}", family, classes[i]);
    luaL_newmetatable(L, lua_pushfstring(L, "green.%s", name));
    lua_remove(L, -2);
    lua_insert(L, -2);
    lua_setfield(L, -2, "__name"); /* LuaSocket owns the plain name's key */
  }
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.scratch");
}

/* With the four upvalues on top, which stay: a new table of functions. */
static void push_functions(lua_State *L, const luaL_Reg *functions) {
  int i;
  lua_newtable(L);
  for (i = 0; i < 4; i++) lua_pushvalue(L, -5);
  lg_setfuncs(L, functions, 4);
}

/* Copies the table at `from` into the one on top. */
static void copy(lua_State *L, int from) {
  for (lua_pushnil(L); lua_next(L, from);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

/* Each class has a table of its own, with the same methods. */
static void open_family(lua_State *L, const char *family) {
  int base = lua_gettop(L), i;
  push_classes(L, family);
  push_functions(L, methods);
  lua_pushvalue(L, base + 1);
  lua_pushvalue(L, base + 2);
  lua_pushvalue(L, base + 3);
  lua_pushvalue(L, base + 4);
  push_functions(L, meta);
  lua_replace(L, base + 6);
  lua_settop(L, base + 6);
  for (i = 1; i <= 3; i++) {
    lua_pushvalue(L, base + i);
    copy(L, base + 6);
    lua_newtable(L);
    copy(L, base + 5);
    lua_getfield(L, base + i, "__name");
    lua_setfield(L, -2, "class");
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
  }
  lua_settop(L, base);
}

/* socket_methods(): the tables of methods, for those written in Lua. */
static int l_socket_methods(lua_State *L) {
  static const char *const names[] = {
      "tcp{client}",        "tcp{server}",        "tcp{master}",
      "unixstream{client}", "unixstream{server}", "unixstream{master}"};
  int i;
  lua_createtable(L, 6, 0);
  for (i = 0; i < 6; i++) {
    luaL_getmetatable(L, lua_pushfstring(L, "green.%s", names[i]));
    lua_getfield(L, -1, "__index");
    lua_rawseti(L, -4, i + 1);
    lua_pop(L, 2);
  }
  return 1;
}

static const luaL_Reg functions[] = {{"socket_methods", l_socket_methods},
                                     {"stop_accept", lg_stop_accept},
                                     {NULL, NULL}};

void lg_open_socket(lua_State *L) {
  lua_newuserdatauv(L, SCRATCH_SIZE, 0);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.scratch");
  lg_weak_table(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, SOCKETS);
  open_family(L, "tcp");
  open_family(L, "unixstream");
  lg_setfuncs(L, functions, 0);
  lg_open_address(L);
}
