/* match.c - Lua's patterns, in steps that are counted.
 *
 * Written from the manual's description of patterns (6.4.1); where that says
 * nothing, a comparison with the library's functions has decided, by random
 * patterns (spec/bounds/patterns_spec.lua): results and errors are the same.
 *
 * A pattern is a chain of items. An item that repeats, or a parenthesis, is
 * followed by a call for the rest of the chain, so the depth of C calls is the
 * number of such items: at most 200, as in Lua, where more are "too complex".
 *
 * Where Lua runs, in a function of ours. A match holds nothing but pointers
 * into strings that its caller keeps on the stack.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/match.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#define ESCAPE '%'

static int byte_at(const char *s) {
  return (unsigned char)*s;
}

/* --- sets of characters --- */

static int is_in_class(int c, int letter) {
  int in;
  switch (tolower(letter)) {
    case 'a': in = isalpha(c); break;
    case 'c': in = iscntrl(c); break;
    case 'd': in = isdigit(c); break;
    case 'g': in = isgraph(c); break;
    case 'l': in = islower(c); break;
    case 'p': in = ispunct(c); break;
    case 's': in = isspace(c); break;
    case 'u': in = isupper(c); break;
    case 'w': in = isalnum(c); break;
    case 'x': in = isxdigit(c); break;
    case 'z': in = c == 0; break; /* no longer in the manual, still in Lua */
    default: return letter == c;  /* stands for itself */
  }
  return isupper(letter) ? !in : !!in;
}

/* The set begins at its '[' and ends before `close`, its ']'. */
static int is_in_set(int c, const char *set, const char *close) {
  int in = 1;
  set++;
  if (*set == '^') {
    in = 0;
    set++;
  }
  for (; set < close; set++) {
    if (*set == ESCAPE) {
      set++;
      if (is_in_class(c, byte_at(set))) return in;
    } else if (set[1] == '-' && set + 2 < close) {
      if (byte_at(set) <= c && c <= byte_at(set + 2)) return in;
      set += 2;
    } else if (byte_at(set) == c) {
      return in;
    }
  }
  return !in;
}

/* --- items --- */

/* Behind the set that begins at its '['. A ']' right at the beginning belongs
 * to the set. */
static const char *end_of_set(struct lg_match *m, const char *p) {
  p++;
  if (*p == '^') p++;
  do {
    if (p == m->pattern_end)
      luaL_error(m->effort.L, "malformed pattern (missing ']')");
    if (*p++ == ESCAPE && p < m->pattern_end) p++;
  } while (*p != ']');
  return p + 1;
}

/* Behind the item of one character at p: its suffix, if it has one. */
static const char *end_of_item(struct lg_match *m, const char *p) {
  if (*p == '[') return end_of_set(m, p);
  if (*p != ESCAPE) return p + 1;
  if (p + 1 == m->pattern_end)
    luaL_error(m->effort.L, "malformed pattern (ends with '%%')");
  return p + 2;
}

/* Does the item from p to p_end match the character at s? */
static int fits(const struct lg_match *m, const char *s, const char *p,
                const char *p_end) {
  if (s >= m->end) return 0;
  switch (*p) {
    case '.': return 1;
    case ESCAPE: return is_in_class(byte_at(s), byte_at(p + 1));
    case '[': return is_in_set(byte_at(s), p, p_end - 1);
    default: return *p == *s;
  }
}

/* Matching a set takes as many steps as the set has bytes. */
static void spend_item(struct lg_match *m, const char *p, const char *p_end) {
  lg_spend(&m->effort, p_end - p);
}

static const char *match_rest(struct lg_match *m, const char *s,
                              const char *p);

/* As many as there are, then fewer and fewer. */
static const char *match_most(struct lg_match *m, const char *s, const char *p,
                              const char *p_end) {
  const char *at = s, *found;
  for (; fits(m, at, p, p_end); at++) spend_item(m, p, p_end);
  for (; at >= s; at--)
    if ((found = match_rest(m, at, p_end + 1))) return found;
  return NULL;
}

