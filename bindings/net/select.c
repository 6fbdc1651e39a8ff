/* select.c - LuaSocket's select: which of many descriptors are ready?
 *
 * The lists are of anything that has a method getfd, sockets of other libraries
 * among them, in any number. poll(2) answers at once; where it has nothing to
 * say, the thread waits for all of them in the core (core/many.c), which leaves
 * them to whoever else waits for them, and asks again. The request lies in a
 * userdata with a finalizer: the program's code, which runs while the lists are
 * read, may raise, and a thread that waits may be closed by others.
 *
 * How many it takes is LuaSocket's _SETSIZE: what a process may have open, and
 * MOST at most, so that a program that tries it out gets through.
 *
 * Green threads only, where it waits.
 *
 * SPDX-License-Identifier: MIT
 */
#include <poll.h>
#include <string.h>
#include <sys/resource.h>

#include "net/calls.h"
#include "net/waiting.h"
#include "runtime/interrupt.h"

/* The stack of a call. */
enum { READERS = 1, WRITERS, LIMIT, READABLE, WRITABLE, OBJECTS, ASKED };

enum { MOST = 65536 };

static size_t most(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > MOST)
    return MOST;
  return (size_t)limit.rlim_cur;
}

/* The question: `n` descriptors, the readers first, which all have different
 * numbers within their list. The object of entry i is OBJECTS[i + 1]. */
struct asked {
  struct lg *G;
  struct green_set set;
  size_t n, room, readers;
  struct green_many *many;
  struct pollfd *polls;
  uint64_t deadline;
};

static const char ASKED_META[] = "what is asked"; /* key in the registry */
static const struct lg_op select_op;

/* --- reading the lists --- */

/* Of the object on top of the stack: -1, it has none. */
static int fd_of(lua_State *L) {
  lua_Number n = -1;
  const struct lg_socket *s = lg_to_socket(L, -1);
  if (s && s->fd < 0) return -1;
  if (lua_getfield(L, -1, "getfd") != LUA_TNIL) {
    lua_pushvalue(L, -2);
    lua_call(L, 1, 1);
    if (lua_isnumber(L, -1)) n = lua_tonumber(L, -1);
  }
  lua_pop(L, 1);
  return n >= 0 ? lg_int_or(n, -1) : -1;
}

/* Has it received bytes already? */
static int is_dirty(lua_State *L) {
  int dirty = 0;
  if (lua_getfield(L, -1, "dirty") != LUA_TNIL) {
    lua_pushvalue(L, -2);
    lua_call(L, 1, 1);
    dirty = lua_toboolean(L, -1);
  }
  lua_pop(L, 1);
  return dirty;
}

static void check_list(lua_State *L, int at) {
  if (!lua_isnoneornil(L, at)) luaL_checktype(L, at, LUA_TTABLE);
}

/* Counts the elements up to the first nil; the lists may change while they are
 * read, then what is beyond is passed over. */
static size_t length(lua_State *L, int at) {
  lua_Integer i = 1;
  if (lua_isnil(L, at)) return 0;
  while (i <= MOST + 1 && lua_geti(L, at, i) != LUA_TNIL) {
    lua_pop(L, 1);
    i++;
  }
  lua_pop(L, 1);
  luaL_argcheck(L, (size_t)(i - 1) <= MOST, at, "too many sockets");
  return (size_t)(i - 1);
}

/* The object on top of the stack is asked about, instead of another of the
 * same list and number; pops it. `numbers` is that list's, by number. */
static void ask(lua_State *L, struct asked *a, int numbers, int fd,
                int events) {
  size_t i = a->n;
  if (lua_rawgeti(L, numbers, fd) == LUA_TNUMBER)
    i = (size_t)lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (i == a->n) {
    if (a->n == a->room) {
      lua_pop(L, 1);
      return;
    }
    a->many[i].fd = a->polls[i].fd = fd;
    a->many[i].events = (uint8_t)events;
    a->polls[i].events = events == GREEN_READABLE ? POLLIN : POLLOUT;
    a->n++;
    lua_pushinteger(L, (lua_Integer)i);
    lua_rawseti(L, numbers, fd);
  }
  lua_rawseti(L, OBJECTS, (lua_Integer)i + 1);
}

