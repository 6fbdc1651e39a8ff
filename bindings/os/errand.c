/* errand.c - one blocking call on an OS thread of its own.
 *
 * waitpid() and the open() of a FIFO have no descriptor to wait for, and a
 * handler of SIGCHLD belongs to the host. So a detached OS thread makes the
 * call, and an eventfd tells its end. It is made before there is anything to
 * wait for: if it cannot be, nothing has happened yet.
 *
 * An errand is shared by the green side and its OS thread, and the last frees
 * it. A caller that loses interest just lets go: the call goes on, a child is
 * reaped all the same, and the state may be closed meanwhile. The lock protects
 * the fields that both sides touch.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "os/os.h"

/* One for all: it is held for some loads and stores only. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;

/* waitpid() and open() need little stack. Signal handlers need none of it,
 * because all signals are blocked. */
enum { STACK = 128 * 1024 };

static void unref(struct lg_errand *e) {
  int left;
  pthread_mutex_lock(&lock);
  assert(e->refs > 0);
  left = --e->refs;
  pthread_mutex_unlock(&lock);
  if (left) return;
  if (e->finished && e->discard) e->discard(e);
  close(e->done);
  free(e);
}

static void finish(struct lg_errand *e) {
  static const uint64_t one = 1;
  ssize_t n;
  pthread_mutex_lock(&lock);
  e->finished = 1;
  pthread_mutex_unlock(&lock);
  do {
    n = write(e->done, &one, sizeof one);
  } while (n < 0 && errno == EINTR);
}

static void *thread(void *arg) {
  struct lg_errand *e = arg;
  int wanted;
  pthread_mutex_lock(&lock);
  while (!e->wanted) pthread_cond_wait(&told, &lock);
  wanted = e->wanted;
  pthread_mutex_unlock(&lock);
  if (wanted > 0) {
    e->run(e);
    finish(e);
  }
  unref(e);
  return NULL;
}

/* 0, or an errno. */
static int start(struct lg_errand *e) {
  pthread_attr_t attr;
  pthread_t id;
  sigset_t all, old;
  int error = pthread_attr_init(&attr);
  if (error) return error;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, STACK);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  error = pthread_create(&id, &attr, thread, e);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attr);
  return error;
}

struct lg_errand *lg_errand_new(size_t size) {
  struct lg_errand *e = calloc(1, size);
  int error;
  if (!e) return NULL;
  e->refs = 2;
  e->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (e->done < 0) {
    free(e);
    return NULL;
  }
  error = start(e);
  if (!error) return e;
  close(e->done);
  free(e);
  errno = error;
  return NULL;
}

void lg_errand_go(struct lg_errand *e, int wanted) {
  pthread_mutex_lock(&lock);
  assert(!e->wanted && wanted);
  e->wanted = wanted;
  pthread_cond_broadcast(&told);
  pthread_mutex_unlock(&lock);
}

void lg_errand_release(struct lg_errand *e) {
  unref(e);
}

int lg_errand_finished(struct lg_errand *e) {
  int finished;
  pthread_mutex_lock(&lock);
  finished = e->finished;
  pthread_mutex_unlock(&lock);
  return finished;
}

void lg_errand_wait(lua_State *L, struct lg *G, struct lg_errand *e,
                    const char *what) {
  struct pollfd p = {e->done, POLLIN, 0};
  int r = 0;
  while (r >= 0 && !lg_errand_finished(e)) {
    r = lg_file_look_again(L, G, e->done, GREEN_READABLE, what);
  }
  /* Nobody may block here: all wait, then, as the stock call did. */
  while (!lg_errand_finished(e)) poll(&p, 1, -1);
}
