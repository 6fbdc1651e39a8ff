/* lua_part_test.c - the Lua part that is linked in: a host needs no LUA_PATH,
 * and pays for what it uses. Runs in the root of the source.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>
#include <string.h>

#include "../../bindings/open/part.h"
#include "lua_test.h"

/* Nothing that is on a disk can be found. */
static lua_State *open_state(struct green_hub *hub) {
  lua_State *L = new_state();
  run(L, "package.path, package.cpath = '', ''");
  if (green_lua_open(L, hub) != LUA_OK) exit(1);
  return L;
}

/* ------------------------------------------------------------- its text -- */

static int append(lua_State *L, const void *p, size_t n, void *buffer) {
  (void)L;
  luaL_addlstring(buffer, p, n);
  return 0;
}

/* Replaces the function on top by its bytecode, without names and lines. */
static void dump(lua_State *L) {
  luaL_Buffer b;
  lua_State *co = lua_newthread(L);
  lua_insert(L, -2);
  lua_xmove(L, co, 1);
  luaL_buffinit(L, &b);
  lua_dump(co, append, &b, 1);
  luaL_pushresult(&b);
  lua_remove(L, -2);
}

static int is_the_file(lua_State *L, const struct lg_part *part) {
  char path[200];
  int same;
  snprintf(path, sizeof path, "lua/%s", part->chunk + strlen("@luagreen/"));
  lua_settop(L, 0);
  if (luaL_loadfile(L, path) != LUA_OK) {
    printf("# %s\n", lua_tostring(L, -1));
    return 0;
  }
  dump(L);
  if (luaL_loadbufferx(L, part->text, part->size, part->chunk, "t")) return 0;
  dump(L);
  same = lua_rawequal(L, -1, -2);
  lua_settop(L, 0);
  return same;
}

static int lines(const char *text) {
  int n = 0;
  for (; *text; text++) n += *text == '\n';
  return n;
}

static int lines_of_file(const struct lg_part *part) {
  char path[200];
  int n = 0, c;
  FILE *file;
  snprintf(path, sizeof path, "lua/%s", part->chunk + strlen("@luagreen/"));
  if (!(file = fopen(path, "r"))) return -1;
  while ((c = getc(file)) != EOF) n += c == '\n';
  fclose(file);
  return n;
}

static void test_text(void) {
  lua_State *L = luaL_newstate();
  const struct lg_part *part;
  int same = 1, n = 0;
  for (part = lg_parts; part->module; part++, n++) {
    int good =
        is_the_file(L, part) && lines(part->text) == lines_of_file(part);
    if (!good) printf("# %s is not its file\n", part->module);
    same &= good;
  }
  CHECK(same && n > 40, "what is linked in is what the files say");
  lua_close(L);
}

/* -------------------------------------------------------- its bytecode -- */

/* How often a state asks for memory while it loads the first modules. */
static long calls_to_load(struct green_hub *hub) {
  struct memory memory = {0};
  lua_State *L = lg_newstate(allocate, &memory, 1);
  if (!L) exit(1);
  luaL_openlibs(L);
  if (green_lua_open(L, hub) != LUA_OK) exit(1);
  lua_gc(L, LUA_GCSTOP);
  memory.calls = 0;
  run(L, "require 'green'");
  green_lua_close(L);
  lua_close(L);
  return memory.calls;
}

/* No state was open before. */
static void test_once(struct green_hub *hub) {
  long first = calls_to_load(hub), second = calls_to_load(hub);
  printf("# %ld calls, then %ld\n", first, second);
  CHECK(second < first / 4 * 3, "a module is compiled once in a process");
}

/* All others. */
static void *load_all(void *arg) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP};
  struct green_hub *hub;
  lua_State *L;
  (void)arg;
  if (green_open(&hub, &o) < 0) exit(1);
  L = open_state(hub);
  run(L, "for _ in pairs(require 'green') do end");
  green_lua_close(L);
  lua_close(L);
  return green_close(hub) < 0 ? arg : NULL;
}

static void test_at_once(void) {
  pthread_t threads[4];
  void *failed = NULL, *result;
  int i;
  for (i = 0; i < 4; i++)
    if (pthread_create(&threads[i], NULL, load_all, threads)) exit(1);
  for (i = 0; i < 4; i++) {
    pthread_join(threads[i], &result);
    if (result) failed = result;
  }
  CHECK(!failed, "hubs on several OS threads load it at once");
}

/* -------------------------------------------------------------- its use -- */

static void test_lazy(struct green_hub *hub) {
  lua_State *L = open_state(hub);
  CHECK(run(L,
            "green = require 'green' n = 0\n"
            "for k in pairs(package.loaded) do\n"
            "  if k:find '^green' then n = n + 1 end end\n"
            "assert(n <= 7, n)"),
        "require 'green' alone loads little");
  CHECK(run(L,
            "assert(not package.loaded['green.crew.pool'])\n"
            "local f = green.pool\n"
            "assert(package.loaded['green.crew.pool'] and f == green.pool)\n"
            "assert(rawget(green, 'pool') == f)\n"
            "assert(green.lissen == nil)"),
        "a function loads its module when it is first asked for");
  CHECK(run(L,
            "local a, b = green.socketpair 'datagram'\n"
            "assert(a:send 'x') a:close() b:close()"),
        "what one module needs of another comes with it");
  CHECK(run(L,
            "local n = 0 for _ in pairs(green) do n = n + 1 end\n"
            "assert(n > 50 and package.loaded['green.net.net'])"),
        "a program that looks around finds all of them");
  CHECK(run(L,
            "for _, m in ipairs {'backdoor', 'dag', 'dns', 'server',\n"
            "  'socket', 'test'} do assert(green[m], m) end"),
        "modules are there without a file, too");
  green_lua_close(L);
  lua_close(L);
}

