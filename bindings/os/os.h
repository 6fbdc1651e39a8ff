/* os.h - what the files of os/ share: files, children, and OS threads that
 * wait.
 *
 *   files.c                  the io library's functions, when patched
 *   popen.c                  io.popen's handles; os.execute's commands
 *   child.c fifo.c stdio.c   children of the process, FIFOs, Lua's files
 *   errand.c                 an OS thread that does one thing that blocks
 *   either.c                 what decides between us and the library
 *
 * A file uses what stands on its own line or below.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_OS_H
#define LG_OS_H

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/limits.h"
#include "runtime/object.h"

/* --- errand.c --- */

/* One blocking call on an OS thread of its own.
 *
 *   run      makes the call and leaves the result; knows nothing of Lua
 *   discard  nobody wants the result: gives up what it holds. May be NULL
 *   done     an eventfd: readable when the result is there
 *   refs     of the green side and of the OS thread: the last frees it
 */
struct lg_errand {
  void (*run)(struct lg_errand *e);
  void (*discard)(struct lg_errand *e);
  int done;
  int refs;
  int wanted;   /* 1: run; -1: do not; 0: not known yet */
  int finished; /* `run` has returned */
};

/* Starts the OS thread of an errand of that size, which waits for
 * lg_errand_go(): NULL, and errno says why. */
struct lg_errand *lg_errand_new(size_t size);
/* Runs it; or ends it, if there is nothing to run. */
void lg_errand_go(struct lg_errand *e, int wanted);
/* The green side has had its result, or wants none any more. */
void lg_errand_release(struct lg_errand *e);
/* Is the result there? */
int lg_errand_finished(struct lg_errand *e);

/* Blocks the calling green thread until the result is there. Raises an
 * interruption, so the caller's reference must belong to an object that
 * releases it. */
void lg_errand_wait(lua_State *L, struct lg *G, struct lg_errand *e,
                    const char *what);

/* --- stdio.c --- */

/* May the caller block its green thread alone? */
int lg_may_wait(lua_State *L, struct lg *G);
/* Waits for a descriptor with the C stack kept. Raises what interrupts. 0, or
 * a negative code. */
int lg_file_wait(lua_State *L, struct lg *G, int fd, int event,
                 const char *what);
/* The same, for callers that look and cannot fail: if the kernel refuses to
 * watch the descriptor, waits for a moment. */
int lg_file_look_again(lua_State *L, struct lg *G, int fd, int event,
                       const char *what);
/* Writes what the file holds back, while there is room: 1 all went, 0 there is
 * no room, -1: errno. Never blocks. */
int lg_file_flush(FILE *f);
/* The file of the handle at that index, which is open; else raises. */
FILE *lg_file(lua_State *L, int index);

/* Bytes that getc() returns without reading; of these, the ones at *from. */
size_t lg_file_buffered(FILE *f, const char **from);
/* Bytes that the buffer keeps before it must be written. */
size_t lg_file_room(FILE *f);
/* What a terminal gets at once when it is writable, as it takes its time. */
enum { LG_TERMINAL_STEP = 256 };
int lg_is_ready(int fd, short event);

/* --- child.c --- */

/* A child of the process, by its command for the shell. It is reaped by an OS
 * thread, whether anybody waits for it or not. */
struct lg_child {
  struct lg_errand errand;
  pid_t pid;
  int status, error; /* of waitpid() */
};

/* Starts `sh -c command`, with that descriptor for its own number `to`, unless
 * that is negative: NULL, and errno says why. */
struct lg_child *lg_child_start(const char *command, int fd, int to);
/* Pushes the three results of os.execute and of a handle's close. */
int lg_child_result(lua_State *L, const struct lg_child *c);

/* --- either.c --- */

/* The function that stands in front: no place of its own in an error. */
int lg_either(lua_State *L);
int lg_opens(lua_State *L);
/* The function there if it is one of C without upvalues, which may run in
 * another one's frame; else NULL. */
lua_CFunction lg_plain_function(lua_State *L, int index);

/* --- files.c --- */

/* Functions in front, too. */
int lg_file_call(lua_State *L);
int lg_file_print(lua_State *L);
int lg_file_next(lua_State *L);

/* --- for the front table --- */

void lg_open_either(lua_State *L);
void lg_open_popen(lua_State *L);
void lg_open_fifo(lua_State *L);
void lg_open_files(lua_State *L);
void lg_open_stdio(lua_State *L);
void lg_open_terminal(lua_State *L);
void lg_open_os(lua_State *L);

#endif
