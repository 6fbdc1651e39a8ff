/* terminal.c - the terminal that a program takes over: its modes, its screen,
 * its size.
 *
 * The process has one, which is its stdin and its stdout. A signal that ends
 * the process gives it back first, in the signal's handler, as nothing else of
 * the program may have a turn any more.
 *
 * on_deadly() runs in a signal handler, on any OS thread; the rest where Lua
 * runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "os/os.h"
#include "runtime/object.h"

static const int deadly[] = {SIGTERM, SIGHUP, SIGQUIT};
enum { DEADLY = sizeof deadly / sizeof *deadly };

static struct termios former; /* the modes that the shell had set */

/* Milliseconds that the end of a process waits for its terminal. */
enum { PATIENCE = 100 };

static void show(const char *text) {
  ssize_t n = write(1, text, strlen(text));
  (void)n; /* a terminal that is gone has no screen */
}

/* The shell's screen, with a cursor, and its modes. A process in the
 * background has lost the terminal to another one. A terminal that nobody
 * reads, or that Ctrl-S has stopped, must hold nobody up. */
static void give_back(void) {
  struct pollfd ready = {.fd = 1, .events = POLLOUT};
  pid_t in_front = tcgetpgrp(0);
  if (in_front >= 0 && in_front != getpgrp()) return;
  if (poll(&ready, 1, PATIENCE) == 1 && ready.revents & POLLOUT)
    show("\33[?25h\33[?1049l");
  tcsetattr(0, TCSANOW, &former);
}

/* SA_RESETHAND: the signal's own action follows when this one returns. */
static void on_deadly(int number) {
  give_back();
  raise(number);
}

/* Those that would end the process. */
static void watch_deadly(void) {
  struct sigaction action, now;
  int i;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_deadly;
  action.sa_flags = (int)SA_RESETHAND;
  sigfillset(&action.sa_mask);
  for (i = 0; i < DEADLY; i++)
    if (sigaction(deadly[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL)
      sigaction(deadly[i], &action, NULL);
}

static void leave_deadly(void) {
  struct sigaction now;
  int i;
  for (i = 0; i < DEADLY; i++)
    if (sigaction(deadly[i], NULL, &now) == 0 && now.sa_handler == on_deadly)
      signal(deadly[i], SIG_DFL);
}

/* terminal_take(): keys come at once and are not shown, and the key that
 * suspends is one of them. What is written goes to a screen of its own, without
 * a cursor. */
static int l_terminal_take(lua_State *L) {
  struct termios modes;
  (void)L;
  if (tcgetattr(0, &former) < 0) return 0;
  watch_deadly();
  modes = former;
  modes.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
  modes.c_cc[VMIN] = 1;
  modes.c_cc[VTIME] = 0;
  modes.c_cc[VSUSP] = _POSIX_VDISABLE;
  tcsetattr(0, TCSANOW, &modes);
  show("\33[?1049h\33[?25l");
  return 0;
}

/* terminal_give(): the shell gets it back. */
static int l_terminal_give(lua_State *L) {
  (void)L;
  give_back();
  leave_deadly();
  return 0;
}

/* terminal_size(): its lines and columns, or nothing. */
static int l_terminal_size(lua_State *L) {
  struct winsize size;
  if (ioctl(1, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col)
    return 0;
  lua_pushinteger(L, size.ws_row);
  lua_pushinteger(L, size.ws_col);
  return 2;
}

void lg_open_terminal(lua_State *L) {
  static const luaL_Reg functions[] = {{"terminal_take", l_terminal_take},
                                       {"terminal_give", l_terminal_give},
                                       {"terminal_size", l_terminal_size},
                                       {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
