/* frames.c - looks at the frames of a Lua stack, in order to force a kill.
 *
 * Lua has no function that tells whether a pcall is below, which coroutine is
 * resumed from where, or whether hooks are on. So we look at the frames and
 * recognize functions of the standard library by their C address: a program's
 * tables may hold something else by the same name.
 *
 * Where Lua runs, in hooks too; nothing here raises. Only the first few hundred
 * frames count, because reaching a frame costs its depth.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/frames.h"

#include <pthread.h>
#include <string.h>

#include "runtime/object.h"
#include "runtime/site.h"

/* Lua nests at most 200 calls of C, so this many frames show most of them. */
enum { MOST_FRAMES = 1000 };

/* --- the functions of the standard library --- */

/* Weak, because a statically linked host may lack them. */
extern int open_base(lua_State *L) __asm__("luaopen_base")
    __attribute__((weak));
extern int open_coroutine(lua_State *L) __asm__("luaopen_coroutine")
    __attribute__((weak));
extern int open_debug(lua_State *L) __asm__("luaopen_debug")
    __attribute__((weak));

static lua_CFunction field(lua_State *L, const char *name) {
  lua_CFunction f;
  lua_getfield(L, -1, name);
  f = lua_tocfunction(L, -1);
  lua_pop(L, 1);
  return f;
}

static int find_functions(lua_State *L) {
  struct lg_functions *known = lua_touserdata(L, 1);
  if (open_base) {
    open_base(L);
    known->pcall = field(L, "pcall");
    known->xpcall = field(L, "xpcall");
  }
  if (open_coroutine) {
    open_coroutine(L);
    known->resume = field(L, "resume");
    known->close = field(L, "close");
    lua_getfield(L, -1, "wrap");
    lua_pushcfunction(L, find_functions); /* any function */
    lua_call(L, 1, 1);
    known->wrapped = lua_tocfunction(L, -1);
  }
  if (open_debug) {
    open_debug(L);
    known->traceback = field(L, "traceback");
  }
  return 0;
}

/* In a fresh state, whose library functions nobody has replaced. 0: there was
 * no memory. */
static int find_stock(struct lg_functions *known) {
  lua_State *fresh = luaL_newstate();
  int r;
  if (!fresh) return 0;
  lua_pushcfunction(fresh, find_functions);
  lua_pushlightuserdata(fresh, known);
  r = lua_pcall(fresh, 1, 0, 0);
  lua_close(fresh);
  return r == LUA_OK;
}

/* Once in a process, since a fresh state costs a tenth of what opening does. */
void lg_open_frames(lua_State *L) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static struct lg_functions stock;
  static int found;
  int ok;
  pthread_mutex_lock(&lock);
  if (!found) found = find_stock(&stock);
  lg_find(L)->known = stock;
  ok = found;
  pthread_mutex_unlock(&lock);
  if (!ok) luaL_error(L, "not enough memory");
}

int lg_push_stock_coroutines(lua_State *L) {
  return open_coroutine ? open_coroutine(L) : 0;
}

/* --- frames --- */

/* The C function of a frame; NULL: it is a Lua function, or unknown. */
static lua_CFunction function_of(lua_State *L, lua_Debug *ar) {
  lua_CFunction f;
  if (!lua_checkstack(L, 1)) return NULL;
  lua_getinfo(L, "f", ar);
  f = lua_tocfunction(L, -1);
  lua_pop(L, 1);
  return f;
}

/* Functions that are known to return soon. */
static int is_harmless(lua_State *L, struct lg *G) {
  lua_Debug ar;
  if (lua_iscfunction(L, -1))
    return lua_tocfunction(L, -1) == G->known.traceback;
  if (!lua_isfunction(L, -1)) return 0; /* its metatable may have a __call */
  lua_pushvalue(L, -1);
  lua_getinfo(L, ">S", &ar);
  return lg_is_ours(L, ar.source);
}

/* The frame is xpcall's, whose second argument is the message handler. */
static int handler_is_harmless(lua_State *L, struct lg *G, lua_Debug *ar) {
  int harmless;
  if (!lua_checkstack(L, 4) || !lua_getlocal(L, ar, 2)) return 0;
  harmless = is_harmless(L, G);
  lua_pop(L, 1);
  return harmless;
}

enum lg_catcher lg_catcher(lua_State *L, struct lg *G) {
  lua_Debug ar;
  int level;
  for (level = 0; level < MOST_FRAMES && lua_getstack(L, level, &ar);
       level++) {
    lua_CFunction f = function_of(L, &ar);
    if (!f) continue;
    if (f == G->known.pcall) return LG_PCALL;
    if (f == G->known.xpcall)
      return handler_is_harmless(L, G, &ar) ? LG_PCALL : LG_HANDLER;
  }
  return LG_BASE_OF_STATE;
}

