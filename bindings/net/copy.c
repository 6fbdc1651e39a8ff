/* copy.c - moving bytes from a connection to another, or to a file.
 *
 * Bytes that have arrived lie in the buffer of the source, and are written from
 * there: no string is made, and no byte is ever anywhere else. So whatever cuts
 * a copy off, an interruption or a break of the other side, loses none: the
 * next call reads the bytes that were not written, and a copy that is called
 * again goes on. A layer (TLS) on either side is written and read as any call
 * does.
 *
 * The kernel could move pages instead (splice() by a pipe). It was measured
 * over loopback: 0.09 to 0.16 ns a byte in both ways where 256 KB or more are
 * moved at once, and 5 to 10 % dearer below 64 KB, where nearly all is the
 * network's own work (7 us a message). It would cost two descriptors for each
 * copy, and bytes in a pipe that somebody would have to put back.
 *
 * Stack: see copy.h.
 *
 * On green threads; with a limit of 0 nothing waits, and all may run anywhere.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/calls.h"
#include "net/copy.h"

static const struct lg_op read_op, write_op, turn_op;

/* Pieces in a row before the others get a turn; bytes that are enough to write
 * at once, for which the shared buffer is large enough. */
enum { GREEDY = 16, ENOUGH = 3 * LG_SCRATCH };

/* --- results --- */

/* The destination; NULL: it is a file. */
static struct lg_socket *destination(lua_State *L) {
  return lg_to_socket(L, LG_COPY_TO);
}

static int ends(lua_State *L, struct lg *G, struct lg_socket *to) {
  if (to) lg_write_end(G, to);
  return lg_copy_ends(L);
}

/* --- writing --- */

/* Writes some of what is buffered: > 0; -1: there are results in *results. The
 * turn is ours. */
static int write_piece(lua_State *L, struct lg_socket *from,
                       struct lg_socket *to, int *results) {
  size_t have = lg_buffered(from), left = lg_copy_left(L);
  ssize_t n =
      lg_write_some(to, from->buffer + from->at, have < left ? have : left);
  if (likely(n > 0)) {
    to->sent += (uint64_t)n;
    lg_copy_more(L, (size_t)n);
    lg_buffer_consume(from, (size_t)n);
    return 1;
  }
  if (n == 0 && !lg_layer_held(to)) return 1; /* what a layer held is sent */
  if (n < 0 && n != -EAGAIN) {
    lg_socket_failed(to, (int)-n);
    *results =
        lg_copy_fails_in_turn(L, to, LG_COPY_TO, lg_socket_error(to, (int)-n));
  } else {
    *results = lg_copy_wait_room(L, to, &write_op);
  }
  return -1;
}

/* Until all that is buffered is written: 0, or -1 as above. */
static int write_all(lua_State *L, struct lg *G, struct lg_socket *from,
                     struct lg_socket *to, int *results) {
  const char *why;
  if (!to) return lg_copy_write_file(L, from, results);
  while ((lg_buffered(from) && lg_copy_left(L)) || lg_layer_held(to)) {
    if (unlikely(to->fd >= 0 && !lg_write_try(G, to))) {
      *results = lg_copy_wait_turn(L, to, &turn_op);
      return -1;
    }
    if (unlikely((why = lg_copy_cannot_write(L, to)))) {
      *results = lg_copy_fails_in_turn(L, to, LG_COPY_TO, why);
      return -1;
    }
    if (write_piece(L, from, to, results) < 0) return -1;
  }
  lg_write_end(G, to);
  return 0;
}

/* --- reading --- */

/* Reads what there is, up to a bound: as lg_read_some(). */
static ssize_t fill(lua_State *L, struct lg_socket *from) {
  ssize_t got, sum = 0;
  for (;;) {
    size_t had = lg_buffered(from);
    got = lg_read_some(L, from, SIZE_MAX);
    if (got > 0) sum += got;
    if (got < LG_SCRATCH / 4 || had + (size_t)got >= ENOUGH) break;
    if (from->drained) break;
  }
  return sum > 0 ? sum : got;
}

/* --- the call --- */

static int go(lua_State *L, struct lg *G) {
  struct lg_socket *from = lg_socket_at(L, LG_COPY_FROM);
  struct lg_socket *to = destination(L);
  int rounds, results = 0;
  ssize_t got;
  for (rounds = 0;; rounds++) {
    if (write_all(L, G, from, to, &results) < 0) return results;
    if (!lg_copy_left(L)) return ends(L, G, to);
    if (from->fd < 0)
      return lg_copy_fails_in_turn(L, to, LG_COPY_FROM, "closed");
    got = rounds == GREEDY && lg_read_may_wait(from) ? -EAGAIN : fill(L, from);
    if (likely(got > 0)) continue;
    if (got == 0) return ends(L, G, to);
    if (got != -EAGAIN)
      return lg_copy_fails_in_turn(L, to, LG_COPY_FROM,
                                   lg_socket_error(from, (int)-got));
    if (!lg_read_may_wait(from))
      return lg_copy_fails_in_turn(L, to, LG_COPY_FROM, "timeout");
    break;
  }
  results = lg_read_wait(L, G, from, &read_op);
  return likely(results >= 0)
             ? results
             : lg_copy_fails_in_turn(L, to, LG_COPY_FROM,
                                     lg_wait_error(from, results));
}

