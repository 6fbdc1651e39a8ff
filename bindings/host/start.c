/* start.c - scripts from the host: started, killed, waited for, and told of.
 *
 * A script is a green thread with a watch among its joiners. At its end the
 * watch makes a chore due, so the host's callback runs on the hub's own stack,
 * never inside of a call of its own. It runs on the helper, below a protected
 * call. The record is held until then, without a handle, as in a crew.
 *
 * A script stands in G->scripts until its callback is called, which happens
 * exactly once: by the chore, or when the state closes.
 *
 * None of the functions for hosts raises, whatever the memory: code that may
 * raise runs below lua_pcall().
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "host/host.h"
#include "runtime/anchor.h"
#include "runtime/closing.h"
#include "runtime/kill_note.h"
#include "runtime/nested.h"
#include "runtime/object.h"
#include "runtime/park.h"
#include "runtime/refusal.h"
#include "runtime/strike.h"
#include "thread/handle.h"
#include "thread/thread.h"

/* Stack that the calls of `ended` need on the helper, and room for more. */
enum { ROOM = 4 * LUA_MINSTACK };

struct lg_script {
  struct green_watch watch;
  struct green_chore chore;
  struct lg *G;
  struct green_thread *thread;
  green_lua_ended ended;
  void *arg;
  int called; /* `ended` is, or was */
  struct lg_script *next, **link;
};

static void enlist(struct lg_script *s, struct lg *G) {
  s->next = G->scripts;
  s->link = &G->scripts;
  if (s->next) s->next->link = &s->next;
  G->scripts = s;
}

static void delist(struct lg_script *s) {
  assert(*s->link == s);
  *s->link = s->next;
  if (s->next) s->next->link = s->link;
}

/* --- the end --- */

/* The outcome without pcall's boolean. */
static int push_values(lua_State *L, const struct lg_script *s) {
  int n;
  if (!(s->thread->flags & GREEN_OVER)) {
    lua_pushliteral(L, "the state was closed, and the thread would not end");
    return 1;
  }
  n = lg_push_outcome(L, s->G, s->thread) - 1;
  lua_remove(L, -n - 1);
  return n;
}

/* (script) on the helper: calls the host with the outcome. */
static int tell(lua_State *L) {
  struct lg_script *s = lua_touserdata(L, 1);
  int status = s->thread->state == GREEN_DONE ? LUA_OK : LUA_ERRRUN, n;
  lua_settop(L, 0);
  n = push_values(L, s);
  luaL_checkstack(L, LUA_MINSTACK, "too many results");
  s->called = 1;
  s->ended(L, status, n, s->arg);
  return 0;
}

/* (error, status, script): the same where there is no memory for the outcome,
 * in what the helper has already. */
static int tell_error(lua_State *L) {
  struct lg_script *s = lua_touserdata(L, 3);
  int status = (int)lua_tointeger(L, 2);
  lua_settop(L, 1);
  s->called = 1;
  s->ended(L, status, 1, s->arg);
  return 0;
}

static int call_ended(lua_State *L, struct lg_script *s) {
  int status;
  lua_pushcfunction(L, tell);
  lua_pushlightuserdata(L, s);
  status = lua_pcall(L, 1, 0, 0);
  if (status == LUA_OK || s->called) return status;
  lua_pushcfunction(L, tell_error);
  lua_insert(L, -2);
  lua_pushinteger(L, status);
  lua_pushlightuserdata(L, s);
  return lua_pcall(L, 3, 0, 0);
}

/* The error of a callback is on top. */
static void report_callback(lua_State *L, const struct green_thread *t) {
  int is_text = lua_type(L, -1) == LUA_TSTRING;
  green_report("luagreen: the callback of the end of script #%llu: %s\n",
               (unsigned long long)t->id,
               is_text ? lua_tostring(L, -1) : "an error that is no text");
}

/* No thread is current, so nothing in the callback blocks. */
static void tell_host(struct lg_script *s) {
  struct lg *G = s->G;
  struct green_hub_hot *hot = green_hot(G->hub);
  struct green_thread *t = s->thread, *current = hot->current;
  lua_State *L = G->helper;
  int top = lua_gettop(L);
  hot->current = NULL;
  G->calls_back++;
  delist(s);
  if (call_ended(L, s) != LUA_OK) report_callback(L, t);
  assert(s->called);
  lua_settop(L, top);
  hot->current = current;
  G->calls_back--;
  if (t->state >= GREEN_DONE) lg_let_thread_go(G, t);
  free(s);
}

