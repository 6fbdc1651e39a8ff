/* serial.c - LuaSocket's serial lines: any device, terminal or pipe that can be
 * polled, as a stream.
 *
 * It is no socket, so its bytes move by read(2) and write(2): a layer below the
 * buffer. A pipe that nobody reads would end the process by SIGPIPE, which is
 * ignored from the first one on, unless the program has a handler.
 *
 * Opening never blocks; all else is a stream's.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "net/calls.h"
#include "runtime/counts.h"

static ssize_t serial_read(struct lg_socket *s, char *to, size_t n) {
  ssize_t got;
  do got = read(s->fd, to, n);
  while (got < 0 && errno == EINTR);
  return got < 0 ? -errno : got;
}

static ssize_t serial_write(struct lg_socket *s, const char *data, size_t n) {
  ssize_t sent;
  do sent = write(s->fd, data, n);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

static const struct lg_layer layer = {.read = serial_read,
                                      .write = serial_write};

static const struct lg_socket_kind serial = {
    .name = "serial",
    .master = {.name = "serial{master}"},
    .client = {.name = "serial{client}", .waitable = &lg_readable_waitable},
    .local = 1,
    .luasocket = 1};

static void ignore_sigpipe(void) {
  struct sigaction now;
  if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
    signal(SIGPIPE, SIG_IGN);
}

/* luasocket_serial(path) */
static int l_serial(lua_State *L) {
  size_t size;
  const char *path = luaL_checklstring(L, 1, &size);
  struct lg *G = lg_get(L);
  struct lg_socket *s = lg_socket_new(L, G, &serial);
  int flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
  int fd = lg_may_open(L, G, 1);
  if (fd > 0) return lg_socket_fail(L, s, fd);
  if (strlen(path) != size) return lg_socket_fail(L, s, ENOENT);
  fd = open(path, flags);
  if (fd < 0 && lg_socket_scarce(L, errno)) fd = open(path, flags);
  if (fd < 0) return lg_socket_fail(L, s, errno);
  green_fd_forget(G->hub, fd);
  ignore_sigpipe();
  lg_socket_adopt(s, fd);
  s->layer = &layer;
  lg_socket_become(L, -1, LG_CLIENT);
  return 1;
}

/* open_serial(): before luasocket_serial(); the table of methods, in a list. */
static int l_open_serial(lua_State *L) {
  static const luaL_Reg waiting[] = {{"receive", lg_socket_receive},
                                     {"recv", lg_socket_recv},
                                     {"send", lg_socket_send},
                                     {NULL, NULL}};
  static const luaL_Reg others[] = {{"getstats", lg_socket_getstats},
                                    {"setstats", lg_socket_setstats},
                                    {NULL, NULL}};
  lua_createtable(L, 1, 0);
  lg_socket_open_kind(L, &serial, waiting, others);
  lg_socket_add_methods(L, &serial.client);
  return 1;
}

void lg_open_serial(lua_State *L) {
  static const luaL_Reg functions[] = {{"open_serial", l_open_serial},
                                       {"luasocket_serial", l_serial},
                                       {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
