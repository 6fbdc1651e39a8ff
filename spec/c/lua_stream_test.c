/* lua_stream_test.c - streams while memory is short: no byte is lost, none
 * comes twice, and buffered bytes count against the state's limit.
 *
 * Allocations of the state fail at random, two in a row, as Lua collects
 * garbage after the first and asks again. Peers are OS threads, which memory
 * never fails.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <lauxlib.h>
#include <lualib.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../bindings/green_lua.h"
#include "../../bindings/runtime/compat.h"
#include "test.h"

/* ------------------------------------------------------------ allocator -- */

static struct {
  int permille; /* of the allocations fail */
  int again;    /* so does the next */
  size_t limit, in_use;
  uint32_t dice;
} memory;

static uint32_t roll(void) {
  memory.dice = memory.dice * 1664525u + 1013904223u;
  return memory.dice >> 8;
}

static int fails(size_t more) {
  if (memory.limit && memory.in_use + more > memory.limit) return 1;
  if (memory.again) return memory.again--;
  if ((int)(roll() % 1000) >= memory.permille) return 0;
  memory.again = 1;
  return 1;
}

static void *allocate(void *ud, void *ptr, size_t old, size_t size) {
  void *p;
  (void)ud;
  if (!ptr) old = 0;
  if (size > old && fails(size - old)) return NULL;
  memory.in_use += size - old;
  if (size == 0) {
    free(ptr);
    return NULL;
  }
  p = realloc(ptr, size);
  if (!p) abort();
  return p;
}

/* short(permille) */
static int l_short(lua_State *L) {
  memory.permille = (int)lua_tointeger(L, 1);
  if (!memory.permille) memory.again = 0;
  return 0;
}

/* limit([bytes]): from now on, beyond what is in use */
static int l_limit(lua_State *L) {
  size_t n = (size_t)luaL_optinteger(L, 1, 0);
  memory.limit = n ? memory.in_use + n : 0;
  return 0;
}

/* ----------------------------------------------------------------- peers -- */

struct feed {
  pthread_t thread;
  uint16_t port;
  size_t size;
  char text[];
};

static void *feed(void *arg) {
  struct feed *f = arg;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(f->port)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  size_t done = 0;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) return NULL;
  while (done < f->size) {
    ssize_t n = send(fd, f->text + done, f->size - done, MSG_NOSIGNAL);
    if (n < 0) break;
    done += (size_t)n;
  }
  close(fd);
  return NULL;
}

/* feed(port, text) -> peer: sends the text and closes. */
static int l_feed(lua_State *L) {
  size_t n;
  const char *text = luaL_checklstring(L, 2, &n);
  struct feed *f = malloc(sizeof *f + n);
  if (!f) abort();
  f->port = (uint16_t)lua_tointeger(L, 1);
  f->size = n;
  memcpy(f->text, text, n);
  if (pthread_create(&f->thread, NULL, feed, f)) abort();
  lua_pushlightuserdata(L, f);
  return 1;
}

/* fed(peer): it has ended. */
static int l_fed(lua_State *L) {
  struct feed *f = lua_touserdata(L, 1);
  pthread_join(f->thread, NULL);
  free(f);
  return 0;
}

/* --------------------------------------------------------------- scripts -- */

static const char PRELUDE[] =
    "local green = require 'green'\n"
    "local l <close> = assert(green.listen('127.0.0.1', 0))\n"
    "local _, port = l:getsockname()\n"
    "local function connection(text)\n"
    "  local peer = feed(port, text)\n"
    "  local c = assert(l:accept())\n"
    "  c:settimeout(20)\n"
    "  return c, peer\n"
    "end\n";

