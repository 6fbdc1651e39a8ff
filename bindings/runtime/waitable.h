/* waitable.h - the protocol of all objects that threads can wait for.
 *
 * One static struct lg_waitable for each operation (an event's wait, a queue's
 * get, a queue's put ...). A single call waits in lg_wait_one() with the
 * thread's own node; select.c waits in many lists at once, each with a node of
 * its own, by the same functions. A value or permit stays in the object until
 * the woken thread runs: a wake-up hands over a reservation, and undo() gives
 * it back.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_WAITABLE_H
#define LG_WAITABLE_H

#include "runtime/object.h"
#include "runtime/wait.h"

/* `at` is the stack index of the object; the value to put is at at + 1. */
struct lg_waitable {
  struct lg_op op; /* of the single call; op.kind.name names both */
  /* Completes at once if possible: has its effect, pushes the call's results
   * and returns their number; else -1. May raise, before any effect. Never
   * switches. */
  int (*attempt)(lua_State *L, struct lg *G, void *object, int at);
  /* The list to wait in. */
  struct green_list *(*list)(void *object);
  /* The thread runs again, woken with GREEN_WOKEN or GREEN_CLOSED: pushes the
   * results, or returns -1 if there are none after all. May raise. */
  int (*fetch)(lua_State *L, struct lg *G, void *object, int at, int reason);
  /* The thread was woken (GREEN_WOKEN) but ends without having run. May be
   * NULL. Any stack, never raises. */
  void (*undo)(struct green_hub *hub, void *object);

  /* The rest may be NULL. The object at a stack index, if it is not a struct
   * lg_object; raises if it is no longer usable. */
  void *(*object)(lua_State *L, int at);
  /* For puts: deposit() leaves the value with the object, under the address of
   * the node, before the wait begins. withdraw() removes it after the wait,
   * whether it was taken or not. abandon() does so when the thread ends (any
   * stack, never raises). */
  void (*deposit)(lua_State *L, int at, struct green_node *node);
  void (*withdraw)(lua_State *L, int at, struct green_node *node);
  void (*abandon)(void *object);
  /* The thread was woken for any other reason: raises the error of its
   * value. */
  int (*failed)(lua_State *L, int at, struct green_node *node);
  /* Instead of `list`: link() links the node in `*where`, unless another case
   * has done so already, and returns 0 or a negative code; unlink() unlinks it;
   * busy() makes an error from UV_EBUSY. */
  int (*link)(struct lg *G, void *object, struct green_node *node,
              void **where);
  void (*unlink)(struct green_hub *hub, void *where, struct green_node *node);
  int (*busy)(lua_State *L, struct lg *G, void *where);
  /* When attempt() will succeed by itself: a deadline. */
  uint64_t (*due)(void *object);
  /* For things that end once: is it over? Then attempt() has join's shape. All
   * waiters in its list are woken at once. */
  int (*settled)(const void *object);
  /* The thread, if this is the end of a green thread. */
  struct green_thread *(*thread_of)(void *object);
  /* attempt() never succeeds: what happens before the wait is not seen. */
  int waits;
};

/* The single call, with the object at index 1 and its limit at index 2, for an
 * operation whose op.start only calls this. */
int lg_wait_one(lua_State *L, const struct lg_waitable *w,
                const struct lg_class *klass, size_t size);
/* op.woken and op.kind.undo of such an operation. */
int lg_one_woken(lua_State *L, struct lg *G, int reason);
void lg_one_undo(struct green_hub *hub, struct green_thread *t);

/* fetch for those that just return true. */
int lg_fetch_true(lua_State *L, struct lg *G, void *object, int at,
                  int reason);

/* The operation of the object at index `at`, and its address; NULL if it has
 * none. */
const struct lg_waitable *lg_operation(lua_State *L, struct lg *G, int at,
                                       int put, void **object);
/* Replaces an object of the user's by the thing that it stands for: calls
 * __waitable, if that is a function. 1: the user's code ran; -1: it leads
 * nowhere. */
int lg_stand_in(lua_State *L, int at);
/* Raises unless the object at `at` ends once. Tells whether it is over, its
 * list of waiters, and its thread if it is one. */
int lg_settled(lua_State *L, struct lg *G, int at, struct green_list **list,
               struct green_thread **thread);

/* Sets __waitable in the metatable on top of the stack. */
void lg_set_waitable(lua_State *L, const struct lg_waitable *w);

#endif
