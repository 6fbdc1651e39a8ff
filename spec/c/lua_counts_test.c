/* lua_counts_test.c - what a state has is counted and limited from C: timers,
 * descriptors, values in queues, bytes in messages.
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

void green__fail_alloc(long n); /* of core's calls for memory */

struct host {
  struct green_hub *hub;
  lua_State *L;
};

static void open_hub(struct host *host) {
  struct green_options o = {.drive = GREEN_DRIVE_STEP, .grace = 1000000000};
  if (green_open(&host->hub, &o) < 0) exit(1);
}

static void open_host(struct host *host, struct green_lua_limits *limits) {
  limits->size = sizeof *limits;
  open_hub(host);
  if (!(host->L = green_lua_newstate(limits, NULL, NULL))) exit(1);
  luaL_openlibs(host->L);
  if (green_lua_open(host->L, host->hub) != LUA_OK) exit(1);
}

static int close_host(struct host *host) {
  int left = green_lua_close(host->L);
  lua_close(host->L);
  return left == 0 && green_close(host->hub) == 0;
}

static struct green_lua_usage usage(lua_State *L) {
  struct green_lua_usage u;
  green_lua_used(L, &u, sizeof u);
  return u;
}

struct end {
  int over, status;
  char text[200];
};

static void ended(lua_State *L, int status, int n, void *arg) {
  struct end *end = arg;
  const char *text = lua_tostring(L, -1);
  (void)n;
  end->over = 1;
  end->status = status;
  snprintf(end->text, sizeof end->text, "%s", text ? text : "");
}

/* Runs the script as a thread, to its end: its status and last result. */
static struct end run(struct host *host, const char *text) {
  struct end end = {0, -1, ""};
  int i;
  if (luaL_loadstring(host->L, text) ||
      green_lua_start(host->L, 0, ended, &end, NULL) < 0)
    exit(1);
  for (i = 0; i < 100000 && !end.over; i++) green_step(host->hub, 0);
  if (end.status != LUA_OK) printf("# %s\n", end.text);
  return end;
}

static int is(struct end end, const char *text) {
  if (end.status == LUA_OK && strstr(end.text, text)) return 1;
  printf("# %d: %s\n", end.status, end.text);
  return 0;
}

/* ---------------------------------------------------------------- limits -- */

static void test_limits(void) {
  struct green_lua_limits limits = {
      .timers = 10, .descriptors = 4, .items = 100};
  struct host host;
  open_host(&host, &limits);
  CHECK(is(run(&host,
               "green = require 'green' list = {}\n"
               "return select(2, pcall(function()\n"
               "  for i = 1, 11 do list[i] = green.timeout(1e6) end end))\n"
               "  .. #list"),
           "too many timeouts (the limit is 10)10"),
        "one timeout too many raises");
  CHECK(usage(host.L).timers == 0, "and their end is counted");
  CHECK(is(run(&host,
               "pairs_ = {} for i = 1, 3 do\n"
               "  local a, b = green.socketpair()\n"
               "  if not a then return b end\n"
               "  pairs_[i] = {a, b} end"),
           "too many open files") &&
            usage(host.L).descriptors == 4,
        "descriptors are as scarce as the limit says");
  CHECK(is(run(&host,
               "q = {} return select(2, pcall(function()\n"
               "  for i = 1, 1000 do q[i] = green.queue() q[i]:put(i) end\n"
               "end)) .. #q"),
           "too many values in queues (the limit is 100)101") &&
            usage(host.L).items == 100,
        "and so are the values in many queues");
  run(&host, "q = nil pairs_ = nil collectgarbage() collectgarbage()");
  CHECK(usage(host.L).items == 0 && usage(host.L).descriptors == 0,
        "garbage counts for nothing");
  limits.timers = 0;
  limits.items = 5;
  CHECK(green_lua_limit(host.L, &limits) == 0 &&
            is(run(&host,
                   "for i = 1, 100 do green.timeout(1e6) end\n"
                   "return 'all'"),
               "all"),
        "a limit can be lifted");
  CHECK(close_host(&host), "the state can be closed");
}

