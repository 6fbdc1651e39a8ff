/* green_record.h - what a runtime's hot paths touch: the record of a thread,
 * the lists in which threads wait, the kinds of both, and the families.
 *
 * green_runtime.h includes it, has the functions, and says which stack may call
 * them. Each switch or wait runs what is inline here. Layouts are those of one
 * version: a runtime is compiled again for another.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_RECORD_H
#define GREEN_RECORD_H

#include "green.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* ---------------------------------------------------------------- lists -- */

struct green_link {
  struct green_link *next, *prev;
};
/* Circular, through the list itself, in order of arrival. */
struct green_list {
  struct green_link link;
};
/* One thread in one list; linked while link.next. A thread that waits for many
 * things has a node of its own in each list. */
struct green_node {
  struct green_link link;
  struct green_thread *thread; /* NULL: the node of a green_watch */
};
/* Stands in a list in a thread's place and is called when its turn comes; only
 * in lists whose waiters are woken all at once, such as a thread's joiners.
 * `fire` runs on any stack, after the watch was unlinked; it may wake threads
 * but not block. `owns` may be NULL; it tells the runtime whether the thread's
 * error goes to this watch. */
struct green_watch;
struct green_watch_kind {
  void (*fire)(struct green_hub *hub, struct green_watch *watch);
  int (*owns)(const struct green_watch *watch);
};
struct green_watch {
  struct green_node node;
  const struct green_watch_kind *kind;
};

/* A choice keeps its places in many lists between the waits of a thread, so a
 * second wait for a thousand things costs no more than a wait for one. A case
 * stands in a list like a watch. While `thread` is blocked in the choice, its
 * cases count as that thread's nodes. Otherwise they are dormant: a case whose
 * turn comes leaves its list and calls `ready`, and the owner looks at the
 * thing before it waits again. `ready` may run on any stack and must only take
 * a note. */
struct green_case {
  struct green_watch watch; /* node.thread: set while it is armed */
  struct green_choice *choice;
  struct green_case *armed; /* the next one that has its thread in it */
};
struct green_choice {
  struct green_thread *thread; /* blocked in it, or NULL */
  struct green_case *armed;
  void (*ready)(struct green_choice *choice, struct green_case *c);
};

/* ----------------------------------------------------- waits and threads -- */

/* A kind of wait: one static object per blocking operation. */
struct green_wait_kind {
  const char *name; /* "queue:get" */
  /* The thread ends without going on from this wait: gives back what it holds
   * and, if it was woken (reason GREEN_WOKEN), what the wake-up handed over.
   * May be NULL. Called on any stack; never raises. Not called for a lap, whose
   * thread waits for nothing (thread->on is NULL). */
  void (*undo)(struct green_hub *hub, struct green_thread *thread);
  /* The wait ends, for any reason: unlinks further nodes and adjusts counts.
   * The node by which the thread is woken is unlinked already. */
  void (*leave)(struct green_hub *hub, struct green_thread *thread);
};

/* Why a thread was woken. */
enum green_reason {
  GREEN_WOKEN, /* what it waited for happened */
  GREEN_TIMEOUT,
  GREEN_INTERRUPT, /* killed, thrown into, or a scope was cancelled */
  GREEN_CLOSED,    /* what it waited for was closed */
  GREEN_DEADLOCK,
  GREEN_EXIT /* the program ends: main only */
};

enum green_state {
  GREEN_NEW, /* never ran; waits for a timer or is in the ready queue */
  GREEN_READY,
  GREEN_RUNNING,
  GREEN_BLOCKED,
  GREEN_DONE,
  GREEN_FAILED,
  GREEN_KILLED
};

/* thread->flags */
enum {
  GREEN_HELD = 1,   /* the record outlives the end; see green_forget() */
  GREEN_STRUCK = 2, /* killed */
  GREEN_FORCED = 4, /* force the kill past every handler */
  GREEN_SHORT = 8,  /* the last wait ended before the hub slept */
  GREEN_UNINTERRUPTIBLE = 16, /* no strike ends this wait */
  GREEN_CLEANUP = 32, /* a report or a link: runs even while the hub drains */
  GREEN_OVER = 64,    /* its end is over: only its holder still knows it */
  GREEN_RUNTIME = 128 /* of the runtime's own class: neither main nor C's */
};

enum { GREEN_ENDED, GREEN_PARKED }; /* see green_run_next() */

/* A kind of thread; a family's threads are all of one kind. */
struct green_class {
  const char *name; /* of one that has no name of its own: "a C thread" */
  /* Starts a thread or resumes one that parked without a stack; on a worker
   * stack, with the thread current. Then calls green_run_next() and does the
   * same with each thread that it returns, until it returns NULL. */
  void (*run)(struct green_hub *hub, struct green_thread *thread);
  /* Somebody ends the thread before it ever ran. May be NULL. */
  void (*unstarted)(struct green_hub *hub, struct green_thread *thread);
  /* The thread has ended: before its joiners are woken; after, with what the
   * first one returned, or 0. May be NULL. */
  int (*ending)(struct green_hub *hub, struct green_thread *thread);
  void (*ended)(struct green_hub *hub, struct green_thread *thread, int note);
};