static void test_globals(struct green_hub *hub) {
  lua_State *L = open_state(hub);
  CHECK(run(L,
            "local green = require 'green'\n"
            "local assert, pairs = assert, pairs\n"
            "local G, names = _G, {}\n"
            "for name in pairs(G) do names[#names + 1] = name end\n"
            "for i = 1, #names do\n"
            "  if names[i] ~= 'require' then G[names[i]] = true end\n"
            "end\n"
            "for _ in pairs(green) do end\n"
            "green.monkey_patch {os = true, io = true, require = true}\n"
            "green.monkey_patch(false)\n"
            "local f = assert(green.sandbox():load 'return select(2, 3, 4)')\n"
            "assert(f() == 4)"),
        "modules load when the program has replaced the globals");
  green_lua_close(L);
  lua_close(L);
}

static void test_names(struct green_hub *hub) {
  lua_State *L = open_state(hub);
  CHECK(run(L,
            "green = require 'green'\n"
            "local i = debug.getinfo(green.pool, 'S')\n"
            "assert(i.source == '@luagreen/green/crew/pool.lua', i.source)\n"
            "assert(i.short_src == 'luagreen/green/crew/pool.lua')"),
        "sources have names");
  CHECK(run(L,
            "local ok, err = pcall(load([[\n\n"
            "green.pool('x')]], '=program'))\n"
            "assert(not ok and err:find '^program:2: bad argument #1 to'\n"
            "  and err:find 'pool', err)\n"
            "ok, err = pcall(load([[ local _ = green.with_timeout('x') ]],\n"
            "  '=program'))\n"
            "assert(err:find '^program:1: bad argument #1', err)"),
        "errors name the program's line, past the library's");
  CHECK(run(L,
            "t = green.spawn(load([[\n"
            "local q = green.queue() q:get()]], '=script'))\n"
            "green.spawn(function() green.sleep(0) text = t:traceback() "
            "end)"),
        "a thread has");
  green_step(hub, 10);
  CHECK(run(L, "assert(text:find 'script:1:', text)"), "a traceback");
  green_lua_close(L);
  lua_close(L);
}

/* A failure needs the Lua part, which nobody has required. */
static void test_unrequired(struct green_hub *hub) {
  lua_State *L = open_state(hub);
  CHECK(run(L,
            "function f() error('at once', 0) end\n"
            "function g() return 7 end\n"
            "io.stderr = {write = function(_, text) said = text end}"),
        "a host");
  lua_getglobal(L, "f");
  green_lua_spawn(L, 0);
  lua_getglobal(L, "g");
  green_lua_spawn(L, 0);
  green_step(hub, 10);
  CHECK(run(L, "green = require 'green'") && lua_gettop(L) == 2 &&
            green_lua_outcome(L, 2, &(int){0}) == LUA_OK,
        "spawns before anything is required");
  lua_settop(L, 0);
  green_lua_close(L);
  lua_close(L);
}

static double kb(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
  lua_gc(L, LUA_GCCOLLECT);
  return lua_gc(L, LUA_GCCOUNT) + lua_gc(L, LUA_GCCOUNTB) / 1024.0;
}

static void test_cost(struct green_hub *hub) {
  lua_State *bare = luaL_newstate(), *L = open_state(hub);
  double more;
  luaL_openlibs(bare);
  run(L, "green = require 'green'");
  more = kb(L) - kb(bare);
  printf("# %.1f KB\n", more);
  CHECK(more < 100, "a state takes less than 100 KB more than without");
  lua_close(bare);
  green_lua_close(L);
  lua_close(L);
}

/* --- the C functions that come late --- */

/* Returns whether the first try met the failure; the second must work. */
static int try_twice(struct green_hub *hub, const char *chunk, long at) {
  struct memory memory = {0};
  lua_State *L = lg_newstate(allocate, &memory, 1);
  int met;
  if (!L) exit(1);
  luaL_openlibs(L);
  if (green_lua_open(L, hub) != LUA_OK) exit(1);
  run(L, "green = require 'green'");
  if (luaL_loadstring(L, chunk) != LUA_OK) exit(1);
  memory_lasts(&memory, at);
  memory.last = memory.first + 2;
  lua_pushvalue(L, -1);
  lua_pcall(L, 0, 0, 0);
  met = memory.refused > 0;
  memory_lasts(&memory, -1);
  lua_settop(L, 1);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
    printf("not ok - at %ld: %s\n", at, lua_tostring(L, -1));
    test_failures++;
  }
  green_lua_close(L);
  lua_close(L);
  return met;
}

static void test_late(struct green_hub *hub) {
  static const char *const chunks[] = {
      "local a, b = green.socketpair() a:close() b:close()",
      "pcall(green.trace.start) green.trace.stop '/dev/null'",
      "assert(green.stats().buffered == 0 and green.config())"};
  size_t i;
  long at;
  for (i = 0; i < sizeof chunks / sizeof *chunks; i++)
    for (at = 1; try_twice(hub, chunks[i], at); at += 37) continue;
  CHECK(1, "a first use that fails for memory does no harm to the next");
}

int main(void) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP};
  struct green_hub *hub;
  if (green_open(&hub, &o) < 0) return 1;
  test_text();
  test_once(hub);
  test_at_once();
  test_lazy(hub);
  test_globals(hub);
  test_names(hub);
  test_unrequired(hub);
  test_cost(hub);
  test_late(hub);
  CHECK(green_close(hub) == 0, "all is closed");
  return test_end();
}
