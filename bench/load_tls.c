/* load_tls.c - the load generator over TLS: as load.c, and handshakes.
 *
 *   load_tls PORT CONNECTIONS BYTES SECONDS [PID]
 *
 * With 0 BYTES each connection ends after its handshake and another begins, and
 * round trips are handshakes. All servers get the same cipher: by themselves,
 * those on OpenSSL take AES of 256 bits and Go's takes 128, which is a third of
 * the work on a record less.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <openssl/ssl.h>
#include <signal.h>

#include "load.h"

struct conn {
  SSL *ssl;
  int fd, open;
  size_t got, put; /* of the message: come back, sent */
  uint64_t sent;   /* when it was sent, or the connection begun, ns */
};

static int opened; /* connections whose first handshake is over */
static SSL_CTX *ctx;
static uint16_t port;

static void load_open(struct conn *c) {
  c->fd = dial(port, SOCK_STREAM);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  c->ssl = SSL_new(ctx);
  SSL_set_fd(c->ssl, c->fd);
  SSL_set_connect_state(c->ssl);
  c->open = 0;
  c->got = c->put = 0;
  c->sent = now();
  watch(c->fd, c);
  SSL_do_handshake(c->ssl);
}

/* OpenSSL's last word: it waits, or the connection is broken. */
static void check(struct conn *c, int r) {
  int e = SSL_get_error(c->ssl, r);
  if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) die("TLS");
}

/* A message of 1 MB at most is asked for in pieces that have room. */
static void ask(struct conn *c, size_t bytes) {
  while (c->put < bytes) {
    size_t n;
    int r = SSL_write_ex(c->ssl, message + c->put, bytes - c->put, &n);
    if (r <= 0) {
      check(c, r);
      return;
    }
    c->put += n;
  }
}

static void again(struct conn *c, size_t bytes) {
  c->got = c->put = 0;
  c->sent = now();
  ask(c, bytes);
}

static void renew(struct conn *c) {
  count(now() - c->sent);
  SSL_free(c->ssl);
  close(c->fd);
  load_open(c);
}

static void load_event(struct conn *c, size_t bytes, uint64_t at) {
  size_t n;
  int r;
  (void)at; /* reading is work, too: later ones look at the clock again */
  if (!c->open) {
    if ((r = SSL_do_handshake(c->ssl)) != 1) {
      check(c, r);
      return;
    }
    c->open = 1;
    opened++;
    if (!bytes) {
      renew(c);
      return;
    }
    again(c, bytes);
  }
  if (c->put < bytes) ask(c, bytes);
  while ((r = SSL_read_ex(c->ssl, sink, sizeof sink, &n)) > 0) {
    c->got += n;
    if (c->got < bytes) continue;
    count(now() - c->sent);
    again(c, bytes);
  }
  check(c, r);
}

int main(int argc, char **argv) {
  struct plan p = read_plan(argc, argv);
  struct conn *conns = calloc((size_t)p.n, sizeof *conns);
  ctx = SSL_CTX_new(TLS_client_method());
  if (!conns || !ctx) die("load_tls");
  signal(SIGPIPE, SIG_IGN);
  SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  port = (uint16_t)atoi(argv[1]);
  for (int i = 0; i < p.n; i++) load_open(&conns[i]);
  while (opened < p.n) run(p.bytes, now() + p.span / 5);
  return measure(p.bytes, p.span, p.pid);
}
