/* switch_test.c - the context switch alone, whichever backend is linked.
 *
 * Knows nothing but core/switch.h, so that it can be built for a foreign
 * processor and run in an emulator. With an argument it stops by a trap inside
 * a context, for gdb_backtrace.sh.
 *
 * SPDX-License-Identifier: MIT
 */
#include "../../core/switch.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

#define STACK_SIZE ((size_t)512 * 1024)
#define DEEP ((size_t)400 * 1024)

struct context {
  void *sp, *back;
  char *memory;
  long count;
};

static void open_context(struct context *c, void (*entry)(void *arg)) {
  memset(c, 0, sizeof *c);
  c->memory = malloc(STACK_SIZE);
  if (!c->memory) abort();
  c->sp = green__context_make(c->memory, c->memory + STACK_SIZE, entry, c);
}

static void go(struct context *c) {
  green__context_switch(&c->back, c->sp, 0);
}

static void back(struct context *c) {
  green__context_switch(&c->sp, c->back, 0);
}

/* ------------------------------------------------------ there and back -- */

static void counter(void *arg) {
  struct context *c = arg;
  for (;;) {
    c->count++;
    back(c);
  }
}

static void test_many_switches(void) {
  enum { MANY = 200000 };
  struct context c;
  long sum = 0;
  open_context(&c, counter);
  for (int i = 0; i < MANY; i++) {
    go(&c);
    sum += c.count;
  }
  CHECK(c.count == MANY, "200,000 switches there and back arrive");
  CHECK(sum == (long)MANY * (MANY + 1) / 2, "in turns, one for one");
  free(c.memory);
}

static void sums(void *arg) {
  struct context *c = arg;
  long a = c->count, b = 2 * a, s = 0;
  double x = (double)a;
  for (int i = 0;; i++) {
    s += a + b;
    x += 0.5;
    c->count = s == (a + b) * (i + 1) && x == (double)a + 0.5 * (i + 1);
    back(c);
  }
}

static void test_round_robin(void) {
  enum { CONTEXTS = 100 };
  static struct context c[CONTEXTS];
  int good = 0;
  for (int i = 0; i < CONTEXTS; i++) {
    open_context(&c[i], sums);
    c[i].count = i;
  }
  for (int round = 0; round < 100; round++)
    for (int i = 0; i < CONTEXTS; i++) {
      go(&c[i]);
      good += c[i].count == 1;
    }
  CHECK(good == 100 * CONTEXTS, "100 contexts in rotation keep their locals");
  for (int i = 0; i < CONTEXTS; i++) free(c[i].memory);
}

static void negates(void *arg) {
  struct context *c = arg;
  int value = 1; /* a new context sees no value */
  for (;;) value = green__context_switch(&c->sp, c->back, -value);
}

static void test_values(void) {
  enum { ROUNDS = 1000 };
  struct context c;
  int good = 0;
  open_context(&c, negates);
  for (int i = 0; i < ROUNDS; i++) {
    int value = green__context_switch(&c.back, c.sp, i);
    good += value == (i == 0 ? -1 : -i);
  }
  CHECK(good == ROUNDS, "each switch returns what the next one back passes");
  free(c.memory);
}

/* ----------------------------------------------------------- registers -- */

/* long registers_survive(void **from, void *to, const uint64_t *fill,
 * uint64_t *out): fills the callee-saved registers from `fill`, switches,
 * stores them in `out`. */
#if defined(__x86_64__)
enum { REGISTERS = 6 };
__asm__(
    "  .text\n"
    "  .type registers_survive, @function\n"
    "registers_survive:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n"
    "  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  pushq %rcx\n"
    "  movq 0(%rdx), %rbx\n  movq 8(%rdx), %rbp\n  movq 16(%rdx), %r12\n"
    "  movq 24(%rdx), %r13\n  movq 32(%rdx), %r14\n  movq 40(%rdx), %r15\n"
    "  call green__context_switch\n"
    "  popq %rcx\n"
    "  movq %rbx, 0(%rcx)\n  movq %rbp, 8(%rcx)\n  movq %r12, 16(%rcx)\n"
    "  movq %r13, 24(%rcx)\n  movq %r14, 32(%rcx)\n  movq %r15, 40(%rcx)\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n"
    "  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n"
    "  .size registers_survive, . - registers_survive\n");