static int not_open(lua_State *L, struct lg_socket *s, const char *why) {
  int side = s == destination(L) ? LG_COPY_TO : LG_COPY_FROM;
  return lg_copy_fails(L, side, why);
}

static int opened(lua_State *L, struct lg_socket *s, uint64_t end);

static const struct lg_opening opening = {&read_op, not_open, opened};

static int begin(lua_State *L, struct lg *G) {
  struct lg_socket *from = lg_socket_at(L, LG_COPY_FROM);
  struct lg_socket *to = destination(L);
  int r;
  if ((r = lg_open_layer(L, G, from, &opening)) >= 0) return r;
  if (to && (r = lg_open_layer(L, G, to, &opening)) >= 0) return r;
  lg_read_begin(L, G, from, (uint64_t)lua_tointeger(L, LG_COPY_READS));
  return go(L, G);
}

/* A layer of either side; the other one may have one, too. */
static int opened(lua_State *L, struct lg_socket *s, uint64_t end) {
  if (s == lg_socket_at(L, LG_COPY_FROM)) {
    lua_pushinteger(L, (lua_Integer)end);
    lua_replace(L, LG_COPY_READS);
  }
  return begin(L, s->G);
}

/* Called again after a lap: bytes may have been moved. */
static int start(lua_State *L) {
  struct lg_socket *from = lg_socket_at(L, LG_COPY_FROM);
  struct lg_socket *to = destination(L);
  struct lg *G = from->G;
  int r;
  if (likely(!from->polls || (to && !to->polls))) {
    r = lg_enter(L, G, &read_op);
    if (unlikely(r >= 0)) return r;
  }
  return begin(L, G);
}

static int read_woken(lua_State *L, struct lg *G, int reason) {
  lg_read_woken(L, reason);
  if (reason != GREEN_CLOSED) return go(L, G);
  return lg_copy_fails_in_turn(L, destination(L), LG_COPY_FROM, "closed");
}

static int write_woken(lua_State *L, struct lg *G, int reason) {
  int results = lg_copy_has_room(L, reason);
  return likely(results < 0) ? go(L, G) : results;
}

static int turn_woken(lua_State *L, struct lg *G, int reason) {
  int results = lg_copy_has_turn(L, reason);
  return likely(results < 0) ? go(L, G) : results;
}

static const struct lg_op read_op = {
    {"socket:copy", NULL, green_fd_leave}, start, read_woken, NULL};
static const struct lg_op write_op = {
    {"socket:copy (write)", green_fd_turn_undo, green_fd_leave},
    start,
    write_woken,
    lg_copy_interrupted};
static const struct lg_op turn_op = {
    {"socket:copy (turn)", green_fd_turn_undo, NULL}, start, turn_woken, NULL};

/* --- arguments --- */

/* The connection at that index, or the file: NULL. Raises for others. */
static struct lg_socket *side_of(lua_State *L, int index) {
  struct lg_socket *s = lg_to_socket(L, index);
  if (luaL_testudata(L, index, LUA_FILEHANDLE)) return NULL;
  if (index == 1 && s) lg_socket(L, LG_CLIENT);
  if (!s || s->role != LG_CLIENT)
    luaL_argerror(L, index, "connection or file expected");
  if (!s->G->hub) luaL_error(L, "luagreen: the state is closing");
  return s;
}

/* copy(from, to [, most]) */
int lg_socket_copy(lua_State *L) {
  struct lg_socket *from = side_of(L, LG_COPY_FROM);
  struct lg_socket *to = side_of(L, LG_COPY_TO);
  lua_Number most = luaL_optnumber(L, LG_COPY_MOST, 0);
  luaL_argcheck(L, most >= 0 && most < 1e15, LG_COPY_MOST,
                "number of bytes expected");
  luaL_argcheck(L, from || to, LG_COPY_TO, "connection expected");
  lua_settop(L, LG_COPY_MOST);
  lua_pushinteger(L, 0);
  lua_pushinteger(L, (lua_Integer)(to ? lg_end_of(to->total) : 0));
  lua_pushinteger(L, LG_READ_BEGINS);
  if (!from || !to) lg_copy_check_file(L, to ? LG_COPY_FROM : LG_COPY_TO);
  return from ? start(L) : lg_copy_from_file(L);
}
