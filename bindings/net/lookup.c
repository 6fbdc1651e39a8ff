/* lookup.c - names to addresses and back, for every call that takes a name.
 *
 * A program may have a resolver of its own, a function of Lua's: it is asked
 * for what is not a number, through dns.lua, which knows what it may and may
 * not do. Else the core is asked. A look-up keeps its C stack, so that its
 * callers may hold lists of addresses in C variables; but while a resolver runs
 * they must hold nothing, for it may raise.
 *
 * Green threads only, where they wait.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/lookup.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "net/calls.h"
#include "net/waiting.h"
#include "runtime/interrupt.h"
#include "runtime/owned.h"
#include "runtime/park.h"

static const char RESOLVER[] = "resolver"; /* keys of the registry */
static const char ASK[] = "ask";

/* --- asking the core --- */

static const char *why_not(int code) {
  if (code == UV_EBADF) return "closed"; /* the socket that asked */
  return code < 0 ? lg_lookup_error(code) : NULL;
}

static struct addrinfo hints_of(const struct lg_query *q) {
  struct addrinfo hints;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = q->family;
  hints.ai_socktype = q->socktype;
  hints.ai_flags = q->flags;
  return hints;
}

/* Did something strike the thread? That is raised, whatever else happened. */
static int is_strike(int code) {
  return code == UV_ECANCELED || code == UV_EINTR || code == GREEN_ETHROWN ||
         code == GREEN_EDEADLK;
}

/* It waits, with its C stack kept. */
static int await_system(struct lg *G, const struct lg_query *q,
                        const struct addrinfo *hints, struct addrinfo **list) {
  struct lg_looker me;
  int r;
  lg_look_begin(&me, q->socket);
  r = green_getaddrinfo(G->hub, q->host, q->port, hints, q->deadline, list);
  if (!lg_look_end(&me)) return r;
  green_freeaddrinfo(*list);
  *list = NULL;
  return is_strike(r) ? r : UV_EBADF;
}

/* A question that needs no waiting needs no permission to wait. */
static int ask_system(lua_State *L, struct lg *G, const struct lg_query *q,
                      struct addrinfo **list) {
  struct addrinfo hints = hints_of(q);
  int r = green_getaddrinfo(G->hub, q->host, q->port, &hints, 0, list);
  if (r != UV_ETIMEDOUT && r != UV_EPERM) return r;
  if (!q->deadline) return UV_ETIMEDOUT;
  lg_may_keep(L, G, q->what);
  r = await_system(G, q, &hints, list);
  if (lg_socket_scarce(L, -r)) r = await_system(G, q, &hints, list);
  lg_kept(G);
  if (r < 0) lg_raise_code(L, G, r, q->what);
  return r;
}

/* --- asking the program's resolver --- */

int lg_is_numeric(struct lg *G, const char *host) {
  struct addrinfo hints, *list;
  memset(&hints, 0, sizeof hints);
  hints.ai_flags = AI_NUMERICHOST;
  if (green_getaddrinfo(G->hub, host, NULL, &hints, 0, &list) < 0) return 0;
  green_freeaddrinfo(list);
  return 1;
}

/* The port of a service, as digits. */
static int find_port(lua_State *L, struct lg *G, const struct lg_query *q,
                     char *digits, size_t size) {
  struct lg_query service = *q;
  struct addrinfo *list;
  int r;
  service.host = NULL;
  service.family = AF_INET;
  if ((r = ask_system(L, G, &service, &list)) < 0) return r;
  getnameinfo(list->ai_addr, list->ai_addrlen, NULL, 0, digits,
              (socklen_t)size, NI_NUMERICSERV);
  green_freeaddrinfo(list);
  return 0;
}

/* The resolver may raise, so the looker is a variable to be closed. */
static const char LOOKER[] = "luagreen.looker";

struct looker {
  struct lg_owned owned;
  struct lg_looker l;
};

static int looker_close(lua_State *L) {
  struct looker **looker = lg_self(L);
  if (*looker) lg_look_end(&(*looker)->l);
  return 0;
}

static void end_looker(struct lg_owned *o) {
  lg_look_end(&((struct looker *)o)->l);
}

