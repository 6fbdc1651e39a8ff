/* layer.h - a layer between the buffer of a socket and its descriptor, such as
 * TLS.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_LAYER_H
#define LG_LAYER_H

#include "runtime/object.h"

struct lg_socket;

/* How bytes move between the buffer and the descriptor. Functions that may fail
 * return -errno, or -LG_LAYERED for an error that only the layer has words for;
 * -EAGAIN: the caller waits for the descriptor. None of these raises, waits or
 * calls Lua.
 *
 * Once open, a read waits for nothing but bytes to read, and a write for
 * nothing but room: a layer that has to send in order to read holds these bytes
 * until there is room. So one thread may read while another writes. All but
 * read and write may be NULL. */
struct lg_layer {
  /* Goes on with the opening, and tells afterwards how it ended. 0: it is open;
   * -EAGAIN: the caller waits for s->wants; else it has failed, and each read
   * and write says so. */
  int (*open)(struct lg_socket *s);
  /* How many bytes; 0 is the end of the stream. */
  ssize_t (*read)(struct lg_socket *s, char *to, size_t n);
  /* How many bytes were taken. Some may be held still, see `held`; with n == 0
   * those are sent: 0, or -EAGAIN. */
  ssize_t (*write)(struct lg_socket *s, const char *data, size_t n);
  /* Can a read go on without the descriptor? */
  int (*readable)(struct lg_socket *s);
  /* Bytes that were taken and not sent. */
  size_t (*held)(const struct lg_socket *s);
  /* Ends a direction, or both; how: as in shutdown(). */
  int (*shut)(struct lg_socket *s, int how);
  const char *(*why)(const struct lg_socket *s); /* the text of LG_LAYERED */
  /* Of a listener: puts a layer on a connection. */
  int (*accepted)(struct lg_socket *s, struct lg_socket *connection);
  /* Frees s->layered. Polite: the descriptor is open, and the peer is told. */
  void (*close)(struct lg_socket *s, int polite);
};

/* No errno: the error is the layer's own. */
enum { LG_LAYERED = 1 << 20 };

/* --- seam.c --- */

/* The functions that a layer gets which is a module of its own: it is loaded
 * without seeing our symbols. core.seam, a light userdata, leads here. */
struct lg_seam {
  uint32_t version, socket_size;
  struct lg_socket *(*socket)(lua_State *L, int index, int roles);
  uint64_t (*now)(void);
  void (*drop_buffered)(struct lg_socket *s);
  void (*strip)(struct lg_socket *s, int polite);
  /* Bytes that a layer holds while no thread sends go when there is room: asks
   * to be told once; NULL: no more. `again` asks from there. */
  void (*when_room)(struct lg_socket *s, struct green_room *room);
  int (*again)(struct green_hub *hub, struct green_fd *f,
               struct green_room *room);
  int (*number)(const struct green_fd *f);
  /* Raises in a sandbox that may name no file. */
  void (*refuse_file)(lua_State *L, const char *what);
  /* As lg_own() and lg_disown(). */
  void *(*own)(lua_State *L, size_t size, void (*release)(struct lg_owned *o));
  void (*disown)(struct lg_owned *o);
};
enum { LG_SEAM = 4 };
void lg_open_seam(lua_State *L);

#endif
