/* strings.c - the functions of the string library that could compute for long,
 * in steps that are counted: find, match, gmatch, gsub, rep, lower, upper,
 * reverse, and the length of utf8; and others that only make sure of their
 * memory first.
 *
 * They do what Lua's do, with the same errors. Where Lua runs: a match may
 * switch, so nothing that it needs is held but by the stack of Lua.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bounds/strings.h"

#include <ctype.h>
#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "bounds/match.h"
#include "runtime/object.h"

/* --- find and match --- */

/* Where a search begins, from 0: an index of Lua's, perhaps from the end. May
 * be beyond the end. */
static size_t first_index(lua_State *L, int arg, size_t length) {
  lua_Integer i = luaL_optinteger(L, arg, 1);
  if (i > 0) return (size_t)i - 1;
  if (i == 0 || i < -(lua_Integer)length) return 0;
  return length - (size_t)-i;
}

static int is_plain(const char *p, size_t length) {
  size_t i;
  for (i = 0; i < length; i++)
    if (p[i] && strchr("^$*+?.([%-", p[i])) return 0;
  return 1;
}

struct subject {
  const char *s, *p;
  size_t length, p_length;
};

static struct subject subject(lua_State *L) {
  struct subject on;
  on.s = luaL_checklstring(L, 1, &on.length);
  on.p = luaL_checklstring(L, 2, &on.p_length);
  return on;
}

static int push_place(lua_State *L, const struct subject *on, const char *from,
                      const char *to) {
  lua_pushinteger(L, from - on->s + 1);
  lua_pushinteger(L, to - on->s);
  return 2;
}

static int find_plain(lua_State *L, const struct subject *on, size_t from) {
  struct lg_effort effort;
  const char *at;
  lg_effort_begin(L, &effort);
  at = lg_find_text(&effort, on->s + from, on->length - from, on->p,
                    on->p_length);
  if (at) return push_place(L, on, at, at + on->p_length);
  luaL_pushfail(L);
  return 1;
}

/* Where a pattern matches first: the match begins at *at, and the end is
 * returned; or NULL. */
static const char *search(lua_State *L, struct lg_match *m,
                          const struct subject *on, const char **at) {
  const char *p = on->p, *e;
  int anchored = on->p_length > 0 && *p == '^';
  lg_match_begin(L, m, on->s, on->length, p, on->p_length);
  p += anchored;
  for (;; ++*at) {
    if ((e = lg_match_at(m, *at, p))) return e;
    if (anchored || *at == m->end) return NULL;
  }
}

static int find_or_match(lua_State *L, int find) {
  struct lg_match m;
  struct subject on = subject(L);
  size_t from = first_index(L, 3, on.length);
  const char *at = on.s + from, *e = NULL;
  if (from > on.length) {
    luaL_pushfail(L);
    return 1;
  }
  if (find && (lua_toboolean(L, 4) || is_plain(on.p, on.p_length)))
    return find_plain(L, &on, from);
  if (!(e = search(L, &m, &on, &at))) {
    luaL_pushfail(L);
    return 1;
  }
  if (!find) return lg_push_captures(&m, at, e);
  push_place(L, &on, at, e);
  return 2 + lg_push_captures(&m, NULL, NULL);
}

static int l_find(lua_State *L) {
  return find_or_match(L, 1);
}

static int l_match(lua_State *L) {
  return find_or_match(L, 0);
}

/* --- gmatch --- */

/* How far an iterator has come. Several threads may use one, so a match works
 * with a copy. */
struct walk {
  size_t at;   /* where the next match may begin */
  size_t last; /* where the last one ended; SIZE_MAX: there is none */
};

/* Upvalues: the state, the subject, the pattern, the struct walk. */
static int next_match(lua_State *L) {
  struct lg_match m;
  struct walk *walk = lua_touserdata(L, lua_upvalueindex(4));
  size_t length, p_length, last = walk->last;
  const char *s = lua_tolstring(L, lua_upvalueindex(2), &length), *at, *e;
  const char *p = lua_tolstring(L, lua_upvalueindex(3), &p_length);
  lg_match_begin(L, &m, s, length, p, p_length);
  for (at = s + walk->at; at <= m.end; at++) {
    e = lg_match_at(&m, at, p);
    if (!e || (size_t)(e - s) == last) continue;
    walk->at = walk->last = (size_t)(e - s);
    return lg_push_captures(&m, at, e);
  }
  return 0;
}

