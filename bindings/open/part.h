/* part.h - the Lua part of the library, linked in: what tools/link makes of the
 * files below lua/.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_PART_H
#define LG_PART_H

#include <stddef.h>

#define LG_ROOT "@luagreen/green/"
#define LG_INIT LG_ROOT "init.lua"

struct lg_part {
  const char *module; /* "green.net.net"; NULL: the end */
  const char *chunk;  /* "@luagreen/green/net/net.lua" */
  const char *text;
  size_t size;
};
extern const struct lg_part lg_parts[];

#endif
