/* crew.h - shared by the files about crews: crew.c (members and slots),
 * spawn.c, results.c (members that are over and unread), methods.c.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_CREW_H
#define LG_CREW_H

#include "thread/thread.h"
#include "runtime/waitable.h"

struct member {
  struct green_watch watch;
  struct crew *crew;
  struct member *next, **link; /* in the list of the living */
  struct member *after;        /* in the list of the unread */
  struct green_thread *thread; /* NULL: none, ended and not kept, let go */
  lua_Integer number;
  uint8_t has_slot, over;
};

struct crew {
  struct lg_object object;
  struct green_list spawners, lenders, idle, readers;
  struct member *living, *unread, **last_unread;
  struct member *spare; /* made beforehand */
  lua_Integer limit;    /* < 0: none */
  lua_Integer used, granted, live, numbers;
  int anchor; /* its slot there */
  uint8_t owns, fails, failed, closed;
  uint8_t collects; /* has a list of the unread */
  uint8_t keeps, in_order;
  uint8_t revived; /* a finalizer added the first of the living members */
};

enum { FIELDS = 1 }; /* user value: a table for the Lua side */

/* crew.c. The crew at a stack index; the method's self; the calling thread's
 * member, or NULL. */
extern const struct lg_class lg_crew_class;
struct crew *lg_to_crew(lua_State *L, int index);
/* The same for finalizers: its state may have been closed. */
struct crew *lg_any_crew(lua_State *L, int index);
struct crew *lg_self_crew(lua_State *L);
struct member *lg_crew_member(struct crew *crew);
/* lg_crew_reserve() makes room for one more member and may raise;
 * lg_crew_attach() makes a member of the crew at `index`. The others: its
 * thread has ended, or its event was sent; takes it off the list of the
 * living. */
void lg_crew_reserve(lua_State *L, struct crew *crew);
struct member *lg_crew_attach(lua_State *L, struct crew *crew, int index,
                              struct green_list *list, struct green_thread *t);
void lg_crew_fire(struct green_hub *hub, struct green_watch *watch);
void lg_crew_delist(struct member *m);
/* Kills all living members, without any memory. */
void lg_crew_kill_all(struct crew *crew);
void lg_crew_drop_anchor(const struct crew *crew);
/* Is a slot free? */
int lg_crew_has_slots(const struct crew *crew);
/* The first spawner that waits for a slot, or NULL. */
struct green_node *lg_crew_next_in_line(struct crew *crew);
/* Hands the free slots out to the waiting spawners. */
void lg_crew_grant(struct crew *crew);
/* Passes on a granted slot that nobody uses. */
void lg_crew_pass_on(struct crew *crew);
/* Removes the first unread member, which was read. */
void lg_crew_uncollect(struct crew *crew);
/* Is there a member to read, or will there never be one? */
int lg_crew_is_readable(const struct crew *crew);
/* Wakes the waiting reader if a read need not wait. */
void lg_crew_wake_reader(struct crew *crew);

/* Methods of Lua's: crew.c, spawn.c, results.c. */
int lg_crew_wait(lua_State *L);
int lg_crew_spawn(lua_State *L);
int lg_crew_spawn_n(lua_State *L);
int lg_crew_spawn_in(lua_State *L);
int lg_crew_spawn_in_n(lua_State *L);
int lg_crew_next(lua_State *L);
int lg_crew_next_of_dag(lua_State *L);
int lg_crew_add(lua_State *L);
int lg_crew_let_go(lua_State *L);
int lg_crew_drop_unread(lua_State *L);

void lg_open_crew(lua_State *L);

#endif
