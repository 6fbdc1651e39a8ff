/* pack.c - values as messages, and messages as values.
 *
 * A packed message is the number of its values, then each of them: a tag, and
 * what belongs to it. It never leaves the process, so numbers lie there as the
 * machine has them.
 *
 *   INTEGER, FLOAT    8 bytes
 *   SHORT, LONG       length (1 byte, 8 bytes), then the bytes
 *   PORT              its number among the ports that the message holds
 *   POINTER           a light userdata, as it is
 *   TABLE             how many elements and other fields (4 bytes each); the
 *                     elements 1, 2, ... as values, each other field as KEY,
 *                     key, value; END
 *
 * A table is sent as what is in it. A table that is reached twice arrives as
 * two, since keeping track of tables would cost each of them; only its
 * ancestors are compared, so that a cycle has its own message. No metamethod is
 * called, and nothing here allocates in Lua until all is packed: the tables
 * cannot change meanwhile.
 *
 * SPDX-License-Identifier: MIT
 */
#include "host/pack.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/port.h"
#include "runtime/boxed.h"
#include "runtime/budget.h"

enum tag {
  NIL,
  FALSE_,
  TRUE_,
  INTEGER,
  FLOAT,
  SHORT,
  LONG,
  TABLE,
  PORT,
  POINTER,
  KEY,
  END
};

enum {
  PACKED = 1,        /* green_message_packed() of ours */
  MOST_DEEP = 100,   /* tables in tables; half of Lua's own limit of C calls */
  MOST_MB = 256,     /* a table of shared tables may be of any size */
  MOST_BOXED_MB = 1, /* packing cannot rest, and takes 17 ms for that */
  MOST_VALUES = 100000, /* all fit on a stack that is in use */
  SMALL = 1000          /* bytes that need no buffer of the heap */
};

/* --- writing --- */

/* The tables around the value that is being packed. */
struct level {
  const struct level *outer;
  const void *table;
  int key; /* its index on the stack; 0: it is a key that is packed */
};

struct packer {
  lua_State *L;
  struct green_purse *purse; /* that pays for it; NULL: none */
  char *data;                /* `small`, or of the heap */
  size_t size, room, most;
  struct green_port **ports;
  uint32_t port_count, port_room;
  int top;         /* of the stack, before */
  int code;        /* the first failure */
  const char *why; /* it cannot be sent; NULL: its type */
  char where[200]; /* in which field */
  char small[SMALL];
};

static int fails(struct packer *p, int code, const char *why) {
  if (p->code == 0) {
    p->code = code;
    p->why = why;
  }
  return 0;
}

/* How large a message may be: one that fills its state would fit into none. */
static size_t limit(lua_State *L) {
  struct lg *G = lg_find(L);
  struct green_thread *t = G && G->hub && G->boxes ? lg_current(G) : NULL;
  size_t most = (size_t)MOST_MB << 20;
  if (t && lg_push_box(L, G, t)) {
    lua_pop(L, 1);
    most = (size_t)MOST_BOXED_MB << 20;
  }
  return G && G->budget && G->budget->memory < most ? G->budget->memory : most;
}

static int is_too_long(struct packer *p) {
  return fails(p, UV_EINVAL,
               p->most == (size_t)MOST_MB << 20
                   ? "a message has at most 256 MB"
               : p->most == (size_t)MOST_BOXED_MB << 20
                   ? "a message of a sandbox has at most 1 MB"
                   : "a message has at most as many bytes as the state");
}

static int grow(struct packer *p, size_t more) {
  size_t room = p->room * 2;
  char *data;
  if (more > p->most || p->size + more > p->most) return is_too_long(p);
  if (p->purse && !green_purse_has(p->purse, p->size + more))
    return fails(p, UV_ENOBUFS, NULL);
  while (room < p->size + more) room *= 2;
  if (room > p->most) room = p->most; /* the next byte comes here again */
  data = realloc(p->data == p->small ? NULL : p->data, room);
  if (!data) return fails(p, UV_ENOMEM, NULL);
  if (p->data == p->small) memcpy(data, p->small, p->size);
  p->data = data;
  p->room = room;
  return 1;
}

