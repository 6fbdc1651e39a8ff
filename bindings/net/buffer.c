/* buffer.c - bytes received but not delivered.
 *
 * A socket has a buffer only while there are such bytes: they lie from `at` to
 * `end`. Bytes leave it at the front, and only when the string that delivers
 * them is made, so that an error in between loses none.
 *
 * Never switches.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "net/socket.h"

void lg_buffer_drop(struct lg_socket *s) {
  free(s->buffer);
  s->buffer = NULL;
  s->at = s->end = s->room = s->scanned = 0;
  s->changes++;
}

static void consume(struct lg_socket *s, size_t n) {
  assert(n > 0 && n <= lg_buffered(s));
  s->at += n;
  s->received += n;
  s->scanned = 0;
  s->changes++;
  if (s->at == s->end) lg_buffer_drop(s);
}

struct lg_front lg_buffer_front(lua_State *L, const struct lg_socket *s) {
  struct lg_front front = {s->changes, s->received, lua_gettop(L)};
  return front;
}

int lg_buffer_deliver(lua_State *L, struct lg_socket *s,
                      const struct lg_front *front, size_t n) {
  if (likely(s->changes == front->changes)) {
    if (n) consume(s, n);
  } else if (s->received == front->received) {
    s->received += n; /* close() dropped them: they are ours all the same */
  } else {
    lua_settop(L, front->top);
    return 0;
  }
  return 1;
}

static int make_room(struct lg_socket *s, size_t n) {
  size_t have = lg_buffered(s), room = have + n;
  char *buffer;
  if (s->room - s->end >= n) return 0;
  if (s->at) memmove(s->buffer, s->buffer + s->at, have);
  s->at = 0;
  s->end = have;
  if (room <= s->room) return 0;
  if (have) room += room / 2; /* it grows: by half, so that copies are few */
  buffer = realloc(s->buffer, room);
  if (!buffer) return -1;
  s->buffer = buffer;
  s->room = room;
  return 0;
}

void lg_buffer_append(lua_State *L, struct lg_socket *s, const char *data,
                      size_t n) {
  if (make_room(s, n) < 0) luaL_error(L, "not enough memory");
  memcpy(s->buffer + s->end, data, n);
  s->end += n;
  assert(s->at < s->end && s->end <= s->room);
}
