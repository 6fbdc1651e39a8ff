/* wait_fd.c - waiting for anybody's descriptor.
 *
 * The descriptor is watched during the call only, so that its owner may close
 * it right after. The C stack stays.
 *
 * Green threads only; with a limit of 0 anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include <poll.h>
#include <signal.h>

#include "net/calls.h"
#include "net/waiting.h"
#include "runtime/interrupt.h"
#include "runtime/park.h"

/* The descriptor at index 1, or that of an object with getfd. */
static int fd_of(lua_State *L) {
  if (lua_isnumber(L, 1)) return lg_int_or(lua_tonumber(L, 1), -1);
  if (luaL_getmetafield(L, 1, "__index") == LUA_TNIL ||
      lua_getfield(L, 1, "getfd") == LUA_TNIL)
    luaL_argerror(L, 1, "descriptor expected");
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return lg_int_or((lua_Number)luaL_checkinteger(L, -1), -1);
}

/* 0, or what green_wait_fd() says. */
static int try_fd(int fd, int event) {
  struct pollfd p = {fd, event == GREEN_READABLE ? POLLIN : POLLOUT, 0};
  if (fd < 0) return UV_EBADF; /* which poll() passes over */
  if (poll(&p, 1, 0) <= 0) return UV_ETIMEDOUT;
  return p.revents & POLLNVAL ? UV_EBADF : 0;
}

static int wait_failed(lua_State *L, struct lg *G, int code) {
  if (code == UV_EBUSY)
    return luaL_error(L,
                      "'wait_fd': another green thread waits for the same"
                      " event of this descriptor");
  if (code == UV_ETIMEDOUT) return lg_push_timeout(L);
  if (code == UV_EBADF) return lg_push_closed(L);
  lg_raise_code(L, G, code, "wait_fd");
  return lg_fail_text(L, green_strerror(code));
}

/* Bytes that a socket of ours has received already can be read. */
static int has_bytes(lua_State *L, int event) {
  const struct lg_socket *s = lg_to_socket(L, 1);
  return event == GREEN_READABLE && s && lg_buffered(s) > 0;
}

/* wait_fd(fd, "r" | "w" [, s]) */
static int l_wait_fd(lua_State *L) {
  static const char *const names[] = {"r", "w", NULL};
  struct lg *G = lg_get(L);
  int event =
      luaL_checkoption(L, 2, NULL, names) ? GREEN_WRITABLE : GREEN_READABLE;
  uint64_t deadline = lg_limit(L, 3);
  int fd = fd_of(L), r;
  if (has_bytes(L, event)) {
    r = 0;
  } else if (deadline == 0) {
    r = try_fd(fd, event);
  } else {
    lg_may_keep(L, G, "wait_fd");
    r = green_wait_fd(G->hub, fd, event, deadline);
    lg_kept(G);
  }
  if (r < 0) return wait_failed(L, G, r);
  lua_pushboolean(L, 1);
  return 1;
}

/* forget_fd(fd): a library that is not ours is about to close it. Threads that
 * wait for it are told "closed", which else the hub might notice late. */
static int l_forget_fd(lua_State *L) {
  struct lg *G = lg_get(L);
  green_fd_forget(G->hub, fd_of(L));
  return 0;
}

/* ignore_sigpipe(): such a library writes to connections whose peers may have
 * gone, and knows no MSG_NOSIGNAL. A handler of the program's stays. */
static int l_ignore_sigpipe(lua_State *L) {
  struct sigaction old;
  (void)L;
  if (sigaction(SIGPIPE, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
      old.sa_handler == SIG_DFL)
    signal(SIGPIPE, SIG_IGN);
  return 0;
}

void lg_open_wait_fd(lua_State *L) {
  static const luaL_Reg functions[] = {{"wait_fd", l_wait_fd},
                                       {"forget_fd", l_forget_fd},
                                       {"ignore_sigpipe", l_ignore_sigpipe},
                                       {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