static inline int put(struct packer *p, const void *data, size_t size) {
  if (unlikely(p->room - p->size < size) && !grow(p, size)) return 0;
  memcpy(p->data + p->size, data, size);
  p->size += size;
  return 1;
}

static inline int put_tag(struct packer *p, enum tag tag) {
  char byte = (char)tag;
  return put(p, &byte, 1);
}

static int put_string(struct packer *p, int at) {
  size_t length;
  const char *text = lua_tolstring(p->L, at, &length);
  if (length < 256) {
    char head[2] = {SHORT, (char)length};
    return put(p, head, 2) && put(p, text, length);
  }
  return put_tag(p, LONG) && put(p, &length, sizeof length) &&
         put(p, text, length);
}

static int put_number(struct packer *p, int at) {
  if (lua_isinteger(p->L, at)) {
    lua_Integer i = lua_tointeger(p->L, at);
    return put_tag(p, INTEGER) && put(p, &i, sizeof i);
  }
  lua_Number n = lua_tonumber(p->L, at);
  return put_tag(p, FLOAT) && put(p, &n, sizeof n);
}

static int put_pointer(struct packer *p, int at) {
  void *pointer = lua_touserdata(p->L, at);
  return put_tag(p, POINTER) && put(p, &pointer, sizeof pointer);
}

static int put_port(struct packer *p, struct green_port *port) {
  if (p->port_count == p->port_room) {
    uint32_t room = p->port_room ? p->port_room * 2 : 4;
    struct green_port **ports = realloc(p->ports, room * sizeof *ports);
    if (!ports) return fails(p, UV_ENOMEM, NULL);
    p->ports = ports;
    p->port_room = room;
  }
  p->ports[p->port_count] = port; /* on the stack, so it is held */
  return put_tag(p, PORT) && put(p, &p->port_count, sizeof p->port_count) &&
         ++p->port_count;
}

/* --- what cannot be sent --- */

static void say(struct packer *p, const char *format, const char *text) {
  size_t length = strlen(p->where);
  snprintf(p->where + length, sizeof p->where - length, format, text);
}

static void say_string(struct packer *p, int key) {
  char text[33];
  size_t i, length;
  const char *from = lua_tolstring(p->L, key, &length);
  for (i = 0; i < length && i < sizeof text - 1; i++)
    text[i] = from[i] < ' ' || from[i] > '~' ? '?' : from[i];
  text[i] = 0;
  say(p, length > i ? "\"%s...\"" : "\"%s\"", text);
}

/* The key, as it stands between brackets. */
static void say_key(struct packer *p, int key) {
  char text[32];
  switch (lua_type(p->L, key)) {
    case LUA_TSTRING: say_string(p, key); return;
    case LUA_TBOOLEAN:
      say(p, "%s", lua_toboolean(p->L, key) ? "true" : "false");
      return;
    case LUA_TNUMBER:
      if (lua_isinteger(p->L, key))
        snprintf(text, sizeof text, "%lld",
                 (long long)lua_tointeger(p->L, key));
      else
        snprintf(text, sizeof text, "%.14g", (double)lua_tonumber(p->L, key));
      say(p, "%s", text);
      return;
    default: say(p, "a %s", luaL_typename(p->L, key));
  }
}

/* "in field "a"[3]", from the outermost table in. */
static void say_path(struct packer *p, const struct level *level) {
  if (!level) return;
  say_path(p, level->outer);
  if (!level->key) {
    say(p, "%s", level->outer ? ", a key" : "in a key");
  } else if (!level->outer && lua_type(p->L, level->key) == LUA_TSTRING) {
    say(p, "in field ", "");
    say_string(p, level->key);
  } else {
    say(p, level->outer ? "[" : "in field [", "");
    say_key(p, level->key);
    say(p, "]", "");
  }
}

/* Leaves the value on the stack, where describe() finds it. */
static int cannot(struct packer *p, int at, const struct level *level,
                  const char *why) {
  if (p->code) return 0;
  say_path(p, level);
  lua_pushvalue(p->L, at);
  return fails(p, UV_EINVAL, why);
}