static void test_old_limits(void) {
  struct green_lua_limits limits = {.timers = 10, .items = 1};
  struct host host;
  limits.size = offsetof(struct green_lua_limits, timers);
  open_hub(&host);
  host.L = green_lua_newstate(&limits, NULL, NULL);
  luaL_openlibs(host.L);
  green_lua_open(host.L, host.hub);
  CHECK(is(run(&host,
               "green = require 'green'\n"
               "for i = 1, 20 do green.timeout(1e6) end\n"
               "local q = green.queue() q:put(1) q:put(2) return 'all'"),
           "all"),
        "a program that knows an older struct sets none of the newer limits");
  CHECK(close_host(&host), "the state can be closed");
}

/* -------------------------------------------------------------- messages -- */

static const char flood[] =
    "green = require 'green' port = green.port() local n = 0\n"
    "local ok, err = pcall(function()\n"
    "  while true do port:send(('x'):rep(1000)) n = n + 1 end end)\n"
    "return err .. ' ' .. n";

static void test_messages(void) {
  struct green_lua_limits limits = {.messages = 100000};
  struct host host;
  open_host(&host, &limits);
  CHECK(is(run(&host, flood), "too many bytes in messages"),
        "messages are limited");
  CHECK(usage(host.L).messages > 90000 && usage(host.L).messages <= 100000,
        "by their bytes");
  CHECK(is(run(&host,
               "local m, e = pcall(port.send, port, ('y'):rep(1 << 20))\n"
               "return e"),
           "too many bytes"),
        "and a large one is refused before it is made");
  CHECK(is(run(&host,
               "local n = 0 for i = 1, 50 do n = n + #port:receive() end\n"
               "port:send 'z' return n"),
           "50000") &&
            usage(host.L).messages < 60000,
        "what is received makes room");
  CHECK(is(run(&host,
               "local other = green.port(1) other:send(('x'):rep(1000))\n"
               "t = green.spawn(other.send, other, ('y'):rep(2000))\n"
               "local before = green.stats().counts.messages green.sleep(0)\n"
               "return green.stats().counts.messages - before > 2000 and 'y'"),
           "y"),
        "one that its sender still holds counts, too");
  run(&host, "t:kill() t = nil");
  run(&host, "port = nil collectgarbage() collectgarbage()");
  CHECK(usage(host.L).messages == 0, "those of a port that is garbage do not");
  CHECK(is(run(&host,
               "for i = 1, 200 do local p = green.port()\n"
               "  for j = 1, 20 do\n"
               "    repeat until pcall(p.send, p, ('x'):rep(1000)) end\n"
               "end return 'all'"),
           "all"),
        "garbage is collected for more");
  CHECK(close_host(&host), "the state can be closed");
}

static void test_by_memory(void) {
  struct green_lua_limits limits = {.memory = 4 << 20};
  struct host host;
  open_host(&host, &limits);
  CHECK(is(run(&host, flood), "too many bytes in messages"),
        "a limit of memory is one of messages, too");
  CHECK(usage(host.L).messages <= 4 << 20, "as many bytes again");
  CHECK(is(run(&host,
               "local p = green.port(1) p:send(1)\n"
               "local s = ('x'):rep(1 << 16)\n"
               "for i = 1, 300 do\n"
               "  green.spawn(pcall, p.send, p, s) end\n"
               "green.sleep(0) return 'all'"),
           "all") &&
            usage(host.L).messages <= 4 << 20,
        "hundreds of senders that wait hold no more");
  CHECK(close_host(&host), "the state can be closed");
}

