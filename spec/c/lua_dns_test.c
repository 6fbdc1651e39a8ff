/* lua_dns_test.c - look-ups from Lua while libc does not answer: each call
 * that takes a name waits greenly, and whatever ends a wait ends it.
 *
 * getaddrinfo(3) and getnameinfo(3) are replaced: they hold names that begin
 * with "slow", and addresses of 10.0.0.0/8, at a gate until the script opens
 * it. The answer is the loopback address, and "host.test".
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dlfcn.h>
#include <lauxlib.h>
#include <lualib.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../bindings/green_lua.h"
#include "test.h"

int luaopen_green_core(lua_State *L);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static int is_open, held, runs;

static void hold_at_gate(void) {
  pthread_mutex_lock(&lock);
  runs++;
  held++;
  while (!is_open) pthread_cond_wait(&opened, &lock);
  held--;
  pthread_mutex_unlock(&lock);
}

int getaddrinfo(const char *node, const char *service,
                const struct addrinfo *hints, struct addrinfo **list) {
  int (*real)(const char *, const char *, const struct addrinfo *,
              struct addrinfo **);
  *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
  if (node && !strncmp(node, "slow", 4) &&
      !(hints && hints->ai_flags & AI_NUMERICHOST)) {
    hold_at_gate();
    node = "127.0.0.1";
  }
  return real(node, service, hints, list);
}

int getnameinfo(const struct sockaddr *a, socklen_t size, char *host,
                socklen_t host_size, char *service, socklen_t service_size,
                int flags) {
  int (*real)(const struct sockaddr *, socklen_t, char *, socklen_t, char *,
              socklen_t, int);
  uint32_t number = ntohl(((struct sockaddr_in *)(void *)a)->sin_addr.s_addr);
  *(void **)&real = dlsym(RTLD_NEXT, "getnameinfo");
  if (a->sa_family != AF_INET || number >> 24 != 10 || flags & NI_NUMERICHOST)
    return real(a, size, host, host_size, service, service_size, flags);
  hold_at_gate();
  if (host) snprintf(host, host_size, "host.test");
  if (service) snprintf(service, service_size, "9");
  return 0;
}

/* gate(open): how many are held, and how many came since it was closed. */
static int l_gate(lua_State *L) {
  pthread_mutex_lock(&lock);
  if (!lua_isnone(L, 1)) {
    is_open = lua_toboolean(L, 1);
    if (!is_open) runs = 0;
    pthread_cond_broadcast(&opened);
  }
  lua_pushinteger(L, held);
  lua_pushinteger(L, runs);
  pthread_mutex_unlock(&lock);
  return 2;
}

/* --------------------------------------------------------------- scripts -- */

static const char PRELUDE[] =
    "local green = require 'green'\n"
    "local dns = green.dns\n"
    "green.config {dns_cache = 0}\n"
    "local l = assert(green.listen('127.0.0.1', 0))\n"
    "local _, port = l:getsockname()\n"
    "local function closed(sock, err)\n"
    "  if not sock then return nil, err end\n"
    "  if type(sock) == 'userdata' then sock:close() end\n"
    "  return true\n"
    "end\n"
    "local n = 0\n"
    /* Each waits for a look-up of its own. */
    "local function name() n = n + 1 return 'slow' .. n end\n"
    "local function limited(sock, s) sock:settimeout(s) return sock end\n"
    "local calls = {\n"
    "  resolve = function(s) return dns.resolve(name(), s) end,\n"
    "  getaddrinfo = function(s) return dns.getaddrinfo(name(), 1, s) end,\n"
    "  getnameinfo = function(s)\n"
    "    n = n + 1\n"
    "    return dns.getnameinfo('10.0.1.' .. n % 256, 9, s)\n"
    "  end,\n"
    "  connect = function(s)\n"
    "    return closed(green.connect(name(), port, {timeout = s}))\n"
    "  end,\n"
    "  bound = function(s)\n"
    "    return closed(green.connect('127.0.0.1', port, {timeout = s,\n"
    "      bind = name()}))\n"
    "  end,\n"
    "  listen = function(s)\n"
    "    return closed(green.with_timeout(s, green.listen, name(), 0))\n"
    "  end,\n"
    "  sock_connect = function(s)\n"
    "    local sock <close> = limited(green.socket.tcp(), s)\n"
    "    return sock:connect(name(), port)\n"
    "  end,\n"
    "  sock_bind = function(s)\n"
    "    local sock <close> = limited(green.socket.tcp(), s)\n"
    "    return sock:bind(name(), 0)\n"
    "  end,\n"
    "  setpeername = function(s)\n"
    "    local sock <close> = limited(green.socket.udp(), s)\n"
    "    return sock:setpeername(name(), port)\n"
    "  end,\n"
    "  setsockname = function(s)\n"
    "    local sock <close> = limited(green.socket.udp(), s)\n"
    "    return sock:setsockname(name(), 0)\n"
    "  end,\n"
    "}\n"
    "local function blocked(f, ...)\n"
    "  local t = green.spawn(f, ...)\n"
    "  repeat green.sleep(0) until t:status() == 'blocked'\n"
    "  return t\n"
    "end\n"
    "local function each(f)\n"
    "  for what, call in pairs(calls) do\n"
    "    gate(false)\n"
    "    local ok, err = pcall(f, call)\n"
    "    gate(true)\n"
    "    if not ok then error(what .. ': ' .. tostring(err), 0) end\n"
    "  end\n"
    "end\n";