/* Of a stack that was left behind. */
static int looker_gc(lua_State *L) {
  struct looker **looker = lg_collected(L);
  if (!looker || !*looker) return 0;
  lg_disown(&(*looker)->owned);
  *looker = NULL;
  return 0;
}

static struct lg_looker *push_looker(lua_State *L, const struct lg_query *q) {
  struct lg *G = lg_find(L);
  struct looker **looker = lua_newuserdatauv(L, sizeof *looker, 0);
  *looker = NULL;
  luaL_setmetatable(L, LOOKER);
  *looker = lg_own(L, G, &G->owned, sizeof **looker, end_looker);
  lua_toclose(L, -1);
  lg_look_begin(&(*looker)->l, q->socket);
  return &(*looker)->l;
}

/* Calls ask(name, family, seconds): two values on top of the stack. */
static void call_ask(lua_State *L, const struct lg_query *q) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, ASK);
  lua_pushstring(L, q->host);
  if (q->family && !(q->flags & AI_V4MAPPED))
    lua_pushstring(L, q->family == AF_INET6 ? "inet6" : "inet");
  else
    lua_pushnil(L);
  if (q->deadline == GREEN_FOREVER) {
    lua_pushnil(L);
  } else {
    uint64_t now = green_now();
    lua_pushnumber(
        L, q->deadline > now ? (lua_Number)(q->deadline - now) / 1e9 : 0);
  }
  lua_call(L, 3, 2);
}

/* 1 and a list of addresses on top of the stack; or 0 and why there is none. */
static int call_resolver(lua_State *L, const struct lg_query *q) {
  struct lg_looker *looker;
  int at = lua_gettop(L) + 1, closed;
  luaL_checkstack(L, 9, "luagreen");
  looker = push_looker(L, q);
  call_ask(L, q);
  closed = lg_look_end(looker);
  lua_closeslot(L, at);
  lua_remove(L, at);
  if (closed) {
    lua_settop(L, at - 1);
    lua_pushliteral(L, "closed");
    return 0;
  }
  if (lua_istable(L, -2)) {
    lua_pop(L, 1);
    return 1;
  }
  lua_remove(L, -2);
  return 0;
}

/* The addresses of the list on top of the stack, which are numbers. */
static int read_list(lua_State *L, struct lg *G, const struct lg_query *q,
                     const char *port, struct addrinfo **list) {
  struct addrinfo hints = hints_of(q), **end = list;
  lua_Integer i;
  int r = 0;
  hints.ai_flags &= AI_V4MAPPED;
  hints.ai_flags |= AI_NUMERICHOST | AI_NUMERICSERV;
  for (i = 1; !r && lua_rawgeti(L, -1, i) == LUA_TSTRING; i++) {
    r = green_getaddrinfo(G->hub, lua_tostring(L, -1), port, &hints, 0, end);
    while (*end) end = &(*end)->ai_next;
    lua_pop(L, 1);
  }
  if (!r) lua_pop(L, 1); /* what is no address */
  if (!r && !*list) r = UV_EAI_NONAME;
  if (!r) return 0;
  green_freeaddrinfo(*list);
  *list = NULL;
  return r;
}

static const char *ask_program(lua_State *L, struct lg *G,
                               const struct lg_query *q,
                               struct addrinfo **list) {
  char digits[NI_MAXSERV];
  const char *port = q->port, *why;
  int r;
  if (port && port[strspn(port, "0123456789")]) {
    if ((r = find_port(L, G, q, digits, sizeof digits)) < 0) return why_not(r);
    port = digits;
  }
  if (!call_resolver(L, q)) {
    why = lua_tostring(L, -1); /* dns.lua sees to it that it is a text */
    return why ? why : lg_lookup_error(UV_EAI_NONAME);
  }
  r = read_list(L, G, q, port, list);
  lua_pop(L, 1);
  return why_not(r);
}

const char *lg_getaddrinfo(lua_State *L, struct lg *G,
                           const struct lg_query *q, struct addrinfo **list) {
  *list = NULL;
  if (!G->net->has_resolver || q->system || !q->host ||
      q->flags & AI_NUMERICHOST || lg_is_numeric(G, q->host))
    return why_not(ask_system(L, G, q, list));
  if (q->deadline) {
    lg_may_keep(L, G, q->what);
    lg_kept(G); /* other functions do the waiting */
  } else if (!lg_current(G))
    return why_not(UV_ETIMEDOUT);
  return ask_program(L, G, q, list);
}

