/* site.c - numbers for places of the program: those that spawn threads, and
 * those that define the functions of ended threads; and a test for our own
 * code.
 *
 * A program has few places and very many threads, so a thread's record holds a
 * number. A hash table leads from (source, line) to the copied name. The source
 * is compared too, or the name if that is long, since the collector may free a
 * source string and reuse its address.
 *
 * SPDX-License-Identifier: MIT
 */
#include "runtime/anchor.h"
#include "runtime/site.h"

#include <stdlib.h>
#include <string.h>

struct site {
  const char *source; /* an address, never followed */
  size_t length;      /* of what was there, and a copy if it is short: a */
  char copy[32];      /* strcmp of two names takes 5 ns more of a spawn */
  int line;
  uint32_t next; /* in its bucket; 0: last */
  int ours;      /* it is the library's own */
  char name[LUA_IDSIZE];
};

enum { BUCKETS = 256, MOST_SITES = 65536 };

struct lg_sites {
  uint32_t count, room;
  uint32_t bucket[BUCKETS];
  struct site *at; /* [1 .. count] */
};

static uint32_t hash(const char *source, int line) {
  uint64_t x = (uint64_t)(uintptr_t)source * UINT64_C(0x9e3779b97f4a7c15);
  return (uint32_t)((x >> 40) ^ (uint32_t)line * 31u) % BUCKETS;
}

/* An equal source has an equal name. */
static int is_at(const struct site *s, const lua_Debug *ar) {
  if (s->source != ar->source || s->line != ar->currentline ||
      s->length != ar->srclen)
    return 0;
  if (likely(s->length <= sizeof s->copy))
    return memcmp(s->copy, ar->source, s->length) == 0;
  return strcmp(s->name, ar->short_src) == 0;
}

static uint32_t find(struct lg_sites *s, uint32_t bucket,
                     const lua_Debug *ar) {
  uint32_t i = s->bucket[bucket];
  while (i && !is_at(&s->at[i], ar)) i = s->at[i].next;
  return i;
}

static int make_room(struct lg_sites *s) {
  uint32_t room = s->room ? s->room * 2 : 32;
  struct site *at;
  if (s->count + 1 < s->room) return 1;
  if (room > MOST_SITES) return 0; /* a program of generated chunks */
  at = realloc(s->at, room * sizeof *at);
  if (!at) return 0;
  s->at = at;
  s->room = room;
  return 1;
}

int lg_is_ours(lua_State *L, const char *source) {
  size_t length;
  const char *home;
  int ours;
  luaL_checkstack(L, 2, "luagreen");
  lua_getfield(L, LUA_REGISTRYINDEX, "luagreen.home");
  home = lua_tolstring(L, -1, &length);
  ours = home && strncmp(source, home, length) == 0;
  lua_pop(L, 1);
  return ours;
}

int lg_in_library(lua_State *L, lua_Debug *ar) {
  return lua_getinfo(L, "S", ar) && lg_is_ours(L, ar->source);
}

static uint32_t add(lua_State *L, struct lg_sites *s, uint32_t bucket,
                    const lua_Debug *ar) {
  struct site *site;
  int ours = lg_is_ours(L, ar->source);
  if (!make_room(s)) return 0;
  site = &s->at[++s->count];
  site->source = ar->source;
  site->length = ar->srclen;
  memcpy(site->copy, ar->source,
         ar->srclen < sizeof site->copy ? ar->srclen : sizeof site->copy);
  site->line = ar->currentline;
  site->ours = ours;
  site->next = s->bucket[bucket];
  memcpy(site->name, ar->short_src, sizeof site->name);
  return s->bucket[bucket] = s->count;
}

static uint32_t known(struct lg *G, const lua_Debug *ar) {
  if (!G->sites) return 0;
  return find(G->sites, hash(ar->source, ar->currentline), ar);
}

static uint32_t number_of(lua_State *L, struct lg *G, const lua_Debug *ar) {
  uint32_t found = known(G, ar);
  if (found) return found;
  if (!G->sites) G->sites = calloc(1, sizeof *G->sites);
  if (!G->sites) return 0;
  return add(L, G->sites, hash(ar->source, ar->currentline), ar);
}

