/* bio.c - the descriptor, as OpenSSL sees it.
 *
 * Reading tries once. Writing never says that there is no room: the rest that
 * the kernel does not take is held in `out` until there is. So OpenSSL is never
 * in the middle of a record, a read may send what it has to at any time, and
 * the program's bytes count as sent when they have become a record. The layer
 * writes nothing more before `out` is empty; answers of the protocol's may be
 * added, up to a bound, which only a peer meets that asks and does not read.
 *
 * Held bytes go by themselves as soon as there is room, like those in the
 * kernel's buffer: a limit may have ended the call that sent it, and the
 * program has been told that these bytes are sent.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "tls/tls.h"

const struct lg_seam *tls_seam;

/* A record, and the longest flight of a handshake: chains of certificates have
 * at most 100 KB by OpenSSL's own default. */
enum { MOST_HELD = 256 << 10 };

static int take_early(struct tls *t, char *to, int n) {
  size_t have = t->early_end - t->early_at;
  assert(have > 0); /* none is freed at its last byte */
  if ((size_t)n > have) n = (int)have;
  memcpy(to, t->early + t->early_at, (size_t)n);
  t->early_at += (size_t)n;
  if (t->early_at == t->early_end) {
    free(t->early);
    t->early = NULL;
    t->early_at = t->early_end = 0;
  }
  return n;
}

/* A read that is shorter than asked has drained the descriptor. */
static int bio_read(BIO *b, char *to, int n) {
  struct tls *t = BIO_get_data(b);
  struct lg_socket *s = t->socket;
  ssize_t got;
  BIO_clear_retry_flags(b);
  if (n <= 0) return 0;
  if (t->early) return take_early(t, to, n);
  if (s->drained && lg_read_may_wait(s)) {
    BIO_set_retry_read(b);
    return -1;
  }
  do got = recv(s->fd, to, (size_t)n, MSG_DONTWAIT);
  while (got < 0 && errno == EINTR);
  s->drained = got > 0 && got < n;
  t->ended = got == 0;
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    BIO_set_retry_read(b);
  else if (got < 0)
    t->error = errno;
  return (int)got;
}

/* Bytes that the kernel took, or -errno. */
static ssize_t send_now(int fd, const char *data, size_t n) {
  ssize_t sent;
  do sent = send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
  return sent;
}

static int flush_to(struct tls *t, int fd) {
  while (tls_held(t)) {
    ssize_t sent = send_now(fd, t->out + t->out_at, tls_held(t));
    if (sent < 0) return (int)sent;
    assert((size_t)sent <= tls_held(t));
    t->out_at += (size_t)sent;
  }
  if (t->out) { /* idle connections are small */
    free(t->out);
    t->out = NULL;
    t->out_at = t->out_end = t->out_room = 0;
  }
  return 0;
}

int tls_flush(struct tls *t) {
  int r = flush_to(t, t->socket->fd);
  if (r == -EAGAIN) tls_seam->when_room(t->socket, &t->room);
  return r;
}

/* The socket itself may be gone, if there was no memory to finalize it. */
static void has_room(struct green_hub *hub, struct green_fd *f,
                     struct green_room *room) {
  struct tls *t = (struct tls *)((char *)room - offsetof(struct tls, room));
  int r = t->write_failed ? 0 : flush_to(t, tls_seam->number(f));
  if (r == -EAGAIN) tls_seam->again(hub, f, room);
  if (r < 0 && r != -EAGAIN) t->write_failed = -r;
}

/* 0, or an errno. */
static int hold(struct tls *t, const char *data, size_t n) {
  if (tls_held(t) + n > MOST_HELD) return ENOBUFS;
  if (t->out_room - t->out_end < n) {
    size_t room = tls_held(t) + n;
    char *out = malloc(room);
    if (!out) return ENOMEM;
    if (t->out) memcpy(out, t->out + t->out_at, tls_held(t));
    free(t->out);
    t->out = out;
    t->out_end -= t->out_at;
    t->out_at = 0;
    t->out_room = room;
  }
  memcpy(t->out + t->out_end, data, n);
  t->out_end += n;
  assert(t->out_at < t->out_end && t->out_end <= t->out_room);
  return 0;
}

static int bio_write(BIO *b, const char *data, int n) {
  struct tls *t = BIO_get_data(b);
  ssize_t sent = 0;
  BIO_clear_retry_flags(b);
  if (n <= 0) return 0;
  if (!tls_held(t)) { /* else these bytes would overtake those */
    sent = send_now(t->socket->fd, data, (size_t)n);
    if (sent == -EAGAIN) sent = 0;
  }
  if (sent >= 0 && sent < n) {
    int r = hold(t, data + sent, (size_t)(n - sent));
    if (r)
      sent = -r;
    else
      tls_seam->when_room(t->socket, &t->room);
  }
  if (sent >= 0) return n; /* OpenSSL never hears that there was no room */
  t->error = (int)-sent;
  return -1;
}

/* After an end OpenSSL asks whether the stream has ended. */
static long bio_ctrl(BIO *b, int command, long n, void *p) {
  const struct tls *t = BIO_get_data(b);
  (void)n, (void)p;
  if (command == BIO_CTRL_EOF) return t->ended;
  return command == BIO_CTRL_FLUSH;
}

static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
static BIO_METHOD *method;

static void make_method(void) {
  BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(),
                               "luagreen socket");
  if (m && BIO_meth_set_read(m, bio_read) &&
      BIO_meth_set_write(m, bio_write) && BIO_meth_set_ctrl(m, bio_ctrl))
    method = m;
}

BIO *tls_bio(struct tls *t) {
  BIO *b;
  if (!CRYPTO_THREAD_run_once(&once, make_method) || !method) return NULL;
  b = BIO_new(method);
  if (!b) return NULL;
  BIO_set_data(b, t);
  t->room.ready = has_room;
  BIO_set_init(b, 1);
  return b;
}
