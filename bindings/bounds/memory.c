/* memory.c - the memory of a lua_State, counted and limited.
 *
 * An allocator in front of the host's counts bytes and refuses those beyond the
 * limit. Lua tries a refused allocation once more after a collection of all
 * garbage, which stops everything else. Three things keep that bearable:
 *
 *   - A collection begins early, in steps, whenever half of what is left has
 *     been taken, so that most programs never meet the limit.
 *   - Above the limit lies a reserve. Half of it is for threads that are
 *     killed, for finalizers (without memory Lua frees an object and calls
 *     none) and for reports; the other half for the library and its host
 *     alone. So a script that is at the limit, or abuses its own clean-up,
 *     does not keep anybody from killing it, or from closing the state.
 *   - A state that does nothing but collect is ended: after MOST_FORCED forced
 *     collections in a row, with less other work between two than the first of
 *     them took, or after MOST_OF_ONE by one thread that gives no turn, its
 *     threads are killed and it spawns no more.
 *
 * Lua tells the allocator the kind of a new object, but not of one that it
 * frees. So each block of the size of a coroutine has one more word, which says
 * whether it is a coroutine. In this way the allocator counts coroutines
 * without finalizers.
 *
 * A call of what calls itself through its metatable, t.__call = t, is one
 * instruction of Lua that takes 500 s: no hook comes between. But the stack
 * grows with it. So in a thread of a sandbox an instruction that has computed
 * for TOO_LONG_NS beyond its tick gets no larger stack, which is an error. It
 * still gets other blocks: the collector may have taken the time.
 *
 * The budget begins with the state's first block and is freed with its last.
 *
 * The allocator runs on any stack, in the midst of Lua, and calls nothing of
 * Lua's but lua_gc(), to move counters and to read them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/memory.h"

#include "bounds/bounds.h"
#include "bounds/ticks.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/anchor.h"
#include "runtime/counts.h"
#include "runtime/force.h"
#include "runtime/object.h"

/* Forced collections in a row; and of one thread that gives no turn. */
enum { MOST_FORCED = 16, MOST_OF_ONE = 64 };

/* A stack larger than this is not for an instruction that takes too long. */
enum { LARGE = 128 * 1024, TOO_LONG_NS = 50000000 };

/* Of a coroutine's stack (ldo.c, lstate.h): the bytes of a slot, the slots
 * beyond its size, and its most slots. */
enum { SLOT = 16, EXTRA = 5, MOST_SLOTS = 1000000 };

#define NO_SIZE SIZE_MAX

/* No block can have more. Lua does ask for it: a file's read(-1) wants a buffer
 * of NO_SIZE bytes. */
#define MOST_BYTES (SIZE_MAX / 2)

/* Not inlined: its registers need not be saved on the common path. */
#define APART __attribute__((noinline))

/* What a state needs by itself to kill, close and report. */
#define LEAST_RESERVE ((size_t)64 * 1024)

struct memory {
  struct lg_budget b; /* first */
  /* A new block is fine as long as no more than `ceiling` is used with it; a
   * block less, as long as no less than `floor` is. Both follow from what
   * stands below. */
  size_t ceiling, floor;
  size_t asked;    /* of the C library, just now */
  size_t co_size;  /* of blocks with a word more; NO_SIZE: none has */
  lua_Alloc alloc; /* the host's */
  void *ud;
  lua_State *L; /* the main Lua thread; NULL: not made yet */
  /* When used is beyond due, a collection is to begin. It began at `began` the
   * last time; below `low` it has freed something. */
  size_t due, began, low;
  /* Forced collections, in ns: when the last one began and ended, and how long
   * it took; how many in a row. */
  uint64_t forced_began, forced_at, forced_ns;
  uint32_t row;
  struct {
    uint64_t switches, since, ns;
    uint32_t forced;
  } hog;
  size_t stack; /* slots of the last large block, if that may be a stack */
  /* The request refused last; NULL and 0: Lua does not try it again. */
  struct {
    void *ptr;
    size_t size;
  } refused;
  struct green_timer timer; /* collects, or ends the state */
};

static const char BUDGET[] = "luagreen.budget";

