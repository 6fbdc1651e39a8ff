/* port.c - ports: messages to and from other states, hubs, OS threads and C.
 *
 * Messages are packed by the sender and unpacked by the receiver (pack.c);
 * between them they are no Lua values. So what a thread waits to send, and may
 * still have to keep, is a packed message as well: it lies in a parcel, a
 * userdata in the place of the values on the stack of the call, which the
 * collector frees if the thread ends.
 *
 * SPDX-License-Identifier: MIT
 */
#include "host/port.h"
#include "runtime/counts.h"

#include "host/pack.h"
#include "runtime/budget.h"
#include "runtime/closing.h"
#include "runtime/limits.h"
#include "runtime/waitable.h"

/* A message that has not been sent yet. */
struct parcel {
  struct lg_object object;
  struct green_message *m; /* NULL: it was */
};

static const struct lg_waitable get_waitable, put_waitable, send_waitable;
static const struct lg_class port_class = {LG_PORT, &get_waitable,
                                           &put_waitable};
static const struct lg_class parcel_class = {"green.parcel", NULL, NULL};

static int port_receive(lua_State *L);
static int port_send(lua_State *L);
static int port_put(lua_State *L);

/* The finalizers of other objects may still use it. */
static void check(lua_State *L, const struct lg_port *p) {
  if (unlikely(!p->port)) luaL_error(L, "the port was collected");
}

static struct lg_port *self(lua_State *L) {
  struct lg_port *p = lg_check_object(L, &port_class, sizeof(struct lg_port));
  check(L, p);
  return p;
}

static struct green_hub *hub_of(const struct lg_port *p) {
  return p->object.G->hub;
}

/* --- parcels --- */

static struct parcel *parcel_at(lua_State *L, int at) {
  struct parcel *b = lua_touserdata(L, at);
  if (likely(!b || lua_islightuserdata(L, at) ||
             lua_rawlen(L, at) < sizeof *b ||
             b->object.klass != &parcel_class))
    return NULL;
  if (!b->m) luaL_error(L, "this message was sent"); /* a debugger's doing */
  return b;
}

static int parcel_gc(lua_State *L) {
  struct parcel *b = lg_collected(L);
  struct green_message *m = b ? b->m : NULL;
  if (!b) return 0;
  b->m = NULL;
  green_message_free(m);
  return 0;
}

/* A select numbers its cases, not its arguments. */
static void refuse(lua_State *L, int code, int at, int culprit) {
  if (code == UV_ENOMEM) luaL_error(L, "not enough memory");
  if (code == UV_ENOBUFS)
    luaL_error(L, "too many bytes in messages that nobody has received");
  if (at == 2) luaL_argerror(L, at + culprit, lua_tostring(L, -1));
  luaL_error(L, "%s", lua_tostring(L, -1));
}

static struct green_message *pack(lua_State *L, struct lg *G, int at, int n) {
  struct green_message *m;
  int culprit, r = lg_pack(L, G, at, n, &m, &culprit);
  if (unlikely(r == UV_ENOBUFS) && lg_sweep(L, G)) /* ports may be garbage */
    r = lg_pack(L, G, at, n, &m, &culprit);
  if (unlikely(r < 0)) refuse(L, r, at, culprit);
  return m;
}

/* Replaces the n values at `at` by a parcel. Allocates first, as that may raise
 * and run finalizers. */
static void make_parcel(lua_State *L, int at, int n) {
  struct parcel *b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (struct parcel){.object = {&parcel_class, lg_find(L)}};
  luaL_setmetatable(L, parcel_class.name);
  b->m = pack(L, b->object.G, at, n);
  lua_replace(L, at);
}

/* --- sending --- */

/* Any code that a program can do nothing about. */
static int fail(lua_State *L, const char *name, int code) {
  const char *where = green_elsewhere(lg_find(L)->hub);
  if (where) return luaL_error(L, "'%s' cannot be called %s", name, where);
  return luaL_error(L, "'%s': %s", name, green_strerror(code));
}

