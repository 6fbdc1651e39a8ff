/* open.c - the entry points: require "green.core", and a host's
 * green_lua_open().
 *
 * Builds the front table of C functions, to which each file of the floors below
 * adds its own: some when the library is opened, the others when the first of
 * theirs is asked for.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/bounds.h"
#include "crew/crew.h"
#include "host/host.h"
#include "host/port.h"
#include "net/lookup.h"
#include "net/calls.h"
#include "open/open.h"
#include "os/os.h"
#include "runtime/frames.h"
#include "runtime/closing.h"
#include "runtime/runtime.h"
#include "runtime/scopes.h"
#include "runtime/sigint.h"
#include "runtime/strike.h"
#include "sync/sync.h"
#include "watch/watch.h"

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

/* Replaces the table on top of the stack by an empty one that inherits its
 * fields. If a call does not tell the name of a C function, Lua looks for it in
 * the tables of package.loaded, and must find green.sleep, not
 * green.core.sleep. */
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

/* The fields of which a state may never need any: a fifth of its memory, for
 * sockets, io, pictures and tests. */
static void open_late(lua_State *L) {
  lg_open_socket(L);
  lg_open_datagram(L);
  lg_open_passing(L);
  lg_open_peek(L);
  lg_open_lookup(L);
  lg_open_os(L);
  lg_open_select_fds(L);
  lg_open_names(L);
  lg_open_serial(L);
  lg_open_luasocket(L);
  lg_open_cpu_profile(L);
  lg_open_alloc_profile(L);
  lg_open_trace(L);
  lg_open_figures(L);
  lg_open_profile(L);
  lg_open_test(L);
}

/* (fields, name): __index of the fields, called for the first that is not
 * there. The others come in a table of their own, which takes its place when it
 * is complete: if memory runs out before, nothing has happened. */
static int late_field(lua_State *L) {
  lua_settop(L, 2);
  lua_newtable(L);
  open_late(L);
  if (!lua_getmetatable(L, 1)) return 0;
  lua_pushvalue(L, 3);
  lua_setfield(L, -2, "__index");
  lua_pushvalue(L, 2);
  lua_rawget(L, 3);
  return 1;
}

/* The fields are on top of the stack. Modules ask for these three before they
 * set them. */
static void come_late(lua_State *L) {
  static const char *const ours[] = {"face", "face_is_complete", "std"};
  int i;
  for (i = 0; i < 3; i++) {
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, ours[i]);
  }
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, late_field);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
}

static void open_core(lua_State *L) {
  lua_createtable(L, 0, 100); /* so many fields come here */
  lg_open_net(L);
  lg_open_tools(L);
  lg_open_config(L);
  lg_open_closing(L);
  lg_open_frames(L);
  lg_open_strike(L);
  lg_open_scopes(L);
  lg_open_thread(L);
  lg_open_standard(L);
  lg_open_time(L);
  lg_open_turns(L);
  lg_open_event(L);
  lg_open_locals(L);
  lg_open_queue(L);
  lg_open_lease(L);
  lg_open_waitable(L);
  lg_open_select(L);
  lg_open_selector(L);
  lg_open_crew(L);
  lg_open_flag(L);
  lg_open_condition(L);
  lg_open_guard(L);
  lg_open_semaphore(L);
  lg_open_lock(L);
  lg_open_waitgroup(L);
  lg_open_ticker(L);
  lg_open_wait_fd(L);
  lg_open_port(L);
  lg_open_sigint(L);
  lg_open_ticks(L);
  lg_open_preempt(L);
  lg_open_overrun(L);
  lg_open_watchdog(L);
  lg_open_block(L);
  lg_open_sandbox(L);
  lg_open_fuel(L);
  lg_open_offload(L);
  come_late(L);
  hide_fields(L);
}

