/* report.c - the library's messages on stderr.
 *
 * A report never blocks its caller: bytes that stderr does not take at once
 * wait in a queue. An OS thread, which exists only as long as there are any,
 * writes them. Reports are limited in rate, and the queue in size; a later
 * report tells how many were dropped. A peer's bytes in a text cannot control
 * the terminal that shows it. At exit the process goes on writing as long as
 * the reader makes progress, within bounds.
 *
 * All of this belongs to the process, as stderr does, and is protected by one
 * lock. Nobody holds the lock during a write that may block.
 *
 * Any stack, any OS thread; not in a signal handler.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "internal.h"

/* Reports in one burst, and in each second after it: a few screens of
 * tracebacks show what is wrong, and a flood of them would fill a disk. */
enum { BURST = 200, PER_SECOND = 20 };

/* A text is cut after this, unless the caller wants it whole. */
#define MOST_TEXT 65536
/* While more than this waits, nothing is added. */
#define MOST_WAITING 262144
/* The writer's pieces: how the end of the process sees progress. */
#define PIECE 4096
#define WRITER_STACK 131072
#define SECOND UINT64_C(1000000000)
/* How long the end of the process waits: without progress, and in all. */
#define STALLED (SECOND / 5)
#define LONGEST (2 * SECOND)

struct text {
  struct text *next;
  size_t length, done;
  char bytes[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed; /* of the monotonic clock */
static struct text *first, **last = &first;
static size_t waiting;        /* bytes in the queue */
static uint64_t written;      /* bytes that the writer has written */
static uint64_t dropped;      /* reports, since the last line about it */
static uint64_t tell_at;      /* when the next such line is due */
static double tokens = BURST; /* reports that may be made now */
static uint64_t tokens_at;    /* when that was so */
static int writer;            /* the OS thread runs */
static char reserve[PIECE];   /* for a text when memory is short */

static uint64_t now(void) {
  return uv_hrtime();
}

/* --- text that may be shown --- */

/* The length of the UTF-8 sequence at s that is not a control, or 0. */
static size_t sequence(const unsigned char *s, size_t left) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t i, n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
  uint32_t code = s[0] & (0xffu >> (n + 1));
  if (s[0] < 0xc2 || s[0] > 0xf4 || left < n) return 0;
  for (i = 1; i < n; i++) {
    if ((s[i] & 0xc0) != 0x80) return 0;
    code = code << 6 | (s[i] & 0x3f);
  }
  if (code < least[n] || code > 0x10ffff) return 0;
  if (code >= 0xd800 && code <= 0xdfff) return 0;
  if (code < 0xa0) return 0; /* C1: a control sequence in one character */
  /* These turn the direction of the text around, or break lines. */
  if (code == 0x61c || (code >= 0x200e && code <= 0x200f) ||
      (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069))
    return 0;
  return n;
}

static int is_plain(unsigned char c) {
  return (c >= ' ' && c < 0x7f) || c == '\n' || c == '\t';
}

static void escape(char *to, unsigned char c) {
  static const char digits[] = "0123456789abcdef";
  to[0] = '\\';
  to[1] = 'x';
  to[2] = digits[c >> 4];
  to[3] = digits[c & 15];
}

size_t green_printable(char *to, const char *from, size_t length) {
  const unsigned char *s = (const unsigned char *)from;
  size_t n = 0, i = 0;
  while (i < length) {
    size_t k = is_plain(s[i]) ? 1
               : s[i] >= 0x80 ? sequence(s + i, length - i)
                              : 0;
    if (to && k) memcpy(to + n, s + i, k);
    if (to && !k) escape(to + n, s[i]);
    n += k ? k : 4;
    i += k ? k : 1;
  }
  return n;
}

/* --- the rate --- */

static void count_drop(void) {
  if (dropped++ == 0) tell_at = now() + SECOND;
}

static int take_token(void) {
  uint64_t at = now();
  if (tokens_at)
    tokens += (double)(at - tokens_at) / (double)SECOND * PER_SECOND;
  if (tokens > BURST) tokens = BURST;
  tokens_at = at;
  if (tokens < 1) return 0;
  tokens--;
  return 1;
}

/* --- the queue --- */

static void *write_queue(void *unused);

/* The lock is held in the functions that follow. */
static void start_writer(void) {
  pthread_t thread;
  pthread_attr_t attr;
  sigset_t all, before;
  if (writer) return;
  pthread_attr_init(&attr);
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, WRITER_STACK);
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before); /* it inherits the mask */
  writer = pthread_create(&thread, &attr, write_queue, NULL) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
}

static int append(const char *bytes, size_t length) {
  struct text *t = green__alloc(sizeof *t + length);
  if (!t) return 0;
  t->length = length;
  memcpy(t->bytes, bytes, length);
  *last = t;
  last = &t->next;
  waiting += length;
  return 1;
}

static void remove_first(void) {
  struct text *t = first;
  assert(t && waiting >= t->length);
  first = t->next;
  if (!first) last = &first;
  waiting -= t->length;
  green__free(t);
}

