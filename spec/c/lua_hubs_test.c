/* lua_hubs_test.c - a hub and a Lua state in each of four OS threads, driven in
 * every way: the same script, at the same time. Also run under ThreadSanitizer.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../../bindings/green_lua.h"
#include "test.h"

/* libuv closes descriptors by syscall(2), which the sanitizer does not see: it
 * takes the next use of a number for a race with the last one. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
  return "race:epoll_create1\nrace:pipe2\nrace:eventfd\nrace:socket\n"
         "race:accept4\n";
}

enum { THREADS = 4, LIVES = 3, MS = 1000000 };

static const char SCRIPT[] =
    "local green = require 'green'\n"
    "local trips, listener = 0, assert(green.listen('127.0.0.1', 0))\n"
    "local _, port = listener:getsockname()\n"
    "green.spawn_n(function()\n"
    "  for _ = 1, 5 do\n"
    "    local conn = assert(listener:accept())\n"
    "    green.spawn_n(function()\n"
    "      for line in conn:lines() do conn:send(line .. '\\n') end\n"
    "    end)\n"
    "  end\n"
    "end)\n"
    "local q = green.queue()\n"
    "local clients = {}\n"
    "for i = 1, 5 do clients[i] = green.spawn(function()\n"
    "  local conn = assert(green.connect('127.0.0.1', port))\n"
    "  for n = 1, 10 do\n"
    "    conn:send(i .. ' ' .. n .. '\\n')\n"
    "    assert(conn:receive() == i .. ' ' .. n)\n"
    "    trips = trips + 1\n"
    "  end\n"
    "  conn:close() green.sleep(0.001) q:put(i)\n"
    "end) end\n"
    "green.spawn_n(function()\n"
    "  local sum = 0\n"
    "  for _ = 1, 5 do sum = sum + q:get() end\n"
    "  for _, t in ipairs(clients) do assert(t:join()) end\n"
    "  local t = green.spawn(green.sleep, 1e6) t:kill()\n"
    "  assert(not t:join() and #green.dns.getaddrinfo('127.0.0.1') > 0)\n"
    "  result = sum * 1000 + trips\n"
    "end)\n";

struct host {
  pthread_t thread;
  enum green_drive drive;
  uint64_t time; /* of its clock, if it has one */
  int has_clock, bad;
};

static uint64_t read_clock(void *arg) {
  return ((struct host *)arg)->time;
}

static void drive(struct host *self, struct green_hub *hub, uv_loop_t *loop) {
  switch (self->drive) {
    case GREEN_DRIVE_MAIN: self->bad += green_yield(hub) < 0; break;
    case GREEN_DRIVE_LOOP: uv_run(loop, UV_RUN_ONCE); break;
    case GREEN_DRIVE_STEP:
      self->time += MS;
      self->bad += green_step_for(hub, MS, 0) < 0;
  }
}

static lua_Integer result_of(lua_State *L) {
  lua_Integer n;
  lua_getglobal(L, "result");
  n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

static void run_script(struct host *self, struct green_hub *hub,
                       uv_loop_t *loop) {
  uint64_t end = uv_hrtime() + UINT64_C(30000) * MS;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  green_lua_open(L, hub);
  if (luaL_dostring(L, SCRIPT)) {
    printf("# %s\n", lua_tostring(L, -1));
    self->bad++;
  }
  while (!result_of(L) && uv_hrtime() < end) drive(self, hub, loop);
  self->bad += result_of(L) != 15050;
  self->bad += green_lua_close(L) != 0;
  lua_close(L);
}

static void *live(void *arg) {
  struct host *self = arg;
  struct green_options o = {.drive = self->drive};
  int i, on_loop = self->drive == GREEN_DRIVE_LOOP;
  if (self->has_clock) o.clock = read_clock;
  o.clock_arg = self;
  for (i = 0; i < LIVES && !self->bad; i++) {
    struct green_hub *hub;
    uv_loop_t loop;
    uv_loop_init(&loop);
    o.loop = on_loop ? &loop : NULL;
    if (green_open(&hub, &o) < 0) abort();
    run_script(self, hub, &loop);
    self->bad += green_close(hub) != 0;
    uv_run(&loop, UV_RUN_DEFAULT);
    self->bad += uv_loop_close(&loop) != 0;
  }
  return NULL;
}

int main(void) {
  static struct host hosts[THREADS] = {{.drive = GREEN_DRIVE_MAIN},
                                       {.drive = GREEN_DRIVE_LOOP},
                                       {.drive = GREEN_DRIVE_STEP},
                                       {.drive = GREEN_DRIVE_STEP}};
  int i, bad = 0;
  hosts[3].has_clock = hosts[3].time = 1;
  for (i = 0; i < THREADS; i++)
    pthread_create(&hosts[i].thread, NULL, live, &hosts[i]);
  for (i = 0; i < THREADS; i++) {
    pthread_join(hosts[i].thread, NULL);
    bad += hosts[i].bad;
  }
  CHECK(bad == 0,
        "four OS threads run a script each, as main, on a loop, in steps, and "
        "by a clock of their own");
  return test_end();
}
