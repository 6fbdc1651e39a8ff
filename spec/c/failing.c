/* failing.c - a Lua module for specs, to be preloaded: system calls that fail.
 *
 *   LD_PRELOAD=build/spec/failing.so lua5.4 ...
 *   local failing = require "spec.failing"
 *   failing.plan("accept4", 3, "EMFILE", 2)  -- the third call and the fourth
 *
 * It stands before libc for the program and for libuv. A call fails as in the
 * kernel: calls that would have failed anyway fail by themselves; changing an
 * existing registration of epoll needs no memory; an interrupted connect goes
 * on, and an interrupted close has closed. It also has functions that specs of
 * descriptors need and Lua lacks: dup, pipes, forked children.
 *
 * One OS thread plans. Calls of others are neither counted nor failed.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* ------------------------------------------------------------- the plan -- */

enum call {
  ACCEPT4,
  BIND,
  CHMOD,
  CLOSE,
  CONNECT,
  DUP3,
  EPOLL_CREATE1,
  EPOLL_CTL,
  EPOLL_WAIT,
  EVENTFD,
  FCHMOD,
  FCNTL,
  FLOCK,
  FSTAT,
  GETADDRINFO,
  GETNAMEINFO,
  GETPEERNAME,
  GETSOCKNAME,
  GETSOCKOPT,
  LISTEN,
  LSTAT,
  MADVISE,
  MMAP,
  MPROTECT,
  OPEN,
  POLL,
  PTHREAD_CREATE,
  PREAD,
  RECV,
  RECVFROM,
  RECVMSG,
  SEND,
  SENDFILE,
  SENDMSG,
  SENDTO,
  SETSOCKOPT,
  SHUTDOWN,
  SIGALTSTACK,
  SOCKET,
  SOCKETPAIR,
  UNLINK,
  CALLS
};

static const char *const names[CALLS] = {
    "accept4",     "bind",        "chmod",          "close",
    "connect",     "dup3",        "epoll_create1",  "epoll_ctl",
    "epoll_wait",  "eventfd",     "fchmod",         "fcntl",
    "flock",       "fstat",       "getaddrinfo",    "getnameinfo",
    "getpeername", "getsockname", "getsockopt",     "listen",
    "lstat",       "madvise",     "mmap",           "mprotect",
    "open",        "poll",        "pthread_create", "pread64",
    "recv",        "recvfrom",    "recvmsg",        "send",
    "sendfile64",  "sendmsg",     "sendto",         "setsockopt",
    "shutdown",    "sigaltstack", "socket",         "socketpair",
    "unlink"};

static struct {
  long calls[CALLS];
  int armed;
  enum call call;
  long first, last; /* of the calls that fail */
  int error;
  pthread_t thread;
} plan;

/* Counts the call. Is it to fail? */
static int fails(enum call call) {
  long n;
  if (!plan.armed || !pthread_equal(pthread_self(), plan.thread)) return 0;
  n = ++plan.calls[call];
  return call == plan.call && n >= plan.first && n <= plan.last;
}

static int fail(void) {
  errno = plan.error;
  return -1;
}

/* The next function of that name, which we stand before. */
static void *real(enum call call) {
  static void *known[CALLS];
  if (!known[call]) known[call] = dlsym(RTLD_NEXT, names[call]);
  return known[call];
}

/* ----------------------------------------------------- before libc's own -- */

EXPORT int accept4(int fd, struct sockaddr *a, socklen_t *n, int flags) {
  int r;
  if (!fails(ACCEPT4))
    return ((int (*)(int, struct sockaddr *, socklen_t *, int))real(ACCEPT4))(
        fd, a, n, flags);
  /* Errors of a connection end it; errors of a shortage do not. */
  if (plan.error != EMFILE && plan.error != ENFILE && plan.error != ENOMEM &&
      plan.error != ENOBUFS && plan.error != EINTR && plan.error != EAGAIN &&
      (r = (int)syscall(SYS_accept4, fd, NULL, NULL, flags)) >= 0)
    syscall(SYS_close, r);
  return fail();
}

EXPORT int bind(int fd, const struct sockaddr *a, socklen_t n) {
  if (fails(BIND)) return fail();
  return ((int (*)(int, const struct sockaddr *, socklen_t))real(BIND))(fd, a,
                                                                        n);
}

