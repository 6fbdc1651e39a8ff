/* lanes.c - the OS threads that do what would block the hub: look-ups, jobs.
 *
 * They are detached threads of the hub's own, apart from libuv's pool: a job
 * that hangs must not stop file I/O. A lane has threads of its own, and a
 * bounded number of them; a task of one lane never waits behind one of another.
 * In a lane tasks are served first come first served.
 *
 * If a thread is busy with a task that nobody holds any more, it does not
 * count, and another may take its place, up to a second bound.
 *
 * A lock protects all lanes of an owner, and the marked fields of a task.
 * Functions for others are the hub's; the rest runs on those OS threads.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>

#include "lanes.h"

/* --- queues --- */

void green__queue_init(struct green__queue *q) {
  q->first = NULL;
  q->last = &q->first;
  q->count = 0;
}

void green__queue_add(struct green__queue *q, struct green__task *task) {
  assert(!task->link);
  task->link = q->last;
  *q->last = task;
  q->last = &task->next;
  q->count++;
}

void green__queue_remove(struct green__queue *q, struct green__task *task) {
  assert(task->link && *task->link == task && q->count > 0);
  *task->link = task->next;
  if (task->next)
    task->next->link = task->link;
  else
    q->last = task->link;
  task->next = NULL;
  task->link = NULL;
  q->count--;
}

/* --- the OS threads --- */

static void release(struct green__lanes *lanes) {
  struct green__lane *lane;
  uint32_t refs;
  pthread_mutex_lock(&lanes->lock);
  refs = --lanes->refs;
  pthread_mutex_unlock(&lanes->lock);
  if (refs) return;
  green_post_release(lanes->post);
  for (lane = lanes->first; lane; lane = lane->sibling) {
    pthread_cond_destroy(&lane->more);
    pthread_cond_destroy(&lane->less);
  }
  pthread_mutex_destroy(&lanes->lock);
  lanes->finish(lanes);
}

/* Does it have too many threads, because one came back that was given up? */
static int is_surplus(const struct green__lane *lane) {
  return lane->threads - lane->stuck > lane->most;
}

/* The next one for a thread; NULL: the thread ends. */
static struct green__task *next_task(struct green__lane *lane) {
  struct green__lanes *lanes = lane->lanes;
  struct green__task *task = NULL;
  pthread_mutex_lock(&lanes->lock);
  lane->idle++;
  while (!lane->queue.first && !lanes->closed && !is_surplus(lane))
    pthread_cond_wait(&lane->more, &lanes->lock);
  lane->idle--;
  if (lanes->closed || is_surplus(lane)) {
    lane->threads--;
    pthread_cond_signal(&lane->more); /* the task that woke it is left */
    pthread_cond_signal(&lane->less);
  } else {
    green__queue_remove(&lane->queue, task = lane->queue.first);
  }
  pthread_mutex_unlock(&lanes->lock);
  return task;
}

static void is_over(struct green__task *task) {
  struct green__lane *lane = task->lane;
  pthread_mutex_lock(&lane->lanes->lock);
  task->over = 1;
  if (task->abandoned) lane->stuck--;
  pthread_mutex_unlock(&lane->lanes->lock);
}

static void *run_tasks(void *arg) {
  struct green__lane *lane = arg;
  struct green__lanes *lanes = lane->lanes;
  struct green__task *task;
  while ((task = next_task(lane))) {
    task->run(task);
    is_over(task);
    if (green__post_job(lanes->post, &task->job) < 0) task->drop(task);
  }
  release(lanes);
  return NULL;
}

/* All signals stay with the threads that were there before. */
static int start_thread(struct green__lane *lane) {
  pthread_t thread;
  sigset_t all, old;
  int error;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  error = pthread_create(&thread, NULL, run_tasks, lane);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  if (error) return -error;
  pthread_detach(thread);
  lane->threads++;
  lane->lanes->refs++;
  return 0;
}

static int may_start(const struct green__lane *lane) {
  return lane->threads - lane->stuck < lane->most && lane->threads < lane->all;
}

/* --- the hub's side --- */

int green__lanes_open(struct green_hub *h, struct green__lanes *lanes,
                      void (*finish)(struct green__lanes *lanes)) {
  int r = green__post_open(h, &lanes->post, 0);
  if (r < 0) return r;
  pthread_mutex_init(&lanes->lock, NULL);
  lanes->finish = finish;
  lanes->refs = 1;
  return 0;
}

