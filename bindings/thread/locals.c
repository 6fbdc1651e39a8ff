/* locals.c - fields that belong to a green thread.
 *
 * An object of green.locals() holds nothing. Each thread that has set fields
 * keeps them among its rare things, in a table from object to fields with weak
 * keys. So fields die with their object, and with their thread (thread.c).
 * Fields that children inherit lie in a table of their own, so that threads
 * without such fields spawn at no cost.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/object.h"
#include "runtime/state.h"
#include "runtime/guest.h"
#include "runtime/rare.h"
#include "thread/thread.h"

static const struct lg_class locals_class = {"green.locals", NULL, NULL};
static const char WEAK[] = "weak keys"; /* a metatable, in the registry */

struct locals {
  struct lg_object object;
  int key; /* RARE_LOCALS or RARE_INHERITED */
};

static struct locals *self(lua_State *L) {
  return lg_check_object(L, &locals_class, sizeof(struct locals));
}

static struct green_thread *owner(lua_State *L, struct locals *o) {
  struct green_thread *t = lg_current(o->object.G);
  if (!t) luaL_error(L, "locals belong to a green thread, and none runs here");
  return t;
}

static void push_weak(lua_State *L) {
  lua_newtable(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, WEAK);
  lua_setmetatable(L, -2);
}

/* Pushes the calling thread's fields of the object at index 1, or nil. */
static int push_fields(lua_State *L, struct locals *o) {
  struct green_thread *t = owner(L, o);
  if (!lg_rare(L, o->object.G, t)) {
    lua_pushnil(L);
    return LUA_TNIL;
  }
  if (lua_rawgeti(L, -1, o->key) == LUA_TNIL) return LUA_TNIL;
  lua_pushvalue(L, 1);
  return lua_rawget(L, -2);
}

/* The same, but makes the table if it is missing. */
static void make_fields(lua_State *L, struct locals *o) {
  struct green_thread *t = owner(L, o);
  int fields;
  lua_newtable(L); /* made first: a finalizer may set fields, too */
  fields = lua_gettop(L);
  push_weak(L);
  lg_make_rare(L, o->object.G, t);
  if (lua_rawgeti(L, -1, o->key) == LUA_TNIL) {
    lua_pushvalue(L, fields + 1);
    lua_rawseti(L, -3, o->key);
    lua_pushvalue(L, fields + 1);
  }
  lua_pushvalue(L, 1);
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lua_pushvalue(L, 1);
    lua_pushvalue(L, fields);
    lua_rawset(L, -4);
    lua_pushvalue(L, fields);
  }
  if (o->key == RARE_INHERITED) lg_set_flag(o->object.G, t, LG_PASSES_ON);
}

static int locals_index(lua_State *L) {
  struct locals *o = self(L);
  lua_settop(L, 2);
  if (push_fields(L, o) == LUA_TNIL) return 1;
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  return 1;
}

static int locals_newindex(lua_State *L) {
  struct locals *o = self(L);
  lua_settop(L, 3);
  if (push_fields(L, o) == LUA_TNIL) {
    if (lua_isnil(L, 3)) return 0;
    make_fields(L, o);
  }
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 3);
  lua_rawset(L, -3);
  return 0;
}

static int next_field(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  if (lua_next(L, 1)) return 2;
  lua_pushnil(L);
  return 1;
}

static int locals_pairs(lua_State *L) {
  struct locals *o = self(L);
  lua_settop(L, 1);
  lua_pushcfunction(L, next_field);
  if (push_fields(L, o) == LUA_TNIL) lua_newtable(L);
  lua_pushcfunction(L, next_field);
  lua_insert(L, -2);
  lua_pushnil(L);
  return 3;
}

/* --- inheritance --- */

/* Returns how many entries the table on top has. */
static lua_Integer count(lua_State *L) {
  lua_Integer n = 0;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) n++;
  return n;
}

/* Copies the fields of the table on top into the one below it. Nothing here
 * runs finalizers, which might set fields, too. */
static void copy_fields(lua_State *L) {
  for (lua_pushnil(L); lua_next(L, -2);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -5);
  }
}

/* Pushes a list of at least as many new tables as the one on top has entries,
 * whatever finalizers add to that meanwhile. */
static void push_spares(lua_State *L) {
  lua_Integer n = 0;
  lua_newtable(L);
  for (;;) {
    lua_Integer needed;
    lua_pushvalue(L, -2);
    needed = count(L);
    lua_pop(L, 1);
    if (n >= needed) return;
    for (; n < needed; n++) {
      lua_newtable(L);
      lua_rawseti(L, -2, n + 1);
    }
  }
}

/* Allocates first, since finalizers may set fields there. */
void lg_copy_inherited(lua_State *L, int from, int to) {
  int fields, copy, spares;
  lua_Integer n = 0;
  luaL_checkstack(L, 10, "luagreen");
  push_weak(L);
  copy = lua_gettop(L);
  fields = copy + 1;
  spares = copy + 2;
  if (lua_rawgeti(L, from, RARE_INHERITED) == LUA_TNIL) {
    lua_settop(L, copy - 1);
    return;
  }
  push_spares(L);
  for (lua_pushnil(L); lua_next(L, fields);) { /* spares, object, its fields */
    lua_rawgeti(L, spares, ++n);
    assert(lua_istable(L, -1));
    lua_insert(L, -2);
    copy_fields(L);
    lua_pop(L, 1);
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, copy);
  }
  lua_pushvalue(L, copy);
  lua_rawseti(L, to, RARE_INHERITED);
  lua_settop(L, copy - 1);
}

/* --- opening --- */

/* locals([inherit]): upvalue 2 is the metatable. */
static int l_locals(lua_State *L) {
  struct lg *G = lg_get(L);
  struct locals *o;
  if (!lua_isnoneornil(L, 1)) luaL_checktype(L, 1, LUA_TBOOLEAN);
  lua_settop(L, 1);
  o = lua_newuserdatauv(L, sizeof *o, 0);
  o->object.klass = &locals_class;
  o->object.G = G;
  o->key = lua_toboolean(L, 1) ? RARE_INHERITED : RARE_LOCALS;
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return 1;
}

void lg_open_locals(lua_State *L) {
  static const luaL_Reg none[] = {{NULL, NULL}};
  static const luaL_Reg meta[] = {{"__newindex", locals_newindex},
                                  {"__pairs", locals_pairs},
                                  {NULL, NULL}};
  static const luaL_Reg index[] = {{"__index", locals_index}, {NULL, NULL}};
  static const luaL_Reg make[] = {{"locals", l_locals}, {NULL, NULL}};
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_rawsetp(L, LUA_REGISTRYINDEX, WEAK);
  lg_new_class(L, locals_class.name, none, meta);
  lg_setfuncs(L, index, 0);
  lg_setfuncs(L, make, 1);
}
