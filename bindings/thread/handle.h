/* handle.h - handles, by which Lua knows threads.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_HANDLE_H
#define LG_HANDLE_H

#include "runtime/state.h"

/* The payload of a userdata with one user value. 16 bytes, as a million of
 * them may stand beside their threads. */
struct lg_handle {
  union {
    struct green_thread *thread; /* while it lives */
    struct {
      uint32_t spawner;       /* an id, or 0 */
      uint16_t site, defined; /* where it was spawned, where its function is:
                                 numbers of places (runtime/site.h) */
    } past;
  };
  union {
    uint32_t site;   /* where it was spawned, while it lives */
    uint32_t id_low; /* then */
  };
  uint16_t id_high;
  uint8_t state; /* GREEN_NEW: it lives; else how it ended */
  uint8_t form;  /* of its outcome, see handle.c */
};

/* The handle at index 1, or raises; at any index, or NULL. */
struct lg_handle *lg_self_handle(lua_State *L);
struct lg_handle *lg_to_handle(lua_State *L, int index);
/* The record of the thread, or NULL if it is over. */
static inline struct green_thread *lg_live(const struct lg_handle *h) {
  return h->state == GREEN_NEW ? h->thread : NULL;
}
static inline uint64_t lg_handle_id(const struct lg_handle *h) {
  const struct green_thread *t = lg_live(h);
  return t ? t->id : (uint64_t)h->id_high << 32 | h->id_low;
}
/* of lg_self_handle() */
struct green_thread *lg_self_thread(lua_State *L);

/* The first pushes a new handle without a thread and may raise. The second
 * makes it, on top of the stack, the thread's, which was spawned at that place
 * (0: unknown); it takes a slot, which must be free, only if the thread has
 * none. */
struct lg_handle *lg_new_handle(lua_State *L, struct lg *G);
void lg_attach_handle(lua_State *L, struct lg *G, struct green_thread *t,
                      struct lg_handle *h, uint32_t site);

/* The thread has ended: moves its outcome to its handle, which then forgets the
 * thread. Never raises; any stack. */
void lg_settle(struct lg *G, struct green_thread *t);

/* For a handle whose thread is over: lg_push_end() pushes the values of join
 * (true, results... or false, error) and returns their number; the others push
 * its kill object and its name. For any handle: its table of rare things;
 * without `make`, it may push nothing and return 0. All may raise. */
int lg_push_end(lua_State *L, struct lg *G, int at);
void lg_push_own_kill(lua_State *L, struct lg *G, int at);
void lg_push_past_name(lua_State *L, struct lg *G, int at);
int lg_handle_rare(lua_State *L, struct lg *G, int at, int make);

/* A crew holds the record of a thread, so that it can read the outcome without
 * a handle, and releases it. Never raise. */
void lg_keep_thread(struct green_thread *t);
void lg_let_thread_go(struct lg *G, struct green_thread *t);

void lg_open_handles(lua_State *L);

#endif
