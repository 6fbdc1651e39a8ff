/* lua_connect_test.c - names with several addresses: an address that swallows
 * packets delays the others for a moment, not for the whole limit.
 *
 * getaddrinfo(3) is replaced: "at.A|B" has the addresses A and B. An address
 * that swallows packets belongs to a listener whose backlog is full.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dirent.h>
#include <dlfcn.h>
#include <lauxlib.h>
#include <lualib.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../bindings/net/calls.h"
#include "test.h"

typedef int look_up(const char *, const char *, const struct addrinfo *,
                    struct addrinfo **);

static look_up *real(void) {
  look_up *f;
  *(void **)&f = dlsym(RTLD_NEXT, "getaddrinfo");
  return f;
}

/* Each address of the name by itself, in one list. */
static int list_of(char *names, const char *service,
                   const struct addrinfo *hints, struct addrinfo **list) {
  struct addrinfo numeric = *hints;
  char *name, *rest;
  numeric.ai_flags |= AI_NUMERICHOST;
  for (name = strtok_r(names, "|", &rest); name;
       name = strtok_r(NULL, "|", &rest)) {
    if (real()(name, service, &numeric, list)) continue; /* other family */
    while (*list) list = &(*list)->ai_next;
  }
  return 0;
}

int getaddrinfo(const char *node, const char *service,
                const struct addrinfo *hints, struct addrinfo **list) {
  char names[256];
  if (!node || strncmp(node, "at.", 3) || hints->ai_flags & AI_NUMERICHOST)
    return real()(node, service, hints, list);
  snprintf(names, sizeof names, "%s", node + 3);
  *list = NULL;
  list_of(names, service, hints, list);
  return *list ? 0 : EAI_NONAME;
}

/* descriptors(): how many are open. */
static int l_descriptors(lua_State *L) {
  DIR *dir = opendir("/proc/self/fd");
  int n = 0;
  while (dir && readdir(dir)) n++;
  if (dir) closedir(dir);
  lua_pushinteger(L, n);
  return 1;
}

/* --------------------------------------------------------------- scripts -- */

static const char PRELUDE[] =
    "local green = require 'green'\n"
    /* The same port of several addresses. */
    "local good = assert(green.listen('127.0.0.2', 0))\n"
    "local _, port = good:getsockname()\n"
    "local function hole(address)\n"
    "  local l = assert(green.listen(address, port, {backlog = 0}))\n"
    "  local held = {l}\n"
    "  repeat\n"
    "    local c, err = green.connect(address, port, {timeout = 0.1})\n"
    "    held[#held + 1] = c\n"
    "  until err or #held > 9\n"
    "  return held\n"
    "end\n"
    "local HOLE <const>, OTHER <const> = '127.0.0.3', '127.0.0.4'\n"
    "local GOOD <const>, REFUSES <const> = '127.0.0.2', '127.0.0.5'\n"
    "local holes = {hole(HOLE), hole(OTHER)}\n"
    "local function to(...)\n"
    "  return 'at.' .. table.concat({...}, '|')\n"
    "end\n"
    "local function timed(f, ...)\n"
    "  local began = green.now()\n"
    "  local conn, err = f(...)\n"
    "  return green.now() - began, conn, err\n"
    "end\n"
    "local function connects(f, ...)\n"
    "  local took, conn, err = timed(f, ...)\n"
    "  if not conn then error(tostring(err), 2) end\n"
    "  assert(conn:getpeername() == GOOD)\n"
    "  assert(conn:getfamily() == 'inet4')\n"
    "  local far = assert(good:accept())\n"
    "  far:send('hello')\n"
    "  assert(conn:recv(5) == 'hello')\n"
    "  far:close() conn:close()\n"
    "  return took\n"
    "end\n"
    "local function fails(with, ...)\n"
    "  local took, conn, err = timed(green.connect, ...)\n"
    "  assert(not conn and err == with, err)\n"
    "  return took\n"
    "end\n"
    "local before = descriptors()\n";

static const char END[] = "assert(descriptors() == before, 'descriptors')\n";

struct script {
  const char *sentence, *text;
};

