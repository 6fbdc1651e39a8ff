/* trace.c - green.trace: marks, spans and counters of the program, and the
 * names that the picture needs.
 *
 * The core keeps the ring and draws it; only the thread's coroutine knows its
 * name. The arguments of marks and spans become JSON here, when they are made,
 * and only while a trace is on.
 *
 * Where Lua runs. The teller's functions run on any stack of the hub's OS
 * thread, and do not touch Lua's memory.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/counts.h"
#include "runtime/object.h"
#include "runtime/refusal.h"
#include "thread/fold.h"
#include "thread/name.h"
#include "thread/thread.h"
#include "watch/watch.h"

enum { MOST_ARGS = 32, MOST_TEXT = 1024 };

/* --- what the core asks --- */

/* The state that a thread runs in, of main any; NULL: that state is closed, and
 * has left the thread behind. */
static struct lg *state_of(struct green_hub *hub,
                           const struct green_thread *t) {
  struct green_family *f = green_families(hub);
  while (f && lg_is_lua(t) && f != green_family_of(t)) f = f->next;
  return (struct lg *)f;
}

static size_t tell_name(struct green_hub *hub, struct green_thread *t,
                        char *text, size_t size) {
  struct lg *G = state_of(hub, t);
  return G ? lg_name_text(G, t, text, size) : 0;
}

static size_t tell_stack(struct green_hub *hub, struct green_thread *t,
                         char *text, size_t size) {
  struct lg *G = state_of(hub, t);
  return G ? lg_fold_thread(G, t, text, size) : 0;
}

/* Of all states on the hub. */
static uint64_t tell_memory(struct green_hub *hub) {
  struct green_family *f = green_families(hub);
  uint64_t bytes = 0;
  for (; f; f = f->next)
    bytes += lg_heap(((struct lg *)f)->main, (struct lg *)f);
  return bytes;
}

static const struct green_teller teller = {tell_name, NULL, tell_memory};
static const struct green_teller with_stacks = {tell_name, tell_stack,
                                                tell_memory};

/* --- arguments as JSON --- */

/* Values for which there is no room are left out. */
struct json {
  size_t length;
  char text[16384];
};

static void put(struct json *j, const char *text) {
  size_t n = strlen(text);
  assert(j->length + n < sizeof j->text);
  memcpy(j->text + j->length, text, n + 1);
  j->length += n;
}

static void put_string(struct json *j, const char *text, size_t length) {
  put(j, "\"");
  j->length += green_json(j->text + j->length, text, length);
  put(j, "\"");
}

/* A locale may have another decimal point, and JSON has neither nan nor inf. */
static void put_number(struct json *j, lua_State *L, int index) {
  char text[64], *c;
  lua_Number n = lua_tonumber(L, index);
  if (lua_isinteger(L, index))
    snprintf(text, sizeof text, "%lld", (long long)lua_tointeger(L, index));
  else if (n != n || n - n != 0)
    snprintf(text, sizeof text, "\"%s\"",
             n != n  ? "nan"
             : n > 0 ? "inf"
                     : "-inf");
  else
    snprintf(text, sizeof text, "%.14g", (double)n);
  for (c = text; *c; c++)
    if (*c == ',') *c = '.';
  put(j, text);
}

/* No __tostring of the program's is called, and nothing is converted in place,
 * which would confuse lua_next(). */
static const char *as_text(lua_State *L, int index, char *text, size_t size,
                           size_t *length) {
  if (lua_type(L, index) == LUA_TSTRING)
    return lua_tolstring(L, index, length);
  if (lua_isinteger(L, index))
    snprintf(text, size, "%lld", (long long)lua_tointeger(L, index));
  else
    snprintf(text, size, "%s: %p", luaL_typename(L, index),
             lua_topointer(L, index));
  *length = strlen(text);
  return text;
}

static size_t shorter(size_t length) {
  return length < MOST_TEXT ? length : MOST_TEXT;
}

static void put_value(struct json *j, lua_State *L, int index) {
  char text[64];
  size_t length;
  const char *s;
  if (lua_type(L, index) == LUA_TNUMBER) {
    put_number(j, L, index);
  } else if (lua_isboolean(L, index)) {
    put(j, lua_toboolean(L, index) ? "true" : "false");
  } else {
    s = as_text(L, index, text, sizeof text, &length);
    put_string(j, s, shorter(length));
  }
}

