/* offload.c - jobs: functions of the program's that run on OS threads.
 *
 * They have a lane of their own (lanes.c), so a job waits for no look-up and
 * for nothing of libuv's. A job has one caller, who waits for it and gets it
 * back; if the caller leaves before, the job is alone: one that has not begun
 * never runs, one that runs is told by its flag, and its argument is disposed
 * of by a chore when it has come back.
 *
 * Who owns a job: the caller until it is queued; then the lane; from done() on
 * the woken caller, or, if that has left, the chore.
 *
 * On the hub, where not said otherwise.
 *
 * SPDX-License-Identifier: MIT
 */
#include "lanes.h"

struct green_job {
  struct green__task task;
  struct green_chore chore;
  int (*run)(struct green_job *job, void *arg);
  void (*dispose)(void *arg);
  void *arg;
  int result;
  atomic_int cancelled;
  uint8_t done; /* it came back to the hub */
  uint8_t left; /* its caller has gone */
  struct green_list waiters;
};

struct green__offload {
  struct green__lanes lanes;
  struct green__lane jobs;
};

static struct green_job *job_of(struct green__task *task) {
  return (struct green_job *)task;
}

/* --- on the OS thread --- */

static void run(struct green__task *task) {
  struct green_job *job = job_of(task);
  job->result = job->run(job, job->arg);
}

int green_job_cancelled(const struct green_job *job) {
  return atomic_load_explicit(&job->cancelled, memory_order_relaxed);
}

/* --- the end --- */

static void job_free(struct green_job *job) {
  if (job->dispose) job->dispose(job->arg);
  green__free(job);
}

static void drop(struct green__task *task) {
  job_free(job_of(task));
}

static void on_chore(struct green_hub *h, struct green_chore *chore) {
  (void)h;
  job_free(green__container(chore, struct green_job, chore));
}

/* A job is back. */
static void done(struct green_hub *h, void *arg) {
  struct green_job *job = arg;
  job->done = 1;
  if (!job->left)
    green__trace(h, GREEN__ANSWERED, 0, GREEN__JOB, (uintptr_t)job);
  if (job->left) {
    green_soon(h, &job->chore);
    return;
  }
  green__post_busy(h, -1);
  green_wake_all(h, &job->waiters, GREEN_WOKEN);
}

/* Any stack: the wait ends, by the job's end or before. */
void green_job_leave(struct green_hub *h, struct green_thread *t) {
  struct green_job *job = t->on;
  if (job->done) return;
  job->left = 1;
  green__trace(h, GREEN__ANSWERED, 0, GREEN__JOB, (uintptr_t)job);
  atomic_store_explicit(&job->cancelled, 1, memory_order_relaxed);
  green__post_busy(h, -1);
  if (green__lane_abandon(&job->task)) green_soon(h, &job->chore);
}

/* Any stack. */
void green_job_undo(struct green_hub *h, struct green_thread *t) {
  struct green_job *job = t->on;
  if (t->reason == GREEN_WOKEN) green_soon(h, &job->chore);
}

void *green_job_take(struct green_hub *h, struct green_job *job, int *result) {
  void *arg = job->arg;
  (void)h;
  assert(job->done && !job->left);
  if (result) *result = job->result;
  green__free(job);
  return arg;
}

/* --- the beginning --- */

static void finish(struct green__lanes *lanes) {
  green__free(lanes);
}

static int make_lane(struct green_hub *h) {
  struct green__offload *o = green__alloc(sizeof *o);
  int r = o ? green__lanes_open(h, &o->lanes, finish) : UV_ENOMEM;
  if (r < 0) {
    green__free(o);
    return r;
  }
  green__lane_open(&o->lanes, &o->jobs, 1, 1);
  h->offload = o;
  return 0;
}

/* The bound may have been changed since the last job. */
static int prepare(struct green_hub *h) {
  uint32_t most = h->options.max_jobs;
  int r = h->offload ? 0 : make_lane(h);
  if (r < 0) return r;
  if (h->offload->jobs.most != most)
    green__lane_bound(&h->offload->jobs, most, 2 * most);
  return green__lane_prepare(&h->offload->jobs);
}

/* Jobs are told by their flags, as their callers have left; so they get the
 * grace that threads got. */
void green__offload_shutdown(struct green_hub *h) {
  struct green__offload *o = h->offload;
  h->offload = NULL;
  if (o) green__lanes_shutdown(h, &o->lanes, h->options.grace);
}

static struct green_job *make(int (*fn)(struct green_job *job, void *arg),
                              void (*dispose)(void *arg), void *arg) {
  struct green_job *job = green__alloc(sizeof *job);
  if (!job) return NULL;
  job->task.job.fn = done;
  job->task.job.arg = job;
  job->task.run = run;
  job->task.drop = drop;
  job->chore.run = on_chore;
  job->run = fn;
  job->dispose = dispose;
  job->arg = arg;
  green_list_init(&job->waiters);
  return job;
}

/* The steps that can fail come first. */
int green_job_begin(struct green_hub *h,
                    int (*fn)(struct green_job *job, void *arg),
                    void (*dispose)(void *arg), void *arg, uint64_t deadline,
                    const struct green_wait_kind *kind) {
  struct green_job *job;
  int r = green__at_home(h) && !h->hot.closed ? 0 : UV_EPERM;
  if (r == 0) r = prepare(h);
  if (r < 0) return r;
  if (!(job = make(fn, dispose, arg))) return UV_ENOMEM;
  r = green_wait_begin(h, kind, job, &job->waiters, deadline);
  if (r < 0) {
    green__free(job);
    return r;
  }
  green__post_busy(h, 1);
  green__trace(h, GREEN__ASKED, 0, GREEN__JOB, (uintptr_t)job);
  green__lane_queue(&h->offload->jobs, &job->task);
  return 0;
}

/* --- for threads of C code --- */

static const struct green_wait_kind offload_kind = {"offload", green_job_undo,
                                                    green_job_leave};

/* A reason, or a code if nothing has begun. */
static int begin_and_wait(struct green_hub *h,
                          int (*fn)(struct green_job *job, void *arg),
                          void (*dispose)(void *arg), void *arg,
                          uint64_t deadline) {
  int r = green_keep_reserve(h);
  if (r == 0)
    r = green_job_begin(h, fn, dispose, arg, deadline, &offload_kind);
  return r < 0 ? r : (int)green_keep(h);
}

int green_offload(struct green_hub *h,
                  int (*fn)(struct green_job *job, void *arg),
                  void (*dispose)(void *arg), void *arg, uint64_t deadline,
                  int *result) {
  int r = deadline > 0 ? green__enter(h) : UV_ETIMEDOUT;
  if (r == 0) r = begin_and_wait(h, fn, dispose, arg, deadline);
  if (r < 0) { /* nothing has begun */
    if (dispose) dispose(arg);
    return r;
  }
  if (r != GREEN_WOKEN) return green__result(h, r);
  green_job_take(h, h->hot.current->on, result);
  return 0;
}