static int l_gmatch(lua_State *L) {
  struct subject on = subject(L);
  struct walk *walk;
  size_t from = first_index(L, 3, on.length);
  lua_settop(L, 2);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  walk = lua_newuserdatauv(L, sizeof *walk, 0);
  walk->at = from > on.length ? on.length + 1 : from;
  walk->last = SIZE_MAX;
  lua_pushcclosure(L, next_match, 4);
  return 1;
}

/* --- gsub --- */

/* The text that replaces the match from s to e: a string with %0 to %9. */
static void add_text(struct lg_match *m, luaL_Buffer *b, const char *s,
                     const char *e) {
  lua_State *L = m->effort.L;
  size_t length;
  const char *text = lua_tolstring(L, 3, &length), *end = text + length, *p;
  for (; (p = memchr(text, '%', (size_t)(end - text))); text = p + 2) {
    int c = (unsigned char)p[1];
    luaL_addlstring(b, text, (size_t)(p - text));
    if (c == '%') {
      luaL_addchar(b, '%');
    } else if (c == '0') {
      luaL_addlstring(b, s, (size_t)(e - s));
    } else if (isdigit(c)) {
      lg_push_capture(m, c - '1', s, e);
      luaL_addvalue(b);
    } else {
      luaL_error(L, "invalid use of '%c' in replacement string", '%');
    }
  }
  luaL_addlstring(b, text, (size_t)(end - text));
}

/* Adds the replacement; 0: the match stays as it is. */
static int add_replacement(struct lg_match *m, luaL_Buffer *b, const char *s,
                           const char *e) {
  lua_State *L = m->effort.L;
  int kind = lua_type(L, 3);
  if (kind == LUA_TFUNCTION) {
    lua_pushvalue(L, 3);
    lua_call(L, lg_push_captures(m, s, e), 1);
  } else if (kind == LUA_TTABLE) {
    lg_push_capture(m, 0, s, e);
    lua_gettable(L, 3);
  } else {
    add_text(m, b, s, e);
    return 1;
  }
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    luaL_addlstring(b, s, (size_t)(e - s));
    return 0;
  }
  if (!lua_isstring(L, -1))
    luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  luaL_addvalue(b);
  return 1;
}

static void check_replacement(lua_State *L) {
  int kind = lua_type(L, 3);
  luaL_argexpected(L,
                   kind == LUA_TNUMBER || kind == LUA_TSTRING ||
                       kind == LUA_TFUNCTION || kind == LUA_TTABLE,
                   3, "string/function/table");
}

/* Replaces up to `most` matches; *changed: one at least by another text. Does
 * not add the text behind the last match. */
static lua_Integer replace(struct lg_match *m, luaL_Buffer *b,
                           const struct subject *on, lua_Integer most,
                           const char **at, int *changed) {
  int anchored = on->p_length > 0 && *on->p == '^';
  const char *p = on->p + anchored, *last = NULL, *e;
  lua_Integer n = 0;
  while (n < most) {
    if ((e = lg_match_at(m, *at, p)) && e != last) {
      n++;
      *changed = add_replacement(m, b, *at, e) || *changed;
      *at = last = e;
    } else if (*at < m->end) {
      luaL_addchar(b, *(*at)++);
    } else {
      break;
    }
    if (anchored) break;
  }
  return n;
}

static int l_gsub(lua_State *L) {
  struct lg_match m;
  luaL_Buffer b;
  struct subject on = subject(L);
  const char *at = on.s;
  int changed = 0;
  lua_Integer most = 0, n;
  most = luaL_optinteger(L, 4, (lua_Integer)on.length + 1);
  check_replacement(L);
  lg_make_space(L, 2 * on.length);
  lg_match_begin(L, &m, on.s, on.length, on.p, on.p_length);
  luaL_buffinit(L, &b);
  n = replace(&m, &b, &on, most, &at, &changed);
  if (changed) {
    luaL_addlstring(&b, at, (size_t)(m.end - at));
    luaL_pushresult(&b);
  } else {
    lua_pushvalue(L, 1);
  }
  lua_pushinteger(L, n);
  return 2;
}

/* --- rep --- */

/* Fills `to` with copies of its first `length` bytes, in pieces of some 256 KB:
 * new memory costs more than the copy. */
