/* lua_callback_test.c - Lua functions written in C, and C libraries that call
 * back into Lua, beside blocking.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lua_test.h"

/* ------------------------------------------------------------- fixtures -- */

static int fds[2];
static lua_State *saved; /* the main state, as a C library keeps it */

/* Calls back through plain lua_call, with something on its own C stack. */
static int call_back(lua_State *L) {
  volatile lua_Integer mine[8];
  lua_Integer n = luaL_checkinteger(L, 1);
  for (int i = 0; i < 8; i++) mine[i] = n + i;
  lua_pushvalue(L, 2);
  lua_pushinteger(L, n);
  lua_call(L, 1, 1);
  for (int i = 0; i < 8; i++)
    if (mine[i] != n + i) return luaL_error(L, "the C frame was overwritten");
  return 1;
}

/* Calls a global function on the main state, whoever runs. */
static int call_saved(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  char said[500];
  int failed;
  lua_getglobal(saved, name);
  failed = lua_pcall(saved, 0, 1, 0);
  snprintf(said, sizeof said, "%s", lua_tostring(saved, -1));
  lua_pop(saved, 1);
  lua_pushboolean(L, !failed);
  lua_pushstring(L, said);
  return 2;
}

/* read_line([s]): blocks with a buffer of its own held. */
static int read_line(lua_State *L) {
  double seconds = luaL_optnumber(L, 1, -1);
  volatile char before = 'b';
  char c, text[64];
  size_t n = 0;
  while (n < sizeof text) {
    if (green_lua_wait_fd(L, fds[0], GREEN_READABLE, seconds) < 0) {
      lua_pushnil(L);
      lua_pushliteral(L, "timeout");
      return 2;
    }
    if (read(fds[0], &c, 1) != 1 || c == '\n') break;
    text[n++] = c;
  }
  if (before != 'b') return luaL_error(L, "the C frame was overwritten");
  lua_pushlstring(L, text, n);
  return 1;
}

static int write_text(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  if (write(fds[1], text, size) != (ssize_t)size) abort();
  return 0;
}

static int nap(lua_State *L) {
  green_lua_sleep(L, luaL_checknumber(L, 1));
  return 0;
}

static lua_State *open_state(void) {
  lua_State *L = saved = own_state();
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) abort();
  lua_register(L, "call_back", call_back);
  lua_register(L, "call_saved", call_saved);
  lua_register(L, "read_line", read_line);
  lua_register(L, "write_text", write_text);
  lua_register(L, "nap", nap);
  if (!run(L, "green = require 'green' green.config{grace = 0.5}")) abort();
  return L;
}

static void close_state(lua_State *L) {
  lua_close(L);
  close(fds[0]);
  close(fds[1]);
}

/* The chunk, in a state of its own, returns true. */
static void test(const char *chunk, const char *sentence) {
  lua_State *L = open_state();
  int good = luaL_dostring(L, chunk) == LUA_OK && lua_toboolean(L, -1);
  const char *said = lua_tostring(L, -1);
  if (!CHECK(good, sentence)) printf("# %s\n", said ? said : "(no message)");
  close_state(L);
}

/* ------------------------------------------------------------ call back -- */

static void test_call_back(void) {
  test(
      "return call_back(3, function(n) green.sleep(0.001) return n + 1 end)"
      " == 4",
      "a function called back by C blocks, on the main thread");
  test(
      "local ts, sum = {}, 0\n"
      "for i = 1, 200 do ts[i] = green.spawn(call_back, i, function(n)\n"
      "  for _ = 1, n % 4 do green.sleep(n % 3 * 0.001) end\n"
      "  return n end) end\n"
      "for _, t in ipairs(ts) do sum = sum + t:wait() end\n"
      "return sum == 200 * 201 / 2",
      "and in 200 green threads at once, in any order");
  test(
      "local function deep(n)\n"
      "  if n == 0 then green.sleep(0.001) return 0 end\n"
      "  return call_back(n, function(k) return 1 + deep(k - 1) end)\n"
      "end\n"
      "local a, b = green.spawn(deep, 20), green.spawn(deep, 30)\n"
      "return a:wait() == 20 and b:wait() == 30",
      "nested as deep as one likes");
  test(
      "local t = green.spawn(function()\n"
      "  local ok, err = pcall(call_back, 1, function()\n"
      "    green.sleep(0.001) error('mine', 0) end)\n"
      "  return not ok and err end)\n"
      "return t:wait() == 'mine'",
      "an error goes through the C function to whoever called it");
  test(
      "local t = green.spawn(call_back, 1, function() green.sleep(1e9) end)\n"
      "green.sleep(0) t:kill('enough')\n"
      "local ok, err = t:join()\n"
      "return not ok and t:status() == 'killed' and err.reason == 'enough'",
      "a kill as well");
  test(
      "local co = coroutine.wrap(function()\n"
      "  call_back(1, function() green.sleep(0.001) end)\n"
      "  coroutine.yield(1) return 2 end)\n"
      "local t = green.spawn(function() return co() + co() end)\n"
      "return t:wait() == 3",
      "inside a coroutine of the user's, too");
}

