/* green_lua.h - green threads for Lua 5.4.4 and later, and 5.5, from C.
 *
 * A host opens the library into a lua_State on a hub of its choice, spawns Lua
 * functions as green threads and writes blocking Lua functions. Conventions and
 * the words in brackets are those of green.h. A function that raises says so;
 * call it where a Lua error may be raised.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_LUA_H
#define GREEN_LUA_H

#include "green.h"

#ifdef __cplusplus
#include <lua.hpp>
extern "C" {
#else
#include <lua.h>
#endif
#pragma GCC visibility push(default)

/* [hub] Opens the library on `hub`, so that require "green" finds it there.
 * With a GREEN_DRIVE_LOOP or GREEN_DRIVE_STEP hub the main Lua thread is not a
 * green thread and may not block. The host keeps the hub, which must outlive
 * the state. Any number of states share a hub: each has its own threads, errors
 * and limits; the time, the descriptors and the threads of C are the hub's, and
 * so is main, which may run code of each. Never raises: returns LUA_OK, or
 * LUA_ERRRUN or LUA_ERRMEM and pushes a message. LUA_ERRRUN: the library was
 * built for another version of Lua, the state has a hub already, the hub's
 * stacks are too small for Lua, or this is another OS thread than the hub's. */
int green_lua_open(lua_State *L, struct green_hub *hub);

/* [hub] [thread] Ends the state's green threads, while all others of the hub go
 * on: kills them and lets them clean up for at most twice the grace. Returns
 * how many would not end; these are reported, and never run again. Call it
 * before lua_close(), which does the same for a state that is still open.
 *
 * It may be called anywhere on the hub but in the state itself: by main, by a
 * thread of C, by a thread of another state, on the host's stack, and in a
 * callback on the host's loop. A green thread waits; on the host's stack, where
 * nobody can, the state's threads get their turns to clean up, and those that
 * would have to wait for it are cut short. Nothing has happened after UV_EPERM
 * (the caller is a thread of this state, or a callback on a loop of the hub's
 * own) and UV_EBUSY (main or a thread of C waits in code of this state, another
 * thread closes it, or it calls the host back). A thread of C that runs a
 * coroutine of its own, in which a C function waits by a call of green.h, is
 * known to be there only if it runs that by green_lua_pcall() or
 * green_lua_resume(). Does nothing and returns 0 if the library is not open in
 * the state. */
int green_lua_close(lua_State *L);

/* [hub] The hub of the state, or NULL. */
struct green_hub *green_lua_hub(lua_State *L);

/* [hub] Spawns the function below its `nargs` arguments on top of the stack as
 * a green thread, pops them and pushes the thread's handle. May raise. */
void green_lua_spawn(lua_State *L, int nargs);

/* [hub] The outcome of the green thread whose handle is at `index`. Returns
 * LUA_OK, pushes its results and sets *nresults; or LUA_ERRRUN and pushes the
 * error; or LUA_YIELD while it lives, and pushes nothing. May raise, as it does
 * for what is no handle. */
int green_lua_outcome(lua_State *L, int index, int *nresults);

/* [thread] green_wait_fd() for blocking Lua functions written in C: the C
 * frames stay. Returns 0, UV_ETIMEDOUT or another of its codes; raises an
 * interruption. `seconds` < 0: no limit. */
int green_lua_wait_fd(lua_State *L, int fd, int event, double seconds);
/* [thread] Lets others run for so long. Raises an interruption. */
void green_lua_sleep(lua_State *L, double seconds);

/* --------------------------------------------- blocking functions in C --
 *
 * In two shapes. A lua_CFunction may call any blocking function of green.h,
 * clean up what it holds, and pass the code to green_lua_check(); its C stack
 * is kept meanwhile. Or it ends by `return green_lua_park...(..., ctx, k)`,
 * holding nothing: the thread then gives its C stack up where it can, and k
 * goes on, with the values of the function where they were. */

/* [thread] Returns r. If it is the code of an interruption, raises what struck
 * the thread: a kill, a timeout, a throw. */
int green_lua_check(lua_State *L, int r);

/* [hub] 1: a function called here may block. 0: it may not, on the host's
 * stack, in a finalizer, in a callback on the main Lua thread, or where a hook
 * interrupts the library itself. Never raises. */
int green_lua_may_block(lua_State *L);