/* The time that is waited for is that of the clock which nobody sets. */
void green__lane_open(struct green__lanes *lanes, struct green__lane *lane,
                      uint32_t most, uint32_t all) {
  pthread_condattr_t monotonic;
  lane->lanes = lanes;
  lane->most = most;
  lane->all = all;
  green__queue_init(&lane->queue);
  pthread_cond_init(&lane->more, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&lane->less, &monotonic);
  pthread_condattr_destroy(&monotonic);
  lane->sibling = lanes->first;
  lanes->first = lane;
}

void green__lane_bound(struct green__lane *lane, uint32_t most, uint32_t all) {
  pthread_mutex_lock(&lane->lanes->lock);
  lane->most = most;
  lane->all = all;
  if (is_surplus(lane)) pthread_cond_broadcast(&lane->more);
  pthread_mutex_unlock(&lane->lanes->lock);
}

int green__lane_has_room(struct green__lane *lane) {
  int room;
  pthread_mutex_lock(&lane->lanes->lock);
  room = lane->idle > lane->queue.count || may_start(lane);
  pthread_mutex_unlock(&lane->lanes->lock);
  return room;
}

int green__lane_prepare(struct green__lane *lane) {
  int error = 0;
  pthread_mutex_lock(&lane->lanes->lock);
  if (lane->idle <= lane->queue.count && may_start(lane)) {
    error = start_thread(lane);
    if (lane->threads) error = 0; /* the others will take it */
  }
  pthread_mutex_unlock(&lane->lanes->lock);
  return error;
}

void green__lane_queue(struct green__lane *lane, struct green__task *task) {
  task->lane = lane;
  pthread_mutex_lock(&lane->lanes->lock);
  green__queue_add(&lane->queue, task);
  pthread_cond_signal(&lane->more);
  pthread_mutex_unlock(&lane->lanes->lock);
}

int green__lane_abandon(struct green__task *task) {
  struct green__lane *lane = task->lane;
  int queued;
  pthread_mutex_lock(&lane->lanes->lock);
  queued = task->link != NULL;
  if (queued) {
    green__queue_remove(&lane->queue, task);
  } else if (!task->over) {
    task->abandoned = 1;
    lane->stuck++;
    if (lane->idle < lane->queue.count && may_start(lane)) start_thread(lane);
  }
  pthread_mutex_unlock(&lane->lanes->lock);
  return queued;
}

void green__lane_retrieve(struct green__task *task) {
  pthread_mutex_lock(&task->lane->lanes->lock);
  if (task->abandoned && !task->over) task->lane->stuck--;
  task->abandoned = 0;
  pthread_mutex_unlock(&task->lane->lanes->lock);
}

/* --- the end --- */

/* Of all lanes, linked. */
static struct green__task *close_all(struct green__lanes *lanes) {
  struct green__task *dropped = NULL, *task;
  struct green__lane *lane;
  lanes->closed = 1;
  for (lane = lanes->first; lane; lane = lane->sibling) {
    while ((task = lane->queue.first)) {
      green__queue_remove(&lane->queue, task);
      task->next = dropped;
      dropped = task;
    }
    pthread_cond_broadcast(&lane->more);
  }
  return dropped;
}

static struct timespec time_in(uint64_t ns) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  ns += (uint64_t)at.tv_nsec;
  at.tv_sec += (time_t)(ns / 1000000000);
  at.tv_nsec = (long)(ns % 1000000000);
  return at;
}

/* Under the lock. A thread posts what it has done before it ends. */
static void await_threads(struct green__lanes *lanes, uint64_t ns) {
  struct timespec at = time_in(ns);
  struct green__lane *lane;
  int r = ns ? 0 : ETIMEDOUT;
  for (lane = lanes->first; lane; lane = lane->sibling)
    while (lane->threads && r == 0)
      r = pthread_cond_timedwait(&lane->less, &lanes->lock, &at);
}

/* A forked child has none of the threads, and perhaps inherits a lock that one
 * of them held. */
void green__lanes_shutdown(struct green_hub *h, struct green__lanes *lanes,
                           uint64_t ns) {
  struct green__task *dropped, *next;
  if (!green__at_home(h)) return;
  pthread_mutex_lock(&lanes->lock);
  dropped = close_all(lanes);
  await_threads(lanes, ns);
  pthread_mutex_unlock(&lanes->lock);
  for (; dropped; dropped = next) {
    next = dropped->next;
    dropped->drop(dropped);
  }
  green_post_hold(lanes->post); /* the lanes' own, until their threads end */
  green_post_close(h, lanes->post);
  release(lanes);
}