/* Writes as much of the queue as it can without waiting. */
static void write_now(void) {
  while (first) {
    struct text *t = first;
    t->done += green__stderr_now(t->bytes + t->done, t->length - t->done);
    if (t->done < t->length) return;
    remove_first();
  }
}

/* Writes printable bytes: now, later, or never. */
static void emit(const char *bytes, size_t length) {
  size_t n = 0;
  if (!first) n = green__stderr_now(bytes, length);
  if (n == length) return;
  if (waiting > MOST_WAITING || !append(bytes + n, length - n)) count_drop();
  start_writer();
}

static void tell_dropped(void) {
  char line[80];
  int n =
      snprintf(line, sizeof line, "luagreen: %llu more reports were dropped\n",
               (unsigned long long)dropped);
  dropped = 0;
  emit(line, (size_t)n);
}

/* --- the writer --- */

/* Releases the lock while it writes, which may take for ever. The text stays
 * the first, because only the writer removes texts. */
static void write_piece(void) {
  struct text *t = first;
  size_t n = t->length - t->done;
  pthread_mutex_unlock(&lock);
  n = green__stderr_wait(t->bytes + t->done, n < PIECE ? n : PIECE);
  pthread_mutex_lock(&lock);
  assert(writer && first == t);
  t->done += n;
  written += n;
  if (t->done == t->length) remove_first();
  pthread_cond_broadcast(&changed);
}

static void wait_until(uint64_t at) {
  struct timespec t = {(time_t)(at / SECOND), (long)(at % SECOND)};
  pthread_cond_timedwait(&changed, &lock, &t);
}

static void *write_queue(void *unused) {
  (void)unused;
  pthread_mutex_lock(&lock);
  while (first || dropped) {
    if (first)
      write_piece();
    else if (now() < tell_at)
      wait_until(tell_at);
    else
      tell_dropped();
  }
  writer = 0;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  return NULL;
}

/* --- the process --- */

/* A program may call exit() where it should not: in a signal handler that has
 * interrupted a report. */
static int lock_at_exit(void) {
  static const struct timespec pause = {0, 1000000};
  int tries = 100;
  while (pthread_mutex_trylock(&lock) != 0) {
    if (--tries == 0) return 0;
    nanosleep(&pause, NULL);
  }
  return 1;
}

static void at_exit(void) {
  uint64_t end = now() + LONGEST, stalled = now() + STALLED, seen;
  if (!lock_at_exit()) return;
  if (dropped) tell_dropped();
  if (!writer) write_now();
  /* As long as the reader takes something, it gets the rest. */
  seen = written;
  while (first && writer && now() < end && now() < stalled) {
    wait_until(stalled < end ? stalled : end);
    if (seen != written) stalled = now() + STALLED;
    seen = written;
  }
  pthread_mutex_unlock(&lock);
}

static void before_fork(void) {
  pthread_mutex_lock(&lock);
}

static void after_fork(void) {
  pthread_mutex_unlock(&lock);
}

static void init_condition(void) {
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&changed, &attr);
  pthread_condattr_destroy(&attr);
}

/* The parent's writer writes the waiting texts; a child starts with an empty
 * queue. */
static void in_child(void) {
  init_condition();
  while (first) remove_first();
  dropped = 0;
  writer = 0;
  pthread_mutex_unlock(&lock);
}

static void init(void) {
  init_condition();
  pthread_atfork(before_fork, after_fork, in_child);
  atexit(at_exit);
}

static void enter(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, init);
  pthread_mutex_lock(&lock);
}

/* --- making reports --- */

int green_report_begin(void) {
  int may;
  enter();
  may = take_token();
  if (!may) {
    count_drop();
    start_writer(); /* it tells */
  }
  pthread_mutex_unlock(&lock);
  return may;
}

/* If no copy can be made, the text is cut to fit the reserve. */
static void put_printable(const char *text, size_t length) {
  size_t size = green_printable(NULL, text, length);
  char *copy = size <= sizeof reserve ? reserve : green__alloc(size);
  if (!copy) {
    copy = reserve;
    length = sizeof reserve / 4;
  }
  emit(copy, green_printable(copy, text, length));
  if (copy != reserve) green__free(copy);
}

void green_report_put(const char *text, size_t length, int whole) {
  char cut[64];
  size_t more = !whole && length > MOST_TEXT ? length - MOST_TEXT : 0;
  enter();
  put_printable(text, length - more);
  if (more)
    emit(cut,
         (size_t)snprintf(cut, sizeof cut, "\n... (%zu bytes more)\n", more));
  pthread_mutex_unlock(&lock);
}

void green_report(const char *format, ...) {
  char line[1024];
  va_list arguments;
  int n;
  if (!green_report_begin()) return;
  va_start(arguments, format);
  n = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (n < 0) return;
  if (n >= (int)sizeof line) line[n = sizeof line - 1] = '\n';
  green_report_put(line, (size_t)n, 0);
}