int luaopen_green_core(lua_State *L) {
  struct lg *G;
  lg_check_lua(L);
  check_abi(L);
  if (lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.core") == LUA_TTABLE)
    return 1;
  G = lg_find(L);
  if (G && !G->hub && G->drained) return lg_raise_closing(L);
  if (!G || !G->hub) lg_new_state(L, NULL); /* again, if it raised before */
  open_core(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, "luagreen.core");
  return 1;
}

/* Recursion through Lua's own functions, such as gsub, takes up to 400 KB of a
 * default of 512. A build without optimization has a larger default. */
static size_t least_stack(void) {
  return green_stack_default() / 8 * 7;
}

static void check_hub(lua_State *L, struct green_hub *hub) {
  const char *elsewhere = green_elsewhere(hub);
  size_t size = green_config(hub)->stack_size;
  if (elsewhere) luaL_error(L, "luagreen: cannot be opened %s", elsewhere);
  if (green_hot(hub)->closed)
    luaL_error(L,
               "luagreen: threads of a former state would not end on the "
               "hub: nothing runs on it any more");
  if (size && size < least_stack())
    luaL_error(L, "luagreen: the hub's stack_size is %d KB; Lua needs %d KB",
               (int)(size / 1024), (int)(least_stack() / 1024));
}

/* (hub) */
static int open_on(lua_State *L) {
  struct green_hub *hub = lua_touserdata(L, 1);
  lg_check_lua(L);
  check_abi(L);
  if (lg_find(L)) luaL_error(L, "luagreen: this state has a hub already");
  lg_check_copy(L);
  if (hub) check_hub(L, hub); /* else it will have one of its own */
  luaL_checkstack(L, 10, "luagreen");
  lg_new_state(L, hub);
  lg_preload_part(L);
  lg_late_policy(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, luaopen_green_core);
  lua_setfield(L, -2, "green.core");
  return luaopen_green_core(L);
}

int green_lua_open(lua_State *L, struct green_hub *hub) {
  if (!lua_checkstack(L, 4)) {
    lua_pushnil(L);
    return LUA_ERRMEM;
  }
  lua_pushcfunction(L, open_on);
  lua_pushlightuserdata(L, hub);
  return lua_pcall(L, 1, 0, 0);
}

/* --- closing --- */

struct search {
  struct lg *G;
  int found;
};

static int is_of(const struct lg *G, lua_State *L) {
  return L && lg_same_state(L, G->main);
}

/* Does the thread wait in code of the state? Its stack would go on in a state
 * that is closed. It is known where it waits in a call of the library's for
 * Lua; in one of the core's, which a function of the program's has called, only
 * the coroutine is known that was resumed last. */
static void find_inside(struct green_thread *t, void *arg) {
  struct search *s = arg;
  if (t == lg_running(s->G)) return;
  if (is_of(s->G, green_kept_note(t)) || is_of(s->G, green_nested_of(t)))
    s->found = 1;
}

/* Somebody is in the main Lua thread: not the caller, if that is another green
 * thread than main. */
static int is_occupied(const struct lg *G, const struct green_thread *caller) {
  lua_Debug ar;
  return caller && caller != green_main(G->hub) &&
         lua_getstack(G->main, 0, &ar);
}

static int may_close(struct lg *G) {
  struct search s = {G, 0};
  struct green_thread *t;
  if (green_may_drain(G->hub) < 0) return UV_EPERM;
  if (G->calls_back) return UV_EBUSY;
  t = lg_running(G);
  if (t && lg_is_lua(t) && lg_of(t) == G) return UV_EPERM;
  if (is_occupied(G, t)) return UV_EBUSY;
  green_each_of(G->hub, NULL, find_inside, &s); /* main, and those of C */
  return s.found ? UV_EBUSY : 0;
}

int green_lua_close(lua_State *L) {
  struct lg *G = lg_find(L);
  int r;
  if (!G || !G->hub) return 0;
  if (G->drained) return UV_EBUSY; /* somebody else does it now */
  if ((r = may_close(G)) < 0) return r;
  r = lg_drain(L, G);
  lg_close_hub(L, G);
  return r;
}

struct green_hub *green_lua_hub(lua_State *L) {
  struct lg *G = lg_find(L);
  return G ? G->hub : NULL;
}