/* As few as possible, then more and more. */
static const char *match_fewest(struct lg_match *m, const char *s,
                                const char *p, const char *p_end) {
  for (;; s++) {
    const char *found = match_rest(m, s, p_end + 1);
    if (found) return found;
    if (!fits(m, s, p, p_end)) return NULL;
    spend_item(m, p, p_end);
  }
}

/* %bxy, whose two characters are at p. */
static const char *match_balance(struct lg_match *m, const char *s,
                                 const char *p) {
  int open = 1;
  if (p >= m->pattern_end - 1)
    luaL_error(m->effort.L, "malformed pattern (missing arguments to '%%b')");
  if (*s != p[0]) return NULL;
  while (++s < m->end) {
    lg_spend(&m->effort, 1);
    if (*s == p[1]) {
      if (--open == 0) return s + 1;
    } else if (*s == p[0]) {
      open++;
    }
  }
  return NULL;
}

/* %f, whose set begins at p: a border between what is not in the set and what
 * is. Behind the subject stands a '\0', and before it. */
static int is_border(struct lg_match *m, const char *s, const char *p,
                     const char *p_end) {
  int before = s == m->begin ? '\0' : byte_at(s - 1);
  return !is_in_set(before, p, p_end - 1) &&
         is_in_set(byte_at(s), p, p_end - 1);
}

/* --- captures --- */

/* The rest of the pattern is behind the parenthesis that opens. */
static const char *match_open(struct lg_match *m, const char *s, const char *p,
                              int kind) {
  const char *found;
  if (m->captures >= LG_MOST_CAPTURES)
    luaL_error(m->effort.L, "too many captures");
  m->capture[m->captures].at = s;
  m->capture[m->captures].length = kind;
  m->captures++;
  found = match_rest(m, s, p);
  if (!found) m->captures--;
  return found;
}

static int innermost_open(struct lg_match *m) {
  int i = m->captures;
  while (--i >= 0)
    if (m->capture[i].length == LG_OPEN) return i;
  return luaL_error(m->effort.L, "invalid pattern capture");
}

static const char *match_close(struct lg_match *m, const char *s,
                               const char *p) {
  int i = innermost_open(m);
  const char *found;
  m->capture[i].length = s - m->capture[i].at;
  found = match_rest(m, s, p);
  if (!found) m->capture[i].length = LG_OPEN;
  return found;
}

/* %1 to %9: the same text as a capture before. A position is no text. */
static const char *match_again(struct lg_match *m, const char *s, int digit) {
  int i = digit - '1';
  ptrdiff_t length;
  if (i < 0 || i >= m->captures || m->capture[i].length == LG_OPEN)
    luaL_error(m->effort.L, "invalid capture index %%%d", i + 1);
  length = m->capture[i].length;
  if (length == LG_POSITION || m->end - s < length) return NULL;
  lg_spend(&m->effort, length / 8);
  if (memcmp(m->capture[i].at, s, (size_t)length) != 0) return NULL;
  return s + length;
}

/* --- the chain --- */

/* The item with a suffix from p to p_end, which matches at s: what it and the
 * rest come to. */
static const char *match_repeated(struct lg_match *m, const char *s,
                                  const char *p, const char *p_end) {
  switch (*p_end) {
    case '+': return match_most(m, s + 1, p, p_end);
    case '*': return match_most(m, s, p, p_end);
    default: return match_fewest(m, s, p, p_end);
  }
}

enum { FAILED, FOUND, NEXT };

/* One item of one character. NEXT: *s and *p are behind it. */
static int match_item(struct lg_match *m, const char **s, const char **p) {
  const char *p_end = end_of_item(m, *p), *found;
  spend_item(m, *p, p_end);
  if (!fits(m, *s, *p, p_end)) {
    if (*p_end != '*' && *p_end != '?' && *p_end != '-') return FAILED;
    *p = p_end + 1; /* none */
    return NEXT;
  }
  if (*p_end == '?') {
    if ((found = match_rest(m, *s + 1, p_end + 1))) {
      *s = found;
      return FOUND;
    }
    *p = p_end + 1;
    return NEXT;
  }
  if (*p_end == '*' || *p_end == '+' || *p_end == '-') {
    *s = match_repeated(m, *s, *p, p_end);
    return FOUND;
  }
  ++*s;
  *p = p_end;
  return NEXT;
}