/* Appends the object on top of the stack to a list of results; pops it. */
static void found(lua_State *L, int results) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, results) + 1;
  lua_pushvalue(L, -1);
  lua_rawseti(L, results, n);
  lua_pushinteger(L, n);
  lua_rawset(L, results);
}

/* Reads a list. Of the readers, those that have bytes already are found. */
static void read_list(lua_State *L, struct asked *a, int at, int events,
                      size_t n) {
  size_t i;
  int numbers;
  lua_newtable(L);
  numbers = lua_gettop(L);
  for (i = 1; i <= n && lua_geti(L, at, (lua_Integer)i) != LUA_TNIL; i++) {
    int fd = fd_of(L);
    if (fd < 0)
      lua_pop(L, 1);
    else if (events == GREEN_READABLE && is_dirty(L))
      found(L, READABLE);
    else
      ask(L, a, numbers, fd, events);
  }
  lua_settop(L, numbers - 1);
}

static struct asked *new_asked(lua_State *L, size_t room) {
  struct asked *a = lua_newuserdatauv(
      L, sizeof *a + room * (sizeof *a->many + sizeof *a->polls), 0);
  memset(a, 0, sizeof *a);
  a->G = lg_get(L);
  a->room = room;
  a->many = (struct green_many *)(a + 1);
  a->polls = (struct pollfd *)(a->many + room);
  memset(a->many, 0, room * sizeof *a->many);
  lua_rawgetp(L, LUA_REGISTRYINDEX, ASKED_META);
  lua_setmetatable(L, -2);
  return a;
}

/* A request that waits is held by its thread. */
static int asked_gc(lua_State *L) {
  struct asked *a = lg_collected(L);
  if (a && a->G->hub && a->set.linked == 0) green_set_end(a->G->hub, &a->set);
  return 0;
}

/* --- asking --- */

/* How many are ready. */
static int look(lua_State *L, struct asked *a) {
  int r;
  do r = poll(a->polls, (nfds_t)a->n, 0);
  while (r < 0 && errno == EINTR);
  if (r < 0) luaL_error(L, "select failed (%s)", strerror(errno));
  return r;
}

/* A number that leads nowhere is a mistake, if it was so from the start. */
static void check_open(lua_State *L, const struct asked *a) {
  size_t i;
  for (i = 0; i < a->n; i++)
    if (a->polls[i].revents & POLLNVAL)
      luaL_error(L, "select failed (descriptor %d is not open)",
                 a->polls[i].fd);
}

/* Sockets that were closed meanwhile are ready: their next call says so. */
static int note_closed(struct asked *a) {
  size_t i;
  int n = 0;
  for (i = 0; i < a->n; i++)
    if (a->many[i].closed) n += (a->polls[i].revents |= POLLNVAL) != 0;
  return n;
}

static void collect(lua_State *L, const struct asked *a) {
  size_t i;
  for (i = 0; i < a->n; i++) {
    if (!a->polls[i].revents) continue;
    lua_rawgeti(L, OBJECTS, (lua_Integer)i + 1);
    found(L, i < a->readers ? READABLE : WRITABLE);
  }
}

/* The results, of which `found` says whether there are any. */
static int results(lua_State *L, const struct asked *a, int any) {
  collect(L, a);
  lua_settop(L, WRITABLE);
  if (any) return 2;
  lua_pushliteral(L, "timeout");
  return 3;
}

/* --- waiting --- */

