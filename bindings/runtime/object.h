/* object.h - shared by all objects of the library.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_OBJECT_H
#define LG_OBJECT_H

#include "runtime/state.h"

struct lg *lg_find(lua_State *L); /* or NULL */
/* Raises if another copy of the library is open in the state. */
void lg_check_copy(lua_State *L);
int lg_raise_not_open(lua_State *L); /* lg_find() has found none that is */
/* Pops the userdata of the state: lg_find() and lg_setfuncs() find it. */
void lg_keep_state(lua_State *L);
void lg_weak_table(lua_State *L); /* pushes one of weak values */
void lg_ephemerons(lua_State *L); /* of weak keys, which keep the values */

/* A block of memory for C that counts as Lua's, within the state's limit: as
 * realloc(), from `old` bytes to `size`. Runs no finalizers. NULL: there is
 * none, or size is 0. */
void *lg_block(struct lg *G, void *block, size_t old, size_t size);
/* A new one; if there is none, garbage is collected: finalizers may run. May
 * raise. */
void *lg_new_block(lua_State *L, struct lg *G, size_t size);

void lg_setfuncs(lua_State *L, const luaL_Reg *funcs, int extra);
/* Makes a metatable `name` with __index = methods, whose functions have the
 * upvalues G and the metatable; pushes it. */
void lg_new_class(lua_State *L, const char *name, const luaL_Reg *methods,
                  const luaL_Reg *meta);
/* The same for memory of C that only has a finalizer: `gc` finds it by
 * lg_collected(). */
void lg_new_box_class(lua_State *L, const char *name, lua_CFunction gc);
/* Replaces the metatable on top, of all objects of a class, by one that is the
 * same but for its finalizer. Made at its first use, found by that key. May
 * raise. */
void lg_with_gc(lua_State *L, const void *key, lua_CFunction gc);
/* Objects on hot paths begin with the address of their class, and know their G:
 * checking that takes two calls of Lua's API, and comparing metatables takes
 * six. Foreign userdata cannot hold the address by accident. */
struct lg_class {
  const char *name;
  const struct lg_waitable *waitable, *put; /* for select; or NULL */
};
struct lg_object {
  const struct lg_class *klass;
  struct lg *G;
};
static inline void *lg_check_object(lua_State *L, const struct lg_class *klass,
                                    size_t size) {
  struct lg_object *p = lua_touserdata(L, 1);
  if (unlikely(!p || lua_rawlen(L, 1) < size || p->klass != klass))
    luaL_typeerror(L, 1, klass->name);
  if (unlikely(!p->G->hub)) lg_raise_closing(L);
  return p;
}

/* The object at index 1, whose class upvalue 2 tells; raises if it is
 * another. */
void *lg_self_error(lua_State *L);
static inline void *lg_self(lua_State *L) {
  void *p = lua_touserdata(L, 1);
  if (likely(p && lua_getmetatable(L, 1))) {
    int same = lua_rawequal(L, -1, lua_upvalueindex(2));
    lua_pop(L, 1);
    if (likely(same)) return p;
  }
  return lg_self_error(L);
}
/* For finalizers: the same; NULL if the program has called it by hand. */
void *lg_collected(lua_State *L);

#endif
