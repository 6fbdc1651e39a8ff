/* state.c - the library in a lua_State: opening, closing, the front table.
 *
 * Nothing of Lua's public API runs before lua_close(), and finalizers run
 * newest first, so the hub's own __gc would come too late: every object older
 * than it would be finalized before the threads that use it are killed. The
 * drain therefore runs at the first of: green_lua_close(), os.exit with close,
 * and the first finalizer of ours that sees its object still standing in a
 * weak-valued table, which happens only while the state closes. The main
 * thread anchors a fresh sentinel whenever it blocks after spawns.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "runtime/binding.h"

static const char HUB[] = "luagreen.hub";

struct lg *lg_find(lua_State *L) {
  struct lg *G;
  lua_getfield(L, LUA_REGISTRYINDEX, HUB);
  G = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return G;
}

/* --- the drain --- */

int lg_drain(lua_State *L, struct lg *G) {
  int left;
  if (G->drained || !G->hub) return 0;
  G->drained = 1;
  green_keep_note(G->hub, L);
  left = green_drain(G->hub);
  G->drained = 2;
  return left;
}

void lg_finalizing(lua_State *L, struct lg *G, int in_table) {
  if (in_table) lg_drain(L, G);
}

static int sentinel_gc(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  lua_rawgeti(L, lua_upvalueindex(2), 1);
  lg_finalizing(L, G, lua_rawequal(L, -1, 1));
  return 0;
}

