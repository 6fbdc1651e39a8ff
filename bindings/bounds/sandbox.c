/* sandbox.c - what a script that nobody trusts may reach: the functions that
 * its environment has in the place of Lua's own.
 *
 * lua/green/bounds/sandbox.lua puts an environment together. Here are the parts
 * that must not be Lua, or that a host calls.
 *
 *   setmetatable, getmetatable ... know only metatables that scripts have set:
 *       the library's and the host's stay out of reach. No __gc
 *   load ........................ text only, with the sandbox's globals, and
 *       with turns for the others while a long text is compiled
 *   collectgarbage .............. "count" only
 *   strings as s:find() ......... in a thread of a sandbox, the bounded library
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "bounds/bounds.h"
#include "bounds/box.h"
#include "bounds/effort.h"
#include "bounds/memory.h"
#include "bounds/strings.h"
#include "runtime/counts.h"
#include "runtime/object.h"
#include "runtime/require.h"

/* --- metatables --- */

/* From the metatables that scripts have set, weak keys, to their sandboxes. */
static const char KNOWN[] = "metatables of sandboxes";

static void push_known(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, KNOWN) != LUA_TNIL) return;
  lua_pop(L, 1);
  lg_ephemerons(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, KNOWN);
}

/* Is the metatable on top one of them? */
static int is_known(lua_State *L) {
  int known;
  push_known(L);
  lua_pushvalue(L, -2);
  known = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 2);
  return known;
}

/* Upvalue 2 of the caller: the sandbox. */
static void make_known(lua_State *L, int at) {
  push_known(L);
  lua_pushvalue(L, at);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

/* box_of_value(v): the sandbox whose script has set its metatable, or nil. */
static int l_box_of_value(lua_State *L) {
  luaL_checkany(L, 1);
  if (!lua_getmetatable(L, 1)) return 0;
  push_known(L);
  lua_insert(L, -2);
  lua_rawget(L, -2);
  return 1;
}

static int has_field(lua_State *L, int at, const char *name) {
  int has;
  lua_pushstring(L, name);
  has = lua_rawget(L, at) != LUA_TNIL;
  lua_pop(L, 1);
  return has;
}

static int l_setmetatable(lua_State *L) {
  int type = lua_type(L, 2);
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2,
                   "nil or table");
  lua_settop(L, 2);
  /* Metatables of the library and the program are not a script's to change. */
  if (lua_getmetatable(L, 1)) {
    if (!is_known(L) || has_field(L, 3, "__metatable"))
      return luaL_error(L, "cannot change a protected metatable");
    lua_pop(L, 1);
  }
  if (type == LUA_TTABLE) {
    if (has_field(L, 2, "__gc"))
      return luaL_error(L, "no finalizers (__gc) in a sandbox");
    lua_pushvalue(L, 2);
    if (!is_known(L)) make_known(L, 2);
    lua_pop(L, 1);
  }
  lua_setmetatable(L, 1);
  return 1;
}

static int l_getmetatable(lua_State *L) {
  luaL_checkany(L, 1);
  if (!lua_getmetatable(L, 1) || !is_known(L)) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushliteral(L, "__metatable");
  if (lua_rawget(L, -2) == LUA_TNIL) lua_pop(L, 1);
  return 1;
}

/* --- load --- */

/* A piece takes the compiler some 50 us. Where names have many functions around
 * them each takes as much: the pieces are smaller then. */
enum { PIECE = 4096, FIRST_PIECE = 512, LEAST_PIECE = 16, SLOW_NS = 200000 };

struct text {
  struct lg_effort effort;
  const char *s;
  size_t left, piece;
  uint64_t began; /* the last piece */
};

static void adapt_piece(struct text *t) {
  uint64_t now = uv_hrtime();
  if (now - t->began > SLOW_NS)
    t->piece = t->piece / 4 > LEAST_PIECE ? t->piece / 4 : LEAST_PIECE;
  else if (now - t->began < SLOW_NS / 4 && t->piece < PIECE)
    t->piece *= 2;
}

