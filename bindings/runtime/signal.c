/* signal.c - Ctrl-C, and what the core tells the binding.
 *
 * lua.c's own handler cannot reach a main thread that is parked. On a loop of
 * its own the hub therefore takes SIGINT when main first blocks: the handler
 * wakes the hub, which throws "interrupted!" into main, and puts a hook on the
 * coroutine of the thread that runs, in case it computes. The second Ctrl-C
 * has the default action. One state of the process owns the signal.
 *
 * The signal that asks for a dump is libuv's: its callback, on the hub, makes
 * a green thread that writes it. The handle counts as nothing that could wake
 * a thread, and keeps no host's loop alive.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/binding.h"

static struct lg *volatile owner; /* per process, like the signal */
static struct sigaction former;

static void interrupt_main(struct lg *G) {
  if (G->interrupted) green_throw(G->hub, green_main(G->hub), UV_EINTR);
}

/* Fires in whatever computes: raised in main; elsewhere main gets its turn,
 * at once, since the hub polls too seldom for a thread that never blocks. */
static void hook(lua_State *L, lua_Debug *ar) {
  static const struct green_wait_kind kind = {"interrupt", NULL, NULL};
  struct lg *G = lg_find(L);
  struct green_thread *t;
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  if (!G || !G->hub || !(t = lg_current(G))) return;
  if (t == green_main(G->hub)) {
    if (!G->interrupted) return;
    G->interrupted = 0;
    luaL_error(L, "interrupted!");
  }
  if (lg_refusal(L, G) || green_keep_reserve(G->hub) < 0) return;
  interrupt_main(G);
  green_keep_note(G->hub, L);
  green_lap_begin(G->hub, &kind);
  green_keep(G->hub);
}

/* The coroutine of the thread that runs, which lives as long as it. What the
 * user made below it may be gone: nobody tells when a coroutine ends. */
static lua_State *computing(struct lg *G) {
  struct green_thread *t = lg_current(G);
  if (!t) return NULL;
  if (t == green_main(G->hub)) return G->main;
  return lg_is_lua(t) ? t->user : NULL;
}