/* [thread] Waits for a signal, for less than `seconds` (< 0: no limit), and
 * calls k(L, code, ctx): 0, which is no promise that the condition holds, or
 * UV_ETIMEDOUT. The signal may be gone by then. Raises an interruption, without
 * k. */
int green_lua_park(lua_State *L, struct green_signal *signal, double seconds,
                   lua_KContext ctx, lua_KFunction k);

/* [thread] Waits until fd is ready for any of `events` (GREEN_READABLE |
 * GREEN_WRITABLE), and calls k(L, code, ctx): the events that are ready,
 * UV_ETIMEDOUT, UV_EBADF, UV_EINVAL (it waits for none, or for others), or what
 * green_strerror() knows. fd may belong to
 * anybody, and any number of threads may wait for it. Raises an interruption,
 * without k. `seconds` < 0: no limit. */
int green_lua_park_fd(lua_State *L, int fd, int events, double seconds,
                      lua_KContext ctx, lua_KFunction k);

/* [thread] green_offload() as the last act of a lua_CFunction: runs run(job,
 * arg) on an OS thread. When it is over, finish(L, result, arg) pushes the
 * results and returns their number; it finds the values of the function where
 * they were, may raise, and must not yield. NULL: the result is a number. Then
 * dispose(arg) is called. It is called exactly once, whatever happens, on the
 * hub or in a finalizer, and must not use L. Raises an interruption, and an
 * error if memory or OS threads are short. */
int green_lua_offload(lua_State *L,
                      int (*run)(struct green_job *job, void *arg),
                      void (*dispose)(void *arg), void *arg,
                      int (*finish)(lua_State *L, int result, void *arg));

/* ------------------------------------------------ scripts, from the host --
 *
 * None of these raises, whatever the memory. Codes are those of green.h. */

/* A script has ended: its `nresults` results are on the stack of L (LUA_OK), or
 * its error (LUA_ERRRUN), or "not enough memory" where there was none for the
 * outcome (LUA_ERRMEM). L has nothing else on it, and room for LUA_MINSTACK
 * more. Runs on the hub's stack, or the host's, below a protected call: an
 * error is reported on stderr. It may start, kill and wake, but not block, nor
 * close the state. */
typedef void (*green_lua_ended)(lua_State *L, int status, int nresults,
                                void *arg);

/* [hub] Starts the function below its `nargs` arguments on top of the stack as
 * a green thread, and pops them. Never switches. After 0, `ended` is called
 * exactly once and never from inside this call: when the thread has returned,
 * failed or was killed, before it ran or after; at the latest from
 * green_lua_close() or lua_close(). It is the destination of the error; NULL:
 * nobody is told, and errors go to green.on_error. *thread, if not NULL, is
 * valid until `ended` has returned, for green_kill() and its like. After a code
 * `ended` is not called: UV_ENOMEM; UV_EAGAIN, there are max_threads; UV_EINVAL
 * for what is no function, or if the library is not open; UV_ECANCELED while
 * the state closes; UV_EPERM. */
int green_lua_start(lua_State *L, int nargs, green_lua_ended ended, void *arg,
                    struct green_thread **thread);

/* [hub] Kills the green thread whose handle is at `index`. Allocates nothing of
 * Lua's and never switches. `reason` (may be NULL) is not copied: a literal, or
 * a text that outlives the state. 1: it was alive, 0: it was not. */
int green_lua_kill(lua_State *L, int index, const char *reason);

/* [thread] Waits until the green thread whose handle is at `index` has ended,
 * and pushes its outcome: returns LUA_OK and *nresults results; LUA_ERRRUN
 * or LUA_ERRMEM, and the error; or a code and nothing. The caller is the
 * destination of the error. Its C frames stay. Threads of C code that keep
 * values on a lua_State while they wait need one each: lua_newthread(). */
int green_lua_wait(lua_State *L, int index, uint64_t deadline, int *nresults);

/* [hub] The thread whose handle is at `index`, valid while it lives; NULL: it
 * has ended, or there is no handle. */
struct green_thread *green_lua_thread(lua_State *L, int index);
/* [hub] Pushes the handle of a live thread, of Lua's or of C's. 0, UV_ENOMEM or
 * UV_EINVAL; then nothing is pushed. */