const char *lg_getnameinfo(lua_State *L, struct lg *G, const char *what,
                           const struct sockaddr *a, socklen_t size, int flags,
                           uint64_t deadline, char *host, size_t host_size,
                           char *service, size_t service_size) {
  int r = green_getnameinfo(G->hub, a, size, flags, 0, host, host_size,
                            service, service_size);
  if (r != UV_ETIMEDOUT && r != UV_EPERM) return why_not(r);
  if (!deadline) return why_not(UV_ETIMEDOUT);
  lg_may_keep(L, G, what);
  r = green_getnameinfo(G->hub, a, size, flags, deadline, host, host_size,
                        service, service_size);
  if (lg_socket_scarce(L, -r))
    r = green_getnameinfo(G->hub, a, size, flags, deadline, host, host_size,
                          service, service_size);
  lg_kept(G);
  if (r < 0) lg_raise_code(L, G, r, what);
  return why_not(r);
}

/* --- the same for Lua --- */

static const char *const types[] = {"stream", "dgram", "any", NULL};
static const int type_of[] = {SOCK_STREAM, SOCK_DGRAM, 0};

static const char *name_of_type(int type) {
  switch (type) {
    case SOCK_STREAM: return "stream";
    case SOCK_DGRAM: return "dgram";
    default: return "raw";
  }
}

static const char BOX[] = "luagreen.addresses";

struct addresses {
  struct lg_owned owned;
  struct addrinfo *list;
};

static void free_addresses(struct lg_owned *o) {
  green_freeaddrinfo(((struct addresses *)o)->list);
}

static int box_gc(lua_State *L) {
  struct addresses **box = lg_collected(L);
  if (!box || !*box) return 0;
  lg_disown(&(*box)->owned);
  *box = NULL;
  return 0;
}

struct addrinfo **lg_new_addresses(lua_State *L) {
  struct lg *G = lg_find(L);
  struct addresses **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, BOX);
  *box = lg_own(L, G, &G->owned, sizeof **box, free_addresses);
  return &(*box)->list;
}

void lg_push_number(lua_State *L, const struct addrinfo *a) {
  char text[NI_MAXHOST] = "";
  if (a->ai_family == AF_INET)
    inet_ntop(AF_INET, &((struct sockaddr_in *)a->ai_addr)->sin_addr, text,
              sizeof text);
  else /* it may have a scope */
    getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0,
                NI_NUMERICHOST);
  lua_pushstring(L, text);
}

static int port_of(const struct addrinfo *a) {
  if (a->ai_family == AF_INET)
    return ntohs(((struct sockaddr_in *)a->ai_addr)->sin_port);
  return ntohs(((struct sockaddr_in6 *)a->ai_addr)->sin6_port);
}

static int is_inet(const struct addrinfo *a) {
  return a->ai_family == AF_INET || a->ai_family == AF_INET6;
}

static void push_entry(lua_State *L, const struct addrinfo *a) {
  lua_createtable(L, 0, 4);
  lua_pushstring(L, a->ai_family == AF_INET6 ? "inet6" : "inet");
  lua_setfield(L, -2, "family");
  lg_push_number(L, a);
  lua_setfield(L, -2, "addr");
  lua_pushinteger(L, port_of(a));
  lua_setfield(L, -2, "port");
  lua_pushstring(L, name_of_type(a->ai_socktype));
  lua_setfield(L, -2, "type");
}

/* A text that may be nil, and is no longer than a name. "": it is longer, or
 * has a zero byte. */
static const char *text_arg(lua_State *L, int index) {
  size_t n;
  const char *text = luaL_optlstring(L, index, NULL, &n);
  return text && (n > 255 || strlen(text) != n) ? "" : text;
}

/* A port or a service; "": it is neither. */
static const char *port_arg(lua_State *L, int index) {
  size_t n;
  const char *port = luaL_optlstring(L, index, NULL, &n);
  return port && !lg_is_port(port, n) ? "" : port;
}

static int flags_of(const char *letters) {
  int flags = 0;
  for (; *letters; letters++) switch (*letters) {
      case 'n': flags |= AI_NUMERICHOST; break;
      case 'p': flags |= AI_PASSIVE; break;
      case 'c': flags |= AI_CANONNAME; break;
      default: break;
    }
  return flags;
}

