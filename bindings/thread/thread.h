/* thread.h - threads that are Lua coroutines: the functions of spawn.c,
 * thread.c, inspect.c and belongings.c for others.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_THREAD_H
#define LG_THREAD_H

#include "runtime/state.h"

/* belongings.c: functions for Lua. */
int lg_l_rare(lua_State *L);
int lg_l_output(lua_State *L);
int lg_l_set_output(lua_State *L);

/* spawn.c. may_spawn raises while the state closes, check_room when there are
 * too many threads. make_thread pops a function and its n arguments, and pushes
 * the handle if one is wanted. start_thread starts it at once (0) or at a time,
 * start_cleanup at once and even while the hub drains. If one of these raises,
 * nothing has happened. */
struct lg *lg_may_spawn(lua_State *L);
void lg_check_room(lua_State *L, struct lg *G);
struct green_thread *lg_make_thread(lua_State *L, struct lg *G, int n,
                                    int handle);
void lg_start_thread(lua_State *L, struct lg *G, struct green_thread *t,
                     uint64_t at);
void lg_start_cleanup(lua_State *L, struct lg *G, struct green_thread *t);
int lg_l_spawn(lua_State *L);
int lg_l_spawn_n(lua_State *L);
int lg_l_spawn_after(lua_State *L);
int lg_l_report_later(lua_State *L);
int lg_l_crowded(lua_State *L);
int lg_l_cut_short(lua_State *L);

/* traceback.c: as luaL_traceback(), each frame on one line. May raise. */
void lg_traceback(lua_State *L, lua_State *from, int level);

/* inspect.c */
/* "#7 fetch", for messages; leaves it on the stack. May raise. */
const char *lg_push_who(lua_State *L, struct lg *G, struct green_thread *t);
/* Pushes the traceback of a coroutine that does not run, and of those inside of
 * which it does, from a thread's own one on, if that is not NULL. Raises if
 * memory is short; runs no finalizers. */
void lg_push_traceback(lua_State *L, struct lg *G, lua_State *from,
                       lua_State *own);
/* The same of the running thread, without the first `level` frames of L. */
void lg_push_own_traceback(lua_State *L, struct lg *G, int level);
int lg_thread_status(lua_State *L);
int lg_thread_blocked(lua_State *L);
int lg_thread_stats(lua_State *L);
int lg_thread_stack_text(lua_State *L);
int lg_thread_spawned_at(lua_State *L);
int lg_thread_limit_of(lua_State *L);

/* thread.c */
extern const struct green_class lg_thread_class;
/* struct green_runtime's: the thread lives on although its state is closed. */
void lg_abandoned(struct green_hub *hub, struct green_thread *t);

/* handle.c: pushes the handle of a thread that lives, or whose record a crew
 * holds; may raise. Returns the thread of the handle at that index, or NULL if
 * it is over or is not a handle. */
void lg_push_thread(lua_State *L, struct lg *G, struct green_thread *t);
struct green_thread *lg_to_thread(lua_State *L, int index);
/* join.c: the outcome of a thread whose record is held, as join returns it. */
int lg_push_outcome(lua_State *L, struct lg *G, struct green_thread *t);

/* inspect.c: the lua_State in which a parked thread called the waiting
 * function. */
lua_State *lg_waiting_state(struct lg *G, struct green_thread *t);

/* spawn.c. The first raises unless the argument is callable. The second spawns
 * a clean-up thread (a report), which runs beyond max_threads and even while
 * the hub drains. */
void lg_check_callable(lua_State *L, int index);
void lg_spawn_cleanup(lua_State *L, int nargs);
/* Pushes the sandbox of a child with that function: its parent's, which may be
 * NULL, or that of its globals; 0 and nothing: none. Raises if that is full. */
int lg_push_box_of_child(lua_State *L, struct lg *G,
                         struct green_thread *parent, int function);

/* locals.c: copies the inherited fields from one table of rare things to
 * another; may raise. */
void lg_copy_inherited(lua_State *L, int from, int to);

/* Each lg_open_ function adds its file's functions to the table on top of the
 * stack; their first upvalue is G. */
void lg_open_thread(lua_State *L);
void lg_open_locals(lua_State *L);
void lg_open_standard(lua_State *L);

#endif
