/* state.c - makes the struct lg of a lua_State, and ends it.
 *
 * Everything is in place before the hub is opened, so that an error in between
 * leaves a userdata whose __gc cleans up. At the end, the state drains, the
 * floors below release what they hold of the hub, and the hub goes last: one
 * that was made for a state is closed with the last state that is on it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "bounds/memory.h"
#include "bounds/bounds.h"
#include "host/host.h"
#include "net/calls.h"
#include "open/open.h"
#include "runtime/counts.h"
#include "runtime/closing.h"
#include "runtime/force.h"
#include "runtime/guest.h"
#include "runtime/kill_note.h"
#include "runtime/owned.h"
#include "runtime/scopes.h"
#include "runtime/sigint.h"
#include "runtime/site.h"
#include "thread/dump_signal.h"
#include "thread/end.h"
#include "thread/thread.h"
#include "watch/watch.h"

/* The state is on the hub no more. */
static void leave_hub(struct lg *G, struct green_hub *hub) {
  struct lg *other;
  assert(G->hub == hub && G->drained);
  green_family_close(&G->family);
  G->hub = NULL;
  other = (struct lg *)green_families(hub);
  if (other && G->own) other->own = 1;
  if (other) return;
  green_set_runtime(hub, NULL);
  if (G->own) green_close(hub);
}

void lg_close_hub(lua_State *L, struct lg *G) {
  struct green_hub *hub = G->hub;
  assert(hub);
  lg_drain(L, G);
  lg_fuel_free(G);
  lg_terms_off(G);
  lg_dump_signal_off(G);
  lg_stuck_set(G);
  lg_watchdog_off(G);
  lg_alloc_profile_free(G);
  lg_ticks_off(G);
  lg_sockets_shut(G);
  lg_profile_drop(G);
  lg_figures_drop(G);
  lg_scopes_leave(G);
  lg_disown_all(&G->locks);
  lg_scripts_end(G);
  lg_drop_kill_notes(G);
  lg_budget_close(G);
  lg_forget_guests(G);
  if (green_elsewhere(hub))
    G->hub = NULL; /* and the hub stays as it is */
  else
    leave_hub(G, hub);
  assert(!G->hub && !G->profile && !G->fuel && !G->terms);
  lg_disown_all(&G->selectors);
}

static void alert(struct green_hub *hub) {
  lg_sigint_alert(hub);
  lg_watchdog_alert(hub);
}

static const struct green_runtime runtime = {NULL, lg_abandoned, lg_c_ended,
                                             lg_killed, alert};

static int hub_gc(lua_State *L) {
  struct lg *G = lua_touserdata(L, 1);
  if (!lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(1)))
    return luaL_argerror(L, 1, "the state of luagreen expected");
  if (lua_gc(L, LUA_GCCOUNT) >= 0) return 0; /* called by hand */
  lg_sigint_restore(G);
  if (G->hub) lg_close_hub(L, G);
  lg_disown_all(&G->owned);
  lg_sockets_free(G);
  lg_accounts_free(G);
  lg_sites_free(G);
  green_purse_release(G->purse);
  G->purse = NULL;
  free(G->free_slots);
  G->free_slots = NULL;
  free(G->pool);
  G->pool = NULL;
  G->pool_count = G->pool_room = 0;
  G->recycle = 0;
  return 0;
}

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

/* The tables that C can use without raising: anchors; three for scopes of
 * coroutines, two with weak values and one with weak keys; the rare things of
 * threads; and one of weak values for the function of an ended thread. */
static void make_tables(lua_State *L, struct lg *G) {
  make_state(L, G, "luagreen.tables");
  make_state(L, G, "luagreen.helper");
  lua_newtable(L);
  lua_xmove(L, G->tables, 1);
  lg_weak_table(L);
  lua_xmove(L, G->tables, 1);
  lg_weak_table(L);
  lua_xmove(L, G->tables, 1);
  lg_ephemerons(L);
  lua_xmove(L, G->tables, 1);
  lua_newtable(L);
  lua_xmove(L, G->tables, 1);
  lg_weak_table(L);
  lua_pushboolean(L, 0);
  lua_rawseti(L, -2, 1); /* it has room for one value from now on */
  lua_xmove(L, G->tables, 1);
  assert(lua_gettop(G->tables) == 6); /* as state.h numbers them */
  lg_weak_table(L);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.alive");
}

static int open_own(lua_State *L, struct green_hub **hub) {
  struct green_options o;
  int r;
  memset(&o, 0, sizeof o);
  env_number("LUAGREEN_MAX_STACKS", &o.max_stacks);
  o.lookup_cache = 1024;
  o.lookup_ttl = 5000; /* servers seldom allow less, and failover waits it */
  o.lookup_negative_ttl = 1000;
  r = green_open(hub, &o);
  if ((r != UV_EMFILE && r != UV_ENFILE) || lua_gc(L, LUA_GCCOUNT) < 0)
    return r;
  lua_gc(L, LUA_GCCOLLECT); /* garbage may hold descriptors */
  return green_open(hub, &o);
}

static void open_hub(lua_State *L, struct lg *G, struct green_hub *hub) {
  int r = 0;
  assert(!G->hub && G->tables && G->helper);
  G->own = hub == NULL;
  if (!hub) r = open_own(L, &hub);
  if (r < 0) luaL_error(L, "luagreen: no hub: %s", green_strerror(r));
  r = green_family_open(hub, &G->family, &lg_thread_class);
  if (r < 0) luaL_error(L, "luagreen: no hub: %s", green_strerror(r));
  G->hub = hub;
  G->has_main = green_main(hub) != NULL;
  if (G->own) green_report_overflow(); /* a host asks for it itself */
  green_set_runtime(hub, &runtime);
}

struct lg *lg_new_state(lua_State *L, struct green_hub *hub) {
  struct lg *G = lua_newuserdatauv(L, sizeof *G, 0);
  memset(G, 0, sizeof *G);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  G->main = lua_tothread(L, -1);
  lua_pop(L, 1);
  G->keep_stacks = 1024;
  G->max_threads = UINT32_MAX;
  lg_account_init(&G->account);
  env_number("LUAGREEN_KEEP", &G->keep_stacks);
  G->recycle = 1;
  G->sigint = 1;
  G->seed = (uint64_t)(uintptr_t)G ^ green_now();
  /* hub_gc() knows a state by its metatable: programs may call it by hand. */
  lua_createtable(L, 0, 1);
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, hub_gc, 1);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  make_tables(L, G);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, G);
  lg_keep_state(L);
  lua_newtable(L);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.policy");
  lg_sentinel_class(L);
  open_hub(L, G, hub);
  lg_budget_open(L, G);
  return G;
}
