/* layer.c - a TLS connection: the functions of struct lg_layer.
 *
 * OpenSSL's object is touched here only, and never in the middle of something:
 * no function of these waits, and bio.c takes all that is to be sent. So a
 * thread may read while another one writes. An end without the peer's word is
 * an error, "truncated": somebody may have cut the stream.
 *
 *   open      the handshake is over, and what it had to send has been sent
 *   failed    nothing can be read or written any more
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls/tls.h"

enum { RECORD = SSL3_RT_MAX_PLAIN_LENGTH };
/* Records in one write, before the descriptor is looked at again. */
enum { MOST_AT_ONCE = 16 * RECORD };

/* --- errors --- */

static int broken(struct tls *t, const char *why) {
  assert(!t->failed); /* the first reason is the one that is told */
  snprintf(t->why, sizeof t->why, "%s", why);
  ERR_clear_error();
  return -(t->failed = LG_LAYERED);
}

static int not_verified(struct tls *t, long result) {
  const char *why = X509_verify_cert_error_string(result);
  assert(!t->failed);
  if (*t->host)
    snprintf(t->why, sizeof t->why, "certificate verify failed: %s (%s)", why,
             t->host);
  else
    snprintf(t->why, sizeof t->why, "certificate verify failed: %s", why);
  ERR_clear_error();
  return -(t->failed = LG_LAYERED);
}

/* OpenSSL has given up: -errno or -LG_LAYERED. */
static int fatal(struct tls *t) {
  int reason = ERR_GET_REASON(ERR_peek_error());
  long verified = SSL_get_verify_result(t->ssl);
  if (t->error) {
    ERR_clear_error();
    return -(t->failed = t->error);
  }
  if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING || (!reason && t->ended))
    return broken(t, t->open ? "truncated" : "closed during the handshake");
  if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK)
    return not_verified(t, verified);
  return broken(t, tls_reason());
}

/* The meaning of a call of OpenSSL's that has moved nothing: 0 is the end. */
static int outcome(struct tls *t, int result) {
  switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ: return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: return fatal(t);
  }
}

static const char *why(const struct lg_socket *s) {
  const struct tls *t = s->layered;
  return t->why;
}

/* --- opening --- */

/* 0, -EAGAIN: s->wants says for what; or it failed. */
static int advance(struct lg_socket *s, struct tls *t) {
  int r = 0, flushed;
  if (!t->open) {
    int result;
    ERR_clear_error();
    result = SSL_do_handshake(t->ssl);
    t->open = result == 1;
    if (!t->open) {
      r = outcome(t, result);
      if (r == 0) return broken(t, "closed during the handshake");
      if (r != -EAGAIN) return r;
    }
  }
  s->wants = GREEN_READABLE;
  if ((flushed = tls_flush(t)) == 0) return r;
  s->wants = GREEN_WRITABLE;
  return flushed == -EAGAIN ? flushed : -(t->failed = -flushed);
}

static int open_layer(struct lg_socket *s) {
  struct tls *t = s->layered;
  int r;
  if (t->failed) return -t->failed;
  s->drained = 0;
  r = advance(s, t);
  if (r == -EAGAIN && s->opening && tls_seam->now() >= s->opening_end)
    return broken(t, "handshake timed out");
  return r;
}

/* --- reading and writing --- */

static ssize_t read_layer(struct lg_socket *s, char *to, size_t n) {
  struct tls *t = s->layered;
  size_t total = 0, got;
  int r = 0;
  if (unlikely(t->failed)) return -t->failed;
  if (unlikely(t->read_shut)) return 0;
  if (s->drained && lg_read_may_wait(s) && !SSL_has_pending(t->ssl) &&
      !(SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN))
    return -EAGAIN;
  ERR_clear_error();
  while (total < n) {
    int result = SSL_read_ex(t->ssl, to + total, n - total, &got);
    if (unlikely(result <= 0)) {
      r = outcome(t, result);
      break;
    }
    total += got;
    if (s->drained && !SSL_has_pending(t->ssl)) break;
  }
  if (unlikely(tls_held(t))) tls_flush(t); /* an answer of the protocol's */
  return total ? (ssize_t)total : r;
}

static ssize_t write_records(struct tls *t, const char *data, size_t n) {
  size_t done = 0, took;
  assert(t->open && !t->failed && !t->write_failed);
  if (n > MOST_AT_ONCE) n = MOST_AT_ONCE;
  ERR_clear_error();
  while (done < n && !tls_held(t)) {
    size_t piece = n - done < RECORD ? n - done : RECORD;
    if (unlikely(SSL_write_ex(t->ssl, data + done, piece, &took) <= 0)) {
      int error = t->error;
      if (!error) return fatal(t);
      ERR_clear_error();
      t->error = 0; /* bytes that the peer has sent can still be read */
      return -(t->write_failed = error);
    }
    done += took;
  }
  return (ssize_t)done;
}