/* Pushes the reason. The packer has no memory any more. */
static void describe(struct packer *p) {
  lua_State *L = p->L;
  const char *colon = *p->where ? ": " : "";
  if (p->why) {
    lua_pushfstring(L, "%s%s%s", p->where, colon, p->why);
  } else {
    const char *name = luaL_typename(L, -1);
    if (luaL_getmetafield(L, -1, "__name") == LUA_TSTRING)
      name = lua_tostring(L, -1);
    lua_pushfstring(L, "%s%sa %s cannot be sent", p->where, colon, name);
  }
  lua_insert(L, p->top + 1); /* where nothing may be yet */
  lua_settop(L, p->top + 1);
}

/* --- values --- */

static int put_value(struct packer *p, int at, const struct level *level,
                     int depth);

static int is_ancestor(const struct level *level, const void *table) {
  for (; level; level = level->outer)
    if (level->table == table) return 1;
  return 0;
}

static int put_key(struct packer *p, const struct level *level, int depth) {
  struct level key = *level;
  key.key = 0;
  if (lua_istable(p->L, level->key))
    return cannot(p, level->key, &key, "a table as a key cannot be sent");
  return put_tag(p, KEY) && put_value(p, level->key, &key, depth);
}

/* The fields; *elements of them are 1, 2, 3 ... and need no key. */
static int put_fields(struct packer *p, int at, const struct level *level,
                      int depth, uint32_t counts[2]) {
  lua_State *L = p->L;
  for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1)) {
    if (lua_isinteger(L, level->key) &&
        lua_tointeger(L, level->key) == (lua_Integer)counts[0] + 1) {
      counts[0]++;
    } else {
      counts[1]++;
      if (!put_key(p, level, depth)) return 0;
    }
    if (!put_value(p, level->key + 1, level, depth)) return 0;
  }
  return put_tag(p, END);
}

static int put_table(struct packer *p, int at, const struct level *outer,
                     int depth) {
  struct level level = {outer, lua_topointer(p->L, at), lua_gettop(p->L) + 1};
  uint32_t counts[2] = {0, 0};
  size_t place;
  if (is_ancestor(outer, level.table))
    return cannot(p, at, outer, "a table that contains itself cannot be sent");
  if (depth == MOST_DEEP)
    return cannot(p, at, outer, "more than 100 tables in one another");
  if (!lua_checkstack(p->L, 8)) return fails(p, UV_ENOMEM, NULL);
  if (lua_getmetatable(p->L, at)) {
    lua_pop(p->L, 1);
    return cannot(p, at, outer, "a table with a metatable cannot be sent");
  }
  if (!put_tag(p, TABLE)) return 0;
  place = p->size; /* the counts are known after the fields */
  if (!put(p, counts, sizeof counts) ||
      !put_fields(p, at, &level, depth + 1, counts))
    return 0;
  memcpy(p->data + place, counts, sizeof counts);
  return 1;
}

static int put_value(struct packer *p, int at, const struct level *level,
                     int depth) {
  struct green_port *port;
  switch (lua_type(p->L, at)) {
    case LUA_TNIL: return put_tag(p, NIL);
    case LUA_TBOOLEAN:
      return put_tag(p, lua_toboolean(p->L, at) ? TRUE_ : FALSE_);
    case LUA_TNUMBER: return put_number(p, at);
    case LUA_TSTRING: return put_string(p, at);
    case LUA_TTABLE: return put_table(p, at, level, depth);
    case LUA_TLIGHTUSERDATA: return put_pointer(p, at);
    case LUA_TUSERDATA:
      if ((port = lg_to_port(p->L, at))) return put_port(p, port);
      /* fall through */
    default: return cannot(p, at, level, NULL);
  }
}

static struct green_message *finish(struct packer *p, const char *data,
                                    size_t size, uint32_t packed) {
  struct green_message *m = green_message_make(size, p->port_count, packed);
  uint32_t i;
  if (!m) {
    fails(p, UV_ENOMEM, NULL);
    return NULL;
  }
  memcpy(green_message_data(m), data, size);
  for (i = 0; i < p->port_count; i++)
    green_message_set_port(m, i, p->ports[i]);
  if (likely(!p->purse) || green_message_charge(m, p->purse) == 0) return m;
  green_message_free(m);
  fails(p, UV_ENOBUFS, NULL);
  return NULL;
}

