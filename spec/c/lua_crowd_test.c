/* lua_crowd_test.c - random programs of several OS threads that share ports:
 * each has a hub and states of its own, which open, talk, are limited, killed
 * and closed at random while messages, ports in messages, and jobs are under
 * way.
 *
 * A receiver checks each message: what it contains tells what it must be, and
 * those of one sender come in order. LUAGREEN_SEED=n repeats a run, as far as
 * OS threads allow; an argument is a number of seconds.
 *
 * SPDX-License-Identifier: MIT
 */
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../bindings/green_lua.h"
#include "test.h"

enum { PLACES = 4, WORKERS = 3 };

/* Ports that are open now, for whoever opens a state: held. */
static struct {
  pthread_mutex_t lock;
  struct green_port *port[PLACES];
} board = {.lock = PTHREAD_MUTEX_INITIALIZER};

static atomic_int bad, jobs, disposed, states, messages;
static double seconds = 1;

static uint64_t next_random(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  return *seed ^= *seed << 17;
}

/* ---------------------------------------------------- for the scripts -- */

/* leave(i, port), look(i): the board. */
static int leave(lua_State *L) {
  int i = (int)luaL_checkinteger(L, 1) % PLACES;
  struct green_port *p = green_lua_to_port(L, 2), *former;
  if (!p) return luaL_error(L, "a port expected");
  green_port_hold(p);
  pthread_mutex_lock(&board.lock);
  former = board.port[i];
  board.port[i] = p;
  pthread_mutex_unlock(&board.lock);
  if (former) green_port_release(former);
  return 0;
}

static int look(lua_State *L) {
  int i = (int)luaL_checkinteger(L, 1) % PLACES;
  struct green_port *p;
  pthread_mutex_lock(&board.lock);
  if ((p = board.port[i])) green_port_hold(p);
  pthread_mutex_unlock(&board.lock);
  if (!p) return 0;
  green_lua_push_port(L, p);
  green_port_release(p);
  return 1;
}

static int run_job(struct green_job *job, void *arg) {
  int us = *(int *)arg;
  for (; us > 0 && !green_job_cancelled(job); us -= 50) usleep(50);
  return 1;
}

static void dispose(void *arg) {
  free(arg);
  atomic_fetch_add(&disposed, 1);
}

/* job(us) */
static int job(lua_State *L) {
  int *us = malloc(sizeof *us);
  if (!us) return luaL_error(L, "not enough memory");
  *us = (int)luaL_checkinteger(L, 1);
  atomic_fetch_add(&jobs, 1);
  return green_lua_offload(L, run_job, dispose, us, NULL);
}

static int note(lua_State *L) {
  int ok = lua_toboolean(L, 1);
  if (!ok) {
    printf("# %s\n", lua_tostring(L, 2));
    atomic_fetch_add(&bad, 1);
  }
  atomic_fetch_add(&messages, 1);
  return 0;
}

/* A message is {sender, number, length, text, extra, port}. */
static const char script[] =
    "local green = require 'green'\n"
    "local random = math.random\n"
    "math.randomseed(seed)\n"
    "green.config {grace = 0.05, preempt = seed % 4 == 0 and 0.001 or nil}\n"
    "green.on_error(function(err)\n"
    "  err = tostring(err)\n"
    "  if not err:find 'memory' and not err:find 'made on another' and\n"
    "    not err:find 'deadlock' and not err:find 'not possible' and\n"
    "    not err:find 'too many' then note(false, err) end\n"
    "end)\n"
    "local senders = 0\n"
    "local function extra(depth)\n"
    "  local kind = random(depth > 0 and 7 or 5)\n"
    "  if kind == 1 then return ('x'):rep(random(0, 300))\n"
    "  elseif kind == 2 then return random(1 << 62)\n"
    "  elseif kind == 3 then return random()\n"
    "  elseif kind == 4 then return random(2) == 1\n"
    "  elseif kind == 5 then return look(random(9))\n"
    "  end\n"
    "  local t = {}\n"
    "  for i = 1, random(0, 6) do\n"
    "    t[random(2) == 1 and i or extra(0) or 'k'] = extra(depth - 1)\n"
    "  end\n"
    "  return t\n"
    "end\n"
    "local function sends(p)\n"
    "  senders = senders + 1\n"
    "  local me = seed * 1000 + senders\n"
    "  for n = 1, random(60) do\n"
    "    local text = ('y'):rep(random(0, random(2000)))\n"
    "    local m = {me, n, #text, text, extra(3), random(9) == 1 and p or "
    "nil}\n"
    "    local how, ok, why = random(5)\n"
    "    if how == 1 then ok, why = p:send(m)\n"
    "    elseif how == 2 then ok, why = p:put(m, random() / 500)\n"
    "    elseif how == 3 then\n"
    "      local _, o, w = green.select {{p, 'put', m}, timeout = random() / "
    "500}\n"
    "      ok, why = o, w\n"
    "    else ok, why = green.with_timeout(random() / 500, p.send, p, m) end\n"
    "    if why == 'closed' then return end\n"
    "    if random(9) == 1 then green.sleep(random() / 1000) end\n"
    "  end\n"
    "end\n"
    "local function receives(p)\n"
    "  local last = {}\n"
    "  for _ = 1, random(200) do\n"
    "    local m, why = p:receive(random() / 200)\n"
    "    if m == nil and why == 'closed' then return end\n"
    "    if m then\n"
    "      local me, n = m[1], m[2]\n"
    "      note(math.type(n) == 'integer' and #m[4] == m[3]\n"
    "        and not m[4]:find '[^y]' and (last[me] or 0) < n, 'a message')\n"
    "      if n < 1 << 40 then last[me] = n end\n"
    "      if m[6] and random(3) == 1 then pcall(m[6].put, m[6],\n"
    "        {seed * 1000 + 999, 1 << 40, 0, ''}, 0) end\n"
    "    end\n"
    "  end\n"
    "end\n"
    "local all = {}\n"
    "local function act()\n"
    "  local kind = random(7)\n"
    "  if kind <= 2 then\n"
    "    local p = green.port(random(3) > 1 and random(5) or nil)\n"
    "    if not p then return end\n"
    "    leave(random(9), p)\n"
    "    all[#all + 1] = green.spawn(receives, p)\n"
    "    if random(2) == 1 then all[#all + 1] = green.spawn(sends, p) end\n"
    "    if random(4) == 1 then green.spawn_after(random() / 100, p.close, p) "
    "end\n"
    "  elseif kind <= 4 then\n"
    "    local p = look(random(9))\n"
    "    if p then all[#all + 1] = green.spawn(sends, p) end\n"
    "  elseif kind == 5 then\n"
    "    all[#all + 1] = green.spawn(job, random(3000))\n"
    "  elseif kind == 6 and #all > 0 then\n"
    "    all[random(#all)]:kill()\n"
    "  else\n"
    "    local p = look(random(9))\n"
    "    if p then all[#all + 1] = green.spawn(function()\n"
    "      green.sleep(random() / 100) p:close() end) end\n"
    "  end\n"
    "end\n"
    "for _ = 1, random(20) do\n"
    "  act()\n"
    "  if random(3) == 1 then green.sleep(random() / 300) end\n"
    "  if random(20) == 1 then collectgarbage() end\n"
    "end\n"
    "if random(2) == 1 then green.shutdown(random() / 50) end\n";

