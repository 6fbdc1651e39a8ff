/* sqlite.c - SQLite for Lua: queries are jobs, and block their caller alone.
 *
 *   local db = sqlite.open(path)
 *   local changed = db:exec("INSERT INTO t VALUES (?, ?)", 1, "one")
 *   for _, row in ipairs(db:rows("SELECT a FROM t WHERE b = ?", "one")) do
 *     print(row.a)
 *   end
 *
 * A query owns copies of all that it needs, and shares its connection with the
 * Lua object. When its caller is killed, or a timeout strikes, SQLite asks the
 * job at its next step whether to go on, and also while it waits for a lock. A
 * connection runs one query at a time: open one for each thread.
 *
 * Some 25 lines are for luagreen. The others are what any such module has:
 * parameters and columns of all types, with zero bytes in texts, rows by the
 * names of their columns, waits for the locks of others, connections that are
 * closed while a query of theirs runs, and an error for each thing that fails.
 *
 * needs: sqlite3
 * It is a module, too:
 *   cc -shared -fPIC -Wl,-z,nodelete sqlite.c -o sqlite.so \
 *     $(pkg-config --cflags --libs luagreen-lua sqlite3)
 *
 * SPDX-License-Identifier: MIT
 */
#include <green_lua.h>
#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int luaopen_sqlite(lua_State *L);

/* --- connections --- */

struct db {
  sqlite3 *handle;
  pthread_mutex_t turn;
  atomic_int holders; /* the Lua object, and the queries under way */
};

static void release(struct db *db) {
  if (atomic_fetch_sub(&db->holders, 1) > 1) return;
  sqlite3_close(db->handle);
  pthread_mutex_destroy(&db->turn);
  free(db);
}

/* --- a query, which a job owns --- */

struct cell {
  int type; /* SQLite's */
  union {
    sqlite3_int64 integer;
    double number;
    char *text;
  };
  int size;
};

struct query {
  struct db *db;
  int wants_rows;
  char *sql, *error, **names;
  struct cell *params;
  sqlite3_value **cells; /* of all rows */
  int count, columns, n, room;
};

static void dispose(void *arg) {
  struct query *q = arg;
  while (q->count-- > 0)
    if (q->params[q->count].type == SQLITE_TEXT)
      free(q->params[q->count].text);
  while (q->n-- > 0) sqlite3_value_free(q->cells[q->n]);
  while (q->names && q->columns-- > 0) free(q->names[q->columns]);
  free(q->params);
  free(q->cells);
  free(q->names);
  free(q->sql);
  free(q->error);
  release(q->db);
  free(q);
}

static int copy(struct cell *c, const void *text, int size) {
  c->type = SQLITE_NULL;
  if (!(c->text = malloc((size_t)size + 1))) return SQLITE_NOMEM;
  c->type = SQLITE_TEXT;
  c->size = size;
  memcpy(c->text, text ? text : "", (size_t)size);
  c->text[size] = 0;
  return SQLITE_OK;
}

/* --- the job, on an OS thread --- */

static int is_cancelled(void *job) {
  return green_job_cancelled(job);
}

static int on_lock(void *job, int times) {
  (void)times;
  usleep(1000);
  return !green_job_cancelled(job);
}

static int bind_all(sqlite3_stmt *s, const struct query *q) {
  int i, r = SQLITE_OK;
  for (i = 0; i < q->count && r == SQLITE_OK; i++) {
    const struct cell *c = &q->params[i];
    if (c->type == SQLITE_INTEGER)
      r = sqlite3_bind_int64(s, i + 1, c->integer);
    else if (c->type == SQLITE_FLOAT)
      r = sqlite3_bind_double(s, i + 1, c->number);
    else if (c->type == SQLITE_TEXT)
      r = sqlite3_bind_text(s, i + 1, c->text, c->size, SQLITE_STATIC);
  }
  return r;
}

static int add_names(struct query *q, sqlite3_stmt *s) {
  int i;
  q->columns = sqlite3_column_count(s);
  q->names = calloc((size_t)q->columns + 1, sizeof *q->names);
  for (i = 0; q->names && i < q->columns; i++) {
    const char *name = sqlite3_column_name(s, i);
    if (!name || !(q->names[i] = strdup(name))) return SQLITE_NOMEM;
  }
  return q->names ? SQLITE_OK : SQLITE_NOMEM;
}

static int add_cell(struct query *q, sqlite3_value *value) {
  if (q->n == q->room) {
    int room = q->room ? q->room * 2 : 16;
    sqlite3_value **cells = realloc(q->cells, (size_t)room * sizeof *cells);
    if (!cells) return SQLITE_NOMEM;
    q->cells = cells;
    q->room = room;
  }
  q->cells[q->n] = sqlite3_value_dup(value);
  return q->cells[q->n] ? q->n++, SQLITE_OK : SQLITE_NOMEM;
}

