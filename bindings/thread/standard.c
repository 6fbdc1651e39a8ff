/* standard.c - versions of Lua's library functions that know of green threads.
 *
 * Each continues in the stock function, in the same call, so that errors name
 * the program's line and keep their words. The stock function is upvalue 2, a
 * plain C function. If a program has put another in its place before, that
 * stays.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/closing.h"
#include "runtime/force.h"
#include "runtime/frames.h"
#include "runtime/object.h"
#include "thread/coroutine.h"
#include "thread/name.h"
#include "thread/thread.h"

static struct lg *state(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

static int stock(lua_State *L) {
  return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

/* --- coroutines --- */

/* coroutine.running: others know the coroutine from now on, so no other thread
 * may reuse it. */
static int l_running(lua_State *L) {
  struct lg *G = state(L);
  struct green_thread *t = G->hub ? lg_current(G) : NULL;
  if (t && t->user == L) t->user_flags |= LG_EXPOSED;
  return stock(L);
}

/* --- who pays --- */

/* A coroutine that others have made, or run, burns the fuel of the thread that
 * runs it now. Not one of a green thread's, which others cannot run. */
static void pay_for_slow(lua_State *L, struct lg *G, lua_State *co) {
  lua_Hook hook = lua_gethook(co);
  if (!L || lua_gethook(L) != G->burn || (hook && hook != G->tick)) return;
  if (!lg_thread_in(G, co)) lua_sethook(co, G->burn, LUA_MASKCOUNT, 1);
}

static inline void pay_for(lua_State *L, struct lg *G, lua_State *co) {
  if (unlikely(G->burn != NULL)) pay_for_slow(L, G, co);
}

/* --- which coroutine is the innermost --- */

/* A tick (bounds/ticks.c) may come at any instruction and must find the
 * coroutine that runs. So each function that resumes one notes it with the C
 * stack, on which all of its code will run. Nothing raises between the two
 * notes. */
static int resume_noted(lua_State *L, struct lg *G, lua_State *co, int nargs,
                        int *nresults) {
  void **nested = green_nested(G->hub), *outer = *nested;
  int status;
  pay_for(L, G, co);
  *nested = co;
  status = lua_resume(co, L, nargs, nresults);
  if (likely(G->hub)) *nested = outer; /* else its stacks are gone */
  return status;
}

int green_lua_resume(lua_State *co, lua_State *from, int nargs,
                     int *nresults) {
  struct lg *G = lg_find(co);
  if (!G || !G->hub || green_elsewhere(G->hub))
    return lua_resume(co, from, nargs, nresults);
  return resume_noted(from, G, co, nargs, nresults);
}

int green_lua_pcall(lua_State *L, int nargs, int nresults, int msgh) {
  struct lg *G = lg_find(L);
  void **nested, *outer;
  int status;
  if (!G || !G->hub || green_elsewhere(G->hub))
    return lua_pcall(L, nargs, nresults, msgh);
  nested = green_nested(G->hub);
  outer = *nested;
  *nested = L;
  status = lua_pcall(L, nargs, nresults, msgh);
  if (G->hub) *nested = outer;
  return status;
}

/* As in Lua's own: the number of results, or -1 and the error. */
static int resume(lua_State *L, struct lg *G, lua_State *co, int nargs) {
  int status, nresults;
  if (unlikely(!lua_checkstack(co, nargs))) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, nargs);
  status = resume_noted(L, G, co, nargs, &nresults);
  if (unlikely(status != LUA_OK && status != LUA_YIELD)) {
    lua_xmove(co, L, 1);
    return -1;
  }
  if (unlikely(!lua_checkstack(L, nresults + 1))) {
    lua_pop(co, nresults);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, nresults);
  return nresults;
}

static int l_resume(lua_State *L) {
  struct lg *G = state(L);
  lua_State *co = lua_tothread(L, 1);
  int n;
  if (unlikely(!co || !G->hub)) return stock(L);
  n = resume(L, G, co, lua_gettop(L) - 1);
  lua_pushboolean(L, n >= 0);
  if (unlikely(n < 0)) n = 1;
  lua_insert(L, -(n + 1));
  return n + 1;
}

/* The <close> handlers of a coroutine that failed run in it, too. */
static int close_failed(lua_State *L, struct lg *G, lua_State *co) {
  void **nested = green_nested(G->hub), *outer = *nested;
  int status = lua_status(co);
  if (status == LUA_OK || status == LUA_YIELD) return status;
  *nested = co;
  status = lg_reset_from(co, L);
  if (G->hub) *nested = outer;
  lua_xmove(co, L, 1);
  return status;
}

/* Its upvalues are the coroutine, as in Lua's own, and G. */
static int l_wrapped(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(2));
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int n, status;
  if (unlikely(!G->hub)) return G->known.wrapped(L);
  n = resume(L, G, co, lua_gettop(L));
  if (likely(n >= 0)) return n;
  status = G->hub ? close_failed(L, G, co) : LUA_OK;
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int l_wrap(lua_State *L) {
  lua_State *co;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, l_wrapped, 2);
  return 1;
}

/* coroutine.isyieldable: at a green thread's base there is nobody to yield
 * to. */