static const char *read_text(lua_State *L, void *ud, size_t *size) {
  struct text *t = ud;
  const char *piece = t->s;
  (void)L;
  if (t->left == 0) return NULL;
  if (t->began) adapt_piece(t);
  lg_spend(&t->effort, LG_STEPS);
  if (t->effort.struck) return NULL; /* as if the text ended here */
  t->began = uv_hrtime();
  *size = t->left < t->piece ? t->left : t->piece;
  t->s += *size;
  t->left -= *size;
  return piece;
}

/* (function): all that it returns, up to nil or "", as one text. The compiler
 * has memory that only its end frees, so no code of a script runs inside. */
static int gather(lua_State *L) {
  enum { MOST = 1 << 26 };
  size_t length, all = 0;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (;;) {
    lua_pushvalue(L, 1);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) break;
    if (!lua_isstring(L, -1))
      return luaL_error(L, "reader function must return a string");
    lua_tolstring(L, -1, &length);
    if (length == 0) break;
    if ((all += length) > MOST) return luaL_error(L, "chunk too long");
    luaL_addvalue(&b);
  }
  lua_pop(L, 1);
  luaL_pushresult(&b);
  return 1;
}

/* The library's own code is never interrupted: no text may pass for it. */
static const char *honest(lua_State *L, const char *name) {
  size_t length;
  const char *home;
  int same;
  if (!name) return "?"; /* as Lua has it */
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.home");
  home = lua_tolstring(L, -1, &length);
  same = home && strncmp(name, home, length) == 0;
  lua_pop(L, 1);
  return same ? "a chunk" : name;
}

/* Compiles, and gives the function its globals, at `env`. A strike ends the
 * text, and is raised when the compiler has freed what it had. */
static int load_text(lua_State *L, struct text *t, const char *name, int env) {
  int status;
  lg_effort_begin(L, &t->effort);
  t->effort.G = lg_find(L); /* the caller may be a function of the host's */
  t->effort.stays = 1;
  t->piece = FIRST_PIECE;
  t->began = 0;
  status = lua_load(L, read_text, t, honest(L, name), "t");
  if (unlikely(t->effort.struck)) {
    t->effort.stays = 0;
    lg_raise_strike(&t->effort);
  }
  if (status != LUA_OK) return status;
  lua_pushvalue(L, env);
  if (!lua_setupvalue(L, -2, 1)) lua_pop(L, 1);
  return LUA_OK;
}

static int fails(lua_State *L) {
  luaL_pushfail(L);
  lua_insert(L, -2);
  return 2;
}

/* load(chunk [, name [, mode [, env]]]); upvalue 2: the globals. */
static int l_load(lua_State *L) {
  struct text t;
  int is_text = lua_isstring(L, 1), own = lua_isnone(L, 4);
  const char *name, *mode = luaL_optstring(L, 3, "t");
  if (!is_text) luaL_checktype(L, 1, LUA_TFUNCTION);
  name = luaL_optstring(L, 2, is_text ? lua_tostring(L, 1) : "=(load)");
  lua_settop(L, 4);
  if (own) { /* not for a nil that was given: load takes it, too */
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_replace(L, 4);
  }
  if (!strchr(mode, 't')) {
    lua_pushfstring(L, "attempt to load a text chunk (mode is '%s')", mode);
    return fails(L);
  }
  if (!is_text) {
    lua_pushcfunction(L, gather);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) return fails(L);
    lua_replace(L, 1);
  }
  t.s = lua_tolstring(L, 1, &t.left);
  return load_text(L, &t, name, 4) == LUA_OK ? 1 : fails(L);
}

/* --- the rest --- */

static int l_collectgarbage(lua_State *L) {
  const char *what = luaL_optstring(L, 1, "collect");
  if (strcmp(what, "count") != 0)
    return luaL_error(L, "no collectgarbage '%s' in a sandbox", what);
  lua_pushnumber(L, lua_gc(L, LUA_GCCOUNT) + lua_gc(L, LUA_GCCOUNTB) / 1024.0);
  return 1;
}

/* Weak, because a statically linked host may lack it. */
extern int open_math(lua_State *L) __asm__("luaopen_math")
    __attribute__((weak));

