/* curl.c - HTTP and all else that libcurl speaks, for Lua: a transfer blocks
 * its caller alone.
 *
 *   local body, status = curl.fetch(url)
 *
 * libcurl says by two callbacks which sockets to watch, and when to be called
 * next; each call drives its own transfer by a loop around green_poll(). A
 * client that is idle keeps its connections for the calls to come.
 *
 * needs: libcurl
 * It is a module, too:
 *   cc -shared -fPIC curl.c -o curl.so \
 *     $(pkg-config --cflags --libs luagreen-lua libcurl)
 *
 * SPDX-License-Identifier: MIT
 */
#include <curl/curl.h>
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

int luaopen_curl(lua_State *L);

enum { MOST_FDS = 16 };

struct client {
  CURLM *multi;
  CURL *easy;
  struct pollfd fds[MOST_FDS];
  int n;
  uint64_t deadline;
  char *body;
  size_t size;
  CURLcode result; /* of the last transfer */
};

/* --- libcurl's callbacks --- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
                     void *known) {
  struct client *c = arg;
  int i = 0;
  (void)easy, (void)known;
  while (i < c->n && c->fds[i].fd != fd) i++;
  if (i == MOST_FDS) return -1;
  if (i == c->n) c->fds[c->n++] = (struct pollfd){.fd = fd};
  c->fds[i].events = (what & CURL_POLL_IN ? POLLIN : 0) |
                     (what & CURL_POLL_OUT ? POLLOUT : 0);
  if (what == CURL_POLL_REMOVE) c->fds[i] = c->fds[--c->n];
  return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg) {
  struct client *c = arg;
  (void)multi;
  c->deadline = ms < 0 ? GREEN_FOREVER : green_in((uint64_t)ms * 1000000);
  return 0;
}

/* --- a transfer --- */

/* One socket at a time: libcurl sees what is ready, and looks at its timers. */
static int drive(struct green_hub *hub, struct client *c) {
  curl_socket_t fd = CURL_SOCKET_TIMEOUT;
  int running, r, i;
  do {
    curl_multi_socket_action(c->multi, fd, 0, &running);
    r = running ? green_poll(hub, c->fds, (size_t)c->n, c->deadline) : 0;
    fd = CURL_SOCKET_TIMEOUT;
    for (i = 0; r > 0 && i < c->n; i++)
      if (c->fds[i].revents) fd = c->fds[i].fd;
  } while (running && (r >= 0 || r == UV_ETIMEDOUT));
  return r;
}

/* Returns what the hub says. */
static int transfer(struct green_hub *hub, struct client *c) {
  struct CURLMsg *said;
  FILE *body;
  int r = 0, left;
  c->result = CURLE_OUT_OF_MEMORY;
  free(c->body);
  c->body = NULL;
  if (!(body = open_memstream(&c->body, &c->size))) return r;
  curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, body);
  if (curl_multi_add_handle(c->multi, c->easy) == CURLM_OK) r = drive(hub, c);
  if ((said = curl_multi_info_read(c->multi, &left)))
    c->result = said->data.result;
  curl_multi_remove_handle(c->multi, c->easy);
  fclose(body);
  return r;
}

/* --- clients --- */

static int client_gc(lua_State *L) {
  struct client *c = lua_touserdata(L, 1);
  if (c->easy) curl_easy_cleanup(c->easy);
  if (c->multi) curl_multi_cleanup(c->multi);
  free(c->body);
  return 0;
}

static void new_client(lua_State *L) {
  struct client *c = lua_newuserdatauv(L, sizeof *c, 0);
  *c = (struct client){0};
  luaL_setmetatable(L, "curl.client");
  c->easy = curl_easy_init();
  c->multi = curl_multi_init();
  if (!c->easy || !c->multi) luaL_error(L, "not enough memory");
  curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
  curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
  curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
}

/* The idle ones are the upvalue. One that an error drops is collected. */
static struct client *take_client(lua_State *L) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, lua_upvalueindex(1));
  lua_rawgeti(L, lua_upvalueindex(1), n);
  if (n == 0) new_client(L);
  lua_pushnil(L);
  lua_rawseti(L, lua_upvalueindex(1), n);
  return lua_touserdata(L, -1);
}

static int l_fetch(lua_State *L) {
  const char *url = luaL_checkstring(L, 1);
  struct client *c;
  long status = 0;
  int r;
  if (!green_lua_may_block(L)) return luaL_error(L, "cannot block here");
  c = take_client(L);
  curl_easy_setopt(c->easy, CURLOPT_URL, url);
  r = green_lua_check(L, transfer(green_lua_hub(L), c)); /* may raise */
  if (c->result != CURLE_OK)
    return luaL_error(L, "%s: %s", url,
                      r ? green_strerror(r) : curl_easy_strerror(c->result));
  curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
  lua_pushlstring(L, c->body, c->size);
  lua_pushinteger(L, status);
  lua_pushvalue(L, -3);
  lua_rawseti(L, lua_upvalueindex(1),
              (lua_Integer)lua_rawlen(L, lua_upvalueindex(1)) + 1);
  return 2;
}

int luaopen_curl(lua_State *L) {
  luaL_newmetatable(L, "curl.client");
  lua_pushcfunction(L, client_gc);
  lua_setfield(L, -2, "__gc");
  lua_createtable(L, 0, 1);
  lua_newtable(L);
  lua_pushcclosure(L, l_fetch, 1);
  lua_setfield(L, -2, "fetch");
  return 1;
}

/* --- a program that offers it to a script --- */

static const char SCRIPT[] =
    "local green, curl = require 'green', require 'curl'\n"
    "local listener = green.listen('127.0.0.1', 0)\n"
    "local _, port = listener:getsockname()\n"
    "local server = green.spawn(function()\n"
    "  for conn in listener.accept, listener do\n"
    "    green.spawn(function()\n"
    "      local path = conn:receive():match 'GET (%S+)'\n"
    "      repeat until conn:receive() == ''\n"
    "      green.sleep(path == '/slow' and 60 or 0.1)\n"
    "      conn:send(('HTTP/1.0 200 OK\\r\\nContent-Length: "
    "%d\\r\\n\\r\\n%s')\n"
    "        :format(#path, path))\n"
    "      conn:close()\n"
    "    end)\n"
    "  end\n"
    "end)\n"
    "local base, threads = 'http://127.0.0.1:' .. port, {}\n"
    "local start = green.now()\n"
    "for i = 1, 50 do\n"
    "  threads[i] = green.spawn(curl.fetch, base .. '/page' .. i)\n"
    "end\n"
    "for i, t in ipairs(threads) do\n"
    "  local body, status = t:wait()\n"
    "  assert(body == '/page' .. i and status == 200)\n"
    "end\n"
    "print('fifty at once', green.now() - start < 2.5)\n"
    "local slow = green.spawn(curl.fetch, base .. '/slow')\n"
    "green.sleep(0.05)\n"
    "slow:kill()\n"
    "print('killed', slow:join() == false)\n"
    "server:kill()\n"
    "listener:close()\n"
    "print(select(2, pcall(curl.fetch, base)):gsub('%d+', 'N'))\n";

int main(void) {
  struct green_hub *hub;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  if (green_open(&hub, NULL) < 0 || green_lua_open(L, hub) != LUA_OK) return 1;
  luaL_requiref(L, "curl", luaopen_curl, 0);
  if (luaL_dostring(L, SCRIPT)) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  green_lua_close(L);
  lua_close(L);
  curl_global_cleanup();
  return green_close(hub);
}

/* prints:
 * fifty at once	true
 * killed	true
 * http://N.N.N.N:N: Couldn't connect to server	5
 */
