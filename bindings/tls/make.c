/* make.c - a context is made: one setting after the other.
 *
 * Each is a method that returns true, or nil and why not; green.tls calls those
 * that a program's parameters ask for, on a context that nobody uses yet.
 * OpenSSL would ask a terminal for a password: where none is given, that is an
 * error. Passwords do not stay behind.
 *
 * Nothing here waits but for the disk.
 *
 * SPDX-License-Identifier: MIT
 */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "tls/tls.h"

static int done(lua_State *L) {
  ERR_clear_error();
  lua_pushboolean(L, 1);
  return 1;
}

static int is_pem(const char *source) {
  return strstr(source, "-----BEGIN") != NULL;
}

/* nil, "error loading X 'file' (why)"; a text is not repeated. */
static int not_loaded(lua_State *L, const char *what, const char *file) {
  const char *text =
      is_pem(file) ? lua_pushfstring(L, "error loading %s", what)
                   : lua_pushfstring(L, "error loading %s '%s'", what, file);
  return tls_fail(L, text);
}

static int set_or_fail(lua_State *L, int ok, const char *what) {
  return ok == 1 ? done(L) : tls_fail(L, what);
}

/* --- PEM, from a file or as it is --- */

/* May raise. */
static void check_source(lua_State *L, const char *source, const char *what) {
  if (!is_pem(source)) tls_seam->refuse_file(L, what);
}

static BIO *open_pem(const char *source, size_t size) {
  ERR_clear_error();
  if (is_pem(source)) return BIO_new_mem_buf(source, (int)size);
  return BIO_new_file(source, "r");
}

/* 1: the file has no more of them. OpenSSL says so by an error, which is
 * cleared. */
static int at_end(int count) {
  unsigned long e = ERR_peek_last_error();
  if (!count || ERR_GET_LIB(e) != ERR_LIB_PEM ||
      ERR_GET_REASON(e) != PEM_R_NO_START_LINE)
    return 0;
  ERR_clear_error();
  return 1;
}

struct password {
  const char *text;
  size_t size;
};

static int give_password(char *to, int room, int rwflag, void *arg) {
  const struct password *p = arg;
  (void)rwflag;
  if (!p->text || p->size > (size_t)room) return -1;
  memcpy(to, p->text, p->size);
  return (int)p->size;
}

/* The first certificate is ours, the others are those above it. */
static int use_chain(SSL_CTX *ctx, BIO *in, struct password *p) {
  X509 *x = PEM_read_bio_X509_AUX(in, NULL, give_password, p);
  int ok = x && SSL_CTX_use_certificate(ctx, x) == 1;
  X509_free(x);
  if (!ok || !SSL_CTX_clear_chain_certs(ctx)) return 0;
  while ((x = PEM_read_bio_X509(in, NULL, give_password, p))) {
    if (SSL_CTX_add0_chain_cert(ctx, x)) continue;
    X509_free(x);
    return 0;
  }
  return at_end(1);
}

static int use_key(SSL_CTX *ctx, BIO *in, struct password *p) {
  EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, give_password, p);
  int ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 &&
           SSL_CTX_check_private_key(ctx) == 1; /* of another type: no error */
  EVP_PKEY_free(key);
  return ok;
}

static int load(SSL_CTX *ctx, const char *source, size_t size,
                struct password *p,
                int use(SSL_CTX *ctx, BIO *in, struct password *p)) {
  BIO *in = open_pem(source, size);
  int ok = in && use(ctx, in, p);
  BIO_free(in);
  return ok;
}

/* Other parts of OpenSSL have other reasons of the same number. */
static int is_mismatch(unsigned long error) {
  int lib = ERR_GET_LIB(error), reason = ERR_GET_REASON(error);
  if (lib == ERR_LIB_SSL) return reason == SSL_R_NO_CERTIFICATE_ASSIGNED;
  return lib == ERR_LIB_X509 && (reason == X509_R_KEY_VALUES_MISMATCH ||
                                 reason == X509_R_KEY_TYPE_MISMATCH);
}