/* Replaces the sentinel by a younger one, if threads were spawned since. */
void lg_sentinel(lua_State *L, struct lg *G) {
  if (likely(G->sentinel_spawns == green_hot(G->hub)->spawns)) return;
  luaL_checkstack(L, 6, "luagreen");
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.alive");
  lua_newuserdatauv(L, 1, 0);
  luaL_setmetatable(L, "green.sentinel");
  lua_pushvalue(L, -1);
  lua_rawseti(L, -3, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.sentinel");
  lua_pop(L, 1);
  G->sentinel_spawns = green_hot(G->hub)->spawns;
}

static void close_hub(lua_State *L, struct lg *G) {
  struct green_hub *hub = G->hub;
  lg_drain(L, G);
  lg_sockets_shut(G);
  lg_dump_signal_off(G);
  lg_locks_drop(G);
  G->hub = NULL;
  green_hot(hub)->user = NULL;
  green_set_runtime(hub, NULL);
  if (G->own)
    green_close(hub);
  else
    green_hot(hub)->draining = 0; /* the host's goes on */
}

static int hub_gc(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  lg_signal_restore(G);
  if (G->hub) close_hub(L, G);
  lg_sites_free(G);
  free(G->free_slots);
  G->free_slots = NULL;
  return 0;
}

/* --- os.exit from a green thread ends in main --- */

void lg_exit(lua_State *L, struct lg *G) {
  G->exiting = 0;
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lua_getfield(L, -1, "exit");
  lua_call(L, 0, 0);
}

/* exit_main(): main is to leave; true if the caller is another thread. */
static int l_exit_main(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_thread *main = green_main(G->hub);
  if (!main || lg_current(G) == main) return 0;
  G->exiting = 1;
  green_wake(G->hub, main, GREEN_EXIT);
  green_kill(G->hub, lg_current(G));
  lua_pushboolean(L, 1);
  return 1;
}

static int l_drain(lua_State *L) {
  struct lg *G = lg_get(L);
  lua_pushinteger(L, lg_drain(L, G));
  return 1;
}

/* --- config and stats --- */

static uint32_t positive(lua_State *L, const char *name, lua_Number most,
                         int zero) {
  lua_Number n = lua_tonumber(L, -1);
  if (!lua_isnumber(L, -1) || !(n >= (zero ? 0 : 1)) || n > most)
    luaL_error(L, "bad value for '%s' in 'config' (number from %d expected)",
               name, zero ? 0 : 1);
  return (uint32_t)n;
}

/* 0 and math.huge: no limit. */
static uint32_t limit(lua_State *L, const char *name) {
  lua_Number n = lua_tonumber(L, -1);
  if (lua_isnumber(L, -1) && n > 1e9) return UINT32_MAX;
  n = positive(L, name, 1e9, 1);
  return n > 0 ? (uint32_t)n : UINT32_MAX;
}

static void set_option(lua_State *L, struct lg *G, const char *name) {
  struct green_options *o = green_config(G->hub);
  if (!strcmp(name, "grace")) {
    lua_Number s = lua_tonumber(L, -1);
    if (!lua_isnumber(L, -1) || !(s > 0) || s > 1e6)
      luaL_error(L, "bad value for 'grace' in 'config' (seconds expected)");
    o->grace = (uint64_t)(s * 1e9);
  } else if (!strcmp(name, "keep_stacks")) {
    G->keep_stacks = positive(L, name, 1e9, 1);
  } else if (!strcmp(name, "max_stacks")) {
    green_set_max_stacks(G->hub, positive(L, name, 1e9, 0));
  } else if (!strcmp(name, "poll_switches")) {
    o->poll_switches = positive(L, name, 1e9, 0);
  } else if (!strcmp(name, "poll_ms")) {
    o->poll_ms = positive(L, name, 1e6, 0);
  } else if (!strcmp(name, "budget")) {
    o->budget = positive(L, name, 1e9, 0);
  } else if (!strcmp(name, "recycle")) {
    G->recycle = (uint8_t)lua_toboolean(L, -1);
  } else if (!strcmp(name, "accounting")) {
    green_accounting(G->hub, lua_toboolean(L, -1));
  } else if (!strcmp(name, "sigint")) {
    G->sigint = (uint8_t)lua_toboolean(L, -1);
  } else if (!strcmp(name, "max_threads")) {
    G->max_threads = limit(L, name);
  } else if (!strcmp(name, "dump_signal")) {
    lg_dump_signal_set(L, G);
  } else {
    luaL_error(L, "unknown option '%s' in 'config'", name);
  }
}

static void field(lua_State *L, const char *name, lua_Integer value) {
  lua_pushinteger(L, value);
  lua_setfield(L, -2, name);
}

static int l_config(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_options *o = green_config(G->hub);
  if (!lua_isnoneornil(L, 1)) {
    luaL_checktype(L, 1, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
      if (lua_type(L, -2) != LUA_TSTRING)
        luaL_argerror(L, 1, "names of options expected");
      set_option(L, G, lua_tostring(L, -2));
    }
  }
  lua_createtable(L, 0, 11);
  lua_pushnumber(L, (lua_Number)o->grace / 1e9);
  lua_setfield(L, -2, "grace");
  field(L, "keep_stacks", G->keep_stacks);
  field(L, "max_stacks", o->max_stacks);
  field(L, "max_threads", G->max_threads < UINT32_MAX ? G->max_threads : 0);
  field(L, "poll_switches", o->poll_switches);
  field(L, "poll_ms", o->poll_ms);
  field(L, "budget", o->budget);
  lua_pushboolean(L, G->recycle);
  lua_setfield(L, -2, "recycle");
  lua_pushboolean(L, G->sigint);
  lua_setfield(L, -2, "sigint");
  lua_pushboolean(L, green_accounts(G->hub));
  lua_setfield(L, -2, "accounting");
  lg_dump_signal_get(L, G);
  lua_setfield(L, -2, "dump_signal");
  return 1;
}

static int l_stats(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_stats s;
  green_stats(G->hub, &s);
  lua_createtable(L, 0, 15);
  field(L, "switches", (lua_Integer)s.switches);
  field(L, "polls", (lua_Integer)s.polls);
  field(L, "sleeps", (lua_Integer)s.sleeps);
  field(L, "spawned", (lua_Integer)s.spawned);
  field(L, "threads", s.live);
  field(L, "ready", s.ready);
  field(L, "kept", s.kept);
  field(L, "stacks", s.stacks);
  field(L, "idle_stacks", s.idle_stacks);
  field(L, "timers", s.timers);
  field(L, "external", s.external);
  lua_pushnumber(L, (lua_Number)s.uptime / 1e9);
  lua_setfield(L, -2, "uptime");
  lua_pushnumber(L, (lua_Number)s.idle / 1e9);
  lua_setfield(L, -2, "idle");
  lua_pushstring(L, green_guard_name(G->hub));
  lua_setfield(L, -2, "guard");
  lua_pushstring(L, green_switch_name());
  lua_setfield(L, -2, "switch");
  return 1;
}

/* --- small tools of the Lua part --- */

/* set_policy(table): functions that C calls by name. */
static int l_set_policy(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  return 0;
}

/* set_home(prefix): how the sources of the library's own modules begin. */
static int l_set_home(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_settop(L, 1);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.home");
  return 0;
}

/* metatable(name): one of the library's. */
static int l_metatable(lua_State *L) {
  luaL_newmetatable(L, luaL_checkstring(L, 1));
  return 1;
}

/* in_warn(on): the warn function runs, or not any more. Whether it may be
 * turned off again: blocking may have been refused already. */
static int l_in_warn(lua_State *L) {
  struct lg *G = lg_get(L);
  lua_pushboolean(L, !G->refuse);
  if (!lua_toboolean(L, 1))
    G->refuse = NULL;
  else if (!G->refuse)
    G->refuse = "in a warn function";
  return 1;
}

static int l_version(lua_State *L) {
  lua_pushliteral(L, GREEN_VERSION);
  return 1;
}

static const luaL_Reg functions[] = {
    {"config", l_config},         {"stats", l_stats},
    {"drain", l_drain},           {"exit_main", l_exit_main},
    {"set_policy", l_set_policy}, {"set_home", l_set_home},
    {"metatable", l_metatable},   {"in_warn", l_in_warn},
    {"version", l_version},       {NULL, NULL}};

void lg_setfuncs(lua_State *L, const luaL_Reg *funcs, int extra) {
  lua_getfield(L, LUA_REGISTRYINDEX, HUB);
  lua_insert(L, -1 - extra);
  luaL_setfuncs(L, funcs, 1 + extra);
}

void lg_new_class(lua_State *L, const char *name, const luaL_Reg *methods,
                  const luaL_Reg *meta) {
  luaL_newmetatable(L, name);
  if (meta) {
    lua_pushvalue(L, -1);
    lua_pushvalue(L, -1);
    lg_setfuncs(L, meta, 1);
    lua_pop(L, 1);
  }
  lua_newtable(L);
  lua_pushvalue(L, -2);
  lg_setfuncs(L, methods, 1);
  lua_setfield(L, -2, "__index");
}

void *lg_self_error(lua_State *L) {
  const char *name = "object";
  if (lua_getfield(L, lua_upvalueindex(2), "__name") == LUA_TSTRING)
    name = lua_tostring(L, -1);
  luaL_argerror(
      L, 1,
      lua_pushfstring(L, "%s expected, got %s", name, luaL_typename(L, 1)));
  return NULL;
}

/* --- opening --- */

static void env_number(const char *name, uint32_t *value) {
  const char *s = getenv(name);
  if (s && *s) *value = (uint32_t)strtoul(s, NULL, 10);
}

static void make_state(lua_State *L, struct lg *G, const char *key) {
  lua_State *co = lua_newthread(L);
  if (!lua_checkstack(co, LUA_MINSTACK)) luaL_error(L, "not enough memory");
  lua_setfield(L, LUA_REGISTRYINDEX, key);
  if (!G->tables)
    G->tables = co;
  else
    G->helper = co;
}

void lg_weak_table(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

/* The tables that C reaches without raising: anchors, and by the same slots
 * the coroutines in which timeouts were made. */
static void make_tables(lua_State *L, struct lg *G) {
  make_state(L, G, "luagreen.tables");
  make_state(L, G, "luagreen.helper");
  lua_newtable(L);
  lua_xmove(L, G->tables, 1);
  lg_weak_table(L);
  lua_xmove(L, G->tables, 1);
  lg_weak_table(L);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.alive");
}

static void open_hub(lua_State *L, struct lg *G, struct green_hub *hub) {
  int r = 0;
  G->own = hub == NULL;
  if (!hub) {
    struct green_options o;
    memset(&o, 0, sizeof o);
    env_number("LUAGREEN_MAX_STACKS", &o.max_stacks);
    r = green_open(&hub, &o);
  }
  if (r < 0) luaL_error(L, "luagreen: no hub: %s", green_strerror(r));
  G->hub = hub;
  if (G->own) green_report_overflow(); /* a host asks for it itself */
  green_hot(hub)->user = G;
  green_set_runtime(hub, &lg_runtime);
}

static void sentinel_class(lua_State *L) {
  static const luaL_Reg meta[] = {{"__gc", sentinel_gc}, {NULL, NULL}};
  luaL_newmetatable(L, "green.sentinel");
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.alive");
  lg_setfuncs(L, meta, 1);
  lua_pop(L, 1);
}

/* Everything is in place before the hub is made, so that an error in between
 * leaves a userdata whose __gc undoes what was done. */
static struct lg *new_state(lua_State *L, struct green_hub *hub) {
  struct lg *G = lua_newuserdatauv(L, sizeof *G, 0);
  memset(G, 0, sizeof *G);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  G->main = lua_tothread(L, -1);
  lua_pop(L, 1);
  G->keep_stacks = 1024;
  G->max_threads = UINT32_MAX;
  env_number("LUAGREEN_KEEP", &G->keep_stacks);
  G->recycle = 1;
  G->sigint = 1;
  G->seed = (uint64_t)(uintptr_t)G ^ green_now();
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, hub_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  make_tables(L, G);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, G);
  lua_setfield(L, LUA_REGISTRYINDEX, HUB);
  lua_newtable(L);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  sentinel_class(L);
  open_hub(L, G, hub);
  return G;
}

static void check_abi(lua_State *L) {
  int same;
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.abi");
  same = lua_isnil(L, -1) || lua_tointeger(L, -1) == LG_ABI;
  lua_pop(L, 1);
  if (!same)
    luaL_error(L, "luagreen: another version is loaded in this state");
  lua_pushinteger(L, LG_ABI);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.abi");
}

/* An empty table whose fields are those of the table on top of the stack,
 * which it replaces. Where a call does not tell the name of a C function, Lua
 * looks for it in the tables of package.loaded: it is to find green.sleep and
 * not, by chance, green.core.sleep. */
static void hide_fields(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 2);
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "__index");
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "__newindex");
  lua_setmetatable(L, -2);
  lua_remove(L, -2);
}

