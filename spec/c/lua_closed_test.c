/* lua_closed_test.c - what a program may still call when green_lua_close() has
 * been called, as finalizers do: each method of each object, and each function
 * of the library, returns or raises. None waits or reads freed memory (run it
 * under ASan or valgrind), and the other state on the hub goes on.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include "lua_test.h"

static const char OBJECTS[] =
    "green = require 'green'\n"
    "green.on_error(function() end)\n"
    "local a, b = green.socketpair()\n"
    "local half, other = green.socketpair()\n"
    "local function fails() error 'on purpose' end\n"
    "local function forever() green.sleep(1e9) end\n"
    "local function run(f, ...)\n"
    "  local t = green.spawn(f, ...) pcall(t.join, t) return t\n"
    "end\n"
    "local full, unbounded = green.queue(1), green.queue()\n"
    "full:put(1)\n"
    "local pool, pile = green.pool(2), green.pile(3)\n"
    "for i = 1, 2 do pool:spawn(i == 1 and fails or forever) end\n"
    "for i = 1, 3 do pile:spawn(i == 1 and forever or fails) end\n"
    "local locked, held = green.lock(), green.lock()\n"
    "green.spawn(locked.acquire, locked)\n"
    "held:acquire()\n"
    "local port = green.port(3)\n"
    "port:put('x')\n"
    "objects = {\n"
    "  a = a, half = half, listener = green.listen('127.0.0.1', 0),\n"
    "  udp = green.udp(), full = full, unbounded = unbounded,\n"
    "  priority = green.priority_queue(), lifo = green.lifo_queue(2),\n"
    "  rendezvous = green.channel(), event = green.event(), held = held,\n"
    "  condition = green.condition(), locked = locked, flag = green.flag(),\n"
    "  semaphore = green.semaphore(1), pool = pool, pile = pile,\n"
    "  ended = run(function() return 1 end), failed = run(fails),\n"
    "  sleeps = green.spawn(forever), fresh = green.spawn(forever),\n"
    "  ticker = green.ticker(0.01), timeout = green.timeout(1e9),\n"
    "  port = port, selector = green.selector(),\n"
    "  waitgroup = green.waitgroup(), dag = require 'green.dag'(),\n"
    "  locals = green.locals(), lock = green.lock(),\n"
    "  sandbox = green.sandbox{},\n"
    "  single = green.single_flight(fails),\n"
    "  resources = green.resource_pool{create = function() return {} end},\n"
    "}\n"
    "green.spawn(function()\n"
    "  objects.group = green.group() objects.group:spawn(fails)\n"
    "  pcall(objects.group.close, objects.group) end)\n"
    "green.spawn(function() full:put(2) end)\n"
    "green.spawn(function() objects.event:wait() end)\n"
    "green.spawn(function() objects.rendezvous:get() end)\n"
    "green.spawn(function() other:receive() end)\n"
    "green.sleep(0.001)\n"
    "for _, name in ipairs{'socket', 'ssl', 'trace', 'profile', 'metrics',\n"
    "  'health', 'top', 'backdoor', 'test'} do\n"
    "  pcall(require, 'green.' .. name)\n"
    "end\n";

/* But for what would end the process, or report; and LuaSec's function, which
 * leaks a BIO when its argument is wrong. */
static const char CALLS[] =
    "local calls, skipped = 0, {exit = 1, execute = 1, fork = 1, popen = 1,\n"
    "  abort = 1, leave = 1, policy = 1, report = 1, on_blocked = 1,\n"
    "  monkey_patch = 1, debug = 1, loadcertificate = 1}\n"
    "local arguments = {{}, {1}, {'x', 1}, {print}, {0.001, 'x'},\n"
    "  {{}, {}}, {nil, 1}}\n"
    "local function try(f, ...)\n"
    "  calls = calls + 1\n"
    "  local ok, result = pcall(f, ...)\n"
    "  if ok and type(result) == 'userdata' then pcall(tostring, result) end\n"
    "end\n"
    "local function methods_of(object)\n"
    "  local found, mt = {}, debug.getmetatable(object)\n"
    "  for name, f in pairs(mt or {}) do found[name] = f end\n"
    "  if type(mt) == 'table' and type(mt.__index) == 'table' then\n"
    "    for name, f in pairs(mt.__index) do found[name] = f end\n"
    "  end\n"
    "  return found\n"
    "end\n"
    "for name, object in pairs(objects) do\n"
    "  for method, f in pairs(methods_of(object)) do\n"
    "    if type(f) == 'function' then\n"
    "      for _, list in ipairs(arguments) do try(f, object,\n"
    "        table.unpack(list, 1, 2)) end\n"
    "      for _, other in pairs(objects) do try(f, object, other) end\n"
    "    end\n"
    "  end\n"
    "end\n"
    "local seen = {[_G] = true, [string] = true, [table] = true,\n"
    "  [math] = true, [os] = true, [io] = true, [package] = true,\n"
    "  [package.loaded] = true, [debug] = true, [coroutine] = true,\n"
    "  [objects] = true, [utf8] = true}\n"
    "local function walk(t)\n"
    "  if seen[t] then return end\n"
    "  seen[t] = true\n"
    "  for name, v in pairs(t) do\n"
    "    if skipped[name] then goto continue end\n"
    "    if type(v) == 'table' then walk(v) end\n"
    "    if type(v) == 'function' then\n"
    "      for _, list in ipairs(arguments) do\n"
    "        try(v, table.unpack(list, 1, 2))\n"
    "      end\n"
    "      for _, object in pairs(objects) do try(v, object, object) end\n"
    "    end\n"
    "    ::continue::\n"
    "  end\n"
    "end\n"
    "walk(green)\n"
    "for name, module in pairs(package.loaded) do\n"
    "  if name:find '^green' and type(module) == 'table' then walk(module) "
    "end\n"
    "end\n"
    "return calls\n";

static void test_each_call(struct green_hub *hub) {
  lua_State *L = open_on(hub);
  CHECK(run(L, OBJECTS), "a state has objects of each kind");
  CHECK(green_lua_close(L) >= 0, "a state with objects of each kind closes");
  CHECK(luaL_dostring(L, CALLS) == LUA_OK, "and a program calls them");
  printf("# %d calls\n", (int)lua_tointeger(L, -1));
  CHECK(lua_tointeger(L, -1) > 5000, "each of their methods may be called");
  lua_close(L);
}

/* lua_close() runs the finalizers, which find the state closed. A fault there
 * is a crash, or a report of ASan's. */
static void test_finalizers(struct green_hub *hub) {
  lua_State *L = open_on(hub);
  CHECK(run(L, OBJECTS), "a state has objects of each kind");
  CHECK(run(L, "objects.group = nil"), "one of them is garbage");
  CHECK(green_lua_close(L) >= 0,
        "a state whose objects nobody closed, closes");
  lua_close(L);
}

int main(void) {
  struct green_hub *hub;
  lua_State *other;
  if (green_open(&hub, NULL) < 0) return 2;
  other = open_on(hub);
  test_each_call(hub);
  test_finalizers(hub);
  run(other, "n = green.spawn(function() green.sleep(0) return 3 end):wait()");
  lua_getglobal(other, "n");
  CHECK(lua_tointeger(other, -1) == 3, "another state on the hub goes on");
  CHECK(green_lua_close(other) >= 0, "and closes");
  lua_close(other);
  CHECK(green_close(hub) == 0, "so does the hub");
  return test_end();
}
