/* curl.c - HTTP and all else that libcurl speaks, for Lua: a transfer blocks
 * its caller alone, and connections are shared by all.
 *
 *   local body, status = curl.fetch(url)
 *
 * libcurl says by two callbacks which sockets to watch, and when to be called
 * next. Both go into one epoll, and a green thread of C, the driver, waits for
 * that: one descriptor, whatever the number of transfers. It lives while there
 * are any. A caller waits for the signal of its own transfer; if it is killed,
 * or a timeout strikes, it takes the transfer back and frees it.
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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

int luaopen_curl(lua_State *L);

struct multi { /* one for each Lua state */
  CURLM *handle;
  struct green_hub *hub;
  struct green_thread *driver; /* while there are transfers */
  int epoll, timer, transfers;
};

struct transfer { /* on its caller's C stack */
  struct green_signal over;
  int done;
  CURLcode result;
  char *body;
  size_t size;
};

/* --- libcurl's callbacks --- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
                     void *known) {
  struct multi *m = arg;
  struct epoll_event e = {.data.fd = fd};
  (void)easy;
  if (what & CURL_POLL_IN && what != CURL_POLL_REMOVE) e.events |= EPOLLIN;
  if (what & CURL_POLL_OUT && what != CURL_POLL_REMOVE) e.events |= EPOLLOUT;
  if (what == CURL_POLL_REMOVE) {
    epoll_ctl(m->epoll, EPOLL_CTL_DEL, fd, NULL);
  } else if (epoll_ctl(m->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
                       &e) < 0) {
    return -1;
  }
  curl_multi_assign(m->handle, fd, what == CURL_POLL_REMOVE ? NULL : m);
  return 0;
}

static int on_timer(CURLM *handle, long ms, void *arg) {
  struct multi *m = arg;
  struct itimerspec at = {{0, 0}, {0, 0}}; /* less than 0: none */
  (void)handle;
  at.it_value.tv_sec = ms > 0 ? ms / 1000 : 0;
  at.it_value.tv_nsec = ms > 0 ? ms % 1000 * 1000000 : ms == 0;
  return timerfd_settime(m->timer, 0, &at, NULL);
}

static size_t on_bytes(char *bytes, size_t one, size_t n, void *arg) {
  struct transfer *t = arg;
  char *body = realloc(t->body, t->size + n * one + 1);
  if (!body) return 0; /* libcurl ends the transfer with an error */
  memcpy(body + t->size, bytes, n * one);
  t->body = body;
  t->size += n * one;
  return n * one;
}

/* --- the driver --- */

static void tell_callers(struct multi *m) {
  struct CURLMsg *said;
  int left;
  while ((said = curl_multi_info_read(m->handle, &left))) {
    struct transfer *t;
    if (said->msg != CURLMSG_DONE) continue;
    curl_easy_getinfo(said->easy_handle, CURLINFO_PRIVATE, (char **)&t);
    t->result = said->data.result;
    t->done = 1;
    green_signal_one(m->hub, &t->over);
  }
}

static void act(struct multi *m, const struct epoll_event *e) {
  int running, what = 0;
  uint64_t times;
  if (e->data.fd == m->timer) {
    if (read(m->timer, &times, sizeof times) < 0) return;
    curl_multi_socket_action(m->handle, CURL_SOCKET_TIMEOUT, 0, &running);
    return;
  }
  if (e->events & EPOLLIN) what |= CURL_CSELECT_IN;
  if (e->events & EPOLLOUT) what |= CURL_CSELECT_OUT;
  if (e->events & (EPOLLERR | EPOLLHUP)) what |= CURL_CSELECT_ERR;
  curl_multi_socket_action(m->handle, e->data.fd, what, &running);
}

/* Killed, it leaves the multi alone, which may be gone. */
static int drive(struct green_hub *hub, void *arg) {
  struct multi *m = arg;
  struct epoll_event e[64];
  int epoll = m->epoll;
  while (green_wait_fd(hub, epoll, GREEN_READABLE, GREEN_FOREVER) == 0) {
    int i, n = epoll_wait(epoll, e, 64, 0);
    for (i = 0; i < n; i++) act(m, &e[i]);
    tell_callers(m);
  }
  return 0;
}

