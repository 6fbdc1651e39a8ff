/* popen.c - handles of io.popen, and commands of os.execute.
 *
 * A handle is one of Lua's own files, so that all that takes a file takes it.
 * Its close waits for the child, and blocks the calling green thread alone;
 * where that cannot block, as in __gc, the handle just lets go: the child is
 * reaped when it ends.
 *
 * SPDX-License-Identifier: MIT
 */
#include "os/os.h"
#include "runtime/counts.h"

#define COMMAND "green.command"

static int close_handle(lua_State *L);

/* The file comes first: the io library sees that alone. The child is in a
 * userdata of its own, which lets go of it when it is collected, however the
 * handle was closed; after that it is NULL. */
struct handle {
  luaL_Stream file;
  struct lg_child **child;
  struct lg *G;
  struct lg_account *box; /* where else it is counted, or NULL */
};

static struct lg_child **new_child(lua_State *L) {
  struct lg_child **c = lua_newuserdatauv(L, sizeof *c, 0);
  *c = NULL;
  luaL_setmetatable(L, COMMAND);
  return c;
}

static int l_let_go(lua_State *L) {
  struct lg_child **c = luaL_checkudata(L, 1, COMMAND);
  if (*c) lg_errand_release(&(*c)->errand);
  *c = NULL;
  return 0;
}

/* Blocks until the child has ended, and pushes how. Interrupted, it leaves it
 * to run. */
static int result(lua_State *L, struct lg *G, struct lg_child *c,
                  const char *what) {
  lg_errand_wait(L, G, &c->errand, what);
  return lg_child_result(L, c);
}

/* --- popen --- */

/* The bytes that the file holds back go first, while somebody reads them.
 * Interrupted, it leaves the handle open. */
static void flush(lua_State *L, struct handle *h) {
  int r = 0;
  h->file.closef = close_handle;
  while (r >= 0 && lg_file_flush(lg_file(L, 1)) == 0) {
    r = lg_file_look_again(L, h->G, fileno(h->file.f), GREEN_WRITABLE,
                           "close");
  }
  lg_file(L, 1); /* another thread may have closed it meanwhile */
  h->file.closef = NULL;
}

/* How the io library closes the file: it has cleared `closef` already. */
static int close_handle(lua_State *L) {
  struct handle *h = luaL_checkudata(L, 1, LUA_FILEHANDLE);
  struct lg_child *c;
  if (lg_may_wait(L, h->G)) flush(L, h);
  if (h->G->hub) green_fd_forget(h->G->hub, fileno(h->file.f));
  fclose(h->file.f);
  lg_count(h->G, h->box, LG_DESCRIPTORS, -1);
  lg_account_leave(h->box);
  h->box = NULL;
  c = *h->child;
  if (c && (lg_may_wait(L, h->G) || lg_errand_finished(&c->errand)))
    return result(L, h->G, c, "close");
  return luaL_execresult(L, 0); /* which nobody sees */
}

static int is_mode(const char *mode) {
  return (mode[0] == 'r' || mode[0] == 'w') && mode[1] == '\0';
}

/* The child has one end of a pipe, the file gets the other. 0, or an errno. */
static int join(struct handle *h, const char *command, int reads, int ours,
                int theirs) {
  FILE *f = fdopen(ours, reads ? "r" : "w");
  int error;
  if (f) *h->child = lg_child_start(command, theirs, reads ? 1 : 0);
  error = errno;
  close(theirs);
  if (f && *h->child) {
    h->file.f = f;
    h->file.closef = close_handle;
    h->box = lg_account_of_box(h->G);
    lg_count(h->G, h->box, LG_DESCRIPTORS, 1);
    return 0;
  }
  if (f)
    fclose(f);
  else
    close(ours);
  return error;
}

static struct handle *new_handle(lua_State *L, struct lg *G) {
  /* A handle may be collected after all else: it keeps what it needs. */
  struct handle *h = lua_newuserdatauv(L, sizeof *h, 2);
  h->file.f = NULL;
  h->file.closef = NULL; /* it counts as closed */
  h->G = G;
  h->box = NULL;
  luaL_setmetatable(L, LUA_FILEHANDLE);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_setiuservalue(L, -2, 1);
  h->child = new_child(L);
  lua_setiuservalue(L, -2, 2);
  return h;
}

/* start_pipe(command, mode): a handle; or nil, message, errno. */
static int l_start_pipe(lua_State *L) {
  struct lg *G = lg_get(L);
  const char *command = luaL_checkstring(L, 1);
  const char *mode = luaL_optstring(L, 2, "r");
  struct handle *h;
  int ends[2], reads = mode[0] == 'r', error;
  luaL_argcheck(L, is_mode(mode), 2, "invalid mode");
  h = new_handle(L, G);
  if ((errno = lg_may_open(L, G, 1))) return luaL_fileresult(L, 0, command);
  fflush(NULL); /* as popen(): the command may read what was written */
  if (pipe2(ends, O_CLOEXEC) < 0) return luaL_fileresult(L, 0, command);
  green_fd_forget(G->hub, ends[0]);
  green_fd_forget(G->hub, ends[1]);
  error = join(h, command, reads, ends[!reads], ends[reads]);
  if (!error) return 1;
  errno = error;
  return luaL_fileresult(L, 0, command);
}

/* --- execute --- */

/* execute(command): as os.execute. */
static int l_execute(lua_State *L) {
  struct lg *G = lg_get(L);
  const char *command = luaL_checkstring(L, 1);
  struct lg_child **c = new_child(L);
  *c = lg_child_start(command, -1, -1);
  if (!*c) return luaL_fileresult(L, 0, NULL);
  return result(L, G, *c, "execute");
}

void lg_open_popen(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"start_pipe", l_start_pipe}, {"execute", l_execute}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", l_let_go}, {NULL, NULL}};
  luaL_newmetatable(L, COMMAND);
  luaL_setfuncs(L, meta, 0);
  lua_pop(L, 1);
  lg_setfuncs(L, functions, 0);
}

void lg_open_os(lua_State *L) {
  lg_open_either(L);
  lg_open_stdio(L);
  lg_open_fifo(L);
  lg_open_popen(L);
  lg_open_files(L);
  lg_open_terminal(L);
}
