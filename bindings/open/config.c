/* config.c - green.config: the options of a running hub and its state, one row
 * each, and green.stats.
 *
 * A row knows how to read and to set its option. The value to set is on top of
 * the stack; one that does not fit raises an error. A call sets all its options
 * or none: if a row raises, those that the call names get their former values
 * again.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stddef.h>
#include <string.h>

#include "bounds/bounds.h"
#include "net/lookup.h"
#include "net/socket.h"
#include "open/open.h"
#include "runtime/counts.h"
#include "runtime/object.h"
#include "thread/dump_signal.h"
#include "watch/watch.h"

enum { MOST = 1000000000 }; /* of what is counted: fits in 32 bits, signed */

struct row {
  const char *name;
  void (*get)(lua_State *L, struct lg *G, const struct row *row);
  void (*set)(lua_State *L, struct lg *G, const struct row *row);
  size_t at;     /* of the field, where get and set take one */
  uint32_t from; /* the least value that is accepted */
  uint32_t to;
};

static uint32_t count_arg(lua_State *L, const struct row *row) {
  lua_Number n = lua_tonumber(L, -1);
  if (!lua_isnumber(L, -1) || !(n >= row->from) || n > row->to)
    luaL_error(L, "bad value for '%s' in 'config' (number from %d expected)",
               row->name, (int)row->from);
  return (uint32_t)n;
}

/* --- fields of the hub's options, and of the state --- */

static uint32_t *in_options(struct lg *G, const struct row *row) {
  return (uint32_t *)((char *)green_config(G->hub) + row->at);
}

static void get_option(lua_State *L, struct lg *G, const struct row *row) {
  lua_pushinteger(L, *in_options(G, row));
}

static void set_option(lua_State *L, struct lg *G, const struct row *row) {
  *in_options(G, row) = count_arg(L, row);
}

static void set_budget(lua_State *L, struct lg *G, const struct row *row) {
  set_option(L, G, row);
  green_budget_set(G->hub);
}

static void get_count(lua_State *L, struct lg *G, const struct row *row) {
  lua_pushinteger(L, *(uint32_t *)((char *)G + row->at));
}

static void set_count(lua_State *L, struct lg *G, const struct row *row) {
  *(uint32_t *)((char *)G + row->at) = count_arg(L, row);
}

static void get_flag(lua_State *L, struct lg *G, const struct row *row) {
  lua_pushboolean(L, *((uint8_t *)G + row->at));
}

static void set_flag(lua_State *L, struct lg *G, const struct row *row) {
  *((uint8_t *)G + row->at) = (uint8_t)lua_toboolean(L, -1);
}

static void get_net(lua_State *L, struct lg *G, const struct row *row) {
  lua_pushinteger(L, *(uint32_t *)((char *)G->net + row->at));
}

static void set_net(lua_State *L, struct lg *G, const struct row *row) {
  *(uint32_t *)((char *)G->net + row->at) = count_arg(L, row);
}

/* --- options that are more than a field --- */

/* Rounded, or 1.001 s were less than 1,001 ms. */
static uint64_t units(lua_Number s, double each) {
  return (uint64_t)(s * each + 0.5);
}

static void get_grace(lua_State *L, struct lg *G, const struct row *row) {
  (void)row;
  lua_pushnumber(L, (lua_Number)green_config(G->hub)->grace / 1e9);
}

static void set_grace(lua_State *L, struct lg *G, const struct row *row) {
  lua_Number s = lua_tonumber(L, -1);
  if (!lua_isnumber(L, -1) || !(s > 0) || s > 1e6)
    luaL_error(L, "bad value for '%s' in 'config' (seconds expected)",
               row->name);
  green_config(G->hub)->grace = units(s, 1e9);
}

static void set_max_stacks(lua_State *L, struct lg *G, const struct row *row) {
  green_set_max_stacks(G->hub, count_arg(L, row));
}

/* 0 and math.huge: no limit. */
static void get_max_threads(lua_State *L, struct lg *G,
                            const struct row *row) {
  (void)row;
  lua_pushinteger(L, G->max_threads < UINT32_MAX ? G->max_threads : 0);
}

static void set_max_threads(lua_State *L, struct lg *G,
                            const struct row *row) {
  lua_Number n = lua_tonumber(L, -1);
  uint32_t most = lua_isnumber(L, -1) && n > MOST ? 0 : count_arg(L, row);
  G->max_threads = most > 0 ? most : UINT32_MAX;
}

/* A limit of a count; `at` tells of which. */
static void get_limit(lua_State *L, struct lg *G, const struct row *row) {
  lua_pushinteger(L, G->account.most[row->at]);
}

static void set_limit(lua_State *L, struct lg *G, const struct row *row) {
  lua_Number n = lua_tonumber(L, -1);
  uint32_t most = lua_isnumber(L, -1) && n > MOST ? 0 : count_arg(L, row);
  lg_account_limit(&G->account, (enum lg_count)row->at, most);
}

static void get_accounting(lua_State *L, struct lg *G, const struct row *row) {
  (void)row;
  lua_pushboolean(L, green_accounts(G->hub));
}

