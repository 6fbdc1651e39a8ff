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

/* 0, or an errno. The parent's ends of pipes are closed by exec: a child that
 * kept one would never see the end of its input. */
static int spawn(pid_t *pid, const char *command, int fd, int to) {
  char *argv[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
  posix_spawn_file_actions_t actions;
  int error = posix_spawn_file_actions_init(&actions);
  if (error) return error;
  /* dup2 of a number onto itself clears the mark that exec closes it. */
  if (fd >= 0) error = posix_spawn_file_actions_adddup2(&actions, fd, to);
  if (!error) {
    error = posix_spawn(pid, "/bin/sh", &actions, NULL, argv, environ);
  }
  posix_spawn_file_actions_destroy(&actions);
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
