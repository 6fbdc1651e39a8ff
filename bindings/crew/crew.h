/* crew.h - what crew.c (members and slots) and results.c (what is over and not
 * read yet) share.
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
  uint8_t revived; /* the first of those that live was added by a finalizer */
};

enum { FIELDS = 1 }; /* user value: a table for the Lua side */

/* crew.c. The class; the crew at a stack index; room for one more member, may
 * raise; a new member, of the crew at `index`; its thread has ended, or its
 * event was sent; out of the list of the living; members live no more. */
extern const struct lg_class lg_crew_class;
struct crew *lg_to_crew(lua_State *L, int index);
void lg_crew_reserve(lua_State *L, struct crew *crew);
struct member *lg_crew_attach(lua_State *L, struct crew *crew, int index,
                              struct green_list *list, struct green_thread *t);
void lg_crew_fire(struct green_hub *hub, struct green_watch *watch);
void lg_crew_delist(struct member *m);
void lg_crew_drop_anchor(const struct crew *crew);

/* results.c. A member is over, or was born into a crew that is read in order;
 * the first one was read; who waits for it is woken, if it is there. */
void lg_crew_collect(struct crew *crew, struct member *m);
void lg_crew_uncollect(struct crew *crew);
void lg_crew_wake_reader(struct crew *crew);
int lg_crew_next(lua_State *L);
int lg_crew_add(lua_State *L);
int lg_crew_let_go(lua_State *L);
int lg_crew_drop_unread(lua_State *L);

#endif
