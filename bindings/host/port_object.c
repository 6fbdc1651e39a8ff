/* port_object.c - what stands for a port in a state.
 *
 * A state has one object for a port, found by the port's address in a weak
 * table, so two values that stand for one port are equal. The object holds the
 * port until it is collected. Its methods are those of port.c.
 *
 * SPDX-License-Identifier: MIT
 */
#include "host/port.h"
#include "runtime/closing.h"
#include "runtime/owned.h"

/* The first bytes of no other userdata have this address at its place. */
static const char TAG[] = "port";

/* Key in the registry: all ports by address, weak; at 1, their class. */
static const char PORTS[] = "ports";

struct green_port *lg_to_port(lua_State *L, int at) {
  struct lg_port *p = lua_touserdata(L, at);
  if (!p || lua_islightuserdata(L, at) || lua_rawlen(L, at) < sizeof *p ||
      p->tag != TAG)
    return NULL;
  return p->port;
}

struct lg_port_hold {
  struct lg_owned owned;
  struct green_port *port; /* or NULL */
};

static void release(struct lg_owned *o) {
  struct green_port *port = ((struct lg_port_hold *)o)->port;
  if (port) green_port_release(port);
}

void lg_port_holds(struct lg_port *p, struct green_port *port) {
  p->port = p->hold->port = port;
}

/* The object on top, with a metatable, takes one hold over. */
void lg_enroll_port(lua_State *L, struct lg_port *p, struct green_port *port) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, PORTS);
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, port); /* the last call that may raise */
  lua_pop(L, 1);
  lg_port_holds(p, port);
  if (!p->object.G->hub) return; /* the state is closing */
  if (green_port_receivers(p->object.G->hub, port, &p->receivers) < 0)
    p->receivers = NULL;
}

/* The class lies in the table of all ports, under a number. */
static const struct lg_class *its_class(lua_State *L) {
  const struct lg_class *klass;
  lua_rawgetp(L, LUA_REGISTRYINDEX, PORTS);
  lua_rawgeti(L, -1, 1);
  klass = lua_touserdata(L, -1);
  lua_pop(L, 2);
  return klass;
}

struct lg_port *lg_new_port(lua_State *L) {
  const struct lg_class *klass = its_class(L);
  struct lg *G = lg_find(L);
  struct lg_port *p = lua_newuserdatauv(L, sizeof *p, 0);
  *p = (struct lg_port){.object = {klass, G}, .tag = TAG};
  luaL_setmetatable(L, LG_PORT);
  p->hold = lg_own(L, G, &G->owned, sizeof *p->hold, release);
  return p;
}

/* A host may push one before the script requires the library. */
static void push_all(lua_State *L) {
  if (likely(lua_rawgetp(L, LUA_REGISTRYINDEX, PORTS) == LUA_TTABLE)) return;
  lua_pop(L, 1);
  if (!lg_find(L)) lg_raise_not_open(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  if (lua_getfield(L, -1, "green.core") != LUA_TFUNCTION) lg_raise_not_open(L);
  lua_call(L, 0, 0);
  lua_rawgetp(L, LUA_REGISTRYINDEX, PORTS);
  lua_remove(L, -2);
}

void lg_push_port(lua_State *L, struct green_port *port) {
  struct lg_port *p;
  luaL_checkstack(L, 5, "luagreen");
  push_all(L);
  if (lua_rawgetp(L, -1, port) == LUA_TUSERDATA) {
    lua_remove(L, -2);
    return;
  }
  lua_pop(L, 1);
  p = lg_new_port(L); /* may run finalizers, which may make one, too */
  if (lua_rawgetp(L, -2, port) == LUA_TUSERDATA) {
    lua_replace(L, -3);
    lua_pop(L, 1);
    return;
  }
  lua_pop(L, 1);
  lua_remove(L, -2);
  lg_enroll_port(L, p, port);
  green_port_hold(port);
}

/* Threads that wait in it keep it alive. */
int lg_port_gc(lua_State *L) {
  struct lg_port *p = lg_collected(L);
  struct lg_port_hold *hold = p ? p->hold : NULL;
  if (!hold) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, PORTS);
  lua_rawgetp(L, -1, p->port);
  if (!lg_finalizing(L, p->object.G, lua_rawequal(L, -1, 1))) return 0;
  p->port = NULL;
  p->hold = NULL;
  lg_disown(&hold->owned);
  return 0;
}

void lg_open_ports(lua_State *L, const struct lg_class *klass) {
  lg_weak_table(L);
  lua_pushlightuserdata(L, (void *)(uintptr_t)klass);
  lua_rawseti(L, -2, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, PORTS);
}

/* --- for hosts --- */

void green_lua_push_port(lua_State *L, struct green_port *port) {
  if (!port) luaL_error(L, "green_lua_push_port(): there is no port");
  lg_push_port(L, port);
}

struct green_port *green_lua_to_port(lua_State *L, int index) {
  return lg_to_port(L, index);
}
