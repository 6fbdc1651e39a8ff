/* reason.c - the words of OpenSSL's errors.
 *
 * A text has only OpenSSL's reasons, never its data, so no byte of a key or of
 * a password can get into it. Names of files are the program's own.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "tls/tls.h"

/* The first error is the cause; those after it are where it passed. */
const char *tls_reason(void) {
  unsigned long code = ERR_peek_error();
  const char *reason = NULL;
  if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
    reason = "not enough memory";
  else if (ERR_SYSTEM_ERROR(code))
    reason = strerror(ERR_GET_REASON(code));
  else if (code)
    reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return reason ? reason : "unknown error";
}

int tls_refuse(lua_State *L, const char *text) {
  ERR_clear_error();
  lua_pushnil(L);
  lua_pushstring(L, text);
  return 2;
}

int tls_fail(lua_State *L, const char *what) {
  const char *reason = tls_reason();
  lua_pushnil(L);
  lua_pushfstring(L, "%s (%s)", what, reason);
  return 2;
}
