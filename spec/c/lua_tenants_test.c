/* lua_tenants_test.c - a host with tenants at random: states open on one hub,
 * with and without limits, run scripts of every kind, in sandboxes and beside
 * them, and are closed, by the host or by a thread of C, while others go on.
 * The hub is stepped, on a clock of the host's or the real one, or is on the
 * host's loop.
 *
 * The host is told once of the end of each script, whatever comes to it, and
 * all is closed in the end. LUAGREEN_SEED=n repeats a run, as far as time
 * allows; an argument is a number of seconds.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../bindings/green_lua.h"
#include "test.h"

enum { MOST = 8, MS = 1000000 };

static const char *const scripts[] = {
    "green.sleep(math.random() * 0.02)",
    "green.sleep(100)",
    "error {}",
    "return 1, 2, nil",
    "local _ <close> = setmetatable({}, {__close = function()\n"
    "  green.sleep(0.005) end}) green.sleep(100)",
    "local _ <close> = setmetatable({}, {__close = function()\n"
    "  while true do end end}) green.sleep(100)",
    "while true do pcall(green.sleep, 0.001) end",
    "while true do end",
    "local q = green.queue(2)\n"
    "for i = 1, 5 do\n"
    "  green.spawn(function() while true do q:put(i) end end) end\n"
    "for i = 1, 50 do q:get() end",
    "for i = 1, 50 do inbox:put(i, 0.001) end",
    "for i = 1, 20 do inbox:receive(0.001) end",
    "local a, b = green.socketpair()\n"
    "green.spawn(function()\n"
    "  for i = 1, 100 do a:send('x\\n') end a:close() end)\n"
    "for l in b:lines() do end",
    "local p = green.pool(3)\n"
    "for i = 1, 10 do p:spawn(green.sleep, 0.001) end p:wait()",
    "green.current():kill() green.sleep(1)",
    "green.shield(10, green.sleep, 100)",
    "job(3)",
    "job(300)",
    "for i = 1, 200 do green.spawn(green.sleep, 1) end green.sleep(0.01)",
    "local t = {} while true do t[#t + 1] = ('x'):rep(1000) end",
    "coroutine.wrap(function() green.sleep(50) end)()",
    "table.sort({3, 2, 1, 5, 4}, function(a, b)\n"
    "  green.sleep(0.001) return a < b end)",
    "local _ <close> = green.timeout(0.005) green.sleep(5)",
    "collectgarbage()"};

/* What scripts that spec/scripts.lua writes need. */
static const char prelude[] =
    "green = require 'green'\n"
    "green.on_error(function() end)\n"
    "local random = math.random\n"
    "local function limit() return random() / 300 end\n"
    "local boxes = {}\n"
    "local common = {\n"
    "  ports = {inbox, green.port(2), green.port()}, kept = {},\n"
    "  queues = {green.queue(2), green.queue(5)},\n"
    "  print = function() end,\n"
    "  send = function(p) return p:put('x', limit()) end,\n"
    "  take = function(p) return p:receive(limit()) end,\n"
    "  choose = function(p, q)\n"
    "    green.select {{p, 'put', 1}, q, timeout = limit()} end,\n"
    "  is = function(v, what)\n"
    "    if what == 'coroutine' then return type(v) == 'thread' end\n"
    "    return (green.type(v) or ''):find(what, 1, true) == 1 end}\n"
    "for name, value in pairs(common) do _G[name] = value end\n"
    "local function box()\n"
    "  return green.sandbox {globals = common,\n"
    "    grants = {'coroutine', 'connect'}, limits = {\n"
    "      threads = random(50), timers = random(30), items = random(60),\n"
    "      descriptors = random(20), coroutines = random(30),\n"
    "      stretch = random() / 10}}\n"
    "end\n"
    "function load_boxed(text)\n"
    "  local i = random(3)\n"
    "  if not boxes[i] or random(9) == 1 then boxes[i] = box() end\n"
    "  return boxes[i]:load(text)\n"
    "end";

