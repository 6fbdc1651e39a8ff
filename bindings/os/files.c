/* files.c - the io library's functions that read and write, when patched.
 *
 * Each stands in front of the library's own, which runs in this very frame, at
 * its own speed and with its own errors, where nobody has to wait: with a file
 * on disk, and where all is there, the bytes to read in the buffer of the FILE
 * or in the pipe, or the room for a text. The rest is for
 * lua/green/os/files.lua, which waits.
 *
 * A thread that is in there may have taken half a line, or written half a text.
 * So the file's record counts these threads, and as long as there is one, the
 * calls of others go there, too, and queue.
 *
 * Between the look at the buffer and the library's call nothing else runs. But
 * a finalizer that runs in that call, as it makes a string, may read from the
 * same file: then the call may wait, as it would without us. And if memory ends
 * as it makes the string of a line, the line is lost, as it would be, too.
 *
 * SPDX-License-Identifier: MIT
 */
#include <ctype.h>
#include <limits.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "os/os.h"
#include "runtime/wait.h"

/* --- records --- */

/* Of a file that may have to wait. */
struct record {
  lua_CFunction read; /* the library's; NULL: none, or not a plain one */
  uint32_t inside;    /* threads in the part in Lua */
  uint8_t is_pipe, is_terminal;
  uint8_t marked; /* ours even where the class of files is not patched */
};

#define RECORD "green.file"

/* Upvalue of all functions here: the records by file, weak keys; false for a
 * file that never waits. [ALL]: is the class of files patched? */
enum { RECORDS = 2, ALL = 1 };

/* May it have to wait: a pipe, a FIFO, a terminal, a socket? */
static int may_wait(int fd, struct record *r) {
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0) return 0;
  r->is_pipe = S_ISFIFO(st.st_mode);
  r->is_terminal = S_ISCHR(st.st_mode) && isatty(fd);
  return r->is_pipe || r->is_terminal || S_ISSOCK(st.st_mode);
}

static struct record *make_record(lua_State *L, int at) {
  luaL_Stream *p = luaL_testudata(L, at, LUA_FILEHANDLE);
  struct record *r = NULL, kind = {0};
  if (!p || !p->closef) return NULL;
  lua_pushvalue(L, at);
  if (may_wait(fileno(p->f), &kind)) {
    r = lua_newuserdatauv(L, sizeof *r, 0);
    *r = kind;
    luaL_setmetatable(L, RECORD);
  } else {
    lua_pushboolean(L, 0);
  }
  lua_rawset(L, lua_upvalueindex(RECORDS));
  return r;
}

/* NULL: not a file, or one that never waits. */
static struct record *find_record(lua_State *L, int at) {
  struct record *r;
  int known;
  if (lua_type(L, at) != LUA_TUSERDATA) return NULL;
  lua_pushvalue(L, at);
  known = lua_rawget(L, lua_upvalueindex(RECORDS)) != LUA_TNIL;
  r = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return known ? r : make_record(L, at);
}

/* Of the file at that index, which has a record: NULL, it is closed. */
static FILE *open_file(lua_State *L, int at) {
  luaL_Stream *p = lua_touserdata(L, at);
  return p->closef ? p->f : NULL;
}

static int is_patched(lua_State *L, const struct record *r) {
  int all;
  if (!r || r->marked) return 1;
  lua_rawgeti(L, lua_upvalueindex(RECORDS), ALL);
  all = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return all;
}

/* file_waits(file): is it one for us? */
static int l_file_waits(lua_State *L) {
  lua_pushboolean(L,
                  find_record(L, 1) && open_file(L, 1) &&
                      lg_may_wait(L, lua_touserdata(L, lua_upvalueindex(1))));
  return 1;
}

/* file_mark(file): it is ours from now on. */
static int l_file_mark(lua_State *L) {
  struct record *r = find_record(L, 1);
  if (r) r->marked = 1;
  return 0;
}

/* file_mark_all(yes): those of the class of files are, or are not. */
static int l_file_mark_all(lua_State *L) {
  lua_settop(L, 1);
  lua_rawseti(L, lua_upvalueindex(RECORDS), ALL);
  return 0;
}