/* --- a transfer --- */

static int begin(struct multi *m, CURL *easy) {
  int r = 0;
  if (m->transfers == 0) r = green_spawn(m->hub, &m->driver, drive, m);
  if (r == 0 && curl_multi_add_handle(m->handle, easy)) r = UV_ENOMEM;
  m->transfers += r == 0;
  return r;
}

static void end(struct multi *m, CURL *easy) {
  curl_multi_remove_handle(m->handle, easy);
  if (--m->transfers > 0) return;
  green_kill(m->hub, m->driver);
  green_detach(m->hub, m->driver);
}

static int transfer(struct multi *m, CURL *easy, struct transfer *t) {
  int r = begin(m, easy);
  if (r < 0) return r;
  while (r == 0 && !t->done)
    r = green_signal_wait(m->hub, &t->over, GREEN_FOREVER);
  end(m, easy);
  return r;
}

static int push(lua_State *L) { /* (transfer, status) */
  struct transfer *t = lua_touserdata(L, 1);
  lua_pushlstring(L, t->body ? t->body : "", t->size);
  lua_pushvalue(L, 2);
  return 2;
}

/* Nothing raises from curl_easy_init() on until all is free again. */
static int l_fetch(lua_State *L) {
  struct multi *m = lua_touserdata(L, lua_upvalueindex(1));
  const char *url = luaL_checkstring(L, 1);
  struct transfer t = {.done = 0};
  long status = 0;
  CURL *easy;
  int r, raised;
  luaL_checkstack(L, 8, NULL);
  if (!green_lua_may_block(L)) return luaL_error(L, "cannot block here");
  if (!(easy = curl_easy_init())) return luaL_error(L, "not enough memory");
  curl_easy_setopt(easy, CURLOPT_URL, url);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &t);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &t);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  r = transfer(m, easy, &t);
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_cleanup(easy);
  lua_pushcfunction(L, push);
  lua_pushlightuserdata(L, &t);
  lua_pushinteger(L, status);
  raised = lua_pcall(L, 2, 2, 0);
  free(t.body);
  if (raised) return lua_error(L);
  green_lua_check(L, r); /* raises what struck */
  if (r == 0 && t.result == CURLE_OK) return 2;
  return luaL_error(L, "%s: %s", url,
                    r ? green_strerror(r) : curl_easy_strerror(t.result));
}

/* --- the module --- */

static int multi_gc(lua_State *L) {
  struct multi *m = lua_touserdata(L, 1);
  if (m->handle) curl_multi_cleanup(m->handle);
  if (m->epoll >= 0) close(m->epoll);
  if (m->timer >= 0) close(m->timer);
  return 0;
}

static void push_multi(lua_State *L) {
  struct multi *m = lua_newuserdatauv(L, sizeof *m, 0);
  struct epoll_event e = {.events = EPOLLIN};
  memset(m, 0, sizeof *m);
  m->epoll = epoll_create1(EPOLL_CLOEXEC);
  m->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  luaL_newmetatable(L, "curl.multi");
  lua_pushcfunction(L, multi_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  m->hub = green_lua_hub(L);
  m->handle = curl_multi_init();
  e.data.fd = m->timer;
  if (!m->hub || !m->handle ||
      epoll_ctl(m->epoll, EPOLL_CTL_ADD, m->timer, &e) < 0)
    luaL_error(L, "curl cannot be opened");
  curl_multi_setopt(m->handle, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(m->handle, CURLMOPT_SOCKETDATA, m);
  curl_multi_setopt(m->handle, CURLMOPT_TIMERFUNCTION, on_timer);
  curl_multi_setopt(m->handle, CURLMOPT_TIMERDATA, m);
}

int luaopen_curl(lua_State *L) {
  lua_createtable(L, 0, 1);
  push_multi(L);
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
