/* lua_port_test.c - packed values at random, broken, and where memory is short;
 * and messages between C and Lua, states of one hub, and states in OS threads.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../core/internal.h"
#include "lua_test.h"

/* ------------------------------------------------------------- fixtures -- */

/* Of the states of this OS thread. */
static _Thread_local struct memory memory;

static struct green_hub *open_hub(void) {
  struct green_hub *h;
  if (green_open(&h, NULL) < 0) abort();
  return h;
}

static lua_State *open_state(struct green_hub *h) {
  lua_State *L = lg_newstate(allocate, &memory, 0);
  if (!L) abort();
  luaL_openlibs(L);
  lua_register(L, "short_after", short_after);
  if (green_lua_open(L, h) != LUA_OK) abort();
  return L;
}

static void close_state(lua_State *L) {
  green_lua_close(L);
  lua_close(L);
}

static void push_global_port(lua_State *L, struct green_port *p,
                             const char *name) {
  green_lua_push_port(L, p);
  lua_setglobal(L, name);
}

static void eval(lua_State *L, const char *script) {
  if (!run(L, script)) abort();
}

/* A port that the script makes and knows by this name. */
static struct green_port *open_global(lua_State *L, const char *name) {
  struct green_port *p;
  lua_pushfstring(L, "%s = require 'green'.port()", name);
  eval(L, lua_tostring(L, -1));
  lua_getglobal(L, name);
  if (!(p = green_lua_to_port(L, -1))) abort();
  lua_pop(L, 2);
  return p;
}

static struct green_port *open_port(struct green_hub *h, uint32_t size) {
  struct green_port *p;
  if (green_port_open(h, size, &p) < 0) abort();
  return p;
}

/* --------------------------------------------------------------- values -- */

static const char random_values[] =
    "local green = require 'green'\n"
    "local seed = ...\n"
    "math.randomseed(seed)\n"
    "local rnd, p = math.random, green.port()\n"
    "local function bytes()\n"
    "  local n = rnd(12) == 1 and rnd(0, 700) or rnd(0, 20)\n"
    "  local t = {}\n"
    "  for i = 1, n do t[i] = string.char(rnd(0, 255)) end\n"
    "  return table.concat(t)\n"
    "end\n"
    "local scalar = {\n"
    "  function() return nil end,\n"
    "  function() return rnd(2) == 1 end,\n"
    "  function() return rnd(0) end,\n"
    "  function() return rnd(-9, 9) end,\n"
    "  function() return rnd() * 10.0 ^ rnd(-300, 300) end,\n"
    "  function() return rnd(5) - 0.5 end,\n"
    "  function() return p end,\n"
    "  function() return 1 / 0 end,\n"
    "  bytes, bytes}\n"
    "local value\n"
    "local function key(depth)\n"
    "  for _ = 1, 20 do\n"
    "    local k = scalar[rnd(#scalar)]()\n"
    "    if k ~= nil then return k end\n"
    "  end\n"
    "  return 1\n"
    "end\n"
    "local function tree(depth)\n"
    "  local t = {}\n"
    "  for i = 1, rnd(0, 6) do t[i] = value(depth + 1) end\n"
    "  for _ = 1, rnd(0, 4) do t[key()] = value(depth + 1) end\n"
    "  return t\n"
    "end\n"
    "function value(depth)\n"
    "  if depth < 6 and rnd(3) == 1 then return tree(depth) end\n"
    "  return scalar[rnd(#scalar)]()\n"
    "end\n"
    "local function same(a, b)\n"
    "  if type(a) ~= 'table' then\n"
    "    return rawequal(a, b) and math.type(a) == math.type(b)\n"
    "  end\n"
    "  if type(b) ~= 'table' or rawequal(a, b) then return false end\n"
    "  for k, v in next, a do\n"
    "    if not same(v, b[k]) then return false end\n"
    "  end\n"
    "  for k in next, b do if a[k] == nil then return false end end\n"
    "  return true\n"
    "end\n"
    "for _ = 1, 60 do\n"
    "  local sent = table.pack(table.unpack({}, 1, rnd(0, 5)))\n"
    "  for i = 1, sent.n do sent[i] = value(0) end\n"
    "  p:send(table.unpack(sent, 1, sent.n))\n"
    "  local got = table.pack(p:receive())\n"
    "  assert(got.n == sent.n, 'another number of values')\n"
    "  for i = 1, sent.n do assert(same(sent[i], got[i]), 'another value') "
    "end\n"
    "end\n"
    "assert(#p == 0)\n";

