/* copy.h - shared by copies between connections and copies with a file.
 *
 * The state of a copy lies on the Lua stack, so that it outlasts waits.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_COPY_H
#define LG_COPY_H

#include "net/waiting.h"

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
void lg_copy_more(lua_State *L, size_t n); /* n more were moved */
size_t lg_copy_left(lua_State *L);
int lg_copy_ends(lua_State *L); /* bytes moved: 1 */
/* nil, why, bytes moved, the side that failed: 4 */
int lg_copy_fails(lua_State *L, int side, const char *why);
/* The same, and gives the turn to write up; `to` is NULL: a file. */
int lg_copy_fails_in_turn(lua_State *L, struct lg_socket *to, int side,
                          const char *why);
/* Wait for the turn to write, or with it for room, and return results; or say
 * that the limit is 0. */
int lg_copy_wait_turn(lua_State *L, struct lg_socket *to,
                      const struct lg_op *op);
int lg_copy_wait_room(lua_State *L, struct lg_socket *to,
                      const struct lg_op *op);
/* The ends of these waits: -1, the copy goes on; or results. */
int lg_copy_has_turn(lua_State *L, int reason);
int lg_copy_has_room(lua_State *L, int reason);
/* Why nothing can be written any more; or NULL. The caller has the turn to
 * write, so a send that has not ended was cut. */
const char *lg_copy_cannot_write(lua_State *L, const struct lg_socket *to);
/* For the interruption of an operation that may have the turn to write. */
void lg_copy_interrupted(lua_State *L, struct lg *G);

/* --- copyfile.c: one side is a file on disk --- */

/* Raises unless that side is an open file. */
void lg_copy_check_file(lua_State *L, int side);
/* Writes what is buffered: 0; -1: *results are on the stack. */
int lg_copy_write_file(lua_State *L, struct lg_socket *from, int *results);
/* The call itself, after its arguments were checked. */
int lg_copy_from_file(lua_State *L);

#endif
