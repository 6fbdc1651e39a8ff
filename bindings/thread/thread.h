/* thread.h - what the files about Lua threads share: coroutine.c, handle.c,
 * rare.c, spawn.c, inspect.c, thread.c. end.h, join.h and links.h are others.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_THREAD_H
#define LG_THREAD_H

#include "runtime/state.h"

/* What a thread fails with that yields to nobody; also its registry key. */
extern const char lg_no_yield[];

struct lg_handle {
  struct green_thread *thread; /* NULL: let go */
};

/* coroutine.c. open: once for each state. get: a coroutine and its anchor
 * slot; may raise. expose: a function for Lua. The others never raise. */
void lg_open_coroutine(lua_State *L);
int lg_expose(lua_State *L);
lua_State *lg_get_coroutine(lua_State *L, struct lg *G, int *slot);
/* Why it ended as killed: others closed its coroutine. */
void lg_note_closed(struct lg *G, struct green_thread *t);
void lg_recycle(struct lg *G, struct green_thread *t);
void lg_forget(struct lg *G, struct green_thread *t);
void lg_free_early(struct lg *G, struct green_thread *t);

/* handle.c. self: the thread at index 1, NULL for a C thread that has ended;
 * known: raises then. */
struct green_thread *lg_self_thread(lua_State *L);
struct green_thread *lg_known_thread(lua_State *L);
struct lg_handle *lg_new_handle(lua_State *L, size_t size);
void lg_register_handle(lua_State *L, int slot);
void lg_open_handles(lua_State *L);
/* A C thread ends: its slots go, its handle knows. */
void lg_forget_guest(struct lg *G, struct green_thread *t);
/* Holds the record of a Lua thread, and its results, as a handle does; lets it
 * go. Never raise. */
void lg_keep_thread(struct green_thread *t);
void lg_let_thread_go(struct lg *G, struct green_thread *t);

/* belongings.c: functions for Lua. */
int lg_l_rare(lua_State *L);
int lg_l_output(lua_State *L);
int lg_l_set_output(lua_State *L);

/* spawn.c. may_spawn raises while the state closes, check_room when there are
 * too many threads. make_thread: of the
 * function and its n arguments on top of the stack, which it pops; leaves the
 * handle there, if one is wanted; may raise, and nothing has happened then.
 * start_thread: may raise, but the thread is started; owed: it runs even while
 * the hub drains. */
struct lg *lg_may_spawn(lua_State *L);
void lg_check_room(lua_State *L, struct lg *G);
struct green_thread *lg_make_thread(lua_State *L, struct lg *G, int n,
                                    int handle);
void lg_start_thread(lua_State *L, struct lg *G, struct green_thread *t,
                     uint64_t at);
void lg_start_owed(lua_State *L, struct lg *G, struct green_thread *t);
int lg_l_spawn(lua_State *L);
int lg_l_spawn_n(lua_State *L);
int lg_l_spawn_after(lua_State *L);
int lg_l_report_later(lua_State *L);
int lg_l_crowded(lua_State *L);

/* close.c: a function for Lua. */
int lg_close_of(lua_State *L);

/* inspect.c */
void lg_push_place(lua_State *L, lua_Debug *ar);
void lg_push_name(lua_State *L, struct lg *G, struct green_thread *t);
/* "file:line" of the Lua function that called the running C function. */
void lg_push_caller(lua_State *L);
/* The place in the program where the coroutine `from` is, and not in one of the
 * library's own modules. */
void lg_push_where(lua_State *L, lua_State *from);
int lg_thread_status(lua_State *L);
int lg_thread_blocked(lua_State *L);
int lg_thread_stats(lua_State *L);
int lg_thread_stack_text(lua_State *L);
int lg_thread_spawned_at(lua_State *L);
int lg_thread_limit_of(lua_State *L);

/* thread.c */
extern const struct green_class lg_thread_class;
void lg_open_thread(lua_State *L);
/* Pushes the handle of a thread; may raise. */
void lg_push_thread(lua_State *L, struct lg *G, struct green_thread *t);
struct green_thread *lg_to_thread(lua_State *L, int index);
int lg_push_outcome(lua_State *L, struct lg *G, struct green_thread *t);
/* "#7 fetch", for messages; leaves it on the stack. */
const char *lg_push_who(lua_State *L, struct lg *G, struct green_thread *t);
/* Its name dies with its Lua stack: fixes it. Never raises. */
void lg_keep_name(struct lg *G, struct green_thread *t);
lua_State *lg_waiting_state(struct lg *G, struct green_thread *t);

/* struct green_runtime's */
void lg_guest_ended(struct green_hub *hub, struct green_thread *t);
void lg_abandoned(struct green_hub *hub, struct green_thread *t);

/* spawn.c. Raises unless the argument is a function or any callable; spawns
 * what is owed (a report): it runs beyond max_threads, and even while the hub
 * drains. */
void lg_check_callable(lua_State *L, int index);
void lg_spawn_owed(lua_State *L, int nargs);

/* locals.c: copies what children inherit from one table of rare things to
 * another; may raise. */
void lg_copy_inherited(lua_State *L, int from, int to);

/* Each lg_open_ function adds its file's functions to the table on top of the
 * stack; their first upvalue is G. */
void lg_open_locals(lua_State *L);
void lg_open_nested(lua_State *L);

#endif
