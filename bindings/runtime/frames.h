/* frames.h - looks at the frames of a Lua stack, in order to force a kill.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_FRAMES_H
#define LG_FRAMES_H

#include "runtime/state.h"

/* Where an error goes that a hook of L raises. */
enum lg_catcher {
  LG_BASE_OF_STATE, /* past all visible frames */
  LG_PCALL,         /* a pcall catches it and turns hooks on again */
  LG_HANDLER        /* to a message handler, which would run below the hook */
};
enum lg_catcher lg_catcher(lua_State *L, struct lg *G);

/* The coroutine that the function on top of L resumes, or closes; or NULL. */
lua_State *lg_resumed(lua_State *L, struct lg *G);
/* The same for a call that a hook of L reports. */
lua_State *lg_called(lua_State *L, struct lg *G, lua_Debug *ar);
/* The coroutines that run inside of each other, from the thread's own one (or
 * NULL) to the innermost: fills the chain and returns how many there are. Of a
 * longer one some in the middle are left out, and so is what another library
 * resumes. */
enum { LG_CHAIN = 16 };
int lg_coroutines(struct lg *G, lua_State *own, lua_State *inner,
                  lua_State **chain);

/* Does no coroutine run further down: is the function on top of L one of Lua,
 * or the library's own? */
int lg_is_innermost(lua_State *L, struct lg *G);

/* Does that C function run in L? -1: not in the innermost `most` frames. */
int lg_has_frame(lua_State *L, lua_CFunction f, int most);

/* Is there a value in the frames of L that a <close> may stand for? */
int lg_may_close(lua_State *L);

/* Are the hooks of L on? They are off below a hook and, if an error passed from
 * there to the base of L, for good. */
int lg_hooks_on(lua_State *L);

/* Did a hook written in C call a C function? */
int lg_below_hook(lua_State *L);

/* Pushes the library coroutine as Lua makes it, in no table of the program's,
 * and returns 1; 0: the program has none. */
int lg_push_stock_coroutines(lua_State *L);

void lg_open_frames(lua_State *L);

/* The outermost level of a stack; 0: it has none, or one. */
int lg_last_level(lua_State *co);

#endif
