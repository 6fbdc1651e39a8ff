/* lanes.h - OS threads that run tasks for a hub.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GREEN_LANES_H
#define GREEN_LANES_H

#include "internal.h"

/* Something that an OS thread runs: the first member of a look-up or a job,
 * whose maker sets `run`, `drop` and `job.fn`. */
struct green__task {
  struct green__job job; /* takes it back to the hub */
  struct green__lane *lane;
  /* In the queue of its lane, or in another of its owner's; link NULL: in
   * none. */
  struct green__task *next, **link;
  void (*run)(struct green__task *task); /* on the OS thread */
  /* The hub is closed, and nobody wants it; on the closing stack or on that OS
   * thread. */
  void (*drop)(struct green__task *task);
  uint8_t over;      /* under the lock: `run` has returned */
  uint8_t abandoned; /* under the lock: a thread has it, nobody holds it */
};

struct green__queue {
  struct green__task *first, **last;
  uint32_t count;
};
void green__queue_init(struct green__queue *q);
void green__queue_add(struct green__queue *q, struct green__task *task);
void green__queue_remove(struct green__queue *q, struct green__task *task);

/* Threads of one kind, and the tasks that wait for them. */
struct green__lane {
  struct green__lanes *lanes;
  struct green__lane *sibling;
  pthread_cond_t more, less; /* tasks; threads, while the lanes are closed */
  struct green__queue queue;
  uint32_t idle, threads;
  uint32_t stuck;     /* threads in a task that nobody waits for */
  uint32_t most, all; /* threads without the stuck ones, and with them */
};

/* Some lanes with one lock and one way back to the hub. Outlives the hub while
 * a thread runs; `finish` then frees what the owner has beside the lanes. */
struct green__lanes {
  pthread_mutex_t lock;
  struct green__lane *first; /* they, and what follows, are under the lock */
  int closed;
  uint32_t refs; /* the hub and the threads */
  struct green_post *post;
  void (*finish)(struct green__lanes *lanes); /* frees the memory, too */
};

/* 0 or an error, and then there is nothing to finish. */
int green__lanes_open(struct green_hub *h, struct green__lanes *lanes,
                      void (*finish)(struct green__lanes *lanes));
void green__lane_open(struct green__lanes *lanes, struct green__lane *lane,
                      uint32_t most, uint32_t all);
/* The hub closes: queued tasks are dropped, those under way end by themselves.
 * Waits for those of a lane for at most `ns`, which may be 0. */
void green__lanes_shutdown(struct green_hub *h, struct green__lanes *lanes,
                           uint64_t ns);

/* Other bounds, from the next task on. */
void green__lane_bound(struct green__lane *lane, uint32_t most, uint32_t all);
/* Sees to it that there is a thread for one more task: 0, or an error. Then it
 * can be queued, which does not fail. */
int green__lane_prepare(struct green__lane *lane);
void green__lane_queue(struct green__lane *lane, struct green__task *task);
/* Would a thread take the next one at once? */
int green__lane_has_room(struct green__lane *lane);
/* Nobody holds it any more. 1: it was queued, and is not any longer; 0: a
 * thread has it. And: somebody holds it again. */
int green__lane_abandon(struct green__task *task);
void green__lane_retrieve(struct green__task *task);

#endif