/* file_enter(file): the caller is inside until what this returns is closed. */
static int l_file_enter(lua_State *L) {
  struct record *r = find_record(L, 1);
  if (!r) return 0;
  lua_pushvalue(L, 1);
  lua_rawget(L, lua_upvalueindex(RECORDS));
  r->inside++;
  return 1;
}

static int l_leave(lua_State *L) {
  struct record *r = luaL_checkudata(L, 1, RECORD);
  if (r->inside) r->inside--;
  return 0;
}

/* --- is all there? --- */

/* Numbers are shorter. */
enum { LONGEST_NUMBER = 64 };

/* Behind the number, or a byte that ends it; NULL: more may follow. */
static const char *past_number(const char *at, const char *end) {
  while (at < end && isspace((unsigned char)*at)) at++;
  while (at < end && !isspace((unsigned char)*at)) at++;
  return at < end ? at : NULL;
}

/* A read by the format at that index goes no further than this; NULL: further
 * than the buffer, or it fails. */
static const char *past(lua_State *L, int index, const char *at,
                        const char *end) {
  const char *format;
  if (lua_type(L, index) == LUA_TNUMBER) {
    int whole;
    lua_Integer n = lua_tointegerx(L, index, &whole);
    if (n == 0 && at == end) return NULL; /* it asks for the end of the file */
    return whole && n >= 0 && n <= end - at ? at + n : NULL;
  }
  if (lua_type(L, index) != LUA_TSTRING) return NULL;
  format = lua_tostring(L, index);
  if (*format == '*') format++;
  if (*format == 'n') return past_number(at, end);
  if (*format != 'l' && *format != 'L') return NULL;
  at = memchr(at, '\n', (size_t)(end - at));
  return at ? at + 1 : NULL;
}

/* Does a read of so many bytes find those in the pipe that the buffer lacks? It
 * takes a fourth of the time to ask the kernel, and to let the library read, as
 * our own steps read by the buffer's 4 KB. */
static int has_in_pipe(lua_State *L, const struct record *r, FILE *f,
                       int index, size_t buffered) {
  int whole, there;
  lua_Integer n;
  if (!r->is_pipe || lua_type(L, index) != LUA_TNUMBER) return 0;
  n = lua_tointegerx(L, index, &whole);
  if (!whole || n < 0 || n > INT_MAX) return 0;
  if (n == 0) n = 1; /* is there one more? */
  if (__fpending(f) || ioctl(fileno(f), FIONREAD, &there) != 0) return 0;
  return n - (lua_Integer)buffered <= there;
}

/* Does a read by the formats first .. n find all in the buffer? The last one
 * may find it in a pipe. */
static int has_all(lua_State *L, const struct record *r, FILE *f, int first,
                   int n) {
  int i;
  const char *at, *end, *next;
  size_t size = lg_file_buffered(f, &at);
  if (!size) at = ""; /* there may be no buffer yet */
  if (first > n) return memchr(at, '\n', size) != NULL;
  end = at + size;
  for (i = first; i <= n; i++, at = next)
    if (!(next = past(L, i, at, end)))
      return i == n && has_in_pipe(L, r, f, i, (size_t)(end - at));
  return 1;
}

/* Do the values first .. n, and a byte after each if the call `flushes`, go to
 * the buffer, or from there to a pipe or a terminal at once? A file that is not
 * writable fails without a wait. */
static int has_room(lua_State *L, const struct record *r, FILE *f, int first,
                    int n, int flushes) {
  size_t most = r->is_terminal ? LG_TERMINAL_STEP : PIPE_BUF, room, size;
  size_t total = flushes ? (size_t)n + 1 : 0;
  int i;
  if (!__fwritable(f)) return 1;
  room = lg_file_room(f); /* makes the buffer */
  for (i = first; i <= n; i++, total += size) {
    int type = lua_type(L, i);
    const char *text = type == LUA_TSTRING ? lua_tolstring(L, i, &size) : NULL;
    if (type == LUA_TNUMBER)
      size = LONGEST_NUMBER;
    else if (!text)
      return 0;
    else if (__flbf(f) && memchr(text, '\n', size))
      flushes = 1;
  }
  if (!flushes && total < room) return 1;
  return __fpending(f) + total <= most && lg_is_ready(fileno(f), POLLOUT);
}

