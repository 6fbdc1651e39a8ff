/* ticker.c - ticks at a steady rate, in the thread that waits for it.
 *
 * A ticker keeps its phase: tick n is due at start + n * period. It skips
 * missed ticks but counts them. Nothing runs between two waits: a wait ends at
 * the deadline of the next tick, and the waiter takes it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/interrupt.h"
#include "runtime/limits.h"
#include "runtime/waitable.h"
#include "sync/sync.h"

struct ticker {
  struct lg_object object;
  struct green_list waiters;
  double period;  /* ns */
  uint64_t start; /* on the hub's clock */
  double n;       /* the last tick that was taken */
  int closed;
};

/* The stack of a wait: the ticker, the limit, and its deadline. */
enum { DEADLINE = 3 };

static const struct lg_waitable wait_waitable;
static int ticker_wait(lua_State *L);
static int wait_until(lua_State *L, struct lg *G, uint64_t deadline);

/* The next tick: the latest one that is due, unless it was taken. */
static double next_tick(const struct ticker *k) {
  double passed =
      (double)(green_time(k->object.G->hub) - k->start) / k->period;
  double n = (double)(int64_t)passed;
  return n > k->n ? n : k->n + 1;
}

static uint64_t due(void *object) {
  const struct ticker *k = object;
  double after = next_tick(k) * k->period;
  return after < 9e18 ? k->start + (uint64_t)after : GREEN_FOREVER;
}

static int attempt(lua_State *L, struct lg *G, void *object, int at) {
  struct ticker *k = object;
  (void)at;
  if (k->closed) return lg_push_closed(L);
  if (due(k) > green_time(G->hub)) return -1;
  assert(next_tick(k) > k->n); /* each tick is taken once */
  k->n = next_tick(k);
  lua_pushinteger(L, (lua_Integer)k->n);
  return 1;
}

static struct green_list *waiters(void *object) {
  return &((struct ticker *)object)->waiters;
}

static int fetch(lua_State *L, struct lg *G, void *object, int at,
                 int reason) {
  (void)reason;
  return attempt(L, G, object, at);
}

/* A tick goes to one waiter; the others wait for the next. */
static int woken(lua_State *L, struct lg *G, int reason) {
  uint64_t deadline = (uint64_t)lua_tointeger(L, DEADLINE);
  int r = attempt(L, G, lua_touserdata(L, 1), 1);
  (void)reason;
  if (r >= 0) return r;
  if (deadline <= green_time(G->hub)) return lg_push_timeout(L);
  if (lg_is_struck(G)) {
    lg_interrupt(L, G, &wait_waitable.op);
    return ticker_wait(L); /* it was taken back */
  }
  return wait_until(L, G, deadline);
}

static const struct lg_waitable wait_waitable = {
    .op = {{"ticker:wait", NULL, NULL}, ticker_wait, woken, NULL},
    .attempt = attempt,
    .list = waiters,
    .fetch = fetch,
    .due = due};

static const struct lg_class ticker_class = {"green.ticker", &wait_waitable,
                                             NULL};

static struct ticker *self(lua_State *L) {
  return lg_check_object(L, &ticker_class, sizeof(struct ticker));
}

static int wait_until(lua_State *L, struct lg *G, uint64_t deadline) {
  struct ticker *k = lua_touserdata(L, 1);
  uint64_t at = due(k);
  lua_settop(L, 2);
  lua_pushinteger(L, (lua_Integer)deadline);
  return lg_wait(L, G, &wait_waitable.op, k, &k->waiters,
                 at < deadline ? at : deadline);
}

/* wait([s]): the number of the next tick. May switch. */
static int ticker_wait(lua_State *L) {
  struct ticker *k = self(L);
  struct lg *G = k->object.G;
  uint64_t deadline = lg_limit(L, 2);
  int r;
  lua_settop(L, 2);
  if (deadline > 0 && (r = lg_enter(L, G, &wait_waitable.op)) >= 0) return r;
  if ((r = attempt(L, G, k, 1)) >= 0) return r;
  if (deadline == 0) return lg_push_timeout(L);
  return wait_until(L, G, deadline);
}

/* for n in ticker: nil when it is closed. */
static int ticker_call(lua_State *L) {
  lua_settop(L, 1);
  return ticker_wait(L);
}

/* close(): waits return nil and "closed", loops end. Never switches. */
static int ticker_close(lua_State *L) {
  struct ticker *k = self(L);
  k->closed = 1;
  green_wake_all(k->object.G->hub, &k->waiters, GREEN_CLOSED);
  assert(!green_list_head(&k->waiters));
  return 0;
}

/* ticker(s): upvalue 2 is the metatable. */
static int l_ticker(lua_State *L) {
  struct lg *G = lg_get(L);
  lua_Number s = luaL_checknumber(L, 1);
  struct ticker *k;
  luaL_argcheck(L, s > 0 && s < 9e9, 1, "positive seconds expected");
  k = lua_newuserdatauv(L, sizeof *k, 0);
  *k = (struct ticker){.object = {&ticker_class, G}};
  green_list_init(&k->waiters);
  k->period = s * 1e9 < 1 ? 1 : s * 1e9;
  k->start = green_time(G->hub);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return 1;
}

void lg_open_ticker(lua_State *L) {
  static const luaL_Reg make[] = {{"ticker", l_ticker}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"wait", ticker_wait}, {"close", ticker_close}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__call", ticker_call}, {"__close", ticker_close}, {NULL, NULL}};
  lg_new_class(L, ticker_class.name, methods, meta);
  lg_setfuncs(L, make, 1);
}