/* A box on top of the stack, with the list; or NULL, and nil and why not. */
static struct addrinfo **fetch(lua_State *L, struct lg *G,
                               const struct lg_query *q) {
  struct addrinfo **box = lg_new_addresses(L);
  const char *why = NULL;
  if ((q->host && !*q->host) || (!q->host && !q->port))
    why = lg_lookup_error(UV_EAI_NONAME);
  if (!why && q->port && !*q->port) why = lg_lookup_error(UV_EAI_SERVICE);
  if (!why) why = lg_getaddrinfo(L, G, q, box);
  if (!why) return box;
  lg_fail_text(L, why);
  return NULL;
}

static void empty(struct addrinfo **box) {
  green_freeaddrinfo(*box);
  *box = NULL;
}

/* Numbers and answers that were kept need no wait, so a loop of such look-ups
 * would hold the others up, past every limit and kill. */
static int l_getaddrinfo(lua_State *L);
static int l_resolve(lua_State *L);
static int l_getnameinfo(lua_State *L);

static const struct lg_op getaddrinfo_op = {
    {"getaddrinfo", NULL, NULL}, l_getaddrinfo, NULL, NULL};
static const struct lg_op resolve_op = {
    {"resolve", NULL, NULL}, l_resolve, NULL, NULL};
static const struct lg_op getnameinfo_op = {
    {"getnameinfo", NULL, NULL}, l_getnameinfo, NULL, NULL};

/* getaddrinfo(what, host, service, family, type, s, letters): a list of tables;
 * or nil and why not. Letters: n, the host is a number; p, to be listened on;
 * c, with its canonical name; s, the system is asked. */
static int l_getaddrinfo(lua_State *L) {
  const char *letters = luaL_optstring(L, 7, "");
  struct lg *G = lg_get(L);
  struct lg_query q = {
      .what = luaL_checkstring(L, 1),
      .host = text_arg(L, 2),
      .port = port_arg(L, 3),
      .family = lg_check_family(L, 4),
      .socktype = type_of[luaL_checkoption(L, 5, "stream", types)],
      .deadline = lg_limit(L, 6),
      .flags = flags_of(letters),
      .system = strchr(letters, 's') != NULL};
  struct addrinfo **box, *a;
  lua_Integer n = 0;
  int r;
  if (q.deadline > 0 && (r = lg_enter(L, G, &getaddrinfo_op)) >= 0) return r;
  if (!(box = fetch(L, G, &q))) return 2;
  lua_newtable(L);
  for (a = *box; a; a = a->ai_next) {
    if (!is_inet(a)) continue;
    push_entry(L, a);
    if (n == 0 && q.flags & AI_CANONNAME) {
      lua_pushstring(L, a->ai_canonname ? a->ai_canonname : q.host);
      lua_setfield(L, -2, "canonname"); /* a program's resolver has none */
    }
    lua_rawseti(L, -2, ++n);
  }
  empty(box);
  return 1;
}

/* Does an address equal to a stand before it? */
static int is_known(const struct addrinfo *list, const struct addrinfo *a) {
  for (; list != a; list = list->ai_next)
    if (list->ai_addrlen == a->ai_addrlen &&
        !memcmp(list->ai_addr, a->ai_addr, a->ai_addrlen))
      return 1;
  return 0;
}

/* resolve(what, host, family, s, letters): a list of numbers, each once; or nil
 * and why not. */
static int l_resolve(lua_State *L) {
  struct lg *G = lg_get(L);
  struct lg_query q = {
      .what = luaL_checkstring(L, 1),
      .host = text_arg(L, 2),
      .family = lg_check_family(L, 3),
      .socktype = SOCK_STREAM,
      .deadline = lg_limit(L, 4),
      .system = strchr(luaL_optstring(L, 5, ""), 's') != NULL};
  struct addrinfo **box, *a;
  lua_Integer n = 0;
  int r;
  if (q.deadline > 0 && (r = lg_enter(L, G, &resolve_op)) >= 0) return r;
  if (!(box = fetch(L, G, &q))) return 2;
  lua_createtable(L, 1, 0);
  for (a = *box; a; a = a->ai_next) {
    if (!is_inet(a) || is_known(*box, a)) continue;
    lg_push_number(L, a);
    lua_rawseti(L, -2, ++n);
  }
  empty(box);
  return 1;
}