/* Descriptors of our own sockets are watched already, or from now on. */
static void find_own(lua_State *L, struct lg *G, struct asked *a) {
  size_t i;
  for (i = 0; i < a->n; i++) {
    struct lg_socket *s;
    lua_rawgeti(L, OBJECTS, (lua_Integer)i + 1);
    s = lg_to_socket(L, -1);
    lua_pop(L, 1);
    a->many[i].own = NULL;
    if (s && s->fd == a->many[i].fd && lg_socket_watch(G, s) == 0)
      a->many[i].own = s->f;
  }
}

static int wait_for_some(lua_State *L, struct lg *G, struct asked *a) {
  int keep = lg_yield_or_keep(L, G, &select_op), r;
  if (!keep) lg_reserve_mark(L);
  find_own(L, G, a);
  a->set.fds = a->many;
  a->set.n = a->n;
  r = green_set_begin(G->hub, &a->set, a->deadline, &select_op.kind);
  if (r == UV_EBADF) return results(L, a, look(L, a) + note_closed(a));
  if (r < 0) return luaL_error(L, "select failed (%s)", green_strerror(r));
  return lg_park(L, G, &select_op, keep);
}

static int select_woken(lua_State *L, struct lg *G, int reason) {
  struct asked *a = lua_touserdata(L, ASKED);
  int n;
  green_set_end(G->hub, &a->set);
  n = look(L, a) + note_closed(a);
  if (n > 0 || reason == GREEN_TIMEOUT) return results(L, a, n > 0);
  if (lg_is_struck(G)) {
    lg_interrupt(L, G, &select_op);
    return select_op.start(L); /* it was taken back */
  }
  return wait_for_some(L, G, a); /* another thread was first */
}

static void select_interrupted(lua_State *L, struct lg *G) {
  struct asked *a = lua_touserdata(L, ASKED);
  green_set_end(G->hub, &a->set);
}

/* nil, or less than 0: none. */
static uint64_t limit_of(lua_State *L) {
  lua_Number s = luaL_optnumber(L, LIMIT, -1);
  luaL_argcheck(L, s == s, LIMIT, "seconds expected, got NaN");
  return s == 0 ? 0 : lg_end_of(s);
}

/* Makes the tables of results, and reads both lists. */
static struct asked *read_lists(lua_State *L) {
  struct asked *a;
  size_t readers, writers;
  lua_newtable(L);
  lua_newtable(L);
  lua_newtable(L);
  readers = length(L, READERS);
  writers = length(L, WRITERS);
  a = new_asked(L, readers + writers);
  read_list(L, a, READERS, GREEN_READABLE, readers);
  a->readers = a->n;
  read_list(L, a, WRITERS, GREEN_WRITABLE, writers);
  return a;
}

/* select_fds(readers, writers [, s]) */
static int l_select(lua_State *L) {
  struct lg *G = lg_get(L);
  uint64_t deadline = limit_of(L);
  struct asked *a;
  int n;
  check_list(L, READERS);
  check_list(L, WRITERS);
  lua_settop(L, LIMIT);
  luaL_checkstack(L, 16, "luagreen");
  if (deadline > 0 && (n = lg_enter(L, G, &select_op)) >= 0) return n;
  a = read_lists(L);
  a->deadline = deadline;
  n = look(L, a);
  if (n > 0) check_open(L, a);
  n += lua_rawlen(L, READABLE) > 0;
  if (n > 0 || deadline == 0) return results(L, a, n > 0);
  return wait_for_some(L, G, a);
}

static const struct lg_op select_op = {
    {"socket.select", NULL, green_set_leave},
    l_select,
    select_woken,
    select_interrupted};

/* setsize() */
static int l_setsize(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)most());
  return 1;
}

void lg_open_select_fds(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"select_fds", l_select}, {"setsize", l_setsize}, {NULL, NULL}};
  lg_new_box_class(L, ASKED_META, asked_gc);
  lua_rawsetp(L, LUA_REGISTRYINDEX, ASKED_META);
  lg_setfuncs(L, functions, 0);
}
