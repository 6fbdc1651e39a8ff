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
 * the state. Raises when the library was built for another version of Lua, when
 * the state has a hub already or the hub a state, when the hub's stacks are too
 * small for Lua, on another OS thread than the hub's, or when memory runs out.
 * */
void green_lua_open(lua_State *L, struct green_hub *hub);

/* [host] Kills all green threads of the hub, the host's own among them, and
 * lets them clean up for at most twice the grace. Call it before lua_close(),
 * not from a green thread. Returns how many would not end. If all have ended,
 * another state may use the hub; otherwise nothing runs on it any more, and the
 * host can only call green_close(). */
int green_lua_close(lua_State *L);

/* [hub] The hub of the state, or NULL. */
struct green_hub *green_lua_hub(lua_State *L);

/* [hub] Spawns the function below its `nargs` arguments on top of the stack as
 * a green thread, pops them and pushes the thread's handle. May raise. */
void green_lua_spawn(lua_State *L, int nargs);

/* [hub] The outcome of the green thread whose handle is at `index`. Returns
 * LUA_OK, pushes its results and sets *nresults; or LUA_ERRRUN and pushes the
 * error; or LUA_YIELD while it lives, and pushes nothing. */
int green_lua_outcome(lua_State *L, int index, int *nresults);

/* [thread] Blocks the calling green thread until fd is ready; its C frames
 * stay. Returns 0 or UV_ETIMEDOUT; raises an interruption. `seconds` < 0: no
 * limit. For blocking Lua functions written in C. */
int green_lua_wait_fd(lua_State *L, int fd, int event, double seconds);
/* [thread] Lets others run for so long. Raises an interruption. */
void green_lua_sleep(lua_State *L, double seconds);

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
