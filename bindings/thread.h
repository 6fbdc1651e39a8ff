/* thread.h - what the files about Lua threads share: thread.c (running and
 * ending), coroutine.c, spawn.c, join.c, handle.c, inspect.c.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_THREAD_H
#define GREEN_THREAD_H

#include "binding.h"

/* What a thread fails with that yields to nobody; also its registry key. */
extern const char green_lua__no_yield[];

struct green_lua_handle {
  struct green_thread *thread; /* NULL: let go */
};

/* coroutine.c. open: once for each state. get: a coroutine and its anchor
 * slot; may raise. cut: a function for Lua. The others never raise. */
void green_lua__open_coroutine(lua_State *L);
int green_lua__cut(lua_State *L);
lua_State *green_lua__get_coroutine(lua_State *L, struct green_lua *G,
                                    int *slot);
void green_lua__recycle(struct green_lua *G, struct green_thread *t);
void green_lua__forget(struct green_lua *G, struct green_thread *t);
void green_lua__free_early(struct green_lua *G, struct green_thread *t);

/* handle.c. self: the thread at index 1, NULL for a C thread that has ended;
 * known: raises then. */
struct green_thread *green_lua__self_thread(lua_State *L);
struct green_thread *green_lua__known_thread(lua_State *L);
struct green_lua_handle *green_lua__new_handle(lua_State *L, size_t size);
void green_lua__register_handle(lua_State *L, int slot);
/* Holds the record of a Lua thread, and its results, as a handle does; lets it
 * go. Never raise. */
void green_lua__keep_thread(struct green_thread *t);
void green_lua__let_thread_go(struct green_lua *G, struct green_thread *t);

/* join.c */
int green_lua__has_waiter(const struct green_thread *t);
int green_lua__thread_wait(lua_State *L);
int green_lua__thread_join(lua_State *L);
int green_lua__thread_await_end(lua_State *L);

/* spawn.c. may_spawn raises while the state closes, check_room when there are
 * too many threads. make_thread: of the
 * function and its n arguments on top of the stack, which it pops; leaves the
 * handle there, if one is wanted; may raise, and nothing has happened then.
 * launch: may raise, but the thread is started. */
struct green_lua *green_lua__may_spawn(lua_State *L);
void green_lua__check_room(lua_State *L, struct green_lua *G);
struct green_thread *green_lua__make_thread(lua_State *L, struct green_lua *G,
                                            int n, int handle);
void green_lua__launch(lua_State *L, struct green_lua *G,
                       struct green_thread *t, uint64_t at);
int green_lua__l_spawn(lua_State *L);
int green_lua__l_spawn_n(lua_State *L);
int green_lua__l_spawn_after(lua_State *L);
int green_lua__l_report_later(lua_State *L);
int green_lua__l_crowded(lua_State *L);
int green_lua__thread_link(lua_State *L);
int green_lua__thread_unlink(lua_State *L);

/* crew.c: does the error of the thread belong to whoever set the watch? */
int green_lua__crew_owns(const struct green_watch *watch);

/* inspect.c */
void green_lua__push_place(lua_State *L, lua_Debug *ar);
void green_lua__push_name(lua_State *L, struct green_lua *G,
                          struct green_thread *t);
/* "file:line" of the Lua function that called the running C function. */
void green_lua__push_caller(lua_State *L);
int green_lua__thread_status(lua_State *L);
int green_lua__thread_waiting(lua_State *L);
int green_lua__thread_stats(lua_State *L);
int green_lua__thread_stack_text(lua_State *L);
int green_lua__thread_spawned_at(lua_State *L);
int green_lua__thread_limit_of(lua_State *L);

#endif