static void repeat(struct lg_effort *e, char *to, size_t length,
                   size_t total) {
  enum { PIECE = 1 << 18 };
  size_t have = length;
  size_t most = length < PIECE ? PIECE / length * length : length;
  while (have < total) {
    size_t more = have < total - have ? have : total - have;
    if (more > most) more = most;
    memcpy(to + have, to, more);
    lg_spend(e, (int64_t)more / 16);
    have += more;
  }
}

/* Of one piece, the text and what separates it from the next; behind the last
 * text nothing separates. */
static int l_rep(lua_State *L) {
  size_t length, between, total;
  const char *s = luaL_checklstring(L, 1, &length);
  lua_Integer n = luaL_checkinteger(L, 2);
  const char *sep = luaL_optlstring(L, 3, "", &between);
  struct lg_effort effort;
  luaL_Buffer b;
  char *to;
  lg_effort_begin(L, &effort);
  if (n <= 0 || length + between == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  if (length + between < length || length + between > LG_MOST_TEXT / (size_t)n)
    return luaL_error(L, "resulting string too large");
  total = (size_t)n * length + (size_t)(n - 1) * between;
  lg_make_space(L, 2 * total); /* for the buffer, and its copy, the string */
  to = luaL_buffinitsize(L, &b, total + between);
  memcpy(to, s, length);
  memcpy(to + length, sep, between);
  repeat(&effort, to, length + between, total);
  luaL_pushresultsize(&b, total);
  return 1;
}

/* --- lower, upper, reverse --- */

/* A byte of the result costs 1 to 3 ns. */
enum { BYTES = 4096, STEPS_OF_BYTES = 2048 };

/* Writes bytes `from` to `to` of the result. */
typedef void change(char *result, const char *s, size_t length, size_t from,
                    size_t to);

static void in_lower(char *result, const char *s, size_t length, size_t from,
                     size_t to) {
  (void)length;
  for (; from < to; from++)
    result[from] = (char)tolower((unsigned char)s[from]);
}

static void in_upper(char *result, const char *s, size_t length, size_t from,
                     size_t to) {
  (void)length;
  for (; from < to; from++)
    result[from] = (char)toupper((unsigned char)s[from]);
}

static void reversed(char *result, const char *s, size_t length, size_t from,
                     size_t to) {
  for (; from < to; from++) result[from] = s[length - 1 - from];
}

static int changed_text(lua_State *L, change *how) {
  struct lg_effort effort;
  luaL_Buffer b;
  size_t length, from, to;
  const char *s = luaL_checklstring(L, 1, &length);
  char *result;
  lg_effort_begin(L, &effort);
  lg_make_space(L, 2 * length);
  result = luaL_buffinitsize(L, &b, length);
  for (from = 0; from < length; from = to) {
    to = length - from > BYTES ? from + BYTES : length;
    how(result, s, length, from, to);
    lg_spend(&effort, STEPS_OF_BYTES);
  }
  luaL_pushresultsize(&b, length);
  return 1;
}

static int l_lower(lua_State *L) {
  return changed_text(L, in_lower);
}

static int l_upper(lua_State *L) {
  return changed_text(L, in_upper);
}

static int l_reverse(lua_State *L) {
  return changed_text(L, reversed);
}

/* --- the length of utf8 --- */

/* Behind the code point at s, or NULL: there is none. A strict one is at most
 * 10FFFF, and no surrogate. */
static const char *code_point(const char *s, int strict) {
  static const uint32_t least[] = {0,       0x80,     0x800,
                                   0x10000, 0x200000, 0x4000000};
  unsigned first = (unsigned char)*s, more = 0;
  uint32_t code = 0;
  if (first < 0x80) return s + 1;
  for (; first & 0x40; first <<= 1) {
    unsigned c = (unsigned char)s[++more];
    if ((c & 0xC0) != 0x80) return NULL;
    code = code << 6 | (c & 0x3F);
  }
  if (more == 0 || more > 5) return NULL;
  code |= (uint32_t)(first & 0x7F) << more * 5;
  if (code < least[more] || code > 0x7FFFFFFF) return NULL;
  if (strict && (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)))
    return NULL;
  return s + more + 1;
}

static lua_Integer place_in(lua_Integer i, size_t length) {
  if (i >= 0) return i;
  return 0 - (size_t)i > length ? 0 : (lua_Integer)length + i + 1;
}