/* --- who may take how much --- */

/* The coroutine that the thread runs in; NULL: unknown. */
static lua_State *running(const struct lg *G, const struct green_thread *t) {
  lua_State *nested = *green_nested(G->hub);
  if (nested) return nested;
  return lg_is_lua(t) ? t->user : NULL;
}

/* A hook needs room on the stack. One of a tick, or one that look_closely() has
 * brought near, fires at the next instruction, so little else can take the
 * reserve. */
static int hook_is_due(const struct lg *G, const struct green_thread *t) {
  lua_State *L = running(G, t);
  lua_Hook hook = L ? lua_gethook(L) : NULL;
  if (!hook || lua_gethookcount(L) != 1) return 0;
  return hook == G->tick || lg_is_watched(L);
}

/* The watch of a killed thread counts instructions, which may take
 * milliseconds each where Lua collects all garbage at each allocation. Lua
 * allows this call at any moment. */
static void look_closely(struct lg *G) {
  struct green_thread *t = G && G->hub ? lg_current(G) : NULL;
  lua_State *L = t && t->flags & GREEN_STRUCK ? running(G, t) : NULL;
  if (L && lg_is_watched(L))
    lua_sethook(L, lua_gethook(L), lua_gethookmask(L), 1);
}

/* Lua's collector tells no count while a finalizer runs. */
static int in_finalizer(const struct lg *G) {
  return lua_gc(G->main, LUA_GCCOUNT) < 0;
}

/* The part of the reserve that is open to the caller. On the host's stack, and
 * before the state is open, the host is the caller. */
static size_t open_reserve(const struct lg_budget *b) {
  const struct green_thread *t;
  if (b->working || !b->G || !b->G->hub) return b->reserve;
  if (!(t = lg_current(b->G))) return b->reserve;
  if (hook_is_due(b->G, t)) return b->reserve;
  if (b->ended || t->flags & (GREEN_STRUCK | GREEN_CLEANUP) ||
      in_finalizer(b->G))
    return b->reserve / 2;
  return 0;
}

static int fits(const struct lg_budget *b, size_t more) {
  if (b->memory == SIZE_MAX) return 1;
  if (likely(b->used + more <= b->memory)) return 1;
  return b->used + more <= b->memory + open_reserve(b);
}

/* A stack doubles; from Lua 5.5 on it grows by a half. It has a few slots more,
 * so no two tables or buffers have sizes like these. */
static int grows_stack(const struct memory *m, size_t nsize) {
  size_t slots = nsize / SLOT - EXTRA, former = m->stack;
  return nsize % SLOT == 0 && former > 0 &&
         (slots == 2 * former || slots == former + former / 2 ||
          slots == MOST_SLOTS);
}

static void note_stack(struct memory *m, size_t nsize) {
  m->stack = nsize % SLOT == 0 ? nsize / SLOT - EXTRA : 0;
}

static int takes_too_long(const struct lg_budget *b) {
  struct lg *G = b->G;
  struct green_thread *t = G && G->hub && G->boxes ? lg_current(G) : NULL;
  return t && lg_tick_overdue(G) > TOO_LONG_NS && lg_account_of(G, t);
}

/* --- the end of a state --- */

/* Forced at once: a kill that is raised needs memory for its object, and code
 * that catches it takes more. Its <close> handlers run. */
static void kill_thread(struct green_thread *t, void *arg) {
  struct lg *G = arg;
  int is_new = t->state == GREEN_NEW;
  if (t->state >= GREEN_DONE) return;
  if (green_kill(G->hub, t) > 0 && !is_new) t->flags |= GREEN_FORCED;
}

static void end_state(struct green_hub *hub, struct green_timer *timer) {
  struct memory *m =
      (struct memory *)((char *)timer - offsetof(struct memory, timer));
  if (!m->b.G || m->b.G->hub != hub) return;
  green_report(
      "luagreen: a state had no memory left (its limit is %llu "
      "bytes): its threads are killed\n",
      (unsigned long long)m->b.memory);
  green_each_of(hub, &m->b.G->family, kill_thread, m->b.G);
}