static lua_State *author; /* has spec/scripts.lua */
static struct green_hub *hub;
static uv_loop_t loop;
static int on_loop;
static struct green_port *inbox;
static struct tenant {
  lua_State *L;
  int closing; /* by a thread of C */
} tenants[MOST];
static int started, ended, not_closed;
static uint64_t seed, game_time = 1;

static unsigned below(unsigned n) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (unsigned)(seed >> 20) % n;
}

/* --------------------------------------------------------------- tenants -- */

static int run_job(struct green_job *job, void *arg) {
  int i;
  for (i = 0; i < *(int *)arg && !green_job_cancelled(job); i++) usleep(1000);
  return 0;
}

static int l_job(lua_State *L) {
  int *ms = malloc(sizeof *ms);
  if (!ms) return luaL_error(L, "not enough memory");
  *ms = (int)lua_tointeger(L, 1);
  return green_lua_offload(L, run_job, free, ms, NULL);
}

/* (inbox) */
static int prepare(lua_State *L) {
  green_lua_push_port(L, lua_touserdata(L, 1));
  lua_setglobal(L, "inbox");
  lua_register(L, "job", l_job);
  return luaL_dostring(L, prelude) ? lua_error(L) : 0;
}

static lua_State *new_state(void) {
  struct green_lua_limits limits = {.size = sizeof limits, .slice = MS};
  lua_State *L;
  if (below(2)) limits.memory = (2 + below(4)) << 20;
  if (below(2)) limits.threads = 300;
  if (below(2)) limits.stretch = 30 * MS;
  if (below(5) == 0) limits.life = 50 * MS;
  if (!(L = green_lua_newstate(&limits, NULL, NULL))) abort();
  luaL_openlibs(L);
  if (green_lua_open(L, hub) != LUA_OK) abort();
  lua_pushcfunction(L, prepare);
  lua_pushlightuserdata(L, inbox);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) abort();
  return L;
}

static void close_tenant(struct tenant *t) {
  lua_State *L = t->L;
  int r = green_lua_close(L);
  t->closing = 0;
  if (r == UV_EBUSY) return;
  not_closed += r < 0;
  t->L = NULL;
  lua_close(L);
}

static int close_as_thread(struct green_hub *h, void *arg) {
  (void)h;
  close_tenant(arg);
  return 0;
}

/* --------------------------------------------------------------- scripts -- */

static void on_end(lua_State *L, int status, int n, void *arg) {
  (void)status, (void)arg;
  green_lua_text(L, n);
  ended++;
}

static void open_author(void) {
  author = luaL_newstate();
  luaL_openlibs(author);
  if (luaL_dofile(author, "spec/scripts.lua")) abort();
  luaL_loadstring(author, "math.randomseed(...)");
  lua_pushinteger(author, (lua_Integer)seed);
  lua_call(author, 1, 0);
}

/* A script on top of the author's stack. None compiles: a thread that does not
 * end within the grace would leave the compiler's buffer behind. */
static const char *write_script(void) {
  const char *text;
  do {
    lua_settop(author, 1);
    lua_getfield(author, 1, "make");
    lua_call(author, 0, 1);
    text = lua_tostring(author, -1);
  } while (strstr(text, "load"));
  return text;
}

/* (text): a function in a sandbox. Scripts that are in none could kill the
 * host's threads of C. */
static int load_boxed(lua_State *L) {
  lua_pushstring(L, lua_touserdata(L, 1));
  lua_getglobal(L, "load_boxed");
  lua_insert(L, -2);
  lua_call(L, 1, 1);
  luaL_checktype(L, -1, LUA_TFUNCTION);
  return 1;
}

static int load_random(lua_State *L) {
  const char *script = scripts[below(sizeof scripts / sizeof *scripts)];
  if (below(2)) return luaL_loadstring(L, script);
  lua_pushcfunction(L, load_boxed);
  lua_pushlightuserdata(L, (void *)(uintptr_t)write_script());
  return lua_pcall(L, 1, 1, 0);
}

