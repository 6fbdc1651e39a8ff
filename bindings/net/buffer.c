/* buffer.c - bytes received but not delivered.
 *
 * Reads land in one scratch buffer of the state. The socket whose bytes lie
 * there holds it: the bytes leave at the front, and only when the string that
 * delivers them is made, so that an error in between (memory was short for a
 * moment) loses none. Mostly they all leave at once, and no copy was made. The
 * next reader moves the bytes of a former holder out, into a buffer of that
 * socket's own, which comes from the state's allocator.
 *
 *   buffer == NULL      nothing is buffered: an idle socket is small
 *   net->holder == s    buffer is the scratch; no other socket's is
 *   else                a buffer of its own
 *
 * Bytes may move wherever something allocates: s->buffer is read anew then.
 * `changes` counts what was taken from the front; a move changes nothing.
 *
 * Never switches.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "net/socket.h"

/* A message longer than the scratch makes it grow, for good, up to this: up to
 * it no buffer of a socket's own is needed. */
enum { MOST_SCRATCH = 4 * LG_SCRATCH };

enum { SHOWN = 4 << 20 }; /* to malloc: 2 MB would do at 50 connections */

/* --- memory --- */

/* Of the state's allocator, whose limit holds for what peers make us keep. */
static char *resize(struct lg_socket *s, char *old, size_t from, size_t to) {
  char *p = lg_block(s->G, old, from, to);
  if (p || !to) s->G->net->buffered += to - from;
  return p;
}

/* Garbage counts against the state's limit, too: collects it once, and raises
 * the second time. Finalizers may run: the caller looks again. */
static void short_of_memory(lua_State *L, int tries) {
  if (tries == 0 && lua_gc(L, LUA_GCCOUNT) >= 0)
    lua_gc(L, LUA_GCCOLLECT);
  else
    luaL_error(L, "not enough memory");
}

/* Messages of some KB are strings that come and go. When they free the top of
 * its heap, glibc's malloc gives it back to the system and asks for it again,
 * page by page: a quarter of an echo of 16 KB was that. It keeps as much as
 * twice the largest block that it mapped apart and saw freed, so it is shown
 * one. A host's process is the host's affair. */
static void show_malloc(void) {
  void *volatile block = malloc(SHOWN);
  free(block);
}

void lg_buffer_open(lua_State *L, struct lg_net *net) {
  if (lg_find(L)->own) show_malloc();
  net->scratch = malloc(LG_SCRATCH);
  if (!net->scratch) luaL_error(L, "not enough memory");
  net->scratch_room = LG_SCRATCH;
}

void lg_buffer_close(struct lg_net *net) {
  assert(!net->holder && !net->buffered);
  free(net->scratch);
  net->scratch = NULL;
  net->scratch_room = 0;
}

/* --- at the front --- */

void lg_buffer_drop(struct lg_socket *s) {
  struct lg_net *net = s->G->net;
  if (net->holder == s)
    net->holder = NULL;
  else if (s->buffer)
    resize(s, s->buffer, s->room, 0);
  s->buffer = NULL;
  s->at = s->end = s->room = s->scanned = 0;
  s->changes++;
}

void lg_buffer_consume(struct lg_socket *s, size_t n) {
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
    if (n) lg_buffer_consume(s, n);
  } else if (s->received == front->received) {
    s->received += n; /* close() dropped them: they are ours all the same */
  } else {
    lua_settop(L, front->top);
    return 0;
  }
  return 1;
}

/* --- giving back --- */

/* The bytes lie behind n free ones at least, in a buffer of the socket's own:
 * 0, no memory. As many more are free as there are bytes, or a parser that
 * gives back one after the other would copy all of them each time. */
static int open_front(struct lg_socket *s, size_t n) {
  struct lg_net *net = s->G->net;
  size_t have = lg_buffered(s), front = n + have, room = front + have;
  char *own = resize(s, NULL, 0, room);
  if (!own) return 0;
  if (have) memcpy(own + front, s->buffer + s->at, have);
  if (net->holder == s)
    net->holder = NULL;
  else if (s->buffer)
    resize(s, s->buffer, s->room, 0);
  s->buffer = own;
  s->at = front;
  s->end = s->room = room;
  return 1;
}