/* Killing takes a safe moment: the hub's next one. */
static void end_soon(struct memory *m) {
  struct lg *G = m->b.G;
  m->b.ended = 1;
  if (!G || !G->hub) return;
  if (m->timer.slot) green_timer_stop(G->hub, &m->timer);
  m->timer.fire = end_state;
  green_timer_start(G->hub, &m->timer, 0);
}

/* --- finalizers that wait --- */

static int collect(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
  return 0;
}

static void collect_all(struct green_hub *hub, struct green_timer *timer) {
  struct memory *m =
      (struct memory *)((char *)timer - offsetof(struct memory, timer));
  struct lg *G = m->b.G;
  uint64_t began = uv_hrtime();
  if (!G || G->hub != hub || !m->L) return;
  if (!lua_gc(m->L, LUA_GCISRUNNING)) return; /* the program wants none */
  lg_protected(G, collect, NULL);
  G->swept_at = uv_hrtime();
  G->swept_ns = G->swept_at - began;
}

/* A collection that Lua is forced to runs no finalizers, so what has one is
 * kept, the buffers of Lua's own libraries among them. Runs them at the hub's
 * next safe moment, for no more than a tenth of the time. */
static void collect_soon(struct memory *m) {
  struct lg *G = m->b.G;
  if (!G || !G->hub || m->timer.slot || m->b.ended) return;
  if (m->forced_at - G->swept_at < 10 * G->swept_ns) return;
  m->timer.fire = collect_all;
  green_timer_start(G->hub, &m->timer, 0);
}

/* --- a state that only collects --- */

/* Has the running thread done so since it was switched to? */
static int hogs(struct memory *m) {
  const struct lg *G = m->b.G;
  uint64_t switches = G && G->hub ? green_switches(G->hub) : 0;
  if (m->hog.switches != switches || m->hog.forced == 0) {
    m->hog.switches = switches;
    m->hog.since = m->forced_began;
    m->hog.forced = 0;
    m->hog.ns = 0;
  }
  m->hog.forced++;
  m->hog.ns += m->forced_ns;
  return m->hog.forced >= MOST_OF_ONE &&
         m->hog.ns > (m->forced_at - m->hog.since) / 4;
}

/* Lua has collected, and tries again what failed. */
static void count_collection(struct memory *m) {
  uint64_t between = m->forced_began - m->forced_at;
  int hog;
  m->row = between > m->forced_ns ? 1 : m->row + 1;
  m->b.forced++;
  m->forced_at = uv_hrtime();
  m->forced_ns = m->forced_at - m->forced_began;
  hog = hogs(m);
  look_closely(m->b.G);
  if ((m->row >= MOST_FORCED || hog) && !m->b.ended)
    end_soon(m);
  else
    collect_soon(m);
}

/* --- an early collection --- */

static size_t first_due(const struct memory *m) {
  return m->b.memory == SIZE_MAX ? SIZE_MAX : m->b.memory / 2;
}

static void begin_collection(struct memory *m) {
  size_t end = m->b.memory + m->b.reserve;
  m->began = m->b.used;
  m->low = m->began - m->began / 64;
  m->due =
      m->b.used < end ? m->b.used + (end - m->b.used) / 2 + end / 64 : end;
  if (m->L && lua_gc(m->L, LUA_GCISRUNNING)) lua_gc(m->L, LUA_GCRESTART);
}

/* The collection has freed something: the next one begins where it began. */
static void collected(struct memory *m) {
  size_t least = first_due(m);
  m->due = m->began > least ? m->began : least;
  m->low = 0;
}

/* --- the allocator --- */

/* All failures and rare cases lie outside of the bounds below, so the common
 * request is compared with one of them and is done. */
static void set_bounds(struct memory *m) {
  size_t most = m->due < m->b.memory ? m->due : m->b.memory;
  m->ceiling = m->refused.size ? 0 : most;
  m->floor = m->low ? m->low : 1;
}

/* The most that was used is noted when less is going to be. */
static void set_used(struct memory *m, size_t used) {
  if (m->b.used > m->b.most) m->b.most = m->b.used;
  m->b.used = used;
}