static int can_flush(FILE *f) {
  return !__fpending(f) || lg_is_ready(fileno(f), POLLOUT);
}

/* --- functions in front --- */

/* What a function of the io library does. */
enum need { READS, WRITES, FLUSHES, WAITS };

enum { ORIGINAL = RECORDS + 1, OURS, NEED, DEFAULT };

static int call(lua_State *L, int which) {
  lua_pushvalue(L, lua_upvalueindex(which));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

static int call_original(lua_State *L) {
  lua_CFunction f = lg_plain_function(L, lua_upvalueindex(ORIGINAL));
  return f ? f(L) : call(L, ORIGINAL);
}

/* Is there no more to do for a call that need not wait than to count it? Else
 * lg_enter() raises the strike, or gives the others a turn. */
static int may_go_on(struct lg *G) {
  struct green_hub_hot *hot = G->hub ? green_hot(G->hub) : NULL;
  if (unlikely(!hot || !hot->current || hot->current->pending)) return 0;
  return hot->budget > 0 && hot->budget--;
}

static const struct lg_op ops[] = {
    [READS] = {{"file:read", NULL, NULL}, lg_file_call, NULL, NULL},
    [WRITES] = {{"file:write", NULL, NULL}, lg_file_call, NULL, NULL},
    [FLUSHES] = {{"file:flush", NULL, NULL}, lg_file_call, NULL, NULL},
};

static int is_all_there(lua_State *L, const struct record *r, FILE *f,
                        enum need need, int first, int n) {
  if (need == READS) return has_all(L, r, f, first, n);
  if (need == WRITES) return has_room(L, r, f, first, n, 0);
  return can_flush(f);
}

static void push_default(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(DEFAULT));
  lua_call(L, 0, 1);
}

/* Of the file at that index and the arguments first .. n. */
static int is_for_library(lua_State *L, struct lg *G, int at, int first, int n,
                          enum need need) {
  const struct record *r = find_record(L, at);
  FILE *f = r ? open_file(L, at) : NULL;
  if (!f || (at < first && !is_patched(L, r))) return 1;
  if (need != WAITS && may_go_on(G) && !r->inside &&
      is_all_there(L, r, f, need, first, n))
    return 1;
  return !lg_may_wait(L, G);
}

/* A method of files, or a function of io that takes the default file. */
int lg_file_call(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  enum need need = (enum need)lua_tointeger(L, lua_upvalueindex(NEED));
  int n = lua_gettop(L), has_default, result;
  has_default = lua_toboolean(L, lua_upvalueindex(DEFAULT));
  if (has_default) push_default(L);
  result = is_for_library(L, G, has_default ? n + 1 : 1, has_default ? 1 : 2,
                          n, need);
  lua_settop(L, n);
  if (result) return call_original(L);
  if (need != WAITS && (result = lg_enter(L, G, &ops[need])) >= 0)
    return result;
  if (has_default) {
    push_default(L);
    lua_insert(L, 1);
  }
  return call(L, OURS);
}

/* Makes a function of what is on the stack, which stands in front. */
static int make(lua_State *L, lua_CFunction f) {
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_pushvalue(L, lua_upvalueindex(RECORDS));
  lua_insert(L, 2);
  lua_pushcclosure(L, f, lua_gettop(L));
  return 1;
}

/* file_call(original, ours, need [, default]): the function in front of a
 * method, or of a function for the file that default() returns. Ours gets the
 * file first. */
static int l_file_call(lua_State *L) {
  static const char *const needs[] = {"read", "write", "flush", "wait", NULL};
  lua_pushinteger(L, luaL_checkoption(L, 3, NULL, needs));
  lua_replace(L, 3);
  lua_settop(L, 4);
  return make(L, lg_file_call);
}

/* --- print --- */

enum { PRINTED = OURS + 1 };

static const struct lg_op print_op = {
    {"print", NULL, NULL}, lg_file_print, NULL, NULL};

static void make_texts(lua_State *L, int n) {
  for (int i = 1; i <= n; i++) {
    luaL_tolstring(L, i, NULL);
    lua_replace(L, i);
  }
}