/* context:certificate(certificate, key [, password]) */
static int l_certificate(lua_State *L) {
  SSL_CTX *ctx = tls_to_context(L, 1)->ctx;
  struct password p = {NULL, 0}, none = {NULL, 0};
  size_t size, key_size;
  const char *chain = luaL_checklstring(L, 2, &size);
  const char *key = luaL_checklstring(L, 3, &key_size);
  p.text = luaL_optlstring(L, 4, NULL, &p.size);
  check_source(L, chain, "TLS parameter 'certificate'");
  check_source(L, key, "TLS parameter 'key'");
  if (!load(ctx, chain, size, &none, use_chain))
    return not_loaded(L, "certificate", chain);
  if (load(ctx, key, key_size, &p, use_key)) return done(L);
  if (is_mismatch(ERR_peek_last_error()))
    return tls_refuse(L, "private key does not match the certificate");
  return not_loaded(L, "private key", key);
}

/* --- trust --- */

static int trust_all(SSL_CTX *ctx, BIO *in, struct password *none) {
  X509_STORE *store = SSL_CTX_get_cert_store(ctx);
  X509 *x;
  int count = 0;
  while ((x = PEM_read_bio_X509_AUX(in, NULL, give_password, none))) {
    int ok = X509_STORE_add_cert(store, x) && SSL_CTX_add_client_CA(ctx, x);
    X509_free(x);
    if (!ok) return 0;
    count++;
  }
  return at_end(count);
}

/* context:cafile(file or text): a server tells clients these names. */
static int l_cafile(lua_State *L) {
  SSL_CTX *ctx = tls_to_context(L, 1)->ctx;
  struct password none = {NULL, 0};
  size_t size;
  const char *source = luaL_checklstring(L, 2, &size);
  check_source(L, source, "TLS parameter 'cafile'");
  if (load(ctx, source, size, &none, trust_all)) return done(L);
  return not_loaded(L, "CA certificates", source);
}

static int l_capath(lua_State *L) {
  SSL_CTX *ctx = tls_to_context(L, 1)->ctx;
  const char *path = luaL_checkstring(L, 2);
  tls_seam->refuse_file(L, "TLS parameter 'capath'");
  ERR_clear_error();
  if (SSL_CTX_load_verify_dir(ctx, path) == 1) return done(L);
  return not_loaded(L, "CA folder", path);
}

/* context:trust_system([other]): the system's; as the other one has it, which
 * costs nothing. */
static int l_trust_system(lua_State *L) {
  SSL_CTX *ctx = tls_to_context(L, 1)->ctx;
  ERR_clear_error();
  if (!lua_isnoneornil(L, 2)) {
    SSL_CTX *other = tls_to_context(L, 2)->ctx;
    SSL_CTX_set1_cert_store(ctx, SSL_CTX_get_cert_store(other));
    return done(L);
  }
  return set_or_fail(L, SSL_CTX_set_default_verify_paths(ctx),
                     "error loading the system's CA certificates");
}

/* context:verify(peer, required, once) */
static int l_verify(lua_State *L) {
  struct tls_context *c = tls_to_context(L, 1);
  int mode = SSL_VERIFY_NONE;
  if (lua_toboolean(L, 2)) mode = SSL_VERIFY_PEER;
  if (lua_toboolean(L, 3)) mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  if (lua_toboolean(L, 4)) mode |= SSL_VERIFY_CLIENT_ONCE;
  SSL_CTX_set_verify(c->ctx, mode, NULL);
  c->checks = mode != SSL_VERIFY_NONE;
  return done(L);
}

static int l_depth(lua_State *L) {
  SSL_CTX *ctx = tls_to_context(L, 1)->ctx;
  SSL_CTX_set_verify_depth(ctx, (int)luaL_checkinteger(L, 2));
  return done(L);
}

static int l_verifyext(lua_State *L) {
  static const char *const names[] = {"crl_check", "crl_check_chain", NULL};
  static const unsigned long flags[] = {
      X509_V_FLAG_CRL_CHECK,
      X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL};
  SSL_CTX *ctx = tls_to_context(L, 1)->ctx;
  int i = luaL_checkoption(L, 2, NULL, names);
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), flags[i]);
  return done(L);
}