static void test_values(void) {
  struct green_hub *h = open_hub();
  lua_State *L = open_state(h);
  int i, bad = 0;
  for (i = 1; i <= (RUNNING_ON_VALGRIND ? 4 : 30) && !bad; i++) {
    bad = luaL_loadstring(L, random_values) != LUA_OK;
    lua_pushinteger(L, (lua_Integer)green_now() + i);
    bad = bad || lua_pcall(L, 1, 0, 0) != LUA_OK;
    if (bad) printf("# %s\n", lua_tostring(L, -1));
  }
  CHECK(!bad, "random values come out as they went in");
  close_state(L);
  green_close(h);
}

/* --------------------------------------------------------- broken bytes -- */

static const char every_type[] =
    "local green = require 'green'\n"
    "return nil, true, false, 7, 2.5, 'short', ('long'):rep(100), "
    "green.port(),\n"
    "  {1, {2, {3, x = 'y'}}, nil, 4, [0.5] = {}, [green.port()] = 'port',\n"
    "  [true] = {['k'] = ('v'):rep(300)}}";

/* What came of unpacking a message some of whose bytes were changed. */
static int unpack_changed(lua_State *L, struct green_message *m, int values) {
  int top = lua_gettop(L), r = green_lua_unpack(L, m);
  int fine = r >= 0
                 ? lua_gettop(L) == top + r
                 : lua_gettop(L) == top && (r == UV_EINVAL || r == UV_ENOMEM);
  if (r < 0) green_message_free(m);
  lua_settop(L, values);
  return fine;
}

static struct green_message *pack_all(lua_State *L, int values) {
  struct green_message *m;
  if (green_lua_pack(L, 1, values, &m) != 0) abort();
  return m;
}

static int each_byte(lua_State *L, int values, size_t size) {
  static const unsigned char to[] = {0, 1,  2,  3,  4,  5,    6,    7,   8,
                                     9, 10, 11, 12, 13, 0x7f, 0x80, 0xff};
  size_t i, k, bad = 0;
  for (i = 0; i < size; i++) {
    for (k = 0; k < sizeof to; k += RUNNING_ON_VALGRIND ? 5 : 1) {
      struct green_message *m = pack_all(L, values);
      ((unsigned char *)green_message_data(m))[i] = to[k];
      bad += !unpack_changed(L, m, values);
    }
  }
  return bad == 0;
}

static int some_bytes(lua_State *L, int values, size_t size) {
  int i, k, bad = 0;
  for (i = 0; i < (RUNNING_ON_VALGRIND ? 300 : 10000); i++) {
    struct green_message *m = pack_all(L, values);
    for (k = rand() % 8; k >= 0; k--)
      ((unsigned char *)green_message_data(m))[(size_t)rand() % size] =
          (unsigned char)(rand() % 2 ? rand() % 16 : rand() % 256);
    bad += !unpack_changed(L, m, values);
  }
  return bad == 0;
}

/* The maker may write to its data; then it is a value or a code. */
static void test_broken(void) {
  struct green_hub *h = open_hub();
  lua_State *L = open_state(h);
  struct green_message *m;
  unsigned seed = (unsigned)green_now();
  int values;
  printf("# seed %u\n", seed);
  srand(seed);
  if (luaL_dostring(L, every_type)) abort();
  values = lua_gettop(L);
  m = pack_all(L, values);
  CHECK(each_byte(L, values, green_message_size(m)),
        "bytes of packed values that were changed are a value or a code");
  CHECK(some_bytes(L, values, green_message_size(m)),
        "so are several of them");
  ((unsigned char *)green_message_data(m))[4] = 99;
  CHECK(green_port_send(open_global(L, "p"), m) == 0 &&
            run(L,
                "local ok, err = pcall(p.receive, p)\n"
                "assert(not ok and err:find 'the message is broken')\n"
                "p:put(1) assert(p:receive() == 1)"),
        "in Lua it is an error of the receiver's, once");
  close_state(L);
  green_close(h);
}