/* new_random(): math.random and randomseed with a state of their own. */
static int l_new_random(lua_State *L) {
  if (open_math) {
    open_math(L);
    lua_getfield(L, -1, "random");
    lua_getfield(L, -2, "randomseed");
    return 2;
  }
  lua_getglobal(L, "math");
  lua_getfield(L, -1, "random");
  return 1;
}

/* --- coroutines --- */

/* From a sandbox's coroutines, weak keys, to their tokens, whose finalizers
 * count them down. */
static const char TOKENS[] = "coroutines of sandboxes";
#define TOKEN "luagreen.coroutine"

struct token {
  struct lg_account *box; /* NULL: it is not counted */
};

static int token_gc(lua_State *L) {
  struct token *token = lg_collected(L);
  if (!token || !token->box) return 0;
  token->box->left[LG_COROUTINES]++;
  lg_account_leave(token->box);
  token->box = NULL;
  return 0;
}

/* The account of the thread's sandbox, with room for one more, or NULL. It
 * lives as long as the thread. */
static struct lg_account *with_room(lua_State *L, struct lg *G) {
  struct lg_account *box = lg_account_of_box(G);
  lg_account_leave(box); /* the thread's sandbox holds it, too */
  if (!box || box->left[LG_COROUTINES] > 0) return box;
  lg_sweep(L, G);
  if (box->left[LG_COROUTINES] <= 0) lg_too_many(L, G, box, LG_COROUTINES);
  return box;
}

/* Pushes the coroutine on top, or that of the function there (wrap): 1; or 0,
 * and nothing. */
static int push_coroutine(lua_State *L) {
  int i;
  if (lua_isthread(L, -1)) {
    lua_pushvalue(L, -1);
    return 1;
  }
  for (i = 1; lua_getupvalue(L, -1, i); i++) {
    if (lua_isthread(L, -1)) return 1;
    lua_pop(L, 1);
  }
  return 0;
}

/* The result of create or wrap is on top. */
static void count_coroutine(lua_State *L, struct lg_account *box) {
  struct token *token;
  if (!push_coroutine(L)) return;
  lua_rawgetp(L, LUA_REGISTRYINDEX, TOKENS);
  lua_insert(L, -2);
  token = lua_newuserdatauv(L, sizeof *token, 0);
  token->box = NULL;
  luaL_setmetatable(L, TOKEN);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  token->box = box; /* nothing raises any more */
  box->users++;
  box->left[LG_COROUTINES]--;
}

/* coroutine.create and wrap: upvalue 2 is the function that goes on. */
static int l_coroutine(lua_State *L) {
  struct lg *G = lg_get(L);
  struct lg_account *box;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lg_check_coroutines(L, G);
  box = with_room(L, G);
  lg_fuel_coroutine(L, G);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  if (box) count_coroutine(L, box);
  return 1;
}

static void open_tokens(lua_State *L) {
  lg_ephemerons(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, TOKENS);
  lg_new_box_class(L, TOKEN, token_gc);
  lua_setfield(L, LUA_REGISTRYINDEX, TOKEN);
}

/* --- strings --- */

static int indexed(lua_State *L, int status, lua_KContext ctx) {
  (void)L, (void)status, (void)ctx;
  return 1;
}

/* The __index of strings: upvalues 2 and 3 are the bounded library and what was
 * there before. */
static int l_of_string(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  struct green_thread *t = G->hub ? lg_current(G) : NULL;
  lua_settop(L, 2);
  if (t && lg_in_box(G, t)) {
    lua_rawget(L, lua_upvalueindex(2));
  } else if (lua_isfunction(L, lua_upvalueindex(3))) {
    lua_pushvalue(L, lua_upvalueindex(3));
    lua_insert(L, 1);
    lua_callk(L, 2, 1, 0, indexed);
  } else if (lua_isnil(L, lua_upvalueindex(3))) {
    lua_pushnil(L);
  } else {
    lua_gettable(L, lua_upvalueindex(3));
  }
  return 1;
}

