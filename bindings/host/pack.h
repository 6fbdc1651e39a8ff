/* pack.h - values as messages.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_PACK_H
#define LG_PACK_H

#include "runtime/state.h"

/* Packs n values from index `first` on. 0; UV_ENOMEM; UV_ENOBUFS, the state has
 * as many bytes in messages as it may; or UV_EINVAL, for a value that cannot be
 * sent or a message that would be too large: pushes the reason, and *culprit is
 * the number of the value, from 0. Raises only if there is no memory for that
 * text, and calls no code of the program's. G may be NULL. */
int lg_pack(lua_State *L, const struct lg *G, int first, int n,
            struct green_message **m, int *culprit);

/* Pushes the values, or the bytes as a string; returns how many there are. Or
 * UV_ENOMEM; or UV_EINVAL, the bytes are not those that were packed: and pushes
 * the error. The message stays the caller's. Never raises; needs two places on
 * the stack. */
int lg_unpack(lua_State *L, const struct green_message *m);

#endif
