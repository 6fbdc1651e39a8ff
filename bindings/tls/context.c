/* context.c - what connections share.
 *
 * A context is an SSL_CTX and a count. It may be given another SSL_CTX, made
 * anew from files that have changed: connections keep theirs. The data of
 * OpenSSL's callbacks lie in a struct tls_extra that the SSL_CTX owns, so they
 * live as long as the last connection.
 *
 * Nothing here waits; callbacks run inside of OpenSSL, and call no Lua.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "tls/tls.h"

static const char CLASS[] = "green.tls_context";

/* --- what an SSL_CTX owns --- */

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static int extra_index = -1;

static void free_extra(void *parent, void *p, CRYPTO_EX_DATA *data, int index,
                       long n, void *arg) {
  struct tls_extra *e = p;
  size_t i;
  (void)parent, (void)data, (void)index, (void)n, (void)arg;
  if (!e) return;
  for (i = 0; i < e->name_count; i++) {
    free(e->names[i].name);
    tls_context_release(e->names[i].context);
  }
  tls_forget_sessions(e);
  free(e->names);
  free(e->alpn);
  free(e);
}

static void make_index(void) {
  extra_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_extra);
}

struct tls_extra *tls_extra(const SSL_CTX *ctx) {
  return SSL_CTX_get_ex_data(ctx, extra_index);
}

/* --- callbacks of a server --- */

/* The first of ours that the client has, too; else the connection is refused:
 * it would speak another protocol than its peer expects. */
static int choose_alpn(SSL *ssl, const unsigned char **out,
                       unsigned char *size, const unsigned char *theirs,
                       unsigned int their_size, void *arg) {
  const struct tls_extra *e = arg;
  unsigned char *chosen;
  (void)ssl;
  if (!e->alpn) return SSL_TLSEXT_ERR_NOACK;
  if (SSL_select_next_proto(&chosen, size, e->alpn, (unsigned int)e->alpn_size,
                            theirs, their_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

/* --- making one --- */

static void set_server(SSL_CTX *ctx, struct tls_extra *e) {
  SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, e);
  tls_choose_by_name(ctx);
  SSL_CTX_set_dh_auto(ctx, 1);
  /* A client makes few connections at once: Go and others send one, too. */
  SSL_CTX_set_num_tickets(ctx, 1);
}

SSL_CTX *tls_new_ctx(int server) {
  SSL_CTX *ctx =
      SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
  struct tls_extra *e = ctx ? calloc(1, sizeof *e) : NULL;
  CRYPTO_THREAD_run_once(&once, make_index);
  if (!e || extra_index < 0 || !SSL_CTX_set_ex_data(ctx, extra_index, e)) {
    free(e);
    SSL_CTX_free(ctx);
    return NULL;
  }
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(ctx, 1);
  SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
  if (server)
    set_server(ctx, e);
  else
    tls_keep_sessions(ctx);
  return ctx;
}

/* --- the object --- */

void tls_context_release(struct tls_context *c) {
  assert(!c || c->count > 0);
  if (!c || --c->count) return;
  SSL_CTX_free(c->ctx);
  free(c->groups);
  free(c);
}

/* A hold of it, for an object. */
struct hold {
  struct lg_owned owned;
  struct tls_context *context; /* or NULL */
};

static void release(struct lg_owned *o) {
  tls_context_release(((struct hold *)o)->context);
}

struct tls_context *tls_to_context(lua_State *L, int index) {
  struct hold **box = luaL_checkudata(L, index, CLASS);
  struct tls_context *c = *box ? (*box)->context : NULL;
  luaL_argcheck(L, c && c->ctx, index, "the context is gone");
  return c;
}

/* context("server" | "client"): without certificates, and trusting nobody. */
static int l_context(lua_State *L) {
  static const char *const modes[] = {"client", "server", NULL};
  int server = luaL_checkoption(L, 1, NULL, modes);
  struct hold **box = lua_newuserdatauv(L, sizeof *box, 0);
  struct tls_context *c;
  *box = NULL;
  luaL_setmetatable(L, CLASS);
  *box = tls_seam->own(L, sizeof **box, release);
  c = calloc(1, sizeof *c);
  if (c) c->ctx = tls_new_ctx(server);
  if (!c || !c->ctx) {
    free(c);
    return tls_fail(L, "cannot make a TLS context");
  }
  c->count = 1;
  c->server = server;
  (*box)->context = c;
  return 1;
}

static int l_gc(lua_State *L) {
  struct hold **box = luaL_checkudata(L, 1, CLASS);
  if (*box) tls_seam->disown(&(*box)->owned);
  *box = NULL;
  return 0;
}

/* Tickets that were given before stay good: their keys go over. */
static void keep_ticket_keys(SSL_CTX *from, SSL_CTX *to) {
  unsigned char keys[256];
  long size = SSL_CTX_get_tlsext_ticket_keys(from, NULL, 0);
  if (size > 0 && size <= (long)sizeof keys &&
      SSL_CTX_get_tlsext_ticket_keys(from, keys, size) == 1)
    SSL_CTX_set_tlsext_ticket_keys(to, keys, size);
  OPENSSL_cleanse(keys, sizeof keys);
  ERR_clear_error();
}

/* swap(context, other): takes over what the other is, which is good for nothing
 * afterwards. Connections go on as they were. */
static int l_swap(lua_State *L) {
  struct tls_context *c = tls_to_context(L, 1), *other = tls_to_context(L, 2);
  luaL_argcheck(L, c->server == other->server, 2, "another mode");
  if (c == other) return 0;
  if (c->server) keep_ticket_keys(c->ctx, other->ctx);
  SSL_CTX_free(c->ctx);
  free(c->groups);
  c->ctx = other->ctx;
  c->groups = other->groups;
  c->limit = other->limit;
  c->checks = other->checks;
  other->ctx = NULL;
  other->groups = NULL;
  return 0;
}

static int l_is_server(lua_State *L) {
  lua_pushboolean(L, tls_to_context(L, 1)->server);
  return 1;
}

static int l_checks(lua_State *L) {
  lua_pushboolean(L, tls_to_context(L, 1)->checks);
  return 1;
}

static const luaL_Reg methods[] = {{"swap", l_swap},
                                   {"is_server", l_is_server},
                                   {"checks", l_checks},
                                   {NULL, NULL}};

void tls_open_context(lua_State *L, const luaL_Reg *settings) {
  luaL_newmetatable(L, CLASS);
  lua_pushcfunction(L, l_gc);
  lua_setfield(L, -2, "__gc");
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  luaL_setfuncs(L, settings, 0);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, l_context);
  lua_setfield(L, -2, "context");
}