/* --- the protocol --- */

/* context:protocol(least, most): 0x303 is TLS 1.2; 0: any. */
static int l_protocol(lua_State *L) {
  SSL_CTX *ctx = tls_to_context(L, 1)->ctx;
  int ok = SSL_CTX_set_min_proto_version(ctx, (int)luaL_checkinteger(L, 2)) &&
           SSL_CTX_set_max_proto_version(ctx, (int)luaL_checkinteger(L, 3));
  return set_or_fail(L, ok, "this protocol is not supported");
}

struct option {
  const char *name;
  uint64_t value;
};
static const struct option options[] = {
    {"all", SSL_OP_ALL},
    {"allow_no_dhe_kex", SSL_OP_ALLOW_NO_DHE_KEX},
    {"cipher_server_preference", SSL_OP_CIPHER_SERVER_PREFERENCE},
    {"cookie_exchange", SSL_OP_COOKIE_EXCHANGE},
    {"dont_insert_empty_fragments", SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS},
    {"enable_middlebox_compat", SSL_OP_ENABLE_MIDDLEBOX_COMPAT},
    {"ignore_unexpected_eof", SSL_OP_IGNORE_UNEXPECTED_EOF},
    {"legacy_server_connect", SSL_OP_LEGACY_SERVER_CONNECT},
    {"no_anti_replay", SSL_OP_NO_ANTI_REPLAY},
    {"no_compression", SSL_OP_NO_COMPRESSION},
    {"no_encrypt_then_mac", SSL_OP_NO_ENCRYPT_THEN_MAC},
    {"no_query_mtu", SSL_OP_NO_QUERY_MTU},
    {"no_renegotiation", SSL_OP_NO_RENEGOTIATION},
    {"no_session_resumption_on_renegotiation",
     SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION},
    {"no_sslv2", 0},
    {"no_sslv3", SSL_OP_NO_SSLv3},
    {"no_ticket", SSL_OP_NO_TICKET},
    {"no_tlsv1", SSL_OP_NO_TLSv1},
    {"no_tlsv1_1", SSL_OP_NO_TLSv1_1},
    {"no_tlsv1_2", SSL_OP_NO_TLSv1_2},
    {"no_tlsv1_3", SSL_OP_NO_TLSv1_3},
    {"prioritize_chacha", SSL_OP_PRIORITIZE_CHACHA},
    {"single_dh_use", 0},
    {"single_ecdh_use", 0},
};

static int l_option(lua_State *L) {
  SSL_CTX *ctx = tls_to_context(L, 1)->ctx;
  const char *name = luaL_checkstring(L, 2);
  size_t i;
  for (i = 0; i < sizeof options / sizeof *options; i++) {
    if (strcmp(options[i].name, name)) continue;
    SSL_CTX_set_options(ctx, options[i].value);
    if (strcmp(name, "no_ticket") == 0) SSL_CTX_set_num_tickets(ctx, 0);
    return done(L);
  }
  return tls_refuse(L, lua_pushfstring(L, "invalid option (%s)", name));
}

static int l_ciphers(lua_State *L) {
  SSL_CTX *ctx = tls_to_context(L, 1)->ctx;
  int ok = SSL_CTX_set_cipher_list(ctx, luaL_checkstring(L, 2));
  return set_or_fail(L, ok, "error setting cipher list");
}

static int l_ciphersuites(lua_State *L) {
  SSL_CTX *ctx = tls_to_context(L, 1)->ctx;
  int ok = SSL_CTX_set_ciphersuites(ctx, luaL_checkstring(L, 2));
  return set_or_fail(L, ok, "error setting cipher list");
}

static int l_curves(lua_State *L) {
  struct tls_context *c = tls_to_context(L, 1);
  const char *list = luaL_checkstring(L, 2);
  if (!SSL_CTX_set1_groups_list(c->ctx, list))
    return tls_refuse(
        L, lua_pushfstring(L, "unknown elliptic curve in \"%s\"", list));
  free(c->groups);
  c->groups = strdup(list);
  if (!c->groups) return luaL_error(L, "not enough memory");
  return done(L);
}