#elif defined(__aarch64__)
enum { REGISTERS = 19 }; /* x19 to x29, d8 to d15 */
__asm__(
    "  .text\n"
    "  .type registers_survive, %function\n"
    "registers_survive:\n"
    "  hint #34\n"
    "  stp x29, x30, [sp, #-176]!\n"
    "  stp x19, x20, [sp, #16]\n  stp x21, x22, [sp, #32]\n"
    "  stp x23, x24, [sp, #48]\n  stp x25, x26, [sp, #64]\n"
    "  stp x27, x28, [sp, #80]\n  stp d8, d9, [sp, #96]\n"
    "  stp d10, d11, [sp, #112]\n  stp d12, d13, [sp, #128]\n"
    "  stp d14, d15, [sp, #144]\n  str x3, [sp, #160]\n"
    "  ldp x19, x20, [x2]\n  ldp x21, x22, [x2, #16]\n"
    "  ldp x23, x24, [x2, #32]\n  ldp x25, x26, [x2, #48]\n"
    "  ldp x27, x28, [x2, #64]\n  ldr x29, [x2, #80]\n"
    "  ldp d8, d9, [x2, #88]\n  ldp d10, d11, [x2, #104]\n"
    "  ldp d12, d13, [x2, #120]\n  ldp d14, d15, [x2, #136]\n"
    "  bl green__context_switch\n"
    "  ldr x3, [sp, #160]\n"
    "  stp x19, x20, [x3]\n  stp x21, x22, [x3, #16]\n"
    "  stp x23, x24, [x3, #32]\n  stp x25, x26, [x3, #48]\n"
    "  stp x27, x28, [x3, #64]\n  str x29, [x3, #80]\n"
    "  stp d8, d9, [x3, #88]\n  stp d10, d11, [x3, #104]\n"
    "  stp d12, d13, [x3, #120]\n  stp d14, d15, [x3, #136]\n"
    "  ldp d14, d15, [sp, #144]\n  ldp d12, d13, [sp, #128]\n"
    "  ldp d10, d11, [sp, #112]\n  ldp d8, d9, [sp, #96]\n"
    "  ldp x27, x28, [sp, #80]\n  ldp x25, x26, [sp, #64]\n"
    "  ldp x23, x24, [sp, #48]\n  ldp x21, x22, [sp, #32]\n"
    "  ldp x19, x20, [sp, #16]\n"
    "  ldp x29, x30, [sp], #176\n"
    "  ret\n"
    "  .size registers_survive, . - registers_survive\n");
#endif

#if defined(__x86_64__) || defined(__aarch64__)

void registers_survive(void **from, void *to, const uint64_t *fill,
                       uint64_t *out);

static int round_of_registers(void **from, void *to, uint64_t seed) {
  uint64_t fill[REGISTERS], out[REGISTERS];
  for (int i = 0; i < REGISTERS; i++)
    fill[i] = (seed + (uint64_t)i) * 0x9e3779b97f4a7c15u;
  memset(out, 0, sizeof out);
  registers_survive(from, to, fill, out);
  return memcmp(fill, out, sizeof fill) == 0;
}

/* Both sides fill all registers, each with values of its own. */
static void other_side(void *arg) {
  struct context *c = arg;
  for (uint64_t seed = 1000000;; seed++)
    c->count += round_of_registers(&c->sp, c->back, seed);
}

static void test_registers(void) {
  enum { ROUNDS = 10000 };
  struct context c;
  long good = 0;
  open_context(&c, other_side);
  for (int i = 0; i < ROUNDS; i++)
    good += round_of_registers(&c.back, c.sp, (uint64_t)i);
  CHECK(good == ROUNDS && c.count == ROUNDS - 1,
        "a switch keeps every callee-saved register");
  free(c.memory);
}

#else

static void test_registers(void) {
  SKIP("a switch keeps every callee-saved register", "unknown processor");
}

#endif

/* ---------------------------------------------------------------- stack -- */

static int dig(char *top, size_t depth) {
  volatile char room[1000];
  int sum;
  for (size_t i = 0; i < sizeof room; i += 100) room[i] = 1;
  if ((size_t)(top - (char *)__builtin_frame_address(0)) >= depth) return 1;
  sum = dig(top, depth);
  return sum + room[500];
}

static void digger(void *arg) {
  struct context *c = arg;
  c->count = dig(c->memory + STACK_SIZE, DEEP);
  back(c);
}

static void test_deep(void) {
  struct context c;
  open_context(&c, digger);
  go(&c);
  CHECK(c.count > 30, "a context of 512 KB can use 400 KB of it");
  free(c.memory);
}

static void aligned(void *arg) {
  struct context *c = arg;
  char text[64];
  double number = (double)c->count;
  _Alignas(16) volatile char here[16];
  here[0] = 0;
  snprintf(text, sizeof text, "%.2f", number / 4); /* uses aligned stores */
  c->count = (uintptr_t)here % 16 == 0 && !strcmp(text, "0.25");
  back(c);
}

static void test_alignment(void) {
  struct context c;
  int good = 0;
  for (size_t odd = 0; odd < 64; odd++) {
    open_context(&c, aligned);
    c.sp = green__context_make(c.memory, c.memory + STACK_SIZE - odd, aligned,
                               &c);
    c.count = 1;
    go(&c);
    good += (int)c.count;
    free(c.memory);
  }
  CHECK(good == 64, "the stack is aligned as the ABI asks, wherever it ends");
}

/* ------------------------------------------------------------ backtrace -- */

__attribute__((noinline)) static void stops_in_the_thread(void) {
  raise(SIGTRAP);
}

static void trapped(void *arg) {
  stops_in_the_thread();
  back(arg);
}

static int stop_in_context(void) {
  struct context c;
  open_context(&c, trapped);
  go(&c);
  free(c.memory);
  return 0;
}

int main(int argc, char **argv) {
  const char *name = green__context_name;
  (void)argv;
  if (argc > 1) return stop_in_context();
  CHECK(!strcmp(name, "x86_64") || !strcmp(name, "aarch64") ||
            !strcmp(name, "ucontext"),
        "the backend has a name");
  test_many_switches();
  test_round_robin();
  test_values();
  test_registers();
  test_deep();
  test_alignment();
  return test_end();
}