/* The frame is that of a C function whose call is beginning, so its arguments
 * are the first values there. */
static lua_State *target(lua_State *L, struct lg *G, lua_Debug *ar) {
  lua_State *co = NULL;
  lua_CFunction f = function_of(L, ar);
  if (!f || !lua_checkstack(L, 2)) return NULL;
  if (f == G->known.wrapped || f == G->known.stands_for_wrapped) {
    lua_getinfo(L, "f", ar);
    if (lua_getupvalue(L, -1, 1)) {
      co = lua_tothread(L, -1);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  } else if (f == G->known.resume || f == G->known.stands_for_resume ||
             f == G->known.close || f == G->known.stands_for_close) {
    if (lua_getlocal(L, ar, 1)) {
      co = lua_tothread(L, -1);
      lua_pop(L, 1);
    }
  }
  return co == L ? NULL : co;
}

lua_State *lg_resumed(lua_State *L, struct lg *G) {
  lua_Debug ar;
  return lua_getstack(L, 0, &ar) ? target(L, G, &ar) : NULL;
}

int lg_coroutines(struct lg *G, lua_State *own, lua_State *inner,
                  lua_State **chain) {
  lua_State *co = own;
  int n = 0;
  for (; co && co != inner; co = lg_resumed(co, G)) {
    if (n == LG_CHAIN - 1)
      memmove(chain + 1, chain + 2, (size_t)(--n - 1) * sizeof *chain);
    chain[n++] = co;
  }
  chain[n++] = inner;
  assert(n <= LG_CHAIN);
  return n;
}

lua_State *lg_called(lua_State *L, struct lg *G, lua_Debug *ar) {
  return target(L, G, ar);
}

/* The state's userdata is the first upvalue of each function of ours. */
int lg_is_innermost(lua_State *L, struct lg *G) {
  lua_Debug ar;
  int ours;
  if (!lua_getstack(L, 0, &ar) || !function_of(L, &ar)) return 1;
  if (!lua_checkstack(L, 2)) return 0;
  lua_getinfo(L, "f", &ar);
  if (!lua_getupvalue(L, -1, 1)) lua_pushnil(L);
  ours = lua_touserdata(L, -1) == G;
  lua_pop(L, 2);
  return ours;
}

int lg_has_frame(lua_State *L, lua_CFunction f, int most) {
  lua_Debug ar;
  int level;
  for (level = 0; level < most; level++) {
    if (!lua_getstack(L, level, &ar)) return 0;
    if (function_of(L, &ar) == f) return 1;
  }
  return -1;
}

static int may_close_in(lua_State *L, lua_Debug *ar) {
  int n;
  for (n = 1; lua_getlocal(L, ar, n); n++) {
    int found = luaL_getmetafield(L, -1, "__close") != LUA_TNIL;
    lua_pop(L, found ? 2 : 1);
    if (found) return 1;
  }
  return 0;
}

int lg_may_close(lua_State *L) {
  lua_Debug ar;
  int level;
  if (!lua_checkstack(L, 4)) return 1;
  for (level = 0; level < MOST_FRAMES && lua_getstack(L, level, &ar); level++)
    if (may_close_in(L, &ar)) return 1;
  return level == MOST_FRAMES;
}

/* --- hooks --- */

/* Only a hook itself can tell: set one for a moment and call a function that it
 * would report. */
static void note_call(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
}

static int nothing(lua_State *L) {
  (void)L;
  return 0;
}

int lg_hooks_on(lua_State *L) {
  lua_Hook former = lua_gethook(L);
  int mask = lua_gethookmask(L), count = lua_gethookcount(L), on;
  if (!lua_checkstack(L, 2)) return 0;
  lua_sethook(L, note_call, LUA_MASKCALL, 0);
  lua_pushcfunction(L, nothing);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) lua_pop(L, 1); /* no C stack is left */
  on = lua_gethook(L) != note_call;
  lua_sethook(L, former, mask, count);
  return on;
}

int lg_below_hook(lua_State *L) {
  lua_Debug ar;
  return lua_getstack(L, 0, &ar) && !function_of(L, &ar);
}

/* Going to a level costs its depth, and an overflown stack has 200,000, so this
 * searches by halves. */
int lg_last_level(lua_State *co) {
  lua_Debug ar;
  int low = 0, high = 1;
  while (lua_getstack(co, high, &ar)) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    int middle = low + (high - low) / 2;
    if (lua_getstack(co, middle, &ar))
      low = middle;
    else
      high = middle;
  }
  return low;
}