/* The threads of one state of the runtime, one of the families of a hub: they
 * are counted, visited and ended together, and no other family notices. A
 * record tells its family by its address, so it needs no field for that. Main
 * and the threads of C belong to the hub. The runtime owns the memory, which
 * may be part of its state; the core owns the fields, of which the runtime may
 * read those up to `draining`. */
struct green__record_slab;
struct green_family {
  struct green_hub *hub; /* NULL: it is not open */
  const struct green_class *klass;
  struct green_family *next; /* of the hub's */
  uint32_t live;             /* threads */
  uint32_t spawns;           /* threads spawned */
  uint8_t draining;          /* its threads are being ended */
  struct green_list others;  /* threads that wait for the end of its others */
  struct green_thread *drainer;
  struct green__record_slab *slabs, *room; /* all; those with room */
  struct green_thread *reserved;           /* by their `user` */
};

/* One green thread. It has 128 bytes, two cache lines, because a program may
 * have a million. A free record has no id.
 *
 *   node ........ in the ready queue, or in the list of what it waits for
 *   stack ....... while it runs, and while it is parked with C frames on it
 *   kind, on .... what it waits for; since: when that began (hub's clock)
 *   fn .......... of a C thread that is new: what it will run
 *   result ...... of a C thread that has ended: what fn returned
 *   user_place .. the runtime's, of a thread that has ended
 *   joiners ..... threads that wait for its end
 *   scopes ...... its timeouts, groups and shields, innermost first
 *   user* ....... the runtime's
 */
struct green_thread {
  struct green_node node; /* the first 64 bytes are what a switch touches */
  struct green__stack *stack;
  const struct green_wait_kind *kind;
  void *user;
  uint8_t state, reason, pending, flags;
  uint8_t sleeps, user_flags;
  uint16_t deliveries;
  union {
    void *on;
    int (*fn)(struct green_hub *hub, void *arg);
  };
  union {
    uint64_t since;
    int result;
    uint32_t user_place;
  };
  uint32_t slot; /* in the timer heap; 0: not there */
  uint32_t
      struck_ms; /* when the kill came, then when it was delivered first */
  struct green_scope *scopes;
  struct green_list joiners;
  struct green__cold *cold;
  uint64_t id;
  int32_t user_anchor;
  uint32_t user_spawner;
};

/* The fields that a runtime reads at every call: a hub begins with them. */
struct green_hub_hot {
  struct green_thread *current; /* NULL on the hub's and the host's stack */
  int32_t budget;  /* calls that may still succeed without going round */
  uint32_t kept;   /* threads parked with their stack */
  uint32_t ready;  /* threads in the ready queue */
  uint32_t sleeps; /* polls that slept */
  uint8_t draining, closed;
};
static inline struct green_hub_hot *green_hot(struct green_hub *hub) {
  return (struct green_hub_hot *)hub;
}

/* The hub that was opened last on this OS thread and is open, or NULL: a quick
 * way to the running thread, for those who recognize that. */
extern __thread struct green_hub *green_here
    __attribute__((tls_model("initial-exec")));

/* The beginning of the 64 KB in which a record lies: all records there are of
 * one family. */
struct green_slab_head {
  struct green_family *family;
};
static inline struct green_family *green_family_of(
    const struct green_thread *t) {
  return ((struct green_slab_head *)((uintptr_t)t & ~(uintptr_t)65535))
      ->family;
}

/* What messages call a thread: its name, or what it is. Any stack of the hub's
 * OS thread; a signal handler, too. */
const char *green_called(const struct green_thread *t);

static inline void green_list_init(struct green_list *list) {
  list->link.next = list->link.prev = &list->link;
}
/* The first that waits, or a watch; dormant cases before it leave the list. */
struct green_node *green_list_head_slow(struct green_list *list);
static inline struct green_node *green_list_head(struct green_list *list) {
  struct green_node *first = (struct green_node *)list->link.next;
  if (first == (struct green_node *)&list->link) return NULL;
  return first->thread ? first : green_list_head_slow(list);
}
static inline struct green_thread *green_list_first(struct green_list *list) {
  struct green_node *first = green_list_head(list);
  return first ? first->thread : NULL;
}
static inline void green_list_add(struct green_list *list,
                                  struct green_node *node) {
  struct green_link *last = list->link.prev;
  node->link.next = &list->link;
  node->link.prev = last;
  last->next = list->link.prev = &node->link;
}
static inline void green_list_remove(struct green_node *node) {
  node->link.next->prev = node->link.prev;
  node->link.prev->next = node->link.next;
  node->link.next = NULL;
}

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
