/* lua_watch_test.c - traces and profiles of several Lua states on one hub, at
 * once, and of states that close meanwhile.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "lua_test.h"

enum { STATES = 2 };

static int fails(lua_State *L, const char *chunk, const char *message) {
  int right = luaL_dostring(L, chunk) && strstr(lua_tostring(L, -1), message);
  lua_settop(L, 0);
  return right;
}

static lua_State *open_state(struct green_hub *hub, const char *name) {
  lua_State *L = open_on(hub);
  lua_pushstring(L, name);
  lua_setglobal(L, "NAME");
  if (!run(L,
           "function spawn(f, ...)\n"
           "  done = false\n"
           "  local t = green.spawn(function(...) f(...) done = true end, "
           "...)\n"
           "  t.name = NAME\n"
           "end\n"
           "function compute(s)\n"
           "  local stop = os.clock() + s\n"
           "  while os.clock() < stop do local _ = {} green.sleep(0) end\n"
           "end\n"
           "function make(n)\n"
           "  local list = {}\n"
           "  for i = 1, n do list[i] = ('x'):rep(1000) .. i end\n"
           "  green.sleep(0.002)\n"
           "end\n"))
    exit(1);
  return L;
}

static int is_true(lua_State *L, const char *name) {
  int yes;
  lua_getglobal(L, name);
  yes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes;
}

static int has(lua_State *L, const char *name, const char *part) {
  int yes;
  lua_getglobal(L, name);
  yes = lua_isstring(L, -1) && strstr(lua_tostring(L, -1), part);
  lua_pop(L, 1);
  return yes;
}

/* Until the thread of each state has ended, for 20 s at most. */
static int end(struct green_hub *hub, lua_State *const *states) {
  uint64_t stop = green_now() + UINT64_C(20000000000);
  int i, left = 1;
  while (left && green_now() < stop) {
    green_sleep(hub, green_now() + 1000000);
    for (i = left = 0; i < STATES; i++) left += !is_true(states[i], "done");
  }
  return !left;
}

static void close_state(lua_State *L) {
  green_lua_close(L);
  lua_close(L);
}

static void traces(struct green_hub *hub) {
  lua_State *states[STATES] = {open_state(hub, "one"), open_state(hub, "two")};
  int i;
  CHECK(run(states[0], "green.trace.start()"), "a state begins a trace");
  CHECK(fails(states[1], "green.trace.start()", "on already"),
        "which is the hub's, so another one cannot");
  for (i = 0; i < STATES; i++)
    run(states[i],
        "spawn(function() local _ <close> = green.trace.span(NAME "
        ".. ' span') compute(0.005) end)");
  CHECK(end(hub, states), "threads of both run");
  run(states[0], "spawn(green.sleep, 60)");
  close_state(states[0]);
  run(states[1], "text = green.trace.stop()");
  CHECK(has(states[1], "text", " one\"") && has(states[1], "text", " two\""),
        "and stand in it by their names, also of a state that has closed");
  CHECK(has(states[1], "text", "one span") && has(states[1], "text", "two sp"),
        "with their spans");
  close_state(states[1]);
}

/* Both profile at once; the one that ends first takes nothing away. */
static void profiles(struct green_hub *hub, const char *what,
                     const char *work) {
  lua_State *states[STATES] = {open_state(hub, "one"), open_state(hub, "two")};
  char chunk[200];
  int i;
  snprintf(chunk, sizeof chunk,
           "green.profile.start {what = '%s', hz = 1000, "
           "bytes = 1024, by = NAME == 'one' and 'thread' or nil}",
           what);
  for (i = 0; i < STATES; i++) run(states[i], chunk);
  for (i = 0; i < STATES; i++) run(states[i], work);
  CHECK(end(hub, states), what);
  run(states[0], "text = green.profile.stop()");
  CHECK(has(states[0], "text", " one;") && !has(states[0], "text", "two;"),
        "a profile is of its state alone");
  run(states[1], "NAME = 'later'");
  run(states[1], work);
  CHECK(end(hub, states), "when that of another has ended");
  run(states[1], "text = green.profile.stop()");
  CHECK(has(states[1], "text", "two;") && has(states[1], "text", "later;") &&
            !has(states[1], "text", "one;"),
        "and has its own threads, before and after");
  for (i = 0; i < STATES; i++) close_state(states[i]);
}

/* A state that closes leaves nothing behind, and its allocator as it was. */
static void closes(struct green_hub *hub, const char *what) {
  lua_State *L = open_state(hub, "one");
  void *ud, *later;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  char chunk[100];
  snprintf(chunk, sizeof chunk,
           "green.profile.start {what = '%s', bytes = 1024} make(100)", what);
  run(L, chunk);
  green_lua_close(L);
  CHECK(lua_getallocf(L, &later) == alloc && later == ud,
        "a state may close while it is profiled");
  run(L, "local t = {} for i = 1, 1000 do t[i] = {} end");
  lua_close(L);
}

/* Limits of memory set meanwhile stand in front of the profile. */
static void limits(struct green_hub *hub) {
  struct green_lua_limits limits = {.memory = 50000000};
  lua_State *L = open_state(hub, "one");
  limits.size = sizeof limits;
  run(L, "green.profile.start {what = 'alloc', bytes = 1024}");
  CHECK(green_lua_limit(L, &limits) == 0, "memory may be limited meanwhile");
  run(L, "make(100) text = green.profile.stop()");
  CHECK(has(L, "text", " make"), "the profile goes on");
  run(L, "make(100) green.profile.start {what = 'alloc', bytes = 1024}");
  run(L, "make(100) text = green.profile.stop()");
  CHECK(has(L, "text", " make"), "and there may be others");
  CHECK(fails(L, "local s = ('x'):rep(100000000)", "memory"),
        "the limit holds");
  close_state(L);
}

/* The one that ends first takes nothing away, nor does it leave anything on. */
static void measures(struct green_hub *hub) {
  lua_State *states[STATES] = {open_state(hub, "one"), open_state(hub, "two")};
  int i;
  run(states[0], "spawn(green.top, {seconds = 0.02})");
  run(states[1],
      "spawn(function() local list = green.top {seconds = 0.1} "
      "for _, row in ipairs(list) do share = (share or 0) + row.share end "
      "end) green.spawn(compute, 0.3)");
  green_sleep(hub, green_in(1000000));
  CHECK(green_accounts(hub), "two states measure");
  CHECK(end(hub, states), "each for its own time");
  run(states[1], "busy = share > 0.5");
  CHECK(is_true(states[1], "busy"), "the end of the first is nothing to it");
  CHECK(!green_accounts(hub), "then accounting is off again");
  run(states[0], "spawn(green.top, {seconds = 60})");
  green_sleep(hub, green_in(1000000));
  close_state(states[0]);
  CHECK(!green_accounts(hub), "also if a state closes meanwhile");
  for (i = 1; i < STATES; i++) close_state(states[i]);
}

int main(void) {
  struct green_hub *hub;
  if (green_open(&hub, NULL) < 0) return 1;
  traces(hub);
  profiles(hub, "cpu", "spawn(compute, 0.3)");
  profiles(hub, "alloc", "spawn(make, 200)");
  profiles(hub, "blocked", "spawn(make, 1)");
  profiles(hub, "wall", "spawn(make, 1)");
  closes(hub, "cpu");
  closes(hub, "alloc");
  closes(hub, "blocked");
  limits(hub);
  measures(hub);
  CHECK(green_close(hub) == 0, "the hub closes");
  return test_end();
}
