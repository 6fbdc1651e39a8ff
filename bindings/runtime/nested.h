/* nested.h - scopes that belong to a coroutine of the program's.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_NESTED_H
#define LG_NESTED_H

#include "runtime/object.h"

/* A timeout, shield or group's scope: see scopes.c. */
/* A scope; or, if `real` is another one, Lua's object for that scope. While a
 * coroutine keeps this object alive, the scope itself lies in the anchors. With
 * no memory left Lua frees the object without its finalizer. */
struct lg_scope {
  struct lg_object object;
  struct lg_scope *real;    /* all that follows is there */
  struct green_scope scope; /* .user is a slot of the anchors, 0: closed */
  double seconds;           /* < 0: never */
  uint64_t thread;          /* the id of the one that made it */
  uint32_t site;            /* where */
  uint8_t nested;           /* made in a coroutine of the program's */
  uint8_t counted;          /* it is a timeout, and open */
  struct lg_account *box;   /* where else it is counted, or NULL */
};

enum { LG_SCOPE_OBJECT = offsetof(struct lg_scope, scope) }; /* its size */
/* The user values of an object that a coroutine may keep alive. */
enum { LG_SCOPE_ERROR = 1, LG_SCOPE_OLDER, LG_SCOPE_REAL };

/* From now on the object on top of L, whose scope has its slot, belongs to the
 * coroutine L. May raise; then lg_unnest() cleans up. */
void lg_nest(lua_State *L, struct lg *G, struct lg_scope *s);

/* The following functions never raise and run on any stack. This one: the scope
 * no longer belongs to its coroutine. */
void lg_unnest(struct lg *G, struct lg_scope *s);
/* Is its coroutine alive, suspended or not? */
int lg_may_wake(struct lg *G, const struct lg_scope *s);
/* The green_scope's `awake`: does the coroutine run, and in that thread? */
int lg_awake(struct green_hub *hub, struct green_scope *scope);
/* Pushes the userdata of an open one; L has room. */
void lg_push_nested(lua_State *L, struct lg *G, uint32_t slot);

/* The current thread is about to wait in L, which is not its own coroutine, and
 * takes over the scopes of the coroutines that run in it. */
void lg_move_scopes(lua_State *L, struct lg *G);

#endif