/* ------------------------------------------------------- without memory -- */

static const char short_of_memory[] =
    "local green = require 'green'\n"
    "local p = green.port(1)\n"
    "local value = {1, 'two', {x = {y = ('z'):rep(300)}}, p, 2.5, true}\n"
    "local function check(v)\n"
    "  assert(v[2] == 'two' and #v[3].x.y == 300 and v[4] == p)\n"
    "end\n"
    "local function try(n, f, ...)\n"
    "  collectgarbage()\n"
    "  short_after(n)\n"
    "  local ok, a = pcall(f, ...)\n"
    "  short_after(-1)\n"
    "  assert(ok or a == 'not enough memory', a)\n"
    "  return ok, a\n"
    "end\n"
    "local n = 0\n"
    "p:send(value)\n"
    "repeat\n"
    "  local ok, got = try(n, p.receive, p)\n"
    "  n = n + 1\n"
    "  if ok then check(got) else assert(#p == 1, 'lost') end\n"
    "until ok\n"
    "assert(n > 5, n)\n"
    "-- a sender that has to wait, then a receiver\n"
    "for n = 0, 30 do\n"
    "  p:send('first')\n"
    "  local sender = green.spawn(function() p:send(value) end)\n"
    "  short_after(n)\n"
    "  green.sleep(0)\n"
    "  short_after(-1)\n"
    "  assert(p:receive() == 'first')\n"
    "  local ok, err = sender:join(60)\n"
    "  assert(ok or err == 'not enough memory', err)\n"
    "  assert(#p == (ok and 1 or 0))\n"
    "  if ok then check(p:receive()) end\n"
    "end\n"
    "for n = 0, 30 do\n"
    "  local t = green.spawn(function() return p:receive() end)\n"
    "  green.sleep(0)\n"
    "  p:send(value)\n"
    "  short_after(n)\n"
    "  green.sleep(0)\n"
    "  short_after(-1)\n"
    "  local ok, got = t:join(60)\n"
    "  assert(ok or got == 'not enough memory', got)\n"
    "  assert(#p == (ok and 0 or 1), 'lost')\n"
    "  check(ok and got or p:receive())\n"
    "end\n";

static const char short_of_core_memory[] =
    "local green = require 'green'\n"
    "local p, n = green.port(1), 0\n"
    "repeat\n"
    "  core_short(n + 1)\n"
    "  local ok, err = pcall(p.send, p, {('x'):rep(5000), p, p, p, p, p})\n"
    "  core_short(0)\n"
    "  assert(ok or err == 'not enough memory', err)\n"
    "  n = n + 1\n"
    "until ok\n"
    "assert(n == 2 and p:receive()[2] == p)\n";

static int core_short(lua_State *L) {
  green__fail_alloc((long)lua_tointeger(L, 1));
  return 0;
}

static void test_memory(void) {
  size_t before = green__memory();
  struct green_hub *h = open_hub();
  lua_State *L = open_state(h);
  lua_register(L, "core_short", core_short);
  CHECK(run(L, short_of_memory),
        "no message is lost where memory is short, whatever allocation fails");
  CHECK(run(L, short_of_core_memory), "nor where the core's is");
  close_state(L);
  green_close(h);
  CHECK(green__memory() == before, "and none is left");
}

/* --------------------------------------------------------------- from C -- */

