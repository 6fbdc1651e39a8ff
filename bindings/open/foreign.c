/* foreign.c - blocking calls for C functions of users.
 *
 * They return to a caller that may hold any C state, so they always keep the
 * stack. They are legal wherever a green thread may block.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/interrupt.h"
#include "runtime/limits.h"
#include "runtime/nested.h"
#include "runtime/object.h"
#include "runtime/park.h"
#include "runtime/refusal.h"

static struct lg *may_keep(lua_State *L, const char *what) {
  struct lg *G = lg_find(L);
  const char *why;
  if (!G || !G->hub) luaL_error(L, "luagreen is not open in this state");
  why = lg_refusal(L, G);
  if (why) luaL_error(L, "'%s' cannot block %s", what, why);
  if (lg_current(G) == green_main(G->hub)) lg_main_blocks(L, G);
  if (unlikely(G->nested_scopes)) lg_move_scopes(L, G);
  green_keep_note(G->hub, L);
  return G;
}

int green_lua_wait_fd(lua_State *L, int fd, int event, double seconds) {
  struct lg *G = may_keep(L, "C function");
  uint64_t deadline = seconds < 0 ? GREEN_FOREVER : lg_deadline(seconds);
  int r = green_wait_fd(G->hub, fd, event, deadline);
  if (r < 0) lg_raise_code(L, G, r, "C function");
  return r;
}

void green_lua_sleep(lua_State *L, double seconds) {
  struct lg *G = may_keep(L, "sleep");
  int r = green_sleep(G->hub, lg_deadline(seconds));
  if (r >= 0) return;
  lg_raise_code(L, G, r, "sleep");
  if (r != UV_ECANCELED) luaL_error(L, "%s", green_strerror(r));
}