static void start(struct tenant *t) {
  struct green_thread *thread;
  if (!t->L || t->closing) return;
  if (load_random(t->L) == LUA_OK &&
      green_lua_start(t->L, 0, on_end, NULL, &thread) == 0) {
    started++;
    if (below(8) == 0) green_kill(hub, thread);
  }
  lua_settop(t->L, 0);
}

static void kill_some(struct green_thread *thread, void *arg) {
  const char *wait = green_waits_for(thread);
  (void)arg;
  if (wait && strcmp(wait, "sleep") == 0 && below(6) == 0)
    green_kill(hub, thread);
}

/* ------------------------------------------------------------------ host -- */

static uint64_t read_clock(void *arg) {
  return *(uint64_t *)arg;
}

static void open_hub(void) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP, .grace = 30 * MS};
  on_loop = below(2) != 0;
  if (on_loop) {
    o.drive = GREEN_DRIVE_LOOP;
    o.loop = &loop;
    uv_loop_init(&loop);
  } else if (below(2)) {
    o.clock = read_clock;
    o.clock_arg = &game_time;
  }
  if (green_open(&hub, &o) < 0 || green_port_open(hub, 3, &inbox) < 0) abort();
}

static void turn(void) {
  if (below(3)) game_time += below(3 * MS);
  if (on_loop)
    uv_run(&loop, UV_RUN_NOWAIT);
  else if (below(2))
    green_step(hub, below(100));
  else
    green_step_for(hub, 1 + below(3 * MS), 0);
}

static void act(void) {
  struct tenant *t = &tenants[below(MOST)];
  unsigned n = below(5);
  for (; n > 0; n--) start(&tenants[below(MOST)]);
  if (!t->L) {
    if (below(3) == 0) t->L = new_state();
  } else if (!t->closing && below(20) == 0) {
    t->closing = 1;
    if (below(2) || green_spawn(hub, NULL, close_as_thread, t) < 0)
      close_tenant(t);
  }
  if (below(15) == 0) green_each(hub, kill_some, NULL);
  turn();
}

static int is_closing(void) {
  int i;
  for (i = 0; i < MOST; i++)
    if (tenants[i].closing) return 1;
  return 0;
}

static void close_all(void) {
  uint64_t began = uv_hrtime();
  int i;
  while (is_closing() && uv_hrtime() - began < UINT64_C(20000) * MS) turn();
  CHECK(!is_closing(), "threads of C close states in bounded time");
  for (i = 0; i < MOST; i++)
    if (tenants[i].L && !tenants[i].closing) close_tenant(&tenants[i]);
  CHECK(not_closed == 0, "all states can be closed");
  CHECK(started == ended && started > 0,
        "the host is told of each script's end, once");
  green_port_release(inbox);
  CHECK(green_close(hub) >= 0, "and the hub can be closed");
  if (on_loop) uv_run(&loop, UV_RUN_DEFAULT);
  CHECK(!on_loop || uv_loop_close(&loop) == 0, "nothing is left on the loop");
}

int main(int argc, char **argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 1.5;
  const char *text = getenv("LUAGREEN_SEED");
  uint64_t began = uv_hrtime();
  if (WITH_TSAN) {
    SKIP("tenants at random", "TSan holds signals back");
    return test_end();
  }
  if (!freopen("/dev/null", "w", stderr)) return 1; /* reports on purpose */
  seed = text ? (uint64_t)atoll(text) : began % 100000;
  printf("# LUAGREEN_SEED=%d\n", (int)seed);
  fflush(stdout);
  seed = seed * 2654435761u + 1;
  for (int i = 0; i < 10; i++) below(2);
  open_author();
  open_hub();
  while ((double)(uv_hrtime() - began) < seconds * 1e9) act();
  close_all();
  lua_close(author);
  printf("# %d scripts\n", started);
  return test_end();
}