static void test_pack(void) {
  struct green_hub *h = open_hub();
  lua_State *L = open_state(h);
  struct green_port *p = open_port(h, 0), *q;
  struct green_message *m;
  int top = lua_gettop(L);
  push_global_port(L, p, "p");
  eval(L, "return 1, {p, 'x'}, nil");
  CHECK(green_lua_pack(L, -3, 3, &m) == 0 && lua_gettop(L) == top + 3,
        "a host packs values and leaves them on the stack");
  lua_settop(L, top);
  lua_pushnil(L);
  lua_setglobal(L, "p");
  lua_gc(L, LUA_GCCOLLECT, 0);
  CHECK(green_lua_unpack(L, m) == 3 && lua_rawlen(L, -2) == 2 &&
            lua_rawgeti(L, -2, 1) == LUA_TUSERDATA &&
            green_lua_to_port(L, -1) == p,
        "and unpacks them, the ports among them, too");
  lua_settop(L, top);
  eval(L, "return 1, {a = print}");
  CHECK(green_lua_pack(L, top + 1, 2, &m) == UV_EINVAL &&
            !strcmp(lua_tostring(L, -1),
                    "in field \"a\": a function cannot be sent"),
        "what cannot be sent leaves a text that says where it is");
  lua_settop(L, top);
  m = green_message_new("a\0b", 3);
  CHECK(green_lua_unpack(L, m) == 1 && lua_rawlen(L, -1) == 3,
        "bytes come as a string");
  lua_settop(L, top);
  lua_pushstring(L, "a string that is long enough to be copied to the heap");
  green_lua_pack(L, -1, 1, &m);
  memory_lasts(&memory, 0);
  CHECK(green_lua_unpack(L, m) == UV_ENOMEM && lua_gettop(L) == top + 1,
        "without memory the message stays its owner's: UV_ENOMEM");
  memory_lasts(&memory, -1);
  CHECK(green_lua_unpack(L, m) == 1 && lua_rawequal(L, -1, -2),
        "who tries again");
  lua_settop(L, top);
  lua_pushinteger(L, 1);
  CHECK(green_lua_to_port(L, -1) == NULL, "a number is no port");
  eval(L, "return require 'green'.port()");
  q = green_lua_to_port(L, -1);
  green_port_hold(q);
  close_state(L);
  m = green_message_new("x", 1);
  CHECK(green_port_send(q, m) == 0 && green_port_count(q) == 1,
        "a port outlives the state that made it, on its hub");
  green_port_release(q);
  green_port_release(p);
  green_close(h);
}

static int feeds(struct green_hub *h, void *arg) {
  struct green_port *p = arg;
  for (int i = 0; i < 20000; i++) {
    struct green_message *m = green_message_new(&i, sizeof i);
    if (green_port_send_wait(h, p, m, GREEN_FOREVER) < 0) return 1;
  }
  green_port_close(p);
  return 0;
}

static void test_c_to_lua(void) {
  struct green_hub *h = open_hub();
  lua_State *L = open_state(h);
  struct green_port *p = open_port(h, 100);
  struct green_thread *t;
  int result = -1;
  push_global_port(L, p, "p");
  green_spawn(h, &t, feeds, p);
  CHECK(run(L,
            "require 'green'\n"
            "local n = 0\n"
            "for bytes in p:items() do\n"
            "  assert(string.unpack('=i4', bytes) == n)\n"
            "  n = n + 1\n"
            "end\n"
            "assert(n == 20000)"),
        "a C thread feeds a Lua thread of its hub");
  green_join(h, t, GREEN_FOREVER, &result);
  CHECK(result == 0, "and neither waits for ever");
  close_state(L);
  green_port_release(p);
  green_close(h);
}

/* A program without Lua could not read packed values. */
static void test_lua_to_c(void) {
  struct green_hub *h = open_hub();
  lua_State *L = open_state(h);
  struct green_port *p = open_port(h, 0);
  struct green_message *m = NULL;
  push_global_port(L, p, "p");
  CHECK(run(L, "p:put('a\\0text')") && green_port_receive(h, p, 0, &m) == 0 &&
            green_message_size(m) == 6 &&
            memcmp(green_message_data(m), "a\0text", 6) == 0,
        "a single string of Lua's is bytes for C");
  CHECK(green_port_send(p, m) == 0 &&
            run(L, "assert(p:receive() == 'a\\0text')"),
        "and bytes of C's are a string for Lua");
  CHECK(run(L,
            "p:put('') p:send('x', nil)\n"
            "assert(p:receive() == '' and select('#', p:receive()) == 2)"),
        "an empty one, too");
  close_state(L);
  green_port_release(p);
  green_close(h);
}

/* ------------------------------------------------- two states of one hub -- */