static void on_chore(struct green_hub *hub, struct green_chore *chore) {
  (void)hub;
  tell_host(
      (struct lg_script *)((char *)chore - offsetof(struct lg_script, chore)));
}

static void fire(struct green_hub *hub, struct green_watch *watch) {
  green_soon(hub, &((struct lg_script *)watch)->chore);
}

static int owns(const struct green_watch *watch) {
  (void)watch;
  return 1; /* the host gets its error */
}

void lg_scripts_end(struct lg *G) {
  struct lg_script *s;
  while ((s = G->scripts)) {
    green_not_soon(G->hub, &s->chore);
    if (s->watch.node.link.next) green_list_remove(&s->watch.node);
    tell_host(s);
  }
}

/* --- the beginning --- */

struct start {
  struct lg *G;
  struct lg_script *script; /* NULL: nobody is told */
  struct green_thread *thread;
  int code; /* why not, if it raises */
};

static int nothing(lua_State *L) {
  (void)L;
  return 0;
}

/* Once: memory on the helper that is there when all other is not. Lua keeps the
 * stack that was asked for, and one call deeper. */
static int prepare_helper(struct lg *G) {
  if (G->can_tell) return 1;
  if (!lua_checkstack(G->helper, ROOM)) return 0;
  return G->can_tell = lg_protected(G, nothing, NULL) == LUA_OK;
}

static void watch_end(struct lg_script *s, struct green_thread *t) {
  static const struct green_watch_kind kind = {fire, owns};
  s->thread = t;
  s->watch.kind = &kind;
  s->chore.run = on_chore;
  lg_keep_thread(t);
  green_list_add(&t->joiners, &s->watch.node);
  enlist(s, s->G);
}

/* (f, ..., struct start) */
static int start(lua_State *L) {
  struct start *p = lua_touserdata(L, -1);
  struct lg *G = p->G;
  lua_pop(L, 1);
  p->code = UV_EINVAL;
  lg_check_callable(L, 1);
  p->code = UV_EAGAIN;
  lg_check_room(L, G);
  p->code = UV_ENOMEM;
  p->thread = lg_make_thread(L, G, lua_gettop(L) - 1, 0);
  if (p->script) watch_end(p->script, p->thread);
  lg_start_thread(L, G, p->thread, 0);
  return 0;
}

/* Why a thread cannot be started at all. */
static int check_state(const struct lg *G) {
  if (!G) return UV_EINVAL;
  if (!G->hub || G->drained == 2) return UV_ECANCELED;
  return green_elsewhere(G->hub) ? UV_EPERM : 0;
}

static int try_start(lua_State *L, int nargs, struct start *p) {
  int status;
  lua_pushcfunction(L, start);
  lua_insert(L, -nargs - 2);
  lua_pushlightuserdata(L, p);
  status = lua_pcall(L, nargs + 2, 0, 0);
  if (status == LUA_OK) return 0;
  lua_pop(L, 1);
  return status == LUA_ERRMEM ? UV_ENOMEM : p->code;
}

static int start_told(lua_State *L, int nargs, struct start *p,
                      green_lua_ended ended, void *arg) {
  struct lg_script *s = prepare_helper(p->G) ? calloc(1, sizeof *s) : NULL;
  int r;
  if (!s) {
    lua_pop(L, nargs + 1);
    return UV_ENOMEM;
  }
  s->G = p->G;
  s->ended = ended;
  s->arg = arg;
  p->script = s;
  r = try_start(L, nargs, p);
  if (r < 0) free(s);
  return r;
}

int green_lua_start(lua_State *L, int nargs, green_lua_ended ended, void *arg,
                    struct green_thread **thread) {
  struct start p = {NULL, NULL, NULL, 0};
  int r = lua_checkstack(L, 4) ? 0 : UV_ENOMEM;
  if (nargs < 0 || lua_gettop(L) <= nargs) { /* there is not even a function */
    if (thread) *thread = NULL;
    return UV_EINVAL;
  }
  if (r == 0) r = check_state(p.G = lg_find(L));
  if (r < 0)
    lua_pop(L, nargs + 1);
  else if (ended)
    r = start_told(L, nargs, &p, ended, arg);
  else
    r = try_start(L, nargs, &p);
  if (thread) *thread = r < 0 ? NULL : p.thread;
  return r;
}