static const struct script scripts[] = {
    {"an address that does not answer costs a moment",
     "local took = connects(green.connect, to(HOLE, GOOD), port)\n"
     "assert(took > 0.2 and took < 10, took)\n"},
    {"a short limit is shared by all addresses",
     "assert(connects(green.connect, to(HOLE, OTHER, GOOD), port,\n"
     "  {timeout = 0.6}) < 0.6)\n"},
    {"one that refuses costs nothing",
     "assert(connects(green.connect, to(REFUSES, GOOD), port) < 0.2)\n"
     "assert(connects(green.connect, to(HOLE, REFUSES, GOOD), port) < 10)\n"},
    {"when all refuse that is said",
     "fails('connection refused', to(REFUSES, REFUSES), port)\n"},
    {"when none answers the limit ends it",
     "local took = fails('timeout', to(HOLE, OTHER), port, {timeout = 0.3})\n"
     "assert(took >= 0.3 and took < 10)\n"},
    {"one that fails does not end it while another may answer",
     "fails('timeout', to(HOLE, REFUSES), port, {timeout = 0.3})\n"},
    {"a socket of one family, or with an address of its own, shares its limit",
     "local sock = assert(green.socket.tcp4())\n"
     "sock:settimeout(0.6)\n"
     "connects(function()\n"
     "  local ok, err = sock:connect(to(HOLE, GOOD), port)\n"
     "  return ok and sock, err\n"
     "end)\n"
     "connects(green.connect, to(HOLE, GOOD), port, {timeout = 0.6,\n"
     "  bind = '127.0.0.1'})\n"
     "connects(green.connect, to(REFUSES, GOOD), port, {bind = "
     "'127.0.0.1'})\n"},
    {"closing the socket ends the attempts",
     "local sock = green.socket.tcp()\n"
     "local t = green.spawn(sock.connect, sock, to(HOLE, OTHER), port)\n"
     "repeat green.sleep(0.001) until descriptors() >= before + 2\n"
     "local ok, err = sock:connect(to(GOOD, GOOD), port)\n"
     "assert(not ok and err == 'Operation already in progress', err)\n"
     "sock:close()\n"
     "local _, ok, err = t:join(5)\n"
     "assert(ok == nil and err == 'closed', err)\n"},
    {"so does a kill, or a timeout",
     "local t = green.spawn(green.connect, to(HOLE, OTHER), port)\n"
     "repeat green.sleep(0.001) until descriptors() >= before + 2\n"
     "t:kill()\n"
     "assert(t:join(5) == false)\n"
     "assert(t:status() == 'killed')\n"
     "assert(green.with_timeout(0.3, green.connect, to(HOLE, OTHER), port)\n"
     "  == nil)\n"},
    {"twenty addresses are no more than sixteen attempts at once, and each "
     "has "
     "its chance",
     "local many = {}\n"
     "for i = 1, 19 do many[i] = i % 2 == 0 and HOLE or OTHER end\n"
     "many[20] = GOOD\n"
     "local most = 0\n"
     "local t = green.spawn(connects, green.connect, to(table.unpack(many)),\n"
     "  port, {timeout = 2})\n"
     "while not t:join(0.01) do\n"
     "  most = math.max(most, descriptors() - before)\n"
     "end\n"
     "t:wait()\n"
     "assert(most > 4 and most <= 17, most)\n"},
    {"of one family, or from an address of its own, it is a race as well",
     "for _, opts in ipairs {{family = 'inet'}, {bind = '127.0.0.1'},\n"
     "  {bind = 'at.127.0.0.1'}} do\n"
     "  local took = connects(green.connect, to(HOLE, GOOD), port, opts)\n"
     "  assert(took > 0.2 and took < 10, took)\n"
     "end\n"
     "fails('Address family for hostname not supported', to(GOOD), port,\n"
     "  {bind = '127.0.0.1', family = 'inet6'})\n"},
    {"a limit of 0 begins, from the address asked for, and looks up no name",
     "fails('timeout', GOOD, port, {bind = '127.0.0.1', timeout = 0})\n"
     "good:accept():close()\n"
     "fails('Cannot assign requested address', GOOD, port,\n"
     "  {bind = '192.0.2.1', timeout = 0})\n"
     "fails('timeout', to(GOOD), port, {timeout = 0})\n"},
    {"a resolver of the program's own gives the addresses as well",
     "local former = green.dns.use(function()\n"
     "  return {HOLE, OTHER, GOOD}\n"
     "end)\n"
     "assert(connects(green.connect, 'x', port, {timeout = 0.6}) < 0.6)\n"
     "local took = connects(green.connect, 'x', port)\n"
     "assert(took > 0.4 and took < 10, took)\n"
     "green.dns.use(former)\n"},
    {"IPv6 begins, where the program's resolver has both",
     "local six = green.listen('::1', port)\n"
     "if six then\n"
     "  local former = green.dns.use(function() return {GOOD, '::1'} end)\n"
     "  local conn = assert(green.connect('x', port))\n"
     "  assert(conn:getpeername() == '::1')\n"
     "  conn:close()\n"
     "  six:close()\n"
     "  assert(connects(green.connect, 'x', port) < 0.2)\n"
     "  green.dns.use(former)\n"
     "end\n"},
};

static int run(const struct script *script) {
  lua_State *L = luaL_newstate();
  int ok;
  luaL_openlibs(L);
  luaL_requiref(L, "green.core", luaopen_green_core, 0);
  lua_register(L, "descriptors", l_descriptors);
  lua_pushfstring(L, "%s%s%s", PRELUDE, script->text, END);
  ok = luaL_dostring(L, lua_tostring(L, -1)) == LUA_OK;
  CHECK(ok, script->sentence);
  if (!ok) printf("# %s\n", lua_tostring(L, -1));
  lua_close(L);
  return ok;
}

/* ----------------------------------------------------- order of attempts -- */

/* The families of a list, as digits: in turns. */
static int turns(const char *families, const char *expected) {
  struct addrinfo a[16], *list;
  size_t n = strlen(families), i;
  memset(a, 0, sizeof a);
  for (i = 0; i < n; i++) {
    a[i].ai_family = families[i] == '6' ? AF_INET6 : AF_INET;
    a[i].ai_next = i + 1 < n ? &a[i + 1] : NULL;
  }
  list = lg_addresses_in_turns(a);
  for (i = 0;
       list && list->ai_family == (expected[i] == '6' ? AF_INET6 : AF_INET);
       i++)
    list = list->ai_next;
  return !list && i == n;
}

int main(void) {
  size_t i;
  alarm(200);
  CHECK(turns("6", "6") && turns("66", "66") && turns("64", "64") &&
            turns("6644", "6464") && turns("4666", "4666") &&
            turns("44466", "46464") && turns("666644", "646466"),
        "families take turns, the resolver's first one begins");
  for (i = 0; i < sizeof scripts / sizeof *scripts; i++) run(&scripts[i]);
  return test_end();
}