EXPORT int chmod(const char *path, mode_t mode) {
  if (fails(CHMOD)) return fail();
  return ((int (*)(const char *, mode_t))real(CHMOD))(path, mode);
}

EXPORT int close(int fd) {
  int failing = fails(CLOSE);
  int r = ((int (*)(int))real(CLOSE))(fd);
  return r == 0 && failing ? fail() : r;
}

EXPORT int connect(int fd, const struct sockaddr *a, socklen_t n) {
  int failing = fails(CONNECT), r;
  if (failing && plan.error != EINTR) return fail();
  r = ((int (*)(int, const struct sockaddr *, socklen_t))real(CONNECT))(fd, a,
                                                                        n);
  return failing && r < 0 && errno == EINPROGRESS ? fail() : r;
}

EXPORT int dup3(int from, int to, int flags) {
  if (fails(DUP3)) return fail();
  return ((int (*)(int, int, int))real(DUP3))(from, to, flags);
}

EXPORT int epoll_create1(int flags) {
  if (fails(EPOLL_CREATE1)) return fail();
  return ((int (*)(int))real(EPOLL_CREATE1))(flags);
}

EXPORT int epoll_ctl(int ep, int op, int fd, struct epoll_event *e) {
  int r = (int)syscall(SYS_epoll_ctl, ep, op, fd, e);
  /* Only a new registration needs anything. */
  if (r < 0 || op != EPOLL_CTL_ADD || !fails(EPOLL_CTL)) return r;
  syscall(SYS_epoll_ctl, ep, EPOLL_CTL_DEL, fd, e);
  return fail();
}

EXPORT int epoll_wait(int ep, struct epoll_event *e, int n, int ms) {
  if (fails(EPOLL_WAIT)) return fail();
  return ((int (*)(int, struct epoll_event *, int, int))real(EPOLL_WAIT))(
      ep, e, n, ms);
}

EXPORT int eventfd(unsigned int n, int flags) {
  if (fails(EVENTFD)) return fail();
  return ((int (*)(unsigned int, int))real(EVENTFD))(n, flags);
}

EXPORT int fchmod(int fd, mode_t mode) {
  if (fails(FCHMOD)) return fail();
  return ((int (*)(int, mode_t))real(FCHMOD))(fd, mode);
}

EXPORT int fcntl(int fd, int command, ...) {
  va_list list;
  void *arg;
  va_start(list, command);
  arg = va_arg(list, void *);
  va_end(list);
  if (fails(FCNTL)) return fail();
  return ((int (*)(int, int, ...))real(FCNTL))(fd, command, arg);
}

EXPORT int flock(int fd, int how) {
  if (fails(FLOCK)) return fail();
  return ((int (*)(int, int))real(FLOCK))(fd, how);
}

EXPORT int fstat(int fd, struct stat *st) {
  if (fails(FSTAT)) return fail();
  return ((int (*)(int, struct stat *))real(FSTAT))(fd, st);
}

EXPORT int lstat(const char *path, struct stat *st) {
  if (fails(LSTAT)) return fail();
  return ((int (*)(const char *, struct stat *))real(LSTAT))(path, st);
}

/* Planned with the number of an EAI_ code, or EAI_SYSTEM's errno. */
EXPORT int getaddrinfo(const char *node, const char *service,
                       const struct addrinfo *hints, struct addrinfo **list) {
  if (fails(GETADDRINFO)) {
    if (plan.error < 0) return plan.error;
    fail();
    return EAI_SYSTEM;
  }
  return ((int (*)(const char *, const char *, const struct addrinfo *,
                   struct addrinfo **))real(GETADDRINFO))(node, service, hints,
                                                          list);
}

EXPORT int getnameinfo(const struct sockaddr *a, socklen_t size, char *host,
                       socklen_t hosts, char *port, socklen_t ports,
                       int flags) {
  if (fails(GETNAMEINFO)) return plan.error < 0 ? plan.error : EAI_SYSTEM;
  return ((int (*)(const struct sockaddr *, socklen_t, char *, socklen_t,
                   char *, socklen_t, int))real(GETNAMEINFO))(
      a, size, host, hosts, port, ports, flags);
}

