/* offload.c - jobs for C functions of the program's: the wait leaves the stack.
 *
 * A userdata, the box, lies on the Lua stack above the values of the function.
 * It owns the job's argument before the job begins and after it has come back,
 * and disposes of it; in between the core does. So whatever raises, the
 * argument is disposed of once.
 *
 * Green threads only.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "host/host.h"
#include "runtime/interrupt.h"
#include "runtime/object.h"
#include "runtime/wait.h"

struct box {
  int (*run)(struct green_job *job, void *arg);
  void (*dispose)(void *arg);
  int (*finish)(lua_State *L, int result, void *arg);
  void *arg;
  int owns;
};

static const char BOX[] = "a job"; /* key in the registry */

static void dispose(struct box *box) {
  if (box->owns && box->dispose) box->dispose(box->arg);
  box->owns = 0;
}

static int box_gc(lua_State *L) {
  struct box *box = lg_collected(L);
  if (box) dispose(box);
  return 0;
}

void lg_open_offload(lua_State *L) {
  lg_new_box_class(L, BOX, box_gc);
  lua_rawsetp(L, LUA_REGISTRYINDEX, BOX);
}

static int new_box(lua_State *L) {
  struct box *box = lua_newuserdatauv(L, sizeof *box, 0);
  memset(box, 0, sizeof *box);
  lua_rawgetp(L, LUA_REGISTRYINDEX, BOX);
  lua_setmetatable(L, -2);
  return 1;
}

/* --- the wait --- */

static const struct lg_op job_op;

/* The box is on top. */
static int start(lua_State *L) {
  struct lg *G = lg_find(L);
  struct box *box = lua_touserdata(L, -1);
  int keep, r;
  if (!G || !G->hub) lg_raise_not_open(L);
  if ((r = lg_enter(L, G, &job_op)) >= 0) return r;
  keep = lg_yield_or_keep(L, G, &job_op);
  if (!keep) lg_reserve_mark(L);
  r = green_job_begin(G->hub, box->run, box->dispose, box->arg, GREEN_FOREVER,
                      &job_op.kind);
  if (r < 0) return luaL_error(L, "no job: %s", green_strerror(r));
  box->owns = 0;
  return lg_park_foreign(L, G, &job_op, keep);
}

/* The box stays on the stack: it must not be collected while `finish` reads
 * the argument. */
static int job_woken(lua_State *L, struct lg *G, int reason) {
  struct box *box = lua_touserdata(L, -1);
  int result, n = 1;
  (void)reason;
  box->arg = green_job_take(G->hub, lg_current(G)->on, &result);
  box->owns = 1;
  if (box->finish)
    n = box->finish(L, result, box->arg);
  else
    lua_pushinteger(L, result);
  dispose(box);
  return n;
}

static const struct lg_op job_op = {
    {"job", green_job_undo, green_job_leave}, start, job_woken, NULL};

int green_lua_offload(lua_State *L,
                      int (*run)(struct green_job *job, void *arg),
                      void (*dispose_of)(void *arg), void *arg,
                      int (*finish)(lua_State *L, int result, void *arg)) {
  struct box *box;
  int room = lua_checkstack(L, LUA_MINSTACK);
  if (room) lua_pushcfunction(L, new_box);
  if (!room || lua_pcall(L, 0, 1, 0) != LUA_OK) {
    if (dispose_of) dispose_of(arg);
    return room ? lua_error(L) : luaL_error(L, "stack overflow");
  }
  box = lua_touserdata(L, -1);
  box->run = run;
  box->dispose = dispose_of;
  box->finish = finish;
  box->arg = arg;
  box->owns = 1;
  return start(L);
}