/* Nobody could ever receive it, nor those behind it. */
static void test_too_large(void) {
  struct green_lua_limits limits = {.memory = 2 << 20};
  struct green_message *m = green_message_new(NULL, 4 << 20);
  struct green_port *p;
  struct host host;
  open_host(&host, &limits);
  if (!m || green_port_open(host.hub, 0, &p) < 0) exit(1);
  green_lua_push_port(host.L, p);
  lua_setglobal(host.L, "p");
  CHECK(green_lua_unpack(host.L, m) == UV_ENOMEM && lua_gettop(host.L) == 0,
        "a message may be too large for a state: it stays the host's");
  if (green_port_send(p, m) < 0 ||
      green_port_send(p, green_message_new("next", 4)) < 0)
    exit(1);
  CHECK(is(run(&host,
               "local ok, err = pcall(p.receive, p)\n"
               "assert(not ok and err:find '4194304 bytes was dropped', err)\n"
               "return p:receive()"),
           "next"),
        "a script gets an error in its place, once");
  green_port_release(p);
  CHECK(close_host(&host), "the state can be closed");
}

/* ------------------------------------------------- of another OS thread -- */

struct taker {
  struct green_port *port;
  pthread_barrier_t *barrier;
  int open;
};

/* Receives on a hub of its own, and frees after the sender's state is gone. */
static void *take(void *arg) {
  struct taker *taker = arg;
  struct green_options o = {.drive = GREEN_DRIVE_MAIN};
  struct green_message *m[20];
  struct green_hub *hub;
  int i;
  taker->open =
      green_open(&hub, &o) == 0 && green_port_open(hub, 0, &taker->port) == 0;
  pthread_barrier_wait(taker->barrier);
  if (!taker->open) return NULL;
  for (i = 0; i < 20; i++)
    if (green_port_receive(hub, taker->port, GREEN_FOREVER, &m[i]) < 0)
      exit(1);
  pthread_barrier_wait(taker->barrier);
  for (i = 0; i < 20; i++) green_message_free(m[i]);
  green_port_release(taker->port);
  green_close(hub);
  return NULL;
}

static void test_elsewhere(void) {
  struct green_lua_limits limits = {.messages = 1 << 20};
  pthread_barrier_t barrier;
  struct taker taker = {NULL, &barrier, 0};
  struct host host;
  pthread_t thread;
  pthread_barrier_init(&barrier, NULL, 2);
  open_host(&host, &limits);
  if (pthread_create(&thread, NULL, take, &taker)) exit(1);
  pthread_barrier_wait(&barrier);
  if (!taker.open) exit(1);
  green_lua_push_port(host.L, taker.port);
  lua_setglobal(host.L, "far");
  CHECK(is(run(&host,
               "for i = 1, 20 do far:send(('x'):rep(1000)) end return 'all'"),
           "all") &&
            usage(host.L).messages > 20000,
        "messages count until the receiver has freed them");
  run(&host, "far = nil collectgarbage()");
  CHECK(close_host(&host), "the state can be closed before");
  pthread_barrier_wait(&barrier);
  pthread_join(thread, NULL);
  pthread_barrier_destroy(&barrier);
  CHECK(1, "and the last message frees what counts them");
}

/* ---------------------------------------------------------------- memory -- */

static void test_no_memory(void) {
  struct green_lua_limits limits = {.size = sizeof limits, .messages = 1000};
  struct green_lua_limits none = {0};
  struct host host;
  open_host(&host, &none);
  green__fail_alloc(1);
  CHECK(green_lua_limit(host.L, &limits) == UV_ENOMEM &&
            is(run(&host,
                   "green = require 'green' local p = green.port()\n"
                   "p:send(('x'):rep(5000)) return 'sent'"),
               "sent"),
        "a limit for which there is no memory changes nothing");
  green__fail_alloc(0);
  CHECK(green_lua_limit(host.L, &limits) == 0, "the next try sets it");
  CHECK(close_host(&host), "the state can be closed");
}

int main(void) {
  test_limits();
  test_old_limits();
  test_messages();
  test_by_memory();
  test_too_large();
  test_elsewhere();
  test_no_memory();
  return test_failures > 0;
}
