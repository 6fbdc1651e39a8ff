/* child.c - commands for the shell, as children of the process.
 *
 * An OS thread reaps each child: see errand.c. SIGCHLD is left to the host, and
 * no call waits for a child of anybody else's. If the host ignores SIGCHLD, or
 * reaps all children itself, the result is nil, "No child processes", as with
 * the stock functions.
 *
 * Any OS stack, but what takes a lua_State.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>
#include <spawn.h>

#include "os/os.h"

extern char **environ;

static void reap(struct lg_errand *e) {
  struct lg_child *c = (struct lg_child *)e;
  int r;
  do {
    r = waitpid(c->pid, &c->status, 0);
  } while (r < 0 && errno == EINTR);
  c->error = r < 0 ? errno : 0;
}

/* A library that writes to sockets has SIGPIPE ignored, and exec hands that on:
 * then `yes | head -1` in the command would not end. */
static int mend_signals(posix_spawnattr_t *attr) {
  sigset_t set;
  int error = posix_spawnattr_init(attr);
  if (error) return error;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  posix_spawnattr_setsigdefault(attr, &set);
  posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGDEF);
  return 0;
}

/* 0, or an errno. The parent's ends of pipes are closed by exec: a child that
 * kept one would never see the end of its input. */
static int spawn(pid_t *pid, const char *command, int fd, int to) {
  char *argv[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attr;
  int error = mend_signals(&attr);
  if (error) return error;
  error = posix_spawn_file_actions_init(&actions);
  if (error) goto attr;
  /* dup2 of a number onto itself clears the mark that exec closes it. */
  if (fd >= 0) error = posix_spawn_file_actions_adddup2(&actions, fd, to);
  if (!error) {
    error = posix_spawn(pid, "/bin/sh", &actions, &attr, argv, environ);
  }
  posix_spawn_file_actions_destroy(&actions);
attr:
  posix_spawnattr_destroy(&attr);
  return error;
}

struct lg_child *lg_child_start(const char *command, int fd, int to) {
  struct lg_child *c = (struct lg_child *)lg_errand_new(sizeof *c);
  int error;
  if (!c) return NULL;
  c->errand.run = reap;
  error = spawn(&c->pid, command, fd, to);
  lg_errand_go(&c->errand, error ? -1 : 1);
  if (!error) return c;
  lg_errand_release(&c->errand);
  errno = error;
  return NULL;
}

int lg_child_result(lua_State *L, const struct lg_child *c) {
  errno = c->error; /* else luaL_execresult takes an old one for the reason */
  return luaL_execresult(L, c->error ? -1 : c->status);
}
