/* stdio.c - Lua's files, byte by byte and without blocking.
 *
 * lua/green/os/files.lua reads and writes by these steps, and waits in between.
 * Bytes pass through the buffer of the FILE itself, so that whoever else uses
 * the file, a library or a captured original, finds it as it should be.
 *
 *   fill     if nothing is buffered and the descriptor is readable: one read,
 *            by getc() and ungetc()
 *   take     from what is buffered
 *   give     back to the buffer, when a read was interrupted
 *   put      into the buffer while there is room, else to the descriptor,
 *            if that is writable, at most PIPE_BUF bytes at once: a pipe
 *            takes that many without blocking when poll() reports it writable
 *
 * The flag O_NONBLOCK is left alone: other processes share the descriptor's.
 * A process that reads or writes the same pipe at the same moment can make a
 * step block until there is more, as the stock function would.
 *
 * SPDX-License-Identifier: MIT
 */
#include <limits.h>
#include <stdio_ext.h>
#include <string.h>

#include "os/os.h"
#include "runtime/interrupt.h"
#include "runtime/nested.h"
#include "runtime/park.h"
#include "runtime/refusal.h"

/* --- what a libc tells of a FILE's buffer --- */

/* Bytes that getc() returns without reading; of these, the ones at *from. */
#ifdef __GLIBC__
size_t lg_file_buffered(FILE *f, const char **from) {
  if (f->_IO_write_ptr > f->_IO_write_base) return 0;
  *from = f->_IO_read_ptr;
  return (size_t)(f->_IO_read_end - f->_IO_read_ptr);
}
/* Bytes that were given back lie apart, before the others: _IO_IN_BACKUP. */
static int has_more(FILE *f) {
  return (f->_flags & 0x100) && f->_IO_save_end > f->_IO_save_base;
}
static int is_unbuffered(FILE *f) {
  return (f->_flags & 2) != 0; /* _IO_UNBUFFERED */
}
#else /* musl */
const char *__freadptr(FILE *f, size_t *n);
size_t lg_file_buffered(FILE *f, const char **from) {
  size_t n = 0;
  *from = __freadptr(f, &n);
  return *from ? n : 0;
}
static int has_more(FILE *f) {
  (void)f;
  return 0;
}
static int is_unbuffered(FILE *f) {
  return !__fbufsize(f);
}
#endif

/* --- waiting --- */

FILE *lg_file(lua_State *L, int index) {
  luaL_Stream *p = luaL_checkudata(L, index, LUA_FILEHANDLE);
  if (!p->closef) luaL_error(L, "attempt to use a closed file");
  assert(p->f);
  return p->f;
}

int lg_is_ready(int fd, short event) {
  struct pollfd p = {fd, event, 0};
  return poll(&p, 1, 0) > 0;
}

int lg_may_wait(lua_State *L, struct lg *G) {
  return G->hub && !lg_refusal(L, G);
}

/* A descriptor, or -1: a moment. */
static int block(lua_State *L, struct lg *G, int fd, int event,
                 const char *what) {
  enum { MOMENT = 10000000 }; /* in ns; a descriptor is refused seldom */
  int r;
  if (!lg_may_wait(L, G)) return UV_EPERM;
  if (lg_current(G) == green_main(G->hub)) lg_main_blocks(L, G);
  if (unlikely(G->nested_scopes)) lg_move_scopes(L, G);
  green_keep_note(G->hub, L);
  r = fd < 0 ? green_sleep(G->hub, green_in(MOMENT))
             : green_wait_fd(G->hub, fd, event, GREEN_FOREVER);
  lg_kept(G);
  if (r < 0) lg_raise_code(L, G, r, what);
  return r;
}

int lg_file_wait(lua_State *L, struct lg *G, int fd, int event,
                 const char *what) {
  return block(L, G, fd, event, what);
}

int lg_file_look_again(lua_State *L, struct lg *G, int fd, int event,
                       const char *what) {
  int r = block(L, G, fd, event, what);
  if (r != UV_ENOSPC && r != UV_ENOMEM) return r;
  return block(L, G, -1, 0, what);
}

/* may_block(): can the caller wait without holding up everybody? */
static int l_may_block(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  lua_pushboolean(L, lg_may_wait(L, G));
  return 1;
}

static int l_file_number(lua_State *L) {
  lua_pushinteger(L, fileno(lg_file(L, 1)));
  return 1;
}

/* --- reading --- */

/* What stands on the terminal's line, a question perhaps, is shown before one
 * waits for the answer; glibc's getc() does so, which comes too late here. */
static void show_line(FILE *f) {
  if (__flbf(stdout) && isatty(fileno(f))) lg_file_flush(stdout);
}

/* file_fill(file): true, there are bytes; false, it is at its end; nil, wait;
 * or nil, message, errno. */
static int l_file_fill(lua_State *L) {
  FILE *f = lg_file(L, 1);
  const char *from;
  int c, end;
  if (lg_file_buffered(f, &from) > 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  if (__freadable(f) && !has_more(f) && !lg_is_ready(fileno(f), POLLIN)) {
    show_line(f);
    return 0;
  }
  clearerr(f); /* the end of a terminal's input is not the last one */
  errno = 0;
  c = getc(f);
  if (c != EOF) {
    ungetc(c, f);
    lua_pushboolean(L, 1);
    return 1;
  }
  if (ferror(f)) {
    if (errno == EAGAIN || errno == EINTR) return 0;
    return luaL_fileresult(L, 0, NULL);
  }
  end = feof(f);
  lua_pushboolean(L, !end);
  return 1;
}

/* Pushes n buffered bytes, which are taken. The string is made first: memory
 * may be short, and finalizers may run. */
static int take(lua_State *L, FILE *f, const char *from, size_t n) {
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, n ? n : 1);
  const char *now;
  size_t left = lg_file_buffered(f, &now);
  if (left < n) n = left; /* a finalizer has read from it */
  (void)from;
  n = fread(to, 1, n, f);
  luaL_pushresultsize(&b, n);
  return 1;
}