/* The key and the value on top of the stack. */
static void put_field(struct json *j, lua_State *L, int *n) {
  char text[64];
  size_t length;
  const char *key = as_text(L, -2, text, sizeof text, &length);
  length = shorter(length);
  if (j->length + 2 * 6 * MOST_TEXT + 16 > sizeof j->text) return;
  if (*n >= MOST_ARGS) return;
  if ((*n)++) put(j, ",");
  put_string(j, key, length);
  put(j, ":");
  put_value(j, L, -1);
}

/* The argument at 2 as an object; NULL: there is none. A value that is no table
 * has the key "value". */
static const char *args_of(lua_State *L, struct json *j) {
  int n = 0;
  j->length = 0;
  if (lua_isnoneornil(L, 2)) return NULL;
  put(j, "{");
  if (!lua_istable(L, 2)) {
    put(j, "\"value\":");
    put_value(j, L, 2);
  } else {
    luaL_checkstack(L, 2, "luagreen");
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) put_field(j, L, &n);
  }
  put(j, "}");
  return j->text;
}

/* --- entries of the program --- */

/* C's texts end at a zero: in its place stands a byte that no text has, and the
 * picture shows it as such. Most names have none. */
enum { MOST_NAME = 1000 };
static const char *name_arg(lua_State *L, char *copy) {
  size_t length, i;
  const char *name = luaL_checklstring(L, 1, &length);
  if (!memchr(name, 0, length)) return name;
  if (length > MOST_NAME) length = MOST_NAME;
  for (i = 0; i < length; i++) copy[i] = name[i] ? name[i] : '\xff';
  copy[length] = 0;
  return copy;
}

/* mark(name [, args]) */
static int l_mark(lua_State *L) {
  struct lg *G = lg_get(L);
  char copy[MOST_NAME + 1];
  const char *name = name_arg(L, copy);
  struct json json;
  if (green_trace_running(G->hub))
    green_trace_mark(G->hub, name, args_of(L, &json));
  return 0;
}

/* trace_mark_thread(name, args, id) */
static int l_mark_thread(lua_State *L) {
  struct lg *G = lg_get(L);
  char copy[MOST_NAME + 1];
  const char *name = name_arg(L, copy);
  uint64_t id = (uint64_t)luaL_checkinteger(L, 3);
  struct json json;
  if (green_trace_running(G->hub))
    green_trace_mark_thread(G->hub, id, name, args_of(L, &json));
  return 0;
}

/* counter(name, value) */
static int l_counter(lua_State *L) {
  struct lg *G = lg_get(L);
  char copy[MOST_NAME + 1];
  const char *name = name_arg(L, copy);
  green_trace_counter(G->hub, name, luaL_checknumber(L, 2));
  return 0;
}

/* Where no trace is on, one object stands for all spans. */
struct span {
  struct lg_object object;
  struct green_span *span; /* NULL: it has ended, or there is no trace */
};

static const struct lg_class span_class = {"green.span", NULL, NULL};

static void end(struct span *s) {
  struct green_span *span = s->span;
  s->span = NULL;
  green_trace_span_end(s->object.G->hub, span);
}

/* close() and __close */
static int span_close(lua_State *L) {
  end(lg_check_object(L, &span_class, sizeof(struct span)));
  return 0;
}

/* At the end of the state, too. */
static int span_gc(lua_State *L) {
  struct span *s = lg_collected(L);
  if (s) end(s);
  return 0;
}

static const luaL_Reg methods[] = {{"close", span_close}, {NULL, NULL}};
static const luaL_Reg meta[] = {
    {"__close", span_close}, {"__gc", span_gc}, {NULL, NULL}};

/* The metatable is on top of the stack. */
static struct span *push_span(lua_State *L, struct lg *G) {
  struct span *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (struct span){.object = {&span_class, G}};
  lua_insert(L, -2);
  lua_setmetatable(L, -2);
  return s;
}

/* span(name [, args]): ends where the variable goes out of scope, or at
 * span:close(). Upvalues: the metatable, the span of no trace. */
static int l_span(lua_State *L) {
  struct lg *G = lg_get(L);
  char copy[MOST_NAME + 1];
  const char *name = name_arg(L, copy);
  struct json json;
  struct span *s;
  if (!green_trace_running(G->hub)) {
    lua_pushvalue(L, lua_upvalueindex(3));
    return 1;
  }
  luaL_checkstack(L, 6, "luagreen");
  lua_pushvalue(L, lua_upvalueindex(2));
  s = push_span(L, G); /* first: it runs finalizers */
  assert(s == lua_touserdata(L, -1) && !s->span);
  s->span = green_trace_span(G->hub, name, args_of(L, &json));
  return 1;
}

/* --- beginning and ending --- */

