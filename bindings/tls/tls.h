/* tls.h - TLS by OpenSSL: a layer of the stream seam, in a module of its own.
 *
 *   open.c       the module: its classes, and the table of core's functions
 *   context.c    what connections share: certificates, trust, names, settings
 *   make.c       a context is made, one setting after the other
 *   layer.c      a connection: the functions of struct lg_layer
 *   bio.c        the descriptor, as OpenSSL sees it; bytes that wait for room
 *   sessions.c   a client's sessions, to be resumed
 *   info.c       what a program may ask a connection
 *   reason.c     the words of errors
 *
 * OpenSSL never waits here, and never calls Lua: its callbacks read C tables
 * that Lua has filled before. The module is loaded without seeing core's
 * symbols; `seam` leads to those that it needs, and the inline functions of
 * net/socket.h to the socket itself.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_TLS_H
#define LG_TLS_H

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "net/socket.h"
#include "runtime/compat.h"
#include "runtime/owned.h"

extern const struct lg_seam *tls_seam;

/* A name that a server has a certificate of its own for: "a.example" or
 * "*.a.example". */
struct tls_name {
  char *name;
  struct tls_context *context;
};

/* A client's session with a server, by its key: "host:port" and what else
 * tells connections apart. */
struct tls_session {
  char *key;
  SSL_SESSION *session;
};
enum { TLS_SESSIONS = 64 }; /* of a context; the oldest gives way */

/* The things that belong to an SSL_CTX beside it, and end with it. Connections
 * keep theirs, whatever becomes of the context. */
struct tls_extra {
  unsigned char *alpn; /* as on the wire */
  size_t alpn_size;
  struct tls_name *names;
  size_t name_count;
  int strict; /* a name that is none of these is refused */
  struct tls_session sessions[TLS_SESSIONS];
  unsigned next_session;
};

/* A context, which may get another SSL_CTX: connections that are made later
 * have that. Counted: objects of Lua's, listeners and contexts of names. */
struct tls_context {
  size_t count;
  SSL_CTX *ctx;
  char *groups; /* its curves; NULL: OpenSSL's own */
  int server;
  int checks;     /* a client's: the peer's certificate is verified */
  uint64_t limit; /* of a handshake, ns; 0: none */
};

/* A connection. The socket points to it, and it to the socket.
 *
 *   early    bytes that were received before there was a layer
 *   out      bytes that wait for room; from out_at to out_end
 *   error    the errno with which the descriptor failed
 *   failed   the layer is broken: an errno, or LG_LAYERED and why
 */
struct tls {
  struct lg_socket *socket;
  struct green_room room; /* for what is held: bio.c */
  SSL *ssl;
  struct tls_extra *extra; /* of its SSL_CTX */
  char *early, *out;
  size_t early_at, early_end, out_at, out_end, out_room;
  int error, failed, write_failed;
  uint8_t open, read_shut, ended; /* ended: the descriptor, for reading */
  char *key;                      /* of its session; NULL: none is kept */
  char host[256];
  char why[512];
};

/* --- bio.c --- */

BIO *tls_bio(struct tls *t); /* or NULL */
/* Sends what waits: 0; -EAGAIN: the rest goes when there is room; or -errno. */
int tls_flush(struct tls *t);
static inline size_t tls_held(const struct tls *t) {
  return t->out_end - t->out_at;
}

/* --- layer.c --- */

extern const struct lg_layer tls_connection, tls_listener;
/* The connection on a socket; NULL: it has none. */
static inline struct tls *tls_of(const struct lg_socket *s) {
  return s->layer == &tls_connection ? s->layered : NULL;
}
/* Puts a layer of that context on a socket: 0 or -errno. */
int tls_attach(struct lg_socket *s, const struct tls_context *c,
               struct tls **out);
void tls_listen(struct lg_socket *s, struct tls_context *c);

/* --- context.c --- */

/* Of an SSL_CTX. */
struct tls_extra *tls_extra(const SSL_CTX *ctx);
void tls_context_release(struct tls_context *c);
/* The context at that index; raises. */
struct tls_context *tls_to_context(lua_State *L, int index);
void tls_open_context(lua_State *L, const luaL_Reg *settings);
/* Keeps an SSL_CTX and its extra together: NULL is out of memory. */
SSL_CTX *tls_new_ctx(int server);

/* --- names.c --- */

/* A client's hello chooses among the contexts of this one's names. */
void tls_choose_by_name(SSL_CTX *ctx);
/* From now on its sessions are those of that name; "" is a server without. */
int tls_set_identity(SSL *ssl, const char *name);

/* --- make.c --- */

extern const luaL_Reg tls_settings[]; /* methods of contexts */

/* --- sessions.c --- */

/* From now on the context keeps its connections' sessions. */
void tls_keep_sessions(SSL_CTX *ctx);
/* Offers the one that is kept for the connection's key. */
void tls_resume(struct tls *t);
void tls_forget_sessions(struct tls_extra *e);

/* --- info.c --- */

int tls_l_info(lua_State *L); /* info(sock) */
void tls_open_info(lua_State *L);

/* --- reason.c --- */

/* Pushes nil and "what (why)", why being OpenSSL's last words: 2. */
int tls_fail(lua_State *L, const char *what);
/* nil and a text of ours. */
int tls_refuse(lua_State *L, const char *text);
/* OpenSSL's words, or "not enough memory"; empties its list of errors. */
const char *tls_reason(void);

#endif