/* --- handles and records --- */

struct green_thread *green_lua_thread(lua_State *L, int index) {
  return lua_checkstack(L, 2) ? lg_to_thread(L, index) : NULL;
}

/* (struct start) */
static int push_thread(lua_State *L) {
  const struct start *p = lua_touserdata(L, 1);
  lg_push_thread(L, p->G, p->thread);
  return 1;
}

int green_lua_push_thread(lua_State *L, struct green_thread *thread) {
  struct start p = {NULL, NULL, thread, 0};
  if (!lua_checkstack(L, 4)) return UV_ENOMEM;
  p.G = lg_find(L);
  if (!p.G || !p.G->hub || !thread || !thread->id) return UV_EINVAL;
  if (lg_is_lua(thread) && lg_of(thread) != p.G) return UV_EINVAL;
  lua_pushcfunction(L, push_thread);
  lua_pushlightuserdata(L, &p);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) return 0;
  lua_pop(L, 1);
  return UV_ENOMEM;
}

int green_lua_is_killed(lua_State *L, int index) {
  return lua_checkstack(L, 2) && lg_is_kill_object(L, index);
}

/* --- killing and waiting --- */

int green_lua_kill(lua_State *L, int index, const char *reason) {
  struct lg *G = lua_checkstack(L, 2) ? lg_find(L) : NULL;
  const struct lg_handle *h = G ? lg_to_handle(L, index) : NULL;
  struct green_thread *t;
  if (!h) return UV_EINVAL;
  if (!G->hub || !(t = lg_live(h))) return 0;
  if (green_elsewhere(G->hub)) return UV_EPERM;
  if (reason && !(t->flags & GREEN_STRUCK)) lg_note_kill(G, t->id, reason);
  return green_kill(G->hub, t);
}

/* May the current thread, of any kind, wait here? A thread of C code may keep
 * its values on any lua_State. */
static int may_wait(lua_State *L, struct lg *G) {
  struct green_thread *t = lg_current(G), *main = green_main(G->hub);
  int is_c = t && t != main && !lg_is_lua(t);
  if (is_c ? lua_gc(L, LUA_GCCOUNT) < 0 || G->refuse != NULL
           : lg_refusal(L, G) != NULL)
    return UV_EPERM;
  if (t == main && G->exiting) return UV_ECANCELED;
  if (t == main) lg_main_blocks(L, G);
  if (unlikely(G->nested_scopes)) lg_move_scopes(L, G);
  green_keep_note(G->hub, L);
  return 0;
}

static int await_end(lua_State *L, struct lg *G, int at, uint64_t deadline) {
  const struct lg_handle *h = lua_touserdata(L, at);
  struct green_thread *t = lg_live(h);
  int r = 0;
  if (!t) return 0;
  if (deadline > 0) r = may_wait(L, G);
  if (r < 0) return r;
  r = green_join(G->hub, t, deadline, NULL);
  if (deadline > 0) lg_kept(G);
  if (r < 0) return r;
  /* Others may have used the stack meanwhile. */
  return lg_to_handle(L, at) == h ? 0 : UV_EINVAL;
}

/* (handle) */
static int push_end(lua_State *L) {
  return lg_push_end(L, lg_find(L), 1) - 1;
}

int green_lua_wait(lua_State *L, int index, uint64_t deadline, int *nresults) {
  struct lg *G = lua_checkstack(L, 4) ? lg_find(L) : NULL;
  int at = lua_absindex(L, index), top = lua_gettop(L), r;
  *nresults = 0;
  if (!G || !lg_to_handle(L, at)) return UV_EINVAL;
  if (!G->hub) return UV_ECANCELED;
  if ((r = await_end(L, G, at, deadline)) < 0) return r;
  r = ((struct lg_handle *)lua_touserdata(L, at))->state;
  lua_pushcfunction(L, push_end);
  lua_pushvalue(L, at);
  if (lua_pcall(L, 1, LUA_MULTRET, 0) != LUA_OK) {
    *nresults = 1;
    return LUA_ERRMEM;
  }
  *nresults = lua_gettop(L) - top;
  return r == GREEN_DONE ? LUA_OK : LUA_ERRRUN;
}
