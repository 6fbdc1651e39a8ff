/* multicast.c - the values of the options about multicast, from Lua.
 *
 * An interface is an address of its own, for IPv6 its number, or its name. As
 * LuaSocket has it, "*" is the one that the system chooses; for IPv6, and for
 * sockets that are not LuaSocket's, so is nil.
 *
 * Never switches. A text that cannot be an address is misuse and raises.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

#include "net/calls.h"

/* A text as it is for C, which would look only at what stands before a zero
 * byte: "" for one that has any, which is no address and no interface. */
static const char *whole(lua_State *L, int index) {
  size_t size;
  const char *text = lua_tolstring(L, index, &size);
  return strlen(text) == size ? text : "";
}

/* A field of the table at index 3, which stays on the stack as long as its text
 * is looked at: NULL if it is no string. */
static const char *field(lua_State *L, const char *name) {
  return lua_getfield(L, 3, name) == LUA_TSTRING ? whole(L, -1) : NULL;
}

/* The group that is to be joined or left, in the table at index 3. */
static void group_of(lua_State *L, int family, void *address) {
  const char *text;
  luaL_checktype(L, 3, LUA_TTABLE);
  text = field(L, "multiaddr");
  luaL_argcheck(L, text, 3, "string 'multiaddr' field expected");
  luaL_argcheck(L, inet_pton(family, text, address) == 1, 3,
                "invalid 'multiaddr' ip address");
}

/* The number of an interface: an integer or a name. */
static int number_of(lua_State *L, int index) {
  int number = 0;
  if (lua_isinteger(L, index))
    number = lg_int_or(lua_tonumber(L, index), -1);
  else if (lua_type(L, index) == LUA_TSTRING)
    number = (int)if_nametoindex(whole(L, index));
  return number;
}

socklen_t lg_multicast_address(lua_State *L, union lg_multicast *value) {
  const char *text;
  luaL_checkstring(L, 3);
  text = whole(L, 3);
  if (strcmp(text, "*"))
    luaL_argcheck(L, inet_pton(AF_INET, text, &value->address) == 1, 3,
                  "ip expected");
  return sizeof value->address;
}

socklen_t lg_multicast_member(lua_State *L, const struct lg_socket *s,
                              union lg_multicast *value) {
  struct ip_mreqn *member = &value->member;
  const char *text;
  group_of(L, AF_INET, &member->imr_multiaddr);
  text = field(L, "interface");
  if (!text && !s->kind->luasocket && lua_isnil(L, -1)) return sizeof *member;
  luaL_argcheck(L, text, 3, "string 'interface' field expected");
  if (!strcmp(text, "*")) return sizeof *member;
  if (inet_pton(AF_INET, text, &member->imr_address) == 1)
    return sizeof *member;
  member->imr_ifindex = number_of(L, -1);
  luaL_argcheck(L, member->imr_ifindex > 0, 3,
                "invalid 'interface' ip address");
  return sizeof *member;
}

socklen_t lg_multicast_member6(lua_State *L, const struct lg_socket *s,
                               union lg_multicast *value) {
  struct ipv6_mreq *member = &value->member6;
  int type, number;
  group_of(L, AF_INET6, &member->ipv6mr_multiaddr);
  type = lua_getfield(L, 3, "interface");
  if (type == LUA_TNIL) return sizeof *member;
  number = number_of(L, -1);
  luaL_argcheck(L, type == LUA_TNUMBER || number > 0, 3,
                s->kind->luasocket
                    ? "number 'interface' field expected"
                    : "number or name in 'interface' field expected");
  luaL_argcheck(L, number >= 0, 3, "number 'interface' field expected");
  member->ipv6mr_interface = (unsigned)number;
  return sizeof *member;
}