/* file_take(file, n): at most n bytes of those that are buffered; or nil. */
static int l_file_take(lua_State *L) {
  FILE *f = lg_file(L, 1);
  lua_Number most = luaL_checknumber(L, 2);
  const char *from;
  size_t n = lg_file_buffered(f, &from);
  if (!n) return 0;
  if ((lua_Number)n > most) n = (size_t)most;
  return take(L, f, from, n);
}

/* file_line(file): what is buffered of a line, with its end; and true if that
 * is there. Or nil. */
static int l_file_line(lua_State *L) {
  FILE *f = lg_file(L, 1);
  const char *from, *at;
  size_t n = lg_file_buffered(f, &from);
  if (!n) return 0;
  at = memchr(from, '\n', n);
  if (at) n = (size_t)(at - from) + 1;
  take(L, f, from, n);
  lua_pushboolean(L, lua_tostring(L, -1)[lua_rawlen(L, -1) - 1] == '\n');
  return 2;
}

/* file_give(file, data): gives bytes back, to be read again. Returns those for
 * which the libc has no room. */
static int l_file_give(lua_State *L) {
  FILE *f = lg_file(L, 1);
  size_t n;
  const char *data = luaL_checklstring(L, 2, &n);
  while (n > 0 && ungetc((unsigned char)data[n - 1], f) != EOF) n--;
  lua_pushlstring(L, data, n);
  return 1;
}

/* --- writing --- */

/* A writable pipe takes PIPE_BUF bytes at once. */
static size_t step(int fd) {
  return isatty(fd) ? LG_TERMINAL_STEP : PIPE_BUF;
}

/* glibc makes the buffer of a FILE at its first byte. Until then it seems to
 * have none, and each write would go to the descriptor. */
static void make_buffer(FILE *f) {
  int lines;
  if (__fbufsize(f) || is_unbuffered(f)) return;
  lines = __flbf(f) || isatty(fileno(f));
  setvbuf(f, NULL, _IOFBF, 0);
  if (lines) setvbuf(f, NULL, _IOLBF, 0);
}

/* fflush() must not have more to write at once than a pipe takes. */
size_t lg_file_room(FILE *f) {
  size_t size, held = __fpending(f);
  make_buffer(f);
  size = __fbufsize(f);
  if (size > PIPE_BUF) size = PIPE_BUF;
  return held < size ? size - held : 0;
}

int lg_file_flush(FILE *f) {
  if (!__fpending(f)) return 1;
  if (!lg_is_ready(fileno(f), POLLOUT)) return 0;
  return fflush(f) == 0 ? 1 : -1;
}

static int failed(lua_State *L) {
  if (errno == EAGAIN || errno == EINTR) return 0;
  return luaL_fileresult(L, 0, NULL);
}

/* file_flush(file): true; nil, wait; or nil, message, errno. */
static int l_file_flush(lua_State *L) {
  int r = lg_file_flush(lg_file(L, 1));
  if (r < 0) return failed(L);
  if (!r) return 0;
  lua_pushboolean(L, 1);
  return 1;
}

/* Does the buffer keep these bytes until it is full? */
static int keeps(FILE *f, const char *data, size_t n) {
  if (!__fwritable(f)) return 1; /* fwrite() fails; a wait would not end */
  if (n >= lg_file_room(f)) return 0;
  return !(__flbf(f) && memchr(data, '\n', n));
}

static ssize_t keep(FILE *f, const char *data, size_t n) {
  return fwrite(data, 1, n, f) == n ? (ssize_t)n : -1;
}

/* What the buffer does not keep is written behind what it had. */
static ssize_t write_some(FILE *f, const char *data, size_t n) {
  if (n > step(fileno(f))) n = step(fileno(f));
  if (lg_is_ready(fileno(f), POLLOUT)) return write(fileno(f), data, n);
  errno = EAGAIN;
  return -1;
}

/* file_put(file, data, i): writes from the i-th byte on. The index that comes
 * next; nil, wait; or nil, message, errno. */
static int l_file_put(lua_State *L) {
  FILE *f = lg_file(L, 1);
  size_t n;
  const char *data = luaL_checklstring(L, 2, &n);
  lua_Integer i = luaL_checkinteger(L, 3);
  ssize_t written;
  int r;
  luaL_argcheck(L, i >= 1 && (size_t)i <= n + 1, 3, "out of range");
  data += i - 1;
  n -= (size_t)i - 1;
  if (!keeps(f, data, n)) {
    r = lg_file_flush(f);
    if (r < 0) return failed(L);
    if (!r) return 0;
  }
  written = keeps(f, data, n) ? keep(f, data, n) : write_some(f, data, n);
  if (written < 0) return failed(L);
  lua_pushinteger(L, i + written);
  return 1;
}

void lg_open_stdio(lua_State *L) {
  static const luaL_Reg functions[] = {{"may_block", l_may_block},
                                       {"file_fill", l_file_fill},
                                       {"file_take", l_file_take},
                                       {"file_line", l_file_line},
                                       {"file_give", l_file_give},
                                       {"file_flush", l_file_flush},
                                       {"file_put", l_file_put},
                                       {"file_number", l_file_number},
                                       {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
}
