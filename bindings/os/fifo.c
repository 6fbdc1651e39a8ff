/* fifo.c - opening a FIFO.
 *
 * open() blocks until the other end is opened, too. An open that does not block
 * is something else: a reader would see an end of file at once, and a writer an
 * error. So an OS thread opens it. If the green thread is interrupted, that
 * goes on, and closes what it got.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "os/os.h"
#include "runtime/counts.h"

#define OPENING "green.opening"

struct opening {
  struct lg_errand errand;
  int flags, fd, error;
  char *path;
};

static void open_it(struct lg_errand *e) {
  struct opening *o = (struct opening *)e;
  do {
    o->fd = open(o->path, o->flags | O_CLOEXEC, 0666);
  } while (o->fd < 0 && errno == EINTR);
  o->error = o->fd < 0 ? errno : 0;
}

static void discard(struct lg_errand *e) {
  struct opening *o = (struct opening *)e;
  if (o->fd >= 0) close(o->fd);
  free(o->path);
}

static int flags_of(const char *mode) {
  if (*mode == 'r') return O_RDONLY;
  return O_WRONLY | O_CREAT | (*mode == 'a' ? O_APPEND : O_TRUNC);
}

static int l_gc(lua_State *L) {
  struct opening **o = luaL_checkudata(L, 1, OPENING);
  if (*o) lg_errand_release(&(*o)->errand);
  *o = NULL;
  return 0;
}

/* The io library sees the file alone. */
struct handle {
  luaL_Stream file;
  struct lg_account *box; /* where else it is counted, or NULL */
};

static int close_file(lua_State *L) {
  struct handle *h = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  lg_count(lg_find(L), h->box, LG_DESCRIPTORS, -1);
  lg_account_leave(h->box);
  h->box = NULL;
  return luaL_fileresult(L, fclose(h->file.f) == 0, NULL);
}

/* A handle that is still closed, because __gc ignores a closed one. */
static struct handle *new_handle(lua_State *L) {
  struct handle *h = lua_newuserdatauv(L, sizeof *h, 0);
  h->file.f = NULL;
  h->file.closef = NULL;
  h->box = NULL;
  luaL_setmetatable(L, LUA_FILEHANDLE);
  return h;
}

static struct opening *start(const char *path, const char *mode) {
  struct opening *o;
  char *copy = strdup(path);
  if (!copy) return NULL;
  o = (struct opening *)lg_errand_new(sizeof *o);
  if (!o) {
    free(copy);
    return NULL;
  }
  o->path = copy;
  o->fd = -1;
  o->flags = flags_of(mode);
  o->errand.run = open_it;
  o->errand.discard = discard;
  lg_errand_go(&o->errand, 1);
  return o;
}

/* open_fifo(path, mode): as io.open; mode is "r", "w" or "a". */
static int l_open_fifo(lua_State *L) {
  struct lg *G = lg_get(L);
  const char *path = luaL_checkstring(L, 1), *mode = luaL_checkstring(L, 2);
  struct handle *h = new_handle(L);
  struct opening **o = lua_newuserdatauv(L, sizeof *o, 0);
  *o = NULL;
  luaL_setmetatable(L, OPENING);
  if ((errno = lg_may_open(L, G, 1))) return luaL_fileresult(L, 0, path);
  *o = start(path, mode);
  if (!*o) return luaL_fileresult(L, 0, path);
  lg_errand_wait(L, G, &(*o)->errand, "open");
  if (!(*o)->error) {
    h->file.f = fdopen((*o)->fd, mode);
    if (!h->file.f) return luaL_fileresult(L, 0, path);
    (*o)->fd = -1; /* the handle closes it from now on */
    h->file.closef = close_file;
    h->box = lg_account_of_box(G);
    lg_count(G, h->box, LG_DESCRIPTORS, 1);
    lua_pushvalue(L, -2);
    return 1;
  }
  errno = (*o)->error;
  return luaL_fileresult(L, 0, path);
}

/* is_fifo(path): may opening it wait for somebody? */
static int l_is_fifo(lua_State *L) {
  struct stat st;
  lua_pushboolean(
      L, stat(luaL_checkstring(L, 1), &st) == 0 && S_ISFIFO(st.st_mode));
  return 1;
}

void lg_open_fifo(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"open_fifo", l_open_fifo}, {"is_fifo", l_is_fifo}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_gc}, {NULL, NULL}};
  luaL_newmetatable(L, OPENING);
  luaL_setfuncs(L, meta, 0);
  lua_pop(L, 1);
  lg_setfuncs(L, functions, 0);
}
