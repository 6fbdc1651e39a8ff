/* figures.c - figures of the program for stats(), top and metrics.
 *
 * The figures of all threads are copied first, into memory that was made
 * before, and then told to Lua, whose finalizers may end any of them.
 *
 * Where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/object.h"
#include "thread/name.h"
#include "thread/thread.h"
#include "watch/watch.h"

enum { MOST_NAMES = 10000, NAME = 96 };

static void number(lua_State *L, const char *name, uint64_t ns) {
  lua_pushnumber(L, (lua_Number)ns / 1e9);
  lua_setfield(L, -2, name);
}

static void integer(lua_State *L, const char *name, uint64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_setfield(L, -2, name);
}

/* --- the lag --- */

void lg_push_lag(lua_State *L, struct lg *G) {
  struct green_lag lag;
  lua_createtable(L, 0, 4);
  green_lag(G->hub, &lag);
  integer(L, "count", lag.recent);
  number(L, "p50", lag.p50);
  number(L, "p99", lag.p99);
  number(L, "max", lag.max);
}

/* lag_bounds(): the bounds of a histogram in seconds, the counts below each,
 * and the count and the sum of all. The bounds are those the core counts by:
 * powers of 4. */
static int l_lag_bounds(lua_State *L) {
  struct green_hub *hub = lg_get(L)->hub;
  unsigned power;
  int n = 0;
  lua_newtable(L);
  lua_newtable(L);
  for (power = 14; power <= 34; power += 2) {
    lua_pushnumber(L, (lua_Number)(UINT64_C(1) << power) / 1e9);
    lua_rawseti(L, -3, ++n);
    lua_pushinteger(L, (lua_Integer)green_lag_below(hub, power));
    lua_rawseti(L, -2, n);
  }
  lua_pushinteger(L, (lua_Integer)green_lag_below(hub, 64));
  lua_pushnumber(L, (lua_Number)green_lag_sum(hub) / 1e9);
  return 4;
}

/* --- collections --- */

static const char COLLECTIONS[] = "luagreen.collections";

/* An object that nobody refers to is finalized in each collection; setting its
 * metatable again has it finalized in the next. */
static int collected(lua_State *L) {
  lua_Integer *count = lua_touserdata(L, lua_upvalueindex(1));
  ++*count;
  if (lua_getmetatable(L, 1)) lua_setmetatable(L, 1);
  return 0;
}

static lua_Integer *count_collections(lua_State *L) {
  lua_Integer *count = lua_newuserdatauv(L, sizeof *count, 0);
  *count = 0;
  lua_newuserdatauv(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, -3);
  lua_pushcclosure(L, collected, 1);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_pop(L, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, COLLECTIONS);
  return count;
}

void lg_push_gc(lua_State *L) {
  const lua_Integer *count;
  lua_createtable(L, 0, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, COLLECTIONS);
  count = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (!count) count = count_collections(L);
  integer(L, "count", (uint64_t)*count);
}

/* --- threads --- */

struct row {
  uint64_t id, since;
  struct green_account account;
  const char *status, *waits_for; /* these outlive the thread */
  size_t length;
  char name[NAME];
};
struct rows {
  struct lg *G;
  uint32_t count, room;
  struct row at[];
};

static void note(struct green_thread *t, void *arg) {
  struct rows *rows = arg;
  struct row *row = &rows->at[rows->count];
  if (rows->count++ >= rows->room) return; /* there must be more room */
  row->id = t->id;
  row->since = t->state == GREEN_BLOCKED ? t->since : 0;
  green_account(rows->G->hub, t, &row->account);
  row->status = green_status(t);
  row->waits_for = green_waits_for(t);
  row->length = lg_name_text(rows->G, t, row->name, sizeof row->name);
}

/* The state's threads and the hub's own, main among them. The second upvalue
 * is the metatable by which these userdata are known. */
static const struct rows *note_all(lua_State *L, struct lg *G) {
  struct rows *rows;
  uint32_t room = green_live(G->hub) + 16;
  for (;;) {
    rows = lua_newuserdatauv(L, sizeof *rows + room * sizeof *rows->at, 0);
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_setmetatable(L, -2);
    rows->G = G;
    rows->count = 0;
    rows->room = room;
    green_each_of(G->hub, &G->family, note, rows);
    green_each_of(G->hub, NULL, note, rows);
    if (rows->count <= room) return rows;
    room = rows->count + 16; /* finalizers have spawned */
    lua_pop(L, 1);
  }
}

static void sums(lua_State *L, const struct green_account *a) {
  integer(L, "switches", a->switches);
  number(L, "cpu", a->running);
  number(L, "blocked", a->blocked);
  number(L, "queue_delay", a->queued);
}

static void tell(lua_State *L, const struct row *row) {
  lua_createtable(L, 0, 10);
  integer(L, "id", row->id);
  sums(L, &row->account);
  if (row->since) number(L, "since", row->since);
  lua_pushstring(L, row->status);
  lua_setfield(L, -2, "status");
  lua_pushstring(L, row->waits_for);
  lua_setfield(L, -2, "wait_for");
  lua_pushlstring(L, row->name, row->length);
  lua_setfield(L, -2, "name");
}

/* note_rows(): notes what is known of each live thread at this moment, and
 * returns that and how many there are. */
static int l_note_rows(lua_State *L) {
  const struct rows *rows = note_all(L, lg_get(L));
  lua_pushinteger(L, rows->count);
  return 2;
}