typedef int name_function(int, struct sockaddr *, socklen_t *);

EXPORT int getpeername(int fd, struct sockaddr *a, socklen_t *n) {
  return fails(GETPEERNAME) ? fail()
                            : ((name_function *)real(GETPEERNAME))(fd, a, n);
}

EXPORT int getsockname(int fd, struct sockaddr *a, socklen_t *n) {
  return fails(GETSOCKNAME) ? fail()
                            : ((name_function *)real(GETSOCKNAME))(fd, a, n);
}

EXPORT int getsockopt(int fd, int level, int name, void *v, socklen_t *n) {
  if (fails(GETSOCKOPT)) return fail();
  return ((int (*)(int, int, int, void *, socklen_t *))real(GETSOCKOPT))(
      fd, level, name, v, n);
}

EXPORT int listen(int fd, int backlog) {
  if (fails(LISTEN)) return fail();
  return ((int (*)(int, int))real(LISTEN))(fd, backlog);
}

EXPORT int madvise(void *at, size_t n, int advice) {
  if (fails(MADVISE)) return fail();
  return ((int (*)(void *, size_t, int))real(MADVISE))(at, n, advice);
}

EXPORT void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t off) {
  if (fails(MMAP)) {
    fail();
    return MAP_FAILED;
  }
  return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, off);
}

EXPORT int mprotect(void *at, size_t n, int prot) {
  if (fails(MPROTECT)) return fail();
  return (int)syscall(SYS_mprotect, at, n, prot);
}

EXPORT int open(const char *path, int flags, ...) {
  va_list list;
  mode_t mode;
  va_start(list, flags);
  mode = (mode_t)va_arg(list, int);
  va_end(list);
  if (fails(OPEN)) return fail();
  return ((int (*)(const char *, int, ...))real(OPEN))(path, flags, mode);
}

EXPORT int poll(struct pollfd *p, nfds_t n, int ms) {
  if (fails(POLL)) return fail();
  return ((int (*)(struct pollfd *, nfds_t, int))real(POLL))(p, n, ms);
}

EXPORT int pthread_create(pthread_t *t, const pthread_attr_t *attributes,
                          void *(*f)(void *), void *arg) {
  if (fails(PTHREAD_CREATE)) return plan.error;
  return ((int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
                   void *))real(PTHREAD_CREATE))(t, attributes, f, arg);
}

EXPORT ssize_t recv(int fd, void *to, size_t n, int flags) {
  if (fails(RECV)) return fail();
  return ((ssize_t(*)(int, void *, size_t, int))real(RECV))(fd, to, n, flags);
}

/* With error 0 it takes one byte only. */
EXPORT ssize_t send(int fd, const void *from, size_t n, int flags) {
  if (fails(SEND)) {
    if (plan.error) return fail();
    if (n > 1) n = 1;
  }
  return ((ssize_t(*)(int, const void *, size_t, int))real(SEND))(fd, from, n,
                                                                  flags);
}

/* By whatever names libc's headers have them: offsets have 64 bits. */
EXPORT ssize_t pread64(int fd, void *to, size_t n, off_t at) {
  if (fails(PREAD)) return fail();
  return ((ssize_t(*)(int, void *, size_t, off_t))real(PREAD))(fd, to, n, at);
}
EXPORT ssize_t pread(int fd, void *to, size_t n, off_t at) {
  return pread64(fd, to, n, at);
}

EXPORT ssize_t recvfrom(int fd, void *to, size_t n, int flags,
                        struct sockaddr *a, socklen_t *size) {
  if (fails(RECVFROM)) return fail();
  return ((ssize_t(*)(int, void *, size_t, int, struct sockaddr *,
                      socklen_t *))real(RECVFROM))(fd, to, n, flags, a, size);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *m, int flags) {
  if (fails(RECVMSG)) return fail();
  return ((ssize_t(*)(int, struct msghdr *, int))real(RECVMSG))(fd, m, flags);
}

