/* seam.c - the functions that a layer gets which is a module of its own.
 *
 * A table of pointers with a version: the module is built from the same headers
 * but may have been installed apart, and is loaded without our symbols.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/waiting.h"
#include "runtime/boxed.h"
#include "runtime/owned.h"

static struct lg_socket *socket_at(lua_State *L, int index, int roles) {
  struct lg_socket *s = lg_to_socket(L, index);
  if (s && s->role & roles) return s;
  luaL_typeerror(L, index, "socket");
  return NULL;
}

/* If the kernel cannot watch, the next call on the socket sends. */
static void when_room(struct lg_socket *s, struct green_room *room) {
  struct green_hub *hub = s->G->hub;
  if (!hub || s->fd < 0 || (!room && !s->f)) return;
  if (lg_socket_watch(s->G, s) == 0) green_fd_when_room(hub, s->f, room);
}

static void refuse_file(lua_State *L, const char *what) {
  struct lg *G = lg_find(L); /* the caller is not a function of the library */
  if (G) lg_refuse_file_in_box(L, G, what);
}

static void *own(lua_State *L, size_t size,
                 void (*release)(struct lg_owned *o)) {
  struct lg *G = lg_find(L);
  return lg_own(L, G, &G->owned, size, release);
}

static const struct lg_seam seam = {
    .version = LG_SEAM,
    .socket_size = sizeof(struct lg_socket),
    .socket = socket_at,
    .now = green_now,
    .drop_buffered = lg_buffer_drop,
    .strip = lg_socket_strip,
    .when_room = when_room,
    .again = green_fd_when_room,
    .number = green_fd_number,
    .refuse_file = refuse_file,
    .own = own,
    .disown = lg_disown,
};

/* is_layered(conn): has it a layer? is_opening(any): which is not open yet?
 * is_listener(any). */
static int is_layered(lua_State *L) {
  lua_pushboolean(L, lg_socket(L, LG_CLIENT)->layer != NULL);
  return 1;
}

static int is_opening(lua_State *L) {
  const struct lg_socket *s = lg_to_socket(L, 1);
  lua_pushboolean(L, s && s->opening);
  return 1;
}

static int is_listener(lua_State *L) {
  const struct lg_socket *s = lg_to_socket(L, 1);
  lua_pushboolean(L, s && s->role == LG_SERVER);
  return 1;
}

static const luaL_Reg functions[] = {{"is_layered", is_layered},
                                     {"is_listener", is_listener},
                                     {"is_opening", is_opening},
                                     {NULL, NULL}};

void lg_open_seam(lua_State *L) {
  lg_setfuncs(L, functions, 0);
  lua_pushlightuserdata(L, (void *)&seam);
  lua_setfield(L, -2, "seam");
}
