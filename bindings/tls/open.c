/* open.c - the module green.openssl.
 *
 * It needs green.core, and of that the same version of the seam.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "green_lua.h"
#include "tls/tls.h"

static int is_address(const char *host) {
  struct in6_addr a;
  return inet_pton(AF_INET, host, &a) == 1 ||
         inet_pton(AF_INET6, host, &a) == 1;
}

static int expect_host(SSL *ssl, const char *host) {
  X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
  if (is_address(host)) return X509_VERIFY_PARAM_set1_ip_asc(param, host);
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return SSL_set1_host(ssl, host);
}

/* The client's side: the name that the server is asked for, the name that its
 * certificate must have, and the key of its session; each may be NULL. */
static int set_client(struct tls *t, const char *servername, const char *host,
                      const char *key) {
  const char *shown = host ? host : servername;
  if (servername && !is_address(servername) &&
      !SSL_set_tlsext_host_name(t->ssl, servername))
    return 0;
  if (host && !expect_host(t->ssl, host)) return 0;
  if (key && !(t->key = strdup(key))) return 0;
  if (shown) snprintf(t->host, sizeof t->host, "%s", shown);
  if (key) tls_resume(t);
  return 1;
}

/* wrap(sock, context [, servername [, host [, key]]]): true; the handshake
 * follows. Or nil, and why not: the socket is as it was. A listener's
 * connections will be wrapped. */
static int l_wrap(lua_State *L) {
  struct lg_socket *s = tls_seam->socket(L, 1, LG_CLIENT | LG_SERVER);
  struct tls_context *c = tls_to_context(L, 2);
  const char *servername = luaL_optstring(L, 3, NULL);
  const char *host = luaL_optstring(L, 4, NULL);
  const char *key = luaL_optstring(L, 5, NULL);
  struct tls *t;
  if (s->role == LG_SERVER) {
    luaL_argcheck(L, c->server, 2, "a server's context expected");
    tls_listen(s, c);
    lua_pushboolean(L, 1);
    return 1;
  }
  luaL_argcheck(L, !s->layer, 1, "the socket has TLS already");
  if (s->fd < 0) return tls_refuse(L, "closed");
  if (tls_attach(s, c, &t) < 0) return tls_fail(L, "cannot start TLS");
  if (!c->server && !set_client(t, servername, host, key)) {
    tls_seam->strip(s, 0);
    return tls_fail(L, "cannot start TLS");
  }
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg functions[] = {
    {"wrap", l_wrap}, {"info", tls_l_info}, {NULL, NULL}};

static const struct lg_seam *find_seam(lua_State *L) {
  const struct lg_seam *seam = NULL;
  if (lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.core") != LUA_TNIL &&
      lua_getfield(L, -1, "seam") == LUA_TLIGHTUSERDATA)
    seam = lua_touserdata(L, -1);
  if (!seam) luaL_error(L, "green.openssl: require 'green' first");
  if (seam->version != LG_SEAM ||
      seam->socket_size != sizeof(struct lg_socket))
    luaL_error(L, "green.openssl is of another version than green.core");
  return seam;
}

int luaopen_green_openssl(lua_State *L) {
  lg_check_lua(L);
  tls_seam = find_seam(L);
  lua_newtable(L);
  luaL_setfuncs(L, functions, 0);
  tls_open_context(L, tls_settings);
  tls_open_info(L);
  lua_pushstring(L, OpenSSL_version(OPENSSL_VERSION));
  lua_setfield(L, -2, "library");
  return 1;
}
