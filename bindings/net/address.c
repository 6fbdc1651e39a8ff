/* address.c - names and addresses of sockets.
 *
 * Looking up, connecting, binding, listening on Unix files, and the texts of
 * errors, which are LuaSocket's: one vocabulary in the process. Numeric
 * addresses never go to the resolver. A connect tries every address under one
 * deadline; it always keeps its C stack, like every function of the core's C
 * shape, so it may hold lists in C variables.
 *
 * Green threads only, where they wait.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/socket.h"

/* A file that this process made, and how to know it again. */
struct green_socket_file {
  dev_t dev;
  ino_t ino;
  pid_t pid;
  char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
};

/* --- errors --- */

const char *lg_socket_error(int error) {
  switch (error) {
    case EADDRINUSE: return "address already in use";
    case EISCONN: return "already connected";
    case EACCES: return "permission denied";
    case ECONNREFUSED: return "connection refused";
    case ECONNABORTED:
    case ECONNRESET:
    case EPIPE: return "closed";
    case ETIMEDOUT: return "timeout";
    case EMFILE: return "too many open files";
    case ENFILE: return "too many open files in system";
    default: return strerror(error);
  }
}

int lg_socket_fail(lua_State *L, int error) {
  lua_pushnil(L);
  lua_pushstring(L, lg_socket_error(error));
  return 2;
}

