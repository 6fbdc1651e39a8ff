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

#include "net/calls.h"
#include "runtime/boxed.h"

#define STREAM(prefix)                                                      \
  .name = prefix, .master = {.name = prefix "{master}"},                    \
  .client = {.name = prefix "{client}", .waitable = &lg_readable_waitable}, \
  .server = {.name = prefix "{server}", .waitable = &lg_accept_waitable}

static const struct lg_socket_kind tcp = {STREAM("tcp")};
static const struct lg_socket_kind unixstream = {STREAM("unixstream"),
                                                 .local = 1};
/* The same as LuaSocket's module has them: programs replace methods in their
 * classes, and compare the words of their errors. */
static const struct lg_socket_kind their_tcp = {STREAM("tcp"), .luasocket = 1};
static const struct lg_socket_kind their_unixstream = {
    STREAM("unixstream"), .local = 1, .luasocket = 1};

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

static int socket_close(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  lg_socket_close(s);
  lua_pushinteger(L, 1);
  return 1;
}

static int socket_tostring(lua_State *L) {
  const struct lg_socket_object *o = lua_touserdata(L, 1);
  lg_socket(L, LG_ANY_ROLE);
  lua_pushfstring(L, "%s: %p", o->head.klass->name, lua_topointer(L, 1));
  return 1;
}

static int socket_getfd(lua_State *L) {
  lua_pushinteger(L, lg_socket(L, LG_ANY_ROLE)->fd);
  return 1;
}

static int socket_setfd(lua_State *L) {
  struct lg_socket *s = lg_socket_awake(L, LG_ANY_ROLE);
  int fd = lg_int_or(luaL_checknumber(L, 2), -1);
  lg_refuse_in_box(L, s->G, "setfd");
  luaL_argcheck(L, !s->connecting, 1, "the socket is connecting");
  lg_socket_release(s);
  lg_socket_adopt(s, fd < 0 ? -1 : fd);
  return 0;
}

static int socket_dirty(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  lua_pushboolean(L, lg_buffered(s) > 0 || lg_layer_readable(s));
  return 1;
}

static int socket_getfamily(lua_State *L) {
  struct lg_socket *s = lg_socket(L, LG_ANY_ROLE);
  lua_pushstring(L, s->kind->local          ? "unix"
                    : s->family == AF_INET6 ? "inet6"
                                            : "inet4");
  return 1;
}

/* LuaSocket counts for its clients alone. */
static struct lg_socket *counted(lua_State *L) {
  const struct lg_socket *s = lg_to_socket(L, 1);
  int ours = s && !s->kind->luasocket;
  return lg_socket(L, ours ? LG_ANY_ROLE : LG_CLIENT);
}

/* A socket of a state that has been closed grows no older. */
static uint64_t time_for(const struct lg_socket *s) {
  return s->G->hub ? green_time(s->G->hub) : s->born;
}

int lg_socket_getstats(lua_State *L) {
  struct lg_socket *s = counted(L);
  lua_pushinteger(L, (lua_Integer)s->received);
  lua_pushinteger(L, (lua_Integer)s->sent);
  lua_pushnumber(L, (lua_Number)(time_for(s) - s->born) / 1e9);
  return 3;
}

/* A count at that index, or the one so far. */
static uint64_t count_arg(lua_State *L, int index, uint64_t so_far) {
  lua_Number n = luaL_optnumber(L, index, (lua_Number)so_far);
  luaL_argcheck(L, n >= 0 && n < 9e18, index, "number from 0 expected");
  return (uint64_t)n;
}

int lg_socket_setstats(lua_State *L) {
  struct lg_socket *s = counted(L);
  uint64_t received = count_arg(L, 2, s->received);
  uint64_t sent = count_arg(L, 3, s->sent);
  lua_Number age = luaL_optnumber(L, 4, 0);
  luaL_argcheck(L, age >= 0 && age < 9e9, 4, "seconds expected");
  s->received = received;
  s->sent = sent;
  if (!lua_isnoneornil(L, 4)) s->born = time_for(s) - (uint64_t)(age * 1e9);
  lua_pushinteger(L, 1);
  return 1;
}

/* --- making the classes --- */

/* A wait needs the first upvalue of the function that waits. The others have
 * none, so that they are no objects for the collector. */
static const luaL_Reg waiting[] = {
    {"accept", lg_socket_accept},       {"bind", lg_socket_bind},
    {"connect", lg_socket_connect},     {"copy", lg_socket_copy},
    {"handshake", lg_socket_handshake}, {"receive", lg_socket_receive},
    {"recv", lg_socket_recv},           {"send", lg_socket_send},
    {"setpeername", lg_socket_connect}, {"setsockname", lg_socket_bind},
    {"shutdown", lg_socket_shutdown},   {NULL, NULL}};
static const luaL_Reg others[] = {{"getstats", lg_socket_getstats},
                                  {"listen", lg_socket_listen},
                                  {"setstats", lg_socket_setstats},
                                  {NULL, NULL}};
