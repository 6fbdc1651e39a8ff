/* alloc_profile.c - where memory is allocated, by samples.
 *
 * While it is on, an allocator in front of the state's own counts what blocks
 * grow. When a random number of bytes is reached, these belong to the coroutine
 * that runs, whose hook adds them to the stack that it finds at its next
 * instruction. So a call of C is charged to the function that called it, and
 * the sum of all stacks is what was allocated. Numbers are random, or a loop
 * that allocates in step with them would show one of its places only.
 *
 * Bytes that no hook will see are summed up apart: of code that no green thread
 * runs, of coroutines with a hook of the program's own, or of too many that
 * wait between their sample and their next instruction.
 *
 * If another library sets an allocator in front of ours, ours stays: it then
 * passes everything on, and the next profile uses it again.
 *
 * The allocator runs on any stack, in the midst of Lua, and calls nothing of
 * it; the rest where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bounds/stacks.h"
#include "bounds/ticks.h"
#include "runtime/object.h"
#include "runtime/random.h"

static const char KEY; /* in the registry */

enum { SAMPLES = 8 };

struct lg_allocs {
  lua_Alloc alloc; /* the state's own */
  void *ud;
  struct lg *G; /* NULL: it is closed */
  size_t bytes; /* since the last sample */
  size_t due;   /* take one when these are as many */
  size_t every; /* on average */
  uint64_t random, unseen;
  struct {
    lua_State *L; /* its hook will take it; NULL: none */
    size_t bytes;
  } samples[SAMPLES];
  uint8_t on, busy, by_thread, in_front, next;
  struct lg_allocs *former; /* one that was left behind before this one */
};

/* --- the allocator --- */

/* From half of the average to one and a half. */
static size_t next_due(struct lg_allocs *a) {
  return a->every / 2 + (size_t)(lg_random(&a->random) % a->every);
}

static int sample_of(const struct lg_allocs *a, const lua_State *L) {
  int i;
  for (i = 0; i < SAMPLES; i++)
    if (a->samples[i].L == L) return i;
  return -1;
}

/* The oldest sample gives its place up. */
static void put_sample(struct lg_allocs *a, lua_State *L) {
  int i = sample_of(a, L);
  if (i < 0) {
    i = a->next++ % SAMPLES;
    a->unseen += a->samples[i].bytes;
    a->samples[i].L = L;
    a->samples[i].bytes = 0;
  }
  a->samples[i].bytes += a->bytes;
}

static void sample(struct lg_allocs *a) {
  lua_State *L = lg_tick_soon(a->G);
  if (L)
    put_sample(a, L);
  else
    a->unseen += a->bytes;
  a->bytes = 0;
  a->due = next_due(a);
}

static void *allocate(void *ud, void *ptr, size_t osize, size_t nsize) {
  struct lg_allocs *a = ud;
  void *block = a->alloc(a->ud, ptr, osize, nsize);
  size_t old = ptr ? osize : 0;
  if (nsize <= old || !block || !a->on || a->busy) return block;
  a->bytes += nsize - old;
  if (a->bytes >= a->due) sample(a);
  return block;
}

/* --- the hook --- */

/* Its own allocations do not count. */
static int act(lua_State *L, struct lg *G, lua_Debug *ar, uint64_t ran) {
  struct lg_allocs *a = G->allocs;
  int i = a && a->on ? sample_of(a, L) : -1;
  size_t bytes;
  (void)ar;
  (void)ran;
  if (i < 0 || a->busy) return 0;
  bytes = a->samples[i].bytes;
  a->samples[i].L = NULL;
  a->samples[i].bytes = 0;
  a->busy = 1;
  lg_stacks_add(L, G, &KEY, a->by_thread, bytes);
  a->busy = 0;
  return 0;
}

/* --- on and off --- */

static void step_in_front(lua_State *L, struct lg_allocs *a) {
  if (a->in_front) return;
  a->alloc = lua_getallocf(L, &a->ud);
  lua_setallocf(L, allocate, a);
  a->in_front = 1;
}

static void step_aside(lua_State *L, struct lg_allocs *a) {
  void *ud;
  if (lua_getallocf(L, &ud) != allocate || ud != a) return;
  lua_setallocf(L, a->alloc, a->ud);
  a->in_front = 0;
}

static void turn_off(lua_State *L, struct lg_allocs *a) {
  a->on = 0;
  step_aside(L, a);
}

/* An allocator that has another in front of it still frees the rest of the
 * state, so it stays: 200 bytes, once in the life of such a state. */
static void leave_behind(struct lg_allocs *a) {
  static struct lg_allocs *_Atomic left; /* where a leak checker finds it */
  a->former = atomic_exchange(&left, a);
}

void lg_alloc_profile_free(struct lg *G) {
  struct lg_allocs *a = G->allocs;
  if (!a) return;
  G->allocs = NULL;
  turn_off(G->main, a);
  a->G = NULL;
  if (a->in_front)
    leave_behind(a);
  else
    free(a);
}

static uint64_t unseen(struct lg_allocs *a) {
  uint64_t n = a->unseen + a->bytes;
  int i;
  for (i = 0; i < SAMPLES; i++) n += a->samples[i].bytes;
  return n;
}

static struct lg_allocs *make(lua_State *L, struct lg *G) {
  struct lg_allocs *a = calloc(1, sizeof *a);
  if (!a) luaL_error(L, "not enough memory");
  a->G = G;
  a->random = uv_hrtime() | 1;
  return G->allocs = a;
}

/* alloc_begin(bytes, by_thread) */
static int l_begin(lua_State *L) {
  struct lg *G = lg_get(L);
  lua_Integer every = luaL_checkinteger(L, 1);
  struct lg_allocs *a;
  const char *why = lg_ticks_know(G);
  luaL_argcheck(L, every >= 64, 1, "64 or more expected");
  if (why) return luaL_error(L, "no profile of allocations: %s", why);
  a = G->allocs ? G->allocs : make(L, G);
  lg_stacks_begin(L, &KEY);
  memset(a->samples, 0, sizeof a->samples);
  a->bytes = 0;
  a->unseen = 0;
  a->every = (size_t)every;
  a->due = next_due(a);
  a->by_thread = (uint8_t)lua_toboolean(L, 2);
  step_in_front(L, a);
  a->on = 1;
  return 0;
}

/* alloc_end(): {stack, bytes, stack, bytes, ...} */
static int l_end(lua_State *L) {
  struct lg *G = lg_get(L);
  struct lg_allocs *a = G->allocs;
  if (a) turn_off(L, a);
  lg_stacks_end(L, &KEY, "(elsewhere)", a ? unseen(a) : 0);
  return 1;
}

void lg_open_alloc_profile(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"alloc_begin", l_begin}, {"alloc_end", l_end}, {NULL, NULL}};
  lg_find(L)->tick_acts[LG_TICK_ALLOC] = act;
  lg_setfuncs(L, functions, 0);
}