static int use_dh(SSL_CTX *ctx, BIO *in, struct password *none) {
  EVP_PKEY *dh = PEM_read_bio_Parameters(in, NULL);
  (void)none;
  if (!dh) return 0;
  if (SSL_CTX_set0_tmp_dh_pkey(ctx, dh)) return 1;
  EVP_PKEY_free(dh);
  return 0;
}

static int l_dhparam(lua_State *L) {
  SSL_CTX *ctx = tls_to_context(L, 1)->ctx;
  size_t size;
  const char *source = luaL_checklstring(L, 2, &size);
  check_source(L, source, "TLS parameter 'dhparam'");
  if (load(ctx, source, size, NULL, use_dh)) return done(L);
  return not_loaded(L, "DH parameters", source);
}

/* context:alpn(list): as on the wire, each name after its length. */
static int l_alpn(lua_State *L) {
  struct tls_context *c = tls_to_context(L, 1);
  struct tls_extra *e = tls_extra(c->ctx);
  size_t size;
  const char *list = luaL_checklstring(L, 2, &size);
  unsigned char *copy;
  if (!c->server)
    return set_or_fail(
        L,
        !SSL_CTX_set_alpn_protos(c->ctx, (const unsigned char *)list,
                                 (unsigned int)size),
        "invalid ALPN list");
  copy = malloc(size ? size : 1);
  if (!copy) return tls_fail(L, "invalid ALPN list");
  memcpy(copy, list, size);
  free(e->alpn);
  e->alpn = copy;
  e->alpn_size = size;
  return done(L);
}

/* --- names --- */

static int is_made_of(const struct tls_context *c,
                      const struct tls_context *o) {
  const struct tls_extra *e = c->ctx ? tls_extra(c->ctx) : NULL;
  size_t i;
  if (c == o) return 1;
  for (i = 0; e && i < e->name_count; i++)
    if (is_made_of(e->names[i].context, o)) return 1;
  return 0;
}

/* context:name(name, other): a client that asks for that name gets the other's
 * certificate. No circles: contexts are counted. */
static int l_name(lua_State *L) {
  struct tls_context *c = tls_to_context(L, 1), *other;
  struct tls_extra *e = tls_extra(c->ctx);
  const char *name = luaL_checkstring(L, 2);
  struct tls_name *names;
  char *copy;
  other = tls_to_context(L, 3);
  luaL_argcheck(L, other->server, 3, "a server's context expected");
  luaL_argcheck(L, !is_made_of(other, c), 3, "a context inside of itself");
  names = realloc(e->names, (e->name_count + 1) * sizeof *names);
  if (names) e->names = names;
  copy = names ? strdup(name) : NULL;
  if (!copy) return tls_fail(L, "cannot add a name");
  other->count++;
  e->names[e->name_count].name = copy;
  e->names[e->name_count++].context = other;
  return done(L);
}

static int l_strict(lua_State *L) {
  tls_extra(tls_to_context(L, 1)->ctx)->strict = lua_toboolean(L, 2);
  return done(L);
}

/* context:limit(seconds): of a handshake. */
static int l_limit(lua_State *L) {
  struct tls_context *c = tls_to_context(L, 1);
  double s = luaL_checknumber(L, 2);
  luaL_argcheck(L, s > 0, 2, "positive number expected");
  c->limit = s < 1e9 ? (uint64_t)(s * 1e9) + 1 : 0;
  return done(L);
}

const luaL_Reg tls_settings[] = {{"alpn", l_alpn},
                                 {"cafile", l_cafile},
                                 {"capath", l_capath},
                                 {"certificate", l_certificate},
                                 {"ciphers", l_ciphers},
                                 {"ciphersuites", l_ciphersuites},
                                 {"curves", l_curves},
                                 {"depth", l_depth},
                                 {"dhparam", l_dhparam},
                                 {"limit", l_limit},
                                 {"name", l_name},
                                 {"option", l_option},
                                 {"protocol", l_protocol},
                                 {"strict", l_strict},
                                 {"trust_system", l_trust_system},
                                 {"verify", l_verify},
                                 {"verifyext", l_verifyext},
                                 {NULL, NULL}};