static int l_isyieldable(lua_State *L) {
  struct lg *G = state(L);
  lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
  int n = stock(L);
  if (G->hub && lua_toboolean(L, -1) && lg_thread_in(G, co))
    lua_pushboolean(L, 0);
  return n;
}

/* In Lua 5.5, coroutine.close may close its caller. Then the call does not
 * return, and the thread's worker handles the rest (thread.c). So this copies
 * the thread's name first, as the thread's function will be gone, and raises in
 * a finalizer, where Lua's collector would stay stopped for ever. */
static void close_running(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G);
  if (lua_gc(L, LUA_GCCOUNT) < 0 && !lg_draining(G))
    luaL_error(L, "cannot close a running coroutine in a finalizer (__gc)");
  if (t && t->user == L) lg_keep_name(G, t);
}

/* Only a coroutine that has yielded or failed runs handlers when it is closed,
 * and closing it raises nothing. */
static int stock_close(lua_State *L, struct lg *G) {
  lua_State *co = lua_tothread(L, 1);
  void **nested, *outer;
  int n;
  if (!G->hub || !co || lua_status(co) == LUA_OK) return stock(L);
  pay_for(L, G, co);
  nested = green_nested(G->hub);
  outer = *nested;
  *nested = co;
  n = stock(L);
  if (G->hub) *nested = outer;
  return n;
}

static int l_close(lua_State *L) {
  struct lg *G = state(L);
  if (G->hub && (lua_isnone(L, 1) || lua_tothread(L, 1) == L))
    close_running(L, G);
  return stock_close(L, G);
}

/* --- the process --- */

/* debug.sethook: does not replace the watch of a killed thread, which could
 * then compute for ever. */
static int l_sethook(lua_State *L) {
  lua_State *co = lua_isthread(L, 1) ? lua_tothread(L, 1) : L;
  lua_Hook hook = lua_gethook(co);
  if (lg_is_watched(co) || (hook && hook == state(L)->burn)) return 0;
  return stock(L);
}

static int exit_code(lua_State *L) {
  if (!lua_isboolean(L, 1)) return (int)luaL_optinteger(L, 1, EXIT_SUCCESS);
  return lua_toboolean(L, 1) ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int l_exit(lua_State *L) {
  struct lg *G = state(L);
  int code;
  if (!G->hub) return stock(L);
  code = exit_code(L);
  lg_os_exit(L, G, code, lua_toboolean(L, 2));
  return 0;
}

/* warn: refuses blocking while the warn function runs, which may be a C
 * function that knows nothing of threads. */
static int l_warn(lua_State *L) {
  struct lg *G = state(L);
  int i, n = lua_gettop(L), status, mine = !G->refuse;
  luaL_checkstring(L, 1);
  for (i = 2; i <= n; i++) luaL_checkstring(L, i);
  if (mine) G->refuse = "in a warn function";
  lua_pushcfunction(L, lua_tocfunction(L, lua_upvalueindex(2)));
  lua_insert(L, 1);
  status = lua_pcall(L, n, 0, 0);
  if (mine) G->refuse = NULL;
  return status == LUA_OK ? 0 : lua_error(L);
}

/* --- which of them --- */

static const luaL_Reg replacements[] = {{"running", l_running},
                                        {"isyieldable", l_isyieldable},
                                        {"close", l_close},
                                        {"resume", l_resume},
                                        {"wrap", l_wrap},
                                        {"sethook", l_sethook},
                                        {"exit", l_exit},
                                        {"warn", l_warn},
                                        {NULL, NULL}};

/* frames.c looks for them. */
static void note_replaced(struct lg *G, lua_CFunction f) {
  if (f == l_close) G->known.stands_for_close = f;
  if (f == l_resume) G->known.stands_for_resume = f;
  if (f == l_wrap) G->known.stands_for_wrapped = l_wrapped;
}

/* replace(library, name): replaces the function in that table from now on. */
static int l_replace(lua_State *L) {
  const char *name = luaL_checkstring(L, 2);
  const luaL_Reg *r = replacements;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  if (lua_getfield(L, 1, name) != LUA_TFUNCTION || !lua_iscfunction(L, 3) ||
      lua_getupvalue(L, 3, 1))
    return 0;
  while (strcmp(r->name, name) != 0) r++;
  note_replaced(lg_get(L), r->func);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 3);
  lua_pushcclosure(L, r->func, 2);
  lua_setfield(L, 1, name);
  return 0;
}

/* unspoilt(): the library coroutine with the replacements, pcall and xpcall, as
 * they are whatever the program has put in their places; or nothing. */
static int l_unspoilt(lua_State *L) {
  static const char *const names[] = {"running", "isyieldable", "close",
                                      "resume", "wrap"};
  struct lg *G = lg_get(L);
  size_t i;
  lua_settop(L, 0);
  if (!G->known.pcall || !G->known.xpcall || !lg_push_stock_coroutines(L))
    return 0;
  for (i = 0; i < sizeof names / sizeof *names; i++) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, l_replace, 1);
    lua_pushvalue(L, 1);
    lua_pushstring(L, names[i]);
    lua_call(L, 2, 0);
  }
  lua_pushcfunction(L, G->known.pcall);
  lua_pushcfunction(L, G->known.xpcall);
  return 3;
}

void lg_open_standard(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"replace", l_replace}, {"unspoilt", l_unspoilt}, {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
