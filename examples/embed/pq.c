/* pq.c - PostgreSQL for Lua, by libpq: a query blocks its caller alone.
 *
 *   local db = pq.connect("host=/run/postgresql dbname=test")
 *   for _, row in ipairs(db:query("SELECT a FROM t WHERE b = $1", 7)) do
 *     print(row.a)
 *   end
 *
 * libpq never blocks if it is used as here: it is asked for its descriptor, the
 * thread waits for that, and libpq goes on. A connection has one query at a
 * time. A kill or a timeout in the midst of one ends the connection, because
 * the answer to that query is still to come on it.
 *
 * needs: libpq
 * server: postgres
 * It is a module, too:
 *   cc -shared -fPIC pq.c -o pq.so \
 *     $(pkg-config --cflags --libs luagreen-lua libpq)
 *
 * SPDX-License-Identifier: MIT
 */
#include <green_lua.h>
#include <lauxlib.h>
#include <libpq-fe.h>
#include <lualib.h>
#include <stdio.h>

int luaopen_pq(lua_State *L);

enum { MOST_PARAMS = 64 };

struct db {
  PGconn *pg;       /* NULL: closed */
  PGresult *result; /* of the last query; here, as reading it may raise */
  int busy;
};

static struct db *self(lua_State *L) {
  struct db *db = luaL_checkudata(L, 1, "pq.db");
  if (!db->pg) luaL_error(L, "the connection is closed");
  return db;
}

static int l_close(lua_State *L) {
  struct db *db = luaL_checkudata(L, 1, "pq.db");
  PQclear(db->result);
  if (db->pg) PQfinish(db->pg);
  db->result = NULL;
  db->pg = NULL;
  return 0;
}

static int fail(lua_State *L, struct db *db) {
  return luaL_error(L, "%s", PQerrorMessage(db->pg));
}

/* --- connecting --- */

/* If a call here raises, the userdata already has the connection. */
static int l_connect(lua_State *L) {
  const char *info = luaL_checkstring(L, 1);
  struct db *db = lua_newuserdatauv(L, sizeof *db, 0);
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  *db = (struct db){NULL, NULL, 0};
  luaL_setmetatable(L, "pq.db");
  if (!(db->pg = PQconnectStart(info))) return luaL_error(L, "no memory");
  if (PQstatus(db->pg) == CONNECTION_BAD) return fail(L, db);
  while (state != PGRES_POLLING_OK) {
    int reads = state == PGRES_POLLING_READING;
    if (state == PGRES_POLLING_FAILED) return fail(L, db);
    green_lua_wait_fd(L, PQsocket(db->pg),
                      reads ? GREEN_READABLE : GREEN_WRITABLE, -1);
    state = PQconnectPoll(db->pg);
  }
  PQsetnonblocking(db->pg, 1);
  return 1;
}

/* --- a query --- */

/* 0, a code of the wait's, or 1: libpq says what is wrong. */
static int flush(struct green_hub *hub, PGconn *pg) {
  const uint64_t soon = 100000000; /* a server that writes may not read */
  int left, r = 0;
  while (r == 0 && (left = PQflush(pg)) != 0) {
    if (left < 0) return 1;
    r = green_wait_fd(hub, PQsocket(pg), GREEN_WRITABLE, green_in(soon));
    if (r == UV_ETIMEDOUT) r = 0;
    if (r == 0 && !PQconsumeInput(pg)) return 1;
  }
  return r;
}

static int await_result(struct green_hub *hub, PGconn *pg) {
  int r = 0;
  while (r == 0 && PQisBusy(pg)) {
    r = green_wait_fd(hub, PQsocket(pg), GREEN_READABLE, GREEN_FOREVER);
    if (r == 0 && !PQconsumeInput(pg)) return 1;
  }
  return r;
}

/* Several statements in one text have a result each; the last one counts. */
static int run(struct green_hub *hub, struct db *db) {
  PGresult *next;
  int r = flush(hub, db->pg);
  while (r == 0 && (r = await_result(hub, db->pg)) == 0 &&
         (next = PQgetResult(db->pg))) {
    PQclear(db->result);
    db->result = next;
  }
  return r;
}