/* The outcome of a try; -1: the thread has to wait. */
static int sent(lua_State *L, int code) {
  switch (code) {
    case 0: lua_pushboolean(L, 1); return 1;
    case UV_EAGAIN: return -1;
    case UV_EPIPE: return lg_push_closed(L);
    default: return fail(L, "port:send", code);
  }
}

/* Sends n values if that is possible at once. */
static int send_values(lua_State *L, struct lg_port *p, int at, int n) {
  struct green_message *m = pack(L, p->object.G, at, n);
  int r = green_port_put(hub_of(p), p->port, m);
  if (r < 0) green_message_free(m);
  return sent(L, r);
}

static int send_parcel(lua_State *L, struct lg_port *p, struct parcel *b) {
  int r = green_port_put(hub_of(p), p->port, b->m);
  if (r == 0) b->m = NULL;
  return sent(L, r);
}

static int put_attempt(lua_State *L, struct lg *G, void *object, int at) {
  struct parcel *b = parcel_at(L, at + 1);
  int r;
  (void)G;
  check(L, object);
  if (b) return send_parcel(L, object, b);
  if ((r = send_values(L, object, at + 1, 1)) < 0) make_parcel(L, at + 1, 1);
  return r;
}

static int put_fetch(lua_State *L, struct lg *G, void *object, int at,
                     int reason) {
  struct lg_port *p = object;
  struct parcel *b = lua_touserdata(L, at + 1);
  int r;
  if (reason == GREEN_CLOSED) return lg_push_closed(L);
  if (!b->m) { /* a debugger's doing */
    green_port_refuse_granted(G->hub, p->senders);
    parcel_at(L, at + 1);
  }
  r = green_port_put_granted(G->hub, p->senders, b->m);
  if (r == 0) b->m = NULL;
  return sent(L, r);
}

static void put_undo(struct green_hub *hub, void *object) {
  green_port_refuse_granted(hub, ((struct lg_port *)object)->senders);
}

static void put_leave(struct green_hub *hub, struct green_thread *t) {
  green_side_leave(hub, ((struct lg_port *)t->on)->senders);
}

static int put_link(struct lg *G, void *object, struct green_node *node,
                    void **where) {
  struct lg_port *p = object;
  int r = 0;
  if (!p->senders) r = green_port_senders(G->hub, p->port, &p->senders);
  if (r < 0) return r;
  *where = p->senders;
  green_list_add(green_side_enter(G->hub, p->senders), node);
  return 0;
}

/* --- receiving --- */

/* The message stays for the next receiver, but for one that nobody would ever
 * get, nor those behind it. Raises the error on top. */
static int cannot_push(lua_State *L, struct lg_port *p,
                       struct green_message *m, int code) {
  const struct lg_budget *b = p->object.G->budget;
  size_t size = green_message_size(m);
  int is_too_large = b && size >= b->memory;
  if (code == UV_ENOMEM && !is_too_large)
    green_port_put_back(hub_of(p), p->port, m);
  else
    green_message_free(m);
  if (!is_too_large) return lua_error(L);
  return luaL_error(L,
                    "a message of %I bytes was dropped: the state may not "
                    "have so many",
                    (LUAI_UACINT)size);
}

static int push_message(lua_State *L, struct lg_port *p,
                        struct green_message *m) {
  int n = lg_unpack(L, m);
  if (unlikely(n < 0)) return cannot_push(L, p, m, n);
  green_message_free(m);
  return n;
}

static int get_attempt(lua_State *L, struct lg *G, void *object, int at) {
  struct lg_port *p = object;
  struct green_message *m;
  int r;
  (void)at;
  check(L, p);
  if (unlikely(!p->receivers))
    return luaL_error(L,
                      "a port is received on the hub where it was "
                      "made, and this one was made on another");
  luaL_checkstack(L, 4, "luagreen"); /* before there is a message */
  r = green_port_take(G->hub, p->port, &m);
  switch (r) {
    case 0: return push_message(L, p, m);
    case UV_EAGAIN: return -1;
    case UV_EOF: return lg_push_closed(L);
    default: return fail(L, "port:receive", r);
  }
}