static int add_row(struct query *q, sqlite3_stmt *s) {
  int i, r = SQLITE_OK;
  for (i = 0; i < q->columns && r == SQLITE_OK; i++)
    r = add_cell(q, sqlite3_column_value(s, i));
  return r;
}

static int ask(sqlite3 *h, struct query *q) {
  sqlite3_stmt *s = NULL;
  int r = sqlite3_prepare_v2(h, q->sql, -1, &s, NULL);
  if (r == SQLITE_OK) r = bind_all(s, q);
  if (r == SQLITE_OK) r = add_names(q, s);
  while (s && r == SQLITE_OK && (r = sqlite3_step(s)) == SQLITE_ROW)
    r = add_row(q, s);
  if (r != SQLITE_OK && r != SQLITE_DONE)
    q->error =
        strdup(r == SQLITE_NOMEM ? "not enough memory" : sqlite3_errmsg(h));
  r = r == SQLITE_DONE || r == SQLITE_OK ? sqlite3_changes(h) : -1;
  sqlite3_finalize(s);
  return r;
}

static int run(struct green_job *job, void *arg) {
  struct query *q = arg;
  sqlite3 *h = q->db->handle;
  int r;
  pthread_mutex_lock(&q->db->turn);
  sqlite3_progress_handler(h, 1000, is_cancelled, job);
  sqlite3_busy_handler(h, on_lock, job);
  r = ask(h, q);
  sqlite3_progress_handler(h, 0, NULL, NULL);
  sqlite3_busy_handler(h, NULL, NULL);
  pthread_mutex_unlock(&q->db->turn);
  return r;
}

/* --- Lua's side, on the hub --- */

static void push_cell(lua_State *L, sqlite3_value *v) {
  int type = sqlite3_value_type(v);
  const void *bytes = NULL;
  switch (type) {
    case SQLITE_INTEGER: lua_pushinteger(L, sqlite3_value_int64(v)); break;
    case SQLITE_FLOAT: lua_pushnumber(L, sqlite3_value_double(v)); break;
    case SQLITE_NULL: lua_pushnil(L); break;
    default:
      bytes = type == SQLITE_TEXT ? (const void *)sqlite3_value_text(v)
                                  : sqlite3_value_blob(v);
      lua_pushlstring(L, bytes, bytes ? (size_t)sqlite3_value_bytes(v) : 0);
  }
}

static int finish(lua_State *L, int result, void *arg) {
  const struct query *q = arg;
  int i;
  if (result < 0)
    return luaL_error(L, "%s", q->error ? q->error : "not enough memory");
  lua_pushinteger(L, result);
  if (!q->wants_rows) return 1;
  lua_newtable(L);
  for (i = 0; i < q->n; i++) {
    if (i % q->columns == 0) lua_createtable(L, 0, q->columns);
    push_cell(L, q->cells[i]);
    lua_setfield(L, -2, q->names[i % q->columns]);
    if ((i + 1) % q->columns == 0) lua_rawseti(L, -2, (i + 1) / q->columns);
  }
  return 1;
}

/* 0, or what is wrong with the parameter. */
static const char *read_param(lua_State *L, int index, struct cell *c) {
  size_t size;
  const char *text;
  c->type = SQLITE_NULL;
  switch (lua_type(L, index)) {
    case LUA_TNIL: return NULL;
    case LUA_TBOOLEAN:
      c->type = SQLITE_INTEGER;
      c->integer = lua_toboolean(L, index);
      return NULL;
    case LUA_TNUMBER:
      c->type = lua_isinteger(L, index) ? SQLITE_INTEGER : SQLITE_FLOAT;
      if (c->type == SQLITE_INTEGER)
        c->integer = lua_tointeger(L, index);
      else
        c->number = lua_tonumber(L, index);
      return NULL;
    case LUA_TSTRING:
      text = lua_tolstring(L, index, &size);
      if (size > 1000000000) return "a parameter is too long";
      return copy(c, text, (int)size) ? "not enough memory" : NULL;
    default: return "a parameter is no number, string, boolean or nil";
  }
}