static void set_accounting(lua_State *L, struct lg *G, const struct row *row) {
  (void)row;
  green_accounting(G->hub, lua_toboolean(L, -1));
}

static void get_dump_signal(lua_State *L, struct lg *G,
                            const struct row *row) {
  (void)row;
  lg_dump_signal_get(L, G);
}

static void set_dump_signal(lua_State *L, struct lg *G,
                            const struct row *row) {
  (void)row;
  lg_dump_signal_set(L, G);
  lg_stuck_set(G);
}

/* Milliseconds, as seconds; 0 is none. */
static void get_ms(lua_State *L, struct lg *G, const struct row *row) {
  lua_pushnumber(L, *in_options(G, row) / 1e3);
}

static void set_ms(lua_State *L, struct lg *G, const struct row *row) {
  lua_Number s = lua_tonumber(L, -1);
  if (!lua_isnumber(L, -1) || !(s >= 0) || s > row->to)
    luaL_error(L, "bad value for '%s' in 'config' (seconds expected)",
               row->name);
  *in_options(G, row) = s > 0 && s < 1e-3 ? 1 : (uint32_t)units(s, 1e3);
}

static void get_resolver(lua_State *L, struct lg *G, const struct row *row) {
  (void)G;
  (void)row;
  lg_push_resolver(L);
}

/* green.dns keeps the value; setting it loads that module. */
static void set_resolver(lua_State *L, struct lg *G, const struct row *row) {
  int fits = !lua_toboolean(L, -1) || lua_isfunction(L, -1);
  (void)G;
  if (!fits && luaL_getmetafield(L, -1, "__call") == LUA_TNIL)
    luaL_error(L, "bad value for '%s' in 'config' (function expected)",
               row->name);
  if (!fits) lua_pop(L, 1);
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "use_resolver");
  lua_remove(L, -2);
  lua_pushvalue(L, -2);
  lua_call(L, 1, 0);
}

/* The purpose of the ticks; nil or false turns it off. */
static void get_tick(lua_State *L, struct lg *G, const struct row *row) {
  uint64_t ns = lg_ticks_get(G, (enum lg_tick_use)row->at);
  if (ns)
    lua_pushnumber(L, (lua_Number)ns / 1e9);
  else
    lua_pushboolean(L, 0);
}

static void set_tick(lua_State *L, struct lg *G, const struct row *row) {
  lua_Number s = lua_isnumber(L, -1) ? lua_tonumber(L, -1) : -1;
  const char *why;
  uint64_t ns;
  int off = !lua_toboolean(L, -1);
  if (!off && (!(s >= 1e-4) || s > 1e6))
    luaL_error(L,
               "bad value for '%s' in 'config' (seconds from 0.0001, or false "
               "expected)",
               row->name);
  ns = off ? 0 : units(s, 1e9);
  why = row->at == LG_TICK_WATCHDOG
            ? lg_watchdog_set(G, ns)
            : lg_ticks_set(G, (enum lg_tick_use)row->at, ns);
  if (why) luaL_error(L, "'%s' in 'config': %s", row->name, why);
}

#define OPTION(name) offsetof(struct green_options, name)
#define FIELD(name) offsetof(struct lg, name)
#define NET(name) offsetof(struct lg_net, name)

static const struct row rows[] = {
    {"grace", get_grace, set_grace, 0, 0, 0},
    {"keep_stacks", get_count, set_count, FIELD(keep_stacks), 0, MOST},
    {"max_stacks", get_option, set_max_stacks, OPTION(max_stacks), 1, MOST},
    {"max_threads", get_max_threads, set_max_threads, 0, 0, MOST},
    {"max_timers", get_limit, set_limit, LG_TIMERS, 0, MOST},
    {"max_descriptors", get_limit, set_limit, LG_DESCRIPTORS, 0, MOST},
    {"max_items", get_limit, set_limit, LG_ITEMS, 0, MOST},
    {"max_jobs", get_option, set_option, OPTION(max_jobs), 1, 1024},
    {"max_line", get_net, set_net, NET(max_line), 0, MOST},
    {"max_client_line", get_net, set_net, NET(max_client_line), 0, MOST},
    {"dns_ttl", get_ms, set_ms, OPTION(lookup_ttl), 0, 1000000},
    {"dns_negative_ttl", get_ms, set_ms, OPTION(lookup_negative_ttl), 0,
     1000000},
    {"dns_cache", get_option, set_option, OPTION(lookup_cache), 0, MOST},
    {"resolver", get_resolver, set_resolver, 0, 0, 0},
    {"poll_switches", get_option, set_option, OPTION(poll_switches), 1, MOST},
    {"poll_ms", get_option, set_option, OPTION(poll_ms), 1, 1000000},
    {"budget", get_option, set_budget, OPTION(budget), 1, MOST},
    {"recycle", get_flag, set_flag, FIELD(recycle), 0, 0},
    {"sigint", get_flag, set_flag, FIELD(sigint), 0, 0},
    {"watchdog", get_tick, set_tick, LG_TICK_WATCHDOG, 0, 0},
    {"preempt", get_tick, set_tick, LG_TICK_PREEMPT, 0, 0},
    /* Another program would notice that these were set and put back. */
    {"dump_signal", get_dump_signal, set_dump_signal, 0, 0, 0},
    {"accounting", get_accounting, set_accounting, 0, 0, 0},
    {NULL, NULL, NULL, 0, 0, 0}};