/* --------------------------------------------- the main state elsewhere -- */

static void test_saved(void) {
  test(
      "function blocks() green.sleep(0.001) end\n"
      "local t = green.spawn(call_saved, 'blocks')\n"
      "local ok, err = t:wait()\n"
      "return not ok and err:find('C library runs on the main Lua thread',"
      " 1, true) ~= nil or err",
      "a library that saved the main state and calls it from another thread "
      "is told why it cannot block");
  test(
      "function tries() local q = green.queue() q:put(3) return q:get(0) end\n"
      "function spawns() green.spawn(function() spawned = true end)\n"
      "  return '' end\n"
      "local t = green.spawn(call_saved, 'tries')\n"
      "local u = green.spawn(call_saved, 'spawns')\n"
      "local ok, v = t:wait()\n"
      "u:wait() green.sleep(0)\n"
      "return ok and v == '3' and spawned",
      "what need not wait works there");
  test(
      "function blocks() green.sleep(0.001) return 'slept' end\n"
      "local ok, v = call_saved('blocks')\n"
      "return ok and v == 'slept'",
      "on main itself it may block");
}

/* -------------------------------------------------- blocking Lua from C -- */

static void test_wait_fd(void) {
  test(
      "local t = green.spawn(read_line)\n"
      "green.sleep(0) write_text('hel') green.sleep(0.001)\n"
      "write_text('lo\\n')\n"
      "return t:wait() == 'hello'",
      "a Lua function written in C waits for a descriptor and keeps its "
      "C variables");
  test(
      "local ticks = 0\n"
      "local t = green.spawn(function() while true do\n"
      "  green.sleep(0) ticks = ticks + 1 end end)\n"
      "local line, err = read_line(0.003)\n"
      "t:kill()\n"
      "return line == nil and err == 'timeout' and ticks > 0",
      "with a limit, on main, while others run");
  test(
      "local v, err = read_line(0)\n"
      "write_text('x\\n')\n"
      "return v == nil and err == 'timeout' and read_line(0) == 'x'",
      "a limit of 0 tries once");
  test(
      "local line, err = green.with_timeout(0.002, read_line)\n"
      "return line == nil and err == 'timeout'",
      "a timeout around it cuts it");
  test(
      "local t = green.spawn(read_line)\n"
      "green.sleep(0) t:kill('over')\n"
      "local ok, err = t:join()\n"
      "return not ok and err.reason == 'over' and t:status() == 'killed'",
      "a kill raises out of it");
  test(
      "local t = green.spawn(function()\n"
      "  local ok, err = pcall(read_line) return err end)\n"
      "green.sleep(0) t:throw('thrown')\n"
      "return t:wait() == 'thrown'",
      "and so does a throw");
  test(
      "local start = green.now()\n"
      "local t = green.spawn(nap, 0.003)\n"
      "t:wait()\n"
      "return green.now() - start >= 0.003 and nap(-1) == nil",
      "green_lua_sleep sleeps, never too short");
  test(
      "local ok, err\n"
      "do local x <const> = setmetatable({}, {__gc = function()\n"
      "  ok, err = pcall(nap, 0.001) end}) end\n"
      "collectgarbage() collectgarbage()\n"
      "return ok == false and err:find('finalizer', 1, true) ~= nil or err",
      "in a finalizer it is refused");
}

int main(void) {
  test_call_back();
  test_saved();
  test_wait_fd();
  return test_end();
}