static int name_flags_of(const char *letters) {
  int flags = 0;
  for (; *letters; letters++) switch (*letters) {
      case 'n': flags |= NI_NUMERICHOST | NI_NUMERICSERV; break;
      case 'r': flags |= NI_NAMEREQD; break;
      case 'd': flags |= NI_DGRAM; break;
      default: break;
    }
  return flags;
}

/* getnameinfo(address or nil, port or nil, s, letters): host, service; or nil
 * and why not. Letters: n, numbers only; r, a host without a name is an error;
 * d, the service is one of datagrams. */
static int l_getnameinfo(lua_State *L) {
  struct lg *G = lg_get(L);
  const char *address = text_arg(L, 1), *port = port_arg(L, 2), *why;
  uint64_t deadline = lg_limit(L, 3);
  int flags = name_flags_of(luaL_optstring(L, 4, "")), r;
  char host[NI_MAXHOST] = "", service[NI_MAXSERV] = "";
  struct addrinfo hints, *list;
  struct sockaddr_storage a;
  socklen_t size;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  if (deadline > 0 && (r = lg_enter(L, G, &getnameinfo_op)) >= 0) return r;
  if (port && !*port) return lg_fail_text(L, lg_lookup_error(UV_EAI_SERVICE));
  r = green_getaddrinfo(G->hub, address ? address : "0.0.0.0",
                        port ? port : "0", &hints, 0, &list);
  if (r < 0) return lg_fail_text(L, lg_lookup_error(r));
  size = list->ai_addrlen;
  memcpy(&a, list->ai_addr, size);
  green_freeaddrinfo(list);
  why = lg_getnameinfo(L, G, "getnameinfo", (struct sockaddr *)&a, size, flags,
                       deadline, host, address ? sizeof host : 0, service,
                       port ? sizeof service : 0);
  if (why) return lg_fail_text(L, why);
  lua_pushstring(L, address ? host : NULL);
  lua_pushstring(L, port ? service : NULL);
  return 2;
}

/* set_resolver(f, ask): ask(name, family, s) calls it. Nil: the system's. */
static int l_set_resolver(lua_State *L) {
  struct lg *G = lg_get(L);
  lua_settop(L, 2);
  G->net->has_resolver = !lua_isnil(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, ASK);
  lua_rawsetp(L, LUA_REGISTRYINDEX, RESOLVER);
  return 0;
}

/* resolver(): the program's; false, there is none. */
static int l_resolver(lua_State *L) {
  lg_push_resolver(L);
  return 1;
}

void lg_push_resolver(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, RESOLVER) != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_pushboolean(L, 0);
}

/* forget_lookups(): what the core has kept. */
static int l_forget_lookups(lua_State *L) {
  green_forget_lookups(lg_get(L)->hub);
  return 0;
}

/* lookup_cache(): how many answers are kept, and for how many seconds those
 * that found something, and those that did not. */
static int l_lookup_cache(lua_State *L) {
  const struct green_options *o = green_config(lg_get(L)->hub);
  lua_pushinteger(L, o->lookup_cache);
  lua_pushnumber(L, o->lookup_ttl / 1e3);
  lua_pushnumber(L, o->lookup_negative_ttl / 1e3);
  return 3;
}

static const luaL_Reg functions[] = {
    {"getaddrinfo", l_getaddrinfo},   {"resolve", l_resolve},
    {"getnameinfo", l_getnameinfo},   {"set_resolver", l_set_resolver},
    {"resolver", l_resolver},         {"forget_lookups", l_forget_lookups},
    {"lookup_cache", l_lookup_cache}, {NULL, NULL}};

void lg_open_lookup(lua_State *L) {
  static const luaL_Reg looker[] = {
      {"__close", looker_close}, {"__gc", looker_gc}, {NULL, NULL}};
  static const luaL_Reg no_methods[] = {{NULL, NULL}};
  lg_new_class(L, LOOKER, no_methods, looker);
  lua_pop(L, 1);
  lg_new_box_class(L, BOX, box_gc);
  lua_setfield(L, LUA_REGISTRYINDEX, BOX);
  lg_setfuncs(L, functions, 0);
}