/* Items that begin with '%' and are not one character. */
static int match_special(struct lg_match *m, const char **s, const char **p) {
  const char *p_end;
  switch ((*p)[1]) {
    case 'b':
      *s = match_balance(m, *s, *p + 2);
      *p += 4;
      return *s ? NEXT : FAILED;
    case 'f':
      if ((*p)[2] != '[')
        luaL_error(m->effort.L, "missing '[' after '%%f' in pattern");
      p_end = end_of_item(m, *p + 2);
      spend_item(m, *p, p_end);
      if (!is_border(m, *s, *p + 2, p_end)) return FAILED;
      *p = p_end;
      return NEXT;
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
      *s = match_again(m, *s, byte_at(*p + 1));
      *p += 2;
      return *s ? NEXT : FAILED;
    default: return match_item(m, s, p);
  }
}

static int match_next(struct lg_match *m, const char **s, const char **p) {
  switch (**p) {
    case '(':
      *s = (*p)[1] == ')' ? match_open(m, *s, *p + 2, LG_POSITION)
                          : match_open(m, *s, *p + 1, LG_OPEN);
      return FOUND;
    case ')': *s = match_close(m, *s, *p + 1); return FOUND;
    case '$':
      if (*p + 1 != m->pattern_end) return match_item(m, s, p);
      return *s == m->end ? FOUND : FAILED;
    case ESCAPE: return match_special(m, s, p);
    default: return match_item(m, s, p);
  }
}

/* FOUND leaves in s the end of the whole match, or NULL. */
static const char *match_rest(struct lg_match *m, const char *s,
                              const char *p) {
  int how = NEXT;
  if (m->depth-- == 0) luaL_error(m->effort.L, "pattern too complex");
  while (p != m->pattern_end && (how = match_next(m, &s, &p)) == NEXT)
    ;
  m->depth++;
  return how == FAILED ? NULL : s;
}

/* --- for others --- */

void lg_match_begin(lua_State *L, struct lg_match *m, const char *s,
                    size_t length, const char *pattern,
                    size_t pattern_length) {
  lg_effort_begin(L, &m->effort);
  m->begin = s;
  m->end = s + length;
  m->pattern_end = pattern + pattern_length;
  m->captures = 0;
}

const char *lg_match_at(struct lg_match *m, const char *s,
                        const char *pattern) {
  m->captures = 0;
  m->depth = LG_MOST_DEPTH;
  return match_rest(m, s, pattern);
}

void lg_push_capture(struct lg_match *m, int i, const char *s, const char *e) {
  lua_State *L = m->effort.L;
  if (i >= m->captures) {
    if (i != 0) luaL_error(L, "invalid capture index %%%d", i + 1);
    lua_pushlstring(L, s, (size_t)(e - s));
  } else if (m->capture[i].length == LG_OPEN) {
    luaL_error(L, "unfinished capture");
  } else if (m->capture[i].length == LG_POSITION) {
    lua_pushinteger(L, m->capture[i].at - m->begin + 1);
  } else {
    lua_pushlstring(L, m->capture[i].at, (size_t)m->capture[i].length);
  }
}

int lg_push_captures(struct lg_match *m, const char *s, const char *e) {
  int i, n = m->captures == 0 && s ? 1 : m->captures;
  luaL_checkstack(m->effort.L, n, "too many captures");
  for (i = 0; i < n; i++) lg_push_capture(m, i, s, e);
  return n;
}

const char *lg_find_text(struct lg_effort *e, const char *s, size_t length,
                         const char *text, size_t text_length) {
  const char *last = s + length - text_length, *at;
  if (text_length == 0) return s;
  if (text_length > length) return NULL;
  for (; s <= last; s = at + 1) {
    at = memchr(s, *text, (size_t)(last - s) + 1);
    lg_spend(e, ((at ? at : last) - s) / 16);
    if (!at) return NULL;
    lg_spend(e, 1 + (int64_t)text_length / 16);
    if (memcmp(at, text, text_length) == 0) return at;
  }
  return NULL;
}
