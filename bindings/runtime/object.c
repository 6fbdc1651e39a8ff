/* object.c - shared by all objects of the library: the state that they belong
 * to, their metatables, the check of a method's self.
 *
 * Everything here runs where Lua runs: below lua_resume() or lua_pcall().
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/object.h"

/* The registry holds the state's struct lg at the address of STATE, which each
 * copy of the library has for itself. A process has two copies if the program
 * has the static library in it, and a module of the script's needs the shared
 * one: neither may touch what the other has made. */
static const char STATE[] = "luagreen.hub";
static const char COPY[] = "luagreen.copy"; /* there: the address of STATE */

struct lg *lg_find(lua_State *L) {
  struct lg *G;
  lua_rawgetp(L, LUA_REGISTRYINDEX, STATE);
  G = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return G;
}

void lg_check_copy(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, COPY);
  if (!lua_isnil(L, -1) && lua_touserdata(L, -1) != (void *)STATE)
    luaL_error(L,
               "luagreen: another copy of the library is open in this state; "
               "link the program and its modules with libgreen_lua.so");
  lua_pop(L, 1);
}

int lg_raise_not_open(lua_State *L) {
  lg_check_copy(L);
  return luaL_error(L, "luagreen is not open in this state");
}

int lg_raise_closing(lua_State *L) {
  return luaL_error(L, "luagreen: the state is closing");
}

void lg_keep_state(lua_State *L) {
  lua_pushlightuserdata(L, (void *)STATE);
  lua_setfield(L, LUA_REGISTRYINDEX, COPY);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, STATE);
  lua_rawsetp(L, LUA_REGISTRYINDEX, STATE);
}

void lg_setfuncs(lua_State *L, const luaL_Reg *funcs, int extra) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, STATE);
  lua_insert(L, -1 - extra);
  luaL_setfuncs(L, funcs, 1 + extra);
}

static int number_of(const luaL_Reg *funcs) {
  int n = 0;
  while (funcs[n].name) n++;
  return n;
}

void lg_new_class(lua_State *L, const char *name, const luaL_Reg *methods,
                  const luaL_Reg *meta) {
  luaL_newmetatable(L, name);
  if (meta) {
    lua_pushvalue(L, -1);
    lua_pushvalue(L, -1);
    lg_setfuncs(L, meta, 1);
    lua_pop(L, 1);
  }
  lua_createtable(L, 0, number_of(methods));
  lua_pushvalue(L, -2);
  lg_setfuncs(L, methods, 1);
  lua_setfield(L, -2, "__index");
}

void lg_new_box_class(lua_State *L, const char *name, lua_CFunction gc) {
  const luaL_Reg meta[] = {{"__gc", gc}, {NULL, NULL}};
  lua_createtable(L, 0, 2);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushvalue(L, -1);
  lua_pushvalue(L, -1);
  lg_setfuncs(L, meta, 1);
  lua_pop(L, 1);
}

/* The Lua part adds fields to the metatable before any object is made. */
void lg_with_gc(lua_State *L, const void *key, lua_CFunction gc) {
  const luaL_Reg meta[] = {{"__gc", gc}, {NULL, NULL}};
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, -3);) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, -4);
    }
    lg_setfuncs(L, meta, 0);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
  }
  lua_remove(L, -2);
}

/* Lua's collector is not running, unless it has called this function. */
void *lg_collected(lua_State *L) {
  void *p = lg_self(L);
  return lua_gc(L, LUA_GCCOUNT) < 0 ? p : NULL;
}

void *lg_self_error(lua_State *L) {
  const char *name = "object";
  if (lua_getfield(L, lua_upvalueindex(2), "__name") == LUA_TSTRING)
    name = lua_tostring(L, -1);
  luaL_argerror(
      L, 1,
      lua_pushfstring(L, "%s expected, got %s", name, luaL_typename(L, 1)));
  return NULL;
}

void *lg_block(struct lg *G, void *block, size_t old, size_t size) {
  void *ud, *fresh;
  lua_Alloc allocate = lua_getallocf(G->main, &ud);
  if (!block) old = 0;
  fresh = allocate(ud, block, old, size);
  if (!fresh && size > 0) return NULL;
  assert(G->blocks >= old);
  G->blocks += size - old;
  return fresh;
}

void *lg_new_block(lua_State *L, struct lg *G, size_t size) {
  void *block = lg_block(G, NULL, 0, size);
  if (likely(block)) return block;
  if (lua_gc(L, LUA_GCCOUNT) >= 0) lua_gc(L, LUA_GCCOLLECT);
  if (!(block = lg_block(G, NULL, 0, size)))
    luaL_error(L, "not enough memory");
  return block;
}

static void push_weak(lua_State *L, const char *mode) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushstring(L, mode);
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

void lg_weak_table(lua_State *L) {
  push_weak(L, "v");
}

void lg_ephemerons(lua_State *L) {
  push_weak(L, "k");
}
