/* watch.h - watching a running program: traces, profiles, figures.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_WATCH_H
#define LG_WATCH_H

#include "runtime/state.h"

/* tally.c: sums by text. Without memory for one more text, it goes to a last
 * one, "(others)". Nothing here raises or uses memory of Lua's. */
enum { LG_SUMS = 5 };
struct lg_sums {
  uint64_t sum[LG_SUMS];
  uint32_t length;
  struct lg_sums *next, *in_bucket; /* all, the newest first */
  char text[];
};
struct lg_tally {
  struct lg_sums *first;
  struct lg_sums *buckets[1024];
  uint32_t count, most; /* texts */
};
struct lg_tally *lg_tally_new(uint32_t most); /* or NULL */
void lg_tally_free(struct lg_tally *tally);
/* The sums of that text, zeros at first; NULL: there is no memory. */
struct lg_sums *lg_tally_at(struct lg_tally *tally, const char *text,
                            size_t length);

/* profile.c: the state ends. */
void lg_profile_drop(struct lg *G);

/* figures.c: what stats() has of them, pushed as a table. */
void lg_push_lag(lua_State *L, struct lg *G);
void lg_push_gc(lua_State *L);
/* The state ends, perhaps in the midst of a measurement. */
void lg_figures_drop(struct lg *G);

/* Each lg_open_ function adds its file's functions to the table on top of the
 * stack; their first upvalue is G. */
void lg_open_trace(lua_State *L);
void lg_open_profile(lua_State *L);
void lg_open_figures(lua_State *L);

#endif
