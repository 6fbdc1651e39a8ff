/* names.c - LuaSocket's socket.dns: names and addresses, as lists.
 *
 * Green threads only, where they wait.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

#include "net/lookup.h"
#include "net/calls.h"
#include "runtime/wait.h"

enum { LONGEST = 1025 }; /* of a host's name: NI_MAXHOST */

/* A host's name at that index that the resolver may be asked for, or NULL. */
static const char *host_arg(lua_State *L, int at) {
  size_t n;
  const char *host = luaL_checklstring(L, at, &n);
  return n > 0 && strlen(host) == n && n < LONGEST ? host : NULL;
}

/* Looks the host up; NULL: *box is the list. */
static const char *look_up(lua_State *L, const char *host, const char *port,
                           int family, int flags, struct addrinfo **box) {
  const struct lg_query q = {.what = "look-up",
                             .host = host,
                             .port = port,
                             .family = family,
                             .socktype = SOCK_STREAM,
                             .flags = flags,
                             .deadline = GREEN_FOREVER};
  if (!host && !port) return lg_lookup_error(UV_EAI_NONAME);
  return lg_getaddrinfo(L, lg_get(L), &q, box);
}

/* Numbers and answers that were kept need no wait: see lookup.c. */
static int l_getaddrinfo(lua_State *L);
static int l_toip(lua_State *L);
static int l_tohostname(lua_State *L);
static int l_getnameinfo(lua_State *L);

static const struct lg_op getaddrinfo_op = {
    {"look-up", NULL, NULL}, l_getaddrinfo, NULL, NULL};
static const struct lg_op toip_op = {
    {"look-up", NULL, NULL}, l_toip, NULL, NULL};
static const struct lg_op tohostname_op = {
    {"look-up", NULL, NULL}, l_tohostname, NULL, NULL};
static const struct lg_op getnameinfo_op = {
    {"look-up", NULL, NULL}, l_getnameinfo, NULL, NULL};

/* --- getaddrinfo --- */

/* getaddrinfo(name): a list of {family =, addr =} */
static int l_getaddrinfo(lua_State *L) {
  const char *host = host_arg(L, 1), *why;
  struct addrinfo **box, *a;
  lua_Integer i;
  int r = lg_enter(L, lg_get(L), &getaddrinfo_op);
  if (r >= 0) return r;
  box = lg_new_addresses(L);
  why = look_up(L, host, NULL, AF_UNSPEC, 0, box);
  if (why) return lg_fail_text(L, why);
  lua_newtable(L);
  for (a = *box, i = 1; a; a = a->ai_next, i++) {
    lua_createtable(L, 0, 2);
    lua_pushstring(L, a->ai_family == AF_INET6 ? "inet6" : "inet");
    lua_setfield(L, -2, "family");
    lg_push_number(L, a);
    lua_setfield(L, -2, "addr");
    lua_rawseti(L, -2, i);
  }
  return 1;
}

/* --- toip and tohostname --- */

/* Pushes {name =, alias = {}, ip = {the addresses}}. */
static void push_resolved(lua_State *L, const struct addrinfo *a,
                          const char *name) {
  lua_Integer i;
  lua_createtable(L, 0, 3);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "name");
  lua_newtable(L);
  lua_setfield(L, -2, "alias");
  lua_newtable(L);
  for (i = 1; a; a = a->ai_next, i++) {
    lg_push_number(L, a);
    lua_rawseti(L, -2, i);
  }
  lua_setfield(L, -2, "ip");
}

static int unknown(lua_State *L, const char *why) {
  int again = !strcmp(why, lg_lookup_error(UV_EAI_AGAIN));
  if (!strcmp(why, lg_lookup_error(UV_EMFILE))) return lg_fail_text(L, why);
  return lg_fail_text(L,
                      again ? "Host name lookup failure" : "host not found");
}

static const char *name_of(lua_State *L, const struct addrinfo *a, int flags,
                           char *name) {
  return lg_getnameinfo(L, lg_get(L), "look-up", a->ai_addr, a->ai_addrlen,
                        flags, GREEN_FOREVER, name, LONGEST, NULL, 0);
}

/* The canonical name of the host. Looks an address up in reverse, as LuaSocket
 * does. */