/* ------------------------------------------------------------- workers -- */

static lua_State *open_state(struct green_hub *h, uint64_t seed) {
  struct green_lua_limits limits = {.size = sizeof limits};
  lua_State *L;
  if (seed % 3 == 0) limits.memory = (size_t)4 << 20;
  if (seed % 5 == 0) limits.threads = 20;
  if (!(L = green_lua_newstate(&limits, NULL, NULL))) return NULL;
  luaL_openlibs(L);
  lua_register(L, "leave", leave);
  lua_register(L, "look", look);
  lua_register(L, "job", job);
  lua_register(L, "note", note);
  lua_pushinteger(L, (lua_Integer)(seed >> 20));
  lua_setglobal(L, "seed");
  if (green_lua_open(L, h) != LUA_OK) {
    lua_close(L);
    return NULL;
  }
  atomic_fetch_add(&states, 1);
  return L;
}

/* The script is main's; what memory and the like make of it is no matter. */
static void live(struct green_hub *h, uint64_t *seed) {
  lua_State *L[2] = {NULL, NULL};
  int i, n = 1 + (int)(next_random(seed) % 2);
  for (i = 0; i < n; i++)
    if ((L[i] = open_state(h, next_random(seed))) &&
        luaL_dostring(L[i], script) != LUA_OK)
      lua_settop(L[i], 0);
  for (i = 0; i < n; i++) {
    if (!L[i]) continue;
    green_lua_close(L[i]);
    lua_close(L[i]);
  }
}

static void *work(void *arg) {
  uint64_t seed = (uint64_t)(uintptr_t)arg * UINT64_C(0x9e3779b97f4a7c15);
  uint64_t over = uv_hrtime() + (uint64_t)(seconds * 1e9);
  while (uv_hrtime() < over && !bad) {
    struct green_hub *h;
    int lives = 1 + (int)(next_random(&seed) % 3);
    if (green_open(&h, NULL) < 0) continue;
    while (lives-- > 0) live(h, &seed);
    if (green_close(h) != 0) atomic_fetch_add(&bad, 1);
  }
  return NULL;
}

int main(int argc, char **argv) {
  const char *given = getenv("LUAGREEN_SEED");
  unsigned long seed =
      given ? strtoul(given, NULL, 10) : (unsigned long)time(NULL) % 100000;
  pthread_t thread[WORKERS];
  struct timespec ms = {0, 1000000};
  int i, patience = 5000;
  if (argc > 1) seconds = atof(argv[1]);
  if (!freopen("/dev/null", "w", stderr)) return 1;
  printf("# LUAGREEN_SEED=%lu\n", seed);
  for (i = 0; i < WORKERS; i++)
    pthread_create(&thread[i], NULL, work,
                   (void *)(uintptr_t)(seed * WORKERS + (unsigned)i + 1));
  for (i = 0; i < WORKERS; i++) pthread_join(thread[i], NULL);
  for (i = 0; i < PLACES; i++)
    if (board.port[i]) green_port_release(board.port[i]);
  while (atomic_load(&disposed) < atomic_load(&jobs) && patience-- > 0)
    nanosleep(&ms, NULL);
  printf("# %d states, %d messages, %d jobs\n", states, messages, jobs);
  CHECK(bad == 0,
        "messages between OS threads arrive whole and in order, "
        "whatever closes meanwhile");
  CHECK(disposed == jobs, "the argument of each job is disposed of once");
  return test_end();
}
