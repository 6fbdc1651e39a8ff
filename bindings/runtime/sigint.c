/* sigint.c - Ctrl-C.
 *
 * lua.c's own handler cannot reach a main thread that is parked. On a loop of
 * its own the hub therefore takes SIGINT when main first blocks: the handler
 * wakes the hub, which throws "interrupted!" into main, and puts a hook on the
 * coroutine of the thread that runs, in case it computes. The second Ctrl-C
 * has the default action. One state of the process owns the signal.
 *
 * on_sigint() runs in a signal handler, lg_sigint_alert() on the hub, the rest
 * where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/object.h"
#include "runtime/refusal.h"
#include "runtime/sigint.h"

#include <signal.h>
#include <string.h>

static struct lg *volatile owner; /* per process, like the signal */
static struct sigaction former;

static void interrupt_main(void) {
  struct lg *G = owner;
  if (G && G->interrupted) green_throw(G->hub, green_main(G->hub), UV_EINTR);
}

void lg_sigint_raised(void) {
  if (owner) owner->interrupted = 0;
}

/* Fires in the code that computes. In main it raises; elsewhere it gives main a
 * turn at once, since the hub polls too seldom for a thread that never
 * blocks. */
static void hook(lua_State *L, lua_Debug *ar) {
  static const struct green_wait_kind kind = {"interrupt", NULL, NULL};
  struct lg *G = lg_find(L);
  struct green_thread *t;
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  if (!G || !G->hub || !(t = lg_current(G))) return;
  if (t == green_main(G->hub)) {
    if (!owner || !owner->interrupted) return;
    owner->interrupted = 0;
    luaL_error(L, "interrupted!");
  }
  if (lg_refusal(L, G) || green_keep_reserve(G->hub) < 0) return;
  interrupt_main();
  green_keep_note(G->hub, L);
  green_lap_begin(G->hub, &kind);
  green_keep(G->hub);
}

/* The coroutine of the running thread, which lives as long as the thread. A
 * coroutine of the user's below it may be gone: Lua does not tell us when one
 * ends. */
static lua_State *computing(struct lg *G) {
  struct green_thread *t = lg_running(G);
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
void lg_sigint_alert(struct green_hub *hub) {
  if (owner && owner->hub == hub) interrupt_main();
}

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

void lg_sigint_install(struct lg *G) {
  if (G->own && G->sigint && G->armed == 0) {
    G->armed = 1;
    install(G);
  }
}

void lg_sigint_restore(struct lg *G) {
  struct sigaction now;
  if (owner != G) return;
  owner = NULL;
  if (sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == on_sigint)
    sigaction(SIGINT, &former, NULL);
}

/* arm_sigint(): the next Ctrl-C interrupts again (for a REPL). */
static int l_arm_sigint(lua_State *L) {
  struct lg *G = lg_get(L);
  G->armed = 0;
  G->interrupted = 0;
  lg_sigint_install(G);
  return 0;
}

void lg_open_sigint(lua_State *L) {
  static const luaL_Reg functions[] = {{"arm_sigint", l_arm_sigint},
                                       {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