/* With error 0 it sends one byte only. */
EXPORT ssize_t sendfile64(int to, int fd, off_t *at, size_t n) {
  if (fails(SENDFILE)) {
    if (plan.error) return fail();
    if (n > 1) n = 1;
  }
  return ((ssize_t(*)(int, int, off_t *, size_t))real(SENDFILE))(to, fd, at,
                                                                 n);
}
EXPORT ssize_t sendfile(int to, int fd, off_t *at, size_t n) {
  return sendfile64(to, fd, at, n);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
  if (fails(SENDMSG)) return fail();
  return ((ssize_t(*)(int, const struct msghdr *, int))real(SENDMSG))(fd, m,
                                                                      flags);
}

EXPORT ssize_t sendto(int fd, const void *from, size_t n, int flags,
                      const struct sockaddr *a, socklen_t size) {
  if (fails(SENDTO)) return fail();
  return ((ssize_t(*)(int, const void *, size_t, int, const struct sockaddr *,
                      socklen_t))real(SENDTO))(fd, from, n, flags, a, size);
}

EXPORT int socketpair(int family, int type, int protocol, int fds[2]) {
  if (fails(SOCKETPAIR)) return fail();
  return ((int (*)(int, int, int, int *))real(SOCKETPAIR))(family, type,
                                                           protocol, fds);
}

EXPORT int setsockopt(int fd, int level, int name, const void *v,
                      socklen_t n) {
  if (fails(SETSOCKOPT)) return fail();
  return ((int (*)(int, int, int, const void *, socklen_t))real(SETSOCKOPT))(
      fd, level, name, v, n);
}

EXPORT int shutdown(int fd, int how) {
  if (fails(SHUTDOWN)) return fail();
  return ((int (*)(int, int))real(SHUTDOWN))(fd, how);
}

EXPORT int sigaltstack(const stack_t *new, stack_t *old) {
  if (new &&fails(SIGALTSTACK)) return fail();
  return ((int (*)(const stack_t *, stack_t *))real(SIGALTSTACK))(new, old);
}

EXPORT int socket(int family, int type, int protocol) {
  if (fails(SOCKET)) return fail();
  return ((int (*)(int, int, int))real(SOCKET))(family, type, protocol);
}

EXPORT int unlink(const char *path) {
  if (fails(UNLINK)) return fail();
  return ((int (*)(const char *))real(UNLINK))(path);
}

/* ------------------------------------------------------------ for plans -- */

static const struct {
  const char *name;
  int number;
} errors[] = {{"none", 0},
              {"EACCES", EACCES},
              {"EADDRINUSE", EADDRINUSE},
              {"EADDRNOTAVAIL", EADDRNOTAVAIL},
              {"EAGAIN", EAGAIN},
              {"EBADF", EBADF},
              {"EBUSY", EBUSY},
              {"ECONNABORTED", ECONNABORTED},
              {"ECONNREFUSED", ECONNREFUSED},
              {"ECONNRESET", ECONNRESET},
              {"EHOSTDOWN", EHOSTDOWN},
              {"EHOSTUNREACH", EHOSTUNREACH},
              {"EINTR", EINTR},
              {"EINVAL", EINVAL},
              {"EIO", EIO},
              {"EMFILE", EMFILE},
              {"ENETDOWN", ENETDOWN},
              {"ENETUNREACH", ENETUNREACH},
              {"ENFILE", ENFILE},
              {"ENOBUFS", ENOBUFS},
              {"ENOLCK", ENOLCK},
              {"ENOMEM", ENOMEM},
              {"ENONET", ENONET},
              {"ENOPROTOOPT", ENOPROTOOPT},
              {"ENOSPC", ENOSPC},
              {"ENOSR", ENOSR},
              {"ENOTCONN", ENOTCONN},
              {"EOPNOTSUPP", EOPNOTSUPP},
              {"EPERM", EPERM},
              {"EPIPE", EPIPE},
              {"EPROTO", EPROTO},
              {"EPROTONOSUPPORT", EPROTONOSUPPORT},
              {"ESOCKTNOSUPPORT", ESOCKTNOSUPPORT},
              {"ETIMEDOUT", ETIMEDOUT},
              {"EAI_AGAIN", EAI_AGAIN},
              {"EAI_FAIL", EAI_FAIL},
              {"EAI_MEMORY", EAI_MEMORY},
              {NULL, 0}};

