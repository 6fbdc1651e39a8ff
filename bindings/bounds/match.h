/* match.h - Lua's patterns, in steps that are counted.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LG_MATCH_H
#define LG_MATCH_H

#include "bounds/effort.h"

/* As in Lua: captures, and how deep parts of a pattern may nest. */
enum { LG_MOST_CAPTURES = 32, LG_MOST_DEPTH = 200 };

/* Of a capture, in the place of its length. */
enum { LG_OPEN = -1, LG_POSITION = -2 };

struct lg_match {
  struct lg_effort effort;
  const char *begin, *end; /* the subject */
  const char *pattern_end; /* there is a '\0' behind both */
  int captures, depth;
  struct {
    const char *at;
    ptrdiff_t length;
  } capture[LG_MOST_CAPTURES];
};

/* The subject and the pattern are strings on the stack of L. */
void lg_match_begin(lua_State *L, struct lg_match *m, const char *s,
                    size_t length, const char *pattern, size_t pattern_length);
/* Matches at s, and returns the end of the match, or NULL. May raise and
 * switch. */
const char *lg_match_at(struct lg_match *m, const char *s,
                        const char *pattern);
/* Pushes the captures and returns their number. Without any, that is the whole
 * match from s to e, unless s is NULL. */
int lg_push_captures(struct lg_match *m, const char *s, const char *e);
/* Pushes capture i, from 0; 0 stands for the whole match if there is none. */
void lg_push_capture(struct lg_match *m, int i, const char *s, const char *e);
/* The first place of a text in another, or NULL. */
const char *lg_find_text(struct lg_effort *e, const char *s, size_t length,
                         const char *text, size_t text_length);

#endif
