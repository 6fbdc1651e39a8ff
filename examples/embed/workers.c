/* workers.c - Lua states in OS threads, one hub each: jobs go out, and results
 * come in, through ports.
 *
 * C makes one port, the master's inbox. Each worker makes one of its own and
 * sends it there. A select puts each job where there is room first, so a worker
 * that has a long one gets no more.
 */
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORKERS = 3 };

static const char WORKER[] =
    "local green = require 'green'\n"
    "local master, jobs = ..., green.port(1)\n"
    "master:send(jobs)\n"
    "local function is_prime(n)\n"
    "  for i = 2, n // 2 do if n % i == 0 then return false end end\n"
    "  return n > 1\n"
    "end\n"
    "for job in jobs:items() do\n"
    "  local found = {}\n"
    "  for n = job.from, job.to do\n"
    "    if is_prime(n) then found[#found + 1] = n end\n"
    "  end\n"
    "  master:send(found)\n"
    "end\n";

static const char MASTER[] =
    "local green = require 'green'\n"
    "local inbox, n = ...\n"
    "local workers, primes = {}, 0\n"
    "for i = 1, n do workers[i] = inbox:receive() end\n"
    "green.spawn(function()\n"
    "  for from = 1, 2901, 100 do\n"
    "    local cases, job = {}, {from = from, to = from + 99}\n"
    "    for i, w in ipairs(workers) do cases[i] = {w, 'put', job} end\n"
    "    green.select(cases)\n"
    "  end\n"
    "end)\n"
    "for _ = 1, 30 do primes = primes + #inbox:receive() end\n"
    "for _, jobs in ipairs(workers) do jobs:close() end\n"
    "print(primes .. ' primes below 3000')\n";

/* Runs the script in a state and on a hub of this OS thread. */
static void run(const char *script, struct green_hub *hub,
                struct green_port *inbox) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (green_lua_open(L, hub) || luaL_loadstring(L, script)) exit(1);
  green_lua_push_port(L, inbox);
  lua_pushinteger(L, WORKERS);
  if (lua_pcall(L, 2, 0, 0)) printf("%s\n", lua_tostring(L, -1));
  green_lua_close(L);
  lua_close(L);
}

static void *worker(void *inbox) {
  struct green_hub *hub;
  if (green_open(&hub, NULL) < 0) exit(1);
  run(WORKER, hub, inbox);
  green_close(hub);
  return NULL;
}

int main(void) {
  pthread_t threads[WORKERS];
  struct green_hub *hub;
  struct green_port *inbox;
  if (green_open(&hub, NULL) < 0 || green_port_open(hub, 10, &inbox) < 0)
    return 1;
  for (int i = 0; i < WORKERS; i++)
    pthread_create(&threads[i], NULL, worker, inbox);
  run(MASTER, hub, inbox);
  for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
  green_port_release(inbox);
  return green_close(hub);
}

/* prints:
 * 430 primes below 3000
 */