static int get_fetch(lua_State *L, struct lg *G, void *object, int at,
                     int reason) {
  struct lg_port *p = object;
  (void)at;
  if (reason == GREEN_CLOSED) return lg_push_closed(L);
  return push_message(L, p, green_port_take_promised(G->hub, p->port));
}

static void get_undo(struct green_hub *hub, void *object) {
  green_port_refuse_promised(hub, ((struct lg_port *)object)->port);
}

static void get_leave(struct green_hub *hub, struct green_thread *t) {
  green_side_leave(hub, ((struct lg_port *)t->on)->receivers);
}

static int get_link(struct lg *G, void *object, struct green_node *node,
                    void **where) {
  struct lg_port *p = object;
  *where = p->receivers;
  green_list_add(green_side_enter(G->hub, p->receivers), node);
  return 0;
}

/* Of both sides: `where` is the side. */
static void unlink_node(struct green_hub *hub, void *where,
                        struct green_node *node) {
  if (node->link.next) green_list_remove(node);
  green_side_leave(hub, where);
}

/* --- the calls --- */

#define PUT(name, start)                                               \
  {                                                                    \
    .op = {{name, lg_one_undo, put_leave}, start, lg_one_woken, NULL}, \
    .attempt = put_attempt, .fetch = put_fetch, .undo = put_undo,      \
    .link = put_link, .unlink = unlink_node                            \
  }
static const struct lg_waitable put_waitable = PUT("port:put", port_put);
static const struct lg_waitable send_waitable = PUT("port:send", port_send);

static const struct lg_waitable get_waitable = {
    .op = {{"port:receive", lg_one_undo, get_leave},
           port_receive,
           lg_one_woken,
           NULL},
    .attempt = get_attempt,
    .fetch = get_fetch,
    .undo = get_undo,
    .link = get_link,
    .unlink = unlink_node};

/* After an attempt, and again: allocations of the wait may run finalizers. */
static int wait_for(lua_State *L, struct lg_port *p,
                    const struct lg_waitable *w, uint64_t deadline) {
  struct lg *G = p->object.G;
  struct green_node *node = &lg_current(G)->node;
  int keep = lg_keep_or_yield(L, G, &w->op), r;
  void *where;
  if ((r = w->attempt(L, G, p, 1)) >= 0) return r;
  r = green_wait_begin(G->hub, &w->op.kind, p, NULL, deadline);
  if (r < 0) return fail(L, w->op.kind.name, r);
  r = w->link(G, p, node, &where); /* the side is there: it cannot fail */
  assert(r == 0);
  return lg_park(L, G, &w->op, keep);
}

/* receive([s]): the values of the next message. May switch. */
static int port_receive(lua_State *L) {
  struct lg_port *p = self(L);
  struct lg *G = p->object.G;
  uint64_t deadline = lg_limit(L, 2);
  int r;
  lua_settop(L, 2);
  if (deadline > 0 && (r = lg_enter(L, G, &get_waitable.op)) >= 0) return r;
  if ((r = get_attempt(L, G, p, 1)) >= 0) return r;
  if (deadline == 0) return lg_push_timeout(L);
  return wait_for(L, p, &get_waitable, deadline);
}

/* Makes what a thread needs that waits to send, the side above all. */
static void need_side(lua_State *L, struct lg_port *p) {
  int r = p->senders ? 0 : green_port_senders(hub_of(p), p->port, &p->senders);
  if (r < 0) luaL_error(L, "'send': %s", green_strerror(r));
}

/* send(...): one message of all values. May switch. */
static int port_send(lua_State *L) {
  struct lg_port *p = self(L);
  struct lg *G = p->object.G;
  int n = lua_gettop(L) - 1, r;
  if ((r = lg_enter(L, G, &send_waitable.op)) >= 0) return r;
  if (!parcel_at(L, 2)) {
    if ((r = send_values(L, p, 2, n)) >= 0) return r;
    if (n == 0) lua_settop(L, 2);
    make_parcel(L, 2, n);
    lua_settop(L, 2);
  }
  need_side(L, p);
  return wait_for(L, p, &send_waitable, GREEN_FOREVER);
}

