/* event.c - one value, once.
 *
 * The values stay in the event; a woken thread fetches them itself. One value
 * lies in the user value, several in a table there.
 *
 * SPDX-License-Identifier: MIT
 */
#include "binding.h"

static const char NAME[] = "green.event"; /* also the tag */

struct event {
  struct green_lua_object object;
  struct green_list waiters;
  int state; /* EMPTY, SENT, ERROR */
  int n;
};

enum { EMPTY, SENT, ERROR };

static int event_wait(lua_State *L);

static struct event *self(lua_State *L) {
  return green_lua__object(L, NAME, sizeof(struct event));
}

static int push_values(lua_State *L, struct event *e) {
  int i;
  lua_getiuservalue(L, 1, 1);
  if (e->state == ERROR) return lua_error(L);
  if (e->n == 1) return 1;
  luaL_checkstack(L, e->n + 1, "too many values");
  for (i = 1; i <= e->n; i++) lua_rawgeti(L, -i, i);
  return e->n;
}

static int woken(lua_State *L, struct green_lua *G, int reason) {
  (void)G;
  if (reason == GREEN_TIMEOUT) return green_lua__push_timeout(L);
  return push_values(L, lua_touserdata(L, 1));
}

static const struct green_lua_op wait_op = {
    {"event:wait", NULL, NULL}, event_wait, woken, NULL};

/* wait([s]): the values sent, or raises the error sent. May switch. */
static int event_wait(lua_State *L) {
  struct event *e = self(L);
  struct green_lua *G = e->object.G;
  uint64_t deadline = green_lua__limit(L, 2);
  lua_settop(L, 2);
  if (deadline > 0) {
    int r = green_lua__enter(L, G, &wait_op);
    if (r >= 0) return r;
  }
  if (e->state != EMPTY) return push_values(L, e);
  if (deadline == 0) return green_lua__push_timeout(L);
  return green_lua__wait(L, G, &wait_op, e, &e->waiters, deadline);
}

static struct event *to_send(lua_State *L) {
  struct event *e = self(L);
  if (e->state != EMPTY) luaL_error(L, "the event was sent already");
  return e;
}

static int sent(lua_State *L, struct event *e, int state) {
  (void)L;
  e->state = state;
  green_wake_all(e->object.G->hub, &e->waiters, GREEN_WOKEN);
  return 0;
}

/* send(...): true if nothing is given. Never switches. */
static int event_send(lua_State *L) {
  struct event *e = to_send(L);
  int i;
  e->n = lua_gettop(L) - 1;
  if (e->n == 0) {
    lua_pushboolean(L, 1);
    e->n = 1;
  } else if (e->n > 1) {
    lua_createtable(L, e->n, 0);
    lua_insert(L, 2);
    for (i = e->n; i > 0; i--) lua_rawseti(L, 2, i);
  }
  lua_setiuservalue(L, 1, 1);
  return sent(L, e, SENT);
}

/* send_error(err): each wait raises it. */
static int event_send_error(lua_State *L) {
  struct event *e = to_send(L);
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  lua_setiuservalue(L, 1, 1);
  e->n = 1;
  return sent(L, e, ERROR);
}

static int event_ready(lua_State *L) {
  struct event *e = self(L);
  lua_pushboolean(L, e->state != EMPTY);
  return 1;
}

static const luaL_Reg methods[] = {{"wait", event_wait},
                                   {"send", event_send},
                                   {"send_error", event_send_error},
                                   {"ready", event_ready},
                                   {NULL, NULL}};

/* event(): upvalue 2 is the metatable. */
static int l_event(lua_State *L) {
  struct green_lua *G = green_lua__get(L);
  struct event *e = lua_newuserdatauv(L, sizeof *e, 1);
  e->object.tag = NAME;
  e->object.G = G;
  green_list_init(&e->waiters);
  e->state = EMPTY;
  e->n = 0;
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, -2);
  return 1;
}

void green_lua__open_event(lua_State *L) {
  static const luaL_Reg make[] = {{"event", l_event}, {NULL, NULL}};
  green_lua__class(L, NAME, methods, NULL);
  green_lua__setfuncs(L, make, 1);
}
