/* join_listeners.c - makes one listener of several.
 *
 * Never switches.
 *
 * SPDX-License-Identifier: MIT
 */
#include <sys/epoll.h>

#include "net/calls.h"
#include "runtime/counts.h"

/* Item i of the list at index 1, a listener; raises if it is something else. */
static struct lg_socket *listener(lua_State *L, lua_Integer i) {
  struct lg_socket *s;
  lua_rawgeti(L, 1, i);
  s = lg_to_socket(L, -1);
  if (!s || s->role != LG_SERVER || s->fd < 0 || s->several)
    luaL_argerror(L, 1, "listeners expected");
  lua_pop(L, 1); /* the list has it */
  return s;
}

static int open_epoll(lua_State *L, struct lg *G) {
  int fd = lg_may_open(L, G, 1);
  if (fd > 0) return -fd;
  fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0 && lg_socket_scarce(L, errno)) fd = epoll_create1(EPOLL_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

/* 0, or -errno. Raises before anything is watched: finalizers ran. */
static int watch_all(lua_State *L, int fd, int n) {
  int i;
  for (i = 1; i <= n; i++) listener(L, i);
  for (i = 1; i <= n; i++) {
    struct epoll_event e = {.events = EPOLLIN};
    if (epoll_ctl(fd, EPOLL_CTL_ADD, listener(L, i)->fd, &e) < 0)
      return -errno;
  }
  return 0;
}

/* The descriptors are its own from now on. */
static void take_all(lua_State *L, struct lg_several *m, int n) {
  int i;
  for (i = 1; i <= n; i++) {
    struct lg_socket *s = listener(L, i);
    lg_several_add(m, s->fd, s->family);
    lg_socket_release(s);
  }
}

/* join_listeners(list): one listener on all their addresses; they have no
 * descriptors afterwards. Or nil and why not, and nothing has happened. */
int lg_l_join_listeners(lua_State *L) {
  struct lg *G = lg_get(L);
  int n, fd, r;
  struct lg_several *m;
  struct lg_socket *s;
  luaL_checktype(L, 1, LUA_TTABLE);
  n = (int)lua_rawlen(L, 1);
  luaL_argcheck(L, n > 0, 1, "listeners expected");
  s = lg_socket_new(L, G, listener(L, 1)->kind);
  s->fd = fd = open_epoll(L, G); /* the object's: an error leaves none */
  if (fd < 0) {
    s->fd = -1;
    return lg_socket_fail(L, s, -fd);
  }
  green_fd_forget(G->hub, fd);
  r = watch_all(L, fd, n);
  m = r < 0 ? NULL : lg_several_make(n);
  if (r == 0 && !m) r = -ENOMEM;
  if (r < 0) {
    lg_socket_shut(s);
    return lg_socket_fail(L, s, -r);
  }
  s->family = listener(L, 1)->family;
  s->several = m;
  take_all(L, m, n);
  lg_socket_count(s, 1 + n);
  lg_socket_become(L, -1, LG_SERVER);
  return 1;
}
