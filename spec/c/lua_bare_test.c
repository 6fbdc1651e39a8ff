/* lua_bare_test.c - a host that has opened few of Lua's libraries.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "lua_test.h"

/* Calls that need none of the missing libraries. */
static const char *const PROGRAM =
    "local green = require 'green'\n"
    "local r, why = green.with_timeout(0.01, green.sleep, 5)\n"
    "assert(r == nil and why == 'timeout')\n"
    "assert(#green.pool(2):map(function(x) return x end, {1, 2}) == 2)\n"
    "local listener = green.listen('127.0.0.1', 0)\n"
    "local _, port = listener:getsockname()\n"
    "green.spawn(green.serve, listener, function(c) c:send 'hi\\n' end)\n"
    "assert(green.connect('127.0.0.1', port):receive() == 'hi')\n"
    "listener:close()\n"
    "do\n"
    "  local rp = green.resource_pool {create = function() return {} end}\n"
    "  local _ <close> = rp:lease()\n"
    "end\n"
    "local d = green.dag {a = 1}\n"
    "d:spawn('b', {'a'}, function() return 2 end)\n"
    "assert(d:wait({'b'}).b == 2)\n"
    "green.test.run(function() green.sleep(3600) end)\n"
    "local seen\n"
    "green.output(function(text) seen = text end)\n"
    "print('x', 1)\n"
    "green.output(false)\n"
    "assert(seen == 'x\\t1\\n')\n"
    "local ok, err = pcall(function() green.queue():get() end)\n"
    "assert(not ok and tostring(err):find 'deadlock')\n"
    "local told\n"
    "green.on_error(function(err, t) told = err .. t:traceback() end)\n"
    "green.spawn(function() error 'on purpose' end)\n"
    "while not told do green.sleep(0.001) end\n"
    "assert(told:find 'on purpose' and told:find 'stack traceback')\n"
    "assert(green.monkey_patch().require)\n"
    "assert(require 'green' == green)\n"
    "local _, message = pcall(function() green.pool(0) end)\n"
    "assert(message:find 'bad argument #1 to .pool.')\n"
    "local doors = green.listen('127.0.0.1', 0)\n"
    "local _, back = doors:getsockname()\n"
    "green.spawn(green.backdoor.server, doors, {banner = ''})\n"
    "local c = green.connect('127.0.0.1', back)\n"
    "c:send '6 * 7\\nps()\\nexit()\\n'\n"
    "assert(c:receive '*a':find '42\\n')\n"
    "doors:close()\n";

struct library {
  const char *name;
  lua_CFunction open;
};

static const struct library all[] = {
    {LUA_GNAME, luaopen_base},          {LUA_LOADLIBNAME, luaopen_package},
    {LUA_COLIBNAME, luaopen_coroutine}, {LUA_TABLIBNAME, luaopen_table},
    {LUA_IOLIBNAME, luaopen_io},        {LUA_OSLIBNAME, luaopen_os},
    {LUA_STRLIBNAME, luaopen_string},   {LUA_MATHLIBNAME, luaopen_math},
    {LUA_UTF8LIBNAME, luaopen_utf8},    {LUA_DBLIBNAME, luaopen_debug},
};

/* All libraries whose names are not in the list. */
static lua_State *open_without(const char *list) {
  lua_State *L = luaL_newstate();
  size_t i;
  if (!L) exit(1);
  for (i = 0; i < sizeof all / sizeof *all; i++) {
    if (strstr(list, all[i].name)) continue;
    luaL_requiref(L, all[i].name, all[i].open, 1);
    lua_pop(L, 1);
  }
  luaL_requiref(L, "green.core", luaopen_green_core, 0);
  lua_pop(L, 1);
  return L;
}

static void without(const char *list, const char *sentence) {
  lua_State *L = open_without(list);
  CHECK(run(L, PROGRAM), sentence);
  green_lua_close(L);
  lua_close(L);
}

static void says(const char *list, const char *chunk, const char *expected,
                 const char *sentence) {
  lua_State *L = open_without(list);
  int r = luaL_dostring(L, chunk);
  CHECK(r != LUA_OK && strstr(lua_tostring(L, -1), expected), sentence);
  if (r != LUA_OK) printf("# %s\n", lua_tostring(L, -1));
  green_lua_close(L);
  lua_close(L);
}

int main(void) {
  without("", "with all libraries");
  without("debug", "without debug everything works");
  without("io", "without io everything works but files");
  without("os", "without os everything works but os.exit");
  without("coroutine", "without coroutine everything works");
  without("utf8", "without utf8 everything works");
  without("io os debug coroutine utf8", "without all of them, too");
  says("io", "assert(require 'green'.dump 'a file')",
       "the library 'io' is not loaded", "a dump into a file needs io");
  says("math", "require 'green'", "luagreen needs the library 'math'",
       "without math it says so");
  says("table", "require 'green'", "luagreen needs the library 'table'",
       "without table it says so");
  says("string", "require 'green'", "luagreen needs the library 'string'",
       "without string it says so");
  return test_failures != 0;
}