static int error_arg(lua_State *L, int arg) {
  const char *name = luaL_checkstring(L, arg);
  int i = 0;
  while (errors[i].name && strcmp(errors[i].name, name) != 0) i++;
  if (!errors[i].name) luaL_argerror(L, arg, "unknown error");
  return errors[i].number;
}

static enum call call_arg(lua_State *L, int arg) {
  const char *name = luaL_checkstring(L, arg);
  int i = 0;
  while (i < CALLS && strcmp(names[i], name) != 0) i++;
  if (i == CALLS) luaL_argerror(L, arg, "unknown call");
  return (enum call)i;
}

/* plan(call, nth, error [, times]): from now on the nth call fails, and those
 * after it, as many as times says. */
static int l_plan(lua_State *L) {
  long nth = (long)luaL_checkinteger(L, 2);
  long times = (long)luaL_optinteger(L, 4, 1);
  enum call call = call_arg(L, 1);
  int error = error_arg(L, 3);
  memset(&plan, 0, sizeof plan);
  plan.call = call;
  plan.first = nth;
  plan.last = nth + times - 1;
  plan.error = error;
  plan.thread = pthread_self();
  plan.armed = 1;
  return 0;
}

/* watch(): counts, and lets nothing fail. */
static int l_watch(lua_State *L) {
  (void)L;
  memset(&plan, 0, sizeof plan);
  plan.last = -1;
  plan.thread = pthread_self();
  plan.armed = 1;
  return 0;
}

/* off(): nothing fails any more. Returns the counts of the calls by name. */
static int l_off(lua_State *L) {
  int i;
  plan.armed = 0;
  lua_createtable(L, 0, CALLS);
  for (i = 0; i < CALLS; i++) {
    lua_pushinteger(L, plan.calls[i]);
    lua_setfield(L, -2, names[i]);
  }
  return 1;
}

/* ---------------------------------------------------------- descriptors -- */

static int pushed(lua_State *L, int fd) {
  if (fd < 0) return luaL_error(L, "%s", strerror(errno));
  lua_pushinteger(L, fd);
  return 1;
}

static int pushed_two(lua_State *L, int r, const int fd[2]) {
  if (r < 0) return luaL_error(L, "%s", strerror(errno));
  lua_pushinteger(L, fd[0]);
  lua_pushinteger(L, fd[1]);
  return 2;
}

static int fd_arg(lua_State *L, int arg) {
  return (int)luaL_checkinteger(L, arg);
}

static int l_dup(lua_State *L) {
  return pushed(L, dup(fd_arg(L, 1)));
}

static int l_dup2(lua_State *L) {
  return pushed(L, dup2(fd_arg(L, 1), fd_arg(L, 2)));
}

static int l_close(lua_State *L) {
  lua_pushboolean(L, close(fd_arg(L, 1)) == 0);
  return 1;
}

static int l_pair(lua_State *L) {
  int fd[2];
  int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  return pushed_two(L, socketpair(AF_UNIX, type, 0, fd), fd);
}

static int l_pipe(lua_State *L) {
  int fd[2];
  return pushed_two(L, pipe2(fd, O_NONBLOCK | O_CLOEXEC), fd);
}

static int l_eventfd(lua_State *L) {
  return pushed(L, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

static int l_file(lua_State *L) {
  return pushed(L, open("/dev/null", O_RDWR | O_CLOEXEC));
}

static int l_is_open(lua_State *L) {
  lua_pushboolean(L, fcntl(fd_arg(L, 1), F_GETFD) >= 0);
  return 1;
}

/* read(fd): at most 4096 bytes; or nil. */
static int l_read(lua_State *L) {
  char bytes[4096];
  ssize_t n = read(fd_arg(L, 1), bytes, sizeof bytes);
  if (n < 0) return 0;
  lua_pushlstring(L, bytes, (size_t)n);
  return 1;
}

/* write(fd, s): how many bytes; or nil. */
static int l_write(lua_State *L) {
  size_t size;
  const char *s = luaL_checklstring(L, 2, &size);
  ssize_t n = write(fd_arg(L, 1), s, size);
  if (n < 0) return 0;
  lua_pushinteger(L, n);
  return 1;
}

/* events(fd): is it readable, is it writable? By poll(2). */
static int l_events(lua_State *L) {
  struct pollfd p = {fd_arg(L, 1), POLLIN | POLLOUT, 0};
  if (poll(&p, 1, 0) < 0) return luaL_error(L, "%s", strerror(errno));
  lua_pushboolean(L, (p.revents & (POLLIN | POLLHUP | POLLERR)) != 0);
  lua_pushboolean(L, (p.revents & (POLLOUT | POLLHUP | POLLERR)) != 0);
  return 2;
}

/* limit(n): of descriptors; returns what it was. */
static int l_limit(lua_State *L) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) < 0) return luaL_error(L, "getrlimit");
  lua_pushinteger(L, (lua_Integer)r.rlim_cur);
  r.rlim_cur = (rlim_t)luaL_checkinteger(L, 1);
  if (setrlimit(RLIMIT_NOFILE, &r) < 0) return luaL_error(L, "setrlimit");
  return 1;
}

