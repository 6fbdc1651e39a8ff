/* errors.c - the words of the network's errors.
 *
 * One vocabulary for the whole process, which is LuaSocket's: programs compare
 * these texts. An errno or a resolver's code becomes a text here and nowhere
 * else. LuaSocket calls a stream that was broken "closed", or "timeout", as if
 * it had ended or a limit had passed; only objects of its own module do.
 *
 * Never switches.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "net/socket.h"

static const char *broken(int error, int luasocket) {
  switch (error) {
    case ECONNABORTED: return luasocket ? "closed" : "connection aborted";
    case ECONNRESET: return luasocket ? "closed" : "connection reset by peer";
    default: return luasocket ? "timeout" : "connection timed out";
  }
}

const char *lg_socket_error(const struct lg_socket *s, int error) {
  switch (error) {
    case LG_LAYERED:
      return s->layer && s->layer->why ? s->layer->why(s) : "closed";
    case ECONNABORTED:
    case ECONNRESET:
    case ETIMEDOUT: return broken(error, s->kind->luasocket);
    case EADDRINUSE: return "address already in use";
    case EISCONN: return "already connected";
    case EACCES: return "permission denied";
    case ECONNREFUSED: return "connection refused";
    case EPIPE: return "closed";
    case EMFILE:
    case ENFILE:
      if (s->kind->luasocket) return strerror(error);
      return error == EMFILE ? "too many open files"
                             : "too many open files in system";
    default: return strerror(error);
  }
}

const char *lg_lookup_error(int code) {
  switch (code) {
    case UV_ETIMEDOUT: return "timeout";
    case UV_EAI_ADDRFAMILY: return "Address family for hostname not supported";
    case UV_EAI_NODATA: return "No address associated with hostname";
    case UV_EAI_AGAIN: return "temporary failure in name resolution";
    case UV_EAI_BADFLAGS: return "invalid value for ai_flags";
    case UV_EAI_FAIL: return "non-recoverable failure in name resolution";
    case UV_EAI_FAMILY: return "ai_family not supported";
    case UV_EAI_MEMORY: return "memory allocation failure";
    case UV_EAI_NONAME: return "host or service not provided, or not known";
    case UV_EAI_SERVICE: return "service not supported for socket type";
    case UV_EAI_SOCKTYPE: return "ai_socktype not supported";
    default: return green_strerror(code);
  }
}

const char *lg_wait_error(const struct lg_socket *s, int code) {
  switch (code) {
    case UV_EBADF: return "closed";
    case UV_ENOSPC: return green_strerror(code); /* no device is full */
    default: return lg_socket_error(s, -code); /* libuv's are those of errno */
  }
}

int lg_fail_text(lua_State *L, const char *text) {
  lua_pushnil(L);
  lua_pushstring(L, text);
  return 2;
}

int lg_socket_unopened(lua_State *L, const struct lg_socket *s) {
  return s->kind->luasocket ? lg_socket_fail(L, s, EBADF) : lg_push_closed(L);
}

int lg_socket_fail(lua_State *L, const struct lg_socket *s, int error) {
  return lg_fail_text(L, lg_socket_error(s, error));
}

/* The kernel tells each of these once, to the first call that asks, a send or
 * getoption perhaps: a read that comes later would take the break for the
 * end. */
void lg_socket_failed(struct lg_socket *s, int error) {
  switch (error) {
    case ECONNABORTED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETRESET:
    case ENETUNREACH:
    case EPROTO:
    case ETIMEDOUT:
    case LG_LAYERED: s->failed = error; break;
    default: break;
  }
}
