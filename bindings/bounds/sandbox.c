/* sandbox.c - what a script that nobody trusts may reach.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/bounds.h"
#include "bounds/strings.h"
#include "runtime/object.h"

/* bounded(): the libraries string and table of a sandbox. */
static int l_bounded(lua_State *L) {
  lg_push_strings(L);
  lg_push_tables(L);
  return 2;
}

static const luaL_Reg functions[] = {{"bounded", l_bounded}, {NULL, NULL}};

void lg_open_sandbox(lua_State *L) {
  lg_setfuncs(L, functions, 0);
}