/* Blocks of a coroutine's size have a word behind them. */
static size_t real(const struct memory *m, size_t size) {
  return size == m->co_size ? size + sizeof(size_t) : size;
}

static int is_coroutine(const struct memory *m, const void *ptr, size_t size) {
  size_t word;
  if (!ptr || likely(size != m->co_size)) return 0;
  memcpy(&word, (const char *)ptr + size, sizeof word);
  return word == LUA_TTHREAD;
}

static void mark(const struct memory *m, void *ptr, size_t size, int kind) {
  size_t word = (size_t)kind;
  if (unlikely(size == m->co_size))
    memcpy((char *)ptr + size, &word, sizeof word);
}

static void *c_library(void *ud, void *ptr, size_t osize, size_t nsize) {
  (void)ud;
  (void)osize;
  if (nsize > 0) return realloc(ptr, nsize);
  free(ptr);
  return NULL;
}

static void *resize(struct memory *m, void *ptr, size_t osize, size_t nsize,
                    int kind) {
  size_t old = ptr ? real(m, osize) : (size_t)kind;
  int was = is_coroutine(m, ptr, osize);
  void *block = m->alloc(m->ud, ptr, old, real(m, nsize));
  if (unlikely(!block)) return NULL;
  mark(m, block, nsize, kind);
  m->b.coroutines += (uint32_t)is_coroutine(m, block, nsize);
  m->b.coroutines -= (uint32_t)was;
  set_used(m, m->b.used + nsize - osize);
  return block;
}

/* Lua collects, and asks once more for the same; then its caller raises. The
 * buffers of its libraries (lauxlib.c) ask only once. */
static int is_retry(const struct memory *m, const void *ptr, size_t nsize) {
  return m->refused.size == nsize && m->refused.ptr == ptr;
}

static void *refuse(struct memory *m, void *ptr, size_t nsize) {
  int again = is_retry(m, ptr, nsize);
  m->b.failures += (uint32_t)again;
  m->refused.ptr = ptr;
  m->refused.size = again ? 0 : nsize;
  set_bounds(m);
  m->forced_began = uv_hrtime();
  return NULL;
}

/* Something was refused, and this is the next request. */
static void tried_again(struct memory *m, const void *ptr, size_t nsize) {
  if (is_retry(m, ptr, nsize)) {
    count_collection(m);
    return;
  }
  m->b.failures++;
  m->refused.size = 0;
}

static void *enlarge(struct memory *m, void *ptr, size_t old, size_t nsize,
                     int kind) {
  void *block;
  /* Lua collects garbage after a refusal, and tries once more. */
  if (unlikely(m->refused.size)) tried_again(m, ptr, nsize);
  if (unlikely(nsize > MOST_BYTES || !fits(&m->b, nsize - old)))
    return refuse(m, ptr, nsize);
  if (unlikely(nsize > LARGE && !kind)) {
    if (grows_stack(m, nsize) && takes_too_long(&m->b))
      return refuse(m, ptr, nsize);
    note_stack(m, nsize);
  }
  block = resize(m, ptr, old, nsize, kind);
  if (unlikely(!block)) return refuse(m, ptr, nsize);
  m->refused.size = 0;
  if (unlikely(m->b.used > m->due)) begin_collection(m);
  set_bounds(m);
  return block;
}

/* Less is used than the floor. */
static void sank(struct memory *m) {
  if (m->b.used < m->low) collected(m);
  set_bounds(m);
  if (m->b.used == 0 && m->L) free(m); /* lua_close() is done */
}

static void *release(struct memory *m, void *ptr, size_t size) {
  assert(m->b.used >= size);
  m->b.coroutines -= (uint32_t)is_coroutine(m, ptr, size);
  m->alloc(m->ud, ptr, real(m, size), 0);
  set_used(m, m->b.used - size);
  if (unlikely(m->b.used < m->floor)) sank(m);
  return NULL;
}

/* Any request. The allocators below have the same arguments, so going on here
 * is one jump. */
