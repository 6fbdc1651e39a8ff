/* part.c - loads the Lua part of the library, which is linked in.
 *
 * A host's green_lua_open() puts a loader into package.preload for each module,
 * so that the host needs no LUA_PATH, and the C part never meets a Lua part of
 * another version. A module is compiled when it is first required, once in a
 * process: other states get its bytecode, which takes a fifth of the time. A
 * stock Lua finds the file lua/green/init.lua first, and with it all others: a
 * library in development is what its files say. Where a file cannot be opened
 * any more (no descriptor is free, or the program has another package.path by
 * now), the last of package.searchers finds the module here.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "open/part.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "open/open.h"
#include "runtime/require.h"

static const struct lg_part *find(const char *module) {
  const struct lg_part *part = lg_parts;
  while (part->module && strcmp(part->module, module) != 0) part++;
  return part->module ? part : NULL;
}

/* Pushes the name of its source. It begins as that of init.lua does, by which
 * the library's own places are known. */
static const char *push_source(lua_State *L, const struct lg_part *part) {
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.home");
  if (lua_isstring(L, -1) && *lua_tostring(L, -1) == '@')
    return lua_pushfstring(L, "%s%s", lua_tostring(L, -1),
                           part->chunk + strlen(LG_ROOT));
  return lua_pushstring(L, part->chunk);
}

/* --- its bytecode --- */

/* What the running Lua has made of a part. It stays until the process ends, as
 * hubs on other OS threads read it; two may add the same at once. */
struct code {
  struct code *next;
  const struct lg_part *part;
  size_t size;
  char bytes[];
};

static _Atomic(struct code *) codes;

static const struct code *find_code(const struct lg_part *part) {
  const struct code *code = atomic_load(&codes);
  while (code && code->part != part) code = code->next;
  return code;
}

static void add_code(const struct lg_part *part, const void *bytes,
                     size_t size) {
  struct code *code = malloc(sizeof *code + size);
  if (!code) return;
  code->part = part;
  code->size = size;
  memcpy(code->bytes, bytes, size);
  code->next = atomic_load(&codes);
  while (!atomic_compare_exchange_weak(&codes, &code->next, code)) continue;
}

static int count(lua_State *L, const void *bytes, size_t n, void *size) {
  (void)L, (void)bytes;
  *(size_t *)size += n;
  return 0;
}

static int append(lua_State *L, const void *bytes, size_t n, void *end) {
  (void)L;
  memcpy(*(char **)end, bytes, n);
  *(char **)end += n;
  return 0;
}

/* Keeps that of the function on top of the stack. The bytes are Lua's first, as
 * lua_dump() of Lua 5.5 raises where memory is short. */
static void keep_code(lua_State *L, const struct lg_part *part) {
  size_t size = 0;
  char *bytes, *end;
  lua_dump(L, count, &size, 0);
  bytes = end = lua_newuserdatauv(L, size, 0);
  lua_pushvalue(L, -2);
  lua_dump(L, append, &end, 0);
  add_code(part, bytes, size);
  lua_pop(L, 2);
}

/* --- require --- */

static void push_function(lua_State *L, const struct lg_part *part) {
  const char *source = push_source(L, part);
  int as_linked = !strcmp(source, part->chunk); /* the bytecode has the name */
  const struct code *code = as_linked ? find_code(part) : NULL;
  if (code && !luaL_loadbufferx(L, code->bytes, code->size, source, "b"))
    return;
  if (luaL_loadbufferx(L, part->text, part->size, source, "t") != LUA_OK)
    lua_error(L);
  if (as_linked && !code) keep_code(L, part);
}

/* require calls it with the module's name. */
static int load(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const struct lg_part *part = find(name);
  if (!part) return luaL_error(L, "luagreen has no module '%s'", name);
  push_function(L, part);
  lua_pushvalue(L, 1);
  lua_pushstring(L, part->chunk + 1);
  lua_call(L, 2, 1);
  return 1;
}

void lg_preload_part(lua_State *L) {
  const struct lg_part *part;
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (part = lg_parts; part->module; part++) {
    lua_pushcfunction(L, load);
    lua_setfield(L, -2, part->module);
  }
  lua_pop(L, 1);
  lg_keep_require(L);
}

/* --- where no file is found --- */

/* A searcher, which has no message where it finds nothing. */
static int search(lua_State *L) {
  const struct lg_part *part = find(luaL_checkstring(L, 1));
  if (!part) return 0;
  lua_pushcfunction(L, load);
  lua_pushstring(L, part->chunk + 1);
  return 2;
}

void lg_search_part(lua_State *L) {
  int top = lua_gettop(L);
  lua_Integer n = 0;
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, "package") == LUA_TTABLE &&
      lua_getfield(L, -1, "searchers") == LUA_TTABLE) {
    while (lua_rawgeti(L, -1, ++n) != LUA_TNIL) {
      if (lua_tocfunction(L, -1) == search) break;
      lua_pop(L, 1);
    }
    if (lua_isnil(L, -1)) {
      lua_pushcfunction(L, search);
      lua_rawseti(L, -3, n);
    }
  }
  lua_settop(L, top);
}

/* --- the policy before that --- */

/* __index of the policy that is there before the Lua part: the first call by
 * name loads that, which puts its own in its place. */
static int late_policy(lua_State *L) {
  lg_require(L, "green");
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  if (!lua_rawequal(L, -1, 1)) lua_pushvalue(L, 2), lua_gettable(L, -2);
  return 1;
}

void lg_late_policy(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, late_policy);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
}
