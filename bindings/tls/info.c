/* info.c - what a program may ask a connection.
 *
 * It first writes all of it into memory of OpenSSL's, as names and values with
 * zero bytes between them, and makes one string of that: a step that makes a
 * value of Lua's may run finalizers, which may close the connection. It leaves
 * out a value that holds a zero byte itself.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tls/tls.h"

static const char BOX[] = "green.tls_text";

static void put(BIO *b, const char *name, const char *value, size_t size) {
  if (memchr(value, 0, size)) return;
  BIO_write(b, name, (int)strlen(name) + 1);
  BIO_write(b, value, (int)size);
  BIO_write(b, "", 1);
}

static void put_text(BIO *b, const char *name, const char *value) {
  if (value) put(b, name, value, strlen(value));
}

/* Pushes the text that was printed into a BIO, and frees that. */
static void put_printed(BIO *b, const char *name, BIO *printed) {
  char *data = NULL;
  long size = printed ? BIO_get_mem_data(printed, &data) : 0;
  if (size > 0) put(b, name, data, (size_t)size);
  BIO_free(printed);
}

static void put_number(BIO *b, const char *name, long long n) {
  char text[32];
  snprintf(text, sizeof text, "%lld", n);
  put_text(b, name, text);
}

/* --- a certificate --- */

static void put_name(BIO *b, const char *name, const X509_NAME *x) {
  BIO *out = BIO_new(BIO_s_mem());
  if (out)
    X509_NAME_print_ex(out, x, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  put_printed(b, name, out);
}

static void put_time(BIO *b, const char *name, const ASN1_TIME *at) {
  struct tm tm;
  if (ASN1_TIME_to_tm(at, &tm)) put_number(b, name, (long long)timegm(&tm));
}

static void put_hex(BIO *b, const char *name, const unsigned char *data,
                    size_t size) {
  char text[2 * EVP_MAX_MD_SIZE + 1];
  size_t i;
  for (i = 0; i < size && i < EVP_MAX_MD_SIZE; i++)
    snprintf(text + 2 * i, 3, "%02x", data[i]);
  put(b, name, text, 2 * i);
}

static void put_address(BIO *b, const ASN1_OCTET_STRING *ip) {
  char text[INET6_ADDRSTRLEN];
  int family = ASN1_STRING_length(ip) == 4 ? AF_INET : AF_INET6;
  if (ASN1_STRING_length(ip) != (family == AF_INET ? 4 : 16)) return;
  if (inet_ntop(family, ASN1_STRING_get0_data(ip), text, sizeof text))
    put_text(b, "name", text);
}

static void put_alternative(BIO *b, const GENERAL_NAME *g) {
  int type;
  const ASN1_STRING *s = GENERAL_NAME_get0_value(g, &type);
  if (type == GEN_IPADD)
    put_address(b, s);
  else if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI)
    put(b, "name", (const char *)ASN1_STRING_get0_data(s),
        (size_t)ASN1_STRING_length(s));
}

static void put_alternatives(BIO *b, const X509 *x) {
  GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
  int i;
  for (i = 0; i < sk_GENERAL_NAME_num(names); i++)
    put_alternative(b, sk_GENERAL_NAME_value(names, i));
  GENERAL_NAMES_free(names);
}

static void put_serial(BIO *b, const X509 *x) {
  BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
  char *hex = n ? BN_bn2hex(n) : NULL;
  put_text(b, "serial", hex);
  OPENSSL_free(hex);
  BN_free(n);
}

/* Each begins with its subject. */
static void put_certificate(BIO *b, X509 *x) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size;
  BIO *pem = BIO_new(BIO_s_mem());
  put_text(b, "certificate", "");
  put_name(b, "subject", X509_get_subject_name(x));
  put_name(b, "issuer", X509_get_issuer_name(x));
  put_serial(b, x);
  put_time(b, "not_before", X509_get0_notBefore(x));
  put_time(b, "not_after", X509_get0_notAfter(x));
  if (X509_digest(x, EVP_sha256(), digest, &size))
    put_hex(b, "fingerprint", digest, size);
  put_alternatives(b, x);
  if (pem) PEM_write_bio_X509(pem, x);
  put_printed(b, "pem", pem);
}

/* On a server, OpenSSL's chain lacks the client's own certificate. */
static void put_peer(BIO *b, const SSL *ssl) {
  X509 *own = SSL_get0_peer_certificate(ssl);
  STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
  int i;
  if (own) put_certificate(b, own);
  for (i = SSL_is_server(ssl) ? 0 : 1; i < sk_X509_num(chain); i++)
    put_certificate(b, sk_X509_value(chain, i));
}

/* --- the connection --- */

static void put_alpn(BIO *b, const SSL *ssl) {
  const unsigned char *name;
  unsigned int size;
  SSL_get0_alpn_selected(ssl, &name, &size);
  if (size) put(b, "alpn", (const char *)name, size);
}

static void put_verified(BIO *b, const SSL *ssl) {
  long result = SSL_get_verify_result(ssl);
  if (!SSL_get0_peer_certificate(ssl)) return;
  if (result == X509_V_OK)
    put_text(b, "trusted", "true");
  else
    put_text(b, "distrust", X509_verify_cert_error_string(result));
}

static void gather(BIO *b, struct tls *t) {
  SSL *ssl = t->ssl;
  put_text(b, "version", SSL_get_version(ssl));
  put_text(b, "cipher", SSL_get_cipher_name(ssl));
  put_number(b, "bits", SSL_get_cipher_bits(ssl, NULL));
  put_alpn(b, ssl);
  put_text(b, "servername",
           SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
  put_text(b, "resumed", SSL_session_reused(ssl) ? "true" : "");
  put_text(b, "mode", SSL_is_server(ssl) ? "server" : "client");
  put_verified(b, ssl);
  put_peer(b, ssl);
  ERR_clear_error();
}

static int free_box(lua_State *L) {
  BIO **box = luaL_checkudata(L, 1, BOX);
  BIO_free(*box);
  *box = NULL;
  return 0;
}

/* info(sock): the text; nil: no TLS, or not open yet. */
int tls_l_info(lua_State *L) {
  struct lg_socket *s = tls_seam->socket(L, 1, LG_ANY_ROLE);
  BIO **box = lua_newuserdatauv(L, sizeof *box, 0);
  struct tls *t;
  char *data;
  long size;
  *box = NULL;
  luaL_setmetatable(L, BOX);
  t = tls_of(s);
  if (!t || !t->open) return 0;
  if (!(*box = BIO_new(BIO_s_mem())))
    return luaL_error(L, "not enough memory");
  gather(*box, t);
  size = BIO_get_mem_data(*box, &data);
  lua_pushlstring(L, data, size > 0 ? (size_t)size : 0);
  BIO_free(*box);
  *box = NULL;
  return 1;
}

void tls_open_info(lua_State *L) {
  luaL_newmetatable(L, BOX);
  lua_pushcfunction(L, free_box);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}
