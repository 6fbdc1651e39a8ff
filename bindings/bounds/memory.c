/* memory.c - the memory of a lua_State, counted and limited.
 *
 * An allocator in front of the host's counts bytes and refuses those beyond the
 * limit. Lua tries a refused allocation once more after a collection of all
 * garbage, which stops everything else. Three things keep that bearable:
 *
 *   - A collection begins early, in steps, whenever half of what is left has
 *     been taken, so that most programs never meet the limit.
 *   - Above the limit lies a reserve. Half of it is for threads that are killed
 *     and for reports; the other half for the library and its host alone. So a
 *     script that is at the limit, or abuses its own clean-up, does not keep
 *     anybody from killing it, or from closing the state.
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
 * The budget begins with the state's first block and is freed with its last.
 *
 * The allocator runs on any stack, in the midst of Lua, and calls nothing of
 * Lua's but lua_gc(LUA_GCRESTART), which only moves counters.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/memory.h"

#include "bounds/bounds.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/anchor.h"
#include "runtime/counts.h"
#include "runtime/force.h"
#include "runtime/object.h"

/* Forced collections in a row; and of one thread that gives no turn. */
enum { MOST_FORCED = 16, MOST_OF_ONE = 64 };

/* What a state needs by itself to kill, close and report. */
#define LEAST_RESERVE ((size_t)64 * 1024)