/* Each key of the table there names an option. */
static void check_names(lua_State *L, int at) {
  for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1)) {
    const struct row *row = rows;
    const char *name;
    if (lua_type(L, -2) != LUA_TSTRING)
      luaL_argerror(L, at, "names of options expected");
    name = lua_tostring(L, -2);
    while (row->name && strcmp(row->name, name) != 0) row++;
    if (!row->name) luaL_error(L, "unknown option '%s' in 'config'", name);
  }
}

static int given(lua_State *L, int at, const struct row *row) {
  lua_pushstring(L, row->name);
  return lua_rawget(L, at) != LUA_TNIL;
}

static void set_all(lua_State *L, struct lg *G, int at) {
  const struct row *row;
  for (row = rows; row->name; row++) {
    if (given(L, at, row)) row->set(L, G, row);
    lua_pop(L, 1);
  }
}

/* (former values, error or nil) */
static int put_back(lua_State *L) {
  if (!lua_isnoneornil(L, 2)) set_all(L, lg_find(L), 1);
  return 0;
}

/* Pushes those that the table there names; if an error passes, they are set
 * again. */
static void push_former(lua_State *L, struct lg *G, int at) {
  const struct row *row;
  lua_newtable(L);
  for (row = rows; row->name; row++) {
    int wanted = given(L, at, row);
    lua_pop(L, 1);
    if (!wanted) continue;
    row->get(L, G, row);
    lua_setfield(L, -2, row->name);
  }
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, put_back);
  lua_setfield(L, -2, "__close");
  lua_setmetatable(L, -2);
  lua_toclose(L, -1);
}

static int l_config(lua_State *L) {
  struct lg *G = lg_get(L);
  const struct row *row;
  if (!lua_isnoneornil(L, 1)) {
    luaL_checktype(L, 1, LUA_TTABLE);
    check_names(L, 1);
    push_former(L, G, 1);
    set_all(L, G, 1);
    lua_pop(L, 1);
  }
  lua_createtable(L, 0, sizeof rows / sizeof *rows);
  for (row = rows; row->name; row++) {
    row->get(L, G, row);
    lua_setfield(L, -2, row->name);
  }
  return 1;
}

/* --- stats --- */

static void field(lua_State *L, const char *name, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, name);
}

static void seconds_field(lua_State *L, const char *name, uint64_t ns) {
  lua_pushnumber(L, (lua_Number)ns / 1e9);
  lua_setfield(L, -2, name);
}

static void text_field(lua_State *L, const char *name, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

static uint64_t states_on(struct green_hub *hub) {
  const struct green_family *f;
  uint64_t n = 0;
  for (f = green_families(hub); f; f = f->next) n++;
  return n;
}

static void push_counts(lua_State *L, const struct green_lua_usage *usage) {
  lua_createtable(L, 0, 6);
  field(L, "threads", usage->threads);
  field(L, "coroutines", usage->coroutines);
  field(L, "timers", usage->timers);
  field(L, "descriptors", usage->descriptors);
  field(L, "items", usage->items);
  field(L, "messages", usage->messages);
}

static int l_stats(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_lua_usage usage;
  struct green_stats s;
  green_lua_used(L, &usage, sizeof usage);
  green_stats(G->hub, &s);
  lua_createtable(L, 0, 16);
  field(L, "switches", s.switches);
  field(L, "polls", s.polls);
  field(L, "sleeps", s.sleeps);
  field(L, "spawned", s.spawned);
  field(L, "threads", lg_live_count(G));
  field(L, "states", states_on(G->hub));
  field(L, "ready", s.ready);
  field(L, "kept", s.kept);
  field(L, "stacks", s.stacks);
  field(L, "idle_stacks", s.idle_stacks);
  field(L, "timers", s.timers);
  field(L, "external", s.external);
  field(L, "preempted", s.preempted);
  field(L, "hooks_in_the_way", lg_ticks_skipped(G));
  field(L, "memory", s.memory);
  field(L, "heap", usage.memory);
  field(L, "heap_limit", G->limits.memory);
  field(L, "buffered", lg_buffer_total(G->net));
  seconds_field(L, "uptime", s.uptime);
  seconds_field(L, "idle", s.idle);
  seconds_field(L, "poll_time", s.polling);
  field(L, "run_queue_max", s.most_ready);
  push_counts(L, &usage);
  lua_setfield(L, -2, "counts");
  lg_push_gc(L);
  lua_setfield(L, -2, "gc");
  text_field(L, "guard", green_guard_name(G->hub));
  text_field(L, "switch", green_switch_name());
  lg_push_lag(L, G);
  lua_setfield(L, -2, "lag");
  return 1;
}

static const luaL_Reg functions[] = {
    {"config", l_config}, {"stats", l_stats}, {NULL, NULL}};

void lg_open_config(lua_State *L) {
  lg_setfuncs(L, functions, 0);
}