/* (G, ar) on the helper. */
static int note_definition(lua_State *L) {
  number_of(L, lua_touserdata(L, 1), lua_touserdata(L, 2));
  return 0;
}

uint32_t lg_definition(struct lg *G, lua_Debug *ar) {
  uint32_t found;
  ar->currentline = ar->linedefined;
  if ((found = known(G, ar))) return found;
  lg_protected(G, note_definition, ar);
  return known(G, ar);
}

/* --- where the program is --- */

/* There is no Lua function at all: a place without a line. The origin of
 * stripped code is unknown. */
static void without_place(lua_Debug *ar, int any) {
  static const char stripped[] = "?", c[] = "a C function";
  const char *name = any ? stripped : c;
  ar->source = name;
  ar->srclen = strlen(name);
  ar->currentline = 0;
  memcpy(ar->short_src, name, strlen(name) + 1);
}

/* The next level, from *level on, that is at a line of Lua code. A tail call
 * leaves no level, and C functions have no lines. */
static int next_line(lua_State *from, int *level, lua_Debug *ar, int *any) {
  for (; lua_getstack(from, *level, ar); ++*level) {
    lua_getinfo(from, "Sl", ar);
    if (*ar->what != 'C') *any = 1;
    if (ar->currentline > 0) return 1;
  }
  return 0;
}

uint32_t lg_site(lua_State *L, struct lg *G, int level) {
  uint32_t site, first = 0;
  int any = 0;
  lua_Debug ar;
  for (; next_line(L, &level, &ar, &any); level++) {
    site = number_of(L, G, &ar);
    if (unlikely(!site)) return first;
    if (likely(!G->sites->at[site].ours)) return site;
    if (!first) first = site;
  }
  if (first) return first;
  without_place(&ar, any);
  return number_of(L, G, &ar);
}

void lg_push_place(lua_State *L, const char *name, int line) {
  char shown[LUA_IDSIZE];
  name = lg_one_line(name, shown, sizeof shown);
  if (line > 0)
    lua_pushfstring(L, "%s:%d", name, line);
  else
    lua_pushstring(L, name);
}

void lg_push_where(lua_State *L, lua_State *from, int level) {
  lua_Debug ar, first;
  int any = 0, ours = 0;
  for (; next_line(from, &level, &ar, &any); level++) {
    if (!lg_is_ours(L, ar.source)) {
      lg_push_place(L, ar.short_src, ar.currentline);
      return;
    }
    if (!ours) first = ar;
    ours = 1;
  }
  if (ours) {
    lg_push_place(L, first.short_src, first.currentline);
    return;
  }
  without_place(&ar, any);
  lua_pushstring(L, ar.short_src);
}

/* --- as text --- */

static int is_control(char c) {
  return (unsigned char)c < ' ' || c == 127;
}

const char *lg_one_line(const char *text, char *to, size_t size) {
  static const char digits[] = "0123456789abcdef";
  const char *s = text;
  size_t n = 0;
  while (*s && !is_control(*s)) s++;
  if (!*s) return text;
  for (s = text; *s && n + 5 <= size; s++) {
    if (!is_control(*s)) {
      to[n++] = *s;
      continue;
    }
    memcpy(to + n, "\\x", 2);
    to[n + 2] = digits[(unsigned char)*s >> 4];
    to[n + 3] = digits[*s & 15];
    n += 4;
  }
  to[n] = 0;
  return to;
}

const char *lg_site_name(struct lg *G, uint32_t site, int *line) {
  if (!site || !G->sites || site > G->sites->count) return NULL;
  *line = G->sites->at[site].line;
  return G->sites->at[site].name;
}

void lg_push_site(lua_State *L, struct lg *G, uint32_t site) {
  int line = 0;
  const char *name = lg_site_name(G, site, &line);
  lg_push_place(L, name ? name : "?", line);
}

void lg_sites_free(struct lg *G) {
  if (G->sites) free(G->sites->at);
  free(G->sites);
  G->sites = NULL;
}