int lg_file_print(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  luaL_Stream *file = lua_touserdata(L, lua_upvalueindex(PRINTED));
  const struct record *r;
  int n = lua_gettop(L), result;
  lua_pushvalue(L, lua_upvalueindex(PRINTED));
  r = find_record(L, n + 1);
  lua_settop(L, n);
  if (!r || !file->closef) return call_original(L);
  if (!may_go_on(G) && lg_may_wait(L, G) &&
      (result = lg_enter(L, G, &print_op)) >= 0)
    return result;
  make_texts(L, n);
  if (!file->closef || !lg_may_wait(L, G) ||
      (!r->inside && has_room(L, r, file->f, 1, n, 1)))
    return call_original(L);
  return call(L, OURS);
}

/* file_print(original, ours, file): a print to that file, which is stdout. Ours
 * gets texts. */
static int l_file_print(lua_State *L) {
  luaL_checkudata(L, 3, LUA_FILEHANDLE);
  lua_settop(L, 3);
  return make(L, lg_file_print);
}

/* --- lines --- */

/* Upvalues of an iterator; with as many formats as the library takes they are
 * as many as a function can have. */
enum { ITS_RECORD = 2, ITS_FILE, ITS_OURS, CLOSES, FORMATS };

static const struct lg_op next_op = {
    {"file:read", NULL, NULL}, lg_file_next, NULL, NULL};

/* Raises any error but the end of the file. */
static int checked(lua_State *L, int n) {
  if (n > 0 && lua_toboolean(L, -n)) return n;
  if (n > 1) return luaL_error(L, "%s", lua_tostring(L, 1 - n));
  if (lua_toboolean(L, lua_upvalueindex(CLOSES))) {
    lua_getfield(L, lua_upvalueindex(ITS_FILE), "close");
    lua_pushvalue(L, lua_upvalueindex(ITS_FILE));
    lua_call(L, 1, 0);
  }
  return 0;
}

static int push_formats(lua_State *L) {
  int n;
  for (n = FORMATS; !lua_isnone(L, lua_upvalueindex(n)); n++) {
    luaL_checkstack(L, 2, "too many arguments");
    lua_pushvalue(L, lua_upvalueindex(n));
  }
  return n - FORMATS;
}

int lg_file_next(lua_State *L) {
  struct lg *G = lua_touserdata(L, lua_upvalueindex(1));
  const struct record *r = lua_touserdata(L, lua_upvalueindex(ITS_RECORD));
  luaL_Stream *p = lua_touserdata(L, lua_upvalueindex(ITS_FILE));
  int now = may_go_on(G), n;
  if (!now && lg_may_wait(L, G) && (n = lg_enter(L, G, &next_op)) >= 0)
    return n;
  if (!p->closef) return luaL_error(L, "file is already closed");
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(ITS_FILE));
  n = push_formats(L);
  if (now && r && r->read && !r->inside && has_all(L, r, p->f, 2, n + 1))
    return checked(L, r->read(L));
  return checked(L, call(L, ITS_OURS));
}

/* file_lines(file, ours, closes, read, ...): an iterator that reads by these
 * formats, by the library's method where all is there, else by ours; at the end
 * of the file, does it close it? */
static int l_file_lines(lua_State *L) {
  struct record *r = find_record(L, 1);
  if (r) r->read = lg_plain_function(L, 4);
  lua_remove(L, 4);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, 1);
  lua_rawget(L, lua_upvalueindex(RECORDS));
  lua_rotate(L, 1, 2);
  lua_pushcclosure(L, lg_file_next, lua_gettop(L));
  return 1;
}

void lg_open_files(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"file_waits", l_file_waits},       {"file_mark", l_file_mark},
      {"file_mark_all", l_file_mark_all}, {"file_enter", l_file_enter},
      {"file_call", l_file_call},         {"file_print", l_file_print},
      {"file_lines", l_file_lines},       {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__close", l_leave}, {NULL, NULL}};
  luaL_newmetatable(L, RECORD);
  luaL_setfuncs(L, meta, 0);
  lua_pop(L, 1);
  lg_ephemerons(L);
  lg_setfuncs(L, functions, 1);
}