int green_lua_push_thread(lua_State *L, struct green_thread *thread);
/* [hub] Is the error at `index` that of a killed thread? */
int green_lua_is_killed(lua_State *L, int index);
/* [hub] Pushes a text for the value at `index`, for a log, and returns it. Runs
 * no code of the script: "(a table value)" stands for a table with a __tostring
 * of the script's, which luaL_tolstring() would call, on the host's stack
 * beyond all limits. The bytes are the script's: see green_printable(). An
 * index beyond the values is "nothing". Pushes nil if there is no memory, and
 * says so. */
const char *green_lua_text(lua_State *L, int index);

/* ------------------------------------------------------------- messages -- */

/* [hub] Packs n values from `first` on into a message, for green_port_send()
 * and its like: nil, booleans, numbers, strings, light userdata, ports, and
 * tables of these without metatables and cycles. A table that is reached twice
 * arrives as two; a single string is sent as its bytes. UV_EINVAL: pushes the
 * text that tells which value cannot be sent, and where it is; UV_ENOMEM;
 * UV_ENOBUFS: at limits.messages. Raises only if there is no memory for that
 * text. Calls no metamethod. */
int green_lua_pack(lua_State *L, int first, int n,
                   struct green_message **message);
/* [hub] Pushes the values of a message, or its bytes as a string, and frees it.
 * Returns how many they are. After a code nothing is pushed, and the message is
 * still the caller's: UV_ENOMEM; UV_EINVAL, the bytes of packed values were
 * written to. Never raises. */
int green_lua_unpack(lua_State *L, struct green_message *message);

/* [hub] Pushes the state's object for a port, which holds it, for scripts to
 * send and receive. May raise. */
void green_lua_push_port(lua_State *L, struct green_port *port);
/* [hub] The port at an index, or NULL. It is the object's: hold it to keep it
 * longer, or to give it to another OS thread. */
struct green_port *green_lua_to_port(lua_State *L, int index);

/* --------------------------------------------------- scripts in bounds -- */

/* What a state and its threads may have. 0 is no limit. Zero the struct, and
 * set `size` to its sizeof, so that it can grow. */
struct green_lua_limits {
  size_t size;
  size_t memory;       /* bytes; beyond it scripts get "not enough memory" */
  size_t reserve;      /* bytes above it, for killing, closing, finalizers,
                          reports and the host; 0: an eighth of it, at least
                          64 KB */
  uint32_t threads;    /* green threads of Lua's */
  uint32_t coroutines; /* others than theirs */
  uint64_t slice;   /* ns that a thread computes before it is made to yield */
  uint64_t stretch; /* ns that it computes in one go before it is ended */
  uint64_t life;    /* ns from its start until it is ended, whatever it does */
  uint32_t timers;  /* timeouts in force. Sleeps, waits and spawn_after
                       count as threads; a ticker has no timer */
  uint32_t descriptors; /* open sockets of Lua's, and pipes and files where io
                           is patched; beyond it scripts get "too many open
                           files" */
  uint32_t items;       /* values in all queues that are made from now on */
  size_t messages; /* bytes that it packed for ports and that are not received
                      yet, wherever; 0: as many as `memory` */
};

/* [any] A state whose memory is counted and limited from its first byte. A NULL
 * `alloc` stands for realloc() and free(), NULL limits for none. Memory near
 * the limit is collected in steps, from half of it on. A state that does
 * nothing any more but collect is ended: its threads are killed, which a
 * report tells, and it spawns no more. NULL: no memory, or limits that this
 * library is too old to know. Close it by lua_close(). */
lua_State *green_lua_newstate(const struct green_lua_limits *limits,
                              lua_Alloc alloc, void *ud);
/* [hub] Sets all limits, from now on, of any state (NULL: none). Nothing that
 * is beyond a new limit is taken away. UV_ENOMEM; UV_ENOTSUP: coroutines can
 * only be counted in a state that green_lua_newstate() made, and limits of time
 * need a signal (tick_signal). Then nothing has changed. */
int green_lua_limit(lua_State *L, const struct green_lua_limits *limits);

struct green_lua_usage {
  size_t memory, most; /* bytes now, and at most so far; most is 0 if the
                          memory never had a limit */
  uint32_t threads, coroutines;
  uint32_t forced;   /* collections of all garbage at once, at the limit */
  uint32_t failures; /* allocations that were refused all the same */
  uint32_t ended;    /* is it, because it only collected? */
  uint32_t timers, descriptors;
  uint32_t items;  /* in queues made while the state, or a sandbox in it, had a
                     limit for them */
  size_t messages; /* bytes; packed since there was a limit */
};
/* [hub] What the state has now. `size`: sizeof *usage. */
void green_lua_used(lua_State *L, struct green_lua_usage *usage, size_t size);