APART static void *serve(void *ud, void *ptr, size_t osize, size_t nsize) {
  struct memory *m = ud;
  if (nsize == 0) return ptr ? release(m, ptr, osize) : NULL;
  if (!ptr) return enlarge(m, NULL, 0, nsize, (int)osize);
  if (nsize > osize) return enlarge(m, ptr, osize, nsize, 0);
  return resize(m, ptr, osize, nsize, 0);
}

/* The common requests, by the C library. Each function below takes the same
 * arguments, and keeps no more than one of them beyond its call, so that few
 * registers are saved and one jump leads from each to the next. */

APART static void *discard(void *ud, void *ptr, size_t osize, size_t nsize) {
  struct memory *m = ud;
  size_t used = m->b.used - osize;
  if (unlikely(used < m->floor || osize == m->co_size))
    return serve(ud, ptr, osize, nsize);
  set_used(m, used);
  free(ptr);
  return NULL;
}

APART static void *no_memory(struct memory *m) {
  m->b.used -= m->asked;
  return refuse(m, NULL, m->asked);
}

/* It takes the C library 20 instructions to find out that a realloc() is a
 * malloc(). */
APART static void *obtain(void *ud, void *ptr, size_t osize, size_t nsize) {
  struct memory *m = ud;
  size_t used = m->b.used + nsize;
  if (unlikely(used > m->ceiling || nsize == m->co_size || nsize > LARGE))
    return serve(ud, ptr, osize, nsize);
  m->b.used = used;
  m->asked = nsize;
  ptr = malloc(nsize);
  return likely(ptr) ? ptr : no_memory(m);
}

APART static void *change(void *ud, void *ptr, size_t osize, size_t nsize) {
  struct memory *m = ud;
  size_t used = m->b.used + nsize - osize;
  void *block;
  if (unlikely(used > m->ceiling || osize == m->co_size ||
               nsize == m->co_size || nsize > LARGE))
    return serve(ud, ptr, osize, nsize);
  block = realloc(ptr, nsize);
  if (unlikely(!block)) return nsize > osize ? refuse(m, ptr, nsize) : NULL;
  set_used(m, used);
  return block;
}

static void *allocate(void *ud, void *ptr, size_t osize, size_t nsize) {
  if (!nsize) return discard(ud, ptr, osize, nsize);
  if (ptr) return change(ud, ptr, osize, nsize);
  return obtain(ud, ptr, osize, nsize);
}

/* The same by the host's allocator. */
static void *allocate_by_host(void *ud, void *ptr, size_t osize,
                              size_t nsize) {
  struct memory *m = ud;
  size_t old = ptr ? osize : 0, used = m->b.used + nsize - old;
  void *block;
  if (unlikely(used > m->ceiling || used < m->floor || old == m->co_size ||
               nsize == m->co_size || nsize > LARGE))
    return serve(ud, ptr, osize, nsize);
  block = m->alloc(m->ud, ptr, osize, nsize);
  if (unlikely(!block && nsize))
    return nsize > old ? refuse(m, ptr, nsize) : NULL;
  set_used(m, used);
  return block;
}

/* --- the size of a coroutine --- */

static void *probe(void *ud, void *ptr, size_t osize, size_t nsize) {
  size_t *size = ud;
  if (nsize == 0) {
    free(ptr);
    return NULL;
  }
  if (!ptr && osize == LUA_TTHREAD) *size = nsize;
  return realloc(ptr, nsize);
}

static int make_one(lua_State *L) {
  lua_newthread(L);
  return 0;
}

/* 0: no memory. It is the same in all states of a process. */
static size_t coroutine_size(void) {
  static _Atomic size_t known;
  size_t size = atomic_load(&known);
  lua_State *L;
  if (size) return size;
  if (!(L = lg_newstate(probe, &size, 0))) return 0;
  lua_pushcfunction(L, make_one);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) size = 0;
  lua_close(L);
  atomic_store(&known, size);
  return size;
}

/* --- the limits --- */

void lg_memory_limit(struct lg_budget *b, const struct green_lua_limits *l) {
  struct memory *m = (struct memory *)b;
  size_t memory = l->memory ? l->memory : SIZE_MAX;
  size_t reserve = l->reserve ? l->reserve : memory / 8;
  if (reserve < LEAST_RESERVE) reserve = LEAST_RESERVE;
  if (memory > SIZE_MAX / 2) reserve = 0;
  m->b.memory = memory;
  m->b.reserve = reserve;
  m->due = first_due(m);
  m->low = 0;
  m->row = 0;
  set_bounds(m);
}

