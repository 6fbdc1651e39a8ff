/* global.c - the state of the process, outside of any hub.
 *
 * Owns the list of all slabs, the budget of mprotect guards (all hubs share one
 * vm.max_map_count), the fork mark, and the report of a stack overflow.
 *
 * The list is append-only and lock-free, because the fault handler of any OS
 * thread reads it at any time. A record is never freed. One whose base is NULL
 * has no memory, and if its hub is NULL too, the next slab reuses it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

#define ALT_STACK_SIZE 65536
#define DEFAULT_MAP_COUNT 65530 /* Linux's default */

static _Atomic(struct green__slab *) slabs;
static _Atomic long budget;
static _Atomic int forks;

/* ---------------------------------------------------------------- slabs -- */

static int claim(struct green__slab *slab, struct green_hub *h) {
  struct green_hub *nobody = NULL;
  if (atomic_load(&slab->base)) return 0;
  if (!atomic_compare_exchange_strong(&slab->hub, &nobody, h)) return 0;
  if (!atomic_load(&slab->base)) return 1;
  /* Used and abandoned with its memory between the two looks. */
  atomic_store(&slab->hub, NULL);
  return 0;
}

struct green__slab *green__global_slab(struct green_hub *h) {
  struct green__slab *slab = atomic_load(&slabs);
  for (; slab; slab = atomic_load(&slab->next))
    if (claim(slab, h)) return slab;
  slab = green__alloc(sizeof *slab);
  if (!slab) return NULL;
  atomic_init(&slab->hub, h);
  struct green__slab *first = atomic_load(&slabs);
  do atomic_store(&slab->next, first);
  while (!atomic_compare_exchange_weak(&slabs, &first, slab));
  return slab;
}

struct green__slab *green__global_find(const void *address) {
  struct green__slab *slab = atomic_load(&slabs);
  for (; slab; slab = atomic_load(&slab->next)) {
    uintptr_t base = (uintptr_t)atomic_load(&slab->base);
    if (base && (uintptr_t)address - base < slab->size) return slab;
  }
  return NULL;
}

/* --------------------------------------------------------- guard budget -- */

/* A guard by mprotect splits one mapping into two, and the rest of the process
 * needs mappings as well, so we take a third of the limit. */
static void read_budget(void) {
  char text[32];
  long limit = 0;
  int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    ssize_t n = read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    limit = strtol(text, NULL, 10);
    close(fd);
  }
  atomic_store(&budget, (limit > 0 ? limit : DEFAULT_MAP_COUNT) / 3);
}

int green__global_guard_budget(int take) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  long left;
  pthread_once(&once, read_budget);
  left = atomic_load(&budget);
  do {
    if (take > left) return 0;
  } while (!atomic_compare_exchange_weak(&budget, &left, left - take));
  return 1;
}

/* ------------------------------------------------ OS threads and forks -- */

_Thread_local uint64_t green__os_thread
    __attribute__((tls_model("initial-exec")));
static _Atomic uint64_t os_threads;

static void number_os_thread(void) {
  green__os_thread = atomic_fetch_add(&os_threads, 1) + 1;
}

/* The child has one OS thread, this one, and none of the hubs. */
static void on_fork(void) {
  atomic_fetch_add(&forks, 1);
  number_os_thread();
}

static void watch_forks(void) {
  pthread_atfork(NULL, NULL, on_fork);
}

int green__global_forked(void) {
  return atomic_load_explicit(&forks, memory_order_relaxed);
}

void green__global_init(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  if (!green__os_thread) number_os_thread();
}

const char *green_elsewhere(struct green_hub *h) {
  if (green__at_home(h)) return NULL;
  if (green__global_forked() != h->forks) return "in a forked child process";
  return "on another OS thread than the hub's";
}

/* ------------------------------------------------------ overflow report -- */

/* Builds the line without stdio, which signal handlers must not call. */
struct line {
  char text[256];
  size_t length;
};

static void put_text(struct line *l, const char *text) {
  for (; *text && l->length < sizeof l->text; text++)
    l->text[l->length++] = *text;
}