static void test_two_states(void) {
  struct green_hub *h = open_hub();
  lua_State *a = open_state(h), *b = open_state(h);
  struct green_port *p = open_port(h, 1), *back = open_port(h, 1);
  push_global_port(a, p, "p");
  push_global_port(a, back, "back");
  push_global_port(b, p, "p");
  push_global_port(b, back, "back");
  CHECK(run(a,
            "local green = require 'green'\n"
            "t = green.spawn(function()\n"
            "  for n, reply in p:items() do reply:send(n * 2) end\n"
            "end)") &&
            run(b,
                "require 'green'\n"
                "for i = 1, 100 do\n"
                "  p:send(i, back)\n"
                "  assert(back:receive() == i * 2)\n"
                "end\n"
                "p:close()") &&
            run(a, "assert(t:join(10))"),
        "two states of one hub talk through ports");
  close_state(b);
  close_state(a);
  green_port_release(p);
  green_port_release(back);
  green_close(h);
}

/* ------------------------------------------------ states in OS threads -- */

enum { WORKERS = 4 };

struct worker {
  pthread_t thread;
  struct green_port *jobs, *results; /* jobs: its own */
  struct green_message *m;
  int number, bad;
};
static pthread_barrier_t all_open;

static const char worker_script[] =
    "local green = require 'green'\n"
    "green.spawn(function()\n"
    "  for _ = 1, 50 do green.sleep(0.0001) end\n"
    "end)\n"
    "for job, reply in jobs:items() do\n"
    "  job.done = number\n"
    "  job.n = job.n + 1\n"
    "  (reply or job.reply):send(job, jobs)\n"
    "end\n"
    "results:send('over', number)\n";

static void *work(void *arg) {
  struct worker *w = arg;
  struct green_hub *h = open_hub();
  lua_State *L = open_state(h);
  w->jobs = open_port(h, 2);
  pthread_barrier_wait(&all_open);
  push_global_port(L, w->jobs, "jobs");
  push_global_port(L, w->results, "results");
  lua_pushinteger(L, w->number);
  lua_setglobal(L, "number");
  w->bad = !run(L, worker_script);
  close_state(L);
  green_close(h);
  return NULL;
}

static const char master_script[] =
    "local green = require 'green'\n"
    "local got, by = 0, {}\n"
    "local feeder = green.spawn(function()\n"
    "  for i = 1, 400 do\n"
    "    local cases = {}\n"
    "    local job = {n = i, text = ('x'):rep(i), reply = results}\n"
    "    for k, w in ipairs(workers) do cases[k] = {w, 'put', job} end\n"
    "    if i % 2 == 0 then\n"
    "      workers[i % #workers + 1]:send(job, results)\n"
    "    else\n"
    "      assert(select(2, green.select(cases)))\n"
    "    end\n"
    "  end\n"
    "end)\n"
    "local sum = 0\n"
    "while got < 400 do\n"
    "  local job, from = results:receive(60)\n"
    "  assert(job, from)\n"
    "  got, sum = got + 1, sum + job.n\n"
    "  by[job.done] = (by[job.done] or 0) + 1\n"
    "  assert(from == workers[job.done])\n"
    "end\n"
    "feeder:wait()\n"
    "assert(sum == 200 * 401 + 400, sum)\n"
    "for _, w in ipairs(workers) do w:close() end\n"
    "for _ = 1, #workers do assert(results:receive(60) == 'over') end\n";

