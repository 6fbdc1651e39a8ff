/* lua_unnamed_test.c - threads of C without a name, as Lua shows them.
 *
 * LUA_PATH must lead to lua/green.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "lua_test.h"

static int sleeps(struct green_hub *hub, void *arg) {
  (void)arg;
  return green_sleep(hub, GREEN_FOREVER);
}

static int is_true(lua_State *L, const char *expression) {
  int yes = luaL_loadstring(L, expression) == LUA_OK &&
            lua_pcall(L, 0, 1, 0) == LUA_OK && lua_toboolean(L, -1);
  lua_settop(L, 0);
  return yes;
}

int main(void) {
  struct green_hub *hub;
  struct green_thread *t;
  lua_State *L;
  if (green_open(&hub, NULL) < 0) return 1;
  L = open_on(hub);
  green_spawn(hub, &t, sleeps, NULL);
  green_sleep(hub, 0);
  lua_pushinteger(L, (lua_Integer)green_id(t));
  lua_setglobal(L, "id");
  CHECK(is_true(L, "return green.find_thread(id).name == 'a C thread'"),
        "a thread of C has a name that tells what it is");
  run(L,
      "local f = {write = function(_, text) dump = text end}"
      " green.dump(f)");
  CHECK(is_true(L, "return dump:find('#' .. id .. ' a C thread: blocked')"),
        "a dump has it");
  CHECK(is_true(L,
                "for _, row in ipairs(green.top {seconds = 0}) do"
                "  if row.id == id then return row.name == 'a C thread' end "
                "end"),
        "so has top");
  green_set_name(hub, green_main(hub), NULL);
  CHECK(is_true(L, "return green.current().name == 'main'"),
        "main has its own, whatever it was called");
  green_kill(hub, t);
  green_join(hub, t, GREEN_FOREVER, NULL);
  green_lua_close(L);
  lua_close(L);
  green_close(hub);
  return test_end();
}