static const char *lookup_error(int code) {
  switch (code) {
    case UV_ETIMEDOUT: return "timeout";
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

static int fail_text(lua_State *L, const char *text) {
  lua_pushnil(L);
  lua_pushstring(L, text);
  return 2;
}

/* --- C-shape waits: the stack stays --- */

static void may_block(lua_State *L, struct lg *G, const char *what) {
  const char *why = lg_refusal(L, G);
  if (why) luaL_error(L, "'%s' cannot block %s", what, why);
  if (lg_current(G) == green_main(G->hub)) lg_sentinel(L, G);
  green_keep_note(G->hub, L);
}

/* The same where a list of addresses is held: UV_EPERM, which is raised when
 * that is freed. What main makes to block was made on entry. */
static int may_wait(lua_State *L, struct lg *G) {
  if (lg_refusal(L, G)) return UV_EPERM;
  green_keep_note(G->hub, L);
  return 0;
}

/* Is a code of the core's an answer, or did something strike the thread? */
static int is_answer(int code) {
  return code == 0 || code == UV_ETIMEDOUT || code == UV_EBADF;
}

/* --- looking up --- */

/* 0 and a list; or a code, after an interruption was raised. Without a limit
 * when the socket polls: a look-up cannot be polled for. */
static int look_up(lua_State *L, struct lg *G, const char *host,
                   const char *port, int family, int flags, uint64_t deadline,
                   struct addrinfo **list) {
  struct addrinfo hints;
  int r;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = family;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  r = green_getaddrinfo(G->hub, host, port, &hints, 0, list);
  if (r != UV_ETIMEDOUT) return r;
  may_block(L, G, "connect");
  r = green_getaddrinfo(G->hub, host, port, &hints,
                        deadline ? deadline : GREEN_FOREVER, list);
  if (r < 0) lg_raise_code(L, G, r, "connect");
  return r;
}

/* --- descriptors --- */

static int open_fd(lua_State *L, int family) {
  int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  int fd = socket(family, type, 0);
  if (fd < 0 && lg_socket_scarce(L, errno)) fd = socket(family, type, 0);
  return fd < 0 ? -errno : fd;
}

/* Makes sure of a descriptor of that family: 0, or an errno. */
static int need_fd(lua_State *L, struct lg *G, struct green_socket *s,
                   int family, int fresh) {
  int fd;
  if (s->fd >= 0 && s->family == family && !fresh) return 0;
  fd = open_fd(L, family);
  if (fd < 0) return -fd;
  lg_socket_shut(G, s);
  s->fd = fd;
  s->family = family;
  return 0;
}

/* --- connect --- */

/* > 0: errno of a system call; 0; < 0: a code of the core's. */
static int wait_connected(lua_State *L, struct lg *G, struct green_socket *s,
                          uint64_t deadline) {
  socklen_t size = sizeof(int);
  int error = 0, r;
  if (s->polls) return ETIMEDOUT;
  if ((r = may_wait(L, G)) < 0) return r;
  if (!s->f && (r = green_fd_open(G->hub, s->fd, &s->f)) < 0) return r;
  r = green_fd_wait(G->hub, s->f, GREEN_WRITABLE, deadline);
  if (r < 0) return r;
  if (s->fd < 0) return UV_EBADF;
  getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

/* A Unix listener whose backlog is full says EAGAIN, and never tells when it
 * has room again. */
static int wait_backlog(lua_State *L, struct lg *G, struct green_socket *s,
                        uint64_t deadline, uint64_t *pause) {
  uint64_t now = green_now();
  int r;
  if (s->polls || now >= deadline) return ETIMEDOUT;
  if ((r = may_wait(L, G)) < 0) return r;
  if (*pause < 100000000) *pause *= 2;
  r = green_sleep(G->hub, deadline - now < *pause ? deadline : now + *pause);
  if (r < 0) return r;
  return s->fd < 0 ? UV_EBADF : 0;
}

static int connect_one(lua_State *L, struct lg *G, struct green_socket *s,
                       const struct sockaddr *address, socklen_t size,
                       uint64_t deadline) {
  uint64_t pause = 500000; /* doubles before use: 1 ms to 100 ms */
  int r;
  for (;;) {
    r = connect(s->fd, address, size);
    if (r == 0) return 0;
    if (errno == EINPROGRESS || errno == EINTR)
      return wait_connected(L, G, s, deadline);
    if (errno != EAGAIN || !s->local) return errno;
    r = wait_backlog(L, G, s, deadline, &pause);
    if (r) return r;
  }
}

/* Results of connect; on an interruption the descriptor is closed: nobody
 * could tell how far it had come. */
static int connected(lua_State *L, struct lg *G, struct green_socket *s,
                     int r) {
  if (r < 0 && !is_answer(r)) {
    lg_socket_shut(G, s);
    lg_raise_code(L, G, r, "connect");
    return fail_text(L, green_strerror(r));
  }
  lg_socket_become(L, SOCKET_CLIENT);
  if (r == UV_EBADF) return lg_push_closed(L);
  if (r == UV_ETIMEDOUT) return lg_push_timeout(L);
  if (r) return lg_socket_fail(L, r);
  lua_pushinteger(L, 1);
  return 1;
}

static int goes_on(const struct green_socket *s, int r) {
  return r > 0 && !(s->polls && r == ETIMEDOUT) && r != EALREADY &&
         r != EISCONN;
}

static int connect_list(lua_State *L, struct lg *G, struct green_socket *s,
                        const struct addrinfo *ai, uint64_t deadline) {
  int bound = s->fd >= 0, tried = 0, r = EADDRNOTAVAIL;
  for (; ai; ai = ai->ai_next) {
    if (bound && ai->ai_family != s->family) continue;
    r = need_fd(L, G, s, ai->ai_family, tried && !bound);
    if (r == 0)
      r = connect_one(L, G, s, ai->ai_addr, ai->ai_addrlen, deadline);
    if (!goes_on(s, r)) break;
    tried = 1;
  }
  return r;
}

static int unix_address(lua_State *L, int index,
                        struct green_unix_address *a) {
  size_t n;
  const char *path = luaL_checklstring(L, index, &n);
  memset(a, 0, sizeof *a);
  a->un.sun_family = AF_UNIX;
  if (n == 0 || n >= sizeof a->un.sun_path) return 0;
  memcpy(a->un.sun_path, path, n);
  a->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n +
                        (*path ? 1 : 0)); /* abstract names end with size */
  return 1;
}

static int connect_unix(lua_State *L, struct lg *G, struct green_socket *s,
                        uint64_t deadline) {
  struct green_unix_address a;
  int r;
  if (!unix_address(L, 2, &a)) return fail_text(L, "path too long");
  r = need_fd(L, G, s, AF_UNIX, 0);
  if (r == 0)
    r = connect_one(L, G, s, (struct sockaddr *)&a.un, a.size, deadline);
  return connected(L, G, s, r);
}

static const struct lg_op connect_op = {
    {"socket:connect", NULL, NULL}, lg_socket_connect, NULL, NULL};

/* connect(host, port) or connect(path). The limit covers the whole call. */
int lg_socket_connect(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_socket *s = lg_socket(L, SOCKET_ANY);
  uint64_t deadline = lg_socket_deadline(s);
  const char *host = luaL_checkstring(L, 2);
  const char *port = s->local ? NULL : luaL_checkstring(L, 3);
  struct addrinfo *list;
  int r;
  if (!s->polls) {
    r = lg_enter(L, G, &connect_op);
    if (r >= 0) return r;
  }
  s->closed = 0;
  if (s->local) return connect_unix(L, G, s, deadline);
  r = look_up(L, G, host, port, s->family, 0, deadline, &list);
  if (r < 0) {
    lg_socket_become(L, SOCKET_CLIENT);
    return fail_text(L, lookup_error(r));
  }
  r = s->closed ? UV_EBADF : connect_list(L, G, s, list, deadline);
  freeaddrinfo(list);
  return connected(L, G, s, r);
}

/* --- bind and listen --- */

static int bind_list(lua_State *L, struct lg *G, struct green_socket *s,
                     const struct addrinfo *ai) {
  int given = s->fd >= 0, r = EADDRNOTAVAIL;
  for (; ai; ai = ai->ai_next) {
    if (given && ai->ai_family != s->family) continue;
    r = need_fd(L, G, s, ai->ai_family, 0);
    if (r == 0 && bind(s->fd, ai->ai_addr, ai->ai_addrlen) < 0) r = errno;
    if (r == 0) break;
  }
  return r;
}

static int bind_unix(lua_State *L, struct lg *G, struct green_socket *s) {
  struct green_unix_address a;
  int r;
  if (!unix_address(L, 2, &a)) return fail_text(L, "path too long");
  r = need_fd(L, G, s, AF_UNIX, 0);
  if (r == 0 && bind(s->fd, (struct sockaddr *)&a.un, a.size) < 0) r = errno;
  if (r) return lg_socket_fail(L, r);
  lua_pushinteger(L, 1);
  return 1;
}

int lg_socket_bind(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_socket *s = lg_socket(L, SOCKET_MASTER);
  const char *host = luaL_checkstring(L, 2);
  const char *port = s->local ? NULL : luaL_checkstring(L, 3);
  struct addrinfo *list;
  int r;
  if (s->local) return bind_unix(L, G, s);
  if (!strcmp(host, "*")) host = NULL;
  r = look_up(L, G, host, port, s->family, AI_PASSIVE, lg_socket_deadline(s),
              &list);
  if (r < 0) return fail_text(L, lookup_error(r));
  r = bind_list(L, G, s, list);
  freeaddrinfo(list);
  if (r) return lg_socket_fail(L, r);
  lua_pushinteger(L, 1);
  return 1;
}

void lg_socket_unlink(struct green_socket *s) {
  struct green_socket_file *file = s->file;
  struct stat st;
  s->file = NULL;
  if (!file) return;
  if (file->pid == getpid() && lstat(file->path, &st) == 0 &&
      st.st_dev == file->dev && st.st_ino == file->ino)
    unlink(file->path);
  free(file);
}

/* A socket file that nobody listens on was left behind. */
static int is_stale(lua_State *L, const struct green_unix_address *a) {
  struct stat st;
  int fd, refused;
  if (lstat(a->un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode)) return 0;
  if ((fd = open_fd(L, AF_UNIX)) < 0) return 0;
  refused = connect(fd, (const struct sockaddr *)&a->un, a->size) < 0 &&
            errno == ECONNREFUSED;
  close(fd);
  return refused;
}

/* bind(2) makes the file with the mode of the descriptor, less the umask: it
 * never exists with more rights than asked for. */
static int bind_file(lua_State *L, int fd, const struct green_unix_address *a,
                     int mode) {
  const struct sockaddr *address = (const struct sockaddr *)&a->un;
  int r;
  if (mode >= 0 && fchmod(fd, (mode_t)mode) < 0) return errno;
  r = bind(fd, address, a->size);
  if (r < 0 && errno == EADDRINUSE && *a->un.sun_path && is_stale(L, a)) {
    unlink(a->un.sun_path);
    r = bind(fd, address, a->size);
  }
  if (r < 0) return errno;
  if (mode >= 0 && *a->un.sun_path && chmod(a->un.sun_path, (mode_t)mode) < 0)
    return errno;
  return 0;
}

static void own_file(struct green_socket *s,
                     const struct green_unix_address *a) {
  struct green_socket_file *file;
  struct stat st;
  if (!*a->un.sun_path || lstat(a->un.sun_path, &st) < 0) return;
  if (!(file = malloc(sizeof *file))) return;
  file->dev = st.st_dev;
  file->ino = st.st_ino;
  file->pid = getpid();
  memcpy(file->path, a->un.sun_path, sizeof a->un.sun_path);
  file->path[sizeof a->un.sun_path] = 0;
  s->file = file;
}

/* bind_file(sock, path [, mode]): the file goes when the socket closes; one
 * that nobody listens on is replaced. */
static int l_bind_file(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_socket *s = luaL_checkudata(L, 1, "green.unixstream{master}");
  int mode = (int)luaL_optinteger(L, 3, -1);
  struct green_unix_address a;
  int r;
  if (!unix_address(L, 2, &a)) return fail_text(L, "path too long");
  r = need_fd(L, G, s, AF_UNIX, 0);
  if (r == 0) r = bind_file(L, s->fd, &a, mode);
  if (r) return lg_socket_fail(L, r);
  own_file(s, &a);
  lua_pushinteger(L, 1);
  return 1;
}

/* --- getsockname and getpeername --- */

static int push_inet(lua_State *L, const struct sockaddr_storage *a) {
  char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1], port[8];
  int r = getnameinfo((const struct sockaddr *)a, sizeof *a, text, sizeof text,
                      port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  if (r) return fail_text(L, gai_strerror(r));
  lua_pushstring(L, text);
  lua_pushinteger(L, atoi(port));
  lua_pushstring(L, a->ss_family == AF_INET6 ? "inet6" : "inet");
  return 3;
}

static int push_address(lua_State *L, const struct sockaddr_storage *a,
                        socklen_t size) {
  const struct sockaddr_un *un = (const struct sockaddr_un *)a;
  size_t n = size - offsetof(struct sockaddr_un, sun_path);
  if (a->ss_family != AF_UNIX) return push_inet(L, a);
  if (size <= offsetof(struct sockaddr_un, sun_path)) n = 0;
  if (n && *un->sun_path) n = strnlen(un->sun_path, n);
  lua_pushlstring(L, un->sun_path, n);
  return 1;
}

int lg_socket_getsockname(lua_State *L) {
  struct green_socket *s = lg_socket(L, SOCKET_ANY);
  struct sockaddr_storage a;
  socklen_t size = sizeof a;
  if (s->fd < 0) return lg_push_closed(L);
  memset(&a, 0, sizeof a);
  if (getsockname(s->fd, (struct sockaddr *)&a, &size) < 0)
    return lg_socket_fail(L, errno);
  return push_address(L, &a, size);
}

int lg_socket_getpeername(lua_State *L) {
  struct green_socket *s = lg_socket(L, SOCKET_ANY);
  struct sockaddr_storage a;
  socklen_t size = sizeof a;
  if (s->fd < 0) return lg_push_closed(L);
  memset(&a, 0, sizeof a);
  if (getpeername(s->fd, (struct sockaddr *)&a, &size) < 0)
    return lg_socket_fail(L, errno);
  return push_address(L, &a, size);
}

/* --- making sockets, and waiting for anybody's descriptor --- */

/* tcp([family]): without one, the descriptor is made by connect or bind. */
static int l_tcp(lua_State *L) {
  static const char *const names[] = {"any", "inet", "inet4", "inet6", NULL};
  static const int families[] = {0, AF_INET, AF_INET, AF_INET6};
  struct lg *G = lg_get(L);
  int family = families[luaL_checkoption(L, 1, "any", names)];
  struct green_socket *s = lg_socket_new(L, 0);
  int r = family ? need_fd(L, G, s, family, 0) : 0;
  return r ? lg_socket_fail(L, r) : 1;
}

static int l_unix(lua_State *L) {
  lg_socket_new(L, 1);
  return 1;
}

static int fd_of(lua_State *L) {
  int fd;
  if (lua_isinteger(L, 1)) return (int)lua_tointeger(L, 1);
  if (lua_isnumber(L, 1)) return (int)lua_tonumber(L, 1);
  if (luaL_getmetafield(L, 1, "__index") == LUA_TNIL ||
      lua_getfield(L, 1, "getfd") == LUA_TNIL)
    luaL_argerror(L, 1, "descriptor expected");
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  fd = (int)luaL_checkinteger(L, -1);
  return fd;
}

/* 0, or what green_wait_fd() says. */
static int try_fd(int fd, int event) {
  struct pollfd p = {fd, event == GREEN_READABLE ? POLLIN : POLLOUT, 0};
  if (fd < 0) return UV_EBADF; /* which poll() passes over */
  if (poll(&p, 1, 0) <= 0) return UV_ETIMEDOUT;
  return p.revents & POLLNVAL ? UV_EBADF : 0;
}

static int wait_failed(lua_State *L, struct lg *G, int code) {
  if (code == UV_EBUSY)
    return luaL_error(L,
                      "'wait_fd': another green thread waits for the same"
                      " event of this descriptor");
  if (code == UV_ETIMEDOUT) return lg_push_timeout(L);
  if (code == UV_EBADF) return lg_push_closed(L);
  lg_raise_code(L, G, code, "wait_fd");
  return fail_text(L, green_strerror(code));
}

/* wait_fd(fd, "r" | "w" [, s]) */
static int l_wait_fd(lua_State *L) {
  static const char *const names[] = {"r", "w", NULL};
  struct lg *G = lg_get(L);
  int event =
      luaL_checkoption(L, 2, NULL, names) ? GREEN_WRITABLE : GREEN_READABLE;
  uint64_t deadline = lg_limit(L, 3);
  int fd = fd_of(L), r;
  if (deadline == 0) {
    r = try_fd(fd, event);
  } else {
    may_block(L, G, "wait_fd");
    r = green_wait_fd(G->hub, fd, event, deadline);
  }
  if (r < 0) return wait_failed(L, G, r);
  lua_pushboolean(L, 1);
  return 1;
}

static int l_checkpoint(lua_State *L);

static const struct lg_op checkpoint_op = {
    {"checkpoint", NULL, NULL}, l_checkpoint, NULL, NULL};

/* checkpoint(): the entry of a blocking function that is written in Lua. */
static int l_checkpoint(lua_State *L) {
  struct lg *G = lg_get(L);
  int r = lg_enter(L, G, &checkpoint_op);
  return r < 0 ? 0 : r;
}

static const luaL_Reg functions[] = {{"tcp", l_tcp},
                                     {"unix", l_unix},
                                     {"bind_file", l_bind_file},
                                     {"wait_fd", l_wait_fd},
                                     {"checkpoint", l_checkpoint},
                                     {NULL, NULL}};

void lg_open_address(lua_State *L) {
  lg_setfuncs(L, functions, 0);
}