static int push_rows(lua_State *L, const PGresult *result) {
  int i, j, rows = PQntuples(result), columns = PQnfields(result);
  lua_createtable(L, rows, 0);
  for (i = 0; i < rows; i++) {
    lua_createtable(L, 0, columns);
    for (j = 0; j < columns; j++) {
      if (PQgetisnull(result, i, j)) continue;
      lua_pushlstring(L, PQgetvalue(result, i, j),
                      (size_t)PQgetlength(result, i, j));
      lua_setfield(L, -2, PQfname(result, j));
    }
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* The rows, or how many were changed. */
static int push_result(lua_State *L, struct db *db) {
  switch (PQresultStatus(db->result)) {
    case PGRES_TUPLES_OK: return push_rows(L, db->result);
    case PGRES_COMMAND_OK:
      lua_pushstring(L, PQcmdTuples(db->result));
      lua_pushinteger(L, lua_tointeger(L, -1));
      return 1;
    default: return luaL_error(L, "%s", PQresultErrorMessage(db->result));
  }
}

static int l_query(lua_State *L) {
  struct db *db = self(L);
  const char *sql = luaL_checkstring(L, 2), *values[MOST_PARAMS];
  int i, r, n = lua_gettop(L) - 2;
  luaL_argcheck(L, n <= MOST_PARAMS, 3, "too many parameters");
  luaL_checkstack(L, n + LUA_MINSTACK, NULL);
  for (i = 0; i < n; i++) /* the texts stay on the stack while it waits */
    values[i] = lua_isnil(L, i + 3) ? NULL : luaL_tolstring(L, i + 3, NULL);
  if (!green_lua_may_block(L)) return luaL_error(L, "cannot block here");
  if (db->busy) return luaL_error(L, "another thread's query is under way");
  PQclear(db->result);
  db->result = NULL;
  if (!PQsendQueryParams(db->pg, sql, n, NULL, values, NULL, NULL, 0))
    return fail(L, db);
  db->busy = 1;
  r = run(green_lua_hub(L), db);
  db->busy = 0;
  if (r < 0) l_close(L);
  green_lua_check(L, r); /* raises what struck */
  if (r < 0) return luaL_error(L, "%s", green_strerror(r));
  return r > 0 ? fail(L, db) : push_result(L, db);
}

int luaopen_pq(lua_State *L) {
  static const luaL_Reg methods[] = {{"query", l_query},
                                     {"close", l_close},
                                     {"__gc", l_close},
                                     {"__close", l_close},
                                     {NULL, NULL}};
  luaL_newmetatable(L, "pq.db");
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, l_connect);
  lua_setfield(L, -2, "connect");
  return 1;
}

/* --- a program that offers it to a script; PGHOST and its like lead to the
 * server --- */

static const char SCRIPT[] =
    "local green, pq = require 'green', require 'pq'\n"
    "local db <close> = pq.connect ''\n"
    "db:query 'CREATE TEMP TABLE squares (n int, square int)'\n"
    "for n = 1, 20 do\n"
    "  db:query('INSERT INTO squares VALUES ($1, $2)', n, n * n)\n"
    "end\n"
    "print('changed', db:query 'UPDATE squares SET square = -square')\n"
    "print('sum', db:query('SELECT sum(square) AS s FROM squares '\n"
    "  .. 'WHERE n < $1', 20)[1].s)\n"
    "local threads, start = {}, green.now()\n"
    "for i = 1, 20 do\n"
    "  threads[i] = green.spawn(function()\n"
    "    local mine <close> = pq.connect ''\n"
    "    return mine:query 'SELECT pg_sleep(0.5)'\n"
    "  end)\n"
    "end\n"
    "for _, t in ipairs(threads) do t:wait() end\n"
    "print('twenty at once', green.now() - start < 5)\n"
    "print(select(2, pcall(db.query, db, 'SELECT nonsense'))\n"
    "  :match 'column \"nonsense\" does not exist')\n"
    "local slow = green.spawn(db.query, db, 'SELECT pg_sleep(60)')\n"
    "green.sleep(0.05)\n"
    "print(select(2, pcall(db.query, db, 'SELECT 1')))\n"
    "slow:kill()\n"
    "print('killed', slow:join() == false)\n"
    "print(select(2, pcall(db.query, db, 'SELECT 1')))\n";

int main(void) {
  struct green_hub *hub;
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (green_open(&hub, NULL) < 0 || green_lua_open(L, hub) != LUA_OK) return 1;
  luaL_requiref(L, "pq", luaopen_pq, 0);
  if (luaL_dostring(L, SCRIPT)) fprintf(stderr, "%s\n", lua_tostring(L, -1));
  green_lua_close(L);
  lua_close(L);
  return green_close(hub);
}

/* prints:
 * changed	20
 * sum	-2470
 * twenty at once	true
 * column "nonsense" does not exist
 * another thread's query is under way
 * killed	true
 * the connection is closed
 */
