/* dump_signal.c - the signal that asks for a dump.
 *
 * libuv handles it: its callback, on the hub, makes a green thread that writes
 * the dump. The handle does not count as a thing that could wake a thread, and
 * does not keep a host's loop alive. Its close callback frees it, perhaps after
 * the state is gone.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "thread/dump_signal.h"
#include "thread/thread.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* SIGINT has its own use; libuv needs SIGCHLD for processes. */
static const struct {
  const char *name;
  int number;
} names[] = {{"USR1", SIGUSR1}, {"USR2", SIGUSR2},   {"HUP", SIGHUP},
             {"QUIT", SIGQUIT}, {"TERM", SIGTERM},   {"ALRM", SIGALRM},
             {"CONT", SIGCONT}, {"WINCH", SIGWINCH}, {"URG", SIGURG},
             {"IO", SIGIO},     {"PROF", SIGPROF},   {"VTALRM", SIGVTALRM}};
enum { NAMES = sizeof names / sizeof *names };

/* Freed by its close callback. */
struct lg_dump_signal {
  uv_signal_t handle;
  struct green_hub *hub;
  struct lg *G; /* NULL: it is being closed */
  struct sigaction former;
  int name; /* index in names */
};

static int wants_dump(struct lg *G) {
  return !G->wants_dump || G->wants_dump(G);
}

int lg_l_wants_dump(lua_State *L) {
  lua_pushboolean(L, wants_dump(lg_get(L)));
  return 1;
}

/* (G, spawned) on the helper. */
static int spawn_dump(lua_State *L) {
  int *spawned = lua_touserdata(L, 2);
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  if (lua_getfield(L, -1, "dump") == LUA_TNIL) return 0;
  lg_spawn_cleanup(L, 0); /* beyond max_threads, too */
  *spawned = 1;
  return 0;
}

static void on_dump_signal(uv_signal_t *handle, int number) {
  struct lg_dump_signal *w = handle->data;
  struct lg *G = w->G;
  int spawned = 0;
  (void)number;
  if (!G || G->drained) return;
  if (lg_protected(G, spawn_dump, &spawned) != LUA_OK)
    green_report("luagreen: memory was short for the dump\n");
  if (!spawned) wants_dump(G); /* and nothing comes of it */
}

static void on_closed(uv_handle_t *handle) {
  struct lg_dump_signal *w = handle->data;
  struct green_hub *hub = w->hub;
  free(w);
  green_handle_closed(hub);
}

/* libuv leaves the default action behind, but the action before may have been
 * another. */
static void put_back(const struct lg_dump_signal *w) {
  struct sigaction now;
  if (sigaction(names[w->name].number, NULL, &now) == 0 &&
      now.sa_handler == SIG_DFL)
    sigaction(names[w->name].number, &w->former, NULL);
}

void lg_dump_signal_off(struct lg *G) {
  struct lg_dump_signal *w = G->dump_signal;
  if (!w) return;
  G->dump_signal = NULL;
  G->dumped = 0;
  w->G = NULL;
  uv_signal_stop(&w->handle);
  put_back(w);
  uv_close((uv_handle_t *)&w->handle, on_closed);
}

/* Another watcher of libuv's for the same signal, in whatever loop, looks after
 * itself: never restore its handler. */
static int start(struct lg_dump_signal *w) {
  int r, number = names[w->name].number;
  struct sigaction now;
  sigaction(number, NULL, &w->former);
  r = uv_signal_start(&w->handle, on_dump_signal, number);
  if (sigaction(number, NULL, &now) == 0 &&
      now.sa_handler == w->former.sa_handler)
    w->former.sa_handler = SIG_DFL;
  return r;
}

/* On a loop of the hub's own the hub's uv_async_t must exist: uv_run() does not
 * look at a loop without active handles, and would miss the signal while some
 * thread is always ready. */
static int open_signal(struct lg *G, int name) {
  struct lg_dump_signal *w = calloc(1, sizeof *w);
  int r = w ? 0 : UV_ENOMEM;
  if (r == 0 && G->own) r = green_alert_open(G->hub);
  if (r == 0) r = uv_signal_init(green_loop(G->hub), &w->handle);
  if (r < 0) {
    free(w);
    return r;
  }
  w->handle.data = w;
  w->hub = G->hub;
  w->G = G;
  w->name = name;
  uv_unref((uv_handle_t *)&w->handle);
  green_handle_opened(G->hub);
  lg_dump_signal_off(G);
  G->dump_signal = w;
  r = green_loop_secure(G->hub);
  return r < 0 ? r : start(w);
}

static int find_name(const char *s) {
  int i;
  if (!strncmp(s, "SIG", 3)) s += 3;
  for (i = 0; i < NAMES; i++)
    if (!strcmp(names[i].name, s)) return i;
  return -1;
}

void lg_dump_signal_set(lua_State *L, struct lg *G) {
  int name = -1, r;
  if (lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1)) {
    lg_dump_signal_off(G);
    return;
  }
  if (lua_type(L, -1) == LUA_TSTRING && /* no zero byte is part of a name */
      strlen(lua_tostring(L, -1)) == lua_rawlen(L, -1))
    name = find_name(lua_tostring(L, -1));
  if (name < 0)
    luaL_error(L,
               "bad value for 'dump_signal' in 'config' "
               "(name of a signal or false expected)");
  if (G->dump_signal && G->dump_signal->name == name) return;
  r = open_signal(G, name);
  if (r < 0) {
    lg_dump_signal_off(G);
    luaL_error(L, "dump_signal: %s", green_strerror(r));
  }
}

int lg_dump_signal_number(const struct lg *G) {
  return G->dump_signal ? names[G->dump_signal->name].number : 0;
}

void lg_dump_signal_get(lua_State *L, struct lg *G) {
  if (G->dump_signal)
    lua_pushstring(L, names[G->dump_signal->name].name);
  else
    lua_pushboolean(L, 0);
}