/* ------------------------------------------------------------- children -- */

/* sleeper(): a forked child with all descriptors but the standard ones, which
 * does nothing, and goes with its parent; and kill(pid) ends it. */
static int l_sleeper(lua_State *L) {
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < 3; i++) syscall(SYS_close, i);
    for (;;) pause();
  }
  lua_pushinteger(L, pid);
  return 1;
}

static int l_kill(lua_State *L) {
  pid_t pid = (pid_t)luaL_checkinteger(L, 1);
  if (pid <= 0) return luaL_argerror(L, 1, "a child expected");
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  return 0;
}

static void be_child(lua_State *L, unsigned int seconds, int report) {
  int bad = 0;
  dup2(report, STDOUT_FILENO);
  dup2(report, STDERR_FILENO);
  close(report);
  alarm(seconds);
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
    bad = 1;
    dprintf(STDERR_FILENO, "%s\n", luaL_tolstring(L, -1, NULL));
  }
  _exit(bad);
}

static void push_all(lua_State *L, int fd) {
  luaL_Buffer b;
  ssize_t n;
  luaL_buffinit(L, &b);
  while ((n = read(fd, luaL_prepbuffer(&b), LUAL_BUFFERSIZE)) != 0)
    if (n > 0) luaL_addsize(&b, (size_t)n);
  luaL_pushresult(&b);
}

/* child(seconds, f): runs f in a forked child. Returns how that ended ("exit"
 * or "signal"), the number, and what it wrote to stdout and stderr. */
static int l_child(lua_State *L) {
  unsigned int seconds = (unsigned int)luaL_checkinteger(L, 1);
  int fd[2], status = 0;
  pid_t pid;
  luaL_checktype(L, 2, LUA_TFUNCTION);
  if (pipe(fd) < 0) return luaL_error(L, "%s", strerror(errno));
  if ((pid = fork()) < 0) return luaL_error(L, "%s", strerror(errno));
  if (pid == 0) {
    close(fd[0]);
    be_child(L, seconds, fd[1]);
  }
  close(fd[1]);
  push_all(L, fd[0]);
  close(fd[0]);
  waitpid(pid, &status, 0);
  lua_pushstring(L, WIFSIGNALED(status) ? "signal" : "exit");
  lua_pushinteger(
      L, WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  lua_rotate(L, -3, 2);
  return 3;
}

static const luaL_Reg functions[] = {{"child", l_child},
                                     {"close", l_close},
                                     {"dup", l_dup},
                                     {"dup2", l_dup2},
                                     {"eventfd", l_eventfd},
                                     {"events", l_events},
                                     {"file", l_file},
                                     {"is_open", l_is_open},
                                     {"kill", l_kill},
                                     {"limit", l_limit},
                                     {"off", l_off},
                                     {"pair", l_pair},
                                     {"pipe", l_pipe},
                                     {"plan", l_plan},
                                     {"read", l_read},
                                     {"sleeper", l_sleeper},
                                     {"watch", l_watch},
                                     {"write", l_write},
                                     {NULL, NULL}};

EXPORT int luaopen_spec_failing(lua_State *L);
int luaopen_spec_failing(lua_State *L) {
  signal(SIGPIPE, SIG_IGN); /* write() to a pipe that nobody reads */
  luaL_newlib(L, functions);
  return 1;
}