/* trace_start(events, stacks, ids) */
static int l_start(lua_State *L) {
  struct lg *G = lg_get(L);
  lua_Integer events = luaL_checkinteger(L, 1);
  uint64_t ids[GREEN_MOST_TRACED];
  int n = 0, r;
  for (; lua_istable(L, 3) && n < GREEN_MOST_TRACED; n++) {
    if (lua_rawgeti(L, 3, n + 1) == LUA_TNIL) break;
    ids[n] = (uint64_t)lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  r = green_trace_begin(G->hub, (uint32_t)events,
                        lua_toboolean(L, 2) ? &with_stacks : &teller, ids, n);
  if (r == UV_EBUSY) return luaL_error(L, "a trace is on already");
  if (r < 0) return luaL_error(L, "no trace: %s", lg_strerror(G, r));
  return 0;
}

static int l_running(lua_State *L) {
  lua_pushboolean(L, green_trace_running(lg_get(L)->hub));
  return 1;
}

static void put_in_file(void *file, const char *text, size_t length) {
  fwrite(text, 1, length, file);
}

static int failed(lua_State *L, const char *path, int error) {
  luaL_pushfail(L);
  lua_pushfstring(L, "%s: %s", path, strerror(error));
  return 2;
}

/* trace_save(path): ends the trace and writes the file; true, or nil and the
 * reason. Without the file the trace goes on. */
static int l_save(lua_State *L) {
  struct lg *G = lg_get(L);
  const char *path = luaL_checkstring(L, 1);
  FILE *file = fopen(path, "we");
  int r, wrong;
  if (!file) return failed(L, path, errno);
  r = green_trace_stop(G->hub, put_in_file, file);
  errno = 0;
  wrong = ferror(file);
  wrong |= fclose(file) != 0;
  if (r == 0 && wrong) return failed(L, path, errno ? errno : EIO);
  if (r < 0) return failed(L, path, ENOMEM);
  lua_pushboolean(L, 1);
  return 1;
}

struct text {
  char *bytes;
  size_t length, room;
  int failed;
};

static void put_in_text(void *arg, const char *bytes, size_t length) {
  struct text *t = arg;
  if (t->length + length > t->room) {
    size_t room = (t->length + length) * 2;
    char *more = realloc(t->bytes, room);
    if (!more) {
      t->failed = 1;
      return;
    }
    t->bytes = more;
    t->room = room;
  }
  assert(t->room - t->length >= length);
  memcpy(t->bytes + t->length, bytes, length);
  t->length += length;
}

static int push_text(lua_State *L) {
  const struct text *t = lua_touserdata(L, 1);
  lua_pushlstring(L, t->bytes, t->length);
  return 1;
}

/* trace_text(): ends the trace and returns the picture. */
static int l_text(lua_State *L) {
  struct lg *G = lg_get(L);
  struct text text = {NULL, 0, 0, 0};
  int r, status = LUA_ERRMEM;
  lua_pushcfunction(L, push_text);
  lua_pushlightuserdata(L, &text);
  r = green_trace_stop(G->hub, put_in_text, &text);
  if (r == 0 && !text.failed) status = lua_pcall(L, 1, 1, 0);
  free(text.bytes);
  if (r < 0 || text.failed) return luaL_error(L, "not enough memory");
  return status == LUA_OK ? 1 : lua_error(L);
}

/* trace_drop() */
static int l_drop(lua_State *L) {
  green_trace_stop(lg_get(L)->hub, NULL, NULL);
  return 0;
}

/* json(text): what stands between the quotes of a JSON string. */
static int l_json(lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  size_t size = green_json(NULL, text, length);
  luaL_Buffer b;
  green_json(luaL_buffinitsize(L, &b, size), text, length);
  luaL_pushresultsize(&b, size);
  return 1;
}

static const luaL_Reg functions[] = {{"json", l_json},
                                     {"trace_start", l_start},
                                     {"trace_running", l_running},
                                     {"trace_save", l_save},
                                     {"trace_text", l_text},
                                     {"trace_drop", l_drop},
                                     {"trace_mark", l_mark},
                                     {"trace_mark_thread", l_mark_thread},
                                     {"trace_counter", l_counter},
                                     {NULL, NULL}};

void lg_open_trace(lua_State *L) {
  static const luaL_Reg span[] = {{"trace_span", l_span}, {NULL, NULL}};
  lg_setfuncs(L, functions, 0);
  lg_new_class(L, span_class.name, methods, meta);
  lua_pushvalue(L, -1);
  push_span(L, lg_find(L));
  lg_setfuncs(L, span, 2);
}