static const char END[] =
    "l:close()\n"
    "assert(green.stats().external == 0, 'nothing is left under way')\n";

struct script {
  const char *sentence, *text;
};

static const struct script scripts[] = {
    {"every call that takes a name lets others run while it looks that up",
     "each(function(call)\n"
     "  local t = blocked(call)\n"
     "  repeat green.sleep(0.001) until gate() == 1\n"
     "  assert(t:status() == 'blocked')\n"
     "  gate(true)\n"
     "  assert(t:wait(60))\n"
     "end)\n"},
    {"a kill ends it at once",
     "each(function(call)\n"
     "  local t = blocked(call)\n"
     "  t:kill()\n"
     "  local ok, err = t:join(60)\n"
     "  assert(ok == false and green.type(err) == 'killed', err)\n"
     "end)\n"},
    {"so does an error that is thrown at its thread",
     "each(function(call)\n"
     "  local t = blocked(call)\n"
     "  t:throw('enough')\n"
     "  local ok, err = t:join(60)\n"
     "  assert(ok == false and err == 'enough', err)\n"
     "end)\n"},
    {"a limit ends it with a time-out",
     "each(function(call)\n"
     "  local value, err = call(0.01)\n"
     "  assert(value == nil and err == 'timeout', err)\n"
     "end)\n"},
    {"and a scope",
     "each(function(call)\n"
     "  local value, err = green.with_timeout(0.01, call)\n"
     "  assert(value == nil and err == 'timeout', err)\n"
     "end)\n"},
    {"in a coroutine, and below C functions, it waits as well",
     "each(function(call)\n"
     "  local t = blocked(function()\n"
     "    local value\n"
     "    table.sort({1, 2}, function(a, b)\n"
     "      value = value or coroutine.wrap(call)()\n"
     "      return a < b\n"
     "    end)\n"
     "    return value\n"
     "  end)\n"
     "  gate(true)\n"
     "  assert(t:wait(60))\n"
     "end)\n"},
    {"a thousand callers that give up are not waited for",
     "gate(false)\n"
     "local threads = {}\n"
     "for i = 1, 1000 do\n"
     "  threads[i] = green.spawn(calls.resolve, 0.05)\n"
     "end\n"
     "for _, t in ipairs(threads) do\n"
     "  local _, err = t:wait(60)\n"
     "  assert(err == 'timeout', err)\n"
     "end\n"
     "local held, runs = gate()\n"
     "assert(runs <= 32, runs)\n"
     "assert(green.stats().external == 0)\n"
     "gate(true)\n"
     "assert(dns.resolve('slow', 60)[1] == '127.0.0.1')\n"},
    /* Those of the test before may not have left an open gate yet. */
    {"ten thousand callers of few names share few runs",
     "repeat green.sleep(0.001) until gate() == 0\n"
     "gate(false)\n"
     "local threads = {}\n"
     "for i = 1, 10000 do\n"
     "  threads[i] = green.spawn(dns.resolve, 'slow' .. i % 4)\n"
     "end\n"
     "repeat green.sleep(0.001) until gate() == 4\n"
     "gate(true)\n"
     "for _, t in ipairs(threads) do assert(t:wait(60)) end\n"
     "local _, runs = gate()\n"
     "assert(runs == 4, runs)\n"},
    {"whoever asks, gives up, is killed, forgets or changes the resolver, "
     "each "
     "gets an answer or what ended it",
     "local random = math.random\n"
     "local function own(name)\n"
     "  if random(3) == 1 then green.sleep(random() / 1000) end\n"
     "  if random(9) == 1 then error('own') end\n"
     "  if random(5) == 1 then return nil, 'none' end\n"
     "  if random(3) == 1 then return dns.resolve(name) end\n"
     "  return {'127.0.0.1'}, random() / 500\n"
     "end\n"
     "local fine = {timeout = true, none = true,\n"
     "  ['temporary failure in name resolution'] = true}\n"
     "local answers, threads = 0, {}\n"
     "local function ask()\n"
     "  local asked = 'slow' .. random(12)\n"
     "  local limit = random(3) > 1 and random() / 300 or nil\n"
     "  local ok, list, err = pcall(dns.resolve, asked, limit)\n"
     "  if ok and list then\n"
     "    assert(list[1] == '127.0.0.1' and not list[2])\n"
     "    answers = answers + 1\n"
     "    list[1] = 'mine'\n"
     "  elseif ok then\n"
     "    assert(fine[err], err)\n"
     "  else\n"
     "    assert(green.type(list) == 'killed' or list:find 'own', list)\n"
     "    if green.interrupted() then error(list, 0) end\n"
     "  end\n"
     "end\n"
     "local moves = {\n"
     "  function() threads[random(40)] = green.spawn(ask) end,\n"
     "  function() threads[random(40)] = green.spawn(ask) end,\n"
     "  function() threads[random(40)] = green.spawn(ask) end,\n"
     "  function() local t = threads[random(40)] if t then t:kill() end end,\n"
     "  function() gate(random(2) == 1) end,\n"
     "  function() green.sleep(random() / 1000) end,\n"
     "  function() if random(4) == 1 then dns.flush() end end,\n"
     "  function() if random(9) == 1 then dns.use(own) end end,\n"
     "  function() if random(9) == 1 then dns.use(nil) end end,\n"
     "  function()\n"
     "    green.config {dns_cache = random(6) - 1, dns_ttl = random() / 100}\n"
     "  end,\n"
     "  function()\n"
     "    for _, t in ipairs(green.threads()) do\n"
     "      if (t.name or ''):find 'resolver' and random(9) == 1 then "
     "t:kill() end\n"
     "    end\n"
     "  end,\n"
     "}\n"
     "local ended = 0\n"
     "local former = green.on_error(function(err)\n"
     "  local nobody_waited = tostring(err):find 'own'\n"
     "  if green.type(err) ~= 'killed' and not nobody_waited then\n"
     "    ended = err\n"
     "  end\n"
     "end)\n"
     "for _ = 1, 6000 do moves[random(#moves)]() end\n"
     "gate(true)\n"
     "dns.use(nil)\n"
     "assert(green.wait_others(60))\n"
     "green.on_error(former)\n"
     "assert(ended == 0, ended)\n"
     "assert(answers > 100, answers)\n"},
    {"a socket that is closed meanwhile stays closed",
     "gate(false)\n"
     "for _, method in ipairs {'connect', 'bind'} do\n"
     "  local sock = green.socket.tcp()\n"
     "  local t = blocked(sock[method], sock, name(), port)\n"
     "  sock:close()\n"
     "  gate(true)\n"
     "  local ok, err = t:wait(60)\n"
     "  assert(ok == nil and err == 'closed', err)\n"
     "  assert(sock:getfd() == -1)\n"
     "  gate(false)\n"
     "end\n"
     "gate(true)\n"},
};

/* LUAGREEN_SEED repeats a run. */
static int seed(void) {
  const char *given = getenv("LUAGREEN_SEED");
  return given ? atoi(given) : (int)(time(NULL) % 1000000);
}

static int run(const struct script *script, int keep) {
  lua_State *L = luaL_newstate();
  int ok;
  luaL_openlibs(L);
  luaL_requiref(L, "green.core", luaopen_green_core, 0);
  lua_register(L, "gate", l_gate);
  lua_pushfstring(L,
                  "math.randomseed(%d)\n%s"
                  "green.config {keep_stacks = %d}\n%s%s",
                  seed(), PRELUDE, keep, script->text, END);
  ok = luaL_dostring(L, lua_tostring(L, -1)) == LUA_OK;
  CHECK(ok, script->sentence);
  if (!ok)
    printf("# keep %d, seed %d: %s\n", keep, seed(), lua_tostring(L, -1));
  lua_close(L);
  return ok;
}

int main(void) {
  size_t i;
  alarm(200);
  for (i = 0; i < sizeof scripts / sizeof *scripts; i++) {
    run(&scripts[i], 256);
    run(&scripts[i], 0);
  }
  return test_end();
}