static void put_number(struct line *l, uint64_t n) {
  char digits[21];
  char *p = digits + sizeof digits - 1;
  *p = '\0';
  do *--p = (char)('0' + n % 10);
  while (n /= 10);
  put_text(l, p);
}

/* Names come from the user: drop control characters and leave room for the
 * rest. */
static void put_name(struct line *l, const char *name) {
  char c[2] = {0, 0};
  put_text(l, " \"");
  for (int i = 0; name[i] && i < 100; i++) {
    c[0] = (unsigned char)name[i] < ' ' ? '?' : name[i];
    put_text(l, c);
  }
  put_text(l, "\"");
}

void green__global_report(const struct green__stack *s, const char *how) {
  const struct green_thread *t = s->owner;
  const struct green__slab *slab = green__global_find(s);
  size_t size = slab ? slab->slot - GREEN__GUARD_SIZE - GREEN__TOP_SIZE : 0;
  struct line l = {{0}, 0};
  put_text(&l, "luagreen: stack overflow in ");
  if (t) {
    put_text(&l, "green thread #");
    put_number(&l, t->id);
    if (t->cold && t->cold->name && t->cold->name[0])
      put_name(&l, t->cold->name);
  } else {
    put_text(&l, "a worker without a green thread");
  }
  put_text(&l, " (");
  put_number(&l, size / 1024);
  put_text(&l, " KB)");
  put_text(&l, how);
  put_text(&l, "\n");
  green__stderr_now(l.text, l.length);
}

/* The stack whose guard holds the address. By address only: guards made by
 * madvise fault with SEGV_MAPERR, those made by mprotect with SEGV_ACCERR. */
static struct green__stack *overflowed(const void *address) {
  struct green__slab *slab = green__global_find(address);
  size_t offset;
  if (!slab) return NULL;
  offset = (size_t)((const char *)address - atomic_load(&slab->base));
  if (offset % slab->slot >= GREEN__GUARD_SIZE) return NULL;
  if (offset / slab->slot >= slab->used) return NULL;
  return green__slab_stack(slab, (uint32_t)(offset / slab->slot));
}

/* Gives the signal its default action and returns: the instruction faults
 * again, and the core dump shows the green thread, not this handler. */
static void on_fault(int signal, siginfo_t *info, void *context) {
  int error = errno;
  struct sigaction action = {0};
  (void)context;
  if (info->si_code > 0) {
    struct green__stack *s = overflowed(info->si_addr);
    if (s) green__global_report(s, "");
  }
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, NULL);
  if (info->si_code <= 0) raise(signal); /* sent by kill(): no fault */
  errno = error;
}

/* The handler cannot run on the full stack. One per OS thread. */
static int alternate_stack(void) {
  stack_t stack;
  if (sigaltstack(NULL, &stack) != 0) return -errno;
  if (!(stack.ss_flags & SS_DISABLE)) return 0; /* the host has one */
  stack.ss_flags = 0;
  stack.ss_size = ALT_STACK_SIZE;
  stack.ss_sp = green__map(ALT_STACK_SIZE);
  if (!stack.ss_sp) return UV_ENOMEM;
  if (sigaltstack(&stack, NULL) == 0) return 0;
  green__unmap(stack.ss_sp, ALT_STACK_SIZE);
  return UV_EINVAL;
}

static int is_ours(const struct sigaction *action) {
  return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_fault;
}

/* 0, or UV_EBUSY if somebody else handles the signal. */
static int catch_fault(int signal) {
  struct sigaction action = {0};
  sigaction(signal, NULL, &action);
  if (is_ours(&action)) return 0;
  if ((action.sa_flags & SA_SIGINFO) || action.sa_handler != SIG_DFL)
    return UV_EBUSY;
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  return sigaction(signal, &action, NULL) == 0 ? 0 : UV_EINVAL;
}

int green_report_overflow(void) {
  int r = alternate_stack();
  if (r < 0) return r;
  r = catch_fault(SIGSEGV);
  if (r < 0) return r;
  catch_fault(SIGBUS); /* some systems' word for it; not worth refusing */
  return 0;
}