static void on_sigint(int number) {
  struct lg *G = owner;
  lua_State *L;
  (void)number; /* SA_RESETHAND: the second one has the default action */
  if (!G || !G->hub) return;
  G->interrupted = 1;
  L = computing(G);
  if (L)
    lua_sethook(L, hook,
                LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
  green_alert(G->hub);
}

/* On the hub: main is parked, or ready with something else. */
static void alert(struct green_hub *hub) {
  struct lg *G = lg_of(hub);
  if (G) interrupt_main(G);
}

/* Killed, forced, and alive after a second grace. */
static void abandoned(struct green_hub *hub, struct green_thread *t) {
  lg_keep_name(lg_of(hub), t);
  fprintf(stderr, "luagreen: green thread #%llu %s would not end (%s)\n",
          (unsigned long long)t->id, green_name(t),
          green_waits_for(t) ? green_waits_for(t) : green_status(t));
}

const struct green_runtime lg_runtime = {NULL, abandoned, lg_guest_ended,
                                         alert};

static int install(struct lg *G) {
  struct sigaction action, now;
  if (owner && owner != G) return 0;
  if (sigaction(SIGINT, NULL, &now) < 0 || now.sa_handler == SIG_IGN ||
      now.sa_handler == on_sigint)
    return 0;
  if (green_alert_open(G->hub) < 0) return 0;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_sigint;
  action.sa_flags = (int)(SA_RESETHAND | SA_RESTART);
  sigemptyset(&action.sa_mask);
  owner = G;
  former = now;
  sigaction(SIGINT, &action, NULL);
  return 1;
}

void lg_signal_install(struct lg *G) {
  if (G->own && G->sigint && G->armed == 0) {
    G->armed = 1;
    install(G);
  }
}

void lg_signal_restore(struct lg *G) {
  struct sigaction now;
  if (owner != G) return;
  owner = NULL;
  if (sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == on_sigint)
    sigaction(SIGINT, &former, NULL);
}

/* --- the signal that asks for a dump --- */

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
struct lg_watch {
  uv_signal_t handle;
  struct green_hub *hub;
  struct sigaction former;
  int name; /* index in names */
};

/* (G, NULL) on the helper. */
static int spawn_dump(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  if (lua_getfield(L, -1, "dump") == LUA_TNIL) return 0;
  lg_spawn_owed(L, 0); /* beyond max_threads, too */
  return 0;
}

static void on_dump_signal(uv_signal_t *handle, int number) {
  struct lg_watch *w = handle->data;
  struct lg *G = lg_of(w->hub);
  (void)number;
  if (!G || G->watch != w || G->drained) return;
  if (lg_protected(G, spawn_dump, NULL) != LUA_OK)
    fprintf(stderr, "luagreen: memory was short for the dump\n");
}

static void on_watch_closed(uv_handle_t *handle) {
  struct lg_watch *w = handle->data;
  struct green_hub *hub = w->hub;
  free(w);
  green_handle_closed(hub);
}

/* libuv leaves the default action behind; here it may have been another. */
static void put_back(const struct lg_watch *w) {
  struct sigaction now;
  if (sigaction(names[w->name].number, NULL, &now) == 0 &&
      now.sa_handler == SIG_DFL)
    sigaction(names[w->name].number, &w->former, NULL);
}

void lg_dump_signal_off(struct lg *G) {
  struct lg_watch *w = G->watch;
  if (!w) return;
  G->watch = NULL;
  uv_signal_stop(&w->handle);
  put_back(w);
  uv_close((uv_handle_t *)&w->handle, on_watch_closed);
}

/* Another watcher of libuv's for the same signal, in whatever loop, looks after
 * itself: its handler is none to put back. */
static int start_watch(struct lg_watch *w) {
  int r, number = names[w->name].number;
  struct sigaction now;
  sigaction(number, NULL, &w->former);
  r = uv_signal_start(&w->handle, on_dump_signal, number);
  if (sigaction(number, NULL, &now) == 0 &&
      now.sa_handler == w->former.sa_handler)
    w->former.sa_handler = SIG_DFL;
  return r;
}

/* On a loop of the hub's own the door must be open: uv_run() does not look at
 * a loop in which nothing is ref'd, and the signal would not be seen while
 * some thread is always ready. */
static int watch(struct lg *G, int name) {
  struct lg_watch *w = calloc(1, sizeof *w);
  int r = w ? 0 : UV_ENOMEM;
  if (r == 0 && G->own) r = green_alert_open(G->hub);
  if (r == 0) r = uv_signal_init(green_loop(G->hub), &w->handle);
  if (r < 0) {
    free(w);
    return r;
  }
  w->handle.data = w;
  w->hub = G->hub;
  w->name = name;
  uv_unref((uv_handle_t *)&w->handle);
  green_handle_opened(G->hub);
  lg_dump_signal_off(G);
  G->watch = w;
  return start_watch(w);
}

static int find_name(const char *s) {
  int i;
  if (!strncmp(s, "SIG", 3)) s += 3;
  for (i = 0; i < NAMES; i++)
    if (!strcmp(names[i].name, s)) return i;
  return -1;
}

void lg_dump_signal_set(lua_State *L, struct lg *G) {
  int name, r;
  if (lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1)) {
    lg_dump_signal_off(G);
    return;
  }
  name = lua_type(L, -1) == LUA_TSTRING ? find_name(lua_tostring(L, -1)) : -1;
  if (name < 0)
    luaL_error(L,
               "bad value for 'dump_signal' in 'config' "
               "(name of a signal or false expected)");
  if (G->watch && G->watch->name == name) return;
  r = watch(G, name);
  if (r < 0) {
    lg_dump_signal_off(G);
    luaL_error(L, "dump_signal: %s", green_strerror(r));
  }
}

void lg_dump_signal_get(lua_State *L, struct lg *G) {
  if (G->watch)
    lua_pushstring(L, names[G->watch->name].name);
  else
    lua_pushboolean(L, 0);
}

/* arm_sigint(): the next Ctrl-C interrupts again (for a REPL). */
static int l_arm_sigint(lua_State *L) {
  struct lg *G = lg_get(L);
  G->armed = 0;
  G->interrupted = 0;
  lg_signal_install(G);
  return 0;
}

/* isatty(fd) */
static int l_isatty(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

static const luaL_Reg functions[] = {
    {"arm_sigint", l_arm_sigint}, {"isatty", l_isatty}, {NULL, NULL}};

void lg_open_signal(lua_State *L) {
  lg_setfuncs(L, functions, 0);
}