/* The bounded library is on top. Once for each state. */
static void guard_strings(lua_State *L) {
  lua_pushliteral(L, "");
  if (!lua_getmetatable(L, -1)) {
    lua_pop(L, 1);
    return;
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, lg_find(L));
  lua_pushvalue(L, -4);
  lua_getfield(L, -3, "__index");
  lua_pushcclosure(L, l_of_string, 3);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 2);
}

/* (f): `how`, whose upvalues are the state and f. */
static int wrap(lua_State *L, lua_CFunction how) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_pushcclosure(L, how, 2);
  return 1;
}

/* roomy(f): f(s, i, j), whose results are as many as s has bytes. */
static int l_roomy(lua_State *L) {
  return wrap(L, lg_with_room);
}

/* bounded(): the libraries string and table of all sandboxes, and utf8.len. */
static int l_bounded(lua_State *L) {
  static const char STRINGS[] = "strings of sandboxes";
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, STRINGS) == LUA_TNIL) {
    lua_pop(L, 1);
    lg_push_strings(L);
    guard_strings(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, STRINGS);
  }
  lg_push_tables(L);
  lg_push_utf8_len(L);
  return 3;
}

static const luaL_Reg confined[] = {{"getmetatable", l_getmetatable},
                                    {"collectgarbage", l_collectgarbage},
                                    {NULL, NULL}};

/* confine(env, box): adds the functions above to the globals of a sandbox. */
static int l_confine(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TUSERDATA);
  lua_settop(L, 2);
  lua_insert(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, l_setmetatable, 2);
  lua_setfield(L, 2, "setmetatable");
  lua_remove(L, 1);
  lg_setfuncs(L, confined, 0);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, l_load, 2);
  lua_setfield(L, 1, "load");
  return 0;
}

/* counted(f): coroutine.create or wrap, within the limit. */
static int l_counted(lua_State *L) {
  return wrap(L, l_coroutine);
}

void lg_open_sandbox(lua_State *L) {
  static const luaL_Reg functions[] = {{"bounded", l_bounded},
                                       {"box_of_value", l_box_of_value},
                                       {"confine", l_confine},
                                       {"counted", l_counted},
                                       {"new_random", l_new_random},
                                       {"roomy", l_roomy},
                                       {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
  open_tokens(L);
  lg_open_boxes(L);
}

/* --- for a host --- */

/* (grants) */
static int make_environment(lua_State *L) {
  struct lg *G = lg_find(L);
  if (!G || !G->hub) luaL_error(L, "luagreen is not open in this state");
  lg_require(L, "green.bounds.sandbox");
  lua_getfield(L, -1, "environment");
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

int green_lua_sandbox(lua_State *L, unsigned grants) {
  if (!lua_checkstack(L, 6)) return LUA_ERRMEM;
  lua_pushcfunction(L, make_environment);
  lua_pushinteger(L, grants);
  return lua_pcall(L, 1, 1, 0);
}

/* (globals, text, size, name) with G as upvalue 1. Returns the function, or the
 * error, and the status. */
static int load_in(lua_State *L) {
  struct text t = {.s = lua_touserdata(L, 2),
                   .left = (size_t)lua_tointeger(L, 3)};
  lua_pushinteger(L, load_text(L, &t, lua_touserdata(L, 4), 1));
  return 2;
}

static int call_load_in(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, lg_find(L));
  lua_pushcclosure(L, load_in, 1);
  lua_insert(L, 1);
  lua_call(L, 4, 2);
  return 2;
}

int green_lua_load_in(lua_State *L, int env, const char *text, size_t size,
                      const char *name) {
  int status;
  env = lua_absindex(L, env);
  if (!lua_checkstack(L, 8)) return LUA_ERRMEM;
  lua_pushcfunction(L, call_load_in);
  lua_pushvalue(L, env);
  lua_pushlightuserdata(L, (void *)(uintptr_t)text);
  lua_pushinteger(L, (lua_Integer)size);
  lua_pushlightuserdata(L, (void *)(uintptr_t)name);
  if ((status = lua_pcall(L, 4, 2, 0)) != LUA_OK) return status;
  status = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  return status;
}