/* utf8.len(s [, i [, j [, lax]]]) */
static int l_utf8_len(lua_State *L) {
  struct lg_effort effort;
  size_t length;
  const char *s = luaL_checklstring(L, 1, &length), *next;
  lua_Integer i = place_in(luaL_optinteger(L, 2, 1), length);
  lua_Integer j = place_in(luaL_optinteger(L, 3, -1), length), n;
  int strict = !lua_toboolean(L, 4);
  luaL_argcheck(L, 1 <= i && i - 1 <= (lua_Integer)length, 2,
                "initial position out of bounds");
  luaL_argcheck(L, j - 1 < (lua_Integer)length, 3,
                "final position out of bounds");
  lg_effort_begin(L, &effort);
  for (n = 0; i <= j; n++) {
    if (!(next = code_point(s + i - 1, strict))) {
      luaL_pushfail(L);
      lua_pushinteger(L, i);
      return 2;
    }
    lg_spend(&effort, 1);
    i = next - s + 1;
  }
  lua_pushinteger(L, n);
  return 1;
}

void lg_push_utf8_len(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, lg_find(L));
  lua_pushcclosure(L, l_utf8_len, 1);
}

/* --- those that are Lua's own --- */

/* Each byte is a value on the stack. */
int lg_with_room(lua_State *L) {
  size_t length;
  luaL_checklstring(L, 1, &length);
  if (!lua_isnoneornil(L, 3) && !lg_has_room(L, (lua_Integer)length))
    return luaL_error(L, "string slice too long");
  return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

/* Continues in the function of Lua's, upvalue 2. Its result has about as many
 * bytes as its texts. */
static int with_space(lua_State *L) {
  size_t bytes = 0;
  int i;
  for (i = lua_gettop(L); i > 0; i--)
    if (lua_type(L, i) == LUA_TSTRING) bytes += lua_rawlen(L, i);
  if (bytes > 65536) lg_make_space(L, 2 * bytes);
  return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

/* unpack: each option is a value on the stack, at most. */
static int with_values(lua_State *L) {
  size_t length;
  luaL_checklstring(L, 1, &length);
  if (!lg_has_room(L, (lua_Integer)length))
    return luaL_error(L, "too many results to unpack");
  return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

/* How many bytes the options "c" of a format ask for. */
static size_t fixed_bytes(const char *format) {
  size_t n, all = 0;
  while ((format = strchr(format, 'c'))) {
    for (n = 0, format++; isdigit((unsigned char)*format); format++)
      if (n < INT_MAX) n = n * 10 + (size_t)(*format - '0');
    all += n;
  }
  return all;
}

/* pack: two gigabytes of padding take Lua ten seconds. */
static int with_padding(lua_State *L) {
  enum { MOST = 1 << 20 };
  size_t bytes = MOST;
  int i;
  for (i = lua_gettop(L); i > 1; i--)
    if (lua_type(L, i) == LUA_TSTRING) bytes += lua_rawlen(L, i);
  if (fixed_bytes(luaL_checkstring(L, 1)) > bytes)
    return luaL_error(L, "too much padding for a sandbox");
  return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

static void wrap(lua_State *L, const char *name, lua_CFunction f) {
  if (lua_getfield(L, -2, name) == LUA_TFUNCTION && lua_iscfunction(L, -1) &&
      !lua_getupvalue(L, -1, 1)) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, lg_find(L));
    lua_insert(L, -2);
    lua_pushcclosure(L, f, 2);
    lua_setfield(L, -2, name);
  } else {
    lua_pop(L, 1);
  }
}

static void copy(lua_State *L, const char *name) {
  lua_getfield(L, -2, name);
  lua_setfield(L, -2, name);
}

void lg_push_strings(lua_State *L) {
  static const luaL_Reg own[] = {
      {"find", l_find},   {"match", l_match},     {"gmatch", l_gmatch},
      {"gsub", l_gsub},   {"rep", l_rep},         {"lower", l_lower},
      {"upper", l_upper}, {"reverse", l_reverse}, {NULL, NULL}};
  static const char *const same[] = {"char", "len", "packsize", "sub"};
  unsigned i;
  lua_newtable(L);
  lg_setfuncs(L, own, 0);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "string");
  lua_remove(L, -2);
  lua_insert(L, -2);
  for (i = 0; lua_istable(L, -2) && i < sizeof same / sizeof *same; i++)
    copy(L, same[i]);
  if (lua_istable(L, -2)) {
    wrap(L, "format", with_space);
    wrap(L, "byte", lg_with_room);
    wrap(L, "pack", with_padding);
    wrap(L, "unpack", with_values);
  }
  lua_remove(L, -2);
}
