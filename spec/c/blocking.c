/* blocking.c - a C module whose functions block, as a user would write it; for
 * specs (help.c_module).
 *
 *   nap(s) .................. a function of green.h, and what struck
 *   wait_fd(fd, mode [, s]) . the shape that returns: true; nil, why
 *   park_fd(fd, mode [, s]) . that with a continuation; "r", "w" or "rw"
 *   parked(...) ............. its values as the continuation finds them
 *   condition() ............. wait, park, signal, broadcast
 *   offload(s [, err]) ...... a job that takes s seconds: its text; or raises
 *   gate() .................. job: one that lasts until `open` is called
 *   disposed() .............. of how many jobs
 *   may_block()
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "green_lua.h"

int luaopen_blocking(lua_State *L);

static int l_nap(lua_State *L) {
  struct green_hub *hub = green_lua_hub(L);
  uint64_t ns = (uint64_t)(luaL_checknumber(L, 1) * 1e9);
  int r = green_sleep(hub, ns ? green_now() + ns : 0);
  lua_pushinteger(L, green_lua_check(L, r));
  return 1;
}

static int push(lua_State *L, int code) {
  if (code >= 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (code == UV_EBUSY) return luaL_error(L, "%s", green_strerror(code));
  lua_pushnil(L);
  lua_pushstring(L, code == UV_ETIMEDOUT ? "timeout"
                    : code == UV_EBADF   ? "closed"
                                         : green_strerror(code));
  return 2;
}

static int events(lua_State *L) {
  const char *mode = luaL_checkstring(L, 2);
  return (strchr(mode, 'r') ? GREEN_READABLE : 0) |
         (strchr(mode, 'w') ? GREEN_WRITABLE : 0);
}

static double seconds(lua_State *L, int index) {
  double s = luaL_optnumber(L, index, -1);
  luaL_argcheck(L, s == s, index, "seconds expected, got NaN");
  return lua_isnoneornil(L, index) ? -1 : s < 0 ? 0 : s;
}

static int l_wait_fd(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  return push(L, green_lua_wait_fd(L, fd, events(L), seconds(L, 3)));
}

static int waited(lua_State *L, int code, lua_KContext ctx) {
  return ctx == 1 ? push(L, code) : lua_gettop(L);
}

static int l_park_fd(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  return green_lua_park_fd(L, fd, events(L), seconds(L, 3), 1, waited);
}

static int l_parked(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  return green_lua_park_fd(L, fd, events(L), -1, 2, waited);
}

static int l_may_block(lua_State *L) {
  lua_pushboolean(L, green_lua_may_block(L));
  return 1;
}

/* --- a condition --- */

static int l_condition(lua_State *L) {
  struct green_signal *signal = lua_newuserdatauv(L, sizeof *signal, 0);
  memset(signal, 0, sizeof *signal);
  luaL_setmetatable(L, "blocking.condition");
  return 1;
}

static struct green_signal *self(lua_State *L) {
  return luaL_checkudata(L, 1, "blocking.condition");
}

static int c_wait(lua_State *L) {
  struct green_signal *signal = self(L);
  double s = seconds(L, 2);
  uint64_t deadline = s < 0   ? GREEN_FOREVER
                      : s > 0 ? green_in((uint64_t)(s * 1e9))
                              : 0;
  if (deadline && !green_lua_may_block(L))
    return luaL_error(L, "cannot block here (a finalizer, perhaps)");
  return push(L, green_lua_check(L, green_signal_wait(green_lua_hub(L), signal,
                                                      deadline)));
}

static int c_park(lua_State *L) {
  struct green_signal *signal = self(L);
  return green_lua_park(L, signal, seconds(L, 2), 1, waited);
}

static int c_signal(lua_State *L) {
  lua_pushinteger(L, green_signal_one(green_lua_hub(L), self(L)));
  return 1;
}

static int c_broadcast(lua_State *L) {
  lua_pushinteger(L, green_signal_all(green_lua_hub(L), self(L)));
  return 1;
}

static void open_condition(lua_State *L) {
  static const luaL_Reg methods[] = {{"wait", c_wait},
                                     {"park", c_park},
                                     {"signal", c_signal},
                                     {"broadcast", c_broadcast},
                                     {NULL, NULL}};
  luaL_newmetatable(L, "blocking.condition");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

/* --- jobs --- */

struct work {
  double seconds;
  int fails;
};

static lua_Integer disposed;

static void dispose(void *arg) {
  free(arg);
  disposed++;
}

static int run(struct green_job *job, void *arg) {
  struct work *w = arg;
  uint64_t until = uv_hrtime() + (uint64_t)(w->seconds * 1e9);
  while (uv_hrtime() < until && !green_job_cancelled(job)) usleep(100);
  return 42;
}

static int finish(lua_State *L, int result, void *arg) {
  struct work *w = arg;
  if (w->fails) return luaL_error(L, "finish fails");
  lua_pushfstring(L, "%d of %s", result, luaL_tolstring(L, 1, NULL));
  return 1;
}

static int l_offload(lua_State *L) {
  double s = luaL_checknumber(L, 1);
  struct work *w = malloc(sizeof *w);
  if (!w) return luaL_error(L, "not enough memory");
  w->seconds = s;
  w->fails = lua_toboolean(L, 2);
  return green_lua_offload(L, run, dispose, w, finish);
}

struct gate {
  atomic_int holders, open;
};

static void release(void *arg) {
  struct gate *g = arg;
  if (atomic_fetch_sub(&g->holders, 1) == 1) free(g);
}

static struct gate *gate(lua_State *L) {
  return *(struct gate **)luaL_checkudata(L, 1, "blocking.gate");
}

static int stand(struct green_job *job, void *arg) {
  struct gate *g = arg;
  while (!atomic_load(&g->open) && !green_job_cancelled(job)) usleep(100);
  return 0;
}

static int passed(lua_State *L, int result, void *arg) {
  (void)result, (void)arg;
  lua_pushboolean(L, 1);
  return 1;
}

static int g_job(lua_State *L) {
  struct gate *g = gate(L);
  atomic_fetch_add(&g->holders, 1);
  return green_lua_offload(L, stand, release, g, passed);
}

static int g_open(lua_State *L) {
  atomic_store(&gate(L)->open, 1);
  return 0;
}

static int g_gc(lua_State *L) {
  release(gate(L));
  return 0;
}

static int l_gate(lua_State *L) {
  struct gate **p = lua_newuserdatauv(L, sizeof *p, 0);
  if (!(*p = calloc(1, sizeof **p))) return luaL_error(L, "no memory");
  atomic_init(&(*p)->holders, 1);
  luaL_setmetatable(L, "blocking.gate");
  return 1;
}

static void open_gate(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"job", g_job}, {"open", g_open}, {"__gc", g_gc}, {NULL, NULL}};
  luaL_newmetatable(L, "blocking.gate");
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

static int l_disposed(lua_State *L) {
  lua_pushinteger(L, disposed);
  return 1;
}

int luaopen_blocking(lua_State *L) {
  static const luaL_Reg functions[] = {{"nap", l_nap},
                                       {"wait_fd", l_wait_fd},
                                       {"park_fd", l_park_fd},
                                       {"parked", l_parked},
                                       {"condition", l_condition},
                                       {"offload", l_offload},
                                       {"gate", l_gate},
                                       {"disposed", l_disposed},
                                       {"may_block", l_may_block},
                                       {NULL, NULL}};
  open_condition(L);
  open_gate(L);
  luaL_newlib(L, functions);
  return 1;
}
