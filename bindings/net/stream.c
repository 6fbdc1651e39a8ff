/* stream.c - streams by LuaSocket's names: TCP and Unix sockets.
 *
 * Owns the classes, three for each kind, and their tables of methods; the
 * methods that need a line or two stand here, all others in files of their own
 * below. Each class has a table of its own, so that a method replaced in one is
 * not replaced in the others.
 *
 * Nothing here switches.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "net/socket.h"

static const struct lg_socket_kind tcp = {
    .name = "tcp",
    .master = {.name = "tcp{master}"},
    .client = {.name = "tcp{client}", .waitable = &lg_readable_waitable},
    .server = {.name = "tcp{server}", .waitable = &lg_accept_waitable}};

static const struct lg_socket_kind unixstream = {
    .name = "unixstream",
    .master = {.name = "unixstream{master}"},
    .client = {.name = "unixstream{client}",
               .waitable = &lg_readable_waitable},
    .server = {.name = "unixstream{server}", .waitable = &lg_accept_waitable},
    .local = 1};

/* --- limits --- */

static int socket_settimeout(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
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
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  lua_pushnumber(L, s->block);
  lua_pushnumber(L, s->total);
  return 2;
}

/* --- the rest of LuaSocket's list --- */

static int socket_shutdown(lua_State *L) {
  static const char *const names[] = {"receive", "send", "both", NULL};
  static const int hows[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
  struct lg_socket *s = lg_socket(L, LG_CLIENT);
  int how = hows[luaL_checkoption(L, 2, "both", names)];
  if (s->fd < 0) return lg_push_closed(L);
  s->drained = 0;
  if (shutdown(s->fd, how) < 0 && errno != ENOTCONN)
    return lg_socket_fail(L, s, errno);
  lua_pushinteger(L, 1);
  return 1;
}

static int socket_close(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  s->closed = 1;
  lg_socket_shut(s);
  lua_pushinteger(L, 1);
  return 1;
}

static int socket_tostring(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  lua_pushfstring(L, "%s: %p", s->head.klass->name, (void *)s);
  return 1;
}

static int socket_getfd(lua_State *L) {
  lua_pushinteger(L, lg_socket(L, LG_ANY_ROLE)->fd);
  return 1;
}

static int socket_setfd(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_ANY_ROLE);
  int fd = (int)luaL_checknumber(L, 2);
  lg_socket_release(s);
  lg_socket_adopt(s, fd < 0 ? -1 : fd);
  return 0;
}

static int socket_dirty(lua_State *L) {
  lua_pushboolean(L, lg_buffered(lg_socket(L, LG_ANY_ROLE)) > 0);
  return 1;
}

static int socket_getfamily(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  lua_pushstring(L, s->kind->local          ? "unix"
                    : s->family == AF_INET6 ? "inet6"
                                            : "inet4");
  return 1;
}

static int socket_getstats(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  lua_pushinteger(L, (lua_Integer)s->received);
  lua_pushinteger(L, (lua_Integer)s->sent);
  lua_pushnumber(L, (lua_Number)(green_now() - s->born) / 1e9);
  return 3;
}

static int socket_setstats(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
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
                                   {"listen", lg_socket_listen},
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
                                {"__gc", lg_socket_gc},
                                {"__tostring", socket_tostring},
                                {NULL, NULL}};

/* Sets functions in the table on top of the stack, which know what the kind is
 * called. */
static void set_functions(lua_State *L, const struct lg_socket_kind *kind,
                          const luaL_Reg *functions) {
  lua_pushstring(L, kind->name);
  lg_setfuncs(L, functions, 1);
}

/* The metatable is found by the address of its class. LuaSocket owns the plain
 * name's key in the registry. */
static void open_class(lua_State *L, const struct lg_socket_kind *kind,
                       const struct lg_class *klass) {
  luaL_newmetatable(L, lua_pushfstring(L, "green.%s", klass->name));
  lua_pushstring(L, klass->name);
  lua_setfield(L, -2, "__name");
  set_functions(L, kind, meta);
  lua_newtable(L);
  set_functions(L, kind, methods);
  lua_pushstring(L, klass->name);
  lua_setfield(L, -2, "class");
  lua_setfield(L, -2, "__index");
  lua_rawsetp(L, LUA_REGISTRYINDEX, klass);
  lua_pop(L, 1);
}

static void open_kind(lua_State *L, const struct lg_socket_kind *kind) {
  open_class(L, kind, &kind->master);
  open_class(L, kind, &kind->client);
  open_class(L, kind, &kind->server);
}

/* --- functions --- */

/* socket_methods(): the tables of methods, for those written in Lua. */
static int l_socket_methods(lua_State *L) {
  const struct lg_class *const classes[] = {
      &tcp.client,        &tcp.server,        &tcp.master,
      &unixstream.client, &unixstream.server, &unixstream.master};
  int i;
  lua_createtable(L, 6, 0);
  for (i = 0; i < 6; i++) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, classes[i]);
    lua_getfield(L, -1, "__index");
    lua_rawseti(L, -3, i + 1);
    lua_pop(L, 1);
  }
  return 1;
}

/* tcp([family]): without one, the descriptor is made by connect or bind. */
static int l_tcp(lua_State *L) {
  static const char *const names[] = {"any", "inet", "inet4", "inet6", NULL};
  static const int families[] = {0, AF_INET, AF_INET, AF_INET6};
  struct lg *G = lg_get(L);
  int family = families[luaL_checkoption(L, 1, "any", names)];
  struct lg_socket *s = lg_socket_new(L, G, &tcp);
  int r = family ? lg_socket_need_fd(L, s, family, 0) : 0;
  return r ? lg_socket_fail(L, s, r) : 1;
}

static int l_unix(lua_State *L) {
  lg_socket_new(L, lg_get(L), &unixstream);
  return 1;
}

static const luaL_Reg functions[] = {{"socket_methods", l_socket_methods},
                                     {"tcp", l_tcp},
                                     {"unix", l_unix},
                                     {"stop_accept", lg_socket_stop_accept},
                                     {"bind_file", lg_socket_bind_file},
                                     {NULL, NULL}};

void lg_open_socket(lua_State *L) {
  lg_socket_open(L);
  open_kind(L, &tcp);
  open_kind(L, &unixstream);
  lg_setfuncs(L, functions, 0);
}
