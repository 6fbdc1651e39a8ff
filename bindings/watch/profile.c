/* profile.c - where threads wait, and where they are while they do: profiles
 * without a signal.
 *
 * The core tells of each wait as it ends, when the thread's stack is still as
 * it was. A wait of less than a millisecond is not worth the look at it. The
 * time that a thread ran counts for the place where it left; short runs, which
 * are many, count for the thread's name alone.
 *
 * The core's calls come on any stack of the hub's OS thread and use no memory
 * of Lua's. The rest runs where Lua runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/object.h"
#include "thread/fold.h"
#include "watch/watch.h"

enum { MOST_STACKS = 20000 };
enum { WORTH_NS = 1000000 };

struct lg_profile {
  struct lg_tally *tally;
  uint64_t since; /* the hub's time when it began */
  int runs;       /* the time that a thread ran counts, too */
  int by_thread;  /* "#7 name" instead of the name */
};

/* --- stacks --- */

/* "name;file:line f;...;[what]" */
static void count(struct lg *G, struct green_thread *t, const char *what,
                  int stack, uint64_t ns) {
  char text[LG_FOLD_NAME + LG_FOLD_SIZE + 64];
  size_t at = lg_fold_name(G, t, G->profile->by_thread, text), n;
  struct lg_sums *s;
  text[at++] = ';';
  n = stack ? lg_fold_thread(G, t, text + at, LG_FOLD_SIZE) : 0;
  at += n;
  if (n) text[at++] = ';';
  at += (size_t)snprintf(text + at, 60, "[%.50s]", what);
  if ((s = lg_tally_at(G->profile->tally, text, at))) s->sum[0] += ns;
}

/* --- what the core tells --- */

/* The state of a thread that is profiled, or NULL. Main and C's threads belong
 * to whoever profiles. */
static struct lg *profiled(struct green_hub *hub,
                           const struct green_thread *t) {
  struct green_family *f = green_families(hub);
  for (; f; f = f->next)
    if (((struct lg *)f)->profile &&
        (!lg_is_lua(t) || f == green_family_of(t)))
      return (struct lg *)f;
  return NULL;
}

static void waited(struct green_hub *hub, struct green_thread *t,
                   uint64_t ns) {
  struct lg *G = ns >= WORTH_NS ? profiled(hub, t) : NULL;
  if (G) count(G, t, t->kind->name, 1, ns);
}

static void ran(struct green_hub *hub, struct green_thread *t, uint64_t ns) {
  struct lg *G = profiled(hub, t);
  if (G && G->profile->runs)
    count(G, t, "running", ns >= WORTH_NS && t->state < GREEN_DONE, ns);
}

/* --- beginning and ending --- */

/* Some state on the hub still profiles. */
static int in_use(struct green_hub *hub) {
  const struct green_family *f = green_families(hub);
  while (f && !((const struct lg *)f)->profile) f = f->next;
  return f != NULL;
}

void lg_profile_drop(struct lg *G) {
  struct lg_profile *p = G->profile;
  if (!p) return;
  G->profile = NULL;
  if (G->hub && !in_use(G->hub)) green_watch_waits(G->hub, NULL, NULL);
  lg_tally_free(p->tally);
  free(p);
}

/* waits_begin(runs, by_thread) */
static int l_begin(lua_State *L) {
  struct lg *G = lg_get(L);
  struct lg_profile *p = calloc(1, sizeof *p);
  if (p) p->tally = lg_tally_new(MOST_STACKS);
  if (!p || !p->tally) {
    free(p);
    return luaL_error(L, "not enough memory");
  }
  p->since = green_time(G->hub);
  p->runs = lua_toboolean(L, 1);
  p->by_thread = lua_toboolean(L, 2);
  lg_profile_drop(G);
  assert(!G->profile && p->tally);
  G->profile = p;
  green_watch_waits(G->hub, waited, ran);
  return 0;
}

/* A wait that is under way: it may be the one that somebody looks for. */
static void add_waiting(struct green_thread *t, void *arg) {
  struct lg *G = arg;
  uint64_t now = green_time(G->hub), since = t->since;
  if (t->state != GREEN_BLOCKED) return;
  if (since < G->profile->since) since = G->profile->since;
  if (now > since && now - since >= WORTH_NS)
    count(G, t, t->kind->name, 1, now - since);
}

/* (tally) Called by lua_pcall(), so that the caller can free the tally after an
 * error. */
static int push_rows(lua_State *L) {
  const struct lg_tally *tally = lua_touserdata(L, 1);
  const struct lg_sums *s;
  lua_Integer n = 0;
  lua_newtable(L);
  for (s = tally->first; s; s = s->next) {
    lua_pushlstring(L, s->text, s->length);
    lua_rawseti(L, -2, ++n);
    lua_pushinteger(L, (lua_Integer)s->sum[0]);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* waits_end(): {stack, ns, stack, ns, ...}, or nothing if none is on. A
 * finalizer may begin another one meanwhile, so this one is taken away
 * first. */
static int l_end(lua_State *L) {
  struct lg *G = lg_get(L);
  struct lg_tally *tally;
  int status;
  if (!G->profile) return 0;
  lua_pushcfunction(L, push_rows);
  green_each_of(G->hub, &G->family, add_waiting, G);
  green_each_of(G->hub, NULL, add_waiting, G);
  tally = G->profile->tally;
  G->profile->tally = NULL;
  lg_profile_drop(G);
  assert(tally && !G->profile);
  lua_pushlightuserdata(L, tally);
  status = lua_pcall(L, 1, 1, 0);
  lg_tally_free(tally);
  return status == LUA_OK ? 1 : lua_error(L);
}

static const luaL_Reg functions[] = {
    {"waits_begin", l_begin}, {"waits_end", l_end}, {NULL, NULL}};

void lg_open_profile(lua_State *L) {
  lg_setfuncs(L, functions, 0);
}