/* Two streams, read in turns, by every call that there is. */
static const char READERS[] =
    "math.randomseed(seed)\n"
    "local function text(n)\n"
    "  local t = {}\n"
    "  for i = 1, n do\n"
    "    t[i] = i .. ('abcdefg'):rep(math.random(0, 9) ^ 3 // 1) .. '\\n'\n"
    "  end\n"
    "  return table.concat(t)\n"
    "end\n"
    "local calls = {\n"
    "  function(c) return c:recv(math.random(70000)) end,\n"
    "  function(c) return c:recv(math.random(50)) end,\n"
    "  function(c) return c:receive('*l') end,\n"
    "  function(c) return c:receive('L') end,\n"
    "  function(c) return c:receive(math.random(200)) end,\n"
    "  function(c) return c:receive(math.random(400000)) end,\n"
    "}\n"
    "local streams, caught = {}, 0\n"
    "for i = 1, 2 do\n"
    "  local s = {text = text(1500), got = {}}\n"
    "  s.conn, s.peer = connection(s.text)\n"
    "  streams[i] = s\n"
    "end\n"
    "local open = 2\n"
    "while open > 0 do\n"
    "  local s = streams[math.random(2)]\n"
    "  if not s.over then\n"
    "    local k, n = math.random(#calls), #s.got\n"
    "    s.got[n + 1], s.got[n + 2] = false, false\n"
    "    short(300)\n"
    "    local ok, data, err, partial = pcall(calls[k], s.conn)\n"
    "    short(0)\n"
    "    s.got[n + 1], s.got[n + 2] = nil, nil\n"
    "    if not ok then\n"
    "      caught = caught + 1\n"
    "      assert(tostring(data):find 'not enough memory', data)\n"
    "    else\n"
    "      s.got[n + 1] = data or partial or ''\n"
    "      if data and k == 3 then s.got[n + 2] = '\\n' end\n"
    "      if not data then\n"
    "        assert(err == 'closed', err)\n"
    "        s.over, open = true, open - 1\n"
    "      end\n"
    "    end\n"
    "  end\n"
    "end\n"
    "assert(caught > 20, 'memory was hardly ever short')\n"
    "for i, s in ipairs(streams) do\n"
    "  local got = table.concat(s.got)\n"
    "  local same = 0\n"
    "  while same < #got and got:byte(same + 1) == s.text:byte(same + 1) do\n"
    "    same = same + 1\n"
    "  end\n"
    "  if got ~= s.text then\n"
    "    error(('stream %d: %d of %d bytes came, the same as far as %d, after "
    "'\n"
    "      .. '%d errors'):format(i, #got, #s.text, same, caught), 0)\n"
    "  end\n"
    "  s.conn:close()\n"
    "  fed(s.peer)\n"
    "end\n"
    "assert(green.stats().buffered == 0)\n";

static const char LIMIT[] =
    "local c, peer = connection(('x'):rep(20 * 1024 * 1024))\n"
    "c:setoption('max-line', 0)\n"
    "collectgarbage() collectgarbage()\n"
    "limit(5 * 1024 * 1024)\n"
    "local ok, err = pcall(c.receive, c)\n"
    "assert(not ok and tostring(err):find 'not enough memory', err)\n"
    "local n = green.stats().buffered\n"
    "assert(n > 1024 * 1024 and n <= 5 * 1024 * 1024, n)\n"
    "local data = assert(c:recv(10))\n" /* it is all there */
    "assert(data == ('x'):rep(10))\n"
    "limit()\n"
    "c:close()\n"
    "assert(green.stats().buffered == 0)\n"
    "fed(peer)\n";

static int run(const char *script, int seed, char *said, size_t size) {
  lua_State *L;
  int ok;
  memset(&memory, 0, sizeof memory);
  memory.dice = (uint32_t)seed;
  L = lg_newstate(allocate, NULL, 1);
  luaL_openlibs(L);
  luaL_requiref(L, "green.core", luaopen_green_core, 0);
  lua_register(L, "short", l_short);
  lua_register(L, "limit", l_limit);
  lua_register(L, "feed", l_feed);
  lua_register(L, "fed", l_fed);
  lua_pushinteger(L, seed);
  lua_setglobal(L, "seed");
  lua_pushstring(L, PRELUDE);
  lua_pushstring(L, script);
  lua_concat(L, 2);
  ok = luaL_dostring(L, lua_tostring(L, -1)) == LUA_OK;
  memory.permille = memory.again = 0;
  memory.limit = 0;
  if (!ok) snprintf(said, size, "%s", lua_tostring(L, -1));
  lua_close(L);
  return ok;
}

int main(void) {
  int slow = RUNNING_ON_VALGRIND || SANITIZED, seed, good = 1;
  char said[500] = "";
  alarm(300);
  for (seed = 1; seed <= (slow ? 2 : 5) && good; seed++)
    good = run(READERS, seed, said, sizeof said);
  if (!CHECK(good, "no byte is lost or comes twice while memory is short"))
    printf("# seed %d: %s\n", seed - 1, said);
  CHECK(memory.in_use == 0, "and a closed state has given all memory back");
  if (!CHECK(run(LIMIT, 1, said, sizeof said),
             "what a peer makes a socket buffer counts for the state's limit"))
    printf("# %s\n", said);
  CHECK(memory.in_use == 0, "and that memory is given back, too");
  return test_end();
}
