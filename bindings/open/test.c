/* test.c - functions of the core for lua/green/test.lua: the frozen clock, the
 * shuffled ready queue, a list of the open descriptors, and a wait with a limit
 * in real time.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "open/open.h"
#include "runtime/object.h"
#include "runtime/wait.h"
#include "thread/handle.h"
#include "thread/thread.h"

static int failed(lua_State *L, const char *name, int code) {
  return luaL_error(L, "'%s': %s", name,
                    code == UV_EINVAL ? "the hub is driven by a host"
                                      : green_strerror(code));
}

/* clock_freeze([quiet]): `quiet` is how many seconds of real time virtual time
 * waits for outside events. */
static int l_clock_freeze(lua_State *L) {
  struct lg *G = lg_get(L);
  lua_Number quiet = luaL_optnumber(L, 1, 0);
  int r;
  luaL_argcheck(L, quiet >= 0 && quiet <= 1e6, 1, "seconds expected");
  r = green_clock_freeze(G->hub, (uint64_t)(quiet * 1e9));
  return r < 0 ? failed(L, "freeze", r) : 0;
}

static int l_clock_thaw(lua_State *L) {
  green_clock_thaw(lg_get(L)->hub);
  return 0;
}

/* clock_frozen(): the quiet time in force, or nil. */
static int l_clock_frozen(lua_State *L) {
  uint64_t quiet = green_clock_frozen(lg_get(L)->hub);
  if (!quiet) return 0;
  lua_pushnumber(L, (lua_Number)quiet / 1e9);
  return 1;
}

/* shuffle(seed); 0: off */
static int l_shuffle(lua_State *L) {
  green_shuffle(lg_get(L)->hub, (uint64_t)luaL_checkinteger(L, 1));
  return 0;
}

/* real_now(): seconds of real time, even while the hub's clock is frozen. */
static int l_real_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)uv_hrtime() / 1e9);
  return 1;
}

/* --- descriptors --- */

static void push_target(lua_State *L, int dir, const char *name) {
  char target[256];
  ssize_t n = readlinkat(dir, name, target, sizeof target);
  if (n < 0)
    lua_pushliteral(L, "?");
  else
    lua_pushlstring(L, target, (size_t)n);
}

/* open_descriptors(): a table from number to description, or nil without /proc.
 * Between opendir and closedir only a lack of memory raises. */
static int l_open_descriptors(lua_State *L) {
  struct dirent *entry;
  DIR *dir = opendir("/proc/self/fd");
  if (!dir) return 0;
  lua_newtable(L);
  while ((entry = readdir(dir))) {
    int fd = atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd == dirfd(dir)) continue;
    push_target(L, dirfd(dir), entry->d_name);
    lua_rawseti(L, -2, fd);
  }
  closedir(dir);
  return 1;
}

/* The hub looks after its handles until they are closed: else a state that
 * closes right afterwards leaves its hub open, as one that the host uses. */
static void forget(uv_handle_t *handle) {
  green_handle_closed(handle->data);
  free(handle);
}

static void opened(struct lg *G, uv_handle_t *handle) {
  handle->data = G->hub;
  green_handle_opened(G->hub);
}

/* settle_descriptors(): makes libuv open its pipe for signals now, and not
 * while a test counts descriptors. */
static int l_settle_descriptors(lua_State *L) {
  struct lg *G = lg_get(L);
  uv_signal_t *handle = malloc(sizeof *handle);
  if (!handle) return luaL_error(L, "not enough memory");
  if (uv_signal_init(green_loop(G->hub), handle) < 0) {
    free(handle);
    return 0;
  }
  opened(G, (uv_handle_t *)handle);
  uv_close((uv_handle_t *)handle, forget);
  return 0;
}

/* --- a wait with a limit in real time --- */

struct limit {
  uv_timer_t timer;
  struct green_thread *waiter;
};

static void strike(uv_timer_t *timer) {
  struct limit *limit = (struct limit *)timer;
  green_wake(timer->data, limit->waiter, GREEN_TIMEOUT);
}

static void leave(struct green_hub *hub, struct green_thread *t) {
  (void)hub;
  uv_close(t->on, forget);
}

static int l_await_real(lua_State *L);

static int ended(lua_State *L, struct lg *G, int reason) {
  (void)G;
  lua_pushboolean(L, reason != GREEN_TIMEOUT);
  return 1;
}

static const struct lg_op real_op = {
    {"thread:join", NULL, leave}, l_await_real, ended, NULL};

/* A timer of libuv's limits the wait: it goes by real time while the hub's
 * clock is frozen, and does not count as a thing that could end a deadlock. */
static struct limit *start_limit(lua_State *L, struct lg *G,
                                 lua_Number seconds) {
  struct limit *limit = malloc(sizeof *limit);
  if (!limit) luaL_error(L, "not enough memory");
  uv_update_time(green_loop(G->hub));
  uv_timer_init(green_loop(G->hub), &limit->timer);
  opened(G, (uv_handle_t *)&limit->timer);
  limit->waiter = lg_current(G);
  uv_timer_start(&limit->timer, strike, (uint64_t)(seconds * 1e3), 0);
  uv_unref((uv_handle_t *)&limit->timer);
  return limit;
}

/* await_real(t, s): true when t has ended, false after s seconds of real time.
 * t's error counts as delivered. */
static int l_await_real(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *t = lg_live(lg_self_handle(L));
  lua_Number seconds = luaL_checknumber(L, 2);
  struct limit *limit;
  int keep, r = lg_enter(L, G, &real_op);
  if (r >= 0) return r;
  if (!t || !(t = lg_live(lg_self_handle(L)))) return ended(L, G, GREEN_WOKEN);
  keep = lg_keep_or_yield(L, G, &real_op);
  limit = start_limit(L, G, seconds);
  r = green_wait_begin(G->hub, &real_op.kind, limit, &t->joiners,
                       GREEN_FOREVER);
  if (r < 0) {
    uv_close((uv_handle_t *)&limit->timer, forget);
    return luaL_error(L, "'await_real': %s", green_strerror(r));
  }
  return lg_park(L, G, &real_op, keep);
}

static const luaL_Reg functions[] = {
    {"clock_freeze", l_clock_freeze},
    {"clock_thaw", l_clock_thaw},
    {"clock_frozen", l_clock_frozen},
    {"shuffle", l_shuffle},
    {"real_now", l_real_now},
    {"open_descriptors", l_open_descriptors},
    {"settle_descriptors", l_settle_descriptors},
    {NULL, NULL}};

static const luaL_Reg on_threads[] = {{"await_real", l_await_real},
                                      {NULL, NULL}};

void lg_open_test(lua_State *L) {
  lg_setfuncs(L, functions, 0);
  luaL_getmetatable(L, "green.thread");
  lg_setfuncs(L, on_threads, 1);
}