/* Copies all that the query needs. Nothing raises while C holds it. */
static struct query *make(lua_State *L, struct db *db, const char **wrong) {
  struct query *q = calloc(1, sizeof *q);
  int i, n = lua_gettop(L) - 2;
  *wrong = "not enough memory";
  if (!q) return NULL;
  q->db = db;
  atomic_fetch_add(&db->holders, 1);
  q->sql = strdup(lua_tostring(L, 2));
  q->params = calloc((size_t)n + 1, sizeof *q->params);
  if (q->sql && q->params) *wrong = NULL;
  for (i = 0; i < n && !*wrong; i++, q->count++)
    *wrong = read_param(L, i + 3, &q->params[i]);
  if (!*wrong) return q;
  dispose(q);
  return NULL;
}

static struct db **self(lua_State *L) {
  return luaL_checkudata(L, 1, "sqlite.db");
}

static int query(lua_State *L, int wants_rows) {
  struct db *db = *self(L);
  const char *wrong;
  struct query *q;
  luaL_checkstring(L, 2);
  if (!db) return luaL_error(L, "the database is closed");
  if (!(q = make(L, db, &wrong))) return luaL_error(L, "%s", wrong);
  q->wants_rows = wants_rows;
  return green_lua_offload(L, run, dispose, q, finish);
}

static int l_exec(lua_State *L) {
  return query(L, 0);
}

static int l_rows(lua_State *L) {
  return query(L, 1);
}

static int l_close(lua_State *L) {
  struct db **db = self(L);
  if (*db) release(*db);
  *db = NULL;
  return 0;
}

static int l_open(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct db **p = lua_newuserdatauv(L, sizeof *p, 0), *db;
  *p = NULL;
  luaL_setmetatable(L, "sqlite.db");
  if (!(*p = db = calloc(1, sizeof *db))) return luaL_error(L, "no memory");
  atomic_init(&db->holders, 1);
  pthread_mutex_init(&db->turn, NULL);
  if (sqlite3_open(path, &db->handle) == SQLITE_OK) return 1;
  return luaL_error(L, "%s: %s", path, sqlite3_errmsg(db->handle));
}

int luaopen_sqlite(lua_State *L) {
  static const luaL_Reg methods[] = {{"exec", l_exec},     {"rows", l_rows},
                                     {"close", l_close},   {"__gc", l_close},
                                     {"__close", l_close}, {NULL, NULL}};
  luaL_newmetatable(L, "sqlite.db");
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, l_open);
  lua_setfield(L, -2, "open");
  return 1;
}

/* --- a program that offers it to a script --- */

static const char SCRIPT[] =
    "local green, sqlite = require 'green', require 'sqlite'\n"
    "local path = os.tmpname()\n"
    "local db <close> = sqlite.open(path)\n"
    "db:exec 'CREATE TABLE squares (n INTEGER, square INTEGER)'\n"
    "local insert = 'INSERT INTO squares VALUES (?, ?)'\n"
    "db:exec 'BEGIN'\n"
    "for n = 1, 50 do db:exec(insert, n, n * n) end\n"
    "db:exec 'COMMIT'\n"
    "local ticks, threads, sum = 0, {}, 0\n"
    "local ticker = green.spawn(function()\n"
    "  while true do green.sleep(0.001) ticks = ticks + 1 end\n"
    "end)\n"
    "local slow = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 '\n"
    "  .. 'FROM c LIMIT 20000) SELECT square, count(x) AS count '\n"
    "  .. 'FROM c, squares WHERE n = ?'\n"
    "for n = 1, 50 do\n"
    "  threads[n] = green.spawn(function()\n"
    "    local mine <close> = sqlite.open(path)\n"
    "    return mine:rows(slow, n)[1].square\n"
    "  end)\n"
    "end\n"
    "for _, t in ipairs(threads) do sum = sum + t:wait() end\n"
    "print('sum of the squares', sum, 'the ticker ticked', ticks > 3)\n"
    "local endless = green.spawn(db.rows, db, 'WITH RECURSIVE c(x) AS (SELECT "
    "'\n"
    "  .. '1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c')\n"
    "green.sleep(0.01)\n"
    "endless:kill()\n"
    "print('killed', endless:join() == false)\n"
    "print('and free again', db:rows('SELECT count(*) AS n FROM "
    "squares')[1].n)\n"
    "print(pcall(db.exec, db, 'SELECT nonsense'))\n"
    "ticker:kill()\n"
    "os.remove(path)\n";

int main(void) {
  struct green_hub *hub;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (green_open(&hub, NULL) < 0 || green_lua_open(L, hub) != LUA_OK) return 1;
  luaL_requiref(L, "sqlite", luaopen_sqlite, 0);
  if (luaL_dostring(L, SCRIPT)) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  green_lua_close(L);
  lua_close(L);
  return green_close(hub);
}

/* prints:
 * sum of the squares	42925	the ticker ticked	true
 * killed	true
 * and free again	50
 * false	no such column: nonsense
 */
