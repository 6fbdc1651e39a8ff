/* settings.c - runs a spec file as a host of luagreen would have it run.
 *
 *   settings loop FILE     in a green thread, on a uv_loop_t of the host's; the
 *                          main Lua thread is none
 *   settings beside FILE   in main, on a hub's own loop, with a second state on
 *                          the hub
 *   settings both FILE     in a thread on the host's loop, with a second state
 *
 * In the second state threads are spawned, by a callback of libuv's, all the
 * time: they sleep, fail, wait for each other, connect, and collect garbage. So
 * the hub may still be idle now and then, and find deadlocks. The Lua part is
 * the one that is linked in.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../bindings/green_lua.h"

/* busted ends by os.exit(), which must not end a host's process. */
static const char SPEC[] =
    "local file = ...\n"
    "local green = require 'green'\n"
    "local over = {}\n"
    "function os.exit(code) over.code = code error(over, 0) end\n"
    "arg = {[0] = 'tools/busted.lua', '--verbose', '-o', 'TAP', file}\n"
    "function main()\n"
    "  local ok, err = xpcall(dofile, function(e)\n"
    "    return e == over and e or debug.traceback(tostring(e)) end, arg[0])\n"
    "  if not ok and err ~= over then print('not ok - ' .. err) return 1 end\n"
    "  local code = over.code\n"
    "  return math.tointeger(code) or (code == false and 1) or 0\n"
    "end\n";

static const char BUSY[] =
    "green = require 'green'\n"
    "green.on_error(function(err) failures = failures + 1\n"
    "  if err ~= 'on purpose' then print('# ' .. tostring(err)) end end)\n"
    "turns, failures = 0, 0\n"
    "local q, kept = green.queue(3), {}\n"
    "local function talk()\n"
    "  local a, b = green.socketpair()\n"
    "  green.spawn(function() pcall(b.send, b, b:receive() .. '\\n') end)\n"
    "  a:send('hello\\n')\n"
    "  assert(a:receive() == 'hello')\n"
    "  a:close() b:close()\n"
    "end\n"
    "function turn()\n"
    "  local n = turns + 1 turns = n\n"
    "  local t <close> = green.spawn(function() green.sleep(1) end)\n"
    "  green.spawn(function() q:put(n) end)\n"
    "  green.sleep(n % 2 * 0.0005)\n"
    "  q:get()\n"
    "  pcall(green.with_timeout, 0.0001, green.sleep, 1)\n"
    "  if n % 3 == 0 then talk() end\n"
    "  if n % 10 == 0 then green.spawn(error, 'on purpose') end\n"
    "  for i = 1, 100 do kept[i] = {n, i} end\n"
    "  collectgarbage 'step'\n"
    "end\n";

static void die(lua_State *L, const char *what) {
  printf("not ok - %s: %s\n", what, L ? lua_tostring(L, -1) : "");
  exit(2);
}

static lua_State *open_state(struct green_hub *hub, const char *chunk,
                             const char *file) {
  lua_State *L = luaL_newstate();
  if (!L) die(NULL, "no memory");
  luaL_openlibs(L);
  if (green_lua_open(L, hub) != LUA_OK) die(L, "the library opens");
  lua_pushstring(L, file);
  if (luaL_loadstring(L, chunk) != LUA_OK) die(L, "the chunk is Lua");
  lua_insert(L, -2);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) die(L, "the chunk runs");
  return L;
}

/* --- the second state --- */

static uv_timer_t timer;
static lua_State *busy;

/* Virtual time belongs to the hub: each sleep here would be a step of it. */
static void on_timer(uv_timer_t *t) {
  struct green_thread *thread;
  if (green_clock_frozen(t->data)) return;
  lua_getglobal(busy, "turn");
  green_lua_start(busy, 0, NULL, NULL, &thread);
}

static void open_busy(struct green_hub *hub) {
  busy = open_state(hub, BUSY, "");
  uv_timer_init(green_loop(hub), &timer);
  timer.data = hub;
  uv_timer_start(&timer, on_timer, 1, 3);
  uv_unref((uv_handle_t *)&timer);
}

static lua_Integer busy_number(const char *name) {
  lua_Integer n;
  lua_getglobal(busy, name);
  n = lua_tointeger(busy, -1);
  lua_pop(busy, 1);
  return n;
}

static void on_closed(uv_handle_t *handle) {
  handle->data = NULL;
}

/* It has gone on beside the spec, and nothing of it has gone astray. */
static int close_busy(struct green_hub *hub) {
  lua_Integer turns = busy_number("turns"), failures = busy_number("failures");
  int left;
  uv_close((uv_handle_t *)&timer, on_closed);
  while (timer.data) {
    if (green_current(hub))
      green_sleep(hub, green_now() + 1000000);
    else
      uv_run(green_loop(hub), UV_RUN_NOWAIT);
  }
  left = green_lua_close(busy);
  lua_close(busy);
  printf("# the second state: %d turns, %d failures\n", (int)turns,
         (int)failures);
  /* Descriptors may be short in a spec, for this state, too. */
  return left == 0 && failures <= turns ? 0 : 1;
}

/* --- the spec --- */

static int code = -1;

static void ended(lua_State *L, int status, int nresults, void *arg) {
  (void)arg;
  code = status == LUA_OK && nresults == 1 ? (int)lua_tointeger(L, -1) : 1;
  if (status != LUA_OK)
    printf("not ok - the spec's thread: %s\n", luaL_tolstring(L, -1, NULL));
}

static void run_in_thread(lua_State *L, uv_loop_t *loop) {
  lua_getglobal(L, "main");
  if (green_lua_start(L, 0, ended, NULL, NULL) < 0) die(NULL, "it starts");
  while (code < 0 && uv_run(loop, UV_RUN_ONCE)) {
  }
  if (code >= 0) return;
  printf("not ok - nothing can wake the spec's thread\n");
  if (luaL_dostring(L, "require 'green'.dump(io.stdout)")) lua_pop(L, 1);
}

static void run_in_main(lua_State *L) {
  lua_getglobal(L, "main");
  if (lua_pcall(L, 0, 1, 0) != LUA_OK) die(L, "it runs");
  code = (int)lua_tointeger(L, -1);
}

int main(int argc, char **argv) {
  const char *setting = argc == 3 ? argv[1] : "";
  int on_loop = strcmp(setting, "beside"), with_busy = strcmp(setting, "loop");
  uv_loop_t loop;
  struct green_options options = {.drive = GREEN_DRIVE_MAIN,
                                  .lookup_cache = 1024,
                                  .lookup_ttl = 5000,
                                  .lookup_negative_ttl = 1000};
  struct green_hub *hub;
  lua_State *L;
  int left = 0;
  if (argc != 3) {
    fprintf(stderr, "usage: settings loop|beside|both FILE\n");
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (on_loop) {
    options.drive = GREEN_DRIVE_LOOP;
    options.loop = &loop;
    if (uv_loop_init(&loop) < 0) return 2;
  }
  if (green_open(&hub, &options) < 0) return 2;
  L = open_state(hub, SPEC, argv[2]);
  if (with_busy) open_busy(hub);
  if (on_loop)
    run_in_thread(L, &loop);
  else
    run_in_main(L);
  left += green_lua_close(L);
  lua_close(L);
  if (with_busy) left += close_busy(hub);
  if (on_loop) uv_run(&loop, UV_RUN_DEFAULT);
  left += green_close(hub);
  if (on_loop) uv_run(&loop, UV_RUN_DEFAULT);
  if (left) printf("not ok - all is closed after it (%d left)\n", left);
  return code != 0 || left != 0;
}