/* tell_row(noted, i): the i-th of these, as a table. */
static int l_tell_row(lua_State *L) {
  const struct rows *rows = lua_touserdata(L, 1);
  lua_Integer i = luaL_checkinteger(L, 2);
  if (!lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(2)))
    return luaL_typeerror(L, 1, "noted rows");
  luaL_argcheck(L, i >= 1 && i <= rows->count, 2, "no such row");
  tell(L, &rows->at[i - 1]);
  return 1;
}

static void count_state(struct green_thread *t, void *arg) {
  uint32_t *counts = arg;
  counts[t->state]++;
}

/* thread_states(): how many threads are in which state. */
static int l_thread_states(lua_State *L) {
  static const char *const names[] = {"new", "ready", "running", "blocked"};
  struct lg *G = lg_get(L);
  uint32_t counts[GREEN_KILLED + 1] = {0};
  int i;
  green_each_of(G->hub, &G->family, count_state, counts);
  green_each_of(G->hub, NULL, count_state, counts);
  lua_createtable(L, 0, 4);
  for (i = GREEN_NEW; i <= GREEN_BLOCKED; i++) integer(L, names[i], counts[i]);
  return 1;
}

/* --- those that end meanwhile --- */

static void count_ended(struct lg *G, struct green_thread *t) {
  struct green_account a;
  char name[NAME];
  size_t length = lg_name_text(G, t, name, sizeof name);
  struct lg_sums *s = lg_tally_at(G->tally, name, length);
  if (!s) return;
  green_account(G->hub, t, &a);
  s->sum[0]++;
  s->sum[1] += a.switches;
  s->sum[2] += a.running;
  s->sum[3] += a.blocked;
  s->sum[4] += a.queued;
}

void lg_figures_drop(struct lg *G) {
  if (!G->tally) return;
  green_measure(G->hub, 0);
  G->watch_end = NULL;
  lg_tally_free(G->tally);
  G->tally = NULL;
}

/* measure(on): from now on accounting is on, and there are sums of threads that
 * end by their names; or no more. */
static int l_measure(lua_State *L) {
  struct lg *G = lg_get(L);
  lg_figures_drop(G);
  if (!lua_toboolean(L, 1)) return 0;
  G->tally = lg_tally_new(MOST_NAMES);
  if (!G->tally) return luaL_error(L, "not enough memory");
  G->watch_end = count_ended;
  green_measure(G->hub, 1);
  return 0;
}

/* ended_rows(): a list of what has been counted so far. */
static int l_ended_rows(lua_State *L) {
  struct lg *G = lg_get(L);
  const struct lg_sums *s;
  lua_Integer n = 0;
  lua_newtable(L);
  for (s = G->tally ? G->tally->first : NULL; s; s = s->next) {
    const struct green_account a = {s->sum[1], s->sum[2], s->sum[3], 0,
                                    s->sum[4]};
    lua_createtable(L, 0, 6);
    integer(L, "ended", s->sum[0]);
    sums(L, &a);
    lua_pushlstring(L, s->text, s->length);
    lua_setfield(L, -2, "name");
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* --- the process --- */

static uint64_t resident(void) {
  unsigned long long size, pages = 0;
  FILE *f = fopen("/proc/self/statm", "re");
  if (!f) return 0;
  if (fscanf(f, "%llu %llu", &size, &pages) != 2) pages = 0;
  fclose(f);
  return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Without ".", "..", and the one that reads. */
static uint64_t open_fds(void) {
  DIR *d = opendir("/proc/self/fd");
  uint64_t n = 0;
  if (!d) return 0;
  while (readdir(d)) n++;
  closedir(d);
  return n > 3 ? n - 3 : 0;
}

/* Seconds since 1970; the 22nd field of stat, after a name that may hold
 * anything, is the time since the machine started, in ticks. */
static double start_time(void) {
  char text[2048];
  unsigned long long ticks = 0;
  struct timespec now, up;
  const char *p;
  size_t n;
  int field;
  FILE *f = fopen("/proc/self/stat", "re");
  if (!f) return 0;
  n = fread(text, 1, sizeof text - 1, f);
  fclose(f);
  text[n] = '\0';
  p = strrchr(text, ')');
  for (field = 2; p && field < 22; field++) p = strchr(p + 1, ' ');
  if (!p || sscanf(p, " %llu", &ticks) != 1) return 0;
  clock_gettime(CLOCK_REALTIME, &now);
  clock_gettime(CLOCK_BOOTTIME, &up);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9 -
         ((double)up.tv_sec + (double)up.tv_nsec / 1e9) +
         (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static uint64_t cpu_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* process(): {fds, resident, cpu, started} */
static int l_process(lua_State *L) {
  lua_createtable(L, 0, 4);
  integer(L, "fds", open_fds());
  integer(L, "resident", resident());
  number(L, "cpu", cpu_time());
  lua_pushnumber(L, start_time());
  lua_setfield(L, -2, "started");
  return 1;
}

static const luaL_Reg functions[] = {
    {"lag_bounds", l_lag_bounds}, {"thread_states", l_thread_states},
    {"measure", l_measure},       {"ended_rows", l_ended_rows},
    {"process", l_process},       {NULL, NULL}};

void lg_open_figures(lua_State *L) {
  static const luaL_Reg of_rows[] = {
      {"note_rows", l_note_rows}, {"tell_row", l_tell_row}, {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
  lua_newtable(L);
  lg_setfuncs(L, of_rows, 1);
}