/* Those of every kind. */
static const luaL_Reg common[] = {{"close", socket_close},
                                  {"dirty", socket_dirty},
                                  {"getfamily", socket_getfamily},
                                  {"getfd", socket_getfd},
                                  {"getoption", lg_socket_getoption},
                                  {"getpeername", lg_socket_getpeername},
                                  {"getsockname", lg_socket_getsockname},
                                  {"gettimeout", socket_gettimeout},
                                  {"setfd", socket_setfd},
                                  {"setoption", lg_socket_setoption},
                                  {"settimeout", socket_settimeout},
                                  {NULL, NULL}};
static const luaL_Reg meta[] = {{"__close", socket_close},
                                {"__gc", lg_socket_gc},
                                {"__tostring", socket_tostring},
                                {NULL, NULL}};

/* Copies the table at that index into the one on top of the stack. */
static void copy_all(lua_State *L, int from) {
  for (lua_pushnil(L); lua_next(L, from);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

/* With the methods on top of the stack. The metatable is found by the address
 * of its class: LuaSocket's own may stand in the registry by its name. As
 * LuaSocket's, it has the name of the group of its classes. */
static void open_class(lua_State *L, const struct lg_socket_kind *kind,
                       const struct lg_class *klass) {
  int methods = lua_gettop(L);
  lua_createtable(L, 0, 7);
  lua_pushfstring(L, "%s{any}", kind->name);
  lua_pushboolean(L, 1);
  lua_rawset(L, -3);
  if (kind->datagram) lua_pushboolean(L, 1);
  if (kind->datagram) lua_setfield(L, -2, "select{able}");
  lua_pushstring(L, klass->name);
  lua_setfield(L, -2, "__name");
  luaL_setfuncs(L, meta, 0);
  lua_newtable(L);
  copy_all(L, methods);
  lua_pushstring(L, klass->name);
  lua_setfield(L, -2, "class");
  lua_setfield(L, -2, "__index");
  lua_rawsetp(L, LUA_REGISTRYINDEX, klass);
}

void lg_socket_open_kind(lua_State *L, const struct lg_socket_kind *kind,
                         const luaL_Reg *may_wait, const luaL_Reg *more) {
  lua_newtable(L);
  lg_setfuncs(L, may_wait, 0);
  luaL_setfuncs(L, common, 0);
  luaL_setfuncs(L, more, 0);
  open_class(L, kind, &kind->master);
  open_class(L, kind, &kind->client);
  if (kind->server.name) open_class(L, kind, &kind->server);
  lua_pop(L, 1);
}

/* --- functions --- */

void lg_socket_add_methods(lua_State *L, const struct lg_class *klass) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, klass);
  lua_getfield(L, -1, "__index");
  lua_rawseti(L, -3, (lua_Integer)lua_rawlen(L, -3) + 1);
  lua_pop(L, 1);
}

/* Makes the classes of two kinds, and a list of their tables of methods, for
 * those that are written in Lua. */
static int open_kinds(lua_State *L, const struct lg_socket_kind *inet,
                      const struct lg_socket_kind *local) {
  const struct lg_socket_kind *const kinds[] = {inet, local};
  int i;
  lua_createtable(L, 6, 0);
  for (i = 0; i < 2; i++) {
    lg_socket_open_kind(L, kinds[i], waiting, others);
    lg_socket_add_methods(L, &kinds[i]->client);
    lg_socket_add_methods(L, &kinds[i]->server);
    lg_socket_add_methods(L, &kinds[i]->master);
  }
  return 1;
}

/* open_streams(): to be called once, before tcp() and unix(). */
static int l_open_streams(lua_State *L) {
  return open_kinds(L, &tcp, &unixstream);
}

/* open_luasocket(): before luasocket_tcp() and luasocket_unix(). */
static int l_open_luasocket(lua_State *L) {
  return open_kinds(L, &their_tcp, &their_unixstream);
}

/* tcp([family]): without one, the descriptor is made by connect or bind. */
static int l_tcp(lua_State *L) {
  return lg_socket_make(L, &tcp, lg_check_family(L, 1));
}

static int l_luasocket_tcp(lua_State *L) {
  return lg_socket_make(L, &their_tcp, lg_check_family(L, 1));
}

static int l_unix(lua_State *L) {
  return lg_socket_make(L, &unixstream, 0);
}

/* These have their descriptor at once. */
static int l_luasocket_unix(lua_State *L) {
  return lg_socket_make(L, &their_unixstream, AF_UNIX);
}

static const luaL_Reg functions[] = {{"open_streams", l_open_streams},
                                     {"open_luasocket", l_open_luasocket},
                                     {"tcp", l_tcp},
                                     {"unix", l_unix},
                                     {"luasocket_tcp", l_luasocket_tcp},
                                     {"luasocket_unix", l_luasocket_unix},
                                     {"stop_accept", lg_socket_stop_accept},
                                     {"accept_may_pass", lg_l_accept_may_pass},
                                     {"connect_from", lg_socket_connect_from},
                                     {"getsocknames", lg_socket_getsocknames},
                                     {"join_listeners", lg_l_join_listeners},
                                     {"refused", lg_l_refused},
                                     {"bind_file", lg_socket_bind_file},
                                     {"copy", lg_socket_copy},
                                     {NULL, NULL}};

void lg_open_socket(lua_State *L) {
  lg_setfuncs(L, functions, 0);
  lg_open_seam(L);
}