/* One string is sent as bytes, which arrive as a string: C code that has no
 * Lua can read them. */
static struct green_message *finish_string(struct packer *p, int at) {
  size_t size;
  const char *text = lua_tolstring(p->L, at, &size);
  if (size <= p->most) return finish(p, text, size, 0);
  is_too_long(p);
  return NULL;
}

static struct green_message *pack_all(struct packer *p, int first, int n,
                                      int *culprit) {
  int i;
  *culprit = 0;
  if (n == 1 && p->code == 0 && lua_type(p->L, first) == LUA_TSTRING)
    return finish_string(p, first);
  for (i = 0; i < n && p->code == 0; i++) {
    put_value(p, first + i, NULL, 0);
    *culprit = i;
  }
  return p->code == 0 ? finish(p, p->data, p->size, PACKED) : NULL;
}

int lg_pack(lua_State *L, const struct lg *G, int first, int n,
            struct green_message **m, int *culprit) {
  struct packer p;
  uint32_t count = (uint32_t)n;
  p.L = L;
  p.purse = G ? G->purse : NULL;
  p.data = p.small;
  p.size = p.port_count = p.port_room = 0;
  p.room = SMALL;
  p.ports = NULL;
  p.code = 0;
  p.most = 0;
  p.where[0] = 0;
  p.top = lua_gettop(L);
  put(&p, &count, sizeof count);
  if (!lua_checkstack(L, 8))
    fails(&p, UV_ENOMEM, NULL);
  else if (n > MOST_VALUES)
    fails(&p, UV_EINVAL, "a message has at most 100000 values");
  else
    p.most = limit(L);
  *m = pack_all(&p, first, n, culprit);
  if (p.data != p.small) free(p.data);
  free(p.ports);
  if (p.code == UV_EINVAL)
    describe(&p);
  else
    lua_settop(L, p.top);
  return p.code;
}

/* --- reading --- */

/* Messages were written here, but the host may have changed their bytes. So
 * each step checks that as many bytes are left: a broken message is an error or
 * other values, and nothing worse. */
struct reader {
  const char *at, *end;
  const struct green_message *m;
  int depth, broken;
};

static void breaks(lua_State *L, struct reader *r) {
  r->broken = 1;
  luaL_error(L, "the message is broken");
}

static void need(lua_State *L, struct reader *r, size_t size) {
  if (unlikely((size_t)(r->end - r->at) < size)) breaks(L, r);
}

static void get(lua_State *L, struct reader *r, void *data, size_t size) {
  need(L, r, size);
  memcpy(data, r->at, size);
  r->at += size;
}

static unsigned char get_byte(lua_State *L, struct reader *r) {
  need(L, r, 1);
  return (unsigned char)*r->at++;
}

static void get_value(lua_State *L, struct reader *r);

static void get_string(lua_State *L, struct reader *r, size_t length) {
  need(L, r, length);
  lua_pushlstring(L, r->at, length);
  r->at += length;
}

static void get_long(lua_State *L, struct reader *r) {
  size_t length;
  get(L, r, &length, sizeof length);
  get_string(L, r, length);
}

static void get_integer(lua_State *L, struct reader *r) {
  lua_Integer i;
  get(L, r, &i, sizeof i);
  lua_pushinteger(L, i);
}

static void get_float(lua_State *L, struct reader *r) {
  lua_Number n;
  get(L, r, &n, sizeof n);
  lua_pushnumber(L, n);
}

static void get_pointer(lua_State *L, struct reader *r) {
  void *pointer;
  get(L, r, &pointer, sizeof pointer);
  lua_pushlightuserdata(L, pointer);
}

static void get_port(lua_State *L, struct reader *r) {
  struct green_port *port;
  uint32_t i;
  get(L, r, &i, sizeof i);
  if (!(port = green_message_port(r->m, i))) breaks(L, r);
  lg_push_port(L, port);
}

