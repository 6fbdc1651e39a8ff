/* block.c - blocking functions for C functions of the program's.
 *
 * They have two shapes. Functions that return keep the C stack, because their
 * caller may hold any C state; they are legal wherever a green thread may
 * block. Functions with a continuation are the last act of a lua_CFunction,
 * which holds nothing, so they leave the stack where that is possible. What
 * they need across the wait lies on the Lua stack, above the values of the
 * function:
 *
 *   box ... where descriptors are waited for, a userdata
 *   on, deadline, continuation, its context
 *
 * Green threads only.
 *
 * SPDX-License-Identifier: MIT
 */
#include <poll.h>
#include <string.h>

#include "host/host.h"
#include "runtime/interrupt.h"
#include "runtime/limits.h"
#include "runtime/nested.h"
#include "runtime/object.h"
#include "runtime/park.h"
#include "runtime/refusal.h"
#include "runtime/site.h"
#include "runtime/wait.h"

/* The name of all these in errors, ps() and dumps. */
static const char NAME[] = "C function";

static struct lg *find_open(lua_State *L) {
  struct lg *G = lg_find(L);
  if (!G || !G->hub) lg_raise_not_open(L);
  return G;
}

/* --- may it? and what struck? --- */

/* The function that a hook written in C has interrupted is the library's own,
 * which relies on running undivided. */
static int is_undivided(lua_State *L) {
  lua_Debug ar;
  return lua_getstack(L, 0, &ar) && lg_in_library(L, &ar);
}

int green_lua_may_block(lua_State *L) {
  struct lg *G = lua_checkstack(L, 4) ? lg_find(L) : NULL;
  return G && G->hub && !lg_refusal(L, G) && !is_undivided(L);
}

int green_lua_check(lua_State *L, int r) {
  if (likely(r >= 0)) return r;
  lg_raise_code(L, find_open(L), r, NAME);
  return r;
}

/* --- those that return --- */

static struct lg *may_keep(lua_State *L, const char *what) {
  struct lg *G = find_open(L);
  const char *why = lg_refusal(L, G);
  if (why) luaL_error(L, "'%s' cannot block %s", what, why);
  if (lg_current(G) == green_main(G->hub)) lg_main_blocks(L, G);
  if (unlikely(G->nested_scopes)) lg_move_scopes(L, G);
  green_keep_note(G->hub, L);
  return G;
}

static uint64_t deadline_of(double seconds) {
  return seconds < 0 ? GREEN_FOREVER : lg_deadline(seconds);
}

int green_lua_wait_fd(lua_State *L, int fd, int event, double seconds) {
  struct lg *G = seconds == 0 ? find_open(L) : may_keep(L, NAME);
  int r = green_wait_fd(G->hub, fd, event, deadline_of(seconds));
  if (seconds != 0) lg_kept(G);
  if (r < 0) lg_raise_code(L, G, r, NAME);
  return r;
}

void green_lua_sleep(lua_State *L, double seconds) {
  struct lg *G = may_keep(L, "sleep");
  int r = green_sleep(G->hub, lg_deadline(seconds));
  lg_kept(G);
  if (r >= 0) return;
  lg_raise_code(L, G, r, "sleep");
  if (r != UV_ECANCELED) luaL_error(L, "%s", green_strerror(r));
}

/* --- those with a continuation --- */

/* From the top of the stack. */
enum { CONTEXT = -1, CONTINUATION = -2, DEADLINE = -3, ON = -4, BOX = -5 };

static void push_wait(lua_State *L, void *on, double seconds, lua_KContext ctx,
                      lua_KFunction k) {
  lua_pushlightuserdata(L, on);
  lua_pushinteger(L, (lua_Integer)deadline_of(seconds));
  lua_pushlightuserdata(L, (void *)(uintptr_t)k);
  lua_pushinteger(L, (lua_Integer)ctx);
}

static uint64_t deadline_on(lua_State *L) {
  return (uint64_t)lua_tointeger(L, DEADLINE);
}

/* The wait is over. `values`: how many lie above those of the function. */
static int go_on(lua_State *L, int values, int code) {
  lua_KContext ctx = (lua_KContext)lua_tointeger(L, CONTEXT);
  lua_KFunction k = (lua_KFunction)(uintptr_t)lua_touserdata(L, CONTINUATION);
  lua_settop(L, -values - 1);
  return k(L, code, ctx);
}

/* --- waiting for a descriptor --- */

struct watch {
  struct lg *G;
  struct green_set set;
  struct green_many one;
};

static const char WATCH[] = "a descriptor that is waited for"; /* a key */

/* A watch that waits is held by its thread. */
static int watch_gc(lua_State *L) {
  struct watch *w = lg_collected(L);
  if (w && w->G->hub && w->set.linked == 0) green_set_end(w->G->hub, &w->set);
  return 0;
}

void lg_open_block(lua_State *L) {
  lg_new_box_class(L, WATCH, watch_gc);
  lua_rawsetp(L, LUA_REGISTRYINDEX, WATCH);
}