/* [hub] Lets the hub of the state be interrupted; call it after
 * green_lua_open(). It takes a signal, SIGURG unless options.tick_signal is
 * another. UV_ENOTSUP: that is -1, or the system has no more of them. */
int green_lua_interruptible(lua_State *L);
/* [any], also in a signal handler: the Lua code that runs on the hub at this
 * moment goes to the end of the queue (0), or its thread is killed and ended by
 * force (1), at its next instruction. Nothing happens if none runs. The first
 * is put off in the library's own code and where blocking is refused. 0, or
 * UV_ENOTSUP. */
int green_interrupt(struct green_hub *hub, int how);
/* [hub] The thread whose handle is at `index`, and all that it spawns from now
 * on, may run that many instructions of Lua in all; then they are ended, as by
 * the limits above. That is at the same place in each run, but the code takes
 * 1.6 to 2.1 times as long. The library's own code, if they run out there, has
 * 100,000 more to be left. Each thread, and each coroutine of a sandbox, takes
 * 100 of them when it is made; the last 100 of other coroutines may be
 * uncounted. 0, UV_EINVAL (no live thread of Lua's), UV_ENOMEM or
 * UV_EPERM. */
int green_lua_fuel(lua_State *L, int index, uint64_t instructions);

/* [hub] As lua_resume() and lua_pcall(), which stand behind them, for libraries
 * and threads of C that run Lua code in a coroutine of their own. Lua does not
 * tell which coroutine runs. Code that lua_resume() itself has resumed looks
 * like a call of C: limits of time, preemption, the watchdog, profiles and
 * dumps see it only by these. What they return and raise is Lua's. */
int green_lua_resume(lua_State *co, lua_State *from, int nargs, int *nresults);
int green_lua_pcall(lua_State *L, int nargs, int nresults, int msgh);

/* [hub] Calls f, in a hook of the running thread, for each thread that computes
 * longer than `ns` without a switch, once: who, for how long so far, and the
 * place. f must not block and not raise. NULL: nobody. 0 or UV_ENOTSUP. */
int green_on_long(lua_State *L, uint64_t ns,
                  void (*f)(struct green_hub *hub, struct green_thread *thread,
                            uint64_t ran, const char *where, void *arg),
                  void *arg);
/* What a script may reach beyond the language itself, green threads and the
 * objects of its own: each is a grant, and without it the thing is gone. */
enum green_lua_grant {
  GREEN_LUA_OUTPUT = 1,    /* print, at a bounded rate */
  GREEN_LUA_COROUTINE = 2, /* the library coroutine */
  GREEN_LUA_IO = 4,        /* the library io: all files of the process */
  GREEN_LUA_OS = 8,        /* all of os, not only the time of day */
  GREEN_LUA_CONNECT = 16,  /* connections to anywhere, datagrams */
  GREEN_LUA_LISTEN = 32,   /* listeners and servers */
  GREEN_LUA_REQUIRE = 64,  /* require: every module, those in C too */
  GREEN_LUA_DEBUG = 128,   /* the library debug, which breaks every bound */
  GREEN_LUA_THREADS = 256  /* to see and kill threads that are not its own */
};
/* [hub] Pushes the globals of a new sandbox (docs/embedding.md). LUA_OK; or
 * another status of Lua's, and an error if there is room for one. Does not
 * raise. */
int green_lua_sandbox(lua_State *L, unsigned grants);
/* [hub] Pushes the function of a text, which has the table at `env` as its
 * globals. Never loads bytecode. LUA_OK, or LUA_ERRSYNTAX or LUA_ERRMEM and the
 * error. Does not raise. Start it as a thread: the sandbox's bounds are those
 * of its threads. */
int green_lua_load_in(lua_State *L, int env, const char *text, size_t size,
                      const char *name);

/* -------------------------------------------------------------- modules -- */

/* [hub] lua_CFunction behind require "green.core". */
int luaopen_green_core(lua_State *L);
/* [hub] That behind require "green.openssl", for TLS: in libgreen_openssl.a,
 * which wants -lssl -lcrypto. A host that links it puts this function into
 * package.preload["green.openssl"]. */
int luaopen_green_openssl(lua_State *L);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