static const char *find_name(lua_State *L, const char *host,
                             const struct addrinfo *a, char *name) {
  struct in_addr address;
  if (inet_aton(host, &address)) return name_of(L, a, NI_NAMEREQD, name);
  if (a->ai_canonname) host = a->ai_canonname;
  memcpy(name, host, strnlen(host, LONGEST - 1) + 1);
  name[LONGEST - 1] = '\0';
  return NULL;
}

/* A name or an address at index 1: the first address, or the name, and all that
 * is known. */
static int resolve(lua_State *L, const struct lg_op *op, int by_name) {
  const char *host = host_arg(L, 1), *why;
  struct addrinfo **box;
  char name[LONGEST];
  int r = lg_enter(L, lg_get(L), op);
  if (r >= 0) return r;
  box = lg_new_addresses(L);
  why = look_up(L, host, NULL, AF_INET, AI_CANONNAME, box);
  if (!why) why = find_name(L, host, *box, name);
  if (why) return unknown(L, why);
  if (by_name)
    lua_pushstring(L, name);
  else
    lg_push_number(L, *box);
  push_resolved(L, *box, name);
  return 2;
}

/* toip(name | address) */
static int l_toip(lua_State *L) {
  return resolve(L, &toip_op, 0);
}

/* tohostname(name | address) */
static int l_tohostname(lua_State *L) {
  return resolve(L, &tohostname_op, 1);
}

/* --- getnameinfo --- */

/* getnameinfo([host] [, service]): a list of names, one for each address, and
 * the service's name */
static int l_getnameinfo(lua_State *L) {
  const char *host = lua_isnoneornil(L, 1) ? NULL : host_arg(L, 1);
  size_t size;
  const char *port = luaL_optlstring(L, 2, NULL, &size), *why;
  char text[LONGEST];
  struct addrinfo **box, *a;
  lua_Integer i = 1;
  int names, r;
  if (lua_isnoneornil(L, 1) && !port)
    return luaL_error(L, "host and service cannot both be nil");
  if ((r = lg_enter(L, lg_get(L), &getnameinfo_op)) >= 0) return r;
  if (!host && !lua_isnoneornil(L, 1))
    return lg_fail_text(L, lg_lookup_error(UV_EAI_NONAME));
  if (port && size > 0 && !lg_is_port(port, size)) /* LuaSocket's: "" is 0 */
    return lg_fail_text(L, lg_lookup_error(UV_EAI_SERVICE));
  box = lg_new_addresses(L);
  why = look_up(L, host, port, AF_UNSPEC, 0, box);
  if (why) return lg_fail_text(L, why);
  lua_newtable(L);
  names = lua_gettop(L);
  for (a = host ? *box : NULL; a; a = a->ai_next, i++) {
    if (name_of(L, a, 0, text))
      lg_push_number(L, a);
    else
      lua_pushstring(L, text);
    lua_rawseti(L, names, i);
    lua_settop(L, names); /* a text may lie above it */
  }
  if (!port) return 1;
  /* Of a port, which needs no server. */
  if (getnameinfo((*box)->ai_addr, (*box)->ai_addrlen, NULL, 0, text,
                  sizeof text, 0))
    *text = '\0';
  lua_pushstring(L, text);
  return 2;
}

/* --- this machine --- */

/* gethostname() */
static int l_gethostname(lua_State *L) {
  char name[LONGEST] = "";
  if (gethostname(name, sizeof name - 1) < 0)
    return lg_fail_text(L, strerror(errno));
  lua_pushstring(L, name);
  return 1;
}

static const luaL_Reg functions[] = {{"getaddrinfo", l_getaddrinfo},
                                     {"getnameinfo", l_getnameinfo},
                                     {"gethostname", l_gethostname},
                                     {"tohostname", l_tohostname},
                                     {"toip", l_toip},
                                     {NULL, NULL}};

/* luasocket_dns(): the table of these functions. */
static int l_luasocket_dns(lua_State *L) {
  lua_newtable(L);
  lg_setfuncs(L, functions, 0);
  return 1;
}

void lg_open_names(lua_State *L) {
  static const luaL_Reg make[] = {{"luasocket_dns", l_luasocket_dns},
                                  {NULL, NULL}};
  lg_setfuncs(L, make, 0);
}
