/* names.c - the context that a client has asked for, of a server that has
 * several.
 *
 * It is chosen before all else, so that everything that follows goes by its
 * parameters: the version, the certificate, whether the client has to show one
 * of its own, and the sessions that may be resumed. A session of one name is
 * good for that name alone, and only while it demands the same of clients; one
 * that was made without a client's certificate would open a door that needs it.
 *
 * Runs inside of OpenSSL; calls no Lua.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "tls/tls.h"

/* --- the name --- */

/* Takes a number of two bytes and that many bytes, which must be all. */
static int take_all(const unsigned char **p, size_t *n) {
  size_t size;
  if (*n < 2) return 0;
  size = (size_t)(*p)[0] << 8 | (*p)[1];
  if (size != *n - 2) return 0;
  *p += 2;
  *n = size;
  return 1;
}

/* What OpenSSL itself is going to read as the name: 0 if there is none. A
 * hello with another form fails later. */
static int asked_name(SSL *ssl, char *to, size_t room) {
  const unsigned char *p;
  size_t n;
  if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n))
    return 0;
  if (!take_all(&p, &n) || n < 1 || *p != TLSEXT_NAMETYPE_host_name) return 0;
  p++;
  n--;
  if (!take_all(&p, &n) || !n || n >= room || memchr(p, 0, n)) return 0;
  memcpy(to, p, n);
  to[n] = '\0';
  return 1;
}

/* "*.a.example" stands for one label more. */
static int matches(const char *pattern, const char *name) {
  if (pattern[0] == '*' && pattern[1] == '.') {
    name = strchr(name, '.');
    return name && strcasecmp(pattern + 1, name) == 0;
  }
  return strcasecmp(pattern, name) == 0;
}

static const struct tls_name *find(const struct tls_extra *e,
                                   const char *name) {
  size_t i;
  for (i = 0; i < e->name_count; i++)
    if (strcasecmp(e->names[i].name, name) == 0) return &e->names[i];
  for (i = 0; i < e->name_count; i++)
    if (matches(e->names[i].name, name)) return &e->names[i];
  return NULL;
}

/* --- the context --- */

int tls_set_identity(SSL *ssl, const char *name) {
  unsigned char id[SSL_MAX_SID_CTX_LENGTH + 1];
  unsigned int size = 0;
  if (!EVP_Digest(name, strlen(name), id, &size, EVP_sha256(), NULL)) return 0;
  assert(size == SSL_MAX_SID_CTX_LENGTH);
  id[size - 1] = (unsigned char)SSL_get_verify_mode(ssl);
  return SSL_set_session_id_context(ssl, id, size);
}

/* All that a connection has copied from its context when it was made. */
static int use(SSL *ssl, const struct tls_context *c, const char *name) {
  SSL_CTX *ctx = c->ctx;
  uint64_t options = SSL_CTX_get_options(ctx);
  if (!SSL_set_SSL_CTX(ssl, ctx)) return 0;
  SSL_clear_options(ssl, SSL_get_options(ssl) & ~options);
  SSL_set_options(ssl, options);
  SSL_set_num_tickets(ssl, SSL_CTX_get_num_tickets(ctx));
  SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx), NULL);
  SSL_set_client_CA_list(ssl,
                         SSL_dup_CA_list(SSL_CTX_get_client_CA_list(ctx)));
  return SSL_set1_param(ssl, SSL_CTX_get0_param(ctx)) &&
         SSL_set_min_proto_version(ssl, SSL_CTX_get_min_proto_version(ctx)) &&
         SSL_set_max_proto_version(ssl, SSL_CTX_get_max_proto_version(ctx)) &&
         (!c->groups || SSL_set1_groups_list(ssl, c->groups)) &&
         tls_set_identity(ssl, name);
}

static int choose(SSL *ssl, int *alert, void *arg) {
  struct tls *t = SSL_get_app_data(ssl);
  const struct tls_name *name = NULL;
  char asked[TLSEXT_MAXLEN_host_name + 1];
  (void)arg; /* of the context that was chosen before, in a second hello */
  if (asked_name(ssl, asked, sizeof asked)) name = find(t->extra, asked);
  if (name && name->context->ctx) {
    *alert = SSL_AD_INTERNAL_ERROR;
    return use(ssl, name->context, name->name) ? SSL_CLIENT_HELLO_SUCCESS
                                               : SSL_CLIENT_HELLO_ERROR;
  }
  *alert = SSL_AD_UNRECOGNIZED_NAME;
  return t->extra->strict ? SSL_CLIENT_HELLO_ERROR : SSL_CLIENT_HELLO_SUCCESS;
}

/* The client is told that its name was understood. */
static int accept_name(SSL *ssl, int *alert, void *arg) {
  (void)ssl, (void)alert, (void)arg;
  return SSL_TLSEXT_ERR_OK;
}

void tls_choose_by_name(SSL_CTX *ctx) {
  SSL_CTX_set_client_hello_cb(ctx, choose, NULL);
  SSL_CTX_set_tlsext_servername_callback(ctx, accept_name);
}