/* put(v [, s]): a message of one value. May switch. */
static int port_put(lua_State *L) {
  struct lg_port *p = self(L);
  struct lg *G = p->object.G;
  uint64_t deadline = lg_limit(L, 3);
  int r;
  if (unlikely(lua_type(L, 2) <= LUA_TNIL))
    return luaL_argerror(L, 2, "value expected, got nil");
  lua_settop(L, 3);
  if (deadline > 0 && (r = lg_enter(L, G, &put_waitable.op)) >= 0) return r;
  if (deadline == 0) {
    r = send_values(L, p, 2, 1);
    return r < 0 ? lg_push_timeout(L) : r;
  }
  if ((r = put_attempt(L, G, p, 1)) >= 0) return r;
  need_side(L, p);
  return wait_for(L, p, &put_waitable, deadline);
}

/* --- the rest --- */

/* close(): refuses further messages; messages inside can still be received. Any
 * side may. Never switches. */
static int port_close(lua_State *L) {
  green_port_close(self(L)->port);
  return 0;
}

static int port_len(lua_State *L) {
  lua_pushinteger(L, green_port_count(self(L)->port));
  return 1;
}

/* waiting(): threads of this hub that wait to receive, and to send. */
static int port_waiting(lua_State *L) {
  struct lg_port *p = self(L);
  lua_pushinteger(L, p->receivers ? green_side_waits(p->receivers) : 0);
  lua_pushinteger(L, p->senders ? green_side_waits(p->senders) : 0);
  return 2;
}

/* receive without a limit: ignores the control variable of the loop. */
static int port_next(lua_State *L) {
  lua_settop(L, 1);
  return port_receive(L);
}

/* items(): an iterator until closed and drained. */
static int port_items(lua_State *L) {
  self(L);
  lua_getfield(L, lua_upvalueindex(2), "__next");
  lua_pushvalue(L, 1);
  return 2;
}

static const luaL_Reg methods[] = {
    {"send", port_send},       {"put", port_put},
    {"receive", port_receive}, {"get", port_receive},
    {"items", port_items},     {"close", port_close},
    {"waiting", port_waiting}, {NULL, NULL}};
static const luaL_Reg meta[] = {{"__len", port_len},
                                {"__next", port_next},
                                {"__close", port_close},
                                {"__gc", lg_port_gc},
                                {NULL, NULL}};

/* port([n]): room for n messages, or any number. */
static int l_port(lua_State *L) {
  struct lg *G = lg_get(L);
  struct green_port *port;
  struct lg_port *p;
  lua_Integer n = luaL_optinteger(L, 1, 0);
  int r;
  luaL_argcheck(L, lua_isnoneornil(L, 1) || (n > 0 && n <= UINT32_MAX), 1,
                "room for at least one message expected");
  p = lg_new_port(L);
  r = green_port_open(G->hub, (uint32_t)n, &port);
  if (r == UV_ENOMEM) luaL_error(L, "not enough memory");
  if (r == UV_EPERM) return fail(L, "port", r);
  if (r < 0) {
    lua_pushnil(L);
    lua_pushstring(L, green_strerror(r));
    return 2;
  }
  green_port_of_holders(port);
  lg_port_holds(p, port);
  lg_enroll_port(L, p, port);
  return 1;
}

void lg_open_port(lua_State *L) {
  static const luaL_Reg functions[] = {{"port", l_port}, {NULL, NULL}};
  lg_open_ports(L, &port_class);
  lg_new_box_class(L, parcel_class.name, parcel_gc);
  lua_setfield(L, LUA_REGISTRYINDEX, parcel_class.name);
  lg_new_class(L, port_class.name, methods, meta);
  lg_setfuncs(L, functions, 1);
}