static struct watch *push_watch(lua_State *L, int fd, int events) {
  const int known = GREEN_READABLE | GREEN_WRITABLE;
  struct lg *G = find_open(L);
  struct watch *w = lua_newuserdatauv(L, sizeof *w, 0);
  memset(w, 0, sizeof *w);
  w->G = G;
  w->one.fd = fd;
  w->one.events = events & ~known ? 0 : (uint8_t)events;
  lua_rawgetp(L, LUA_REGISTRYINDEX, WATCH);
  lua_setmetatable(L, -2);
  return w;
}

/* The events that are ready now; 0, or a code. */
static int look(const struct watch *w) {
  struct pollfd p = {w->one.fd, 0, 0};
  int ready;
  if (!w->one.events) return UV_EINVAL;
  if (p.fd < 0 || w->one.closed) return UV_EBADF;
  if (w->one.events & GREEN_READABLE) p.events |= POLLIN;
  if (w->one.events & GREEN_WRITABLE) p.events |= POLLOUT;
  if (poll(&p, 1, 0) <= 0) return 0;
  if (p.revents & POLLNVAL) return UV_EBADF;
  if (!(p.revents & (POLLIN | POLLOUT))) return w->one.events; /* an error */
  ready = p.revents & POLLIN ? GREEN_READABLE : 0;
  return ready | (p.revents & POLLOUT ? GREEN_WRITABLE : 0);
}

static const struct lg_op fd_op;

/* Nothing can be held while a program's code runs: the number may go. */
static int wait_for_fd(lua_State *L, struct lg *G, struct watch *w) {
  int keep = lg_yield_or_keep(L, G, &fd_op), r;
  if (!keep) lg_reserve_mark(L);
  w->set.fds = &w->one;
  w->set.n = 1;
  r = green_set_begin(G->hub, &w->set, deadline_on(L), &fd_op.kind);
  return r < 0 ? go_on(L, -BOX, r) : lg_park_foreign(L, G, &fd_op, keep);
}

static int start_fd(lua_State *L) {
  struct lg *G = find_open(L);
  struct watch *w = lua_touserdata(L, BOX);
  int r;
  if (deadline_on(L) && (r = lg_enter(L, G, &fd_op)) >= 0) return r;
  if ((r = look(w)) == 0 && !deadline_on(L)) r = UV_ETIMEDOUT;
  return r ? go_on(L, -BOX, r) : wait_for_fd(L, G, w);
}

/* Another thread may have been faster. */
static int fd_woken(lua_State *L, struct lg *G, int reason) {
  struct watch *w = lua_touserdata(L, BOX);
  int r;
  green_set_end(G->hub, &w->set);
  if ((r = look(w)) == 0 && reason == GREEN_TIMEOUT) r = UV_ETIMEDOUT;
  return r ? go_on(L, -BOX, r) : start_fd(L);
}

static void fd_interrupted(lua_State *L, struct lg *G) {
  struct watch *w = lua_touserdata(L, BOX);
  green_set_end(G->hub, &w->set);
}

static const struct lg_op fd_op = {
    {NAME, NULL, green_set_leave}, start_fd, fd_woken, fd_interrupted};

int green_lua_park_fd(lua_State *L, int fd, int events, double seconds,
                      lua_KContext ctx, lua_KFunction k) {
  luaL_checkstack(L, LUA_MINSTACK, "luagreen");
  push_watch(L, fd, events);
  push_wait(L, NULL, seconds, ctx, k);
  return start_fd(L);
}

/* --- waiting for a signal --- */

static const struct lg_op signal_op;

static int start_signal(lua_State *L) {
  struct lg *G = find_open(L);
  struct green_signal *signal = lua_touserdata(L, ON);
  uint64_t deadline = deadline_on(L);
  int keep, r;
  if (!deadline) return go_on(L, -ON, UV_ETIMEDOUT);
  if ((r = lg_enter_first(L, G, &signal_op, LG_WAITS)) >= 0) return r;
  keep = lg_keep_or_yield(L, G, &signal_op);
  r = green_wait_begin(G->hub, &signal_op.kind, signal,
                       green_signal_list(signal), deadline);
  return r < 0 ? go_on(L, -ON, r) : lg_park_foreign(L, G, &signal_op, keep);
}

/* The signal may be gone by now. */
static int signal_woken(lua_State *L, struct lg *G, int reason) {
  (void)G;
  return go_on(L, -ON, reason == GREEN_TIMEOUT ? UV_ETIMEDOUT : 0);
}

static const struct lg_op signal_op = {
    {NAME, NULL, NULL}, start_signal, signal_woken, NULL};

int green_lua_park(lua_State *L, struct green_signal *signal, double seconds,
                   lua_KContext ctx, lua_KFunction k) {
  luaL_checkstack(L, LUA_MINSTACK, "luagreen");
  push_wait(L, signal, seconds, ctx, k);
  return start_signal(L);
}