static ssize_t write_layer(struct lg_socket *s, const char *data, size_t n) {
  struct tls *t = s->layered;
  int r;
  if (unlikely(t->failed)) return -t->failed;
  if (unlikely(t->write_failed)) return -t->write_failed;
  if (unlikely((r = tls_flush(t)) < 0)) {
    if (r != -EAGAIN) t->write_failed = -r;
    return r;
  }
  if (unlikely(!n)) return 0;
  if (SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN) return -EPIPE;
  return write_records(t, data, n);
}

static size_t held(const struct lg_socket *s) {
  const struct tls *t = s->layered;
  return t->failed || t->write_failed ? 0 : tls_held(t);
}

/* Pending bytes may be a part of a record only, or an answer of the
 * protocol's. */
static int readable(struct lg_socket *s) {
  struct tls *t = s->layered;
  uint8_t drained = s->drained;
  char byte;
  int result;
  if (t->failed || SSL_pending(t->ssl) > 0) return 1;
  if (!SSL_has_pending(t->ssl)) return 0;
  ERR_clear_error();
  result = SSL_peek(t->ssl, &byte, 1);
  if (result <= 0 && outcome(t, result) == -EAGAIN) {
    s->drained = drained;
    return 0;
  }
  return 1;
}

/* --- the end --- */

/* The peer is told once. */
static void notify(struct tls *t) {
  if (!t->open || t->failed || t->write_failed) return;
  if (SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN) return;
  ERR_clear_error();
  SSL_shutdown(t->ssl);
  ERR_clear_error();
}

static int shut(struct lg_socket *s, int how) {
  struct tls *t = s->layered;
  int r;
  if (how != SHUT_WR) t->read_shut = 1;
  if (how == SHUT_RD) return 0;
  if (t->failed) return -t->failed;
  notify(t);
  r = tls_flush(t);
  if (r == 0 && how == SHUT_RDWR) shutdown(s->fd, SHUT_RDWR);
  return r;
}

static void free_tls(struct tls *t) {
  SSL_free(t->ssl); /* and the BIO */
  free(t->early);
  free(t->out);
  free(t->key);
  free(t);
}

static void close_layer(struct lg_socket *s, int polite) {
  struct tls *t = s->layered;
  assert(t->socket == s);
  s->layered = NULL;
  if (polite && tls_flush(t) == 0) notify(t);
  tls_seam->when_room(s, NULL);
  free_tls(t);
}

const struct lg_layer tls_connection = {
    .open = open_layer,
    .read = read_layer,
    .write = write_layer,
    .readable = readable,
    .held = held,
    .shut = shut,
    .why = why,
    .close = close_layer,
};

/* --- putting it on --- */

/* The bytes that a peer sent before there was a layer are the beginning of its
 * handshake, and nothing else: any bytes that somebody put in front of it make
 * it fail. */
static int take_buffered(struct tls *t, struct lg_socket *s) {
  size_t n = lg_buffered(s);
  if (n == 0) return 0;
  t->early = malloc(n);
  if (!t->early) return -ENOMEM;
  memcpy(t->early, s->buffer + s->at, n);
  t->early_end = n;
  return 0;
}

static SSL *new_ssl(struct tls *t, const struct tls_context *c) {
  SSL *ssl = SSL_new(c->ctx);
  BIO *bio = ssl ? tls_bio(t) : NULL;
  if (!bio) {
    SSL_free(ssl);
    return NULL;
  }
  SSL_set_bio(ssl, bio, bio);
  SSL_set_app_data(ssl, t);
  if (c->server) tls_set_identity(ssl, "");
  if (c->server)
    SSL_set_accept_state(ssl);
  else
    SSL_set_connect_state(ssl);
  return ssl;
}

int tls_attach(struct lg_socket *s, const struct tls_context *c,
               struct tls **out) {
  struct tls *t = calloc(1, sizeof *t);
  if (!t) return -ENOMEM;
  t->socket = s;
  t->extra = tls_extra(c->ctx);
  t->ssl = new_ssl(t, c);
  ERR_clear_error();
  /* Bytes that arrived before are records: OpenSSL reads them first. */
  if (!t->ssl || take_buffered(t, s) < 0) {
    free_tls(t);
    return -ENOMEM;
  }
  if (lg_buffered(s)) tls_seam->drop_buffered(s);
  assert(!s->layered && !lg_buffered(s));
  s->layer = &tls_connection;
  s->layered = t;
  s->opening = 1;
  s->drained = 0;
  s->opening_end = c->limit ? tls_seam->now() + c->limit : GREEN_FOREVER;
  if (out) *out = t;
  return 0;
}

/* --- listeners --- */

static int accepted(struct lg_socket *s, struct lg_socket *connection) {
  return tls_attach(connection, s->layered, NULL);
}

static void close_listener(struct lg_socket *s, int polite) {
  (void)polite;
  tls_context_release(s->layered);
  s->layered = NULL;
}

const struct lg_layer tls_listener = {.accepted = accepted,
                                      .close = close_listener};

void tls_listen(struct lg_socket *s, struct tls_context *c) {
  c->count++;
  tls_seam->strip(s, 0);
  assert(!s->layered);
  s->layer = &tls_listener;
  s->layered = c;
}