static void open_core(lua_State *L) {
  lua_newtable(L);
  lg_setfuncs(L, functions, 0);
  lg_open_interrupt(L);
  lg_open_thread(L);
  lg_open_time(L);
  lg_open_event(L);
  lg_open_locals(L);
  lg_open_queue(L);
  lg_open_waitable(L);
  lg_open_select(L);
  lg_open_crew(L);
  lg_open_flag(L);
  lg_open_condition(L);
  lg_open_guard(L);
  lg_open_semaphore(L);
  lg_open_lock(L);
  lg_open_waitgroup(L);
  lg_open_ticker(L);
  lg_open_socket(L);
  lg_open_readable(L);
  lg_open_signal(L);
  lg_open_test(L);
  hide_fields(L);
}

int luaopen_green_core(lua_State *L) {
  struct lg *G;
  check_abi(L);
  if (lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.core") == LUA_TTABLE)
    return 1;
  G = lg_find(L);
  if (G && !G->hub) return luaL_error(L, "luagreen: the state is closing");
  if (!G) new_state(L, NULL);
  open_core(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.core");
  return 1;
}

void green_lua_open(lua_State *L, struct green_hub *hub) {
  check_abi(L);
  if (lg_find(L)) luaL_error(L, "luagreen: this state has a hub already");
  luaL_checkstack(L, 10, "luagreen");
  new_state(L, hub);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_green_core);
  lua_setfield(L, -2, "green.core");
  lua_pop(L, 1);
}

int green_lua_close(lua_State *L) {
  struct lg *G = lg_find(L);
  int left;
  if (!G || !G->hub) return 0;
  left = lg_drain(L, G);
  close_hub(L, G);
  return left;
}

struct green_hub *green_lua_hub(lua_State *L) {
  struct lg *G = lg_find(L);
  return G ? G->hub : NULL;
}
