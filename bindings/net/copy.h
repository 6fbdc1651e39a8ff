/* copy.h - the part that copies between connections and copies with a file
 * share.
 *
 * The state of a copy lies on the Lua stack, so that it outlasts waits.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_COPY_H
#define LG_COPY_H

#include "net/socket.h"

enum {
  LG_COPY_FROM = 1,
  LG_COPY_TO,
  LG_COPY_MOST,  /* bytes; or nil */
  LG_COPY_MOVED, /* bytes so far */
  LG_COPY_END,   /* of the destination's limit for the whole call */
  LG_COPY_READS  /* the source's, as lg_read_begin() wants it */
};

/* --- copying.c --- */

lua_Integer lg_copy_moved(lua_State *L);
void lg_copy_more(lua_State *L, size_t n); /* so many more were moved */
size_t lg_copy_left(lua_State *L);
int lg_copy_ends(lua_State *L); /* bytes moved: 1 */
/* nil, why, bytes moved, the side that failed: 4 */
int lg_copy_fails(lua_State *L, int side, const char *why);
/* When a wait of the destination's must end. */
uint64_t lg_copy_deadline(lua_State *L, const struct lg_socket *to);
/* Why nothing can be written any more; or NULL. The turn is the caller's: only
 * then is a send that has not ended one that was cut. */
const char *lg_copy_cannot_write(lua_State *L, const struct lg_socket *to);
/* Of an operation that may have the turn to write. */
void lg_copy_interrupted(lua_State *L, struct lg *G);

/* --- copyfile.c: one side is a file on disk --- */

/* Raises unless that side is one, and open. */
void lg_copy_check_file(lua_State *L, int side);
/* Writes what is buffered: 0; -1: *results are on the stack. */
int lg_copy_write_file(lua_State *L, struct lg_socket *from, int *results);
/* The call itself, once its arguments are looked at. */
int lg_copy_from_file(lua_State *L);

#endif