struct lg_budget *lg_budget_of(lua_State *L) {
  struct lg_budget *b;
  lua_rawgetp(L, LUA_REGISTRYINDEX, BUDGET);
  b = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return b;
}

int lg_memory_tells_coroutines(const struct lg_budget *b) {
  return ((const struct memory *)b)->co_size != NO_SIZE;
}

void lg_budget_close(struct lg *G) {
  struct memory *m = (struct memory *)G->budget;
  if (!m) return;
  if (m->timer.slot) green_timer_stop(G->hub, &m->timer);
  m->b.G = NULL;
  G->budget = NULL;
}

/* --- coroutines --- */

/* Coroutines of green threads, of the pool and of the library itself do not
 * count. */
static uint32_t coroutines(const struct lg *G) {
  uint32_t own = G->family.live + (uint32_t)G->pool_count + 2;
  return G->budget->coroutines > own ? G->budget->coroutines - own : 0;
}

void lg_check_coroutines(lua_State *L, struct lg *G) {
  uint32_t most = G->limits.coroutines;
  if (likely(!most || !G->budget || coroutines(G) < most)) return;
  lg_sweep(L, G);
  if (coroutines(G) >= most)
    luaL_error(L, "too many coroutines (the limit is %I)", (LUAI_UACINT)most);
}

/* --- a state --- */

static int panic(lua_State *L) {
  const char *text = lua_tostring(L, -1);
  green_report("PANIC: unprotected error in call to Lua API (%s)\n",
               text ? text : "error object is not a string");
  return 0; /* Lua aborts */
}

/* (budget) */
static int keep(lua_State *L) {
  lua_rawsetp(L, LUA_REGISTRYINDEX, BUDGET);
  return 0;
}

static int keep_budget(lua_State *L, struct memory *m) {
  lua_pushcfunction(L, keep);
  lua_pushlightuserdata(L, m);
  return lua_pcall(L, 1, 0, 0) == LUA_OK;
}

lua_State *lg_memory_newstate(const struct green_lua_limits *l,
                              lua_Alloc alloc, void *ud) {
  struct memory *m = calloc(1, sizeof *m);
  lua_State *L;
  if (!m) return NULL;
  m->alloc = alloc ? alloc : c_library;
  m->ud = ud;
  m->co_size = coroutine_size();
  if (!m->co_size) m->co_size = NO_SIZE;
  m->b.limits = *l;
  lg_memory_limit(&m->b, l);
  L = lg_newstate(alloc ? allocate_by_host : allocate, m,
                  (unsigned)(uv_hrtime() ^ (uintptr_t)m));
  if (!L) {
    free(m);
    return NULL;
  }
  m->L = L;
  lua_atpanic(L, panic);
  if (keep_budget(L, m)) return L;
  lua_close(L); /* frees m */
  return NULL;
}

/* Coroutines that live already cannot be told from other blocks. */
struct lg_budget *lg_memory_wrap(lua_State *L) {
  struct memory *m = calloc(1, sizeof *m);
  const struct lg *G = lg_find(L);
  if (!m) return NULL;
  if (!keep_budget(L, m)) {
    lua_pop(L, 1);
    free(m);
    return NULL;
  }
  m->co_size = NO_SIZE;
  m->alloc = lua_getallocf(L, &m->ud);
  m->b.used =
      (size_t)lua_gc(L, LUA_GCCOUNT) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB);
  if (G) m->b.used += G->blocks;
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  m->L = lua_tothread(L, -1);
  lua_pop(L, 1);
  lua_setallocf(L, allocate_by_host, m);
  return &m->b;
}

void lg_memory_unwrap(lua_State *L, struct lg_budget *b) {
  struct memory *m = (struct memory *)b;
  lua_setallocf(L, m->alloc, m->ud);
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, BUDGET); /* the key is there: no memory */
  free(m);
}
