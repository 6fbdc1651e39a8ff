/* key_update.c - a function for specs: one end of a connection with TLS asks
 * for new keys in both directions, as peers may at any time.
 *
 * It reaches into the socket, as no program can: luagreen itself never asks.
 *
 * SPDX-License-Identifier: MIT
 */
#include "tls/tls.h"

/* conn: the next send takes the request along. */
__attribute__((visibility("default"))) int luaopen_spec_key_update(
    lua_State *L);
int luaopen_spec_key_update(lua_State *L) {
  const struct lg_socket_object *o = lua_touserdata(L, 1);
  const struct lg_socket *s = o ? o->socket : NULL;
  const struct tls *t = s && s->layer ? s->layered : NULL;
  if (!t) return luaL_argerror(L, 1, "a connection with TLS expected");
  lua_pushboolean(L, SSL_key_update(t->ssl, SSL_KEY_UPDATE_REQUESTED));
  return 1;
}