static void test_os_threads(void) {
  struct green_hub *h = open_hub();
  lua_State *L = open_state(h);
  struct worker w[WORKERS];
  struct green_port *results = open_port(h, 3);
  int bad = 0, i;
  pthread_barrier_init(&all_open, NULL, WORKERS + 1);
  for (i = 0; i < WORKERS; i++) {
    w[i] = (struct worker){.results = results, .number = i + 1};
    pthread_create(&w[i].thread, NULL, work, &w[i]);
  }
  pthread_barrier_wait(&all_open);
  lua_newtable(L);
  for (i = 0; i < WORKERS; i++) {
    green_lua_push_port(L, w[i].jobs);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setglobal(L, "workers");
  push_global_port(L, results, "results");
  bad += !run(L, master_script);
  for (i = 0; i < WORKERS; i++) {
    green_port_close(w[i].jobs);
    pthread_join(w[i].thread, NULL);
    bad += w[i].bad;
    green_port_release(w[i].jobs);
  }
  CHECK(bad == 0, "states in four OS threads do jobs for a fifth");
  close_state(L);
  green_port_release(results);
  green_close(h);
}

/* The other side may be gone at any moment, and the waiter learns it. */
static void *leaves(void *arg) {
  struct worker *w = arg;
  struct green_hub *h = open_hub();
  lua_State *L = open_state(h);
  push_global_port(L, w->results, "results");
  w->bad = !run(L,
                "local green = require 'green'\n"
                "results:send(green.port(1))\n");
  close_state(L);
  green_close(h);
  return NULL;
}

static void test_leaving(void) {
  struct green_hub *h = open_hub();
  lua_State *L = open_state(h);
  struct worker w = {.results = open_port(h, 0)};
  int bad = 0;
  push_global_port(L, w.results, "results");
  for (int i = 0; i < 10; i++) {
    pthread_create(&w.thread, NULL, leaves, &w);
    bad += !run(L,
                "require 'green'\n"
                "local theirs = results:receive(60)\n"
                "local r, why repeat\n"
                "  r, why = theirs:put({'x'}, 60)\n"
                "until not r\n"
                "assert(why == 'closed', why)");
    pthread_join(w.thread, NULL);
    bad += w.bad;
  }
  CHECK(bad == 0, "a port of a hub that has gone is closed for its senders");
  close_state(L);
  green_port_release(w.results);
  green_close(h);
}

/* ----------------------------------------------------------- a child -- */

static void test_fork(void) {
  struct green_hub *h = open_hub();
  lua_State *L = open_state(h);
  int status = -1;
  pid_t pid;
  eval(L,
       "local green = require 'green'\n"
       "p = green.port(1) p:send(1)");
  fflush(stdout);
  if ((pid = fork()) == 0) {
    int good = run(L,
                   "for _, name in ipairs {'receive', 'send', 'put'} do\n"
                   "  for _, s in ipairs {0, 1} do\n"
                   "    local f = p[name]\n"
                   "    local ok, err\n"
                   "    if name == 'receive' then ok, err = pcall(f, p, s)\n"
                   "    else ok, err = pcall(f, p, 'x', s) end\n"
                   "    assert(not ok and err:find 'in a forked child', err)\n"
                   "  end\n"
                   "end\n"
                   "p:close()\n"
                   "p = nil\n"
                   "collectgarbage() collectgarbage()");
    execlp(good ? "true" : "false", "child", NULL); /* no leak check */
    _exit(2);
  }
  waitpid(pid, &status, 0);
  CHECK(status == 0, "in a forked child all calls raise, and nothing hangs");
  CHECK(run(L, "assert(#p == 1 and p:receive() == 1)"),
        "the parent has not noticed");
  close_state(L);
  green_close(h);
}

/* ------------------------------------------------------ the last holder -- */

static void *forgets(void *arg) {
  struct worker *w = arg;
  struct green_hub *h = open_hub();
  lua_State *L = open_state(h);
  struct timespec ms2 = {0, 2000000};
  lua_settop(L, 0);
  w->bad = green_lua_unpack(L, w->m);
  nanosleep(&ms2, NULL); /* the other one waits by now, or not */
  lua_settop(L, 0);
  close_state(L);
  green_close(h);
  return NULL;
}

static void test_last_holder(void) {
  struct green_hub *h = open_hub();
  lua_State *L = open_state(h);
  struct worker w = {.number = 0};
  eval(L, "p = require 'green'.port() return p");
  green_lua_pack(L, -1, 1, &w.m);
  lua_pop(L, 1);
  pthread_create(&w.thread, NULL, forgets, &w);
  CHECK(run(L,
            "local green = require 'green'\n"
            "local ok, err = pcall(p.receive, p)\n"
            "assert(not ok and green.type(err) == 'deadlock', err)"),
        "the last holder learns that nobody else can send any more");
  pthread_join(w.thread, NULL);
  close_state(L);
  green_close(h);
}

int main(void) {
  test_values();
  test_broken();
  test_memory();
  test_pack();
  test_c_to_lua();
  test_lua_to_c();
  test_two_states();
  test_os_threads();
  test_leaving();
  test_fork();
  test_last_holder();
  return test_end();
}