struct memory {
  struct lg_budget b; /* first */
  lua_Alloc alloc;    /* the host's */
  void *ud;
  lua_State *L;   /* the main Lua thread; NULL: not made yet */
  size_t co_size; /* of the blocks with a word more; 0: none has */
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
  uint64_t swept_at, swept_ns; /* the last whole collection of ours */
  /* The request refused last; NULL and 0: Lua does not try it again. */
  struct {
    void *ptr;
    size_t size;
  } refused;
  struct green_timer timer; /* collects, or ends the state */
  struct green_lua_limits limits;
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

/* The part of the reserve that is open to the caller. On the host's stack, and
 * before the state is open, the host is the caller. */
static size_t open_reserve(const struct lg_budget *b) {
  const struct green_thread *t;
  if (b->working || !b->G || !b->G->hub) return b->reserve;
  if (!(t = lg_current(b->G))) return b->reserve;
  if (hook_is_due(b->G, t)) return b->reserve;
  if (b->ended || t->flags & (GREEN_STRUCK | GREEN_CLEANUP))
    return b->reserve / 2;
  return 0;
}

static int fits(const struct lg_budget *b, size_t more) {
  if (b->memory == SIZE_MAX) return 1;
  if (likely(b->used + more <= b->memory)) return 1;
  return b->used + more <= b->memory + open_reserve(b);
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
  uint64_t began = uv_hrtime();
  if (!m->b.G || m->b.G->hub != hub || !m->L) return;
  if (!lua_gc(m->L, LUA_GCISRUNNING)) return; /* the program wants none */
  lg_protected(m->b.G, collect, NULL);
  m->swept_at = uv_hrtime();
  m->swept_ns = m->swept_at - began;
}

/* A collection that Lua is forced to runs no finalizers, so what has one is
 * kept, the buffers of Lua's own libraries among them. Runs them at the hub's
 * next safe moment, for no more than a tenth of the time. */
static void collect_soon(struct memory *m) {
  struct lg *G = m->b.G;
  if (!G || !G->hub || m->timer.slot || m->b.ended) return;
  if (m->forced_at - m->swept_at < 10 * m->swept_ns) return;
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

/* Blocks of a coroutine's size have a word behind them. */
static size_t real(const struct memory *m, size_t size) {
  return size == m->co_size && size ? size + sizeof(size_t) : size;
}

static int is_coroutine(const struct memory *m, const void *ptr, size_t size) {
  size_t word;
  if (!ptr || !size || likely(size != m->co_size)) return 0;
  memcpy(&word, (const char *)ptr + size, sizeof word);
  return word == LUA_TTHREAD;
}

static void mark(const struct memory *m, void *ptr, size_t size, int kind) {
  size_t word = (size_t)kind;
  if (unlikely(size == m->co_size && size))
    memcpy((char *)ptr + size, &word, sizeof word);
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
  m->forced_began = uv_hrtime();
  return NULL;
}

static void *resize(struct memory *m, void *ptr, size_t osize, size_t nsize,
                    int kind) {
  int was = is_coroutine(m, ptr, osize);
  void *block = m->alloc(m->ud, ptr, real(m, osize), real(m, nsize));
  if (unlikely(!block)) return NULL;
  mark(m, block, nsize, kind);
  m->b.coroutines += (uint32_t)is_coroutine(m, block, nsize);
  m->b.coroutines -= (uint32_t)was;
  m->b.used += nsize - osize;
  return block;
}

static void *release(struct memory *m, void *ptr, size_t size) {
  assert(m->b.used >= size);
  m->b.coroutines -= (uint32_t)is_coroutine(m, ptr, size);
  m->alloc(m->ud, ptr, real(m, size), 0);
  m->b.used -= size;
  if (unlikely(m->b.used < m->low)) collected(m);
  if (unlikely(m->b.used == 0 && m->L)) free(m); /* lua_close() is done */
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

static void *allocate(void *ud, void *ptr, size_t osize, size_t nsize) {
  struct memory *m = ud;
  int kind = ptr ? 0 : (int)osize;
  size_t old = ptr ? osize : 0;
  void *block;
  if (nsize == 0) return ptr ? release(m, ptr, old) : NULL;
  if (nsize <= old) return resize(m, ptr, old, nsize, kind);
  if (unlikely(m->refused.size)) tried_again(m, ptr, nsize);
  if (unlikely(!fits(&m->b, nsize - old))) return refuse(m, ptr, nsize);
  block = resize(m, ptr, old, nsize, kind);
  if (unlikely(!block)) return refuse(m, ptr, nsize);
  m->refused.size = 0;
  if (m->b.used > m->b.most) m->b.most = m->b.used;
  if (unlikely(m->b.used > m->due)) begin_collection(m);
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

/* --- limits --- */

static void set_memory(struct memory *m, const struct green_lua_limits *l) {
  size_t memory = l->memory ? l->memory : SIZE_MAX;
  size_t reserve = l->reserve ? l->reserve : memory / 8;
  if (reserve < LEAST_RESERVE) reserve = LEAST_RESERVE;
  if (memory > SIZE_MAX / 2) reserve = 0;
  m->b.memory = memory;
  m->b.reserve = reserve;
  m->due = first_due(m);
  m->low = 0;
  m->row = 0;
}

/* Limits of a former version of the struct have fewer fields. */
static struct green_lua_limits whole(const struct green_lua_limits *limits) {
  struct green_lua_limits all;
  size_t size = limits && limits->size ? limits->size : sizeof all;
  memset(&all, 0, sizeof all);
  if (limits) memcpy(&all, limits, size < sizeof all ? size : sizeof all);
  return all;
}

/* Messages lie outside of Lua's memory. 0, or UV_ENOMEM. */
static int set_purse(struct lg *G, const struct green_lua_limits *l) {
  size_t most = l->messages ? l->messages : l->memory;
  if (!most) most = SIZE_MAX;
  if (G->purse)
    green_purse_limit(G->purse, most);
  else if (most < SIZE_MAX && !(G->purse = green_purse_new(most)))
    return UV_ENOMEM;
  return 0;
}

static void set_counts(struct lg *G, const struct green_lua_limits *l) {
  G->limits = *l;
  G->max_threads = l->threads ? l->threads : UINT32_MAX;
  lg_account_limit(&G->account, LG_TIMERS, l->timers);
  lg_account_limit(&G->account, LG_DESCRIPTORS, l->descriptors);
  lg_account_limit(&G->account, LG_ITEMS, l->items);
}

static struct memory *memory_of(lua_State *L) {
  return (struct memory *)lg_budget_of(L);
}

struct lg_budget *lg_budget_of(lua_State *L) {
  struct lg_budget *b;
  lua_rawgetp(L, LUA_REGISTRYINDEX, BUDGET);
  b = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return b;
}

void lg_budget_open(lua_State *L, struct lg *G) {
  struct memory *m = memory_of(L);
  if (!m) return;
  if (set_purse(G, &m->limits) < 0) luaL_error(L, "not enough memory");
  G->budget = &m->b;
  m->b.G = G;
  set_counts(G, &m->limits);
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

/* Garbage is collected first, but for no more than a tenth of the time. */
void lg_check_coroutines(lua_State *L, struct lg *G) {
  uint32_t most = G->limits.coroutines;
  struct memory *m = (struct memory *)G->budget;
  uint64_t now;
  if (likely(!most || !m || coroutines(G) < most)) return;
  now = uv_hrtime();
  if (now - m->swept_at > 10 * m->swept_ns && lua_gc(L, LUA_GCCOUNT) >= 0) {
    lua_gc(L, LUA_GCCOLLECT);
    m->swept_at = uv_hrtime();
    m->swept_ns = m->swept_at - now;
  }
  if (coroutines(G) >= most)
    luaL_error(L, "too many coroutines (the limit is %I)", (LUAI_UACINT)most);
}

/* --- a state --- */

static void *plain(void *ud, void *ptr, size_t osize, size_t nsize) {
  (void)ud;
  (void)osize;
  if (nsize > 0) return realloc(ptr, nsize);
  free(ptr);
  return NULL;
}

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

lua_State *green_lua_newstate(const struct green_lua_limits *limits,
                              lua_Alloc alloc, void *ud) {
  struct green_lua_limits none = {0};
  struct memory *m = calloc(1, sizeof *m);
  lua_State *L;
  if (!m) return NULL;
  m->alloc = alloc ? alloc : plain;
  m->ud = ud;
  m->co_size = coroutine_size();
  m->limits = whole(limits ? limits : &none);
  set_memory(m, &m->limits);
  L = lg_newstate(allocate, m, (unsigned)(uv_hrtime() ^ (uintptr_t)m));
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

/* Puts the allocator in front of that of a state that has another. Coroutines
 * that live already cannot be told from other blocks. */
static struct memory *wrap(lua_State *L) {
  struct memory *m = calloc(1, sizeof *m);
  if (!m) return NULL;
  if (!keep_budget(L, m)) {
    lua_pop(L, 1);
    free(m);
    return NULL;
  }
  m->alloc = lua_getallocf(L, &m->ud);
  m->b.used =
      (size_t)lua_gc(L, LUA_GCCOUNT) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  m->L = lua_tothread(L, -1);
  lua_pop(L, 1);
  lua_setallocf(L, allocate, m);
  return m;
}

int green_lua_limit(lua_State *L, const struct green_lua_limits *limits) {
  struct green_lua_limits l = whole(limits);
  struct memory *m = memory_of(L);
  struct lg *G = lg_find(L);
  if (l.coroutines && (m ? !m->co_size : 1)) return UV_ENOTSUP;
  if (!m && l.memory && !(m = wrap(L))) return UV_ENOMEM;
  if (G && G->hub && set_purse(G, &l) < 0) return UV_ENOMEM;
  if (m) m->limits = l;
  if (m) set_memory(m, &l);
  if (G && G->hub) set_counts(G, &l);
  if (G && G->hub && m) lg_budget_open(L, G);
  return G && G->hub && lg_terms_set(G) ? UV_ENOTSUP : 0;
}

void green_lua_used(lua_State *L, struct green_lua_usage *usage, size_t size) {
  struct green_lua_usage u;
  struct lg_budget *b = lg_budget_of(L);
  struct lg *G = lg_find(L);
  memset(&u, 0, sizeof u);
  u.memory = b ? b->used
               : (size_t)lua_gc(L, LUA_GCCOUNT) * 1024 +
                     (size_t)lua_gc(L, LUA_GCCOUNTB);
  if (b) {
    u.most = b->most;
    u.coroutines = b->coroutines;
    u.forced = b->forced;
    u.failures = b->failures;
    u.ended = b->ended;
  }
  if (G && G->hub) {
    u.threads = lg_live_count(G);
    u.timers = lg_account_used(&G->account, LG_TIMERS);
    u.descriptors = lg_account_used(&G->account, LG_DESCRIPTORS);
    u.items = lg_account_used(&G->account, LG_ITEMS);
    if (G->purse) u.messages = green_purse_used(G->purse);
  }
  memcpy(usage, &u, size < sizeof u ? size : sizeof u);
}
