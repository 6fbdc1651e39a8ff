/* sessions.c - a client's sessions, so that the next connection to the same
 * server is cheaper.
 *
 * A context keeps the latest of each server, by the connection's key. A session
 * that is offered leaves: the server sends a new one, and a ticket that is used
 * once does not tell connections apart.
 *
 * Runs inside of OpenSSL.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "tls/tls.h"

static void clear(struct tls_session *s) {
  SSL_SESSION_free(s->session);
  free(s->key);
  memset(s, 0, sizeof *s);
}

static struct tls_session *find(struct tls_extra *e, const char *key) {
  int i;
  for (i = 0; i < TLS_SESSIONS; i++)
    if (e->sessions[i].key && strcmp(e->sessions[i].key, key) == 0)
      return &e->sessions[i];
  return NULL;
}

static struct tls_session *next(struct tls_extra *e) {
  return &e->sessions[e->next_session++ % TLS_SESSIONS];
}

/* 1: the session is ours now. */
static int keep(SSL *ssl, SSL_SESSION *session) {
  struct tls *t = SSL_get_app_data(ssl);
  struct tls_session *s;
  char *key = t->key ? strdup(t->key) : NULL;
  if (!key) return 0;
  s = find(t->extra, key);
  if (!s) s = next(t->extra);
  clear(s);
  s->key = key;
  s->session = session;
  return 1;
}

void tls_keep_sessions(SSL_CTX *ctx) {
  SSL_CTX_set_session_cache_mode(
      ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ctx, keep);
}

void tls_resume(struct tls *t) {
  struct tls_session *s = t->key ? find(t->extra, t->key) : NULL;
  if (!s) return;
  if (SSL_SESSION_is_resumable(s->session))
    SSL_set_session(t->ssl, s->session);
  clear(s);
}

void tls_forget_sessions(struct tls_extra *e) {
  int i;
  for (i = 0; i < TLS_SESSIONS; i++) clear(&e->sessions[i]);
}