/* Each field takes a byte at least, so no count makes a larger table. */
static int at_most(const struct reader *r, uint32_t n) {
  size_t left = (size_t)(r->end - r->at);
  if (n > left) n = (uint32_t)left;
  return n < INT_MAX ? (int)n : INT_MAX;
}

/* Lua raises an error of its own for these. */
static int may_be_key(lua_State *L, int at) {
  if (lua_type(L, at) == LUA_TNUMBER) return lua_rawequal(L, at, at); /* NaN */
  return !lua_isnil(L, at);
}

static void get_fields(lua_State *L, struct reader *r) {
  lua_Integer i = 0;
  for (need(L, r, 1); *r->at != END; need(L, r, 1)) {
    if (*r->at == KEY) {
      r->at++;
      get_value(L, r);
      if (unlikely(!may_be_key(L, -1))) breaks(L, r);
      get_value(L, r);
      lua_rawset(L, -3);
    } else {
      get_value(L, r);
      lua_rawseti(L, -2, ++i);
    }
  }
  r->at++;
}

static void get_table(lua_State *L, struct reader *r) {
  uint32_t counts[2];
  get(L, r, counts, sizeof counts);
  luaL_checkstack(L, 6, "too many tables in one another");
  if (++r->depth > MOST_DEEP) breaks(L, r);
  lua_createtable(L, at_most(r, counts[0]), at_most(r, counts[1]));
  get_fields(L, r);
  r->depth--;
}

static void get_value(lua_State *L, struct reader *r) {
  unsigned char tag = get_byte(L, r);
  switch (tag) {
    case NIL: lua_pushnil(L); break;
    case FALSE_:
    case TRUE_: lua_pushboolean(L, tag == TRUE_); break;
    case INTEGER: get_integer(L, r); break;
    case FLOAT: get_float(L, r); break;
    case SHORT: get_string(L, r, get_byte(L, r)); break;
    case LONG: get_long(L, r); break;
    case TABLE: get_table(L, r); break;
    case PORT: get_port(L, r); break;
    case POINTER: get_pointer(L, r); break;
    default: breaks(L, r);
  }
}

static int read_all(lua_State *L, struct reader *r) {
  uint32_t i, n;
  assert(green_message_packed(r->m) == PACKED);
  get(L, r, &n, sizeof n);
  if (n > MOST_VALUES) breaks(L, r);
  luaL_checkstack(L, (int)n + 6, "too many values");
  for (i = 0; i < n; i++) get_value(L, r);
  if (r->at != r->end) breaks(L, r);
  return (int)n;
}

/* (reader) */
static int unpack(lua_State *L) {
  struct reader *r = lua_touserdata(L, 1);
  lua_settop(L, 0);
  if (green_message_packed(r->m)) return read_all(L, r);
  lua_pushlstring(L, r->at, (size_t)(r->end - r->at));
  return 1;
}

int lg_unpack(lua_State *L, const struct green_message *m) {
  const char *data = green_message_data((struct green_message *)m);
  struct reader r = {data, data + green_message_size(m), m, 0, 0};
  int top = lua_gettop(L);
  lua_pushcfunction(L, unpack);
  lua_pushlightuserdata(L, &r);
  if (likely(lua_pcall(L, 1, LUA_MULTRET, 0) == LUA_OK))
    return lua_gettop(L) - top;
  return r.broken ? UV_EINVAL : UV_ENOMEM;
}

/* --- for hosts --- */

int green_lua_pack(lua_State *L, int first, int n, struct green_message **m) {
  int culprit;
  if (n < 0 || !lua_checkstack(L, 8)) return n < 0 ? UV_EINVAL : UV_ENOMEM;
  return lg_pack(L, lg_find(L), lua_absindex(L, first), n, m, &culprit);
}

int green_lua_unpack(lua_State *L, struct green_message *m) {
  int n;
  if (!lua_checkstack(L, 4)) return UV_ENOMEM;
  if ((n = lg_unpack(L, m)) < 0)
    lua_pop(L, 1);
  else
    green_message_free(m);
  return n;
}