void lg_buffer_unread(lua_State *L, struct lg_socket *s, const char *data,
                      size_t n) {
  int tries = 0;
  while (s->at < n && !open_front(s, n)) short_of_memory(L, tries++);
  assert(s->at >= n && s->buffer);
  s->at -= n;
  memcpy(s->buffer + s->at, data, n);
  s->received -= n < s->received ? n : s->received;
  s->scanned = 0;
  s->changes++;
}

/* --- room at the end --- */

static void lies_in(struct lg_socket *s, char *buffer, size_t have,
                    size_t room) {
  assert(have <= room);
  s->buffer = buffer;
  s->at = 0;
  s->end = have;
  s->room = room;
}

/* From the scratch to a buffer of its own; 0: no memory. */
static int move_out(struct lg_net *net, size_t room) {
  struct lg_socket *s = net->holder;
  size_t have = lg_buffered(s);
  char *own = resize(s, NULL, 0, room);
  assert(have > 0 && have <= room);
  if (!own) return 0;
  memcpy(own, s->buffer + s->at, have);
  lies_in(s, own, have, room);
  net->holder = NULL;
  return 1;
}

/* Back to the scratch, which is free. */
static void move_in(struct lg_net *net, struct lg_socket *s) {
  size_t have = lg_buffered(s), room = s->room;
  char *own = s->buffer;
  assert(!net->holder && have <= net->scratch_room);
  memcpy(net->scratch, own + s->at, have);
  lies_in(s, net->scratch, have, net->scratch_room);
  resize(s, own, room, 0);
  net->holder = s;
}

/* The scratch grows, or its bytes move to a buffer of their own. It is not the
 * state's memory, so collecting garbage would not help. */
static int grow_scratch(lua_State *L, struct lg_net *net) {
  struct lg_socket *s = net->holder;
  size_t room = 2 * net->scratch_room;
  char *scratch;
  if (room > MOST_SCRATCH) return move_out(net, room);
  scratch = realloc(net->scratch, room);
  if (!scratch) luaL_error(L, "not enough memory");
  net->scratch = s->buffer = scratch;
  net->scratch_room = s->room = room;
  return 1;
}

static int grow_own(struct lg_socket *s) {
  size_t room = 2 * s->room;
  char *own = resize(s, s->buffer, s->room, room);
  if (!own) return 0;
  s->buffer = own;
  s->room = room;
  return 1;
}

/* A quarter of the scratch is room enough to read into. */
static int is_full(const struct lg_socket *s) {
  return s->room - s->end < LG_SCRATCH / 4;
}

static void move_to_front(struct lg_socket *s) {
  size_t have = lg_buffered(s);
  memmove(s->buffer, s->buffer + s->at, have);
  lies_in(s, s->buffer, have, s->room);
}

/* 0: memory is short. */
static int make_room(lua_State *L, struct lg_net *net, struct lg_socket *s) {
  size_t have = lg_buffered(s);
  if (s->buffer && net->holder != s && have > LG_SCRATCH / 2) {
    if (is_full(s) && s->at >= have) move_to_front(s);
    return !is_full(s) || grow_own(s);
  }
  if (net->holder && net->holder != s &&
      !move_out(net, lg_buffered(net->holder)))
    return 0;
  if (!have) return 1;
  if (net->holder != s) move_in(net, s);
  if (is_full(s) && s->at) move_to_front(s);
  return !is_full(s) || grow_scratch(L, net);
}

char *lg_buffer_room(lua_State *L, struct lg_socket *s, size_t *room) {
  struct lg_net *net = s->G->net;
  int tries = 0;
  while (unlikely(!make_room(L, net, s))) short_of_memory(L, tries++);
  if (likely(!s->buffer)) {
    *room = net->scratch_room;
    return net->scratch;
  }
  *room = s->room - s->end;
  return s->buffer + s->end;
}

void lg_buffer_filled(struct lg_socket *s, size_t n) {
  struct lg_net *net = s->G->net;
  assert(n > 0);
  if (likely(!s->buffer)) {
    assert(!net->holder && n <= net->scratch_room);
    lies_in(s, net->scratch, n, net->scratch_room);
    net->holder = s;
  } else {
    assert(n <= s->room - s->end);
    s->end += n;
  }
}

size_t lg_buffer_total(const struct lg_net *net) {
  return net->buffered + (net->holder ? lg_buffered(net->holder) : 0);
}
